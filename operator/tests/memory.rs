//! What is kept of each object of the cluster, in bytes. Every replica keeps every pod: at 5,000 pods a kilobyte more of each
//! is five megabytes more of each replica (docs/scale.md). Of what anybody may have judged nothing is kept.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot build")]

use allocation_counter::measure;
use k8s_openapi::api::core::v1;
use kube::core::{DynamicObject, ObjectList};
use rasp_operator::observe::{Index, Kept, Namespace, Pod, Policy, Seen, Stored};
use rasp_operator::plan::dry_run;
use rasp_operator::signing::Key;
use rasp_policy::api::Kind;
use rasp_policy::bundle::{self, Bundle};
use rasp_policy::precedence::Effective;
use serde_json::{Value, json};

/// Bytes that one more of these objects takes in an index.
fn kept<T: Kept + PartialEq>(read: impl Fn(usize) -> T) -> u64 {
    const COUNT: usize = 240;
    let mut index = Index::default();
    let taken = measure(|| {
        for n in 0..COUNT {
            index.put(read(n));
        }
    });
    u64::try_from(taken.bytes_current).unwrap() / u64::try_from(COUNT).unwrap()
}

fn object(value: Value) -> DynamicObject {
    serde_json::from_value(value).unwrap()
}

fn pod(n: usize, injected: bool) -> DynamicObject {
    let env: Vec<Value> =
        (0..20).map(|n| json!({ "name": format!("SETTING_{n}"), "value": "of the application" })).collect();
    let probe = |path: &str, port: u16| {
        json!({
            "httpGet": { "path": path, "port": port, "scheme": "HTTP" },
            "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
        })
    };
    let container = |name: &str, port: u16| {
        json!({
            "name": name,
            "image": format!("registry.example.com/shop/{name}:1.42.0"),
            "env": env,
            "ports": [{ "name": format!("http-{name}"), "containerPort": port, "protocol": "TCP" }],
            "readinessProbe": probe("/ready", port),
            "livenessProbe": probe("/live", port),
            "resources": { "requests": { "cpu": "100m", "memory": "128Mi" }, "limits": { "memory": "256Mi" } },
            "volumeMounts": [{ "name": "config", "mountPath": "/etc/config" }],
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "imagePullPolicy": "IfNotPresent",
        })
    };
    let mut containers = vec![container("front", 8080), container("cache", 8081)];
    if injected {
        containers.push(container("rasp-proxy", 16191));
    }
    object(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": format!("web-5f6d8b9c7-{n:05}"),
            "namespace": format!("shop-{:05}", n / 3),
            "uid": format!("2f1c1d8e-0000-4000-8000-{n:012}"),
            "resourceVersion": format!("{}", 100_000 + n),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": { "app": "web", "pod-template-hash": "5f6d8b9c7", "team": "shop" },
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5f6d8b9c7", "controller": true,
                "uid": "2f1c1d8e-0000-4000-8000-000000000000",
            }],
        },
        "spec": {
            "volumes": [
                { "name": "config", "configMap": { "name": "config", "defaultMode": 420 } },
                { "name": "kube-api-access-x7x2p", "projected": { "sources": [
                    { "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } },
                    { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
                ], "defaultMode": 420 } },
            ],
            "containers": containers,
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default",
            "nodeName": "node-1",
            "securityContext": {},
            "schedulerName": "default-scheduler",
            "priority": 0,
            "enableServiceLinks": true,
            "preemptionPolicy": "PreemptLowerPriority",
        },
        "status": { "phase": "Running", "startTime": "2026-01-01T00:00:00Z" },
    }))
}

fn namespace(n: usize) -> DynamicObject {
    object(json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": format!("shop-{n:05}"),
            "uid": format!("2f1c1d8e-0000-4000-8000-{n:012}"),
            "resourceVersion": "100000",
            "labels": { "kubernetes.io/metadata.name": format!("shop-{n:05}"), "rasp.dev/inject": "enabled" },
        },
    }))
}

fn spec() -> Value {
    json!({ "mode": "Monitor", "podSelector": { "matchLabels": { "app": "web" } } })
}

