//! UTF-16 and UTF-32 to UTF-8. JSON parsers detect these encodings by themselves, whatever the type says, so a document
//! in one of them is an attack that no byte-wise detector sees. Never fails: what is no character becomes U+FFFD.

/// An encoding whose ASCII characters are not ASCII bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Encoding {
    /// Bytes of a code unit: 2 or 4.
    unit: usize,
    big_endian: bool,
}

const UTF_16_LE: Encoding = Encoding { unit: 2, big_endian: false };
const UTF_16_BE: Encoding = Encoding { unit: 2, big_endian: true };
const UTF_32_LE: Encoding = Encoding { unit: 4, big_endian: false };
const UTF_32_BE: Encoding = Encoding { unit: 4, big_endian: true };

/// Names that a `charset` parameter uses. Without an order in the name it is told by the mark; most writers that leave
/// the mark out are little-endian.
const CHARSETS: &[(&[u8], Encoding)] = &[
    (b"utf-16", UTF_16_LE),
    (b"utf16", UTF_16_LE),
    (b"utf-16le", UTF_16_LE),
    (b"utf-16be", UTF_16_BE),
    (b"ucs-2", UTF_16_LE),
    (b"iso-10646-ucs-2", UTF_16_BE),
    (b"utf-32", UTF_32_LE),
    (b"utf32", UTF_32_LE),
    (b"utf-32le", UTF_32_LE),
    (b"utf-32be", UTF_32_BE),
];

/// The encoding of a body that starts with a mark, or with one ASCII character and the zero bytes around it. The order
/// of the tests is that of the parsers: the mark of UTF-32 starts like that of UTF-16.
pub(super) fn detect(bytes: &[u8]) -> Option<Encoding> {
    match *bytes {
        [0xFF, 0xFE, 0, 0, ..] | [1..=0x7F, 0, 0, 0, ..] => Some(UTF_32_LE),
        [0, 0, 0xFE, 0xFF, ..] | [0, 0, 0, 1..=0x7F, ..] => Some(UTF_32_BE),
        [0xFF, 0xFE, ..] | [1..=0x7F, 0, ..] => Some(UTF_16_LE),
        [0xFE, 0xFF, ..] | [0, 1..=0x7F, ..] => Some(UTF_16_BE),
        _ => None,
    }
}

/// The encoding that the type declares and the bytes do not contradict: ASCII in it has zero bytes, and a client that
/// declares it falsely must not hide what is UTF-8.
pub(super) fn declared(charset: &[u8], bytes: &[u8]) -> Option<Encoding> {
    let (_, encoding) = CHARSETS.iter().find(|(name, _)| name.eq_ignore_ascii_case(charset))?;
    bytes.contains(&0).then_some(*encoding)
}

/// Bytes that `transcode` produces at most.
pub(super) fn longest(bytes: &[u8]) -> usize {
    bytes.len().saturating_add(bytes.len() / 2).saturating_add(3)
}

/// The text without its mark.
pub(super) fn transcode(encoding: Encoding, bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() / encoding.unit);
    let units = bytes.chunks(encoding.unit).map(|unit| code(unit, encoding.big_endian));
    if encoding.unit == 4 {
        text.extend(units.map(|code| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)));
    } else {
        let units = units.map(|code| u16::try_from(code).unwrap_or_default());
        text.extend(char::decode_utf16(units).map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER)));
    }
    if text.starts_with('\u{FEFF}') {
        text.drain(..'\u{FEFF}'.len_utf8());
    }
    text
}

/// A unit that breaks off is read as far as it came.
fn code(unit: &[u8], big_endian: bool) -> u32 {
    let join = |code: u32, byte: &u8| code << 8 | u32::from(*byte);
    if big_endian { unit.iter().fold(0, join) } else { unit.iter().rev().fold(0, join) }
}
