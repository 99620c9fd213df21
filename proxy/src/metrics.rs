//! The metrics of one process, with the frozen names. Only metrics that something moves are published.
//!
//! Never a path, a user or an address in a label; every label value comes from a closed list or is capped with
//! `other`. Called by every stage; read by [`crate::admin`].

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use prometheus::{
    Encoder as _, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use rasp_engine::{Class, Verdict};
use rasp_policy::api::Mode;
use rasp_policy::report::{ExceptionHits, MAX_EXCEPTIONS, PolicyState, Uninspected};

use crate::event::{self, Action};
use crate::policy::Source;
use crate::reason::{Bypass, Kind, Shed, Timeout, Tls};

mod exceptions;
mod uninspected;

use exceptions::Exceptions;
use uninspected::Ports;
pub use uninspected::Relayed;

/// Ports that get a label of their own; an address scan must not grow the registry.
const MAX_PORT_LABELS: usize = 32;

/// Seconds; inspection takes microseconds, a held body milliseconds.
const BUCKETS: [f64; 12] =
    [0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25];

/// Every metric of the sidecar and the gateway.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    detections: IntCounterVec,
    exceptions: IntCounterVec,
    exception_hits: Exceptions,
    inspection: Histogram,
    added_latency: Histogram,
    uninspected: IntCounterVec,
    uninspected_connections: IntCounterVec,
    uninspected_ports: Arc<Ports>,
    policy_info: IntGaugeVec,
    policy_age: Gauge,
    policy_state: IntGaugeVec,
    policy_source: IntGaugeVec,
    policy_stream: IntGauge,
    events_dropped: IntCounterVec,
    errors: IntCounterVec,
    tls_expiry: IntGaugeVec,
    ports: Mutex<HashSet<u16>>,
    policy_loaded: Mutex<Instant>,
}

/// Counters of one port, resolved once per connection.
#[derive(Clone, Debug)]
pub struct Requests([IntCounter; Verdict::ALL.len()]);

impl Requests {
    /// Counts one judged request.
    pub fn count(&self, verdict: Verdict) {
        for (known, counter) in Verdict::ALL.iter().zip(&self.0) {
            if *known == verdict {
                counter.inc();
            }
        }
    }
}

/// Makes metrics and registers them.
struct Registering(Registry);

impl Registering {
    fn counter(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(counter.clone()))?;
        Ok(counter)
    }

    fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    fn histogram(&self, name: &str, help: &str) -> Result<Histogram, prometheus::Error> {
        let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec()))?;
        self.0.register(Box::new(histogram.clone()))?;
        Ok(histogram)
    }
}

impl Metrics {
    /// Registers every metric.
    pub fn new() -> Result<Self, prometheus::Error> {
        let new = Registering(Registry::new());
        let build = new.gauge("rasp_build_info", "Version of this program.", &["version"])?;
        build.with_label_values(&[crate::VERSION]).set(1);
        let policy_age = Gauge::new("rasp_policy_age_seconds", "Time since the policy in force was loaded.")?;
        new.0.register(Box::new(policy_age.clone()))?;
        let policy_stream = IntGauge::new("rasp_policy_stream_open", "1 while the live stream is open.")?;
        new.0.register(Box::new(policy_stream.clone()))?;
        let metrics = Self {
            requests: new.counter(
                "rasp_requests_total",
                "Requests by port and verdict.",
                &["port", "verdict"],
            )?,
            detections: new.counter(
                "rasp_detections_total",
                "Findings by class, action taken and mode of the class.",
                &["class", "action", "mode"],
            )?,
            exceptions: new.counter(
                "rasp_exceptions_applied_total",
                "Findings that an exception of the policy made harmless, by exception.",
                &["exception"],
            )?,
            exception_hits: Exceptions::new(MAX_EXCEPTIONS),
            inspection: new.histogram("rasp_inspection_seconds", "Time the engine worked on one request.")?,
            added_latency: new.histogram(
                "rasp_added_latency_seconds",
                "Time from the head of a request to handing it on, without waiting for the client's body.",
            )?,
            uninspected: new.counter(
                "rasp_uninspected_total",
                "Requests and connections that were not, or not wholly, inspected.",
                &["reason"],
            )?,
            uninspected_connections: new.counter(
                "rasp_uninspected_connections_total",
                "Connections that were not inspected although a policy asks for it, by port.",
                &["port", "reason"],
            )?,
            uninspected_ports: Arc::default(),
            policy_info: new.gauge(
                "rasp_policy_info",
                "The policy in force; generation is the sequence of its Bundle.",
                &["hash", "generation"],
            )?,
            policy_age,
            policy_state: new.gauge("rasp_policy_state", "1 for the state of the policy.", &["state"])?,
            policy_source: new.gauge(
                "rasp_policy_source",
                "1 for what brought the Bundle in force.",
                &["source"],
            )?,
            policy_stream,
            events_dropped: new.counter(
                "rasp_events_dropped_total",
                "Events that could not be written.",
                &["sink", "reason"],
            )?,
            errors: new.counter("rasp_errors_total", "What went wrong, by kind.", &["kind"])?,
            tls_expiry: new.gauge(
                "rasp_tls_cert_expiry_seconds",
                "Seconds until the first certificate of a port ends.",
                &["port"],
            )?,
            ports: Mutex::new(HashSet::new()),
            policy_loaded: Mutex::new(Instant::now()),
            registry: new.0,
        };
        metrics.publish_zeros();
        Ok(metrics)
    }

