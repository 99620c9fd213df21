//! The detectors: one for each class, each a row of plain functions in [`DETECTORS`].
//!
//! A detector says what a value must have (`needs`), and reads the values that have it (`inspect`). All values are
//! scanned once for the needs of all detectors, by [`crate::prefilter`]; most have none, so that one detector more
//! costs an ordinary request nothing. How to add one is described in the documentation of the crate.

use rasp_policy::class::Class;

use crate::budget::Budget;
use crate::decode::Field;
use crate::finding::{Confidence, Encodings, Finding, Location, Part, RuleId};
use crate::mask;
use crate::reason::Reason;
use crate::ruleset::Inspection;

/// Every detector. At most 31.
pub(crate) static DETECTORS: &[&Detector] = &[
    // One line each.
    &crate::sqli::DETECTOR,
    &crate::xss::DETECTOR,
    &crate::header::DETECTOR,
    &crate::mail::DETECTOR,
    &crate::include::DETECTOR,
    &crate::redirect::DETECTOR,
    &crate::scanner::DETECTOR,
    &crate::web_shell::DETECTOR,
    &crate::path::DETECTOR,
    &crate::inclusion::DETECTOR,
    &crate::ssrf::DETECTOR,
    &crate::xml::DETECTOR,
    &crate::command::DETECTOR,
    &crate::code::DETECTOR,
    &crate::template::DETECTOR,
    &crate::expression::DETECTOR,
    &crate::nosql::DETECTOR,
    &crate::ldap::DETECTOR,
    &crate::xpath::DETECTOR,
    &crate::deserialization::DETECTOR,
    &crate::prototype::DETECTOR,
    &crate::graphql::DETECTOR,
    &crate::exploit::DETECTOR,
];

/// A detector of one class.
pub(crate) struct Detector {
    pub class: Class,
    pub needs: Needs,
    /// Reports what it finds in a value that has what it needs. Draws on the budget for work beyond one pass over the
    /// value. Must not allocate where it finds nothing.
    pub inspect: fn(&Field<'_>, &mut Report<'_>) -> Result<(), Reason>,
    /// All rules, for documentation. Ids are frozen.
    pub rules: fn() -> Vec<Rule>,
}

/// What a value must have before a detector is run on it: a byte of `alone`, or one of `bytes` and a needle as well.
/// No false negatives: a value that has none of it must not be an attack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needs {
    /// Any of these bytes suffices. Choose bytes that ordinary values seldom have.
    pub alone: &'static [u8],
    /// Any of these bytes, together with a needle.
    pub bytes: &'static [u8],
    /// Words and parts of words, in any case of ASCII letters.
    pub needles: &'static [&'static str],
}

/// The words of several lists, as [`Needs::needles`]: what a detector compares with is listed once.
#[expect(clippy::indexing_slicing, reason = "the compiler runs it")]
pub(crate) const fn needles<const COUNT: usize>(lists: &[&[&'static str]]) -> [&'static str; COUNT] {
    let mut all = [""; COUNT];
    let (mut count, mut list) = (0, 0);
    while list < lists.len() {
        let mut word = 0;
        while word < lists[list].len() {
            all[count] = lists[list][word];
            (count, word) = (count + 1, word + 1);
        }
        list += 1;
    }
    all
}

/// A rule as the documentation lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable name.
    pub id: RuleId,
    /// What it sees, in a sentence.
    pub reason: &'static str,
}

/// Classes whose detectors read files. To all others a file is somebody's text.
const FILES: &[Class] = &[Class::XmlExternalEntity, Class::WebShell];

/// Classes whose detectors read documents of XML and GraphQL as a whole; all read the values in them.
const DOCUMENTS: &[Class] = &[Class::XmlExternalEntity, Class::Deserialization, Class::GraphQlAbuse];

/// Whether the detector of a class reads values of this part.
pub(crate) fn reads(class: Class, part: Part) -> bool {
    match part {
        Part::File => FILES.contains(&class),
        Part::Document => DOCUMENTS.contains(&class),
        _ => true,
    }
}

/// What a rule saw in a value.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    pub rule: Rule,
    pub confidence: Confidence,
    /// First byte, and the byte after the last one.
    pub at: std::ops::Range<usize>,
    /// Shape of the evidence, made by [`crate::mask::sample`].
    pub sample: String,
}

