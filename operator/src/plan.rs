//! Decides, for one namespace, which Bundle it gets and which policies take part. Pure: no clock, no IO, no key.
//!
//! A policy that cannot be compiled is left out, or stays as it was if an earlier generation is in force: a bad edit
//! never loosens protection, but by the modes and the share that it lowers, which act at once. Nothing is written unless
//! the entries differ or what is stored is not what was written. Called by `controller`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use rasp_policy::api::{Kind, NEEDS_AN_END, Origin, RaspPolicySpec, reasons};
use rasp_policy::bundle::{self, Bundle, Entry, SCHEMA_VERSION, Source};
use rasp_policy::pod::INJECT_LABEL;
use rasp_policy::precedence::{Effective, resolve};
use rasp_policy::selector::Labels;

use crate::observe::{Namespace, Pod, Policy, Service, Stored};
use crate::rollout::AllInForce;

mod lever;
mod targets;

/// What is known of a namespace.
pub struct Input<'a> {
    /// The namespace.
    pub namespace: &'a Namespace,
    /// Excluded from injection by name.
    pub excluded: bool,
    /// The policies that concern it, of every kind, in the order of a Bundle.
    pub policies: &'a [Arc<Policy>],
    /// Its pods.
    pub pods: &'a [Arc<Pod>],
    /// Its Services.
    pub services: &'a [Arc<Service>],
    /// Where rollouts are.
    pub rollouts: &'a AllInForce,
    /// The ConfigMap as it stands.
    pub stored: Option<&'a Stored>,
    /// The newest Bundle of this namespace that this process wrote or verified.
    pub last_good: Option<&'a Bundle>,
    /// The highest sequence that a sidecar says it has in force.
    pub acknowledged_sequence: u64,
    /// Milliseconds since the epoch.
    pub now_ms: u64,
}

/// Whether a policy takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This generation takes part.
    Accepted,
    /// This generation cannot be compiled.
    Invalid {
        /// Field, value, and what to do.
        message: String,
        /// The earlier generation that stays in force.
        kept: Option<i64>,
    },
    /// It could be compiled and must not take part.
    Refused {
        /// A reason of the condition Accepted.
        reason: &'static str,
        /// Why, and what to do.
        message: String,
    },
}

impl Verdict {
    /// Whether some generation of the policy is in the Bundle.
    pub fn has_entry(&self) -> bool {
        matches!(self, Self::Accepted | Self::Invalid { kept: Some(_), .. })
    }
}

/// What has to be done.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// The Bundle to write, if one has to be written.
    pub write: Option<(Cause, Bundle)>,
    /// For each policy, by its UID.
    pub verdicts: BTreeMap<String, Verdict>,
    /// What should be in the Bundle, written now or before.
    pub entries: Vec<Entry>,
    /// By UID, for policies with `targetRefs`: what of it is not there.
    pub missing: BTreeMap<String, Vec<String>>,
    /// Whether anybody needs a Bundle in this namespace.
    pub concerned: bool,
}

/// Why a Bundle is written. The id is a value of `rasp_policy_rollouts_total{result}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The policies or the key changed, or there was no Bundle.
    Written,
    /// Somebody else changed what we had written.
    Repaired,
}

/// Compiles what would be in force, as the sidecar will; the message says what is wrong.
pub type Compile = dyn Fn(&Effective) -> Result<(), String> + Send + Sync;

/// The dry run of the engine, which a sidecar compiles with as well. Nothing of the policy is kept.
pub fn dry_run(effective: &Effective) -> Result<(), String> {
    rasp_engine::Ruleset::check(effective).map_err(|error| format!("spec.{error}"))
}

/// Whether a namespace asks for injection by its label.
pub fn asks_for_injection(namespace: &Namespace) -> bool {
    matches!(namespace.labels.get(INJECT_LABEL).map(String::as_str), Some("enabled" | "enforced"))
}

