//! Character references (HTML 13.2.5.72), with or without their semicolon, and the other spellings of characters that
//! reach a page as markup: `\x3c` and `\u003c` in a script, UTF-7, look-alikes that old engines and best-fit conversions
//! map to `<`.

use super::script::escape;
use crate::ascii;
use crate::entity::reference;

/// What was undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Undone {
    /// Named references of markup: editors write them.
    pub named: bool,
    /// Anything that only somebody who hides writes: references by number of letters or of `<`.
    pub hidden: bool,
}

/// Undoes character references. `None` where there are none.
pub(super) fn references(bytes: &[u8]) -> Option<(Vec<u8>, Undone)> {
    let first = memchr::memchr_iter(b'&', bytes)
        .find(|at| reference(bytes.get(*at..).unwrap_or_default()).is_some())?;
    let (head, mut rest) = bytes.split_at_checked(first)?;
    let mut out = head.to_vec();
    let mut undone = Undone::default();
    while let Some((byte, after)) = rest.split_first() {
        if let Some((code, length, numeric)) = reference(rest) {
            push(&mut out, code);
            undone.hidden |= numeric && is_disguised(code);
            undone.named |= !numeric;
            let nested = rest.get(length..).is_some_and(|rest| code == 38 && is_unusual(rest));
            undone.hidden |= nested || !numeric && !is_usual(code);
            rest = rest.get(length..).unwrap_or_default();
        } else {
            out.push(*byte);
            rest = after;
        }
    }
    Some((out, undone))
}

/// Editors write these by name, and no others of markup.
fn is_usual(code: u32) -> bool {
    char::from_u32(code).is_some_and(|char| matches!(char, '<' | '>' | '&' | '"' | '\'' | ' '))
}

/// `&amp;lpar;`
fn is_unusual(rest: &[u8]) -> bool {
    [&b"lpar"[..], b"colon", b"rpar", b"newline"].iter().any(|name| ascii::starts(rest, name))
}

/// Letters need no reference, and editors write `&lt;` by name.
fn is_disguised(code: u32) -> bool {
    char::from_u32(code)
        .is_some_and(|char| char.is_ascii_alphanumeric() || matches!(char, '<' | '(' | ':' | '='))
}

fn push(out: &mut Vec<u8>, code: u32) {
    let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Whether [`spellings`] would change anything that matters: a `<`, a quote or a letter of a script.
pub(super) fn has_spellings(bytes: &[u8]) -> bool {
    let escaped = |at: usize| {
        escape(bytes, at).is_some_and(|(code, _)| matches!(code, 0x22 | 0x27 | 0x3A | 0x3C | 0xBC))
            || octal(bytes, at).is_some()
    };
    memchr::memchr_iter(b'\\', bytes).any(escaped)
        || memchr::memchr(0xBC, bytes).is_some()
        || memchr::memchr3(0xEF, 0xE3, 0xE2, bytes).is_some()
            && bytes.windows(3).any(|three| alike(three).is_some())
        || memchr::memchr3(0xC0, 0xAB, 0xBA, bytes).is_some()
            && bytes.windows(2).any(|two| matches!(two, [0xC0, 0xBC] | [0xC2, 0xAB]))
        || has_cdata(bytes)
        || memchr::memchr_iter(b'<', bytes).any(|at| tag_in_word(bytes, at).is_some())
        || utf7(bytes).is_some()
}

/// `o<x>nfocus`: a tag between letters, which filters take away.
fn tag_in_word(bytes: &[u8], at: usize) -> Option<usize> {
    let before = at.checked_sub(1).and_then(|at| bytes.get(at))?;
    let rest = bytes.get(at..)?.strip_prefix(b"<")?;
    let length = rest.iter().take(4).take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'/').count();
    let after = rest.get(length + 1)?;
    let is_inside = before.is_ascii_lowercase() && (after.is_ascii_lowercase() || *after == b'(');
    (length > 0 && rest.get(length) == Some(&b'>') && is_inside).then_some(length + 2)
}

/// Sections of XML: their text goes on as if they were not there.
fn has_cdata(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"<!-- -->").is_some()
        || memchr::memchr_iter(b'[', bytes)
            .any(|at| cdata(bytes.get(at.saturating_sub(2)..).unwrap_or_default()).is_some())
}

fn cdata(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'<', b'!', b'[', ..] if ascii::starts(rest, b"<![CDATA[") => Some(9),
        [b']', b']', b'>', ..] => Some(3),
        // A comment inside of an address of a data island.
        [b'<', b'!', b'-', b'-', b' ', b'-', b'-', b'>', ..] => Some(8),
        _ => None,
    }
}

