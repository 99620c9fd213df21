//! The application's socket as hyper sees it: what it answers is followed by the response guard before hyper reads it.
//!
//! After a fault nothing passes any more, in either direction: the connection is never used again. Made by `http`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::relay::replay;
use crate::guard::awaited::Awaited;
use crate::guard::response::{Follower, Limits};
use crate::metrics::Metrics;
use crate::reason::{BadResponse, Kind};

/// A stream of responses.
#[derive(Debug)]
pub struct Answers<S> {
    stream: S,
    follower: Follower,
    awaited: Arc<Awaited>,
    metrics: Arc<Metrics>,
    /// What hyper gets before anything is read.
    ahead: Bytes,
    fault: Option<BadResponse>,
    finished: bool,
}

impl<S> Answers<S> {
    /// A connection to the application on which nothing was said yet.
    pub fn new(stream: S, awaited: Arc<Awaited>, metrics: Arc<Metrics>, limits: Limits) -> Self {
        Self {
            stream,
            follower: Follower::new(limits),
            awaited,
            metrics,
            ahead: Bytes::new(),
            fault: None,
            finished: false,
        }
    }

    /// The stream.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    fn refuse(&mut self, fault: BadResponse) {
        if self.fault.replace(fault).is_none() {
            self.metrics.error(&Kind::Response(fault));
            tracing::debug!(reason = fault.id(), "response refused");
        }
    }
}

fn error(fault: BadResponse) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, fault)
}

/// The reason of the guard, where that is why hyper gave up.
pub fn fault(error: &hyper::Error) -> Option<BadResponse> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(fault) = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            return fault.downcast_ref().copied();
        }
        source = cause.source();
    }
    None
}

impl<S: AsyncRead + Unpin> AsyncRead for Answers<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if replay(&mut this.ahead, buffer) {
                return Poll::Ready(Ok(()));
            }
            if let Some(fault) = this.fault {
                return Poll::Ready(Err(error(fault)));
            }
            let before = buffer.filled().len();
            let read = ready!(Pin::new(&mut this.stream).poll_read(context, buffer));
            let bytes = buffer.filled().get(before..).unwrap_or_default();
            if (read.is_err() || bytes.is_empty()) && this.awaited.has_left() {
                return Poll::Ready(read); // an application may break off the answer to a client that left
            }
            if read.is_err() || bytes.is_empty() {
                return Poll::Ready(match (this.follower.end(read.is_err()), read) {
                    (Err(fault), _) => {
                        this.refuse(fault);
                        Err(error(fault))
                    }
                    (Ok(()), read) => read,
                });
            }
            let passed = this.follower.follow(bytes, &this.awaited);
            let other = this.follower.take_passing();
            if let Some(fault) = passed.fault {
                this.refuse(fault);
                if passed.bytes > 0 {
                    this.awaited.follow();
                }
            }
            match other {
                None => buffer.set_filled(before + passed.bytes),
                Some(other) => {
                    buffer.set_filled(before);
                    this.ahead = other.into();
                }
            }
            if buffer.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            // Nothing that would be the end for hyper: there is something ahead, or a fault, or more to read.
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Answers<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.fault {
            Some(fault) => Poll::Ready(Err(error(fault))),
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.fault {
            Some(fault) => Poll::Ready(Err(error(fault))),
            None => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper calls this when it has written all there is. A client that closed its half sends no more requests; the
    /// application hears of it as it would without us, and decides whether it still answers.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        if self.awaited.is_last() && !self.finished {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.finished = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
