use rasp_operator::signing::Key;
use rasp_policy::api::{Kind, Origin, TargetKind};
use rasp_policy::bundle::{Bundle, Entry, Namespace, SCHEMA_VERSION, Source, Target};
use rasp_policy::class::Class;
use rasp_policy::keys::{KeyDocument, Signed, attach};
use rasp_policy::precedence::Field;
use rasp_policy::selector::Labels;
use serde_json::json;

use super::{InForce, Who, deciders, field, losers, open, pod_name, text};

fn entry(name: &str, spec: &str) -> Entry {
    let source = Source {
        name: name.to_owned(),
        uid: name.to_owned(),
        generation: 1,
        created_at: "2026-11-26T00:00:00Z".to_owned(),
    };
    Entry::policy(source, serde_yaml::from_str(spec).unwrap())
}

fn bundle(entries: Vec<Entry>) -> Bundle {
    Bundle {
        schema_version: SCHEMA_VERSION,
        namespace: Namespace { name: "shop".to_owned(), uid: "u".to_owned() },
        sequence: 1,
        entries,
    }
}

/// A namespace with a policy of every level for `Deployment/front`, one of them for its port 8080 alone.
pub(crate) fn every_level() -> InForce {
    let lever = Entry {
        kind: Kind::ClusterRaspPolicy,
        origin: Some(Origin::Overrides),
        ..entry("lever", "{failureMode: Closed}")
    };
    let target = |ports| {
        Some(vec![Target {
            kind: TargetKind::Deployment,
            name: "front".to_owned(),
            selector: Labels::new(),
            ports,
        }])
    };
    let port = Entry { targets: target(Some(vec![8080])), ..entry("port", "{mode: Block}") };
    let front = Entry {
        targets: target(None),
        ..entry(
            "front",
            "{mode: Monitor, detections: {sqlInjection: {mode: Block}}, enforcement: {percent: 10, hashOn: Header, header: X-User}}",
        )
    };
    let all = entry("all", "{mode: \"Off\", failureMode: Open, response: {status: 404}}");
    let other = entry("other", "{podSelector: {matchLabels: {app: other}}, mode: Block}");
    InForce {
        bundle: bundle(vec![all, front, other, port, lever]),
        digest: "sha256:aa".to_owned(),
        verified: true,
    }
}

pub(crate) fn front() -> Who {
    Who {
        labels: Labels::from([("app".to_owned(), "front".to_owned())]),
        workload: "Deployment/front".to_owned(),
    }
}

#[test]
fn each_field_has_its_winner_and_its_losers_on_each_port_that_differs() {
    let in_force = every_level();
    let explained = in_force.explain(&front());
    let ports: Vec<_> = explained.iter().map(|one| one.port).collect();
    assert_eq!(ports, [None, Some(8080)]);
    let row = |at: usize, path: &str| {
        let field = explained[at].fields.iter().find(|field| field.field == path).unwrap();
        format!("{} by {} over {}", text(path, &field.value), deciders(field), losers(field))
    };
    assert_eq!(
        row(0, "spec.mode"),
        "Monitor by RaspPolicy shop/front (workload or selector) over RaspPolicy shop/all (namespace): Off"
    );
    assert!(
        row(1, "spec.mode").starts_with("Block by RaspPolicy shop/port (port) over RaspPolicy shop/front")
    );
    assert_eq!(
        row(1, "spec.failureMode"),
        "Closed by ClusterRaspPolicy lever (cluster overrides) over RaspPolicy shop/all (namespace): Open"
    );
    assert_eq!(
        row(0, "spec.enforcement"),
        "10 % of requests, by header x-user by RaspPolicy shop/front (workload or selector) over "
    );
    assert_eq!(row(0, "spec.inspection.maxDepth"), "64 by built-in over ");
    assert_eq!(row(0, "spec.response.body"), "problem document by built-in over ");
    assert_eq!(
        in_force.selected(&front(), Some(8080)),
        ["ClusterRaspPolicy lever", "RaspPolicy shop/port", "RaspPolicy shop/front", "RaspPolicy shop/all"]
    );
    assert_eq!(in_force.explain_at(&front(), Some(9090)).port, None, "no policy names it");
    let other = Who { workload: "Deployment/front-2".to_owned(), ..front() };
    assert_eq!(in_force.explain(&other).len(), 1, "the workload decides");
}

