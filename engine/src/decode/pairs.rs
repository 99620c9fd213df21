//! `name=value` pairs of a query or a form.

use super::{Field, Visit, graphql, json, percent};
use crate::finding::Part;
use crate::lookup::Lookup;
use crate::reason::Reason;

/// Which parts the names and values of a list of pairs are.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    pub name: Part,
    pub value: Part,
}

pub(super) const QUERY: Parts = Parts { name: Part::QueryName, value: Part::Query };
pub(super) const FORM: Parts = Parts { name: Part::FormName, value: Part::Form };

pub(super) fn decode(bytes: &[u8], parts: Parts, visit: &mut dyn Visit) -> Result<(), Reason> {
    let mut buffers = Buffers::default();
    let semicolons = memchr::memchr(b';', bytes).is_some();
    let mut rest = Some(bytes);
    while let Some(pairs) = rest {
        let end = memchr::memchr(b'&', pairs);
        let pair = end.and_then(|end| pairs.get(..end)).unwrap_or(pairs);
        rest = end.and_then(|end| pairs.get(end + 1..));
        decode_pair(pair, parts, &mut buffers, visit)?;
        // Some applications also split at semicolons; the whole was inspected above.
        if semicolons && pair.contains(&b';') {
            for piece in pair.split(|byte| *byte == b';') {
                decode_pair(piece, parts, &mut buffers, visit)?;
            }
        }
    }
    Ok(())
}

/// Reused for all pairs, so that a message costs two allocations and not two a pair.
#[derive(Default)]
struct Buffers {
    name: Vec<u8>,
    value: Vec<u8>,
}

fn decode_pair(
    pair: &[u8],
    parts: Parts,
    buffers: &mut Buffers,
    visit: &mut dyn Visit,
) -> Result<(), Reason> {
    let mut halves = pair.splitn(2, |byte| *byte == b'=');
    let name = percent::decode(halves.next().unwrap_or_default(), true, &mut buffers.name);
    text(&Field { part: parts.name, name: b"", value: name }, visit)?;
    let Some(value) = halves.next() else { return Ok(()) };
    // `?1'+or+1=1` has no name: some applications read the whole query, and the `=` is the attacker's.
    if NO_NAME.any(name) {
        let whole = percent::decode(pair, true, &mut buffers.value);
        text(&Field { part: parts.name, name: b"", value: whole }, visit)?;
    }
    let value = percent::decode(value, true, &mut buffers.value);
    text(&Field { part: parts.value, name, value }, visit)
}

/// Yields a decoded value, or the members of the JSON document it may be.
pub(super) fn text(field: &Field<'_>, visit: &mut dyn Visit) -> Result<(), Reason> {
    if field.value.is_empty() {
        return Ok(());
    }
    visit.budget().decoded(field.value.len())?;
    if field.name == b"query" && graphql::looks_like(field.value) {
        graphql::decode(field.value, visit)?;
    }
    if json::looks_like(field.value) {
        visit.budget().work(field.value.len())?;
        if json::is_valid(field.value) {
            return json::decode(field.value, false, visit);
        }
    }
    visit.field(field)
}

/// What names do not have: neither letters nor digits, nor `_.-[]:$@!~/{}`.
static NO_NAME: Lookup<bool> = Lookup::of(
    b"\0\x01\x02\x03\x04\x05\x06\x07\x08\t\n\x0B\x0C\r\x0E\x0F\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1A\x1B\x1C\x1D\x1E\x1F\x7F\
    \"#%&'()*+,;<=>?\\^`| ",
);

/// Whether a body without a type has the shape of a form: a name of ordinary characters, then `=`, and no white space.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    starts_like(bytes) && !bytes.trim_ascii_end().iter().any(|byte| matches!(byte, b'\n' | b' ' | b'\t'))
}

/// Whether it starts like a form: a name of ordinary characters, then `=`.
pub(super) fn starts_like(bytes: &[u8]) -> bool {
    let name =
        bytes.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"_.-[]%+$".contains(byte)).count();
    name > 0 && bytes.get(name) == Some(&b'=')
}

#[cfg(test)]
mod tests {
    use super::NO_NAME;

    #[test]
    fn a_name_has_letters_digits_and_some_punctuation() {
        for byte in 0..=255_u8 {
            let is_name = byte.is_ascii_alphanumeric() || b"_.-[]:$@!~/{}".contains(&byte) || byte >= 0x80;
            assert_eq!(NO_NAME.one(byte), !is_name, "{byte}");
        }
    }
}
