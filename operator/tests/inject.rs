//! Walks the golden cases of injection: `golden/NAME.pod.yaml` holds a pod, and where it matters its Namespace and the
//! RaspPolicies there, or an `Injected` that names another case and changes what came out of it; `NAME.expect` holds the decision at every level; `NAME.patch.json` the patch.
//! `UPDATE_GOLDEN=1 cargo test -p rasp-operator --test inject` writes the last two anew, to be read in the diff.
#![expect(clippy::unwrap_used, reason = "every function here belongs to a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use rasp_operator::inject::{Decision, Level, NamespaceFacts, Reason, Resources, Settings, decide};
use rasp_policy::bundle::{Bundle, Entry, Namespace, SCHEMA_VERSION, Source};
use rasp_policy::pod::Interception;
use serde::Deserialize as _;
use serde_json::{Value, json};

#[path = "inject/property.rs"]
mod property;
#[path = "inject/undo.rs"]
mod undo;
#[path = "inject/values.rs"]
mod values;

#[derive(Clone)]
struct Case {
    name: String,
    pod: Value,
    namespace: NamespaceFacts,
}

#[test]
fn every_golden_case_is_decided_as_written() {
    let mut stale = Vec::new();
    for case in cases() {
        let decisions = Level::ALL.map(|level| decide(&case.pod, level, &case.namespace, &settings()));
        let patches: BTreeSet<String> = decisions.iter().filter_map(patch_text).collect();
        assert!(patches.len() <= 1, "{}: the patch depends on the level", case.name);
        let expect: String =
            Level::ALL.iter().zip(&decisions).map(|(level, d)| described(*level, d)).collect();
        for (file, content) in [("expect", Some(expect)), ("patch.json", patches.into_iter().next())] {
            let path = golden().join(format!("{}.{file}", case.name));
            if fs::read_to_string(&path).ok() == content {
                continue;
            }
            if std::env::var_os("UPDATE_GOLDEN").is_none() {
                stale.push(format!("{}: have {content:#?}", path.display()));
                continue;
            }
            match content {
                Some(content) => fs::write(&path, content).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
        }
    }
    assert!(stale.is_empty(), "{}", stale.join("\n"));
}

#[test]
fn every_golden_file_belongs_to_a_case() {
    let names: BTreeSet<String> = cases().map(|case| case.name).collect();
    for path in files() {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let stem = name.split_once('.').unwrap().0.to_owned();
        assert!(names.contains(&stem), "{name} has no {stem}.pod.yaml");
    }
}

#[test]
fn every_reason_has_a_golden_case_at_every_level_it_can_occur_at() {
    let mut seen: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for case in cases() {
        for level in Level::ALL {
            if let Decision::Skip(reason) | Decision::Refuse(reason) =
                decide(&case.pod, level, &case.namespace, &settings())
            {
                seen.entry(reason.id()).or_default().insert(level.as_str());
            }
        }
    }
    for id in Reason::IDS {
        let levels: &[&str] = match id {
            "not_opted_in" => &["object"],
            "opted_out" => &["enabled", "object"],
            _ => &["enabled", "enforced", "object"],
        };
        assert_eq!(seen.remove(id), Some(levels.iter().copied().collect()), "{id}");
    }
    assert!(seen.is_empty(), "ids that are not in Reason::IDS: {seen:?}");
}

#[test]
fn a_patched_pod_is_left_alone_the_second_time() {
    for (case, level, patched) in injected() {
        let again = decide(&patched, level, &case.namespace, &settings());
        assert_eq!(again, Decision::Skip(Reason::AlreadyInjected), "{} {}", case.name, level.as_str());
    }
}

#[test]
fn a_patched_pod_is_left_alone_after_the_api_server_filled_in_its_defaults() {
    for (case, level, mut patched) in injected() {
        fill_in_defaults(&mut patched);
        let again = decide(&patched, level, &case.namespace, &settings());
        assert_eq!(again, Decision::Skip(Reason::AlreadyInjected), "{} {}", case.name, level.as_str());
    }
}

#[test]
fn a_patch_leaves_everything_the_author_wrote_as_it_was() {
    for (case, _, patched) in injected() {
        assert_eq!(undo::injection(patched), undo::injection(case.pod.clone()), "{}", case.name);
    }
}

#[test]
fn what_is_added_has_only_fields_that_kubernetes_knows() {
    for (case, _, patched) in injected() {
        let typed: core::Pod = serde_json::from_value(patched.clone()).unwrap();
        let typed = serde_json::to_value(typed).unwrap();
        for index in 0..ours(&patched).len() {
            let pointer = format!("/spec/initContainers/{index}");
            assert_eq!(typed.pointer(&pointer), patched.pointer(&pointer), "{}", case.name);
        }
        for volume in patched.pointer("/spec/volumes").unwrap().as_array().unwrap() {
            if volume.get("name").unwrap().as_str().unwrap().starts_with("rasp-") {
                assert!(typed.pointer("/spec/volumes").unwrap().as_array().unwrap().contains(volume));
            }
        }
    }
}

#[test]
fn our_containers_come_first_and_nobody_else_mounts_our_volumes() {
    for (case, _, patched) in injected() {
        let containers = patched.pointer("/spec/initContainers").unwrap().as_array().unwrap();
        let names = ours(&patched);
        assert!(names == ["rasp-init", "rasp-proxy"] || names == ["rasp-proxy"], "{}: {names:?}", case.name);
        let others = containers
            .iter()
            .skip(names.len())
            .chain(patched.pointer("/spec/containers").unwrap().as_array().unwrap());
        for container in others {
            assert!(!container["name"].to_string().contains("\"rasp-"), "{}", case.name);
            assert!(!container.to_string().contains("rasp-config"), "{}", case.name);
            assert!(!container.to_string().contains("rasp-run"), "{}", case.name);
            assert!(!container.to_string().contains("rasp-tls"), "{}", case.name);
        }
    }
}

#[test]
fn every_message_fits_into_a_warning() {
    for case in cases() {
        for level in Level::ALL {
            let (id, texts) = match decide(&case.pod, level, &case.namespace, &settings()) {
                Decision::Inject(plan) => ("", plan.warnings),
                Decision::Skip(reason) | Decision::Refuse(reason) => (reason.id(), vec![reason.to_string()]),
            };
            for text in texts {
                let length = "kube-rasp: not protected, : ".len() + id.len() + text.chars().count();
                assert!(length <= 256, "{}: {length} characters: {text}", case.name);
            }
        }
    }
}

/// What a pod needs to be admitted where `restricted` is enforced, of our containers and volumes: each condition of
/// <https://kubernetes.io/docs/concepts/security/pod-security-standards/>. End to end the API server is asked.
#[test]
fn without_packet_rules_nothing_is_added_that_pod_security_forbids() {
    let mut seen = 0;
    for (case, _, patched) in injected() {
        let ours = ours(&patched);
        if ours == ["rasp-init", "rasp-proxy"] {
            continue;
        }
        seen += 1;
        let context = patched.pointer("/spec/initContainers/0/securityContext").unwrap();
        let expected = json!({
            "allowPrivilegeEscalation": false, "privileged": false, "readOnlyRootFilesystem": true,
            "runAsNonRoot": true, "runAsUser": 62102, "runAsGroup": 62102,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
        });
        assert_eq!(*context, expected, "{}", case.name);
        let ports = patched.pointer("/spec/initContainers/0/ports").unwrap().as_array().unwrap();
        for port in ports {
            let name = port["name"].as_str().unwrap();
            let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            assert!(
                name.len() <= 15 && name.bytes().all(is_name) && !name.ends_with('-'),
                "{}: {name}",
                case.name
            );
            assert!(port.get("hostPort").is_none());
        }
        let unique =
            |member: &str| ports.iter().map(|port| port[member].to_string()).collect::<BTreeSet<_>>().len();
        assert_eq!((unique("name"), unique("containerPort")), (ports.len(), ports.len()), "{}", case.name);
    }
    assert!(seen > 10, "{seen} cases without packet rules");
}

#[test]
fn a_pod_as_large_as_the_api_server_takes_is_injected_like_any_other() {
    let filler = "x".repeat(1 << 20);
    let pod = json!({
        "metadata": {"name": "web", "annotations": {"filler": filler}},
        "spec": {"containers": [{"name": "app", "image": "app", "args": [filler]}]},
    });
    let Decision::Inject(plan) = decide(&pod, Level::Enabled, &NamespaceFacts::default(), &settings()) else {
        unreachable!("not injected");
    };
    assert!(
        serde_json::to_string(&plan.patch).unwrap().len() < 16 << 10,
        "the patch does not grow with the pod"
    );
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, &plan.patch).unwrap();
    assert_eq!(undo::injection(patched), undo::injection(pod));
}

