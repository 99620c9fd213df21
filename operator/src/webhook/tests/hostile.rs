//! AdmissionReviews that no API server sends, and pods that it sends on before it has looked at them: mutating webhooks
//! are asked before names, lengths and characters are validated, and anybody in the cluster reaches the listener.

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::super::weight;
use super::{Answer, BASE64, MAX_BODY_BYTES, Outcome, Subject, ask, mk_pod, mk_review};
use crate::inject::Level;

/// What a terminal obeys, what turns text round, and what cannot be seen.
const EVIL: &str = "\u{1b}[2J\u{9b}31m\r\nINFO all is well\u{202e}\u{200b}\u{2028}\0";

fn is_plain(text: &str) -> bool {
    !text.chars().any(|char| char.is_control() || "\u{202e}\u{200b}\u{2028}".contains(char))
}

/// A review that is answered as the API demands, or a refusal as HTTP knows it; a patch always applies.
fn assert_answered(answer: &Answer, object: &Value, what: &str) {
    match answer.status.as_u16() {
        200 => {
            let response = answer.response();
            assert!(response["allowed"].is_boolean() && response["uid"].is_string(), "{what}: {response}");
            assert_eq!(response.get("patch").is_some(), response["patchType"] == "JSONPatch", "{what}");
            if let Some(patch) = response["patch"].as_str() {
                let patch: json_patch::Patch =
                    serde_json::from_slice(&BASE64.decode(patch).unwrap()).unwrap();
                let patched = json_patch::patch(&mut object.clone(), &patch);
                assert!(patched.is_ok(), "{what}: {patched:?}");
            }
        }
        400 | 413 => assert!(answer.body["error"].is_string(), "{what}: {}", answer.body),
        status => panic!("{what}: {status} {}", answer.body),
    }
}

/// The places of everything inside of a value.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let mut inside = |key: &str, value: &Value| {
        let place = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        found.push(place.clone());
        places(value, &place, found);
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| inside(key, value)),
        Value::Array(list) => list.iter().enumerate().for_each(|(n, value)| inside(&n.to_string(), value)),
        _ => {}
    }
}

/// A pod with everything that is read.
fn mk_full_pod() -> Value {
    let mut pod = mk_pod(&json!({
        "containers": [{
            "name": "app", "image": "app", "env": [{"name": "A", "value": "b"}],
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "securityContext": {"runAsUser": 1000, "privileged": true, "capabilities": {"add": ["NET_ADMIN"]}},
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            "livenessProbe": {"httpGet": {
                "path": "/healthz", "port": "http", "scheme": "HTTP",
                "httpHeaders": [{"name": "Accept", "value": "*/*"}],
            }},
        }],
        "initContainers": [{"name": "first", "restartPolicy": "Always"}],
        "volumes": [{"name": "data", "emptyDir": {}}],
        "securityContext": {"runAsUser": 1000, "supplementalGroups": [1]},
        "nodeSelector": {"kubernetes.io/os": "linux"}, "os": {"name": "linux"}, "hostNetwork": false,
        "terminationGracePeriodSeconds": 30,
    }));
    pod["metadata"]["annotations"] = json!({"config.rasp.dev/skip-inbound-ports": "9090"});
    pod["metadata"]["labels"] = json!({"rasp.dev/inject": "true", "pod-template-hash": "abc"});
    pod["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-abc", "uid": "u", "controller": true,
    }]);
    pod
}

#[tokio::test]
async fn a_value_of_any_type_in_any_place_is_answered() {
    let review = mk_review(&mk_full_pod());
    let mut all = vec![String::new()];
    places(&review, "", &mut all);
    assert!(all.len() > 80, "{} places", all.len());
    let values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(62102),
        json!(u64::MAX),
        json!(1e300),
        json!(""),
        json!("rasp-proxy"),
        json!(EVIL),
        json!([]),
        json!({}),
        json!([[{}]]),
        json!({"": {"": []}}),
    ];
    for place in &all {
        for value in &values {
            let mut changed = review.clone();
            *changed.pointer_mut(place).unwrap() = value.clone();
            let object = changed.pointer("/request/object").cloned().unwrap_or_default();
            let answer = ask(Level::Enforced, changed.to_string()).await;
            assert_answered(&answer, &object, &format!("{value} at {place}"));
        }
    }
}

