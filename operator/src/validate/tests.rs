use http::StatusCode;
use jiff::Timestamp;
use proptest::prelude::*;
use rasp_policy::api::Kind;
use serde_json::{Value, json};

use super::{Judgement, Outcome, read, review};
use crate::metrics::Metrics;

fn judge(kind: Kind, old: Option<&Value>, new: &Value) -> Judgement {
    super::judge(read(kind, old, new), now())
}

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

fn object(kind: Kind, spec: &str) -> Value {
    json!({
        "apiVersion": "rasp.dev/v1alpha1", "kind": kind.as_str(),
        "metadata": { "name": "p", "namespace": "shop" }, "spec": yaml(spec),
    })
}

fn now() -> Timestamp {
    "2026-11-26T12:00:00Z".parse().unwrap()
}

/// Its own attack is not seen.
const BLIND: &str = "signatures: [{id: local-a, cve: CVE-2026-1, date: '2026-11-26', title: T, confidence: High, \
     path: [{ends: [/a]}], attacks: [GET /b], ordinary: [GET /c]}]";

/// Kind, spec before, spec now, outcome, words of the message or the Warnings.
type Row = (Kind, Option<String>, String, Outcome, &'static str);

#[test]
fn an_object_is_taken_warned_of_or_refused_with_the_path_of_the_field() {
    use Kind::{ClusterRaspPolicy, RaspException, RaspPolicy};
    use Outcome::{Allowed, Lowered, Refused, Warned};
    let bad = |mode: &str| format!("{{{mode}{BLIND}}}");
    let text = str::to_owned;
    let exception = |rest: &str| format!("{{podSelector: {{matchLabels: {{app: web}}}}, reason: r, {rest}}}");
    let listed = |end: &str| {
        format!("{{exceptions: [{{name: a, rule: xss-handler, reason: r, expiresAt: '{end}'}}]}}")
    };
    let table: Vec<Row> = vec![
        (RaspPolicy, None, text("{}"), Allowed, ""),
        (RaspPolicy, None, text("{podSelector: {matchLabels: {app: nobody}}, mode: Block}"), Allowed, ""),
        (RaspPolicy, None, text("{targetRefs: [{kind: Service, name: gone}]}"), Allowed, ""),
        (RaspPolicy, None, bad(""), Refused, "spec.signatures[local-a]"),
        (RaspPolicy, None, bad("mode: Block, "), Refused, "spec.signatures[local-a]"),
        (RaspPolicy, Some(text("{}")), bad(""), Refused, "spec.signatures[local-a]"),
        (RaspPolicy, Some(bad("mode: Block, ")), bad("mode: Block, "), Allowed, ""),
        (RaspPolicy, Some(bad("mode: Block, ")), bad("mode: Monitor, "), Lowered, "in force at once"),
        (RaspPolicy, Some(bad("mode: Block, ")), bad("mode: 'Off', "), Lowered, "spec.signatures[local-a]"),
        (RaspPolicy, Some(bad("mode: Block, ")), bad(""), Lowered, "spec.signatures[local-a]"),
        (RaspPolicy, Some(bad("mode: Monitor, ")), bad("mode: Block, "), Refused, "spec.signatures[local-a]"),
        // What the API server does not store any more, and did.
        (
            RaspPolicy,
            Some(text("{mode: Block, failureMode: Shut}")),
            text("{mode: Monitor, failureMode: Shut}"),
            Lowered,
            "NOT in force",
        ),
        (
            RaspPolicy,
            None,
            text("{response: {status: 200}}"),
            Refused,
            "spec.response.status is 200; use 400 to 599",
        ),
        (RaspPolicy, None, text("{mode: Blok}"), Refused, "spec: unknown variant `Blok`"),
        (
            RaspPolicy,
            None,
            text("{exceptions: [{name: a, rule: no-such-rule, reason: r}]}"),
            Refused,
            "spec.exceptions[p/a].rule is no-such-rule",
        ),
        (
            RaspPolicy,
            None,
            listed("2026-01-01T00:00:00Z"),
            Warned,
            "spec.exceptions[0].expiresAt is 2026-01-01",
        ),
        (RaspPolicy, None, listed("2026-11-26T12:00:00Z"), Warned, "which is over"),
        (RaspPolicy, None, listed("2026-12-03T12:00:00Z"), Warned, "in less than 7 days"),
        (RaspPolicy, None, listed("2026-12-03T12:00:01Z"), Allowed, ""),
        (RaspException, None, exception("rule: xss-handler, expiresAt: '2099-01-01T00:00:00Z'"), Allowed, ""),
        (
            RaspException,
            None,
            exception("rule: xss-handler, expiresAt: '2020-01-01T00:00:00Z'"),
            Warned,
            "spec.expiresAt is 2020",
        ),
        (RaspException, None, exception("rule: xss-handler"), Warned, "spec.expiresAt is missing"),
        (RaspException, None, exception("rule: no-such-rule"), Refused, "spec.rule is no-such-rule"),
        (ClusterRaspPolicy, None, text("{overrides: {mode: Monitor}}"), Allowed, ""),
        (ClusterRaspPolicy, None, text("{}"), Refused, "spec.defaults and overrides are missing"),
        (
            ClusterRaspPolicy,
            None,
            format!("{{overrides: {{{BLIND}}}}}"),
            Refused,
            "spec.overrides.signatures[local-a]",
        ),
        (
            ClusterRaspPolicy,
            None,
            format!("{{defaults: {}}}", listed("2026-01-01T00:00:00Z")),
            Warned,
            "spec.defaults.exceptions[0].expiresAt",
        ),
        (
            ClusterRaspPolicy,
            Some(format!("{{overrides: {{mode: Block, {BLIND}}}}}")),
            format!("{{overrides: {{mode: Monitor, {BLIND}}}}}"),
            Lowered,
            "spec.overrides.signatures[local-a]",
        ),
    ];
    for (kind, old, new, outcome, words) in table {
        let old = old.map(|old| object(kind, &old));
        let judged = judge(kind, old.as_ref(), &object(kind, &new));
        let said = format!("{} {}", judged.message, judged.warnings.join(" "));
        assert_eq!(judged.outcome, outcome, "{new}: {said}");
        assert!(said.contains(words), "{new}: {said}");
        let is_short = |line: &String| line.chars().count() + "kube-rasp: ".len() <= 120;
        assert!(judged.warnings.iter().all(is_short), "{said}");
    }
}

#[test]
fn an_object_that_is_being_deleted_and_an_edit_of_metadata_are_never_refused() {
    let bad = object(Kind::RaspPolicy, &format!("{{{BLIND}}}"));
    let (mut labelled, mut leaving) = (bad.clone(), object(Kind::RaspPolicy, "{response: {status: 1}}"));
    labelled["metadata"]["labels"] = json!({ "team": "a" });
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    for new in [labelled, leaving] {
        assert_eq!(judge(Kind::RaspPolicy, Some(&bad), &new).outcome, Outcome::Allowed);
    }
}

#[test]
fn an_edit_that_takes_a_rollout_back_to_its_first_step_is_warned_of() {
    let rollout = |first: u8, rest: &str| {
        let rollout = format!("{{steps: [{first}, 60, 100], interval: 10m, abortOn: {{errorRatio: 0}}}}");
        object(Kind::RaspPolicy, &format!("{{mode: Block, enforcement: {{rollout: {rollout}}}{rest}}}"))
    };
    let at = |percent: u8| {
        let mut old = rollout(5, "");
        old["status"] = json!({ "rollout": { "percent": percent } });
        old
    };
    let full = object(Kind::RaspPolicy, "{mode: Block}");
    let table = [
        (Some(at(100)), rollout(5, ", failureMode: Closed"), true),
        (Some(at(50)), rollout(5, ", failureMode: Closed"), true),
        (Some(at(5)), rollout(5, ", failureMode: Closed"), false),
        (Some(at(0)), rollout(5, ", failureMode: Closed"), false), // it was rolled back
        (Some(at(50)), rollout(50, ""), false),
        (Some(at(100)), full.clone(), false),
        (Some(at(100)), rollout(5, ""), false), // nothing is edited
        (Some(full), rollout(5, ""), false),    // it begins for the first time
        (None, rollout(5, ""), false),
    ];
    for (old, new, warns) in table {
        let judged = judge(Kind::RaspPolicy, old.as_ref(), &new);
        let said = judged.warnings.join(" ");
        let expected = if warns { Outcome::Warned } else { Outcome::Allowed };
        assert_eq!(judged.outcome, expected, "{old:?} -> {new}: {said}");
        assert_eq!(said.contains("and is for 5 % now"), warns, "{said}");
    }
}

fn request(kind: &str, old: &Value, new: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "r1", "operation": if old.is_null() { "CREATE" } else { "UPDATE" }, "namespace": "shop",
            "kind": { "group": "rasp.dev", "version": "v1alpha1", "kind": kind }, "object": new, "oldObject": old,
        },
    })
}

