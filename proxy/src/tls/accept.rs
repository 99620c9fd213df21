//! The handshake with a client, in two steps: what it asks for, then the rest of it.
//!
//! Between the two the application can be asked which protocol it speaks. One deadline holds for both. A client that
//! does not speak TLS never gets further, and every failure has a reason.

use std::io;
use std::time::Duration;

use rustls::PeerIncompatible;
use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::{StartHandshake, TlsStream};

use super::alpn::Alpn;
use super::server::Server;
use crate::connection::stream::Stream;
use crate::reason::Tls;

/// A TLS record that opens a handshake begins so (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The client left without a byte: a port check.
    #[error("the client sent nothing")]
    Nothing,
    /// It failed.
    #[error("{}: {source}", .reason.id())]
    Failed {
        /// Why.
        reason: Tls,
        /// What rustls or the system says.
        source: io::Error,
    },
}

impl From<Tls> for Refusal {
    fn from(reason: Tls) -> Self {
        Self::Failed { reason, source: io::ErrorKind::InvalidData.into() }
    }
}

/// A client's first message.
pub struct Hello {
    start: StartHandshake<TcpStream>,
    deadline: Instant,
    /// The name it asks for, in lower case.
    pub name: Option<String>,
    /// The protocols it offers, as far as they are known; `None` when it offers none at all.
    pub offers: Option<Alpn>,
}

/// Waits for the client's first message.
pub async fn hello(socket: TcpStream, limit: Duration) -> Result<Hello, Refusal> {
    let deadline = Instant::now() + limit;
    let reading = async {
        let mut first = [0];
        match socket.peek(&mut first).await {
            Ok(0) => return Err(Refusal::Nothing),
            Ok(_) if first == [HANDSHAKE] => {}
            Ok(_) => return Err(Tls::PlainText.into()),
            Err(error) => return Err(refusal(error)),
        }
        LazyConfigAcceptor::new(Acceptor::default(), socket).await.map_err(refusal)
    };
    let start = timeout_at(deadline, reading).await.map_err(|_| Refusal::from(Tls::Timeout))??;
    let hello = start.client_hello();
    let name = hello.server_name().map(str::to_ascii_lowercase);
    let offers = hello.alpn().map(Alpn::of);
    Ok(Hello { start, deadline, name, offers })
}

impl Hello {
    /// What took so long was not the client's doing.
    pub fn extend(&mut self, time: Duration) {
        self.deadline += time;
    }

    /// Ends the connection without an answer.
    pub fn abandon(self, end: impl FnOnce(Stream)) {
        end(self.start.io.into());
    }

    /// The rest of the handshake, with the certificate for the name.
    pub async fn finish(self, server: &Server, protocols: Alpn) -> Result<TlsStream<TcpStream>, Refusal> {
        let Some(config) = server.choose(self.name.as_deref(), protocols) else {
            return Err(Tls::NoCertificate.into());
        };
        match timeout_at(self.deadline, self.start.into_stream(config)).await {
            Ok(accepted) => accepted.map_err(refusal),
            Err(_) => Err(Tls::Timeout.into()),
        }
    }
}

fn refusal(error: io::Error) -> Refusal {
    let reason = match error.get_ref().and_then(|source| source.downcast_ref::<rustls::Error>()) {
        Some(source) => reason(source),
        None => Tls::ClientGaveUp,
    };
    Refusal::Failed { reason, source: error }
}

/// A client of TLS 1.0 or 1.1 does not name signature schemes either, which is what rustls misses first.
fn reason(error: &rustls::Error) -> Tls {
    use rustls::Error as E;
    match error {
        E::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired,
        ) => Tls::Version,
        E::NoApplicationProtocol => Tls::ApplicationProtocol,
        E::NoCertificatesPresented => Tls::ClientCertificateMissing,
        E::InvalidCertificate(_) => Tls::ClientCertificateInvalid,
        E::AlertReceived(_) => Tls::ClientGaveUp,
        _ => Tls::Handshake,
    }
}