/// Names of the containers at the beginning that are called like ours.
fn ours(pod: &Value) -> Vec<&str> {
    let containers = pod.pointer("/spec/initContainers").and_then(Value::as_array).unwrap();
    containers
        .iter()
        .map_while(|container| container["name"].as_str().filter(|name| name.starts_with("rasp-")))
        .collect()
}

fn settings() -> Settings {
    Settings {
        proxy_image: "registry.example/kube-rasp/proxy:1.2.3".to_owned(),
        allowed_images: vec!["mirror.example/kube-rasp/proxy:1.2.3".to_owned()],
        pull_policy: "IfNotPresent".to_owned(),
        operator_url: "https://kube-rasp-operator.kube-rasp.svc:443".to_owned(),
        operator_ca_pem: "-----BEGIN CERTIFICATE-----\nMIIBgolden\n-----END CERTIFICATE-----\n".to_owned(),
        public_keys: vec!["a2V5LW9uZQ==".to_owned(), "a2V5LXR3bw==".to_owned()],
        resources: Resources {
            cpu_request: "10m".to_owned(),
            cpu_limit: "500m".to_owned(),
            memory_request: "32Mi".to_owned(),
            memory_limit: "128Mi".to_owned(),
        },
    }
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn files() -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn cases() -> impl Iterator<Item = Case> {
    let cases: Vec<_> = files().iter().filter_map(|path| read(path)).collect();
    assert!(cases.len() > 50, "golden cases are missing");
    cases.into_iter()
}

fn read(path: &Path) -> Option<Case> {
    let name = path.file_name()?.to_str()?.strip_suffix(".pod.yaml")?.to_owned();
    let text = fs::read_to_string(path).unwrap();
    let documents =
        serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap());
    let (mut pod, mut namespace, mut policies) = (None, NamespaceFacts::default(), Vec::new());
    for document in documents {
        match document.get("kind").and_then(Value::as_str).unwrap() {
            "Namespace" => namespace = facts(&document),
            "RaspPolicy" => policies.push(document),
            "Pod" => pod = Some(document),
            "Injected" => pod = Some(changed(&document)),
            kind => unreachable!("{name}: {kind}"),
        }
    }
    if !policies.is_empty() {
        namespace.bundle = Some(Arc::new(bundle(&policies)));
    }
    Some(Case { name, pod: pod.unwrap(), namespace })
}

