//! One pass over a JSON document: as strict as serde_json, with which a test compares it, at a fraction of the cost,
//! since nothing is made of numbers and names, and strings are read a block at a time (`prefilter::Cursor`). Those that
//! nothing looks at are not even yielded. Allocates for strings with escapes only. Called by [`super::decode`].

use std::borrow::Cow;

use super::super::{Field, Visit, pairs};
use crate::budget::Passed;
use crate::finding::Part;
use crate::prefilter::{Cursor, Ends, Glance};
use crate::reason::Reason;

mod keys;

use keys::{Behind, Keys};

/// Why a document was not read to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It is no JSON.
    Malformed,
    /// The visitor wants no more of it, or it is too deep.
    Because(Reason),
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Because(reason)
    }
}

/// Yields keys and strings, in their order, of members that come twice as well.
pub(super) fn walk(bytes: &[u8], visit: &mut dyn Visit) -> Result<(), Stop> {
    let (cursor, may_pass) = (Cursor::new(bytes, Ends::Json), visit.may_pass());
    let mut walk =
        Walk { bytes, at: 0, cursor, may_pass, keys: Keys::new(), passed: Passed::default(), visit };
    let read = walk.document();
    walk.draw()?;
    read
}

struct Walk<'a, 'v> {
    bytes: &'a [u8],
    at: usize,
    cursor: Cursor<'a>,
    may_pass: bool,
    /// Of those that nothing looks at.
    keys: Keys<'a>,
    /// Not drawn on the budget yet.
    passed: Passed,
    visit: &'v mut dyn Visit,
}

/// The key of a member.
#[derive(Clone, Copy)]
struct Key<'k> {
    name: &'k [u8],
    /// Values of this name may be passed.
    may_pass: bool,
    /// Where the keys of an object are that is its value.
    inside: Behind,
}

