//! Documents of GraphQL that ask for more than a client of the application does (CWE-770, CAPEC-147): one field under many
//! names, which is how passwords are tried a hundred at a time, selections inside of each other, directives by the
//! hundred, many operations in one request; and the question for the schema itself, which tools ask, and attackers first.
//!
//! One pass over the tokens of a document ([specification, October 2021](https://spec.graphql.org/October2021/)): names,
//! colons, braces; what stands in brackets is arguments. Told by numbers, so nothing here is more than Medium: what an
//! application allows, only its server knows. Called for whole documents, which `decode::graphql` yields.

use rasp_policy::class::Class;

use crate::decode::Field;
use crate::detector::{Detector, Evidence, Needs, Report, Rule};
use crate::finding::Confidence::{self, Low, Medium};
use crate::finding::{Part, RuleId};
use crate::mask;
use crate::reason::Reason;

pub(crate) static DETECTOR: Detector = Detector { class: Class::GraphQlAbuse, needs: NEEDS, inspect, rules };

const NEEDS: Needs = Needs { alone: b"{", bytes: b"", needles: &[] };

const INTROSPECTION: Rule = Rule {
    id: RuleId("graphql-introspection"),
    reason: "the document asks for the schema of the application",
};
const ALIASES: Rule = Rule {
    id: RuleId("graphql-aliases"),
    reason: "the document asks for fields under more names than a client needs",
};
const DEPTH: Rule =
    Rule { id: RuleId("graphql-depth"), reason: "the document nests selections deeper than a client does" };
const DIRECTIVES: Rule =
    Rule { id: RuleId("graphql-directives"), reason: "the document has directives by the dozen" };
const BATCH: Rule = Rule {
    id: RuleId("graphql-batch"),
    reason: "the request has more operations than a client sends at once",
};

fn rules() -> Vec<Rule> {
    vec![INTROSPECTION, ALIASES, DEPTH, DIRECTIVES, BATCH]
}

/// More of each are what Medium begins at. Generated clients have some twenty aliases, the question of tools for the schema
/// is nested 13 deep, libraries that batch send ten operations.
const MOST_ALIASES: usize = 50;
const DEEPEST: usize = 20;
const MOST_DIRECTIVES: usize = 50;
const MOST_OPERATIONS: usize = 20;

fn inspect(field: &Field<'_>, report: &mut Report<'_>) -> Result<(), Reason> {
    if field.part != Part::Document || field.value.trim_ascii_start().starts_with(b"<") {
        return Ok(());
    }
    report.budget().work(2 * field.value.len())?;
    let counted = count(field.value);
    let all = [
        (INTROSPECTION, Low, counted.schema),
        (ALIASES, Medium, counted.aliases.crossed),
        (DEPTH, Medium, counted.deep),
        (DIRECTIVES, Medium, counted.directives.crossed),
        (BATCH, Medium, (report.budget().operations() == MOST_OPERATIONS + 1).then_some(0)),
    ];
    for (rule, confidence, at) in all {
        if let Some(at) = at {
            find(field, report, (rule, confidence, at));
        }
    }
    Ok(())
}

fn find(field: &Field<'_>, report: &mut Report<'_>, (rule, confidence, at): (Rule, Confidence, usize)) {
    let end = field.value.len().min(at + SHOWN);
    let sample = mask::sample(field.value.get(at..end).unwrap_or_default(), is_word);
    report.find(field, Evidence { rule, confidence, at: at..end, sample });
}

const SHOWN: usize = 48;

fn is_word(word: &[u8]) -> bool {
    const WORDS: &[&[u8]] = &[
        b"query",
        b"mutation",
        b"subscription",
        b"fragment",
        b"on",
        b"__schema",
        b"__type",
        b"types",
        b"name",
    ];
    WORDS.contains(&word)
}

/// How many there are, and where there was one too many.
#[derive(Debug, Default)]
struct Count {
    number: usize,
    crossed: Option<usize>,
}

impl Count {
    fn one(&mut self, at: usize, most: usize) {
        self.number += 1;
        if self.number == most + 1 {
            self.crossed = Some(at);
        }
    }
}

#[derive(Debug, Default)]
struct Counted {
    aliases: Count,
    directives: Count,
    /// Where the schema is asked for, and where a selection is too deep.
    schema: Option<usize>,
    deep: Option<usize>,
}

