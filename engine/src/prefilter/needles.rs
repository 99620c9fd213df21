//! Finds words of a fixed list in a value, whatever the case of ASCII letters, faster than an automaton could: each word
//! is told by the three bytes in a row that texts have least often, and only where those are it is compared.

use super::Set;
use super::told::{BLOCK, Told, WINDOW};
use crate::lookup::Lookup;

/// Bytes are told apart by so many codes: upper and lower case are one, so are digits, controls, and what is not ASCII.
const CODES: usize = 64;
const PAIRS: usize = CODES * CODES;

/// Before and behind a value.
const EDGE: u8 = 0;
const DIGIT: u8 = 27;
const CONTROL: u8 = 28;
const BLANK: u8 = 29;
const OTHER: u8 = 63;

static CODE_OF: Lookup<u8> = Lookup(codes());

/// The first detector, that for SQL, whose words texts have as well.
const ORDINARY: Set = 1;

pub(super) struct Needles {
    /// For each two codes a bit for each third one: whether a word is told by the three.
    third: Box<[u64; PAIRS]>,
    /// The same of those words that others than [`ORDINARY`] want.
    odd: Box<[u64; PAIRS]>,
    /// For each two codes where those of `words` begin that are told by them.
    starts: Vec<usize>,
    words: Vec<Word>,
}

#[derive(Clone, Copy)]
struct Word {
    text: &'static str,
    /// Place of the bytes that tell it.
    at: usize,
    wanted_by: Set,
}

