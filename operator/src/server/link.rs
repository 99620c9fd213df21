//! A connection as those who answer its requests see it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::crowd::Seat;

/// The place of a connection among those of the listener, and among those of its address.
pub(super) type Place = (OwnedSemaphorePermit, Arc<Seat>);

/// A connection.
#[derive(Clone)]
pub struct Link(Arc<State>);

struct State {
    tls_1_3: bool,
    place: Mutex<Option<Place>>,
    end: CancellationToken,
    busy: AtomicUsize,
    requests: AtomicU64,
}

/// Counts as a request in flight.
pub struct Busy(Link);

impl Link {
    /// A connection that has this place among those of the listener until it ends, or [`Link::leave_queue`].
    pub(super) fn new(place: Place, tls_1_3: bool) -> Self {
        Self(Arc::new(State {
            tls_1_3,
            place: Mutex::new(Some(place)),
            end: CancellationToken::new(),
            busy: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
        }))
    }

    /// Whether it speaks TLS 1.3.
    pub fn is_tls_1_3(&self) -> bool {
        self.0.tls_1_3
    }

    /// Gives the place back: whoever calls it counts the connection itself from here on.
    pub fn leave_queue(&self) {
        if let Some((_, seat)) = self.0.place.lock().unwrap_or_else(PoisonError::into_inner).take() {
            seat.give_up();
        }
    }

    fn has_left_queue(&self) -> bool {
        self.0.place.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Cancelled when the connection is about to end; cancel it to end an HTTP/2 connection.
    pub fn end(&self) -> &CancellationToken {
        &self.0.end
    }

    /// A request is in flight as long as this lives.
    pub fn busy(&self) -> Busy {
        self.0.busy.fetch_add(1, Ordering::Relaxed);
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Waits until there was no request for `long`, or less than twice as long. Never for a connection that carries a
    /// stream: that one ends with the stream.
    pub async fn idle(&self, long: Duration) {
        let mut seen = 0;
        loop {
            tokio::time::sleep(long).await;
            let requests = self.0.requests.load(Ordering::Relaxed);
            if requests == seen && self.0.busy.load(Ordering::Relaxed) == 0 && !self.has_left_queue() {
                return;
            }
            seen = requests;
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}
