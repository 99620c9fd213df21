//! The client's socket as hyper sees it: with a time limit for whatever the client owes next.
//!
//! hyper has one timer for heads, which also runs between two requests. Here the phase of the connection decides: a
//! begun head has little time, an idle connection more, a running exchange none (its body has a timer of its own).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::relay::replay;
use super::stream::Stream;
use super::wire::Wire;
use crate::guard::Limits;
use crate::guard::awaited::Awaited;
use crate::limits::Timers;
use crate::listener::reset_on_close;

use phase::{BUSY, GONE, HALF, HEAD, IDLE, STAYS};

mod phase;

pub use phase::{Left, Phase};

/// Closing a socket with unread bytes resets it, and the client may never see the refusal. So the rest is read, but
/// not for ever.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1 << 20;

/// Bytes of later requests that are read while one is answered. The end of whoever sends more is behind bytes that nobody
/// reads, and wakes nobody: the kernel is asked for it now and then.
const MOST_AHEAD: usize = 4 << 10;
const ASK: Duration = Duration::from_secs(1);

/// After so long without a byte an idle connection is taken for one that will be idle for long.
const REST: Duration = Duration::from_secs(1);

/// The client's socket with a time limit and a guard.
#[derive(Debug)]
pub struct Paced {
    stream: Stream,
    ahead: Bytes,
    wire: Wire,
    phase: Arc<Phase>,
    head: Duration,
    idle: Duration,
    seen: u8,
    since: Instant,
    rested: bool,
    sleep: Option<Pin<Box<Sleep>>>,
    closed: bool,
    lingered: Option<usize>,
    awaited: Arc<Awaited>,
    hints: Bytes,
    asks: Instant,
}

impl Paced {
    /// A socket from which `ahead` was already read.
    pub fn new(
        stream: Stream,
        ahead: Bytes,
        phase: Arc<Phase>,
        awaited: Arc<Awaited>,
        timers: &Timers,
        limits: Limits,
    ) -> Self {
        Self {
            stream,
            ahead,
            wire: Wire::new(limits),
            phase,
            head: timers.head,
            idle: timers.keep_alive_idle,
            seen: HEAD,
            since: Instant::now(),
            rested: false,
            sleep: None,
            closed: false,
            lingered: None,
            awaited,
            hints: Bytes::new(),
            asks: Instant::now(),
        }
    }

    fn begun(&mut self) {
        if self.phase.now.compare_exchange(IDLE, HEAD, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.enter(HEAD);
        }
    }

    fn enter(&mut self, phase: u8) {
        self.seen = phase;
        self.since = Instant::now();
        if std::mem::take(&mut self.rested) {
            self.phase.resume();
        }
    }

    /// Ready when there is something to read, or the client's time is up.
    pub fn poll_stirs(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let readable = self.stream.socket().poll_read_ready(context).is_ready();
        if readable || self.poll_overdue(context).is_ready() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Ready when the client owed something for too long, with the phase it was in.
    fn poll_overdue(&mut self, context: &mut Context<'_>) -> Poll<u8> {
        let phase = self.phase.now.load(Ordering::Acquire);
        if phase != self.seen {
            self.enter(phase);
        }
        match phase {
            IDLE => {
                if REST < self.idle && self.wire.is_between() {
                    if !self.rested {
                        ready!(self.poll_until(self.since + REST, context));
                    }
                    self.rested = true;
                    self.phase.rests.store(true, Ordering::Release);
                }
                self.poll_until(self.since + self.idle, context).map(|()| IDLE)
            }
            HEAD => self.poll_until(self.since + self.head, context).map(|()| HEAD),
            _ => Poll::Pending,
        }
    }

    fn poll_until(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        // A timer that is armed too early is cheaper than one that is moved with every request.
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(context).is_ready() {
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// Writes interim responses, which hyper cannot. It has nothing of its own to write when this is called, and gets
    /// the final response only when these are written.
    fn poll_hints(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.hints.is_empty() && !self.awaited.has_hints() {
            return Poll::Ready(Ok(()));
        }
        if self.hints.is_empty() {
            self.hints = self.awaited.take_hints().into();
        }
        while !self.hints.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.hints))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.hints.advance(written);
        }
        self.awaited.hints_written();
        Poll::Ready(Ok(()))
    }

