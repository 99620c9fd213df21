//! The policy in force: one immutable Ruleset, swapped atomically, with where it came from.
//!
//! Two sources: [`watch`] (signed Bundles in a pod), [`mod@file`] (documents of a gateway). A bad new policy never
//! replaces a good one. Requests call [`Handle::load`] once each; the report and readiness read [`Handle::status`].

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use rasp_engine::Ruleset;
use rasp_policy::report::{Acknowledged, EffectiveMode, PolicyState, Rejected};
use tokio::sync::watch as changes;

use crate::metrics::Metrics;

pub mod file;
pub mod keys;
pub mod labels;
pub mod load;
pub mod sequence;
pub mod watch;

/// A Ruleset and where it came from.
#[derive(Debug)]
pub struct InForce {
    /// What requests are judged by.
    pub ruleset: Ruleset,
    /// Digest of the Bundle or the file; `None` while bootstrapping and for the built-in policy.
    pub digest: Option<String>,
    /// Sequence of the Bundle.
    pub sequence: Option<u64>,
    /// The policy objects in it.
    pub sources: Vec<Acknowledged>,
    /// When the first exception ends, as a text that [`now`] can be compared with. The Ruleset is built anew then.
    pub expires: Option<String>,
    /// Whether any policy was ever loaded.
    pub loaded: bool,
    /// Ports with a Ruleset of their own, in their order. Built with this one, and swapped with it.
    pub ports: Vec<(u16, Arc<InForce>)>,
}

impl InForce {
    /// A policy that no Bundle stands behind.
    pub fn builtin(ruleset: Ruleset) -> Self {
        Self {
            ruleset,
            digest: None,
            sequence: None,
            sources: Vec::new(),
            expires: None,
            loaded: true,
            ports: Vec::new(),
        }
    }

    /// What is in force before any Bundle.
    pub fn bootstrapping(ruleset: Ruleset) -> Self {
        Self { loaded: false, ..Self::builtin(ruleset) }
    }
}

/// This moment in RFC 3339, in whole seconds of UTC, as policies write times.
pub fn now() -> String {
    humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string()
}

impl InForce {
    /// What is in force on a port that has a Ruleset of its own.
    fn on(&self, port: u16) -> Option<&Arc<Self>> {
        let at = self.ports.binary_search_by_key(&port, |(known, _)| *known).ok()?;
        self.ports.get(at).map(|(_, own)| own)
    }

    /// The mode in force, over all ports.
    pub fn effective_mode(&self) -> EffectiveMode {
        let own = self.ports.iter().map(|(_, own)| &**own);
        let all = std::iter::once(self).chain(own);
        EffectiveMode::combine(all.map(|in_force| in_force.ruleset.effective().effective_mode()))
    }

    /// Whether an exception has ended since the Ruleset was built.
    pub fn has_expired(&self, now: &str) -> bool {
        self.expires.as_deref().is_some_and(|end| end <= now)
    }
}

/// The policy in force and the last one refused.
#[derive(Clone, Debug)]
pub struct Status {
    /// What requests are judged by.
    pub in_force: Arc<InForce>,
    /// The newest policy that was refused since.
    pub rejected: Option<Rejected>,
}

impl Status {
    /// Where the Ruleset in force comes from.
    pub fn state(&self) -> PolicyState {
        match (self.in_force.loaded, &self.rejected) {
            (false, _) => PolicyState::Bootstrapping,
            (true, None) => PolicyState::Current,
            (true, Some(_)) => PolicyState::Rejected,
        }
    }
}

/// Where requests find the policy in force, and sources put it.
#[derive(Debug)]
pub struct Handle {
    in_force: ArcSwap<InForce>,
    rejected: Mutex<Option<Rejected>>,
    changed: changes::Sender<u64>,
    metrics: Arc<Metrics>,
}

impl Handle {
    /// Starts with a first policy.
    pub fn new(first: InForce, metrics: Arc<Metrics>) -> Self {
        let handle = Self {
            in_force: ArcSwap::from_pointee(first),
            rejected: Mutex::new(None),
            changed: changes::Sender::new(0),
            metrics,
        };
        handle.publish(true);
        handle
    }

    /// What a request that begins now is judged by.
    pub fn load(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    /// What a request that begins now on this port of the pod is judged by.
    pub fn load_on(&self, port: u16) -> Arc<InForce> {
        let current = self.in_force.load();
        match current.on(port) {
            Some(own) => Arc::clone(own),
            None => Guard::into_inner(current),
        }
    }

    /// Puts a policy in force, for the next request of every connection.
    pub fn replace(&self, next: InForce) {
        self.in_force.store(Arc::new(next));
        *self.rejected.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.publish(true);
    }

    /// Replaces the Ruleset by another one of the same Bundle.
    pub fn reselect(&self, next: InForce) {
        self.in_force.store(Arc::new(next));
        self.publish(false);
    }

    /// Notes that a newer policy was refused; what is in force stays.
    pub fn reject(&self, rejected: Rejected) {
        *self.rejected.lock().unwrap_or_else(PoisonError::into_inner) = Some(rejected);
        self.publish(false);
    }

    /// Notes that the refused policy is gone again: what is offered now is what is in force.
    pub fn settle(&self) {
        let rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner).take();
        if rejected.is_some() {
            self.publish(false);
        }
    }

    /// The policy in force and the last one refused.
    pub fn status(&self) -> Status {
        let rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Status { in_force: self.load(), rejected }
    }

    /// Resolves on every change.
    pub fn changes(&self) -> changes::Receiver<u64> {
        self.changed.subscribe()
    }

    fn publish(&self, loaded: bool) {
        let status = self.status();
        if loaded {
            let without = if status.in_force.loaded { "builtin" } else { "none" };
            let hash = status.in_force.digest.as_deref().unwrap_or(without);
            self.metrics.policy_loaded(hash, status.in_force.sequence.unwrap_or(0));
        }
        self.metrics.policy_state(status.state());
        self.changed.send_modify(|version| *version += 1);
    }
}
