//! Calls of gRPC ([protocol](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)) and of gRPC-Web
//! ([protocol](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md)): frames of a flag, a length of four bytes and
//! a message in Protocol Buffers or JSON. A message that is compressed is told by its own mark, because the field that
//! names the coding says nothing about a server that knows it by another name. Of a message that is cut off its
//! beginning is read. What does not begin with a frame is read by its shape, whatever its type says.

use base64::Engine as _;

use super::base64::LENIENT;
use super::coding::{self, Undone};
use super::{Framing, Kind, Visit, json, protobuf};
use crate::reason::Reason;

const PLAIN: u8 = 0;
const COMPRESSED: u8 = 1;
/// In gRPC-Web: what follows is no message but trailers.
const TRAILERS: u8 = 0x80;

/// Yields the texts of the messages.
pub(super) fn decode(
    framing: Framing,
    (bytes, truncated): (&[u8], bool),
    visit: &mut dyn Visit,
) -> Result<(), Reason> {
    if framing.is_text {
        visit.budget().decoded(bytes.len())?;
        let Ok(plain) = LENIENT.decode(bytes.trim_ascii()) else { return Err(Reason::MalformedBody) };
        return decode(Framing { is_text: false, ..framing }, (&plain, truncated), visit);
    }
    let known = if framing.is_web { TRAILERS | COMPRESSED } else { COMPRESSED };
    if bytes.first().is_some_and(|flags| flags & !known != 0) {
        visit.note(Reason::MalformedBody);
        return super::sniffed(bytes, truncated, visit);
    }
    let mut rest = bytes;
    while let [flags, a, b, c, d, behind @ ..] = rest {
        let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
        let content = behind.get(..length).unwrap_or(behind);
        let is_cut = content.len() < length;
        if is_cut && !truncated {
            visit.note(Reason::MalformedBody);
        }
        rest = behind.get(content.len()..).unwrap_or_default();
        match *flags {
            PLAIN => message(framing, (content, is_cut), visit)?,
            COMPRESSED => compressed(framing, (content, is_cut), visit)?,
            flags if framing.is_web && flags & TRAILERS != 0 => {}
            _ => {
                visit.note(Reason::MalformedBody); // no server reads what follows
                return Ok(());
            }
        }
    }
    if !rest.is_empty() && !truncated {
        visit.note(Reason::MalformedBody);
    }
    Ok(())
}

fn compressed(framing: Framing, (bytes, is_cut): (&[u8], bool), visit: &mut dyn Visit) -> Result<(), Reason> {
    match coding::undo_marked(bytes, visit.budget())? {
        Undone::Whole(plain) => message(framing, (&plain, is_cut), visit),
        Undone::Cut(plain, reason) => {
            visit.note(reason);
            message(framing, (&plain, true), visit)
        }
        Undone::Not => {
            visit.note(Reason::EncodedBody);
            // The flag may lie: a lenient server takes the message as it is.
            if protobuf::is_message(bytes, is_cut) { protobuf::message(bytes, is_cut, visit) } else { Ok(()) }
        }
    }
}

fn message(framing: Framing, (bytes, is_cut): (&[u8], bool), visit: &mut dyn Visit) -> Result<(), Reason> {
    if framing.is_json && !bytes.is_empty() {
        super::read(Kind::Json, b"", (bytes, is_cut), visit)
    } else if protobuf::is_message(bytes, is_cut) {
        protobuf::message(bytes, is_cut, visit)
    } else if json::looks_like(bytes) {
        json::decode(bytes, is_cut, visit)
    } else {
        visit.note(Reason::UnsupportedBody);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;
    use crate::decode::tests::{Yield, seen};

    const GRPC: Framing = Framing { is_web: false, is_text: false, is_json: false };
    const WEB: Framing = Framing { is_web: true, ..GRPC };
    const JSON: Framing = Framing { is_json: true, ..GRPC };

    fn read(framing: Framing, bytes: &[u8]) -> (Vec<Yield>, Option<Reason>) {
        seen(|seen| decode(framing, (bytes, false), seen))
    }

    fn frame(flags: u8, message: &[u8]) -> Vec<u8> {
        [&[flags][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
    }

    fn text(value: &str) -> Vec<u8> {
        [&[0x0A, u8::try_from(value.len()).unwrap()], value.as_bytes()].concat()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn values(framing: Framing, bytes: &[u8]) -> Vec<String> {
        read(framing, bytes).0.into_iter().map(|(_, _, value)| value).collect()
    }

    #[test]
    fn every_message_of_a_call_is_read_plain_or_compressed() {
        let call = [
            frame(0, &text("one")),
            frame(0, b""),
            frame(1, &gzip(&text("two"))),
            frame(1, &zlib(&text("three"))),
            frame(0, br#"{"name":"four"}"#),
        ]
        .concat();
        assert_eq!(values(GRPC, &call), ["one", "two", "three", "name", "four"]);
        assert_eq!(read(GRPC, &call).1, None);
        assert_eq!(values(WEB, &call), values(GRPC, &call));
        let web_text = Framing { is_text: true, ..WEB };
        assert_eq!(values(web_text, LENIENT.encode(&call).as_bytes()), values(GRPC, &call));
        // What is said to be JSON is read as JSON, also where it would be a message by chance.
        assert_eq!(values(JSON, &frame(0, b" {\"a\":\"b\"}")), ["a", "b"]);
    }

    #[test]
    fn what_is_not_read_of_a_call_is_told() {
        let rows: &[(Framing, Vec<u8>, Option<Reason>)] = &[
            (GRPC, Vec::new(), None),
            (GRPC, b"\0\0\0\0\x09\x0a\x01a".to_vec(), Some(Reason::MalformedBody)),
            (GRPC, b"\0\0".to_vec(), Some(Reason::MalformedBody)),
            (GRPC, frame(1, b"a"), Some(Reason::EncodedBody)),
            (GRPC, frame(0, b"abc"), Some(Reason::UnsupportedBody)),
            (GRPC, frame(0x80, b"a"), Some(Reason::OpaqueBody)), // and malformed, which `Inspection` keeps
            (GRPC, [frame(0, b""), frame(2, b"a")].concat(), Some(Reason::MalformedBody)),
            (WEB, frame(0x80, b"grpc-status: 0"), None),
            (WEB, frame(0x81, b"packed"), None),
        ];
        for (framing, bytes, expected) in rows {
            assert_eq!(read(*framing, bytes).1, *expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_begins_with_no_frame_is_read_by_its_shape() {
        let (fields, reason) = read(GRPC, br#"{"id":"1' or 1=1--"}"#);
        assert!(fields.iter().any(|(_, name, value)| name == "id" && value == "1' or 1=1--"), "{fields:?}");
        assert_eq!(reason, Some(Reason::MalformedBody));
    }

    #[test]
    fn a_small_message_that_becomes_a_large_one_is_read_to_the_bound() {
        let bomb = gzip(&text(&"a".repeat(120)).repeat(4_000));
        let (fields, reason) = read(GRPC, &frame(1, &bomb));
        assert_eq!(reason, Some(Reason::DecodedTooLarge));
        assert!(!fields.is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            bytes in proptest::collection::vec(prop_oneof![Just(0), Just(1), Just(0x0A), any::<u8>()], 0..80),
            is_web in any::<bool>(),
            is_json in any::<bool>(),
            truncated in any::<bool>(),
        ) {
            let framing = Framing { is_web, is_text: false, is_json };
            let _ = seen(|seen| decode(framing, (&bytes, truncated), seen));
        }
    }
}
