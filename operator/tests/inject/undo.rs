//! Takes out of a patched pod exactly what injection is allowed to add, so that the rest can be compared.

use serde_json::Value;

const STATUS: &str = "rasp.dev/status";

/// The pod without the first two init containers, the last volumes that are called like ours, and the status.
pub(super) fn injection(mut pod: Value) -> Value {
    let spec = pod.get_mut("spec").and_then(Value::as_object_mut).unwrap();
    spec.get_mut("initContainers").and_then(Value::as_array_mut).unwrap().drain(..2);
    let volumes = spec.get_mut("volumes").and_then(Value::as_array_mut).unwrap();
    while volumes.last().is_some_and(|volume| volume.to_string().contains("\"name\":\"rasp-")) {
        volumes.pop();
    }
    without_status(pod)
}

/// The pod without the status and without maps and lists that are empty: `add` has to make them.
pub(super) fn without_status(mut pod: Value) -> Value {
    let is_void = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    if let Some(annotations) = pod.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(STATUS);
    }
    for (parent, member) in [("metadata", "annotations"), ("spec", "initContainers"), ("spec", "volumes")] {
        if let Some(parent) = pod.get_mut(parent).and_then(Value::as_object_mut)
            && parent.get(member).is_some_and(is_void)
        {
            parent.remove(member);
        }
    }
    if pod.get("metadata").is_some_and(is_void) {
        pod.as_object_mut().unwrap().remove("metadata");
    }
    pod
}
