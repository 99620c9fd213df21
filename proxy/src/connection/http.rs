//! Runs hyper on both sides of one HTTP/1 connection, in one task: one upstream connection for one client connection.
//!
//! There is no pool, so a response can never reach another client, and the application sees as many connections as
//! it has clients. When the application closes, so does the client's side.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hyper::client::conn::http1::{self as client_side, SendRequest};
use hyper::server::conn::http1 as server_side;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;

use super::answers::Answers;
use super::pace::{Left, Paced};
use super::stream::Stream;
use super::{Client, Target};
use crate::exchange::body::RequestBody;
use crate::exchange::link::{Http1, Link};
use crate::exchange::{self, Connection};
use crate::guard::awaited::Awaited;
use crate::guard::{Limits, response};
use crate::reason::{Kind, Malformed, Shed, Timeout};
use crate::state::Shared;

/// Bytes of the head of a response, and of what is buffered on the application's side.
const MAX_BUFFER: usize = 256 << 10;

pub(crate) type UpstreamConnection = client_side::Connection<TokioIo<Answers<Stream>>, RequestBody>;

pub(super) async fn serve(
    shared: Arc<Shared>,
    client: Client,
    target: Target,
    ahead: Bytes,
    upstream: Option<Stream>,
) {
    let awaited = Arc::new(Awaited::default());
    let (sender, upstream) = match upstream {
        Some(stream) => match handshake(stream, &awaited, &shared).await {
            Ok((sender, connection)) => (Some(sender), Some(Box::new(connection))),
            Err(_) => (None, None),
        },
        None => (None, None),
    };
    let Client { stream, peer, place } = client;
    let link = Link::Http1(Http1::new(sender, Arc::clone(&awaited)));
    let connection = Arc::new(Connection::new(Arc::clone(&shared), peer, target, place, link));
    let phase = Arc::clone(&connection.phase);
    let io = Paced::new(stream, ahead, phase, Arc::clone(&awaited), &shared.timers, shared.guard);
    let service = service_fn(|request| exchange::serve(Arc::clone(&connection), request));
    let mut server = std::pin::pin!(
        server_builder(&shared.guard).serve_connection(TokioIo::new(io), service).with_upgrades()
    );
    let mut application = std::pin::pin!(application(upstream));
    let mut given_up = std::pin::pin!(shared.load.pressure.idle_is_given_up());
    let (mut application_open, mut kept, mut stays) = (true, true, true);
    let served = loop {
        tokio::select! {
            biased;
            served = server.as_mut() => break served,
            () = application.as_mut(), if application_open => {
                application_open = false;
                // Requests that came before a client closed its half are answered over another connection.
                if stays && !connection.phase.is_switched() {
                    server.as_mut().graceful_shutdown();
                }
            }
            fresh = connection.fresh() => {
                application.set(self::application(Some(fresh)));
                application_open = true;
            }
            () = connection.phase.over() => {
                // The application gets no more of a request that is answered, and hyper reads no more of it.
                application.set(self::application(None));
                application_open = false;
            }
            left = connection.phase.left(), if stays => match left {
                Left::Gone => break Ok(()), // and the application's side closes
                Left::Half => {
                    stays = false;
                    awaited.leave();
                }
            },
            // What is idle ends at once, everything else with its response.
            () = given_up.as_mut(), if kept => {
                kept = false;
                shared.metrics.error(&Kind::Shed(Shed::KeepAlive));
                server.as_mut().graceful_shutdown();
            }
        }
    };
    connection.end();
    if connection.phase.has_run_out() {
        shared.metrics.error(&Kind::Timeout(Timeout::KeepAliveIdle));
    }
    if connection.phase.is_overdue() {
        shared.metrics.error(&Kind::Timeout(Timeout::Head));
    }
    if let Err(error) = served {
        note(&shared, &error);
    }
}

async fn application(connection: Option<Box<UpstreamConnection>>) {
    match connection {
        // Its errors reach the exchange that waits for a response.
        Some(connection) => drop((*connection).with_upgrades().await),
        None => std::future::pending().await,
    }
}

/// Speaks HTTP/1 to the application.
async fn handshake(
    stream: Stream,
    awaited: &Arc<Awaited>,
    shared: &Shared,
) -> hyper::Result<(SendRequest<RequestBody>, UpstreamConnection)> {
    let stream = Answers::new(stream, Arc::clone(awaited), Arc::clone(&shared.metrics));
    client_side::Builder::new()
        .preserve_header_case(true)
        .max_buf_size(MAX_BUFFER)
        .max_headers(response::MAX_FIELDS)
        .handshake(TokioIo::new(stream))
        .await
}

/// A connection to the application that was dialled late, on its way to the task of its client.
#[derive(Debug, Default)]
pub struct Fresh {
    connection: Mutex<Option<Box<UpstreamConnection>>>,
    there: Notify,
}

impl Fresh {
    fn put(&self, connection: UpstreamConnection) {
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(connection));
        self.there.notify_one();
    }

    /// Nobody waits for one any more.
    pub fn clear(&self) {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Resolves when there is one.
    pub async fn take(&self) -> Box<UpstreamConnection> {
        loop {
            let there = self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
            match there {
                Some(connection) => return connection,
                None => self.there.notified().await,
            }
        }
    }
}

/// Dials again where the application had closed before anything was sent to it.
pub(crate) async fn redial(
    target: &Target,
    shared: &Shared,
    link: &Http1,
) -> io::Result<SendRequest<RequestBody>> {
    let stream = super::dial(target, shared).await?;
    let (sender, connection) = handshake(stream, &link.awaited, shared).await.map_err(io::Error::other)?;
    link.fresh.put(connection);
    Ok(sender)
}

/// hyper may read every head that the guard lets go on: encoding a target makes it three times as long.
fn server_builder(limits: &Limits) -> server_side::Builder {
    let mut builder = server_side::Builder::new();
    builder.half_close(true).auto_date_header(false).preserve_header_case(true);
    builder.max_buf_size(limits.head + 2 * limits.target + (8 << 10)).max_headers(limits.fields);
    builder
}

fn note(shared: &Shared, error: &hyper::Error) {
    if error.is_parse() || error.is_parse_too_large() {
        shared.metrics.error(&Kind::Request(Malformed::Disagreement)); // the guard let it go on
    }
    tracing::debug!(%error, "connection ended");
}