/// The pod of another case after injection, with the JSON patch under `change` applied.
fn changed(document: &Value) -> Value {
    let name = document.get("case").and_then(Value::as_str).unwrap();
    let case = read(&golden().join(format!("{name}.pod.yaml"))).unwrap();
    let Decision::Inject(plan) = decide(&case.pod, Level::Enabled, &case.namespace, &settings()) else {
        unreachable!("{name} is not injected");
    };
    let mut pod = case.pod;
    json_patch::patch(&mut pod, &plan.patch).unwrap();
    let change: json_patch::Patch = serde_json::from_value(document.get("change").unwrap().clone()).unwrap();
    json_patch::patch(&mut pod, &change).unwrap();
    pod
}

fn facts(namespace: &Value) -> NamespaceFacts {
    let map = |pointer| {
        let map = namespace.pointer(pointer).cloned().unwrap_or_else(|| json!({}));
        serde_json::from_value(map).unwrap()
    };
    NamespaceFacts {
        uid: namespace.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned),
        labels: map("/metadata/labels"),
        annotations: map("/metadata/annotations"),
        bundle: None,
    }
}

fn bundle(policies: &[Value]) -> Bundle {
    let entry = |policy: &Value| {
        let source = Source {
            name: policy.pointer("/metadata/name").unwrap().as_str().unwrap().to_owned(),
            uid: "policy-uid".to_owned(),
            generation: 1,
            created_at: "2026-01-01T00:00:00Z".to_owned(),
        };
        Entry::policy(source, serde_json::from_value(policy.get("spec").unwrap().clone()).unwrap())
    };
    Bundle {
        schema_version: SCHEMA_VERSION,
        namespace: Namespace { name: "shop".to_owned(), uid: "namespace-uid".to_owned() },
        sequence: 1_767_225_600_000,
        entries: policies.iter().map(entry).collect(),
    }
}

