//! A stream that is lent to hyper, which gives nothing back: it comes home when hyper is dropped, if somebody called it.
//!
//! Otherwise it closes as if it had been given away. Called by `http`, to let go of what hyper keeps for a connection on
//! which nothing happens.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Where a stream comes to when it is called.
#[derive(Debug)]
pub struct Home<S>(Arc<Mutex<Place<S>>>);

#[derive(Debug)]
struct Place<S> {
    called: bool,
    stream: Option<S>,
}

impl<S> Home<S> {
    /// The stream comes back when whoever has it is dropped.
    pub fn call(&self) {
        self.place().called = true;
    }

    /// The stream, if it came.
    pub fn take(&self) -> Option<S> {
        self.place().stream.take()
    }

    fn place(&self) -> MutexGuard<'_, Place<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that somebody has for a while.
#[derive(Debug)]
pub struct Lent<S> {
    // None only while it is dropped.
    stream: Option<S>,
    home: Home<S>,
}

/// Lends a stream.
pub fn lend<S>(stream: S) -> (Lent<S>, Home<S>) {
    let home = Arc::new(Mutex::new(Place { called: false, stream: None }));
    (Lent { stream: Some(stream), home: Home(Arc::clone(&home)) }, Home(home))
}

impl<S> Drop for Lent<S> {
    fn drop(&mut self) {
        let mut place = self.home.place();
        if place.called {
            place.stream = self.stream.take();
        }
    }
}

macro_rules! lent {
    ($self:expr, $method:ident($($argument:expr),*)) => {
        match &mut $self.get_mut().stream {
            Some(stream) => Pin::new(stream).$method($($argument),*),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    };
}

impl<S: AsyncRead + Unpin> AsyncRead for Lent<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        lent!(self, poll_read(context, buffer))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lent<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        lent!(self, poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        lent!(self, poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        lent!(self, poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        lent!(self, poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::lend;

    #[tokio::test]
    async fn a_stream_closes_with_its_borrower_unless_it_was_called_home() {
        let (mut far, near) = tokio::io::duplex(64);
        let (lent, home) = lend(near);
        home.call();
        drop(lent);
        let mut near = home.take().unwrap();
        near.write_all(b"still open").await.unwrap();
        let mut bytes = [0; 10];
        far.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"still open");

        let (lent, home) = lend(near);
        drop(lent);
        assert!(home.take().is_none());
        assert_eq!(far.read(&mut bytes).await.unwrap(), 0);
    }
}
