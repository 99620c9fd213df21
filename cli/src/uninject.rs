//! `raspctl uninject`: takes out of a manifest what `raspctl inject` put in, byte for byte.

use rasp_policy::pod::{
    CONFIG_VOLUME, INIT_CONTAINER, PROXY_CONTAINER, RUN_VOLUME, STATUS_ANNOTATION, TLS_VOLUME_PREFIX,
};
use serde_json::Value;

use crate::document::Change;
use crate::edit::Edits;
use crate::outcome::Outcome;
use crate::tree::{Kind, Node};
use crate::workload::Object;

/// Takes injection out of objects.
pub struct Uninject;

fn is_container(node: &Node) -> bool {
    [INIT_CONTAINER, PROXY_CONTAINER].contains(&name(node).as_str())
}

fn is_volume(node: &Node) -> bool {
    let name = name(node);
    [CONFIG_VOLUME, RUN_VOLUME].contains(&name.as_str()) || name.starts_with(TLS_VOLUME_PREFIX)
}

fn name(node: &Node) -> String {
    match node.member("name").map(|member| member.node.value()) {
        Some(Value::String(name)) => name,
        _ => String::new(),
    }
}

impl Change for Uninject {
    fn change(&self, object: &Object<'_>, edits: &mut Edits<'_>) -> (Outcome, Vec<String>) {
        let skipped =
            |reason: &str, text: &str| (Outcome::Skipped(reason.to_owned(), text.to_owned()), vec![]);
        if !object.is_typed {
            return skipped("no_object", "it has no apiVersion and kind, as objects of Kubernetes have");
        }
        let Some(pod) = object.pod() else {
            return skipped("no_pods", "objects of this kind have no pods");
        };
        let is_injected =
            pod.at(&["spec", "initContainers"]).is_some_and(|list| list.items().iter().any(is_container));
        if !is_injected {
            return skipped("not_injected", "no init container of kube-rasp is in it");
        }
        if let Some(spec) = pod.at(&["spec"]) {
            remove_from(spec, "initContainers", is_container, edits);
            remove_from(spec, "volumes", is_volume, edits);
        }
        remove_status(pod, edits);
        (Outcome::Changed("uninjected".to_owned()), vec![])
    }

    fn is_meant(&self, before: &Object<'_>, after: &Object<'_>) -> bool {
        without(before) == without(after)
    }
}

/// With the annotation goes the mapping that holds nothing else, and the one around it.
fn remove_status(pod: &Node, edits: &mut Edits<'_>) {
    let Some(metadata) = pod.at(&["metadata"]) else { return };
    let Some(annotations) = metadata.at(&["annotations"]) else { return };
    let holds_only = |node: &Node, key: &str| match &node.kind {
        Kind::Mapping { members, .. } => members.len() == 1 && node.member(key).is_some(),
        _ => false,
    };
    if !holds_only(annotations, STATUS_ANNOTATION) {
        edits.remove_member(annotations, STATUS_ANNOTATION);
    } else if holds_only(metadata, "annotations") {
        edits.remove_member(pod, "metadata");
    } else {
        edits.remove_member(metadata, "annotations");
    }
}

/// A list that holds nothing else goes as a whole.
fn remove_from(spec: &Node, key: &str, is_ours: fn(&Node) -> bool, edits: &mut Edits<'_>) {
    let Some(member) = spec.member(key) else { return };
    if member.node.items().iter().all(is_ours) {
        edits.remove_member(spec, key);
    } else {
        edits.remove_items(&member.node, is_ours);
    }
}

/// The object without what is ours, and without the lists and mappings that are empty then.
fn without(object: &Object<'_>) -> Value {
    let mut value = object.node.value();
    let Some(pod) = value.pointer_mut(&object.pointer()) else { return value };
    let is_ours = |value: &Value| {
        let name = value.get("name").and_then(Value::as_str).unwrap_or_default();
        [INIT_CONTAINER, PROXY_CONTAINER, CONFIG_VOLUME, RUN_VOLUME].contains(&name)
            || name.starts_with(TLS_VOLUME_PREFIX)
    };
    for list in ["/spec/initContainers", "/spec/volumes"] {
        if let Some(list) = pod.pointer_mut(list).and_then(Value::as_array_mut) {
            list.retain(|item| !is_ours(item));
        }
    }
    if let Some(annotations) = pod.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(STATUS_ANNOTATION);
    }
    for (parent, member) in
        [("/metadata", "annotations"), ("", "metadata"), ("/spec", "initContainers"), ("/spec", "volumes")]
    {
        if let Some(parent) = pod.pointer_mut(parent).and_then(Value::as_object_mut)
            && parent.get(member).is_some_and(is_void)
        {
            parent.remove(member);
        }
    }
    value
}

fn is_void(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}
