//! Finds words of a fixed list in a value, whatever the case of ASCII letters, faster than an automaton could: each word
//! is told by the three bytes in a row that texts have least often, and only where those are it is compared.

use super::Set;
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

pub(super) struct Needles {
    /// For each two codes a bit for each third one: whether a word is told by the three.
    third: Box<[u64; PAIRS]>,
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
        let mut third = Box::new([0; PAIRS]);
        let mut told: Vec<(usize, Word)> = Vec::new();
        for (text, wanted_by) in list {
            let codes: Vec<u8> = text.bytes().map(|byte| CODE_OF.one(byte)).collect();
            let at = rarest(&codes);
            let word = Word { text, at, wanted_by: *wanted_by };
            let (first, second, last) = (codes.get(at), codes.get(at + 1), codes.get(at + 2));
            for code in any_or(second) {
                let pair = pair(first.copied().unwrap_or(EDGE), code);
                told.push((pair, word));
                for code in any_or(last) {
                    if let Some(bits) = third.get_mut(pair) {
                        *bits |= 1 << code;
                    }
                }
            }
        }
        told.sort_by_key(|(pair, _)| *pair);
        let starts = (0..=PAIRS).map(|pair| told.partition_point(|(known, _)| *known < pair)).collect();
        Self { third, starts, words: told.into_iter().map(|(_, word)| word).collect() }
    }

    /// Those of `open` of which a word is in the value.
    pub(super) fn find(&self, value: &[u8], open: Set) -> Set {
        let (mut first, mut second, mut found) = (EDGE, EDGE, 0);
        let mut at = 0;
        let (chunks, rest) = value.as_chunks::<4>();
        for chunk in chunks {
            // Four at once: few of them tell anything.
            let [a, b, c, d] = chunk.map(|byte| CODE_OF.one(byte));
            let told = self.third(first, second) >> (a & 63)
                | self.third(second, a) >> (b & 63)
                | self.third(a, b) >> (c & 63)
                | self.third(b, c) >> (d & 63);
            if told & 1 != 0 {
                found |= self.look(value, at, [first, second, a, b, c, d], open & !found);
                if found == open {
                    return found;
                }
            }
            (first, second) = (c, d);
            at += 4;
        }
        let mut tail = [EDGE; 5];
        tail.iter_mut().zip(rest).for_each(|(code, byte)| *code = CODE_OF.one(*byte));
        let [one, two, three, four, five] = tail;
        let told = self.third(first, second) >> (one & 63)
            | self.third(second, one) >> (two & 63)
            | self.third(one, two) >> (three & 63)
            | self.third(two, three) >> (four & 63)
            | self.third(three, four) >> (five & 63);
        if told & 1 != 0 {
            found |= self.look(value, at, [first, second, one, two, three, four, five], open & !found);
        }
        found
    }

    /// Those of `open` of which a word is told by three of these codes in a row, the third of which is at `at`.
    #[cold]
    fn look<const CODES: usize>(&self, value: &[u8], at: usize, codes: [u8; CODES], open: Set) -> Set {
        let mut found = 0;
        for (index, three) in codes.windows(3).enumerate() {
            let [first, second, third] = *three else { break };
            if self.third(first, second) >> (third & 63) & 1 != 0 {
                found |=
                    self.compare(pair(first, second), value, (at + index).wrapping_sub(2), open & !found);
            }
        }
        found
    }

    #[inline]
    fn third(&self, first: u8, second: u8) -> u64 {
        self.third.get(pair(first, second)).copied().unwrap_or(0)
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

/// The code, or every one where the word has ended.
fn any_or(code: Option<&u8>) -> std::ops::RangeInclusive<u8> {
    code.map_or(0..=OTHER, |code| *code..=*code)
}

#[inline]
fn pair(first: u8, second: u8) -> usize {
    (usize::from(first) << 6 | usize::from(second)) & (PAIRS - 1)
}

/// Where the three codes in a row begin that texts have least often.
fn rarest(codes: &[u8]) -> usize {
    let often = |three: &[u8]| three.iter().map(|code| u64::from(frequency(*code))).product::<u64>();
    let (at, _) = codes.windows(3).enumerate().min_by_key(|(_, three)| often(three)).unwrap_or((0, &[]));
    at
}

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
