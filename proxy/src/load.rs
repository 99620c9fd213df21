//! What the process can take right now: requests at once, memory, an application that does not answer, a detector that
//! fails. Read on every request without a lock; none of it depends on the policy.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::Limits;
use crate::reason::Shed;

pub mod breaker;
pub mod pressure;
mod probes;
pub mod reach;

use breaker::Breaker;
use pressure::{Level, Pressure};
use probes::{Probe, Probes};
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
    probes: Arc<Probes>,
}

/// A request that is being served, until it is dropped.
#[derive(Debug)]
pub struct Admitted(#[expect(dead_code, reason = "held until the request is over")] Held);

#[derive(Debug)]
enum Held {
    Request(#[expect(dead_code, reason = "given back when it is dropped")] Request),
    Probe(#[expect(dead_code, reason = "given back when it is dropped")] Probe),
}

#[derive(Debug)]
struct Request(Arc<AtomicUsize>);

impl Drop for Request {
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
            probes: Arc::default(),
        }
    }

    /// A request begins, or there is no room for it.
    pub fn admit(&self) -> Result<Admitted, Shed> {
        if self.pressure.level() >= Level::Refusing {
            return Err(Shed::Memory);
        }
        let before = self.requests.fetch_add(1, Ordering::AcqRel);
        let admitted = Request(Arc::clone(&self.requests));
        if before >= self.most_requests {
            return Err(Shed::InFlight);
        }
        Ok(Admitted(Held::Request(admitted)))
    }

    /// A probe of the kubelet begins: where there is no room for requests it has a place of its own, as long as its
    /// peer does not send a flood of them.
    pub fn admit_probe(&self, peer: IpAddr) -> Result<Admitted, Shed> {
        self.admit().or_else(|shed| {
            Probes::begin(&self.probes, peer).map(|probe| Admitted(Held::Probe(probe))).ok_or(shed)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::Load;
    use super::pressure::Level;
    use crate::limits::Limits;
    use crate::reason::Shed;

    #[test]
    fn one_request_more_than_fit_is_shed_and_a_probe_is_not() {
        let load = Load::new(&Limits { in_flight: 2, ..Limits::in_pod() });
        let (first, second) = (load.admit().unwrap(), load.admit().unwrap());
        assert_eq!(load.admit().unwrap_err(), Shed::InFlight);
        let probe = load.admit_probe(Ipv4Addr::LOCALHOST.into()).unwrap();
        drop(first);
        drop(load.admit().unwrap());
        drop(probe);
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