impl<'a> Walk<'a, '_> {
    fn document(&mut self) -> Result<(), Stop> {
        let may_pass = self.may_pass && !self.visit.looks_at(b"");
        let first = self.next();
        self.value(first, Key { name: b"", may_pass, inside: Behind::Inside(0) }, 0)?;
        self.skip_blank();
        if self.at == self.bytes.len() { Ok(()) } else { Err(Stop::Malformed) }
    }

    /// What was passed until now.
    fn draw(&mut self) -> Result<(), Reason> {
        self.visit.budget().passed(std::mem::take(&mut self.passed))
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    #[inline]
    fn skip_blank(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// The next byte that is no blank.
    #[inline]
    fn next(&mut self) -> Option<u8> {
        match self.peek() {
            Some(byte) if byte > b' ' => Some(byte),
            _ => {
                self.skip_blank();
                self.peek()
            }
        }
    }

    /// `first` is where the cursor is, `key` that of the member that it is, or is in.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "once for each value of a document")]
    fn value(&mut self, first: Option<u8>, key: Key<'_>, depth: usize) -> Result<(), Stop> {
        match first {
            Some(b'"') => self.text(key),
            Some(b'{') => self.object(key, depth + 1),
            Some(b'[') => self.array(key, depth + 1),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            _ => self.number(),
        }
    }

    fn text(&mut self, key: Key<'_>) -> Result<(), Stop> {
        let string = self.string()?;
        let value = self.raw(&string);
        if key.may_pass && self.cursor.passes(value, string.glance) {
            // An empty one is no part.
            if !value.is_empty() {
                self.passed.value(value);
            }
            return Ok(());
        }
        self.yield_text(key.name, &string)
    }

    #[inline(never)]
    fn yield_text(&mut self, name: &[u8], string: &Quoted) -> Result<(), Stop> {
        self.draw()?;
        let value = self.meant(string)?;
        Ok(pairs::text(&Field { part: Part::Json, name, value: &value }, self.visit)?)
    }

    /// `parent` is the key of the member that it is, or is in.
    #[inline(never)]
    fn object(&mut self, parent: Key<'_>, depth: usize) -> Result<(), Stop> {
        self.visit.budget().allows_depth(depth)?;
        self.at += 1;
        if self.next() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        let mut behind = parent.inside;
        loop {
            if let Some(kept) = self.keys.find(behind, self.rest()) {
                self.at += kept.length;
                self.passed.name(kept.name);
                behind = Behind::Next(kept.number);
                let first = self.next();
                let key = Key { name: kept.name, may_pass: true, inside: Behind::Inside(kept.number) };
                self.value(first, key, depth)?;
            } else {
                behind = self.member(parent.name, behind, depth)?;
            }
            match self.next() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(Stop::Malformed),
            }
            self.next();
        }
    }

    /// A member whose key was not there before. Gives where the next one stands.
    #[inline(never)]
    fn member(&mut self, parent: &[u8], behind: Behind, depth: usize) -> Result<Behind, Stop> {
        if self.peek() != Some(b'"') {
            return Err(Stop::Malformed);
        }
        let string = self.string()?;
        let escaped;
        let mut name = self.raw(&string);
        let may_pass = self.may_pass && self.cursor.passes(name, string.glance);
        if !may_pass {
            escaped = self.meant(&string)?;
            name = &escaped;
        }
        let is_named = name == b"query" || self.visit.looks_at(name);
        let mut number = None;
        if may_pass && !is_named {
            self.passed.name(name);
            let text = self.bytes.get(string.start - 1..string.end + 2).filter(|text| text.ends_with(b":"));
            number = text.and_then(|text| self.keys.keep(behind, text));
        } else {
            self.draw()?;
            self.visit.field(&Field { part: Part::JsonKey, name: parent, value: name })?;
        }
        let may_pass = self.may_pass && !is_named;
        if self.next() != Some(b':') {
            return Err(Stop::Malformed);
        }
        self.at += 1;
        let first = self.next();
        let inside = number.map_or(Behind::Unknown, Behind::Inside);
        self.value(first, Key { name, may_pass, inside }, depth)?;
        Ok(number.map_or(Behind::Unknown, Behind::Next))
    }

    #[inline(never)]
    fn array(&mut self, key: Key<'_>, depth: usize) -> Result<(), Stop> {
        self.visit.budget().allows_depth(depth)?;
        self.at += 1;
        let mut first = self.next();
        if first == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(first, key, depth)?;
            match self.next() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(Stop::Malformed),
            }
            first = self.next();
        }
    }

    fn literal(&mut self, literal: &[u8]) -> Result<(), Stop> {
        if !self.rest().starts_with(literal) {
            return Err(Stop::Malformed);
        }
        self.at += literal.len();
        Ok(())
    }

    /// A number that JSON allows and a double holds.
    #[inline]
    fn number(&mut self) -> Result<(), Stop> {
        let digits_at = |mut at: usize| {
            while let Some(b'0'..=b'9') = self.bytes.get(at) {
                at += 1;
            }
            at
        };
        // `42`, `12.95`: most have neither sign nor exponent.
        if let Some(b'1'..=b'9') = self.peek() {
            let mut end = digits_at(self.at + 1);
            let dot = end;
            if self.bytes.get(dot) == Some(&b'.') {
                end = digits_at(dot + 1);
            }
            let is_plain = end != dot + 1 && !matches!(self.bytes.get(end), Some(b'e' | b'E'));
            if is_plain && end - self.at < f64::MAX_10_EXP.unsigned_abs() as usize {
                self.at = end;
                return Ok(());
            }
        }
        self.long_number()
    }

    #[inline(never)]
    fn long_number(&mut self) -> Result<(), Stop> {
        let rest = self.rest();
        let is = |at: usize, byte: u8| rest.get(at) == Some(&byte);
        let mut at = usize::from(is(0, b'-'));
        at = if is(at, b'0') { at + 1 } else { digits(rest, at)? };
        if is(at, b'.') {
            at = digits(rest, at + 1)?;
        }
        let exponent = is(at, b'e') || is(at, b'E');
        if exponent {
            at += 1;
            at = digits(rest, at + usize::from(is(at, b'+') || is(at, b'-')))?;
        }
        if exponent || at > f64::MAX_10_EXP.unsigned_abs() as usize {
            let number = std::str::from_utf8(rest.get(..at).unwrap_or_default()).ok();
            if !number.and_then(|number| number.parse::<f64>().ok()).is_some_and(f64::is_finite) {
                return Err(Stop::Malformed);
            }
        }
        self.at += at;
        Ok(())
    }

    /// The string at the cursor, which is at its first quote, and what is in it.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "once for each string of a document")]
    fn string(&mut self) -> Result<Quoted, Stop> {
        let start = self.at + 1;
        let (end, glance) = self.cursor.piece(start);
        let mut string = Quoted { start, end, glance };
        if glance.has(Glance::HIGH) || self.bytes.get(end) != Some(&b'"') {
            self.odd(&mut string)?;
        }
        self.at = string.end + 1;
        Ok(string)
    }

    /// The same where it is not ASCII, or has an escape.
    #[cold]
    fn odd(&mut self, string: &mut Quoted) -> Result<(), Stop> {
        loop {
            match self.bytes.get(string.end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    (string.end, _) = self.cursor.piece(string.end + 2);
                    string.glance = Glance::DIRTY | Glance::ESCAPED;
                }
                _ => return Err(Stop::Malformed),
            }
        }
        let is_raw = !string.glance.has(Glance::ESCAPED);
        if is_raw && std::str::from_utf8(self.raw(string)).is_err() {
            return Err(Stop::Malformed);
        }
        Ok(())
    }

    /// A string as it came.
    #[inline]
    fn raw(&self, string: &Quoted) -> &'a [u8] {
        self.bytes.get(string.start..string.end).unwrap_or_default()
    }

    /// A string without its escapes.
    fn meant(&self, string: &Quoted) -> Result<Cow<'a, [u8]>, Stop> {
        if !string.glance.has(Glance::ESCAPED) {
            return Ok(Cow::Borrowed(self.raw(string)));
        }
        let quoted = self.bytes.get(string.start - 1..=string.end).unwrap_or_default();
        let decoded: String = serde_json::from_slice(quoted).map_err(|_| Stop::Malformed)?;
        Ok(Cow::Owned(decoded.into_bytes()))
    }
}

/// Where the digits end that stand here, of which there is one at least.
#[inline]
fn digits(text: &[u8], at: usize) -> Result<usize, Stop> {
    let digits = text.get(at..).unwrap_or_default();
    let length = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    if length > 0 { Ok(at + length) } else { Err(Stop::Malformed) }
}

/// Where a string is, without its quotes.
struct Quoted {
    start: usize,
    end: usize,
    glance: Glance,
}

#[cfg(test)]
mod tests;