/// Whether UTF-7 opens a tag, whose name follows at once, and closes it. Nobody writes that but old mail programs, and
/// they write the elements of a text.
pub(super) fn is_utf7_markup(bytes: &[u8]) -> bool {
    const OF_TEXT: &[&[u8]] = &[
        b"a",
        b"b",
        b"blockquote",
        b"br",
        b"code",
        b"div",
        b"em",
        b"font",
        b"h1",
        b"h2",
        b"h3",
        b"hr",
        b"i",
        b"li",
        b"ol",
        b"p",
        b"pre",
        b"span",
        b"strong",
        b"table",
        b"td",
        b"tr",
        b"u",
        b"ul",
    ];
    utf7(bytes).is_some_and(|at| {
        let rest = bytes.get(at + 4..).unwrap_or_default();
        let rest = rest.strip_prefix(b"/").unwrap_or(rest);
        let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let name = rest.get(..length).unwrap_or_default();
        let is_of_text = OF_TEXT.iter().any(|known| known.eq_ignore_ascii_case(name));
        let is_named = rest.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'!');
        is_named && !is_of_text && ascii::contains(rest, b"ad4-")
    })
}

/// Undoes `\x3c`, `\u003c`, `\74`, look-alikes and UTF-7.
pub(super) fn spellings(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    let is_utf7 = utf7(bytes).is_some();
    while let Some(byte) = bytes.get(at).copied() {
        let rest = bytes.get(at..).unwrap_or_default();
        if let Some((code, after)) = escape(bytes, at) {
            match code {
                0xBC => out.push(b'<'),
                0xBE => out.push(b'>'),
                0xA2 => out.push(b'"'),
                _ => push(&mut out, code),
            }
            at = after;
        } else if let Some((code, after)) = octal(bytes, at) {
            out.push(code);
            at = after;
        } else if let Some(length) = cdata(rest).or_else(|| tag_in_word(bytes, at)) {
            at += length;
        } else if let Some(char) = rest.get(..3).and_then(alike) {
            out.push(char);
            at += 3;
        } else if let [0xC0, 0xBC, ..] | [0xC2, 0xBC | 0xAB, ..] = rest {
            out.push(b'<');
            at += 2;
        } else if let [0xC0, 0xBE, ..] | [0xC2, 0xBE | 0xBB, ..] = rest {
            out.push(b'>');
            at += 2;
        } else if let [0xC2, 0xA2, ..] = rest {
            out.push(b'"');
            at += 2;
        } else if let (true, Some((char, length))) = (is_utf7, shifted(rest)) {
            out.extend_from_slice(char);
            at += length;
        } else {
            out.push(match byte {
                // US-ASCII read with eight bits.
                0xBC => b'<',
                0xBE => b'>',
                0xA2 => b'"',
                other => other,
            });
            at += 1;
        }
    }
    out
}

fn octal(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let before = at.checked_sub(1).and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_alphabetic);
    match bytes.get(at..)? {
        // `scr\0ipt`: NUL, which some engines leave out.
        [b'\\', b'0', letter, ..] if before && letter.is_ascii_alphabetic() => Some((*letter, at + 3)),
        [b'\\', b'7', b'4', ..] => Some((b'<', at + 3)),
        [b'\\', b'7', b'6', ..] => Some((b'>', at + 3)),
        [b'\\', b'0', b'7', b'4', ..] => Some((b'<', at + 4)),
        [b'\\', b'0', b'7', b'6', ..] => Some((b'>', at + 4)),
        _ => None,
    }
}

/// Full-width forms (U+FF01 to U+FF5E) and angle brackets that best-fit conversions turn into ASCII.
fn alike(three: &[u8]) -> Option<u8> {
    match *three {
        [0xEF, 0xBC, low @ 0x81..=0xBF] => Some(low - 0x81 + b'!'),
        [0xEF, 0xBD, low @ 0x80..=0x9E] => Some(low - 0x80 + b'`'),
        [0xE3, 0x80, 0x88] | [0xE2, 0x80, 0xB9] | [0xE2, 0x8C, 0xA9] | [0xEF, 0xB9, 0xA4] => Some(b'<'),
        [0xE3, 0x80, 0x89] | [0xE2, 0x80, 0xBA] | [0xE2, 0x8C, 0xAA] | [0xEF, 0xB9, 0xA5] => Some(b'>'),
        _ => None,
    }
}

/// Where UTF-7 (RFC 2152) writes `<`. A form has turned its `+` into a blank.
fn utf7(bytes: &[u8]) -> Option<usize> {
    memchr::memchr2_iter(b'A', b'a', bytes).find(|at| {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        let rest = bytes.get(*at..).unwrap_or_default();
        matches!(before, None | Some(b'+' | b' ' | b'&' | b'=' | b'"')) && ascii::starts(rest, b"adw-")
    })
}

fn shifted(rest: &[u8]) -> Option<(&'static [u8], usize)> {
    let (skip, rest) = match rest {
        [b'+' | b' ' | b'&', rest @ ..] => (1, rest),
        rest => (0, rest),
    };
    let four = rest.get(..4)?;
    let is = |known: &[u8]| four.eq_ignore_ascii_case(known);
    let char: &[u8] = match () {
        () if is(b"adw-") => b"<",
        () if is(b"ad4-") => b">",
        () if is(b"aci-") => b"\"",
        () if is(b"ac8-") => b"/",
        () if is(b"ad0-") => b"=",
        () => return None,
    };
    Some((char, skip + 4))
}
