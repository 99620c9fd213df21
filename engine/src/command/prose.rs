//! Prose, told at little cost: no word that stands where a shell would look for a command is one. Must never be true of a
//! place at which something would be found; a test of the sieve, which calls it, asks the detector.

use super::{reading, sentence};

/// Whether a word of a text begins here, or nothing: at the beginning of a value, or behind a semicolon and a blank. The
/// value has none of ``|&`$<>{[?~+=%\``, no controls, and nothing that is not ASCII.
pub(crate) fn is_ordinary(rest: &[u8]) -> bool {
    let Some(first) = rest.first() else { return true };
    // `for` and `if` of Windows.
    let is_statement =
        matches!(rest, [b'f' | b'F', b'o' | b'O', b'r' | b'R', ..] | [b'i' | b'I', b'f' | b'F', ..]);
    first.is_ascii_alphabetic()
        && !is_statement
        && (sentence::begins(rest) || reading::is_plain_word(rest, 0))
}
