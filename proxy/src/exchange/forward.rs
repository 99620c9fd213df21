//! Sends a judged request to the application and brings its response back. Takes the `Pass` by value: without one
//! there is no way here.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use rasp_engine::Pass;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::body::{Broken, RequestBody, ResponseBody};
use super::fields::{self, Hop};
use super::trace::REQUEST_ID;
use super::{Exchange, Timer, act, upgrade};
use crate::connection::redial;
use crate::drain::InFlight;
use crate::reason::Kind;

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
}

impl Failure {
    /// Status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Connect | Self::Response | Self::Closed => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

/// Forwards a request that was judged.
pub async fn forward(
    exchange: &Arc<Exchange>,
    pass: Pass,
    mut request: Request<RequestBody>,
    in_flight: InFlight,
) -> Result<Response<ResponseBody>, Broken> {
    let hop = outbound(exchange, &mut request);
    let on_client = request.extensions_mut().remove::<OnUpgrade>().filter(|_| hop.upgrade);
    let fate = request.body().fate();
    match send(exchange, request).await {
        Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            let Some(on_client) = on_client else {
                return Ok(act::failed(exchange, Failure::Response, in_flight));
            };
            Ok(upgrade::switch(exchange, on_client, response, in_flight))
        }
        Ok(response) => {
            if !fate.is_finished() {
                exchange.connection.phase.linger(); // answered while the client is still sending
            }
            Ok(inbound(exchange, response, in_flight))
        }
        Err(failure) => match fate.broken() {
            Some(Broken::TimedOut) => Ok(act::body_timed_out(exchange, in_flight)),
            Some(broken) => Err(broken),
            // The client knows whether it may ask again; a response would tell it not to.
            None if failure == Failure::Closed => Err(Broken::Application),
            None => Ok(act::failed(exchange, failure, in_flight)),
        },
    }
    .inspect(|_| spend(pass))
}

/// A Pass is good for one request.
fn spend(pass: Pass) {
    drop(pass);
}

/// Fields of a request that end here, and those that are added.
fn outbound(exchange: &Exchange, request: &mut Request<RequestBody>) -> Hop {
    let version = request.version();
    let headers = request.headers_mut();
    let hop = fields::strip(headers, version);
    fields::connect(headers, hop, version);
    if !exchange.is_off() {
        exchange.trace.add_to(headers);
        fields::forwarded_for(headers, exchange.connection.peer);
    }
    hop
}

async fn send(exchange: &Exchange, mut request: Request<RequestBody>) -> Result<Response<Incoming>, Failure> {
    let connection = &exchange.connection;
    let mut sent = request.body_mut().sent();
    let (mut kept, mut timer) = connection.take_link();
    let kept_alive = timer.is_some();
    let mut again = true;
    loop {
        let fresh = kept.is_none();
        let mut link = match kept.take() {
            Some(link) => link,
            None => redial(&connection.target, &connection.shared).await.map_err(|_| Failure::Connect)?,
        };
        if !fresh && link.ready().await.is_err() {
            continue; // closed by the application before anything of this request was sent
        }
        let head = tokio::select! {
            biased;
            head = link.try_send_request(request) => head,
            () = overdue(&mut sent, connection.shared.timers.response_head, &mut timer) => {
                connection.shared.metrics.error(&Kind::UpstreamTimeout);
                return Err(Failure::Timeout);
            }
        };
        let mut error = match head {
            Ok(response) => {
                // hyper would send the next request in HTTP/1.0 as well, which has no chunked bodies.
                if response.version() == Version::HTTP_11 {
                    connection.keep_link(link, timer);
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

/// Fields of a response that end here, and those that are added.
fn inbound(exchange: &Exchange, response: Response<Incoming>, in_flight: InFlight) -> Response<ResponseBody> {
    let connection = &exchange.connection;
    let (mut parts, body) = response.into_parts();
    let hop = fields::strip(&mut parts.headers, parts.version);
    if parts.headers.remove(TRANSFER_ENCODING).is_some() {
        parts.headers.remove(CONTENT_LENGTH);
    }
    if hop.close || parts.version == Version::HTTP_10 || connection.shared.drain.is_draining() {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if !exchange.is_off() && !parts.headers.contains_key(REQUEST_ID) {
        parts.headers.insert(REQUEST_ID, exchange.trace.request_id.clone());
    }
    let bodiless = exchange.method == Method::HEAD
        || matches!(parts.status, StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT);
    let stated = bodiless && parts.headers.contains_key(CONTENT_LENGTH);
    Response::from_parts(parts, ResponseBody::application(body, stated, Arc::clone(connection), in_flight))
}
