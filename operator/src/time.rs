//! Times as objects of the API have them.

use jiff::Timestamp;

/// RFC 3339 in whole seconds and UTC, as `metav1.Time` is written: such texts compare as the times do.
pub fn in_seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}
