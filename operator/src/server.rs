//! The TLS listener: admission reviews from API servers and reports from sidecars.
//!
//! Everything a client can delay has a limit: handshake, head, body, and the number of connections. A handler that
//! panics answers 500. After `stop` it goes on serving for the grace that API servers need to learn of it, then
//! finishes what is in flight. Called by `run`; what is answered is in `routes`.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Longest TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Longest wait for the head of a request; also the longest idle time of a kept connection. Longer than the 90 s after
/// which API servers close theirs: a review that meets our end of a connection is lost, and not sent again.
const HEAD: Duration = Duration::from_secs(120);
/// Connections at once. A connection costs about 50 KiB, so all of them fit into the memory limit of the chart.
const MAX_CONNECTIONS: usize = 1024;
/// Longest wait for requests in flight at the end.
const DRAIN: Duration = Duration::from_secs(5);
/// Pause after an accept error such as EMFILE, which repeats at once until a connection is closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. It reads the body itself, within its limits.
    fn handle(&self, request: Request<Incoming>) -> impl Future<Output = Response<Full<Bytes>>> + Send;
}

/// Serves until `stop` and the grace after it.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    handler: Arc<H>,
    stop: CancellationToken,
    grace: Duration,
) {
    let acceptor = TlsAcceptor::from(tls);
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut end = std::pin::pin!(async {
        stop.cancelled().await;
        tokio::time::sleep(grace).await;
    });
    loop {
        let (stream, permit) = tokio::select! {
            accepted = accept(&listener, &connections) => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = &mut end => break,
        };
        let watcher = graceful.watcher();
        let (acceptor, handler, stop) = (acceptor.clone(), Arc::clone(&handler), stop.clone());
        tokio::spawn(connection(stream, acceptor, handler, watcher, stop, permit));
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still in flight at the end");
    }
}

/// Takes a connection once there is room for one more; until then new ones wait in the kernel's queue.
async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.map_err(std::io::Error::other)?;
    Ok((listener.accept().await?.0, permit))
}

async fn connection<H: Handler>(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    handler: Arc<H>,
    watcher: hyper_util::server::graceful::Watcher,
    stop: CancellationToken,
    permit: OwnedSemaphorePermit,
) {
    let _permit = permit;
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        // An API server that does not trust our CA ends here: worth a line.
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => return,
    };
    let service = service_fn(move |request| {
        let (handler, stop) = (Arc::clone(&handler), stop.clone());
        async move {
            let answer = AssertUnwindSafe(handler.handle(request)).catch_unwind().await;
            let mut answer = answer.unwrap_or_else(|_| {
                tracing::error!("a handler panicked");
                empty(StatusCode::INTERNAL_SERVER_ERROR)
            });
            // An API server that is told so goes to another replica before this one ends.
            if stop.is_cancelled() {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests;
