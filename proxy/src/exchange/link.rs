//! The application's side of a connection: sends one request and waits for the head of its response.
//!
//! HTTP/1 takes one request after the other, HTTP/2 all at once; the protocol is that of the client. Called by
//! `forward`, which has a `Pass` for every request that comes here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::EXPECT;
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::client::conn::http2;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::body::RequestBody;
use super::fields::{self, Named};
use super::late::{Timer, poll_until};
use super::{Connection, Exchange};
use crate::connection::{Fresh, fault, redial};
use crate::guard::awaited::{Asking, Awaited};
use crate::reason::{BadResponse, Kind, Timeout};

/// An application that never says 100 gets the body after so long, as from other clients (RFC 9110 section 10.1.1).
const PROCEED: Duration = Duration::from_secs(1);

/// The application's side of a connection.
#[derive(Debug)]
pub enum Link {
    /// One request after the other.
    Http1(Http1),
    /// Streams. `None` where the application took no connection.
    Http2(Option<http2::SendRequest<RequestBody>>),
}

/// The application's side of HTTP/1: empty while a request is on its way, and where there is no connection yet.
#[derive(Debug)]
pub struct Http1 {
    kept: Mutex<(Option<SendRequest<RequestBody>>, Timer)>,
    /// What the response guard waits for.
    pub awaited: Arc<Awaited>,
    /// A connection that was dialled late.
    pub(crate) fresh: Fresh,
    /// When the first request had waited for a connection in vain.
    in_vain: Mutex<Option<Instant>>,
}

/// A request that had waited for the dial of its connection is not made to wait for another one. Whoever comes later
/// finds out anew.
const IN_VAIN: Duration = Duration::from_secs(1);

impl Http1 {
    /// No connection to the application yet. `in_vain`: the first request has waited until there could be none.
    pub fn new(awaited: Arc<Awaited>, in_vain: bool) -> Self {
        let in_vain = Mutex::new(in_vain.then(Instant::now));
        Self { kept: Mutex::default(), awaited, fresh: Fresh::default(), in_vain }
    }

    /// Whether this request has waited for a connection already. Said once.
    fn waited_in_vain(&self) -> bool {
        let waited = self.in_vain.lock().unwrap_or_else(PoisonError::into_inner).take();
        waited.is_some_and(|since| since.elapsed() < IN_VAIN)
    }

    /// The next request goes here.
    pub(crate) fn open(&self, sender: SendRequest<RequestBody>) {
        self.kept().0 = Some(sender);
    }

    /// Nothing goes anywhere until it is opened again.
    pub(crate) fn close(&self) {
        self.kept().0 = None;
    }

    /// Whether the application's side waits for a request, and nothing else.
    pub(crate) fn rests(&self) -> bool {
        !self.awaited.is_due() && self.kept().0.as_ref().is_some_and(SendRequest::is_ready)
    }

    fn take(&self) -> (Option<SendRequest<RequestBody>>, Timer) {
        std::mem::take(&mut *self.kept())
    }

    fn keep(&self, sender: SendRequest<RequestBody>, timer: Timer) {
        *self.kept() = (Some(sender), timer);
    }

    fn kept(&self) -> MutexGuard<'_, (Option<SendRequest<RequestBody>>, Timer)> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why the application gave no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It takes no connection.
    #[error("the application takes no connection")]
    Connect,
    /// The guard did not let its answer pass.
    #[error("the application's response is refused: {0}")]
    Refused(BadResponse),
    /// It broke off, or its answer is no HTTP.
    #[error("the application gave no valid response")]
    Response,
    /// It closed a connection that was kept alive, without a byte of a response.
    #[error("the application closed the connection")]
    Closed,
    /// It did not answer in time.
    #[error("the application gave no response in time")]
    Timeout,
    /// It reset the stream of HTTP/2, or never looked at it.
    #[error("the application reset the stream: {0}")]
    Reset(h2::Reason),
}

impl Failure {
    /// Status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Connect | Self::Refused(_) | Self::Response | Self::Closed | Self::Reset(_) => {
                StatusCode::BAD_GATEWAY
            }
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

/// Sends a request; the response's body follows by itself. `may_switch`: whether 101 may be an answer to it.
pub async fn send(
    exchange: &Exchange,
    mut request: Request<RequestBody>,
    may_switch: bool,
) -> Result<Response<Incoming>, Failure> {
    let connection = &exchange.connection;
    match &connection.link {
        Link::Http1(link) => {
            let hints = request.version() == Version::HTTP_11;
            let sent = request.body().fate().is_finished();
            request.body_mut().tell(&link.awaited);
            link.awaited.expect(Asking {
                head: exchange.method == Method::HEAD,
                switch: may_switch,
                hints,
                sent,
            });
            if exchange.named.has(Named::EXPECT) && request.headers().contains_key(EXPECT) {
                // Nobody asks the client for a body that the application declines.
                let awaited = Arc::clone(&link.awaited);
                request.body_mut().wait(async move {
                    let _ = timeout(PROCEED, awaited.proceeded()).await;
                });
            }
            let mut response = send_http1(connection, link, request).await;
            if let Some(lines) = link.awaited.take_surplus()
                && let Ok(response) = &mut response
            {
                fields::append(response.headers_mut(), &lines);
            }
            link.awaited.hints_sent().await;
            response
        }
        Link::Http2(link) => send_http2(connection, link.as_ref(), request).await,
    }
}

