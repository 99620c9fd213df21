//! One side of a connection: a socket, or TLS over one. Everything above reads and writes without asking which.
//!
//! A plain socket costs one branch more than none. The end of a client's bytes without `close_notify` is an error (RFC
//! 8446 section 6.1), so a body that was cut short is never taken for a whole one. An application that ends so is taken
//! as it would be without TLS: many do, and nobody stands between it and us.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

/// A client's or an application's side.
#[derive(Debug)]
pub enum Stream {
    /// The socket itself.
    Plain(TcpStream),
    /// A client whose TLS ends here.
    Client(Box<server::TlsStream<TcpStream>>),
    /// An application that is spoken to in TLS.
    Application(Box<client::TlsStream<TcpStream>>),
}

impl Stream {
    /// The socket below.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Client(tls) => tls.get_ref().0,
            Self::Application(tls) => tls.get_ref().0,
        }
    }

    /// Whether the handshake chose HTTP/2 (RFC 9113 section 3.2).
    pub fn is_http2(&self) -> bool {
        let chosen = match self {
            Self::Plain(_) => None,
            Self::Client(tls) => tls.get_ref().1.alpn_protocol(),
            Self::Application(tls) => tls.get_ref().1.alpn_protocol(),
        };
        chosen == Some(b"h2")
    }
}

impl From<TcpStream> for Stream {
    fn from(socket: TcpStream) -> Self {
        Self::Plain(socket)
    }
}

macro_rules! each {
    ($stream:expr, $method:ident($($argument:expr),*)) => {
        match $stream {
            Stream::Plain(socket) => Pin::new(socket).$method($($argument),*),
            Stream::Client(tls) => Pin::new(&mut **tls).$method($($argument),*),
            Stream::Application(tls) => Pin::new(&mut **tls).$method($($argument),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match each!(&mut *self, poll_read(context, buffer)) {
            Poll::Ready(Err(error))
                if error.kind() == io::ErrorKind::UnexpectedEof && matches!(*self, Self::Application(_)) =>
            {
                Poll::Ready(Ok(()))
            }
            polled => polled,
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(&mut *self, poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(&mut *self, poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true // sockets and rustls both are
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut *self, poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut *self, poll_shutdown(context))
    }
}
