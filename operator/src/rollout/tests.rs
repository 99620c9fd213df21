use std::sync::Arc;

use jiff::Timestamp;
use rasp_policy::api::RolloutPhase::{Completed, Progressing, RolledBack};
use rasp_policy::api::{Rollout, RolloutPhase, RolloutStatus};
use rasp_policy::bundle::{Bundle, Entry, Namespace, SCHEMA_VERSION, Source};
use rasp_policy::report::{EffectiveMode, Rejected, Report};
use rasp_policy::rollout::{Counts, Step, StepId, Told};
use serde_json::{Value, json};

use super::{InForce, Input, Seen, Standing, Turn, advance, has_moved, look};
use crate::observe::{Pod, Policy};
use crate::signing::Opened;
use crate::status::{Received, Target};
use crate::testing::{mk_pod, mk_policy, mk_report};

const STEPS: [i32; 3] = [5, 50, 100];

fn rollout() -> Rollout {
    serde_json::from_value(json!({
        "steps": STEPS, "interval": "10m",
        "abortOn": { "blockRatio": 0.1, "errorRatio": 0.01, "minRequests": 100 },
    }))
    .unwrap()
}

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(minute * 60).unwrap()
}

fn seen([requests, enforced, blocked, would_block, errors]: [u64; 5]) -> Seen {
    let counts = Counts { requests, enforced, blocked, would_block, errors };
    Seen { standing: Standing::Decides, sidecars: 2, waiting: vec![], counts }
}

fn decided(before: Option<&RolloutStatus>, seen: &Seen, minute: i64) -> (RolloutStatus, Option<Turn>) {
    let rollout = rollout();
    advance(&Input { now: at(minute), generation: 4, rollout: &rollout, before, seen, deaf: false })
}

/// A status at this step, which every sidecar has had since minute 0.
fn mk_at(step: i32) -> RolloutStatus {
    let (begun, _) = decided(None, &seen([0; 5]), 0);
    RolloutStatus { step, step_started_at: Some(at(0).to_string()), ..begun }
}

const GOOD: [u64; 5] = [1000, 100, 10, 90, 1];

/// Before, seen, minute; then the step, phase, reason, and what is told.
type Row = (&'static str, RolloutStatus, Seen, i64, (i32, RolloutPhase, &'static str), Option<Turn>);

