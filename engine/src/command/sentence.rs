//! Whether a value without an opener begins as a sentence does, told by its first word at little cost. Called for every
//! such value; what it does not know is read as any other value.

use super::{reading, words};
use crate::lookup::Lookup;

/// What a word that is written out has.
static PLAIN: Lookup<bool> = Lookup::of(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");

/// Longer ones are read in full.
const LONGEST: usize = 8;

/// Whether the first word is written out, ends as words of a text do, and is neither a command nor what runs one.
#[inline]
pub(super) fn begins(value: &[u8]) -> bool {
    let mut word = [0; LONGEST];
    let mut length = 0;
    for (place, byte) in word.iter_mut().zip(value) {
        if !PLAIN.one(*byte) {
            break;
        }
        *place = byte | 0x20;
        length += 1;
    }
    let ends = matches!(value.get(length), Some(b' ' | b',' | b':'));
    let word = word.get(..length).unwrap_or_default();
    ends && length > 0 && !words::may_begin(word) && !reading::is_prefix(word)
}
