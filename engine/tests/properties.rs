//! No bytes make the engine panic, and what it costs is bounded.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot build")]

use proptest::prelude::*;
use rasp_engine::{Body, Effective, Head, Limits, Ruleset};

const TYPES: &[Option<&str>] = &[
    None,
    Some("text/plain"),
    Some("application/json"),
    Some("application/x-www-form-urlencoded"),
    Some("application/problem+json; charset=utf-8"),
    Some("multipart/form-data"),
    Some("\u{fffd}"),
];

/// Bytes that decoders branch on, more often than any other.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let special = proptest::sample::select(b"%+&;=?#/\\\"'{}[]:,u0123456789abcdefABCDEF \n\0\xff".to_vec());
    proptest::collection::vec(prop_oneof![special, any::<u8>()], 0..2_000)
}

fn work(target: &[u8], content_type: Option<&str>, body: Body<'_>) -> usize {
    work_with(target, &[], content_type, body)
}

fn work_with(target: &[u8], fields: &[(&str, &[u8])], content_type: Option<&str>, body: Body<'_>) -> usize {
    let ruleset = Ruleset::build(&Effective::builtin_blocking()).unwrap();
    let head = Head {
        method: "POST",
        target,
        content_type: content_type.map(str::as_bytes),
        content_encoding: None,
        fields: &fields,
    };
    let mut inspection = ruleset.inspect_head(&head);
    ruleset.inspect_body(&head, body, &mut inspection);
    let work = inspection.work();
    drop(ruleset.decide(inspection));
    work
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_request_makes_it_panic_and_work_is_bounded(
        target in bytes(),
        body in bytes(),
        field in bytes(),
        name in proptest::sample::select(vec!["Cookie", "Referer", "User-Agent", "Authorization", "X-A"]),
        content_type in proptest::sample::select(TYPES),
        truncated in any::<bool>(),
    ) {
        // A field is one value, however long, and read again where it is encoded once more.
        let length = target.len() + 2 * field.len() + body.len();
        let body = if truncated { Body::Truncated(&body) } else { Body::Complete(&body) };
        let work = work_with(&target, &[(name, &field)], content_type, body);
        prop_assert!(work <= 128 * length + 4_096, "{work} units for {length} bytes");
        prop_assert!(work <= Limits::for_body(131_072).work + 131_072);
    }

    #[test]
    fn no_json_makes_it_panic(depth in 0_usize..200, text in ".{0,40}") {
        let document = format!("{}{:?}{}", "[".repeat(depth), text, "]".repeat(depth));
        work(b"/", Some("application/json"), Body::Complete(document.as_bytes()));
        let document = format!("{}{:?}{}", "{\"a\":".repeat(depth), text, "}".repeat(depth));
        work(b"/", Some("application/json"), Body::Complete(document.as_bytes()));
    }
}

#[test]
fn ten_times_the_body_is_about_ten_times_the_work() {
    let pieces: &[&str] =
        &["a=1&", "a='&", "a=%27&", "'", "a;", "{\"a\":[", "[", "\"", "\\", "%25", "or 1 ", "/*", "--\n"];
    for piece in pieces {
        for content_type in TYPES {
            let [small, large] = [400, 4_000].map(|count| {
                let body = piece.repeat(count);
                work(b"/", *content_type, Body::Complete(body.as_bytes()))
            });
            assert!(
                large <= 12 * small + 1_000,
                "{small} and {large} units for {piece:?} as {content_type:?}"
            );
        }
    }
}
