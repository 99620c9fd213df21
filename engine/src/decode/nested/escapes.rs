//! Undoes every escape in a value once, of whatever kind: what comes out is not looked at again. Linear: one pass, and
//! one look at the whole value where a character may be folded or a NUL be left out.

use super::super::percent::hex;
use super::fit;
use super::layers::Step;
use super::utf7;
use crate::entity;
use crate::finding::Encodings;
use crate::lookup::Lookup;

/// Bytes that every escape begins with: `%`, `\`, `&`, `+` of UTF-7 and for blanks, NUL, and the first byte of
/// characters that are folded or encoded longer than they are.
pub(super) const MARKS: &[u8] = b"%\\&+\0\xC0\xC1\xC5\xCA\xCD\xE0\xE2\xE3\xEF\xF0";

const IS_MARK: Lookup<bool> = Lookup::of(MARKS);

/// One escape.
struct Escape {
    encoding: Encodings,
    length: usize,
    /// Nothing where it is left out.
    meant: Meant,
}

enum Meant {
    Nothing,
    Byte(u8),
    Char(u32),
    /// Of UTF-7.
    Text(Vec<u8>),
}

/// What was seen on the way.
#[derive(Default)]
struct Seen {
    encodings: Encodings,
    /// Letters and digits that were escaped by percent.
    needless: usize,
    /// References that no editor writes.
    hidden_references: bool,
    folds: Option<bool>,
    drops_nul: Option<bool>,
}

/// The value with its escapes undone, in the buffer; `None` where it has none.
pub(super) fn decode(value: &[u8], buffer: &mut Vec<u8>) -> Option<Step> {
    buffer.clear();
    let mut seen = Seen::default();
    let (mut at, mut copied) = (0, 0);
    while let Some(plain) = value.get(at..).and_then(|rest| rest.iter().position(|byte| IS_MARK.one(*byte))) {
        at += plain;
        let Some(escape) = escape(value, value.get(at..).unwrap_or_default(), &mut seen) else {
            at += 1;
            continue;
        };
        // Nothing is copied before there is a reason to.
        buffer.extend_from_slice(value.get(copied..at).unwrap_or_default());
        seen.encodings = seen.encodings | escape.encoding;
        push(escape.meant, buffer);
        at += escape.length;
        copied = at;
    }
    if seen.encodings.is_empty() {
        return None;
    }
    buffer.extend_from_slice(value.get(copied..).unwrap_or_default());
    // Editors write `&lt;` for what is text, and a page shows it as text.
    let is_doubtful = seen.encodings == Encodings::HTML && !seen.hidden_references;
    let is_disguised = seen.needless >= 2 && seen.needless * 16 >= value.len();
    Some(Step { is_doubtful, is_disguised, ..Step::of(seen.encodings) })
}

fn push(meant: Meant, buffer: &mut Vec<u8>) {
    match meant {
        Meant::Nothing => {}
        Meant::Byte(byte) => buffer.push(byte),
        Meant::Char(code) => {
            let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            buffer.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        }
        Meant::Text(text) => buffer.extend_from_slice(&text),
    }
}

/// The escape at the start of `rest`, which is the end of `value`.
fn escape(value: &[u8], rest: &[u8], seen: &mut Seen) -> Option<Escape> {
    match rest {
        [b'%', ..] => percent(rest, seen),
        [b'\\', ..] => backslash(rest),
        [b'&', b'#' | b'a'..=b'z' | b'A'..=b'Z', ..] => reference(rest, seen),
        [b'+', b'A', ..] => utf7::decode(rest).map(|(text, length)| Escape {
            encoding: Encodings::UTF7,
            length,
            meant: Meant::Text(text),
        }),
        [0, ..] => {
            let drops = *seen.drops_nul.get_or_insert_with(|| is_text_with_nul(value));
            drops.then_some(Escape { encoding: Encodings::NUL, length: 1, meant: Meant::Nothing })
        }
        [0x80..=0xFF, ..] => unicode(value, rest, seen),
        _ => None,
    }
}