#[test]
fn a_step_goes_on_only_when_it_was_watched_long_enough_by_everybody_on_enough_requests() {
    let waiting = || Seen { waiting: vec!["shop/b".into()], ..seen(GOOD) };
    let stands = |standing| Seen { standing, ..seen(GOOD) };
    let fresh = |step| RolloutStatus { step_started_at: None, ..mk_at(step) };
    let table: [Row; 18] = [
        ("not everybody", fresh(1), waiting(), 60, (1, Progressing, "WaitingForSidecars"), None),
        ("everybody just now", fresh(1), seen(GOOD), 60, (1, Progressing, "Observing"), None),
        ("a new pod is no news", mk_at(1), waiting(), 9, (1, Progressing, "Observing"), None),
        ("too early", mk_at(1), seen(GOOD), 9, (1, Progressing, "Observing"), None),
        ("in time", mk_at(1), seen(GOOD), 10, (2, Progressing, "WaitingForSidecars"), Some(Turn::Advanced)),
        ("too few", mk_at(1), seen([9000, 99, 0, 0, 0]), 90, (1, Progressing, "WaitingForSample"), None),
        ("nothing", mk_at(1), seen([0; 5]), 9000, (1, Progressing, "WaitingForSample"), None),
        ("the last one", mk_at(3), seen(GOOD), 10, (3, Completed, "Completed"), Some(Turn::Completed)),
        (
            "blocks",
            mk_at(2),
            seen([1000, 100, 11, 0, 0]),
            1,
            (2, RolledBack, "RolledBack"),
            Some(Turn::RolledBack),
        ),
        (
            "fails",
            mk_at(2),
            seen([1000, 100, 0, 0, 2]),
            1,
            (2, RolledBack, "RolledBack"),
            Some(Turn::RolledBack),
        ),
        (
            "blocks where others are missing",
            fresh(2),
            Seen { counts: seen([1000, 100, 11, 0, 0]).counts, ..waiting() },
            1,
            (2, RolledBack, "RolledBack"),
            Some(Turn::RolledBack),
        ),
        ("blocks a few", mk_at(2), seen([99, 99, 99, 0, 0]), 1, (2, Progressing, "Observing"), None),
        ("would block", mk_at(2), seen([1000, 100, 0, 900, 0]), 1, (2, Progressing, "Observing"), None),
        (
            "not written",
            mk_at(2),
            stands(Standing::Unwritten),
            60,
            (2, Progressing, "WaitingForSidecars"),
            None,
        ),
        ("no pods", mk_at(2), stands(Standing::Nobody), 60, (2, Progressing, "NoTargets"), None),
        ("in Monitor", mk_at(2), stands(Standing::NotInBlock), 60, (2, Progressing, "NotInBlock"), None),
        (
            "another policy",
            mk_at(2),
            stands(Standing::Superseded("RaspPolicy shop/web".into())),
            60,
            (2, Progressing, "Superseded"),
            None,
        ),
        (
            "a step that is none",
            mk_at(77),
            seen(GOOD),
            10,
            (3, Completed, "Completed"),
            Some(Turn::Completed),
        ),
    ];
    for (name, before, seen, minute, expected, turn) in table {
        let (status, told) = decided(Some(&before), &seen, minute);
        assert_eq!((status.step, status.phase, status.reason.as_str()), expected, "{name}: {status:?}");
        assert_eq!(told, turn, "{name}");
        assert_eq!(has_moved(Some(&before), &status), told.is_some() || before.step > 3, "{name}");
        let percent = InForce::of(&rollout(), &status).percent;
        assert_eq!(status.percent, percent, "{name}");
        let index = usize::try_from(status.step - 1).unwrap();
        assert_eq!(percent, if status.phase == RolledBack { 0 } else { STEPS[index] }, "{name}");
        assert_eq!(InForce::of(&rollout(), &status).step.is_some(), status.phase == Progressing, "{name}");
    }
}

#[test]
fn the_numbers_are_told() {
    let (back, _) = decided(Some(&mk_at(2)), &seen([1000, 200, 30, 90, 1]), 1);
    assert_eq!(
        back.message,
        "step 2 of 3 (50 %) exceeds blockRatio 0.1: of 200 requests in the share 30 blocked and 1 failed by the sidecar; \
         of 800 outside 90 would be blocked; findings are not blocked any more until the policy is changed"
    );
    assert_eq!(
        [back.requests, back.enforced, back.blocked, back.would_block, back.errors],
        [1000, 200, 30, 90, 1]
    );
    let (next, _) = decided(Some(&mk_at(1)), &seen(GOOD), 10);
    assert!(
        next.message.starts_with(
            "step 2 of 3 (50 %) follows: step 1 of 3 (5 %) held; of 100 requests in the share 10 blocked"
        ),
        "{next:?}"
    );
    assert_eq!((next.requests, next.step_started_at.as_ref()), (0, None), "each step counts anew");
    let (waits, _) = decided(
        Some(&RolloutStatus { step_started_at: None, ..mk_at(1) }),
        &Seen { waiting: vec!["shop/b".into()], ..seen([0; 5]) },
        1,
    );
    assert!(waits.message.ends_with("1 of 2 sidecars have it in force; waiting for shop/b"), "{waits:?}");
    for (counts, expected) in [
        ([9000, 99, 0, 0, 0], "waits for 100 requests in the share (abortOn.minRequests); of 99"),
        ([9000, 0, 0, 0, 0], "(abortOn.minRequests); no client is in it: there are few, or all"),
        ([99, 0, 0, 0, 0], "waits for 100 requests in the share (abortOn.minRequests); of 0"),
    ] {
        let (few, _) = decided(Some(&mk_at(1)), &seen(counts), 60);
        assert!(few.message.contains(expected), "{few:?}");
    }
}

