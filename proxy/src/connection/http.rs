//! Serves one HTTP/1 connection in one task: hyper on both sides, one upstream connection for one client connection.
//!
//! There is no pool, so a response can never reach another client, and the application sees as many connections as
//! it has clients. When the application closes, so does the client's side. While nothing happens hyper is let go of,
//! with its 32 KiB of buffers, and only the sockets are watched ([ADR 12]).
//!
//! [ADR 12]: ../../../docs/adr/0012-idle-connections-without-hyper.md

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use hyper::client::conn::http1::{self as client_side, SendRequest};
use hyper::server::conn::http1 as server_side;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::answers::Answers;
use super::lent::{Home, Lent, lend};
use super::pace::{Left, Paced};
use super::stream::Stream;
use super::turns::{Side, Turns};
use super::{Client, Target};
use crate::exchange::body::RequestBody;
use crate::exchange::link::{Http1, Link};
use crate::exchange::{self, Connection};
use crate::guard::awaited::Awaited;
use crate::guard::{Limits, response};
use crate::reason::{Kind, Malformed, Shed, Timeout};
use crate::state::Shared;

/// hyper has room for so much more than a head of the application may take, so that the reason is the guard's.
const ROOM: usize = 64 << 10;

/// Fields of a head that hyper reads when it is told no other number, the documented default.
const HYPERS_FIELDS: usize = 100;

type Hyper = Box<client_side::Connection<TokioIo<Lent<Answers<Stream>>>, RequestBody>>;

/// hyper on the application's side.
#[derive(Debug)]
pub(crate) struct UpstreamConnection {
    hyper: Hyper,
    home: Home<Answers<Stream>>,
}

pub(super) async fn serve(
    shared: Arc<Shared>,
    client: Client,
    target: Target,
    ahead: Bytes,
    (upstream, in_vain): (Option<Stream>, bool),
) {
    let awaited = Arc::new(Awaited::default());
    let Client { stream, peer, place } = client;
    let link = Link::Http1(Http1::new(Arc::clone(&awaited), in_vain));
    let connection = Arc::new(Connection::new(Arc::clone(&shared), peer, target, place, link));
    let phase = Arc::clone(&connection.phase);
    let mut client =
        Paced::new(stream, ahead, phase, Arc::clone(&awaited), &shared.timers, shared.messages.request);
    let mut application = upstream
        .map(|stream| Answers::new(stream, awaited, Arc::clone(&shared.metrics), shared.messages.response));
    let mut given_up = pin!(shared.load.pressure.idle_is_given_up());
    while let End::Rests(paced, answers) =
        Box::pin(talk(&connection, client, application, given_up.as_mut())).await
    {
        let (Some(mut paced), Some(mut answers)) = (paced.take(), answers.take()) else { break };
        tokio::select! {
            biased;
            () = disturbed(&mut paced, &mut answers) => (client, application) = (paced, Some(answers)),
            () = given_up.as_mut() => {
                shared.metrics.error(&Kind::Shed(Shed::KeepAlive));
                break;
            }
        }
    }
    connection.end();
    if connection.phase.has_run_out() {
        shared.metrics.error(&Kind::Timeout(Timeout::KeepAliveIdle));
    }
    if connection.phase.is_overdue() {
        connection.incident(&Kind::Timeout(Timeout::Head));
    }
}

/// How hyper's part ended.
enum End {
    /// With the connection.
    Over,
    /// Nothing happens. Both sides are between two exchanges, and hyper held no byte of either.
    Rests(Home<Paced>, Home<Answers<Stream>>),
}

/// Runs hyper on both sides, until the connection is over or rests.
async fn talk(
    connection: &Arc<Connection>,
    client: Paced,
    application: Option<Answers<Stream>>,
    mut given_up: Pin<&mut impl Future<Output = ()>>,
) -> End {
    let (Link::Http1(link), shared) = (&connection.link, &connection.shared) else { return End::Over };
    let (client, client_home) = lend(client);
    let service = service_fn(|request| exchange::serve(Arc::clone(connection), request));
    let mut server = pin!(
        server_builder(&shared.messages.request)
            .serve_connection(TokioIo::new(client), service)
            .with_upgrades()
    );
    let mut application_home = None;
    let upstream = match application {
        Some(answers) => {
            handshake(answers, &shared.messages.response).await.ok().map(|(sender, upstream)| {
                link.open(sender);
                application_home = Some(upstream.home);
                upstream.hyper
            })
        }
        None => None,
    };
    let mut application = pin!(self::application(upstream));
    let (mut kept, mut stays) = (true, true);
    let turns = Turns::new();
    let working = async {
        loop {
            tokio::select! {
                biased;
                served = turns.of(Side::Client, server.as_mut()) => {
                    if let Err(error) = served {
                        note(shared, &error);
                    }
                    break End::Over;
                }
                () = turns.of(Side::Application, application.as_mut()), if application_home.is_some() => {
                    application_home = None;
                    // Requests that came before a client closed its half are answered over another connection.
                    if stays && !connection.phase.is_switched() {
                        server.as_mut().graceful_shutdown();
                    }
                }
                fresh = happens(|| link.fresh.take()) => {
                    application.set(self::application(Some(fresh.hyper)));
                    application_home = Some(fresh.home);
                }
                () = happens(|| connection.phase.is_over().then_some(())) => {
                    // The application gets no more of a request that is answered, and hyper reads no more of it.
                    application.set(self::application(None));
                    application_home = None;
                }
                // The client's side writes interim responses, which hyper knows nothing of.
                () = happens(|| link.awaited.has_news().then_some(())) => {}
                left = happens(|| connection.phase.left()), if stays => match left {
                    Left::Gone => break End::Over, // and the application's side closes
                    Left::Half => {
                        stays = false;
                        link.awaited.leave();
                    }
                },
                // What is idle ends at once, everything else with its response.
                () = turns.of(Side::Process, given_up.as_mut()), if kept => {
                    kept = false;
                    shared.metrics.error(&Kind::Shed(Shed::KeepAlive));
                    server.as_mut().graceful_shutdown();
                }
                () = happens(|| (connection.phase.rests() && link.rests()).then_some(())),
                    if kept && stays && application_home.is_some() =>
                {
                    let Some(application_home) = application_home.take() else { break End::Over };
                    connection.phase.resume();
                    link.close();
                    client_home.call();
                    application_home.call();
                    break End::Rests(client_home, application_home);
                }
            }
            turns.ring(); // whatever that was, both sides have to know
        }
    };
    turns.attend(working).await
}

