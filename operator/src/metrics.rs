//! The operator's metrics. Names and labels are frozen; label values come from closed lists, except `namespace`, which
//! is capped. Rendered by `admin`; written by whoever does the work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus::{
    Encoder as _, Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use rasp_policy::api::Kind;

use crate::report::Bound;
use crate::watchdog::restart::{RESTARTED_ID, Refusal};
use crate::watchdog::{Cause, Counts};
use crate::webhook::Subject;
use crate::{probe, validate};

/// Namespaces that get a label value of their own; the rest is `other`, so that a cluster with many short-lived
/// namespaces cannot grow the number of series without end.
const MAX_NAMESPACES: usize = 200;
/// Value of `namespace` beyond [`MAX_NAMESPACES`].
const OTHER: &str = "other";

/// What failed. Values of `rasp_reconcile_errors_total{kind}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A watch broke.
    Watch,
    /// A Bundle could not be written.
    BundleWrite,
    /// What the policies of a namespace were could not be kept.
    HistoryWrite,
    /// A status could not be written.
    StatusWrite,
    /// An event could not be written.
    Event,
    /// The Lease could not be read or written.
    Lease,
    /// A Secret could not be read, made or used.
    Secret,
    /// The webhook configuration could not be patched.
    CaBundle,
    /// The ConfigMap with the settings of injection could not be written.
    SettingsWrite,
    /// A TokenReview could not be made.
    TokenReview,
    /// A RaspPolicy cannot be read or compiled.
    InvalidPolicy,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Watch,
        Self::BundleWrite,
        Self::HistoryWrite,
        Self::StatusWrite,
        Self::Event,
        Self::Lease,
        Self::Secret,
        Self::CaBundle,
        Self::SettingsWrite,
        Self::TokenReview,
        Self::InvalidPolicy,
    ];

    /// Label value.
    pub fn id(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::BundleWrite => "bundle_write",
            Self::HistoryWrite => "history_write",
            Self::StatusWrite => "status_write",
            Self::Event => "event",
            Self::Lease => "lease",
            Self::Secret => "secret",
            Self::CaBundle => "ca_bundle",
            Self::SettingsWrite => "settings_write",
            Self::TokenReview => "token_review",
            Self::InvalidPolicy => "invalid_policy",
        }
    }
}

/// How a rollout of policies went on. Values of `rasp_policy_rollouts_total{result}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// A new Bundle was written.
    Written,
    /// A Bundle that somebody had changed was written anew.
    Repaired,
    /// A Bundle could not be written.
    Failed,
    /// A policy became Programmed.
    Programmed,
    /// The rollout of a policy took its next step.
    Advanced,
    /// The last step of a rollout held.
    Completed,
    /// A step of a rollout did not hold.
    RolledBack,
}

impl Rollout {
    /// Every result.
    pub const ALL: [Self; 7] = [
        Self::Written,
        Self::Repaired,
        Self::Failed,
        Self::Programmed,
        Self::Advanced,
        Self::Completed,
        Self::RolledBack,
    ];

    /// Label value.
    pub fn id(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Repaired => "repaired",
            Self::Failed => "failed",
            Self::Programmed => "programmed",
            Self::Advanced => "advanced",
            Self::Completed => "completed",
            Self::RolledBack => "rolled_back",
        }
    }
}

/// What was exchanged before its time. Values of `rasp_rotations_total{what}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The serving certificate.
    Certificate,
    /// The CA and the serving certificate.
    Ca,
    /// The key that signs Bundles; the one before it vouched for it.
    SigningKey,
    /// The key that signs Bundles; nobody vouched for it.
    StolenSigningKey,
}

impl Rotation {
    /// Every rotation.
    pub const ALL: [Self; 4] = [Self::Certificate, Self::Ca, Self::SigningKey, Self::StolenSigningKey];

    /// Label value.
    pub fn id(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Ca => "ca",
            Self::SigningKey => "signing_key",
            Self::StolenSigningKey => "stolen_signing_key",
        }
    }
}

/// All metrics of the operator.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    duration: Histogram,
    unprotected: IntGaugeVec,
    outdated: IntGaugeVec,
    cert_expiry: IntGauge,
    secret_problems: IntGaugeVec,
    rotations: IntCounterVec,
    probes: IntCounterVec,
    rollouts: IntCounterVec,
    errors: IntCounterVec,
    streams: IntGauge,
    restarts: IntCounterVec,
    evicted: IntCounterVec,
    validations: IntCounterVec,
    namespaces: Mutex<BTreeSet<String>>,
    pods: Mutex<BTreeMap<String, Counts>>,
    cert_not_after: Mutex<Option<Timestamp>>,
    problems: Mutex<BTreeMap<&'static str, &'static str>>,
}

