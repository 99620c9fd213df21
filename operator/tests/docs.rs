//! The tables of the documentation are what the operator publishes: names that users script against are frozen there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rasp_operator::certificate::Problem;
use rasp_operator::inject::{Reason, TUNABLES, markdown};
use rasp_operator::metrics::{ErrorKind, Metrics, Rollout, Rotation};
use rasp_operator::watchdog::restart::Refusal;
use rasp_operator::watchdog::{Cause, Counts, tell};
use rasp_operator::webhook::Outcome;
use rasp_operator::{probe, secrets, validate};

const METRICS: &str = include_str!("../../docs/metrics.md");
const INJECTION: &str = include_str!("../../docs/injection.md");
const WATCHDOG: &str = include_str!("../../docs/watchdog.md");

/// The rows of the first table after a heading, as trimmed cells.
fn table<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let mut lines = page.lines().skip_while(|line| *line != heading).skip(1);
    let rows: Vec<Vec<&str>> = lines
        .by_ref()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(!rows.is_empty(), "no table after {heading}");
    rows
}

/// The words between backticks.
fn codes(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
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
    metrics.injected("shop", "Pod", "injected", "");
    metrics.answered(Duration::from_millis(1));
    metrics.pods("shop", Counts::default());
    metrics.secret_problem("certificate", Some("absent"));
    let page = String::from_utf8(metrics.render(jiff::Timestamp::UNIX_EPOCH)).unwrap();
    let documented: BTreeMap<String, (String, BTreeSet<String>)> = table(METRICS, "## Operator")
        .into_iter()
        .map(|row| {
            let labels = codes(row[1]).into_iter().map(str::to_owned).collect();
            (row[0].trim_matches('`').to_owned(), (row[2].to_owned(), labels))
        })
        .collect();
    assert_eq!(published(&page), documented);
}

#[test]
fn the_table_of_metrics_names_every_label_value() {
    let meaning = |name: &str| {
        let rows = table(METRICS, "## Operator");
        codes(rows.iter().find(|row| row[0].contains(name)).unwrap()[3])
    };
    let validations = meaning("rasp_validation_requests_total");
    assert!(validate::Outcome::ALL.iter().all(|result| validations.contains(result.id())), "{validations:?}");
    let errors = meaning("rasp_reconcile_errors_total");
    assert!(ErrorKind::ALL.iter().all(|kind| errors.contains(kind.id())), "{errors:?}");
    let rollouts = meaning("rasp_policy_rollouts_total");
    assert!(Rollout::ALL.iter().all(|result| rollouts.contains(result.id())), "{rollouts:?}");
    let rotations = meaning("rasp_rotations_total");
    assert!(Rotation::ALL.iter().all(|what| rotations.contains(what.id())), "{rotations:?}");
    let probes = meaning("rasp_webhook_probe_total");
    assert!(probe::Outcome::ALL.iter().all(|result| probes.contains(result.id())), "{probes:?}");
    let problems = meaning("rasp_secret_problem");
    let reasons = Problem::IDS.into_iter().chain([secrets::ABSENT, secrets::ACCESS]);
    assert!(reasons.into_iter().all(|reason| problems.contains(reason)), "{problems:?}");
    let restarts = meaning("rasp_watchdog_restarts_total");
    assert!(Refusal::ALL.iter().all(|refusal| restarts.contains(refusal.id())), "{restarts:?}");
    for (name, is_unprotected) in [("rasp_pods_unprotected", true), ("rasp_pods_outdated", false)] {
        let causes = Cause::ALL.into_iter().filter(|cause| cause.is_unprotected() == is_unprotected);
        let expected: BTreeSet<&str> = causes.map(Cause::id).chain(["reason"]).collect();
        assert_eq!(meaning(name), expected, "{name}");
    }
    let results = meaning("rasp_injection_requests_total");
    assert!(Outcome::ALL.iter().all(|result| results.contains(result.as_str())), "{results:?}");
}

#[test]
fn the_table_of_reasons_is_the_list_of_reasons() {
    let rows = table(INJECTION, "## Why a pod was not injected");
    let documented: BTreeSet<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    assert_eq!(documented, Reason::IDS.into_iter().collect());
}

/// `UPDATE_GOLDEN=1` writes it.
#[test]
fn the_table_of_annotations_is_generated() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/injection.md");
    let heading = "## Annotations of a pod\n\n";
    let begin = INJECTION.find(heading).unwrap() + heading.len();
    let end = begin + INJECTION[begin..].find("\n\n").unwrap() + 1;
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&page, format!("{}{}{}", &INJECTION[..begin], markdown(), &INJECTION[end..])).unwrap();
        return;
    }
    assert_eq!(&INJECTION[begin..end], markdown());
}

#[test]
fn every_annotation_is_read_and_no_other_and_the_guard_rails_know_them() {
    fn quoted(source: &str, quote: char) -> BTreeSet<&str> {
        let is_key = |text: &&str| text.strip_prefix("config.rasp.dev/").is_some_and(|name| !name.is_empty());
        source.split(quote).filter(is_key).collect()
    }
    let read: BTreeSet<_> = TUNABLES.iter().map(|tunable| tunable.key).collect();
    assert_eq!(read, quoted(include_str!("../../policy/src/pod.rs"), '"'));
    assert_eq!(read, quoted(include_str!("../../charts/kube-rasp/templates/_guard.tpl"), '\''));
}

#[test]
fn the_tables_of_the_watchdog_are_what_it_tells_and_what_it_refuses() {
    let first = |heading: &str| -> BTreeSet<&str> {
        table(WATCHDOG, heading).iter().map(|row| row[0].trim_matches('`')).collect()
    };
    let told = Cause::ALL.into_iter().map(Cause::id).chain([tell::RESTARTED, tell::DID_NOT_HELP]);
    assert_eq!(first("## What it tells"), told.collect());
    assert_eq!(
        first("## Why a workload is not restarted"),
        Refusal::ALL.into_iter().map(Refusal::id).collect()
    );
}
