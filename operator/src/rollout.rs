//! Decides which step of a rollout (`spec.enforcement.rollout`) is in force: the next one, the same, or none any more. Pure:
//! of what the status says, what sidecars count, and the time. Nothing here writes.
//!
//! It goes on only by what it knows: every sidecar has the step, the interval is over, enough requests were seen. It goes back
//! on bad numbers at once, whoever is still missing. What ended stays so until the policy is changed.
//! Called by `controller`; what sidecars say is put together by `seen`.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rasp_policy::api::{Rollout, RolloutPhase, RolloutStatus, reasons};
use rasp_policy::rollout::{Counts, Exceeded, Step};

use crate::time::in_seconds;

mod seen;
#[cfg(test)]
mod tests;

pub use seen::{Seen, Standing, look};

/// What a decision stands on.
pub struct Input<'a> {
    /// Now.
    pub now: Timestamp,
    /// The generation of the policy.
    pub generation: i64,
    /// What it asks for.
    pub rollout: &'a Rollout,
    /// What its status says.
    pub before: Option<&'a RolloutStatus>,
    /// What is known of the step that the status names.
    pub seen: &'a Seen,
    /// Whether this leader may not have heard every sidecar yet: then it does not go on.
    pub deaf: bool,
}

/// What people are told. Values of `rasp_policy_rollouts_total{result}`, and reasons of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The next step.
    Advanced,
    /// The last step held.
    Completed,
    /// A step did not hold.
    RolledBack,
}

/// What the Bundle says of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The share.
    pub percent: i32,
    /// What sidecars count, while it goes on.
    pub step: Option<Step>,
}

/// By the UID of the policy.
pub type AllInForce = BTreeMap<String, InForce>;

impl InForce {
    /// What follows from a status.
    pub fn of(rollout: &Rollout, status: &RolloutStatus) -> Self {
        match status.phase {
            RolloutPhase::Progressing => {
                Self { percent: rollout.percent(status.step), step: Some(Step::of(rollout, status.step)) }
            }
            RolloutPhase::Completed => Self { percent: rollout.percent(rollout.count()), step: None },
            RolloutPhase::RolledBack => Self { percent: 0, step: None },
        }
    }
}

/// Whether the share may differ, so that the status has to be written before the Bundle.
pub fn has_moved(before: Option<&RolloutStatus>, now: &RolloutStatus) -> bool {
    let place = |status: &RolloutStatus| (status.generation, status.step, status.phase);
    before.map(place) != Some(place(now))
}

/// The status of the rollout as it should be, and what is to be told.
pub fn advance(input: &Input<'_>) -> (RolloutStatus, Option<Turn>) {
    let Some(before) = input.before.filter(|before| before.generation == input.generation) else {
        return (begun(input), None);
    };
    if before.phase != RolloutPhase::Progressing {
        return (before.clone(), None);
    }
    let (rollout, seen) = (input.rollout, input.seen);
    let step = before.step.clamp(1, rollout.count());
    let now = RolloutStatus {
        step,
        steps: rollout.count(),
        percent: rollout.percent(step),
        ..counted(input, before)
    };
    let abort_on = &rollout.abort_on;
    if let Some(exceeded) = seen.counts.exceed(abort_on, abort_on.least()) {
        return (rolled_back(input, now, exceeded), Some(Turn::RolledBack));
    }
    match watched(input, now) {
        Watched::Waits(waits) => (waits, None),
        Watched::Held(held) if step < rollout.count() => (next(input, &held), Some(Turn::Advanced)),
        Watched::Held(held) => (completed(held), Some(Turn::Completed)),
    }
}

fn begun(input: &Input<'_>) -> RolloutStatus {
    let rollout = input.rollout;
    RolloutStatus {
        generation: input.generation,
        phase: RolloutPhase::Progressing,
        step: 1,
        steps: rollout.count(),
        percent: rollout.percent(1),
        reason: reasons::WAITING_FOR_SIDECARS.to_owned(),
        message: format!("{} is on its way to sidecars", name(rollout, 1)),
        started_at: in_seconds(input.now),
        step_started_at: None,
        requests: 0,
        enforced: 0,
        blocked: 0,
        would_block: 0,
        errors: 0,
    }
}

/// A new leader has not heard everybody: what the one before had counted stays until then.
fn counted(input: &Input<'_>, before: &RolloutStatus) -> RolloutStatus {
    let Counts { requests, enforced, blocked, would_block, errors } = input.seen.counts;
    let number = |counted: u64, before: i64| {
        let counted = i64::try_from(counted).unwrap_or(i64::MAX);
        if input.deaf { counted.max(before) } else { counted }
    };
    RolloutStatus {
        requests: number(requests, before.requests),
        enforced: number(enforced, before.enforced),
        blocked: number(blocked, before.blocked),
        would_block: number(would_block, before.would_block),
        errors: number(errors, before.errors),
        ..before.clone()
    }
}

/// What keeps a rollout waiting for ever.
const NOBODY_IN_THE_SHARE: &str =
    "; no client is in it: there are few, or all of them have one address or one key (hashOn)";

