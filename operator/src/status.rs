//! Status of a policy as a pure function of the policy, the Bundle as written, the selected pods and their reports.
//!
//! It says only what sidecars acknowledged: Programmed is True when every selected pod that has a sidecar has this
//! generation in force. Nothing here reads a clock or writes. What is known in one namespace is a [`Share`]; the status is
//! made of one, or for a policy of the cluster of those of all its namespaces. Called by `controller`.

use std::time::Duration;

use jiff::Timestamp;
use rasp_policy::api::{
    Condition, Enforcement, Kind, RaspPolicyStatus, RolloutStatus, TargetCounts, conditions, reasons,
};
use rasp_policy::report::{EffectiveMode, Report};
use rasp_policy::share::Share as Blocked;

use crate::facts::Absence;
use crate::observe::{Pod, Policy};
use crate::plan::Verdict;
use crate::signing::Opened;
use crate::time::in_seconds;

mod inspected;
mod overridden;
mod rolled_out;
mod share;
mod tally;

pub use share::{Share, share};
use tally::Tally;
pub(crate) use tally::is_too_old;

/// A new leader knows no reports; every sidecar sends one within a minute and its jitter. Until then a silent pod does
/// not lower what an earlier leader had established.
pub const GRACE: Duration = Duration::from_secs(75);
/// A sidecar reports every minute; three missed reports are no accident.
pub const STALE: Duration = Duration::from_secs(180);
/// Objects named in a message before the rest is counted.
const NAMED: usize = 5;

/// A report and when it arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// What the sidecar says.
    pub report: Report,
    /// When it said so.
    pub at: Timestamp,
}

/// A running pod of the namespace.
pub struct Target<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Its newest report.
    pub report: Option<&'a Received>,
    /// There is none, and it may have been dropped for want of room: what it said is unknown.
    pub evicted: bool,
    /// Of a pod without sidecar: why it has none.
    pub why: Option<Absence>,
    /// The image of its sidecar, where new pods get another one.
    pub other_image: Option<&'a str>,
}

/// Everything that is known of a policy in one namespace.
pub struct Input<'a> {
    /// Now.
    pub now: Timestamp,
    /// How long this process has been leader.
    pub leader_for: Duration,
    /// The policy.
    pub policy: &'a Policy,
    /// Whether it takes part.
    pub verdict: &'a Verdict,
    /// Where its rollout is, if it has one.
    pub rollout: Option<&'a RolloutStatus>,
    /// The Bundle as written.
    pub written: Option<&'a Opened>,
    /// Why the Bundle could not be written, if so.
    pub distribution_error: Option<&'a str>,
    /// What of its `targetRefs` is not there.
    pub missing: &'a [String],
    /// Whether that is because the policies of the namespace are too large together.
    pub too_large: bool,
    /// The running pods of the namespace.
    pub targets: &'a [Target<'a>],
}

/// Everything a status stands on.
struct Whole<'a> {
    now: Timestamp,
    leader_for: Duration,
    policy: &'a Policy,
    verdict: &'a Verdict,
    rollout: Option<&'a RolloutStatus>,
    /// What is known in all namespaces together.
    share: Share,
    /// Silent sidecars that an earlier leader had seen programmed.
    presumed: usize,
}

/// A condition without its history.
struct Judged {
    kind: &'static str,
    status: &'static str,
    reason: &'static str,
    message: String,
}

/// The status that a policy of one namespace should have.
pub fn status(input: &Input<'_>) -> RaspPolicyStatus {
    let Input { now, leader_for, policy, verdict, rollout, .. } = *input;
    whole(now, leader_for, (policy, verdict, rollout), std::iter::once(&share(input)))
}

/// The status that a policy should have, by what is known in each of its namespaces.
pub fn of_shares<'a>(
    now: Timestamp,
    leader_for: Duration,
    policy: &Policy,
    verdict: &Verdict,
    shares: impl Iterator<Item = &'a Share>,
) -> RaspPolicyStatus {
    whole(now, leader_for, (policy, verdict, None), shares)
}

