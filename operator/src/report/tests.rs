use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};
use rasp_policy::report::{EffectiveMode, Report};
use serde_json::{Value, json};

use super::{Receiver, Refused, Reports, Tokens};
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::observe::Cache;
use crate::testing::{Calls, api, mk_pod, mk_report, refusal};

mod hostile;

/// An API server that knows one token, `good`, which belongs to pod `web` of namespace `shop`.
fn receiver(leader: bool) -> (Receiver, Calls) {
    let (client, calls) = api(|call| match call.body["spec"]["token"].as_str() {
        Some("good") => (
            201,
            review(
                &call.body,
                &json!({
                    "authenticated": true,
                    "audiences": ["rasp.dev"],
                    "user": {
                        "username": "system:serviceaccount:shop:default",
                        "extra": {
                            "authentication.kubernetes.io/pod-name": ["web"],
                            "authentication.kubernetes.io/pod-uid": ["web-uid"],
                        },
                    },
                }),
            ),
        ),
        Some("broken") => refusal(500, "InternalError"),
        _ => (201, review(&call.body, &json!({ "authenticated": false, "error": "invalid bearer token" }))),
    });
    let metrics = Arc::new(Metrics::new().unwrap());
    let receiver = Receiver {
        leadership: Leadership::for_test(leader),
        tokens: Arc::new(Tokens::new(client, Arc::clone(&metrics))),
        reports: Arc::new(Reports::default()),
        evictions: super::Evictions::new(metrics),
        cache: Arc::new(Cache::default()),
    };
    (receiver, calls)
}

fn review(request: &Value, status: &Value) -> Value {
    assert_eq!(request["spec"]["audiences"], json!(["rasp.dev"]));
    json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {},
        "spec": request["spec"], "status": status,
    })
}

fn bearer(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
    headers
}

fn body(report: &Report) -> Vec<u8> {
    serde_json::to_vec(report).unwrap()
}

fn report() -> Report {
    mk_report(&mk_pod("web", "web", true), EffectiveMode::Block, &[("p", 1)])
}

#[tokio::test]
async fn a_report_of_the_pod_that_sends_it_is_kept_and_wakes_the_controller() {
    let (receiver, calls) = receiver(true);
    receiver.receive(&bearer("good"), &body(&report())).await.unwrap();
    assert_eq!(receiver.reports.of("web-uid").unwrap().report, report());
    assert_eq!(receiver.cache.dirty().take().into_iter().collect::<Vec<_>>(), ["shop"]);

    receiver.receive(&bearer("good"), &body(&report())).await.unwrap();
    assert!(receiver.cache.dirty().take().is_empty(), "nothing new was said");
    assert_eq!(calls.lock().unwrap().len(), 1, "the answer about a token is kept for a while");
}

#[tokio::test]
async fn every_other_report_is_refused_with_its_reason() {
    let good = || body(&report());
    let changed = |change: &dyn Fn(&mut Report)| {
        let mut report = report();
        change(&mut report);
        body(&report)
    };
    let table = [
        ("no header", HeaderMap::new(), good(), Refused::NoToken),
        ("empty token", bearer(""), good(), Refused::NoToken),
        ("unknown token", bearer("bad"), good(), Refused::InvalidToken),
        ("API server fails", bearer("broken"), good(), Refused::Unavailable),
        ("not JSON", bearer("good"), b"{".to_vec(), Refused::Malformed),
        (
            "newer schema",
            bearer("good"),
            changed(&|report| report.schema_version = 2),
            Refused::SchemaVersion,
        ),
        ("another pod", bearer("good"), changed(&|report| report.pod.name = "api".into()), Refused::WrongPod),
        (
            "an earlier pod",
            bearer("good"),
            changed(&|report| report.pod.uid = "old".into()),
            Refused::WrongPod,
        ),
        (
            "another namespace",
            bearer("good"),
            changed(&|report| report.pod.namespace = "bank".into()),
            Refused::WrongPod,
        ),
    ];
    for (name, headers, body, expected) in table {
        let (receiver, _) = receiver(true);
        assert_eq!(receiver.receive(&headers, &body).await, Err(expected), "{name}");
        assert!(receiver.reports.of("web-uid").is_none(), "{name}");
    }
}

#[tokio::test]
async fn only_the_leader_takes_reports() {
    let (receiver, calls) = receiver(false);
    assert_eq!(receiver.receive(&bearer("good"), &body(&report())).await, Err(Refused::NotLeader));
    assert!(calls.lock().unwrap().is_empty());
}

#[test]
fn every_refusal_has_a_status_and_an_id_of_its_own() {
    let ids: std::collections::BTreeSet<_> = Refused::TABLE.iter().map(|row| row.2).collect();
    assert_eq!(ids.len(), Refused::TABLE.len());
    for (reason, status, id) in Refused::TABLE {
        assert_eq!(reason.answer(), (status, id));
        assert!(status.is_client_error() || status.is_server_error());
    }
}

#[test]
fn reports_of_pods_that_are_gone_are_forgotten() {
    let reports = Reports::default();
    let received = |report| crate::status::Received { report, at: jiff::Timestamp::UNIX_EPOCH };
    reports.keep(received(report()));
    reports.retain("bank", |_| false);
    assert!(reports.of("web-uid").is_some(), "of another namespace");
    reports.retain("shop", |_| false);
    assert!(reports.of("web-uid").is_none());
}
