//! The loop of the leader: takes the namespaces that changed, plans, writes the Bundle, then the statuses.
//!
//! Everything is level-triggered: each turn looks at what is there now, so a lost or repeated event does no harm, and
//! every 15 seconds every namespace that matters is looked at without a cause. Decisions are in `plan` and `status`,
//! writes in `apply`.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use jiff::Timestamp;
use rasp_policy::bundle::Bundle;
use tokio::sync::mpsc;

use crate::apply::Writer;
use crate::events::Notice;
use crate::facts::Absence;
use crate::history::Change;
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::observe::Cache;
use crate::plan::{self, Compile};
use crate::report::Reports;
use crate::secrets::Held;
use crate::signing::Key;
use crate::watchdog::Ledger;

mod clusters;
mod namespace;
mod rollouts;

pub use clusters::Shares;
#[cfg(test)]
mod tests;

/// Everything is looked at again this often: time alone makes reports stale.
const AGAIN: Duration = Duration::from_secs(15);
/// Shortest time between two turns: a change after a quiet time is acted on at once, and those that come close after it
/// are one turn. Short, so that Programmed shows within a second of the last report.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// A failed write is tried again after this.
const RETRY: Duration = Duration::from_secs(1);
/// Of one object, at most one status is written in this time.
pub const STATUS_PAUSE: Duration = Duration::from_secs(5);
/// Namespaces worked on at once.
const AT_ONCE: usize = 8;

/// Says why a running pod has no sidecar.
pub type Why = dyn Fn(&crate::observe::Pod, &crate::observe::Namespace) -> Option<Absence> + Send + Sync;

/// What the loop works with.
pub struct Controller {
    /// What is known.
    pub cache: Arc<Cache>,
    /// What sidecars said.
    pub reports: Arc<Reports>,
    /// Signs Bundles.
    pub signing: Arc<Held<Key>>,
    /// Writes.
    pub writer: Writer,
    /// Whether this replica may write.
    pub leadership: Leadership,
    /// Moved by what happens.
    pub metrics: Arc<Metrics>,
    /// The dry run of the engine.
    pub compile: Box<Compile>,
    /// Of a pod without sidecar: the reason.
    pub why: Box<Why>,
    /// Where warnings for people go; a full queue loses them.
    pub notices: mpsc::Sender<Notice>,
    /// Where changes of policies are noted, to be gone back to; a full queue loses them.
    pub history: mpsc::Sender<Change>,
    /// Whether a namespace is excluded from injection by name.
    pub excludes: Box<dyn Fn(&str) -> bool + Send + Sync>,
    /// Where pods are noted that are not protected as they should be.
    pub watchdog: Arc<Ledger>,
    /// The newest Bundle of each namespace that was written or verified.
    pub last_good: Mutex<HashMap<String, Arc<Bundle>>>,
    /// What each namespace adds to the status of policies of the cluster.
    pub shares: Mutex<Shares>,
    /// When the status of each object was last written, by its UID.
    pub statuses: Mutex<HashMap<String, Instant>>,
    /// [`STATUS_PAUSE`], but in tests.
    pub status_pause: Duration,
}

impl Controller {
    /// Works while this replica is leader; returns when the election has ended.
    pub async fn run(self) {
        let mut leadership = self.leadership.clone();
        while leadership.acquired().await {
            self.reports.clear();
            self.shares.lock().unwrap_or_else(PoisonError::into_inner).clear();
            self.lead().await;
            self.metrics.forget_pods();
            self.watchdog.clear();
        }
    }

    async fn lead(&self) {
        let mut again = tokio::time::interval(AGAIN);
        again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failed = BTreeSet::new();
        let mut turned = tokio::time::Instant::now();
        while self.leadership.is_leader() {
            tokio::select! {
                _ = again.tick() => self.cache.dirty().mark(self.relevant()),
                () = self.cache.dirty().wait() => {
                    tokio::time::sleep_until(turned + DEBOUNCE).await;
                    turned = tokio::time::Instant::now();
                }
                // Ends the term in time also when nothing happens.
                () = tokio::time::sleep(RETRY) => self.cache.dirty().mark(std::mem::take(&mut failed)),
            }
            // A plan made from half a cache would drop policies.
            if self.cache.missing().is_empty() {
                failed.extend(self.turn().await);
            }
        }
    }

    /// Works on every marked namespace; returns those where a write failed.
    async fn turn(&self) -> Vec<String> {
        let turns = self.cache.dirty().take().into_iter().map(|name| async move {
            // A look at everything takes hundreds of milliseconds where there are thousands of namespaces: reviews of the webhook
            // that wait for this thread come in between.
            tokio::task::yield_now().await;
            let done = self.namespace(&name).await;
            (!done).then_some(name)
        });
        let failed = futures::stream::iter(turns)
            .buffer_unordered(AT_ONCE)
            .filter_map(std::future::ready)
            .collect()
            .await;
        self.clusters().await;
        failed
    }

    /// The namespaces that have policies or exceptions, sidecars, a Bundle, or ask for injection.
    fn relevant(&self) -> BTreeSet<String> {
        let state = self.cache.read();
        let asking = state.namespaces.namespaces().filter(|name| {
            state.namespaces.get(name, name).is_some_and(|namespace| plan::asks_for_injection(&namespace))
        });
        let with_policies = state.policies.namespaces();
        let with_bundle = state.bundles.namespaces();
        let with_exceptions = state.exceptions.namespaces();
        let known =
            asking.chain(with_policies).chain(with_exceptions).chain(with_bundle).map(ToOwned::to_owned);
        // Any pod may report, and what it said is forgotten only by looking.
        known.chain(self.reports.namespaces()).collect()
    }

    fn last_good(&self, namespace: &str) -> Option<Arc<Bundle>> {
        self.last_good.lock().unwrap_or_else(PoisonError::into_inner).get(namespace).cloned()
    }

    /// Remembers a Bundle unless a newer one of the same namespace is known.
    fn remember(&self, bundle: &Arc<Bundle>) {
        let mut known = self.last_good.lock().unwrap_or_else(PoisonError::into_inner);
        let name = bundle.namespace.name.clone();
        let newer = known.get(&name).is_some_and(|known| {
            known.namespace.uid == bundle.namespace.uid && known.sequence > bundle.sequence
        });
        if !newer {
            known.insert(name, Arc::clone(bundle));
        }
    }

    fn tell(&self, notice: Notice) {
        if self.notices.try_send(notice).is_err() {
            tracing::warn!("an event was dropped: too many wait already");
        }
    }

    fn forget(&self, namespace: &str) {
        self.last_good.lock().unwrap_or_else(PoisonError::into_inner).remove(namespace);
        self.shares.lock().unwrap_or_else(PoisonError::into_inner).replace(namespace, Vec::new());
        self.metrics.forget_namespace(namespace);
        self.watchdog.forget(namespace);
        self.reports.retain(namespace, |_| false);
    }
}

fn now_ms(now: Timestamp) -> u64 {
    u64::try_from(now.as_millisecond()).unwrap_or_default()
}
