//! Both sides of an HTTP/2 connection as hyper sees them, with the frames counted on their way.
//!
//! hyper cannot be told to end a connection with a code of ours. So when a client floods, the GOAWAY is written here,
//! between two frames of hyper's, and hyper gets the end of the stream. Never changes a byte before that.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep};

use super::pace::Phase;
use super::relay::replay;
use crate::guard::frames::{AtOnce, Budgets, Flood, Frames, GOAWAY};

/// A client that floods may not be reading; it has so long to take the GOAWAY, and so many of its bytes are read on so
/// that closing the socket does not reset the connection before.
const FAREWELL: Duration = Duration::from_secs(1);
const FAREWELL_BYTES: usize = 1 << 20;

/// ENHANCE_YOUR_CALM (RFC 9113 section 7).
const CALM: [u8; 4] = [0, 0, 0, 0xb];

/// What a client sent too much of, told to whoever made the [`Watched`].
pub type Told = Arc<OnceLock<Flood>>;

/// The client's side.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    ahead: Bytes,
    phase: Arc<Phase>,
    begun: Instant,
    from: Frames,
    to: Frames,
    budgets: Budgets,
    told: Told,
    farewell: Option<Farewell>,
}

/// The end of a connection whose client floods.
#[derive(Debug)]
struct Farewell {
    goaway: Bytes,
    closed: bool,
    left: usize,
    sleep: Pin<Box<Sleep>>,
}

impl Farewell {
    fn new(last_stream: u32) -> Self {
        let head = [0, 0, 8, GOAWAY, 0, 0, 0, 0, 0];
        let goaway = [&head[..], &last_stream.to_be_bytes(), &CALM].concat().into();
        Self { goaway, closed: false, left: FAREWELL_BYTES, sleep: Box::pin(sleep(FAREWELL)) }
    }
}

impl<S> Watched<S> {
    /// A stream from which `ahead` was already read.
    pub fn new(stream: S, ahead: Bytes, phase: Arc<Phase>, most: AtOnce) -> (Self, Told) {
        let told = Told::default();
        let watched = Self {
            stream,
            ahead,
            phase,
            begun: Instant::now(),
            from: Frames::of_client(),
            to: Frames::default(),
            budgets: Budgets::new(most),
            told: Arc::clone(&told),
            farewell: None,
        };
        (watched, told)
    }

    /// Counts the frames that begin in these bytes.
    fn received(&mut self, bytes: &[u8]) -> Option<Flood> {
        let (mut flood, now, budgets) = (None, self.begun.elapsed(), &mut self.budgets);
        self.from.follow(bytes, |head| flood = flood.or(budgets.received(head, now)));
        flood
    }

    fn sent<'a>(&mut self, slices: impl IntoIterator<Item = &'a [u8]>, mut written: usize) {
        let budgets = &mut self.budgets;
        for slice in slices {
            let taken = slice.get(..written).unwrap_or(slice);
            self.to.follow(taken, |head| budgets.sent(head));
            written -= taken.len();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Watched<S> {
    /// Says goodbye, and is never ready but with the error that ends hyper's side.
    fn poll_farewell(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(farewell) = &mut self.farewell else { return Poll::Pending };
        let over = || Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        if farewell.sleep.as_mut().poll(context).is_ready() {
            return over();
        }
        if !self.to.is_between() {
            return Poll::Pending; // hyper writes the rest of its frame, and wakes this
        }
        while !farewell.goaway.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, &farewell.goaway)) {
                Ok(written) if written > 0 => drop(farewell.goaway.split_to(written)),
                _ => return over(),
            }
        }
        if !farewell.closed {
            let _ = ready!(Pin::new(&mut self.stream).poll_shutdown(context));
            farewell.closed = true;
        }
        let mut scratch = [0; 4096];
        while farewell.left > 0 {
            let mut buffer = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    farewell.left = farewell.left.saturating_sub(buffer.filled().len());
                }
                _ => return over(),
            }
        }
        over()
    }

    /// While the farewell waits for the end of a frame, that frame is all that hyper may write.
    fn poll_last_frame(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.to.is_between() {
            return Poll::Ready(Ok(bytes.len())); // nobody will read it
        }
        let bytes = bytes.get(..self.to.rest()).unwrap_or(bytes);
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.sent([bytes], written);
        context.waker().wake_by_ref();
        Poll::Ready(Ok(written))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.farewell.is_some() {
            return self.poll_farewell(context);
        }
        let before = buffer.filled().len();
        if !replay(&mut self.ahead, buffer) {
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        }
        let Some(flood) = self.received(buffer.filled().get(before..).unwrap_or_default()) else {
            return Poll::Ready(Ok(()));
        };
        buffer.set_filled(before);
        let _ = self.told.set(flood);
        self.farewell = Some(Farewell::new(self.budgets.last_stream()));
        self.poll_farewell(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.farewell.is_some() {
            return self.poll_last_frame(context, bytes);
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.sent([bytes], written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.farewell.is_some() {
            let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
            return self.poll_last_frame(context, first);
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices))?;
        self.sent(slices.iter().map(|slice| &**slice), written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.phase.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The application's side: notices when it wants no more streams.
#[derive(Debug)]
pub struct Heard<S> {
    stream: S,
    frames: Frames,
    goaway: Arc<Notify>,
}

impl<S> Heard<S> {
    /// `goaway` is notified when the application says it.
    pub fn new(stream: S, goaway: Arc<Notify>) -> Self {
        Self { stream, frames: Frames::default(), goaway }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        let goaway = &this.goaway;
        this.frames.follow(buffer.filled().get(before..).unwrap_or_default(), |head| {
            if head.kind == GOAWAY {
                goaway.notify_one();
            }
        });
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
