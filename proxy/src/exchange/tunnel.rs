//! Relays the frames of a WebSocket in both directions, and has the client's text messages judged.
//!
//! Bytes are never changed and nothing waits: of a message that is refused only the last frame is held back, and both
//! sides are closed with a code. Where nothing is enforced, findings are events and wrong frames are counted. While the
//! process drains, the client is told to go elsewhere (1001). Called by `upgrade`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rasp_engine::{Outcome, Why};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::{Exchange, inspect, record};
use crate::metrics::Metrics;
use crate::reason::{BadFrame, Bypass, Kind};
use crate::state::Lease;
use crate::websocket::{Follower, Limits, Rate, Seen, Sender, close};

/// Bytes of one read, in each direction: few for a tunnel that is quiet, more for one that fills them.
const LEAST: usize = 2 << 10;
const MOST: usize = 16 << 10;
/// A client that was told that it is over has so long to close.
const LINGER: Duration = Duration::from_secs(1);
/// A WebSocket that is closed on one side has so long to be closed on the other one. No WebSocket lives on with a half
/// (RFC 6455 section 7.1.1), and an application that does not notice would keep both connections.
const HALF_CLOSED: Duration = Duration::from_secs(10);
/// What a longer text left behind is given back.
const KEPT: usize = 4 << 10;

const GOING_AWAY: u16 = 1001;
const POLICY: u16 = 1008;
const TOO_LONG: u16 = 1009;
const NOT_JUDGED: u16 = 1011;
const TRY_AGAIN: u16 = 1013;

/// The end that the client's side decided for both.
#[derive(Debug, Default)]
struct Ending {
    code: AtomicU16,
    told: Notify,
    half: Notify,
}

impl Ending {
    fn tell(&self, code: u16) {
        self.code.store(code, Ordering::Release);
        self.told.notify_one();
    }

    /// Resolves when one side was closed for long enough.
    async fn half_closed(&self) {
        self.half.notified().await;
        sleep(HALF_CLOSED).await;
    }

    async fn told(&self) -> u16 {
        self.told.notified().await;
        self.code.load(Ordering::Acquire)
    }
}

/// Relays frames until both sides closed or one broke off. `extensions`: whether any were agreed to.
pub async fn run<A, B>(exchange: &Arc<Exchange>, client: A, application: B, extensions: bool)
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (from_client, to_client) = split(client);
    let (from_application, to_application) = split(application);
    let ending = Ending::default();
    let upwards = upwards(Judge::new(exchange, extensions), from_client, to_application, &ending);
    let downwards = downwards(exchange, extensions, from_application, to_client, &ending);
    // One that breaks off ends the other; one that ends in order does not.
    let both = async { tokio::try_join!(upwards, downwards) };
    tokio::select! {
        _ = both => {}
        () = ending.half_closed() => {}
    }
}

