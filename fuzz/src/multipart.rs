//! The reader of bodies in parts: what holds of every message, whole and cut off.

use super::inspected::body;

/// The input is the body.
pub fn run(data: &[u8]) {
    body("multipart/form-data; boundary=b", data);
}