fn whole<'a>(
    now: Timestamp,
    leader_for: Duration,
    (policy, verdict, rollout): (&Policy, &Verdict, Option<&RolloutStatus>),
    shares: impl Iterator<Item = &'a Share>,
) -> RaspPolicyStatus {
    let share = Share::united(shares);
    let presumed = presumed(policy, leader_for, &share.tally);
    let whole = Whole { now, leader_for, policy, verdict, rollout, share, presumed };
    let tally = &whole.share.tally;
    let judged = [
        Some(accepted(&whole)),
        resolved_refs(&whole),
        Some(programmed(&whole)),
        rolled_out::judge(&whole),
        Some(inspected::judge(&whole)),
        Some(degraded(&whole)),
    ];
    RaspPolicyStatus {
        observed_generation: Some(policy.generation),
        effective_mode: Some(effective_mode(&whole)),
        policy_hash: whole.share.carried().map(ToOwned::to_owned),
        targets: Some(TargetCounts {
            matched: count(tally.matched),
            programmed: count(tally.programmed + presumed),
            outdated: count(tally.waiting.len() + tally.too_old.len() + tally.silent.len() - presumed),
            unprotected: count(tally.unprotected.len()),
            outdated_sidecars: Some(count(tally.older.len())),
        }),
        hits: hits(&whole),
        last_hit: whole.share.last_hit.clone().max(policy.status.last_hit.clone()),
        rollout: rollout.cloned(),
        conditions: judged.into_iter().flatten().map(|judged| with_history(&whole, judged)).collect(),
    }
}

/// A new leader has not heard all sidecars yet: what the one before had counted stays until then.
fn hits(whole: &Whole<'_>) -> Option<i64> {
    if whole.policy.kind != Kind::RaspException {
        return None;
    }
    let counted = i64::try_from(whole.share.hits).unwrap_or(i64::MAX);
    let before = whole.policy.status.hits.filter(|_| whole.leader_for < GRACE);
    Some(before.map_or(counted, |before| before.max(counted)))
}

fn presumed(policy: &Policy, leader_for: Duration, tally: &Tally) -> usize {
    let before = &policy.status;
    if leader_for >= GRACE || before.observed_generation != Some(policy.generation) {
        return 0;
    }
    let known = before.targets.map_or(0, |targets| usize::try_from(targets.programmed).unwrap_or(0));
    known.saturating_sub(tally.programmed).min(tally.silent.len())
}

fn effective_mode(whole: &Whole<'_>) -> EffectiveMode {
    let reported = whole.share.tally.modes.iter().copied();
    let before = whole.policy.status.effective_mode.filter(|mode| *mode != EffectiveMode::Unknown);
    EffectiveMode::combine(reported.chain(before.filter(|_| whole.presumed > 0)))
}

fn resolved_refs(whole: &Whole<'_>) -> Option<Judged> {
    whole.policy.spec.as_ref().ok()?.target_refs.as_ref()?;
    let missing = &whole.share.missing;
    let condition = |status, reason, message| judged(conditions::RESOLVED_REFS, status, reason, message);
    Some(if missing.is_empty() {
        condition("True", reasons::RESOLVED_REFS, "every target is there".to_owned())
    } else {
        condition("False", reasons::TARGET_NOT_FOUND, list(missing.iter().cloned()))
    })
}

fn accepted(whole: &Whole<'_>) -> Judged {
    match whole.verdict {
        Verdict::Refused { reason, message } => {
            judged(conditions::ACCEPTED, "False", reason, message.as_str())
        }
        Verdict::Accepted => judged(conditions::ACCEPTED, "True", reasons::ACCEPTED, takes_part(whole)),
        Verdict::Invalid { message, kept: None } => judged(
            conditions::ACCEPTED,
            "False",
            reasons::INVALID,
            format!("{message}; the policy is left out"),
        ),
        Verdict::Invalid { message, kept: Some(kept) } => judged(
            conditions::ACCEPTED,
            "False",
            reasons::INVALID,
            format!("{message}; generation {kept} stays in force{}", lowered(whole)),
        ),
    }
}

