//! Texts compared whatever the case of their ASCII letters. Called by decoders and detectors.

/// Whether a text begins so.
#[inline]
pub(crate) fn starts(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start))
}

/// Whether a text ends so.
#[inline]
pub(crate) fn ends(text: &[u8], end: &[u8]) -> bool {
    text.len()
        .checked_sub(end.len())
        .and_then(|at| text.get(at..))
        .is_some_and(|found| found.eq_ignore_ascii_case(end))
}

/// Whether a word is anywhere in a text.
pub(crate) fn contains(text: &[u8], word: &[u8]) -> bool {
    let Some(first) = word.first() else { return true };
    memchr::memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), text)
        .any(|at| text.get(at..).is_some_and(|rest| starts(rest, word)))
}

/// What follows such a beginning.
pub(crate) fn strip<'a>(text: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    if starts(text, start) { text.get(start.len()..) } else { None }
}

/// Where the names with each first byte begin in a table that is sorted by name; one that no name begins with is where
/// the next one is.
#[expect(clippy::indexing_slicing, reason = "the compiler runs it")]
pub(crate) const fn starts_of<T>(table: &[(&str, T)]) -> [usize; 257] {
    let mut starts = [table.len(); 257];
    let mut index = table.len();
    while index > 0 {
        index -= 1;
        starts[table[index].0.as_bytes()[0] as usize] = index;
    }
    let mut byte = 256;
    while byte > 0 {
        byte -= 1;
        if starts[byte] > starts[byte + 1] {
            starts[byte] = starts[byte + 1];
        }
    }
    starts
}

/// A bit for each length with a first and a last letter that a name of a table has: most words of a text are told by that
/// to be none of them.
#[expect(clippy::indexing_slicing, reason = "the compiler runs it")]
pub(crate) const fn shapes_of<T>(table: &[(&str, T)]) -> [u64; SHAPES / 64] {
    let mut bits = [0; SHAPES / 64];
    let mut index = 0;
    while index < table.len() {
        let name = table[index].0.as_bytes();
        let shape = shape(name[0], name[name.len() - 1], name.len());
        bits[shape / 64] |= 1 << (shape % 64);
        index += 1;
    }
    bits
}

/// Whether a name in any case may be one of a table.
#[inline]
pub(crate) fn has_shape(bits: &[u64; SHAPES / 64], name: &[u8]) -> bool {
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return false };
    let shape = shape(*first, *last, name.len());
    bits.get(shape / 64).is_some_and(|bits| bits >> (shape % 64) & 1 != 0)
}

const SHAPES: usize = 1 << 14;

const fn shape(first: u8, last: u8, length: usize) -> usize {
    (first as usize & 31) << 9 | (last as usize & 31) << 4 | length & 15
}

#[cfg(test)]
mod tests {
    use super::{contains, ends, starts, strip};

    #[test]
    fn letters_of_ascii_are_the_same_in_any_case_and_nothing_else_is() {
        // Text, word, whether it begins so, ends so, holds it.
        let rows = [
            ("", "", true, true, true),
            ("a", "", true, true, true),
            ("", "a", false, false, false),
            ("SeLect x", "select", true, false, true),
            ("a sELECT", "SELECT", false, true, true),
            ("a-Mac-b", "mac", false, false, true),
            ("a[b", "a{b", false, false, false),
            ("\u{c9}", "\u{e9}", false, false, false),
            ("aab", "ab", false, true, true),
        ];
        for (text, word, begins, stops, holds) in rows {
            let (text, word) = (text.as_bytes(), word.as_bytes());
            assert_eq!((starts(text, word), ends(text, word), contains(text, word)), (begins, stops, holds));
            assert_eq!(strip(text, word).is_some(), begins);
        }
        assert_eq!(strip(b"URL:a", b"url:"), Some(&b"a"[..]));
    }
}