/// From the client to the application.
async fn upwards(
    mut judge: Judge,
    mut client: impl AsyncRead + Unpin,
    mut application: impl AsyncWrite + Unpin,
    ending: &Ending,
) -> io::Result<()> {
    let mut buffer = vec![0; LEAST];
    loop {
        let read = client.read(&mut buffer).await?;
        if read == 0 {
            ending.half.notify_one();
            return application.shutdown().await;
        }
        let looked = judge.look(buffer.get(..read).unwrap_or_default());
        application.write_all(buffer.get(..looked.passes).unwrap_or_default()).await?;
        if let Some(over) = looked.over {
            if over.between {
                application.write_all(&close(Sender::Application, over.code)).await?;
            }
            let _ = application.shutdown().await;
            ending.tell(over.code);
            let discarded = async { while client.read(&mut buffer).await.is_ok_and(|read| read > 0) {} };
            let _ = timeout(LINGER, discarded).await;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        application.flush().await?;
        fit(&mut buffer, read);
    }
}

/// Gives a direction a buffer for what it carries.
fn fit(buffer: &mut Vec<u8>, read: usize) {
    if read == buffer.len() && read < MOST {
        buffer.resize(MOST, 0);
    } else if read < LEAST && buffer.len() > LEAST {
        buffer.truncate(LEAST);
        buffer.shrink_to_fit();
    }
}

/// From the application to the client.
async fn downwards(
    exchange: &Exchange,
    extensions: bool,
    mut application: impl AsyncRead + Unpin,
    mut client: impl AsyncWrite + Unpin,
    ending: &Ending,
) -> io::Result<()> {
    let shared = &exchange.connection.shared;
    let mut frames = Frames::new(extensions);
    let mut buffer = vec![0; LEAST];
    let (mut leaving, mut gone) = (false, false);
    loop {
        if leaving && !gone && frames.is_between() {
            client.write_all(&close(Sender::Client, GOING_AWAY)).await?;
            client.flush().await?;
            gone = true; // what the application still says is read, and nobody hears it
        }
        let read = tokio::select! {
            biased;
            code = ending.told() => {
                if frames.is_between() && !gone {
                    client.write_all(&close(Sender::Client, code)).await?;
                }
                return client.shutdown().await;
            }
            () = shared.drain.started(), if !leaving => {
                leaving = true;
                continue;
            }
            read = application.read(&mut buffer) => read?,
        };
        if read == 0 {
            ending.half.notify_one();
            client.shutdown().await?;
            // A client that was sent away has nothing more to say.
            return if gone { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) };
        }
        if !gone {
            let bytes = buffer.get(..read).unwrap_or_default();
            let passes = frames.follow(bytes, leaving, &shared.metrics);
            client.write_all(bytes.get(..passes).unwrap_or(bytes)).await?;
            client.flush().await?;
            if passes < read {
                client.write_all(&close(Sender::Client, GOING_AWAY)).await?;
                client.flush().await?;
                gone = true;
            }
        }
        fit(&mut buffer, read);
    }
}

/// The application's frames: followed only to know where another one may be put in.
struct Frames {
    /// Lost where the application sends what is no frame.
    follower: Option<Follower>,
    closed: bool,
}

impl Frames {
    fn new(extensions: bool) -> Self {
        let limits = Limits { extensions, ..Limits::default() };
        Self { follower: Some(Follower::new(Sender::Application, limits)), closed: false }
    }

    fn is_between(&self) -> bool {
        !self.closed && self.follower.as_ref().is_some_and(Follower::is_between)
    }

    /// How many of these bytes pass: all, or those before the first place where a frame may be put in.
    fn follow(&mut self, bytes: &[u8], leaving: bool, metrics: &Metrics) -> usize {
        let mut at = 0;
        while let Some(follower) = &mut self.follower
            && let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty())
        {
            match follower.follow(rest) {
                Ok(step) => {
                    at += step.taken;
                    self.closed |= step.seen == Some(Seen::Close);
                    if leaving && step.seen.is_some() && !self.closed {
                        return at;
                    }
                }
                Err(bad) => {
                    metrics.error(&Kind::Frame(bad));
                    self.follower = None;
                }
            }
        }
        bytes.len()
    }
}

/// How many bytes of the client pass, and why no more.
struct Looked {
    passes: usize,
    over: Option<Over>,
}

struct Over {
    code: u16,
    /// Whether no frame is cut where it ends.
    between: bool,
}

/// The client's frames, and what is to be thought of their text.
struct Judge {
    exchange: Arc<Exchange>,
    /// Lost where the client sends what is no frame and nothing is enforced.
    follower: Option<Follower>,
    limits: Limits,
    rate: Rate,
    started: Instant,
    lease: Lease,
    leased: usize,
    opaque: bool,
    packed: bool,
}

impl Judge {
    fn new(exchange: &Arc<Exchange>, extensions: bool) -> Self {
        let window = exchange.policy.ruleset.effective().max_body_bytes;
        let limits = Limits { window, extensions, ..exchange.connection.shared.messages.websocket };
        Self {
            exchange: Arc::clone(exchange),
            follower: Some(Follower::new(Sender::Client, limits)),
            limits,
            rate: Rate::default(),
            started: Instant::now(),
            lease: Lease::new(Arc::clone(&exchange.connection.shared)),
            leased: 0,
            opaque: false,
            packed: false,
        }
    }

