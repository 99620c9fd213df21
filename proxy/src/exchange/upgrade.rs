//! Lets a connection leave HTTP where the application agreed to it (RFC 9110 section 7.8), for example for WebSocket.
//! What follows is relayed uninspected, and counted.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::header::{CONNECTION, HeaderValue};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::Exchange;
use super::body::ResponseBody;
use super::trace::REQUEST_ID;
use crate::connection::relay::{self, Activity, Noted};
use crate::drain::InFlight;
use crate::reason::Bypass;

/// Passes `101 Switching Protocols` on and relays what follows.
pub fn switch(
    exchange: &Arc<Exchange>,
    on_client: OnUpgrade,
    mut response: Response<Incoming>,
    in_flight: InFlight,
) -> Response<ResponseBody> {
    let connection = Arc::clone(&exchange.connection);
    let shared = Arc::clone(&connection.shared);
    connection.switched();
    shared.metrics.bypass(Bypass::Upgrade);
    let on_application = hyper::upgrade::on(&mut response);
    let (held, relaying) = (Arc::clone(&connection), shared.drain.begin());
    tokio::spawn(async move {
        let (Ok(client), Ok(application)) = tokio::join!(on_client, on_application) else { return };
        let activity = Activity::new();
        let mut client = Noted::client(TokioIo::new(client), Bytes::new(), &activity);
        let mut application = Noted::upstream(TokioIo::new(application), Bytes::new(), &activity);
        relay::run(&mut client, &mut application, shared.timers.opaque_idle).await;
        drop((held, relaying));
    });
    let (mut parts, body) = response.into_parts();
    parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if !exchange.is_off() && !parts.headers.contains_key(REQUEST_ID) {
        parts.headers.insert(REQUEST_ID, exchange.trace.request_id.clone());
    }
    Response::from_parts(parts, ResponseBody::application(body, false, connection, in_flight))
}
