//! Runs hyper on both sides of one HTTP/2 connection: one upstream connection, of the same protocol, for each client's.
//!
//! Streams are judged one by one and stay independent all the way: none waits for another, and one that is refused or
//! reset hurts no other. When the application wants no more streams, the client is told so as well. Called by
//! `connection` for prior knowledge, and for what TLS negotiated.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::client::conn::http2 as client_side;
use hyper::server::conn::http2 as server_side;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::Notify;

use super::stream::Stream;
use super::streams::{Offered, Streams};
use super::watched::{Heard, Watched};
use super::{Client, Target};
use crate::exchange::body::RequestBody;
use crate::exchange::link::Link;
use crate::exchange::{self, Connection};
use crate::limits::Messages;
use crate::reason::{Kind, Shed, Timeout};
use crate::state::Shared;

/// Bytes of one stream that wait for the peer.
const MAX_SEND_BUFFER: usize = 64 << 10;
/// After so long without a stream a connection that is ending ends, whether or not the client answered.
const LAST_BYTES: Duration = Duration::from_secs(3);

/// Serves a client that speaks HTTP/2, of which `ahead` was already read, to an application that should. `None` is one
/// that took no connection: the client's requests are answered 502.
pub async fn serve(
    shared: Arc<Shared>,
    client: Client,
    target: Target,
    ahead: Bytes,
    application: Option<Stream>,
) {
    let goaway = Arc::new(Notify::new());
    let (sender, upstream) = match application {
        Some(stream) => match handshake(Heard::new(stream, Arc::clone(&goaway)), &shared.messages).await {
            Ok((sender, connection)) => (Some(sender), Some(connection)),
            Err(_) => (None, None),
        },
        None => (None, None),
    };
    let lost = upstream.is_none();
    let Client { stream, peer, place } = client;
    let connection = Arc::new(Connection::new(Arc::clone(&shared), peer, target, place, Link::Http2(sender)));
    let (io, flooded) =
        Watched::new(stream, ahead, Arc::clone(&connection.phase), shared.messages.http2.frames);
    let streams = Streams::new(Arc::clone(&connection));
    let service = service_fn(|request| {
        let (connection, offer) = (Arc::clone(&connection), streams.offer());
        async move {
            match exchange::serve(connection, request).await {
                Ok(response) => Ok(response.map(|body| Offered { body, offer })),
                Err(broken) => Err(h2::Error::from(broken.reason())),
            }
        }
    });
    let mut server = std::pin::pin!(
        server_builder(&streams, shared.timers.ping, &shared.messages)
            .serve_connection(TokioIo::new(io), service)
    );
    let mut no_more = std::pin::pin!(async {
        tokio::select! {
            () = ended(upstream) => {}
            () = goaway.notified() => {}
            () = shared.drain.started() => {}
            () = shared.load.pressure.idle_is_given_up() => shared.metrics.error(&Kind::Shed(Shed::KeepAlive)),
            () = streams.idle(shared.timers.keep_alive_idle) => {}
            () = streams.served(), if lost => {} // the application may be back for the next connection
        }
    });
    let mut leaving = None;
    let served = loop {
        tokio::select! {
            biased;
            served = server.as_mut() => break served,
            () = no_more.as_mut(), if leaving.is_none() => {
                leaving = Some(shared.drain.begin());
                server.as_mut().graceful_shutdown();
            }
            () = streams.idle(LAST_BYTES), if leaving.is_some() => break Ok(()),
        }
    };
    if let Some(flood) = flooded.get() {
        connection.incident(&Kind::Flood(*flood));
        tracing::debug!(reason = flood.id(), "connection ended");
    } else if let Err(error) = served {
        note(&connection, &error);
    }
}

async fn ended(connection: Option<UpstreamConnection>) {
    match connection {
        // Its errors reach the exchanges that wait for responses.
        Some(connection) => drop(connection.await),
        None => std::future::pending().await,
    }
}

type UpstreamConnection = client_side::Connection<TokioIo<Heard<Stream>>, RequestBody, TokioExecutor>;

/// Speaks HTTP/2 to the application. It gets no PING: applications hang up on peers that send many.
async fn handshake(
    stream: Heard<Stream>,
    limits: &Messages,
) -> hyper::Result<(client_side::SendRequest<RequestBody>, UpstreamConnection)> {
    client_side::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(limits.http2.stream_window)
        .initial_connection_window_size(limits.http2.connection_window)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .max_header_list_size(size(limits.response.head))
        .handshake(TokioIo::new(stream))
        .await
}

fn server_builder(streams: &Streams, ping: Duration, limits: &Messages) -> server_side::Builder<Streams> {
    let mut builder = server_side::Builder::new(streams.clone());
    builder.timer(TokioTimer::new()).auto_date_header(false);
    let http2 = &limits.http2;
    builder.max_concurrent_streams(http2.streams);
    builder.initial_stream_window_size(http2.stream_window);
    builder.initial_connection_window_size(http2.connection_window);
    builder.max_send_buf_size(MAX_SEND_BUFFER).max_header_list_size(size(limits.request.head));
    builder.keep_alive_interval(ping).keep_alive_timeout(ping);
    builder
}

/// Bytes of a head, as RFC 9113 section 6.5.2 counts them.
fn size(head: usize) -> u32 {
    u32::try_from(head).unwrap_or(u32::MAX)
}

fn note(connection: &Connection, error: &hyper::Error) {
    if error.is_timeout() {
        connection.incident(&Kind::Timeout(Timeout::Ping));
    }
    tracing::debug!(%error, "connection ended");
}
