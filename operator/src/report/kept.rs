//! The newest report of each pod, in bounded memory. A namespace that floods loses its own oldest reports first: its pods then
//! count as not programmed, whatever they had said, and nobody else's do. Called by `report` and `controller`.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rasp_policy::report::Report;

use super::{Bound, Evicted};
use crate::status::{Received, STALE};

/// Bytes that reports may take. 5,000 pods with ten policies each take 13 MiB.
const IN_ALL: usize = 32 << 20;
/// Bytes that those of one namespace may take.
const OF_ONE: usize = 16 << 20;

/// The newest report of each pod.
pub struct Reports {
    kept: Mutex<Kept>,
    in_all: usize,
    of_one: usize,
}

#[derive(Default)]
struct Kept {
    /// By UID of the pod, each with its size.
    of: HashMap<String, (Arc<Received>, usize)>,
    /// Bytes by namespace.
    bytes: HashMap<String, usize>,
    /// Namespaces that lost reports for want of room, and when the last was.
    evicted: HashMap<String, Timestamp>,
}

impl Default for Reports {
    fn default() -> Self {
        Self::bounded(IN_ALL, OF_ONE)
    }
}

impl Reports {
    fn bounded(in_all: usize, of_one: usize) -> Self {
        Self { kept: Mutex::default(), in_all, of_one }
    }

    /// The newest report of a pod.
    pub fn of(&self, uid: &str) -> Option<Arc<Received>> {
        self.lock().of.get(uid).map(|(received, _)| Arc::clone(received))
    }

    /// Keeps a report; whether it says something else than the one before, and which ones it drove out.
    pub fn keep(&self, received: Received) -> (bool, Vec<Evicted>) {
        let mut evicted = Vec::new();
        let fresh = Arc::new(received);
        let mut kept = self.lock();
        let before = kept.insert(Arc::clone(&fresh));
        let namespace = &fresh.report.pod.namespace;
        while kept.bytes.get(namespace).is_some_and(|bytes| *bytes > self.of_one) {
            kept.drop_oldest(namespace);
            evicted.push(Evicted { bound: Bound::Namespace, namespace: namespace.clone() });
        }
        while kept.bytes.values().sum::<usize>() > self.in_all {
            let largest = kept.bytes.iter().max_by_key(|(_, bytes)| **bytes).map(|(name, _)| name.clone());
            let namespace = largest.unwrap_or_default();
            kept.drop_oldest(&namespace);
            evicted.push(Evicted { bound: Bound::All, namespace });
        }
        kept.evicted.extend(evicted.iter().map(|evicted| (evicted.namespace.clone(), fresh.at)));
        drop(kept);
        (before.is_none_or(|before| before.report != fresh.report), evicted)
    }

    /// Whether a pod of this namespace may be unknown only because its report was dropped: each reports again within a minute.
    pub fn has_evicted(&self, namespace: &str, now: Timestamp) -> bool {
        self.lock().evicted.get(namespace).is_some_and(|at| is_recent(*at, now))
    }

    /// Forgets the pods of a namespace for which `keep` is false.
    pub fn retain(&self, namespace: &str, keep: impl Fn(&Received) -> bool) {
        let mut kept = self.lock();
        let of = kept.of.iter().filter(|(_, (received, _))| received.report.pod.namespace == namespace);
        let gone: Vec<String> =
            of.filter(|(_, (received, _))| !keep(received)).map(|(uid, _)| uid.clone()).collect();
        for uid in gone {
            kept.remove(&uid);
        }
        let now = Timestamp::now();
        kept.evicted.retain(|_, at| is_recent(*at, now));
    }

    /// The namespaces that reported.
    pub fn namespaces(&self) -> BTreeSet<String> {
        self.lock().bytes.keys().cloned().collect()
    }

    /// Forgets everything: reports that another leader received are unknown.
    pub fn clear(&self) {
        *self.lock() = Kept::default();
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn insert(&mut self, received: Arc<Received>) -> Option<Arc<Received>> {
        let before = self.remove(&received.report.pod.uid);
        let size = size(&received.report);
        *self.bytes.entry(received.report.pod.namespace.clone()).or_default() += size;
        self.of.insert(received.report.pod.uid.clone(), (received, size));
        before
    }

    fn remove(&mut self, uid: &str) -> Option<Arc<Received>> {
        let (received, size) = self.of.remove(uid)?;
        let namespace = &received.report.pod.namespace;
        let left = self.bytes.get(namespace).map_or(0, |bytes| bytes.saturating_sub(size));
        if left == 0 {
            self.bytes.remove(namespace);
        } else {
            self.bytes.insert(namespace.clone(), left);
        }
        Some(received)
    }

    fn drop_oldest(&mut self, namespace: &str) {
        let of = self.of.iter().filter(|(_, (received, _))| received.report.pod.namespace == namespace);
        let oldest = of.min_by_key(|(_, (received, _))| received.at).map(|(uid, _)| uid.clone());
        match oldest {
            Some(uid) => drop(self.remove(&uid)),
            // Nothing is left of it: the sum goes, so that no loop waits for it.
            None => drop(self.bytes.remove(namespace)),
        }
    }
}

fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    Duration::try_from(now.duration_since(at)).map_or(true, |since| since < STALE)
}

