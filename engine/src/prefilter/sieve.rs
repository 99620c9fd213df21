//! Tells the values that no detector, no signature and no further reading would look at, without looking at each: a
//! document is read once by vector instructions, 64 bytes at a time, and what its bytes say is kept in bits. It must
//! never pass a value that [`Prefilter::candidates`](super::Prefilter::candidates) has an answer for.
//!
//! In reading order: `sets` (which bytes, which beginnings of words), `look` (one block), `cursor` (from mark to mark of a
//! document), `prose` (sentences). Called by the decoders of JSON and of pairs, for [`crate::decode::Visit`]s that allow it.

use std::sync::LazyLock;

use fearless_simd::Level;

use super::needles::Needles;
use super::{Set, needs, shared};
use crate::command;
use crate::decode::nested;

mod cursor;
mod look;
mod prose;
mod sets;

pub(crate) use cursor::{Cursor, Ends};
pub(crate) use look::Glance;
use prose::Readers;
use sets::Tables;

pub(crate) struct Sieve {
    level: Level,
    tables: Tables,
    /// The words of `tables`, to look again where the vectors saw one.
    words: Needles,
    readers: Readers,
}

static SIEVE: LazyLock<Sieve> = LazyLock::new(Sieve::build);

/// The one for [`DETECTORS`].
pub(crate) fn sieve() -> &'static Sieve {
    &SIEVE
}

impl Sieve {
    fn build() -> Self {
        let needs: Vec<_> = needs().collect();
        let (readers, is_dirty) = Readers::new(&needs);
        let (tables, words) = Tables::new(&needs, &is_dirty);
        let words: Vec<(&str, Set)> = words.into_iter().map(|word| (word, 1)).collect();
        Self { level: Level::new(), tables, words: Needles::new(&words), readers }
    }

    /// Whether nothing looks at a value of which this was seen.
    #[inline]
    pub(crate) fn passes(&self, value: &[u8], seen: Glance) -> bool {
        if seen.is_nothing() {
            return value.len() < nested::SHORTEST_WHOLE || !nested::is_likely_whole(value);
        }
        if seen.has(Glance::DIRTY) {
            return false;
        }
        if seen.has(Glance::SOFT) {
            return !seen.has(Glance::HIGH) && seen.has(Glance::BLANK) && self.passes_as_prose(value);
        }
        self.passes_by_words(value, seen)
    }

    fn passes_by_words(&self, value: &[u8], seen: Glance) -> bool {
        let wanted = if seen.has(Glance::BLANK) { !self.readers.command } else { Set::MAX };
        if seen.has(Glance::ASKED) && shared().candidates(value, wanted) != 0 {
            return false;
        }
        if !seen.has(Glance::BLANK) {
            return !nested::is_likely_whole(value);
        }
        // What is encoded as a whole has a blank at its ends at most, or begins with `data:`.
        let is_text = !matches!(value, [b' ', ..] | [.., b' '] | [_, _, _, _, b':', ..]);
        (is_text || !nested::is_likely_whole(value)) && !command::starts_like_command(value)
    }
}

#[cfg(test)]
mod tests;
