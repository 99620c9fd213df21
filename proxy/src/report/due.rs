//! When the counts of a rollout are due: as often as its Bundle says, where they changed; and at once where this sidecar alone
//! has seen what may end it. Then again when that has doubled, so that an attack on thousands of sidecars is few reports of
//! each. Without a rollout nothing is ever due.

use std::time::Duration;

use rasp_policy::rollout::{Counts, Told};
use tokio::time::{Instant, sleep};

use crate::policy::Handle;

/// How often the counts are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Requests of one sidecar that are worth an early report. The operator judges by its own sample, over all of them.
const EARLY: u64 = 10;

/// Ready when the next report is due. `told` is what the last one said.
pub(super) async fn due(policy: &Handle, told: &[Told]) {
    let trials = policy.load().trials();
    let every = trials.iter().map(|trial| trial.counted.step.report_seconds).min();
    // A policy that changes is reported at once, whatever is counted.
    let Some(every) = every else { return std::future::pending().await };
    let every = Duration::from_secs(every.into()).mul_f64(fastrand::f64().mul_add(0.2, 0.9));
    let due = Instant::now() + every;
    loop {
        sleep(LOOK).await;
        for trial in &trials {
            let before = told.iter().find(|told| told.id == trial.counted.id).map(|told| told.counts);
            let (before, now) = (before.unwrap_or_default(), trial.counts());
            let abort_on = &trial.counted.step.abort_on;
            let is_bad = now.exceed(abort_on, abort_on.least().min(EARLY)).is_some();
            if (is_bad && is_worse(&now, &before)) || (now != before && Instant::now() >= due) {
                return;
            }
        }
    }
}

fn is_worse(now: &Counts, before: &Counts) -> bool {
    let doubled = |now: u64, before: u64| now > 0 && now >= before.saturating_mul(2);
    doubled(now.blocked, before.blocked) || doubled(now.errors, before.errors)
}

#[cfg(test)]
mod tests {
    use rasp_policy::rollout::Counts;

    use super::is_worse;

    #[test]
    fn bad_news_is_told_again_when_it_has_doubled() {
        let blocked = |blocked| Counts { blocked, ..Counts::default() };
        let table = [(0, 0, false), (1, 0, true), (1, 1, false), (19, 10, false), (20, 10, true)];
        for (now, before, expected) in table {
            assert_eq!(is_worse(&blocked(now), &blocked(before)), expected, "{now} after {before}");
        }
        assert!(is_worse(&Counts { errors: 1, ..Counts::default() }, &Counts::default()));
    }
}
