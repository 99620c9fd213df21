//! Tells when a policy has no effect because others decide every field that it sets.

use std::collections::BTreeSet;

use rasp_policy::bundle::Bundle;
use rasp_policy::precedence::{Field, ports, resolve, resolve_at};
use rasp_policy::selector::{Labels, Subject};

use super::Input;
use super::tally::selected;

/// Whether the policy decides any field on a selected pod, and who decides the fields that it sets instead. A policy that
/// sets nothing cannot lose.
pub(super) fn by(input: &Input<'_>) -> (bool, BTreeSet<String>) {
    let mut winners = BTreeSet::new();
    let Some(bundle) = input.written.map(|written| &*written.bundle) else { return (false, winners) };
    let Some(own) = bundle.entries.iter().position(|entry| entry.source.uid == input.policy.uid) else {
        return (false, winners);
    };
    let fields = set_fields(bundle, own);
    if fields.is_empty() {
        return (true, winners);
    }
    // Pods of one template share their labels: resolve each of them once.
    let subjects: BTreeSet<Subject<'_>> =
        selected(input).filter(|target| target.pod.injected).map(|target| target.pod.subject()).collect();
    for subject in subjects {
        for port in std::iter::once(None).chain(ports(bundle, subject).into_iter().map(Some)) {
            for (field, winner) in resolve_at(bundle, subject, port).winners {
                if winner == own {
                    return (true, BTreeSet::new());
                }
                if fields.contains(&field) {
                    let entry = bundle.entries.get(winner);
                    winners.extend(entry.map(|entry| entry.title(&bundle.namespace.name)));
                }
            }
        }
    }
    (false, winners)
}

/// The fields that decide something when the policy stands alone.
fn set_fields(bundle: &Bundle, own: usize) -> BTreeSet<Field> {
    let mut alone =
        Bundle { entries: bundle.entries.iter().skip(own).take(1).cloned().collect(), ..bundle.clone() };
    for entry in &mut alone.entries {
        entry.spec.pod_selector = None;
        entry.targets = None;
    }
    resolve(&alone, &Labels::new()).winners.into_iter().map(|(field, _)| field).collect()
}
