//! The readings of an encoded value: no bytes panic, work is bounded, and what is found in a value is found when it is
//! percent-encoded once more.

use std::sync::OnceLock;

use rasp_engine::{Body, Confidence, Effective, Finding, Head, Ruleset};

fn judge(value: &[u8]) -> (Vec<Finding>, usize) {
    static RULESET: OnceLock<Ruleset> = OnceLock::new();
    let ruleset = RULESET.get_or_init(|| Ruleset::build(&Effective::builtin_blocking()).unwrap());
    let target = [b"/?q=".to_vec(), escaped(value)].concat();
    let head =
        Head { method: "GET", target: &target, content_type: None, content_encoding: None, fields: &() };
    let mut inspection = ruleset.inspect_head(&head);
    ruleset.inspect_body(&head, Body::Empty, &mut inspection);
    let work = inspection.work();
    (ruleset.decide(inspection).findings, work)
}

/// Every byte of it.
fn escaped(value: &[u8]) -> Vec<u8> {
    value.iter().flat_map(|byte| format!("%{byte:02X}").into_bytes()).collect()
}

/// The input is the value of a parameter.
pub fn run(data: &[u8]) {
    let value = &data[..data.len().min(4_096)];
    let (plain, work) = judge(value);
    assert!(work <= 128 * value.len() + 4_096, "{work} units for {} bytes", value.len());
    let (encoded, _) = judge(&escaped(value));
    for finding in plain.iter().filter(|finding| finding.confidence >= Confidence::High) {
        let kept =
            encoded.iter().any(|other| other.class == finding.class && other.confidence >= Confidence::High);
        assert!(
            kept || !finding.location.encodings.is_empty(),
            "{finding:?} is lost when it is encoded once more"
        );
        assert!(finding.location.length <= value.len());
    }
}