/// Receives what a detector finds in one value, and carries the budget that it draws on.
pub(crate) struct Report<'a> {
    class: Class,
    inspection: &'a mut Inspection,
}

impl<'a> Report<'a> {
    pub(crate) fn new(class: Class, inspection: &'a mut Inspection) -> Self {
        Self { class, inspection }
    }

    pub(crate) fn budget(&mut self) -> &mut Budget {
        &mut self.inspection.budget
    }

    /// Part of the value was not read, for example what is nested too deep.
    pub(crate) fn note(&mut self, reason: Reason) {
        self.inspection.note(reason);
    }

    pub(crate) fn find(&mut self, field: &Field<'_>, evidence: Evidence) {
        let layers = self.inspection.budget.layers();
        let confidence = layers.weigh(evidence.confidence);
        let location = match layers.outer() {
            None => Location {
                part: field.part,
                name: mask::name(field.name),
                offset: evidence.at.start,
                length: evidence.at.len(),
                encodings: Encodings::default(),
            },
            // Offsets in a reading are of no use to who looks at the message.
            Some(outer) => Location {
                part: outer.part,
                name: mask::name(outer.name),
                offset: 0,
                length: outer.length,
                encodings: outer.encodings,
            },
        };
        let finding = Finding {
            class: self.class,
            rule: evidence.rule.id,
            reason: evidence.rule.reason,
            location,
            confidence,
            sample: evidence.sample,
        };
        if finding.location.encodings.is_empty() || !self.inspection.knows(&finding) {
            self.inspection.keep(finding);
        }
    }

    /// Whether letters of the value were escaped, which nobody does who has nothing to hide.
    pub(crate) fn is_disguised(&mut self) -> bool {
        self.inspection.budget.layers().is_disguised()
    }
}

/// Every rule with its class, for documentation and for tests of names that are frozen.
pub fn rules() -> impl Iterator<Item = (Class, Rule)> {
    DETECTORS.iter().flat_map(|detector| (detector.rules)().into_iter().map(|rule| (detector.class, rule)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_classes_that_policies_may_name_are_those_with_a_detector() {
        let detectors: BTreeSet<Class> = DETECTORS.iter().map(|detector| detector.class).collect();
        assert_eq!(detectors, Class::detected().collect());
        assert_eq!(detectors.len(), DETECTORS.len(), "a class has one detector");
        assert!(DETECTORS.len() < 32, "the prefilter has 32 bits, one of which is for `decode::nested`");
    }

    #[test]
    fn every_rule_has_an_id_of_its_own_and_a_sentence() {
        let mut ids = BTreeSet::new();
        for (class, rule) in rules() {
            assert!(ids.insert(rule.id), "{}: twice", rule.id);
            assert!(rule.reason.starts_with("the "), "{class:?}: {}", rule.reason);
        }
    }

    #[test]
    fn the_tables_of_the_documentation_are_the_lists_of_rules() {
        let page = include_str!("../../docs/rules.md");
        for detector in DETECTORS {
            let heading = format!("\nClass `{}`", detector.class.as_str());
            let (_, section) =
                page.split_once(&heading).unwrap_or_else(|| panic!("no section with {heading}"));
            let section = section.split("\n## ").next().unwrap();
            let documented: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
            let rows: Vec<String> = (detector.rules)()
                .iter()
                .map(|rule| format!("| `{}` | {} |", rule.id, rule.reason))
                .collect();
            assert_eq!(documented, rows);
        }
    }
}