/// Bytes in memory, about: its text, once more for what lists and the allocator set aside, and the entry itself.
fn size(report: &Report) -> usize {
    2 * serde_json::to_vec(report).map_or(0, |text| text.len()) + 512
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rasp_policy::report::EffectiveMode;

    use super::{Bound, Evicted, Received, Reports, STALE, size};
    use crate::testing::{mk_pod, mk_report};

    fn mk_received(namespace: &str, uid: &str, second: i64) -> Received {
        let mut report = mk_report(&mk_pod("web", "web", true), EffectiveMode::Block, &[("p", 1)]);
        (report.pod.namespace, report.pod.uid) = (namespace.to_owned(), uid.to_owned());
        Received { report, at: Timestamp::from_second(second).unwrap() }
    }

    #[test]
    fn a_flood_of_reports_takes_bounded_memory_and_only_that_of_its_namespace() {
        let one = size(&mk_received("evil", "000", 0).report);
        let reports = Reports::bounded(20 * one, 10 * one);
        reports.keep(mk_received("shop", "mine", 0));
        for n in 0..500 {
            reports.keep(mk_received("evil", &format!("{n:03}"), n));
        }
        assert!(reports.of("mine").is_some(), "another namespace loses nothing");
        assert!(reports.of("499").is_some() && reports.of("000").is_none(), "the oldest go");
        let kept = (0..500).filter(|n| reports.of(&format!("{n:03}")).is_some()).count();
        assert!((9..=10).contains(&kept), "{kept}");
        for namespace in ["a", "b", "c"] {
            for n in 0..9 {
                reports.keep(mk_received(namespace, &format!("{namespace}{n}"), n));
            }
        }
        let bytes: usize = reports.lock().bytes.values().sum();
        let counted: usize = reports.lock().of.values().map(|(_, size)| size).sum();
        assert_eq!(bytes, counted);
        assert!(bytes <= 20 * one + 64, "{bytes} of {}", 20 * one);
        assert!(reports.of("mine").is_some(), "the largest namespace loses, not the smallest");
    }

    #[test]
    fn what_had_to_go_is_told_and_of_which_namespace_for_as_long_as_its_pods_may_be_unknown() {
        let one = size(&mk_received("a", "a0", 0).report);
        let reports = Reports::bounded(5 * one, 3 * one);
        let mut lost = Vec::new();
        for (second, (namespace, uid)) in
            [("a", "a0"), ("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b0"), ("b", "b1"), ("b", "b2")]
                .into_iter()
                .enumerate()
        {
            lost.extend(reports.keep(mk_received(namespace, uid, i64::try_from(second).unwrap())).1);
        }
        let of = |bound| Evicted { bound, namespace: "a".to_owned() };
        assert_eq!(lost, [of(Bound::Namespace), of(Bound::All)]);
        let at = |second| Timestamp::from_second(second).unwrap();
        let stale = i64::try_from(STALE.as_secs()).unwrap();
        assert!(reports.has_evicted("a", at(7)) && !reports.has_evicted("b", at(7)));
        assert!(reports.has_evicted("a", at(6 + stale - 1)) && !reports.has_evicted("a", at(6 + stale)));
        reports.retain("b", |_| true);
        assert!(reports.lock().evicted.is_empty(), "what is over is forgotten");
    }

    #[test]
    fn a_namespace_that_is_forgotten_leaves_nothing_behind() {
        let reports = Reports::default();
        for n in 0..3 {
            reports.keep(mk_received("evil", &format!("{n}"), n));
        }
        reports.keep(mk_received("evil", "1", 7));
        assert_eq!(reports.namespaces().into_iter().collect::<Vec<_>>(), ["evil"]);
        reports.retain("evil", |_| false);
        assert!(reports.namespaces().is_empty() && reports.lock().of.is_empty());
    }
}