/// Decides.
pub fn plan(input: &Input<'_>, compile: &Compile) -> Plan {
    let previous = newest(input);
    let mut entries = Vec::new();
    let (mut verdicts, mut missing) = (BTreeMap::new(), BTreeMap::new());
    for policy in input.policies {
        let ends = policy.spec.as_ref().ok().and_then(|spec| refused(input, policy.kind, spec));
        let verdict = match (check(policy, compile), ends) {
            (Ok(_), Some(refused)) => refused,
            (Ok(mut entry), None) => {
                if let Some(refs) = entry.spec.target_refs.take() {
                    let (found, absent) = targets::resolve(&refs, input.services, input.pods);
                    entry.targets = Some(found);
                    missing.insert(policy.uid.clone(), absent);
                }
                say_share(&mut entry, input.rollouts);
                entries.push(entry);
                Verdict::Accepted
            }
            (Err(message), _) => {
                let kept =
                    previous.and_then(|bundle| bundle.entries.iter().find(|e| e.source.uid == policy.uid));
                // No edit makes an exception outlive its end, or whoever allowed it to have none.
                let kept = kept.filter(|kept| refused(input, kept.kind, &kept.spec).is_none());
                let generation = kept.map(|entry| entry.source.generation);
                let origin = policy.cluster.as_ref().map(|cluster| cluster.origin);
                entries.extend(kept.cloned().map(|kept| match &policy.spec {
                    Ok(edit) => lowered(kept, edit, origin),
                    Err(_) => kept,
                }));
                Verdict::Invalid { message, kept: generation }
            }
        };
        verdicts.insert(policy.uid.clone(), verdict);
    }
    let concerned = concerns(input);
    let write = if concerned { needed(input, previous, &entries) } else { None };
    let write = write.map(|cause| (cause, next(input, previous, entries.clone())));
    Plan { write, verdicts, entries, missing, concerned }
}

/// What stays in force of a policy whose edit does not act as a whole, with the modes and the share that the edit lowers.
fn lowered(mut kept: Entry, edit: &RaspPolicySpec, origin: Option<Origin>) -> Entry {
    let lifts = (kept.origin, origin) == (Some(Origin::Overrides), Some(Origin::Defaults));
    lever::pull(&mut kept.spec, edit, lifts);
    // Below overrides the policies of namespaces may say a larger share.
    if !lifts {
        lever::pull_share(&mut kept, edit);
    }
    kept
}

/// Of a Bundle that does not fit: the one before, without the policies that take part no more and with the modes and shares
/// that were lowered since. `None` where that is the one before.
pub fn lessened(before: &Bundle, too_large: &Bundle) -> Option<Bundle> {
    let now = |kept: &Entry| too_large.entries.iter().find(|entry| entry.source.uid == kept.source.uid);
    let lowered = |kept: &Entry| now(kept).map(|entry| lowered(kept.clone(), &entry.spec, entry.origin));
    let entries: Vec<_> = before.entries.iter().filter_map(lowered).collect();
    (entries != before.entries && before.namespace == too_large.namespace)
        .then(|| Bundle { entries, ..too_large.clone() })
}

/// A sidecar reads a share, and what to count of it: which step that is, it need not know.
fn say_share(entry: &mut Entry, rollouts: &AllInForce) {
    let Some(enforcement) = &mut entry.spec.enforcement else { return };
    let Some(rollout) = enforcement.rollout.take() else { return };
    let in_force = rollouts.get(&entry.source.uid);
    enforcement.percent = Some(in_force.map_or(rollout.percent(1), |in_force| in_force.percent));
    entry.rollout = in_force.and_then(|in_force| in_force.step.clone());
}

/// A policy of the cluster alone is no reason for a Bundle: it would be written into every namespace there is.
fn concerns(input: &Input<'_>) -> bool {
    let asked = asks_for_injection(input.namespace) && !input.excluded;
    let own = input.policies.iter().any(|policy| policy.kind != Kind::ClusterRaspPolicy);
    !input.namespace.terminating && (asked || own || input.pods.iter().any(|pod| pod.injected))
}

/// An exception ends, also while nothing changes: the namespace is looked at every few seconds.
fn refused(input: &Input<'_>, kind: Kind, spec: &RaspPolicySpec) -> Option<Verdict> {
    if kind != Kind::RaspException {
        return None;
    }
    let exception = spec.exceptions.as_ref()?.first()?;
    let Some(end) = &exception.expires_at else {
        let said = |policy: &Arc<Policy>| policy.cluster.as_ref()?.permanent;
        let mut said = input.policies.iter().filter_map(said).peekable();
        let allowed = said.peek().is_some() && said.all(|allowed| allowed);
        let refused =
            || Verdict::Refused { reason: reasons::PERMANENT_NOT_ALLOWED, message: NEEDS_AN_END.to_owned() };
        return (!allowed).then(refused);
    };
    let seconds = i64::try_from(input.now_ms / 1000).unwrap_or(i64::MAX);
    let now = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_string();
    let message = || format!("it has ended at {end}: delete it, or set a later spec.expiresAt");
    (*end <= now).then(|| Verdict::Refused { reason: reasons::EXPIRED, message: message() })
}