async fn ask(metrics: &Metrics, body: impl Into<bytes::Bytes>) -> (StatusCode, Value) {
    let (status, answer) = review(metrics, body.into()).await;
    (status, serde_json::from_slice(&answer).unwrap())
}

#[tokio::test]
async fn a_refusal_is_a_status_with_the_field_as_its_cause_and_is_counted() {
    let metrics = Metrics::new().unwrap();
    let new = object(Kind::RaspPolicy, "{response: {status: 200}}");
    let (status, answer) = ask(&metrics, request("RaspPolicy", &Value::Null, &new).to_string()).await;
    assert_eq!((status, &answer["response"]["allowed"]), (StatusCode::OK, &json!(false)));
    let told = &answer["response"]["status"];
    assert_eq!((&told["code"], &told["reason"]), (&json!(422), &json!("Invalid")));
    let cause = &told["details"]["causes"][0];
    assert_eq!(
        (&cause["field"], &cause["message"]),
        (&json!("spec.response.status"), &json!("is 200; use 400 to 599"))
    );
    let text = String::from_utf8(metrics.render(now())).unwrap();
    let counted = r#"rasp_validation_requests_total{kind="RaspPolicy",result="refused"} 1"#;
    assert!(text.contains(counted), "{text}");
}

#[tokio::test]
async fn a_review_of_a_policy_has_the_bounds_of_one_of_a_pod() {
    let metrics = Metrics::new().unwrap();
    let mut heavy = object(Kind::RaspPolicy, "{}");
    heavy["spec"] = serde_json::from_str(&format!("[{}{{}}]", "{},".repeat(80_000))).unwrap();
    let too_large = format!("{}{}", request("RaspPolicy", &Value::Null, &json!({})), " ".repeat(3 << 20));
    let table = [
        ("{}".to_owned(), StatusCode::BAD_REQUEST),
        (request("RaspPolicy", &Value::Null, &Value::Null).to_string(), StatusCode::BAD_REQUEST),
        (too_large, StatusCode::PAYLOAD_TOO_LARGE),
        (request("RaspPolicy", &Value::Null, &heavy).to_string(), StatusCode::PAYLOAD_TOO_LARGE),
        (
            request("RaspPolicy", &heavy, &object(Kind::RaspPolicy, "{}")).to_string(),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
    ];
    for (body, expected) in table {
        let (status, answer) = ask(&metrics, body).await;
        assert_eq!(status, expected, "{answer}");
        assert!(answer["error"].is_string(), "{answer}");
    }
    let mut evil = object(Kind::RaspPolicy, "{}");
    evil["metadata"]["name"] = json!("\u{1b}[31mred".repeat(100));
    evil["spec"]["mode"] = json!("\u{1b}[2J\nWarning: forged ".repeat(1000));
    let (_, answer) = ask(&metrics, request("RaspPolicy", &Value::Null, &evil).to_string()).await;
    let status = &answer["response"]["status"];
    for text in [&status["message"], &status["details"]["name"], &status["details"]["causes"][0]["message"]] {
        let text = text.as_str().unwrap();
        assert!(text.chars().count() <= 1024 && !text.chars().any(char::is_control), "{text:?}");
    }
}

#[tokio::test]
async fn what_is_no_policy_of_ours_is_allowed_unseen() {
    let metrics = Metrics::new().unwrap();
    let object = json!({ "spec": { "mode": 1 } });
    let mut status = request("RaspPolicy", &Value::Null, &object);
    status["request"]["subResource"] = json!("status");
    let mut deletion = request("RaspPolicy", &object, &Value::Null);
    deletion["request"]["operation"] = json!("DELETE");
    for review in [request("Other", &Value::Null, &object), status, deletion] {
        let (status, answer) = ask(&metrics, review.to_string()).await;
        assert_eq!((status, &answer["response"]["allowed"]), (StatusCode::OK, &json!(true)), "{review}");
    }
    let text = String::from_utf8(metrics.render(now())).unwrap();
    assert!(
        text.lines().filter(|line| line.starts_with("rasp_validation")).all(|line| line.ends_with(" 0")),
        "{text}"
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "metadata",
        "spec",
        "mode",
        "detections",
        "sqlInjection",
        "overrides",
        "defaults",
        "signatures",
        "exceptions",
        "targetRefs",
        "podSelector",
        "matchLabels",
        "name",
        "expiresAt",
        "deletionTimestamp",
        "labels",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(vec!["Block", "Monitor", "Off", "a", "2020-01-01T00:00:00Z"])
            .prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        let members = prop::collection::vec((names.clone(), inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            members
                .prop_map(|members| members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Value>()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_sent_is_answered_by_a_review(kind in 0..3_usize, old in any_json(), new in any_json(), spec in any_json()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let metrics = Metrics::new().unwrap();
        let whole = json!({ "metadata": { "name": "p", "namespace": "shop" }, "spec": spec });
        for (old, new) in [(&old, &new), (&Value::Null, &whole), (&whole, &new), (&old, &whole)] {
            let body = request(Kind::ALL[kind].as_str(), old, new).to_string();
            let (status, answer) = runtime.block_on(ask(&metrics, body));
            if new.is_null() {
                prop_assert_eq!(status, StatusCode::BAD_REQUEST);
                continue;
            }
            prop_assert_eq!(&answer["response"]["uid"], "r1");
            let allowed = answer["response"]["allowed"].as_bool().unwrap();
            let message = answer["response"]["status"]["message"].as_str().unwrap_or_default();
            prop_assert_eq!(allowed, message.is_empty());
        }
    }
}
