//! Opens the listening socket and accepts connections until the process ends.
//!
//! Never dies and never spins: want of file descriptors pauses it, the connection cap holds it back, so that waiting
//! clients stay in the kernel's queue.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::connection::stream::Stream;
use crate::load::pressure::{Level, Pressure};
use crate::metrics::Metrics;
use crate::reason::{Kind, Shed};
use crate::state::Shared;

pub mod destination;
pub mod memory;

/// Connections at once, whatever is configured and whatever the limits of file descriptors and memory.
const MAX_CONNECTIONS: usize = 10_000;
const BACKLOG: i32 = 1024;
/// Pause after `accept` failed: long enough to let connections end, short enough not to be noticed.
const PAUSE: Duration = Duration::from_millis(100);

/// Binds a port on every address: dual stack, or IPv4 alone where the kernel has no IPv6.
pub fn bind_any(port: u16) -> io::Result<std::net::TcpListener> {
    bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).or_else(|error| match error.raw_os_error() {
        Some(EAFNOSUPPORT | EADDRNOTAVAIL) => bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        _ => Err(error),
    })
}

const EADDRNOTAVAIL: i32 = rustix::io::Errno::ADDRNOTAVAIL.raw_os_error();
const EAFNOSUPPORT: i32 = rustix::io::Errno::AFNOSUPPORT.raw_os_error();

/// Binds one address; an unspecified IPv6 address takes IPv4 as well. Accepted connections inherit how it is tuned.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    tune(&socket);
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Descriptors for everything but traffic: listeners, admin connections, policy files, reports.
const RESERVED_FILES: usize = 36;
/// What the runtime of a worker holds, and its share of the listening socket.
const WORKER_FILES: usize = 4;

/// As many connections as file descriptors and memory allow: each may take two descriptors, and each worker has its share
/// of every listening socket.
pub fn connection_cap(workers: usize, sockets: usize) -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let files = limit.current.and_then(|files| usize::try_from(files).ok()).unwrap_or(MAX_CONNECTIONS * 4);
    let more = sockets.saturating_sub(1);
    let reserved = RESERVED_FILES + more + (WORKER_FILES + more) * workers;
    (files.saturating_sub(reserved) / 2).min(files * 45 / 100).clamp(1, memory::here().connections)
}

/// Raises the soft limit of file descriptors to the hard one.
pub fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// A place among the connections that are served at once.
pub type Place = Arc<OwnedSemaphorePermit>;

/// The places of all workers.
#[derive(Clone)]
pub struct Places {
    free: Arc<Semaphore>,
    pressure: Arc<Pressure>,
    shared: Option<Arc<Shared>>,
}

impl Places {
    /// So many.
    pub fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), pressure: Arc::default(), shared: None }
    }

    /// None while memory is short; whoever has to wait for one is an event.
    #[must_use]
    pub fn under(self, shared: &Arc<Shared>) -> Self {
        let pressure = Arc::clone(&shared.load.pressure);
        pressure.counts(&self.free);
        Self { pressure, shared: Some(Arc::clone(shared)), ..self }
    }

    fn shed(&self, metrics: &Metrics, shed: Shed) {
        match &self.shared {
            Some(shared) => shared.incident(&Kind::Shed(shed), None, 0),
            None => metrics.error(&Kind::Shed(shed)),
        }
    }

    /// Waits for a place; `None` when there will be none any more.
    async fn next(&self, metrics: &Metrics) -> Option<OwnedSemaphorePermit> {
        if self.pressure.level() == Level::Closed {
            self.shed(metrics, Shed::Accept);
            while self.pressure.level() == Level::Closed {
                tokio::time::sleep(PAUSE).await;
            }
        }
        if let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(place);
        }
        self.shed(metrics, Shed::Connections);
        loop {
            // Clients that may be idle for an hour must not keep others out.
            self.pressure.make_room();
            if let Ok(place) = timeout(PAUSE, Arc::clone(&self.free).acquire_owned()).await {
                return place.ok();
            }
        }
    }
}

/// Accepts until the process ends, from all of the sockets in turn. `serve` gets each connection with the client's address.
pub async fn run<F>(
    listeners: Vec<std::net::TcpListener>,
    places: Places,
    metrics: Arc<Metrics>,
    serve: impl Fn(TcpStream, SocketAddr, Place) -> F,
) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let listeners = listeners.into_iter().map(TcpListener::from_std).collect::<io::Result<Vec<_>>>()?;
    let (mut failing, mut turn) = (false, 0);
    loop {
        let Some(place) = places.next(&metrics).await else { return Ok(()) };
        match accept(&listeners, &mut turn).await {
            Ok((stream, peer)) => {
                failing = false;
                tokio::spawn(serve(stream, peer, Arc::new(place)));
            }
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                metrics.error(&Kind::Accept);
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "accept failed, trying again until it works");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The next connection of any socket. The one that gave the last is asked last, so that no port starves another.
async fn accept(listeners: &[TcpListener], turn: &mut usize) -> io::Result<(TcpStream, SocketAddr)> {
    poll_fn(|context| {
        let (before, after) = listeners.split_at(*turn % listeners.len().max(1));
        for listener in after.iter().chain(before) {
            *turn = turn.wrapping_add(1);
            if let Poll::Ready(accepted) = listener.poll_accept(context) {
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    })
    .await
}

/// Errors of one connection that was gone before it was accepted.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// A peer that acknowledges nothing of what was sent, or takes nothing, is given up after so long: nothing else ends an
/// exchange whose client stopped reading.
const UNACKNOWLEDGED: Duration = Duration::from_secs(120);

/// Small writes leave at once, and a peer that vanished without a word is noticed.
pub(crate) fn tune<'s>(socket: impl Into<SockRef<'s>>) {
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));
    let socket = socket.into();
    // They only fail on a socket that is already dead; the next read says so.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&keepalive);
    let _ = socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
}

/// Ends a connection as a closed port would: with a reset.
pub(crate) fn reset(stream: Stream) {
    reset_on_close(stream.socket());
    drop(stream);
}

/// Makes whoever closes the socket reset it.
pub(crate) fn reset_on_close(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use socket2::SockRef;

    #[tokio::test]
    async fn a_busy_port_does_not_keep_another_one_waiting() {
        let sockets = [0; 3].map(|_| super::bind("127.0.0.1:0".parse().unwrap()).unwrap());
        let addresses = sockets.each_ref().map(|socket| socket.local_addr().unwrap());
        let listeners: Vec<_> =
            sockets.into_iter().map(|socket| tokio::net::TcpListener::from_std(socket).unwrap()).collect();
        let mut clients = Vec::new();
        for address in [addresses[0]; 5].iter().chain(&addresses[1..]) {
            clients.push(tokio::net::TcpStream::connect(address).await.unwrap());
        }
        let (mut turn, mut order) = (0, Vec::new());
        for _ in &clients {
            let (stream, _) = super::accept(&listeners, &mut turn).await.unwrap();
            order.push(addresses.iter().position(|at| *at == stream.local_addr().unwrap()).unwrap());
        }
        assert_eq!(order[..3], [0, 1, 2], "each in its turn: {order:?}");
        assert_eq!(order[3..], [0; 4], "{order:?}");
    }

    #[tokio::test]
    async fn a_peer_that_acknowledges_nothing_is_given_up_whoever_connected() {
        let listener = super::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let dialled = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        super::tune(&dialled);
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        for stream in [&dialled, &accepted] {
            let socket = SockRef::from(stream);
            assert!(socket.tcp_nodelay().unwrap());
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(15));
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(120)));
        }
    }
}
