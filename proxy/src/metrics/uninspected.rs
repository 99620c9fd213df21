//! Ports whose connections are, or were of late, relayed without inspection: what the report says of them.
//!
//! A counter cannot be taken back, a status has to be: once a port is declared, or a client has stopped, nobody should
//! have to restart a pod to see it. A connection counts for as long as it is open, and for [`UNINSPECTED_WINDOW`] after.
//! Never more than [`MAX_UNINSPECTED`] pairs, however many ports are scanned. Kept by [`super::Metrics`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rasp_policy::report::{MAX_UNINSPECTED, UNINSPECTED_WINDOW, Uninspected};
use tokio::sync::Notify;

/// Pairs of port and reason.
#[derive(Debug, Default)]
pub struct Ports {
    known: Mutex<BTreeMap<Uninspected, Seen>>,
    grew: Notify,
}

#[derive(Debug)]
struct Seen {
    open: usize,
    last: Instant,
}

impl Seen {
    fn is_recent(&self, now: Instant) -> bool {
        self.open > 0 || now.saturating_duration_since(self.last) < UNINSPECTED_WINDOW
    }
}

/// A connection that is relayed without inspection until this is dropped.
#[derive(Debug)]
#[must_use = "the connection is told as long as this lives"]
pub struct Relayed(Option<(Arc<Ports>, Uninspected)>);

impl Relayed {
    /// Of a connection that no report tells.
    pub(super) fn untold() -> Self {
        Self(None)
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        let Some((ports, what)) = &self.0 else { return };
        ports.ended(*what, Instant::now());
    }
}

impl Ports {
    /// Takes note of a connection.
    pub(super) fn begin(self: &Arc<Self>, what: Uninspected, now: Instant) -> Relayed {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, seen| seen.is_recent(now));
        if let Some(seen) = known.get_mut(&what) {
            seen.open += 1;
        } else if known.len() < MAX_UNINSPECTED {
            known.insert(what, Seen { open: 1, last: now });
            self.grew.notify_one();
        } else {
            return Relayed::untold();
        }
        Relayed(Some((Arc::clone(self), what)))
    }

    fn ended(&self, what: Uninspected, now: Instant) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = known.get_mut(&what) {
            seen.open = seen.open.saturating_sub(1);
            seen.last = now;
        }
    }

    /// Those of now and of late.
    pub(super) fn recent(&self, now: Instant) -> Vec<Uninspected> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter(|(_, seen)| seen.is_recent(now)).map(|(what, _)| *what).collect()
    }

    /// Waits for a pair that was not there before.
    pub(super) async fn grew(&self) {
        self.grew.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rasp_policy::report::UninspectedReason;

    use super::*;

    fn pair(port: u16) -> Uninspected {
        Uninspected { port, reason: UninspectedReason::Opaque }
    }

    #[test]
    fn a_port_is_told_while_a_connection_is_open_and_an_hour_longer() {
        let (ports, start) = (Arc::new(Ports::default()), Instant::now());
        let day = Duration::from_hours(24);
        let (first, second) = (ports.begin(pair(5432), start), ports.begin(pair(5432), start));
        assert_eq!(ports.recent(start + day), [pair(5432)], "two open");
        drop(first);
        assert_eq!(ports.recent(start + day), [pair(5432)], "one open");
        drop(second);
        let end = Instant::now();
        assert_eq!(ports.recent(end + UNINSPECTED_WINDOW / 2), [pair(5432)], "of late");
        assert_eq!(ports.recent(end + UNINSPECTED_WINDOW), [], "long ago");
    }

    #[test]
    fn a_scan_fills_the_list_only_until_its_connections_are_long_ago() {
        let (ports, start) = (Arc::new(Ports::default()), Instant::now());
        for port in 1..=2000 {
            drop(ports.begin(pair(port), start));
        }
        assert_eq!(ports.recent(Instant::now()).len(), MAX_UNINSPECTED);
        let later = Instant::now() + UNINSPECTED_WINDOW;
        let _open = ports.begin(pair(9999), later);
        assert_eq!(ports.recent(later), [pair(9999)]);
    }
}
