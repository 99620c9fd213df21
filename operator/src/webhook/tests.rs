use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Facts, MAX_BODY_BYTES, Occurrence, Outcome, Subject, review};
use crate::inject::{Level, NamespaceFacts, Resources, Settings};

mod hostile;

struct Cache(BTreeMap<&'static str, NamespaceFacts>);

impl Facts for Cache {
    async fn namespace(&self, name: &str) -> Option<NamespaceFacts> {
        self.0.get(name).cloned()
    }

    fn settings(&self) -> Arc<Settings> {
        let text = str::to_owned;
        Arc::new(Settings {
            proxy_image: text("proxy"),
            allowed_images: Vec::new(),
            pull_policy: text("IfNotPresent"),
            operator_url: text("https://operator:443"),
            operator_ca_pem: text("ca"),
            public_keys: vec![text("a2V5")],
            resources: Resources {
                cpu_request: text("10m"),
                cpu_limit: text("1"),
                memory_request: text("32Mi"),
                memory_limit: text("64Mi"),
            },
        })
    }
}

fn cache() -> Cache {
    let facts = NamespaceFacts { uid: Some("shop-uid".to_owned()), ..NamespaceFacts::default() };
    Cache(BTreeMap::from([("shop", facts)]))
}

fn mk_review(pod: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "name": "", "namespace": "shop", "operation": "CREATE", "dryRun": false,
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
            "object": pod, "oldObject": null,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        },
    })
}

fn mk_pod(spec: &Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "web-", "labels": {}},
        "spec": {"containers": [{"name": "app", "image": "app"}]},
    });
    json_patch::merge(&mut pod, &json!({"spec": spec}));
    pod
}

struct Answer {
    status: StatusCode,
    body: Value,
    occurrences: Vec<Occurrence>,
}

