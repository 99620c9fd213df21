//! The index against a model of an API server: whatever happens to objects, and wherever a watch breaks, falls behind
//! (410 Gone) or is listed anew, in the end the index holds what the server holds, and whoever looks only at namespaces that
//! were marked has seen it all. The operator's own writes are part of it: their answers arrive at any time.

use std::collections::{BTreeMap, BTreeSet};

use kube::runtime::watcher::Event;
use proptest::prelude::*;

use super::{Index, Kept};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Object {
    namespace: &'static str,
    name: &'static str,
    version: u64,
}

impl Kept for Object {
    fn namespace(&self) -> &str {
        self.namespace
    }
    fn name(&self) -> &str {
        self.name
    }
    fn version(&self) -> Option<u64> {
        Some(self.version)
    }
}

const NAMESPACES: [&str; 2] = ["a", "b"];
const NAMES: [&str; 2] = ["x", "y"];

/// What happens next. The numbers choose among what is there.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Somebody creates or changes an object.
    Apply(usize),
    /// Somebody deletes an object, if it is there.
    Delete(usize),
    /// We write an object; the answer is on its way.
    Write(usize),
    /// The oldest answer arrives.
    Answer,
    /// The watch delivers one event, or a list one object more.
    Deliver,
    /// The connection breaks; the watch goes on where it was. A list begins anew.
    Break,
    /// The connection breaks, and the server has forgotten what came after: the client has to list.
    Gone,
}

fn step() -> impl Strategy<Value = Step> {
    let object = 0..NAMESPACES.len() * NAMES.len();
    prop_oneof![
        3 => object.clone().prop_map(Step::Apply),
        3 => object.clone().prop_map(Step::Delete),
        2 => object.prop_map(Step::Write),
        2 => Just(Step::Answer),
        6 => Just(Step::Deliver),
        1 => Just(Step::Break),
        1 => Just(Step::Gone),
    ]
}

/// Where the client of the watch stands, as in kube's `watcher`.
enum Client {
    /// Has to list.
    Empty,
    /// The list of a version is being read; objects that are still to come.
    Listing(u64, Vec<Object>),
    /// Watches; events up to this version have arrived.
    Watching(u64),
}

struct World {
    server: BTreeMap<(&'static str, &'static str), Object>,
    version: u64,
    /// Every change, with its version; a deletion carries the version at which it happened, as in etcd.
    log: Vec<(u64, bool, Object)>,
    client: Client,
    answers: Vec<(u64, Object)>,
    index: Index<Object>,
    /// What somebody knows who looks at a namespace only when it was marked.
    looked_at: BTreeMap<String, Vec<Object>>,
}

impl World {
    fn new() -> Self {
        Self {
            server: BTreeMap::new(),
            version: 0,
            log: Vec::new(),
            client: Client::Empty,
            answers: Vec::new(),
            index: Index::default(),
            looked_at: BTreeMap::new(),
        }
    }

    fn apply(&mut self, which: usize) -> Object {
        self.version += 1;
        let (namespace, name) = (NAMESPACES[which / NAMES.len()], NAMES[which % NAMES.len()]);
        let object = Object { namespace, name, version: self.version };
        self.server.insert((namespace, name), object.clone());
        self.log.push((self.version, true, object.clone()));
        object
    }

    fn delete(&mut self, which: usize) {
        let key = (NAMESPACES[which / NAMES.len()], NAMES[which % NAMES.len()]);
        if let Some(object) = self.server.remove(&key) {
            self.version += 1;
            self.log.push((self.version, false, Object { version: self.version, ..object }));
        }
    }

    fn observe(&mut self, event: Event<Object>) {
        for namespace in self.index.apply(event) {
            self.look_at(&namespace);
        }
    }

    fn look_at(&mut self, namespace: &str) {
        let objects = self.index.of(namespace).iter().map(|object| (**object).clone()).collect();
        self.looked_at.insert(namespace.to_owned(), objects);
    }

