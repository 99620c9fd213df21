use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rasp_policy::api::{Condition, RaspPolicyStatus, RolloutPhase, RolloutStatus, TargetCounts};
use rasp_policy::bundle::{Bundle, Entry, Namespace, SCHEMA_VERSION, Source};
use rasp_policy::report::EffectiveMode::{self, Block, Mixed, Monitor, Unknown};
use rasp_policy::report::{Rejected, Uninspected, UninspectedReason};
use serde_json::json;

use super::{GRACE, Input, Received, STALE, Target, status};
use crate::facts::Absence;
use crate::observe::{Pod, Policy};
use crate::plan::Verdict;
use crate::signing::Opened;
use crate::testing::{mk_pod, mk_pod_with, mk_policy, mk_report};

/// What a condition says: status, reason, message.
type Told<'a> = (&'a str, &'a str, &'a str);

const LONG: Duration = Duration::from_secs(3600);

fn now() -> Timestamp {
    "2026-01-02T00:00:00Z".parse().unwrap()
}

/// A policy, the other policies of its Bundle, and the pods with what they reported.
struct World {
    policy: Policy,
    verdict: Verdict,
    rollout: Option<RolloutStatus>,
    bundle: Vec<Policy>,
    pods: Vec<(Pod, Option<Received>, Option<Absence>)>,
    leader_for: Duration,
    distribution_error: Option<&'static str>,
    resolved: Option<Vec<rasp_policy::bundle::Target>>,
    missing: Vec<String>,
    too_large: bool,
    /// Whether reports were dropped.
    evicted: bool,
}

impl World {
    fn new(spec: serde_json::Value) -> Self {
        let policy = mk_policy("p", 4, spec);
        Self {
            bundle: vec![policy.clone()],
            policy,
            verdict: Verdict::Accepted,
            rollout: None,
            pods: vec![],
            leader_for: LONG,
            distribution_error: None,
            resolved: None,
            missing: vec![],
            too_large: false,
            evicted: false,
        }
    }

    /// A pod whose sidecar has this generation of the policy in force.
    fn sidecar(mut self, name: &str, generation: i64) -> Self {
        let pod = mk_pod(name, "web", true);
        let report = mk_report(&pod, EffectiveMode::Block, &[("p", generation)]);
        self.pods.push((pod, Some(Received { report, at: now() }), None));
        self
    }

    fn silent(mut self, name: &str) -> Self {
        let started = |pod: &mut serde_json::Value| pod["status"]["startTime"] = json!(now().to_string());
        self.pods.push((mk_pod_with(name, "web", true, started), None, None));
        self
    }

    fn bare(mut self, name: &str, why: &'static str) -> Self {
        self.pods.push((mk_pod(name, "web", false), None, Some(Absence::NotInjected(why))));
        self
    }

    fn before(mut self, status: RaspPolicyStatus) -> Self {
        self.policy.status = status;
        self
    }

    fn status(&self) -> RaspPolicyStatus {
        self.input(status)
    }

    fn input<T>(&self, of: impl Fn(&Input<'_>) -> T) -> T {
        let entry = |policy: &Policy| {
            let source = Source {
                name: policy.name.clone(),
                uid: policy.uid.clone(),
                generation: policy.generation,
                created_at: policy.created_at.clone(),
            };
            let origin = policy.cluster.as_ref().map(|cluster| cluster.origin);
            let entry = Entry::policy(source, policy.spec.clone().unwrap());
            let targets = self.resolved.clone().filter(|_| policy.uid == self.policy.uid);
            Entry { kind: policy.kind, origin, targets, ..entry }
        };
        let bundle = Bundle {
            schema_version: SCHEMA_VERSION,
            namespace: Namespace { name: "shop".into(), uid: "shop-uid".into() },
            sequence: 1,
            entries: self.bundle.iter().map(entry).collect(),
        };
        let written =
            Opened { bundle: Arc::new(bundle), digest: "sha256:f00d".to_owned(), is_outdated: false };
        let targets: Vec<_> = self
            .pods
            .iter()
            .map(|(pod, report, why)| Target {
                pod,
                report: report.as_ref(),
                evicted: self.evicted && report.is_none(),
                why: *why,
                other_image: pod.sidecar_image.as_deref().filter(|image| *image != "proxy:2"),
            })
            .collect();
        of(&Input {
            now: now(),
            leader_for: self.leader_for,
            policy: &self.policy,
            verdict: &self.verdict,
            rollout: self.rollout.as_ref(),
            written: Some(&written),
            distribution_error: self.distribution_error,
            missing: &self.missing,
            too_large: self.too_large,
            targets: &targets,
        })
    }
}

fn condition<'a>(status: &'a RaspPolicyStatus, kind: &str) -> &'a Condition {
    status.conditions.iter().find(|condition| condition.r#type == kind).unwrap()
}

