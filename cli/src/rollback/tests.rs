use rasp_operator::inject::{Resources, Settings};
use rasp_operator::signing::Key;
use rasp_policy::api::{Kind, Origin, RaspPolicySpec};
use rasp_policy::bundle::{self, Bundle, Entry, Namespace};
use rasp_policy::history::{self, Object, Record};
use serde_json::{Value, json};

use super::plan::{Action, Live, changes, choose, cluster_differences, plan};
use super::{Rollback, cautions, end, tell};

fn namespace() -> Namespace {
    Namespace { name: "shop".to_owned(), uid: "u".to_owned() }
}

pub(crate) fn bundle(sequence: u64) -> Bundle {
    Bundle { schema_version: bundle::SCHEMA_VERSION, namespace: namespace(), sequence, entries: Vec::new() }
}

/// A record of RaspPolicies with these modes.
pub(crate) fn record(sequence: u64, policies: &[(&str, &str)]) -> Record {
    let objects = policies.iter().map(|(name, mode)| Object {
        kind: Kind::RaspPolicy,
        name: (*name).to_owned(),
        uid: format!("{name}-uid"),
        generation: 1,
        spec: Some(json!({ "mode": mode })),
    });
    Record {
        schema_version: history::SCHEMA_VERSION,
        namespace: namespace(),
        sequence,
        time: "2026-11-26T12:00:00Z".to_owned(),
        digest: "sha256:aa".to_owned(),
        rollback_of: None,
        objects: objects.collect(),
        cluster: Vec::new(),
    }
}

pub(crate) fn settings(key: &Key) -> Settings {
    Settings {
        proxy_image: "proxy:1".to_owned(),
        allowed_images: Vec::new(),
        pull_policy: "IfNotPresent".to_owned(),
        operator_url: "https://operator.svc:443".to_owned(),
        operator_ca_pem: String::new(),
        public_keys: vec![key.public_base64()],
        resources: Resources {
            cpu_request: "20m".to_owned(),
            cpu_limit: "1".to_owned(),
            memory_request: "32Mi".to_owned(),
            memory_limit: "128Mi".to_owned(),
        },
    }
}

fn live(name: &str, mode: &str) -> Live {
    live_as(name, &json!({ "mode": mode, "response": null }), &json!({}))
}

fn live_as(name: &str, spec: &Value, metadata: &Value) -> Live {
    let mut object = json!({ "metadata": { "name": name, "resourceVersion": "5" }, "spec": spec });
    json_patch::merge(&mut object["metadata"], metadata);
    Live { kind: Kind::RaspPolicy, name: name.to_owned(), object }
}

#[test]
fn without_a_number_it_goes_back_to_what_was_before_what_is_there() {
    let records = [
        record(1, &[]),
        record(2, &[("web", "Block")]),
        record(3, &[("web", "Monitor")]),
        record(4, &[("web", "Block")]),
    ];
    for (what, there, to, wanted) in [
        ("the newest is there: the one before", vec![live("web", "Block")], None, Ok(3)),
        ("twice is once forth and once back", vec![live("web", "Monitor")], None, Ok(2)),
        ("what is there was never in force: the newest", vec![live("web", "Off")], None, Ok(4)),
        ("a policy that is not in force yet", vec![live("web", "Block"), live("new", "Off")], None, Ok(4)),
        ("the oldest is there", vec![], None, Err("nothing to go back to")),
        ("a number", vec![live("web", "Block")], Some(1), Ok(1)),
        ("what is there already", vec![live("web", "Block")], Some(4), Ok(4)),
        ("no such number", vec![], Some(9), Err("there are 1, 2, 3, 4")),
    ] {
        let found = choose(&records, &there, to);
        match wanted {
            Ok(sequence) => assert_eq!(found.map(|record| record.sequence), Ok(sequence), "{what}"),
            Err(says) => assert!(found.unwrap_err().contains(says), "{what}"),
        }
    }
    assert!(choose(&[], &[], None).unwrap_err().contains("nothing to go back to"));
    assert!(choose(&[], &[], Some(1)).unwrap_err().contains("nor any other"));
}

#[test]
fn each_object_is_put_back_made_again_deleted_or_left() {
    let mut then =
        record(2, &[("changed", "Block"), ("deleted", "Block"), ("same", "Off"), ("unknown", "Off")]);
    then.objects[3].spec = None;
    let now = [live("changed", "Monitor"), live("new", "Off"), live("same", "Off"), live("unknown", "Block")];
    let actions = |prune| -> Vec<(String, Action)> {
        plan(&then, &now, prune).into_iter().map(|step| (step.name, step.action)).collect()
    };
    let name = str::to_owned;
    let wanted = [
        (name("changed"), Action::Change),
        (name("deleted"), Action::Recreate),
        (name("unknown"), Action::Unknown),
        (name("new"), Action::Keep),
    ];
    assert_eq!(actions(false), wanted);
    assert_eq!(actions(true)[3], (name("new"), Action::Delete));

    let steps = plan(&then, &now, true);
    assert_eq!(
        steps[0].diff,
        "--- now/RaspPolicy/changed\n+++ then/RaspPolicy/changed\n@@ -1 +1 @@\n-mode: Monitor\n+mode: Block\n"
    );
    assert!(steps[1].diff.contains("+mode: Block") && !steps[1].diff.contains("\n-"), "{}", steps[1].diff);
    assert!(steps[3].diff.contains("-mode: Off"), "{}", steps[3].diff);
    assert_eq!((&steps[2].diff, &steps[1].live), (&String::new(), &None));
}