    /// A counter that appears with its first event cannot be alerted on.
    fn publish_zeros(&self) {
        for source in Source::ALL {
            self.policy_source.with_label_values(&[source.id()]);
        }
        for bypass in Bypass::ALL {
            self.uninspected.with_label_values(&[bypass.id()]);
        }
        for reason in rasp_engine::Reason::ALL {
            self.uninspected.with_label_values(&[reason.id()]);
        }
        let timeouts = Timeout::ALL.map(Kind::Timeout);
        for kind in Kind::PLAIN.into_iter().chain(timeouts).chain(Shed::ALL.map(Kind::Shed)) {
            self.errors.with_label_values(&[kind.id()]);
        }
        for reason in Tls::ALL {
            self.errors.with_label_values(&[reason.id()]);
        }
        for reason in event::DROP_REASONS {
            self.events_dropped.with_label_values(&[event::STDOUT, reason]);
        }
        for (class, action) in Class::detected().flat_map(|class| Action::ALL.map(|action| (class, action))) {
            for mode in [Mode::Monitor, Mode::Block] {
                self.detections.with_label_values(&[class.as_str(), action.as_str(), mode.as_str()]);
            }
        }
    }

    fn port_label(&self, port: u16) -> String {
        let mut known = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(&port) || known.len() < MAX_PORT_LABELS {
            known.insert(port);
            port.to_string()
        } else {
            "other".to_owned()
        }
    }

    /// The counters of one port.
    pub fn requests(&self, port: u16) -> Requests {
        let label = self.port_label(port);
        Requests(
            Verdict::ALL.map(|verdict| self.requests.with_label_values(&[label.as_str(), verdict.as_str()])),
        )
    }

    /// Counts one finding.
    pub fn detection(&self, class: Class, action: Action, mode: Mode) {
        self.detections.with_label_values(&[class.as_str(), action.as_str(), mode.as_str()]).inc();
    }

    /// Counts one finding that an exception, `policy/name`, excepts.
    pub fn excepted(&self, exception: &str) {
        let label = if self.exception_hits.count(exception, SystemTime::now()) { exception } else { "other" };
        self.exceptions.with_label_values(&[label]).inc();
    }

    /// What exceptions took since the process started.
    pub fn exception_hits(&self) -> Vec<ExceptionHits> {
        self.exception_hits.all()
    }

    /// Waits until [`Self::exception_hits`] has one more.
    pub async fn new_exception(&self) {
        self.exception_hits.grew().await;
    }

    /// Time the engine worked on one request.
    pub fn inspected(&self, time: Duration) {
        self.inspection.observe(time.as_secs_f64());
    }

    /// Time a request spent in the proxy on its way to the application.
    pub fn added(&self, time: Duration) {
        self.added_latency.observe(time.as_secs_f64());
    }

    /// Counts a request that was not wholly inspected, for a reason of the engine.
    pub fn partial(&self, reason: rasp_engine::Reason) {
        self.uninspected.with_label_values(&[reason.id()]).inc();
    }

    /// Counts a connection or request that was not inspected.
    pub fn bypass(&self, bypass: Bypass) {
        self.uninspected.with_label_values(&[bypass.id()]).inc();
    }

    /// Counts a connection that is not inspected; its port is in the report while the guard lives, and some time longer.
    pub fn relayed(&self, bypass: Bypass, port: u16) -> Relayed {
        self.bypass(bypass);
        let Some(reason) = bypass.reported() else { return Relayed::untold() };
        self.uninspected_connections.with_label_values(&[&*self.port_label(port), reason.as_str()]).inc();
        self.uninspected_ports.begin(Uninspected { port, reason }, Instant::now())
    }

    /// Ports of which connections are, or were of late, not inspected, and why.
    pub fn uninspected_ports(&self) -> Vec<Uninspected> {
        self.uninspected_ports.recent(Instant::now())
    }

    /// Waits until [`Self::uninspected_ports`] has one more.
    pub async fn uninspected_port(&self) {
        self.uninspected_ports.grew().await;
    }

    /// Counts an event that was not written.
    pub fn event_dropped(&self, sink: &'static str, reason: &'static str) {
        self.events_dropped.with_label_values(&[sink, reason]).inc();
    }

    /// Counts what went wrong.
    pub fn error(&self, kind: &Kind) {
        self.errors.with_label_values(&[kind.id()]).inc();
    }

    /// Time until the first certificate of a port ends; negative when one has ended. Ports with TLS are declared, so
    /// there are few.
    pub fn tls_expiry(&self, port: u16, seconds: i64) {
        self.tls_expiry.with_label_values(&[&port.to_string()]).set(seconds);
    }

    /// A policy came into force.
    pub fn policy_loaded(&self, hash: &str, generation: u64) {
        self.policy_info.reset();
        self.policy_info.with_label_values(&[hash, &generation.to_string()]).set(1);
        *self.policy_loaded.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// The state of the policy changed.
    pub fn policy_state(&self, state: PolicyState) {
        for known in PolicyState::ALL {
            self.policy_state.with_label_values(&[known.as_str()]).set(i64::from(known == state));
        }
    }

    /// What brought the Bundle in force.
    pub fn policy_source(&self, source: Source) {
        for known in Source::ALL {
            self.policy_source.with_label_values(&[known.id()]).set(i64::from(known == source));
        }
    }

    /// Whether the live stream is open.
    pub fn policy_stream(&self, open: bool) {
        self.policy_stream.set(i64::from(open));
    }

    /// The text exposition format.
    pub fn render(&self) -> Vec<u8> {
        let loaded = *self.policy_loaded.lock().unwrap_or_else(PoisonError::into_inner);
        self.policy_age.set(loaded.elapsed().as_secs_f64());
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics cannot be written");
        }
        text
    }
}

/// Media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
mod tests;
