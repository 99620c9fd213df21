//! Segments of a path.

use super::{Field, Visit, pairs, percent};
use crate::ascii;
use crate::finding::Part;
use crate::reason::Reason;

pub(super) fn decode(path: &[u8], visit: &mut dyn Visit) -> Result<(), Reason> {
    let mut buffer = Vec::new();
    for segment in path.split(|byte| *byte == b'/') {
        let value = percent::decode(segment, false, &mut buffer);
        pairs::text(&Field { part: Part::Path, name: b"", value }, visit)?;
        if segment.contains(&b';') {
            matrix(segment, &mut buffer, visit)?;
        }
    }
    let decoded = percent::decode(path, false, &mut buffer);
    if is_walk(decoded) {
        pairs::text(&Field { part: Part::Path, name: b"", value: decoded }, visit)?;
    }
    let Some(tail) = spanning(decoded) else { return Ok(()) };
    pairs::text(&Field { part: Part::Path, name: b"", value: tail }, visit)
}

/// A segment without its parameters, and their values (RFC 3986 section 3.3): `/cars;colour=red;year=2026`.
fn matrix(segment: &[u8], buffer: &mut Vec<u8>, visit: &mut dyn Visit) -> Result<(), Reason> {
    for piece in segment.split(|byte| *byte == b';') {
        let mut halves = piece.splitn(2, |byte| *byte == b'=');
        let first = halves.next().unwrap_or_default();
        let (name, value) = halves.next().map_or((&b""[..], first), |value| (first, value));
        let value = percent::decode(value, false, buffer);
        pairs::text(&Field { part: Part::Path, name, value }, visit)?;
    }
    Ok(())
}

/// Whether the segments may only mean something together, as the path of a file: it goes up, has separators or dots
/// that are written otherwise, holds the name of a directory of the system or one that is hidden, or ends as a copy or a
/// dump does.
fn is_walk(path: &[u8]) -> bool {
    const DIRECTORIES: &[&[u8]] =
        &[b"/etc/", b"/proc/", b"/winnt/", b"/windows/", b"/web-inf", b"/meta-inf", b"/0x2e", b"/cvs/"];
    let is_odd = |byte: &u8| matches!(byte, b'\\' | b'%' | 0 | 0xC0 | 0xC1 | 0xE0 | 0xEF | 0xF0);
    let begins = |rest: &[u8], known: &[u8]| ascii::starts(rest, known);
    path.iter().any(is_odd)
        || memchr::memchr_iter(b'.', path).any(|at| path.get(at + 1) == Some(&b'.'))
        || memchr::memchr_iter(b'/', path).any(|at| {
            let rest = path.get(at..).unwrap_or_default();
            DIRECTORIES.iter().any(|known| begins(rest, known)) || is_hidden(rest)
        })
        || is_left_over(path)
        || memchr::memmem::find(path, b"~/").is_some()
}

/// A segment that begins with a dot, but for the one that is there to be asked for (RFC 8615).
fn is_hidden(rest: &[u8]) -> bool {
    matches!(rest, [b'/', b'.', first, ..] if first.is_ascii_alphanumeric())
        && !rest.starts_with(b"/.well-known/")
}

/// It ends as what an editor, a backup or a dump of a database leaves.
fn is_left_over(path: &[u8]) -> bool {
    const ENDS: &[&[u8]] = &[
        b"~", b".bak", b".old", b".save", b".swp", b".swo", b".orig", b".copy", b".backup", b".bkp", b".tmp",
        b".1", b".sql", b".mdb", b".sqlite", b".rdb", b".log", b".pem",
    ];
    let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    ENDS.iter().any(|end| ascii::ends(path, end)) || ascii::contains(last, b".sql.")
}

/// The tail of a path from the segment before the first one that holds SQL punctuation, where a value may hold a slash
/// itself: `/item/1/**/or/**/1=1`.
fn spanning(path: &[u8]) -> Option<&[u8]> {
    let mark = path.iter().position(|byte| matches!(byte, b'*' | b'\'' | b'"' | b'(' | b';'))?;
    let before = path.get(..mark)?;
    let mut slashes =
        before.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/').map(|(index, _)| index);
    let _own = slashes.next();
    let start = slashes.next().map_or(0, |index| index + 1);
    path.get(start..)
}
