//! Whole turns against an API server that keeps what is applied.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::runtime::watcher::Event;
use rasp_policy::api::{Mode, RaspPolicyStatus};
use rasp_policy::bundle::Refusal;
use rasp_policy::report::{EffectiveMode, PolicyState, Rejected, Report};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Controller;
use crate::apply::Writer;
use crate::events::Notice;
use crate::facts::Absence;
use crate::history::Change;
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::observe::{Cache, Policy};
use crate::report::Reports;
use crate::secrets::Held;
use crate::signing::Key;
use crate::status::Received;
use crate::testing::{
    Calls, api, mk_namespace, mk_pod, mk_pod_with, mk_policy, mk_policy_of, mk_report, refusal,
};
use crate::watchdog::{Cause, Ledger};

mod forged;
mod once;
mod rolled_out;

/// A controller, what it works on, and what it wrote.
struct Bench {
    controller: Controller,
    cache: Arc<Cache>,
    reports: Arc<Reports>,
    metrics: Arc<Metrics>,
    calls: Calls,
    notices: mpsc::Receiver<Notice>,
    changes: mpsc::Receiver<Change>,
}

/// The answer to an apply: the object, with the metadata that the server keeps.
fn applied(body: &Value) -> (u16, Value) {
    let mut object = body.clone();
    let spec = match body["kind"].as_str() {
        Some("RaspPolicy") => json!({ "mode": "Block" }),
        Some("ClusterRaspPolicy") => json!({ "overrides": { "mode": "Monitor" } }),
        _ => Value::Null,
    };
    if !spec.is_null() {
        object["metadata"]["generation"] = json!(4);
        object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        object["spec"] = spec;
    }
    object["metadata"]["resourceVersion"] = json!("2");
    (200, object)
}

async fn bench(writes: impl Fn(&Value) -> (u16, Value) + Send + Sync + 'static) -> Bench {
    let (client, calls) = api(move |call| match call.uri.contains("/secrets") {
        true if call.body.is_null() => refusal(404, "NotFound"),
        true => (201, call.body.clone()),
        false => writes(&call.body),
    });
    let signing = Held::<Key>::obtain(
        kube::Api::namespaced(client.clone(), "kube-rasp"),
        "s",
        &crate::secrets::Terms { names: Vec::new(), owned: true },
    )
    .await
    .unwrap();
    calls.lock().unwrap().clear();
    let (cache, reports) = (Arc::new(Cache::default()), Arc::new(Reports::default()));
    let (noticed, notices) = mpsc::channel(8);
    let (history, changes) = mpsc::channel(8);
    cache.update(|state| {
        state.namespaces.apply(Event::InitDone);
        state.pods.apply(Event::InitDone);
        state.policies.apply(Event::InitDone);
        state.bundles.apply(Event::InitDone);
        state.services.apply(Event::InitDone);
        state.clusters.apply(Event::InitDone);
        state.exceptions.apply(Event::InitDone);
        state.namespaces.put(mk_namespace("shop", Some("enabled")));
        state.pods.put(mk_pod("web", "web", true));
        state.policies.put(mk_policy("p", 4, json!({ "mode": "Block" })))
    });
    let metrics = Arc::new(Metrics::new().unwrap());
    let controller = Controller {
        cache: Arc::clone(&cache),
        reports: Arc::clone(&reports),
        signing: Arc::new(signing),
        writer: Writer::new(client, Leadership::for_test(true)),
        leadership: Leadership::for_test(true),
        metrics: Arc::clone(&metrics),
        compile: Box::new(|_| Ok(())),
        why: Box::new(|_, _| Some(Absence::NotInjected("host_network"))),
        notices: noticed,
        history,
        excludes: Box::new(|_| false),
        watchdog: Arc::new(Ledger::new("proxy:1".to_owned(), Vec::new())),
        last_good: Mutex::default(),
        shares: Mutex::default(),
        statuses: Mutex::default(),
        status_pause: Duration::ZERO,
    };
    Bench { controller, cache, reports, metrics, calls, notices, changes }
}

