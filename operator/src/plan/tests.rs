use std::sync::Arc;

use rasp_policy::api::{Kind, Origin};
use rasp_policy::bundle::Bundle;
use rasp_policy::precedence::Effective;
use serde_json::json;

use super::{Cause, Input, Plan, Verdict, plan};
use crate::observe::{Namespace, Pod, Policy, Service, Stored};
use crate::rollout::{AllInForce, InForce};
use crate::signing::Key;
use crate::testing::{mk_namespace, mk_pod, mk_policy, mk_policy_of, mk_service, mk_stored, mk_stored_text};

const NOW: u64 = 1_000_000;

/// A namespace with what stands in it.
struct World {
    namespace: Namespace,
    excluded: bool,
    policies: Vec<Arc<Policy>>,
    pods: Vec<Arc<Pod>>,
    services: Vec<Arc<Service>>,
    rollouts: AllInForce,
    stored: Option<Stored>,
    last_good: Option<Bundle>,
    acknowledged: u64,
}

impl World {
    fn new(label: Option<&str>) -> Self {
        Self {
            namespace: mk_namespace("shop", label),
            excluded: false,
            policies: vec![],
            pods: vec![],
            services: vec![],
            rollouts: AllInForce::new(),
            stored: None,
            last_good: None,
            acknowledged: 0,
        }
    }

    fn with(mut self, policy: Policy) -> Self {
        self.policies.push(Arc::new(policy));
        self
    }

    fn plan_with(&self, compile: &super::Compile) -> Plan {
        self.plan_at(NOW, compile)
    }

    fn plan_at(&self, now_ms: u64, compile: &super::Compile) -> Plan {
        let input = Input {
            namespace: &self.namespace,
            excluded: self.excluded,
            policies: &self.policies,
            pods: &self.pods,
            services: &self.services,
            rollouts: &self.rollouts,
            stored: self.stored.as_ref(),
            last_good: self.last_good.as_ref(),
            acknowledged_sequence: self.acknowledged,
            now_ms,
        };
        plan(&input, compile)
    }

    fn plan(&self) -> Plan {
        self.plan_with(&|_: &Effective| Ok(()))
    }

    /// The same world after the plan was written.
    fn written(mut self, key: &Key) -> (Self, Bundle) {
        let (_, bundle) = self.plan().write.unwrap();
        self.stored = Some(mk_stored(&bundle, key));
        (self, bundle)
    }
}

fn names(bundle: &Bundle) -> Vec<(&str, i64)> {
    bundle.entries.iter().map(|entry| (entry.source.name.as_str(), entry.source.generation)).collect()
}

#[test]
fn a_bundle_is_written_where_somebody_needs_one() {
    let policy = || mk_policy("p", 1, json!({ "mode": "Block" }));
    let pods = |injected| vec![Arc::new(mk_pod("web", "web", injected))];
    let table = [
        ("labelled enabled", World::new(Some("enabled")), true),
        ("labelled enforced", World::new(Some("enforced")), true),
        ("labelled disabled", World::new(Some("disabled")), false),
        ("not labelled", World::new(None), false),
        ("has a policy", World::new(None).with(policy()), true),
        ("has an injected pod", World { pods: pods(true), ..World::new(None) }, true),
        ("has only other pods", World { pods: pods(false), ..World::new(None) }, false),
        ("excluded by name", World { excluded: true, ..World::new(Some("enabled")) }, false),
    ];
    for (name, world, expected) in table {
        assert_eq!(world.plan().write.is_some(), expected, "{name}");
    }
    let mut terminating = World::new(Some("enabled")).with(policy());
    terminating.namespace.terminating = true;
    assert_eq!(terminating.plan().write, None, "nothing can be created in a namespace that is being deleted");
}

