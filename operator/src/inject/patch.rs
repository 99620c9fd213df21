//! Turns what was rendered into an RFC 6902 patch. It only adds: lists are never rewritten, because other webhooks
//! work on them too.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation};
use rasp_policy::pod::{INIT_CONTAINER, PROXY_CONTAINER, STATUS_ANNOTATION};
use serde_json::{Value, json};

use super::container::Rendered;
use super::pod::Pod;

/// The packet rules are set first, then the sidecar starts, then everything the pod's author wrote.
pub(super) fn build(pod: &Pod<'_>, rendered: Rendered) -> Patch {
    let Rendered { init, proxy, volumes } = rendered;
    let names: Vec<Value> = volumes.iter().filter_map(|volume| volume.get("name").cloned()).collect();
    let mut operations = Vec::new();
    if pod.list("initContainers").next().is_some() {
        operations.push(add(&["spec", "initContainers", "0"], init));
        operations.push(add(&["spec", "initContainers", "1"], proxy));
    } else {
        operations.push(add(&["spec", "initContainers"], json!([init, proxy])));
    }
    if pod.list("volumes").next().is_some() {
        operations.extend(volumes.into_iter().map(|volume| add(&["spec", "volumes", "-"], volume)));
    } else {
        operations.push(add(&["spec", "volumes"], json!(volumes)));
    }
    operations.push(annotate(pod, &names));
    Patch(operations)
}

/// `add` replaces a member that is there: a status somebody else wrote is overwritten, a null is filled in.
fn annotate(pod: &Pod<'_>, volumes: &[Value]) -> PatchOperation {
    let status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "containers": [INIT_CONTAINER, PROXY_CONTAINER],
        "volumes": volumes,
    });
    let status = Value::String(status.to_string());
    if pod.metadata("annotations").is_some_and(Value::is_object) {
        add(&["metadata", "annotations", STATUS_ANNOTATION], status)
    } else if pod.has_metadata() {
        add(&["metadata", "annotations"], json!({STATUS_ANNOTATION: status}))
    } else {
        add(&["metadata"], json!({"annotations": {STATUS_ANNOTATION: status}}))
    }
}

fn add(path: &[&str], value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path: PointerBuf::from_tokens(path.iter().copied()), value })
}
