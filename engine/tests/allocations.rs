//! A request without SQL costs one pass over its bytes and no allocation.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot build")]

use rasp_engine::{Body, Effective, Head, Ruleset};

fn allocations(target: &str, content_type: &str, body: &str) -> u64 {
    let ruleset = Ruleset::build(&Effective::builtin_blocking()).unwrap();
    let head = Head {
        method: "POST",
        target: target.as_bytes(),
        content_type: Some(content_type.as_bytes()),
        content_encoding: None,
    };
    allocation_counter::measure(|| {
        let mut inspection = ruleset.inspect_head(&head);
        ruleset.inspect_body(&head, Body::Complete(body.as_bytes()), &mut inspection);
        drop(ruleset.decide(inspection));
    })
    .count_total
}

#[test]
fn an_ordinary_request_allocates_nothing() {
    assert_eq!(allocations("/", "", ""), 0);
    assert_eq!(allocations("/api/v1/items/42?page=3&sort=price-desc", "", ""), 0);
    assert_eq!(allocations("/", "application/x-www-form-urlencoded", "name=Ada&city=London"), 0);
    assert_eq!(allocations("/", "application/json", r#"{"name":"Ada","tags":["a","b c"],"n":1}"#), 0);
    assert_eq!(allocations("/", "text/plain", "It's a sentence, and it doesn't allocate; or does it?"), 0);
}

#[test]
fn decoding_reuses_its_buffers() {
    let body = "field=some+words&".repeat(1_000);
    assert!(allocations("/", "application/x-www-form-urlencoded", &body) <= 8);
}
