//! What sidecar and gateway share: building the state, opening sockets, and leaving in good order.
//!
//! On SIGTERM or SIGINT nothing is cut off: connections stop being kept alive, what is in flight may end within the
//! grace, then the process exits with 0. A second signal ends it at once.

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
use crate::connection::{self, Client, Target};
use crate::listener::{self, Place};
use crate::metrics::Metrics;
use crate::state::Shared;
use crate::{control, event, policy};

/// In-flight work may take so long after SIGTERM; a little less than the default of `terminationGracePeriodSeconds`.
pub const GRACE: Duration = Duration::from_secs(25);

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
    /// The system refuses a thread, a runtime or a signal handler.
    #[error("start: {0}")]
    Start(#[from] io::Error),
}

/// A Ruleset with everything Off.
pub fn unjudged() -> Result<Ruleset, BuildError> {
    let mut effective = Effective::builtin();
    effective.mode = Mode::Off;
    effective.sql_injection.mode = Mode::Off;
    Ruleset::build(&effective)
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
    pub traffic: TcpListener,
    /// `/metrics`, `/livez`, `/readyz`.
    pub admin: Option<TcpListener>,
    /// The control socket.
    pub control: Option<std::os::unix::net::UnixListener>,
}

/// Serves until a signal ends the process, then drains. `find` says where a connection goes, or resets it.
pub async fn run(
    shared: Arc<Shared>,
    sockets: Sockets,
    grace: Duration,
    find: impl Fn(&TcpStream, SocketAddr) -> Option<Target> + Clone + Send + Sync + 'static,
) -> Result<(), Error> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let admin = Arc::new(Admin {
        metrics: Arc::clone(&shared.metrics),
        policy: Arc::clone(&shared.policy),
        listening: AtomicBool::new(false),
    });
    if let Some(socket) = sockets.admin {
        admin::start(socket, Arc::clone(&admin))?;
    }
    if let Some(socket) = sockets.control {
        tokio::spawn(control::run(socket, shared.drain.clone()));
    }
    let serving = tokio::spawn(serve(Arc::clone(&shared), sockets.traffic, find));
    admin.listening.store(true, Ordering::Release);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = serving => return Ok(ended.map_err(io::Error::other)??),
    }
    tracing::info!(in_flight = shared.drain.in_flight(), "ending after what is in flight");
    tokio::select! {
        finished = shared.drain.finish(grace) => {
            if !finished {
                tracing::warn!(in_flight = shared.drain.in_flight(), "the time is up, ending now");
            }
        }
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn serve(
    shared: Arc<Shared>,
    traffic: TcpListener,
    find: impl Fn(&TcpStream, SocketAddr) -> Option<Target> + Clone + Send + Sync + 'static,
) -> impl Future<Output = io::Result<()>> + Send {
    let metrics = Arc::clone(&shared.metrics);
    listener::run(traffic, listener::connection_cap(), metrics, move |stream, peer, place: Place| {
        let (shared, find) = (Arc::clone(&shared), find.clone());
        async move {
            let found = find(&stream, peer);
            let stream = stream.into();
            match found {
                Some(target) => connection::serve(shared, Client { stream, peer, place }, target).await,
                None => listener::reset(stream),
            }
        }
    })
}

/// Runs on all cores until done, then waits a moment for events.
pub fn block_on(work: impl Future<Output = Result<(), Error>>, events: &event::Writer) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    events.finish(Duration::from_millis(500));
    done
}
