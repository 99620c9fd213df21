//! `name=value` pairs of a query or a form, a block at a time (`prefilter::Cursor`). Pairs that nothing looks at are not
//! even decoded.

use super::{Field, Visit, graphql, json, percent};
use crate::budget::Passed;
use crate::finding::Part;
use crate::lookup::Lookup;
use crate::prefilter::{Cursor, Ends, Glance};
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
    let (cursor, may_pass) = (Cursor::new(bytes, Ends::Form), visit.may_pass());
    let mut pairs = Pairs {
        bytes,
        cursor,
        may_pass,
        passed: Passed::default(),
        parts,
        buffers: Buffers::default(),
        visit,
    };
    let read = pairs.all();
    pairs.draw()?;
    read
}

struct Pairs<'a, 'v> {
    bytes: &'a [u8],
    cursor: Cursor<'a>,
    may_pass: bool,
    /// Not drawn on the budget yet.
    passed: Passed,
    parts: Parts,
    buffers: Buffers,
    visit: &'v mut dyn Visit,
}

/// Reused for all pairs, so that a message costs two allocations and not two a pair.
#[derive(Default)]
struct Buffers {
    name: Vec<u8>,
    value: Vec<u8>,
}

/// A half of a pair as it came, and what is in it.
type Half<'a> = (&'a [u8], Glance);

impl<'a> Pairs<'a, '_> {
    fn all(&mut self) -> Result<(), Reason> {
        let mut at = 0;
        loop {
            let (name, mut end) = self.half(at);
            let mut value = None;
            if self.bytes.get(end) == Some(&b'=') {
                let half;
                (half, end) = self.half(end + 1);
                value = Some(half);
            }
            // A second `=` belongs to the value.
            let is_more = self.bytes.get(end) == Some(&b'=');
            if is_more {
                let rest = self.bytes.get(end..).unwrap_or_default();
                end += memchr::memchr(b'&', rest).unwrap_or(rest.len());
            }
            if is_more || !self.passes(name, value) {
                self.draw()?;
                self.pair(self.bytes.get(at..end).unwrap_or_default())?;
            }
            if end >= self.bytes.len() {
                return Ok(());
            }
            at = end + 1;
        }
    }

    /// What stands between here and the next mark, and where that is.
    #[inline]
    fn half(&mut self, at: usize) -> (Half<'a>, usize) {
        let (end, glance) = self.cursor.piece(at);
        ((self.bytes.get(at..end).unwrap_or_default(), glance), end)
    }

    /// What was passed until now.
    fn draw(&mut self) -> Result<(), Reason> {
        self.visit.budget().passed(std::mem::take(&mut self.passed))
    }

    /// Whether nothing looks at the halves of a pair: none has an escape, and the name is one.
    fn passes(&mut self, (name, glance): Half<'_>, value: Option<Half<'_>>) -> bool {
        if !self.may_pass
            || glance.has(Glance::BLANK)
            || !self.cursor.passes(name, glance)
            || name == b"query"
            || NO_NAME.any(name)
            || self.visit.looks_at(name)
        {
            return false;
        }
        let (value, glance) = value.unwrap_or_default();
        if glance.has(Glance::DIRTY) {
            return memchr::memchr(b'%', value).is_some()
                && memchr::memchr(b';', value).is_none()
                && self.passes_decoded(name, value);
        }
        let spaced = if glance.has(Glance::BLANK) { self.buffers.spaced(value) } else { value };
        if !self.cursor.passes(spaced, glance) {
            return false;
        }
        for half in [name, value].into_iter().filter(|half| !half.is_empty()) {
            self.passed.value(half);
        }
        true
    }

    /// The same for a value that has an escape, behind a name that nothing looks at.
    fn passes_decoded(&mut self, name: &[u8], value: &[u8]) -> bool {
        let value = percent::decode(value, true, &mut self.buffers.value);
        let mut cursor = Cursor::new(value, Ends::Json);
        // Where it does not reach the end, something looks at the mark that it stopped at.
        let (end, glance) = cursor.piece(0);
        let passes = end == value.len() && cursor.passes(value, glance);
        if passes {
            for half in [name, value].into_iter().filter(|half| !half.is_empty()) {
                self.passed.value(half);
            }
        }
        passes
    }

    /// Some applications also split at semicolons; the whole is read first.
    fn pair(&mut self, pair: &[u8]) -> Result<(), Reason> {
        let Self { parts, buffers, visit, .. } = self;
        decode_pair(pair, *parts, buffers, *visit)?;
        if memchr::memchr(b';', pair).is_some() {
            for piece in pair.split(|byte| *byte == b';') {
                decode_pair(piece, *parts, buffers, *visit)?;
            }
        }
        Ok(())
    }
}

impl Buffers {
    /// With blanks for plus signs.
    fn spaced(&mut self, value: &[u8]) -> &[u8] {
        self.value.clear();
        self.value.extend(value.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }));
        &self.value
    }
}

fn decode_pair(
    pair: &[u8],
    parts: Parts,
    buffers: &mut Buffers,
    visit: &mut dyn Visit,
) -> Result<(), Reason> {
    let equals = memchr::memchr(b'=', pair);
    let (name, value) = match equals {
        Some(at) => (pair.get(..at).unwrap_or_default(), pair.get(at + 1..)),
        None => (pair, None),
    };
    let name = percent::decode(name, true, &mut buffers.name);
    text(&Field { part: parts.name, name: b"", value: name }, visit)?;
    let Some(value) = value else { return Ok(()) };
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
