//! Remembers which ports of the application let connections time out, so that not every client waits for the same.
//!
//! A refused port is not remembered: it is refused again at once, and taken again at once. Called by the dialler.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failing for so long is no accident.
const PATIENCE: Duration = Duration::from_secs(1);
/// One connection is tried so often all the same: an application that is back is noticed within two of these.
const TRIAL: Duration = Duration::from_millis(50);
/// Ports that are remembered; more are dialled as if nothing had happened.
const MOST: usize = 64;

/// Ports of the application that let connections time out.
#[derive(Debug, Default)]
pub struct Reach {
    any: AtomicBool,
    failing: Mutex<HashMap<u16, Failing>>,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    since: Instant,
    tried: Instant,
}

impl Reach {
    /// Whether to dial at all.
    pub fn may_dial(&self, port: u16) -> bool {
        !self.any.load(Ordering::Relaxed) || self.may_dial_at(port, Instant::now())
    }

    fn may_dial_at(&self, port: u16, now: Instant) -> bool {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = failing.get_mut(&port) else { return true };
        if now.duration_since(known.since) < PATIENCE {
            return true;
        }
        let tries = now.duration_since(known.tried) >= TRIAL;
        if tries {
            known.tried = now;
        }
        tries
    }

    /// The application took or refused a connection.
    pub fn answered(&self, port: u16) {
        if self.any.load(Ordering::Relaxed) {
            let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
            failing.remove(&port);
            self.any.store(!failing.is_empty(), Ordering::Relaxed);
        }
    }

    /// A connection timed out that was dialled at `began`.
    pub fn timed_out(&self, port: u16, began: Instant) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if failing.len() < MOST || failing.contains_key(&port) {
            failing.entry(port).or_insert(Failing { since: began, tried: began });
            self.any.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Reach;

    #[test]
    fn a_port_that_times_out_for_a_second_is_tried_now_and_then_until_it_answers() {
        let (reach, start) = (Reach::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert!(reach.may_dial(80));
        reach.timed_out(80, start);
        reach.timed_out(80, at(300));
        assert!(reach.may_dial_at(80, at(600)), "that may be an accident");
        assert!(reach.may_dial_at(80, at(1000)), "one tries");
        assert!(!reach.may_dial_at(80, at(1010)), "and the others do not wait for it");
        assert!(reach.may_dial_at(80, at(1050)));
        assert!(reach.may_dial_at(81, at(1051)), "another port is another application");
        reach.answered(80);
        assert!(reach.may_dial_at(80, at(1052)) && reach.may_dial_at(80, at(1053)));
    }

    #[test]
    fn no_scan_of_ports_grows_what_is_remembered() {
        let reach = Reach::default();
        (0..1000).for_each(|port| reach.timed_out(port, Instant::now()));
        assert_eq!(reach.failing.lock().unwrap().len(), super::MOST);
    }
}
