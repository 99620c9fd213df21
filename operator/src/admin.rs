//! Plain HTTP for kubelet and Prometheus: `/livez`, `/readyz`, `/metrics`. Read-only, on a thread of its own, so that
//! it answers also when every other thread is busy.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::ca_bundle::Placed;
use crate::metrics::Metrics;
use crate::observe::Cache;
use crate::server::{Body, empty, whole};

/// Connections at once.
const MAX_CONNECTIONS: usize = 64;
/// Longest life of a connection; every probe and every scrape ends well before.
const CONNECTION: Duration = Duration::from_secs(60);

/// What readiness depends on. Leadership is not among it: every replica serves the webhook. Nor is, once a replica was ready,
/// what somebody does to the webhook configuration: every replica would leave the Service at once, and streams and reports
/// have no other.
pub struct Readiness {
    /// Caches that have to be filled.
    pub cache: Arc<Cache>,
    /// Certificate and signing key are loaded and the TLS listener is open.
    pub serving: AtomicBool,
    /// Whether the CA is in the webhook configuration.
    pub ca_bundle: Arc<Placed>,
    /// API servers that know the CA would accept this replica's certificate.
    pub accepted: AtomicBool,
    /// SIGTERM arrived.
    pub stopping: AtomicBool,
}

impl Readiness {
    /// Nothing is ready yet.
    pub fn new(cache: Arc<Cache>) -> Self {
        Self {
            cache,
            serving: AtomicBool::new(false),
            ca_bundle: Arc::default(),
            accepted: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        }
    }

    /// What is missing; ready when nothing is.
    pub fn missing(&self) -> Vec<&'static str> {
        let flags = [
            ("certificate", self.serving.load(Ordering::Acquire)),
            ("ca_bundle", self.ca_bundle.once()),
            ("accepted_by_api_servers", self.accepted.load(Ordering::Acquire)),
            ("not_stopping", !self.stopping.load(Ordering::Acquire)),
        ];
        let unset = flags.into_iter().filter_map(|(name, set)| (!set).then_some(name));
        self.cache.missing().into_iter().chain(unset).collect()
    }

    /// Whether API servers call this replica for a pod that is made now.
    pub fn injects(&self) -> bool {
        self.missing().is_empty() && self.ca_bundle.now()
    }
}

/// Starts the thread; returns the address it listens on.
pub fn start(
    address: SocketAddr,
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
) -> std::io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
        let served = runtime.block_on(serve(listener, readiness, metrics));
        if let Err(error) = served {
            tracing::error!(%error, "the admin server stopped");
        }
    })?;
    Ok(address)
}

async fn serve(
    listener: std::net::TcpListener,
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let permit = Arc::clone(&connections).acquire_owned().await.map_err(std::io::Error::other)?;
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (readiness, metrics) = (Arc::clone(&readiness), Arc::clone(&metrics));
        tokio::spawn(async move {
            let _permit = permit;
            let service = service_fn(|request| {
                let response = answer(&request, &readiness, &metrics);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(10))
                .serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(CONNECTION, connection).await;
        });
    }
}

fn answer<B>(request: &Request<B>, readiness: &Readiness, metrics: &Metrics) -> Response<Body> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "ok\n"),
        "/readyz" => match readiness.missing().as_slice() {
            [] => text(StatusCode::OK, "ok\n"),
            missing => {
                let problems = metrics.secret_problems();
                let lines: Vec<_> = problems.iter().map(|problem| format!("secret of {problem}\n")).collect();
                let problems = lines.concat();
                let missing = missing.join(", ");
                text(StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {missing}\n{problems}"))
            }
        },
        "/metrics" => {
            let mut response = text(StatusCode::OK, metrics.render(Timestamp::now()));
            let version = header::HeaderValue::from_static("text/plain; version=0.0.4");
            response.headers_mut().insert(header::CONTENT_TYPE, version);
            response
        }
        _ => empty(StatusCode::NOT_FOUND),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    whole(status, body.into())
}

#[cfg(test)]
mod tests;
