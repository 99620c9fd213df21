use std::collections::BTreeMap;
use std::time::Duration;

use rasp_engine::{Class, Reason, Verdict};
use rasp_policy::api::Mode;
use rasp_policy::bundle::Refusal;
use rasp_policy::report::PolicyState;

use super::{MAX_PORT_LABELS, Metrics};
use crate::event::Action;
use crate::reason::{Bypass, Kind, Malformed};

/// Frozen: people script against these names and labels.
const PUBLISHED: [(&str, &[&str]); 13] = [
    ("rasp_added_latency_seconds", &[]),
    ("rasp_build_info", &["version"]),
    ("rasp_detections_total", &["action", "class", "mode"]),
    ("rasp_errors_total", &["kind"]),
    ("rasp_events_dropped_total", &["reason", "sink"]),
    ("rasp_inspection_seconds", &[]),
    ("rasp_policy_age_seconds", &[]),
    ("rasp_policy_info", &["generation", "hash"]),
    ("rasp_policy_source", &["source"]),
    ("rasp_policy_state", &["state"]),
    ("rasp_policy_stream_open", &[]),
    ("rasp_requests_total", &["port", "verdict"]),
    ("rasp_uninspected_total", &["reason"]),
];

fn text(metrics: &Metrics) -> String {
    String::from_utf8(metrics.render()).unwrap()
}

/// Value of a sample, 0 where it is not there.
fn sample(metrics: &Metrics, sample: &str) -> f64 {
    let text = text(metrics);
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

/// Moves every metric once.
fn moved() -> Metrics {
    let metrics = Metrics::new().unwrap();
    metrics.requests(8080).count(Verdict::Block);
    metrics.detection(Class::SqlInjection, Action::Block, Mode::Block);
    metrics.inspected(Duration::from_micros(20));
    metrics.added(Duration::from_micros(200));
    metrics.bypass(Bypass::Tls);
    metrics.partial(Reason::OpaqueBody);
    metrics.event_dropped("stdout", "queue_full");
    metrics.error(&Kind::Panic);
    metrics.policy_loaded("sha256:ab", 7);
    metrics.policy_state(PolicyState::Current);
    metrics
}

#[test]
fn the_published_names_and_labels_are_the_frozen_ones() {
    let mut published = BTreeMap::<String, Vec<String>>::new();
    for line in text(&moved()).lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_once(['{', ' ']).unwrap();
        let family =
            ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        let labels = rest.rsplit_once('}').map_or("", |(labels, _)| labels);
        let mut names: Vec<_> =
            labels.split(',').filter_map(|label| Some(label.split_once('=')?.0.to_owned())).collect();
        names.retain(|name| name != "le");
        names.sort();
        published.insert(family.to_owned(), names);
    }
    let published: Vec<_> = published
        .iter()
        .map(|(name, labels)| (name.as_str(), labels.iter().map(String::as_str).collect()))
        .collect();
    let frozen: Vec<(&str, Vec<&str>)> =
        PUBLISHED.iter().map(|(name, labels)| (*name, labels.to_vec())).collect();
    assert_eq!(published, frozen);
}

#[test]
fn each_metric_is_moved_by_what_it_counts() {
    let (before, after) = (Metrics::new().unwrap(), moved());
    for name in [
        r#"rasp_requests_total{port="8080",verdict="block"}"#,
        r#"rasp_detections_total{action="Block",class="sql_injection",mode="Block"}"#,
        "rasp_inspection_seconds_count",
        r#"rasp_inspection_seconds_bucket{le="0.000025"}"#,
        "rasp_added_latency_seconds_count",
        r#"rasp_uninspected_total{reason="tls"}"#,
        r#"rasp_uninspected_total{reason="opaque_body"}"#,
        r#"rasp_events_dropped_total{reason="queue_full",sink="stdout"}"#,
        r#"rasp_errors_total{kind="panic"}"#,
        r#"rasp_policy_info{generation="7",hash="sha256:ab"}"#,
        r#"rasp_policy_state{state="current"}"#,
    ] {
        let values = (sample(&before, name), sample(&after, name));
        assert!(values.0.abs() < f64::EPSILON && (values.1 - 1.0).abs() < f64::EPSILON, "{name}: {values:?}");
    }
    std::thread::sleep(Duration::from_millis(20));
    assert!(sample(&after, "rasp_policy_age_seconds") >= 0.02);
    after.policy_loaded("sha256:cd", 8);
    assert!(sample(&after, "rasp_policy_age_seconds") < 0.02);
    assert!(!text(&after).contains("sha256:ab"), "one policy is in force");
    assert!(text(&after).contains(&format!("rasp_build_info{{version=\"{}\"}} 1", crate::VERSION)));
}

#[test]
fn labels_come_from_closed_lists_or_are_capped() {
    let metrics = Metrics::new().unwrap();
    for port in 1..=100 {
        metrics.requests(port).count(Verdict::Allow);
    }
    assert!(
        (sample(&metrics, r#"rasp_requests_total{port="other",verdict="allow"}"#) - 68.0).abs()
            < f64::EPSILON
    );
    let ports = text(&metrics).matches("rasp_requests_total{port=").count();
    assert_eq!(ports, (MAX_PORT_LABELS + 1) * Verdict::ALL.len());

    let mut ids: Vec<&str> = Bypass::ALL.iter().map(|bypass| bypass.id()).collect();
    ids.extend(Reason::ALL.iter().map(|reason| reason.id()).filter(|id| *id != Bypass::Off.id()));
    ids.extend(Kind::PLAIN.iter().map(Kind::id));
    ids.extend(Malformed::ALL.iter().map(|malformed| malformed.id()));
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "each id once");
    assert!(
        ids.iter().all(|id| id
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'))
    );
}

#[test]
fn a_refused_bundle_is_counted_by_the_id_of_its_refusal() {
    let table = [
        Refusal::TooLarge(1),
        Refusal::Malformed(String::new()),
        Refusal::Unsigned,
        Refusal::Signature,
        Refusal::SchemaVersion(9),
        Refusal::UnknownField(String::new()),
        Refusal::Namespace,
        Refusal::Older { found: 1, floor: 2 },
        Refusal::Build(String::new()),
    ];
    assert_eq!(table.len(), Refusal::IDS.len());
    for refusal in table {
        let id = refusal.id();
        assert_eq!(Kind::Bundle(refusal).id(), format!("bundle_{id}"));
    }
}
