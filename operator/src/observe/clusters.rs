//! ClusterRaspPolicies and the namespaces they are for. A change touches the namespaces that a policy was for and those that
//! it is for now, and no other; the echo of a status that was written touches none.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::runtime::watcher::Event;

use super::{Namespace, Policy, State};

impl State {
    /// Applies an event of the watch of ClusterRaspPolicies; returns the namespaces that have to be looked at again.
    pub fn apply_cluster(&mut self, event: Event<Policy>) -> BTreeSet<String> {
        let before = self.known_clusters();
        self.clusters.apply(event);
        let after = self.known_clusters();
        let touching = [unlike(&before, &after), unlike(&after, &before)].concat();
        if touching.is_empty() {
            return BTreeSet::new();
        }
        let is_touched = |namespace: &&Arc<Namespace>| touching.iter().any(|policy| policy.is_for(namespace));
        self.namespaces.all().filter(is_touched).map(|namespace| namespace.name.clone()).collect()
    }

    fn known_clusters(&self) -> Vec<Arc<Policy>> {
        self.clusters.all().cloned().collect()
    }

    /// Every policy that concerns a namespace: its RaspPolicies, then those of the cluster, then its RaspExceptions, each in
    /// the order of their names. `stays` says of one of the cluster whether it is in force there whomever it is for now.
    pub fn policies_for(&self, namespace: &Namespace, stays: impl Fn(&Policy) -> bool) -> Vec<Arc<Policy>> {
        let mut policies = self.policies.of(&namespace.name);
        let concerns = |policy: &&Arc<Policy>| policy.is_for(namespace) || stays(policy);
        policies.extend(self.clusters.all().filter(concerns).cloned());
        policies.extend(self.exceptions.of(&namespace.name));
        policies
    }
}

/// Those of which the other list has not this generation.
fn unlike(policies: &[Arc<Policy>], others: &[Arc<Policy>]) -> Vec<Arc<Policy>> {
    let same = |one: &Policy, other: &Policy| one.uid == other.uid && one.generation == other.generation;
    policies.iter().filter(|one| !others.iter().any(|other| same(one, other))).cloned().collect()
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;
    use rasp_policy::api::Kind;
    use serde_json::json;

    use crate::observe::{Policy, State};
    use crate::testing::{mk_namespace, mk_policy, mk_policy_of};

    fn policy(generation: i64, label: &str) -> Policy {
        let spec = json!({
            "namespaceSelector": { "matchLabels": { "rasp.dev/inject": label } }, "defaults": { "mode": "Block" },
        });
        mk_policy_of(Kind::ClusterRaspPolicy, "c", generation, spec)
    }

    #[test]
    fn a_change_touches_the_namespaces_before_and_after_and_a_status_touches_none() {
        let mut state = State::default();
        for (name, label) in [("a", "enabled"), ("b", "enforced"), ("c", "disabled")] {
            state.namespaces.put(mk_namespace(name, Some(label)));
        }
        let mut touched = |event| state.apply_cluster(event).into_iter().collect::<Vec<_>>();
        assert_eq!(touched(Event::Apply(policy(1, "enabled"))), ["a"]);
        assert!(touched(Event::Apply(policy(1, "enabled"))).is_empty(), "the echo of a status");
        assert_eq!(touched(Event::Apply(policy(2, "enforced"))), ["a", "b"]);
        assert!(
            touched(Event::Init).is_empty() && touched(Event::InitDone) == ["b"],
            "gone while nobody looked"
        );
        assert_eq!(touched(Event::Apply(policy(3, "disabled"))), ["c"]);
        assert_eq!(touched(Event::Delete(policy(3, "disabled"))), ["c"]);
    }

    #[test]
    fn policies_come_kind_by_kind_and_one_that_cannot_be_read_may_be_for_every_namespace() {
        let mut state = State::default();
        let exception = json!({ "rule": "sqli-comment", "reason": "r" });
        state.exceptions.put(mk_policy_of(Kind::RaspException, "a", 1, exception));
        state.clusters.put(mk_policy_of(Kind::ClusterRaspPolicy, "broken", 1, json!({ "defaults": 7 })));
        state.clusters.put(policy(1, "enabled"));
        state.policies.put(mk_policy("z", 1, json!({})));
        let names = |label| -> Vec<String> {
            let policies = state.policies_for(&mk_namespace("shop", Some(label)), |_| false);
            policies.iter().map(|policy| format!("{} {}", policy.kind.as_str(), policy.name)).collect()
        };
        let all = ["RaspPolicy z", "ClusterRaspPolicy broken", "ClusterRaspPolicy c", "RaspException a"];
        assert_eq!(names("enabled"), all);
        assert_eq!(names("disabled"), [all[0], all[1], all[3]]);
        let other: Vec<_> = state
            .policies_for(&mk_namespace("other", None), |_| false)
            .iter()
            .map(|p| p.name.clone())
            .collect();
        assert_eq!(other, ["broken"]);
        let stays = state.policies_for(&mk_namespace("other", None), |policy| policy.name == "c");
        assert_eq!(stays.len(), 2, "what is in force there stays");
    }
}
