//! What vectors look for: sets of bytes, and words by three bytes in a row. A byte is looked up by its halves in tables of
//! 16, which is what vector instructions can do. Made of the needs of the detectors, once for the process.

use super::super::needles::{rarest, weight};
use crate::detector::Needs;
use crate::lookup::Lookup;

/// Bytes that make it worthwhile to ask the prefilter about a value, other than letters, digits and the blank. Any choice is
/// right: words that need other bytes are looked for.
const ASKED: &[u8] = b"./:_@])!*~";

/// Of the commands' needs: these are between the words of every sentence, so its first word is looked at instead.
const BETWEEN_WORDS: &[u8] = b" ";

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

/// Eight groups of words: for each of three places, which groups have a byte with this lower and with this upper half.
pub(super) struct Words {
    pub lower: [[u8; 16]; 3],
    pub upper: [[u8; 16]; 3],
}

impl Tables {
    /// The tables, and the words that are looked for.
    pub fn new(needs: &[Needs], command: Option<usize>) -> (Self, Vec<&'static str>) {
        let mut dirty = [false; 256];
        let (controls, _) = dirty.split_at_mut(0x20);
        controls.fill(true);
        for (number, needs) in needs.iter().enumerate() {
            for byte in needs.alone {
                if !(command == Some(number) && BETWEEN_WORDS.contains(byte)) {
                    set(&mut dirty, *byte);
                }
            }
        }
        let mut asked = [false; 256];
        for byte in ASKED.iter().chain(needs.iter().flat_map(|needs| needs.bytes)) {
            if ASKED.contains(byte) || !byte.is_ascii() {
                set(&mut asked, *byte);
            }
        }
        let is_seen = Lookup(std::array::from_fn::<bool, 256, _>(|byte| {
            dirty.get(byte).copied().unwrap_or(true) || asked.get(byte).copied().unwrap_or(true)
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

/// For three places the halves that bytes there have.
type Shape = [(u16, u16); 3];

/// Sorts words into groups, so that few other texts have the shape of one.
fn groups(words: &[&str]) -> [Words; 2] {
    let mut shapes: Vec<Shape> = words.iter().map(|word| shape(word.as_bytes())).collect();
    shapes.sort_by_key(|shape| std::cmp::Reverse(often(shape)));
    let mut groups: Vec<Shape> = Vec::new();
    for shape in shapes {
        if groups.len() < GROUPS {
            groups.push(shape);
            continue;
        }
        let more = |group: &Shape| often(&both(group, &shape)) - often(group);
        if let Some(group) = groups.iter_mut().min_by_key(|group| more(group)) {
            *group = both(group, &shape);
        }
    }
    let mut tables = [(); 2].map(|()| Words { lower: [[0; 16]; 3], upper: [[0; 16]; 3] });
    for (number, group) in groups.iter().enumerate() {
        let Some(table) = tables.get_mut(number / 8) else { break };
        let places = table.lower.iter_mut().zip(&mut table.upper).zip(group);
        for ((lower, upper), halves) in places {
            for (row, half) in [(lower, halves.0), (upper, halves.1)] {
                let bits = row.iter_mut().enumerate().filter(|(index, _)| half >> index & 1 != 0);
                bits.for_each(|(_, bits)| *bits |= 1 << (number % 8));
            }
        }
    }
    tables
}

const GROUPS: usize = 16;

/// That of the bytes that tell a word, in any case; any byte where it has ended.
fn shape(word: &[u8]) -> Shape {
    let at = rarest(word);
    std::array::from_fn(|place| {
        let Some(byte) = word.get(at + place) else { return (u16::MAX, u16::MAX) };
        let halves = [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()];
        halves
            .iter()
            .fold((0, 0), |(lower, upper), byte| (lower | 1 << (byte & 15), upper | 1 << (byte >> 4)))
    })
}

fn both(one: &Shape, other: &Shape) -> Shape {
    let mut both = *one;
    for (halves, more) in both.iter_mut().zip(other) {
        *halves = (halves.0 | more.0, halves.1 | more.1);
    }
    both
}

/// How often texts have such bytes in a row.
fn often(shape: &Shape) -> u64 {
    // What is not ASCII is next to nothing.
    let row = |lower: u16, upper: u8| {
        (0..16).filter(|half| lower >> half & 1 != 0).map(|half| weight(upper << 4 | half)).sum::<u64>()
    };
    let place = |(lower, upper): &(u16, u16)| {
        (2..8).filter(|half| upper >> half & 1 != 0).map(|half| row(*lower, half)).sum::<u64>().max(1)
    };
    shape.iter().map(place).product()
}
