//! What stands around a piece of a value: nothing, a word, words, prose or a document. An application puts a name or a
//! number into a command or a program; who writes prose or a document with code in it means it as text.
//!
//! Called by detectors, with places that only move forward, so that a value is counted once.

/// From little to much; the more there is, the less the piece is meant to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Around {
    /// Nothing but blanks and quotes.
    Nothing,
    /// Bytes without a blank between them, however many.
    Word,
    /// A few words in one line.
    Words,
    /// More words, or a second line.
    Prose,
    /// Several lines.
    Document,
}

/// What stands before the places of one value, counted as they come.
#[derive(Debug)]
pub(crate) struct Before<'a> {
    value: &'a [u8],
    at: usize,
    blanks: usize,
    lines: usize,
    /// Something other than a blank or a quote was seen.
    seen: bool,
    in_blank: bool,
}

impl<'a> Before<'a> {
    pub(crate) fn new(value: &'a [u8]) -> Self {
        Self { value, at: 0, blanks: 0, lines: 0, seen: false, in_blank: true }
    }

    /// What stands before a place. Places must not go back: for one that does, the answer is that of the last one.
    pub(crate) fn upto(&mut self, place: usize) -> Around {
        for byte in self.value.get(self.at..place).unwrap_or_default() {
            match byte {
                b'\n' => {
                    self.lines += usize::from(self.seen);
                    self.in_blank = true;
                }
                b' ' | b'\t' | b'\r' | 0x0B | 0x0C | 0 => self.in_blank = true,
                _ => {
                    self.blanks += usize::from(self.in_blank && self.seen);
                    self.in_blank = false;
                    self.seen |= !matches!(byte, b'\'' | b'"');
                }
            }
        }
        self.at = self.at.max(place);
        around(self.seen, self.blanks, self.lines)
    }
}

/// What stands behind a piece.
pub(crate) fn behind(bytes: &[u8]) -> Around {
    // More than this is a document, whatever it holds.
    let bytes = bytes.get(..LONGEST).unwrap_or(bytes);
    Before::new(bytes).upto(bytes.len())
}

const LONGEST: usize = 96;

fn around(seen: bool, blanks: usize, lines: usize) -> Around {
    match (seen, blanks, lines) {
        (false, ..) => Around::Nothing,
        (_, _, 3..) => Around::Document,
        (_, _, 1..) if blanks > 3 => Around::Prose,
        (_, 0, _) => Around::Word,
        (_, 1..=5, _) => Around::Words,
        _ => Around::Prose,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_a_word_from_prose_from_a_document() {
        let rows: &[(&[u8], Around)] = &[
            (b"", Around::Nothing),
            (b" '", Around::Nothing),
            (b"127.0.0.1", Around::Word),
            (b" alice ", Around::Word),
            (b"first\nsecond", Around::Words),
            (b"127.0.0.1 -c 3", Around::Words),
            (b"please have a look at what happens here", Around::Prose),
            (b"a b c\nd e f g", Around::Prose),
            (b"a\nb\nc\nd", Around::Document),
        ];
        for (value, expected) in rows {
            assert_eq!(
                Before::new(value).upto(value.len()),
                *expected,
                "{:?}",
                String::from_utf8_lossy(value)
            );
        }
    }
}