#[test]
fn the_first_bundle_carries_the_policies_and_the_time() {
    let world =
        World::new(None).with(mk_policy("a", 3, json!({}))).with(mk_policy("b", 1, json!({ "mode": "Off" })));
    let (cause, bundle) = world.plan().write.unwrap();
    assert_eq!((cause, bundle.sequence), (Cause::Written, NOW));
    assert_eq!((bundle.namespace.name.as_str(), bundle.namespace.uid.as_str()), ("shop", "shop-uid"));
    assert_eq!(names(&bundle), [("a", 3), ("b", 1)]);
}

#[test]
fn what_is_written_is_not_written_again() {
    let key = Key::generate().unwrap();
    let (world, _) = World::new(None).with(mk_policy("a", 1, json!({}))).written(&key);
    assert_eq!(world.plan().write, None);
}

#[test]
fn a_change_gets_a_higher_sequence_also_when_the_clock_stands_still_or_goes_back() {
    let key = Key::generate().unwrap();
    let (mut world, first) = World::new(None).with(mk_policy("a", 1, json!({}))).written(&key);
    world.policies = vec![Arc::new(mk_policy("a", 2, json!({ "mode": "Block" })))];
    let (cause, second) = world.plan().write.unwrap();
    assert_eq!((cause, second.sequence), (Cause::Written, first.sequence + 1));
    assert_eq!(names(&second), [("a", 2)]);
    world.policies.clear();
    assert!(world.plan().write.is_none_or(|(_, bundle)| bundle.entries.is_empty()));
}

#[test]
fn a_deleted_policy_leaves_the_bundle() {
    let key = Key::generate().unwrap();
    let (mut world, _) = World::new(Some("enabled")).with(mk_policy("a", 1, json!({}))).written(&key);
    world.policies.clear();
    let (cause, bundle) = world.plan().write.unwrap();
    assert_eq!((cause, names(&bundle).len()), (Cause::Written, 0));
}

#[test]
fn whatever_somebody_did_to_the_config_map_is_repaired() {
    let (key, other) = (Key::generate().unwrap(), Key::generate().unwrap());
    let mk = || World::new(None).with(mk_policy("a", 1, json!({ "mode": "Block" }))).written(&key);
    let changed = |change: &dyn Fn(&Bundle) -> Option<Stored>| {
        let (mut world, bundle) = mk();
        world.last_good = Some(bundle.clone());
        world.stored = change(&bundle);
        let (cause, repaired) = world.plan().write.unwrap();
        assert_eq!(names(&repaired), [("a", 1)]);
        assert!(repaired.sequence > bundle.sequence, "sidecars have to take it");
        cause
    };
    let older = |bundle: &Bundle| Bundle { sequence: bundle.sequence - 1, ..bundle.clone() };
    let foreign = |bundle: &Bundle| {
        let mut bundle = bundle.clone();
        bundle.namespace.uid = "other-uid".to_owned();
        bundle
    };
    assert_eq!(changed(&|_| None), Cause::Repaired, "deleted");
    assert_eq!(changed(&|_| Some(mk_stored_text("{}", &key))), Cause::Repaired, "tampered");
    assert_eq!(
        changed(&|bundle| Some(mk_stored(bundle, &other).reopened(&key))),
        Cause::Repaired,
        "signed by another"
    );
    assert_eq!(changed(&|bundle| Some(mk_stored(&older(bundle), &key))), Cause::Repaired, "older");
    assert_eq!(
        changed(&|bundle| Some(mk_stored(&foreign(bundle), &key))),
        Cause::Repaired,
        "of another namespace"
    );
    let unlabelled = |bundle: &Bundle| {
        let mut stored = mk_stored(bundle, &key);
        stored.labelled = false;
        Some(stored)
    };
    assert_eq!(changed(&unlabelled), Cause::Repaired, "label removed");
}