#[test]
fn who_would_put_an_object_back_is_told() {
    let then = record(2, &[("web", "Block")]);
    let spec = json!({ "mode": "Off" });
    for (metadata, wanted) in [
        (json!({}), None),
        (json!({ "annotations": { "argocd.argoproj.io/tracking-id": "a:b" } }), Some("Argo CD")),
        (json!({ "labels": { "kustomize.toolkit.fluxcd.io/name": "apps" } }), Some("Flux")),
        (json!({ "annotations": { "meta.helm.sh/release-name": "shop" } }), Some("Helm")),
        (json!({ "managedFields": [{ "manager": "kubectl-client-side-apply" }] }), None),
        (
            json!({ "managedFields": [{ "manager": "kubectl" }, { "manager": "argocd-controller" }] }),
            Some("Argo CD"),
        ),
    ] {
        let steps = plan(&then, &[live_as("web", &spec, &metadata)], false);
        assert_eq!(steps[0].managed_by, wanted, "{metadata}");
    }
}

#[test]
fn what_is_not_as_it_was_then_although_it_is_written_so_is_told() {
    let steps = json!({ "steps": [5, 100], "interval": "10m", "abortOn": { "errorRatio": 0 } });
    let ended = json!({ "rule": "xss-handler", "reason": "r", "expiresAt": "2026-01-01T00:00:00Z" });
    let table = [
        (Kind::RaspPolicy, json!({ "mode": "Block" }), ""),
        (Kind::RaspPolicy, json!({ "mode": "Block", "enforcement": { "percent": 5 } }), ""),
        (
            Kind::RaspPolicy,
            json!({ "mode": "Block", "enforcement": { "rollout": steps } }),
            "begins anew, wherever it was then: Block is for 5 % of requests at first",
        ),
        (Kind::RaspException, ended, "spec.expiresAt is 2026-01-01T00:00:00Z, which is over"),
        (Kind::RaspPolicy, json!({ "mode": 7 }), ""),
    ];
    let now = "2026-11-26T12:00:00Z".parse().unwrap();
    for (kind, spec, wanted) in table {
        let mut then = record(2, &[("web", "Block")]);
        (then.objects[0].kind, then.objects[0].spec) = (kind, Some(spec.clone()));
        let said = cautions(&plan(&then, &[], false)[0], now).join("; ");
        assert!(said.contains(wanted) && said.is_empty() == wanted.is_empty(), "{spec}: {said}");
    }
}

#[test]
fn what_changed_from_one_record_to_the_next_is_told_by_object_and_field() {
    let (mut one, mut other) = (record(1, &[("a", "Block"), ("b", "Off")]), record(2, &[("a", "Off")]));
    other.objects[0].spec = Some(json!({ "mode": "Block", "failureMode": "Open" }));
    assert_eq!(changes(&one, &other), ["changed RaspPolicy/a: failureMode", "deleted RaspPolicy/b"]);
    assert_eq!(changes(&other, &one), ["changed RaspPolicy/a: failureMode", "made RaspPolicy/b"]);
    one.objects[0].spec = None;
    assert_eq!(changes(&one, &other)[0], "changed RaspPolicy/a: what it said is not known");
}

#[test]
fn policies_of_the_cluster_that_differ_are_told() {
    let entry = |name: &str, generation| {
        let source = bundle::Source {
            name: name.to_owned(),
            uid: name.to_owned(),
            generation,
            created_at: String::new(),
        };
        Entry {
            kind: Kind::ClusterRaspPolicy,
            origin: Some(Origin::Defaults),
            ..Entry::policy(source, RaspPolicySpec::default())
        }
    };
    let (mut then, mut now) = (bundle(1), bundle(2));
    then.entries = vec![entry("edited", 1), entry("gone", 1), entry("same", 3)];
    now.entries = vec![entry("edited", 2), entry("new", 1), entry("same", 3)];
    let told = cluster_differences(&Record::of_bundle(&then, String::new()), &now).join("\n");
    for says in
        ["edited was generation 1 then and is 2 now", "gone took part then", "new did not take part then"]
    {
        assert!(told.contains(&format!("ClusterRaspPolicy/{says}")), "{told}");
    }
    assert!(!told.contains("same"), "{told}");
}

#[test]
fn people_read_what_would_change_and_what_became_of_it() {
    let then = record(7, &[("web", "Block")]);
    let steps = plan(&then, &[live("web", "Off")], false);
    let mut planned = Rollback {
        namespace: "shop".to_owned(),
        to: 7,
        made_at: then.time,
        dry_run: true,
        steps,
        warnings: vec!["a\u{1b}b".to_owned()],
        done: false,
        sequence: None,
    };
    let printed = |planned: &Rollback| {
        let mut out = Vec::new();
        tell(&mut out, planned).unwrap();
        end(&mut out, planned).unwrap();
        String::from_utf8(out).unwrap()
    };
    let text = printed(&planned);
    for says in [
        "namespace shop, back to 7 of 2026-11-26T12:00:00Z\n\nchange RaspPolicy/web\n--- now/RaspPolicy/web\n",
        "\n-mode: Off\n+mode: Block\n\nwarning: a?b\n\nNothing was changed (--dry-run)",
    ] {
        assert!(text.contains(says), "{text}");
    }
    (planned.dry_run, planned.sequence) = (false, Some(9));
    assert!(printed(&planned).contains("Done: 1 changed. The new Bundle has the sequence 9"));
    planned.steps = plan(&record(7, &[]), &[live("web", "Off")], false);
    assert!(printed(&planned).contains("all that differs was made since, and only --prune deletes that"));
    planned.steps.clear();
    assert!(printed(&planned).contains("Nothing to change"));
    let document = serde_json::to_value(&planned).unwrap();
    assert_eq!((&document["to"], &document["madeAt"]), (&json!(7), &json!("2026-11-26T12:00:00Z")));
}
