//! What the binary formats begin with, raw, in hex and in base64, and objects in the format of PHP.

use super::gadgets::{DOTNET, JAVA, PHP, PICKLE, RUBY};
use crate::ascii;
use crate::detector::Rule;
use crate::finding::Confidence::{self, Certain, High, Medium};
use crate::marks::{Found, Place, lines, surer};
use crate::surroundings::Before;

/// Bytes of a format that are decoded to check it.
const HEAD: usize = 48;

pub(super) fn find(value: &[u8]) -> Option<Found> {
    let found = |rule: &'static Rule, confidence: Confidence, start: usize| {
        Some(Found { rule, confidence, start, end: (start + 64).min(value.len()) })
    };
    if let Some(at) = memchr::memmem::find(value, b"\xAC\xED\x00\x05")
        && value.get(at + 4).is_some_and(|byte| (0x70..=0x7E).contains(byte))
    {
        return found(&JAVA, Certain, at);
    }
    if value.starts_with(b"\x80") && is_pickle(value) {
        return found(&PICKLE, High, 0);
    }
    if value.starts_with(b"\x04\x08") && is_marshal(value) {
        return found(&RUBY, High, 0);
    }
    let hex = value.get(..10).filter(|start| ascii::starts(start, b"aced0005"));
    if hex.is_some_and(|start| start.get(8) == Some(&b'7')) {
        return found(&JAVA, High, 0);
    }
    surer(encoded(value), php(value))
}

/// Base64 that begins where a value, a word or an element begins.
fn encoded(value: &[u8]) -> Option<Found> {
    let mut best = None;
    for (start, rule) in [
        (&b"rO0AB"[..], &JAVA),
        (b"AAEAAAD/", &DOTNET),
        (b"gASV", &PICKLE),
        (b"gAJ", &PICKLE),
        (b"gAN", &PICKLE),
        (b"BAhv", &RUBY),
        (b"Tzo", &PHP),
    ] {
        // The first ones are enough: an attack needs one.
        for at in memchr::memmem::find_iter(value, start).take(4) {
            let last = at.checked_sub(1).and_then(|last| value.get(last));
            if last
                .is_some_and(|last| last.is_ascii_alphanumeric() || matches!(last, b'+' | b'/' | b'_' | b'-'))
            {
                continue;
            }
            let mut head = [0; HEAD];
            let length = decode(value.get(at..).unwrap_or_default(), &mut head);
            let head = head.get(..length).unwrap_or_default();
            let fits = match start {
                b"rO0AB" => {
                    head.starts_with(b"\xAC\xED\x00\x05")
                        && head.get(4).is_some_and(|byte| (0x70..=0x7E).contains(byte))
                }
                b"AAEAAAD/" => head.starts_with(b"\x00\x01\x00\x00\x00\xFF\xFF\xFF\xFF\x01\x00\x00\x00"),
                b"BAhv" => is_marshal(head),
                b"Tzo" => object(head, true).is_some(),
                _ => is_pickle(head),
            };
            if fits {
                let found = Found { rule, confidence: High, start: at, end: (at + 64).min(value.len()) };
                best = surer(best, Some(found));
            }
        }
    }
    best
}

/// How much of the head there is.
fn decode(text: &[u8], head: &mut [u8; HEAD]) -> usize {
    let mut bits = 0_u32;
    let mut count = 0_u32;
    let mut length = 0;
    for byte in text {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' | b' ' => 62,
            b'/' | b'_' => 63,
            _ => break,
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            let Some(free) = head.get_mut(length) else { break };
            *free = u8::try_from(bits >> count & 0xFF).unwrap_or_default();
            length += 1;
        }
    }
    length
}

/// Protocol 2 to 5 with a frame or with what a pickle that runs something begins with.
fn is_pickle(head: &[u8]) -> bool {
    match head {
        [0x80, 4 | 5, 0x95, _, _, _, _, 0, 0, 0, 0, rest @ ..] => !rest.is_empty(),
        [0x80, 2 | 3, b'c', rest @ ..] => memchr::memchr(b'\n', rest).is_some(),
        _ => false,
    }
}

/// An object: version 4.8, `o`, `:`, the length of its class and a capital letter.
fn is_marshal(head: &[u8]) -> bool {
    matches!(head, [4, 8, b'o', b':', length, b'A'..=b'Z', ..] if *length > 5)
        || matches!(head, [4, 8, b'[', _, b'c' | b'o' | b'I' | b'U', ..])
}

/// `O:4:"Name":1:{`, where the name is as long as it says.
fn php(value: &[u8]) -> Option<Found> {
    let mut counted = None;
    for at in memchr::memmem::find_iter(value, b":\"").take(256) {
        let before = value.get(..at)?;
        let digits = before.iter().rev().take(5).take_while(|byte| byte.is_ascii_digit()).count();
        let signed = usize::from(before.get(..at - digits).is_some_and(|before| before.ends_with(b"+")));
        let Some(start) = (at - digits).checked_sub(2 + signed).filter(|_| digits > 0) else { continue };
        let Some(text) = value.get(start..) else { continue };
        // `+` in front of the length is an evasion of filters.
        let last = start.checked_sub(1).and_then(|last| value.get(last));
        if last.is_some_and(u8::is_ascii_alphanumeric) {
            continue;
        }
        if let Some(exact) = object(text, false) {
            let place = Place {
                before: Before::new(value).upto(start),
                lines: *counted.get_or_insert_with(|| lines(value)),
            };
            let confidence = if exact { place.lower(Certain) } else { place.lower(High) };
            let confidence = if start == 0 { confidence.max(High) } else { confidence };
            return Some(Found {
                rule: &PHP,
                confidence: confidence.max(Medium),
                start,
                end: (start + 64).min(value.len()),
            });
        }
    }
    None
}

/// Whether the text is an object, and its name as long as it says. `cut`: only the start is there.
fn object(text: &[u8], cut: bool) -> Option<bool> {
    let rest = text.strip_prefix(b"O:").or_else(|| text.strip_prefix(b"C:"))?;
    let rest = rest.strip_prefix(b"+").unwrap_or(rest);
    let digits = rest.iter().take(5).take_while(|byte| byte.is_ascii_digit()).count();
    let length = rest.get(..digits)?.iter().fold(0_usize, |sum, digit| sum * 10 + usize::from(digit - b'0'));
    let rest = rest.get(digits..)?.strip_prefix(b":\"")?;
    let quote = memchr::memchr(b'"', rest.get(..200).unwrap_or(rest));
    let Some(quote) = quote else { return (cut && digits > 0 && rest.len() < length).then_some(true) };
    let name = rest.get(..quote)?;
    let is_class =
        name.first().is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'\\'))
            && name
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'\\') || *byte >= 0x80);
    let behind = rest.get(quote + 1..)?.strip_prefix(b":")?;
    let count = behind.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
    let opens = behind.get(count..)?.starts_with(b":{") || cut && behind.len() <= count + 1;
    (is_class && count > 0 && opens && digits > 0).then_some(name.len() == length)
}
