//! Tells which reports were dropped for want of room: each is counted, and the log has a line in a while. What a pod was last
//! known to have in force is unknown then, and status says so. Called by `report`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics::Metrics;

/// Shortest time between two lines of the log.
const QUIET: Duration = Duration::from_secs(60);

/// What there was no room in. Values of `rasp_reports_evicted_total{bound}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The reports of one namespace.
    Namespace,
    /// Those of all together.
    All,
}

impl Bound {
    /// Every bound.
    pub const ALL: [Self; 2] = [Self::Namespace, Self::All];

    /// Label value.
    pub fn id(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::All => "all",
        }
    }
}

/// A report that was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evicted {
    /// What there was no room in.
    pub bound: Bound,
    /// Namespace of its pod.
    pub namespace: String,
}

/// Counts, and speaks.
pub struct Evictions {
    metrics: Arc<Metrics>,
    /// When it spoke, and how many were dropped since.
    said: Mutex<(Option<Instant>, usize)>,
}

impl Evictions {
    /// Nothing was dropped yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, said: Mutex::default() }
    }

    /// These were dropped just now.
    pub fn tell(&self, evicted: &[Evicted]) {
        for evicted in evicted {
            self.metrics.evicted(evicted.bound);
        }
        let Some(last) = evicted.last() else { return };
        let Some(reports) = self.due(evicted.len(), Instant::now()) else { return };
        let (namespace, bound) = (&last.namespace, last.bound.id());
        tracing::warn!(
            namespace,
            bound,
            reports,
            "reports were dropped for want of room: their pods count as not programmed until they report again"
        );
    }

    /// How many to speak of, if it is time to.
    fn due(&self, more: usize, now: Instant) -> Option<usize> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.1 += more;
        if said.0.is_some_and(|at| now.duration_since(at) < QUIET) {
            return None;
        }
        said.0 = Some(now);
        Some(std::mem::take(&mut said.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_and_the_log_has_one_line_a_minute_with_their_number() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let evictions = Evictions::new(Arc::clone(&metrics));
        let of = |bound| Evicted { bound, namespace: "shop".to_owned() };
        evictions.tell(&[of(Bound::Namespace), of(Bound::All), of(Bound::All)]);
        evictions.tell(&[]);
        let text = String::from_utf8(metrics.render(jiff::Timestamp::now())).unwrap();
        for line in [r#"{bound="namespace"} 1"#, r#"{bound="all"} 2"#] {
            assert!(text.contains(&format!("rasp_reports_evicted_total{line}")), "{text}");
        }

        let (evictions, start) = (Evictions::new(metrics), Instant::now());
        assert_eq!(evictions.due(2, start), Some(2), "at once");
        assert_eq!(evictions.due(3, start + QUIET / 3), None);
        assert_eq!(evictions.due(4, start + QUIET / 2), None);
        assert_eq!(evictions.due(1, start + QUIET), Some(8), "none is lost");
    }
}
