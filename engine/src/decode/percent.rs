//! Percent-decoding, as tolerant as the most tolerant application: what is not a valid escape stays as it is.

use crate::lookup::Lookup;

static ENCODED: Lookup<bool> = Lookup::of(b"%");
static ENCODED_FORM: Lookup<bool> = Lookup::of(b"%+");

/// Decodes once, into the buffer. Borrows where there is nothing to decode.
pub(crate) fn decode<'a>(bytes: &'a [u8], plus_is_space: bool, decoded: &'a mut Vec<u8>) -> &'a [u8] {
    if !(if plus_is_space { &ENCODED_FORM } else { &ENCODED }).any(bytes) {
        return bytes;
    }
    decoded.clear();
    let mut rest = bytes;
    loop {
        rest = match rest {
            [] => return decoded,
            [b'%', high, low, rest @ ..] if hex(*high).is_some() && hex(*low).is_some() => {
                decoded.push(hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0));
                rest
            }
            // `%u0027`: never standard, decoded by some servers.
            [b'%', b'u' | b'U', a, b, c, d, rest @ ..] if [a, b, c, d].iter().all(|x| hex(**x).is_some()) => {
                let code =
                    [a, b, c, d].iter().fold(0, |code, x| code << 4 | u32::from(hex(**x).unwrap_or(0)));
                let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                decoded.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                rest
            }
            [b'%', rest @ ..] => {
                decoded.push(b'%');
                rest
            }
            _ => {
                let length = memchr::memchr(b'%', rest).unwrap_or(rest.len());
                let (plain, rest) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                if plus_is_space {
                    decoded.extend(plain.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }));
                } else {
                    decoded.extend_from_slice(plain);
                }
                rest
            }
        }
    }
}

pub(super) fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
