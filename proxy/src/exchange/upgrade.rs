//! Lets a connection leave HTTP where both sides agreed to it (RFC 9110 section 7.8): for WebSocket, whose handshake is
//! checked on both sides, and where nothing is enforced for whatever else the application agrees to ([ADR 7]).
//!
//! No byte of the client goes on before the application's 101 was checked. HTTP/2 by upgrade was removed from the
//! protocol (RFC 9113 section 3.1) and never passes.
//!
//! [ADR 7]: ../../../docs/adr/0007-what-may-leave-http.md

use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, Request, Response, Version};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;

use super::body::ResponseBody;
use super::fields::{Hop, tokens};
use super::trace::REQUEST_ID;
use super::{Exchange, tunnel};
use crate::connection::relay::{self, Activity, Noted};
use crate::drain::InFlight;
use crate::reason::{Bypass, Kind, Timeout};

const WEBSOCKET: &str = "websocket";

/// What a request asks for besides a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing that may be agreed to.
    Nothing,
    /// A WebSocket.
    WebSocket {
        /// What the application must say to it.
        accept: String,
        /// Whether extensions may be agreed to.
        extensions: bool,
    },
    /// Another protocol, or a WebSocket of another version, where nothing is enforced.
    Other,
}

/// Says what a request asks for, and leaves in it only what may be asked.
pub fn asked<B>(exchange: &Exchange, request: &mut Request<B>, hop: &mut Hop) -> Asked {
    if !hop.upgrade {
        return Asked::Nothing;
    }
    let (version, method) = (request.version(), request.method().clone());
    let enforces = exchange.enforces();
    let headers = request.headers_mut();
    let is_websocket = names(headers, &UPGRADE, WEBSOCKET);
    if version != Version::HTTP_11 || (is_websocket && method != Method::GET) || (!is_websocket && enforces) {
        hop.upgrade = false;
        headers.remove(UPGRADE);
        return Asked::Nothing;
    }
    if !is_websocket {
        return Asked::Other;
    }
    headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
    match accept(headers) {
        Some(accept) => {
            if enforces {
                // What an extension packs would have to be unpacked before it is inspected.
                headers.remove(SEC_WEBSOCKET_EXTENSIONS);
            }
            Asked::WebSocket { accept, extensions: headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) }
        }
        // The application tells the client which version it speaks (RFC 6455 section 4.4).
        None if enforces => Asked::Nothing,
        None => Asked::Other,
    }
}

/// What the application must say to a right handshake (RFC 6455 section 4.2.2).
fn accept(headers: &HeaderMap) -> Option<String> {
    let key = only(headers, &SEC_WEBSOCKET_KEY)?;
    let is_13 = only(headers, &SEC_WEBSOCKET_VERSION)?.as_bytes() == b"13";
    let is_key = BASE64_STANDARD.decode(key).is_ok_and(|key| key.len() == 16);
    if !is_13 || !is_key {
        return None;
    }
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key.as_bytes());
    context.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    Some(BASE64_STANDARD.encode(context.finish()))
}

/// The one line of a field.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut lines = headers.get_all(name).into_iter();
    lines.next().filter(|_| lines.next().is_none())
}

fn names(headers: &HeaderMap, field: &HeaderName, wanted: &str) -> bool {
    tokens(headers, field).any(|token| token.eq_ignore_ascii_case(wanted))
}

impl Asked {
    /// Whether the application's 101 says what was asked for. A client must check the same (RFC 6455 section 4.1), but
    /// it would do so after we have sent what it says next.
    pub fn is_agreed(&self, headers: &HeaderMap) -> bool {
        let protocols = tokens(headers, &UPGRADE).count();
        if protocols != 1 || !names(headers, &CONNECTION, "upgrade") {
            return false;
        }
        match self {
            Self::Nothing => false,
            Self::Other => !names(headers, &UPGRADE, "h2c"),
            Self::WebSocket { accept, extensions } => {
                names(headers, &UPGRADE, WEBSOCKET)
                    && only(headers, &SEC_WEBSOCKET_ACCEPT)
                        .is_some_and(|said| said.as_bytes() == accept.as_bytes())
                    && (*extensions || !headers.contains_key(SEC_WEBSOCKET_EXTENSIONS))
            }
        }
    }
}

