//! The application's side of a connection: sends one request and waits for the head of its response.
//!
//! HTTP/1 takes one request after the other, HTTP/2 all at once; the protocol is that of the client. Called by
//! `forward`, which has a `Pass` for every request that comes here.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::client::conn::http2;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until};

use super::body::RequestBody;
use super::{Connection, Exchange};
use crate::connection::redial;
use crate::reason::Kind;

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
pub struct Http1(Mutex<(Option<SendRequest<RequestBody>>, Timer)>);

/// The timer of the application's side.
type Timer = Option<Pin<Box<Sleep>>>;

impl Http1 {
    /// A connection to the application, or none yet.
    pub fn new(sender: Option<SendRequest<RequestBody>>) -> Self {
        Self(Mutex::new((sender, None)))
    }

    fn take(&self) -> (Option<SendRequest<RequestBody>>, Timer) {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&self, sender: SendRequest<RequestBody>, timer: Timer) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (Some(sender), timer);
    }
}

/// Why the application gave no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It takes no connection.
    #[error("the application takes no connection")]
    Connect,
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
            Self::Connect | Self::Response | Self::Closed | Self::Reset(_) => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

/// Sends a request; the response's body follows by itself.
pub async fn send(exchange: &Exchange, request: Request<RequestBody>) -> Result<Response<Incoming>, Failure> {
    let connection = &exchange.connection;
    match &connection.link {
        Link::Http1(link) => send_http1(connection, link, request).await,
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
    let (mut kept, mut timer) = link.take();
    let kept_alive = timer.is_some();
    let mut again = true;
    loop {
        let fresh = kept.is_none();
        let mut sender = match kept.take() {
            Some(sender) => sender,
            None => redial(&connection.target, &connection.shared).await.map_err(|_| Failure::Connect)?,
        };
        if !fresh && sender.ready().await.is_err() {
            continue; // closed by the application before anything of this request was sent
        }
        let head = tokio::select! {
            biased;
            head = sender.try_send_request(request) => head,
            () = overdue(&mut sent, connection.shared.timers.response_head, &mut timer) => {
                connection.shared.metrics.error(&Kind::UpstreamTimeout);
                return Err(Failure::Timeout);
            }
        };
        let mut error = match head {
            Ok(response) => {
                // hyper would send the next request in HTTP/1.0 as well, which has no chunked bodies.
                if response.version() == Version::HTTP_11 {
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
                tracing::debug!(error = %error.error(), "no response");
                connection.shared.metrics.error(&Kind::UpstreamResponse);
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
            connection.shared.metrics.error(&Kind::UpstreamTimeout);
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
    let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
    if timer.deadline() > deadline {
        timer.as_mut().reset(deadline);
    }
    loop {
        timer.as_mut().await;
        if timer.deadline() >= deadline {
            return;
        }
        timer.as_mut().reset(deadline);
    }
}
