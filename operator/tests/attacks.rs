//! Attacks on the control plane: the corpora of the fuzz targets `review` and `validate`, pods nobody wrote as whole reviews, and the page
//! that says which test stands for which defence.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a fuzz body fails by panicking")]

#[path = "../../fuzz/src/review.rs"]
mod review;
#[path = "../../fuzz/src/validate.rs"]
mod validate;
#[path = "inject/values.rs"]
mod values;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rasp_policy::api::Kind;
use serde_json::Value;

use values::json_value;

const THREATS: &str = include_str!("../../docs/threat-model.md");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn the_corpus_of_reviews_is_answered() {
    replay("review", review::run);
}

#[test]
fn the_corpus_of_policies_is_answered_and_what_is_taken_every_sidecar_compiles() {
    replay("validate", validate::run);
}

fn replay(target: &str, run: fn(&[u8])) {
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("fuzz/corpus").join(target)).unwrap() {
        let path = entry.unwrap().path();
        let input = std::fs::read(&path).unwrap();
        let replayed = std::panic::catch_unwind(|| run(&input));
        assert!(replayed.is_ok(), "{}: {}", path.display(), input.escape_ascii());
        count += 1;
    }
    assert!(count > 20, "{count} inputs");
    run(b"");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_webhook_panic_or_answer_what_is_no_review(
        bytes in proptest::collection::vec(any::<u8>(), 0..400), at in any::<prop::sample::Index>(), with in any::<u8>()
    ) {
        review::run(&bytes);
        // One byte of a review that is in order.
        let mut whole = std::fs::read(root().join("fuzz/corpus/review/review-of-a-pod.json")).unwrap();
        let at = at.index(whole.len());
        whole[at] = with;
        review::run(&whole);
    }

    #[test]
    fn any_json_as_a_pod_is_patched_to_json_and_only_once(metadata in json_value(), spec in json_value()) {
        review::as_pod(&serde_json::json!({"metadata": metadata, "spec": spec}));
        review::as_pod(&spec);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_policy_with_a_piece_of_another_is_answered_and_what_is_taken_every_sidecar_compiles(
        (one, other) in any::<(prop::sample::Index, prop::sample::Index)>(),
        (at, from) in any::<(prop::sample::Index, prop::sample::Index)>(),
    ) {
        let specs = specs();
        let mut spec = one.get(&specs).clone();
        let other = other.get(&specs);
        let places = [places(&spec, String::new()), places(other, String::new())];
        let (place, from): (&String, &String) = (at.get(&places[0]), from.get(&places[1]));
        let piece = other.pointer(from).unwrap();
        *spec.pointer_mut(place).unwrap() = piece.clone();
        for kind in Kind::ALL {
            validate::as_spec(kind, &spec);
        }
    }
}

/// The specs of the corpus that can be read, in one order everywhere.
fn specs() -> Vec<Value> {
    let files = std::fs::read_dir(root().join("fuzz/corpus/validate")).unwrap();
    let files: BTreeSet<_> = files.map(|file| file.unwrap().path()).collect();
    files.iter().filter_map(|file| serde_json::from_slice(&std::fs::read(file).unwrap()).ok()).collect()
}

/// Where something stands in a value: it, and what it holds.
fn places(value: &Value, at: String) -> Vec<String> {
    let inside: Vec<_> = match value {
        Value::Object(members) => {
            let name = |name: &String| name.replace('~', "~0").replace('/', "~1");
            members.iter().map(|(member, value)| (name(member), value)).collect()
        }
        Value::Array(items) => items.iter().enumerate().map(|(n, item)| (n.to_string(), item)).collect(),
        _ => Vec::new(),
    };
    let inside = inside.into_iter().flat_map(|(name, value)| places(value, format!("{at}/{name}")));
    let inside: Vec<_> = inside.collect();
    [vec![at], inside].concat()
}

#[test]
fn every_test_that_stands_for_a_defence_exists() {
    let mut sources = String::new();
    for folder in ["policy", "engine", "proxy", "operator", "cli", "e2e"] {
        read(&root().join(folder), &mut sources);
    }
    let is_test = |word: &str| {
        word.matches('_').count() >= 3
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit())
    };
    let named: BTreeSet<&str> = THREATS.split('`').skip(1).step_by(2).filter(|word| is_test(word)).collect();
    assert!(named.len() > 50, "{} tests are named", named.len());
    let missing: Vec<_> = named.iter().filter(|name| !sources.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "docs/threat-model.md names tests that are not there: {missing:?}");
    assert!(THREATS.matches("not defended").count() > 10, "the page says what is not defended");
}

fn read(folder: &Path, sources: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            read(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}