fn percent(rest: &[u8], seen: &mut Seen) -> Option<Escape> {
    let escape = |length, meant| Some(Escape { encoding: Encodings::PERCENT, length, meant });
    match rest {
        [_, b'u' | b'U', digits @ ..] => escape(6, Meant::Char(number(digits, 4)?)),
        [_, digits @ ..] => {
            let byte = u8::try_from(number(digits, 2)?).ok()?;
            seen.needless += usize::from(byte.is_ascii_alphanumeric());
            escape(3, Meant::Byte(byte))
        }
        [] => None,
    }
}

/// `\u0027`, `\u{27}`, `\x27`, `\047`, where it stands for a character of ASCII: in a regular expression and in the
/// name of a file it does not.
fn backslash(rest: &[u8]) -> Option<Escape> {
    let (code, length) = match rest.get(1..)? {
        [b'u', b'{', digits @ ..] => {
            let count = digits.iter().take(6).take_while(|byte| hex(**byte).is_some()).count();
            (digits.get(count) == Some(&b'}')).then_some((number(digits, count)?, 4 + count))?
        }
        [b'u' | b'U', digits @ ..] => (number(digits, 4)?, 6),
        [b'x' | b'X', digits @ ..] => (number(digits, 2)?, 4),
        [a @ b'0'..=b'1', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
            let digit = |byte: &u8| u32::from(byte - b'0');
            (digit(a) << 6 | digit(b) << 3 | digit(c), 4)
        }
        _ => return None,
    };
    let is_text = matches!(code, 0x20..=0x7E | 9 | 10 | 13) || fit::fit(code).is_some();
    is_text.then_some(Escape { encoding: Encodings::BACKSLASH, length, meant: Meant::Char(code) })
}

fn number(digits: &[u8], count: usize) -> Option<u32> {
    let digits = digits.get(..count).filter(|digits| !digits.is_empty())?;
    digits.iter().try_fold(0, |number, byte| Some(number << 4 | u32::from(hex(*byte)?)))
}

fn reference(rest: &[u8], seen: &mut Seen) -> Option<Escape> {
    let (code, length, numeric) = entity::reference(rest)?;
    // What escapes markup for a page writes these, and letters of other languages.
    let is_usual = match code {
        0x22 | 0x26 | 0x27 | 0x3C | 0x3E | 0xA0 | 0x20 if !numeric => true,
        0x22 | 0x26 | 0x27 | 0x2F | 0x3C | 0x3D | 0x3E | 0x60 => numeric,
        _ => code > 0x7F,
    };
    seen.hidden_references |= !is_usual;
    Some(Escape { encoding: Encodings::HTML, length, meant: Meant::Char(code) })
}

/// Characters that are folded into ASCII, and ASCII in more bytes than it takes (RFC 3629 section 10).
fn unicode(value: &[u8], rest: &[u8], seen: &mut Seen) -> Option<Escape> {
    let tail = |byte: &u8| u32::from(byte & 0x3F);
    let is_tail = |byte: &u8| byte & 0xC0 == 0x80;
    let overlong = match rest {
        [first @ (0xC0 | 0xC1), a, ..] if is_tail(a) => Some((u32::from(first & 1) << 6 | tail(a), 2)),
        [0xE0, a @ (0x80 | 0x81), b, ..] if is_tail(b) => Some((tail(a) << 6 | tail(b), 3)),
        [0xF0, 0x80, a @ (0x80 | 0x81), b, ..] if is_tail(b) => Some((tail(a) << 6 | tail(b), 4)),
        _ => None,
    };
    if let Some((code, length)) = overlong {
        return Some(Escape { encoding: Encodings::UNICODE, length, meant: Meant::Char(code) });
    }
    let (code, length) = fit::first(rest)?;
    let byte = fit::fit(code)?;
    let folds = *seen.folds.get_or_insert_with(|| fit::is_disguise(value));
    folds.then_some(Escape { encoding: Encodings::UNICODE, length, meant: Meant::Byte(byte) })
}

/// Text between whose letters NULs stand, singly or as in UTF-16, and not a piece of something binary.
fn is_text_with_nul(value: &[u8]) -> bool {
    let is_control = |byte: u8| byte < b' ' && !matches!(byte, 0 | b'\t' | b'\n' | b'\r');
    let (nuls, controls) = value.iter().fold((0, 0), |(nuls, controls), byte| {
        (nuls + usize::from(*byte == 0), controls + usize::from(is_control(*byte)))
    });
    controls == 0 && nuls * 2 <= value.len() + 1
}
