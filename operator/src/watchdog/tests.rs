use std::time::{Duration, Instant};

use rasp_policy::bundle::Refusal;
use rasp_policy::report::{EffectiveMode, Rejected, Report};
use serde_json::{Value, json};

use super::restart::{Kind, Workload};
use super::{Cause, Ledger};
use crate::facts::Absence;
use crate::observe::Pod;
use crate::status::{Received, Target};
use crate::testing::{mk_pod, mk_pod_with, mk_report};

const SETTLE: Duration = Duration::from_secs(60);

/// The watchdog of an operator that injects `proxy:2`.
fn mk_ledger() -> Ledger {
    Ledger::new("proxy:2".to_owned(), vec!["mirror/proxy:2".to_owned()])
}

fn target(pod: &Pod, why: Option<Absence>) -> Target<'_> {
    Target { pod, report: None, evicted: false, why, other_image: mk_ledger().other_image(pod) }
}

/// A pod with the sidecar image `image`.
fn with_image(name: &str, image: &str) -> Pod {
    mk_pod_with(name, "web", true, |pod| pod["spec"]["initContainers"][0]["image"] = json!(image))
}

fn causes(ledger: &Ledger, now: Instant) -> Vec<(String, Cause)> {
    ledger.due(now, SETTLE).into_iter().map(|finding| (finding.pod, finding.cause)).collect()
}

#[test]
fn each_pod_is_noted_with_what_is_wrong_with_it() {
    let (missed, network) = (mk_pod("missed", "web", false), mk_pod("network", "web", false));
    let (old, current) = (with_image("old", "proxy:1"), with_image("current", "proxy:2"));
    let mirrored = with_image("mirrored", "mirror/proxy:2");
    let chosen = mk_pod_with("chosen", "web", true, |pod| {
        pod["spec"]["initContainers"][0]["image"] = json!("proxy:1");
        pod["metadata"]["annotations"] = json!({ "config.rasp.dev/proxy-image": "proxy:1" });
    });
    let targets = [
        target(&missed, Some(Absence::Missed)),
        target(&network, Some(Absence::NotInjected("host_network"))),
        target(&old, None),
        target(&current, None),
        target(&chosen, None),
        target(&mirrored, None),
    ];
    let ledger = mk_ledger();
    let start = Instant::now();
    let counts =
        ledger.note("shop", start, &targets, &[&targets[0], &targets[1]], &[&targets[2], &targets[3]]);
    let expected = [
        (Cause::StartedUnprotected, 1),
        (Cause::CannotBeProtected, 1),
        (Cause::OutdatedSidecar, 1),
        (Cause::OutdatedPolicy, 2),
    ];
    assert_eq!(counts.each().collect::<Vec<_>>(), expected, "the gauges say at once what events say later");
    assert_eq!(causes(&ledger, start + SETTLE / 2), [], "it may still settle");
    let settled = [
        ("missed".to_owned(), Cause::StartedUnprotected),
        ("network".to_owned(), Cause::CannotBeProtected),
        ("old".to_owned(), Cause::OutdatedSidecar),
    ];
    assert_eq!(causes(&ledger, start + SETTLE), settled);
    let late = causes(&ledger, start + Duration::from_secs(300));
    assert_eq!(
        late.last().unwrap(),
        &("current".to_owned(), Cause::OutdatedPolicy),
        "a rollout has more time"
    );
}

#[test]
fn an_outdated_policy_is_told_with_what_the_sidecar_says_against_it() {
    let pod = mk_pod("web", "web", true);
    let ledger = mk_ledger();
    let why = |rejected: Option<&str>| {
        let rejected = rejected.map(|reason| Rejected { reason: reason.to_owned(), message: String::new() });
        let report = Report { rejected, ..mk_report(&pod, EffectiveMode::Block, &[]) };
        let received = Received { report, at: jiff::Timestamp::UNIX_EPOCH };
        let target = Target { report: Some(&received), ..target(&pod, None) };
        ledger.note("shop", Instant::now(), &[], &[], &[&target]);
        ledger.due(Instant::now() + Duration::from_secs(600), SETTLE).remove(0).why
    };
    assert_eq!(why(None), "it reports others");
    assert_eq!(why(Some("signature")), "it refused them: signature");
    for reason in Refusal::TOO_OLD {
        assert_eq!(why(Some(reason)), "it is too old to read them: restart its workload");
    }
}

#[test]
fn what_goes_on_keeps_its_beginning_and_what_ends_is_forgotten() {
    let ledger = mk_ledger();
    let (start, pod) = (Instant::now(), mk_pod("missed", "web", false));
    let targets = [target(&pod, Some(Absence::Missed))];
    ledger.note("shop", start, &targets, &[&targets[0]], &[]);
    ledger.note("shop", start + SETTLE, &targets, &[&targets[0]], &[]);
    assert_eq!(causes(&ledger, start + SETTLE).len(), 1);
    // A pod of the same name is another pod.
    let again = mk_pod_with("missed", "web", false, |pod| pod["metadata"]["uid"] = json!("other"));
    let other = [target(&again, Some(Absence::Missed))];
    ledger.note("shop", start + SETTLE, &other, &[&other[0]], &[]);
    assert_eq!(causes(&ledger, start + SETTLE), []);
    ledger.note("shop", start + SETTLE, &[], &[], &[]);
    assert_eq!(causes(&ledger, start + 10 * SETTLE), []);
}

#[test]
fn the_workload_of_a_pod_is_what_can_be_restarted() {
    let owned = |api: &str, kind: &str, name: &str, labels: Value| {
        let pod = mk_pod_with("p", "web", false, |pod| {
            pod["metadata"]["ownerReferences"] =
                json!([{ "apiVersion": api, "kind": kind, "name": name, "uid": "u", "controller": true }]);
            pod["metadata"]["labels"] = labels;
        });
        Workload::of(&pod).map(|workload| (workload.kind, workload.name))
    };
    let hashed = json!({ "pod-template-hash": "5f6" });
    let table = [
        ("apps/v1", "ReplicaSet", "web-5f6", hashed.clone(), Some((Kind::Deployment, "web"))),
        ("apps/v1", "ReplicaSet", "web-other", hashed.clone(), None),
        ("apps/v1", "ReplicaSet", "-5f6", hashed.clone(), None),
        ("apps/v1", "ReplicaSet", "alone", json!({}), None),
        ("apps/v1", "StatefulSet", "db", json!({}), Some((Kind::StatefulSet, "db"))),
        ("apps/v1", "DaemonSet", "log", json!({}), Some((Kind::DaemonSet, "log"))),
        ("batch/v1", "Job", "once", json!({}), None),
        ("argoproj.io/v1alpha1", "StatefulSet", "mine", json!({}), None),
        ("apps/v0", "StatefulSet", "made-up", json!({}), None),
    ];
    for (api, kind, name, labels, expected) in table {
        let expected = expected.map(|(kind, name)| (kind, name.to_owned()));
        assert_eq!(owned(api, kind, name, labels), expected, "{api} {kind} {name}");
    }
    assert_eq!(Workload::of(&mk_pod("bare", "web", false)), None);
}
