//! Tells the operator what is in force and which class is not run: on every change, when a
//! port is first relayed uninspected, an exception first used, or a port can be reached around the sidecar, and once a minute;
//! while a rollout goes on as `due` says.
//!
//! On a task of its own; the data path neither waits for it nor knows it. A report that fails is sent again on a new
//! connection, since another replica of the operator may have become the leader.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rasp_engine::Class;
use rasp_policy::pod::Interception;
use rasp_policy::report::{self, PodRef, Report};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::load::breaker::Breaker;
use crate::metrics::Metrics;
use crate::policy::Handle;
use crate::reason::Kind;
use crate::state::Identity;

mod due;

const INTERVAL: Duration = Duration::from_secs(60);
/// Shortest time between two reports.
const DEBOUNCE: Duration = Duration::from_millis(200);
const ATTEMPT: Duration = Duration::from_secs(10);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A replica that is not the leader says 503. With two replicas every second connection meets it, so that ten failures
/// in a row are no rarity in a cluster of thousands of pods: the next one must not be far away.
const BACKOFF_MAX_UNAVAILABLE: Duration = Duration::from_secs(1);

/// Where the operator is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    host: String,
    port: u16,
}

impl std::str::FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected https://HOST:PORT without a path".to_owned();
        let uri: http::Uri = text.parse().map_err(|_| expected())?;
        let path = uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        match (uri.scheme_str(), uri.authority()) {
            (Some("https"), Some(authority))
                if matches!(path, "" | "/") && !authority.as_str().contains('@') =>
            {
                let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
                Ok(Self { host, port: authority.port_u16().unwrap_or(443) })
            }
            _ => Err(expected()),
        }
    }
}

/// The operator, and what is needed to talk to it.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Where it is.
    pub url: Url,
    /// Who may have signed its certificate; nobody else is trusted.
    pub roots: RootCertStore,
    /// File with the token; read again for each report, since kubelet renews it.
    pub token: PathBuf,
}

/// Reads PEM certificates of the CAs that may have signed the operator's certificate.
pub fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let expected = "expected PEM certificates";
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("{expected}: {error}"))?;
        roots.add(certificate).map_err(|error| format!("{expected}: {error}"))?;
    }
    if roots.is_empty() { Err(expected.to_owned()) } else { Ok(roots) }
}