/// What of an edit that cannot be compiled acts all the same (`plan::lever`).
fn lowered(whole: &Whole<'_>) -> String {
    let Policy { kind, spec, generation, .. } = whole.policy;
    let Some(spec) = spec.as_ref().ok().filter(|_| *kind != Kind::RaspException) else {
        return String::new();
    };
    let asked = spec.enforcement.as_ref().and_then(|enforcement| enforcement.percent);
    let share = asked.filter(|_| whole.share.kept_percent == asked);
    let share =
        share.map(|percent| format!(", and with Block for {percent} % of requests")).unwrap_or_default();
    format!(", in modes no higher than those of generation {generation}{share}")
}

/// Says what nobody should take for Block, and who can choose not to be blocked.
fn takes_part(whole: &Whole<'_>) -> String {
    const PART: &str = "the policy takes part";
    let enforcement = whole.policy.spec.as_ref().ok().and_then(|spec| spec.enforcement.as_ref());
    let at = |enforcement: &Enforcement| {
        let percent = whole.rollout.map_or_else(|| enforcement.at(), |rollout| rollout.percent);
        Enforcement { percent: Some(percent), rollout: None, ..enforcement.clone() }
    };
    let Some(enforcement) = enforcement.map(at).filter(|enforcement| enforcement.at() < 100) else {
        return PART.to_owned();
    };
    let caution = enforcement.caution().map(|caution| format!("; {caution}")).unwrap_or_default();
    format!("{PART}; Block for {}{caution}", Blocked::of(&enforcement, &whole.policy.uid))
}

fn programmed(whole: &Whole<'_>) -> Judged {
    let condition = |status, reason, message: String| judged(conditions::PROGRAMMED, status, reason, message);
    let (generation, tally) = (whole.policy.generation, &whole.share.tally);
    match whole.verdict {
        Verdict::Accepted => {}
        Verdict::Invalid { .. } => {
            return condition(
                "False",
                reasons::INVALID,
                format!("generation {generation} cannot be compiled"),
            );
        }
        Verdict::Refused { reason, .. } => {
            return condition("False", reason, format!("generation {generation} takes no part"));
        }
    }
    if let Some(error) = &whole.share.too_large {
        return condition(
            "False",
            reasons::TOO_LARGE,
            format!("{error}; what was in force before stays, in modes and shares no higher than now"),
        );
    }
    if tally.matched == 0 {
        return condition("Unknown", reasons::NO_TARGETS, "no running pod is selected".to_owned());
    }
    if tally.sidecars() == 0 {
        return condition("False", reasons::PENDING, "no selected pod has a sidecar".to_owned());
    }
    if let Some(winners) = whole.share.overridden() {
        let overridden = format!("every field is decided by {winners}");
        // Where a target is not there, others decide because this one is for nothing.
        return match list(whole.share.missing.iter().cloned()) {
            missing if missing.is_empty() => condition("False", reasons::OVERRIDDEN, overridden),
            missing => condition("False", reasons::TARGET_NOT_FOUND, format!("{missing}; {overridden}")),
        };
    }
    let (ready, all) = (tally.programmed + whole.presumed, tally.sidecars());
    let progress = format!("{ready} of {all} sidecars have generation {generation} in force");
    if ready == all {
        return condition("True", reasons::PROGRAMMED, progress);
    }
    let too_old = tally.too_old.len();
    let reason = match (too_old, ready) {
        (0, 0) => reasons::PENDING,
        (0, _) => reasons::PARTIALLY_PROGRAMMED,
        _ => reasons::SIDECAR_TOO_OLD,
    };
    let mut waiting = tally.waiting.clone();
    waiting.add(&tally.silent);
    waiting.shorten((all - ready).saturating_sub(too_old));
    let older = (too_old > 0)
        .then(|| format!("{too_old} too old to read it (restart their workloads): {}", tally.too_old));
    let waiting = (!waiting.is_empty()).then(|| format!("waiting for {waiting}"));
    let parts = std::iter::once(progress).chain(older).chain(waiting);
    condition("False", reason, parts.collect::<Vec<_>>().join("; "))
}

