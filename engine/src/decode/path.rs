//! Segments of a path.

use super::{Field, Visit, pairs, percent};
use crate::finding::Part;
use crate::reason::Reason;

pub(super) fn decode(path: &[u8], visit: &mut dyn Visit) -> Result<(), Reason> {
    let mut buffer = Vec::new();
    for segment in path.split(|byte| *byte == b'/') {
        let value = percent::decode(segment, false, &mut buffer);
        pairs::text(&Field { part: Part::Path, name: b"", value }, visit)?;
    }
    let decoded = percent::decode(path, false, &mut buffer);
    let Some(tail) = spanning(decoded) else { return Ok(()) };
    pairs::text(&Field { part: Part::Path, name: b"", value: tail }, visit)
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
