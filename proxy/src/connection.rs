//! One client connection: tells its protocol while the application is dialled, then hands it to hyper or relays it.
//!
//! Both must happen at once: a client that waits for the server to speak first must not wait for us. Nothing that
//! could be HTTP is ever relayed uninspected because it was slow. Called by the listener.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use rasp_policy::pod::PortProtocol;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use crate::listener::{Place, reset, tune};
use crate::reason::{Bypass, Kind, Timeout};
use crate::state::Shared;
use crate::tls::hello;

mod answers;
mod http;
pub mod http2;
mod lent;
mod mismatch;
mod off;
pub mod pace;
pub mod protocol;
pub mod proxy_protocol;
pub mod relay;
pub mod secure;
pub mod stream;
mod streams;
mod turns;
mod watched;
pub mod wire;

pub(crate) use answers::fault;
pub(crate) use http::{Fresh, redial};
use protocol::{Course, Greeting};
use relay::{Activity, Noted};
use secure::Secured;
use stream::Stream;

/// Where the application is.
#[derive(Clone, Debug)]
pub enum Target {
    /// The original destination. A refused connection is reset, as the closed port would.
    Pod(SocketAddr),
    /// A port of the application behind one of the sidecar's own: at this address of the pod, where the client arrived, or
    /// else at loopback. A refused connection is reset.
    Served(SocketAddr),
    /// The upstream of a gateway, `host:port`. A refused connection is answered 502.
    Gateway(Arc<str>, u16),
    /// One of these, spoken to in TLS. Without a connection or a handshake requests are answered 502.
    Tls(Arc<Secured>),
}

impl Target {
    /// The application's port.
    pub fn port(&self) -> u16 {
        match self {
            Self::Pod(address) | Self::Served(address) => address.port(),
            Self::Gateway(_, port) => *port,
            Self::Tls(secured) => secured.target.port(),
        }
    }
}

/// One client connection.
pub struct Client {
    /// Its socket, or TLS over it.
    pub stream: Stream,
    /// The client's address, as the socket or a header of the PROXY protocol has it.
    pub peer: SocketAddr,
    /// Its place among the connections that are served at once.
    pub place: Place,
}

/// Dials the application.
pub(crate) async fn dial(target: &Target, shared: &Shared) -> io::Result<Stream> {
    match target {
        Target::Tls(secured) => secured.dial(shared).await,
        target => connect(target, shared).await.map(Stream::Plain),
    }
}

