//! XPath injection (CWE-643, CAPEC-83): would this value change the expression that an application puts it into?
//!
//! A value stands in a string of a predicate, `[name='value']`. It closes the string and adds a condition that asks for
//! nodes, or closes the predicate and joins another path. A path by itself is what people who collect pages configure;
//! so something of XPath must follow a closed quote, a closed predicate, `or`, `and` or `|`. Sources: XPath 1.0;
//! OWASP WSTG-INPV-09.
//!
//! Called through [`DETECTOR`].

use std::sync::LazyLock;

use rasp_policy::class::Class;

use crate::decode::Field;
use crate::detector::{Detector, Needs, Report, Rule};
use crate::finding::Confidence::{self, High, Medium};
use crate::marks::{At, Mark, Marks, rule};
use crate::reason::Reason;

pub(crate) static DETECTOR: Detector =
    Detector { class: Class::XpathInjection, needs: NEEDS, inspect, rules };

const NEEDS: Needs = Needs {
    alone: b"",
    bytes: b"'\"]|)",
    needles: &[
        "count(/",
        "name(",
        "string-length(",
        "substring(",
        "position()",
        "last()",
        "text()",
        "node()",
        "child::",
        "parent::",
        "ancestor",
        "following",
        "//",
        "/*",
        "starts-with(",
        "doc(",
        "comment()",
    ],
};

static FUNCTION: Rule =
    rule("xpath-function", "the value ends a string of XPath and asks for nodes of the document");
static PATH: Rule = rule("xpath-path", "the value ends a predicate of XPath and goes on with another path");

static RULES: [&Rule; 2] = [&FUNCTION, &PATH];

static MARKS: &[Mark] = &[
    Mark { word: "count(/", rule: &FUNCTION, judge: function },
    Mark { word: "name()", rule: &FUNCTION, judge: function },
    Mark { word: "name(/", rule: &FUNCTION, judge: function },
    Mark { word: "name(parent::", rule: &FUNCTION, judge: function },
    Mark { word: "string-length(name(", rule: &FUNCTION, judge: function },
    Mark { word: "string-length(/", rule: &FUNCTION, judge: function },
    Mark { word: "string-length(text()", rule: &FUNCTION, judge: function },
    Mark { word: "substring(name(", rule: &FUNCTION, judge: function },
    Mark { word: "substring(/", rule: &FUNCTION, judge: function },
    Mark { word: "substring(text()", rule: &FUNCTION, judge: function },
    Mark { word: "starts-with(name(", rule: &FUNCTION, judge: function },
    Mark { word: "starts-with(text()", rule: &FUNCTION, judge: function },
    Mark { word: "position()", rule: &FUNCTION, judge: function },
    Mark { word: "last()", rule: &FUNCTION, judge: function },
    Mark { word: "text()", rule: &FUNCTION, judge: function },
    Mark { word: "doc('http", rule: &FUNCTION, judge: function },
    Mark { word: "/node()", rule: &PATH, judge: path },
    Mark { word: "//*", rule: &PATH, judge: path },
    Mark { word: "//", rule: &PATH, judge: path },
    Mark { word: "/*[", rule: &PATH, judge: path },
    Mark { word: "child::", rule: &PATH, judge: path },
    Mark { word: "parent::", rule: &PATH, judge: path },
    Mark { word: "ancestor::", rule: &PATH, judge: path },
    Mark { word: "following-sibling::", rule: &PATH, judge: path },
];

static FOUND: LazyLock<Marks> = LazyLock::new(|| Marks::new(MARKS));

fn rules() -> Vec<Rule> {
    RULES.iter().map(|rule| **rule).collect()
}

fn inspect(field: &Field<'_>, report: &mut Report<'_>) -> Result<(), Reason> {
    if let Some(found) = FOUND.find(field.value, report.budget())? {
        found.report(field, report, |word| {
            matches!(
                word,
                b"or"
                    | b"and"
                    | b"count"
                    | b"name"
                    | b"text"
                    | b"node"
                    | b"position"
                    | b"last"
                    | b"length"
                    | b"string"
            )
        });
    }
    Ok(())
}

