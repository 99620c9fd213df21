//! Leaves inspection out for a while when it keeps failing, so that a bug of a detector does not become an outage of the
//! application, or a processor that does nothing else. What is not inspected counts as not judged.
//!
//! Panics and overruns are kept apart. A panic may come with any request; what takes too long is a large body, and a head
//! that is always cheap goes on being judged, or whoever sends expensive bodies would open the way for everything else.
//! Called by [`crate::exchange`]; there is one circuit of each kind for each class of the engine, and one for what is no
//! detector. A body that took too long counts against the class that spent most work units on it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rasp_engine::{Class, Classes, Run};
use tokio::sync::Notify;

/// Failures are counted over so long.
const WINDOW: Duration = Duration::from_secs(60);
/// Inspection is left out for so long; then one request tries.
pub const OPEN: Duration = Duration::from_secs(10);
/// Bytes that are inspected in next to no time, whatever they are.
pub const SMALL: usize = 8 << 10;

/// The circuits of every class, and those of the inspection as a whole.
#[derive(Debug)]
pub struct Breaker {
    budget: Duration,
    start: Instant,
    classes: [Circuits; Class::COUNT],
    /// Decoders, and whatever else is no detector.
    whole: Circuits,
    /// Classes with an open circuit, so that a request looks at one number while all is well.
    open: AtomicU32,
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
    /// It came to its end, with these detectors, and took so much time of the processor.
    Done(Run, Duration),
    /// It panicked outside of any detector.
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
        let circuits = || Circuits { panics: circuit(), overruns: circuit() };
        Self {
            budget,
            start: Instant::now(),
            classes: Class::ALL.map(|_| circuits()),
            whole: circuits(),
            open: AtomicU32::new(0),
            changed: Notify::new(),
        }
    }

    /// The classes that are left out on a message of so many bytes; `None` where nothing is run at all.
    pub fn leaves_out(&self, bytes: usize) -> Option<Classes> {
        if !self.whole.admits(bytes, || self.now()) {
            return None;
        }
        let open = self.open();
        Some(open.iter().filter(|class| !self.of(*class).admits(bytes, || self.now())).collect())
    }

    /// Notes how the inspection of a message of so many bytes ended, on which `left_out` were not run; `true` when it
    /// used up its budget.
    pub fn note(&self, bytes: usize, left_out: Classes, end: End) -> bool {
        // The clock is asked where something failed.
        let now = || self.now();
        let End::Done(run, time) = end else {
            if self.whole.panics.failed(now()) {
                self.tell(None);
            }
            return false;
        };
        let overran = time > self.budget && bytes > SMALL;
        let mut changed = Classes::NONE;
        for class in run.panicked.iter().filter(|class| self.of(*class).panics.failed(now())) {
            changed.insert(class);
        }
        // Without work units of a detector it was decoding that took the time.
        let slow = run.costliest.filter(|_| overran).map(|(class, _)| class);
        if let Some(class) = slow
            && self.of(class).overruns.failed(now())
        {
            changed.insert(class);
        }
        for class in self.open().iter().filter(|class| !left_out.contains(*class)) {
            let Circuits { panics, overruns } = self.of(class);
            let proves = run.ran.contains(class);
            if !run.panicked.contains(class) && panics.tried(proves, now()) {
                changed.insert(class);
            }
            if bytes > SMALL && slow != Some(class) && overruns.tried(proves, now()) {
                changed.insert(class);
            }
        }
        changed.iter().for_each(|class| self.tell(Some(class)));
        let mut whole = self.whole.panics.held();
        if overran && slow.is_none() {
            whole |= self.whole.overruns.failed(now());
        } else if bytes > SMALL {
            whole |= self.whole.overruns.held();
        }
        if whole {
            self.tell(None);
        }
        overran
    }

    /// Whether a class is not run, or not on large bodies.
    pub fn is_suspended(&self, class: Class) -> bool {
        !self.of(class).is_closed() || !self.whole.is_closed()
    }

    /// Resolves when a class was suspended or goes on again.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn tell(&self, class: Option<Class>) {
        let circuits = class.map_or(&self.whole, |class| self.of(class));
        let suspended = !circuits.is_closed();
        if let Some(class) = class {
            let bit = 1 << class.index();
            if suspended {
                self.open.fetch_or(bit, Ordering::AcqRel);
            } else {
                self.open.fetch_and(!bit, Ordering::AcqRel);
            }
        }
        let class = class.map_or("all", Class::as_str);
        tracing::error!(class, suspended, "inspection is suspended, or goes on again");
        self.changed.notify_one();
    }

    fn open(&self) -> Classes {
        Classes::from_bits(self.open.load(Ordering::Acquire))
    }

    fn of(&self, class: Class) -> &Circuits {
        &self.classes[class.index()]
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }
}

impl Circuits {
    fn is_closed(&self) -> bool {
        self.panics.is_closed() && self.overruns.is_closed()
    }

