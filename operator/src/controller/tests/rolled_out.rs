//! A rollout over whole turns: the status goes before the Bundle, and what sidecars say decides.

use std::time::Duration;

use rasp_policy::api::RolloutPhase;
use rasp_policy::report::EffectiveMode;
use rasp_policy::rollout::{Counts, StepId, Told};
use serde_json::{Value, json};

use super::{Bench, applied, bench};
use crate::leader::Leadership;
use crate::status::{GRACE, Received};
use crate::testing::{mk_pod, mk_policy, mk_report, refusal};

fn spec() -> Value {
    json!({ "mode": "Block", "enforcement": { "rollout": {
        "steps": [5, 50], "interval": "10m", "abortOn": { "blockRatio": 0.1, "minRequests": 10 } } } })
}

/// As [`applied`], of a policy with a rollout.
pub(super) fn rolling(body: &Value) -> (u16, Value) {
    let (status, mut object) = applied(body);
    if body["kind"] == "RaspPolicy" {
        object["spec"] = spec();
    }
    (status, object)
}

pub(super) async fn rollout_bench(writes: impl Fn(&Value) -> (u16, Value) + Send + Sync + 'static) -> Bench {
    let bench = bench(writes).await;
    bench.cache.update(|state| state.policies.put(mk_policy("p", 4, spec())));
    bench
}

impl Bench {
    fn share(&self) -> (i32, Option<i32>) {
        let entry = self.controller.last_good("shop").unwrap().entries[0].clone();
        let percent = entry.spec.enforcement.unwrap().percent.unwrap();
        (percent, entry.rollout.map(|step| step.number))
    }

    fn counted(&self, step: i32, enforced: u64, blocked: u64) {
        let mut report = mk_report(&mk_pod("web", "web", true), EffectiveMode::Mixed, &[("p", 4)]);
        let id = StepId { uid: "p-uid".into(), generation: 4, step };
        let counts = Counts { requests: enforced, enforced, blocked, ..Counts::default() };
        report.rollouts = vec![Told { id, counts }];
        self.reports.keep(Received { report, at: jiff::Timestamp::now() });
    }

    /// As if the step had come into force so long ago.
    fn wait(&self, minutes: i64) {
        let mut policy = (*self.policy()).clone();
        let rollout = policy.status.rollout.as_mut().unwrap();
        let since = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(minutes);
        rollout.step_started_at = Some(since.to_string());
        self.cache.update(|state| state.policies.put(policy));
    }
}

