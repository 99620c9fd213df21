//! The TLS listener: admission reviews from API servers, reports and streams of sidecars.
//!
//! Everything a client can delay has a limit: handshake, head, body, the number of connections, and the age of those
//! of HTTP/2; who has most connections makes room for others. A handler that panics answers 500. After `stop` it goes on
//! serving for the grace that API servers need to learn of it, and ends connections of HTTP/2 spread over that time; then
//! it finishes what is in flight. Called by `run`; what is answered is in `routes`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::ProtocolVersion;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

mod crowd;
mod link;

use crowd::Crowd;
pub use link::Link;
use link::Place;

/// Longest TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Longest wait for the head of a request; also the longest idle time of a kept connection. Longer than the 90 s after
/// which API servers close theirs: a review that meets our end of a connection is lost, and not sent again.
const HEAD: Duration = Duration::from_secs(120);
/// Longest head of a request. A token for reports has 2 KiB; without this a head may have 400 KiB on each connection.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// Connections at once, without those that carry an accepted stream: they have places of their own, so that sidecars
/// never take those of API servers. A connection costs about 50 KiB.
const MAX_CONNECTIONS: usize = 1024;
/// Longest wait for requests in flight at the end, of the listener or of a connection.
const DRAIN: Duration = Duration::from_secs(5);
/// Pause after an accept error such as EMFILE, which repeats at once until a connection is closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A connection of HTTP/2 is asked for a sign of life so often, and ends when there is none for as long again: nothing
/// else notices that the node of a sidecar is gone.
const PING: Duration = Duration::from_secs(20);
/// A connection of HTTP/2 ends at an age between this and twice this: tokens are looked at again, and a replica that was
/// away gets its share of the streams.
const AGE: Duration = Duration::from_mins(20);

/// Body of an answer.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. It reads the body itself, within its limits.
    fn handle(&self, request: Request<Incoming>, link: Link) -> impl Future<Output = Response<Body>> + Send;
}

/// Serves until `stop` and the grace after it.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    handler: Arc<H>,
    stop: CancellationToken,
    grace: Duration,
) {
    serve_at_most(MAX_CONNECTIONS, listener, tls, handler, stop, grace).await;
}

async fn serve_at_most<H: Handler>(
    places: usize,
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    handler: Arc<H>,
    stop: CancellationToken,
    grace: Duration,
) {
    let acceptor = TlsAcceptor::from(tls);
    let connections = Arc::new(Semaphore::new(places));
    let crowd = Arc::new(Crowd::default());
    let graceful = GracefulShutdown::new();
    let mut end = std::pin::pin!(async {
        stop.cancelled().await;
        tokio::time::sleep(grace).await;
    });
    loop {
        let (stream, peer, permit) = tokio::select! {
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
        let seat = Arc::new(crowd.sit(peer.ip()));
        if connections.available_permits() <= places / 16 {
            crowd.thin();
        }
        let (acceptor, handler) = (acceptor.clone(), Arc::clone(&handler));
        let place = (permit, Arc::clone(&seat));
        let served = connection(stream, place, acceptor, handler, watcher, (stop.clone(), grace));
        tokio::spawn(async move {
            tokio::select! {
                () = seat.left() => {}
                () = served => {}
            }
        });
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
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, permit))
}

async fn connection<H: Handler>(
    stream: TcpStream,
    place: Place,
    acceptor: TlsAcceptor,
    handler: Arc<H>,
    watcher: Watcher,
    stop: (CancellationToken, Duration),
) {
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        // An API server that does not trust our CA ends here: worth a line.
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => return,
    };
    let session = stream.get_ref().1;
    let link = Link::new(place, session.protocol_version() == Some(ProtocolVersion::TLSv1_3));
    if session.alpn_protocol() == Some(b"h2") {
        http2(stream, handler, &link, stop).await;
        drop(watcher);
    } else {
        http1(stream, handler, link, watcher, stop.0).await;
    }
}

async fn http1<H: Handler>(
    stream: TlsStream<TcpStream>,
    handler: Arc<H>,
    link: Link,
    watcher: Watcher,
    stop: CancellationToken,
) {
    let service = service_fn(move |request| {
        let (answer, stop) = (answer(Arc::clone(&handler), request, link.clone()), stop.clone());
        async move {
            let mut answer = answer.await?;
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
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn http2<H: Handler>(
    stream: TlsStream<TcpStream>,
    handler: Arc<H>,
    link: &Link,
    (stop, grace): (CancellationToken, Duration),
) {
    let served = link.clone();
    let service = service_fn(move |request| answer(Arc::clone(&handler), request, served.clone()));
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_concurrent_streams(8)
        .max_header_list_size(16 << 10)
        .max_send_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let spread = async {
        stop.cancelled().await;
        // Sidecars that are all told at once would all come to the next replica at once.
        tokio::time::sleep(grace.mul_f64(fastrand::f64())).await;
    };
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
            return;
        }
        () = spread => {}
        () = link.end().cancelled() => {}
        () = link.idle(HEAD) => {}
        () = tokio::time::sleep(AGE.mul_f64(1.0 + fastrand::f64())) => {}
    }
    link.end().cancel();
    connection.as_mut().graceful_shutdown();
    // A client that reads nothing more is cut off.
    let _ = tokio::time::timeout(DRAIN, connection).await;
}

async fn answer<H: Handler>(
    handler: Arc<H>,
    request: Request<Incoming>,
    link: Link,
) -> Result<Response<Body>, Infallible> {
    let _busy = link.busy();
    let answer = AssertUnwindSafe(handler.handle(request, link)).catch_unwind().await;
    Ok(answer.unwrap_or_else(|_| {
        tracing::error!("a handler panicked");
        empty(StatusCode::INTERNAL_SERVER_ERROR)
    }))
}

/// An answer of so many bytes.
pub fn whole(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).boxed_unsync());
    *response.status_mut() = status;
    response
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Response<Body> {
    whole(status, Bytes::new())
}

#[cfg(test)]
mod tests;