#[test]
fn a_restored_backup_is_overtaken_but_a_lying_sidecar_is_not_believed() {
    let key = Key::generate().unwrap();
    let (mut world, _) = World::new(None).with(mk_policy("a", 1, json!({}))).written(&key);
    world.acknowledged = NOW + 500;
    let (cause, bundle) = world.plan().write.unwrap();
    assert_eq!((cause, bundle.sequence), (Cause::Repaired, NOW + 501));
    world.acknowledged = u64::MAX;
    assert_eq!(world.plan().write, None);
}

#[test]
fn a_bad_policy_is_left_out_and_says_why() {
    let world = World::new(None)
        .with(mk_policy("bad", 1, json!({ "response": { "status": 200 } })))
        .with(mk_policy("good", 1, json!({ "mode": "Block" })))
        .with(mk_policy("unreadable", 1, json!({ "mode": 7 })));
    let plan = world.plan();
    assert_eq!(names(&plan.write.unwrap().1), [("good", 1)]);
    assert_eq!(plan.verdicts["good-uid"], Verdict::Accepted);
    let Verdict::Invalid { message, kept: None } = &plan.verdicts["bad-uid"] else { panic!("accepted") };
    assert!(message.contains("spec.response.status is 200"), "{message}");
    assert!(matches!(plan.verdicts["unreadable-uid"], Verdict::Invalid { kept: None, .. }));
}

#[test]
fn a_bad_edit_keeps_the_generation_that_is_in_force() {
    let key = Key::generate().unwrap();
    let (mut world, _) = World::new(None).with(mk_policy("a", 1, json!({ "mode": "Block" }))).written(&key);
    world.policies =
        vec![Arc::new(mk_policy("a", 2, json!({ "mode": "Block", "response": { "status": 1 } })))];
    let plan = world.plan();
    assert_eq!(plan.write, None);
    assert!(matches!(plan.verdicts["a-uid"], Verdict::Invalid { kept: Some(1), .. }));

    // Also when somebody deletes the ConfigMap at the same time.
    let last_good = world.stored.take().unwrap().opened.unwrap().bundle;
    world.last_good = Some((*last_good).clone());
    let plan = world.plan();
    assert_eq!(names(&plan.write.unwrap().1), [("a", 1)]);
}

#[test]
fn the_modes_that_a_bad_edit_lowers_act_at_once_and_nothing_else_of_it_does() {
    use rasp_policy::api::Mode::{Block, Monitor};
    let key = Key::generate().unwrap();
    let first = json!({ "mode": "Block", "podSelector": { "matchLabels": { "app": "web" } } });
    let (mut world, before) = World::new(None).with(mk_policy("a", 1, first)).written(&key);
    let bad = |generation, mode: &str| {
        let spec = json!({ "mode": mode, "failureMode": "Closed", "response": { "status": 1 } });
        vec![Arc::new(mk_policy("a", generation, spec))]
    };
    world.policies = bad(2, "Monitor");
    let plan = world.plan();
    assert!(matches!(plan.verdicts["a-uid"], Verdict::Invalid { kept: Some(1), .. }));
    let (cause, lowered) = plan.write.unwrap();
    assert_eq!((cause, names(&lowered)), (Cause::Written, vec![("a", 1)]));
    let mut expected = before.entries[0].clone();
    expected.spec.mode = Some(Monitor);
    assert_eq!(lowered.entries, [expected]);

    // It stays so, and only what can be compiled raises it again.
    world.stored = Some(mk_stored(&lowered, &key));
    assert_eq!(world.plan().write, None);
    world.policies = bad(3, "Block");
    assert_eq!(world.plan().write, None);
    world.policies = vec![Arc::new(mk_policy("a", 4, json!({ "mode": "Block" })))];
    assert_eq!(world.plan().write.unwrap().1.entries[0].spec.mode, Some(Block));

    let good = json!({ "mode": "Block", "enforcement": { "percent": 50 } });
    let (mut world, _) = World::new(None).with(mk_policy("a", 1, good)).written(&key);
    for (percent, expected) in [(60, None), (10, Some(10)), (0, Some(0))] {
        let spec =
            json!({ "mode": "Block", "enforcement": { "percent": percent }, "response": { "status": 1 } });
        world.policies = vec![Arc::new(mk_policy("a", 2, spec))];
        let entry = world.plan().write.map(|(_, mut bundle)| bundle.entries.remove(0));
        let share = entry.map(|entry| (entry.source.generation, entry.spec.mode, entry.spec.enforcement));
        let percent = share.map(|(generation, mode, share)| (generation, mode, share.unwrap().percent));
        assert_eq!(percent, expected.map(|expected| (1, Some(Block), Some(expected))));
    }

    let cluster = |generation, spec| mk_policy_of(Kind::ClusterRaspPolicy, "c", generation, spec);
    let good = cluster(1, json!({ "overrides": { "mode": "Block" } }));
    let bad = |half: &str| json!({ half: { "mode": "Monitor", "response": { "status": 418 } } });
    let compile = |effective: &Effective| match effective.response_status {
        418 => Err("spec.response.status is 418".to_owned()),
        _ => Ok(()),
    };
    let (mut world, _) = World::new(Some("enabled")).with(good).written(&key);
    for (half, expected) in [("overrides", Some(Monitor)), ("defaults", None)] {
        world.policies = vec![Arc::new(cluster(2, bad(half)))];
        let entry = world.plan_with(&compile).write.unwrap().1.entries.remove(0);
        assert_eq!((entry.origin, entry.spec.mode), (Some(Origin::Overrides), expected), "{half}");
    }
}

