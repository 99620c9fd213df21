//! Calls the webhook the way API servers do, and says when they could not: trusting exactly the caBundle that stands in
//! the webhook configuration, under the name of the Service, and never by a shorter way.
//!
//! Two calls. Of this replica's own listener: a replica whose certificate API servers would refuse is not ready, unless that is
//! only because somebody broke the configuration. Through the address of the Service: a failure is counted and told as an
//! event, and makes nobody unready, because the cause may lie between pods, where API servers are not. A dry run of a pod would
//! need the right to create pods, which RBAC cannot confine to dry runs (ADR 15). Called by `run`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Service;
use kube::api::Api;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::admin::Readiness;
use crate::certificate::{self, Issued};
use crate::events::Notice;
use crate::metrics::Metrics;

/// How often the own listener is called.
const OWN: Duration = Duration::from_secs(5);
/// How often the Service is called: every so many calls of the own listener.
const SERVICE: u32 = 12;
/// Failures in a row after which this replica is not ready any more.
const PATIENCE: u32 = 3;
/// Longest call; that of API servers.
const LIMIT: Duration = Duration::from_secs(5);
/// Largest answer that is read.
const MAX_ANSWER: usize = 64 << 10;

/// How a call ended. Values of `rasp_webhook_probe_total{result}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The webhook answered a review.
    Ok,
    /// The webhook configuration is not there, or has no webhook.
    NoWebhook,
    /// A webhook has no caBundle, or one that cannot be read.
    CaBundle,
    /// The Service is not there, or has no address.
    NoService,
    /// Nobody took the connection in time.
    Connect,
    /// The certificate is not accepted.
    Tls,
    /// The answer is none to a review.
    Answer,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 7] =
        [Self::Ok, Self::NoWebhook, Self::CaBundle, Self::NoService, Self::Connect, Self::Tls, Self::Answer];

    /// Label value.
    pub fn id(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NoWebhook => "no_webhook",
            Self::CaBundle => "ca_bundle",
            Self::NoService => "no_service",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Answer => "answer",
        }
    }
}

/// Calls the webhook for ever.
pub struct Probe {
    /// Reads the Service.
    pub services: Api<Service>,
    /// Name of the Service.
    pub service: String,
    /// Namespace of the operator.
    pub namespace: String,
    /// Where this replica listens.
    pub listen: SocketAddr,
    /// The webhooks as API servers know them.
    pub webhooks: watch::Receiver<Vec<Value>>,
    /// Whose CA should be in them.
    pub issued: watch::Receiver<Arc<Issued>>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Told whether the own listener is accepted.
    pub readiness: Arc<Readiness>,
    /// Where failures are told.
    pub notices: mpsc::Sender<Notice>,
}

