//! One block of 64 bytes: a bit for each byte, for what it is and what begins there. No look-up of a single byte but
//! where the vectors saw a word. Called by [`super::cursor`].

use fearless_simd::prelude::*;
use fearless_simd::{dispatch, u8x64};

use super::super::told::{BLOCK, WINDOW, halves, splat, tell};
use super::sets::Bytes;
use super::{Ends, Sieve, Tables};

/// A bit for each byte of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Masks {
    /// The mark that ends a piece, or the end of the text.
    pub stop: u64,
    pub dirty: u64,
    pub asked: u64,
    pub blank: u64,
    /// An apostrophe, a semicolon, a parenthesis that opens.
    pub soft: u64,
    pub high: u64,
    /// All of them but the stops.
    pub any: u64,
}

/// What is in a piece of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Glance(u64);

impl Glance {
    /// A byte for which a detector or a further reading looks at the value.
    pub const DIRTY: Self = Self(1);
    /// A byte or a word for which the prefilter has to be asked.
    pub const ASKED: Self = Self(2);
    pub const BLANK: Self = Self(4);
    pub const SOFT: Self = Self(32);
    /// For the reader: the text is not what is meant.
    pub const ESCAPED: Self = Self(16);
    /// A byte that is not ASCII.
    pub const HIGH: Self = Self(8);

    #[inline]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    #[inline]
    pub fn is_nothing(self) -> bool {
        self.0 == 0
    }
}

impl std::ops::BitOr for Glance {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Masks {
    /// The stops from a place of the block on, and all that is before the first of them.
    #[inline]
    pub fn ahead(&self, from: usize) -> (u64, u64) {
        let ahead = u64::MAX << (from % BLOCK);
        let stop = self.stop & ahead;
        (stop, (stop & stop.wrapping_neg()).wrapping_sub(1) & ahead)
    }

    /// What is in the bytes of a range.
    #[inline]
    pub fn seen(&self, range: u64) -> Glance {
        if self.any & range == 0 {
            return Glance::default();
        }
        let has = |mask: u64, bit: Glance| u64::from(mask & range != 0) * bit.0;
        Glance(
            has(self.dirty, Glance::DIRTY)
                | has(self.asked, Glance::ASKED)
                | has(self.blank, Glance::BLANK)
                | has(self.soft, Glance::SOFT)
                | has(self.high, Glance::HIGH),
        )
    }
}

impl Sieve {
    /// The masks of the block that `rest` begins with.
    pub(super) fn look(&self, rest: &[u8], ends: Ends) -> Masks {
        let Some(window) = rest.first_chunk::<WINDOW>() else { return self.look_at_end(rest, ends) };
        self.look_at(window, ends)
    }

    /// The last bytes, with zeros behind them.
    #[cold]
    fn look_at_end(&self, rest: &[u8], ends: Ends) -> Masks {
        let mut window = [0; WINDOW];
        window.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
        let Masks { stop, dirty, asked, blank, soft, high, any } = self.look_at(&window, ends);
        let valid = if rest.len() < BLOCK { (1 << rest.len()) - 1 } else { u64::MAX };
        Masks {
            stop: stop & valid | !valid,
            dirty: dirty & valid,
            asked: asked & valid,
            blank: blank & valid,
            soft: soft & valid,
            high: high & valid,
            any: any & valid,
        }
    }

    #[inline]
    fn look_at(&self, window: &[u8; WINDOW], ends: Ends) -> Masks {
        let tables = &self.tables;
        let (mut masks, mut told) = match ends {
            Ends::Json => {
                dispatch!(self.level, simd => look::<_, { Ends::Json as u8 }>(simd, tables, window))
            }
            Ends::Form => {
                dispatch!(self.level, simd => look::<_, { Ends::Form as u8 }>(simd, tables, window))
            }
        };
        while told != 0 {
            let at = told.trailing_zeros() as usize;
            if let Some(three) = window.get(at..).and_then(|rest| rest.first_chunk()) {
                let three = if ends == Ends::Form { three.map(without_plus) } else { *three };
                masks.asked |= u64::from(self.words.is_told(three)) << at;
            }
            told &= told - 1;
        }
        masks.any = masks.dirty | masks.asked | masks.blank | masks.soft | masks.high;
        masks
    }
}

fn without_plus(byte: u8) -> u8 {
    if byte == b'+' { b' ' } else { byte }
}

/// The masks, and where a word may be told.
#[inline(always)]
#[expect(clippy::inline_always, reason = "what calls it says which instructions there are")]
fn look<S: Simd, const ENDS: u8>(simd: S, tables: &Tables, window: &[u8; WINDOW]) -> (Masks, u64) {
    let chunk = |at: usize| window.get(at..).and_then(|rest| rest.first_chunk::<BLOCK>());
    let (Some(first), Some(second), Some(third)) = (chunk(0), chunk(1), chunk(2)) else {
        return (Masks { stop: u64::MAX, ..Masks::default() }, 0);
    };
    let text = load::<S, ENDS>(simd, first);
    let places = [halves(text), halves(load::<S, ENDS>(simd, second)), halves(load::<S, ENDS>(simd, third))];
    let [here, ..] = places;
    let rows = [splat(simd, &ASCII_ROWS), splat(simd, &OTHER_ROWS)]
        .map(|rows| rows.swizzle_dyn_within_blocks(here.1));
    let [first_group, second_group] = &tables.words;
    let told = tell(simd, first_group, &places) | tell(simd, second_group, &places);
    let stop = if ENDS == FORM {
        text.simd_eq(b'&') | text.simd_eq(b'=')
    } else {
        text.simd_eq(b'"') | text.simd_eq(b'\\') | text.simd_lt(0x20)
    };
    // A form is split at semicolons as well.
    let semicolon = text.simd_eq(b';');
    let split = if ENDS == FORM { semicolon.to_bitmask() } else { 0 };
    let soft = text.simd_eq(b'\'') | text.simd_eq(b'(') | semicolon;
    let masks = Masks {
        stop: stop.to_bitmask(),
        dirty: is_in(simd, &tables.dirty, here.0, rows) | split,
        soft: soft.to_bitmask(),
        asked: is_in(simd, &tables.asked, here.0, rows),
        blank: text.simd_eq(b' ').to_bitmask(),
        high: text.simd_ge(0x80).to_bitmask(),
        any: 0,
    };
    (masks, !told.simd_eq(0).to_bitmask())
}

const FORM: u8 = Ends::Form as u8;

/// For each upper half the bit of [`Bytes`], in one table for ASCII and in one for the others.
const ASCII_ROWS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 0, 0, 0, 0, 0, 0, 0, 0];
const OTHER_ROWS: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128];

#[inline(always)]
#[expect(clippy::inline_always, reason = "as `look`")]
fn load<S: Simd, const ENDS: u8>(simd: S, bytes: &[u8; BLOCK]) -> u8x64<S> {
    let text = u8x64::load_array_ref(simd, bytes);
    if ENDS == FORM { text.simd_eq(b'+').select(u8x64::splat(simd, b' '), text) } else { text }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "as `look`")]
fn is_in<S: Simd>(simd: S, set: &Bytes, lower: u8x64<S>, [ascii, others]: [u8x64<S>; 2]) -> u64 {
    let found = splat(simd, &set.ascii).swizzle_dyn_within_blocks(lower) & ascii
        | splat(simd, &set.others).swizzle_dyn_within_blocks(lower) & others;
    !found.simd_eq(0).to_bitmask()
}