#[test]
fn what_ended_stays_until_another_generation_begins_at_the_first_step() {
    for (phase, numbers) in
        [(RolloutPhase::RolledBack, GOOD), (RolloutPhase::Completed, [100, 100, 100, 0, 100])]
    {
        let ended = RolloutStatus { phase, ..mk_at(3) };
        assert_eq!(decided(Some(&ended), &seen(numbers), 9000), (ended.clone(), None));
        let edited = RolloutStatus { generation: 3, ..ended };
        let (anew, turn) = decided(Some(&edited), &seen(numbers), 60);
        assert_eq!((anew.generation, anew.step, anew.percent, turn), (4, 1, 5, None));
        assert_eq!((anew.phase, anew.started_at), (RolloutPhase::Progressing, at(60).to_string()));
        assert!(has_moved(Some(&edited), &decided(Some(&edited), &seen(numbers), 60).0));
    }
}

#[test]
fn what_was_not_watched_begins_its_interval_anew() {
    let nobody = Seen { standing: Standing::Nobody, ..seen([0; 5]) };
    let (waits, _) = decided(Some(&mk_at(1)), &nobody, 9);
    let (watched, turn) = decided(Some(&waits), &seen(GOOD), 11);
    assert_eq!((watched.step, turn), (1, None));
    assert_eq!(watched.step_started_at, Some(at(11).to_string()));
}

#[test]
fn a_step_that_began_in_the_future_begins_now() {
    let ahead = RolloutStatus { step_started_at: Some(at(5_000_000).to_string()), ..mk_at(1) };
    let (watched, turn) = decided(Some(&ahead), &seen(GOOD), 9);
    assert_eq!((watched.step_started_at.as_deref(), turn), (Some(at(9).to_string().as_str()), None));
    assert_eq!(decided(Some(&watched), &seen(GOOD), 19).1, Some(Turn::Advanced));
}

#[test]
fn a_new_leader_keeps_the_numbers_goes_back_and_does_not_go_on_before_it_heard_everybody() {
    let rollout = rollout();
    let before = RolloutStatus { requests: 5000, enforced: 300, ..mk_at(1) };
    let deaf = |seen: &Seen| {
        let before = Some(&before);
        advance(&Input { now: at(60), generation: 4, rollout: &rollout, before, seen, deaf: true })
    };
    let (status, turn) = deaf(&seen(GOOD));
    assert_eq!((status.step, status.reason.as_str(), turn), (1, "Observing", None));
    assert_eq!((status.requests, status.enforced, status.blocked), (5000, 300, 10));
    assert_eq!(deaf(&seen([100, 100, 11, 0, 0])).1, Some(Turn::RolledBack));
}

/// What is known of the first step of `p`, on pods `a`, `b`, and so on.
struct World {
    policies: Vec<(Policy, Option<Step>)>,
    pods: Vec<(Pod, Option<Received>)>,
}

fn spec(mode: &str) -> Value {
    json!({ "mode": mode, "enforcement": { "percent": 5 } })
}

impl World {
    fn new(mode: &str) -> Self {
        Self { policies: vec![(mk_policy("p", 4, spec(mode)), Some(Step::of(&rollout(), 1)))], pods: vec![] }
    }

    fn pod(mut self, name: &str, change: impl FnOnce(&mut Report)) -> Self {
        let pod = mk_pod(name, "web", true);
        let mut report = mk_report(&pod, EffectiveMode::Mixed, &[("p", 4)]);
        change(&mut report);
        self.pods.push((pod, Some(Received { report, at: at(0) })));
        self
    }

    /// In the minute of the reports.
    fn look(&self) -> Seen {
        self.look_in(0)
    }

