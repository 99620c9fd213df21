//! Status of a policy as a pure function of the policy, the Bundle as written, the selected pods and their reports.
//!
//! It says only what sidecars acknowledged: Programmed is True when every selected pod that has a sidecar has this
//! generation in force. Nothing here reads a clock or writes. Called by `controller` for every policy of a namespace.

use std::time::Duration;

use jiff::Timestamp;
use rasp_policy::api::{Condition, RaspPolicyStatus, TargetCounts, conditions, reasons};
use rasp_policy::report::{EffectiveMode, Report};

use crate::observe::{Pod, Policy};
use crate::plan::Verdict;
use crate::signing::Opened;

mod inspected;
mod overridden;
mod tally;

use tally::Tally;

/// A new leader knows no reports; every sidecar sends one within a minute and its jitter. Until then a silent pod does
/// not lower what an earlier leader had established.
pub const GRACE: Duration = Duration::from_secs(75);
/// A sidecar reports every minute; three missed reports are no accident.
pub const STALE: Duration = Duration::from_secs(180);
/// Objects named in a message before the rest is counted.
const NAMED: usize = 3;

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
    /// Of a pod without sidecar: why it has none.
    pub why: Option<String>,
}

/// Everything a status stands on.
pub struct Input<'a> {
    /// Now.
    pub now: Timestamp,
    /// How long this process has been leader.
    pub leader_for: Duration,
    /// The policy.
    pub policy: &'a Policy,
    /// Whether it takes part.
    pub verdict: &'a Verdict,
    /// The Bundle as written.
    pub written: Option<&'a Opened>,
    /// Why the Bundle could not be written, if so.
    pub distribution_error: Option<&'a str>,
    /// The running pods of the namespace.
    pub targets: &'a [Target<'a>],
}

/// A condition without its history.
struct Judged {
    kind: &'static str,
    status: &'static str,
    reason: &'static str,
    message: String,
}

/// The status that the policy should have.
pub fn status(input: &Input<'_>) -> RaspPolicyStatus {
    let tally = Tally::count(input);
    let carried = input.written.filter(|written| {
        let mut sources = written.bundle.entries.iter().map(|entry| &entry.source);
        sources.any(|source| source.uid == input.policy.uid && source.generation == input.policy.generation)
    });
    let judged = [
        accepted(input),
        programmed(input, &tally),
        inspected::judge(input, &tally),
        degraded(input, &tally),
    ];
    RaspPolicyStatus {
        observed_generation: Some(input.policy.generation),
        effective_mode: Some(effective_mode(input, &tally)),
        policy_hash: carried.map(|written| written.digest.clone()),
        targets: Some(TargetCounts {
            matched: count(tally.matched),
            programmed: count(tally.programmed + tally.presumed),
            outdated: count(tally.waiting.len() - tally.presumed),
            unprotected: count(tally.unprotected.len()),
        }),
        conditions: judged.into_iter().map(|judged| with_history(input, judged)).collect(),
    }
}

fn effective_mode(input: &Input<'_>, tally: &Tally<'_>) -> EffectiveMode {
    let reported = tally.modes.iter().copied();
    let before = input.policy.status.effective_mode.filter(|mode| *mode != EffectiveMode::Unknown);
    EffectiveMode::combine(reported.chain(before.filter(|_| tally.presumed > 0)))
}

fn accepted(input: &Input<'_>) -> Judged {
    match input.verdict {
        Verdict::Accepted => judged(conditions::ACCEPTED, "True", reasons::ACCEPTED, "the policy takes part"),
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
            format!("{message}; generation {kept} stays in force"),
        ),
    }
}

