//! What vectors look for: sets of bytes, and words by three bytes in a row. A byte is looked up by its halves in tables of
//! 16, which is what vector instructions can do. Made of the needs of the detectors, once for the process.

use super::super::Set;
use super::super::told::{Words, groups};
use crate::detector::Needs;
use crate::lookup::Lookup;

/// Bytes that make it worthwhile to ask the prefilter about a value, other than letters, digits and the blank. Any choice is
/// right: words that need other bytes are looked for.
const ASKED: &[u8] = b"./:_@])!*~";

/// What sentences have, too: where they stand tells whether anything has to look.
const SOFT: &[u8] = b"';(";

/// Of the commands' needs: it is between the words of every sentence, so its first word is looked at instead.
const BETWEEN_WORDS: u8 = b' ';

pub(super) struct Tables {
    /// A detector or a further reading looks at any value with one of them.
    pub dirty: Bytes,
    pub asked: Bytes,
    pub words: [Words; 2],
}

/// A set of bytes: for each lower half a bit for each upper half, of ASCII and of the others.
pub(super) struct Bytes {
    pub ascii: [u8; 16],
    pub others: [u8; 16],
}

/// Bytes for which a detector or a further reading looks at any value, but for those that sentences have where it is one of
/// the detectors `told` of which it is known when they find nothing in a sentence.
pub(super) fn dirty(needs: &[Needs], command: Set, told: Set) -> Lookup<bool> {
    let mut dirty = [false; 256];
    let (controls, _) = dirty.split_at_mut(0x20);
    controls.fill(true);
    for (number, needs) in needs.iter().enumerate() {
        for byte in needs.alone {
            let is_told = told >> number & 1 != 0 && SOFT.contains(byte)
                || command >> number & 1 != 0 && *byte == BETWEEN_WORDS;
            if !is_told {
                set(&mut dirty, *byte);
            }
        }
    }
    Lookup(dirty)
}

impl Tables {
    /// The tables, and the words that are looked for.
    pub fn new(needs: &[Needs], is_dirty: &Lookup<bool>) -> (Self, Vec<&'static str>) {
        let dirty = is_dirty.0;
        let mut asked = [false; 256];
        for byte in ASKED.iter().chain(needs.iter().flat_map(|needs| needs.bytes)) {
            if ASKED.contains(byte) || !byte.is_ascii() {
                set(&mut asked, *byte);
            }
        }
        let is_seen = Lookup(std::array::from_fn::<bool, 256, _>(|byte| {
            dirty.get(byte).copied().unwrap_or(true)
                || asked.get(byte).copied().unwrap_or(true)
                || SOFT.iter().any(|soft| usize::from(*soft) == byte)
        }));
        let mut words: Vec<&'static str> = Vec::new();
        // Those of a detector all of whose other bytes are seen as bytes are seen with them.
        for needs in needs.iter().filter(|needs| needs.bytes.iter().any(|byte| !is_seen.one(*byte))) {
            words.extend(needs.needles.iter().filter(|needle| !is_seen.any(needle.as_bytes())));
        }
        words.sort_unstable();
        words.dedup();
        let tables = Self { dirty: Bytes::new(&dirty), asked: Bytes::new(&asked), words: groups(&words) };
        (tables, words)
    }
}

fn set(set: &mut [bool; 256], byte: u8) {
    if let Some(known) = set.get_mut(usize::from(byte)) {
        *known = true;
    }
}

impl Bytes {
    fn new(set: &[bool; 256]) -> Self {
        let rows = |first: u8| {
            std::array::from_fn(|lower| {
                let has =
                    |upper: u8| set.get(usize::from(first + upper) << 4 | lower).copied().unwrap_or(true);
                (0..8).fold(0, |row, upper| row | u8::from(has(upper)) << upper)
            })
        };
        Self { ascii: rows(0), others: rows(8) }
    }
}
