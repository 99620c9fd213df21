//! The bodies of the fuzz targets: each takes bytes and panics when something does not hold.
//!
//! proxy/tests/fuzz.rs includes this file and replays the committed corpora, so it uses nothing that the proxy's tests
//! do not have.

pub mod bundle;
pub mod chunked;
pub mod coding;
pub mod detectors;
pub mod engine;
pub mod event;
pub mod exchange;
pub mod field;
pub mod graphql;
pub mod grpc;
pub mod guard;
pub mod head;
pub mod history;
pub mod http2;
pub mod inspected;
pub mod json;
pub mod multipart;
pub mod nested;
pub mod protobuf;
pub mod protocol;
pub mod proxy_protocol;
pub mod reader;
#[cfg(not(test))] // the proxy's tests know no operator; operator/tests/attacks.rs replays it
pub mod review;
pub mod stream;
pub mod target;
#[cfg(not(test))] // as `review`
pub mod validate;
pub mod xml;

/// Cuts bytes at places that the first of them name: how a network would deliver the rest.
pub fn pieces(data: &[u8]) -> Vec<&[u8]> {
    let (cuts, mut rest) = data.split_at(data.len().min(4));
    let mut pieces = Vec::new();
    for cut in cuts {
        let (piece, left) = rest.split_at(usize::from(*cut).min(rest.len()));
        pieces.push(piece);
        rest = left;
    }
    pieces.push(rest);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}