#[test]
fn what_the_engine_cannot_compile_is_invalid_whatever_its_selector() {
    let world = World::new(None).with(mk_policy(
        "a",
        1,
        json!({ "podSelector": { "matchLabels": { "app": "x" } }, "mode": "Block" }),
    ));
    let plan = world.plan_with(&|effective: &Effective| {
        if effective.mode == rasp_policy::api::Mode::Block {
            Err("spec.mode: refused".to_owned())
        } else {
            Ok(())
        }
    });
    let expected = Verdict::Invalid { message: "spec.mode: refused".to_owned(), kept: None };
    assert_eq!(plan.verdicts["a-uid"], expected);
}

#[test]
fn a_namespace_made_anew_under_the_same_name_starts_anew() {
    let key = Key::generate().unwrap();
    let (mut world, old) = World::new(None).with(mk_policy("a", 1, json!({}))).written(&key);
    world.last_good = Some(old);
    world.stored = None;
    world.namespace.uid = "new-uid".to_owned();
    let (cause, bundle) = world.plan().write.unwrap();
    assert_eq!((cause, bundle.namespace.uid.as_str()), (Cause::Written, "new-uid"));
}

#[test]
fn a_policy_of_the_cluster_is_in_the_bundle_and_is_no_reason_for_one() {
    let cluster = |spec| mk_policy_of(Kind::ClusterRaspPolicy, "c", 2, spec);
    let lever = || cluster(json!({ "overrides": { "mode": "Monitor" } }));
    assert_eq!(World::new(None).with(lever()).plan().write, None);
    let plan = World::new(Some("enabled")).with(lever()).plan();
    let (_, bundle) = plan.write.unwrap();
    let entry = &bundle.entries[0];
    assert_eq!(
        (entry.kind, entry.origin, names(&bundle)),
        (Kind::ClusterRaspPolicy, Some(Origin::Overrides), vec![("c", 2)])
    );
    assert_eq!(plan.verdicts["c-uid"], Verdict::Accepted);
    let bad = cluster(json!({ "overrides": { "response": { "status": 200 } } }));
    let plan = World::new(Some("enabled")).with(bad).plan();
    let Verdict::Invalid { message, kept: None } = &plan.verdicts["c-uid"] else { panic!("accepted") };
    assert!(message.starts_with("spec.overrides.response.status is 200"), "{message}");
}

