//! What exceptions took, by their ids, for the report and for labels of metrics. Bounded: policies come and go, and beyond
//! the bound an exception is counted as `other` alone.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use rasp_policy::report::ExceptionHits;
use tokio::sync::Notify;

/// Counts by id.
#[derive(Debug)]
pub(super) struct Exceptions {
    most: usize,
    hits: Mutex<BTreeMap<String, (u64, SystemTime)>>,
    grew: Notify,
}

impl Exceptions {
    pub(super) fn new(most: usize) -> Self {
        Self { most, hits: Mutex::default(), grew: Notify::new() }
    }

    /// Counts one finding; `false` where the id has no place of its own.
    pub(super) fn count(&self, id: &str, now: SystemTime) -> bool {
        let mut all = self.hits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((hits, last)) = all.get_mut(id) {
            (*hits, *last) = (hits.saturating_add(1), now);
            return true;
        }
        if all.len() >= self.most {
            return false;
        }
        all.insert(id.to_owned(), (1, now));
        drop(all);
        self.grew.notify_one();
        true
    }

    pub(super) fn all(&self) -> Vec<ExceptionHits> {
        let all = self.hits.lock().unwrap_or_else(PoisonError::into_inner);
        let told = |(id, (hits, last)): (&String, &(u64, SystemTime))| ExceptionHits {
            id: id.clone(),
            hits: *hits,
            last: humantime::format_rfc3339_seconds(*last).to_string(),
        };
        all.iter().map(told).collect()
    }

    /// Waits until an id was seen for the first time.
    pub(super) async fn grew(&self) {
        self.grew.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::Exceptions;

    /// The report goes out at once then, as `report::Reporter::run` says.
    #[tokio::test]
    async fn whoever_waits_is_woken_by_an_id_that_is_new_and_by_no_other() {
        let exceptions = Exceptions::new(1);
        let woken = || tokio::time::timeout(Duration::from_millis(20), exceptions.grew());
        exceptions.count("a", SystemTime::UNIX_EPOCH);
        assert!(woken().await.is_ok());
        exceptions.count("a", SystemTime::UNIX_EPOCH);
        exceptions.count("beyond the bound", SystemTime::UNIX_EPOCH);
        assert!(woken().await.is_err());
    }

    #[test]
    fn hits_are_counted_by_id_up_to_a_bound() {
        let exceptions = Exceptions::new(2);
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let counted =
            [("a", 1), ("b", 2), ("a", 3), ("c", 4)].map(|(id, time)| exceptions.count(id, at(time)));
        assert_eq!(counted, [true, true, true, false]);
        let told: Vec<_> = exceptions.all().into_iter().map(|hit| (hit.id, hit.hits, hit.last)).collect();
        let row = |id: &str, hits, last: &str| (id.to_owned(), hits, last.to_owned());
        assert_eq!(told, [row("a", 2, "1970-01-01T00:00:03Z"), row("b", 1, "1970-01-01T00:00:02Z")]);
    }
}