    /// Follows the bytes of one read.
    fn look(&mut self, bytes: &[u8]) -> Looked {
        let mut at = 0;
        while let Some(follower) = &mut self.follower
            && let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty())
        {
            let between = follower.is_between();
            let step = match follower.follow(rest) {
                Ok(step) => step,
                Err(bad) => match self.wrong(bad) {
                    Some(code) => return Looked { passes: at, over: Some(Over { code, between }) },
                    None => break,
                },
            };
            let counted = match step.seen {
                Some(Seen::Text | Seen::Opaque { .. }) => {
                    self.rate.count(self.started.elapsed().as_secs(), &self.limits)
                }
                _ => Ok(()),
            };
            let refused = match step.seen {
                _ if counted.is_err() => counted.err().and_then(|bad| self.wrong(bad)),
                Some(Seen::Text) => self.text(),
                Some(Seen::Opaque { packed }) => {
                    self.unseen(packed);
                    None
                }
                Some(Seen::Close) => None,
                None => self.grown(),
            };
            if let Some(code) = refused {
                let before = at + step.taken.saturating_sub(1);
                let passes = step.begins.map_or(before, |begins| at + begins);
                return Looked { passes, over: Some(Over { code, between: step.begins.is_some() }) };
            }
            at += step.taken;
        }
        Looked { passes: bytes.len(), over: None }
    }

    /// A policy that changes acts on the next message; no tunnel is cut.
    fn current(&mut self) -> Arc<Exchange> {
        let connection = &self.exchange.connection;
        let policy = connection.shared.policy.load_on(connection.target.port());
        if !Arc::ptr_eq(&policy, &self.exchange.policy) {
            self.exchange = Arc::new(self.exchange.under(policy));
        }
        Arc::clone(&self.exchange)
    }

    /// A frame that is none: the code to close with, where anything is enforced.
    fn wrong(&mut self, bad: BadFrame) -> Option<u16> {
        let exchange = self.current();
        exchange.incident(&Kind::Frame(bad));
        if exchange.enforces() {
            return Some(bad.code());
        }
        self.follower = None;
        self.unseen(false);
        None
    }

    /// A whole text message: the code to close with, if it is refused.
    fn text(&mut self) -> Option<u16> {
        let exchange = self.current();
        if exchange.is_off() {
            return None;
        }
        let follower = self.follower.as_mut()?;
        let judgement = inspect::message(&exchange, follower.text(), follower.is_longer());
        follower.forget(KEPT);
        if self.leased > 0 {
            self.lease = Lease::new(Arc::clone(&exchange.connection.shared));
            self.leased = 0;
        }
        record::message(&exchange, &judgement);
        match judgement.outcome {
            Outcome::Forward(pass) => {
                drop(pass);
                None
            }
            Outcome::Refuse(refusal) => Some(match refusal.why {
                Why::Detected => POLICY,
                Why::BodyTooLarge => TOO_LONG,
                Why::NotJudged => NOT_JUDGED,
            }),
        }
    }

    /// More of a text was kept: long ones share the memory of held bodies.
    fn grown(&mut self) -> Option<u16> {
        let kept = self.follower.as_ref().map_or(0, |follower| follower.text().len());
        let more = kept.saturating_sub(self.leased);
        if kept <= KEPT || more == 0 {
            return None;
        }
        if self.lease.grow(more) {
            self.leased = kept;
            return None;
        }
        let exchange = self.current();
        exchange.connection.shared.metrics.error(&Kind::BodyMemory);
        if exchange.enforces() {
            return Some(TRY_AGAIN);
        }
        self.follower = None;
        self.unseen(false);
        None
    }

    /// Counts, once for a tunnel, that not all of it is inspected.
    fn unseen(&mut self, packed: bool) {
        let (seen, bypass) = if packed {
            (&mut self.packed, Bypass::WebSocketPacked)
        } else {
            (&mut self.opaque, Bypass::WebSocketBinary)
        };
        if !std::mem::replace(seen, true) {
            self.exchange.connection.shared.metrics.bypass(bypass);
        }
    }
}