#[test]
fn a_bad_edit_of_a_policy_of_the_cluster_keeps_what_is_in_force() {
    let key = Key::generate().unwrap();
    let cluster = |generation, spec| mk_policy_of(Kind::ClusterRaspPolicy, "c", generation, spec);
    let good = cluster(1, json!({ "overrides": { "mode": "Block" } }));
    let (mut world, _) = World::new(Some("enabled")).with(good).written(&key);
    for spec in
        [json!({ "overrides": { "mode": "Blok" } }), json!({}), json!({ "overrides": {}, "defaults": {} })]
    {
        world.policies = vec![Arc::new(cluster(2, spec))];
        let plan = world.plan();
        assert_eq!(plan.write, None);
        assert!(matches!(plan.verdicts["c-uid"], Verdict::Invalid { kept: Some(1), .. }));
    }
}

#[test]
fn an_exception_ends_and_needs_an_end_unless_the_cluster_says_otherwise() {
    let exception = |spec| mk_policy_of(Kind::RaspException, "x", 1, spec);
    let ending = |end: &str| exception(json!({ "rule": "sqli-comment", "reason": "r", "expiresAt": end }));
    let forever = || exception(json!({ "rule": "sqli-comment", "reason": "r" }));
    let cluster = |name: &str, allowed| {
        let spec = json!({ "defaults": {}, "allowPermanentExceptions": allowed });
        mk_policy_of(Kind::ClusterRaspPolicy, name, 1, spec)
    };
    // now is 1000 s after the epoch
    let table = [
        (World::new(None).with(ending("1970-01-01T00:16:41Z")), ""),
        (World::new(None).with(ending("1970-01-01T00:16:40Z")), "Expired"),
        (World::new(None).with(forever()), "PermanentNotAllowed"),
        (World::new(None).with(cluster("a", true)).with(forever()), ""),
        (
            World::new(None).with(cluster("a", true)).with(cluster("b", false)).with(forever()),
            "PermanentNotAllowed",
        ),
    ];
    for (world, expected) in table {
        let plan = world.plan();
        let reason = match &plan.verdicts["x-uid"] {
            Verdict::Accepted => "",
            Verdict::Refused { reason, .. } => reason,
            Verdict::Invalid { message, .. } => message,
        };
        assert_eq!(reason, expected);
        let (_, bundle) = plan.write.unwrap();
        assert_eq!(bundle.entries.iter().any(|entry| entry.kind == Kind::RaspException), expected.is_empty());
    }
    // Names of objects go to 253 characters, with dots.
    for name in ["a.b", &"x".repeat(253), &format!("{}-.{}", "x".repeat(62), "y".repeat(100))] {
        let spec = json!({ "rule": "sqli-comment", "reason": "r", "expiresAt": "2099-01-01T00:00:00Z" });
        let world = World::new(None).with(mk_policy_of(Kind::RaspException, name, 1, spec));
        assert_eq!(world.plan().verdicts[&format!("{name}-uid")], Verdict::Accepted, "{name}");
    }
    let bad = World::new(None)
        .with(exception(json!({ "reason": "r", "expiresAt": "2027-01-01T00:00:00Z" })))
        .plan();
    assert!(matches!(bad.verdicts["x-uid"], Verdict::Invalid { kept: None, .. }));
}