    /// hyper does not read while a request is answered, so somebody else must see that the client closed.
    fn look_after_client(&mut self, context: &mut Context<'_>) {
        let is_busy = self.phase.now.load(Ordering::Acquire) == BUSY;
        if !is_busy || self.closed || self.phase.left.load(Ordering::Acquire) != STAYS {
            return;
        }
        let socket = self.stream.socket();
        // Costs no call of the system until something arrives.
        if socket.poll_read_ready(context).is_pending() {
            return;
        }
        if self.wire.is_between() {
            return self.read_ahead(context);
        }
        match socket.poll_peek(context, &mut ReadBuf::new(&mut [0])) {
            Poll::Ready(Ok(0)) => self.phase.leave(HALF),
            Poll::Ready(Err(_)) => self.phase.leave(GONE),
            _ => {}
        }
    }

    /// Reads what the client sends after the request that is answered: behind a byte that nobody reads its end could not
    /// be seen, and the application would work on for a client that is gone.
    fn read_ahead(&mut self, context: &mut Context<'_>) {
        let mut scratch = [0; 1024];
        while self.ahead.len() < MOST_AHEAD {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.ahead = [&self.ahead[..], buffer.filled()].concat().into();
                }
                Poll::Ready(Ok(())) => return self.phase.leave(HALF),
                // TLS that ends without saying so: as far as the socket tells, a half.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return self.phase.leave(HALF);
                }
                Poll::Ready(Err(_)) => return self.phase.leave(GONE),
                Poll::Pending => return,
            }
        }
        while self.poll_until(self.asks, context).is_ready() {
            self.asks = Instant::now() + ASK;
            if let Some(left) = end(self.stream.socket()) {
                return self.phase.leave(left);
            }
        }
    }

    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.lingered.is_none() {
            self.sleep = Some(Box::pin(sleep_until(Instant::now() + LINGER)));
        }
        let mut left = self.lingered.unwrap_or(LINGER_BYTES);
        let mut scratch = [0; 4096];
        while left > 0 {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    left = left.saturating_sub(buffer.filled().len());
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {
                    self.lingered = Some(left);
                    return self.sleep.as_mut().map_or(Poll::Ready(()), |sleep| sleep.as_mut().poll(context));
                }
            }
        }
        Poll::Ready(())
    }
}

/// What the client closed, whatever is unread.
fn end(socket: &TcpStream) -> Option<u8> {
    let mut asked = [PollFd::new(socket, PollFlags::RDHUP)];
    poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).ok()?;
    let found = asked.first()?.revents();
    if found.intersects(PollFlags::ERR | PollFlags::HUP) {
        return Some(GONE);
    }
    found.contains(PollFlags::RDHUP).then_some(HALF)
}

impl Drop for Paced {
    fn drop(&mut self) {
        if self.phase.broken.load(Ordering::Acquire) {
            reset_on_close(self.stream.socket());
        }
    }
}

impl Paced {
    /// Reads from the socket, within the time that the client has.
    fn poll_socket(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if replay(&mut self.ahead, buffer) {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => Poll::Ready(Ok(())),
            Poll::Ready(result) => {
                self.closed = true;
                Poll::Ready(result)
            }
            Poll::Pending => {
                if ready!(self.poll_overdue(context)) == IDLE {
                    self.phase.ran_out();
                    self.closed = true;
                    return Poll::Ready(Ok(())); // how keep-alive ends between two requests
                }
                self.phase.overdue.store(true, Ordering::Release);
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.phase.is_switched() {
            return if this.wire.give_raw(buffer) {
                Poll::Ready(Ok(()))
            } else {
                this.poll_socket(context, buffer)
            };
        }
        if this.wire.keeps() {
            this.begun();
        }
        let mut given = this.wire.give(buffer, &this.phase.notes).map_err(io::Error::other)?;
        while !given {
            if this.wire.is_over() {
                return Poll::Pending; // what hyper has got ends the connection
            }
            let before = buffer.filled().len();
            ready!(this.poll_socket(context, buffer))?;
            if buffer.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
            this.begun();
            given = this.wire.filter(buffer, before, &this.phase.notes).map_err(io::Error::other)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Paced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.hints.is_empty() {
            ready!(self.poll_hints(context))?;
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.hints.is_empty() {
            ready!(self.poll_hints(context))?;
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_hints(context))?;
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.phase.flushed();
        self.look_after_client(context);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingered.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        }
        // A head that was never finished was refused by the parser.
        let owed =
            self.phase.linger.load(Ordering::Acquire) || self.phase.now.load(Ordering::Acquire) == HEAD;
        if owed && !self.closed {
            ready!(self.poll_linger(context));
        }
        Poll::Ready(Ok(()))
    }
}
