//! `/metrics`, `/livez` and `/readyz`. Read-only, on a thread and runtime of its own, so that a scrape cannot hurt
//! traffic and traffic cannot starve a probe.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rasp_policy::api::FailureMode;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::metrics::{self, Metrics};
use crate::policy::Handle;
use crate::tls;

/// Connections at once; more wait. Fewer than the file descriptors that are kept from traffic.
const MAX_CONNECTIONS: usize = 16;
/// Whoever holds a connection keeps a probe waiting, which gives up after five seconds.
const HEAD: Duration = Duration::from_secs(2);
const CONNECTION: Duration = Duration::from_secs(10);

/// What the endpoints tell about.
pub struct Admin {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The policy in force.
    pub policy: Arc<Handle>,
    /// Ports with TLS.
    pub tls: Arc<tls::Ports>,
    /// Whether the listener is open.
    pub listening: AtomicBool,
}

impl Admin {
    /// Ready to take traffic: the listener is open, every port with TLS has a certificate, and a Ruleset is loaded.
    /// Without a Ruleset, only where requests pass.
    pub fn is_ready(&self) -> bool {
        let in_force = self.policy.load();
        let open = in_force.ruleset.effective().failure_mode == FailureMode::Open;
        self.listening.load(Ordering::Acquire) && self.tls.are_loaded() && (in_force.loaded || open)
    }

    fn answer(&self, request: &Request<Incoming>) -> (StatusCode, &'static str, Vec<u8>) {
        const TEXT: &str = "text/plain; charset=utf-8";
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return (StatusCode::METHOD_NOT_ALLOWED, TEXT, b"only GET and HEAD\n".to_vec());
        }
        match request.uri().path() {
            "/metrics" => (StatusCode::OK, metrics::CONTENT_TYPE, self.metrics.render()),
            "/livez" => (StatusCode::OK, TEXT, b"ok\n".to_vec()),
            "/readyz" if self.is_ready() => (StatusCode::OK, TEXT, b"ok\n".to_vec()),
            // These endpoints are open a moment before traffic is taken.
            "/readyz" if !self.listening.load(Ordering::Acquire) => {
                (StatusCode::SERVICE_UNAVAILABLE, TEXT, b"traffic is not taken yet\n".to_vec())
            }
            "/readyz" if !self.tls.are_loaded() => {
                (StatusCode::SERVICE_UNAVAILABLE, TEXT, b"a port with TLS has no certificate yet\n".to_vec())
            }
            "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, TEXT, b"no policy was loaded yet\n".to_vec()),
            _ => (StatusCode::NOT_FOUND, TEXT, b"there are /metrics, /livez and /readyz\n".to_vec()),
        }
    }
}

/// Starts the thread.
pub fn start(listener: std::net::TcpListener, admin: Arc<Admin>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("rasp-admin".into()).spawn(move || {
        if let Err(error) = runtime.block_on(run(listener, admin)) {
            tracing::error!(%error, "admin endpoints ended");
        }
    })?;
    Ok(())
}

async fn run(listener: std::net::TcpListener, admin: Arc<Admin>) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let admin = Arc::clone(&admin);
        tokio::spawn(async move {
            let _ = timeout(CONNECTION, serve(stream, admin)).await;
            drop(place);
        });
    }
}

async fn serve(stream: TcpStream, admin: Arc<Admin>) -> hyper::Result<()> {
    let service = service_fn(|request: Request<Incoming>| {
        let (status, content_type, body) = admin.answer(&request);
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        async { Ok::<_, Infallible>(response) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await
}
