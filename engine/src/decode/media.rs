//! From the head to how the body is read. What an application reads as JSON or as a form whatever the type says must not
//! be opaque because of a type that a client made up, so only types in the table of binary ones are.

use super::{Framing, Kind};
use crate::ascii;
use crate::message::Head;
use crate::reason::Reason;

/// Media types with a decoder, or known not to have one.
const TYPES: &[(&[u8], Kind)] = &[
    (b"application/x-www-form-urlencoded", Kind::Form),
    (b"application/json", Kind::Json),
    (b"text/json", Kind::Json),
    (b"application/x-json", Kind::Json),
    (b"text/plain", Kind::Sniff),
    (b"application/xml", Kind::Xml),
    (b"text/xml", Kind::Xml),
    (b"application/graphql", Kind::GraphQl),
    (b"application/pdf", Kind::Not(Reason::OpaqueBody)),
    (b"application/zip", Kind::Not(Reason::OpaqueBody)),
    (b"application/x-zip-compressed", Kind::Not(Reason::OpaqueBody)),
    (b"application/gzip", Kind::Not(Reason::OpaqueBody)),
    (b"application/x-gzip", Kind::Not(Reason::OpaqueBody)),
    (b"application/zstd", Kind::Not(Reason::OpaqueBody)),
    (b"application/x-bzip2", Kind::Not(Reason::OpaqueBody)),
    (b"application/x-xz", Kind::Not(Reason::OpaqueBody)),
    (b"application/x-tar", Kind::Not(Reason::OpaqueBody)),
    (b"application/x-7z-compressed", Kind::Not(Reason::OpaqueBody)),
    (b"application/vnd.rar", Kind::Not(Reason::OpaqueBody)),
    (b"application/java-archive", Kind::Not(Reason::OpaqueBody)),
    (b"application/wasm", Kind::Not(Reason::OpaqueBody)),
    (b"application/protobuf", Kind::Protobuf),
    (b"application/proto", Kind::Protobuf),
    // What telemetry and metrics are sent in: records of what happened elsewhere.
    (b"application/x-protobuf", Kind::Not(Reason::OpaqueBody)),
    (b"application/x-ndjson", Kind::Lines),
    (b"application/ndjson", Kind::Lines),
    (b"application/jsonl", Kind::Lines),
    (b"application/x-jsonlines", Kind::Lines),
    (b"application/json-seq", Kind::Lines),
    (b"application/msgpack", Kind::Not(Reason::OpaqueBody)),
    (b"application/x-msgpack", Kind::Not(Reason::OpaqueBody)),
    (b"application/cbor", Kind::Not(Reason::OpaqueBody)),
    (b"application/x-git-receive-pack-request", Kind::Not(Reason::OpaqueBody)),
    (b"application/x-git-upload-pack-request", Kind::Not(Reason::OpaqueBody)),
];

/// Ends of media types, looked at before the starts.
const SUFFIXES: &[(&[u8], Kind)] = &[
    (b"+json", Kind::Json),
    (b"+xml", Kind::Xml),
    (b"+gzip", Kind::Not(Reason::OpaqueBody)),
    (b"+zip", Kind::Not(Reason::OpaqueBody)),
    (b"+zstd", Kind::Not(Reason::OpaqueBody)),
    (b"+cbor", Kind::Not(Reason::OpaqueBody)),
];

/// Starts of media types.
const PREFIXES: &[(&[u8], Kind)] = &[
    (b"multipart/", Kind::Multipart),
    (b"image/", Kind::Not(Reason::OpaqueBody)),
    (b"audio/", Kind::Not(Reason::OpaqueBody)),
    (b"video/", Kind::Not(Reason::OpaqueBody)),
    (b"font/", Kind::Not(Reason::OpaqueBody)),
    (b"application/vnd.openxmlformats-officedocument", Kind::Not(Reason::OpaqueBody)),
];

/// How the body that follows this head is read.
pub(crate) fn kind(head: &Head<'_>) -> Kind {
    match (is_encoded(head), declared(head.content_type.unwrap_or_default())) {
        // Servers of gRPC go by `grpc-encoding` and the flag of each message, whatever else is said.
        (false, kind) | (true, kind @ Kind::Frames(Framing { is_web: false, .. })) => kind,
        // Packed or not, it is binary: OTLP and Prometheus send protobuf in gzip and snappy.
        (true, Kind::Not(Reason::OpaqueBody) | Kind::Protobuf) => Kind::Not(Reason::OpaqueBody),
        (true, Kind::Not(_)) => Kind::Not(Reason::EncodedBody),
        (true, _) => Kind::Encoded,
    }
}

/// Whether a `content-encoding` is declared that changes anything.
pub(super) fn is_encoded(head: &Head<'_>) -> bool {
    let encoding = head.content_encoding.unwrap_or_default();
    let mut names = encoding.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    names.any(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"))
}

/// How a body of this type is read where nothing else is said about it.
pub(super) fn declared(content_type: &[u8]) -> Kind {
    let name = content_type.split(|byte| matches!(byte, b';' | b',')).next().unwrap_or_default().trim_ascii();
    if name.is_empty() {
        return Kind::Sniff;
    }
    if ascii::starts(name, GRPC) {
        return framed(name);
    }
    let exact = TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    let ends = |(known, _): &&(&[u8], Kind)| ascii::ends(name, known);
    let starts = |(known, _): &&(&[u8], Kind)| ascii::starts(name, known);
    exact
        .or_else(|| SUFFIXES.iter().find(ends))
        .or_else(|| PREFIXES.iter().find(starts))
        .map_or(Kind::Undeclared, |(_, kind)| *kind)
}

/// Whether a type says that its file is to be looked at or listened to, and holds no markup.
pub(super) fn is_media(content_type: &[u8]) -> bool {
    let starts = |start: &&[u8]| ascii::starts(content_type.trim_ascii_start(), start);
    let media: [&[u8]; 5] = [b"image/", b"audio/", b"video/", b"font/", b"application/pdf"];
    media.iter().any(starts) && !ascii::contains(content_type, b"xml")
}

const GRPC: &[u8] = b"application/grpc";

/// `application/grpc+proto`, `application/grpc-web-text+json`: what follows the plus is how messages are written.
fn framed(name: &[u8]) -> Kind {
    let kind = name.get(GRPC.len()..).unwrap_or_default();
    Kind::Frames(Framing {
        is_web: ascii::starts(kind, b"-web"),
        is_text: ascii::starts(kind, b"-web-text"),
        is_json: ascii::ends(kind, b"+json"),
    })
}
