//! Which detectors could find something in a value: one look at each byte for all of them, and one search for words where
//! bytes alone do not tell. Compiled once for the process; a policy only says which detectors it wants.

use std::sync::LazyLock;

use crate::decode::nested;
use crate::detector::{DETECTORS, Needs};
use crate::lookup::Lookup;

mod needles;
mod sieve;
mod told;

use needles::Needles;
pub(crate) use sieve::{Cursor, Ends, Glance};

/// A set of detectors: bit n is that of number n of the table. The bit after them is that of values with escapes.
pub(crate) type Set = u32;

pub(crate) struct Prefilter {
    bytes: Lookup<Seen>,
    needles: Needles,
}

/// What bytes of a value say: the detectors that they suffice for, and above those the ones that need a needle as well.
type Seen = u64;

static SHARED: LazyLock<Prefilter> = LazyLock::new(|| Prefilter::build(needs()));

fn needs() -> impl Iterator<Item = Needs> {
    DETECTORS.iter().map(|detector| detector.needs).chain([nested::NEEDS])
}

/// The one for [`DETECTORS`].
pub(crate) fn shared() -> &'static Prefilter {
    &SHARED
}

impl std::fmt::Debug for Prefilter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Prefilter")
    }
}

impl Prefilter {
    pub(crate) fn build(needs: impl Iterator<Item = Needs>) -> Self {
        let mut bytes = [0; 256];
        let mut needles: Vec<(&str, Set)> = Vec::new();
        for (number, needs) in needs.enumerate() {
            let bit = 1 << number;
            for (list, seen) in [(needs.alone, Seen::from(bit)), (needs.bytes, Seen::from(bit) << Set::BITS)]
            {
                for byte in list {
                    if let Some(known) = bytes.get_mut(usize::from(*byte)) {
                        *known |= seen;
                    }
                }
            }
            for needle in needs.needles {
                match needles.iter_mut().find(|(known, _)| known == needle) {
                    Some((_, set)) => *set |= bit,
                    None => needles.push((needle, bit)),
                }
            }
        }
        Self { bytes: Lookup(bytes), needles: Needles::new(&needles) }
    }

    /// Those of `enabled` that must look at the value.
    #[inline]
    pub(crate) fn candidates(&self, value: &[u8], enabled: Set) -> Set {
        let seen = self.bytes.all(value) & (Seen::from(enabled) << Set::BITS | Seen::from(enabled));
        if seen == 0 { 0 } else { self.judged(value, seen) }
    }

    /// Those that the bytes seen suffice for, and those of the others of which a needle is in the value.
    fn judged(&self, value: &[u8], seen: Seen) -> Set {
        let alone = Set::try_from(seen & Seen::from(Set::MAX)).unwrap_or_default();
        let open = Set::try_from(seen >> Set::BITS).unwrap_or_default() & !alone;
        if open == 0 { alone } else { alone | self.needles.find(value, open) }
    }
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
        let prefilter = Prefilter::build(needs.into_iter());
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

    fn naive(needs: Needs, value: &[u8]) -> bool {
        let has = |bytes: &[u8]| value.iter().any(|byte| bytes.contains(byte));
        let lower = value.to_ascii_lowercase();
        let holds =
            |needle: &&str| memchr::memmem::find(&lower, needle.to_ascii_lowercase().as_bytes()).is_some();
        has(needs.alone) || has(needs.bytes) && needs.needles.iter().any(holds)
    }

    fn same_as_naive(value: &[u8]) {
        for enabled in [Set::MAX, 0b1, 0b110_1001] {
            let expected = needs()
                .enumerate()
                .filter(|(number, needs)| enabled >> number & 1 != 0 && naive(*needs, value))
                .fold(0, |set, (number, _)| set | 1 << number);
            assert_eq!(shared().candidates(value, enabled), expected, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn every_needle_is_found_in_any_case_wherever_it_stands() {
        let needles = DETECTORS.iter().flat_map(|detector| detector.needs.needles.iter().copied());
        for needle in needles {
            for (before, behind) in [("", ""), ("a", ""), ("", "z"), ("xyz. /:", "-_ b"), ("\u{e9}", "\0")] {
                same_as_naive(format!("{before}{needle}{behind}").as_bytes());
                same_as_naive(format!("{before}{}{behind}", needle.to_ascii_uppercase()).as_bytes());
                same_as_naive(format!("{before}{}{behind}", needle.get(1..).unwrap_or("")).as_bytes());
            }
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

        #[test]
        fn nothing_that_has_what_a_detector_needs_is_dropped(
            pieces in proptest::collection::vec((proptest::prelude::any::<u16>(), "[ -~]{0,3}|[\\x00-\\xff]{0,2}"), 0..6),
        ) {
            let needles: Vec<&str> = DETECTORS.iter().flat_map(|detector| detector.needs.needles.iter().copied()).collect();
            let value: Vec<String> = pieces.iter().map(|(index, text)| {
                let needle = needles[usize::from(*index) % needles.len()];
                // A needle that lacks its end as often as a whole one.
                let end = if index % 2 == 0 { needle.len() } else { needle.len() - 1 };
                format!("{}{text}", needle.get(..end).unwrap_or(needle))
            }).collect();
            same_as_naive(value.concat().as_bytes());
        }
    }
}
