use std::sync::Arc;

use clap::Parser as _;
use rasp_policy::bundle::{Bundle, Namespace, SCHEMA_VERSION};
use serde_json::json;

use super::{Absence, Facts, settings};
use crate::args::{Args, Command, Run};
use crate::certificate;
use crate::observe::Cache;
use crate::signing::Key;
use crate::testing::{mk_namespace, mk_pod, mk_pod_with, mk_stored};
use crate::webhook::Facts as _;

fn args() -> Run {
    let args = Args::parse_from(["rasp-operator", "run", "--pod-name=a", "--proxy-image=proxy:1"]);
    let Command::Run(run) = args.command else { panic!("not run") };
    *run
}

fn mk_facts(cache: &Arc<Cache>, key: &Key) -> Facts {
    let names = certificate::dns_names("kube-rasp-operator", "kube-rasp");
    let issued = certificate::issue(&names, std::time::SystemTime::now()).unwrap();
    Facts::new(Arc::clone(cache), settings(&args(), key, &issued))
}

#[tokio::test]
async fn a_namespace_is_told_with_the_bundle_that_was_written_for_it() {
    let (cache, key) = (Arc::new(Cache::default()), Key::generate().unwrap());
    let facts = mk_facts(&cache, &key);
    let bundle = |uid: &str| Bundle {
        schema_version: SCHEMA_VERSION,
        namespace: Namespace { name: "shop".into(), uid: uid.into() },
        sequence: 7,
        entries: vec![],
    };
    cache.update(|state| state.namespaces.put(mk_namespace("shop", Some("enabled"))));
    let known = facts.namespace("shop").await.unwrap();
    assert_eq!((known.uid.as_deref(), known.bundle), (Some("shop-uid"), None));
    cache.update(|state| state.bundles.put(mk_stored(&bundle("shop-uid"), &key)));
    assert_eq!(facts.namespace("shop").await.unwrap().bundle.unwrap().sequence, 7);
    cache.update(|state| state.bundles.put(mk_stored(&bundle("other-uid"), &key)));
    assert_eq!(facts.namespace("shop").await.unwrap().bundle, None, "copied from another namespace");
}

#[test]
fn new_pods_get_the_key_in_use() {
    let (first, second) = (Key::generate().unwrap(), Key::generate().unwrap());
    let facts = mk_facts(&Arc::default(), &first);
    assert_eq!(facts.settings().public_keys, [first.public_base64()]);
    assert_eq!(facts.settings().operator_url, "https://kube-rasp-operator.kube-rasp.svc:443");
    let names = certificate::dns_names("kube-rasp-operator", "kube-rasp");
    let issued = certificate::issue(&names, std::time::SystemTime::now()).unwrap();
    facts.replace(settings(&args(), &second, &issued));
    assert_eq!(facts.settings().public_keys, [second.public_base64()]);
    assert_eq!(facts.settings().operator_ca_pem, issued.ca_pem);
}

#[test]
fn says_why_a_running_pod_has_no_sidecar() {
    let facts = mk_facts(&Arc::default(), &Key::generate().unwrap());
    let plain = mk_pod("web", "web", false);
    let host = mk_pod_with("web", "web", false, |pod| pod["spec"]["hostNetwork"] = json!(true));
    let asking = mk_pod_with("web", "web", false, |pod| {
        pod["metadata"]["labels"]["rasp.dev/inject"] = json!("true");
    });
    let restart = "started before injection was asked for: restart it";
    let table = [
        (&plain, Some("enabled"), false, Absence::Missed, restart),
        (&plain, Some("enforced"), false, Absence::Missed, restart),
        (&plain, None, false, Absence::NotInjected("not_opted_in"), "not_opted_in"),
        (&asking, None, false, Absence::Missed, restart),
        (&asking, Some("disabled"), false, Absence::Disabled, "its namespace is labelled disabled"),
        (&host, Some("enabled"), false, Absence::NotInjected("host_network"), "host_network"),
        (&plain, Some("enabled"), true, Absence::Excluded, "its namespace is excluded from injection"),
    ];
    for (pod, label, excluded, expected, told) in table {
        let why = facts.why(pod, &mk_namespace("shop", label), excluded);
        assert_eq!(why, Some(expected), "{label:?}");
        assert_eq!(expected.to_string(), told, "{label:?}");
    }
    let injected = mk_pod("web", "web", true);
    assert_eq!(facts.why(&injected, &mk_namespace("shop", None), false), None);
}