/// One request after the other. A connection that the application closed meanwhile is dialled again, and a request of
/// which nothing was sent is sent again.
async fn send_http1(
    connection: &Connection,
    link: &Http1,
    mut request: Request<RequestBody>,
) -> Result<Response<Incoming>, Failure> {
    let mut sent = request.body_mut().sent();
    let fate = request.body().fate();
    let (mut kept, mut timer) = link.take();
    // What the client closed its half of was closed to the application: no other request can follow there.
    kept = kept.filter(|_| !link.awaited.has_left());
    let kept_alive = timer.is_some();
    let mut again = true;
    loop {
        let fresh = kept.is_none();
        let mut sender = match kept.take() {
            Some(sender) => sender,
            None if link.waited_in_vain() => return Err(Failure::Connect),
            None => {
                redial(&connection.target, &connection.shared, link).await.map_err(|_| Failure::Connect)?
            }
        };
        if !fresh && sender.ready().await.is_err() {
            continue; // closed by the application before anything of this request was sent
        }
        let head = tokio::select! {
            biased;
            head = sender.try_send_request(request) => head,
            () = overdue(&mut sent, connection.shared.timers.response_head, &mut timer) => {
                connection.incident(&Kind::Timeout(Timeout::ResponseHead));
                return Err(Failure::Timeout);
            }
        };
        let mut error = match head {
            Ok(response) => {
                // hyper would send the next request in HTTP/1.0 as well, which has no chunked bodies. And where the
                // body is still on its way nobody knows what the application makes of the rest of it.
                if response.version() == Version::HTTP_11 && fate.is_finished() {
                    link.keep(sender, timer);
                }
                return Ok(response);
            }
            Err(error) => error,
        };
        match error.take_message() {
            // Nothing of it was sent, so sending it again cannot do anything twice.
            Some(unsent) if again => {
                again = false;
                request = unsent;
            }
            _ => {
                if let Some(bad) = fault(error.error()) {
                    return Err(Failure::Refused(bad)); // the guard has counted it
                }
                tracing::debug!(error = %error.error(), "no response");
                // An application may give up on a client that closed first.
                if !link.awaited.has_left() {
                    connection.shared.metrics.error(&Kind::UpstreamResponse);
                }
                let closed = kept_alive && !error.error().is_parse();
                return Err(if closed { Failure::Closed } else { Failure::Response });
            }
        }
    }
}

/// All requests at once on one connection, which is never dialled again: when it ends, so does the client's.
async fn send_http2(
    connection: &Connection,
    link: Option<&http2::SendRequest<RequestBody>>,
    mut request: Request<RequestBody>,
) -> Result<Response<Incoming>, Failure> {
    let mut sender = link.cloned().ok_or(Failure::Connect)?;
    let mut sent = request.body_mut().sent();
    let mut timer = None;
    let head = tokio::select! {
        biased;
        head = sender.try_send_request(request) => head,
        () = overdue(&mut sent, connection.shared.timers.response_head, &mut timer) => {
            connection.incident(&Kind::Timeout(Timeout::ResponseHead));
            return Err(Failure::Timeout);
        }
    };
    head.map_err(|mut unsent| {
        let failure = match unsent.take_message() {
            Some(_) => Failure::Reset(h2::Reason::REFUSED_STREAM),
            None => refused(unsent.error()),
        };
        tracing::debug!(error = %unsent.error(), %failure, "no response");
        if failure == Failure::Response {
            connection.shared.metrics.error(&Kind::UpstreamResponse);
        }
        failure
    })
}

/// A stream that the application reset, or that is above the last one its GOAWAY names, is the client's to send again
/// or not (RFC 9113 sections 6.8 and 8.7). Everything else is a failure of the application.
fn refused(error: &hyper::Error) -> Failure {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    match cause {
        Some(cause) if cause.is_remote() && cause.is_go_away() => Failure::Reset(h2::Reason::REFUSED_STREAM),
        Some(cause) if cause.is_remote() => cause.reason().map_or(Failure::Response, Failure::Reset),
        _ => Failure::Response,
    }
}

/// The application's time begins when it has the whole request. One timer serves all requests of a connection: it is
/// armed too early rather than moved with each.
async fn overdue(sent: &mut Option<oneshot::Receiver<()>>, limit: Duration, timer: &mut Timer) {
    if let Some(sent) = sent {
        let _ = sent.await;
    }
    let deadline = Instant::now() + limit;
    std::future::poll_fn(|context| poll_until(timer, deadline, context)).await;
}