    /// Whether it is run on a message of so many bytes.
    fn admits(&self, bytes: usize, now: impl Fn() -> u64) -> bool {
        self.is_closed() || (self.panics.admits(now()) && (bytes <= SMALL || self.overruns.admits(now())))
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

    /// Something was tried: it held, which closes the circuit, or proved nothing, and the next one tries. `true` when
    /// it closed.
    fn tried(&self, proves: bool, now: u64) -> bool {
        if proves {
            return self.held();
        }
        let given_back = |retry_at| (retry_at != 0).then_some(now);
        let _ = self.retry_at.fetch_update(Ordering::AcqRel, Ordering::Acquire, given_back);
        false
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

    use rasp_engine::{Class, Classes, Run};

    use super::{Breaker, End, OPEN, SMALL, millis};

    const CLASS: Class = Class::SqlInjection;
    const OTHER: Class = Class::CrossSiteScripting;
    const BUDGET: Duration = Duration::from_millis(50);
    const QUICK: Duration = Duration::from_millis(1);
    const SLOW: Duration = Duration::from_millis(51);
    const NONE: Classes = Classes::NONE;

    fn set(class: Class) -> Classes {
        [class].into_iter().collect()
    }

    /// An inspection on which this class was run and spent most work units.
    fn ran(class: Class, time: Duration) -> End {
        End::Done(Run { ran: set(class), panicked: NONE, costliest: Some((class, 1)) }, time)
    }

    fn panicked(class: Class) -> End {
        End::Done(Run { panicked: set(class), ..Run::default() }, QUICK)
    }

    /// Makes the time come at which one tries.
    fn wait(breaker: &Breaker, class: Class) {
        breaker.of(class).panics.retry_at.store(1, super::Ordering::Release);
    }

    #[test]
    fn repeated_panics_suspend_a_class_and_one_that_holds_brings_it_back() {
        let breaker = Breaker::new(BUDGET, 3);
        for _ in 0..2 {
            breaker.note(0, NONE, panicked(CLASS));
            assert_eq!(breaker.leaves_out(0), Some(NONE));
        }
        breaker.note(0, NONE, panicked(CLASS));
        assert!(breaker.is_suspended(CLASS) && !breaker.is_suspended(OTHER));
        assert_eq!(breaker.leaves_out(0), Some(set(CLASS)));

        wait(&breaker, CLASS);
        assert_eq!(breaker.leaves_out(0), Some(NONE), "one tries");
        assert_eq!(breaker.leaves_out(0), Some(set(CLASS)), "and only one");
        breaker.note(0, NONE, panicked(CLASS));
        assert_eq!(breaker.leaves_out(0), Some(set(CLASS)), "it failed again");
        breaker.note(0, set(CLASS), ran(OTHER, QUICK));
        assert!(breaker.is_suspended(CLASS), "another class proves nothing");
        wait(&breaker, CLASS);
        assert_eq!(breaker.leaves_out(0), Some(NONE));
        breaker.note(0, NONE, ran(CLASS, QUICK));
        assert!(!breaker.is_suspended(CLASS) && breaker.leaves_out(0) == Some(NONE));
    }

    #[test]
    fn a_message_without_anything_for_the_class_proves_nothing_and_the_next_one_tries() {
        let breaker = Breaker::new(BUDGET, 1);
        breaker.note(0, NONE, panicked(CLASS));
        wait(&breaker, CLASS);
        assert_eq!(breaker.leaves_out(0), Some(NONE), "one tries");
        breaker.note(0, NONE, ran(OTHER, QUICK));
        assert!(breaker.is_suspended(CLASS));
        assert_eq!(breaker.leaves_out(0), Some(NONE), "the next one tries");
    }

    #[test]
    fn a_panic_outside_of_the_detectors_suspends_them_all() {
        let breaker = Breaker::new(BUDGET, 2);
        breaker.note(0, NONE, End::Panicked);
        assert_eq!(breaker.leaves_out(0), Some(NONE));
        breaker.note(0, NONE, End::Panicked);
        assert!(breaker.leaves_out(0).is_none() && breaker.is_suspended(CLASS));
        breaker.note(0, NONE, ran(OTHER, QUICK));
        assert!(!breaker.is_suspended(CLASS));
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
        assert!(!breaker.note(SMALL, NONE, ran(CLASS, SLOW)), "the processor was busy with something else");
        for _ in 0..2 {
            assert!(breaker.note(SMALL + 1, NONE, ran(CLASS, SLOW)));
        }
        assert!(breaker.is_suspended(CLASS) && !breaker.is_suspended(OTHER));
        assert_eq!(breaker.leaves_out(SMALL), Some(NONE));
        assert_eq!(breaker.leaves_out(SMALL + 1), Some(set(CLASS)));
        breaker.note(SMALL, NONE, ran(CLASS, QUICK));
        assert_eq!(breaker.leaves_out(SMALL + 1), Some(set(CLASS)), "a small one proves nothing");
    }

    #[test]
    fn time_that_no_detector_worked_for_counts_against_decoding() {
        let breaker = Breaker::new(BUDGET, 1);
        assert!(breaker.note(SMALL + 1, NONE, End::Done(Run::default(), SLOW)));
        assert!(breaker.leaves_out(SMALL + 1).is_none() && breaker.leaves_out(SMALL) == Some(NONE));
        let later = breaker.now() + millis(OPEN) + 1;
        assert!(breaker.whole.overruns.admits(later), "one tries");
    }
}
