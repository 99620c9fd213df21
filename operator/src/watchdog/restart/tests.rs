use std::time::Instant;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Candidate, Kind, RESTARTED_FOR, Refusal, Situation, WATCHDOG_RESTART, Workload, candidates, decide,
    leaves_alone,
};
use crate::testing::mk_namespace;
use crate::watchdog::{Cause, Finding};

const IMAGE: &str = "proxy:2";

/// A workload named `web` with three pods, at rest.
fn at_rest(kind: Kind) -> Value {
    let mut object = json!({
        "metadata": { "name": "web", "generation": 4, "resourceVersion": "77" },
        "spec": { "replicas": 3, "template": { "metadata": { "labels": { "app": "web" } } } },
        "status": { "observedGeneration": 4 },
    });
    let status = match kind {
        Kind::Deployment => json!({ "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3 }),
        Kind::StatefulSet => json!({ "availableReplicas": 3, "currentRevision": "a", "updateRevision": "a" }),
        Kind::DaemonSet => {
            json!({ "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3 })
        }
    };
    merge(&mut object["status"], &status);
    object
}

fn merge(object: &mut Value, patch: &Value) {
    json_patch::merge(object, patch);
}

fn candidate(kind: Kind, cause: Cause) -> Candidate {
    let workload = Workload { kind, name: "web".to_owned() };
    Candidate { namespace: "shop".to_owned(), workload, cause }
}

fn budget(allowed: u64, labels: &Value) -> Value {
    json!({
        "metadata": { "generation": 1 },
        "spec": { "selector": { "matchLabels": labels } },
        "status": { "observedGeneration": 1, "disruptionsAllowed": allowed },
    })
}

fn ask(kind: Kind, change: &Value, others: &[(Kind, Value)], budgets: &[Value]) -> Result<Value, Refusal> {
    let mut object = at_rest(kind);
    merge(&mut object, change);
    let workloads: Vec<_> = [(kind, object)].into_iter().chain(others.iter().cloned()).collect();
    decide(&Situation {
        candidate: &candidate(kind, Cause::StartedUnprotected),
        image: IMAGE,
        workloads: &workloads,
        budgets,
        injects: &|template| template.pointer("/spec/hostNetwork").is_none(),
        now: Timestamp::from_second(1_800_000_000).unwrap(),
    })
}

#[test]
fn a_workload_at_rest_is_restarted_as_kubectl_does_it_and_says_for_what() {
    for kind in Kind::ALL {
        let expected = json!({
            "metadata": {
                "resourceVersion": "77",
                "annotations": { "rasp.dev/restarted-for": "proxy:2 StartedUnprotected" },
            },
            "spec": { "template": { "metadata": { "annotations": {
                "kubectl.kubernetes.io/restartedAt": "2027-01-15T08:00:00Z",
            } } } },
        });
        assert_eq!(ask(kind, &json!({}), &[], &[]), Ok(expected), "{kind:?}");
    }
}

#[test]
fn whoever_is_in_doubt_does_not_restart() {
    // name, kind, workload, budgets, why not
    type Row = (&'static str, Kind, Value, Vec<Value>, Option<Refusal>);
    use Kind::{DaemonSet, Deployment, StatefulSet};
    use Refusal::{
        DidNotHelp, DisruptionBudget, Excluded, Gone, NamespaceBusy, NotInjected, OnDelete, Owned, Partition,
        Paused, RolloutUnfinished,
    };
    let annotated = |name: &str, value: &str| json!({ "metadata": { "annotations": { (name): value } } });
    let owner = |controller: bool| json!({ "metadata": { "ownerReferences": [{ "kind": "Postgres", "controller": controller }] } });
    let strategy = |text: Value| json!({ "spec": { "strategy": text } });
    let update = |text: Value| json!({ "spec": { "updateStrategy": text } });
    let status = |text: Value| json!({ "status": text });
    let nothing = json!({});
    let table: Vec<Row> = vec![
        ("excluded", Deployment, annotated(WATCHDOG_RESTART, "disabled"), vec![], Some(Excluded)),
        ("another word", Deployment, annotated(WATCHDOG_RESTART, "enabled"), vec![], None),
        ("another name", Deployment, json!({ "metadata": { "name": "shop" } }), vec![], Some(Gone)),
        ("an operator's", StatefulSet, owner(true), vec![], Some(Owned)),
        ("only owned", StatefulSet, owner(false), vec![], None),
        (
            "cannot be injected",
            Deployment,
            json!({ "spec": { "template": { "spec": { "hostNetwork": true } } } }),
            vec![],
            Some(NotInjected),
        ),
        (
            "tried",
            Deployment,
            annotated(RESTARTED_FOR, "proxy:2 StartedUnprotected"),
            vec![],
            Some(DidNotHelp),
        ),
        (
            "not finished",
            Deployment,
            json!({
                "metadata": { "annotations": { (RESTARTED_FOR): "proxy:2 StartedUnprotected" } },
                "status": { "updatedReplicas": 1 },
            }),
            vec![],
            Some(RolloutUnfinished),
        ),
        (
            "tried with both",
            Deployment,
            annotated(RESTARTED_FOR, "proxy:2 OutdatedSidecar StartedUnprotected"),
            vec![],
            Some(DidNotHelp),
        ),
        (
            "tried for something else",
            Deployment,
            annotated(RESTARTED_FOR, "proxy:2 OutdatedSidecar"),
            vec![],
            None,
        ),
        (
            "tried by another version",
            Deployment,
            annotated(RESTARTED_FOR, "proxy:1 StartedUnprotected"),
            vec![],
            None,
        ),
        ("paused", Deployment, json!({ "spec": { "paused": true } }), vec![], Some(Paused)),
        ("on delete", StatefulSet, update(json!({ "type": "OnDelete" })), vec![], Some(OnDelete)),
        ("on delete", DaemonSet, update(json!({ "type": "OnDelete" })), vec![], Some(OnDelete)),
        (
            "in part",
            StatefulSet,
            update(json!({ "rollingUpdate": { "partition": 1 } })),
            vec![],
            Some(Partition),
        ),
        ("whole", StatefulSet, update(json!({ "rollingUpdate": { "partition": 0 } })), vec![], None),
        (
            "not looked at",
            Deployment,
            status(json!({ "observedGeneration": 3 })),
            vec![],
            Some(RolloutUnfinished),
        ),
        ("old pods", Deployment, status(json!({ "replicas": 4 })), vec![], Some(RolloutUnfinished)),
        (
            "new pods missing",
            Deployment,
            status(json!({ "updatedReplicas": 2 })),
            vec![],
            Some(RolloutUnfinished),
        ),
        (
            "not available",
            Deployment,
            status(json!({ "availableReplicas": 2 })),
            vec![],
            Some(RolloutUnfinished),
        ),
        ("no status", Deployment, status(json!(null)), vec![], Some(RolloutUnfinished)),
        (
            "two revisions",
            StatefulSet,
            status(json!({ "updateRevision": "b" })),
            vec![],
            Some(RolloutUnfinished),
        ),
        (
            "not available",
            StatefulSet,
            status(json!({ "availableReplicas": 2 })),
            vec![],
            Some(RolloutUnfinished),
        ),
        (
            "old pods",
            DaemonSet,
            status(json!({ "updatedNumberScheduled": 2 })),
            vec![],
            Some(RolloutUnfinished),
        ),
        (
            "not available",
            DaemonSet,
            status(json!({ "numberAvailable": 2 })),
            vec![],
            Some(RolloutUnfinished),
        ),
        // A quarter of three is none: the new pod comes first.
        ("surge", Deployment, nothing.clone(), vec![budget(0, &json!({ "app": "web" }))], None),
        (
            "all at once",
            Deployment,
            strategy(json!({ "type": "Recreate" })),
            vec![budget(2, &json!({ "app": "web" }))],
            Some(DisruptionBudget),
        ),
        (
            "all at once",
            Deployment,
            strategy(json!({ "type": "Recreate" })),
            vec![budget(3, &json!({ "app": "web" }))],
            None,
        ),
        (
            "half",
            Deployment,
            strategy(json!({ "rollingUpdate": { "maxUnavailable": "67%" } })),
            vec![budget(1, &json!({}))],
            Some(DisruptionBudget),
        ),
        (
            "half",
            Deployment,
            strategy(json!({ "rollingUpdate": { "maxUnavailable": "67%" } })),
            vec![budget(2, &json!({}))],
            None,
        ),
        (
            "no surge",
            Deployment,
            strategy(json!({ "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 0 } })),
            vec![budget(0, &json!({}))],
            Some(DisruptionBudget),
        ),
        (
            "one by one",
            StatefulSet,
            nothing.clone(),
            vec![budget(0, &json!({ "app": "web" }))],
            Some(DisruptionBudget),
        ),
        ("one by one", StatefulSet, nothing.clone(), vec![budget(1, &json!({ "app": "web" }))], None),
        (
            "one by one",
            DaemonSet,
            nothing.clone(),
            vec![budget(0, &json!({ "app": "web" }))],
            Some(DisruptionBudget),
        ),
        (
            "two budgets",
            StatefulSet,
            nothing.clone(),
            vec![budget(1, &json!({})), budget(0, &json!({}))],
            Some(DisruptionBudget),
        ),
        ("other pods", StatefulSet, nothing.clone(), vec![budget(0, &json!({ "app": "db" }))], None),
        ("a budget for nobody", StatefulSet, nothing.clone(), vec![json!({ "spec": {} })], None),
        (
            "an odd budget",
            StatefulSet,
            nothing.clone(),
            vec![json!({ "spec": { "selector": 7 } })],
            Some(DisruptionBudget),
        ),
    ];
    for (what, kind, change, budgets, expected) in table {
        assert_eq!(ask(kind, &change, &[], &budgets).err(), expected, "{what} {kind:?} {change} {budgets:?}");
    }
    let mut other = at_rest(DaemonSet);
    merge(&mut other, &json!({ "metadata": { "name": "log" }, "status": { "numberAvailable": 1 } }));
    assert_eq!(
        ask(Deployment, &nothing, &[(DaemonSet, other.clone())], &[]).err(),
        None,
        "not restarted by us"
    );
    merge(&mut other, &annotated(RESTARTED_FOR, "proxy:2 StartedUnprotected"));
    assert_eq!(ask(Deployment, &nothing, &[(DaemonSet, other)], &[]).err(), Some(NamespaceBusy));
}

#[test]
fn a_budget_that_was_changed_since_allows_nothing() {
    let mut stale = budget(5, &json!({}));
    merge(&mut stale, &json!({ "metadata": { "generation": 2 } }));
    assert_eq!(ask(Kind::StatefulSet, &json!({}), &[], &[stale]).err(), Some(Refusal::DisruptionBudget));
}

#[test]
fn restarts_for_both_causes_end() {
    let mut object = at_rest(Kind::Deployment);
    let mut restarts = 0;
    for cause in [Cause::StartedUnprotected, Cause::OutdatedSidecar].into_iter().cycle().take(10) {
        let situation = Situation {
            candidate: &candidate(Kind::Deployment, cause),
            image: IMAGE,
            workloads: &[(Kind::Deployment, object.clone())],
            budgets: &[],
            injects: &|_| true,
            now: Timestamp::UNIX_EPOCH,
        };
        if let Ok(patch) = decide(&situation) {
            restarts += 1;
            merge(&mut object, &patch);
        }
    }
    assert_eq!(restarts, 2, "one for each cause, however often they alternate");
}

#[test]
fn two_versions_that_lead_by_turns_restart_once_each() {
    let mut object = at_rest(Kind::Deployment);
    let mut restarts = 0;
    for image in ["proxy:1", "proxy:2"].into_iter().cycle().take(10) {
        let situation = Situation {
            candidate: &candidate(Kind::Deployment, Cause::OutdatedSidecar),
            image,
            workloads: &[(Kind::Deployment, object.clone())],
            budgets: &[],
            injects: &|_| true,
            now: Timestamp::UNIX_EPOCH,
        };
        if let Ok(patch) = decide(&situation) {
            restarts += 1;
            merge(&mut object, &patch);
        }
    }
    assert_eq!(restarts, 2);
    let said = object.pointer("/metadata/annotations/rasp.dev~1restarted-for");
    assert_eq!(said.unwrap(), "proxy:2 OutdatedSidecar proxy:1 OutdatedSidecar");
}

#[test]
fn an_excluded_namespace_is_left_alone() {
    let mut namespace = mk_namespace("shop", Some("enabled"));
    namespace.annotations.insert(WATCHDOG_RESTART.to_owned(), "disabled".to_owned());
    assert!(leaves_alone(&namespace));
    namespace.annotations.insert(WATCHDOG_RESTART.to_owned(), "other".to_owned());
    assert!(!leaves_alone(&namespace));
    namespace.terminating = true;
    assert!(leaves_alone(&namespace));
}

#[test]
fn only_what_a_restart_ends_makes_a_candidate_and_the_worst_cause_counts() {
    let finding = |name: &str, cause| Finding {
        namespace: "shop".to_owned(),
        pod: "p".to_owned(),
        uid: "u".to_owned(),
        owner: None,
        workload: Some(Workload { kind: Kind::Deployment, name: name.to_owned() }),
        cause,
        why: String::new(),
        since: Instant::now(),
    };
    let mut bare = finding("bare", Cause::StartedUnprotected);
    bare.workload = None;
    let findings = [
        finding("web", Cause::OutdatedSidecar),
        finding("web", Cause::StartedUnprotected),
        finding("web", Cause::OutdatedSidecar),
        finding("host", Cause::CannotBeProtected),
        finding("late", Cause::OutdatedPolicy),
        bare,
    ];
    let found: Vec<_> = candidates(&findings).into_iter().collect();
    assert_eq!(found, [candidate(Kind::Deployment, Cause::StartedUnprotected)]);
}
