//! What sidecar and gateway share: building the state, opening sockets, starting threads, and leaving in good order.
//!
//! The main thread runs what must not wait for traffic: signals, the control socket, reports. Each worker is a thread
//! with a runtime of its own and takes connections from the same listening sockets; the admin endpoints and the policy
//! have threads as well (see [`admin`], [`policy`]).
//!
//! On SIGTERM or SIGINT nothing is cut off: connections stop being kept alive, what is in flight may end within the
//! grace, then the process exits with 0. The grace begins with the drain that a pod's `preStop` asks for, as that of the
//! kubelet does. A second signal ends it at once.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rasp_engine::{BuildError, Ruleset};
use rasp_policy::api::Mode;
use rasp_policy::precedence::Effective;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::{self, Admin};
use crate::connection::Target;
use crate::limits::Limits;
use crate::listener;
use crate::metrics::Metrics;
use crate::reason::{Kind, Shed};
use crate::state::Shared;
use crate::{control, event, policy, tls, worker};

/// Why a process cannot start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A socket cannot be opened.
    #[error("listen on {address}: {source}")]
    Listen {
        /// Its address.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The metrics cannot be registered.
    #[error("register metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The built-in policy cannot be compiled.
    #[error("compile the built-in policy: {0}")]
    Builtin(#[from] BuildError),
    /// The policy file was refused.
    #[error("policy file: {0}")]
    PolicyFile(#[from] policy::file::Error),
    /// A worker ended, and connections would no longer be taken.
    #[error("a worker ended: {0}")]
    Worker(io::Error),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] tls::declared::Error),
    /// The system refuses a thread, a runtime or a signal handler.
    #[error("start: {0}")]
    Start(#[from] io::Error),
}

/// A Ruleset with everything Off.
pub fn unjudged() -> Result<Ruleset, BuildError> {
    Ruleset::build(&Effective::builtin().in_mode(Mode::Off))
}

/// Metrics, and events on standard output.
pub fn telemetry() -> Result<(Arc<Metrics>, event::Sink, event::Writer), Error> {
    let metrics = Arc::new(Metrics::new()?);
    let (events, writer) = event::Sink::start(io::stdout(), Arc::clone(&metrics))?;
    Ok((metrics, events, writer))
}

/// Opens a listening socket.
pub fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    let unspecified = address.ip().is_unspecified() && address.is_ipv6();
    if unspecified { listener::bind_any(address.port()) } else { listener::bind(address) }
        .map_err(|source| Error::Listen { address: address.to_string(), source })
}

/// Opens the control socket.
pub fn listen_control(path: &Path) -> Result<std::os::unix::net::UnixListener, Error> {
    control::bind(path).map_err(|source| Error::Listen { address: path.display().to_string(), source })
}

/// What a process serves.
pub struct Sockets {
    /// Where connections arrive.
    pub traffic: Vec<TcpListener>,
    /// `/metrics`, `/livez`, `/readyz`.
    pub admin: Option<TcpListener>,
    /// The control socket.
    pub control: Option<std::os::unix::net::UnixListener>,
}

/// Serves until a signal ends the process, drains, and waits a moment for events. `find` says where a connection goes,
/// or resets it; `beside` runs on the main thread.
pub fn run(
    shared: &Arc<Shared>,
    sockets: Sockets,
    (limits, grace): (&Limits, Duration),
    writer: &event::Writer,
    beside: impl Future<Output = ()> + Send + 'static,
    find: impl Fn(&TcpStream, SocketAddr) -> Option<Target> + Clone + Send + Sync + 'static,
) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let admin = Arc::new(Admin {
        metrics: Arc::clone(&shared.metrics),
        policy: Arc::clone(&shared.policy),
        tls: Arc::clone(&shared.tls),
        listening: AtomicBool::new(false),
    });
    if let Some(socket) = sockets.admin {
        admin::start(socket, Arc::clone(&admin))?;
    }
    let workers = worker::start((limits.workers, limits.connections), &sockets.traffic, shared, find)?;
    admin.listening.store(true, Ordering::Release);
    let done = runtime.block_on(async {
        tokio::spawn(beside);
        if let Some(socket) = sockets.control {
            tokio::spawn(control::run(socket, shared.drain.clone()));
        }
        tokio::spawn(Arc::clone(&shared.load.pressure).watch());
        until_ended(shared, workers, grace).await
    });
    runtime.shutdown_background();
    writer.finish(Duration::from_millis(500));
    done
}

async fn until_ended(shared: &Shared, mut workers: worker::Ended, grace: Duration) -> Result<(), Error> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        error = workers.first() => return Err(Error::Worker(error)),
    }
    tracing::info!(in_flight = shared.drain.in_flight(), "ending after what is in flight");
    tokio::select! {
        finished = shared.drain.finish(shared.drain.left(grace)) => {
            if !finished {
                shared.incident(&Kind::Shed(Shed::Shutdown), None, 0);
                tracing::warn!(in_flight = shared.drain.in_flight(), "the time is up, ending now");
            }
        }
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
