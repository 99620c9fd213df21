//! UTF-16, UTF-32 and UTF-7 (RFC 2152) to UTF-8. JSON parsers detect these encodings by themselves, whatever the type says, so a document
//! in one of them is an attack that no byte-wise detector sees. Never fails: what is no character becomes U+FFFD.

/// An encoding whose ASCII characters are not ASCII bytes, or need not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Encoding {
    /// Bytes of a code unit: 2 or 4; 1 is UTF-7.
    unit: usize,
    big_endian: bool,
}

const UTF_16_LE: Encoding = Encoding { unit: 2, big_endian: false };
const UTF_16_BE: Encoding = Encoding { unit: 2, big_endian: true };
const UTF_32_LE: Encoding = Encoding { unit: 4, big_endian: false };
const UTF_32_BE: Encoding = Encoding { unit: 4, big_endian: true };
const UTF_7: Encoding = Encoding { unit: 1, big_endian: true };

impl Encoding {
    /// Whether what is no escape is ASCII as it stands, so that another reader reads the same bytes.
    pub(super) fn is_ascii(self) -> bool {
        self.unit == 1
    }
}

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
    (b"utf-7", UTF_7),
    (b"utf7", UTF_7),
    (b"unicode-1-1-utf-7", UTF_7),
    (b"csunicode11utf7", UTF_7),
    (b"x-unicode-2-0-utf-7", UTF_7),
];

/// Whether a charset is one that is read here, in which letters need not look like ASCII.
pub(super) fn knows(charset: &[u8]) -> bool {
    CHARSETS.iter().any(|(name, _)| name.eq_ignore_ascii_case(charset))
}

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
/// declares it falsely must not hide what is UTF-8. UTF-7 has its escapes.
pub(super) fn declared(charset: &[u8], bytes: &[u8]) -> Option<Encoding> {
    let (_, encoding) = CHARSETS.iter().find(|(name, _)| name.eq_ignore_ascii_case(charset))?;
    let mark = if encoding.is_ascii() { b'+' } else { 0 };
    bytes.contains(&mark).then_some(*encoding)
}

/// Bytes that `transcode` produces at most.
pub(super) fn longest(bytes: &[u8]) -> usize {
    bytes.len().saturating_add(bytes.len() / 2).saturating_add(3)
}

/// The text without its mark.
pub(super) fn transcode(encoding: Encoding, bytes: &[u8]) -> String {
    if encoding.is_ascii() {
        return utf7(bytes);
    }
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

/// As leniently as it is read: a group ends at what is no digit of base64, whether that is `-` or not.
fn utf7(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(plus) = memchr::memchr(b'+', rest) {
        let (plain, group) = rest.split_at_checked(plus).unwrap_or((rest, &[]));
        text.extend_from_slice(plain);
        let group = group.get(1..).unwrap_or_default();
        let length = group.iter().position(|byte| digit(*byte).is_none()).unwrap_or(group.len());
        let (digits, behind) = group.split_at_checked(length).unwrap_or((group, &[]));
        if digits.is_empty() {
            text.push(b'+');
        }
        let (mut bits, mut count) = (0_u32, 0);
        let units = digits.iter().filter_map(|byte| {
            bits = bits << 6 | digit(*byte).unwrap_or(0);
            count += 6;
            if count < 16 {
                return None;
            }
            count -= 16;
            u16::try_from(bits >> count & 0xFFFF).ok()
        });
        let chars = char::decode_utf16(units).map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER));
        chars.for_each(|char| text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()));
        rest = behind.strip_prefix(b"-").unwrap_or(behind);
    }
    text.extend_from_slice(rest);
    String::from_utf8(text).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn digit(byte: u8) -> Option<u32> {
    let digit = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(digit))
}
