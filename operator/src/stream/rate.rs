//! How often a pod may open a stream: a few at once, then one in a while. A pod that keeps opening them costs others
//! nothing but this look-up.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Streams that a pod may open at once.
const BURST: u32 = 10;
/// One more is allowed after this.
const EVERY: Duration = Duration::from_secs(5);
/// Pods remembered at most. Those that could open [`BURST`] again are forgotten first, and the rest together: an
/// attacker has no tokens of so many pods.
const MAX_PODS: usize = 16_384;

/// When the allowance of each pod is whole again.
#[derive(Default)]
pub struct Rate(Mutex<HashMap<String, Instant>>);

impl Rate {
    /// Whether this pod may open one more, which then counts.
    pub fn allows(&self, pod: &str, now: Instant) -> bool {
        let mut whole_again = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if whole_again.len() >= MAX_PODS && !whole_again.contains_key(pod) {
            whole_again.retain(|_, at| *at > now);
            if whole_again.len() >= MAX_PODS {
                whole_again.clear();
            }
        }
        let at = whole_again.get(pod).copied().unwrap_or(now).max(now) + EVERY;
        let allowed = at <= now + EVERY * BURST;
        if allowed {
            whole_again.insert(pod.to_owned(), at);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::{BURST, EVERY, MAX_PODS, Rate};

    #[test]
    fn a_pod_may_open_a_few_at_once_and_then_one_in_a_while() {
        let (rate, now) = (Rate::default(), Instant::now());
        assert_eq!((0..BURST * 2).filter(|_| rate.allows("a", now)).count(), BURST as usize);
        assert!(rate.allows("b", now), "another pod");
        assert!(!rate.allows("a", now + EVERY / 2));
        assert!(rate.allows("a", now + EVERY));
        assert!(!rate.allows("a", now + EVERY));
        let later = now + EVERY * 100;
        assert_eq!((0..BURST * 2).filter(|_| rate.allows("a", later)).count(), BURST as usize);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (rate, now) = (Rate::default(), Instant::now());
        for pod in 0..=MAX_PODS {
            assert!(rate.allows(&pod.to_string(), now));
        }
        assert!(rate.0.lock().unwrap().len() <= MAX_PODS);
    }
}