fn degraded(whole: &Whole<'_>) -> Judged {
    let tally = &whole.share.tally;
    let mut faults: Vec<(&'static str, String)> = Vec::new();
    if let Some(error) = &whole.share.distribution_error {
        faults.push((reasons::DISTRIBUTION_FAILED, format!("the Bundle cannot be written: {error}")));
    }
    faults.extend(rolled_out::fault(whole));
    if !tally.rejected.is_empty() {
        let message = format!("refused a Bundle and keeps the previous one: {}", tally.rejected);
        faults.push((reasons::BUNDLE_REJECTED, message));
    }
    if !tally.unprotected.is_empty() {
        let (some, all) = (tally.unprotected.len(), tally.matched);
        let message = format!("{some} of {all} selected pods without a sidecar: {}", tally.unprotected);
        faults.push((reasons::UNPROTECTED, message));
    }
    if !tally.suspended.is_empty() {
        let message = format!("a detector keeps failing and is left out for now: {}", tally.suspended);
        faults.push((reasons::INSPECTION_SUSPENDED, message));
    }
    if !tally.stale.is_empty() {
        let minutes = STALE.as_secs() / 60;
        faults.push((reasons::REPORT_STALE, format!("no report for {minutes} minutes from {}", tally.stale)));
    }
    let healthy = (reasons::ALL_SIDECARS_HEALTHY, "no fault is known on the selected pods".to_owned());
    let status = if faults.is_empty() { "False" } else { "True" };
    let told = if faults.is_empty() { vec![healthy] } else { faults };
    let reason = told.first().map_or(reasons::ALL_SIDECARS_HEALTHY, |(reason, _)| reason);
    let messages: Vec<_> = told.iter().map(|(_, message)| message.clone()).chain(older(tally)).collect();
    judged(conditions::DEGRADED, status, reason, messages.join("; "))
}

/// No fault: each upgrade leaves every sidecar so until its workload is restarted, and it protects meanwhile.
fn older(tally: &Tally) -> Option<String> {
    let (some, all) = (tally.older.len(), tally.sidecars());
    (some > 0).then(|| {
        format!("{some} of {all} sidecars are of another version than new pods get: {}", tally.older)
    })
}

fn judged(
    kind: &'static str,
    status: &'static str,
    reason: &'static str,
    message: impl Into<String>,
) -> Judged {
    Judged { kind, status, reason, message: message.into() }
}

fn with_history(whole: &Whole<'_>, judged: Judged) -> Condition {
    let before = whole.policy.status.conditions.iter().find(|condition| condition.r#type == judged.kind);
    let unchanged = before.filter(|condition| condition.status == judged.status);
    let now = || in_seconds(whole.now);
    Condition {
        r#type: judged.kind.to_owned(),
        status: judged.status.to_owned(),
        observed_generation: Some(whole.policy.generation),
        last_transition_time: unchanged.map_or_else(now, |condition| condition.last_transition_time.clone()),
        reason: judged.reason.to_owned(),
        message: judged.message,
    }
}

/// The first few, and how many more.
pub(crate) fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.collect();
    let named = items.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match items.len().checked_sub(NAMED) {
        Some(more) if more > 0 => format!("{named} and {more} more"),
        _ => named,
    }
}

fn count(pods: usize) -> i32 {
    i32::try_from(pods).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
