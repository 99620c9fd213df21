use rasp_policy::api::RaspPolicy;
use serde_json::json;

use super::{Status, summary, tell};
use crate::fleet;

fn status() -> Status {
    let namespaces = [json!({"metadata": {"name": "shop", "labels": {"rasp.dev/inject": "enabled"}}})];
    let pod = |name: &str, containers: serde_json::Value| json!({"metadata": {"namespace": "shop", "name": name}, "spec": {"initContainers": containers}});
    let pods =
        [pod("safe", json!([{"name": "rasp-proxy", "image": "rasp/proxy:1"}])), pod("bare", json!([]))];
    let policy: RaspPolicy = serde_json::from_value(json!({
        "apiVersion": "rasp.dev/v1alpha1", "kind": "RaspPolicy",
        "metadata": {"namespace": "shop", "name": "block", "generation": 2}, "spec": {"mode": "Block"},
        "status": {
            "observedGeneration": 1, "effectiveMode": "Monitor", "policyHash": format!("sha256:{}", "ab".repeat(32)),
            "targets": {"matched": 2, "programmed": 1, "outdated": 0, "unprotected": 1},
            "conditions": [{
                "type": "Programmed", "status": "False", "reason": "PartiallyProgrammed", "message": "",
                "lastTransitionTime": "2026-11-26T00:00:00Z",
            }],
        },
    }))
    .unwrap();
    let sorted = fleet::sort(&namespaces, &pods, None, |_| false);
    let namespaces =
        sorted.iter().map(|namespace| summary(namespace, std::slice::from_ref(&policy), &[])).collect();
    Status { namespaces, not_visible: vec!["Bundles: forbidden".to_owned()] }
}

#[test]
fn the_table_says_who_is_protected_and_what_is_observed() {
    let mut out = Vec::new();
    tell(&mut out, &status()).unwrap();
    let printed = String::from_utf8(out).unwrap();
    let words: Vec<Vec<&str>> = printed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        words[1],
        ["shop", "enabled", "1", "0", "1", "Monitor", "-", "1", "x", "rasp/proxy:1"],
        "{printed}"
    );
    let policy = "shop/block Block Monitor False (PartiallyProgrammed, of an older generation) 1/2 sha256:abababababab";
    assert_eq!(words[4].join(" "), policy, "{printed}");
    assert!(words[7][1..3] == ["UNPROTECTED", "unknown:"], "{printed}");
    assert!(printed.ends_with("not visible: Bundles: forbidden\n"), "{printed}");
}

#[test]
fn the_document_names_every_pod_that_is_not_protected() {
    let document = serde_json::to_value(status()).unwrap();
    let namespace = &document["namespaces"][0];
    assert_eq!(namespace["protected"], 1);
    assert_eq!(namespace["mode"], "Monitor");
    assert_eq!(namespace["pods"][0]["state"], "unprotected");
    assert_eq!(namespace["policies"][0]["observed"], "Monitor");
    assert_eq!(namespace["policies"][0]["current"], false);
}