impl Answer {
    fn response(&self) -> &Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        assert_eq!(self.body["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(self.body["kind"], "AdmissionReview");
        &self.body["response"]
    }
}

async fn ask(level: Level, body: impl Into<Bytes>) -> Answer {
    let (sender, mut receiver) = mpsc::channel(8);
    let (status, body) = review(&cache(), level, body.into(), &sender).await;
    drop(sender);
    let mut occurrences = Vec::new();
    receiver.recv_many(&mut occurrences, 8).await;
    Answer { status, body: serde_json::from_slice(&body).unwrap(), occurrences }
}

#[tokio::test]
async fn an_injected_pod_gets_a_base64_patch_that_applies() {
    let pod = mk_pod(&json!({}));
    let answer = ask(Level::Enabled, mk_review(&pod).to_string()).await;
    let response = answer.response();
    assert_eq!(response["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
    assert_eq!(response["allowed"], true);
    assert_eq!(response["patchType"], "JSONPatch");
    assert_eq!(response.get("warnings"), None);
    let patch = BASE64.decode(response["patch"].as_str().unwrap()).unwrap();
    let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    let mut patched = pod;
    json_patch::patch(&mut patched, &patch).unwrap();
    assert_eq!(patched["spec"]["initContainers"][1]["name"], "rasp-proxy");
    let env = patched["spec"]["initContainers"][1]["env"].to_string();
    assert!(env.contains("shop-uid"), "the namespace of the request is looked up: {env}");

    let [occurrence] = answer.occurrences.as_slice() else { panic!("{:?}", answer.occurrences) };
    assert_eq!((occurrence.outcome, occurrence.reason_id()), (Outcome::Injected, ""));
    assert_eq!(occurrence.namespace, "shop");
    assert_eq!(occurrence.subject, Subject::Pod("web-".to_owned()));
}

#[tokio::test]
async fn a_pod_of_an_unknown_namespace_is_injected() {
    let mut review = mk_review(&mk_pod(&json!({})));
    review["request"]["namespace"] = json!("brand-new");
    let answer = ask(Level::Enabled, review.to_string()).await;
    assert_eq!(answer.response()["patchType"], "JSONPatch");
}

#[tokio::test]
async fn a_skipped_pod_starts_with_a_warning_and_no_patch() {
    for level in Level::ALL {
        let mut pod = mk_pod(&json!({"hostNetwork": true}));
        pod["metadata"]["labels"] = json!({"rasp.dev/inject": "true"});
        let answer = ask(level, mk_review(&pod).to_string()).await;
        let response = answer.response();
        assert_eq!(response["allowed"], true);
        assert_eq!((response.get("patch"), response.get("patchType")), (None, None));
        let warning = response["warnings"][0].as_str().unwrap();
        assert!(warning.starts_with("kube-rasp: not protected, host_network: "), "{warning}");
        let [occurrence] = answer.occurrences.as_slice() else { panic!("{:?}", answer.occurrences) };
        assert_eq!((occurrence.outcome, occurrence.reason_id()), (Outcome::Skipped, "host_network"));
        assert_eq!(occurrence.level, level);
    }
}

#[tokio::test]
async fn a_refused_pod_is_denied_only_where_injection_is_enforced() {
    let table = [
        // level, allowed, outcome
        (Level::Enabled, true, Outcome::Skipped),
        (Level::Object, true, Outcome::Skipped),
        (Level::Enforced, false, Outcome::Denied),
    ];
    for (level, allowed, outcome) in table {
        let mut pod = mk_pod(&json!({"securityContext": {"runAsUser": 62102}}));
        pod["metadata"]["labels"] = json!({"rasp.dev/inject": "true"});
        let answer = ask(level, mk_review(&pod).to_string()).await;
        let response = answer.response();
        assert_eq!(response["allowed"], allowed, "{level:?}");
        assert_eq!(response.get("patch"), None);
        if allowed {
            assert!(response["warnings"][0].as_str().unwrap().contains("own_uid_in_use"));
            assert_eq!(response.get("status"), None);
        } else {
            let status = &response["status"];
            assert_eq!((&status["code"], &status["reason"]), (&json!(403), &json!("Forbidden")));
            let message = status["message"].as_str().unwrap();
            assert!(message.contains("own_uid_in_use: spec.securityContext.runAsUser is 62102"), "{message}");
            assert_eq!(status["details"]["causes"][0]["reason"], "own_uid_in_use");
        }
        assert_eq!(answer.occurrences.first().unwrap().outcome, outcome);
    }
}

#[tokio::test]
async fn only_what_leaves_a_pod_unprotected_is_warned_about() {
    let silent = mk_pod(&json!({}));
    assert_eq!(ask(Level::Object, mk_review(&silent).to_string()).await.response().get("warnings"), None);
    let mut opted_out = mk_pod(&json!({}));
    opted_out["metadata"]["labels"] = json!({"rasp.dev/inject": "false"});
    let answer = ask(Level::Enabled, mk_review(&opted_out).to_string()).await;
    assert!(answer.response()["warnings"][0].as_str().unwrap().contains("opted_out"));
    assert_eq!(answer.occurrences.first().unwrap().reason_id(), "opted_out");
}

#[tokio::test]
async fn a_dry_run_gets_the_same_answer_and_leaves_no_trace() {
    let mut review = mk_review(&mk_pod(&json!({})));
    let real = ask(Level::Enabled, review.to_string()).await;
    review["request"]["dryRun"] = json!(true);
    let dry = ask(Level::Enabled, review.to_string()).await;
    assert_eq!(dry.body, real.body);
    assert_eq!((real.occurrences.len(), dry.occurrences.len()), (1, 0));
}

#[tokio::test]
async fn anything_but_the_creation_of_a_pod_passes_untouched() {
    let changes = [
        ("operation", json!("UPDATE")),
        ("operation", json!("DELETE")),
        ("subResource", json!("ephemeralcontainers")),
        ("kind", json!({"group": "apps", "version": "v1", "kind": "Deployment"})),
        ("kind", json!({"version": "v2", "kind": "Pod"})),
    ];
    for (member, value) in changes {
        let mut review = mk_review(&mk_pod(&json!({})));
        review["request"][member] = value.clone();
        let answer = ask(Level::Enforced, review.to_string()).await;
        assert_eq!(
            answer.response(),
            &json!({"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "allowed": true}),
            "{member} {value}"
        );
        assert!(answer.occurrences.is_empty());
    }
}

#[tokio::test]
async fn bad_input_is_told_apart_and_never_quoted() {
    let pod = mk_pod(&json!({}));
    let with = |member: &str, value: Value| {
        let mut review = mk_review(&pod);
        review[member] = value;
        review.to_string()
    };
    let mut no_object = mk_review(&pod);
    no_object["request"]["object"] = Value::Null;
    let deep = mk_review(&json!("DEEP")).to_string().replace("\"DEEP\"", &"[".repeat(100_000));
    let table = [
        // body, status, part of the message
        (String::new(), 400, "the JSON ends too early at line 1, column 0"),
        ("secret".to_owned(), 400, "not JSON at line 1"),
        (deep, 400, "not JSON"),
        ("[]".to_owned(), 400, "a field is missing or of another type"),
        (with("request", json!({"uid": 7, "kind": "secret"})), 400, "of another type"),
        (with("apiVersion", json!("admission.k8s.io/v1beta1")), 400, "admission.k8s.io/v1"),
        (with("kind", json!("Secret")), 400, "admission.k8s.io/v1"),
        (with("request", Value::Null), 400, "field request is missing"),
        (no_object.to_string(), 400, "field request.object is missing"),
        (" ".repeat(MAX_BODY_BYTES + 1), 413, "more than 3145728"),
    ];
    for (body, status, part) in table {
        let answer = ask(Level::Enforced, body).await;
        let message = answer.body["error"].as_str().unwrap();
        assert_eq!(answer.status.as_u16(), status, "{message}");
        assert!(message.contains(part) && !message.contains("secret"), "{message}");
        assert!(answer.occurrences.is_empty());
    }
}

#[tokio::test]
async fn a_warning_is_one_printable_line_of_at_most_256_characters() {
    let mut pod = mk_pod(&json!({}));
    pod["metadata"]["labels"] = json!({"rasp.dev/inject": format!("\u{1b}\r\n{}", "ü".repeat(400))});
    let answer = ask(Level::Enabled, mk_review(&pod).to_string()).await;
    let warning = answer.response()["warnings"][0].as_str().unwrap();
    assert_eq!(warning.chars().count(), 256);
    assert!(warning.ends_with("...") && !warning.chars().any(char::is_control), "{warning:?}");
}

#[tokio::test]
async fn a_full_queue_never_holds_up_a_pod() {
    let (sender, mut receiver) = mpsc::channel(1);
    let body = Bytes::from(mk_review(&mk_pod(&json!({}))).to_string());
    for _ in 0..3 {
        let (status, _) = review(&cache(), Level::Enabled, body.clone(), &sender).await;
        assert_eq!(status, StatusCode::OK);
    }
    assert!(receiver.try_recv().is_ok());
    assert!(receiver.try_recv().is_err(), "the second and third found no room");
}

#[test]
fn the_kind_of_an_owner_comes_from_a_closed_list() {
    let subject = |kind: &str| {
        let mut pod = mk_pod(&json!({}));
        pod["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "x/v1", "kind": kind, "name": "n", "uid": "u", "controller": true}]);
        Subject::of(&pod)
    };
    assert_eq!(subject("StatefulSet").kind(), "StatefulSet");
    assert_eq!(subject("Pod").kind(), "Pod");
    assert_eq!(subject("RandomName4711").kind(), "other");
    assert_eq!(Subject::of(&mk_pod(&json!({}))).kind(), "Pod");
}
