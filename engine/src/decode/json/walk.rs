//! One pass over a JSON document: as strict as serde_json, with which a test compares it, at a fraction of the cost,
//! since nothing is made of numbers and names. Allocates for strings with escapes only. Called by [`super::decode`].

use std::borrow::Cow;

use super::super::{Field, Visit, pairs};
use crate::finding::Part;
use crate::reason::Reason;

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
    let mut walk = Walk { bytes, at: 0, visit };
    walk.skip_blank();
    walk.value(b"", 0)?;
    walk.skip_blank();
    if walk.at == bytes.len() { Ok(()) } else { Err(Stop::Malformed) }
}

struct Walk<'a, 'v> {
    bytes: &'a [u8],
    at: usize,
    visit: &'v mut dyn Visit,
}

impl<'a> Walk<'a, '_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn skip_blank(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let eaten = self.peek() == Some(byte);
        self.at += usize::from(eaten);
        eaten
    }

    /// `key` is that of the member that it is, or is in.
    fn value(&mut self, key: &[u8], depth: usize) -> Result<(), Stop> {
        match self.peek() {
            Some(b'"') => {
                let value = self.string()?;
                let field = Field { part: Part::Json, name: key, value: &value };
                Ok(pairs::text(&field, self.visit)?)
            }
            Some(b'{') => self.object(key, depth + 1),
            Some(b'[') => self.array(key, depth + 1),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            _ => self.number(),
        }
    }

    /// `parent` is the key of the member that it is, or is in.
    fn object(&mut self, parent: &[u8], depth: usize) -> Result<(), Stop> {
        self.visit.budget().allows_depth(depth)?;
        self.at += 1;
        self.skip_blank();
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(Stop::Malformed);
            }
            let key = self.string()?;
            self.visit.field(&Field { part: Part::JsonKey, name: parent, value: &key })?;
            self.skip_blank();
            if !self.eat(b':') {
                return Err(Stop::Malformed);
            }
            self.skip_blank();
            self.value(&key, depth)?;
            self.skip_blank();
            if self.eat(b'}') {
                return Ok(());
            }
            if !self.eat(b',') {
                return Err(Stop::Malformed);
            }
            self.skip_blank();
        }
    }

    fn array(&mut self, key: &[u8], depth: usize) -> Result<(), Stop> {
        self.visit.budget().allows_depth(depth)?;
        self.at += 1;
        self.skip_blank();
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            self.value(key, depth)?;
            self.skip_blank();
            if self.eat(b']') {
                return Ok(());
            }
            if !self.eat(b',') {
                return Err(Stop::Malformed);
            }
            self.skip_blank();
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
    fn number(&mut self) -> Result<(), Stop> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        let exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if exponent {
            self.at += 1;
            if !self.eat(b'+') {
                self.eat(b'-');
            }
            self.digits()?;
        }
        let number = self.bytes.get(start..self.at).unwrap_or_default();
        if exponent || number.len() > f64::MAX_10_EXP.unsigned_abs() as usize {
            let number = std::str::from_utf8(number).ok().and_then(|number| number.parse::<f64>().ok());
            if !number.is_some_and(f64::is_finite) {
                return Err(Stop::Malformed);
            }
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Stop> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(Stop::Malformed) }
    }

    /// The string at the cursor, which is at its first quote.
    fn string(&mut self) -> Result<Cow<'a, [u8]>, Stop> {
        let start = self.at + 1;
        let mut end = start;
        let (mut escapes, mut ascii) = (false, true);
        loop {
            let (length, is_ascii) = plain(self.bytes.get(end..).unwrap_or_default());
            end += length;
            ascii &= is_ascii;
            match self.bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escapes = true;
                    end += 2;
                }
                _ => return Err(Stop::Malformed),
            }
        }
        let quoted = self.bytes.get(self.at..=end).unwrap_or_default();
        self.at = end + 1;
        if escapes {
            let decoded: String = serde_json::from_slice(quoted).map_err(|_| Stop::Malformed)?;
            return Ok(Cow::Owned(decoded.into_bytes()));
        }
        let value = self.bytes.get(start..end).unwrap_or_default();
        if ascii || std::str::from_utf8(value).is_ok() {
            Ok(Cow::Borrowed(value))
        } else {
            Err(Stop::Malformed)
        }
    }
}

/// Number of bytes before a quote, a backslash or a control character, and whether all of them are ASCII. Eight at once:
/// subtracting sets the top bit of a byte that is too small. A borrow may set it in bytes after that, never before.
#[inline]
fn plain(bytes: &[u8]) -> (usize, bool) {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let (mut rest, mut tops) = (bytes, 0);
    while let Some((chunk, after)) = rest.split_first_chunk() {
        let word = u64::from_le_bytes(*chunk);
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = TOPS & (control | zero(word ^ (ONES * 0x22)) | zero(word ^ (ONES * 0x5C)));
        if found != 0 {
            let first = found & found.wrapping_neg();
            tops |= word & (first - 1);
            return (bytes.len() - rest.len() + found.trailing_zeros() as usize / 8, tops & TOPS == 0);
        }
        tops |= word;
        rest = after;
    }
    let tail = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F)).unwrap_or(rest.len());
    let is_ascii = tops & TOPS == 0 && rest.get(..tail).is_some_and(<[u8]>::is_ascii);
    (bytes.len() - rest.len() + tail, is_ascii)
}

#[cfg(test)]
mod tests;