    /// One more event or object; `false` when there is nothing left.
    fn deliver(&mut self) -> bool {
        match std::mem::replace(&mut self.client, Client::Empty) {
            Client::Empty => {
                self.client = Client::Listing(self.version, self.server.values().cloned().collect());
                self.observe(Event::Init);
            }
            Client::Listing(version, mut objects) => {
                if let Some(object) = objects.pop() {
                    self.client = Client::Listing(version, objects);
                    self.observe(Event::InitApply(object));
                } else {
                    self.client = Client::Watching(version);
                    self.observe(Event::InitDone);
                }
            }
            Client::Watching(version) => {
                let next = self.log.iter().find(|(at, ..)| *at > version).cloned();
                let Some((at, is_there, object)) = next else {
                    self.client = Client::Watching(version);
                    return false;
                };
                self.client = Client::Watching(at);
                self.observe(if is_there { Event::Apply(object) } else { Event::Delete(object) });
            }
        }
        true
    }

    /// As `Cache::remember`: an answer counts only where no list came in between.
    fn answer(&mut self) {
        if self.answers.is_empty() {
            return;
        }
        let (lists, object) = self.answers.remove(0);
        if self.index.lists() == lists {
            let namespace = object.namespace;
            self.index.written(object);
            // Who wrote knows what was written.
            self.look_at(namespace);
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Apply(which) => drop(self.apply(which)),
            Step::Delete(which) => self.delete(which),
            Step::Write(which) => {
                let lists = self.index.lists();
                let object = self.apply(which);
                self.answers.push((lists, object));
            }
            Step::Answer => self.answer(),
            Step::Deliver => drop(self.deliver()),
            Step::Break => {
                if let Client::Listing(..) = self.client {
                    self.client = Client::Empty;
                }
            }
            Step::Gone => self.client = Client::Empty,
        }
    }

    fn settle(&mut self) {
        while !self.answers.is_empty() {
            self.answer();
        }
        while self.deliver() {}
    }
}

proptest! {
    #[test]
    fn no_delete_is_lost_whatever_breaks(steps in prop::collection::vec(step(), 0..60)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        world.settle();
        let server: Vec<Object> = world.server.values().cloned().collect();
        let of = |namespace: &str| world.index.of(namespace).iter().map(|o| (**o).clone()).collect::<Vec<_>>();
        let held: Vec<Object> = NAMESPACES.into_iter().flat_map(of).collect();
        prop_assert_eq!(&held, &server, "the index is what the server holds");
        let looked_at: Vec<Object> = world.looked_at.into_values().flatten().collect();
        prop_assert_eq!(&looked_at, &server, "and every difference was marked");
        let namespaces: BTreeSet<&str> = world.index.namespaces().collect();
        prop_assert_eq!(namespaces, server.iter().map(|object| object.namespace).collect::<BTreeSet<_>>());
    }
}

fn object(version: u64) -> Object {
    Object { namespace: "a", name: "x", version }
}

#[test]
fn the_answer_to_a_write_does_not_bring_back_what_was_deleted_since() {
    let mut index = Index::default();
    index.apply(Event::InitDone);
    index.apply(Event::Apply(object(7)));
    index.apply(Event::Delete(object(8)));
    assert!(index.written(object(7)).is_empty());
    assert!(index.of("a").is_empty());
    index.written(object(9));
    assert_eq!(index.of("a").len(), 1, "what the watch has not come to yet");
}

#[test]
fn the_end_of_the_one_before_does_not_take_out_what_was_made_anew() {
    let mut index = Index::default();
    index.apply(Event::InitDone);
    index.apply(Event::Apply(object(1)));
    index.written(object(3));
    assert!(index.apply(Event::Delete(object(2))).is_empty());
    assert_eq!(*index.get("a", "x").unwrap(), object(3));
}

#[test]
fn after_a_restored_backup_the_list_counts_and_not_the_highest_version_ever_seen() {
    let mut index = Index::default();
    index.apply(Event::Apply(object(100)));
    index.apply(Event::Init);
    index.apply(Event::InitDone);
    assert!(index.of("a").is_empty());
    index.written(object(5));
    assert_eq!(index.of("a").len(), 1);
}
