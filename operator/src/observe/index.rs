//! An index of objects by namespace and name that follows a watch. Pure: any order of events that a watch can deliver
//! ends in the same state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::runtime::watcher::Event;

/// What an index needs to know of an object.
pub trait Kept {
    /// Namespace; of a cluster-scoped object its own name.
    fn namespace(&self) -> &str;
    /// Name.
    fn name(&self) -> &str;
    /// `metadata.resourceVersion`, where it is a number.
    fn version(&self) -> Option<u64>;
    /// Takes over what was found out about the object that this one replaces, where that is true of this one as well.
    fn inherit(&mut self, _before: &Self) {}
}

type Items<T> = BTreeMap<String, BTreeMap<String, Arc<T>>>;

/// Objects by namespace and name.
pub struct Index<T> {
    items: Items<T>,
    /// What the list in progress has delivered so far.
    listing: Option<Items<T>>,
    /// The highest version that the watch has delivered since the last list, or that the list held.
    seen: u64,
    /// Lists that have arrived completely.
    lists: u64,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self { items: BTreeMap::new(), listing: None, seen: 0, lists: 0 }
    }
}

impl<T: Kept + PartialEq> Index<T> {
    /// Applies an event of a watch; returns the namespaces that changed.
    pub fn apply(&mut self, event: Event<T>) -> BTreeSet<String> {
        match event {
            Event::Init => self.listing = Some(BTreeMap::new()),
            Event::InitApply(object) => {
                let object = self.known(object);
                insert(self.listing.get_or_insert_default(), object);
            }
            Event::InitDone => {
                let old = std::mem::replace(&mut self.items, self.listing.take().unwrap_or_default());
                self.lists += 1;
                // Not the highest ever: after etcd was restored from a backup, versions begin below.
                self.seen = self.versions().max().unwrap_or_default();
                return old.into_keys().chain(self.items.keys().cloned()).collect();
            }
            Event::Apply(object) => {
                self.seen = self.seen.max(object.version().unwrap_or_default());
                return self.put(object);
            }
            Event::Delete(object) => {
                self.seen = self.seen.max(object.version().unwrap_or_default());
                return self.remove(&object);
            }
        }
        BTreeSet::new()
    }

    /// Puts in what a write of ours returned. The answer may come after the watch has shown that somebody deleted the object
    /// since: then it stays deleted, because no event would come to delete it again.
    pub fn written(&mut self, object: T) -> BTreeSet<String> {
        let is_known = self.get(object.namespace(), object.name()).is_some();
        let is_past = object.version().is_some_and(|version| version <= self.seen);
        if is_past && !is_known { BTreeSet::new() } else { self.put(object) }
    }

    /// Puts an object in, unless a newer one is there: after a write the watch still delivers what was before.
    pub fn put(&mut self, mut object: T) -> BTreeSet<String> {
        if let Some(known) = self.get(object.namespace(), object.name()) {
            if known.version().zip(object.version()).is_some_and(|(known, new)| known > new) {
                return BTreeSet::new();
            }
            object.inherit(&known);
        }
        let namespace = object.namespace().to_owned();
        insert(&mut self.items, Arc::new(object));
        BTreeSet::from([namespace])
    }

    /// What is known already is kept: while a list arrives, nothing is there twice.
    fn known(&self, mut object: T) -> Arc<T> {
        match self.get(object.namespace(), object.name()) {
            Some(known) if *known == object => known,
            Some(known) => {
                object.inherit(&known);
                Arc::new(object)
            }
            None => Arc::new(object),
        }
    }

    /// Takes an object out, unless it was made anew since: after a write the watch still delivers the end of the one before.
    fn remove(&mut self, deleted: &T) -> BTreeSet<String> {
        let (namespace, name) = (deleted.namespace(), deleted.name());
        let newer = |known: Arc<T>| known.version().zip(deleted.version()).is_some_and(|(a, b)| a > b);
        if self.get(namespace, name).is_some_and(newer) {
            return BTreeSet::new();
        }
        let Some(objects) = self.items.get_mut(namespace) else { return BTreeSet::new() };
        objects.remove(name);
        if objects.is_empty() {
            self.items.remove(namespace);
        }
        BTreeSet::from([namespace.to_owned()])
    }

    /// Replaces every object by what `change` makes of it; returns all namespaces.
    pub fn rewrite(&mut self, change: impl Fn(&T) -> T) -> BTreeSet<String> {
        for object in self.items.values_mut().flat_map(BTreeMap::values_mut) {
            *object = Arc::new(change(object));
        }
        self.namespaces().map(ToOwned::to_owned).collect()
    }
}

impl<T: Kept> Index<T> {
    fn versions(&self) -> impl Iterator<Item = u64> {
        self.items.values().flat_map(BTreeMap::values).filter_map(|object| object.version())
    }
}

impl<T> Index<T> {
    /// One object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        self.items.get(namespace)?.get(name).cloned()
    }

    /// The objects of a namespace, by name.
    pub fn of(&self, namespace: &str) -> Vec<Arc<T>> {
        self.items.get(namespace).map(|objects| objects.values().cloned().collect()).unwrap_or_default()
    }

    /// The namespaces that have at least one object.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.items.keys().map(String::as_str)
    }

    /// All objects, namespace by namespace.
    pub fn all(&self) -> impl Iterator<Item = &Arc<T>> {
        self.items.values().flat_map(BTreeMap::values)
    }

    /// Whether the first list has arrived completely.
    pub fn is_synced(&self) -> bool {
        self.lists > 0
    }

    /// How many lists have arrived completely.
    pub fn lists(&self) -> u64 {
        self.lists
    }
}

fn insert<T: Kept>(items: &mut Items<T>, object: Arc<T>) {
    items.entry(object.namespace().to_owned()).or_default().insert(object.name().to_owned(), object);
}
