//! Turns what was rendered into an RFC 6902 patch. Lists are never rewritten, because other webhooks work on them too:
//! elements are added, and where a sidecar of another version is there, its own are taken out before.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation};
use rasp_policy::pod::STATUS_ANNOTATION;
use serde_json::{Value, json};

use super::container::Rendered;
use super::pod::{Container, Pod};
use super::present;

/// The packet rules are set first, then the sidecar starts, then everything the pod's author wrote.
pub(super) fn build(pod: &Pod<'_>, rendered: Rendered) -> Patch {
    let Rendered { init, proxy, volumes } = rendered;
    let containers: Vec<Value> = init.into_iter().chain([proxy]).collect();
    let names =
        |list: &[Value]| list.iter().filter_map(|value| value.get("name").cloned()).collect::<Vec<_>>();
    let status = (names(&containers), names(&volumes));
    let mut operations = removals(pod);
    if pod.list("initContainers").next().is_some() {
        let places = (0_usize..).zip(containers);
        operations.extend(
            places.map(|(index, container)| add(&["spec", "initContainers", &index.to_string()], container)),
        );
    } else {
        operations.push(add(&["spec", "initContainers"], json!(containers)));
    }
    if pod.list("volumes").next().is_some() {
        operations.extend(volumes.into_iter().map(|volume| add(&["spec", "volumes", "-"], volume)));
    } else {
        operations.push(add(&["spec", "volumes"], json!(volumes)));
    }
    operations.push(annotate(pod, &status));
    Patch(operations)
}

/// Takes out what an injection before this one added, the last first, since each removal moves what is behind it.
fn removals(pod: &Pod<'_>) -> Vec<PatchOperation> {
    let containers = pod.containers().filter(|container| container.is_init());
    let containers = containers.enumerate().filter(|(_, container)| Container::has_our_name(*container));
    let volumes = pod.list("volumes").enumerate().filter(|(_, volume)| present::is_our_volume(volume));
    let mut operations: Vec<_> = containers
        .map(|(index, _)| remove(&["spec", "initContainers", &index.to_string()]))
        .chain(volumes.map(|(index, _)| remove(&["spec", "volumes", &index.to_string()])))
        .collect();
    operations.reverse();
    operations
}

/// `add` replaces a member that is there: a status somebody else wrote is overwritten, a null is filled in.
fn annotate(pod: &Pod<'_>, (containers, volumes): &(Vec<Value>, Vec<Value>)) -> PatchOperation {
    let status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "containers": containers,
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

fn remove(path: &[&str]) -> PatchOperation {
    PatchOperation::Remove(RemoveOperation { path: PointerBuf::from_tokens(path.iter().copied()) })
}

fn add(path: &[&str], value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path: PointerBuf::from_tokens(path.iter().copied()), value })
}
