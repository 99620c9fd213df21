//! The validating webhook: any bytes as an AdmissionReview, and any JSON as what somebody writes into a policy.
//!
//! Every answer is one that an API server takes, an edit that only lowers a mode is never refused, and what is taken every
//! sidecar can read and compile. Not in `lib.rs` for tests: the proxy's know no operator. operator/tests/attacks.rs
//! includes this file.

use std::sync::OnceLock;

use rasp_engine::Ruleset;
use rasp_operator::metrics::Metrics;
use rasp_operator::validate::review;
use rasp_policy::api::{ClusterRaspPolicySpec, Kind, RaspExceptionSpec, RaspPolicySpec};
use rasp_policy::bundle::{Bundle, Entry, Envelope, Namespace, SCHEMA_VERSION, Source};
use rasp_policy::precedence::resolve;
use rasp_policy::selector::Labels;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The input is a review, and the spec of an object of each kind.
pub fn run(data: &[u8]) {
    // Bytes that are no UTF-8 are not seen in a text that nobody reads.
    let is_json = serde_json::from_str::<&RawValue>(&String::from_utf8_lossy(data)).is_ok();
    let answered = ask(data.to_vec());
    assert!(is_json || answered.is_none(), "only JSON is answered with a review");
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    if let Some(response) = answered {
        assert_eq!(response["uid"], value["request"]["uid"]);
    }
    for kind in Kind::ALL {
        as_object(kind, &value);
        as_spec(kind, &value);
    }
}

/// Whatever stands where an object should be: it is answered.
fn as_object(kind: Kind, object: &Value) {
    if !object.is_null() {
        ask(mk_review(kind, &Value::Null, object));
        ask(mk_review(kind, object, &mk_object(kind, &json!({}))));
    }
}

/// Whatever stands where a spec should be.
pub fn as_spec(kind: Kind, spec: &Value) {
    // So that one input is a policy of both kinds.
    let has_half = ["defaults", "overrides"].iter().any(|half| spec.get(half).is_some());
    let spec = match kind {
        Kind::ClusterRaspPolicy if !has_half => json!({ "overrides": spec }),
        _ => spec.clone(),
    };
    let object = mk_object(kind, &spec);
    let Some(created) = ask(mk_review(kind, &Value::Null, &object)) else { return };
    if created["allowed"] == true {
        is_taken_by_sidecars(kind, &spec);
    }
    let mut labelled = object.clone();
    labelled["metadata"]["labels"] = json!({ "team": "a" });
    // Twice the object may be too large.
    let Some(edited) = ask(mk_review(kind, &object, &labelled)) else { return };
    assert_eq!(edited["allowed"], true, "an edit of metadata: {edited}");
    if let Some(lowered) = lowered(kind, &spec)
        && let Some(edited) = ask(lowered)
    {
        assert_eq!(edited["allowed"], true, "an edit that only lowers a mode: {edited}");
    }
}

/// The review of an edit from Block to Off, unless there are modes in the spec that are none.
fn lowered(kind: Kind, spec: &Value) -> Option<Vec<u8>> {
    let half = match kind {
        Kind::RaspPolicy => "",
        Kind::ClusterRaspPolicy => {
            ["/defaults", "/overrides"].into_iter().find(|half| spec.pointer(half).is_some())?
        }
        Kind::RaspException => return None,
    };
    let with = |mode: &str| {
        let mut spec = spec.clone();
        spec.pointer_mut(half)?.as_object_mut()?.insert("mode".to_owned(), mode.into());
        has_known_modes(&spec).then(|| mk_object(kind, &spec))
    };
    Some(mk_review(kind, &with("Block")?, &with("Off")?))
}

fn has_known_modes(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.iter().all(|(name, value)| {
            let is_known = || value.as_str().is_some_and(|mode| ["Block", "Monitor", "Off"].contains(&mode));
            (name != "mode" || is_known()) && has_known_modes(value)
        }),
        Value::Array(items) => items.iter().all(has_known_modes),
        _ => true,
    }
}

