//! Bodies with a `content-encoding`: gzip, deflate, br and zstd, alone and one over the other.

use rasp_engine::Body;

use super::inspected::{MOST, inspected, post};

/// The first byte chooses the coding, the rest is the body.
pub fn run(data: &[u8]) {
    const CODINGS: [&str; 8] = [
        "gzip",
        "deflate",
        "br",
        "zstd",
        "gzip, gzip",
        "zstd, br",
        "identity, x-gzip",
        "deflate, deflate, br",
    ];
    let Some((choice, rest)) = data.split_first() else { return };
    let rest = &rest[..rest.len().min(MOST)];
    let head = post("application/json", Some(CODINGS[usize::from(choice & 7)]));
    inspected(&head, Body::Complete(rest), None);
    inspected(&head, Body::Truncated(rest), None);
}
