//! A status that somebody else wrote.

use rasp_policy::api::TargetCounts;
use rasp_policy::report::EffectiveMode;

use super::{applied, bench, programmed};
use crate::observe::Policy;

#[tokio::test]
async fn a_status_that_somebody_forged_is_written_anew_from_what_sidecars_say() {
    let bench = bench(applied).await;
    assert!(bench.controller.namespace("shop").await);
    bench.acknowledge(3);
    assert!(bench.controller.namespace("shop").await);
    let honest = bench.policy().status.clone();
    assert_eq!(programmed(&honest), ("False".to_owned(), "Pending".to_owned()));
    bench.written();

    let forge = |policy: &Policy| {
        let mut forged = policy.clone();
        forged.status.effective_mode = Some(EffectiveMode::Off);
        forged.status.policy_hash = Some("sha256:forged".to_owned());
        forged.status.targets = Some(TargetCounts {
            matched: 1,
            programmed: 1,
            outdated: 0,
            unprotected: 0,
            outdated_sidecars: None,
        });
        for condition in &mut forged.status.conditions {
            "True".clone_into(&mut condition.status);
            condition.message = "\u{1b}[32mall is well".to_owned();
        }
        forged
    };
    bench.cache.update(|state| state.policies.rewrite(forge));
    assert!(bench.controller.namespace("shop").await);
    assert_eq!(bench.kinds(), ["RaspPolicy"]);
    let status = bench.policy().status.clone();
    assert_eq!(programmed(&status), programmed(&honest));
    assert_eq!((status.effective_mode, &status.policy_hash), (honest.effective_mode, &honest.policy_hash));
    assert_eq!(status.targets, honest.targets);
    assert!(status.conditions.iter().all(|condition| !condition.message.contains("all is well")));
}

#[tokio::test]
async fn reports_of_a_namespace_that_is_not_ours_or_gone_are_forgotten() {
    let bench = bench(applied).await;
    let mut report =
        crate::testing::mk_report(&crate::testing::mk_pod("x", "x", false), EffectiveMode::Block, &[]);
    report.pod.namespace = "gone".to_owned();
    bench.reports.keep(crate::status::Received { report, at: jiff::Timestamp::now() });
    assert!(bench.controller.relevant().contains("gone"), "it is looked at, or it would be kept for ever");
    assert!(bench.controller.namespace("gone").await);
    assert!(bench.reports.namespaces().is_empty());
}
