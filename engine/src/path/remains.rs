//! Values that are a path as a whole and hold no climb that can be counted: dots and separators that a filter or a file system
//! makes into one, names that fill a path up, and what a filter left of a path. Called by [`super::detect`] after what is
//! surer.

use super::{DISGUISED, FILLED, Found};
use crate::ascii;
use crate::finding::Confidence::High;
use crate::finding::Part;

/// `./\\/././a`, `/......a`, `././././a`: dots and separators that a filter or a file system makes into something else.
pub(super) fn dots(part: Part, value: &[u8], blanks: usize) -> Option<Found> {
    let is_read = part.is_parameter_or_file() || part == Part::Json;
    if !is_read || part == Part::Path {
        return None;
    }
    let rest = value.get(blanks..)?;
    let length = rest.iter().take_while(|byte| matches!(byte, b'.' | b'/' | b'\\')).count();
    let (run, name) = rest.split_at_checked(length)?;
    let is_one = name.len() < 64 && !name.iter().any(u8::is_ascii_whitespace);
    if length < 5 || name.is_empty() || !is_one {
        return None;
    }
    let has = |part: &[u8]| memchr::memmem::find(run, part).is_some();
    let is_mixed = has(b"./\\") || has(b".\\/");
    let stays = memchr::memmem::find_iter(run, b"./.").take(3).count() == 3;
    let is_long = has(b"/....") || has(b"\\....");
    let is_odd = if part == Part::Json { is_mixed } else { is_mixed || stays || is_long };
    is_odd.then_some(Found { rule: DISGUISED, confidence: High, start: blanks, end: blanks + length })
}

/// `..;.\.;\.`: steps with all the marks that end a segment somewhere, and nothing else.
pub(super) fn steps(part: Part, value: &[u8], blanks: usize) -> Option<Found> {
    let rest = value.get(blanks..)?.trim_ascii_end();
    let is_step = |byte: &u8| matches!(byte, b'.' | b';' | b'/' | b'\\');
    let is_read = part.is_parameter_or_file() && part != Part::Path;
    let has = |piece: &[u8]| memchr::memmem::find(rest, piece).is_some();
    let is_one = (6..64).contains(&rest.len()) && rest.iter().all(is_step) && has(b"..;") && has(b"\\");
    (is_read && is_one).then_some(Found {
        rule: DISGUISED,
        confidence: High,
        start: blanks,
        end: value.len(),
    })
}

/// `aaaa(..)/../a`, `aaaa(..)....a`: a name as long as no name is, of one letter, and dots behind it.
pub(super) fn filled(value: &[u8], blanks: usize) -> Option<Found> {
    let rest = value.get(blanks..).filter(|rest| rest.len() > LONGEST_NAME)?;
    let separators = rest.iter().take(4).take_while(|byte| matches!(byte, b'/' | b'\\')).count();
    let text = rest.get(separators..)?;
    let first = text.first().filter(|byte| byte.is_ascii_alphanumeric())?;
    let length = text.iter().take_while(|byte| *byte == first).count();
    let behind = text.get(length..)?;
    let behind = behind.strip_prefix(b"/").or_else(|| behind.strip_prefix(b"\\")).unwrap_or(behind);
    (length >= LONGEST_NAME && behind.starts_with(b"..")).then_some(Found {
        rule: FILLED,
        confidence: High,
        start: blanks,
        end: value.len(),
    })
}

const LONGEST_NAME: usize = 128;

/// `........etcpasswd`, `c:windowswin.ini`: a path of which a filter took the separators away.
pub(super) fn left_over(part: Part, value: &[u8], blanks: usize) -> Option<Found> {
    const NAMES: &[&str] = &[
        "etcpasswd",
        "etcshadow",
        "etchosts",
        "web-infweb.xml",
        "web-inf/web.xml",
        "boot.ini",
        "oot.ini",
        "windowswin.ini",
        "windowssystem32",
        "winntwin.ini",
        "inetpubwwwroot",
    ];
    if !part.is_parameter_or_file() || part == Part::Path || value.len() > LONGEST_NAME {
        return None;
    }
    let rest = value.get(blanks..)?;
    let dots = rest.iter().take_while(|byte| **byte == b'.').count();
    let name = match rest {
        [drive, b':', name @ ..] if drive.is_ascii_alphabetic() => name,
        _ if dots >= 4 && dots.is_multiple_of(2) => rest.get(dots..)?,
        _ => return None,
    };
    NAMES.iter().any(|known| ascii::starts(name, known.as_bytes())).then_some(Found {
        rule: DISGUISED,
        confidence: High,
        start: blanks,
        end: value.len(),
    })
}
