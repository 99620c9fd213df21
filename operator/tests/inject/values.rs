//! JSON that nobody wrote, for whatever reads pods.

use proptest::prelude::*;
use serde_json::{Map, Value};

/// Values with the names that are read, of the types that they have and of others.
pub fn json_value() -> impl Strategy<Value = Value> {
    let names = [
        "labels",
        "annotations",
        "ownerReferences",
        "controller",
        "kind",
        "name",
        "uid",
        "containers",
        "initContainers",
        "volumes",
        "ports",
        "containerPort",
        "securityContext",
        "runAsUser",
        "livenessProbe",
        "httpGet",
        "httpHeaders",
        "value",
        "path",
        "port",
        "scheme",
        "config.rasp.dev/opaque-ports",
        "config.rasp.dev/tls",
        "config.rasp.dev/x",
        "rasp.dev/inject",
        "restartPolicy",
        "volumeMounts",
        "env",
        "args",
        "image",
        "terminationGracePeriodSeconds",
        "spec",
        "metadata",
    ];
    let texts = vec![
        "",
        "true",
        "Always",
        "web",
        "/%",
        "ReplicaSet",
        "80",
        "rasp-proxy",
        "rasp-config",
        "HTTPS",
        "8443=a",
        "\u{1b}[31m\u{9b}\n\u{202e}",
        "$(A)$$",
        "RASP_PROBES",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0_i64..70_000).prop_map(Value::from),
        proptest::sample::select(texts).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(7, 80, 6, move |inner| {
        let name = prop_oneof![
            8 => proptest::sample::select(names.to_vec()).prop_map(str::to_owned),
            1 => ".{0,6}".prop_map(String::from),
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map(name, inner, 0..7)
                .prop_map(|map| Value::from(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}
