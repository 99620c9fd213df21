//! The engine's decoders and detectors: no input panics, a judgement is repeated exactly, and what is told about a
//! finding can be logged.

use std::sync::OnceLock;

use rasp_engine::{Body, BodyPlan, Effective, Head, Judgement, Ruleset};

const TYPES: [Option<&str>; 8] = [
    None,
    Some("application/json"),
    Some("application/x-www-form-urlencoded"),
    Some("text/plain; charset=utf-16le"),
    Some("application/octet-stream"),
    Some("multipart/form-data; boundary=b"),
    Some("application/json; charset=utf-32"),
    Some("a/b"),
];

fn judge(ruleset: &Ruleset, head: &Head<'_>, body: Body<'_>) -> Judgement {
    let mut inspection = ruleset.inspect_head(head);
    ruleset.inspect_body(head, body, &mut inspection);
    ruleset.decide(inspection)
}

/// The first byte chooses type, body and whether there are fields; the first line is the target, and the value of all
/// fields, the rest is the body.
pub fn run(data: &[u8]) {
    static RULESET: OnceLock<Ruleset> = OnceLock::new();
    let ruleset = RULESET.get_or_init(|| Ruleset::build(&Effective::builtin_blocking()).unwrap());
    let Some((choice, rest)) = data.split_first() else { return };
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (target, body) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
    let fields = ["cookie", "referer", "user-agent", "authorization", "accept"].map(|name| (name, target));
    let head = Head {
        method: "POST",
        target,
        content_type: TYPES[usize::from(choice & 7)].map(str::as_bytes),
        content_encoding: (choice & 64 != 0).then_some(b"gzip"),
        fields: &fields.get(..if choice & 128 == 0 { 0 } else { 5 }).unwrap_or_default(),
    };
    let body = match choice >> 3 & 3 {
        0 => Body::Complete(body),
        1 => Body::Truncated(body),
        2 => Body::Opaque,
        _ => Body::Empty,
    };
    assert!(
        !matches!(ruleset.body_plan(&head), BodyPlan::Window(0) | BodyPlan::Messages(0)),
        "a window of nothing"
    );
    let (first, second) = (judge(ruleset, &head, body), judge(ruleset, &head, body));
    assert_eq!(first.verdict, second.verdict);
    assert_eq!(first.findings.len(), second.findings.len());
    for finding in &first.findings {
        for text in [&finding.sample, &finding.location.name] {
            assert!(!text.chars().any(char::is_control), "{text:?} cannot be logged");
            assert!(text.len() <= 1024, "{} bytes", text.len());
        }
    }
}