    fn look_in(&self, minute: i64) -> Seen {
        let entries = self.policies.iter().map(|(policy, step)| {
            let source = Source {
                name: policy.name.clone(),
                uid: policy.uid.clone(),
                generation: policy.generation,
                created_at: policy.created_at.clone(),
            };
            Entry { rollout: step.clone(), ..Entry::policy(source, policy.spec.clone().unwrap()) }
        });
        let bundle = Bundle {
            schema_version: SCHEMA_VERSION,
            namespace: Namespace { name: "shop".into(), uid: "shop-uid".into() },
            sequence: 1,
            entries: entries.collect(),
        };
        let written =
            Opened { bundle: Arc::new(bundle), digest: "sha256:new".to_owned(), is_outdated: false };
        let targets: Vec<_> = self
            .pods
            .iter()
            .map(|(pod, report)| Target {
                pod,
                report: report.as_ref(),
                evicted: false,
                why: None,
                other_image: None,
            })
            .collect();
        look(&self.policies[0].0, 1, Some(&written), &targets, at(minute))
    }
}

fn told(step: i32, requests: u64) -> Told {
    let id = StepId { uid: "p-uid".to_owned(), generation: 4, step };
    Told { id, counts: Counts { requests, enforced: 1, ..Counts::default() } }
}

#[test]
fn counts_of_this_step_are_added_and_who_has_not_got_it_is_named() {
    let world = World::new("Block")
        .pod("a", |report| report.rollouts = vec![told(1, 10)])
        .pod("b", |report| report.rollouts = vec![told(1, 7)])
        .pod("an-older-step", |report| report.rollouts = vec![told(2, 100)])
        .pod("another-policy-decides", |report| report.digest = Some("sha256:new".to_owned()))
        .pod("an-older-version", |report| {
            report.rejected = Some(Rejected { reason: "unknown_field".into(), message: "m".into() });
        });
    let mut world = world;
    world.pods.push((mk_pod("silent", "web", true), None));
    world.pods.push((mk_pod("bare", "web", false), None));
    let seen = world.look();
    assert_eq!(seen.standing, Standing::Decides);
    assert_eq!((seen.counts.requests, seen.counts.enforced, seen.sidecars), (17, 2, 6));
    assert_eq!(seen.waiting, ["shop/an-older-step", "shop/silent"]);
}

#[test]
fn a_sidecar_that_is_silent_has_said_nothing() {
    let mut world = World::new("Block")
        .pod("a", |report| report.rollouts = vec![told(1, 10)])
        .pod("b", |report| report.digest = Some("sha256:new".to_owned()));
    let of = |seen: Seen| (seen.counts.requests, seen.waiting.join(" "), seen.sidecars);
    assert_eq!(of(world.look_in(2)), (10, String::new(), 2));
    assert_eq!(of(world.look_in(3)), (0, "shop/a shop/b".to_owned(), 2));
    world.pods[0].1.as_mut().unwrap().at = at(9);
    assert_eq!(of(world.look_in(3)), (10, "shop/b".to_owned(), 2), "a clock that went back silences nobody");
    // What was counted before does not take the step on.
    let silent = Seen { counts: Counts::default(), ..seen(GOOD) };
    let before = RolloutStatus { requests: 1000, enforced: 100, ..mk_at(1) };
    let (waits, turn) = decided(Some(&before), &silent, 60);
    assert_eq!((waits.step, waits.reason.as_str(), turn), (1, "WaitingForSample", None));
}

#[test]
fn a_policy_that_decides_no_share_or_blocks_nothing_has_nothing_to_roll_out() {
    let pod = |world: World| world.pod("a", |_| {});
    assert_eq!(World::new("Block").look().standing, Standing::Nobody);
    assert_eq!(pod(World::new("Monitor")).look().standing, Standing::NotInBlock);
    let mut world = pod(World::new("Block"));
    let select =
        json!({ "podSelector": { "matchLabels": { "app": "web" } }, "enforcement": { "percent": 10 } });
    world.policies.push((mk_policy("selecting", 1, select), None));
    assert_eq!(world.look().standing, Standing::Superseded("RaspPolicy shop/selecting".into()));
    let mut unwritten = pod(World::new("Block"));
    unwritten.policies[0].1 = Some(Step::of(&rollout(), 2));
    assert_eq!(unwritten.look().standing, Standing::Unwritten);
}