fn programmed(input: &Input<'_>, tally: &Tally<'_>) -> Judged {
    let condition = |status, reason, message: String| judged(conditions::PROGRAMMED, status, reason, message);
    let generation = input.policy.generation;
    if let Verdict::Invalid { .. } = input.verdict {
        return condition("False", reasons::INVALID, format!("generation {generation} cannot be compiled"));
    }
    if tally.matched == 0 {
        return condition("Unknown", reasons::NO_TARGETS, "no running pod is selected".to_owned());
    }
    if tally.sidecars() == 0 {
        return condition("False", reasons::PENDING, "no selected pod has a sidecar".to_owned());
    }
    if let Some(winners) = overridden::by(input) {
        return condition("False", reasons::OVERRIDDEN, format!("every field is decided by {winners}"));
    }
    let (ready, all) = (tally.programmed + tally.presumed, tally.sidecars());
    let progress = format!("{ready} of {all} sidecars have generation {generation} in force");
    if ready == all {
        return condition("True", reasons::PROGRAMMED, progress);
    }
    let reason = if ready == 0 { reasons::PENDING } else { reasons::PARTIALLY_PROGRAMMED };
    let waiting = tally.waiting.iter().take(all - ready).map(|pod| full_name(pod));
    condition("False", reason, format!("{progress}; waiting for {}", list(waiting)))
}

fn degraded(input: &Input<'_>, tally: &Tally<'_>) -> Judged {
    let mut faults: Vec<(&'static str, String)> = Vec::new();
    if let Some(error) = input.distribution_error {
        faults.push((reasons::DISTRIBUTION_FAILED, format!("the Bundle cannot be written: {error}")));
    }
    if !tally.rejected.is_empty() {
        let pods = tally.rejected.iter().map(|(pod, why)| format!("{} ({why})", full_name(pod)));
        faults.push((
            reasons::BUNDLE_REJECTED,
            format!("refused a Bundle and keeps the previous one: {}", list(pods)),
        ));
    }
    if !tally.unprotected.is_empty() {
        let pods = tally.unprotected.iter().map(|(pod, why)| match why {
            Some(why) => format!("{} ({why})", full_name(pod)),
            None => full_name(pod),
        });
        let (some, all) = (tally.unprotected.len(), tally.matched);
        faults.push((
            reasons::UNPROTECTED,
            format!("{some} of {all} selected pods without a sidecar: {}", list(pods)),
        ));
    }
    if !tally.suspended.is_empty() {
        let pods = tally.suspended.iter().map(|(pod, classes)| format!("{} ({classes})", full_name(pod)));
        faults.push((
            reasons::INSPECTION_SUSPENDED,
            format!("a detector keeps failing and is left out for now: {}", list(pods)),
        ));
    }
    if !tally.stale.is_empty() {
        let pods = tally.stale.iter().map(|pod| full_name(pod));
        let minutes = STALE.as_secs() / 60;
        faults.push((reasons::REPORT_STALE, format!("no report for {minutes} minutes from {}", list(pods))));
    }
    let Some((reason, _)) = faults.first() else {
        return judged(
            conditions::DEGRADED,
            "False",
            reasons::ALL_SIDECARS_HEALTHY,
            "no fault is known on the selected pods",
        );
    };
    let messages: Vec<_> = faults.iter().map(|(_, message)| message.as_str()).collect();
    judged(conditions::DEGRADED, "True", reason, messages.join("; "))
}

fn judged(
    kind: &'static str,
    status: &'static str,
    reason: &'static str,
    message: impl Into<String>,
) -> Judged {
    Judged { kind, status, reason, message: message.into() }
}

fn with_history(input: &Input<'_>, judged: Judged) -> Condition {
    let before = input.policy.status.conditions.iter().find(|condition| condition.r#type == judged.kind);
    let unchanged = before.filter(|condition| condition.status == judged.status);
    let now = || Timestamp::from_second(input.now.as_second()).unwrap_or(input.now).to_string();
    Condition {
        r#type: judged.kind.to_owned(),
        status: judged.status.to_owned(),
        observed_generation: Some(input.policy.generation),
        last_transition_time: unchanged.map_or_else(now, |condition| condition.last_transition_time.clone()),
        reason: judged.reason.to_owned(),
        message: judged.message,
    }
}

fn full_name(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace, pod.name)
}

/// The first few, and how many more.
fn list(items: impl Iterator<Item = String>) -> String {
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
