//! Names of JavaScript with their escapes undone (ECMA-262 section 12.7).

/// Longer ones are no names that are looked for.
pub(super) const LONGEST_NAME: usize = 24;

/// A name with its escapes (`\u0061lert`) undone. Longer ones are no names that are looked for.
#[derive(Default)]
pub(super) struct Name {
    bytes: [u8; LONGEST_NAME],
    length: usize,
}

impl Name {
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
        }
        self.length += 1;
    }

    /// Where the name ends.
    pub(super) fn read(&mut self, bytes: &[u8], mut at: usize) -> usize {
        loop {
            match bytes.get(at) {
                Some(byte)
                    if byte.is_ascii_alphanumeric()
                        || matches!(byte, b'_' | b'$')
                        || is_letter(bytes, at) =>
                {
                    self.push(*byte);
                    at += 1;
                }
                // What is no letter by itself is none as an escape: `\x27` is the quote of a text.
                Some(b'\\') => match escape(bytes, at) {
                    Some((code, after)) if is_part(code) => {
                        self.push(u8::try_from(code).unwrap_or(0x80));
                        at = after;
                    }
                    _ => return at,
                },
                _ => return at,
            }
        }
    }
}

fn is_part(code: u32) -> bool {
    char::from_u32(code).is_some_and(|char| char.is_alphanumeric() || matches!(char, '_' | '$'))
}

/// Letters outside of ASCII, without the punctuation (U+2000 to U+206F, U+3000 to U+303F, U+FF00 to U+FF0F) and the
/// white space there: prose in other scripts must not read as names joined by operators.
fn is_letter(bytes: &[u8], at: usize) -> bool {
    match (bytes.get(at), bytes.get(at + 1)) {
        (Some(0xE2), Some(0x80 | 0x81))
        | (Some(0xE3), Some(0x80))
        | (Some(0xEF), Some(0xBC))
        | (Some(0xC2), Some(0x80..=0xBF)) => false,
        (Some(0x80..), _) => true,
        _ => false,
    }
}

pub(super) fn starts_escape(bytes: &[u8], at: usize) -> bool {
    escape(bytes, at).is_some()
}

/// `\u0061`, `\u{61}`, `\x61`, and what filters make of them (`\x0061`).
pub(in crate::xss) fn escape(bytes: &[u8], at: usize) -> Option<(u32, usize)> {
    let rest = bytes.get(at..)?;
    let (digits, skip, close): (&[u8], usize, usize) = match rest {
        [b'\\', b'u' | b'U', b'{', rest @ ..] => {
            let length = rest.iter().take(8).position(|byte| *byte == b'}')?;
            (rest.get(..length)?, 3, 1)
        }
        [b'\\', b'u' | b'U', rest @ ..] => (rest.get(..4)?, 2, 0),
        [b'\\', b'x' | b'X', b'0', b'0', rest @ ..] if rest.get(..2).is_some_and(all_hex) => {
            (rest.get(..2)?, 4, 0)
        }
        [b'\\', b'x' | b'X', rest @ ..] => (rest.get(..2)?, 2, 0),
        _ => return None,
    };
    if digits.is_empty() || !all_hex(digits) {
        return None;
    }
    let code =
        digits.iter().fold(0_u32, |code, digit| code << 4 | char::from(*digit).to_digit(16).unwrap_or(0));
    Some((code, at + skip + digits.len() + close))
}

fn all_hex(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_hexdigit)
}
