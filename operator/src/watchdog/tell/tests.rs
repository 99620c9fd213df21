use std::time::{Duration, Instant};

use super::{AT_ONCE, AT_ONCE_OF_ONE, DID_NOT_HELP, QUIET, RESTARTED, Told, workload};
use crate::events::Notice;
use crate::inject::Owner;
use crate::watchdog::restart::{Kind, Workload};
use crate::watchdog::{Cause, Finding};

fn finding(pod: &str, owner: Option<&str>, cause: Cause) -> Finding {
    let owner = owner.map(|name| Owner {
        api_version: "apps/v1".to_owned(),
        kind: "ReplicaSet".to_owned(),
        name: name.to_owned(),
        uid: format!("{name}-uid"),
    });
    Finding {
        namespace: "shop".to_owned(),
        pod: pod.to_owned(),
        uid: format!("{pod}-uid"),
        owner,
        workload: None,
        cause,
        why: "host_network".to_owned(),
        since: Instant::now(),
    }
}

fn send(told: &mut Told, findings: &[Finding], now: Instant) -> Vec<Notice> {
    let due = told.due(findings, now);
    due.into_iter()
        .map(|(object, cause, notice)| {
            told.keep(object, cause.id(), now);
            notice
        })
        .collect()
}

#[test]
fn an_owner_is_told_once_an_hour_for_all_of_its_pods() {
    let findings = [
        finding("web-1", Some("web"), Cause::CannotBeProtected),
        finding("web-2", Some("web"), Cause::CannotBeProtected),
        finding("web-2", Some("web"), Cause::OutdatedPolicy),
        finding("bare", None, Cause::CannotBeProtected),
    ];
    let (mut told, start) = (Told::default(), Instant::now());
    let first: Vec<_> =
        send(&mut told, &findings, start).iter().map(|notice| format!("{notice:?}")).collect();
    assert_eq!(first.len(), 3, "{first:?}");
    let shown = |words: &[&str]| first.iter().any(|notice| words.iter().all(|word| notice.contains(word)));
    assert!(
        shown(&["ReplicaSet", "web-uid", "2 pods run without a sidecar: web-1, host_network"]),
        "{first:?}"
    );
    assert!(shown(&["ReplicaSet", "OutdatedPolicy", "1 pod runs without the current policies"]), "{first:?}");
    assert!(shown(&["Pod", "bare-uid", "CannotBeProtected"]), "{first:?}");
    assert!(send(&mut told, &findings, start + (QUIET.saturating_sub(Duration::from_secs(1)))).is_empty());
    assert_eq!(send(&mut told, &findings, start + QUIET).len(), 3);
}

#[test]
fn what_was_not_sent_comes_again_and_a_storm_comes_bit_by_bit() {
    let findings: Vec<_> = (0..=2 * AT_ONCE)
        .map(|n| Finding {
            namespace: format!("n{n}"),
            ..finding(&format!("p{n}"), None, Cause::StartedUnprotected)
        })
        .collect();
    let (mut told, now) = (Told::default(), Instant::now());
    assert_eq!(told.due(&findings, now).len(), AT_ONCE);
    let sent: Vec<_> = (0..4).map(|_| send(&mut told, &findings, now).len()).collect();
    assert_eq!(sent, [AT_ONCE, AT_ONCE, 1, 0]);
}

#[test]
fn a_namespace_has_no_more_at_once_than_events_admit_of_it() {
    let findings: Vec<_> =
        (0..200).map(|n| finding(&format!("p{n}"), None, Cause::StartedUnprotected)).collect();
    let (mut told, now) = (Told::default(), Instant::now());
    let minute: usize = (0..12).map(|_| send(&mut told, &findings, now).len()).sum();
    assert_eq!(minute, 12 * AT_ONCE_OF_ONE, "looks of a minute");
    assert!(minute < 50, "the rest is for what the webhook has to tell");
}

#[test]
fn a_restart_is_told_once_an_hour_as_well() {
    let object = workload("shop", &Workload { kind: Kind::Deployment, name: "web".to_owned() }, None);
    let (mut told, now) = (Told::default(), Instant::now());
    assert!(told.admits(object.clone(), RESTARTED, now));
    assert!(!told.admits(object.clone(), RESTARTED, now));
    assert!(told.admits(object, DID_NOT_HELP, now));
}