fn described(level: Level, decision: &Decision) -> String {
    let level = level.as_str();
    match decision {
        Decision::Inject(plan) => {
            let how = match plan.interception {
                Interception::Redirect => "",
                Interception::None => " without packet rules",
            };
            let anew = if plan.replaces.is_some() { " anew" } else { "" };
            let mut text = format!("{level}: inject {}{how}{anew}\n", plan.workload);
            for warning in &plan.warnings {
                writeln!(text, "{level}: warn {warning}").unwrap();
            }
            text
        }
        Decision::Skip(reason) => format!("{level}: skip {}: {reason}\n", reason.id()),
        Decision::Refuse(reason) => format!("{level}: refuse {}: {reason}\n", reason.id()),
    }
}

fn patch_text(decision: &Decision) -> Option<String> {
    let Decision::Inject(plan) = decision else { return None };
    Some(serde_json::to_string_pretty(&plan.patch).unwrap() + "\n")
}

/// Every case and level that is injected, with the pod after the patch.
fn injected() -> impl Iterator<Item = (Case, Level, Value)> {
    cases().flat_map(|case| {
        let levels = Level::ALL.into_iter().filter_map(move |level| {
            let Decision::Inject(plan) = decide(&case.pod, level, &case.namespace, &settings()) else {
                return None;
            };
            let mut patched = case.pod.clone();
            json_patch::patch(&mut patched, &plan.patch).unwrap();
            Some((case.clone(), level, patched))
        });
        levels.collect::<Vec<_>>()
    })
}

/// What a webhook that is called again for the same pod finds beyond what it wrote.
fn fill_in_defaults(pod: &mut Value) {
    fn walk(value: &mut Value) {
        let Some(map) = value.as_object_mut() else {
            value.as_array_mut().into_iter().flatten().for_each(walk);
            return;
        };
        for (member, added) in [
            ("fieldRef", json!({"apiVersion": "v1"})),
            ("projected", json!({"defaultMode": 420})),
            ("httpGet", json!({"scheme": "HTTP"})),
            ("startupProbe", json!({"successThreshold": 1})),
            ("securityContext", json!({"procMount": "Default"})),
        ] {
            if let Some(value) = map.get_mut(member).filter(|value| value.is_object()) {
                let written = std::mem::replace(value, added);
                json_patch::merge(value, &written);
            }
        }
        // An environment variable without a value loses the member.
        if map.get("value").is_some_and(|value| value == "") {
            map.remove("value");
        }
        if map.contains_key("image") {
            map.insert("terminationMessagePath".to_owned(), json!("/dev/termination-log"));
        }
        map.values_mut().for_each(walk);
    }
    pod.get_mut("spec").into_iter().for_each(walk);
}