impl Url {
    pub(crate) fn authority(&self) -> String {
        let Self { host, port } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl Operator {
    /// TLS that trusts only who may have signed the operator's certificate. Fails only without a TLS provider.
    pub fn connector(
        &self,
        protocol: &[u8],
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> std::io::Result<TlsConnector> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(std::io::Error::other)?
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }

    /// A new connection.
    pub async fn dial(&self, tls: &TlsConnector) -> Result<TlsStream<TcpStream>, Error> {
        let Url { host, port } = &self.url;
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(Error::Connect)?;
        let name = ServerName::try_from(host.clone())?;
        tls.connect(name, stream).await.map_err(Error::Connect)
    }

    /// Value of `authorization`, with the token of the moment.
    pub async fn bearer(&self) -> Result<HeaderValue, Error> {
        let token = tokio::fs::read_to_string(&self.token).await.map_err(Error::Token)?;
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {}", token.trim())).map_err(http::Error::from)?;
        bearer.set_sensitive(true);
        Ok(bearer)
    }
}

/// Why the operator was not reached, or does not do what it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token cannot be read.
    #[error("read the token: {0}")]
    Token(std::io::Error),
    /// No connection, or no TLS.
    #[error("connect: {0}")]
    Connect(std::io::Error),
    /// No certificate can be for this host.
    #[error("the name of the operator cannot be in a certificate")]
    Name(#[from] InvalidDnsNameError),
    /// The connection broke.
    #[error("send: {0}")]
    Send(#[from] hyper::Error),
    /// Not a request: the token holds a line break.
    #[error("build: {0}")]
    Build(#[from] http::Error),
    /// A refusal.
    #[error("the operator answered {0}")]
    Status(StatusCode),
    /// Nothing came.
    #[error("no answer in time")]
    Timeout,
}

/// Sends reports.
pub struct Reporter {
    operator: Operator,
    tls: TlsConnector,
    identity: Identity,
    policy: Arc<Handle>,
    metrics: Arc<Metrics>,
    breaker: Arc<Breaker>,
    around: Option<watch::Receiver<Vec<u16>>>,
}

impl Reporter {
    /// Prepares to report. Fails only without a TLS provider.
    pub fn new(
        operator: Operator,
        identity: Identity,
        policy: Arc<Handle>,
        metrics: Arc<Metrics>,
        breaker: Arc<Breaker>,
    ) -> std::io::Result<Self> {
        let tls = operator.connector(b"http/1.1", rustls::DEFAULT_VERSIONS)?;
        Ok(Self { operator, tls, identity, policy, metrics, breaker, around: None })
    }

    /// No packet rules intercept: tells which ports of the application can be reached around the sidecar.
    #[must_use]
    pub fn around(self, reachable: watch::Receiver<Vec<u16>>) -> Self {
        Self { around: Some(reachable), ..self }
    }

    /// Reports until the process ends.
    pub async fn run(self) {
        let mut changes = self.policy.changes();
        let mut around = self.around.clone();
        loop {
            changes.mark_unchanged();
            around.iter_mut().for_each(watch::Receiver::mark_unchanged);
            let told = self.policy.load().told();
            self.deliver().await;
            // What changes right after a report is in the next one, however often it changes.
            sleep(DEBOUNCE).await;
            let pause = INTERVAL.mul_f64(fastrand::f64().mul_add(0.2, 0.9));
            tokio::select! {
                () = sleep(pause) => {}
                () = due::due(&self.policy, &told) => {}
                () = self.breaker.changed() => {}
                () = self.metrics.uninspected_port() => {}
                () = self.metrics.new_exception() => {}
                () = changed(around.as_mut()) => {}
                changed = changes.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    /// Sends what is in force now, until it arrived.
    async fn deliver(&self) {
        let mut backoff = BACKOFF_MIN;
        loop {
            let sent = timeout(ATTEMPT, self.send()).await.unwrap_or(Err(Error::Timeout));
            if heard(&sent) {
                self.policy.heard();
            }
            let Err(error) = sent else { return };
            self.metrics.error(&Kind::Report);
            if backoff == BACKOFF_MIN {
                tracing::warn!(%error, "report failed, trying again");
            } else {
                tracing::debug!(%error, "report failed again");
            }
            sleep(backoff.mul_f64(fastrand::f64().mul_add(0.5, 0.75))).await;
            backoff = (backoff * 2).min(longest_pause(&error));
        }
    }

    async fn send(&self) -> Result<(), Error> {
        let bearer = self.operator.bearer().await?;
        let stream = self.operator.dial(&self.tls).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let body = Bytes::from(serde_json::to_vec(&self.report()).unwrap_or_default());
        let request = Request::post(report::PATH)
            .header(HOST, self.operator.url.authority())
            .header(AUTHORIZATION, bearer)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        tokio::spawn(connection);
        let response = sender.send_request(request).await?;
        if response.status().is_success() { Ok(()) } else { Err(Error::Status(response.status())) }
    }

    fn report(&self) -> Report {
        let status = self.policy.status();
        let in_force = &status.in_force;
        let suspended = Class::ALL.into_iter().filter(|class| self.breaker.is_suspended(*class));
        Report {
            schema_version: report::SCHEMA_VERSION,
            pod: PodRef {
                namespace: self.identity.namespace.clone(),
                name: self.identity.pod.clone(),
                uid: self.identity.pod_uid.clone(),
            },
            workload: self.identity.workload.clone(),
            version: crate::VERSION.to_owned(),
            state: status.state(),
            digest: in_force.digest.clone(),
            sequence: in_force.sequence,
            sources: in_force.sources.clone(),
            mode: in_force.effective_mode(),
            uninspected: self.metrics.uninspected_ports(),
            interception: if self.around.is_some() { Interception::None } else { Interception::Redirect },
            bypassable: self.around.as_ref().map(|ports| ports.borrow().clone()).unwrap_or_default(),
            rejected: status.rejected.clone(),
            suspended: suspended.map(|class| class.as_str().to_owned()).collect(),
            exceptions: self.metrics.exception_hits(),
            rollouts: in_force.told(),
        }
    }
}

/// Whether the operator is there. It answers 400 to a report with a word that is newer than it is, such as a state: a
/// sidecar that counted that as silence would say the word for ever.
fn heard(sent: &Result<(), Error>) -> bool {
    matches!(sent, Ok(()) | Err(Error::Status(StatusCode::BAD_REQUEST)))
}

async fn changed(around: Option<&mut watch::Receiver<Vec<u16>>>) {
    if let Some(around) = around
        && around.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

fn longest_pause(error: &Error) -> Duration {
    match error {
        Error::Status(StatusCode::SERVICE_UNAVAILABLE) => BACKOFF_MAX_UNAVAILABLE,
        _ => BACKOFF_MAX,
    }
}

#[cfg(test)]
mod tests;