/// Passes `101 Switching Protocols` on and relays what follows.
pub fn switch(
    exchange: &Arc<Exchange>,
    asked: &Asked,
    on_client: OnUpgrade,
    mut response: Response<Incoming>,
    in_flight: InFlight,
) -> Response<ResponseBody> {
    let connection = Arc::clone(&exchange.connection);
    connection.phase.switch();
    let on_application = hyper::upgrade::on(&mut response);
    let is_websocket = matches!(asked, Asked::WebSocket { .. });
    let extensions = response.headers().contains_key(SEC_WEBSOCKET_EXTENSIONS);
    let follows = (is_websocket && !exchange.is_off()).then_some(extensions);
    let uninspected = follows
        .is_none()
        .then(|| connection.shared.metrics.relayed(Bypass::Upgrade, connection.target.port()));
    let (held, relaying) = (Arc::clone(exchange), connection.shared.drain.begin());
    tokio::spawn(async move {
        if let (Ok(client), Ok(application)) = tokio::join!(on_client, on_application) {
            relay(&held, client, application, follows).await;
        }
        drop((relaying, uninspected));
    });
    let (mut parts, body) = response.into_parts();
    parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if !exchange.is_off() && !parts.headers.contains_key(REQUEST_ID) {
        parts.headers.insert(REQUEST_ID, exchange.trace.request_id.clone());
    }
    Response::from_parts(parts, ResponseBody::application(body, false, Arc::clone(exchange), in_flight))
}

/// `follows`: whether these are frames of WebSocket, and whether extensions were agreed to.
async fn relay(exchange: &Arc<Exchange>, client: Upgraded, application: Upgraded, follows: Option<bool>) {
    let activity = Activity::new();
    let idle = exchange.connection.shared.timers.opaque_idle;
    let mut client = Noted::client(TokioIo::new(client), Bytes::new(), &activity);
    let mut application = Noted::upstream(TokioIo::new(application), Bytes::new(), &activity);
    let timed_out = match follows {
        Some(extensions) => {
            let frames = tunnel::run(exchange, client, application, extensions);
            tokio::select! {
                () = frames => false,
                () = relay::idling(&activity, idle) => true,
            }
        }
        None => relay::run(&mut client, &mut application, idle).await == relay::End::Idle,
    };
    if timed_out {
        exchange.incident(&Kind::Timeout(Timeout::OpaqueIdle));
    }
}

#[cfg(test)]
mod tests {
    use http::header::{HeaderMap, HeaderName, HeaderValue};

    use super::{Asked, accept};

    type Lines<'a> = &'a [(&'static str, &'static str)];

    fn headers(lines: Lines<'_>) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    const KEY: (&str, &str) = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    const VERSION: (&str, &str) = ("sec-websocket-version", "13");
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    #[test]
    fn the_answer_to_a_key_is_that_of_the_rfc() {
        assert_eq!(accept(&headers(&[KEY, VERSION])).as_deref(), Some(ACCEPT));
        for wrong in [
            &[KEY][..],
            &[VERSION],
            &[KEY, KEY, VERSION],
            &[KEY, VERSION, VERSION],
            &[KEY, ("sec-websocket-version", "8")],
            &[("sec-websocket-key", "c2hvcnQ="), VERSION],
            &[("sec-websocket-key", "not base64 at all!!!!!!"), VERSION],
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in wrong {
                map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            assert_eq!(accept(&map), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_switch_is_agreed_to_only_as_it_was_asked_for() {
        let websocket = |extensions| Asked::WebSocket { accept: ACCEPT.to_owned(), extensions };
        let (upgrade, connection) = (("upgrade", "WebSocket"), ("connection", "keep-alive, Upgrade"));
        let (said, packed) = (("sec-websocket-accept", ACCEPT), ("sec-websocket-extensions", "x"));
        let table: &[(Asked, Lines<'_>, bool)] = &[
            (websocket(false), &[upgrade, connection, said], true),
            (websocket(true), &[upgrade, connection, said, packed], true),
            (websocket(false), &[upgrade, connection, said, packed], false),
            (websocket(false), &[upgrade, connection], false),
            (websocket(false), &[upgrade, connection, ("sec-websocket-accept", "x")], false),
            (websocket(false), &[upgrade, said], false),
            (websocket(false), &[connection, said], false),
            (websocket(false), &[("upgrade", "x"), connection, said], false),
            (websocket(false), &[("upgrade", "websocket, x"), connection, said], false),
            (Asked::Other, &[("upgrade", "SPDY/3.1"), connection], true),
            (Asked::Other, &[("upgrade", "h2c"), connection], false),
            (Asked::Nothing, &[upgrade, connection, said], false),
        ];
        for (asked, lines, agreed) in table {
            assert_eq!(asked.is_agreed(&headers(lines)), *agreed, "{asked:?} {lines:?}");
        }
    }
}
