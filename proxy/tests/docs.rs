//! The tables of the documentation are what the proxy publishes: names that users script against are frozen there.

use std::collections::{BTreeMap, BTreeSet};

use rasp_policy::bundle::Refusal;
use rasp_proxy::event::{
    Action, Endpoint, Event, FindingInfo, HttpRequest, Location, Policy, Severity, Unmapped, Url,
};
use rasp_proxy::guard::frames::Flood;
use rasp_proxy::limits::Limits;
use rasp_proxy::metrics::Metrics;
use rasp_proxy::reason::{BadFrame, BadResponse, Bypass, Kind, Malformed, Shed, Timeout, Tls};

const METRICS: &str = include_str!("../../docs/metrics.md");
const LIMITS: &str = include_str!("../../docs/limits.md");
const EVENTS: &str = include_str!("../../docs/events.md");
const RELIABILITY: &str = include_str!("../../docs/reliability.md");

/// The rows of the first table after a heading, as trimmed cells.
fn table<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let rows: Vec<Vec<&str>> = page
        .lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(!rows.is_empty(), "no table after {heading}");
    rows
}

/// The words between backticks.
fn codes(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// The words between backticks in the first column of a table.
fn first_column(page: &str, heading: &str) -> BTreeSet<String> {
    table(page, heading).iter().flat_map(|row| codes(row[0]).collect::<Vec<_>>()).collect()
}

/// Name, type and label names of every metric of a page in the text format.
fn published(page: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut metrics = BTreeMap::new();
    for (name, kind) in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')) {
        let sample = page.lines().find(|line| line.starts_with(&format!("{name}{{"))).unwrap_or_default();
        let labels = sample.split(['{', ',']).filter_map(|part| Some(part.split_once("=\"")?.0.to_owned()));
        metrics.insert(name.to_owned(), (kind.to_owned(), labels.collect()));
    }
    metrics
}

#[test]
fn the_table_of_metrics_is_what_is_published() {
    let metrics = Metrics::new().unwrap();
    metrics.requests(8080).count(rasp_engine::Verdict::Allow);
    metrics.tls_expiry(8443, 86400);
    metrics.excepted("policy/name");
    drop(metrics.relayed(Bypass::Tls, 8443));
    metrics.policy_loaded("sha256:00", 1);
    metrics.policy_state(rasp_policy::report::PolicyState::Current);
    let page = String::from_utf8(metrics.render()).unwrap();
    let documented: BTreeMap<String, (String, BTreeSet<String>)> = table(METRICS, "## Sidecar and gateway")
        .into_iter()
        .map(|row| (row[0].trim_matches('`').to_owned(), (row[2].to_owned(), codes(row[1]).collect())))
        .collect();
    assert_eq!(published(&page), documented);
}

#[test]
fn the_table_of_metrics_names_every_label_value() {
    let rows = table(METRICS, "## Sidecar and gateway");
    let meaning = |name: &str| -> BTreeSet<String> {
        codes(rows.iter().find(|row| row[0].contains(name)).unwrap()[3]).collect()
    };
    let verdicts = meaning("rasp_requests_total");
    assert!(rasp_engine::Verdict::ALL.iter().all(|verdict| verdicts.contains(verdict.as_str())));
    let detections = meaning("rasp_detections_total");
    assert!(rasp_engine::Class::detected().all(|class| detections.contains(class.as_str())));
    assert!(Action::ALL.iter().all(|action| detections.contains(action.as_str())));
    let states = meaning("rasp_policy_state");
    assert!(rasp_policy::report::PolicyState::ALL.iter().all(|state| states.contains(state.as_str())));
    let dropped = meaning("rasp_events_dropped_total");
    assert!(rasp_proxy::event::DROP_REASONS.iter().all(|reason| dropped.contains(*reason)));
}

#[test]
fn the_table_of_uninspected_traffic_has_every_reason_and_its_effect() {
    let engine = rasp_engine::Reason::ALL.iter().map(|reason| reason.id());
    let proxy = Bypass::ALL.iter().map(|bypass| bypass.id());
    let known: BTreeSet<String> = engine.chain(proxy).map(str::to_owned).collect();
    assert_eq!(first_column(METRICS, "### Reasons of uninspected traffic"), known);
    for row in table(METRICS, "### Reasons of uninspected traffic") {
        let Some(reason) = rasp_engine::Reason::ALL
            .into_iter()
            .find(|reason| row[0].contains(&format!("`{}`", reason.id())))
        else {
            continue;
        };
        let effect = match reason.effect() {
            rasp_engine::reason::Effect::Passes => "passes",
            rasp_engine::reason::Effect::OverLimit => "refused with 413",
            rasp_engine::reason::Effect::Unread(415) => "`failureMode`: `Closed` refuses with 415",
            rasp_engine::reason::Effect::Unread(_) => "`failureMode`: `Closed` refuses with 400",
            rasp_engine::reason::Effect::Failure => "`failureMode`: `Closed` refuses with 503",
        };
        assert_eq!(row[2], effect, "{}", row[0]);
    }
}