/// Resolves when there is something. Only for what changes while hyper is polled, earlier in the same task:
/// nobody is woken. That holds for all of it. A connection is dialled late by the service, which the server polls; a
/// response is over, and a client has left, where the server reads a body and flushes; interim responses come where the
/// application's side reads; both sides rest where their timers and sockets are polled.
async fn happens<T>(mut something: impl FnMut() -> Option<T>) -> T {
    poll_fn(|_| something().map_or(Poll::Pending, Poll::Ready)).await
}

/// Resolves when there is something to read, or the time of the client is up.
async fn disturbed(client: &mut Paced, application: &mut Answers<Stream>) {
    poll_fn(|context| {
        let stirs = client.poll_stirs(context).is_ready()
            | application.stream().socket().poll_read_ready(context).is_ready();
        if stirs { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

async fn application(connection: Option<Hyper>) {
    match connection {
        // Its errors reach the exchange that waits for a response.
        Some(connection) => drop((*connection).with_upgrades().await),
        None => std::future::pending().await,
    }
}

/// Speaks HTTP/1 to the application.
async fn handshake(
    answers: Answers<Stream>,
    limits: &response::Limits,
) -> hyper::Result<(SendRequest<RequestBody>, UpstreamConnection)> {
    let (answers, home) = lend(answers);
    let (sender, hyper) = client_side::Builder::new()
        .preserve_header_case(true)
        .max_buf_size(limits.head + ROOM)
        .handshake(TokioIo::new(answers))
        .await?;
    Ok((sender, UpstreamConnection { hyper: Box::new(hyper), home }))
}

/// A connection to the application that was dialled late, on its way to the task of its client.
#[derive(Debug, Default)]
pub struct Fresh {
    connection: Mutex<Option<UpstreamConnection>>,
    there: AtomicBool,
}

impl Fresh {
    fn put(&self, connection: UpstreamConnection) {
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        self.there.store(true, Ordering::Release);
    }

    /// Nobody waits for one any more.
    pub fn clear(&self) {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// The connection, if there is one. Asked whenever anything happens on a connection, so without the lock.
    fn take(&self) -> Option<UpstreamConnection> {
        if !self.there.load(Ordering::Acquire) {
            return None;
        }
        self.there.store(false, Ordering::Release);
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Dials again where the application had closed before anything was sent to it.
pub(crate) async fn redial(
    target: &Target,
    shared: &Shared,
    link: &Http1,
) -> io::Result<SendRequest<RequestBody>> {
    let stream = super::dial(target, shared).await?;
    let answers = Answers::new(
        stream,
        Arc::clone(&link.awaited),
        Arc::clone(&shared.metrics),
        shared.messages.response,
    );
    let (sender, connection) =
        handshake(answers, &shared.messages.response).await.map_err(io::Error::other)?;
    link.fresh.put(connection);
    Ok(sender)
}

/// hyper may read every head that the guard lets go on: encoding a target makes it three times as long.
fn server_builder(limits: &Limits) -> server_side::Builder {
    let mut builder = server_side::Builder::new();
    builder.half_close(true).auto_date_header(false).preserve_header_case(true);
    builder.max_buf_size(limits.head + 2 * limits.target + (8 << 10));
    // The same number when it is not said costs hyper nothing; said, two arrays are filled for every head.
    if limits.fields != HYPERS_FIELDS {
        builder.max_headers(limits.fields);
    }
    builder
}

fn note(shared: &Shared, error: &hyper::Error) {
    if error.is_parse() || error.is_parse_too_large() {
        shared.metrics.error(&Kind::Request(Malformed::Disagreement)); // the guard let it go on
    }
    tracing::debug!(%error, "connection ended");
}
