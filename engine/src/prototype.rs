//! Prototype pollution (CWE-1321): would a JavaScript application that copies this name write to the prototype of all
//! objects?
//!
//! The attack is in the names: `__proto__[x]`, `constructor[prototype][x]`, a member `__proto__`, or a value that is used
//! as the path of a member. Text about it has words around it. Source: OWASP "Prototype Pollution Prevention".
//!
//! Called through [`DETECTOR`].

use std::sync::LazyLock;

use rasp_policy::class::Class;

use crate::decode::Field;
use crate::detector::{Detector, Needs, Report, Rule};
use crate::finding::Confidence::{self, High, Low, Medium};
use crate::finding::Part;
use crate::marks::{At, Found, Mark, Marks, rule};
use crate::reason::Reason;

pub(crate) static DETECTOR: Detector =
    Detector { class: Class::PrototypePollution, needs: NEEDS, inspect, rules };

const NEEDS: Needs = Needs {
    alone: b"",
    bytes: b"_.[:",
    needles: &[
        "__proto__",
        "constructor.prototype",
        "constructor[prototype]",
        "constructor['prototype']",
        "constructor:prototype",
        "constructor:constructor",
        "constructor][prototype]",
    ],
};

static NAME: Rule =
    rule("prototype-name", "the name of a parameter or member is the prototype of all objects");
static PATH: Rule =
    rule("prototype-path", "the value is the path of a member of the prototype of all objects");

static RULES: [&Rule; 2] = [&NAME, &PATH];

static MARKS: &[Mark] = &[
    Mark { word: "__proto__", rule: &PATH, judge: path },
    Mark { word: "constructor.prototype", rule: &PATH, judge: path },
    Mark { word: "constructor:prototype", rule: &PATH, judge: path },
    Mark { word: "constructor[prototype]", rule: &PATH, judge: path },
    Mark { word: "constructor:constructor", rule: &PATH, judge: path },
    Mark { word: "constructor][prototype]", rule: &PATH, judge: path },
    Mark { word: "constructor['prototype']", rule: &PATH, judge: path },
];

static KNOWN: LazyLock<Marks> = LazyLock::new(|| Marks::new(MARKS));

fn rules() -> Vec<Rule> {
    RULES.iter().map(|rule| **rule).collect()
}

/// A path has no blanks, and goes on behind the mark or is that alone.
#[expect(clippy::unnecessary_wraps, reason = "of the type of the table")]
fn path(at: &At<'_>) -> Option<Confidence> {
    let is_edge = |byte: Option<u8>| {
        byte.is_none_or(|byte| {
            matches!(byte, b'.' | b'[' | b']' | b':' | b'\'' | b'"' | b'/' | b'=' | b'{' | b',')
        })
    };
    if !is_edge(at.last()) || !is_edge(at.behind.first().copied()) {
        return Some(Low);
    }
    let short = at.value.len() <= 160 && !at.value.iter().any(u8::is_ascii_whitespace);
    // `Object.prototype.__proto__ === null;`
    let is_code = || at.before.ends_with(b"Object.") || at.value.ends_with(b";") || at.value.contains(&b'(');
    let alone = at.before.is_empty() && at.behind.is_empty();
    Some(if short && !is_code() && !alone { High } else { Medium })
}

fn inspect(field: &Field<'_>, report: &mut Report<'_>) -> Result<(), Reason> {
    let Some(found) = KNOWN.find(field.value, report.budget())? else { return Ok(()) };
    let named = matches!(field.part, Part::QueryName | Part::FormName | Part::JsonKey);
    let starts = found.start == 0 && found.end < field.value.len();
    let is_name =
        named && field.value.len() <= 160 && (starts || !field.value.iter().any(u8::is_ascii_whitespace));
    let found = if is_name && found.confidence > Low {
        Found { rule: &NAME, confidence: High, ..found }
    } else {
        found
    };
    found.report(field, report, |word| matches!(word, b"__proto__" | b"constructor" | b"prototype"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marks::{confidence_in, units};

    #[test]
    fn names_and_paths_that_pollute_are_refused() {
        let rows: &[(&str, Part, &[&str])] = &[
            (
                "prototype-name",
                Part::QueryName,
                &[
                    "__proto__[admin]",
                    "a[__proto__][b]",
                    "constructor[prototype][x]",
                    "a[constructor][prototype]",
                    "constructor.prototype. x",
                    "__proto__.x",
                    "constructor.prototype.x",
                ],
            ),
            ("prototype-name", Part::JsonKey, &["__proto__"]),
            (
                "prototype-path",
                Part::Json,
                &[
                    "__proto__.admin",
                    "$1:__proto__:then",
                    "a.constructor.prototype.b",
                    "$1:constructor:prototype",
                    "$3:constructor:constructor",
                ],
            ),
        ];
        for (rule, part, values) in rows {
            for value in *values {
                let judged = confidence_in(&DETECTOR, *part, value.as_bytes());
                assert!(
                    judged.is_some_and(|(id, sure)| sure >= High && id == *rule),
                    "{value}: {judged:?}, not {rule}"
                );
            }
        }
    }

    #[test]
    fn text_about_it_passes() {
        let rows: &[(Part, &[&str])] = &[
            (Part::JsonKey, &["prototype", "constructor", "proto", "my__proto__x"]),
            (
                Part::Json,
                &[
                    "never copy __proto__ from input",
                    "x.__proto__ = y;",
                    "Foo.constructor.prototype.bar = function () {}",
                    "__proto__",
                    "my__proto__x",
                ],
            ),
        ];
        for (part, values) in rows {
            for value in *values {
                let judged = confidence_in(&DETECTOR, *part, value.as_bytes());
                assert!(judged.is_none_or(|(_, sure)| sure < High), "{value}: {judged:?}");
            }
        }
    }

    #[test]
    fn the_prefilter_knows_every_mark_and_work_is_linear() {
        KNOWN.check(&NEEDS);
        assert!(units(&DETECTOR, "__proto__") <= 8);
    }
}