#[test]
fn a_class_of_which_no_policy_speaks_follows_the_mode() {
    let explained = every_level().explain_at(&front(), Some(8080));
    let told = |of| field(&explained, of).map(|field| (field.value, field.decided_by.len()));
    assert_eq!(told(Field::ClassMode(Class::SqlInjection)), Some((json!("Block"), 1)));
    assert_eq!(told(Field::ClassMode(Class::CrossSiteScripting)), Some((json!("Block"), 0)));
    assert_eq!(told(Field::ClassMinConfidence(Class::SqlInjection)), Some((json!("High"), 0)));
}

#[test]
fn values_are_one_line() {
    for (field, value, expected) in [
        ("spec.response.body", json!("a\nb"), "3 bytes"),
        ("spec.exceptions", json!([]), "none"),
        ("spec.exceptions", json!(["all/a", "RaspException/b"]), "all/a, RaspException/b"),
        ("spec.exceptions", json!([{"name": "a", "rule": "r"}]), "a"),
        ("spec.signatures", json!([{"id": "local-a"}]), "local-a"),
        ("spec.inspection.maxValues", json!(null), "as many as can be"),
        ("spec.enforcement", json!({"percent": 5}), "5 % of requests, by client address"),
        ("spec.enforcement", json!({"percent": 100}), "all requests"),
        ("spec.enforcement", json!(null), "all requests"),
    ] {
        assert_eq!(text(field, &value), expected);
    }
}

#[test]
fn a_bundle_that_another_key_has_signed_or_of_another_namespace_is_not_explained() {
    let (key, other) = (Key::generate().unwrap(), Key::generate().unwrap());
    let (text, digest) = key.seal(&bundle(vec![entry("all", "{mode: Block}")]));
    let settings = |key: &Key| crate::fleet::tests::settings_with_key(key.public_base64());
    let opened = open(&text, "shop", Some(&settings(&key))).unwrap();
    assert!(opened.verified && opened.digest == digest);
    assert!(open(&text, "shop", Some(&settings(&other))).is_err());
    assert!(!open(&text, "shop", None).unwrap().verified);
    let error = open(&text, "store", Some(&settings(&key))).unwrap_err().to_string();
    assert!(error.contains("of namespace shop"), "{error}");
}

#[test]
fn key_documents_beside_a_bundle_change_nothing_for_who_has_the_keys_of_today() {
    let key = Key::generate().unwrap();
    let (text, _) = key.seal(&bundle(vec![]));
    let document = KeyDocument { schema_version: 1, generation: 1, keys: vec![key.public_base64()] };
    let text = attach(text, &[Signed::seal(&document, |_| b"by the key of yesterday".to_vec())]);
    let settings = crate::fleet::tests::settings_with_key(key.public_base64());
    assert!(open(&text, "shop", Some(&settings)).unwrap().verified);
}

#[test]
fn a_pod_is_who_its_sidecar_says() {
    let pod = json!({
        "metadata": {"labels": {"app": "front"}},
        "spec": {
            "containers": [{"name": "web", "env": [{"name": "RASP_WORKLOAD", "value": "Deployment/forged"}]}],
            "initContainers": [{"name": "rasp-proxy", "env": [{"name": "RASP_WORKLOAD", "value": "Deployment/front"}]}],
        },
    });
    assert_eq!(Who::of(&serde_json::from_value(pod).unwrap()), front());
    let bare = json!({"metadata": {}, "spec": {"containers": []}});
    assert_eq!(
        Who::of(&serde_json::from_value(bare).unwrap()),
        Who { labels: Labels::new(), workload: String::new() }
    );
}

#[test]
fn pods_are_named_as_kubectl_does() {
    for (text, name) in [("pod/web", "web"), ("pods/web", "web"), ("web", "web")] {
        assert_eq!(pod_name(text).unwrap(), name);
    }
    assert!(pod_name("deployment/web").is_err());
}