/// What travels in a Bundle is read as it was written, and is compiled.
fn is_taken_by_sidecars(kind: Kind, spec: &Value) {
    let taken = "what was taken can be read";
    let read = |spec: &Value| serde_json::from_value::<RaspPolicySpec>(spec.clone()).expect(taken);
    let (origin, policy) = match kind {
        Kind::RaspPolicy => (None, read(spec)),
        Kind::RaspException => {
            let exception: RaspExceptionSpec = serde_json::from_value(spec.clone()).expect(taken);
            (None, exception.policy("p"))
        }
        Kind::ClusterRaspPolicy => {
            let cluster: ClusterRaspPolicySpec = serde_json::from_value(spec.clone()).expect(taken);
            let (origin, settings) = cluster.settings().expect("one half");
            (Some(origin), settings.clone())
        }
    };
    let source = Source {
        name: "p".into(),
        uid: "u".into(),
        generation: 1,
        created_at: "2026-01-01T00:00:00Z".into(),
    };
    // Whether it selects a pod is another question.
    let policy = RaspPolicySpec { pod_selector: None, target_refs: None, ..policy };
    let bundle = Bundle {
        schema_version: SCHEMA_VERSION,
        namespace: Namespace { name: "shop".into(), uid: "u".into() },
        sequence: 1,
        entries: vec![Entry { kind, origin, ..Entry::policy(source, policy) }],
    };
    let envelope = Envelope::seal(&bundle.to_bytes(), "key", |_| vec![0]).to_text();
    let payload = Envelope::open(envelope.as_bytes(), |_, _, _| true).expect("an envelope");
    assert_eq!(Bundle::from_verified(&payload).expect("a Bundle"), bundle);
    let effective = resolve(&bundle, &Labels::new()).effective;
    Ruleset::build(&effective).expect("a Ruleset");
}

fn mk_object(kind: Kind, spec: &Value) -> Value {
    json!({
        "apiVersion": "rasp.dev/v1alpha1", "kind": kind.as_str(),
        "metadata": { "name": "p", "namespace": "shop" }, "spec": spec,
    })
}

fn mk_review(kind: Kind, old: &Value, new: &Value) -> Vec<u8> {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "r1", "operation": if old.is_null() { "CREATE" } else { "UPDATE" }, "namespace": "shop",
            "kind": { "group": "rasp.dev", "version": "v1alpha1", "kind": kind.as_str() },
            "object": new, "oldObject": old,
        },
    });
    review.to_string().into_bytes()
}

/// The response, unless the review is refused. Everything that the API server demands of it holds. One that cannot be
/// judged in time, or by a compiler that panics, is a 5xx.
fn ask(body: Vec<u8>) -> Option<Value> {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    let metrics = METRICS.get_or_init(|| Metrics::new().expect("metrics"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let (status, answer) = runtime.block_on(review(metrics, body.into()));
    let answer: Value = serde_json::from_slice(&answer).expect("the answer is JSON");
    if status != 200 {
        assert!(status.is_client_error(), "{status}: {answer}");
        assert!(answer["error"].is_string(), "{answer}");
        return None;
    }
    assert_eq!(
        (&answer["apiVersion"], &answer["kind"]),
        (&json!("admission.k8s.io/v1"), &json!("AdmissionReview"))
    );
    let response = answer["response"].clone();
    assert!(response["uid"].is_string() && response["allowed"].is_boolean(), "{response}");
    assert!(response.get("patch").is_none() && response.get("patchType").is_none(), "{response}");
    let is_line = |text: &Value, most: usize| {
        text.as_str().is_some_and(|text| text.chars().count() <= most && !text.chars().any(char::is_control))
    };
    let warnings = response["warnings"].as_array().cloned().unwrap_or_default();
    assert!(warnings.len() <= 16 && warnings.iter().all(|warning| is_line(warning, 256)), "{response}");
    let told = &response["status"];
    if response["allowed"] == true {
        assert!(told.is_null(), "{response}");
        return Some(response);
    }
    assert_eq!((&told["code"], &told["reason"]), (&json!(422), &json!("Invalid")));
    let cause = &told["details"]["causes"][0];
    for (text, most) in [(&told["message"], 1024), (&told["details"]["name"], 253), (&cause["message"], 1024)]
    {
        assert!(is_line(text, most), "{response}");
    }
    let field = cause["field"].as_str().expect("a field");
    assert!(field == "spec" || field.starts_with("spec."), "{response}");
    Some(response)
}
