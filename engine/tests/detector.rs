//! The detector against rows of data, through the whole pipeline: each value is sent as a query parameter.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot build")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use rasp_engine::{Class, Confidence, Coverage, Effective, Finding, Head, Ruleset, Verdict, rules};
use rasp_policy::api::Mode;

const BENIGN: &str = include_str!("data/benign.txt");
const ATTACKS: &str = include_str!("data/attacks.txt");
const HINTS: &str = include_str!("data/hints.txt");

fn rows(data: &str) -> impl Iterator<Item = &str> {
    data.lines().filter(|line| !line.is_empty() && !line.starts_with("##"))
}

/// `\n`, `\r`, `\t`, `\\` and `\xHH`; see data/README.md.
fn unescape(row: &str) -> Vec<u8> {
    let mut value = Vec::new();
    let mut rest = row.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        let (byte, length) = match (first, after) {
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [b't', ..]) => (b'\t', 2),
            (b'\\', [b'\\', ..]) => (b'\\', 2),
            (b'\\', [b'x', digits @ ..]) => match digits.get(..2).and_then(hex) {
                Some(byte) => (byte, 4),
                None => (first, 1),
            },
            _ => (first, 1),
        };
        value.push(byte);
        rest = &rest[length..];
    }
    value
}

fn encode(value: &[u8]) -> String {
    value.iter().fold(String::from("/?q="), |mut target, byte| {
        let _ = write!(target, "%{byte:02X}");
        target
    })
}

/// Findings of a value, the surest first, and the verdict in Block.
fn judge(ruleset: &Ruleset, value: &[u8]) -> (Vec<Finding>, Verdict) {
    let target = encode(value);
    let head = Head {
        method: "GET",
        target: target.as_bytes(),
        content_type: None,
        content_encoding: None,
        fields: &(),
    };
    let inspection = ruleset.inspect_head(&head);
    assert_eq!(inspection.coverage(), Coverage::Full);
    let judgement = ruleset.decide(inspection);
    let mut findings = judgement.findings;
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.confidence));
    (findings, judgement.verdict)
}

/// SQL injection alone: what is ordinary for it may be an attack of another class.
fn mk_ruleset() -> Ruleset {
    let mut effective = Effective::builtin_blocking();
    for class in Class::ALL.into_iter().filter(|class| *class != Class::SqlInjection) {
        effective.set_detection(class, |detection| detection.mode = Mode::Off);
    }
    Ruleset::build(&effective).unwrap()
}

#[test]
fn benign_values_give_no_finding_that_matters() {
    let ruleset = mk_ruleset();
    let mut wrong = Vec::new();
    for row in rows(BENIGN) {
        let (findings, verdict) = judge(&ruleset, &unescape(row));
        let surest = findings.first().map(|finding| (finding.confidence, finding.rule));
        if surest.is_some_and(|(confidence, _)| confidence >= Confidence::Medium) || verdict != Verdict::Allow
        {
            wrong.push((row, surest));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(rows(BENIGN).count() >= 200);
}

#[test]
fn attacks_are_blocked_by_the_rule_that_names_them() {
    let ruleset = mk_ruleset();
    let mut wrong = Vec::new();
    for row in rows(ATTACKS) {
        let (rule, value) = row.split_once('\t').unwrap();
        let (findings, verdict) = judge(&ruleset, &unescape(value));
        let surest = findings.first().map(|finding| (finding.confidence, finding.rule.0));
        if surest.is_none_or(|(confidence, seen)| confidence < Confidence::High || seen != rule)
            || verdict != Verdict::Block
        {
            wrong.push((row, surest));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(rows(ATTACKS).count() >= 200);
}

#[test]
fn hints_are_reported_with_the_confidence_that_is_written() {
    let ruleset = mk_ruleset();
    for row in rows(HINTS) {
        let mut columns = row.splitn(3, '\t');
        let (rule, confidence, value) =
            (columns.next().unwrap(), columns.next().unwrap(), columns.next().unwrap());
        let (findings, verdict) = judge(&ruleset, &unescape(value));
        let surest = findings.first().map(|finding| (finding.rule.0, finding.confidence.as_str()));
        assert_eq!(surest, Some((rule, confidence)), "{row}");
        assert_eq!(verdict, Verdict::Allow, "{row}");
    }
}

fn sql_rules() -> impl Iterator<Item = &'static str> {
    rules().filter(|(class, _)| *class == Class::SqlInjection).map(|(_, rule)| rule.id.0)
}

#[test]
fn every_rule_is_hit_by_an_attack_of_the_data() {
    let mut hits: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows(ATTACKS) {
        *hits.entry(row.split_once('\t').unwrap().0).or_default() += 1;
    }
    let known: BTreeSet<&str> = sql_rules().collect();
    let named: BTreeSet<&str> = hits.keys().copied().collect();
    assert_eq!(named, known);
}

#[test]
fn ids_of_rules_are_frozen() {
    let ids: Vec<&str> = sql_rules().collect();
    assert_eq!(
        ids,
        [
            "sqli-system",
            "sqli-union",
            "sqli-time",
            "sqli-stacked",
            "sqli-error",
            "sqli-subselect",
            "sqli-catalog",
            "sqli-tautology",
            "sqli-function",
            "sqli-condition",
            "sqli-constant",
            "sqli-clause",
            "sqli-list",
            "sqli-concat",
            "sqli-operator",
            "sqli-comment",
            "sqli-statement",
            "sqli-rest",
            "sqli-masked",
            "sqli-piece",
            "sqli-names",
            "sqli-json",
            "sqli-fragment",
        ]
    );
}

#[test]
fn no_finding_holds_the_data_of_the_value() {
    let ruleset = mk_ruleset();
    let secret = "hunter2secretvalue";
    for row in rows(ATTACKS) {
        let (_, value) = row.split_once('\t').unwrap();
        let value = [&unescape(value)[..], b" ", secret.as_bytes()].concat();
        for finding in judge(&ruleset, &value).0 {
            assert!(!format!("{finding:?}").contains("hunter2"), "{finding:?}");
        }
    }
}
