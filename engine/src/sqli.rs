//! SQL injection (CWE-89): would this value change the structure of a statement it is put into?

use aho_corasick::{AhoCorasick, BuildError, MatchKind};

use crate::budget::Budget;
use crate::decode::Field;
use crate::finding::{Class, Confidence, Finding, Location, RuleId};
use crate::reason::Reason;

#[derive(Debug)]
pub(crate) struct Detector {
    words: AhoCorasick,
}

const WORDS: &[&str] = &["'", "\"", "union", "select", ";", "sleep", " or ", " and "];

impl Detector {
    pub(crate) fn build() -> Result<Self, BuildError> {
        let words = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(WORDS)?;
        Ok(Self { words })
    }

    pub(crate) fn may_match(&self, value: &[u8]) -> bool {
        self.words.is_match(value)
    }

    pub(crate) fn detect(&self, field: &Field<'_>, budget: &mut Budget) -> Result<Option<Finding>, Reason> {
        budget.work(field.value.len())?;
        let text = String::from_utf8_lossy(field.value).to_ascii_lowercase();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let rule = [
            ("sqli-tautology", "' or '"),
            ("sqli-tautology", " or 1=1"),
            ("sqli-union", "union select"),
            ("sqli-union", "union all select"),
            ("sqli-comment", "'--"),
            ("sqli-stacked", ";drop table"),
            ("sqli-stacked", "; drop table"),
            ("sqli-time", "sleep("),
        ]
        .into_iter()
        .find(|(_, needle)| text.contains(needle));
        Ok(rule.map(|(rule, _)| Finding {
            class: Class::SqlInjection,
            rule: RuleId(rule),
            reason: "the value changes the structure of a statement",
            location: Location {
                part: field.part,
                name: String::from_utf8_lossy(field.name)
                    .chars()
                    .filter(char::is_ascii_alphanumeric)
                    .collect(),
                offset: 0,
                length: field.value.len(),
            },
            confidence: Confidence::High,
            sample: String::new(),
        }))
    }
}
