//! Ends a client's TLS before anything of the connection is read, and says how the application is spoken to.
//!
//! Where the application is spoken to in TLS as well, it is asked for its protocol before the client is answered, so
//! that both sides speak the same one. A client without TLS chooses by its first bytes, and the application must agree.
//! Called first for the connections of a port with TLS.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::protocol::Protocol;
use super::stream::Stream;
use super::{Client, Target, connect};
use crate::listener::reset;
use crate::reason::{Kind, Tls};
use crate::state::Shared;
use crate::tls::accept::{self, Hello, Refusal};
use crate::tls::application::Application;
use crate::tls::{Alpn, Port};

/// An application that is spoken to in TLS.
#[derive(Debug)]
pub struct Secured {
    /// Where it is.
    pub target: Target,
    name: ServerName<'static>,
    /// What the application is asked for; `None` until the client's first bytes tell.
    protocols: Mutex<Option<Alpn>>,
    /// The connection over which it was asked for its protocol: the first dial takes it.
    dialled: Mutex<Option<Stream>>,
}

impl Secured {
    /// Connects, or takes the connection that is there.
    pub(super) async fn dial(&self, shared: &Shared) -> io::Result<Stream> {
        let dialled = self.dialled.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (dialled, application(shared, &self.target)) {
            (Some(stream), _) => Ok(stream),
            (None, Some(application)) => {
                let protocols = self.protocols().unwrap_or(Alpn::HTTP1);
                let socket = connect(&self.target, shared).await?;
                let stream = handshake(application, socket, self.name.clone(), protocols, shared).await?;
                // One that knows nothing of application protocols would take HTTP/2 for a broken request.
                if protocols == Alpn::HTTP2 && !stream.is_http2() {
                    shared.metrics.error(&Kind::Tls(Tls::UpstreamProtocol));
                    tracing::debug!("the client speaks HTTP/2 and the application does not");
                    return Err(io::ErrorKind::Unsupported.into());
                }
                Ok(stream)
            }
            (None, None) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn protocols(&self) -> Option<Alpn> {
        *self.protocols.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody knows yet what to ask the application for.
    pub(super) fn waits_for_protocol(&self) -> bool {
        self.protocols().is_none()
    }

    /// The client speaks this, so the application has to.
    pub(super) fn speak(&self, told: Protocol) {
        let protocols = if told == Protocol::Http2 { Alpn::HTTP2 } else { Alpn::HTTP1 };
        *self.protocols.lock().unwrap_or_else(PoisonError::into_inner) = Some(protocols);
    }
}

fn application<'a>(shared: &'a Shared, target: &Target) -> Option<&'a Application> {
    shared.tls.of(target.port())?.application.as_deref()
}

async fn handshake(
    application: &Application,
    socket: TcpStream,
    name: ServerName<'static>,
    protocols: Alpn,
    shared: &Shared,
) -> io::Result<Stream> {
    match application.connect(socket, name, protocols, shared.timers.tls_handshake).await {
        Ok(stream) => Ok(Stream::Application(Box::new(stream))),
        Err((reason, error)) => {
            shared.metrics.error(&Kind::Tls(reason));
            tracing::warn!(reason = reason.id(), %error, "no TLS with the application");
            Err(error)
        }
    }
}

/// `None` when the connection is over already.
pub(super) async fn enter(
    shared: &Shared,
    tls: &Port,
    client: Client,
    target: Target,
) -> Option<(Client, Target)> {
    let Client { stream, peer, place } = client;
    let port = target.port();
    let entered = match (stream, &tls.server) {
        (Stream::Plain(socket), Some(_)) => accept(shared, tls, socket, target).await,
        (stream, _) => Ok((stream, in_tls(tls, target, None, None, None))),
    };
    match entered {
        Ok((stream, target)) => Some((Client { stream, peer, place }, target)),
        Err(Refusal::Nothing) => None,
        Err(Refusal::Failed { reason, source: error }) => {
            shared.incident(&Kind::Tls(reason), Some(peer), port);
            tracing::debug!(reason = reason.id(), %error, "no TLS with the client");
            None
        }
    }
}

async fn accept(
    shared: &Shared,
    tls: &Port,
    socket: TcpStream,
    target: Target,
) -> Result<(Stream, Target), Refusal> {
    let Some(server) = &tls.server else { return Err(Tls::NoCertificate.into()) };
    let mut hello = accept::hello(socket, shared.timers.tls_handshake).await?;
    if !server.is_loaded() {
        return Err(Tls::NoCertificate.into());
    }
    let (protocols, target) = if let Some(application) = &tls.application {
        let asking = Instant::now();
        let Some(asked) = ask(shared, tls, application, &hello, target).await else {
            hello.abandon(reset);
            return Err(Refusal::Nothing);
        };
        hello.extend(asking.elapsed());
        asked
    } else {
        (server.protocols, target)
    };
    let stream = hello.finish(server, protocols).await?;
    Ok((Stream::Client(Box::new(stream)), target))
}

/// Asks the application which of the client's protocols it speaks. `None` when it takes no connection in a pod: its
/// client gets a reset, as from a closed port. An application without an acceptable handshake is asked again by each
/// request, which is answered 502.
async fn ask(
    shared: &Shared,
    tls: &Port,
    application: &Application,
    hello: &Hello,
    target: Target,
) -> Option<(Alpn, Target)> {
    let common = hello.offers.unwrap_or_default();
    if hello.offers.is_some() && common == Alpn::NONE {
        return Some((Alpn::BOTH, target)); // the client is told that there is nothing in common
    }
    let name = server_name(application, &target, hello.name.as_deref());
    let dialled = match connect(&target, shared).await {
        Ok(socket) => handshake(application, socket, name.clone(), common, shared).await.ok(),
        Err(_) if matches!(target, Target::Pod(_) | Target::Served(_)) => return None,
        Err(_) => None,
    };
    let protocols = match &dialled {
        Some(stream) if stream.is_http2() => Alpn::HTTP2,
        Some(_) => common.and(Alpn::HTTP1),
        None => common,
    };
    if common == Alpn::HTTP2 && protocols == Alpn::NONE {
        return Some((Alpn::HTTP1, target)); // HTTP/2 was all the client has, and the application has none
    }
    Some((protocols, in_tls(tls, target, Some(name), Some(protocols), dialled)))
}

/// The application in TLS, where that is declared.
fn in_tls(
    tls: &Port,
    target: Target,
    name: Option<ServerName<'static>>,
    protocols: Option<Alpn>,
    dialled: Option<Stream>,
) -> Target {
    let Some(application) = &tls.application else { return target };
    let name = name.unwrap_or_else(|| server_name(application, &target, None));
    let (protocols, dialled) = (Mutex::new(protocols), Mutex::new(dialled));
    Target::Tls(Arc::new(Secured { target, name, protocols, dialled }))
}

/// The name that is configured, else the one the client asks for, else none: an address is not sent.
fn server_name(application: &Application, target: &Target, asked: Option<&str>) -> ServerName<'static> {
    let configured = application.name.clone();
    let asked = || ServerName::try_from(asked?.to_owned()).ok();
    configured.or_else(asked).unwrap_or_else(|| match target {
        Target::Pod(address) | Target::Served(address) => ServerName::IpAddress(address.ip().into()),
        // The name of a gateway's upstream is always configured.
        _ => ServerName::IpAddress(IpAddr::from(Ipv4Addr::UNSPECIFIED).into()),
    })
}