async fn connect(target: &Target, shared: &Shared) -> io::Result<TcpStream> {
    let port = target.port();
    if !shared.load.reach.may_dial(port) {
        shared.metrics.error(&Kind::UpstreamFailFast);
        return Err(io::ErrorKind::TimedOut.into());
    }
    let began = std::time::Instant::now();
    let connecting = async {
        match target {
            Target::Pod(address) => TcpStream::connect(address).await,
            Target::Served(address) => {
                let at = |ip: IpAddr| SocketAddr::new(ip, address.port());
                let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
                TcpStream::connect(&[*address, at(v4), at(v6)][..]).await
            }
            Target::Gateway(upstream, _) => TcpStream::connect(&**upstream).await,
            Target::Tls(_) => Err(io::ErrorKind::InvalidInput.into()), // TLS is not nested
        }
    };
    let dialled = match timeout(shared.timers.connect, connecting).await {
        Ok(dialled) => dialled,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    match dialled {
        Ok(socket) => {
            shared.load.reach.answered(port);
            tune(&socket);
            Ok(socket)
        }
        Err(error) => {
            if error.kind() == io::ErrorKind::TimedOut {
                shared.load.reach.timed_out(port, began);
                shared.incident(&Kind::Timeout(Timeout::Connect), None, port);
            } else {
                shared.load.reach.answered(port);
                shared.metrics.error(&Kind::UpstreamConnect);
            }
            tracing::debug!(%error, port, "the application takes no connection");
            Err(error)
        }
    }
}

/// Serves one connection to its end. What this future has room for, every connection has for all of its life: so what
/// is rare, or soon over, is in a box of its own.
pub async fn serve(shared: Arc<Shared>, mut client: Client, target: Target) {
    if shared.hops.is_introduced(client.peer.ip())
        && !Box::pin(introduced(&shared, &mut client, target.port())).await
    {
        return drop(client);
    }
    let (mut client, target) = match shared.tls.of(target.port()) {
        None => (client, target),
        Some(tls) => match Box::pin(secure::enter(&shared, tls, client, target)).await {
            Some(entered) => entered,
            None => return,
        },
    };
    if shared.policy.load_on(target.port()).ruleset.is_off() {
        return Box::pin(off::serve(shared, client, target)).await;
    }
    let declared = shared.protocols.of(target.port());
    if declared == PortProtocol::Opaque {
        return Box::pin(opaque_port(&shared, client, &target)).await;
    }
    let first = Box::pin(first_bytes(&shared, &mut client, &target, declared)).await;
    match first {
        First::Http { ahead, upstream, in_vain } => {
            http::serve(shared, client, target, ahead, (upstream, in_vain)).await;
        }
        First::Http2 { ahead, upstream } => {
            Box::pin(http2::serve(shared, client, target, ahead, upstream)).await;
        }
        First::Opaque { bypass, mut ahead, upstream } => {
            let _relayed = bypass.map(|bypass| shared.metrics.relayed(bypass, target.port()));
            if bypass == Some(Bypass::Tls) {
                Box::pin(tell_name(&mut client, &target, &mut ahead)).await;
            }
            Box::pin(relay_all(&shared, client, target.port(), (upstream, ahead.freeze()))).await;
        }
        First::Last { answer } => {
            // An answer of HTTP to nothing, for example 408: pass it on, and let no request follow it.
            let _ = client.stream.write_all(&answer).await;
            let _ = client.stream.shutdown().await;
        }
        First::Mismatch => {
            shared.incident(&Kind::PortProtocol, Some(client.peer), target.port());
            Box::pin(mismatch::turn_away(client.stream, declared)).await;
        }
        First::Reset => reset(client.stream),
        First::Close => drop(client.stream),
    }
}

/// Lets a declared load balancer say whose connection this is, whatever the mode: the application never sees its header.
/// `false` where it does not say it.
async fn introduced(shared: &Shared, client: &mut Client, port: u16) -> bool {
    match proxy_protocol::read(&mut client.stream, shared.timers.first_byte).await {
        Ok(address) => {
            client.peer = address.unwrap_or(client.peer);
            true
        }
        Err(error) => {
            shared.incident(&Kind::ProxyProtocol, Some(client.peer), port);
            tracing::debug!(%error, "the connection does not begin with the PROXY protocol");
            false
        }
    }
}

/// Logs for which name TLS passes without inspection, where the log goes into such detail.
async fn tell_name(client: &mut Client, target: &Target, ahead: &mut BytesMut) {
    if tracing::enabled!(tracing::Level::DEBUG) {
        let name = hello::name(&mut client.stream, ahead).await;
        let (peer, port, server_name) =
            (client.peer.ip(), target.port(), name.as_deref().unwrap_or_default());
        tracing::debug!(%peer, port, server_name, "TLS is relayed without inspection");
    }
}

async fn opaque_port(shared: &Arc<Shared>, client: Client, target: &Target) {
    match dial(target, shared).await {
        Ok(upstream) => {
            let _relayed = shared.metrics.relayed(Bypass::OpaquePort, target.port());
            relay_all(shared, client, target.port(), (upstream, Bytes::new())).await;
        }
        Err(_) => reset(client.stream),
    }
}

async fn relay_all(shared: &Arc<Shared>, client: Client, port: u16, (upstream, ahead): (Stream, Bytes)) {
    let Client { stream: client, peer, place: _place } = client;
    let _in_flight = shared.drain.begin();
    let activity = Activity::new();
    let mut client = Noted::client(client, ahead, &activity);
    let mut upstream = Noted::upstream(upstream, Bytes::new(), &activity);
    let end = relay::run(&mut client, &mut upstream, shared.timers.opaque_idle).await;
    if end == relay::End::Idle {
        shared.incident(&Kind::Timeout(Timeout::OpaqueIdle), Some(peer), port);
    }
    relay::close(end, client.into_inner(), upstream.into_inner());
}

/// What the first bytes of a connection decide.
enum First {
    /// HTTP/1. A gateway may have no upstream yet, or the request has waited for one in vain.
    Http { ahead: Bytes, upstream: Option<Stream>, in_vain: bool },
    /// HTTP/2. A gateway may have no upstream.
    Http2 { ahead: Bytes, upstream: Option<Stream> },
    /// Not inspected; no reason is needed where there is nothing to inspect.
    Opaque { bypass: Option<Bypass>, ahead: BytesMut, upstream: Stream },
    /// The application spoke HTTP before the client did.
    Last { answer: Bytes },
    /// One of them speaks something else than the port is declared to.
    Mismatch,
    /// The application refused or broke off.
    Reset,
    /// Nobody has anything to say.
    Close,
}

/// The application's side while the first bytes are awaited.
enum Upstream {
    Open(Stream),
    Refused,
}

async fn first_bytes(shared: &Shared, client: &mut Client, target: &Target, declared: PortProtocol) -> First {
    let (peer, client) = (client.peer, &mut client.stream);
    let mut dialling = std::pin::pin!(dial(target, shared));
    // In TLS the application is asked for the client's protocol, which has to be told before.
    let at_once = !matches!(target, Target::Tls(secured) if secured.waits_for_protocol());
    let mut upstream: Option<Upstream> = None;
    let mut ahead = BytesMut::new();
    let mut greeting = [0; protocol::GREETING];
    let mut greeted = false;
    // The head's time begins with its first byte and never again: bytes must not buy more of it.
    let mut overdue = std::pin::pin!(sleep_until(Instant::now() + shared.timers.first_byte));
    let mut begun = false;
    let told = loop {
        tokio::select! {
            biased;
            read = poll_fn(|context| poll_ahead(client, &mut ahead, context)) => match read {
                Err(_) => return First::Close,
                // Half-closed without a request: a port check, or a client of a protocol that is no HTTP.
                Ok(0) if ahead.is_empty() => break None,
                Ok(0) => break Some(protocol::tell_last(&ahead)),
                Ok(_) => match protocol::tell(&ahead) {
                    Some(protocol) => break Some(protocol),
                    None if ahead.len() > protocol::MAX_LINE => {
                        shared.incident(&Kind::RequestSyntax, Some(peer), target.port());
                        return First::Close;
                    }
                    None if !std::mem::replace(&mut begun, true) => {
                        overdue.as_mut().reset(Instant::now() + shared.timers.head);
                    }
                    None => {}
                },
            },
            dialled = &mut dialling, if at_once && upstream.is_none() => match (dialled, target) {
                (Ok(stream), _) => upstream = Some(Upstream::Open(stream)),
                (Err(_), Target::Pod(_) | Target::Served(_)) => return First::Reset,
                (Err(_), Target::Gateway(..) | Target::Tls(_)) => upstream = Some(Upstream::Refused),
            },
            peeked = peek(upstream.as_ref(), &mut greeting), if !greeted => match peeked {
                Err(_) => return First::Reset,
                Ok(0) => return First::Close,
                Ok(length) => match protocol::tell_greeting(greeting.get(..length).unwrap_or_default()) {
                    // It says nothing about this client.
                    Greeting::Http2 => greeted = true,
                    Greeting::Http1 => return last(upstream).await,
                    Greeting::Other if declared.is_http() => return First::Mismatch,
                    Greeting::Other => return opaque(upstream, Some(Bypass::Opaque), ahead),
                },
            },
            () = &mut overdue => {
                let late = if begun { Timeout::Head } else { Timeout::FirstByte };
                shared.incident(&Kind::Timeout(late), Some(peer), target.port());
                return First::Close;
            }
        }
    };
    if let (Target::Tls(secured), Some(told)) = (target, told) {
        secured.speak(told);
    }
    let (upstream, in_vain) = if let Some(upstream) = upstream {
        (Some(upstream), false)
    } else {
        let dialled = dialling.await.ok().map(Upstream::Open);
        let in_vain = dialled.is_none();
        (dialled, in_vain)
    };
    match decide(protocol::course(declared, told), upstream, target, ahead) {
        First::Http { ahead, upstream, .. } => First::Http { ahead, upstream, in_vain },
        first => first,
    }
}

/// Reads some bytes. Nothing is reserved for a client that sends none.
fn poll_ahead(
    client: &mut Stream,
    ahead: &mut BytesMut,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut space = [MaybeUninit::uninit(); 4096];
    let mut buffer = ReadBuf::uninit(&mut space);
    ready!(Pin::new(client).poll_read(context, &mut buffer))?;
    ahead.extend_from_slice(buffer.filled());
    Poll::Ready(Ok(buffer.filled().len()))
}

/// What the client's first bytes and the dial together mean.
fn decide(course: Course, upstream: Option<Upstream>, target: &Target, ahead: BytesMut) -> First {
    match course {
        Course::Http1 => match (upstream, target) {
            (Some(Upstream::Open(stream)), _) => {
                First::Http { ahead: ahead.freeze(), upstream: Some(stream), in_vain: false }
            }
            (_, Target::Gateway(..) | Target::Tls(_)) => {
                First::Http { ahead: ahead.freeze(), upstream: None, in_vain: false }
            }
            (_, Target::Pod(_) | Target::Served(_)) => First::Reset,
        },
        Course::Http2 => match (upstream, target) {
            (Some(Upstream::Open(stream)), _) => {
                First::Http2 { ahead: ahead.freeze(), upstream: Some(stream) }
            }
            (_, Target::Gateway(..) | Target::Tls(_)) => {
                First::Http2 { ahead: ahead.freeze(), upstream: None }
            }
            (_, Target::Pod(_) | Target::Served(_)) => First::Reset,
        },
        Course::Relay(bypass) => opaque(upstream, bypass, ahead),
        Course::Refuse => First::Mismatch,
    }
}

fn opaque(upstream: Option<Upstream>, bypass: Option<Bypass>, ahead: BytesMut) -> First {
    match upstream {
        Some(Upstream::Open(upstream)) => First::Opaque { bypass, ahead, upstream },
        _ => First::Reset,
    }
}

/// What the application said although nobody asked; it stays where it is. An application that is spoken to in TLS
/// waits for its client.
async fn peek(upstream: Option<&Upstream>, greeting: &mut [u8]) -> io::Result<usize> {
    match upstream {
        Some(Upstream::Open(Stream::Plain(socket))) => socket.peek(greeting).await,
        _ => std::future::pending().await,
    }
}

async fn last(upstream: Option<Upstream>) -> First {
    let Some(Upstream::Open(mut upstream)) = upstream else { return First::Reset };
    let mut answer = BytesMut::with_capacity(4096);
    match upstream.read_buf(&mut answer).await {
        Ok(_) => First::Last { answer: answer.freeze() },
        Err(_) => First::Reset,
    }
}
