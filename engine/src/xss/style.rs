//! Style sheets that run scripts or load behaviour: `expression()`, bindings, behaviours, addresses with a script.
//! Escapes and comments (CSS Syntax 4.3) are undone first.

use super::script::{self, Start};
use crate::ascii;
use crate::finding::Confidence::{self, High, Medium};

/// How sure it is that a style runs a script.
pub(super) fn weigh(text: &[u8]) -> Option<Confidence> {
    let plain = plain(text);
    let holds = |part: &[u8]| memchr::memmem::find(&plain, part).is_some();
    if [&b"expression("[..], b"javascript:", b"vbscript:", b"livescript:", b"-moz-binding", b"mocha:"]
        .iter()
        .any(|part| holds(part))
    {
        return Some(High);
    }
    // `@\69mport`: whoever escapes the name of a rule hides it.
    if text.windows(2).any(|two| two == b"@\\") {
        return Some(High);
    }
    if holds(b"behavior:") || holds(b"behaviour:") {
        return Some(if holds(b"url(") { High } else { Medium });
    }
    if holds(b"@import")
        || holds(b"binding:url(")
        || [&b"<img"[..], b"<svg", b"<script"].iter().any(|tag| holds(tag))
    {
        return Some(High);
    }
    None
}

/// How sure it is of a value that may be a style, or hold one.
pub(super) fn weigh_value(value: &[u8]) -> Option<Confidence> {
    let has = |word: &[u8]| ascii::contains(value, word);
    if memchr::memchr(b'(', value).is_none() || !(has(b"url") || has(b"pression") || has(b"binding")) {
        return None;
    }
    let plain = plain(value);
    let holds = |part: &[u8]| memchr::memmem::find(&plain, part).is_some();
    let loads = holds(b"-moz-binding:url(")
        || holds(b"behavior:url(")
        || holds(b"url(javascript:")
        || holds(b":url(javascript");
    let runs = memchr::memmem::find(&plain, b":expression(").is_some_and(|at| {
        let code = plain.get(at + b":expression(".len()..).unwrap_or_default();
        let reading = script::read(code, 0, Start::Statement);
        reading.attacks() || reading.sensitive && reading.hostile
    });
    (loads || runs).then_some(High)
}

/// Lower case, without white space, comments, escapes and controls.
fn plain(text: &[u8]) -> Vec<u8> {
    let text = text.get(..LONGEST).unwrap_or(text);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = match rest {
            [b'/', b'*', comment @ ..] => {
                let length = memchr::memchr_iter(b'*', comment).find(|at| comment.get(at + 1) == Some(&b'/'));
                length.and_then(|length| comment.get(length + 2..)).unwrap_or_default()
            }
            // Inside of a text there are no comments.
            [quote @ (b'"' | b'\''), text @ ..]
                if memchr::memchr(*quote, text).is_some_and(|length| length < 64) =>
            {
                let length = memchr::memchr(*quote, text).unwrap_or(0);
                out.extend(text.iter().take(length).map(u8::to_ascii_lowercase).filter(u8::is_ascii_graphic));
                text.get(length + 1..).unwrap_or_default()
            }
            [b'\\', escaped @ ..] => {
                let escaped = escaped.strip_prefix(b"x").unwrap_or(escaped);
                let length = escaped.iter().take(6).take_while(|byte| byte.is_ascii_hexdigit()).count();
                let digits = escaped.get(..length).unwrap_or_default();
                let code = digits
                    .iter()
                    .fold(0_u32, |code, digit| code << 4 | char::from(*digit).to_digit(16).unwrap_or(0));
                if length > 0 && (0x20..0x7F).contains(&code) {
                    out.push(u8::try_from(code).unwrap_or(b' ').to_ascii_lowercase());
                }
                escaped.get(length..).unwrap_or_default()
            }
            _ => {
                if byte.is_ascii_graphic() {
                    out.push(byte.to_ascii_lowercase());
                }
                after
            }
        };
    }
    out
}

const LONGEST: usize = 4096;
