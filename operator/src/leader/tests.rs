use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Election, Leadership, Step, Term, step};
use crate::metrics::Metrics;
use crate::testing::{Call, api, refusal};

fn lease(holder: &str, renewed: i64) -> Lease {
    let renewed = Timestamp::from_second(renewed).unwrap();
    Lease {
        spec: Some(LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            renew_time: Some(MicroTime(renewed)),
            ..LeaseSpec::default()
        }),
        ..Lease::default()
    }
}

#[test]
fn a_lease_is_taken_only_when_it_was_seen_unchanged_for_its_whole_duration() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut seen = None;
    assert_eq!(step(&lease("a", 0), "a", &mut seen, at(0)), Step::Renew);
    assert_eq!(step(&lease("", 0), "a", &mut seen, at(0)), Step::Take, "released");
    // The holder's clock is years behind; only what was seen counts.
    assert_eq!(step(&lease("b", 0), "a", &mut seen, at(0)), Step::Wait);
    assert_eq!(step(&lease("b", 0), "a", &mut seen, at(14)), Step::Wait);
    assert_eq!(step(&lease("b", 5), "a", &mut seen, at(15)), Step::Wait, "renewed");
    assert_eq!(step(&lease("b", 5), "a", &mut seen, at(29)), Step::Wait);
    assert_eq!(step(&lease("b", 5), "a", &mut seen, at(30)), Step::Take);
    assert_eq!(step(&lease("c", 5), "a", &mut seen, at(31)), Step::Wait, "another holder");
}

#[test]
fn leadership_ends_by_its_own_clock_without_anybody_saying_so() {
    let now = Instant::now();
    let term = |until| Leadership(watch::channel(Some(Term { since: now, until })).1);
    assert!(term(now + Duration::from_secs(5)).is_leader());
    assert!(!term(now).is_leader(), "a process that was stopped for too long is not leader when it goes on");
}

/// A Lease in memory, with the conflicts of the real one.
fn leases(stored: &Arc<Mutex<Option<Value>>>) -> impl Fn(&Call) -> (u16, Value) + Send + Sync + 'static {
    let stored = Arc::clone(stored);
    move |call| {
        let mut stored = stored.lock().unwrap();
        let version = |lease: &Value| lease["metadata"]["resourceVersion"].as_str().map(ToOwned::to_owned);
        match (&call.method, &*stored) {
            (&Method::GET, Some(lease)) => (200, lease.clone()),
            (&Method::GET, None) => refusal(404, "NotFound"),
            (&Method::POST, Some(_)) => refusal(409, "AlreadyExists"),
            (&Method::PUT, Some(lease)) if version(lease) != version(&call.body) => refusal(409, "Conflict"),
            _ => {
                let mut lease = call.body.clone();
                let next = stored
                    .as_ref()
                    .and_then(version)
                    .map_or(1, |version| version.parse::<u64>().unwrap() + 1);
                lease["metadata"]["resourceVersion"] = json!(next.to_string());
                *stored = Some(lease.clone());
                (200, lease)
            }
        }
    }
}

fn election(stored: &Arc<Mutex<Option<Value>>>, identity: &str) -> (Election, Leadership) {
    let (client, _) = api(leases(stored));
    Election::new(Api::namespaced(client, "kube-rasp"), "kube-rasp-operator", identity)
}

#[tokio::test]
async fn of_two_replicas_one_leads() {
    let stored = Arc::new(Mutex::new(None));
    let ((mut a, a_leads), (mut b, b_leads)) = (election(&stored, "a"), election(&stored, "b"));
    assert!(a.round().await.unwrap());
    assert!(!b.round().await.unwrap());
    assert!(a.round().await.unwrap(), "renewed");
    assert!(a_leads.is_leader() && !b_leads.is_leader());
    let lease = stored.lock().unwrap().clone().unwrap();
    assert_eq!(
        (&lease["spec"]["holderIdentity"], &lease["spec"]["leaseTransitions"]),
        (&json!("a"), &json!(0))
    );

    a.release().await;
    assert!(!a_leads.is_leader());
    assert!(b.round().await.unwrap(), "a released lease is taken at once");
    let lease = stored.lock().unwrap().clone().unwrap();
    assert_eq!(
        (&lease["spec"]["holderIdentity"], &lease["spec"]["leaseTransitions"]),
        (&json!("b"), &json!(1))
    );
    a.release().await;
    let lease = stored.lock().unwrap().clone().unwrap();
    assert_eq!(
        lease["spec"]["holderIdentity"],
        json!("b"),
        "who does not hold the lease does not release it"
    );
}

#[tokio::test]
async fn a_lease_that_a_chart_made_is_taken_and_stays_the_charts() {
    let metadata = json!({
        "name": "l", "namespace": "kube-rasp", "resourceVersion": "1", "uid": "u",
        "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"meta.helm.sh/release-name": "kube-rasp"},
    });
    let stored = Arc::new(Mutex::new(Some(json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata,
    }))));
    let (mut a, a_leads) = election(&stored, "a");
    assert!(a.round().await.unwrap() && a_leads.is_leader());
    a.release().await;
    let is_the_charts = |lease: Value| {
        for member in ["labels", "annotations"] {
            assert_eq!(lease["metadata"][member], metadata[member], "{member}");
        }
    };
    is_the_charts(stored.lock().unwrap().clone().unwrap());
    // Somebody deletes it.
    *stored.lock().unwrap() = None;
    assert!(a.round().await.unwrap());
    is_the_charts(stored.lock().unwrap().clone().unwrap());
}

#[tokio::test]
async fn who_loses_the_race_for_a_write_does_not_lead() {
    let (client, _) = api(|call| match call.method {
        Method::GET => (200, serde_json::to_value(lease("", 0)).unwrap()),
        _ => refusal(409, "Conflict"),
    });
    let (mut election, leadership) = Election::new(Api::namespaced(client, "kube-rasp"), "l", "a");
    assert!(!election.round().await.unwrap());
    assert!(!leadership.is_leader());
}

#[tokio::test]
async fn the_lease_is_given_back_at_the_end() {
    let stored = Arc::new(Mutex::new(None));
    let (election, mut leadership) = election(&stored, "a");
    let (metrics, stop) = (Metrics::new().unwrap(), CancellationToken::new());
    let stopping = stop.clone();
    let run = async { election.run(&metrics, stop).await };
    let wait = async {
        assert!(leadership.acquired().await);
        stopping.cancel();
    };
    tokio::join!(run, wait);
    assert!(!leadership.acquired().await, "the election has ended");
    assert_eq!(stored.lock().unwrap().clone().unwrap()["spec"]["holderIdentity"], json!(""));
}
