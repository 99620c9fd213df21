use json_patch::patch;
use rasp_operator::inject::{Decision, Level, NamespaceFacts, Resources, Settings, decide};
use serde_json::{Value, json};

use super::{Namespace, State, sort};

fn settings() -> Settings {
    Settings {
        proxy_image: "rasp/proxy:2".to_owned(),
        pull_policy: "IfNotPresent".to_owned(),
        allowed_images: Vec::new(),
        operator_url: "https://operator:443".to_owned(),
        operator_ca_pem: "CA".to_owned(),
        public_keys: vec!["a2V5".to_owned()],
        resources: Resources {
            cpu_request: "1m".to_owned(),
            cpu_limit: "1".to_owned(),
            memory_request: "1Mi".to_owned(),
            memory_limit: "1Mi".to_owned(),
        },
    }
}

/// For tests of what is signed.
pub(crate) fn settings_with_key(key: String) -> Settings {
    Settings { public_keys: vec![key], ..settings() }
}

fn namespace(name: &str, label: Option<&str>) -> Value {
    let labels = label.map_or(json!({}), |label| json!({"rasp.dev/inject": label}));
    json!({"metadata": {"name": name, "labels": labels}})
}

fn pod(namespace: &str, name: &str) -> Value {
    json!({
        "metadata": {"namespace": namespace, "name": name, "labels": {}},
        "spec": {"containers": [{"name": "web", "image": "web:1"}]},
        "status": {"phase": "Running"},
    })
}

fn injected(mut pod: Value, settings: &Settings) -> Value {
    let Decision::Inject(plan) = decide(&pod, Level::Enabled, &NamespaceFacts::default(), settings) else {
        panic!("not injected")
    };
    patch(&mut pod, &plan.patch).unwrap();
    pod
}

fn with(mut pod: Value, pointer: &str, value: Value) -> Value {
    *pod.pointer_mut(pointer).unwrap() = value;
    pod
}

fn going(mut object: Value) -> Value {
    object["metadata"]["deletionTimestamp"] = json!("2026-11-26T00:00:00Z");
    object
}

fn state_of(level: Option<&str>, pod: Value, settings: Option<&Settings>) -> Option<State> {
    let sorted = sort(&[namespace("shop", level)], &[pod], settings, |name| name == "excluded");
    sorted.into_iter().flat_map(|namespace| namespace.pods).map(|pod| pod.state).next()
}

fn reason(state: Option<State>) -> String {
    match state {
        None => "-".to_owned(),
        Some(State::Protected) => "protected".to_owned(),
        Some(State::Outdated { difference }) => format!("outdated: {difference}"),
        Some(State::Unprotected { reason, .. }) => reason,
    }
}

#[test]
fn pods_are_sorted_as_the_webhook_would_treat_them() {
    let settings = settings();
    let older = Settings { proxy_image: "rasp/proxy:1".to_owned(), ..settings.clone() };
    let other_ca = Settings { operator_ca_pem: "OLD".to_owned(), ..settings.clone() };
    let plain = || pod("shop", "web");
    let opted = |value: &str| with(plain(), "/metadata/labels", json!({"rasp.dev/inject": value}));
    let in_host = with(
        plain(),
        "/spec",
        json!({"hostNetwork": true, "containers": [{"name": "web", "image": "web:1"}]}),
    );
    let table = [
        (Some("enabled"), injected(plain(), &settings), "protected"),
        (Some("enabled"), injected(plain(), &older), "outdated: image"),
        (Some("enabled"), injected(plain(), &other_ca), "outdated: env RASP_OPERATOR_CA"),
        (Some("enabled"), plain(), "not_injected"),
        (Some("enforced"), plain(), "not_injected"),
        (Some("enabled"), opted("false"), "opted_out"),
        (Some("enforced"), opted("false"), "not_injected"),
        (Some("enabled"), in_host, "host_network"),
        (Some("disabled"), opted("true"), "-"),
        (None, opted("true"), "not_injected"),
        (None, plain(), "-"),
        (None, injected(opted("true"), &settings), "protected"),
        (Some("enabled"), with(plain(), "/status/phase", json!("Succeeded")), "-"),
        (Some("enabled"), going(plain()), "-"),
    ];
    for (level, pod, expected) in table {
        assert_eq!(reason(state_of(level, pod.clone(), Some(&settings))), expected, "{level:?} {pod}");
    }
}

#[test]
fn without_settings_it_is_known_who_is_protected_and_not_why() {
    let settings = settings();
    let older = Settings { proxy_image: "rasp/proxy:1".to_owned(), ..settings };
    assert_eq!(reason(state_of(Some("enabled"), injected(pod("shop", "a"), &older), None)), "protected");
    assert_eq!(reason(state_of(Some("enabled"), pod("shop", "a"), None)), "unknown");
}

#[test]
fn an_excluded_namespace_is_named_with_its_pods() {
    let sorted = sort(
        &[namespace("excluded", Some("enabled")), namespace("plain", None)],
        &[pod("excluded", "a"), pod("plain", "b")],
        Some(&settings()),
        |name| name == "excluded",
    );
    let [Namespace { name, excluded: true, pods, .. }] = sorted.as_slice() else { panic!("{sorted:?}") };
    assert_eq!(name, "excluded");
    assert_eq!(reason(Some(pods[0].state.clone())), "excluded");
    assert_eq!(sorted[0].names(|state| !state.has_sidecar()), ["excluded/a"]);
    assert_eq!(sort(&[going(namespace("shop", Some("enabled")))], &[], None, |_| false), []);
}

#[test]
fn a_pod_without_packet_rules_is_weaker() {
    let settings = settings();
    let mut restricted = namespace("shop", Some("enabled"));
    restricted["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = json!("restricted");
    let facts = super::facts(&restricted);
    let mut served = pod("shop", "a");
    served["spec"]["containers"][0]["ports"] = json!([{"name": "http", "containerPort": 8080}]);
    let Decision::Inject(plan) = decide(&served, Level::Enabled, &facts, &settings) else {
        panic!("not injected")
    };
    patch(&mut served, &plan.patch).unwrap();
    let redirected = injected(pod("shop", "b"), &settings);
    let sorted = sort(&[restricted], &[served, redirected, pod("shop", "c")], Some(&settings), |_| false);
    let weaker: Vec<bool> = sorted[0].pods.iter().map(super::Pod::is_weaker).collect();
    assert_eq!(weaker, [true, false, false]);
    assert_eq!(sorted[0].pods[0].state, State::Protected);
    assert_eq!(sorted[0].pods[2].interception, None);
}