#[tokio::test]
async fn a_step_is_in_the_status_before_it_is_in_the_bundle_and_goes_on_by_what_sidecars_say() {
    let mut bench = rollout_bench(rolling).await;
    bench.controller.leadership = Leadership::leading_for(GRACE);
    assert!(bench.controller.namespace("shop").await);
    assert_eq!(bench.kinds(), ["RaspPolicy", "ConfigMap", "RaspPolicy"]);
    assert_eq!(bench.share(), (5, Some(1)));
    let rollout = || bench.policy().status.rollout.clone().unwrap();
    assert_eq!((rollout().step, rollout().percent, rollout().phase), (1, 5, RolloutPhase::Progressing));

    bench.counted(1, 100, 10);
    assert!(bench.controller.namespace("shop").await);
    assert_eq!((rollout().reason.as_str(), rollout().enforced, rollout().blocked), ("Observing", 100, 10));
    bench.wait(10);
    assert!(bench.controller.namespace("shop").await);
    assert_eq!(bench.share(), (50, Some(2)));

    bench.counted(2, 100, 11);
    assert!(bench.controller.namespace("shop").await);
    assert_eq!(bench.share(), (0, None), "nothing is blocked any more, and nothing counted");
    assert_eq!((rollout().phase, rollout().percent), (RolloutPhase::RolledBack, 0));
    let degraded =
        bench.policy().status.conditions.iter().any(|c| c.r#type == "Degraded" && c.reason == "RolledBack");
    assert!(degraded, "{:?}", bench.policy().status);
    bench.written();
    assert!(bench.controller.namespace("shop").await);
    assert!(bench.written().is_empty(), "it stays so");
    let text = bench.metrics();
    for result in ["advanced", "rolled_back"] {
        assert!(text.contains(&format!("rasp_policy_rollouts_total{{result=\"{result}\"}} 1")), "{text}");
    }
    let told = [bench.notices.try_recv().unwrap(), bench.notices.try_recv().unwrap()]
        .map(|notice| format!("{notice:?}"));
    assert!(
        told[0].contains("RolloutAdvanced") && told[0].contains("of 100 requests in the share 10 blocked"),
        "{told:?}"
    );
    assert!(
        told[1].contains("RolloutAborted") && told[1].contains("of 100 requests in the share 11 blocked"),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_step_that_cannot_be_written_down_is_not_taken() {
    let refuses = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let refusing = std::sync::Arc::clone(&refuses);
    let mut bench = rollout_bench(move |body| {
        let refused = refusing.load(std::sync::atomic::Ordering::SeqCst) && body["kind"] == "RaspPolicy";
        if refused { refusal(409, "Conflict") } else { rolling(body) }
    })
    .await;
    bench.controller.leadership = Leadership::leading_for(GRACE);
    assert!(bench.controller.namespace("shop").await);
    bench.counted(1, 100, 90);
    refuses.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(!bench.controller.namespace("shop").await, "asks to be tried again");
    assert_eq!(bench.share(), (5, Some(1)));
    refuses.store(false, std::sync::atomic::Ordering::SeqCst);
    assert!(bench.controller.namespace("shop").await);
    assert_eq!(bench.share(), (0, None));
}

#[tokio::test]
async fn a_status_that_was_written_a_moment_ago_does_not_hold_up_a_rollback() {
    let mut bench = rollout_bench(rolling).await;
    bench.controller.status_pause = Duration::from_secs(3600);
    bench.controller.namespace("shop").await;
    bench.counted(1, 100, 90);
    assert!(!bench.controller.namespace("shop").await, "the rest of the status waits");
    assert_eq!(bench.share(), (0, None));
    assert_eq!(bench.policy().status.rollout.as_ref().unwrap().phase, RolloutPhase::RolledBack);
}

#[tokio::test]
async fn a_rollback_says_who_still_blocks_and_is_not_forgotten_with_an_edit_that_cannot_be_compiled() {
    let mut bench = rollout_bench(rolling).await;
    bench.controller.leadership = Leadership::leading_for(GRACE);
    assert!(bench.controller.namespace("shop").await);
    bench.counted(1, 100, 90);
    assert!(bench.controller.namespace("shop").await);
    let condition = |bench: &Bench, kind: &str| {
        let status = bench.policy().status.clone();
        let found = status.conditions.into_iter().find(|condition| condition.r#type == kind).unwrap();
        (found.status, found.reason, found.message)
    };
    let (status, _, message) = condition(&bench, "Programmed");
    assert!(status == "False" && message.contains("shop/web (still at a step of the rollout)"), "{message}");
    bench.acknowledge(4);
    assert!(bench.controller.namespace("shop").await);
    assert_eq!(condition(&bench, "Programmed").0, "True");

    // An edit that takes the rollout away and cannot be compiled: what stays in force is what was taken back.
    bench.controller.compile = Box::new(|_| Err("spec.signatures[a]: no".to_owned()));
    bench.edit(5, &json!({ "mode": "Block" }));
    assert!(bench.controller.namespace("shop").await);
    assert_eq!(bench.share(), (0, None));
    let rollout = bench.policy().status.rollout.clone().unwrap();
    assert_eq!((rollout.generation, rollout.phase), (4, RolloutPhase::RolledBack));
    assert_eq!(condition(&bench, "Degraded").1, "RolledBack");
}
