//! Leaves inspection out for a while when it keeps failing, so that a bug of a detector does not become an outage of the
//! application, or a processor that does nothing else. What is not inspected counts as not judged.
//!
//! Panics and overruns are kept apart. A panic may come with any request; what takes too long is a large body, and a head
//! that is always cheap goes on being judged, or whoever sends expensive bodies would open the way for everything else.
//! Called by [`crate::exchange`]; there is one circuit of each kind for each class of the engine.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rasp_engine::Class;
use tokio::sync::Notify;

/// Failures are counted over so long.
const WINDOW: Duration = Duration::from_secs(60);
/// Inspection is left out for so long; then one request tries.
pub const OPEN: Duration = Duration::from_secs(10);
/// Bytes that are inspected in next to no time, whatever they are.
pub const SMALL: usize = 8 << 10;

/// The circuits of every class.
#[derive(Debug)]
pub struct Breaker {
    budget: Duration,
    start: Instant,
    classes: [Circuits; Class::ALL.len()],
    changed: Notify,
}

#[derive(Debug)]
struct Circuits {
    panics: Circuit,
    overruns: Circuit,
}

/// How an inspection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As it should, after so much time of the processor.
    Done(Duration),
    /// The detector panicked.
    Panicked,
}

/// Something that may fail so often within a minute.
#[derive(Debug)]
struct Circuit {
    most: usize,
    // Milliseconds after the start at which the next one tries; 0 while closed.
    retry_at: AtomicU64,
    failures: Mutex<VecDeque<u64>>,
}

impl Breaker {
    /// A breaker for inspections that may take `budget`, and may fail so often within a minute.
    pub fn new(budget: Duration, most: usize) -> Self {
        let circuit = || Circuit { most, retry_at: AtomicU64::new(0), failures: Mutex::default() };
        let classes = Class::ALL.map(|_| Circuits { panics: circuit(), overruns: circuit() });
        Self { budget, start: Instant::now(), classes, changed: Notify::new() }
    }

    /// Whether the class is run on a message of so many bytes.
    pub fn admits(&self, class: Class, bytes: usize) -> bool {
        let circuits = self.of(class);
        (circuits.panics.is_closed() && circuits.overruns.is_closed()) || self.tries(circuits, bytes)
    }

    fn tries(&self, circuits: &Circuits, bytes: usize) -> bool {
        let now = self.now();
        circuits.panics.admits(now) && (bytes <= SMALL || circuits.overruns.admits(now))
    }

    /// Notes how the inspection of a message of so many bytes ended; `true` when it used up its budget.
    pub fn note(&self, class: Class, bytes: usize, end: End) -> bool {
        let circuits = self.of(class);
        let now = || self.now();
        let overran = matches!(end, End::Done(time) if time > self.budget && bytes > SMALL);
        let mut changed = match end {
            End::Panicked => circuits.panics.failed(now()),
            End::Done(_) => circuits.panics.held(),
        };
        if overran {
            changed |= circuits.overruns.failed(now());
        } else if bytes > SMALL && matches!(end, End::Done(_)) {
            changed |= circuits.overruns.held();
        }
        if changed {
            let suspended = self.is_suspended(class);
            tracing::error!(class = class.as_str(), suspended, "inspection is suspended, or goes on again");
            self.changed.notify_one();
        }
        overran
    }

    /// Whether a class is not run, or not on large bodies.
    pub fn is_suspended(&self, class: Class) -> bool {
        let circuits = self.of(class);
        !circuits.panics.is_closed() || !circuits.overruns.is_closed()
    }

    /// Resolves when a class was suspended or goes on again.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn of(&self, class: Class) -> &Circuits {
        &self.classes[class.index()]
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }
}

impl Circuit {
    fn is_closed(&self) -> bool {
        self.retry_at.load(Ordering::Acquire) == 0
    }

    /// Closed, or this one is the one that tries.
    fn admits(&self, now: u64) -> bool {
        let retry_at = self.retry_at.load(Ordering::Acquire);
        let next = now.saturating_add(millis(OPEN));
        retry_at == 0
            || (now >= retry_at
                && self
                    .retry_at
                    .compare_exchange(retry_at, next, Ordering::AcqRel, Ordering::Acquire)
                    .is_ok())
    }

    /// Counts a failure; `true` when it opened the circuit.
    fn failed(&self, now: u64) -> bool {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        while failures.front().is_some_and(|at| now.saturating_sub(*at) > millis(WINDOW)) {
            failures.pop_front();
        }
        failures.push_back(now);
        if failures.len() < self.most && self.is_closed() {
            return false;
        }
        failures.clear();
        self.retry_at.swap(now.saturating_add(millis(OPEN)), Ordering::AcqRel) == 0
    }

    /// What was tried held; `true` when that closed the circuit.
    fn held(&self) -> bool {
        !self.is_closed() && self.retry_at.swap(0, Ordering::AcqRel) != 0
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rasp_engine::Class;

    use super::{Breaker, End, OPEN, SMALL, millis};

    const CLASS: Class = Class::SqlInjection;
    const QUICK: End = End::Done(Duration::from_millis(1));
    const SLOW: End = End::Done(Duration::from_millis(51));
    const BUDGET: Duration = Duration::from_millis(50);

    #[test]
    fn repeated_panics_suspend_a_class_and_one_that_holds_brings_it_back() {
        let breaker = Breaker::new(BUDGET, 3);
        for _ in 0..2 {
            breaker.note(CLASS, 0, End::Panicked);
            assert!(breaker.admits(CLASS, 0));
        }
        breaker.note(CLASS, 0, End::Panicked);
        assert!(breaker.is_suspended(CLASS) && !breaker.admits(CLASS, 0));

        let panics = &breaker.classes[0].panics;
        let later = breaker.now() + millis(OPEN) + 1;
        assert!(panics.admits(later), "one tries");
        assert!(!panics.admits(later), "and only one");
        breaker.note(CLASS, 0, End::Panicked);
        assert!(breaker.is_suspended(CLASS), "it failed again");
        breaker.note(CLASS, 0, QUICK);
        assert!(!breaker.is_suspended(CLASS) && breaker.admits(CLASS, 0));
    }

    #[test]
    fn failures_that_are_a_minute_apart_are_accidents() {
        let breaker = Breaker::new(BUDGET, 2);
        let panics = &breaker.classes[0].panics;
        for minute in 1..100 {
            assert!(!panics.failed(minute * 60_001));
        }
        assert!(panics.failed(99 * 60_001 + 60_000));
    }

    #[test]
    fn large_bodies_that_take_too_long_do_not_keep_small_messages_from_being_judged() {
        let breaker = Breaker::new(BUDGET, 2);
        assert!(!breaker.note(CLASS, SMALL, SLOW), "the processor was busy with something else");
        assert!(breaker.note(CLASS, SMALL + 1, SLOW) && breaker.note(CLASS, SMALL + 1, SLOW));
        assert!(breaker.is_suspended(CLASS));
        assert!(breaker.admits(CLASS, SMALL) && !breaker.admits(CLASS, SMALL + 1));
        breaker.note(CLASS, SMALL, QUICK);
        assert!(!breaker.admits(CLASS, SMALL + 1), "a small one proves nothing");
    }
}
