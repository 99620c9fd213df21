//! Code injection (CWE-94, CWE-95, CAPEC-242): would this value run as code of PHP, JavaScript, Python, Ruby or Java?
//!
//! What attackers need is a call: of a function that runs, reads or tells something, by its name, by the value of a
//! variable, or through the classes of the language. So every `(` is looked at from behind: which name is called, does
//! the name stand where an expression does, and does what follows look like arguments. Next to calls there are `marks`:
//! names and tags that nothing but code has. A function is named in prose as `f()`; code in a document is text. Both
//! stay below what is blocked. Sources: the manuals of the languages, OWASP "Code Injection".
//!
//! In reading order: `words` (vocabulary), `calls`, `marks`, `rules` (how sure). Called through [`DETECTOR`].

use rasp_policy::class::Class;

use crate::budget::Budget;
use crate::decode::Field;
use crate::detector::{Detector, Evidence, Needs, Report, Rule};
use crate::finding::Confidence;
use crate::lookup::Lookup;
use crate::mask;
use crate::reason::Reason;
use crate::surroundings::Before;

mod calls;
mod marks;
mod prose;
mod rules;
mod words;

pub(crate) use prose::{has_marks, is_remark};
use rules::{Place, RULES};

pub(crate) static DETECTOR: Detector = Detector { class: Class::CodeInjection, needs: NEEDS, inspect, rules };

/// A call, or one of the marks, each of which has one of these bytes.
const NEEDS: Needs = Needs { alone: b"(", bytes: b".<$_[{%:BELDj", needles: marks::NEEDLES };

fn rules() -> Vec<Rule> {
    RULES.iter().map(|rule| **rule).collect()
}

/// Reports the surest finding in a value.
pub(crate) fn inspect(field: &Field<'_>, report: &mut Report<'_>) -> Result<(), Reason> {
    let found = detect(field.value, field.is_parameter(), report.budget())?;
    if let Some(Found { rule, confidence, start, end }) = found {
        let is_said = confidence == Confidence::High && rules::is_said(field, rule);
        let confidence = if is_said { Confidence::Medium } else { confidence };
        let sample = mask::sample(field.value.get(start..end).unwrap_or_default(), is_known);
        report.find(field, Evidence { rule: *rule, confidence, at: start..end, sample });
    }
    Ok(())
}

fn is_known(word: &[u8]) -> bool {
    words::find(&word.to_ascii_lowercase()).is_some()
}

fn detect(value: &[u8], parameter: bool, budget: &mut Budget) -> Result<Option<Found>, Reason> {
    let mut best: Option<Found> = None;
    let mut see = |found: Option<Found>| {
        if let Some(found) = found
            && best.is_none_or(|known| found.confidence > known.confidence)
        {
            best = Some(found);
        }
    };
    if parameter {
        see(rules::computed_name(value));
        see(rules::assembled(value));
    }
    let mut lines = None;
    let mut count = || *lines.get_or_insert_with(|| rules::lines(value));
    let mut before = Before::new(value);
    for open in memchr::memchr_iter(b'(', value) {
        let Some(call) = calls::call(value, open) else { continue };
        budget.work(call.end.saturating_sub(call.start))?;
        let place = Place { before: before.upto(call.start), lines: count(), parameter };
        see(rules::judge_call(&call, &place));
    }
    if !OF_MARKS.any(value) {
        return Ok(best);
    }
    let mut before = Before::new(value);
    budget.work(value.len())?;
    for (index, mark) in marks::find(value).enumerate() {
        let place = Place { before: before.upto(mark.start), lines: count(), parameter };
        see(rules::judge_mark(value, &mark, &place, index < 4));
    }
    Ok(best)
}

/// A mark has one of them.
static OF_MARKS: Lookup<bool> = Lookup::of(b".<$_[{%:BELDjF");

/// A rule that fits, how sure it is, and where.
#[derive(Clone, Copy, Debug)]
struct Found {
    rule: &'static Rule,
    confidence: Confidence,
    start: usize,
    end: usize,
}

#[cfg(test)]
mod tests;