#[tokio::test]
async fn a_review_that_says_a_thing_twice_or_not_at_all_is_refused() {
    let whole = mk_review(&mk_full_pod()).to_string();
    for member in ["\"kind\":\"AdmissionReview\"", "\"uid\":\"705ab4f5-6393-11e8-b7cc-42010a800002\""] {
        let twice = whole.replacen(member, &format!("{member},{member}"), 1);
        assert_eq!(ask(Level::Enforced, twice).await.status, 400, "{member} twice");
        let left_out = whole.replacen(member, "\"x\":1", 1);
        assert_eq!(ask(Level::Enforced, left_out).await.status, 400, "without {member}");
    }
    for end in (0..whole.len()).step_by(97) {
        assert_eq!(ask(Level::Enforced, whole[..end].to_owned()).await.status, 400, "cut off at {end}");
    }
    let mut broken = whole.into_bytes();
    let place = broken.windows(6).position(|window| window == b"\"app\"}" || window == b"\"app\",").unwrap();
    broken[place + 1] = 0xff;
    assert_eq!(ask(Level::Enforced, broken).await.status, 400, "not UTF-8");
}

#[tokio::test]
async fn a_pod_of_any_depth_is_answered() {
    for depth in [100, 126, 127, 128, 10_000, 1_000_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{}0{}", open.repeat(depth), close.repeat(depth));
            for place in ["DEEP_POD", "DEEP_SPEC"] {
                let mut pod = mk_pod(&json!({}));
                pod["spec"]["affinity"] = json!("DEEP_SPEC");
                let mut review = mk_review(&pod);
                if place == "DEEP_POD" {
                    review["request"]["object"] = json!("DEEP_POD");
                }
                let body = review.to_string().replace(&format!("\"{place}\""), &deep);
                if body.len() > MAX_BODY_BYTES {
                    continue;
                }
                let answer = ask(Level::Enabled, body).await;
                let expected: &[u16] = if depth > 128 { &[400, 413] } else { &[200, 400] };
                assert!(expected.contains(&answer.status.as_u16()), "{depth} {open}: {}", answer.body);
            }
        }
    }
}

#[tokio::test]
async fn a_pod_that_would_be_large_in_memory_is_refused_before_it_is_read() {
    let with = |containers: String| {
        let pod = mk_pod(&json!({"containers": "MANY"}));
        mk_review(&pod).to_string().replace("\"MANY\"", &format!("[{containers}]"))
    };
    let full = |piece: &str| piece.repeat((MAX_BODY_BYTES - 2048) / piece.len()) + "0";
    for piece in [r#"{"a":0},"#, "{},", "[],", "0,", r#"{"name":""},"#, r#""","#] {
        let body = with(full(piece));
        assert!(body.len() <= MAX_BODY_BYTES);
        let answer = ask(Level::Enabled, body).await;
        let message = answer.body["error"].as_str().unwrap_or_default();
        assert!(answer.status == 413 && message.contains("bytes of memory"), "{piece} {}", answer.body);
        assert!(answer.occurrences.is_empty());
    }
    let variable = r#"{"name":"A_VARIABLE_OF_A_POD","value":"and what it says"},"#;
    let variables = variable.repeat((1 << 20) / variable.len());
    let ordinary = with(format!("{{\"name\":\"app\",\"env\":[{}]}}", variables.trim_end_matches(',')));
    assert!(weight::of(&ordinary) < weight::MOST, "{}", weight::of(&ordinary));
    let answer = ask(Level::Enabled, ordinary).await;
    assert_eq!(answer.response()["patchType"], "JSONPatch", "a pod of 1 MiB is protected");
}