impl Bench {
    /// Bodies of what was written since the last call, by kind.
    fn written(&self) -> Vec<(String, Value)> {
        let calls = std::mem::take(&mut *self.calls.lock().unwrap());
        calls
            .into_iter()
            .map(|call| (call.body["kind"].as_str().unwrap_or_default().to_owned(), call.body))
            .collect()
    }

    fn kinds(&self) -> Vec<String> {
        self.written().into_iter().map(|(kind, _)| kind).collect()
    }

    fn policy(&self) -> Arc<Policy> {
        self.cache.read().policies.get("shop", "p").unwrap()
    }

    /// Somebody edits the policy. What is written as its status brings generation 4 back.
    fn edit(&self, generation: i64, spec: &Value) {
        self.cache.update(|state| {
            state.policies.rewrite(|policy| {
                let mut edited = policy.clone();
                let fresh = mk_policy("p", generation, spec.clone());
                (edited.generation, edited.spec, edited.checked) = (generation, fresh.spec, fresh.checked);
                edited
            })
        });
    }

    fn acknowledge(&self, generation: i64) {
        let stored = self.cache.read().bundles.of("shop").into_iter().next().unwrap();
        let opened = stored.opened.clone().unwrap();
        let mut report = mk_report(&mk_pod("web", "web", true), EffectiveMode::Block, &[("p", generation)]);
        report.digest = Some(opened.digest);
        report.sequence = Some(opened.bundle.sequence);
        self.reports.keep(Received { report, at: jiff::Timestamp::now() });
    }

    fn metrics(&self) -> String {
        String::from_utf8(self.metrics.render(jiff::Timestamp::now())).unwrap()
    }
}