#[test]
fn a_bad_edit_does_not_keep_an_exception_that_may_not_be_any_more() {
    let key = Key::generate().unwrap();
    let exception = |generation, spec| mk_policy_of(Kind::RaspException, "x", generation, spec);
    let allows = |generation, allowed: bool| {
        let spec = json!({ "defaults": {}, "allowPermanentExceptions": allowed });
        mk_policy_of(Kind::ClusterRaspPolicy, "c", generation, spec)
    };
    let forever = json!({ "rule": "sqli-comment", "reason": "r" });
    let ending = json!({ "rule": "sqli-comment", "reason": "r", "expiresAt": "1970-01-01T00:16:41Z" });
    for (spec, allowed, now_ms, kept) in [
        (&forever, true, NOW, Some(1)),
        (&forever, false, NOW, None),
        (&ending, false, NOW, Some(1)),
        (&ending, false, NOW + 1000, None),
    ] {
        let world = World::new(None).with(allows(1, true)).with(exception(1, spec.clone()));
        let (mut world, _) = world.written(&key);
        let bad = exception(2, json!({ "reason": "r" }));
        world.policies = vec![Arc::new(allows(2, allowed)), Arc::new(bad)];
        let plan = world.plan_at(now_ms, &|_: &Effective| Ok(()));
        let Verdict::Invalid { kept: found, .. } = plan.verdicts["x-uid"] else { panic!("{plan:?}") };
        let is_there = plan.entries.iter().any(|entry| entry.kind == Kind::RaspException);
        assert_eq!((found, is_there), (kept, kept.is_some()), "{spec} {allowed} {now_ms}");
    }
}

#[test]
fn targets_are_resolved_and_what_is_not_there_is_told() {
    let spec = json!({
        "targetRefs": [{ "kind": "Service", "name": "web", "sectionName": "http" }, { "kind": "Service", "name": "gone" }],
        "mode": "Block",
    });
    let mut world = World::new(None).with(mk_policy("a", 1, spec));
    world.services =
        vec![Arc::new(mk_service("web", &json!({ "app": "web" }), &json!([{ "name": "http", "port": 80 }])))];
    let plan = world.plan();
    let (_, bundle) = plan.write.unwrap();
    let entry = &bundle.entries[0];
    assert_eq!(entry.spec.target_refs, None, "resolved");
    let targets = entry.targets.as_ref().unwrap();
    assert_eq!((targets.len(), targets[0].ports.as_deref()), (1, Some(&[80][..])));
    assert_eq!(plan.missing["a-uid"], ["Service/gone is not there"]);
    assert_eq!(plan.verdicts["a-uid"], Verdict::Accepted, "it applies where it can");
}

#[test]
fn a_step_of_a_rollout_is_a_share_and_a_bundle_of_its_own() {
    let key = Key::generate().unwrap();
    let rollout = json!({ "steps": [5, 50], "interval": "10m", "abortOn": { "errorRatio": 0 } });
    let asked: rasp_policy::api::Rollout = serde_json::from_value(rollout.clone()).unwrap();
    let spec = json!({ "mode": "Block", "enforcement": { "rollout": rollout, "hashOn": "ClientIP" } });
    let world = World::new(None).with(mk_policy("a", 1, spec));
    let entry = |world: &World| world.plan().entries.remove(0);
    let share = |world: &World| entry(world).spec.enforcement.unwrap();
    assert_eq!(share(&world).percent, Some(5), "the most careful one, while nobody says which");
    let at = |percent, number: Option<i32>| {
        let step = number.map(|number| rasp_policy::rollout::Step::of(&asked, number));
        AllInForce::from([("a-uid".to_owned(), InForce { percent, step })])
    };
    let (mut world, first) = World { rollouts: at(5, Some(1)), ..world }.written(&key);
    assert_eq!(first.entries[0].rollout.as_ref().unwrap().number, 1);
    assert_eq!(world.plan().write, None);
    world.rollouts = at(50, Some(2));
    let (cause, second) = world.plan().write.unwrap();
    assert!(cause == Cause::Written && second.sequence > first.sequence, "{cause:?}");
    assert_eq!((share(&world).percent, share(&world).rollout), (Some(50), None));
    world.rollouts = at(0, None);
    assert_eq!((share(&world).percent, entry(&world).rollout), (Some(0), None));
    let bytes = String::from_utf8(world.plan().write.unwrap().1.to_bytes()).unwrap();
    assert!(!bytes.contains("rollout"), "a sidecar of before reads the share alone: {bytes}");
}
