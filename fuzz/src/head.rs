//! The readers of the target and of fields that applications read: cookies, referers, credentials, lists.

use rasp_engine::{Body, Head};

use super::inspected::{MOST, inspected};

/// The first byte chooses the field; the first line is the target, the rest the value of the field.
pub fn run(data: &[u8]) {
    const NAMES: [&str; 8] = [
        "cookie",
        "referer",
        "user-agent",
        "authorization",
        "accept",
        "x-forwarded-for",
        "content-disposition",
        "x-anything",
    ];
    let Some((choice, rest)) = data.split_first() else { return };
    let rest = &rest[..rest.len().min(MOST)];
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (target, value) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
    let fields = [(NAMES[usize::from(choice & 7)], value)];
    let head = Head {
        method: "GET",
        target,
        content_type: None,
        content_encoding: None,
        fields: &fields.as_slice(),
    };
    // A field is one value, however long, and read again where it is encoded once more.
    inspected(&head, Body::Empty, Some(target.len() + 2 * value.len()));
}