/// A step whose numbers are not bad.
enum Watched {
    /// It waits for something.
    Waits(RolloutStatus),
    /// Nothing is missing.
    Held(RolloutStatus),
}

fn watched(input: &Input<'_>, now: RolloutStatus) -> Watched {
    let (rollout, seen) = (input.rollout, input.seen);
    let step = name(rollout, now.step);
    let says = |status: RolloutStatus, reason: &str, message: String| {
        let (reason, message) = (reason.to_owned(), format!("{step}: {message}"));
        Watched::Waits(RolloutStatus { reason, message, ..status })
    };
    // What nobody watches does not count as watched.
    let anew = |status: RolloutStatus| RolloutStatus { step_started_at: None, ..status };
    match &seen.standing {
        Standing::Unwritten => {
            return says(now, reasons::WAITING_FOR_SIDECARS, "it is on its way to sidecars".to_owned());
        }
        Standing::Nobody => {
            return says(anew(now), reasons::NO_TARGETS, "no selected pod has a sidecar".to_owned());
        }
        Standing::Superseded(winners) => {
            let message = format!("the share is decided by {winners} on every selected pod");
            return says(anew(now), reasons::SUPERSEDED, message);
        }
        Standing::NotInBlock => {
            let message = "where this policy decides the share nothing is in Block: set mode".to_owned();
            return says(anew(now), reasons::NOT_IN_BLOCK, message);
        }
        Standing::Decides => {}
    }
    let parsed = now.step_started_at.as_ref().and_then(|text| text.parse::<Timestamp>().ok());
    let started = match parsed {
        // By a clock that was ahead, a step would be watched until then.
        Some(started) => started.min(input.now),
        None if seen.waiting.is_empty() => input.now,
        None => {
            let ready = seen.sidecars.saturating_sub(seen.waiting.len());
            let message = format!(
                "{ready} of {} sidecars have it in force; waiting for {}",
                seen.sidecars,
                crate::status::list(seen.waiting.iter().cloned())
            );
            return says(now, reasons::WAITING_FOR_SIDECARS, message);
        }
    };
    let now = RolloutStatus { step_started_at: Some(in_seconds(started)), ..now };
    let numbers = numbers(&now);
    let over =
        started.checked_add(SignedDuration::from_secs(rollout.seconds().into())).unwrap_or(Timestamp::MAX);
    if input.now < over || input.deaf {
        return says(now, reasons::OBSERVING, format!("watched until {}; {numbers}", in_seconds(over)));
    }
    let least = rollout.abort_on.least();
    if seen.counts.enforced < least {
        let is_nobody = seen.counts.enforced == 0 && seen.counts.requests >= least;
        let why = if is_nobody { NOBODY_IN_THE_SHARE } else { "" };
        let message =
            format!("it waits for {least} requests in the share (abortOn.minRequests){why}; {numbers}");
        return says(now, reasons::WAITING_FOR_SAMPLE, message);
    }
    Watched::Held(now)
}

fn next(input: &Input<'_>, held: &RolloutStatus) -> RolloutStatus {
    let (rollout, step) = (input.rollout, held.step + 1);
    let message =
        format!("{} follows: {} held; {}", name(rollout, step), name(rollout, held.step), numbers(held));
    RolloutStatus {
        step,
        percent: rollout.percent(step),
        message,
        started_at: held.started_at.clone(),
        ..begun(input)
    }
}

fn completed(held: RolloutStatus) -> RolloutStatus {
    let message = format!("the last step, {} %, held and stays; {}", held.percent, numbers(&held));
    RolloutStatus { phase: RolloutPhase::Completed, reason: reasons::COMPLETED.to_owned(), message, ..held }
}

fn rolled_back(input: &Input<'_>, now: RolloutStatus, exceeded: Exceeded) -> RolloutStatus {
    let abort_on = &input.rollout.abort_on;
    let (field, ratio) = match exceeded {
        Exceeded::BlockRatio => ("blockRatio", abort_on.block_ratio),
        Exceeded::ErrorRatio => ("errorRatio", abort_on.error_ratio),
    };
    let ratio = ratio.map(|ratio| ratio.to_string()).unwrap_or_default();
    let message = format!(
        "{} exceeds {field} {ratio}: {}; findings are not blocked any more until the policy is changed",
        name(input.rollout, now.step),
        numbers(&now)
    );
    RolloutStatus {
        phase: RolloutPhase::RolledBack,
        percent: 0,
        reason: reasons::ROLLED_BACK.to_owned(),
        message,
        ..now
    }
}

/// A step for people.
fn name(rollout: &Rollout, step: i32) -> String {
    format!("step {step} of {} ({} %)", rollout.count(), rollout.percent(step))
}

/// What was counted, for people.
fn numbers(status: &RolloutStatus) -> String {
    let RolloutStatus { requests, enforced, blocked, would_block, errors, .. } = status;
    let outside = requests.saturating_sub(*enforced);
    format!(
        "of {enforced} requests in the share {blocked} blocked and {errors} failed by the sidecar; of {outside} outside \
         {would_block} would be blocked"
    )
}
