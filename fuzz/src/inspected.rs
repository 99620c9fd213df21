//! One message through the engine, and what holds of it whatever it is: no detector panics, a judgement is repeated
//! exactly, work is bounded, and what is told about a finding can be logged. Used by the targets of decoders.

use std::sync::OnceLock;

use rasp_engine::{Body, Class, Effective, Finding, Head, Inspection, Limits, Ruleset};

/// Bytes of an input that are looked at: more only costs time.
pub const MOST: usize = 8_192;

fn ruleset() -> &'static Ruleset {
    static RULESET: OnceLock<Ruleset> = OnceLock::new();
    RULESET.get_or_init(|| Ruleset::build(&Effective::builtin_blocking()).unwrap())
}

/// And the class that spent most of the work on it.
fn once(head: &Head<'_>, body: Body<'_>) -> (Inspection, Option<(Class, usize)>) {
    let mut inspection = ruleset().inspect_head(head);
    ruleset().inspect_body(head, body, &mut inspection);
    let run = inspection.take_run();
    assert!(run.panicked.is_empty(), "{:?} panicked", run.panicked.iter().collect::<Vec<_>>());
    (inspection, run.costliest)
}

/// Inspects a message whose parts that came, as they came, have so many bytes. What is compressed has another bound.
pub fn inspected(head: &Head<'_>, body: Body<'_>, bytes: Option<usize>) -> Vec<Finding> {
    let (first, costliest) = once(head, body);
    let most = bytes.map_or(Limits::for_body(131_072).work + 131_072, |bytes| 128 * bytes + 4_096);
    assert!(first.work() <= most, "{} units for {bytes:?} bytes, most for {costliest:?}", first.work());
    for finding in first.findings() {
        for text in [&finding.sample, &finding.location.name] {
            assert!(!text.chars().any(char::is_control), "{text:?} cannot be logged");
            assert!(text.len() <= 1024, "{} bytes", text.len());
        }
    }
    let (second, _) = once(head, body);
    assert_eq!(first.findings(), second.findings());
    assert_eq!(first.coverage(), second.coverage());
    first.findings().to_vec()
}

/// A body of this type, as a whole and cut off.
pub fn body(content_type: &str, data: &[u8]) {
    let data = &data[..data.len().min(MOST)];
    let head = post(content_type, None);
    inspected(&head, Body::Complete(data), Some(data.len()));
    inspected(&head, Body::Truncated(data), Some(data.len()));
}

/// The head of a request with a body.
pub fn post<'a>(content_type: &'a str, content_encoding: Option<&'a str>) -> Head<'a> {
    Head {
        method: "POST",
        target: b"/",
        content_type: Some(content_type.as_bytes()),
        content_encoding: content_encoding.map(str::as_bytes),
        fields: &(),
    }
}
