//! Tells when a policy has no effect because others decide every field that it sets.

use std::collections::BTreeSet;

use rasp_policy::bundle::Bundle;
use rasp_policy::precedence::{Field, resolve};
use rasp_policy::selector::Labels;

use super::tally::selected;
use super::{Input, list};

/// The winners' names, if on no selected pod any field that this policy sets is decided by it. A policy that sets
/// nothing cannot lose.
pub(super) fn by(input: &Input<'_>) -> Option<String> {
    let bundle = &*input.written?.bundle;
    let own = bundle.entries.iter().position(|entry| entry.source.uid == input.policy.uid)?;
    let fields = set_fields(bundle, own);
    if fields.is_empty() {
        return None;
    }
    let mut winners = BTreeSet::new();
    // Pods of one template share their labels: resolve each set of labels once.
    let labels: BTreeSet<&Labels> =
        selected(input).filter(|target| target.pod.injected).map(|target| &target.pod.labels).collect();
    for labels in labels {
        for (field, winner) in resolve(bundle, labels).winners {
            if winner == own {
                return None;
            }
            if fields.contains(&field) {
                winners.extend(bundle.entries.get(winner).map(|entry| entry.source.name.clone()));
            }
        }
    }
    (!winners.is_empty()).then(|| list(winners.into_iter()))
}

/// The fields that decide something when the policy stands alone.
fn set_fields(bundle: &Bundle, own: usize) -> BTreeSet<Field> {
    let mut alone =
        Bundle { entries: bundle.entries.iter().skip(own).take(1).cloned().collect(), ..bundle.clone() };
    for entry in &mut alone.entries {
        entry.spec.pod_selector = None;
    }
    resolve(&alone, &Labels::new()).winners.into_iter().map(|(field, _)| field).collect()
}
