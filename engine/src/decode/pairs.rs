//! `name=value` pairs of a query or a form.

use std::borrow::Cow;

use super::{Field, Visit, json, percent};
use crate::finding::Part;
use crate::reason::Reason;

/// Which parts the names and values of a list of pairs are.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    name: Part,
    value: Part,
}

pub(super) const QUERY: Parts = Parts { name: Part::QueryName, value: Part::Query };
pub(super) const FORM: Parts = Parts { name: Part::FormName, value: Part::Form };

/// Times a value is decoded beyond the once that every application does. Attackers encode twice to pass a filter in
/// front of an application that decodes again.
const EXTRA_DECODINGS: usize = 2;

pub(super) fn decode(bytes: &[u8], parts: Parts, visit: &mut dyn Visit) -> Result<(), Reason> {
    for pair in bytes.split(|byte| *byte == b'&') {
        decode_pair(pair, parts, visit)?;
        // Some applications also split at semicolons; the whole was inspected above.
        if pair.contains(&b';') {
            for piece in pair.split(|byte| *byte == b';') {
                decode_pair(piece, parts, visit)?;
            }
        }
    }
    Ok(())
}

fn decode_pair(pair: &[u8], parts: Parts, visit: &mut dyn Visit) -> Result<(), Reason> {
    if pair.is_empty() {
        return Ok(());
    }
    let mut halves = pair.splitn(2, |byte| *byte == b'=');
    let raw_name = halves.next().unwrap_or_default();
    let name = percent::decode(raw_name, true);
    if let Some(value) = halves.next() {
        text(&Field { part: parts.name, name: b"", value: &name }, visit)?;
        let value = percent::decode(value, true);
        text(&Field { part: parts.value, name: &name, value: &value }, visit)
    } else {
        text(&Field { part: parts.value, name: b"", value: &name }, visit)
    }
}

/// Yields a decoded value, what it is when decoded again, and the members of the JSON document it may be.
pub(super) fn text(field: &Field<'_>, visit: &mut dyn Visit) -> Result<(), Reason> {
    if field.value.is_empty() {
        return Ok(());
    }
    visit.budget().decoded(field.value.len())?;
    if json::looks_like(field.value) && json::is_valid(field.value) {
        return json::decode(field.value, false, visit);
    }
    visit.field(field)?;
    let mut value = Cow::Borrowed(field.value);
    for _ in 0..EXTRA_DECODINGS {
        if !percent::is_encoded(&value) {
            return Ok(());
        }
        visit.budget().decoded(value.len())?;
        value = Cow::Owned(percent::decode(&value, true).into_owned());
        visit.field(&Field { value: &value, ..*field })?;
    }
    Ok(())
}

/// Whether a body without a type has the shape of a form: a name of ordinary characters, then `=`, and no white space.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    let name =
        bytes.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"_.-[]%+$".contains(byte)).count();
    name > 0
        && bytes.get(name) == Some(&b'=')
        && !bytes.trim_ascii_end().iter().any(|byte| matches!(byte, b'\n' | b' ' | b'\t'))
}
