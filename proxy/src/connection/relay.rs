//! Relays bytes between two streams without looking at them: opaque ports, upgraded connections, everything Off.
//!
//! Half-closes and resets are passed on, so that both ends see what they would see without the proxy.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};
use tokio::time::{Instant, sleep};

use super::stream::Stream;

const BUFFER: usize = 16 << 10;

/// How a relay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Both sides closed.
    Closed,
    /// One side broke off: the other one should see a reset.
    Broken,
    /// Nothing moved for too long.
    Idle,
}

/// When bytes last moved, and which way.
#[derive(Debug)]
pub struct Activity {
    start: Instant,
    millis: AtomicU64,
    answered: AtomicBool,
}

impl Activity {
    /// Nothing moved yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { start: Instant::now(), millis: AtomicU64::new(0), answered: AtomicBool::new(true) })
    }

    fn note(&self, from_upstream: bool) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
        self.answered.store(from_upstream, Ordering::Relaxed);
    }

    /// Time since bytes last moved.
    pub fn quiet(&self) -> Duration {
        self.start.elapsed().saturating_sub(Duration::from_millis(self.millis.load(Ordering::Relaxed)))
    }

    /// Whether the last bytes came from the application: a client is hardly waiting for an answer.
    pub fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }
}

/// Gives bytes that were read before the stream had its reader; `false` when none are left.
pub(super) fn replay(ahead: &mut Bytes, buffer: &mut ReadBuf<'_>) -> bool {
    if ahead.is_empty() {
        return false;
    }
    buffer.put_slice(&ahead.split_to(ahead.len().min(buffer.remaining())));
    true
}

/// A stream with bytes that were already read from it, which notes when bytes are read.
#[derive(Debug)]
pub struct Noted<S> {
    stream: S,
    ahead: Bytes,
    activity: Arc<Activity>,
    upstream: bool,
}

impl<S> Noted<S> {
    /// The client's side.
    pub fn client(stream: S, ahead: Bytes, activity: &Arc<Activity>) -> Self {
        Self { stream, ahead, activity: Arc::clone(activity), upstream: false }
    }

    /// The application's side.
    pub fn upstream(stream: S, ahead: Bytes, activity: &Arc<Activity>) -> Self {
        Self { stream, ahead, activity: Arc::clone(activity), upstream: true }
    }

    /// The stream.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Noted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if replay(&mut self.ahead, buffer) {
            self.activity.note(self.upstream);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if polled.is_ready() && buffer.filled().len() > before {
            self.activity.note(self.upstream);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Relays until both sides closed, one broke off, or nothing moved for `idle`.
pub async fn run<A, B>(client: &mut Noted<A>, upstream: &mut Noted<B>, idle: Duration) -> End
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let activity = Arc::clone(&client.activity);
    tokio::select! {
        copied = copy_bidirectional_with_sizes(client, upstream, BUFFER, BUFFER) => match copied {
            Ok(_) => End::Closed,
            Err(_) => End::Broken,
        },
        () = idling(&activity, idle) => End::Idle,
    }
}

/// Resolves when nothing moved for `idle`.
pub async fn idling(activity: &Activity, idle: Duration) {
    while let Some(left) = idle.checked_sub(activity.quiet()) {
        sleep(left.max(Duration::from_millis(1))).await;
    }
}

/// Ends both connections as the relay ended.
pub fn close(end: End, client: Stream, upstream: Stream) {
    if end == End::Broken {
        crate::listener::reset(client);
        crate::listener::reset(upstream);
    }
}
