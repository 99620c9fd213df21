//! The threads that serve connections, each with a runtime of its own: a connection stays on the thread that accepted
//! it, and no other thread ever polls it.
//!
//! All take connections from the same sockets, so that a busy worker leaves them to the others. Called by [`crate::process`].

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::connection::{self, Client, Target};
use crate::listener::{self, Places};
use crate::state::Shared;

/// Tells when a worker ended, which none should.
#[derive(Debug)]
pub struct Ended(mpsc::UnboundedReceiver<io::Error>);

impl Ended {
    /// Resolves with what ended the first worker.
    pub async fn first(&mut self) -> io::Error {
        self.0.recv().await.unwrap_or_else(|| io::Error::other("all workers are gone"))
    }
}

/// Starts so many workers, for so many connections together. `find` says where a connection goes, or resets it.
pub fn start(
    (count, most_connections): (usize, usize),
    listeners: &[std::net::TcpListener],
    shared: &Arc<Shared>,
    find: impl Fn(&TcpStream, SocketAddr) -> Option<Target> + Clone + Send + Sync + 'static,
) -> io::Result<Ended> {
    let cap = listener::connection_cap(count, listeners.len()).min(most_connections);
    let places = Places::new(cap).under(shared);
    let (ended, receiver) = mpsc::unbounded_channel();
    for index in 0..count {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let sockets =
            listeners.iter().map(std::net::TcpListener::try_clone).collect::<io::Result<Vec<_>>>()?;
        let (places, shared) = (places.clone(), Arc::clone(shared));
        let (find, ended) = (find.clone(), ended.clone());
        std::thread::Builder::new().name(format!("rasp-worker-{index}")).spawn(move || {
            let serving = serve(shared, sockets, places, find);
            let end = catch_unwind(AssertUnwindSafe(|| runtime.block_on(serving)))
                .unwrap_or_else(|_| Err(io::Error::other("it panicked")));
            let _ = ended.send(end.err().unwrap_or_else(|| io::Error::other("it stopped")));
        })?;
    }
    Ok(Ended(receiver))
}

async fn serve(
    shared: Arc<Shared>,
    traffic: Vec<std::net::TcpListener>,
    places: Places,
    find: impl Fn(&TcpStream, SocketAddr) -> Option<Target> + Clone + Send + Sync + 'static,
) -> io::Result<()> {
    let metrics = Arc::clone(&shared.metrics);
    listener::run(traffic, places, metrics, move |stream, peer, place| {
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
    .await
}
