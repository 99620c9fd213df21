//! Prose, told at little cost: a parenthesis is a remark and no call. Must never be true of one at which a call would be
//! found; a test of the sieve, which calls it and looks for marks itself, asks the detector.

use super::calls::is_name;
use super::words;

/// Longer names, and wider gaps, are read in full.
const LONGEST: usize = 24;

/// Whether a word that is no function stands before a parenthesis, or nothing that could be called. The value has none of
/// ``"`<>=#|&$+{[?~%\``, no controls, and nothing that is not ASCII.
pub(crate) fn is_remark(left: &[u8]) -> bool {
    let bare = left.trim_ascii_end();
    let mut name = [0; LONGEST];
    let length = bare.iter().rev().take(LONGEST).take_while(|byte| is_name(**byte)).count();
    if length == LONGEST || left.len() - bare.len() > 1 {
        return false;
    }
    let (before, word) = bare.split_at_checked(bare.len() - length).unwrap_or((bare, &[]));
    if word.is_empty() {
        return matches!(before, [] | [.., b',' | b';' | b'-' | b'!']);
    }
    // What is called through an object, or is the name of a variable.
    if matches!(before.last(), Some(b'$' | b'.' | b'>' | b':')) {
        return false;
    }
    name.iter_mut().zip(word).for_each(|(place, byte)| *place = byte.to_ascii_lowercase());
    words::find(name.get(..length).unwrap_or_default()).is_none()
}

/// Whether a value has a mark of code, wherever it stands.
pub(crate) fn has_marks(value: &[u8]) -> bool {
    super::marks::find(value).next().is_some()
}
