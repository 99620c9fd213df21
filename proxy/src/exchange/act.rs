//! The only writer of the proxy's own responses. None of them says which rule matched, or that one did.
//!
//! A problem document (RFC 9457) with the request id, or the body that the policy configures for blocked requests.
//! Where bytes of the request were not read, the connection ends with the response.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};
use rasp_engine::{Refusal, Why};
use serde::Serialize;

use super::body::ResponseBody;
use super::link::Failure;
use super::trace::{REQUEST_ID, Trace};
use super::{Connection, Exchange};
use crate::drain::InFlight;
use crate::reason::{Kind, Malformed, Shed, Timeout};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// RFC 9457.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    instance: String,
}

/// Answers a request that the judgement refuses.
pub fn refuse(
    exchange: &Exchange,
    refusal: Refusal,
    unread: bool,
    in_flight: InFlight,
) -> Response<ResponseBody> {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::FORBIDDEN);
    let configured = exchange.policy.ruleset.effective().response_body.as_ref();
    let (connection, trace) = (Arc::clone(&exchange.connection), &exchange.trace);
    let response = match configured.filter(|_| refusal.why == Why::Detected) {
        Some(body) => {
            let content_type = HeaderValue::from_str(&body.content_type)
                .unwrap_or(HeaderValue::from_static("text/plain; charset=utf-8"));
            let bytes = Bytes::copy_from_slice(body.text.as_bytes());
            let mut response = respond(connection, trace, (status, content_type, bytes), unread, in_flight);
            // Whoever may write policies need not be who may write the application: what they say runs no script in its
            // origin, and is of no other type than they say (CSP level 3, `sandbox`).
            let headers = response.headers_mut();
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            response
        }
        None => problem(connection, trace, status, unread, in_flight),
    };
    readable(exchange, back_soon(response))
}

/// Answers a request that is refused whatever the policy says. It is recorded where it is found.
pub fn malformed(
    connection: Arc<Connection>,
    trace: &Trace,
    malformed: Malformed,
    in_flight: InFlight,
) -> Response<ResponseBody> {
    problem(connection, trace, malformed.status(), true, in_flight)
}

/// Answers for an application that does not.
pub fn failed(exchange: &Exchange, failure: Failure, in_flight: InFlight) -> Response<ResponseBody> {
    tracing::debug!(%failure, request_id = exchange.trace.request_id(), "no response from the application");
    let connection = Arc::clone(&exchange.connection);
    readable(exchange, problem(connection, &exchange.trace, failure.status(), true, in_flight))
}

/// Answers a request for which there is no room.
pub fn shed(exchange: &Exchange, shed: Shed, unread: bool, in_flight: InFlight) -> Response<ResponseBody> {
    let connection = Arc::clone(&exchange.connection);
    exchange.incident(&Kind::Shed(shed));
    if let Some(trial) = exchange.policy.trial() {
        trial.shed(exchange.is_enforced());
    }
    let status = StatusCode::SERVICE_UNAVAILABLE;
    readable(exchange, back_soon(problem(connection, &exchange.trace, status, unread, in_flight)))
}

/// Says when to come back, where it is the proxy that cannot serve (RFC 9110 section 15.6.4).
fn back_soon(mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Answers a client that stopped sending its body.
pub fn body_timed_out(exchange: &Exchange, late: Timeout, in_flight: InFlight) -> Response<ResponseBody> {
    let connection = Arc::clone(&exchange.connection);
    exchange.incident(&Kind::Timeout(late));
    readable(exchange, problem(connection, &exchange.trace, StatusCode::REQUEST_TIMEOUT, true, in_flight))
}

/// Puts an answer into the form that a client of gRPC reads: 200, and the status in a field.
fn readable(exchange: &Exchange, response: Response<ResponseBody>) -> Response<ResponseBody> {
    if !exchange.streams() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.insert(GRPC_STATUS, HeaderValue::from(grpc_status(parts.status)));
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    parts.status = StatusCode::OK;
    Response::from_parts(parts, body.emptied())
}

/// How a response to a call ends of which a message was refused after the response had begun.
pub fn denied(refusal: Refusal) -> HeaderMap {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::FORBIDDEN);
    HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from(grpc_status(status)))])
}

/// The gRPC project's own table "HTTP to gRPC Status Code Mapping".
fn grpc_status(status: StatusCode) -> u16 {
    match status {
        StatusCode::BAD_REQUEST => 13,
        StatusCode::UNAUTHORIZED => 16,
        StatusCode::FORBIDDEN => 7,
        StatusCode::NOT_FOUND => 12,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => 14,
        _ => 2,
    }
}

fn problem(
    connection: Arc<Connection>,
    trace: &Trace,
    status: StatusCode,
    unread: bool,
    in_flight: InFlight,
) -> Response<ResponseBody> {
    let document = Problem {
        r#type: "about:blank",
        title: status.canonical_reason().unwrap_or("Refused"),
        status: status.as_u16(),
        instance: format!("urn:request:{}", trace.request_id()),
    };
    let bytes = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
    respond(connection, trace, (status, PROBLEM, bytes), unread, in_flight)
}

fn respond(
    connection: Arc<Connection>,
    trace: &Trace,
    (status, content_type, bytes): (StatusCode, HeaderValue, Bytes),
    unread: bool,
    in_flight: InFlight,
) -> Response<ResponseBody> {
    let close = (unread || connection.shared.closes()) && !connection.is_multiplexed();
    if unread {
        connection.phase.linger();
    }
    let mut response = Response::new(ResponseBody::own(bytes, connection, in_flight));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REQUEST_ID, trace.request_id.clone());
    if close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
