//! The reader of the frames of gRPC, what is compressed in them included.

use rasp_engine::Body;

use super::inspected::{MOST, inspected, post};

/// The first byte chooses between gRPC and gRPC-Web, Protocol Buffers and JSON; the rest is the body.
pub fn run(data: &[u8]) {
    const TYPES: [&str; 4] =
        ["application/grpc", "application/grpc+json", "application/grpc-web", "application/grpc-web-text"];
    let Some((choice, rest)) = data.split_first() else { return };
    let rest = &rest[..rest.len().min(MOST)];
    let head = post(TYPES[usize::from(choice & 3)], None);
    inspected(&head, Body::Complete(rest), None);
    inspected(&head, Body::Truncated(rest), None);
}
