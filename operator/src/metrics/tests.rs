use std::time::Duration;

use jiff::Timestamp;

use super::{ErrorKind, MAX_NAMESPACES, Metrics, Rollout, Rotation};
use crate::watchdog::{Cause, Counts};

fn counts(of: &[(Cause, usize)]) -> Counts {
    Counts::of(of.iter().flat_map(|(cause, pods)| std::iter::repeat_n(*cause, *pods)))
}

/// A pod of each cause.
fn every() -> Counts {
    Counts::of(Cause::ALL)
}

fn text(metrics: &Metrics) -> String {
    String::from_utf8(metrics.render(Timestamp::UNIX_EPOCH)).unwrap()
}

/// Moves a metric; the line that must then stand in the text.
type Row = (&'static str, fn(&Metrics), &'static str);

const FROZEN: [Row; 15] = [
    (
        "rasp_validation_requests_total",
        |metrics| metrics.validated(rasp_policy::api::Kind::RaspPolicy, crate::validate::Outcome::Refused),
        r#"rasp_validation_requests_total{kind="RaspPolicy",result="refused"} 1"#,
    ),
    ("rasp_policy_streams", |metrics| metrics.streams(2), "rasp_policy_streams 2"),
    (
        "rasp_injection_requests_total",
        |metrics| metrics.injected("shop", "ReplicaSet", "skipped", "host_network"),
        r#"rasp_injection_requests_total{namespace="shop",owner_kind="ReplicaSet",reason="host_network",result="skipped"} 1"#,
    ),
    (
        "rasp_injection_duration_seconds",
        |metrics| metrics.answered(Duration::from_millis(2)),
        "rasp_injection_duration_seconds_count 1",
    ),
    (
        "rasp_pods_unprotected",
        |metrics| metrics.pods("shop", counts(&[(Cause::StartedUnprotected, 2)])),
        r#"rasp_pods_unprotected{namespace="shop",reason="StartedUnprotected"} 2"#,
    ),
    (
        "rasp_pods_outdated",
        |metrics| metrics.pods("shop", counts(&[(Cause::OutdatedPolicy, 3)])),
        r#"rasp_pods_outdated{namespace="shop",reason="OutdatedPolicy"} 3"#,
    ),
    (
        "rasp_webhook_cert_expiry_seconds",
        |metrics| metrics.certificate(Timestamp::from_second(60).unwrap()),
        "rasp_webhook_cert_expiry_seconds 60",
    ),
    (
        "rasp_policy_rollouts_total",
        |metrics| metrics.rollout(Rollout::Written),
        r#"rasp_policy_rollouts_total{result="written"} 1"#,
    ),
    (
        "rasp_reconcile_errors_total",
        |metrics| metrics.failed(ErrorKind::Lease),
        r#"rasp_reconcile_errors_total{kind="lease"} 1"#,
    ),
    (
        "rasp_secret_problem",
        |metrics| {
            metrics.secret_problem("certificate", Some("ends"));
        },
        r#"rasp_secret_problem{reason="ends",secret="certificate"} 1"#,
    ),
    ("rasp_rotations_total", |metrics| metrics.rotated(Rotation::Ca), r#"rasp_rotations_total{what="ca"} 1"#),
    (
        "rasp_webhook_probe_total",
        |metrics| metrics.probed(crate::probe::Outcome::Tls),
        r#"rasp_webhook_probe_total{result="tls"} 1"#,
    ),
    (
        "rasp_watchdog_restarts_total",
        |metrics| metrics.restart("rate"),
        r#"rasp_watchdog_restarts_total{result="rate"} 1"#,
    ),
    (
        "rasp_reports_evicted_total",
        |metrics| metrics.evicted(crate::report::Bound::Namespace),
        r#"rasp_reports_evicted_total{bound="namespace"} 1"#,
    ),
    ("rasp_build_info", |_| {}, r"rasp_build_info{version="),
];

#[test]
fn each_metric_moves_by_its_cause() {
    for (name, cause, line) in FROZEN {
        let metrics = Metrics::new().unwrap();
        let before = text(&metrics);
        cause(&metrics);
        let after = text(&metrics);
        assert!(after.lines().any(|found| found.starts_with(line)), "{name}: {after}");
        assert!(name == "rasp_build_info" || !before.contains(line), "{name} had this value before");
    }
}

#[test]
fn exactly_the_frozen_names_are_published() {
    let metrics = Metrics::new().unwrap();
    for (_, cause, _) in FROZEN {
        cause(&metrics);
    }
    let mut published: Vec<_> = text(&metrics)
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(String::from))
        .collect();
    let mut frozen: Vec<_> = FROZEN.iter().map(|row| row.0.to_owned()).collect();
    published.sort();
    frozen.sort();
    assert_eq!(published, frozen);
}

#[test]
fn namespaces_and_kinds_beyond_the_lists_are_other() {
    let metrics = Metrics::new().unwrap();
    for index in 0..MAX_NAMESPACES + 2 {
        metrics.pods(
            &format!("n{index}"),
            counts(&[(Cause::CannotBeProtected, 1), (Cause::OutdatedPolicy, 2), (Cause::OutdatedSidecar, 3)]),
        );
    }
    metrics.injected("late", "Rollout", "injected", "injected");
    let text = text(&metrics);
    for line in [
        r#"rasp_pods_unprotected{namespace="other",reason="CannotBeProtected"} 2"#,
        r#"rasp_pods_unprotected{namespace="other",reason="StartedUnprotected"} 0"#,
        r#"rasp_pods_outdated{namespace="other",reason="OutdatedPolicy"} 4"#,
        r#"rasp_pods_outdated{namespace="other",reason="OutdatedSidecar"} 6"#,
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(text.contains(r#"{namespace="other",owner_kind="other","#), "{text}");
    assert!(!text.contains(&format!(r#"namespace="n{MAX_NAMESPACES}""#)));
    metrics.forget_namespace(&format!("n{MAX_NAMESPACES}"));
    assert!(
        String::from_utf8(metrics.render(Timestamp::UNIX_EPOCH))
            .unwrap()
            .contains(r#"rasp_pods_unprotected{namespace="other",reason="CannotBeProtected"} 1"#)
    );
}

#[test]
fn a_replica_that_is_no_longer_leader_says_nothing_about_pods() {
    let metrics = Metrics::new().unwrap();
    metrics.pods("gone", every());
    metrics.forget_namespace("gone");
    assert!(!text(&metrics).contains("namespace=\"gone\""));
    metrics.pods("shop", every());
    metrics.forget_pods();
    assert!(!text(&metrics).contains("namespace=\"shop\""));
}

#[test]
fn a_problem_of_a_secret_is_told_once_and_ends() {
    let metrics = Metrics::new().unwrap();
    assert!(!metrics.secret_problem("certificate", None));
    assert!(metrics.secret_problem("certificate", Some("absent")));
    assert!(!metrics.secret_problem("certificate", Some("absent")), "nothing new");
    assert!(metrics.secret_problem("certificate", Some("ends")));
    assert_eq!(metrics.secret_problems(), ["certificate: ends"]);
    assert!(text(&metrics).contains(r#"{reason="absent",secret="certificate"} 0"#));
    assert!(metrics.secret_problem("certificate", None));
    assert!(text(&metrics).contains(r#"{reason="ends",secret="certificate"} 0"#));
    assert_eq!(metrics.secret_problems(), Vec::<String>::new());
}
