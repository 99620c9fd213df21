use rasp_policy::api::{ClusterRaspPolicy, RaspException, RaspPolicy};
use serde_json::json;

use super::{PolicyStatus, Status, summary, tell};
use crate::fleet;
use crate::standing::Standing;

fn status() -> Status {
    let namespaces = [json!({"metadata": {"name": "shop", "labels": {"rasp.dev/inject": "enabled"}}})];
    let pod = |name: &str, containers: serde_json::Value| json!({"metadata": {"namespace": "shop", "name": name}, "spec": {"initContainers": containers}});
    let served = json!([{"name": "RASP_SERVED_PORTS", "value": "16200=80"}]);
    let pods = [
        pod("safe", json!([{"name": "rasp-proxy", "image": "rasp/proxy:1"}])),
        pod("bare", json!([])),
        pod("served", json!([{"name": "rasp-proxy", "image": "rasp/proxy:1", "env": served}])),
    ];
    let policy: RaspPolicy = serde_json::from_value(json!({
        "apiVersion": "rasp.dev/v1alpha1", "kind": "RaspPolicy",
        "metadata": {"namespace": "shop", "name": "block", "generation": 2}, "spec": {"mode": "Block"},
        "status": {
            "observedGeneration": 1, "effectiveMode": "Monitor", "policyHash": format!("sha256:{}", "ab".repeat(32)),
            "targets": {"matched": 2, "programmed": 1, "outdated": 0, "unprotected": 1},
            "conditions": [{
                "type": "Programmed", "status": "False", "reason": "PartiallyProgrammed", "message": "not on web-2\u{1b}",
                "lastTransitionTime": "2026-11-26T00:00:00Z",
            }],
        },
    }))
    .unwrap();
    let sorted = fleet::sort(&namespaces, &pods, None, |_| false);
    let ended: RaspException = serde_json::from_value(json!({
        "apiVersion": "rasp.dev/v1alpha1", "kind": "RaspException",
        "metadata": {"namespace": "shop", "name": "editor", "generation": 1},
        "spec": {"rule": "xss-handler", "reason": "r", "expiresAt": "2026-11-01T00:00:00Z"},
        "status": {"observedGeneration": 1, "hits": 7, "conditions": [
            {"type": "Accepted", "status": "False", "reason": "Expired", "message": "", "lastTransitionTime": "2026-11-26T00:00:00Z"},
        ]},
    }))
    .unwrap();
    let lever: ClusterRaspPolicy = serde_json::from_value(json!({
        "apiVersion": "rasp.dev/v1alpha1", "kind": "ClusterRaspPolicy", "metadata": {"name": "lever"},
        "spec": {"overrides": {"mode": "Monitor"}},
    }))
    .unwrap();
    let standings: [Standing; 2] = [policy.into(), ended.into()];
    let namespaces = sorted.iter().map(|namespace| summary(namespace, &standings, &[])).collect();
    let cluster_policies = vec![PolicyStatus::of(&lever.into())];
    Status { namespaces, cluster_policies, not_visible: vec!["Bundles: forbidden".to_owned()] }
}

#[test]
fn the_table_says_who_is_protected_and_what_is_observed() {
    let mut out = Vec::new();
    tell(&mut out, &status()).unwrap();
    let printed = String::from_utf8(out).unwrap();
    let words: Vec<Vec<&str>> = printed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        words[1],
        ["shop", "enabled", "2", "1", "0", "1", "Monitor", "-", "2", "x", "rasp/proxy:1"],
        "{printed}"
    );
    let rows: Vec<String> = words.iter().map(|words| words.join(" ")).collect();
    for row in [
        "ClusterRaspPolicy/lever Monitor (overrides) - Unknown (NoStatus) Unknown (NoStatus) 0/0 -",
        "shop/block Block Monitor Unknown (NoStatus) False (PartiallyProgrammed, of an older generation) 1/2 sha256:abababababab",
        "shop/editor False (Expired) Unknown (NoStatus) 0/0 7 2026-11-01T00:00:00Z",
        "shop/block PartiallyProgrammed not on web-2?",
        "shop/served weaker interception None: who dials a port of the application itself goes around the sidecar",
    ] {
        assert!(rows.iter().any(|known| known == row), "{row}: {printed}");
    }
    assert!(rows.iter().any(|row| row.starts_with("shop/bare UNPROTECTED unknown:")), "{printed}");
    assert!(printed.ends_with("not visible: Bundles: forbidden\n"), "{printed}");
}

#[test]
fn the_document_names_every_pod_that_is_not_protected() {
    let document = serde_json::to_value(status()).unwrap();
    let namespace = &document["namespaces"][0];
    assert_eq!(namespace["protected"], 2);
    assert_eq!(
        (&namespace["interceptionNone"], &namespace["pods"][1]["interception"]),
        (&json!(1), &json!("None"))
    );
    assert_eq!(
        (&namespace["exceptions"][0]["expired"], &namespace["exceptions"][0]["hits"]),
        (&json!(true), &json!(7))
    );
    assert_eq!(document["clusterPolicies"][0]["policy"], "lever");
    assert_eq!(namespace["mode"], "Monitor");
    assert_eq!(namespace["pods"][0]["state"], "unprotected");
    assert_eq!(namespace["policies"][0]["observed"], "Monitor");
    assert_eq!(namespace["policies"][0]["current"], false);
    assert_eq!(namespace["policies"][0]["faults"][0]["reason"], "PartiallyProgrammed");
}
