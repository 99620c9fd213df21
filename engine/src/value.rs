//! What kind of value it is, told by its shape: cheap enough for every value, since all but identifiers and blobs end at
//! their first blank or mark. Knows nothing of attacks. Called by `decode::nested`.

use crate::ascii;
use crate::lookup::Lookup;

/// Told by shape alone: a word may be base64 by its letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Digits, with a sign and a dot at most.
    Number,
    /// RFC 9562.
    Uuid,
    /// Pairs of hexadecimal digits, at least eight of them, or four after `0x`.
    Hex,
    /// Base64 or base64url, of plausible length.
    Base64,
    /// A JSON Web Token: three parts, the first of which is an object.
    Token,
    /// A `data:` URI.
    Data,
    /// Text, markup, code: anything else.
    Other,
}

const DIGIT: u8 = 1;
const HEX: u8 = 2;
const UPPER: u8 = 4;
const LOWER: u8 = 8;
const DASH: u8 = 16;
/// Of base64 alone.
const MARK: u8 = 32;
const DOT: u8 = 64;
const OTHER: u8 = 128;

const CLASSES: Lookup<u8> = Lookup({
    let mut table = [OTHER; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        #[expect(clippy::indexing_slicing, reason = "a byte is less than 256")]
        {
            table[byte as usize] = match byte {
                b'0'..=b'9' => DIGIT,
                b'a'..=b'f' => HEX | LOWER,
                b'A'..=b'F' => HEX | UPPER,
                b'g'..=b'z' => LOWER,
                b'G'..=b'Z' => UPPER,
                b'-' | b'_' => DASH,
                b'+' | b'/' | b'=' | b'\r' | b'\n' => MARK,
                b'.' => DOT,
                _ => OTHER,
            };
        }
        byte += 1;
    }
    table
});

/// Without blanks and quotes around it.
pub(crate) fn bare(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    match value {
        [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => inner,
        _ => value,
    }
}

/// Whether it may be encoded as a whole, by its first bytes: a few instructions for nearly every value.
pub(crate) fn may_be_encoded(value: &[u8]) -> bool {
    let Some(start) = value.first_chunk::<8>() else { return false };
    let is_other = |byte: &u8| CLASSES.one(*byte) & OTHER != 0;
    match start.iter().position(is_other) {
        // A quote or a blank in front of it, and `data:`.
        Some(0) => matches!(start, [b' ' | b'"' | b'\'', ..]),
        Some(4) => matches!(start, [_, _, _, _, b':', ..]),
        other => other.is_none(),
    }
}

/// The kind of a value, without regard to blanks and quotes around it.
pub(crate) fn kind(value: &[u8]) -> Kind {
    let value = bare(value);
    if value.len() > 12 && ascii::starts(value, b"data:") {
        return Kind::Data;
    }
    let seen = CLASSES.all(value);
    if seen & OTHER != 0 {
        return Kind::Other;
    }
    let has = |class: u8| seen & class != 0;
    let is_only = |classes: u8| seen & !classes == 0;
    if is_only(DIGIT | DOT | DASH) && value.len() < 20 && has(DIGIT) {
        return Kind::Number;
    }
    if value.len() == 36 && is_only(DIGIT | HEX | UPPER | LOWER | DASH) && is_uuid(value) {
        return Kind::Uuid;
    }
    if has(DOT) {
        return if is_token(value) { Kind::Token } else { Kind::Other };
    }
    let is_hex = |digits: &[u8]| digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit);
    match value {
        [b'0', b'x' | b'X', digits @ ..] if digits.len() >= 8 && is_hex(digits) => return Kind::Hex,
        digits if digits.len() >= 16 && !has(DASH | MARK) && is_hex(digits) => return Kind::Hex,
        _ => {}
    }
    // Nearly all text has letters of both cases when it is encoded, and a word of a language has not.
    let is_long = value.len() >= 12 || value.len() >= 8 && value.ends_with(b"=");
    if is_long && has(UPPER) && has(LOWER) { Kind::Base64 } else { Kind::Other }
}

fn is_uuid(value: &[u8]) -> bool {
    value.iter().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    })
}

/// `eyJ` is `{"` in base64.
fn is_token(value: &[u8]) -> bool {
    value.starts_with(b"eyJ") && memchr::memchr_iter(b'.', value).count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_kinds_by_their_shape() {
        let rows: &[(&str, Kind)] = &[
            ("", Kind::Other),
            ("42", Kind::Number),
            ("-1.5", Kind::Number),
            ("2026-01-31", Kind::Number),
            ("127.0.0.1", Kind::Number),
            ("0f8fad5b-d9cb-469f-a165-70867728950e", Kind::Uuid),
            ("0f8fad5b-d9cb-469f-a165-70867728950g", Kind::Other),
            ("d41d8cd98f00b204e9800998ecf8427e", Kind::Hex),
            ("0x27204f52", Kind::Hex),
            ("0x2720", Kind::Other),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", Kind::Token),
            ("example.org", Kind::Other),
            ("data:text/html;base64,PGI+", Kind::Data),
            ("JyBvciAxPTE=", Kind::Base64),
            ("\"JyBvciAxPTE=\" ", Kind::Base64),
            ("YWJjZGU=", Kind::Base64),
            ("administration", Kind::Other),
            ("InputStreamReader", Kind::Base64),
            ("a sentence", Kind::Other),
            ("ada@example.org", Kind::Other),
        ];
        for (value, expected) in rows {
            assert_eq!(kind(value.as_bytes()), *expected, "{value}");
        }
    }
}