impl Metrics {
    /// Registers every metric.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let build =
            gauge(&registry, "rasp_build_info", "Always 1; the label says which build.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let metrics = Self {
            requests: counter(
                &registry,
                "rasp_injection_requests_total",
                "Pods that came to the webhook, by what was done with them and why.",
                &["namespace", "owner_kind", "result", "reason"],
            )?,
            duration: durations(&registry)?,
            unprotected: gauge(
                &registry,
                "rasp_pods_unprotected",
                "Running pods that should have a sidecar and have none.",
                &["namespace", "reason"],
            )?,
            outdated: gauge(
                &registry,
                "rasp_pods_outdated",
                "Running sidecars of another version, and those that have not acknowledged the current policies.",
                &["namespace", "reason"],
            )?,
            cert_expiry: expiry(&registry)?,
            secret_problems: gauge(
                &registry,
                "rasp_secret_problem",
                "1 while the Secret cannot be used for this reason; what was in it before stays in use.",
                &["secret", "reason"],
            )?,
            rotations: counter(
                &registry,
                "rasp_rotations_total",
                "Certificates and keys that this replica exchanged.",
                &["what"],
            )?,
            probes: counter(
                &registry,
                "rasp_webhook_probe_total",
                "Calls of the webhook through its Service, as an API server makes them.",
                &["result"],
            )?,
            rollouts: counter(
                &registry,
                "rasp_policy_rollouts_total",
                "Steps of policy distribution.",
                &["result"],
            )?,
            errors: counter(
                &registry,
                "rasp_reconcile_errors_total",
                "What failed and will be tried again.",
                &["kind"],
            )?,
            validations: counter(
                &registry,
                "rasp_validation_requests_total",
                "Objects that came to the validating webhook.",
                &["kind", "result"],
            )?,
            streams: streams(&registry)?,
            restarts: counter(
                &registry,
                "rasp_watchdog_restarts_total",
                "Workloads that were to be restarted so that their pods become protected.",
                &["result"],
            )?,
            evicted: counter(
                &registry,
                "rasp_reports_evicted_total",
                "Reports of sidecars that were dropped for want of room.",
                &["bound"],
            )?,
            namespaces: Mutex::default(),
            pods: Mutex::default(),
            cert_not_after: Mutex::default(),
            problems: Mutex::default(),
            registry,
        };
        metrics.start_at_zero();
        Ok(metrics)
    }

    /// Closed lists are published from the start: an increase from nothing is invisible to `rate`.
    fn start_at_zero(&self) {
        for kind in ErrorKind::ALL {
            self.errors.with_label_values(&[kind.id()]);
        }
        for rotation in Rotation::ALL {
            self.rotations.with_label_values(&[rotation.id()]);
        }
        for result in probe::Outcome::ALL {
            self.probes.with_label_values(&[result.id()]);
        }
        for kind in Kind::ALL {
            for result in validate::Outcome::ALL {
                self.validations.with_label_values(&[kind.as_str(), result.id()]);
            }
        }
        for result in Rollout::ALL {
            self.rollouts.with_label_values(&[result.id()]);
        }
        for refusal in Refusal::ALL {
            self.restarts.with_label_values(&[refusal.id()]);
        }
        self.restarts.with_label_values(&[RESTARTED_ID]);
        for bound in Bound::ALL {
            self.evicted.with_label_values(&[bound.id()]);
        }
    }

    /// A pod came to the webhook. `result` and `reason` are ids of closed lists.
    pub fn injected(&self, namespace: &str, owner_kind: &str, result: &str, reason: &str) {
        let owner_kind = Subject::KINDS.into_iter().find(|known| *known == owner_kind).unwrap_or(OTHER);
        self.requests.with_label_values(&[&*self.label(namespace), owner_kind, result, reason]).inc();
    }

    /// An admission review was answered.
    pub fn answered(&self, after: Duration) {
        self.duration.observe(after.as_secs_f64());
    }

    /// Counts of a namespace.
    pub fn pods(&self, namespace: &str, counts: Counts) {
        let label = self.label(namespace);
        let mut pods = lock(&self.pods);
        pods.insert(namespace.to_owned(), counts);
        self.show(&label, if label == OTHER { self.others(&pods) } else { counts });
    }

    fn show(&self, label: &str, counts: Counts) {
        for (cause, pods) in counts.each() {
            self.gauge_of(cause).with_label_values(&[label, cause.id()]).set(pods);
        }
    }

    fn gauge_of(&self, cause: Cause) -> &IntGaugeVec {
        if cause.is_unprotected() { &self.unprotected } else { &self.outdated }
    }

    /// Forgets the counts of a namespace that is gone or asks for nothing.
    pub fn forget_namespace(&self, namespace: &str) {
        let mut pods = lock(&self.pods);
        if pods.remove(namespace).is_none() {
            return;
        }
        if lock(&self.namespaces).contains(namespace) {
            for cause in Cause::ALL {
                // It is absent afterwards either way; an error says that it was never there.
                let _ = self.gauge_of(cause).remove_label_values(&[namespace, cause.id()]);
            }
        } else {
            self.show(OTHER, self.others(&pods));
        }
    }

    /// Sums over the namespaces without a label value of their own.
    fn others(&self, pods: &BTreeMap<String, Counts>) -> Counts {
        let named = lock(&self.namespaces);
        let others = pods.iter().filter(|(namespace, _)| !named.contains(*namespace));
        let mut sum = Counts::default();
        others.for_each(|(_, counts)| sum.add(*counts));
        sum
    }

    /// Forgets the counts of all namespaces: only the leader knows them.
    pub fn forget_pods(&self) {
        lock(&self.pods).clear();
        self.unprotected.reset();
        self.outdated.reset();
    }

    /// The certificate now served.
    pub fn certificate(&self, not_after: Timestamp) {
        *lock(&self.cert_not_after) = Some(not_after);
    }

    /// What is wrong with a Secret now, if anything; whether that is new.
    pub fn secret_problem(&self, secret: &'static str, reason: Option<&'static str>) -> bool {
        let mut problems = lock(&self.problems);
        let before = problems.get(secret).copied();
        if before == reason {
            return false;
        }
        if let Some(before) = before {
            self.secret_problems.with_label_values(&[secret, before]).set(0);
            problems.remove(secret);
        }
        if let Some(reason) = reason {
            self.secret_problems.with_label_values(&[secret, reason]).set(1);
            problems.insert(secret, reason);
        }
        true
    }

    /// What is wrong with the Secrets, as `secret: reason`.
    pub fn secret_problems(&self) -> Vec<String> {
        lock(&self.problems).iter().map(|(secret, reason)| format!("{secret}: {reason}")).collect()
    }

    /// Something was exchanged before its time.
    pub fn rotated(&self, what: Rotation) {
        self.rotations.with_label_values(&[what.id()]).inc();
    }

    /// The webhook was called as an API server calls it.
    pub fn probed(&self, result: probe::Outcome) {
        self.probes.with_label_values(&[result.id()]).inc();
    }

    /// A policy that somebody writes was judged.
    pub fn validated(&self, kind: Kind, result: validate::Outcome) {
        self.validations.with_label_values(&[kind.as_str(), result.id()]).inc();
    }

    /// A step of distribution.
    pub fn rollout(&self, result: Rollout) {
        self.rollouts.with_label_values(&[result.id()]).inc();
    }

    /// A stream was opened (1) or ended (-1).
    pub fn streams(&self, change: i64) {
        self.streams.add(change);
    }

    /// A workload was restarted, or not; `result` is of a closed list.
    pub fn restart(&self, result: &'static str) {
        self.restarts.with_label_values(&[result]).inc();
    }

    /// A report was dropped for want of room.
    pub fn evicted(&self, bound: Bound) {
        self.evicted.with_label_values(&[bound.id()]).inc();
    }

    /// Something failed.
    pub fn failed(&self, kind: ErrorKind) {
        self.errors.with_label_values(&[kind.id()]).inc();
    }

    /// The text of /metrics.
    pub fn render(&self, now: Timestamp) -> Vec<u8> {
        if let Some(not_after) = *lock(&self.cert_not_after) {
            self.cert_expiry.set(not_after.as_second() - now.as_second());
        }
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "cannot render the metrics");
        }
        text
    }

    fn label(&self, namespace: &str) -> String {
        let mut named = lock(&self.namespaces);
        if namespace != OTHER && (named.contains(namespace) || named.len() < MAX_NAMESPACES) {
            named.insert(namespace.to_owned());
            namespace.to_owned()
        } else {
            OTHER.to_owned()
        }
    }
}

fn counter(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn gauge(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntGaugeVec, prometheus::Error> {
    let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn durations(registry: &Registry) -> Result<Histogram, prometheus::Error> {
    let options =
        HistogramOpts::new("rasp_injection_duration_seconds", "Time to answer an admission review.")
            // The target is 50 ms; the API server gives up after 5 s.
            .buckets(vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0]);
    let histogram = Histogram::with_opts(options)?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}

fn expiry(registry: &Registry) -> Result<IntGauge, prometheus::Error> {
    let help = "Seconds until the certificate of the webhook expires.";
    let gauge = IntGauge::new("rasp_webhook_cert_expiry_seconds", help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn streams(registry: &Registry) -> Result<IntGauge, prometheus::Error> {
    let gauge = IntGauge::new("rasp_policy_streams", "Live streams to sidecars that are open.")?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
