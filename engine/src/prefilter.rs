//! Which detectors could find something in a value: one pass over its bytes for all of them, and one automaton where
//! bytes alone do not tell. Compiled once for the process; a policy only says which detectors it wants.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, BuildError, MatchKind};

use crate::detector::{DETECTORS, Needs};

/// A set of detectors: bit n is that of number n of the table.
pub(crate) type Set = u32;

#[derive(Debug)]
pub(crate) struct Prefilter {
    /// For each byte the detectors that it suffices for, and those that need a needle as well.
    bytes: [[Set; 2]; 256],
    needles: AhoCorasick,
    /// For each needle the detectors that look for it.
    wanted_by: Vec<Set>,
}

static SHARED: LazyLock<Result<Prefilter, BuildError>> =
    LazyLock::new(|| Prefilter::build(DETECTORS.iter().map(|detector| detector.needs)));

/// The one for [`DETECTORS`].
pub(crate) fn shared() -> Result<&'static Prefilter, BuildError> {
    SHARED.as_ref().map_err(Clone::clone)
}

impl Prefilter {
    pub(crate) fn build(needs: impl Iterator<Item = Needs>) -> Result<Self, BuildError> {
        let mut bytes = [[0; 2]; 256];
        let mut needles: Vec<&str> = Vec::new();
        let mut wanted_by: Vec<Set> = Vec::new();
        for (number, needs) in needs.enumerate() {
            let bit = 1 << number;
            for (list, bits) in [(needs.alone, [bit, 0]), (needs.bytes, [0, bit])] {
                for byte in list {
                    if let Some(known) = bytes.get_mut(usize::from(*byte)) {
                        *known = either(*known, bits);
                    }
                }
            }
            for needle in needs.needles {
                let known = needles.iter().position(|known| known == needle);
                if let Some(set) = known.and_then(|at| wanted_by.get_mut(at)) {
                    *set |= bit;
                } else {
                    needles.push(needle);
                    wanted_by.push(bit);
                }
            }
        }
        let needles = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(&needles)?;
        Ok(Self { bytes, needles, wanted_by })
    }

    /// Those of `enabled` that must look at the value.
    pub(crate) fn candidates(&self, value: &[u8], enabled: Set) -> Set {
        let of = |byte: &u8| self.bytes.get(usize::from(*byte)).copied().unwrap_or_default();
        let seen = value.iter().fold([0; 2], |seen, byte| either(seen, of(byte)));
        let [alone, with_needle] = seen.map(|set| set & enabled);
        let open = with_needle & !alone;
        if open == 0 { alone } else { alone | self.named(value, open) }
    }

    /// Those of `open` of which a needle is in the value.
    fn named(&self, value: &[u8], open: Set) -> Set {
        let mut found = 0;
        for needle in self.needles.find_overlapping_iter(value) {
            found |= open & self.wanted_by.get(needle.pattern().as_usize()).copied().unwrap_or_default();
            if found == open {
                break;
            }
        }
        found
    }
}

fn either(one: [Set; 2], other: [Set; 2]) -> [Set; 2] {
    let ([a, b], [c, d]) = (one, other);
    [a | c, b | d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_goes_to_those_detectors_alone_that_could_find_something() {
        let needs = [
            Needs { alone: b"'", bytes: b" ", needles: &["select", "union"] },
            Needs { alone: b"<", bytes: b" ", needles: &["script", "union"] },
            Needs { alone: b"", bytes: b"$/", needles: &["${", "lect"] },
        ];
        let prefilter = Prefilter::build(needs.into_iter()).unwrap();
        // Value, those that must look at it when all are enabled, and when the first is not.
        let rows: &[(&str, Set, Set)] = &[
            ("", 0, 0),
            ("select", 0, 0),
            ("a b", 0, 0),
            ("it's", 0b001, 0),
            ("<a>", 0b010, 0b010),
            ("'<", 0b011, 0b010),
            ("a SeLect", 0b001, 0),
            ("a union", 0b011, 0b010),
            ("' script", 0b011, 0b010),
            ("/select", 0b100, 0b100),
            ("/ select script", 0b111, 0b110),
            ("${a}", 0b100, 0b100),
        ];
        for (value, all, some) in rows {
            assert_eq!(prefilter.candidates(value.as_bytes(), 0b111), *all, "{value}");
            assert_eq!(prefilter.candidates(value.as_bytes(), 0b110), *some, "{value}");
        }
    }
}
