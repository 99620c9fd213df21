//! What the operator knows of the cluster: compact copies of Namespaces, Pods, Services, policies and our ConfigMaps.
//!
//! Filled by watches ([`watch`]), read by everything else without an API call. One object that cannot be read never
//! stops a watch: it is kept as broken and reported. Every change marks its namespace for the controller.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::{Notify, watch as values};

use crate::stream::{Offer, Offers};

mod clusters;
mod index;
mod manifest;
mod objects;
mod policy;
mod seen;
mod service;
pub mod watch;

pub use index::{Index, Kept};
pub use manifest::Manifest;
pub use objects::{MANAGED_BY, MANAGED_BY_LABEL, Namespace, Pod, Stored};
pub use policy::{Cluster, Policy};
pub use seen::{Seen, Watched};
pub use service::{PortTarget, Service};

/// Everything that is watched.
#[derive(Default)]
pub struct State {
    /// Namespaces; outer and inner key are the name.
    pub namespaces: Index<Namespace>,
    /// Pods.
    pub pods: Index<Pod>,
    /// RaspPolicies.
    pub policies: Index<Policy>,
    /// The ConfigMap with the Bundle of each namespace.
    pub bundles: Index<Stored>,
    /// Services.
    pub services: Index<Service>,
    /// ClusterRaspPolicies; outer and inner key are the name.
    pub clusters: Index<Policy>,
    /// RaspExceptions.
    pub exceptions: Index<Policy>,
}

impl State {
    /// Lists of the kinds that are written as well as watched.
    fn lists(&self) -> u64 {
        self.policies.lists() + self.clusters.lists() + self.exceptions.lists() + self.bundles.lists()
    }
}

/// The shared cache.
#[derive(Default)]
pub struct Cache {
    state: RwLock<State>,
    dirty: Dirty,
    /// Woken when a Namespace was added or changed.
    namespaces_changed: Notify,
    /// What is streamed to sidecars.
    offers: Offers,
}

impl Cache {
    /// Read access. Never hold it across an await.
    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and marks the namespaces that the change touched.
    pub fn update(&self, change: impl FnOnce(&mut State) -> BTreeSet<String>) {
        let touched = change(&mut self.write());
        self.namespaces_changed.notify_waiters();
        self.dirty.mark(touched);
    }

    /// How many lists have replaced what was known; to be asked before a write whose answer is to be remembered.
    pub fn lists(&self) -> u64 {
        self.read().lists()
    }

    /// Puts in what a write returned, so that the next decision does not wait for the watch. Marks nothing.
    ///
    /// `lists` is from before the write. Where a list came in between, the object may be on it or deleted before it: only the
    /// watch can tell, and nothing is put in.
    pub fn remember(&self, lists: u64, change: impl FnOnce(&mut State)) {
        let mut state = self.write();
        if state.lists() == lists {
            change(&mut state);
        }
    }

    /// As [`Cache::update`], of Bundles: what is new is streamed.
    pub fn update_bundles(&self, change: impl FnOnce(&mut Index<Stored>) -> BTreeSet<String>) {
        let touched = change(&mut self.write().bundles);
        for namespace in &touched {
            self.offers.renew(namespace, || self.bundle(namespace));
        }
        self.dirty.mark(touched);
    }

    /// As [`Cache::remember`], of a Bundle that was written: it is streamed at once.
    pub fn remember_bundle(&self, lists: u64, stored: Stored) {
        let mut touched = BTreeSet::new();
        self.remember(lists, |state| touched = state.bundles.written(stored));
        for namespace in touched {
            self.offers.renew(&namespace, || self.bundle(&namespace));
        }
    }

    /// The Bundle of a namespace, now and whenever there is a newer one.
    pub fn subscribe(&self, namespace: &str) -> values::Receiver<Option<Arc<Offer>>> {
        self.offers.subscribe(namespace, || self.bundle(namespace))
    }

    /// A receiver of [`Cache::subscribe`] is gone, or about to go.
    pub fn unsubscribed(&self, namespace: &str) {
        self.offers.leave(namespace);
    }

    fn bundle(&self, namespace: &str) -> Option<Arc<Stored>> {
        self.read().bundles.of(namespace).into_iter().next()
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names of the kinds whose first list has not arrived.
    pub fn missing(&self) -> Vec<&'static str> {
        let state = self.read();
        [
            ("namespaces", state.namespaces.is_synced()),
            ("pods", state.pods.is_synced()),
            ("rasppolicies", state.policies.is_synced()),
            ("configmaps", state.bundles.is_synced()),
            ("services", state.services.is_synced()),
            ("clusterrasppolicies", state.clusters.is_synced()),
            ("raspexceptions", state.exceptions.is_synced()),
        ]
        .into_iter()
        .filter_map(|(name, synced)| (!synced).then_some(name))
        .collect()
    }

    /// The namespaces that wait for the controller.
    pub fn dirty(&self) -> &Dirty {
        &self.dirty
    }

    /// A Namespace; waits until it shows up, at most `patience`.
    pub async fn namespace(&self, name: &str, patience: std::time::Duration) -> Option<Arc<Namespace>> {
        let found = async {
            loop {
                let mut changed = std::pin::pin!(self.namespaces_changed.notified());
                // Registered before looking, or a change between the look and the wait would be missed.
                changed.as_mut().enable();
                if let Some(namespace) = self.read().namespaces.get(name, name) {
                    return namespace;
                }
                changed.await;
            }
        };
        tokio::time::timeout(patience, found).await.ok()
    }
}

/// Namespaces that have to be looked at again.
#[derive(Default)]
pub struct Dirty {
    names: Mutex<BTreeSet<String>>,
    wake: Notify,
}

impl Dirty {
    /// Adds namespaces and wakes the controller.
    pub fn mark(&self, names: impl IntoIterator<Item = String>) {
        let mut waiting = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(names);
        if !waiting.is_empty() {
            self.wake.notify_one();
        }
    }

    /// Waits until a namespace is marked. One that was taken meanwhile is no reason to wake.
    pub async fn wait(&self) {
        while {
            self.wake.notified().await;
            self.names.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
        } {}
    }

    /// Takes all marked namespaces.
    pub fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.names.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