#[tokio::test]
async fn a_pod_with_many_probes_takes_no_longer_than_it_is_large() {
    let probe = |n| json!({"livenessProbe": {"httpGet": {"port": 80, "path": format!("/{n}")}}});
    let containers: Vec<Value> = (0..20_000).map(probe).collect();
    let pod = mk_pod(&json!({ "containers": containers }));
    let answer = ask(Level::Enabled, mk_review(&pod).to_string()).await;
    let patch = BASE64.decode(answer.response()["patch"].as_str().unwrap()).unwrap();
    let patch = String::from_utf8(patch).unwrap();
    assert!(patch.len() < 32_768, "{} bytes: only so many probes are told apart", patch.len());
    assert!(patch.contains("/127") && !patch.contains("/128\\"), "the first ones");
}

#[tokio::test]
async fn nothing_that_a_pod_says_reaches_a_terminal_or_a_queue_as_it_is() {
    let long = format!("{EVIL}{}", "x".repeat(500_000));
    let owner = |name: &str, kind: &str| json!([{"apiVersion": "v1", "kind": kind, "name": name, "uid": "u", "controller": true}]);
    let mut annotation = mk_pod(&json!({}));
    annotation["metadata"]["annotations"] =
        Value::Object(Map::from_iter([(format!("config.rasp.dev/{long}"), json!("x"))]));
    let mut value = mk_pod(&json!({}));
    value["metadata"]["annotations"] = json!({ "config.rasp.dev/opaque-ports": long });
    let mount = json!({"containers": [{"name": long, "volumeMounts": [{"name": "rasp-config"}]}]});
    let mut forged = mk_pod(&json!({"initContainers": [{"name": "rasp-proxy"}, {"name": "rasp-init"}]}));
    forged["metadata"]["ownerReferences"] = owner(&long, "ReplicaSet");
    let mut kind = mk_pod(&json!({"securityContext": {"runAsUser": 62102}}));
    kind["metadata"]["ownerReferences"] = owner("web", &long);
    let mut name = mk_pod(&json!({"securityContext": {"runAsUser": 62102}}));
    name["metadata"] = json!({ "name": long });
    for (what, pod) in [
        ("key of an annotation", annotation),
        ("value of an annotation", value),
        ("name of a container", mk_pod(&mount)),
        ("name of an owner", forged),
        ("kind of an owner", kind),
        ("name of a pod", name),
    ] {
        let answer = ask(Level::Enforced, mk_review(&pod).to_string()).await;
        let status = &answer.response()["status"];
        for text in [&status["message"], &status["details"]["causes"][0]["message"]] {
            let text = text.as_str().unwrap();
            assert!(is_plain(text) && text.chars().count() < 1200, "{what}: {text:?}");
        }
        let [occurrence] = answer.occurrences.as_slice() else { panic!("{what}: {:?}", answer.occurrences) };
        assert_eq!(occurrence.outcome, Outcome::Denied, "{what}");
        assert!(is_plain(&occurrence.message), "{what}: {:?}", occurrence.message);
        let shown = format!("{occurrence:?}");
        assert!(shown.len() < 4096, "{what}: an occurrence of {} bytes waits in a queue", shown.len());
        assert!(!shown.contains("all is well") || is_plain(&shown), "{what}: {shown}");
        if let Subject::Pod(name) = &occurrence.subject {
            assert!(name.is_empty() || name == "web-", "{what}: {name:?}");
        }
    }
}

#[tokio::test]
async fn a_forged_review_makes_no_namespace_and_no_event_of_its_own() {
    let pod = mk_pod(&json!({"securityContext": {"runAsUser": 62102}}));
    for namespace in [EVIL, "Shop", "a/b", "../kube-system", &"a".repeat(64), "shop\n"] {
        let mut review = mk_review(&pod);
        review["request"]["namespace"] = json!(namespace);
        let answer = ask(Level::Enforced, review.to_string()).await;
        assert_eq!(answer.status, 400, "{namespace:?}");
        assert!(is_plain(answer.body["error"].as_str().unwrap()));
    }
    let mut review = mk_review(&pod);
    review["request"]["namespace"] = json!("no-such-namespace");
    let answer = ask(Level::Enforced, review.to_string()).await;
    assert_eq!(answer.response()["allowed"], false, "it is judged all the same");
    assert!(answer.occurrences.is_empty(), "no label value and no event for what does not exist");
}
