//! Prose, told at little cost: what the marks of a sentence are, and whether every reading of [`super::inspect`] ends at
//! once because of where they stand. Must never be true of a value in which something would be found; a test of the
//! sieve, which calls it, asks the detector.
//!
//! A value without any of `` "`<>=#|&$+{[?~%\ ``, controls and bytes that are not ASCII is prose where it
//! [begins as a sentence](super::begins_as_sentence), each quote is an apostrophe, no comment and no `union` is in it, and
//! no parenthesis is nested as below. Forms and fragments begin with a word of SQL, or have another of these.

use super::{begins_with_names, goes_on};
use crate::ascii;

/// Whether a quote stands in a word, and what follows it goes on with no statement.
pub(crate) fn is_apostrophe(before: &[u8], behind: &[u8], is_first: bool) -> bool {
    let is_letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphabetic);
    let goes_on_as_text = || {
        if is_first {
            begins_with_names(behind, 1) && !ascii::starts(behind, b"goto")
        } else {
            !goes_on(behind)
        }
    };
    is_letter(before.last()) && (is_contracted(behind) || is_letter(behind.first()) && goes_on_as_text())
}

/// `it's`, `don't`, `I'm`: what nearly all apostrophes are.
fn is_contracted(behind: &[u8]) -> bool {
    let ([b's' | b't' | b'm' | b'd', behind @ ..]
    | [b'r' | b'v', b'e', behind @ ..]
    | [b'l', b'l', behind @ ..]) = behind
    else {
        return false;
    };
    matches!(behind, [] | [b' ' | b',' | b'.' | b';' | b':' | b'!', ..])
}

/// Whether `ascii` or `ord` stands before a parenthesis: a letter at a time is asked for.
pub(crate) fn is_nested(before: &[u8]) -> bool {
    ascii::ends(before, b"ascii") || ascii::ends(before, b"ord")
}

/// Whether `union` goes on here behind its first letter.
pub(crate) fn is_union(behind: &[u8]) -> bool {
    ascii::starts(behind, b"nion")
}

#[cfg(test)]
mod tests {
    use super::super::{WORDS, begins_as_sentence};
    use super::*;

    #[test]
    fn what_forms_and_fragments_begin_with_is_no_beginning_of_a_sentence() {
        for word in ["if", "select", "exec", "execute", "from", "limit", "as", "or", "and", "begin"] {
            assert!(WORDS.find(word.as_bytes()).is_some(), "{word}");
            assert!(!begins_as_sentence(format!("{word} nothing else").as_bytes()), "{word}");
        }
        for contracted in ["s", "t", "m", "d", "re", "ve", "ll"] {
            assert!(WORDS.find(contracted.as_bytes()).is_none(), "{contracted}");
        }
    }

    #[test]
    fn an_apostrophe_is_told_from_a_quote() {
        for (value, is_one) in [
            ("it's blue", true),
            ("they're", true),
            ("O'Brien is here", true),
            ("it'or 1", false),
            ("it' or 1", false),
            ("' or 1", false),
            ("it''s", false),
            ("it'goto a declare", false),
            ("it'", false),
            ("1's", false),
        ] {
            let (before, behind) = value.split_once('\'').unwrap();
            assert_eq!(is_apostrophe(before.as_bytes(), behind.as_bytes(), true), is_one, "{value}");
        }
        assert!(is_apostrophe(b"it", b"goto", false));
        assert!(!is_apostrophe(b"it", b"or 1", false));
        assert!(!is_apostrophe(b"it", b"; 1", false));
    }
}