impl Needles {
    #[expect(clippy::large_stack_arrays, reason = "once in the life of a process")]
    pub(super) fn new(list: &[(&'static str, Set)]) -> Self {
        let (mut third, mut odd) = (Box::new([0; PAIRS]), Box::new([0; PAIRS]));
        let mut told: Vec<(usize, Word)> = Vec::new();
        for (text, wanted_by) in list {
            let codes: Vec<u8> = text.bytes().map(|byte| CODE_OF.one(byte)).collect();
            let at = rarest(text.as_bytes());
            let word = Word { text, at, wanted_by: *wanted_by };
            let (first, second, last) = (codes.get(at), codes.get(at + 1), codes.get(at + 2));
            for code in any_or(second) {
                let pair = pair(first.copied().unwrap_or(EDGE), code);
                told.push((pair, word));
                for code in any_or(last) {
                    let is_odd = wanted_by & !ORDINARY != 0;
                    for table in [Some(&mut third), Some(&mut odd).filter(|_| is_odd)].into_iter().flatten() {
                        if let Some(bits) = table.get_mut(pair) {
                            *bits |= 1 << code;
                        }
                    }
                }
            }
        }
        told.sort_by_key(|(pair, _)| *pair);
        let starts = (0..=PAIRS).map(|pair| told.partition_point(|(known, _)| *known < pair)).collect();
        Self { third, odd, starts, words: told.into_iter().map(|(_, word)| word).collect() }
    }

    /// Those of `open` of which a word is in the value.
    pub(super) fn find(&self, value: &[u8], open: Set) -> Set {
        let table = if open & ORDINARY == 0 { &self.odd } else { &self.third };
        let (mut last, mut found) = (pair(EDGE, EDGE), 0);
        for (at, byte) in value.iter().enumerate() {
            let code = CODE_OF.one(*byte);
            if table.get(last).copied().unwrap_or(0) >> (code & 63) & 1 != 0 {
                found |= self.compare(last, value, at.wrapping_sub(2), open & !found);
                if found == open {
                    return found;
                }
            }
            last = next(last, code);
        }
        for at in value.len()..value.len() + 2 {
            if table.get(last).copied().unwrap_or(0) >> EDGE & 1 != 0 {
                found |= self.compare(last, value, at.wrapping_sub(2), open & !found);
            }
            last = next(last, EDGE);
        }
        found
    }

    /// Whether any of the words is in the value, of which `told` knows by vectors where they may be.
    pub(super) fn has(&self, value: &[u8], told: &Told) -> bool {
        let mut from = 0;
        while let Some(rest) = value.get(from..).filter(|rest| !rest.is_empty()) {
            let mut last = [0; WINDOW];
            let window = rest.first_chunk().unwrap_or_else(|| {
                last.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
                &last
            });
            let mut places = told.places(window);
            while places != 0 {
                let at = places.trailing_zeros() as usize;
                places &= places - 1;
                let Some([first, second, third]) = window.get(at..).and_then(|rest| rest.first_chunk())
                else {
                    break;
                };
                let pair = pair(CODE_OF.one(*first), CODE_OF.one(*second));
                let bits = self.third.get(pair).copied().unwrap_or(0);
                if bits >> (CODE_OF.one(*third) & 63) & 1 != 0
                    && self.compare(pair, value, from + at, Set::MAX) != 0
                {
                    return true;
                }
            }
            from += BLOCK;
        }
        false
    }

    /// Whether a word is told by these three bytes in a row.
    #[inline]
    pub(super) fn is_told(&self, bytes: [u8; 3]) -> bool {
        let [first, second, last] = bytes.map(|byte| CODE_OF.one(byte));
        third(&self.third, first, second) >> (last & 63) & 1 != 0
    }

    /// Those of `open` of which a word is where the pair stands.
    #[cold]
    fn compare(&self, pair: usize, value: &[u8], start: usize, open: Set) -> Set {
        let range =
            self.starts.get(pair).copied().unwrap_or(0)..self.starts.get(pair + 1).copied().unwrap_or(0);
        let words = self.words.get(range).unwrap_or_default().iter();
        let stands = |word: &&Word| {
            let from = start.checked_sub(word.at);
            let piece = from.and_then(|from| value.get(from..)?.get(..word.text.len()));
            piece.is_some_and(|piece| piece.eq_ignore_ascii_case(word.text.as_bytes()))
        };
        words
            .filter(|word| word.wanted_by & open != 0)
            .filter(stands)
            .fold(0, |found, word| found | word.wanted_by)
            & open
    }
}

#[inline]
fn third(table: &[u64; PAIRS], first: u8, second: u8) -> u64 {
    table.get(pair(first, second)).copied().unwrap_or(0)
}

/// The code, or every one where the word has ended.
fn any_or(code: Option<&u8>) -> std::ops::RangeInclusive<u8> {
    code.map_or(0..=OTHER, |code| *code..=*code)
}

#[inline]
fn pair(first: u8, second: u8) -> usize {
    (usize::from(first) << 6 | usize::from(second)) & (PAIRS - 1)
}

/// The pair of the second of two codes and the one behind them.
#[inline]
fn next(last: usize, code: u8) -> usize {
    (last << 6 | usize::from(code)) & (PAIRS - 1)
}

/// Where the three bytes in a row begin that texts have least often.
pub(super) fn rarest(word: &[u8]) -> usize {
    let often = |three: &[u8]| {
        let letters = three.iter().map(|byte| u64::from(frequency(CODE_OF.one(*byte)))).product::<u64>();
        if COMMON.iter().any(|common| three.eq_ignore_ascii_case(common.as_bytes())) {
            8 * letters
        } else {
            letters
        }
    };
    let (at, _) = word.windows(3).enumerate().min_by_key(|(_, three)| often(three)).unwrap_or((0, &[]));
    at
}

/// What texts have far more often than its letters would say: `for`, `name`, `place`, `kitchen`.
const COMMON: &[&str] = &["for", "nam", "ame", "pla", "tch"];

/// How often texts and addresses have a code, in about a thousand.
fn frequency(code: u8) -> u16 {
    const LETTERS: [u16; 26] =
        [80, 15, 28, 43, 120, 22, 20, 60, 70, 2, 8, 40, 24, 70, 75, 19, 1, 60, 65, 90, 28, 10, 24, 2, 20, 1];
    match code {
        1..=26 => LETTERS.get(usize::from(code) - 1).copied().unwrap_or(1),
        BLANK => 180,
        DIGIT => 60,
        OTHER => 40,
        _ => 15,
    }
}

/// How often texts have a byte, in about ten thousand.
pub(super) fn weight(byte: u8) -> u64 {
    let often = u64::from(frequency(CODE_OF.one(byte)));
    match byte {
        b'A'..=b'Z' | b'0'..=b'9' => often,
        0x80..=0xFF => 1,
        0..=0x1F | 0x7F => 0,
        _ => often * 10,
    }
}

#[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "the compiler runs it")]
const fn codes() -> [u8; 256] {
    let mut codes = [OTHER; 256];
    let mut next = BLANK;
    let mut byte = 0;
    while byte < 128 {
        codes[byte] = match byte as u8 {
            letter @ (b'a'..=b'z' | b'A'..=b'Z') => letter & 31,
            b'0'..=b'9' => DIGIT,
            0..=0x1F | 0x7F => CONTROL,
            b' ' => BLANK,
            _ => {
                next += 1;
                next
            }
        };
        byte += 1;
    }
    assert!(next < OTHER);
    codes
}
