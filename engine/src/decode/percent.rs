//! Percent-decoding, as tolerant as the most tolerant application: what is not a valid escape stays as it is.

/// Decodes once, into the buffer. Borrows where there is nothing to decode.
pub(crate) fn decode<'a>(bytes: &'a [u8], plus_is_space: bool, decoded: &'a mut Vec<u8>) -> &'a [u8] {
    let encoded = |byte: &u8| *byte == b'%' || (plus_is_space && *byte == b'+');
    let Some(first) = bytes.iter().position(encoded) else { return bytes };
    decoded.clear();
    let (head, mut rest) = bytes.split_at_checked(first).unwrap_or((bytes, &[]));
    decoded.extend_from_slice(head);
    loop {
        rest = match rest {
            [] => return decoded,
            [b'+', rest @ ..] if plus_is_space => {
                decoded.push(b' ');
                rest
            }
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
            [byte, rest @ ..] => {
                decoded.push(*byte);
                rest
            }
        }
    }
}

/// Whether decoding would change it.
pub(crate) fn is_encoded(bytes: &[u8]) -> bool {
    let Some(first) = memchr::memchr(b'%', bytes) else { return false };
    bytes.get(first..).unwrap_or_default().windows(3).any(|window| match window {
        [b'%', b'u' | b'U', _] => true,
        [b'%', high, low] => hex(*high).is_some() && hex(*low).is_some(),
        _ => false,
    })
}

pub(super) fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
