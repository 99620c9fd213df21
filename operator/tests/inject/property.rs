//! Pods nobody wrote: parts of the golden cases in any combination, and JSON of any shape.

use proptest::prelude::*;
use proptest::sample::Index;
use rasp_operator::inject::{Decision, Level, NamespaceFacts, Reason, decide};
use serde_json::{Map, Value, json};

use super::values::json_value;
use super::{Case, cases, settings, undo};

const MEMBERS: [&str; 6] =
    ["containers", "initContainers", "volumes", "securityContext", "hostNetwork", "nodeSelector"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_pod_is_injected_once_and_stays_what_it_was(parts in any::<[Index; 8]>(), level in level()) {
        let cases: Vec<Case> = cases_once();
        let (pod, namespace) = assembled(&cases, &parts);
        let Decision::Inject(plan) = decide(&pod, level, &namespace, &settings()) else { return Ok(()) };
        let mut patched = pod.clone();
        json_patch::patch(&mut patched, &plan.patch).unwrap();
        prop_assert_eq!(undo::injection(patched.clone()), undo::injection(pod));
        let again = decide(&patched, level, &namespace, &settings());
        prop_assert_eq!(again, Decision::Skip(Reason::AlreadyInjected));
    }

    #[test]
    fn no_json_makes_it_panic(metadata in json_value(), spec in json_value(), level in level()) {
        let pod = json!({"metadata": metadata, "spec": spec});
        if let Decision::Inject(plan) = decide(&pod, level, &NamespaceFacts::default(), &settings()) {
            json_patch::patch(&mut pod.clone(), &plan.patch).unwrap();
        }
    }
}

fn cases_once() -> Vec<Case> {
    static CASES: std::sync::OnceLock<Vec<Case>> = std::sync::OnceLock::new();
    CASES.get_or_init(|| cases().collect()).clone()
}

fn level() -> impl Strategy<Value = Level> {
    proptest::sample::select(Level::ALL.to_vec())
}

fn assembled(cases: &[Case], parts: &[Index; 8]) -> (Value, NamespaceFacts) {
    let [namespace, metadata, members @ ..] = parts;
    let mut spec = Map::new();
    for (member, part) in MEMBERS.into_iter().zip(members) {
        let value = part.get(cases).pod.pointer(&format!("/spec/{member}"));
        spec.extend(value.map(|value| (member.to_owned(), value.clone())));
    }
    let mut pod = json!({"spec": spec});
    if let Some(metadata) = metadata.get(cases).pod.get("metadata") {
        pod.as_object_mut().unwrap().insert("metadata".to_owned(), metadata.clone());
    }
    (pod, namespace.get(cases).namespace.clone())
}
