//! From mark to mark of a text, and what is between them. Blocks are looked at when they are reached, each once as long
//! as the text is read forwards.

use super::super::told::BLOCK;
use super::look::Masks;
use super::{Glance, Sieve, sieve};

/// The marks that end a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Ends {
    /// A quote, a backslash, a control character.
    Json,
    /// `&` and `=`. A `+` counts as a blank.
    Form,
}

pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    ends: Ends,
    sieve: &'static Sieve,
    block: usize,
    masks: Masks,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], ends: Ends) -> Self {
        Self { bytes, ends, sieve: sieve(), block: usize::MAX, masks: Masks::default() }
    }

    /// Where the piece that begins at `from` ends, and what is in it.
    #[inline]
    pub(crate) fn piece(&mut self, from: usize) -> (usize, Glance) {
        let (stop, range) = self.masks.ahead(from);
        // Most end in the block that they begin in.
        if stop != 0 && from / BLOCK == self.block {
            return (self.block * BLOCK + stop.trailing_zeros() as usize, self.masks.seen(range));
        }
        self.long_piece(from)
    }

    #[inline(never)]
    fn long_piece(&mut self, from: usize) -> (usize, Glance) {
        let (mut from, mut seen) = (from, Glance::default());
        loop {
            let block = from / BLOCK;
            if block != self.block {
                self.load(block);
            }
            let (stop, range) = self.masks.ahead(from);
            seen = seen | self.masks.seen(range);
            if stop != 0 {
                return (block * BLOCK + stop.trailing_zeros() as usize, seen);
            }
            from = (block + 1) * BLOCK;
        }
    }

    /// Whether nothing looks at a value of which this was seen.
    #[inline]
    pub(crate) fn passes(&self, value: &[u8], seen: Glance) -> bool {
        self.sieve.passes(value, seen)
    }

    fn load(&mut self, block: usize) {
        self.masks = self.sieve.look(self.bytes.get(block * BLOCK..).unwrap_or_default(), self.ends);
        self.block = block;
    }
}
