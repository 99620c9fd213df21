//! Words that only one kind of language has, found in one pass over a value: each with a rule, and a function that looks
//! at what stands next to it. Called by detectors. A mark decides nothing by itself where ordinary text can have it.

use aho_corasick::{AhoCorasick, MatchKind};

use crate::budget::Budget;
use crate::decode::Field;
use crate::detector::{Evidence, Report, Rule};
use crate::finding::{Confidence, RuleId};
use crate::mask;
use crate::reason::Reason;
use crate::surroundings::{Around, Before};

pub(crate) const fn rule(id: &'static str, reason: &'static str) -> Rule {
    Rule { id: RuleId(id), reason }
}

/// A rule that fits, how sure it is, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub rule: &'static Rule,
    pub confidence: Confidence,
    pub start: usize,
    pub end: usize,
}

/// Keeps the surer one; of two that are as sure, the first.
pub(crate) fn surer(known: Option<Found>, found: Option<Found>) -> Option<Found> {
    match (known, found) {
        (Some(known), Some(found)) if found.confidence > known.confidence => Some(found),
        (None, found) => found,
        (known, _) => known,
    }
}

impl Found {
    /// `is_known`: words that the sample may show.
    pub(crate) fn report(self, field: &Field<'_>, report: &mut Report<'_>, is_known: impl Fn(&[u8]) -> bool) {
        let sample = mask::sample(field.value.get(self.start..self.end).unwrap_or_default(), is_known);
        let at = self.start..self.end;
        report.find(field, Evidence { rule: *self.rule, confidence: self.confidence, at, sample });
    }
}

/// What stands around a piece of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub before: Around,
    /// Lines of the value that have something in them.
    pub lines: usize,
}

impl Place {
    /// No blank between the start of the value and the piece.
    pub(crate) fn is_word(self) -> bool {
        self.before <= Around::Word && self.lines < 4
    }

    /// Neither a document nor a sentence.
    pub(crate) fn is_line(self) -> bool {
        self.before <= Around::Words && self.lines < 4
    }

    /// In prose and documents nothing is surer than Medium.
    pub(crate) fn lower(self, confidence: Confidence) -> Confidence {
        if self.is_line() { confidence } else { confidence.min(Confidence::Medium) }
    }

    pub(crate) fn lower_unless_word(self, confidence: Confidence) -> Confidence {
        if self.is_word() { confidence } else { confidence.min(Confidence::Medium) }
    }
}

/// Lines that have something in them; four are as good as any more.
pub(crate) fn lines(value: &[u8]) -> usize {
    value
        .split(|byte| matches!(byte, b'\n' | b'\r'))
        .filter(|line| !line.trim_ascii().is_empty())
        .take(4)
        .count()
}

/// Where a mark is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a> {
    pub value: &'a [u8],
    pub before: &'a [u8],
    pub behind: &'a [u8],
    pub place: Place,
}

impl At<'_> {
    /// The byte before the mark.
    pub(crate) fn last(&self) -> Option<u8> {
        self.before.last().copied()
    }

    /// The last byte before the mark that is not a blank.
    pub(crate) fn last_dark(&self) -> Option<u8> {
        let near = self.before.get(self.before.len().saturating_sub(16)..).unwrap_or_default();
        near.trim_ascii_end().last().copied()
    }

    /// What stands before the mark, and not far.
    pub(crate) fn near(&self) -> &[u8] {
        self.before.get(self.before.len().saturating_sub(128)..).unwrap_or_default()
    }

    /// The mark begins a word.
    pub(crate) fn begins_word(&self) -> bool {
        !self.last().is_some_and(is_name)
    }

    /// What follows, without the blanks, and not far.
    pub(crate) fn next(&self) -> &[u8] {
        self.behind.get(..64).unwrap_or(self.behind).trim_ascii_start()
    }
}

pub(crate) fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

