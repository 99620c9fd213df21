//! Sentences have apostrophes, semicolons and parentheses, for which three detectors look at them. Whether none of them,
//! and no other, would find anything: told from where those bytes stand, at a fraction of the cost of asking them.

use rasp_policy::class::Class;

use super::super::needles::Needles;
use super::super::told::Told;
use super::super::{DETECTORS, Set, shared};
use super::{Sieve, sets};
use crate::detector::Needs;
use crate::lookup::Lookup;
use crate::{code, command, sqli};

/// Detectors by what the sieve knows of them.
pub(super) struct Readers {
    /// Those for commands, the first word of a value being looked at instead.
    pub command: Set,
    /// Those of which [`Sieve::passes_as_prose`] knows when they find nothing; that for line breaks finds none where
    /// there is none.
    told: Set,
    /// The words that all others look for in a sentence, and the marks of code.
    words: Needles,
    places: Told,
}

impl Readers {
    /// With them the bytes that no sentence has.
    pub fn new(needs: &[Needs]) -> (Self, Lookup<bool>) {
        let of = |class: Class| {
            let place = DETECTORS.iter().position(|detector| detector.class == class);
            place.map_or(0, |number| 1 << number)
        };
        let (command, code) = (of(Class::OsCommandInjection), of(Class::CodeInjection));
        let told = command | code | of(Class::SqlInjection) | of(Class::HeaderInjection);
        let is_dirty = sets::dirty(needs, command, told);
        let mut words: Vec<&str> = Vec::new();
        for (number, needs) in needs.iter().enumerate() {
            if (told & !code) >> number & 1 == 0 && !needs.bytes.iter().all(|byte| is_dirty.one(*byte)) {
                words.extend(needs.needles.iter().filter(|needle| !is_dirty.any(needle.as_bytes())));
            }
        }
        words.sort_unstable();
        words.dedup();
        let places = Told::new(&words);
        let words: Vec<(&str, Set)> = words.into_iter().map(|word| (word, Set::MAX)).collect();
        (Self { command, told, words: Needles::new(&words), places }, is_dirty)
    }
}

/// What may begin or end something in a sentence, and the first letter of `union`.
static MARKS: Lookup<bool> = Lookup::of(b"';(*-uU");

impl Sieve {
    /// Whether nothing would be found in a value that is ASCII and has no byte of note but those of sentences.
    #[inline(never)]
    pub(super) fn passes_as_prose(&self, value: &[u8]) -> bool {
        let [first, .., last] = value else { return false };
        // What is encoded as a whole has blanks and quotes at its ends, or begins with `data:`.
        if !first.is_ascii_alphabetic() || matches!(last, b' ' | b'\'') || value.get(4) == Some(&b':') {
            return false;
        }
        let mut quotes = 0;
        for (at, byte) in value.iter().enumerate() {
            if !MARKS.one(*byte) {
                continue;
            }
            let (before, behind) =
                (value.get(..at).unwrap_or_default(), value.get(at + 1..).unwrap_or_default());
            let is_harmless = match byte {
                b'\'' => {
                    quotes += 1;
                    sqli::is_apostrophe(before, behind, quotes == 1)
                }
                b';' => command::is_ordinary(behind.strip_prefix(b" ").unwrap_or(behind)),
                b'(' => code::is_remark(before) && !sqli::is_nested(before),
                // Comments.
                b'*' => before.last() != Some(&b'/') && behind.first() != Some(&b'/'),
                b'-' => behind.first() != Some(&b'-'),
                _ => !sqli::is_union(behind),
            };
            if !is_harmless {
                return false;
            }
        }
        command::is_ordinary(value) && sqli::begins_as_sentence(value) && self.has_no_needle(value)
    }

    fn has_no_needle(&self, value: &[u8]) -> bool {
        let Readers { told, words, places, .. } = &self.readers;
        // Those of code have a byte of their own as well, but few values have one of them.
        !words.has(value, places) || shared().candidates(value, !told) == 0 && !code::has_marks(value)
    }
}
