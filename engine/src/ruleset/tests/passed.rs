//! Values that the sieve passes are those in which nothing would have been found: the same messages with and without it.

use proptest::prelude::*;

use super::*;
use crate::decode::nested;
use crate::detector::DETECTORS;

const FORM: Option<&str> = Some("application/x-www-form-urlencoded");
const JSON: Option<&str> = Some("application/json");

/// The same Ruleset, which looks at every value: its prefilter is not the one that the sieve is made for.
fn without_sieve() -> Ruleset {
    let mut ruleset = mk_ruleset();
    let needs = DETECTORS.iter().map(|detector| detector.needs).chain([nested::NEEDS]);
    if let Some(detection) = &mut ruleset.detection {
        detection.prefilter = Box::leak(Box::new(Prefilter::build(needs)));
    }
    ruleset
}

/// Findings, coverage and work, and what of the budget is left, as far as it is told.
fn judged(ruleset: &Ruleset, target: &str, content_type: Option<&str>, body: &str) -> String {
    let inspection = inspected(ruleset, &mk_head(target, content_type), Body::Complete(body.as_bytes()));
    format!("{:?} {:?} {}", inspection.findings(), inspection.coverage(), inspection.work())
}

const PIECES: &[&str] = &[
    "name",
    "query",
    "user_id",
    "class",
    "Item number 7",
    "whoami",
    "cat /etc/passwd",
    "for a while (or two)",
    "sleep (10)",
    "It's blue; select another colour",
    "1 or 1=1",
    "1' or '1'='1",
    "1 union select 2,3",
    "-1 union all select null",
    "<script>alert(1)</script>",
    "javascript:alert(1)",
    "../../etc/passwd",
    "http://169.254.169.254/latest",
    "{{7*7}}",
    "${jndi:ldap://a/b}",
    "PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==",
    "27204f522027313d2731",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "$where",
    "__proto__",
    "constructor.prototype",
    "new Function('a')",
    "rO0ABXNyABFqYXZh",
    "Gr\u{fc}\u{df}e aus K\u{f6}ln",
    "\u{ff1c}script\u{ff1e}",
    "sqlmap.org",
    "a+b",
    "a b",
    "",
    " ",
    "x",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_message_is_judged_as_it_would_be_if_each_value_were_looked_at(
        pairs in proptest::collection::vec((proptest::sample::select(PIECES), proptest::sample::select(PIECES), "[ -~]{0,4}"), 0..8),
        encodes in any::<u8>(),
    ) {
        let (with, without) = (mk_ruleset(), without_sieve());
        let encode = |text: &str| match encodes % 3 {
            0 => text.replace('%', "%25").replace('&', "%26").replace('+', "%2B").replace(' ', "+"),
            1 => text.bytes().fold(String::new(), |all, byte| format!("{all}%{byte:02x}")),
            _ => text.replace(' ', "+"),
        };
        let mut object = Vec::new();
        let mut form = Vec::new();
        for (name, value, more) in &pairs {
            let string = |text: &str| serde_json::to_string(text).unwrap();
            object.push(format!("{}:[{},{{{}:{}}}]", string(name), string(value), string(more), string(&format!("{more}{value}"))));
            form.push(format!("{}={}", encode(name), encode(&format!("{value}{more}"))));
        }
        let (object, form) = (format!("{{{}}}", object.join(",")), form.join("&"));
        for (target, content_type, body) in [("/", JSON, &object), ("/", FORM, &form), (&*format!("/?{}", form.replace('#', "%23")), None, &String::new())] {
            prop_assert_eq!(judged(&with, target, content_type, body), judged(&without, target, content_type, body), "{} {}", target, body);
        }
    }
}

#[test]
fn what_is_passed_is_drawn_on_the_budget() {
    let body = format!("[{}null]", "\"ab\",".repeat(200_000));
    let with = inspected(&mk_ruleset(), &mk_head("/", JSON), Body::Complete(body.as_bytes()));
    let without = inspected(&without_sieve(), &mk_head("/", JSON), Body::Complete(body.as_bytes()));
    assert_eq!(with.coverage(), Coverage::Partial(Reason::TooManyParts));
    assert_eq!(with.coverage(), without.coverage());
}
