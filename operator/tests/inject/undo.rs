//! Takes out of a patched pod exactly what injection is allowed to add, so that the rest can be compared.

use serde_json::Value;

const STATUS: &str = "rasp.dev/status";

/// The pod without the init containers and volumes that are called like ours, and without the status.
pub(super) fn injection(mut pod: Value) -> Value {
    for list in ["/spec/initContainers", "/spec/volumes"] {
        if let Some(list) = pod.pointer_mut(list).and_then(Value::as_array_mut) {
            list.retain(|item| !item["name"].as_str().is_some_and(|name| name.starts_with("rasp-")));
        }
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