fn count(document: &[u8]) -> Counted {
    let mut counted = Counted::default();
    let (mut at, mut depth, mut brackets) = (0, 0_usize, 0_usize);
    while let Some(byte) = document.get(at) {
        let start = at;
        at += 1;
        let rest = || document.get(at..).unwrap_or_default();
        match byte {
            b'#' => {
                at += rest().iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest().len());
            }
            b'"' => at += text(rest()),
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets = brackets.saturating_sub(1),
            // Inside of brackets they are those of an object that is an argument.
            b'{' if brackets == 0 => {
                depth += 1;
                if depth == DEEPEST + 1 {
                    counted.deep.get_or_insert(start);
                }
            }
            b'}' if brackets == 0 => depth = depth.saturating_sub(1),
            b'@' => counted.directives.one(start, MOST_DIRECTIVES),
            _ if is_name(*byte) && !byte.is_ascii_digit() => {
                at += rest().iter().take_while(|byte| is_name(**byte)).count();
                if brackets > 0 || depth == 0 {
                    continue;
                }
                let name = document.get(start..at).unwrap_or_default();
                if matches!(name, b"__schema" | b"__type") {
                    counted.schema.get_or_insert(start);
                }
                let mut behind = document.get(at..).unwrap_or_default().iter().copied();
                let mut next = || behind.find(|byte| !byte.is_ascii_whitespace() && *byte != b',');
                if next() == Some(b':') && next().is_some_and(|byte| is_name(byte) && !byte.is_ascii_digit())
                {
                    counted.aliases.one(start, MOST_ALIASES);
                }
            }
            _ => {}
        }
    }
    counted
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Length of a text behind its first quote, with the quotes that end it.
fn text(rest: &[u8]) -> usize {
    if let Some(block) = rest.strip_prefix(b"\"\"") {
        return memchr::memmem::find(block, b"\"\"\"").map_or(rest.len(), |end| 2 + end + 3);
    }
    let mut is_escaped = false;
    let end = rest.iter().position(|byte| {
        let ends = matches!(byte, b'\n') || *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    });
    end.map_or(rest.len(), |end| end + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Body, Effective, Head, Ruleset};

    /// Rules of this class that a body of JSON meets, and their confidence.
    fn found(content_type: &str, body: &str) -> Vec<(&'static str, Confidence)> {
        let ruleset = Ruleset::build(&Effective::builtin_blocking()).unwrap();
        let head = Head {
            method: "POST",
            target: b"/graphql",
            content_type: Some(content_type.as_bytes()),
            content_encoding: None,
            fields: &(),
        };
        let mut inspection = ruleset.inspect_head(&head);
        ruleset.inspect_body(&head, Body::Complete(body.as_bytes()), &mut inspection);
        let findings = inspection.findings().iter().filter(|finding| finding.class == Class::GraphQlAbuse);
        findings.map(|finding| (finding.rule.0, finding.confidence)).collect()
    }

    fn document(document: &str) -> Vec<&'static str> {
        let body = serde_json::json!({ "query": document, "variables": {} }).to_string();
        found("application/json", &body).into_iter().map(|(rule, _)| rule).collect()
    }

    #[test]
    fn what_asks_for_too_much_is_found() {
        let many = |count: usize| {
            let fields: Vec<_> = (0..count).map(|n| format!("a{n}: login(pin: \"{n}\") {{ ok }}")).collect();
            fields.join(" ")
        };
        let deep = |count: usize| format!("{}id{}", "{ friends ".repeat(count), "}".repeat(count));
        let rows: &[(String, &[&str])] = &[
            ("query { __schema { types { name } } }".into(), &["graphql-introspection"]),
            ("{ __type(name: \"User\") { fields { name } } }".into(), &["graphql-introspection"]),
            (format!("mutation {{ {} }}", many(51)), &["graphql-aliases"]),
            (format!("mutation {{ {} }}", many(50)), &[]),
            (deep(21), &["graphql-depth"]),
            (deep(20), &[]),
            (format!("{{ id {} }}", "@include(if: true) ".repeat(51)), &["graphql-directives"]),
            (format!("{{ id {} }}", "@include(if: true) ".repeat(50)), &[]),
        ];
        for (text, expected) in rows {
            assert_eq!(document(text), *expected, "{text}");
        }
    }

    #[test]
    fn what_clients_send_is_ordinary() {
        let object = format!("{{ f(filter: {}1{}) {{ id }} }}", "{and: ".repeat(30), "}".repeat(30));
        let rows = [
            "query Hero($id: ID!) { hero(id: $id) { name __typename friends { id name } } }",
            "{ smallPic: profilePic(size: 64) bigPic: profilePic(size: 1024) }",
            "# __schema\n{ a(b: \"__schema { x: y }\", c: \"\"\"{ __type } \"\"\") { id } }",
            "mutation { add(input: {a: A, b: B, c: C, d: D}) { id } }",
            object.as_str(),
        ];
        for text in rows {
            assert_eq!(document(text), [""; 0], "{text}");
        }
        // In which other languages a parameter of this name may be.
        assert!(found("application/json", "{\"query\":\"{__schema='x'}\"}").len() <= 1);
        let pairs = (0..80).map(|n| format!("\"k{n}\":\"v\"")).collect::<Vec<_>>().join(",");
        assert_eq!(document(&format!("{{{pairs}}}")), [""; 0]);
    }

    #[test]
    fn many_operations_in_one_request_are_found_once() {
        let batch = |count: usize| {
            let one = serde_json::json!({ "query": "query { me { id } }" });
            serde_json::Value::from(vec![one; count]).to_string()
        };
        assert_eq!(found("application/json", &batch(20)), []);
        assert_eq!(found("application/json", &batch(60)), [("graphql-batch", Medium)]);
    }

    #[test]
    fn a_document_is_read_wherever_it_comes() {
        let text = "query { __schema { types { name } } }";
        assert_eq!(found("application/graphql", text), [("graphql-introspection", Low)]);
        let form = "query=query%20%7B__schema%7Btypes%7Bname%7D%7D%7D";
        assert_eq!(found("application/x-www-form-urlencoded", form), [("graphql-introspection", Low)]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(document in "([{}()\\[\\]:@\"\\\\#un ]|__schema|.){0,60}") {
            let _ = count(document.as_bytes());
        }
    }
}
