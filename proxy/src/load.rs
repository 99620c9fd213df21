//! What the process can take right now: requests at once, memory, an application that does not answer, a detector that
//! fails. Read on every request without a lock; none of it depends on the policy.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::Limits;
use crate::reason::Shed;

pub mod breaker;
pub mod pressure;
pub mod reach;

use breaker::Breaker;
use pressure::{Level, Pressure};
use reach::Reach;

/// What the process can take right now.
#[derive(Debug)]
pub struct Load {
    /// Memory.
    pub pressure: Arc<Pressure>,
    /// Whether the application takes connections.
    pub reach: Reach,
    /// Whether the engine is run.
    pub breaker: Arc<Breaker>,
    requests: Arc<AtomicUsize>,
    most_requests: usize,
}

/// A request that is being served, until it is dropped.
#[derive(Debug)]
pub struct Admitted(Arc<AtomicUsize>);

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Load {
    /// Nothing is going on yet.
    pub fn new(limits: &Limits) -> Self {
        Self {
            pressure: Arc::default(),
            reach: Reach::default(),
            breaker: Arc::new(Breaker::new(limits.inspection, limits.inspection_failures)),
            requests: Arc::default(),
            most_requests: limits.in_flight,
        }
    }

    /// A request begins, or there is no room for it.
    pub fn admit(&self) -> Result<Admitted, Shed> {
        if self.pressure.level() >= Level::Refusing {
            return Err(Shed::Memory);
        }
        let admitted = self.admit_always();
        if admitted.0.load(Ordering::Acquire) > self.most_requests {
            return Err(Shed::InFlight);
        }
        Ok(admitted)
    }

    /// A request begins that is answered whatever happens: a probe.
    pub fn admit_always(&self) -> Admitted {
        self.requests.fetch_add(1, Ordering::AcqRel);
        Admitted(Arc::clone(&self.requests))
    }
}

#[cfg(test)]
mod tests {
    use super::Load;
    use super::pressure::Level;
    use crate::limits::Limits;
    use crate::reason::Shed;

    #[test]
    fn one_request_more_than_fit_is_shed_and_a_probe_is_not() {
        let load = Load::new(&Limits { in_flight: 2, ..Limits::in_pod() });
        let (first, second) = (load.admit().unwrap(), load.admit().unwrap());
        assert_eq!(load.admit().unwrap_err(), Shed::InFlight);
        drop(load.admit_always());
        drop(first);
        drop(load.admit().unwrap());
        drop(second);
    }

    #[test]
    fn requests_are_shed_while_memory_is_short() {
        let load = Load::new(&Limits::in_pod());
        load.pressure.set(Level::Saving);
        assert!(load.admit().is_ok());
        load.pressure.set(Level::Refusing);
        assert_eq!(load.admit().unwrap_err(), Shed::Memory);
        load.pressure.set(Level::Normal);
        assert!(load.admit().is_ok());
    }
}