#[test]
fn the_table_of_errors_has_every_kind() {
    let plain = Kind::PLAIN.iter().map(|kind| kind.id().to_owned());
    let requests = Malformed::ALL.iter().map(|malformed| malformed.id().to_owned());
    let responses = BadResponse::ALL.iter().map(|bad| bad.id().to_owned());
    let frames = BadFrame::ALL.iter().map(|bad| bad.id().to_owned());
    let timeouts = Timeout::ALL.iter().map(|timeout| timeout.id().to_owned());
    let sheds = Shed::ALL.iter().map(|shed| shed.id().to_owned());
    let bundles = Refusal::IDS.iter().map(|id| format!("bundle_{id}"));
    let tls = Tls::ALL.iter().map(|tls| tls.id().to_owned());
    let floods = Flood::ALL.iter().map(|flood| flood.id().to_owned());
    let requests = requests.chain(responses).chain(frames).chain(floods).chain(tls);
    let known: BTreeSet<String> = plain.chain(timeouts).chain(sheds).chain(requests).chain(bundles).collect();
    assert_eq!(first_column(METRICS, "### Kinds of errors"), known);
}

#[test]
fn the_table_of_limits_has_every_limit_its_defaults_and_its_range() {
    let documented: Vec<Vec<String>> = table(LIMITS, "## All limits")
        .into_iter()
        .map(|row| row[..5].iter().map(|cell| cell.trim_matches('`').to_owned()).collect())
        .collect();
    let known: Vec<Vec<String>> = rasp_policy::limits::LIMITS
        .iter()
        .map(|limit| {
            let (pod, gateway) = (Limits::in_pod().show(limit), Limits::in_gateway().show(limit));
            let off = if limit.may_be_off { ", off" } else { "" };
            let range = format!("{} to {}{off}", limit.show(limit.least), limit.show(limit.most));
            vec![limit.key.to_owned(), pod.unwrap(), gateway.unwrap(), range]
        })
        .collect();
    for (documented, known) in documented.iter().zip(&known) {
        assert_eq!(documented[..4], known[..]);
        let kinds = codes(&documented[4]).chain([documented[4].clone()]);
        for kind in kinds.filter(|kind| kind.contains('_')) {
            assert!(first_column(METRICS, "### Kinds of errors").contains(&kind), "{kind}");
        }
    }
    assert_eq!(documented.len(), known.len());
}

#[test]
fn every_field_of_an_event_is_documented() {
    let event = serde_json::to_value(an_event()).unwrap();
    let documented = first_column(EVENTS, "## Fields");
    for (key, value) in event.as_object().unwrap() {
        let parts = value.as_object().map(|object| object.keys().collect::<Vec<_>>()).unwrap_or_default();
        let is_whole = documented.contains(key);
        for part in parts.into_iter().filter(|_| !is_whole) {
            let known = [part.clone(), format!("{key}.{part}"), format!("{key}.{part}.path")];
            assert!(known.iter().any(|name| documented.contains(name)), "{key}.{part} is not documented");
        }
        assert!(is_whole || value.is_object(), "{key} is not documented");
    }
}

/// With everything that an event can hold.
fn an_event() -> Event {
    let unmapped = Unmapped {
        request_id: "r".into(),
        trace_id: Some("t".into()),
        pod: "p".into(),
        namespace: "n".into(),
        workload: "w".into(),
        mode: "Block",
        verdict: "block",
        enforced: Some(false),
        class: Some("sql_injection"),
        rule: "sqli-tautology",
        location: Some(Location {
            part: "query",
            name: "id".into(),
            offset: 0,
            length: 1,
            encodings: vec!["percent"],
        }),
        confidence: Some("High"),
        exception: Some("p/x".into()),
        sample: Some("'".into()),
        policy_digest: Some("sha256:00".into()),
        policy_field: Some("spec.mode".into()),
        coverage: "full",
        suppressed: Some(1),
    };
    let request = HttpRequest { http_method: "GET".into(), url: Url { path: Some("/".into()) } };
    let client = Endpoint { ip: Some("192.0.2.1".into()), port: 1 };
    let application = Endpoint { ip: None, port: 2 };
    let mut event = Event::now(Action::Block, Severity::High, request, (client, application), unmapped);
    event.finding_info = FindingInfo { uid: "u".into(), title: "t".into(), types: vec!["sql_injection"] };
    event.policy = Some(Policy { name: "RaspPolicy n/p".into(), uid: "p-uid".into(), version: "1".into() });
    event
}

/// Everything that is written in a folder of tests.
fn sources(directory: &std::path::Path) -> std::io::Result<String> {
    let mut text = String::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        text += &if path.is_dir() { sources(&path)? } else { std::fs::read_to_string(path)? };
    }
    Ok(text)
}

#[test]
fn every_test_that_stands_for_a_fault_exists() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let written = ["faults", "proxy"].map(|folder| (folder, sources(&root.join(folder)).unwrap()));
    let rows = table(RELIABILITY, "## Which test is which row");
    for row in &rows {
        let (folder, test) = (codes(row[1]).next().unwrap(), codes(row[2]).next().unwrap());
        let (_, text) = written.iter().find(|(known, _)| *known == folder).unwrap();
        assert!(text.contains(&format!("fn {test}()")), "{folder}: {test}");
    }
    let numbers: BTreeSet<&str> = rows.iter().filter_map(|row| row[0].split(',').next()).collect();
    for row in table(RELIABILITY, "# What breaks, and what is promised then") {
        assert!(numbers.contains(row[0]), "no test of row {}", row[0]);
    }
}