/// The last Bundle known to be ours: the stored one unless somebody put an older or a foreign one there.
fn newest<'a>(input: &'a Input<'_>) -> Option<&'a Bundle> {
    let ours = |bundle: &&Bundle| bundle.namespace.uid == input.namespace.uid;
    let stored = input.stored.and_then(|stored| stored.opened.as_ref().ok()).map(|opened| &*opened.bundle);
    [stored.filter(ours), input.last_good.filter(ours)]
        .into_iter()
        .flatten()
        .max_by_key(|bundle| bundle.sequence)
}

fn needed(input: &Input<'_>, previous: Option<&Bundle>, entries: &[Entry]) -> Option<Cause> {
    let Some(stored) = input.stored else {
        // Deleted under our hands, or never there.
        return Some(if previous.is_some() { Cause::Repaired } else { Cause::Written });
    };
    let intact = stored.labelled
        && stored.opened.as_ref().is_ok_and(|opened| {
            opened.bundle.namespace.uid == input.namespace.uid
                && previous.is_none_or(|newest| newest.sequence <= opened.bundle.sequence)
                && acknowledged(input) <= opened.bundle.sequence
        });
    if !intact {
        return Some(Cause::Repaired);
    }
    let unchanged = previous.is_some_and(|bundle| bundle.entries == entries);
    let outdated = stored.opened.as_ref().is_ok_and(|opened| opened.is_outdated);
    (outdated || !unchanged).then_some(Cause::Written)
}

/// Sidecars refuse what is older than what they have, so a restored backup has to be overtaken. What they say is
/// believed only up to an hour ahead: one lying sidecar must not drive the sequence to its end.
fn acknowledged(input: &Input<'_>) -> u64 {
    const HOUR_MS: u64 = 3_600_000;
    let said = input.acknowledged_sequence;
    if said <= input.now_ms.saturating_add(HOUR_MS) { said } else { 0 }
}

fn next(input: &Input<'_>, previous: Option<&Bundle>, entries: Vec<Entry>) -> Bundle {
    let known = previous.map_or(0, |bundle| bundle.sequence).max(acknowledged(input));
    Bundle {
        schema_version: SCHEMA_VERSION,
        namespace: bundle::Namespace { name: input.namespace.name.clone(), uid: input.namespace.uid.clone() },
        sequence: known.saturating_add(1).max(input.now_ms),
        entries,
    }
}

/// The entry of a policy, if it can be compiled. What it selects plays no part in that: whatever pod it is for, the fields it
/// sets have to compile. That is tried once for each version of an object: one of the cluster is asked for by every namespace.
pub fn check(policy: &Policy, compile: &Compile) -> Result<Entry, String> {
    let spec = policy.spec.clone()?;
    let source = Source {
        name: policy.name.clone(),
        uid: policy.uid.clone(),
        generation: policy.generation,
        created_at: policy.created_at.clone(),
    };
    let origin = policy.cluster.as_ref().map(|cluster| cluster.origin);
    let entry = Entry { kind: policy.kind, origin, ..Entry::policy(source, spec) };
    policy.checked.get_or_init(|| alone(&entry, compile).map_err(|message| policy.told(&message))).clone()?;
    Ok(entry)
}

fn alone(entry: &Entry, compile: &Compile) -> Result<(), String> {
    entry.spec.check()?;
    let mut unselective = entry.clone();
    (unselective.spec.pod_selector, unselective.spec.target_refs) = (None, None);
    let alone = Bundle {
        schema_version: SCHEMA_VERSION,
        namespace: bundle::Namespace { name: String::new(), uid: String::new() },
        sequence: 0,
        entries: vec![unselective],
    };
    compile(&resolve(&alone, &Labels::new()).effective)
}

#[cfg(test)]
mod tests;
