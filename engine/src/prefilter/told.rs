//! Where in 64 bytes a word of a list may be, told by vector instructions from three bytes of the word: a byte is looked up
//! by its halves in tables of 16. Says nothing for certain; what calls it compares. Used by `needles` and `sieve`.

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, u8x16, u8x64};

use super::needles::{rarest, weight};

/// Bytes of a block.
pub(super) const BLOCK: usize = 64;
/// A word is told by three bytes, so that two more are looked at.
pub(super) const WINDOW: usize = BLOCK + 2;

/// Words of a list, for each of the places of a block.
pub(super) struct Told {
    level: Level,
    words: [Words; 2],
}

/// Eight groups of words: for each of three places, which groups have a byte with this lower and with this upper half.
pub(super) struct Words {
    lower: [[u8; 16]; 3],
    upper: [[u8; 16]; 3],
}

impl Told {
    pub fn new(words: &[&str]) -> Self {
        Self { level: Level::new(), words: groups(words) }
    }

    /// A bit for each byte of the block at which three bytes begin that a word may be told by.
    #[inline]
    pub fn places(&self, window: &[u8; WINDOW]) -> u64 {
        dispatch!(self.level, simd => places(simd, &self.words, window))
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "what calls it says which instructions there are")]
fn places<S: Simd>(simd: S, words: &[Words; 2], window: &[u8; WINDOW]) -> u64 {
    let chunk = |at: usize| window.get(at..).and_then(|rest| rest.first_chunk::<BLOCK>());
    let (Some(first), Some(second), Some(third)) = (chunk(0), chunk(1), chunk(2)) else { return u64::MAX };
    let load = |bytes| halves(u8x64::load_array_ref(simd, bytes));
    let places = [load(first), load(second), load(third)];
    let [one, other] = words;
    let told = tell(simd, one, &places) | tell(simd, other, &places);
    !told.simd_eq(0).to_bitmask()
}

/// The lower and the upper half of each byte.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as `places`")]
pub(super) fn halves<S: Simd>(text: u8x64<S>) -> (u8x64<S>, u8x64<S>) {
    (text & 15, text >> 4)
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "as `places`")]
pub(super) fn splat<S: Simd>(simd: S, table: &[u8; 16]) -> u8x64<S> {
    u8x64::block_splat(u8x16::load_array_ref(simd, table))
}

/// For each place the groups that have a word which is told there.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as `places`")]
pub(super) fn tell<S: Simd>(simd: S, words: &Words, places: &[(u8x64<S>, u8x64<S>); 3]) -> u8x64<S> {
    let [first, second, third] = places;
    let [lower_first, lower_second, lower_third] = &words.lower;
    let [upper_first, upper_second, upper_third] = &words.upper;
    fits(simd, lower_first, upper_first, *first)
        & fits(simd, lower_second, upper_second, *second)
        & fits(simd, lower_third, upper_third, *third)
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "as `places`")]
fn fits<S: Simd>(simd: S, lower: &[u8; 16], upper: &[u8; 16], halves: (u8x64<S>, u8x64<S>)) -> u8x64<S> {
    splat(simd, lower).swizzle_dyn_within_blocks(halves.0)
        & splat(simd, upper).swizzle_dyn_within_blocks(halves.1)
}

/// For three places the halves that bytes there have.
type Shape = [(u16, u16); 3];

/// Sorts words into groups, so that few other texts have the shape of one.
pub(super) fn groups(words: &[&str]) -> [Words; 2] {
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
