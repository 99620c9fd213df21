use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use kube::runtime::watcher::Event;
use serde_json::json;

use super::{Cache, Index};
use crate::signing::Key;
use crate::testing::{mk_namespace, mk_pod, mk_pod_with, mk_policy, mk_stored_text};

#[test]
fn a_list_replaces_what_was_there_and_marks_both() {
    let mut pods = Index::default();
    pods.apply(Event::Apply(mk_pod("old", "web", true)));
    assert!(!pods.is_synced());
    assert!(pods.apply(Event::Init).is_empty());
    pods.apply(Event::InitApply(mk_pod("new", "web", true)));
    assert!(pods.get("shop", "old").is_some(), "stays until the list is complete");
    assert_eq!(pods.apply(Event::InitDone).into_iter().collect::<Vec<_>>(), ["shop"]);
    assert!(pods.is_synced());
    assert!(pods.get("shop", "old").is_none() && pods.get("shop", "new").is_some());
}

#[test]
fn an_older_version_does_not_replace_what_a_write_returned() {
    let version = |version: &str| {
        mk_pod_with("web", "web", true, |pod| pod["metadata"]["resourceVersion"] = json!(version))
    };
    let mut pods = Index::default();
    pods.put(version("7"));
    assert!(pods.apply(Event::Apply(version("5"))).is_empty());
    assert_eq!(*pods.get("shop", "web").unwrap(), version("7"));
    assert!(!pods.apply(Event::Apply(version("8"))).is_empty());
    assert_eq!(*pods.get("shop", "web").unwrap(), version("8"));
}

#[test]
fn a_deleted_object_is_gone_and_its_namespace_is_marked() {
    let mut pods = Index::default();
    pods.put(mk_pod("web", "web", true));
    assert_eq!(pods.apply(Event::Delete(mk_pod("web", "web", true))).len(), 1);
    assert!(pods.of("shop").is_empty());
    assert_eq!(pods.namespaces().count(), 0);
}

#[test]
fn a_policy_that_cannot_be_read_is_kept_with_the_reason() {
    let policy = mk_policy("p", 1, json!({ "mode": "Explode" }));
    let message = policy.spec.unwrap_err();
    assert!(message.contains("unknown variant `Explode`"), "{message}");
}

#[test]
fn only_running_pods_that_are_not_being_deleted_count_as_running() {
    assert!(mk_pod("a", "web", true).running);
    assert!(!mk_pod_with("a", "web", true, |pod| pod["status"]["phase"] = json!("Succeeded")).running);
    assert!(!mk_pod_with("a", "web", true, |pod| pod["status"]["phase"] = json!("Pending")).running);
    let deleted =
        |pod: &mut serde_json::Value| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert!(!mk_pod_with("a", "web", true, deleted).running);
}

#[test]
fn of_a_pod_without_sidecar_only_what_decides_is_kept() {
    let manifest = mk_pod("a", "web", false).manifest.unwrap().read();
    assert_eq!(manifest["spec"]["containers"], json!([{ "name": "app", "image": "app" }]));
    assert_eq!(mk_pod("a", "web", true).manifest, None);
}

#[test]
fn a_config_map_without_our_label_or_signature_is_seen_as_such() {
    let key = Key::generate().unwrap();
    let stored = mk_stored_text("{}", &key);
    assert!(stored.labelled && stored.opened.is_err());
}

#[tokio::test]
async fn waits_for_a_namespace_that_shows_up_in_time() {
    let cache = Arc::new(Cache::default());
    let later = Arc::clone(&cache);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        later.update(|state| state.namespaces.put(mk_namespace("shop", None)));
    });
    assert!(cache.namespace("shop", Duration::from_secs(5)).await.is_some());
    assert!(cache.namespace("absent", Duration::from_millis(10)).await.is_none());
}

#[tokio::test]
async fn a_change_wakes_the_controller_with_the_names() {
    let cache = Cache::default();
    cache.update(|state| state.namespaces.put(mk_namespace("shop", None)));
    tokio::time::timeout(Duration::from_secs(1), cache.dirty().wait()).await.unwrap();
    assert_eq!(cache.dirty().take().into_iter().collect::<Vec<_>>(), ["shop"]);
    assert!(cache.dirty().take().is_empty());
    cache.dirty().mark(["shop".to_owned()]);
    cache.dirty().take();
    assert!(cache.dirty().wait().now_or_never().is_none(), "what was taken wakes nobody");
    let all = [
        "namespaces",
        "pods",
        "rasppolicies",
        "configmaps",
        "services",
        "clusterrasppolicies",
        "raspexceptions",
    ];
    assert_eq!(cache.missing(), all);
}