/// `' or `, `' and `, `1 or `: the word before the mark, and what stands before that.
fn joined(at: &At<'_>) -> Option<bool> {
    let near = at.near().trim_ascii_end();
    let near = near.strip_suffix(b"not(").unwrap_or(near).trim_ascii_end();
    let before = [&b" or"[..], b" and", b"'or", b"'and", b"\"or"].iter().find_map(|word| {
        let start = near.get(near.len().checked_sub(word.len())?..)?;
        start.eq_ignore_ascii_case(word).then(|| near.get(..near.len() - word.len() + 1)).flatten()
    })?;
    let before = before.trim_ascii_end();
    // The string is closed: an odd number of quotes stands before.
    let quotes = |quote: u8| memchr::memchr_iter(quote, before).count();
    let broken = quotes(b'\'') % 2 == 1 || quotes(b'"') % 2 == 1;
    let number = before.iter().all(u8::is_ascii_digit) && !before.is_empty();
    Some(broken || number)
}

fn function(at: &At<'_>) -> Option<Confidence> {
    if !at.begins_word() {
        return None;
    }
    Some(if joined(at)? { at.place.lower(High) } else { Medium })
}

/// `'] | //user/*[`, `' or //a`, `'] | //node()`
fn path(at: &At<'_>) -> Option<Confidence> {
    let near = at.near().trim_ascii_end();
    let joins_path = near.strip_suffix(b"|").map(<[u8]>::trim_ascii_end).is_some_and(|before| {
        before.ends_with(b"]") || before.ends_with(b"'") || before.ends_with(b"\"") || before.ends_with(b")")
    });
    if joins_path {
        // A selector opens the predicate that it closes.
        let opens = memchr::memchr(b'[', near).is_some();
        let broken = matches!(
            near.iter().find(|byte| matches!(byte, b'[' | b']' | b'\'' | b'"')),
            Some(b']' | b'\'' | b'"')
        );
        return Some(if broken && !opens { at.place.lower(High) } else { Medium });
    }
    let asks = at
        .next()
        .first()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'*' | b'@' | b'[' | b']' | b')'));
    (asks && joined(at)?).then(|| at.place.lower(High))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Part;
    use crate::marks::{confidence_in, units};

    #[test]
    fn values_that_change_an_expression_are_refused() {
        let rows: &[(&str, &[&str])] = &[
            (
                "xpath-function",
                &[
                    "' or count(/*)=1 or 'a'='b",
                    "x' or name()='user' or 'x'='y",
                    "' and string-length(name(/*[1]))=4 and 'a'='a",
                    "1 or count(//user)>0",
                    "' or position()=2 or 'a'='",
                    "\" or text()='x' or \"a\"=\"",
                    "' and substring(name(/*[1]),1,1)='a",
                    "' and not(last()) and 'a'='b",
                ],
            ),
            (
                "xpath-path",
                &[
                    "'] | //user/*[contains(*,'",
                    "') or //user[1",
                    "x'] | //* | a['",
                    "' or //a or 'b'='c",
                    "'] | /*[1",
                ],
            ),
        ];
        for (rule, values) in rows {
            for value in *values {
                let judged = confidence_in(&DETECTOR, Part::Query, value.as_bytes());
                assert!(
                    judged.is_some_and(|(id, sure)| sure >= High && id == *rule),
                    "{value}: {judged:?}, not {rule}"
                );
            }
        }
    }

    #[test]
    fn selectors_addresses_and_text_pass() {
        let values = [
            "//div[@class='a'] | //span[@class='b']",
            "see 'x' or http://a.test/b",
            "https://a.test/?q='b'",
            "don't use http or https://a",
            "name() or text()",
            "/html/body/div[1]",
            "it's here or there // nobody knows",
            "the last() function and the position() function",
            "a // comment",
            "/* it's */",
            "'a' or 'b'",
            "substring(a, 1)",
            "x = y // it's",
            "ancestor::div",
            "select name from x",
            "'http://a' and 'http://b'",
        ];
        for value in values {
            let judged = confidence_in(&DETECTOR, Part::Query, value.as_bytes());
            assert!(judged.is_none_or(|(_, sure)| sure < High), "{value}: {judged:?}");
        }
    }

    #[test]
    fn the_prefilter_knows_every_mark() {
        FOUND.check(&NEEDS);
    }

    #[test]
    fn work_is_linear() {
        for piece in ["' or //", "name()", "] | //", "//"] {
            assert!(units(&DETECTOR, piece) <= 12, "{piece:?}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

        #[test]
        fn no_bytes_make_it_panic(pieces in proptest::collection::vec(proptest::sample::select(vec!["'", " or", "or", " ", "//", "name()", "]", "|", "not(", "1", "\u{e9}"]), 0..40)) {
            let _ = confidence_in(&DETECTOR, Part::Query, pieces.concat().as_bytes());
        }
    }
}
