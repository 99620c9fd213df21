//! The walk over JSON, and the lenient reader behind it: what holds of every message, whole and cut off.

use super::inspected::body;

/// The input is the body.
pub fn run(data: &[u8]) {
    body("application/json", data);
}
