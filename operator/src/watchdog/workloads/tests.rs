//! The pace of restarts, against an API server of one namespace full of Deployments.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::{MAX_UNFINISHED, Restarts};
use crate::leader::Leadership;
use crate::testing::{Call, Calls, api, mk_namespace, refusal};
use crate::watchdog::Cause;
use crate::watchdog::restart::{Candidate, Kind, RESTARTED_ID, Workload};

/// Every namespace holds a Deployment `web`; `available` of its one pod are.
fn cluster(call: &Call, available: u64) -> (u16, Value) {
    if call.method == Method::PATCH {
        return (
            200,
            json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "uid": "u" } }),
        );
    }
    let web = json!({
        "metadata": { "name": "web", "generation": 1, "resourceVersion": "1" },
        "spec": { "replicas": 1, "template": {} },
        "status": { "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": available },
    });
    let items = if call.uri.contains("/deployments") { json!([web]) } else { json!([]) };
    (
        200,
        json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": items }),
    )
}

fn candidates(count: usize) -> BTreeSet<Candidate> {
    let workload = || Workload { kind: Kind::Deployment, name: "web".to_owned() };
    (0..count)
        .map(|n| Candidate {
            namespace: format!("n{n}"),
            workload: workload(),
            cause: Cause::StartedUnprotected,
        })
        .collect()
}

fn mk_restarts(client: kube::Client, leads: bool, per_minute: usize) -> Restarts {
    Restarts::new(client, Leadership::for_test(leads), per_minute, Box::new(|_, _| true))
}

async fn look(restarts: &mut Restarts, count: usize, ready: bool) -> Vec<&'static str> {
    let namespace = |name: &str| Some(Arc::new(mk_namespace(name, Some("enabled"))));
    let outcomes = restarts.look(candidates(count), "proxy:2", ready, namespace).await;
    outcomes
        .iter()
        .map(|outcome| outcome.result.as_ref().map_or_else(|no| no.id(), |_| RESTARTED_ID))
        .collect()
}

fn patched(calls: &Calls) -> Vec<String> {
    let mut calls = calls.lock().unwrap();
    let patches = calls.drain(..).filter(|call| call.method == Method::PATCH);
    patches.map(|call| call.uri.split('?').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_minute_sees_only_so_many_restarts_and_none_is_asked_for_twice() {
    let (client, calls) = api(|call| cluster(call, 1));
    let mut restarts = mk_restarts(client, true, 2);
    assert_eq!(look(&mut restarts, 5, true).await, [RESTARTED_ID, RESTARTED_ID, "rate"]);
    let paths =
        ["/apis/apps/v1/namespaces/n0/deployments/web", "/apis/apps/v1/namespaces/n1/deployments/web"];
    assert_eq!(patched(&calls), paths);
    assert_eq!(look(&mut restarts, 5, true).await, ["rate"]);
    assert_eq!(look(&mut restarts, 2, true).await, [""; 0], "both wait for their rollouts");
    assert!(patched(&calls).is_empty());
}

#[tokio::test]
async fn nothing_is_restarted_while_the_webhook_is_not_served_or_another_leads() {
    let (client, calls) = api(|call| cluster(call, 1));
    let mut restarts = mk_restarts(client.clone(), true, 9);
    assert_eq!(look(&mut restarts, 1, false).await, ["webhook_not_ready"]);
    let mut other = mk_restarts(client, false, 9);
    assert_eq!(look(&mut other, 1, true).await, ["failed"]);
    assert!(calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn restarts_that_do_not_finish_end_all_others() {
    let restarted = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = Arc::clone(&restarted);
    let (client, _) =
        api(move |call| cluster(call, u64::from(!seen.load(std::sync::atomic::Ordering::SeqCst))));
    let mut restarts = mk_restarts(client, true, 100);
    assert_eq!(look(&mut restarts, MAX_UNFINISHED, true).await, [RESTARTED_ID; MAX_UNFINISHED]);
    restarted.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(look(&mut restarts, 10, true).await, ["too_many_unfinished"]);
    restarted.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(look(&mut restarts, 10, true).await[0], RESTARTED_ID, "they have finished");
}

#[tokio::test]
async fn what_the_api_server_refuses_is_tried_again() {
    let (client, calls) =
        api(|call| if call.method == Method::PATCH { refusal(409, "Conflict") } else { cluster(call, 1) });
    let mut restarts = mk_restarts(client, true, 9);
    for _ in 0..2 {
        assert_eq!(look(&mut restarts, 2, true).await, ["failed"]);
    }
    let paths =
        ["/apis/apps/v1/namespaces/n0/deployments/web", "/apis/apps/v1/namespaces/n1/deployments/web"];
    assert_eq!(patched(&calls), paths, "the next one has its turn");
    for until in restarts.not_before.values_mut() {
        *until = std::time::Instant::now();
    }
    assert_eq!(look(&mut restarts, 2, true).await, ["failed"], "and is tried again");
}

#[tokio::test]
async fn those_that_are_always_refused_keep_nobody_else_out() {
    let (client, calls) = api(|call| cluster(call, u64::from(call.uri.contains("/n7/"))));
    let mut restarts = mk_restarts(client, true, 9);
    let mut results = Vec::new();
    for _ in 0..2 {
        results.extend(look(&mut restarts, 8, true).await);
        for until in restarts.not_before.values_mut() {
            *until = std::time::Instant::now();
        }
    }
    assert_eq!(results.last(), Some(&RESTARTED_ID), "{results:?}");
    assert_eq!(patched(&calls), ["/apis/apps/v1/namespaces/n7/deployments/web"]);
}

/// As [`cluster`], of Deployments that were restarted before.
fn restarted_before(call: &Call) -> (u16, Value) {
    let (status, mut answer) = cluster(call, 1);
    if let Some(web) = answer.pointer_mut("/items/0/metadata") {
        web["annotations"] = json!({ "rasp.dev/restarted-for": "proxy:2 StartedUnprotected" });
    }
    (status, answer)
}

#[tokio::test]
async fn restarts_that_do_not_help_end_all_others() {
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = Arc::clone(&done);
    let (client, _) = api(move |call| {
        if seen.load(std::sync::atomic::Ordering::SeqCst) { restarted_before(call) } else { cluster(call, 1) }
    });
    let mut restarts = mk_restarts(client, true, 100);
    assert_eq!(look(&mut restarts, 3, true).await, [RESTARTED_ID; 3]);
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    restarts.not_before.clear();
    assert_eq!(look(&mut restarts, 3, true).await, ["did_not_help"; 3], "their pods are as they were");
    done.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(look(&mut restarts, 10, true).await, ["in_vain"]);
    for restarted in &mut restarts.restarted {
        restarted.at -= super::HOUR;
    }
    assert_eq!(look(&mut restarts, 10, true).await[0], RESTARTED_ID, "an hour later it tries again");
}
