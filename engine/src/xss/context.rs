//! What kind of value evidence stands in. Code that people show to each other is no attack: it stands in a code span or
//! a block of Markdown, or is a document of many lines. Both only lower the confidence to Medium; a document keeps what
//! ordinary code has rarely.

use super::evidence::Evidence;
use super::rules::Rule;
use crate::finding::{Confidence, Part};

/// The confidence that is left in this value.
pub(super) fn weigh(value: &[u8], part: Part, evidence: &Evidence) -> Confidence {
    let confidence = evidence.confidence;
    if confidence <= Confidence::Medium || part == Part::Path {
        return confidence;
    }
    // What writes feeds writes pages; what shows them has to clean them anyway.
    if part == Part::Feed {
        return Confidence::Medium;
    }
    let shown = is_document(value) && is_part_of_it(value, evidence) || is_shown(value, evidence.start);
    if shown { Confidence::Medium } else { confidence }
}

/// What documents that hold code have: calls of their own, texts with anything after them, scripts of several lines.
fn is_part_of_it(value: &[u8], evidence: &Evidence) -> bool {
    let lines = || {
        let text = value.get(evidence.start..evidence.end).unwrap_or_default();
        memchr::memchr_iter(b'\n', text).take(3).count()
    };
    !evidence.hostile || evidence.rule == Rule::Text || evidence.rule == Rule::Script && lines() == 3
}

/// Many lines, of which most are more than a word.
fn is_document(value: &[u8]) -> bool {
    value.len() >= SHORTEST_DOCUMENT && memchr::memchr_iter(b'\n', value).take(LINES).count() == LINES
}

const SHORTEST_DOCUMENT: usize = 160;
const LINES: usize = 4;

/// Whether it stands in a code span or a fenced block (CommonMark 4.5 and 6.1), with prose outside.
pub(crate) fn is_shown(value: &[u8], at: usize) -> bool {
    let mut ticks = memchr::memchr_iter(b'`', value);
    let Some(first) = ticks.next() else { return false };
    let mut open: Option<(usize, usize)> = None;
    let mut position = first;
    while let Some(rest) = value.get(position..).filter(|rest| !rest.is_empty()) {
        let length = rest.iter().take_while(|byte| **byte == b'`').count();
        if length == 0 {
            position += memchr::memchr(b'`', rest).unwrap_or(rest.len());
            continue;
        }
        match open {
            None => open = Some((position, length)),
            Some((start, opening)) if opening == length || opening >= 3 && length >= opening => {
                if (start..position).contains(&at) {
                    return is_prose(value.get(..start), value.get(position + length..));
                }
                open = None;
            }
            Some(_) => {}
        }
        position += length;
    }
    // A block that does not end goes on to the end.
    open.is_some_and(|(start, length)| length >= 3 && at >= start && is_prose(value.get(..start), None))
}

/// At least three words around it.
fn is_prose(before: Option<&[u8]>, after: Option<&[u8]>) -> bool {
    let words = |text: &[u8]| {
        let is_word = |word: &&[u8]| {
            word.len() > 1 && word.iter().all(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80)
        };
        text.split(|byte| *byte <= b' ').filter(is_word).take(3).count()
    };
    words(before.unwrap_or_default()) + words(after.unwrap_or_default()) >= 3
}
