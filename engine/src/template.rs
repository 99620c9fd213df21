//! Template injection (CWE-1336): would a template engine evaluate this value?
//!
//! Delimiters of the engines (Jinja, Twig, Freemarker, Velocity, Thymeleaf, ERB, Mako, Razor, Smarty) are found, and the
//! expression between them is read as tokens. A placeholder is what honest text has: names, members, filters, tags. An
//! attacker computes (`{{7*7}}`), climbs from a literal to the inside of the language (`''.__class__`), builds names out
//! of pieces, or calls what runs programs. Code and templates in documents stay below what is blocked.
//! Sources: Kettle, "Server-Side Template Injection" (2015); manuals of the engines.
//!
//! In reading order: `spans` (delimiters), `reading` (tokens), `rules` (how sure). Called through [`DETECTOR`].

use std::sync::LazyLock;

use rasp_policy::class::Class;

use crate::budget::Budget;
use crate::decode::Field;
use crate::detector::{Detector, Needs, Report, Rule};
use crate::finding::Confidence;
use crate::marks::{Found, Marks, Place, lines, surer};
use crate::reason::Reason;
use crate::surroundings::{self, Before};

mod reading;
mod rules;
mod spans;

pub(crate) static DETECTOR: Detector =
    Detector { class: Class::TemplateInjection, needs: NEEDS, inspect, rules };

/// Every delimiter has a brace, or is one of the needles.
const NEEDS: Needs = Needs {
    alone: b"{",
    bytes: b"<@[#?",
    needles: &["<%", "@(", "[[", "<#", "[#", "#set(", "?new(", "freemarker.template"],
};

static MARKS: LazyLock<Marks> = LazyLock::new(|| Marks::new(rules::MARKS));

fn rules() -> Vec<Rule> {
    rules::RULES.iter().map(|rule| **rule).collect()
}

/// Reports the surest finding in a value.
fn inspect(field: &Field<'_>, report: &mut Report<'_>) -> Result<(), Reason> {
    if let Some(found) = detect(field.value, report.budget())? {
        found.report(field, report, reading::is_known);
    }
    Ok(())
}

fn detect(value: &[u8], budget: &mut Budget) -> Result<Option<Found>, Reason> {
    let mut best = MARKS.find(value, budget)?;
    let mut before = Before::new(value);
    let mut count = None;
    let mut first = None;
    let mut spans = spans::Spans::new(value);
    while let Some(span) = spans.next() {
        budget.work(span.cost)?;
        let place =
            Place { before: before.upto(span.start), lines: *count.get_or_insert_with(|| lines(value)) };
        let expression = reading::read(span.inner);
        let behind = value.get(span.end..).unwrap_or_default();
        let whole = place.before == surroundings::Around::Nothing
            && surroundings::behind(behind) == surroundings::Around::Nothing;
        best = surer(best, rules::judge(&span, &expression, place, *first.get_or_insert(place), whole));
        if best.is_some_and(|found| found.confidence == Confidence::Certain) {
            break;
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests;
