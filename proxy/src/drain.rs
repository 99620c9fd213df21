//! Knows what is in flight and whether the process is on its way out.
//!
//! While draining, new connections and requests are still served, each response says `connection: close`. Called by
//! connections and exchanges; ended by SIGTERM or the control socket.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::load::Admitted;

/// In-flight work must be absent for so long: a client that just read `connection: close` dials again at once.
const QUIET: Duration = Duration::from_millis(100);

/// What is in flight has so long in any case.
const LEAST: Duration = Duration::from_secs(1);

/// Shared by everything that is in flight.
#[derive(Clone, Debug, Default)]
pub struct Drain(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    draining: CancellationToken,
    began: OnceLock<Instant>,
    in_flight: AtomicUsize,
    changed: Notify,
}

/// Something that is in flight until it is dropped.
#[derive(Debug)]
pub struct InFlight {
    drain: Arc<Inner>,
    admitted: Option<Admitted>,
}

impl InFlight {
    /// It takes a place among the requests that are served at once.
    pub fn admit(&mut self, admitted: Admitted) {
        self.admitted = Some(admitted);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.drain.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 && self.drain.draining.is_cancelled() {
            self.drain.changed.notify_waiters();
        }
    }
}

impl Drain {
    /// Something begins.
    pub fn begin(&self) -> InFlight {
        self.0.in_flight.fetch_add(1, Ordering::AcqRel);
        InFlight { drain: Arc::clone(&self.0), admitted: None }
    }

    /// From now on connections are not kept alive.
    pub fn start(&self) {
        self.0.began.get_or_init(Instant::now);
        self.0.draining.cancel();
    }

    /// What is left of a time that began with the drain. A moment is left in any case: the kubelet gives two seconds to
    /// a container whose `preStop` took all the time.
    pub fn left(&self, grace: Duration) -> Duration {
        let gone = self.0.began.get().map_or(Duration::ZERO, Instant::elapsed);
        grace.saturating_sub(gone).max(LEAST)
    }

    /// Whether the process is on its way out.
    pub fn is_draining(&self) -> bool {
        self.0.draining.is_cancelled()
    }

    /// Resolves when the process is on its way out.
    pub async fn started(&self) {
        self.0.draining.cancelled().await;
    }

    /// Number of requests and opaque connections in flight.
    pub fn in_flight(&self) -> usize {
        self.0.in_flight.load(Ordering::Acquire)
    }

    /// Starts to drain and waits until nothing is in flight; `false` when the time is up first.
    pub async fn finish(&self, within: Duration) -> bool {
        self.start();
        let deadline = Instant::now() + within;
        loop {
            let changed = self.0.changed.notified();
            if self.in_flight() == 0 {
                sleep(QUIET).await;
                if self.in_flight() == 0 {
                    return true;
                }
            } else if timeout_at(deadline, changed).await.is_err() {
                return false;
            }
            if Instant::now() >= deadline {
                return self.in_flight() == 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Drain;

    #[tokio::test]
    async fn waits_for_what_is_in_flight_but_not_longer_than_asked() {
        let drain = Drain::default();
        let work = drain.begin();
        assert!(!drain.finish(Duration::from_millis(50)).await);
        assert!(drain.is_draining());
        let waiting = tokio::spawn({
            let drain = drain.clone();
            async move { drain.finish(Duration::from_secs(10)).await }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!waiting.is_finished());
        drop(work);
        assert!(waiting.await.unwrap());
    }

    #[test]
    fn the_time_begins_with_the_drain_and_a_moment_is_left_in_any_case() {
        let (drain, long, moment) = (Drain::default(), Duration::from_secs(28), Duration::from_millis(20));
        std::thread::sleep(moment);
        assert_eq!(drain.left(long), long);
        drain.start();
        std::thread::sleep(moment);
        drain.start();
        assert!(drain.left(long) + moment <= long, "the second word about it changes nothing");
        assert_eq!(drain.left(moment), Duration::from_secs(1));
    }
}
