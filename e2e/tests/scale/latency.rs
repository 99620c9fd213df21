//! Creates of pods at a fixed rate, as a dry run: everything happens but the write. Reviews, straight to the webhook. And
//! histograms of the operator and of the API server.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, PostParams};
use rasp_e2e::product::sample;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::{fleet, to_f64};

/// Answers after this count as failed.
const LIMIT: Duration = Duration::from_secs(30);

/// Calls at once, each on a connection of its own. What waits for one has begun for the clock.
const CONNECTIONS: usize = 64;

/// What is sent.
#[derive(Clone)]
pub enum Load {
    /// Creates of pods in a namespace, through the API server.
    DryRuns(Api<Pod>),
    /// AdmissionReviews, straight to the webhook.
    Reviews(Client),
}

impl Load {
    /// Creates of pods in this namespace.
    pub fn dry_runs(client: &Client, namespace: &str) -> Self {
        Self::DryRuns(Api::namespaced(client.clone(), namespace))
    }

    /// Reviews as an API server sends them to an operator at this address: over TLS, on connections that are kept.
    pub async fn reviews(client: &Client, operator: IpAddr) -> anyhow::Result<Self> {
        let configuration: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
        let webhooks = configuration.get("kube-rasp-injector").await?.webhooks.unwrap_or_default();
        let ca = webhooks.into_iter().find_map(|webhook| webhook.client_config.ca_bundle);
        let certificates = CertificateDer::pem_slice_iter(&ca.context("the CA of the webhook")?.0)
            .map(|certificate| Ok(certificate?.to_vec()))
            .collect::<Result<Vec<_>, rustls::pki_types::pem::Error>>()?;
        let mut config = kube::Config::new(format!("https://{operator}:8443").parse()?);
        config.root_cert = Some(certificates);
        config.tls_server_name = Some("kube-rasp-operator.kube-rasp.svc".to_owned());
        Ok(Self::Reviews(Client::try_from(config)?))
    }

    async fn send(&self, n: usize) -> anyhow::Result<()> {
        let pod = fleet::pod(&format!("load-{n}"))?;
        match self {
            Self::DryRuns(pods) => {
                pods.create(&PostParams { dry_run: true, ..PostParams::default() }, &pod).await?;
            }
            Self::Reviews(client) => {
                let review = serde_json::to_vec(&review(n, &pod))?;
                let request = http::Request::post("/inject/enabled?timeout=5s").body(review)?;
                let answer: Value = client.request(request).await?;
                let patch = answer.pointer("/response/patch").and_then(Value::as_str);
                ensure!(patch.is_some_and(|patch| patch.len() > 1000), "no patch: {answer}");
            }
        }
        Ok(())
    }
}

fn review(n: usize, pod: &Pod) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": format!("00000000-0000-4000-8000-{n:012}"),
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "namespace": fleet::name(0),
            "operation": "CREATE",
            "userInfo": { "username": "system:serviceaccount:kube-system:replicaset-controller" },
            "object": pod,
            "oldObject": null,
            "dryRun": true,
        },
    })
}

/// Sends `rate` a second, whether those before were answered or not; a row of the table. The clock of each runs from the
/// moment at which it was due, so that a stall of this program or of the API server is seen (coordinated omission).
pub async fn under(load: &Load, rate: usize, seconds: usize) -> anyhow::Result<String> {
    let pause = Duration::from_secs(1) / u32::try_from(rate)?;
    // The first calls open connections.
    let rounds = [rate / 4, rate * seconds];
    let mut taken = Vec::new();
    let (mut span, mut failed) = (Duration::ZERO, 0);
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    for count in rounds {
        let mut calls = JoinSet::new();
        let start = Instant::now();
        for n in 0..count {
            let due = start + pause * u32::try_from(n)?;
            tokio::time::sleep_until(due.into()).await;
            let (load, slots) = (load.clone(), Arc::clone(&slots));
            calls.spawn(async move {
                let _slot = slots.acquire().await.ok()?;
                let answer = tokio::time::timeout(LIMIT, load.send(n)).await;
                matches!(answer, Ok(Ok(()))).then(|| due.elapsed())
            });
        }
        taken = calls.join_all().await.into_iter().flatten().collect::<Vec<_>>();
        span = start.elapsed();
        failed = count - taken.len();
    }
    ensure!(!taken.is_empty(), "nothing was answered");
    taken.sort();
    let at = |share: usize| taken.get((taken.len() * share / 100).min(taken.len() - 1)).copied();
    let millis =
        |time: Option<Duration>| format!("{:.1} ms", time.unwrap_or_default().as_secs_f64() * 1000.0);
    let achieved = to_f64(taken.len()) / span.as_secs_f64();
    let row = format!("| {achieved:.0} | {} | {} | {} |", millis(at(50)), millis(at(99)), millis(at(100)));
    Ok(if failed == 0 { row } else { format!("({failed} failed) {row}") })
}

/// The metrics page of the API server.
pub async fn of_api_server(client: &Client) -> anyhow::Result<String> {
    let request = http::Request::get("/metrics").body(Vec::new())?;
    Ok(client.request_text(request).await?)
}

/// The difference of two readings of a histogram.
pub struct Histogram {
    /// Upper bounds in seconds, and how many answers were at most as slow.
    buckets: Vec<(f64, f64)>,
    /// Answers.
    pub count: u64,
}

impl Histogram {
    /// What the operator takes for a review, from two of its pages.
    pub fn share(before: &str, after: &str) -> Self {
        Self::between("rasp_injection_duration_seconds", &[], before, after)
    }

    /// What the API server waits for the webhook, from two of its pages.
    pub fn call(before: &str, after: &str) -> Self {
        let labels = ["name=\"enabled.injector.rasp.dev\""];
        Self::between("apiserver_admission_webhook_admission_duration_seconds", &labels, before, after)
    }

    fn between(name: &str, labels: &[&str], before: &str, after: &str) -> Self {
        let difference =
            |metric: &str, labels: &[&str]| sample(after, metric, labels) - sample(before, metric, labels);
        let bucket = format!("{name}_bucket{{");
        let lines = after
            .lines()
            .filter(|line| line.starts_with(&bucket) && labels.iter().all(|label| line.contains(label)));
        let bounds = lines.filter_map(|line| Some(line.split_once("le=\"")?.1.split_once('"')?.0));
        let of = |bound: &str| {
            let le = format!("le=\"{bound}\"");
            difference(&format!("{name}_bucket"), &[labels, &[&le]].concat())
        };
        let buckets = bounds.filter_map(|bound| Some((bound.parse::<f64>().ok()?, of(bound)))).collect();
        let count = difference(&format!("{name}_count"), labels).to_string().parse().unwrap_or_default();
        Self { buckets, count }
    }

    /// A row of the table: the bounds below which the quantiles lie.
    pub fn row(&self, seconds: usize) -> String {
        let all = f64::from(u32::try_from(self.count).unwrap_or(u32::MAX));
        let below = |share: f64| {
            let bucket = self.buckets.iter().find(|(_, count)| *count >= all * share);
            bucket.map_or("more".to_owned(), |(bound, _)| format!("<= {} ms", bound * 1000.0))
        };
        let rate = all / to_f64(seconds);
        format!("({} reviews) | {rate:.0} | {} | {} | {} |", self.count, below(0.5), below(0.99), below(1.0))
    }
}