fn programmed(status: &RaspPolicyStatus) -> (String, String) {
    let condition = status.conditions.iter().find(|condition| condition.r#type == "Programmed").unwrap();
    (condition.status.clone(), condition.reason.clone())
}

#[tokio::test]
async fn a_policy_becomes_a_bundle_and_programmed_once_its_sidecar_says_so() {
    let bench = bench(applied).await;
    assert!(bench.controller.namespace("shop").await);
    assert_eq!(bench.kinds(), ["ConfigMap", "RaspPolicy"]);
    assert_eq!(programmed(&bench.policy().status), ("False".to_owned(), "Pending".to_owned()));

    bench.acknowledge(4);
    assert!(bench.controller.namespace("shop").await);
    assert_eq!(bench.kinds(), ["RaspPolicy"], "the Bundle is as it should be");
    let status = bench.policy().status.clone();
    assert_eq!(programmed(&status), ("True".to_owned(), "Programmed".to_owned()));
    assert_eq!(status.effective_mode, Some(EffectiveMode::Block));
    let text = bench.metrics();
    for line in [
        r#"rasp_policy_rollouts_total{result="written"} 1"#,
        r#"rasp_policy_rollouts_total{result="programmed"} 1"#,
        r#"rasp_pods_outdated{namespace="shop",reason="OutdatedPolicy"} 0"#,
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }

    assert!(bench.controller.namespace("shop").await);
    assert!(bench.written().is_empty(), "nothing changed, nothing is written");
}

#[tokio::test]
async fn a_tampered_config_map_is_repaired_with_what_was_in_force() {
    let mut bench = bench(applied).await;
    bench.controller.namespace("shop").await;
    bench.acknowledge(4);
    bench.controller.namespace("shop").await;
    bench.written();
    let before = bench.controller.last_good("shop").unwrap();
    let key = bench.controller.signing.get();
    bench.cache.update(|state| state.bundles.rewrite(|_| crate::testing::mk_stored_text("{}", &key)));
    assert!(bench.controller.namespace("shop").await);
    assert_eq!(bench.kinds()[0], "ConfigMap");
    let after = bench.controller.last_good("shop").unwrap();
    assert_eq!(after.entries, before.entries);
    assert!(after.sequence > before.sequence);
    assert!(bench.metrics().contains(r#"rasp_policy_rollouts_total{result="repaired"} 1"#));
    assert_eq!(bench.notices.try_recv().unwrap(), Notice::repaired("shop", "malformed"));
}

#[tokio::test]
async fn each_change_of_the_policies_is_noted_with_what_was_before_and_nothing_else_is() {
    let mut bench = bench(applied).await;
    bench.controller.namespace("shop").await;
    let first = bench.changes.try_recv().unwrap();
    assert_eq!((first.record.objects.len(), first.before), (1, None), "there was no Bundle");
    bench.edit(5, &json!({ "mode": "Monitor" }));
    bench.controller.namespace("shop").await;
    let second = bench.changes.try_recv().unwrap();
    assert_eq!(second.before.unwrap().state(), first.record.state());
    assert_eq!(second.record.objects[0].spec, Some(json!({ "mode": "Monitor" })));
    let stored = bench.cache.read().bundles.of("shop").into_iter().next().unwrap();
    assert_eq!(second.record.digest, stored.opened.clone().unwrap().digest);

    let key = bench.controller.signing.get();
    bench.edit(5, &json!({ "mode": "Monitor" }));
    bench.written();
    bench.cache.update(|state| state.bundles.rewrite(|_| crate::testing::mk_stored_text("{}", &key)));
    bench.controller.namespace("shop").await;
    assert!(bench.kinds().contains(&"ConfigMap".to_owned()), "it is repaired");
    assert!(bench.changes.try_recv().is_err(), "and the policies are what they were");
}

#[tokio::test]
async fn a_history_that_cannot_keep_up_loses_a_change_and_no_bundle() {
    let mut bench = bench(applied).await;
    (bench.controller.history, bench.changes) = mpsc::channel(1);
    for generation in 5..8 {
        bench.edit(generation, &json!({ "mode": "Off" }));
        assert!(bench.controller.namespace("shop").await);
        assert!(bench.kinds().contains(&"ConfigMap".to_owned()));
    }
    assert!(bench.metrics().contains(r#"rasp_reconcile_errors_total{kind="history_write"} 2"#));
}

#[tokio::test]
async fn a_bundle_that_cannot_be_written_is_told_and_tried_again() {
    let bench =
        bench(|body| if body["kind"] == "ConfigMap" { refusal(403, "Forbidden") } else { applied(body) })
            .await;
    assert!(!bench.controller.namespace("shop").await, "asks to be tried again");
    let status = bench.policy().status.clone();
    let degraded = status.conditions.iter().find(|condition| condition.r#type == "Degraded").unwrap();
    assert_eq!((degraded.status.as_str(), degraded.reason.as_str()), ("True", "DistributionFailed"));
    let text = bench.metrics();
    assert!(text.contains(r#"rasp_reconcile_errors_total{kind="bundle_write"} 1"#), "{text}");
}

#[tokio::test]
async fn an_invalid_policy_is_told_once() {
    let mut bench = bench(applied).await;
    bench.controller.compile = Box::new(|_| Err("spec.mode: refused".to_owned()));
    bench.controller.namespace("shop").await;
    bench.controller.namespace("shop").await;
    let policy = mk_policy("p", 4, json!({}));
    assert_eq!(bench.notices.try_recv().unwrap(), Notice::invalid(&policy, "spec.mode: refused"));
    assert!(bench.notices.try_recv().is_err());
}

#[tokio::test]
async fn pods_without_a_sidecar_are_counted_where_somebody_asked_for_one() {
    let bench = bench(applied).await;
    bench.cache.update(|state| {
        state.pods.put(mk_pod("bare", "web", false));
        state.namespaces.put(mk_namespace("other", None))
    });
    bench.controller.namespace("shop").await;
    let line = r#"rasp_pods_unprotected{namespace="shop",reason="CannotBeProtected"} 1"#;
    assert!(bench.metrics().contains(line));
    let noted = bench.controller.watchdog.due(std::time::Instant::now(), Duration::ZERO);
    let noted: Vec<_> = noted.iter().map(|finding| (finding.pod.as_str(), finding.cause)).collect();
    assert_eq!(noted, [("bare", Cause::CannotBeProtected)], "and the watchdog knows which");
    bench.controller.namespace("other").await;
    assert!(!bench.metrics().contains(r#"namespace="other""#), "none of our business");
}

#[tokio::test]
async fn a_sidecar_that_is_too_old_for_an_edit_keeps_what_it_has_and_the_status_says_so() {
    let bench = bench(applied).await;
    bench.controller.namespace("shop").await;
    bench.acknowledge(4);
    bench.controller.namespace("shop").await;
    bench.edit(5, &json!({ "mode": "Block", "enforcement": { "percent": 10 } }));
    let before = bench.reports.of("web-uid").unwrap().report.clone();
    bench.controller.namespace("shop").await;
    // What a sidecar of before `enforcement` says to that Bundle.
    let stored = bench.cache.read().bundles.of("shop").into_iter().next().unwrap();
    assert!(
        String::from_utf8(stored.opened.clone().unwrap().bundle.to_bytes()).unwrap().contains("enforcement")
    );
    let refusal = Refusal::UnknownField("entries.0.spec.enforcement".to_owned());
    let rejected = Some(Rejected { reason: refusal.id().to_owned(), message: refusal.to_string() });
    let report = Report { state: PolicyState::Rejected, rejected, ..before };
    bench.reports.keep(Received { report, at: jiff::Timestamp::now() });
    bench.edit(5, &json!({ "mode": "Block", "enforcement": { "percent": 10 } }));
    bench.written();
    bench.controller.namespace("shop").await;
    let written = bench.written();
    let (_, body) = written.iter().find(|(kind, _)| kind == "RaspPolicy").unwrap();
    let status: RaspPolicyStatus = serde_json::from_value(body["status"].clone()).unwrap();
    assert_eq!(programmed(&status), ("False".to_owned(), "SidecarTooOld".to_owned()));
    assert_eq!(status.effective_mode, Some(EffectiveMode::Block), "what it reports, which goes on");
    let text = body.to_string();
    assert!(text.contains("shop/web (version 0.1.0: unknown field entries.0.spec.enforcement)"), "{text}");
    assert!(text.contains("restart"), "{text}");
}

#[tokio::test]
async fn a_sidecar_of_another_version_is_in_gauge_and_status_although_it_has_the_policies() {
    let bench = bench(applied).await;
    let older = mk_pod_with("web", "web", true, |pod| {
        pod["spec"]["initContainers"][0]["image"] = json!("proxy:0");
    });
    bench.cache.update(|state| state.pods.put(older));
    bench.controller.namespace("shop").await;
    bench.acknowledge(4);
    bench.controller.namespace("shop").await;
    let status = bench.policy().status.clone();
    let targets = status.targets.unwrap();
    assert_eq!((targets.programmed, targets.outdated, targets.outdated_sidecars), (1, 0, Some(1)));
    let metrics = bench.metrics();
    for (reason, pods) in [("OutdatedSidecar", 1), ("OutdatedPolicy", 0)] {
        let line = format!(r#"rasp_pods_outdated{{namespace="shop",reason="{reason}"}} {pods}"#);
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn a_namespace_that_is_gone_is_forgotten() {
    let bench = bench(applied).await;
    bench.controller.namespace("shop").await;
    bench.cache.update(|state| state.namespaces.apply(Event::Delete(mk_namespace("shop", None))));
    assert!(bench.controller.namespace("shop").await);
    assert!(bench.controller.last_good("shop").is_none());
}

#[tokio::test]
async fn the_loop_writes_within_a_second_of_a_change() {
    let bench = bench(applied).await;
    let cache = Arc::clone(&bench.cache);
    let calls = Arc::clone(&bench.calls);
    let run = tokio::spawn(bench.controller.run());
    let written = async {
        while calls.lock().unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), written).await.expect("bundle and first status");
    calls.lock().unwrap().clear();
    cache.update(|state| state.policies.put(mk_policy("q", 1, json!({ "mode": "Off" }))));
    let again = async {
        while calls.lock().unwrap().iter().all(|call| call.body["kind"] != "ConfigMap") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), again).await.expect("a new Bundle");
    run.abort();
}

#[tokio::test]
async fn a_policy_of_the_cluster_has_one_status_over_all_its_namespaces() {
    let bench = bench(applied).await;
    let lever = || {
        let spec = json!({ "overrides": { "mode": "Monitor" } });
        Event::Apply(mk_policy_of(rasp_policy::api::Kind::ClusterRaspPolicy, "lever", 4, spec))
    };
    bench.cache.update(|state| {
        state.namespaces.put(mk_namespace("idle", None));
        state.apply_cluster(lever())
    });
    let touched = bench.cache.dirty().take();
    assert_eq!(touched.iter().map(String::as_str).collect::<Vec<_>>(), ["idle", "shop"]);
    let status = || bench.cache.read().clusters.get("lever", "lever").unwrap().status.clone();
    for name in &touched {
        assert!(bench.controller.namespace(name).await);
    }
    bench.controller.clusters().await;
    assert_eq!(
        bench.kinds(),
        ["ConfigMap", "RaspPolicy", "ClusterRaspPolicy"],
        "no Bundle where nobody needs one"
    );
    assert_eq!(status().targets.unwrap().matched, 1);
    assert_eq!(programmed(&status()), ("False".to_owned(), "Pending".to_owned()));

    let stored = bench.cache.read().bundles.of("shop").into_iter().next().unwrap();
    let mut report =
        mk_report(&mk_pod("web", "web", true), EffectiveMode::Monitor, &[("p", 4), ("lever", 4)]);
    report.digest = Some(stored.opened.clone().unwrap().digest);
    bench.reports.keep(Received { report, at: jiff::Timestamp::now() });
    assert!(bench.controller.namespace("shop").await);
    bench.controller.clusters().await;
    assert_eq!(programmed(&status()), ("True".to_owned(), "Programmed".to_owned()));
    assert_eq!(status().effective_mode, Some(EffectiveMode::Monitor));
    assert_eq!(
        programmed(&bench.policy().status).1,
        "Overridden",
        "the policy of the namespace says who won"
    );
    bench.written();
    bench.controller.clusters().await;
    assert!(bench.written().is_empty(), "nothing changed, nothing is written");

    bench.cache.update(|state| state.namespaces.apply(Event::Delete(mk_namespace("shop", None))));
    assert!(bench.controller.namespace("shop").await);
    bench.controller.clusters().await;
    assert_eq!(status().targets.unwrap().matched, 0, "a namespace that is gone adds nothing");
}

#[tokio::test]
async fn of_one_object_a_status_is_written_once_in_a_while_and_the_last_one_arrives() {
    let mut bench = bench(applied).await;
    bench.controller.status_pause = Duration::from_secs(3600);
    assert!(bench.controller.namespace("shop").await);
    bench.acknowledge(4);
    assert!(!bench.controller.namespace("shop").await, "asks to be tried again");
    assert_eq!(bench.kinds(), ["ConfigMap", "RaspPolicy"]);
    bench.controller.status_pause = Duration::ZERO;
    assert!(bench.controller.namespace("shop").await);
    assert_eq!(programmed(&bench.policy().status).1, "Programmed");
}

#[tokio::test]
async fn a_bundle_that_is_too_large_is_told_and_not_tried_every_second() {
    let bench = bench(applied).await;
    assert!(bench.controller.namespace("shop").await);
    bench.written();
    let large = || json!({ "response": { "body": "x".repeat(8192) } });
    for number in 0..600 {
        let policy = mk_policy(&format!("large-{number}"), 4, large());
        bench.cache.update(|state| state.policies.put(policy));
    }
    assert!(bench.controller.namespace("shop").await, "trying again would not help");
    assert!(bench.kinds().iter().all(|kind| kind != "ConfigMap"), "the last good one stays");
    let status = bench.cache.read().policies.get("shop", "large-0").unwrap().status.clone();
    let programmed = status.conditions.iter().find(|condition| condition.r#type == "Programmed").unwrap();
    assert_eq!(programmed.reason, "TooLarge", "{programmed:?}");

    // The lever of an incident acts all the same, once.
    let edit = || {
        // What was written as a status brought small ones back.
        let fresh = |policy: &Policy| match policy.name.as_str() {
            "p" => mk_policy("p", 5, json!({ "mode": "Monitor", "failureMode": "Open" })),
            name => mk_policy(name, 4, large()),
        };
        bench.cache.update(|state| state.policies.rewrite(fresh));
    };
    edit();
    assert!(bench.controller.namespace("shop").await);
    assert_eq!(bench.kinds().iter().filter(|kind| *kind == "ConfigMap").count(), 1);
    let entries = bench.controller.last_good("shop").unwrap().entries.clone();
    let (mode, failure_mode) = (entries[0].spec.mode, entries[0].spec.failure_mode);
    assert_eq!((entries.len(), mode, failure_mode), (1, Some(Mode::Monitor), None), "the mode, nothing else");
    edit();
    assert!(bench.controller.namespace("shop").await);
    assert!(bench.kinds().iter().all(|kind| kind != "ConfigMap"), "nothing more is lowered");
}

#[tokio::test]
async fn an_edit_that_cannot_be_compiled_does_not_take_an_override_from_a_namespace_that_it_selects_no_more()
{
    let mut bench = bench(applied).await;
    bench.controller.compile = Box::new(|effective| match effective.failure_mode {
        rasp_policy::api::FailureMode::Open => Ok(()),
        rasp_policy::api::FailureMode::Closed => Err("spec.response: no".to_owned()),
    });
    let edit = |generation, overrides: Value, label: &str| {
        let spec =
            json!({ "namespaceSelector": { "matchLabels": { "team": label } }, "overrides": overrides });
        let lever = mk_policy_of(rasp_policy::api::Kind::ClusterRaspPolicy, "lever", generation, spec);
        bench.cache.update(|state| state.apply_cluster(Event::Apply(lever)));
    };
    let in_force = || {
        let bundle = bench.controller.last_good("shop").unwrap();
        bundle.entries.iter().map(|e| (e.source.name.clone(), e.source.generation)).collect::<Vec<_>>()
    };
    let (own, lever) = (("p".to_owned(), 4), ("lever".to_owned(), 1));
    bench.cache.update(|state| {
        let mut shop = mk_namespace("shop", Some("enabled"));
        shop.labels.insert("team".to_owned(), "a".to_owned());
        state.namespaces.put(shop)
    });
    // What it says, whom it is for, what is in force then.
    let table = [
        (1, json!({ "mode": "Monitor" }), "a", vec![own.clone(), lever.clone()]),
        (2, json!({ "mode": "Monitor", "failureMode": "Closed" }), "b", vec![own.clone(), lever]),
        (3, json!({ "mode": "Monitor" }), "b", vec![own]),
    ];
    for (generation, overrides, label, expected) in table {
        edit(generation, overrides, label);
        assert!(bench.controller.namespace("shop").await);
        assert_eq!(in_force(), expected, "generation {generation}");
    }
}