/// Status, reason and message of a condition.
fn told<'a>(status: &'a RaspPolicyStatus, kind: &str) -> Told<'a> {
    let condition = condition(status, kind);
    (&condition.status, &condition.reason, &condition.message)
}

fn counts(status: &RaspPolicyStatus) -> [i32; 4] {
    let TargetCounts { matched, programmed, outdated, unprotected, .. } = status.targets.unwrap();
    assert_eq!(matched, programmed + outdated + unprotected);
    [matched, programmed, outdated, unprotected]
}

fn block() -> World {
    World::new(json!({ "mode": "Block" }))
}

#[test]
fn programmed_stands_on_what_sidecars_acknowledged() {
    let many = || (0..6).fold(block(), |world, index| world.sidecar(&format!("web-{index}"), 3));
    // world, counts, Programmed
    let table: [(World, [i32; 4], Told<'_>); 8] = [
        (block(), [0, 0, 0, 0], ("Unknown", "NoTargets", "no running pod is selected")),
        (
            block().sidecar("a", 4).sidecar("b", 4),
            [2, 2, 0, 0],
            ("True", "Programmed", "2 of 2 sidecars have generation 4 in force"),
        ),
        (
            block().sidecar("a", 4).sidecar("b", 3).sidecar("c", 4),
            [3, 2, 1, 0],
            (
                "False",
                "PartiallyProgrammed",
                "2 of 3 sidecars have generation 4 in force; waiting for shop/b",
            ),
        ),
        (
            block().sidecar("a", 3),
            [1, 0, 1, 0],
            ("False", "Pending", "0 of 1 sidecars have generation 4 in force; waiting for shop/a"),
        ),
        (
            block().sidecar("a", 4).silent("b"),
            [2, 1, 1, 0],
            (
                "False",
                "PartiallyProgrammed",
                "1 of 2 sidecars have generation 4 in force; waiting for shop/b",
            ),
        ),
        (
            many(),
            [6, 0, 6, 0],
            (
                "False",
                "Pending",
                "0 of 6 sidecars have generation 4 in force; waiting for shop/web-0, shop/web-1, shop/web-2, shop/web-3, shop/web-4 and 1 more",
            ),
        ),
        (
            block().sidecar("a", 4).bare("b", "host_network"),
            [2, 1, 0, 1],
            ("True", "Programmed", "1 of 1 sidecars have generation 4 in force"),
        ),
        (
            block().bare("b", "host_network"),
            [1, 0, 0, 1],
            ("False", "Pending", "no selected pod has a sidecar"),
        ),
    ];
    for (world, expected, programmed) in table {
        let status = world.status();
        assert_eq!(counts(&status), expected, "{programmed:?}");
        assert_eq!(told(&status, "Programmed"), programmed);
        assert_eq!(status.observed_generation, Some(4));
        assert_eq!(status.policy_hash.as_deref(), Some("sha256:f00d"));
        assert_eq!(told(&status, "Accepted"), ("True", "Accepted", "the policy takes part"));
    }
}

#[test]
fn what_sidecars_relay_uninspected_is_told_by_port_and_reason() {
    let relaying = |name: &str, mode, ports: &[(u16, UninspectedReason)]| {
        let mut world = block().sidecar(name, 4);
        let report = &mut world.pods[0].1.as_mut().unwrap().report;
        report.mode = mode;
        report.uninspected =
            ports.iter().map(|(port, reason)| Uninspected { port: *port, reason: *reason }).collect();
        world.pods.remove(0)
    };
    let world = |pods: Vec<_>| World { pods, ..block() };
    let (postgres, tls) = ((5432, UninspectedReason::OpaquePort), (9000, UninspectedReason::Tls));
    let mut open = block().sidecar("a", 4).sidecar("b", 4);
    open.pods[1].1.as_mut().unwrap().report.bypassable = vec![8080, 9000];
    // world, Inspected
    let table: [(World, Told<'_>); 7] = [
        (
            open,
            (
                "Unknown",
                "Bypassable",
                "1 of 2 sidecars do not see who dials the application itself: shop/b (port 8080 9000)",
            ),
        ),
        (block(), ("Unknown", "NoTargets", "no selected pod has a sidecar")),
        (block().bare("a", "host_network"), ("Unknown", "NoTargets", "no selected pod has a sidecar")),
        (block().silent("a"), ("Unknown", "Pending", "no sidecar has reported yet")),
        (
            block().sidecar("a", 4),
            ("True", "AllConnections", "no connection was relayed uninspected within the last hour"),
        ),
        (
            world(vec![
                relaying("a", Block, &[postgres]),
                relaying("b", Block, &[tls, postgres]),
                relaying("c", Block, &[]),
            ]),
            (
                "False",
                "Uninspected",
                "relayed uninspected within the last hour: port 5432 (opaque_port) on 2 of 3, \
                 port 9000 (tls) on 1 of 3 sidecars",
            ),
        ),
        (
            world(vec![relaying("a", EffectiveMode::Off, &[]), relaying("b", Block, &[postgres])]),
            ("False", "DetectionOff", "everything is Off on 1 of 2 sidecars"),
        ),
    ];
    for (world, inspected) in table {
        assert_eq!(told(&world.status(), "Inspected"), inspected);
    }
}

#[test]
fn a_sidecar_that_is_too_old_for_a_policy_is_named_with_what_it_does_not_know_and_what_to_do() {
    let refusing = |mut world: World, name: &str, reason: &str| {
        let (_, report, _) = world.pods.iter_mut().find(|(pod, ..)| pod.name == name).unwrap();
        report.as_mut().unwrap().report.rejected = Some(Rejected {
            reason: reason.to_owned(),
            message: "unknown field entries.0.spec.enforcement".to_owned(),
        });
        world
    };
    let older = |world, name| refusing(world, name, "unknown_field");
    let told_of =
        |names: &str, some: &str| format!("{some} too old to read it (restart their workloads): {names}");
    let a = "shop/a (version 0.1.0: unknown field entries.0.spec.enforcement)";
    let table = [
        (older(block().sidecar("a", 3), "a"), [1, 0, 1, 0], format!("0 of 1 {{}}; {}", told_of(a, "1"))),
        (
            older(block().sidecar("a", 3).sidecar("b", 4).sidecar("c", 3).silent("d"), "a"),
            [4, 1, 3, 0],
            format!("1 of 4 {{}}; {}; waiting for shop/c, shop/d", told_of(a, "1")),
        ),
    ];
    for (world, expected, message) in table {
        let status = world.status();
        assert_eq!(counts(&status), expected);
        let message = message.replace("{}", "sidecars have generation 4 in force");
        assert_eq!(told(&status, "Programmed"), ("False", "SidecarTooOld", message.as_str()));
        let refused = "refused a Bundle and keeps the previous one: \
                       shop/a (unknown_field: an older sidecar, restart its workload)";
        assert_eq!(told(&status, "Degraded"), ("True", "BundleRejected", refused));
    }
    // This generation is in force there; another policy is what it cannot read.
    let status = older(block().sidecar("a", 4), "a").status();
    assert_eq!(told(&status, "Programmed").1, "Programmed");
    assert_eq!(told(&status, "Degraded").1, "BundleRejected");
    // A restart would not help.
    let status = refusing(block().sidecar("a", 3), "a", "signature").status();
    assert_eq!(told(&status, "Programmed").1, "Pending");
    assert!(!told(&status, "Degraded").2.contains("restart"));
}

#[test]
fn a_sidecar_of_another_version_is_counted_and_named_and_is_no_fault() {
    let image = |mut world: World, name: &str, image: &str| {
        let pod = &mut world.pods.iter_mut().find(|(pod, ..)| pod.name == name).unwrap().0;
        pod.sidecar_image = Some(image.to_owned());
        world
    };
    let older = image(image(block().sidecar("a", 4).sidecar("b", 4), "a", "proxy:1"), "b", "proxy:2");
    let status = older.status();
    assert_eq!(counts(&status), [2, 2, 0, 0]);
    assert_eq!(status.targets.unwrap().outdated_sidecars, Some(1));
    let message = "1 of 2 sidecars are of another version than new pods get: shop/a (proxy:1)";
    let healthy = format!("no fault is known on the selected pods; {message}");
    assert_eq!(told(&status, "Degraded"), ("False", "AllSidecarsHealthy", healthy.as_str()));
    let status = image(older.bare("c", "host_network"), "a", "proxy:1\u{1b}[31m").status();
    assert_eq!(condition(&status, "Degraded").reason, "Unprotected", "{status:?}");
    assert!(told(&status, "Degraded").2.ends_with("shop/a (proxy:1 [31m)"), "{status:?}");
}

#[test]
fn pods_that_are_not_selected_or_not_running_do_not_count() {
    let mut world =
        World::new(json!({ "podSelector": { "matchLabels": { "app": "api" } }, "mode": "Block" }));
    world = world.sidecar("web", 3);
    world.pods.push((mk_pod("api", "api", true), None, None));
    let done = mk_pod_with("job", "api", true, |pod| pod["status"]["phase"] = json!("Succeeded"));
    world.pods.push((done, None, None));
    let status = world.status();
    assert_eq!(counts(&status), [1, 0, 1, 0]);
    assert!(told(&status, "Programmed").2.ends_with("waiting for shop/api"));
}

#[test]
fn the_effective_mode_is_the_one_reported() {
    let with = |modes: &[EffectiveMode]| {
        let mut world = block();
        for (index, mode) in modes.iter().enumerate() {
            let pod = mk_pod(&format!("web-{index}"), "web", true);
            let report = mk_report(&pod, *mode, &[("p", 4)]);
            world.pods.push((pod, Some(Received { report, at: now() }), None));
        }
        world.silent("z").status().effective_mode
    };
    assert_eq!(with(&[]), Some(Unknown));
    assert_eq!(with(&[Block, Block]), Some(Block));
    assert_eq!(with(&[Block, Monitor]), Some(Mixed));
}

#[test]
fn each_fault_degrades_and_the_worst_gives_the_reason() {
    let healthy = || block().sidecar("a", 4);
    let rejected = || {
        let mut world = healthy();
        let report = &mut world.pods[0].1.as_mut().unwrap().report;
        report.rejected = Some(Rejected { reason: "signature".into(), message: "no signature fits".into() });
        world
    };
    let suspended = || {
        let mut world = healthy();
        world.pods[0].1.as_mut().unwrap().report.suspended = vec!["sql_injection".into()];
        world
    };
    let stale = || {
        let mut world = healthy();
        world.pods[0].1.as_mut().unwrap().at = now() - STALE;
        world
    };
    let never = || {
        let mut world = block();
        world.pods.push((mk_pod("mute", "web", true), None, None)); // started a day ago
        world
    };
    let mut all = rejected().bare("b", "host_network");
    all.distribution_error = Some("forbidden");
    let table = [
        (healthy(), ("False", "AllSidecarsHealthy", "no fault is known on the selected pods")),
        (
            rejected(),
            ("True", "BundleRejected", "refused a Bundle and keeps the previous one: shop/a (signature)"),
        ),
        (
            healthy().bare("b", "host_network"),
            ("True", "Unprotected", "1 of 2 selected pods without a sidecar: shop/b (host_network)"),
        ),
        (
            suspended(),
            (
                "True",
                "InspectionSuspended",
                "a detector keeps failing and is left out for now: shop/a (sql_injection)",
            ),
        ),
        (stale(), ("True", "ReportStale", "no report for 3 minutes from shop/a")),
        (never(), ("True", "ReportStale", "no report for 3 minutes from shop/mute")),
        (
            all,
            (
                "True",
                "DistributionFailed",
                "the Bundle cannot be written: forbidden; refused a Bundle and keeps the previous one: \
                 shop/a (signature); 1 of 2 selected pods without a sidecar: shop/b (host_network)",
            ),
        ),
    ];
    for (world, expected) in table {
        assert_eq!(told(&world.status(), "Degraded"), expected);
    }
}

#[test]
fn an_invalid_policy_says_what_is_wrong_and_what_stays() {
    let mut world = block().sidecar("a", 3);
    world.bundle[0].generation = 3;
    world.verdict = Verdict::Invalid { message: "spec.mode: no".into(), kept: Some(3) };
    let status = world.status();
    let said = "spec.mode: no; generation 3 stays in force, in modes no higher than those of generation 4";
    assert_eq!(told(&status, "Accepted"), ("False", "Invalid", said));
    assert_eq!(told(&status, "Programmed"), ("False", "Invalid", "generation 4 cannot be compiled"));
    assert_eq!(status.policy_hash, None, "no Bundle carries this generation");
    let mut lowered =
        World::new(json!({ "mode": "Block", "enforcement": { "percent": 10 } })).sidecar("a", 3);
    lowered.bundle[0].generation = 3;
    lowered.verdict = world.verdict.clone();
    let message = format!("{said}, and with Block for 10 % of requests");
    assert_eq!(told(&lowered.status(), "Accepted").2, message, "the share of the edit is that of the Bundle");
    lowered.bundle[0].spec.as_mut().unwrap().enforcement.as_mut().unwrap().percent = Some(5);
    assert_eq!(told(&lowered.status(), "Accepted").2, said, "it stays smaller");
    world.verdict = Verdict::Invalid { message: "spec.mode: no".into(), kept: None };
    assert_eq!(told(&world.status(), "Accepted").2, "spec.mode: no; the policy is left out");
}

#[test]
fn a_policy_that_cannot_be_read_speaks_of_the_pods_of_the_one_in_force() {
    let mut world = World::new(json!({ "podSelector": { "matchLabels": { "app": "web" } } })).sidecar("a", 4);
    world.pods.push((mk_pod("api", "api", true), None, None));
    world.policy.spec = Err("spec: unreadable".into());
    world.verdict = Verdict::Invalid { message: "spec: unreadable".into(), kept: Some(3) };
    assert_eq!(counts(&world.status())[0], 1);
    assert_eq!(told(&world.status(), "Accepted").2, "spec: unreadable; generation 3 stays in force");
    world.verdict = Verdict::Invalid { message: "spec: unreadable".into(), kept: None };
    assert_eq!(counts(&world.status())[0], 0);
}

#[test]
fn a_policy_that_wins_nothing_names_the_winner() {
    let mut world = World::new(json!({ "mode": "Monitor" })).sidecar("a", 4);
    world.bundle.push(mk_policy("strict", 1, json!({ "mode": "Block" })));
    assert_eq!(
        told(&world.status(), "Programmed"),
        ("False", "Overridden", "every field is decided by RaspPolicy shop/strict")
    );
    // One field of its own is enough to take part.
    let mut part = World::new(json!({ "mode": "Monitor", "failureMode": "Closed" })).sidecar("a", 4);
    part.bundle.push(mk_policy("strict", 1, json!({ "mode": "Block" })));
    assert_eq!(told(&part.status(), "Programmed").1, "Programmed");
    // A policy that sets nothing cannot lose.
    let mut empty = World::new(json!({})).sidecar("a", 4);
    empty.bundle.push(mk_policy("strict", 1, json!({ "mode": "Block" })));
    assert_eq!(told(&empty.status(), "Programmed").1, "Programmed");
}

#[test]
fn a_policy_that_wins_on_one_of_its_pods_is_not_overridden() {
    let mut world = World::new(json!({ "mode": "Monitor" })).sidecar("a", 4);
    let api = mk_pod("api", "api", true);
    let report = mk_report(&api, EffectiveMode::Monitor, &[("p", 4)]);
    world.pods.push((api, Some(Received { report, at: now() }), None));
    let strict = json!({ "podSelector": { "matchLabels": { "app": "web" } }, "mode": "Block" });
    world.bundle.push(mk_policy("strict", 1, strict));
    assert_eq!(told(&world.status(), "Programmed").1, "Programmed");
    world.pods.pop();
    assert_eq!(told(&world.status(), "Programmed").1, "Overridden");
}

#[test]
fn after_a_change_of_leader_silence_does_not_lower_what_was_established() {
    let established = || block().sidecar("a", 4).sidecar("b", 4).status();
    let fresh = |leader_for| {
        let mut world = block().silent("a").silent("b").before(established());
        world.leader_for = leader_for;
        world
    };
    assert_eq!(fresh(Duration::from_secs(1)).status(), established());
    // Later silence counts.
    let later = fresh(GRACE).status();
    assert_eq!((counts(&later), told(&later, "Programmed").0), ([2, 0, 2, 0], "False"));
    // One that speaks is believed at once, in both directions.
    let mut lowered = fresh(Duration::from_secs(1));
    lowered.pods.remove(1);
    let lowered = lowered.sidecar("b", 3).status();
    assert_eq!(counts(&lowered), [2, 1, 1, 0]);
    assert_eq!(told(&lowered, "Programmed").1, "PartiallyProgrammed");
    assert!(told(&lowered, "Programmed").2.ends_with("waiting for shop/b"));
    // What was said of another generation says nothing of this one.
    let mut edited = fresh(Duration::from_secs(1));
    edited.policy.status.observed_generation = Some(3);
    assert_eq!(counts(&edited.status()), [2, 0, 2, 0]);
    // A partial state is not raised either.
    let mut partial = fresh(Duration::from_secs(1));
    partial.policy.status.targets.as_mut().unwrap().programmed = 1;
    assert_eq!(counts(&partial.status()), [2, 1, 1, 0]);
}

#[test]
fn a_transition_time_changes_only_with_the_status() {
    let before = block().sidecar("a", 3).status();
    let mut earlier = before.clone();
    for condition in &mut earlier.conditions {
        condition.last_transition_time = "2025-01-01T00:00:00Z".to_owned();
    }
    let after = block().sidecar("a", 4).before(earlier).status();
    assert_eq!(condition(&after, "Accepted").last_transition_time, "2025-01-01T00:00:00Z");
    assert_eq!(condition(&after, "Programmed").last_transition_time, now().to_string());
}

#[test]
fn targets_that_are_not_there_are_told_and_only_where_there_are_any() {
    let refs = json!({ "targetRefs": [{ "kind": "Deployment", "name": "web" }], "mode": "Block" });
    let mut world = World::new(refs).sidecar("a", 4);
    let target = |name: &str| rasp_policy::bundle::Target {
        kind: rasp_policy::api::TargetKind::Deployment,
        name: name.to_owned(),
        selector: std::collections::BTreeMap::new(),
        ports: None,
    };
    world.resolved = Some(vec![target("web")]);
    world.pods[0].0.workload = "Deployment/web".to_owned();
    assert_eq!(told(&world.status(), "ResolvedRefs"), ("True", "ResolvedRefs", "every target is there"));
    assert_eq!(counts(&world.status()), [1, 1, 0, 0]);
    world.missing = vec!["Deployment/web has no pods".to_owned()];
    world.pods[0].0.workload = "Deployment/other".to_owned();
    let status = world.status();
    assert_eq!(told(&status, "ResolvedRefs"), ("False", "TargetNotFound", "Deployment/web has no pods"));
    assert_eq!(counts(&status), [0, 0, 0, 0], "the pods of other workloads are not its pods");
    let without = block().sidecar("a", 4).status();
    assert!(without.conditions.iter().all(|condition| condition.r#type != "ResolvedRefs"));
    // A port that is not there: nobody took its fields away, there is nothing that it is for.
    world.pods[0].0.workload = "Deployment/web".to_owned();
    world.resolved = Some(vec![rasp_policy::bundle::Target { ports: Some(vec![]), ..target("web") }]);
    world.missing = vec!["Service/web port https is not a port of it".to_owned()];
    world.bundle.push(mk_policy("strict", 1, json!({ "mode": "Monitor" })));
    let expected =
        "Service/web port https is not a port of it; every field is decided by RaspPolicy shop/strict";
    assert_eq!(told(&world.status(), "Programmed"), ("False", "TargetNotFound", expected));
}

#[test]
fn an_exception_counts_what_it_took_and_says_when_it_ended() {
    use rasp_policy::api::Kind;
    use rasp_policy::report::ExceptionHits;
    let spec = json!({ "rule": "sqli-comment", "reason": "r" });
    let mut world = block().sidecar("a", 4).sidecar("b", 4);
    world.policy = crate::testing::mk_policy_of(Kind::RaspException, "p", 4, spec);
    world.bundle = vec![world.policy.clone()];
    let hit = |id: &str, hits, last: &str| ExceptionHits { id: id.to_owned(), hits, last: last.to_owned() };
    let told_by = [
        vec![hit("RaspException/p", 3, "2026-01-01T00:00:00Z"), hit("p/other", 9, "2026-01-01T09:00:00Z")],
        vec![
            hit("RaspException/p", 4, "2026-01-01T01:00:00Z"),
            hit("RaspException/p", 0, "9999-99-99T99:99:99Z"),
        ],
    ];
    for ((_, received, _), hits) in world.pods.iter_mut().zip(told_by) {
        received.as_mut().unwrap().report.exceptions = hits;
    }
    let status = world.status();
    assert_eq!((status.hits, status.last_hit.as_deref()), (Some(7), Some("2026-01-01T01:00:00Z")));
    // A pod is gone, and what it counted with it; when the last hit was stays known.
    world.policy.status = status;
    world.pods.pop();
    let later = world.status();
    assert_eq!((later.hits, later.last_hit.as_deref()), (Some(3), Some("2026-01-01T01:00:00Z")));
    world.leader_for = Duration::from_secs(1);
    assert_eq!(world.status().hits, Some(7), "a new leader has not heard everybody");
    world.verdict = Verdict::Refused { reason: "Expired", message: "it has ended".into() };
    assert_eq!(told(&world.status(), "Accepted"), ("False", "Expired", "it has ended"));
    assert_eq!(told(&world.status(), "Programmed").1, "Expired");
    assert_eq!(block().status().hits, None, "other kinds count nothing");
}

#[test]
fn the_status_of_a_policy_of_the_cluster_is_that_of_all_its_namespaces() {
    let lever = json!({ "overrides": { "mode": "Monitor" } });
    let policy = crate::testing::mk_policy_of(rasp_policy::api::Kind::ClusterRaspPolicy, "p", 4, lever);
    let of = |world: World| {
        let world = World { policy: policy.clone(), bundle: vec![policy.clone()], ..world };
        world.input(super::share)
    };
    let (one, other) =
        (of(block().sidecar("a", 4).sidecar("b", 3)), of(block().sidecar("c", 4).bare("d", "host_network")));
    let whole =
        |shares: &[super::Share]| super::of_shares(now(), LONG, &policy, &Verdict::Accepted, shares.iter());
    let status = whole(&[one.clone(), other.clone()]);
    assert_eq!(counts(&status), [4, 2, 1, 1]);
    let expected = "2 of 3 sidecars have generation 4 in force; waiting for shop/b";
    assert_eq!(told(&status, "Programmed"), ("False", "PartiallyProgrammed", expected));
    assert_eq!(told(&status, "Degraded").1, "Unprotected");
    assert_eq!(whole(&[other]).policy_hash.as_deref(), Some("sha256:f00d"));
    assert_eq!(told(&whole(&[]), "Programmed"), ("Unknown", "NoTargets", "no running pod is selected"));
}

#[test]
fn a_policy_that_loses_to_the_cluster_names_the_kind_of_the_winner() {
    let mut world = World::new(json!({ "mode": "Block" })).sidecar("a", 4);
    let lever = json!({ "overrides": { "mode": "Monitor" } });
    let winner = crate::testing::mk_policy_of(rasp_policy::api::Kind::ClusterRaspPolicy, "lever", 1, lever);
    world.bundle.push(winner);
    let expected = "every field is decided by ClusterRaspPolicy lever";
    assert_eq!(told(&world.status(), "Programmed"), ("False", "Overridden", expected));
}

#[test]
fn a_policy_that_does_not_fit_says_so_and_one_that_is_in_the_last_bundle_stays_programmed() {
    let told = |world: &World| {
        let status = world.status();
        let programmed = status.conditions.iter().find(|condition| condition.r#type == "Programmed").unwrap();
        (programmed.status.clone(), programmed.reason.clone(), programmed.message.clone())
    };
    let mut world = World::new(json!({ "mode": "Block" })).sidecar("a", 4);
    (world.distribution_error, world.too_large) = (Some("2 bytes, more than the 1 that fit"), true);
    assert_eq!(told(&world).1, "Programmed", "this generation is in the Bundle that stays");
    world.bundle.clear();
    let (status, reason, message) = told(&world);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "TooLarge"));
    assert!(message.contains("2 bytes") && message.contains("stays"), "{message}");
}

#[test]
fn a_policy_that_blocks_a_share_of_requests_says_so_and_warns_of_keys_that_clients_choose() {
    let table = [
        ("{percent: 100}", "the policy takes part"),
        ("{percent: 10}", "the policy takes part; Block for 10 % of requests, by client address"),
        (
            "{percent: 25, hashOn: Cookie, cookie: sid}",
            "the policy takes part; Block for 25 % of requests, by cookie sid; clients choose the cookie sid, and by it \
             whether they are blocked: this is for a rollout, not for protection",
        ),
    ];
    for (enforcement, expected) in table {
        let spec = format!("{{mode: Block, enforcement: {enforcement}}}");
        let mut world = block();
        world.policy.spec = Ok(serde_yaml::from_str(&spec).unwrap());
        assert_eq!(told(&world.status(), "Accepted"), ("True", "Accepted", expected));
    }
}

#[test]
fn a_rollout_is_a_condition_and_one_that_was_rolled_back_degrades() {
    let rollout = |phase, percent, reason: &str| RolloutStatus {
        generation: 4,
        phase,
        step: 2,
        steps: 3,
        percent,
        reason: reason.to_owned(),
        message: "numbers".to_owned(),
        started_at: now().to_string(),
        step_started_at: None,
        requests: 0,
        enforced: 0,
        blocked: 0,
        would_block: 0,
        errors: 0,
    };
    let spec = json!({ "mode": "Block", "enforcement": { "rollout": {
        "steps": [1, 25, 100], "interval": "10m", "abortOn": { "errorRatio": 0 } } } });
    let table = [
        (RolloutPhase::Progressing, 25, "WaitingForSample", ("False", "WaitingForSample"), "False"),
        (RolloutPhase::Progressing, 25, "anything else", ("False", "Observing"), "False"),
        (RolloutPhase::Completed, 100, "Completed", ("True", "Completed"), "False"),
        (RolloutPhase::RolledBack, 0, "RolledBack", ("False", "RolledBack"), "True"),
    ];
    for (phase, percent, reason, expected, degraded) in table {
        let mut world = World::new(spec.clone()).sidecar("a", 4);
        world.rollout = Some(rollout(phase, percent, reason));
        let status = world.status();
        let (is, because, message) = told(&status, "RolledOut");
        assert_eq!(((is, because), message), (expected, "numbers"));
        assert_eq!(told(&status, "Degraded").0, degraded, "{phase:?}");
        assert!(degraded == "False" || told(&status, "Degraded").1 == "RolledBack");
        assert_eq!(told(&status, "Programmed").0, "True");
        let share = told(&status, "Accepted").2;
        let whole = percent == 100;
        assert_eq!(share.contains(&format!("Block for {percent} % of requests")), !whole, "{share}");
        assert_eq!(status.rollout, world.rollout);
    }
    assert!(block().status().conditions.iter().all(|condition| condition.r#type != "RolledOut"));
}

#[test]
fn a_pod_whose_report_was_dropped_never_counts_as_programmed_nor_as_silent() {
    let before = RaspPolicyStatus {
        observed_generation: Some(4),
        targets: Some(TargetCounts {
            matched: 3,
            programmed: 3,
            outdated: 0,
            unprotected: 0,
            outdated_sidecars: None,
        }),
        ..RaspPolicyStatus::default()
    };
    for leader_for in [Duration::ZERO, LONG] {
        let mut world = World::new(json!({})).sidecar("a", 4).before(before.clone());
        world.pods.extend(["b", "c"].map(|name| (mk_pod(name, "web", true), None, None)));
        (world.leader_for, world.evicted) = (leader_for, true);
        let status = world.status();
        let counts = TargetCounts {
            matched: 3,
            programmed: 1,
            outdated: 2,
            unprotected: 0,
            outdated_sidecars: Some(0),
        };
        assert_eq!(status.targets, Some(counts), "{leader_for:?}");
        let told = |kind: &str| status.conditions.iter().find(|condition| condition.r#type == kind).unwrap();
        assert_eq!(
            told("Programmed").message,
            "1 of 3 sidecars have generation 4 in force; waiting for shop/b (report_evicted), shop/c (report_evicted)"
        );
        assert_eq!(told("Degraded").status, "False", "they do report");
    }
}
