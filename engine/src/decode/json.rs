//! Strings and keys of a JSON document, streamed: duplicate keys are seen, nothing is collected.

use serde::de::IgnoredAny;

use super::{Field, Visit};
use crate::finding::Part;
use crate::reason::Reason;

mod lenient;
mod walk;

use walk::Stop;

/// Whether it starts like a document with members.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['))
}

pub(super) fn is_valid(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

/// Yields keys and strings. Of a document that breaks off or is malformed, everything that looks like a string is
/// inspected, and the raw text, because the application may read it more leniently than we do.
pub(super) fn decode(bytes: &[u8], truncated: bool, visit: &mut dyn Visit) -> Result<(), Reason> {
    read(bytes, truncated, visit).map(drop)
}

/// The same; tells whether it is a document that we read to its end.
pub(super) fn read(bytes: &[u8], truncated: bool, visit: &mut dyn Visit) -> Result<bool, Reason> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let read = match visit.budget().enter_document() {
        Ok(()) => {
            let read = walk::walk(bytes, visit);
            visit.budget().leave_document();
            match read {
                Ok(()) => None,
                Err(Stop::Malformed) => Some(Reason::MalformedBody),
                Err(Stop::Because(Reason::TooDeep)) => Some(Reason::TooDeep),
                Err(Stop::Because(reason)) => return Err(reason),
            }
        }
        Err(reason) => Some(reason),
    };
    let Some(reason) = read else { return Ok(true) };
    if !truncated {
        visit.note(reason);
    }
    lenient::decode(bytes, visit)?;
    visit.field(&Field { part: Part::Text, name: b"", value: bytes })?;
    Ok(false)
}
