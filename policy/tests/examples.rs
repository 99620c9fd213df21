//! Every example of the repository is read by the strict reader and asks for what its name says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rasp_policy::document::{Object, Spec, read};

#[expect(clippy::unwrap_used, clippy::panic, reason = "a helper of tests")]
fn examples() -> BTreeMap<String, (String, Vec<Object>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../manifests/examples");
    let mut examples = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(path.extension().unwrap(), "yaml", "{}", path.display());
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let documents = read(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        examples.insert(name, (text, documents));
    }
    assert!(examples.len() >= 6, "only {} examples were found", examples.len());
    examples
}

#[test]
fn every_example_is_read_and_explains_itself() {
    for (name, (text, _)) in examples() {
        assert!(text.starts_with("# "), "{name} does not begin with a comment that says what it is for");
    }
}

/// The API server reads YAML 1.1, in which these words are booleans; our own reader is stricter and would not notice.
#[test]
fn no_example_has_a_word_that_kubernetes_reads_as_a_boolean() {
    for (name, (text, _)) in examples() {
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let value = line.rsplit(' ').next().unwrap_or_default().to_lowercase();
            assert!(!["off", "on", "yes", "no", "y", "n"].contains(&value.as_str()), "{name}: {line}");
        }
    }
}

#[test]
fn together_the_examples_show_every_field() {
    let shown: String = examples()
        .values()
        .flat_map(|(_, documents)| documents)
        .map(|document| match &document.spec {
            Spec::Policy(spec) => serde_json::to_string(spec).unwrap(),
            Spec::Cluster(spec) => serde_json::to_string(spec).unwrap(),
            Spec::Exception(spec) => serde_json::to_string(spec).unwrap(),
        })
        .collect();
    for field in [
        "podSelector",
        "matchLabels",
        "matchExpressions",
        "mode",
        "enforcement",
        "percent",
        "hashOn",
        "failureMode",
        "sqlInjection",
        "minConfidence",
        "maxBodyBytes",
        "status",
        "body",
        "contentType",
        "exceptions",
        "rule",
        "class",
        "path",
        "part",
        "parameter",
        "reason",
        "expiresAt",
        "signatures",
        "nameContains",
        "attacks",
        "targetRefs",
        "sectionName",
        "namespaceSelector",
        "defaults",
        "overrides",
        "allowPermanentExceptions",
    ] {
        assert!(shown.contains(&format!("\"{field}\":")), "no example shows {field}");
    }
}
