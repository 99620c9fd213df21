//! The further readings that applications make of a value that is decoded already: percent-encoding again, references
//! of HTML, escapes of programming languages, characters that are folded into ASCII, `+` for a blank, and values that
//! are base64, hex or a token as a whole, compressed or not. Each reading is a value like any other, and read again itself.
//!
//! A value has one further reading, in which every escape is undone once, of whatever kind. That is what bounds the
//! work: [`LAYERS`] readings, and one with blanks for plus signs. In reading order: `escapes`, `fit` (characters that
//! become ASCII), `whole` (base64 and the like), `layers` (where we are). Called by [`crate::ruleset`] for every value.

use super::{Field, Visit, pairs};
use crate::detector::Needs;
use crate::finding::Encodings;
use crate::reason::Reason;

mod escapes;
mod fit;
mod layers;
mod utf7;
mod whole;

pub(crate) use layers::Layers;
use layers::Step;
pub(crate) use whole::is_likely as is_likely_whole;

/// Bytes that a value must have to hold an escape. Values that are encoded as a whole are told by their first bytes.
pub(crate) const NEEDS: Needs = Needs { alone: escapes::MARKS, bytes: b"", needles: &[] };

/// Shorter values are never encoded as a whole.
pub(crate) const SHORTEST_WHOLE: usize = 8;

/// Readings of readings. Attackers encode twice to pass a filter in front of an application that decodes again.
const LAYERS: usize = 3;

/// Yields the further readings of a value. `marked`: it has one of the bytes of [`NEEDS`].
pub(crate) fn decode(field: &Field<'_>, marked: bool, visit: &mut dyn Visit) -> Result<(), Reason> {
    let may_be_whole = whole::is_likely(field.value);
    let depth = visit.budget().layers().depth();
    if !marked && !may_be_whole || depth > LAYERS {
        return Ok(());
    }
    let mut buffer = visit.budget().layers().buffer();
    let read = read(field, (marked, may_be_whole), depth, &mut buffer, visit);
    visit.budget().layers().give_back(buffer);
    read
}

fn read(
    field: &Field<'_>,
    (marked, may_be_whole): (bool, bool),
    depth: usize,
    buffer: &mut Vec<u8>,
    visit: &mut dyn Visit,
) -> Result<(), Reason> {
    if depth < LAYERS {
        visit.budget().work(field.value.len())?;
        let mut whole = if may_be_whole { whole::decode(field.value, buffer) } else { None };
        if may_be_whole && whole.is_none() {
            whole = whole::decompress(field, buffer, visit)?;
        }
        let escaped = || if marked { escapes::decode(field.value, buffer) } else { None };
        if let Some(step) = whole.or_else(escaped) {
            return again(field, buffer, step, visit);
        }
    }
    if marked && has_plus_for_blank(field.value) {
        buffer.clear();
        buffer.extend(field.value.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }));
        // Nothing is read further: there is no encoding left, or too many.
        let step = Step { layers: LAYERS + 1, ..Step::of(Encodings::PLUS) };
        return again(field, buffer, step, visit);
    }
    Ok(())
}

fn again(field: &Field<'_>, reading: &[u8], step: Step, visit: &mut dyn Visit) -> Result<(), Reason> {
    let outside = visit.budget().layers().enter(field, step);
    let read = pairs::text(&Field { value: reading, ..*field }, visit);
    visit.budget().layers().leave(outside);
    read
}

/// `1'+or+1=1`: only forms write blanks like that, and what decodes a form twice turns them into blanks. Not a time zone,
/// not a telephone number.
fn has_plus_for_blank(value: &[u8]) -> bool {
    let mut pluses = memchr::memchr_iter(b'+', value);
    let is_start = |at: usize| {
        value.get(at + 1).is_some_and(|byte| byte.is_ascii_alphabetic() || b"'\"(/<-#$|&;".contains(byte))
    };
    pluses.any(is_start) && memchr::memchr(b' ', value).is_none()
}

#[cfg(test)]
mod tests;
