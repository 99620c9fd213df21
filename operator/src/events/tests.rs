use std::sync::Arc;
use std::time::Duration;

use http::Method;
use kube::runtime::events::{Recorder, Reporter};
use rasp_policy::pod::Interception;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Limit, MAX_EVENTS, MAX_EVENTS_OF_ONE, Notice, QUIET, camel_case, notice, publish, run};
use crate::inject::{Level, Owner, Reason};
use crate::metrics::Metrics;
use crate::testing::{api, mk_policy};
use crate::webhook::{Occurrence, Outcome, Subject};

fn owner(name: &str) -> Subject {
    Subject::Controller(Owner {
        api_version: "apps/v1".into(),
        kind: "ReplicaSet".into(),
        name: name.into(),
        uid: "u1".into(),
    })
}

fn occurrence(subject: Subject, outcome: Outcome, reason: Option<Reason>) -> Occurrence {
    let message = reason.as_ref().map(ToString::to_string).unwrap_or_default();
    let interception = (outcome == Outcome::Injected).then_some(Interception::Redirect);
    let namespace = "shop".into();
    Occurrence { namespace, subject, level: Level::Enabled, outcome, reason, interception, message }
}

#[test]
fn only_what_somebody_should_know_becomes_an_event() {
    let told = |subject, outcome, reason| notice(&occurrence(subject, outcome, reason));
    assert_eq!(told(owner("web"), Outcome::Injected, None), None);
    assert_eq!(told(owner("web"), Outcome::Skipped, Some(Reason::AlreadyInjected)), None);
    let skipped = told(owner("web"), Outcome::Skipped, Some(Reason::HostNetwork)).unwrap();
    assert_eq!((skipped.reason.as_str(), skipped.action), ("HostNetwork", "Inject"));
    assert!(skipped.message.starts_with("a pod starts unprotected: the pod uses the network of its node"));
    let denied = told(owner("web"), Outcome::Denied, Some(Reason::MalformedPod)).unwrap();
    assert_eq!((denied.reason.as_str(), denied.action), ("MalformedPod", "Deny"));
    let pod = told(Subject::Pod("web-".into()), Outcome::Skipped, Some(Reason::OptedOut)).unwrap();
    assert_eq!((pod.object.kind.as_str(), pod.object.name.as_str()), ("Pod", "web"));
    assert_eq!(told(Subject::Pod(String::new()), Outcome::Skipped, Some(Reason::OptedOut)), None);
    let partly = Occurrence {
        interception: Some(Interception::None),
        ..occurrence(owner("web"), Outcome::Injected, None)
    };
    let partly = notice(&partly).unwrap();
    assert_eq!((partly.reason.as_str(), partly.action), ("InterceptionNone", "Inject"));
    assert!(partly.message.starts_with("a pod is protected in part: "), "{}", partly.message);
}

#[test]
fn reasons_are_written_as_events_have_them() {
    assert_eq!(camel_case("host_network"), "HostNetwork");
    for id in Reason::IDS {
        assert!(camel_case(id).chars().all(char::is_alphanumeric), "{id}");
    }
}

#[test]
fn what_repeats_is_told_once_a_minute_and_a_storm_is_bounded() {
    let mk = |name: String| {
        notice(&occurrence(owner(&name), Outcome::Skipped, Some(Reason::HostNetwork))).unwrap()
    };
    let (mut limit, start) = (Limit::default(), Instant::now());
    assert!(limit.admits(&mk("a".into()), start));
    assert!(!limit.admits(&mk("a".into()), start + QUIET - Duration::from_millis(1)));
    assert!(limit.admits(&mk("a".into()), start + QUIET));
    let admitted = (0..2 * MAX_EVENTS).filter(|n| limit.admits(&mk(format!("n{n}")), start + QUIET)).count();
    assert_eq!(admitted, MAX_EVENTS_OF_ONE - 1);
    let elsewhere = |n: usize| {
        let mut occurrence = occurrence(owner("web"), Outcome::Skipped, Some(Reason::HostNetwork));
        occurrence.namespace = format!("namespace-{n}");
        notice(&occurrence).unwrap()
    };
    let admitted = (0..2 * MAX_EVENTS).filter(|n| limit.admits(&elsewhere(*n), start + QUIET)).count();
    assert_eq!(admitted, MAX_EVENTS - MAX_EVENTS_OF_ONE, "one namespace does not silence the others");
}

#[tokio::test]
async fn occurrences_and_invalid_policies_arrive_as_events_on_their_objects() {
    let (client, calls) = api(|call| (201, call.body.clone()));
    let metrics = Arc::new(Metrics::new().unwrap());
    let (occurrences, occurred) = mpsc::channel(4);
    let (notices, noticed) = mpsc::channel(4);
    occurrences.send(occurrence(owner("web"), Outcome::Skipped, Some(Reason::HostNetwork))).await.unwrap();
    occurrences.send(occurrence(owner("web"), Outcome::Injected, None)).await.unwrap();
    notices.send(Notice::invalid(&mk_policy("p", 1, json!({})), "spec.mode: no")).await.unwrap();
    notices.send(Notice::repaired("shop", "signature")).await.unwrap();
    drop((occurrences, notices));
    run(client, "op-1".into(), Arc::clone(&metrics), occurred, noticed).await;

    let calls = calls.lock().unwrap();
    assert!(calls.iter().all(|call| call.method == Method::POST
        && call.uri.starts_with("/apis/events.k8s.io/v1/namespaces/shop/events")));
    let mut told: Vec<_> = calls
        .iter()
        .map(|call| {
            format!(
                "{} {} {}",
                call.body["regarding"]["kind"], call.body["regarding"]["uid"], call.body["reason"]
            )
        })
        .collect();
    told.sort();
    assert_eq!(
        told,
        [
            r#""ConfigMap" null "BundleRepaired""#,
            r#""RaspPolicy" "p-uid" "Invalid""#,
            r#""ReplicaSet" "u1" "HostNetwork""#
        ]
    );
    let text = String::from_utf8(metrics.render(jiff::Timestamp::UNIX_EPOCH)).unwrap();
    for line in [
        r#"{namespace="shop",owner_kind="ReplicaSet",reason="host_network",result="skipped"} 1"#,
        r#"{namespace="shop",owner_kind="ReplicaSet",reason="",result="injected"} 1"#,
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[tokio::test]
async fn what_repeats_after_a_while_is_counted_in_the_event_that_is_there() {
    let (client, calls) = api(|call| {
        let mut event = call.body.clone();
        event["metadata"]["name"] = json!("e");
        (201, event)
    });
    let metrics = Metrics::new().unwrap();
    let recorder = Recorder::new(client, Reporter { controller: "c".into(), instance: Some("op-1".into()) });
    for _ in 0..2 {
        publish(&recorder, &metrics, Notice::repaired("shop", "signature")).await;
    }
    let methods: Vec<Method> = calls.lock().unwrap().iter().map(|call| call.method.clone()).collect();
    assert_eq!(methods, [Method::POST, Method::PATCH]);
}
