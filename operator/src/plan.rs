//! Decides, for one namespace, which Bundle it gets and which policies take part. Pure: no clock, no IO, no key.
//!
//! A policy that cannot be compiled is left out, or stays as it was if an earlier generation is in force: a bad edit
//! never loosens protection. Nothing is written unless the entries differ or what is stored is not what was written.
//! Called by `controller`.

use std::collections::BTreeMap;
use std::sync::Arc;

use rasp_policy::bundle::{self, Bundle, Entry, SCHEMA_VERSION, Source};
use rasp_policy::pod::INJECT_LABEL;
use rasp_policy::precedence::{Effective, resolve};
use rasp_policy::selector::Labels;

use crate::observe::{Namespace, Pod, Policy, Stored};

/// What is known of a namespace.
pub struct Input<'a> {
    /// The namespace.
    pub namespace: &'a Namespace,
    /// Excluded from injection by name.
    pub excluded: bool,
    /// Its policies, in the order of their names.
    pub policies: &'a [Arc<Policy>],
    /// Its pods.
    pub pods: &'a [Arc<Pod>],
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
}

/// What has to be done.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// The Bundle to write, if one has to be written.
    pub write: Option<(Cause, Bundle)>,
    /// For each policy, by its name.
    pub verdicts: BTreeMap<String, Verdict>,
}

/// Why a Bundle is written. The id is a value of `rasp_policy_rollouts_total{result}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The policies changed, or there was no Bundle.
    Written,
    /// Somebody else changed what we had written.
    Repaired,
}

/// Compiles what would be in force, as the sidecar will; the message says what is wrong.
pub type Compile = dyn Fn(&Effective) -> Result<(), String> + Send + Sync;

/// Whether a namespace asks for injection by its label.
pub fn asks_for_injection(namespace: &Namespace) -> bool {
    matches!(namespace.labels.get(INJECT_LABEL).map(String::as_str), Some("enabled" | "enforced"))
}

/// Decides.
pub fn plan(input: &Input<'_>, compile: &Compile) -> Plan {
    let previous = newest(input);
    let mut entries = Vec::new();
    let mut verdicts = BTreeMap::new();
    for policy in input.policies {
        let verdict = match check(policy, compile) {
            Ok(entry) => {
                entries.push(entry);
                Verdict::Accepted
            }
            Err(message) => {
                let kept =
                    previous.and_then(|bundle| bundle.entries.iter().find(|e| e.source.uid == policy.uid));
                entries.extend(kept.cloned());
                Verdict::Invalid { message, kept: kept.map(|entry| entry.source.generation) }
            }
        };
        verdicts.insert(policy.name.clone(), verdict);
    }
    let write = if concerns(input) { needed(input, previous, &entries) } else { None };
    let write = write.map(|cause| (cause, next(input, previous, entries)));
    Plan { write, verdicts }
}

fn concerns(input: &Input<'_>) -> bool {
    let asked = asks_for_injection(input.namespace) && !input.excluded;
    !input.namespace.terminating
        && (asked || !input.policies.is_empty() || input.pods.iter().any(|pod| pod.injected))
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
    (!unchanged).then_some(Cause::Written)
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

/// The entry of a policy, if it can be compiled. Its selector plays no part in that: whatever pod it selects, the
/// fields it sets have to compile.
fn check(policy: &Policy, compile: &Compile) -> Result<Entry, String> {
    let spec = policy.spec.clone()?;
    spec.check()?;
    let source = Source {
        name: policy.name.clone(),
        uid: policy.uid.clone(),
        generation: policy.generation,
        created_at: policy.created_at.clone(),
    };
    let mut unselective = spec.clone();
    unselective.pod_selector = None;
    let alone = Bundle {
        schema_version: SCHEMA_VERSION,
        namespace: bundle::Namespace { name: String::new(), uid: String::new() },
        sequence: 0,
        entries: vec![Entry { source: source.clone(), spec: unselective }],
    };
    compile(&resolve(&alone, &Labels::new()).effective)?;
    Ok(Entry { source, spec })
}

#[cfg(test)]
mod tests;
