//! What costs most is done once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kube::runtime::watcher::Event;
use rasp_policy::api::Kind;
use serde_json::{Value, json};

use super::rolled_out::{rolling, rollout_bench};
use super::{Bench, applied, bench};
use crate::facts::Absence;
use crate::observe::Policy;
use crate::testing::{mk_pod, mk_policy_of};

/// Counts what is compiled.
fn counting(bench: &mut Bench) -> impl Fn() -> usize + use<> {
    let compiled = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&compiled);
    bench.controller.compile = Box::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    move || compiled.load(Ordering::SeqCst)
}

/// The policy as the watch brings it.
fn brought(version: u32, uid: &str, generation: i64, spec: &Value) -> Policy {
    let object = json!({
        "apiVersion": "rasp.dev/v1alpha1",
        "kind": "RaspPolicy",
        "metadata": {
            "name": "p", "namespace": "shop", "uid": uid, "generation": generation,
            "creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": version.to_string(),
        },
        "spec": spec,
    });
    Policy::read(Kind::RaspPolicy, serde_json::from_value(object).unwrap())
}

#[tokio::test]
async fn a_policy_that_comes_back_with_a_status_is_not_compiled_again_and_any_other_is() {
    let mut bench = bench(applied).await;
    let compiled = counting(&mut bench);
    bench.controller.namespace("shop").await;
    assert_eq!(bench.kinds(), ["ConfigMap", "RaspPolicy"], "its status was written");
    let block = json!({ "mode": "Block" });
    let apply = |policy| bench.cache.update(|state| state.policies.apply(Event::Apply(policy)));
    let listed = |policy| {
        for event in [Event::Init, Event::InitApply(policy), Event::InitDone] {
            bench.cache.update(|state| state.policies.apply(event));
        }
    };
    bench.controller.namespace("shop").await;
    assert_eq!(compiled(), 1, "the answer to the write");
    apply(brought(3, "p-uid", 4, &block));
    bench.controller.namespace("shop").await;
    assert_eq!(compiled(), 1, "its echo");
    listed(brought(4, "p-uid", 4, &block));
    bench.controller.namespace("shop").await;
    assert_eq!(compiled(), 1, "a list");

    apply(brought(5, "p-uid", 5, &block));
    bench.controller.namespace("shop").await;
    assert_eq!(compiled(), 2, "an edit");
    listed(brought(6, "other-uid", 5, &block));
    bench.controller.namespace("shop").await;
    assert_eq!(compiled(), 3, "made anew");
    apply(brought(7, "other-uid", 5, &json!({ "mode": "Monitor" })));
    bench.controller.namespace("shop").await;
    assert_eq!(compiled(), 4, "another default of another CRD");
}

#[tokio::test]
async fn what_is_found_out_after_the_object_came_back_is_known_of_it_as_well() {
    let mut bench = bench(applied).await;
    let compiled = counting(&mut bench);
    let before = bench.policy();
    bench.cache.update(|state| {
        state.policies.apply(Event::Apply(brought(3, "p-uid", 4, &json!({ "mode": "Block" }))))
    });
    crate::plan::check(&before, &*bench.controller.compile).unwrap();
    crate::plan::check(&bench.policy(), &*bench.controller.compile).unwrap();
    assert_eq!(compiled(), 1);
}

#[tokio::test]
async fn a_policy_of_the_cluster_and_one_with_a_rollout_are_compiled_once_as_well() {
    let mut bench = rollout_bench(rolling).await;
    let compiled = counting(&mut bench);
    let lever = json!({ "overrides": { "mode": "Monitor" } });
    let lever = mk_policy_of(Kind::ClusterRaspPolicy, "lever", 4, lever);
    bench.cache.update(|state| state.apply_cluster(Event::Apply(lever)));
    for _ in 0..3 {
        bench.controller.namespace("shop").await;
        bench.controller.clusters().await;
    }
    assert_eq!(compiled(), 2);
}

#[tokio::test]
async fn why_a_pod_has_no_sidecar_is_asked_once_in_a_turn_whether_there_is_a_rollout_or_not() {
    for with_rollout in [false, true] {
        let mut bench = if with_rollout { rollout_bench(rolling).await } else { bench(applied).await };
        bench.cache.update(|state| state.pods.put(mk_pod("bare", "web", false)));
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        bench.controller.why = Box::new(move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            Some(Absence::NotInjected("host_network"))
        });
        bench.controller.namespace("shop").await;
        assert_eq!(asked.load(Ordering::SeqCst), 1, "rollout: {with_rollout}");
        let status = &bench.policy().status;
        assert!(
            status.conditions.iter().any(|c| c.message.contains("shop/bare (host_network)")),
            "{status:?}"
        );
    }
}
