//! Strings of a document that is not JSON: unquoted keys, comments, single quotes, lone surrogates, invalid UTF-8.
//! Escapes could hide a quote from the raw text, so each thing in quotes is unescaped as far as it can be.

use crate::decode::percent::hex;
use crate::decode::{Field, Visit};
use crate::finding::Part;
use crate::reason::Reason;

pub(super) fn decode(bytes: &[u8], visit: &mut dyn Visit) -> Result<(), Reason> {
    let mut rest = bytes;
    let mut text = Vec::new();
    while let Some(start) = memchr::memchr2(b'"', b'\\', rest) {
        let (mark, after) = rest.split_at_checked(start + 1).unwrap_or((rest, &[]));
        if mark.last() == Some(&b'\\') {
            rest = after.get(1..).unwrap_or_default();
            continue;
        }
        text.clear();
        rest = unescape(after, &mut text);
        visit.budget().decoded(text.len())?;
        visit.field(&Field { part: Part::Json, name: b"", value: &text })?;
    }
    Ok(())
}

/// Unescapes up to the closing quote. Gives what follows it.
fn unescape<'a>(bytes: &'a [u8], text: &mut Vec<u8>) -> &'a [u8] {
    let mut rest = bytes;
    loop {
        rest = match rest {
            [] => return rest,
            [b'"', rest @ ..] => return rest,
            [b'\\', b'u', a, b, c, d, rest @ ..] if [a, b, c, d].iter().all(|x| hex(**x).is_some()) => {
                let code =
                    [a, b, c, d].iter().fold(0, |code, x| code << 4 | u32::from(hex(**x).unwrap_or(0)));
                let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                rest
            }
            [b'\\', escaped, rest @ ..] => {
                text.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => *other,
                });
                rest
            }
            [byte, rest @ ..] => {
                text.push(*byte);
                rest
            }
        };
    }
}