#[test]
fn a_template_is_worth_a_restart_where_its_pods_would_be_injected() {
    let facts = mk_facts(&Arc::default(), &Key::generate().unwrap());
    let template = |label: &str, host: bool| {
        json!({
            "metadata": { "labels": { "app": "web", "rasp.dev/inject": label } },
            "spec": { "hostNetwork": host, "containers": [{ "name": "web", "image": "web:1" }] },
        })
    };
    for (label, host, namespace, excluded, expected) in [
        ("", false, Some("enabled"), false, true),
        ("", false, Some("enforced"), false, true),
        ("", false, None, false, false),
        ("true", false, None, false, true),
        ("true", false, Some("disabled"), false, false),
        ("false", false, Some("enabled"), false, false),
        ("", true, Some("enabled"), false, false),
        ("", false, Some("enabled"), true, false),
    ] {
        let injects = facts.injects(&template(label, host), &mk_namespace("shop", namespace), excluded);
        assert_eq!(injects, expected, "{label} {host} {namespace:?} {excluded}");
    }
}

#[tokio::test]
async fn a_pod_that_another_replica_injected_a_moment_ago_is_injected_also_while_keys_are_exchanged() {
    use crate::inject::Level;
    use crate::webhook::review;
    use base64::Engine as _;

    let (cache, first) = (Arc::new(Cache::default()), Key::generate().unwrap());
    cache.update(|state| state.namespaces.put(mk_namespace("shop", Some("enforced"))));
    let second = first.successor(std::time::SystemTime::now()).unwrap();
    let names = certificate::dns_names("kube-rasp-operator", "kube-rasp");
    let issued = certificate::issue(&names, std::time::SystemTime::now()).unwrap();
    let rotated = certificate::rotate_ca(&issued, &names, std::time::SystemTime::now()).unwrap();
    let (old, new) = (settings(&args(), &first, &issued), settings(&args(), &second, &rotated));
    let replica = || Facts::new(Arc::clone(&cache), old.clone());
    let (ahead, behind, unaware) = (replica(), replica(), replica());
    assert!(ahead.accept(&new));
    ahead.replace(new.clone());
    assert!(behind.accept(&new) && !ahead.accept(&new));

    let pod = json!({
        "metadata": { "name": "web" },
        "spec": { "containers": [{ "name": "web", "image": "web:1" }] },
    });
    let ask = async |facts: &Facts, pod: &serde_json::Value| {
        let request = json!({
            "uid": "u", "kind": { "group": "", "version": "v1", "kind": "Pod" }, "operation": "CREATE",
            "namespace": "shop", "object": pod,
        });
        let body =
            json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request });
        let (occurrences, _occurred) = tokio::sync::mpsc::channel(4);
        let (_, answer) = review(facts, Level::Enforced, body.to_string().into(), &occurrences).await;
        serde_json::from_slice::<serde_json::Value>(&answer).unwrap()["response"].clone()
    };
    let injected = async |facts: &Facts| {
        let answer = ask(facts, &pod).await;
        let patch =
            base64::engine::general_purpose::STANDARD.decode(answer["patch"].as_str().unwrap()).unwrap();
        let mut injected = pod.clone();
        let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
        json_patch::patch(&mut injected, &patch).unwrap();
        injected
    };
    for (first, then) in [(&ahead, &behind), (&behind, &ahead)] {
        let answer = ask(then, &injected(first).await).await;
        assert_eq!((&answer["allowed"], answer.get("patch")), (&json!(true), None), "{answer}");
    }
    let answer = ask(&unaware, &injected(&ahead).await).await;
    assert!(answer["patch"].is_string(), "a key that nobody announced is no key, and gives way: {answer}");
}