fn policy(n: usize) -> DynamicObject {
    object(json!({
        "apiVersion": "rasp.dev/v1alpha1",
        "kind": "RaspPolicy",
        "metadata": {
            "name": "web", "namespace": format!("shop-{n:05}"), "generation": 1,
            "uid": format!("2f1c1d8e-0000-4000-8000-{n:012}"), "resourceVersion": "100000",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": spec(),
    }))
}

fn stored(n: usize, key: &Key, with_policy: bool) -> DynamicObject {
    let entry = json!({
        "source": { "name": "web", "uid": format!("2f1c1d8e-0000-4000-8000-{n:012}"), "generation": 1, "createdAt": "2026-01-01T00:00:00Z" },
        "spec": spec(),
    });
    let bundle: Bundle = serde_json::from_value(json!({
        "schemaVersion": bundle::SCHEMA_VERSION,
        "namespace": { "name": format!("shop-{n:05}"), "uid": format!("2f1c1d8e-0000-4000-8000-{n:012}") },
        "sequence": 1_760_000_000_000_u64,
        "entries": if with_policy { vec![entry] } else { vec![] },
    }))
    .unwrap();
    object(json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "kube-rasp-policy", "namespace": format!("shop-{n:05}"), "resourceVersion": "100000",
            "labels": { "app.kubernetes.io/managed-by": "kube-rasp" },
        },
        "data": { rasp_policy::pod::BUNDLE_KEY: key.seal(&bundle).0 },
    }))
}

#[test]
fn an_object_of_the_cluster_takes_so_much_memory_and_no_more() {
    let key = Key::generate().unwrap();
    let table = [
        ("a protected pod", kept(|n| Pod::read(pod(n, true))), 1500),
        ("a pod without sidecar", kept(|n| Pod::read(pod(n, false))), 2500),
        ("a namespace", kept(|n| Namespace::read(namespace(n))), 1300),
        ("a policy", kept(|n| Policy::read(Kind::RaspPolicy, policy(n))), 2200),
        ("a Bundle without policies", kept(|n| Stored::read(stored(n, &key, false), &key)), 1400),
        ("a Bundle with a policy", kept(|n| Stored::read(stored(n, &key, true), &key)), 4800),
    ];
    for (what, bytes, at_most) in table {
        println!("{what}: {bytes} bytes");
        assert!(bytes <= at_most, "{what} takes {bytes} bytes, not {at_most}");
    }
}

/// A page of pods as an API server sends it, with what managers of fields say of one another.
fn page(pods: usize) -> String {
    let managed = |manager: &str, fields: usize| {
        let member = |n| (format!("f:field{n}"), json!({ ".": {}, "f:name": {}, "f:value": {} }));
        let fields: serde_json::Map<_, _> = (0..fields).map(member).collect();
        json!({
            "manager": manager, "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": fields },
        })
    };
    let pod = |n| {
        let mut pod = serde_json::to_value(pod(n, n % 2 == 0)).unwrap();
        pod["metadata"]["managedFields"] =
            json!([managed("kube-controller-manager", 60), managed("kubelet", 30)]);
        pod
    };
    let items: Vec<Value> = (0..pods).map(pod).collect();
    json!({ "kind": "PodList", "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": items })
        .to_string()
}

/// While the first lists arrive, a page of each kind is read at once: what that takes is the peak of a start.
#[test]
fn of_a_page_of_a_list_one_object_at_a_time_is_a_tree() {
    let page = page(50);
    let peak = |read: &dyn Fn()| measure(read).bytes_max / 1024;
    let as_trees = peak(&|| drop(serde_json::from_str::<ObjectList<DynamicObject>>(&page).unwrap()));
    let as_kept = peak(&|| drop(serde_json::from_str::<ObjectList<Seen<v1::Pod>>>(&page).unwrap()));
    println!("a page of {} KiB: {as_trees} KiB as trees, {as_kept} KiB as it is read", page.len() / 1024);
    assert!(as_kept <= 700, "{as_kept} KiB, and {as_trees} as trees");
}

/// Whoever reaches the port of the webhook may ask as often as they like.
#[test]
fn of_a_policy_that_is_only_judged_nothing_is_kept() {
    let judge = |n: usize, attack: &str| {
        let signature = json!({
            "id": format!("local-{n}"), "cve": format!("CVE-2026-{n}"), "date": "2026-11-26", "confidence": "High",
            "title": format!("The title of number {n}"), "path": [{ "ends": ["/abcdef"] }],
            "attacks": [attack], "ordinary": ["GET /c"],
        });
        let signatures = vec![serde_json::from_value(signature).unwrap()];
        dry_run(&Effective { signatures, ..Effective::builtin() })
    };
    judge(0, "GET /abcdef").unwrap();
    let taken = measure(|| {
        for n in 1..=50 {
            judge(n, "GET /abcdef").unwrap();
            judge(n + 50, "GET /b").unwrap_err();
        }
    });
    assert!(taken.bytes_current < 1024, "100 policies left {} bytes", taken.bytes_current);
}
