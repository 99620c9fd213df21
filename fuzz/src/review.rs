//! The webhook: any bytes as an AdmissionReview, and any JSON as the pod in one.
//!
//! Not in `lib.rs` for tests: the proxy's know no operator. operator/tests/attacks.rs includes this file.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rasp_operator::inject::{Level, NamespaceFacts, Settings};
use rasp_operator::webhook::{Facts, review};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Knows one namespace.
struct Known(Arc<Settings>);

impl Facts for Known {
    async fn namespace(&self, name: &str) -> Option<NamespaceFacts> {
        (name == "shop").then(NamespaceFacts::default)
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.0)
    }
}

fn mk_known() -> Known {
    let settings = json!({
        "proxyImage": "proxy", "pullPolicy": "IfNotPresent", "operatorUrl": "https://operator:443",
        "operatorCaPem": "ca", "publicKeys": ["a2V5"],
        "resources": {"cpuRequest": "10m", "cpuLimit": "1", "memoryRequest": "32Mi", "memoryLimit": "64Mi"},
    });
    Known(Arc::new(serde_json::from_value(settings).expect("settings")))
}

/// The input is a review, and the pod of one.
pub fn run(data: &[u8]) {
    for level in Level::ALL {
        let Some(response) = ask(level, data.to_vec()) else { continue };
        // What is not looked at may be nested without end, and its texts may be no UTF-8.
        let text = String::from_utf8_lossy(data);
        assert!(serde_json::from_str::<&RawValue>(&text).is_ok(), "only JSON is answered with a review");
        if let Ok(review) = serde_json::from_slice::<Value>(data) {
            assert_eq!(response["uid"], review["request"]["uid"]);
        }
    }
    if let Ok(pod) = serde_json::from_slice::<Value>(data) {
        as_pod(&pod);
    }
}

/// A pod that is patched is JSON, and patched once.
pub fn as_pod(pod: &Value) {
    for level in Level::ALL {
        let Some(response) = ask(level, mk_review(pod)) else { continue };
        let Some(patch) = response["patch"].as_str() else { continue };
        let patch = BASE64.decode(patch).expect("base64");
        let patch: json_patch::Patch = serde_json::from_slice(&patch).expect("a JSON patch");
        let mut patched = pod.clone();
        json_patch::patch(&mut patched, &patch).expect("the patch applies");
        let again = ask(level, mk_review(&patched)).expect("a review");
        assert_eq!(again["allowed"], true, "{again} for {patched}");
        assert_eq!(again.get("patch"), None, "twice is once: {again} for {patched}");
        assert_eq!(again.get("warnings"), None, "{again}");
    }
}

fn mk_review(pod: &Value) -> Vec<u8> {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "r1", "operation": "CREATE", "namespace": "shop", "object": pod,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
        },
    });
    review.to_string().into_bytes()
}

/// The response, unless the review is refused. Everything that the API server demands of it holds.
fn ask(level: Level, body: Vec<u8>) -> Option<Value> {
    let (sender, mut occurrences) = tokio::sync::mpsc::channel(4);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let (status, answer) = runtime.block_on(review(&mk_known(), level, body.into(), &sender));
    let answer: Value = serde_json::from_slice(&answer).expect("the answer is JSON");
    while let Ok(occurrence) = occurrences.try_recv() {
        assert!(occurrence.message.chars().count() <= 1024);
        assert!(!occurrence.message.chars().any(char::is_control), "{:?}", occurrence.message);
        assert_eq!(occurrence.namespace, "shop", "nothing is told of a namespace that is not known");
    }
    if status != 200 {
        assert!(status.is_client_error(), "{status}");
        assert!(answer["error"].is_string(), "{answer}");
        return None;
    }
    assert_eq!(
        (&answer["apiVersion"], &answer["kind"]),
        (&json!("admission.k8s.io/v1"), &json!("AdmissionReview"))
    );
    let response = answer["response"].clone();
    assert!(response["uid"].is_string() && response["allowed"].is_boolean(), "{response}");
    assert_eq!(response.get("patch").is_some(), response.get("patchType").is_some(), "{response}");
    assert!(response["allowed"] == true || response.get("patch").is_none(), "{response}");
    for warning in response["warnings"].as_array().into_iter().flatten() {
        let warning = warning.as_str().expect("a text");
        assert!(warning.chars().count() <= 256 && !warning.chars().any(char::is_control), "{warning:?}");
    }
    Some(response)
}
