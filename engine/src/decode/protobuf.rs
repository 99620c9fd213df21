//! Messages of Protocol Buffers ([encoding](https://protobuf.dev/programming-guides/encoding/)) without their schema: what
//! is length-delimited and text is a value, named by its number; what is a message itself is read the same way. Of a
//! message that is cut off its beginning is read. Called for bodies, and by `grpc` for each message of a call.

use super::{Field, Visit, pairs};
use crate::finding::Part;
use crate::reason::Reason;

/// Messages in messages. Each level is one more pass over its bytes.
const MAX_DEPTH: usize = 8;

/// Yields the texts of a message.
pub(super) fn decode(bytes: &[u8], visit: &mut dyn Visit) -> Result<(), Reason> {
    if is_message(bytes, false) { message(bytes, false, visit) } else { Err(Reason::OpaqueBody) }
}

/// Whether it is one, or the beginning of one.
pub(super) fn is_message(bytes: &[u8], is_cut: bool) -> bool {
    let mut entries = Entries { rest: bytes, is_cut };
    while entries.next().is_some() {}
    entries.rest.is_empty() || is_cut && entries.rest.len() < LONGEST_NUMBERS
}

/// A key and what has a fixed length behind it.
const LONGEST_NUMBERS: usize = 20;

/// Yields the texts of what [`is_message`] told.
pub(super) fn message(bytes: &[u8], is_cut: bool, visit: &mut dyn Visit) -> Result<(), Reason> {
    inside(bytes, is_cut, 1, visit)
}

fn inside(bytes: &[u8], is_cut: bool, depth: usize, visit: &mut dyn Visit) -> Result<(), Reason> {
    visit.budget().work(2 * bytes.len())?;
    let mut entries = Entries { rest: bytes, is_cut };
    while let Some((number, content)) = entries.next() {
        if content.is_empty() {
            continue;
        }
        let is_cut = is_cut && entries.rest.is_empty();
        let is_text = is_text(content, is_cut);
        if is_text {
            let (digits, start) = decimal(number);
            let name = digits.get(start..).unwrap_or_default();
            pairs::text(&Field { part: Part::Protobuf, name, value: content }, visit)?;
        }
        // Short texts may be messages as well, by chance; nothing is lost where they are not.
        if content.len() > 2 && is_message(content, is_cut) {
            if depth < MAX_DEPTH {
                inside(content, is_cut, depth + 1, visit)?;
            } else if !is_text {
                visit.note(Reason::TooDeep);
            }
        }
    }
    Ok(())
}

fn is_text(bytes: &[u8], is_cut: bool) -> bool {
    let is_control = |byte: &u8| *byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r') || *byte == 0x7F;
    let is_utf8 = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => is_cut && error.error_len().is_none(),
    };
    is_utf8 && !bytes.iter().any(is_control)
}

/// The digits of a number, and where they start.
fn decimal(mut number: u64) -> ([u8; 10], usize) {
    let mut digits = [b'0'; 10];
    let mut start = digits.len();
    loop {
        start = start.saturating_sub(1);
        if let Some(digit) = digits.get_mut(start) {
            *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        }
        number /= 10;
        if number == 0 || start == 0 {
            return (digits, start);
        }
    }
}

/// Number and content of what is length-delimited. Stops, with something left, at what no message has.
struct Entries<'a> {
    rest: &'a [u8],
    /// More would follow: the last content is what there is of it.
    is_cut: bool,
}

impl<'a> Iterator for Entries<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (key, behind) = varint(self.rest)?;
            let number = key >> 3;
            if number == 0 || number >= 1 << 29 {
                return None;
            }
            match key & 7 {
                0 => self.rest = varint(behind)?.1,
                1 => self.rest = behind.get(8..)?,
                2 => {
                    let (length, behind) = varint(behind)?;
                    let length = usize::try_from(length).ok()?;
                    let length = if self.is_cut { length.min(behind.len()) } else { length };
                    let (content, behind) = behind.split_at_checked(length)?;
                    self.rest = behind;
                    return Some((number, content));
                }
                5 => self.rest = behind.get(4..)?,
                _ => return None,
            }
        }
        None
    }
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * index).min(63);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decode::tests::seen;

    fn entry(number: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2, u8::try_from(content.len()).unwrap()];
        bytes.extend_from_slice(content);
        bytes
    }

    #[test]
    fn texts_of_a_message_and_of_messages_in_it_are_values() {
        let inner = [entry(1, b"x' or 1=1--"), vec![0x10, 0x96, 0x01]].concat();
        let outer = [entry(3, &inner), entry(4, "h\u{e9}".as_bytes()), vec![0x2D, 0, 0, 0, 0]].concat();
        let (fields, reason) = seen(|seen| decode(&outer, seen));
        assert_eq!(reason, None);
        let found: Vec<_> = fields.iter().map(|(_, name, value)| (&**name, &**value)).collect();
        assert_eq!(found, [("1", "x' or 1=1--"), ("4", "h\u{e9}")]);
    }

    #[test]
    fn the_beginning_of_a_message_is_read_as_far_as_it_goes() {
        let inner = [entry(1, b"x' or 1=1--"), entry(2, b"more")].concat();
        let outer = [entry(7, b"first"), entry(3, &inner)].concat();
        let rows: &[(usize, &[&str])] = &[
            (outer.len(), &["first", "x' or 1=1--", "more"]),
            (outer.len() - 2, &["first", "x' or 1=1--", "mo"]),
            (outer.len() - 8, &["first", "x' or 1=1"]),
            (9, &["first"]),
            (4, &["fi"]),
        ];
        for (length, expected) in rows {
            let cut = outer.get(..*length).unwrap();
            assert!(is_message(cut, true), "{length}");
            let (fields, reason) = seen(|seen| message(cut, true, seen));
            let found: Vec<_> = fields.iter().map(|(_, _, value)| &**value).collect();
            assert_eq!(reason, None, "{length}");
            assert!(found.starts_with(expected), "{length}: {found:?}"); // what is cut off may also be a message
        }
        assert!(!is_message(b"this is text, and no message of any kind", true));
    }

    #[test]
    fn what_is_no_message_is_told() {
        let rows: &[(&[u8], Option<Reason>)] = &[
            (b"", None),
            (b"hello, world", Some(Reason::OpaqueBody)),
            (b"\x0a\x05ab", Some(Reason::OpaqueBody)),
            (b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", Some(Reason::OpaqueBody)),
            (b"\x00", Some(Reason::OpaqueBody)),
        ];
        for (bytes, expected) in rows {
            assert_eq!(seen(|seen| decode(bytes, seen)).1, *expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn numbers_are_written_out() {
        for number in [0, 9, 10, 536_870_911] {
            let (digits, start) = decimal(number);
            assert_eq!(digits[start..], *number.to_string().as_bytes());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(prop_oneof![Just(0x0A), Just(2), any::<u8>()], 0..80)) {
            let _ = seen(|seen| decode(&bytes, seen));
            let (fields, _) = seen(|seen| message(&bytes, true, seen));
            let total: usize = fields.iter().map(|(_, _, value)| value.len()).sum();
            prop_assert!(total <= MAX_DEPTH * bytes.len());
        }
    }
}
