//! The policy in force: one immutable Ruleset, swapped atomically, with where it came from.
//!
//! Sources: [`watch`] (signed Bundles in a pod: mounted, or by the live [`stream`]), [`mod@file`] (documents of a
//! gateway). A bad new policy never replaces a good one. Requests call [`Handle::load`] once each; the report and readiness read [`Handle::status`].

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use rasp_engine::Ruleset;
use rasp_policy::precedence::Deciders;
use rasp_policy::report::{Acknowledged, EffectiveMode, PolicyState, Rejected, STALE_AFTER};
use tokio::sync::watch as changes;

use crate::metrics::Metrics;

pub mod file;
pub mod keys;
pub mod labels;
pub mod load;
pub mod sequence;
pub mod stream;
pub mod trial;
pub mod watch;

/// How a Bundle came to a sidecar. Values of `rasp_policy_source{source}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Kept by an earlier container of this pod.
    Kept,
    /// The mounted ConfigMap.
    File,
    /// The live stream.
    Stream,
}

impl Source {
    /// Every source.
    pub const ALL: [Self; 3] = [Self::Kept, Self::File, Self::Stream];

    /// Label value.
    pub fn id(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::File => "file",
            Self::Stream => "stream",
        }
    }
}

/// A Ruleset and where it came from.
#[derive(Debug)]
pub struct InForce {
    /// What requests are judged by. Ports on which the same is in force share it.
    pub ruleset: Arc<Ruleset>,
    /// Which policy decided each mode of it.
    pub deciders: Deciders,
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
    /// Where requests of a rollout are counted, once it is in force.
    pub trial: OnceLock<Arc<trial::Trial>>,
}

impl InForce {
    /// A policy that no Bundle stands behind.
    pub fn builtin(ruleset: Ruleset) -> Self {
        Self::of(Arc::new(ruleset))
    }

    fn of(ruleset: Arc<Ruleset>) -> Self {
        Self {
            ruleset,
            deciders: Deciders::default(),
            digest: None,
            sequence: None,
            sources: Vec::new(),
            expires: None,
            loaded: true,
            ports: Vec::new(),
            trial: OnceLock::new(),
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
    /// Nothing was heard of the operator for [`STALE_AFTER`].
    pub stale: bool,
}

impl Status {
    /// Where the Ruleset in force comes from.
    pub fn state(&self) -> PolicyState {
        match (self.in_force.loaded, &self.rejected) {
            (false, _) => PolicyState::Bootstrapping,
            (true, Some(_)) => PolicyState::Rejected,
            (true, None) if self.stale => PolicyState::Stale,
            (true, None) => PolicyState::Current,
        }
    }
}

/// What was heard of the operator; a gateway has none and is never stale.
#[derive(Debug, Default)]
struct Heard {
    last: Option<Instant>,
    stale: bool,
}

/// Where requests find the policy in force, and sources put it.
#[derive(Debug)]
pub struct Handle {
    in_force: ArcSwap<InForce>,
    rejected: Mutex<Option<Rejected>>,
    operator: Mutex<Heard>,
    changed: changes::Sender<u64>,
    metrics: Arc<Metrics>,
}

impl Handle {
    /// Starts with a first policy.
    pub fn new(first: InForce, metrics: Arc<Metrics>) -> Self {
        first.adopt(&first);
        let handle = Self {
            in_force: ArcSwap::from_pointee(first),
            rejected: Mutex::new(None),
            operator: Mutex::default(),
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
        next.adopt(&self.load());
        self.in_force.store(Arc::new(next));
        *self.rejected.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.publish(true);
    }

    /// Replaces the Ruleset by another one of the same Bundle.
    pub fn reselect(&self, next: InForce) {
        next.adopt(&self.load());
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

    /// Notes a sign of life of the operator: a frame of the stream, or a report that arrived.
    pub fn heard(&self) {
        self.contact(|heard| {
            heard.last = Some(Instant::now());
            heard.stale = false;
        });
    }

    /// Looks whether nothing was heard for [`STALE_AFTER`] at this moment. Who never heard anything counts from here.
    pub fn listen(&self, now: Instant) {
        self.contact(|heard| {
            let last = *heard.last.get_or_insert(now);
            heard.stale = now.saturating_duration_since(last) >= STALE_AFTER;
        });
    }

    fn contact(&self, note: impl FnOnce(&mut Heard)) {
        let mut heard = self.operator.lock().unwrap_or_else(PoisonError::into_inner);
        let before = heard.stale;
        note(&mut heard);
        let now = heard.stale;
        drop(heard);
        if now != before {
            tracing::info!(stale = now, "the operator was not heard of for too long, or is again");
            self.publish(false);
        }
    }

    /// The policy in force and the last one refused.
    pub fn status(&self) -> Status {
        let rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stale = self.operator.lock().unwrap_or_else(PoisonError::into_inner).stale;
        Status { in_force: self.load(), rejected, stale }
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
