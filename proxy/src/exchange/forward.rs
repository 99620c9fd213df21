//! Sends a judged request to the application and brings its response back. Takes the `Pass` by value: without one
//! there is no way here.

use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use rasp_engine::Pass;

use super::body::{Broken, RequestBody, ResponseBody};
use super::fields::{self, Named};
use super::link::{self, Failure};
use super::trace::REQUEST_ID;
use super::upgrade::{self, Asked};
use super::{Exchange, act, read, record};
use crate::drain::InFlight;
use crate::reason::{BadResponse, Kind};

/// Forwards a request that was judged.
pub async fn forward(
    exchange: &Arc<Exchange>,
    pass: Pass,
    mut request: Request<RequestBody>,
    in_flight: InFlight,
) -> Result<Response<ResponseBody>, Broken> {
    let asked = outbound(exchange, &mut request);
    let may_switch = asked != Asked::Nothing;
    let on_client = request.extensions_mut().remove::<OnUpgrade>().filter(|_| may_switch);
    let fate = request.body().fate();
    match link::send(exchange, request, may_switch).await {
        Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            let Some(on_client) = on_client.filter(|_| asked.is_agreed(response.headers())) else {
                let bad = BadResponse::Switch;
                exchange.connection.shared.metrics.error(&Kind::Response(bad));
                record::response(exchange, bad);
                return Ok(act::failed(exchange, Failure::Refused(bad), in_flight));
            };
            Ok(upgrade::switch(exchange, &asked, on_client, response, in_flight))
        }
        Ok(response) => {
            let early = !fate.is_finished();
            if early {
                exchange.connection.phase.linger(); // answered while the client is still sending
            }
            Ok(inbound(exchange, response, early, in_flight))
        }
        Err(failure) => match (fate.broken(), failure) {
            (Some(Broken::TimedOut(late)), _) => Ok(act::body_timed_out(exchange, late, in_flight)),
            (Some(Broken::Malformed(malformed)), _) => {
                let connection = Arc::clone(&exchange.connection);
                Ok(act::malformed(connection, &exchange.trace, malformed, in_flight))
            }
            (Some(Broken::Refused), _) => {
                let refusal = exchange.denied().ok_or(Broken::Refused);
                refusal.map(|refusal| act::refuse(exchange, refusal, true, in_flight))
            }
            (Some(broken), _) => Err(broken),
            // The client knows whether it may ask again; a response would tell it not to.
            (None, Failure::Closed) => Err(Broken::Application),
            (None, Failure::Reset(reason)) => Err(Broken::Reset(reason)),
            (None, failure) => {
                if let Failure::Refused(bad) = failure {
                    record::response(exchange, bad);
                }
                Ok(act::failed(exchange, failure, in_flight))
            }
        },
    }
    .inspect(|_| spend(pass))
}

/// A Pass is good for one request.
fn spend(pass: Pass) {
    drop(pass);
}

/// Fields of a request that end here, and those that are added.
fn outbound(exchange: &Exchange, request: &mut Request<RequestBody>) -> Asked {
    let version = request.version();
    if version == Version::HTTP_2
        && let Some(uri) = read::http2::complete(request.uri(), request.headers())
    {
        *request.uri_mut() = uri;
    }
    let named = exchange.named;
    let mut hop = fields::strip(request.headers_mut(), version, named);
    let asked = upgrade::asked(exchange, request, &mut hop);
    let headers = request.headers_mut();
    fields::connect(headers, hop, version, named);
    if exchange.facts.internal {
        fields::strip_internal(headers);
    }
    if !exchange.is_off() {
        exchange.trace.add_to(headers);
        fields::forwarded_for(headers, &exchange.connection.written, named);
        if exchange.connection.shared.tls.is_hidden(exchange.connection.target.port()) {
            fields::forwarded_proto(headers);
        }
    }
    asked
}

/// Fields of a response that end here, and those that are added.
fn inbound(
    exchange: &Arc<Exchange>,
    response: Response<Incoming>,
    early: bool,
    in_flight: InFlight,
) -> Response<ResponseBody> {
    let connection = &exchange.connection;
    let (mut parts, body) = response.into_parts();
    let named = Named::of(&parts.headers);
    let hop = fields::strip(&mut parts.headers, parts.version, named);
    if named.has(Named::TRANSFER_ENCODING) && parts.headers.remove(TRANSFER_ENCODING).is_some() {
        parts.headers.remove(CONTENT_LENGTH);
    }
    if named.has(Named::CONTENT_LENGTH) {
        fields::one_length(&mut parts.headers);
    }
    fields::no_length_of_nothing(&mut parts.headers, parts.status);
    let last = early || hop.close || parts.version == Version::HTTP_10 || connection.shared.closes();
    if last && !connection.is_multiplexed() {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    } else if hop.upgrade && !connection.is_multiplexed() {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade")); // 426 says what to upgrade to
    }
    if parts.version == Version::HTTP_10 {
        parts.version = Version::HTTP_11; // the version is that of the hop (RFC 9110 section 6.2)
    }
    let said = named.has(Named::TRACE) && parts.headers.contains_key(REQUEST_ID);
    if !exchange.is_off() && !said {
        parts.headers.insert(REQUEST_ID, exchange.trace.request_id.clone());
    }
    let bodiless = exchange.method == Method::HEAD
        || matches!(parts.status, StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT);
    let stated = bodiless && parts.headers.contains_key(CONTENT_LENGTH) && !connection.is_multiplexed();
    Response::from_parts(parts, ResponseBody::application(body, stated, Arc::clone(exchange), in_flight))
}
