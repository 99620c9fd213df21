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

/// Findings and coverage, and the work: where the sieve passes what detectors would find nothing in, it is less.
fn judged(ruleset: &Ruleset, target: &str, content_type: Option<&str>, body: &str) -> (String, usize) {
    let inspection = inspected(ruleset, &mk_head(target, content_type), Body::Complete(body.as_bytes()));
    (format!("{:?} {:?}", inspection.findings(), inspection.coverage()), inspection.work())
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
    "They say it's fine; ask Ada (or us)",
    "It's fine; whoami",
    "Keep it (below 25 C) or 1=1 --",
    "Keep dry; exec (x)",
    "Two words ' union select 1",
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
            let (judgement, work) = judged(&with, target, content_type, body);
            let (expected, most) = judged(&without, target, content_type, body);
            prop_assert_eq!(judgement, expected, "{} {}", target, body);
            prop_assert!(work <= most, "{} {}: {} {}", target, body, work, most);
        }
    }

    #[test]
    fn objects_with_the_same_keys_are_judged_as_if_each_were_the_first(
        keys in proptest::collection::vec(proptest::sample::select(PIECES), 1..5),
        values in proptest::collection::vec(proptest::sample::select(PIECES), 1..16),
        blank in proptest::sample::select(&["", " ", "\n "]),
        change in proptest::option::of((any::<proptest::sample::Index>(), proptest::sample::select(b"{}[]\",:\\ 0e".to_vec()))),
    ) {
        let string = |text: &str| serde_json::to_string(text).unwrap();
        let object = |(index, values): (usize, &[&str])| {
            let member = |(key, value): (&&str, &&str)| {
                let value = if index % 3 == 2 { format!("{{{}:[1.5,{}]}}", string(value), string(key)) } else { string(value) };
                format!("{}:{blank}{value}", string(key))
            };
            format!("{{{}}}", keys.iter().zip(values).map(member).collect::<Vec<_>>().join(&format!(",{blank}")))
        };
        let objects: Vec<String> = values.chunks(keys.len()).enumerate().map(object).collect();
        let mut body = format!("[{}]", objects.join(",")).into_bytes();
        if let Some((at, byte)) = change {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let body = String::from_utf8_lossy(&body);
        let (judgement, work) = judged(&mk_ruleset(), "/", JSON, &body);
        let (expected, most) = judged(&without_sieve(), "/", JSON, &body);
        prop_assert_eq!(judgement, expected, "{}", body);
        prop_assert!(work <= most, "{}: {} {}", body, work, most);
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