impl Probe {
    /// Runs until the task is dropped.
    pub async fn run(mut self) {
        let (mut failures, mut round) = (0, 0);
        loop {
            let webhooks = self.webhooks.borrow_and_update().clone();
            let own = self.own(&webhooks).await;
            failures = if own.is_ok() { 0 } else { failures + 1 };
            self.tell_own(own, failures);
            // Not before the own listener is accepted once, and then at once.
            if own.is_ok() {
                if round % SERVICE == 0 {
                    self.tell_service(self.through_service(&webhooks).await);
                }
                round += 1;
            }
            let pause = if own.is_ok() { OWN } else { OWN / 5 };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = self.webhooks.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    // Those who serve follow within seconds; then the whole way is looked at.
                    if own.is_ok() {
                        tokio::time::sleep(OWN).await;
                        round = 0;
                    }
                }
            }
        }
    }

    /// A handshake with every CA that a webhook names. Once ours was there, it decides alone where theirs fail: of what others
    /// make of the configuration no replica is to blame, and all would be unready at once.
    async fn own(&self, webhooks: &[Value]) -> Result<(), Outcome> {
        let asked = self.shake_hands(connectors(webhooks)).await;
        if asked.is_ok() || !self.readiness.ca_bundle.once() {
            return asked;
        }
        let ours = connector(self.issued.borrow().ca_pem.as_bytes());
        self.shake_hands(ours.map(|ours| vec![ours]).ok_or(Outcome::CaBundle)).await
    }

    async fn shake_hands(&self, connectors: Result<Vec<TlsConnector>, Outcome>) -> Result<(), Outcome> {
        let ip = match self.listen.ip() {
            ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            ip => ip,
        };
        for connector in connectors? {
            self.connect(&connector, SocketAddr::new(ip, self.listen.port())).await?;
        }
        Ok(())
    }

    /// A review through the address of the Service.
    async fn through_service(&self, webhooks: &[Value]) -> Outcome {
        let review = async {
            let address = self.address().await.ok_or(Outcome::NoService)?;
            for connector in connectors(webhooks)? {
                let stream = self.connect(&connector, address).await?;
                self.review(stream).await.ok_or(Outcome::Answer)?;
            }
            Ok(Outcome::Ok)
        };
        review.await.unwrap_or_else(|outcome| outcome)
    }

    async fn address(&self) -> Option<SocketAddr> {
        let service = tokio::time::timeout(LIMIT, self.services.get(&self.service)).await.ok()?.ok()?;
        let spec = service.spec?;
        let port = spec.ports?.first().and_then(|port| u16::try_from(port.port).ok())?;
        Some(SocketAddr::new(spec.cluster_ip?.parse().ok()?, port))
    }

    async fn connect(
        &self,
        connector: &TlsConnector,
        address: SocketAddr,
    ) -> Result<TlsStream<TcpStream>, Outcome> {
        let name = format!("{}.{}.svc", self.service, self.namespace);
        let name = ServerName::try_from(name).map_err(|_| Outcome::Tls)?;
        let stream = tokio::time::timeout(LIMIT, TcpStream::connect(address)).await;
        let stream = stream.ok().and_then(Result::ok).ok_or(Outcome::Connect)?;
        let stream = tokio::time::timeout(LIMIT, connector.connect(name, stream)).await;
        stream.map_err(|_| Outcome::Connect)?.map_err(|error| {
            tracing::debug!(%error, %address, "the webhook's certificate is not accepted");
            Outcome::Tls
        })
    }

    async fn review(&self, stream: TlsStream<TcpStream>) -> Option<()> {
        let call = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
            let connection = tokio::spawn(connection);
            let request = Request::post("/inject/enabled")
                .header(header::HOST, format!("{}.{}.svc", self.service, self.namespace))
                .header(header::CONTENT_TYPE, "application/json")
                .body(Full::new(Bytes::from(self.question().to_string())))
                .ok()?;
            let response = sender.send_request(request).await.ok()?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.ok()?.to_bytes();
            connection.abort();
            let answer: Value = serde_json::from_slice(&body).ok()?;
            (status == StatusCode::OK
                && answer["response"]["uid"] == UID
                && answer["response"]["allowed"] == true)
                .then_some(())
        };
        tokio::time::timeout(LIMIT, call).await.ok()?
    }

    /// A pod of the operator's own namespace, which is never injected. A dry run: nobody counts it.
    fn question(&self) -> Value {
        let metadata = json!({ "name": UID, "namespace": self.namespace });
        json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": UID,
                "kind": { "group": "", "version": "v1", "kind": "Pod" },
                "resource": { "group": "", "version": "v1", "resource": "pods" },
                "operation": "CREATE",
                "namespace": self.namespace,
                "dryRun": true,
                "object": { "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": { "containers": [] } },
            },
        })
    }

    fn tell_own(&self, own: Result<(), Outcome>, failures: u32) {
        if own.is_ok() {
            self.readiness.accepted.store(true, Ordering::Release);
        } else if failures == PATIENCE && self.readiness.accepted.swap(false, Ordering::AcqRel) {
            let result = own.err().map(Outcome::id);
            tracing::error!(result, "API servers would not accept this replica: it is not ready");
        }
    }

    fn tell_service(&self, outcome: Outcome) {
        self.metrics.probed(outcome);
        if outcome == Outcome::Ok {
            return;
        }
        tracing::error!(result = outcome.id(), "the webhook does not answer through its Service");
        let notice = Notice::unreachable(&self.namespace, &self.service, outcome.id());
        if self.notices.try_send(notice).is_err() {
            tracing::warn!("an event was dropped: too many wait already");
        }
    }
}

const UID: &str = "kube-rasp-probe";

/// One for each different caBundle: API servers trust each webhook's own.
fn connectors(webhooks: &[Value]) -> Result<Vec<TlsConnector>, Outcome> {
    let mut bundles: Vec<&str> = Vec::new();
    for webhook in webhooks {
        let bundle = webhook["clientConfig"]["caBundle"].as_str().ok_or(Outcome::CaBundle)?;
        if !bundles.contains(&bundle) {
            bundles.push(bundle);
        }
    }
    if bundles.is_empty() {
        return Err(Outcome::NoWebhook);
    }
    let connector = |bundle| connector(&BASE64.decode(bundle).ok()?);
    bundles.into_iter().map(|bundle| connector(bundle).ok_or(Outcome::CaBundle)).collect()
}

fn connector(pem: &[u8]) -> Option<TlsConnector> {
    let mut roots = RootCertStore::empty();
    for ca in CertificateDer::pem_slice_iter(pem) {
        let ca = ca.ok()?;
        // API servers look at the end of a CA, our verifier does not.
        if certificate::has_ended(&ca, SystemTime::now()) {
            continue;
        }
        roots.add(ca).ok()?;
    }
    if roots.is_empty() {
        return None;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Some(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests;