pub(crate) type Judge = fn(&At<'_>) -> Option<Confidence>;

/// A word in lower case, found in any case.
pub(crate) struct Mark {
    pub word: &'static str,
    pub rule: &'static Rule,
    pub judge: Judge,
}

pub(crate) struct Marks {
    marks: &'static [Mark],
    automaton: Option<AhoCorasick>,
}

impl Marks {
    pub(crate) fn new(marks: &'static [Mark]) -> Self {
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .build(marks.iter().map(|mark| mark.word));
        // A test builds it: the words are constants.
        Self { marks, automaton: automaton.ok() }
    }

    /// The surest mark of a value.
    pub(crate) fn find(&self, value: &[u8], budget: &mut Budget) -> Result<Option<Found>, Reason> {
        budget.work(value.len())?;
        let Some(automaton) = &self.automaton else { return Ok(None) };
        let mut best = None;
        let mut before = Before::new(value);
        let mut count = None;
        for found in automaton.find_iter(value) {
            let Some(mark) = self.marks.get(found.pattern().as_usize()) else { continue };
            budget.work(8)?;
            let (start, end) = (found.start(), found.end());
            let at = At {
                value,
                before: value.get(..start).unwrap_or_default(),
                behind: value.get(end..).unwrap_or_default(),
                place: Place {
                    before: before.upto(start),
                    lines: *count.get_or_insert_with(|| lines(value)),
                },
            };
            let confidence = (mark.judge)(&at);
            best =
                surer(best, confidence.map(|confidence| Found { rule: mark.rule, confidence, start, end }));
        }
        Ok(best)
    }

    /// For tests of detectors: all marks get past the prefilter.
    #[cfg(test)]
    pub(crate) fn check(&self, needs: &crate::detector::Needs) {
        assert!(self.automaton.is_some());
        for mark in self.marks {
            assert_eq!(mark.word.to_lowercase(), mark.word);
            let alone = mark.word.bytes().any(|byte| needs.alone.contains(&byte));
            assert!(
                alone || needs.needles.iter().any(|needle| mark.word.contains(needle)),
                "{}: no needle",
                mark.word
            );
        }
    }
}

/// Confidence of what a detector finds in a value, for its tests.
#[cfg(test)]
pub(crate) fn confidence_in(
    detector: &crate::detector::Detector,
    part: crate::finding::Part,
    value: &[u8],
) -> Option<(&'static str, Confidence)> {
    let mut inspection = crate::ruleset::Inspection::for_test(Vec::new());
    inspection.budget = Budget::new(crate::budget::Limits::for_body(1 << 20));
    let needs = detector.needs;
    let lower = value.to_ascii_lowercase();
    let has = |list: &[u8]| value.iter().any(|byte| list.contains(byte));
    let needle =
        || needs.needles.iter().any(|needle| memchr::memmem::find(&lower, needle.as_bytes()).is_some());
    if has(needs.alone) || has(needs.bytes) && needle() {
        let mut report = Report::new(detector.class, &mut inspection);
        (detector.inspect)(&Field { part, name: b"", value }, &mut report).unwrap();
    }
    let best = inspection.findings.iter().max_by_key(|finding| finding.confidence)?;
    assert!(best.location.offset + best.location.length <= value.len());
    Some((best.rule.0, best.confidence))
}

/// Work for a value that is a piece again and again, in units a byte.
#[cfg(test)]
pub(crate) fn units(detector: &crate::detector::Detector, piece: &str) -> usize {
    let value = piece.repeat(20_000 / piece.len().max(1) + 1);
    let mut inspection = crate::ruleset::Inspection::for_test(Vec::new());
    inspection.budget =
        Budget::new(crate::budget::Limits { parts: 1, depth: 1, decoded_bytes: 0, work: usize::MAX });
    let field = Field { part: crate::finding::Part::Query, name: b"", value: value.as_bytes() };
    let mut report = Report::new(detector.class, &mut inspection);
    (detector.inspect)(&field, &mut report).unwrap();
    inspection.work() / value.len()
}
