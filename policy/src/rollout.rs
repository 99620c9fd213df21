//! A step of a rollout (`spec.enforcement.rollout`) between the operator, which decides which one is in force, and sidecars,
//! which count its requests. Pure: the judgement over the counts is the same on both sides.
//!
//! A sidecar counts each step from 0, from the moment it has it in force. So the operator only adds up what the sidecars of
//! the moment say: it needs no memory of what they said before, and an operator that takes over loses nothing.

use serde::{Deserialize, Serialize};

use crate::api::{AbortOn, Ratio, Rollout};

/// Steps in one report. A pod has as many as policies decide the share of its ports.
pub const MOST_STEPS: usize = 16;

/// Names a step beyond doubt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepId {
    /// `metadata.uid` of the policy.
    pub uid: String,
    /// `metadata.generation` of the policy.
    pub generation: i64,
    /// The step, counted from 1.
    pub step: i32,
}

/// A step as an entry of a Bundle carries it while it goes on. The share is in the `enforcement` of the entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Which one, counted from 1.
    pub number: i32,
    /// Sidecars tell their counts this often, seconds.
    pub report_seconds: u32,
    /// What ends the rollout, so that a sidecar does not wait with bad news.
    pub abort_on: AbortOn,
}

impl Step {
    /// A step of this rollout. Four reports in each interval, but not more often than every five seconds: each one is a
    /// connection to the operator, and there may be thousands of sidecars.
    pub fn of(rollout: &Rollout, number: i32) -> Self {
        let report_seconds = (rollout.seconds() / 4).clamp(5, 60);
        Self { number, report_seconds, abort_on: rollout.abort_on.clone() }
    }
}

/// A step that is in force in a sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Which one.
    pub id: StepId,
    /// How it is told, and what ends it.
    pub step: Step,
}

/// Requests of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counts {
    /// All that were judged, or refused without.
    pub requests: u64,
    /// Of these, in the share.
    pub enforced: u64,
    /// Of those in the share, refused for a finding.
    pub blocked: u64,
    /// Of those outside of it, the ones that would have been.
    pub would_block: u64,
    /// Of those in the share: refused by the sidecar for another reason, or not inspected because it failed.
    pub errors: u64,
}

/// What one sidecar counted of one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Which step.
    pub id: StepId,
    /// Since it came into force there.
    pub counts: Counts,
}

/// Which limit is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// `blockRatio`
    BlockRatio,
    /// `errorRatio`
    ErrorRatio,
}

impl Counts {
    /// Both together. What sidecars say may be made up: it ends at the largest number.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            enforced: self.enforced.saturating_add(other.enforced),
            blocked: self.blocked.saturating_add(other.blocked),
            would_block: self.would_block.saturating_add(other.would_block),
            errors: self.errors.saturating_add(other.errors),
        }
    }

    /// What ends the rollout, judged from `least` requests in the share on.
    pub fn exceed(&self, abort_on: &AbortOn, least: u64) -> Option<Exceeded> {
        let is_exceeded = |ratio: Option<Ratio>, part| {
            self.enforced >= least && ratio.is_some_and(|ratio| ratio.is_exceeded(part, self.enforced))
        };
        if is_exceeded(abort_on.error_ratio, self.errors) {
            return Some(Exceeded::ErrorRatio);
        }
        is_exceeded(abort_on.block_ratio, self.blocked).then_some(Exceeded::BlockRatio)
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, Exceeded, Step};
    use crate::api::{AbortOn, Rollout};

    fn counts([requests, enforced, blocked, would_block, errors]: [u64; 5]) -> Counts {
        Counts { requests, enforced, blocked, would_block, errors }
    }

    #[test]
    fn a_ratio_is_judged_from_its_least_sample_on_and_only_by_what_it_speaks_of() {
        let both: AbortOn = serde_yaml::from_str("{blockRatio: 0.1, errorRatio: 0.01}").unwrap();
        let table = [
            ([0, 0, 0, 0, 0], None),
            ([1000, 100, 10, 0, 0], None),
            ([1000, 100, 11, 0, 0], Some(Exceeded::BlockRatio)),
            ([1000, 99, 99, 0, 0], None),   // in the share are too few
            ([1000, 100, 0, 900, 0], None), // what would be blocked ends nothing
            ([1000, 100, 0, 0, 1], None),
            ([1000, 100, 0, 0, 2], Some(Exceeded::ErrorRatio)),
            ([99, 99, 0, 0, 99], None),
            ([1000, 1000, 1000, 0, 1000], Some(Exceeded::ErrorRatio)),
        ];
        for (of, expected) in table {
            assert_eq!(counts(of).exceed(&both, both.least()), expected, "{of:?}");
        }
        let errors: AbortOn = serde_yaml::from_str("{errorRatio: 0}").unwrap();
        assert_eq!(counts([100, 100, 100, 0, 0]).exceed(&errors, 100), None);
        let forged = counts([u64::MAX; 5]).plus(counts([1; 5]));
        assert_eq!(forged, counts([u64::MAX; 5]));
    }

    #[test]
    fn sidecars_report_four_times_in_an_interval_within_bounds() {
        for (interval, expected) in [("10s", 5), ("1m", 15), ("2m", 30), ("10m", 60), ("24h", 60)] {
            let yaml = format!("{{steps: [5], interval: {interval}, abortOn: {{errorRatio: 0}}}}");
            let rollout: Rollout = serde_yaml::from_str(&yaml).unwrap();
            assert_eq!(Step::of(&rollout, 1).report_seconds, expected, "{interval}");
        }
    }
}
