//! `raspctl inject`: what the webhook would do with the pods of a manifest, done to the manifest. The decision and the
//! additions are the webhook's own ([`rasp_operator::inject`]); only how they are written into the text is ours.
//!
//! Never changes a container of the application, and nothing in a document that is not injected.

use std::collections::BTreeMap;

use json_patch::{AddOperation, PatchOperation};
use rasp_operator::inject::{Decision, Level, NamespaceFacts, Plan, Settings, decide};
use rasp_policy::pod::{INJECT_LABEL, STATUS_ANNOTATION};
use serde_json::Value;

use crate::document::Change;
use crate::edit::{Edits, Place, Unwritable};
use crate::outcome::Outcome;
use crate::tree::Node;
use crate::workload::Object;

/// Injects objects.
pub struct Inject {
    /// With what.
    pub settings: Settings,
    /// Where nothing of the namespace is known.
    pub level: Level,
    /// What is known of namespaces, and the level that their label asks for.
    pub namespaces: BTreeMap<String, (NamespaceFacts, Level)>,
    /// What is known of every other.
    pub unknown: NamespaceFacts,
    /// Of objects that do not name one.
    pub namespace: String,
}

/// Reads a Namespace object: what it is called, its facts and the level that its label asks for.
pub fn namespace(
    object: &Object<'_>,
    unknown: &NamespaceFacts,
    level: Level,
) -> Option<(String, (NamespaceFacts, Level))> {
    if object.kind != "Namespace" {
        return None;
    }
    let texts = |key: &str| -> BTreeMap<String, String> {
        let map = object.node.at(&["metadata", key]).map(Node::value);
        let pairs = map.as_ref().and_then(Value::as_object).into_iter().flatten();
        pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    };
    let labels = texts("labels");
    let level = match labels.get(INJECT_LABEL).map(String::as_str) {
        Some("enabled") => Level::Enabled,
        Some("enforced") => Level::Enforced,
        Some("disabled") => Level::Object,
        _ => level,
    };
    let facts = NamespaceFacts { labels, annotations: texts("annotations"), ..unknown.clone() };
    Some((object.name.clone(), (facts, level)))
}

impl Inject {
    fn decide(&self, object: &Object<'_>) -> Option<Decision> {
        let name = object.namespace.as_ref().unwrap_or(&self.namespace);
        let (facts, level) =
            self.namespaces.get(name).map_or((&self.unknown, self.level), |(facts, level)| (facts, *level));
        Some(decide(&object.as_pod()?, level, facts, &self.settings))
    }
}

impl Change for Inject {
    fn change(&self, object: &Object<'_>, edits: &mut Edits<'_>) -> (Outcome, Vec<String>) {
        let skipped =
            |reason: &str, text: &str| (Outcome::Skipped(reason.to_owned(), text.to_owned()), vec![]);
        if !object.is_typed {
            return skipped("no_object", "it has no apiVersion and kind, as objects of Kubernetes have");
        }
        if object.seems_to_have_pods() {
            return skipped(
                "unknown_kind",
                "NOT PROTECTED by this: its pods are injected by the webhook alone",
            );
        }
        if object.template.is_none() {
            return skipped("no_pods", "objects of this kind have no pods");
        }
        if object.name.is_empty() {
            let text =
                "metadata.name is missing or is no text; a template has to be rendered first".to_owned();
            return (Outcome::Refused("no_name".to_owned(), text), vec![]);
        }
        let Some(decision) = self.decide(object) else {
            let text = "the template has no spec".to_owned();
            return (Outcome::Refused("malformed_pod".to_owned(), text), vec![]);
        };
        match decision {
            // Each Job has a name of its own, which the sidecar could not report.
            Decision::Inject(_) if object.kind == "CronJob" => {
                skipped("cron_job", "the names of its Jobs are not known yet: the webhook injects them")
            }
            // What is there stands in somebody's text; the webhook replaces it in the pod.
            Decision::Inject(plan) if plan.replaces.is_some() => {
                let text = "it was injected by another version or with other settings: uninject it, then inject it again";
                (Outcome::Refused("injected_otherwise".to_owned(), text.to_owned()), vec![])
            }
            Decision::Inject(plan) => match write(object, &plan, edits) {
                Ok(()) => (Outcome::Changed(format!("injected as {}", plan.workload)), plan.warnings),
                Err(error) => (Outcome::Refused("unwritable".to_owned(), error.to_string()), vec![]),
            },
            Decision::Skip(reason) => skipped(reason.id(), &reason.to_string()),
            Decision::Refuse(reason) => {
                (Outcome::Refused(reason.id().to_owned(), reason.to_string()), vec![])
            }
        }
    }

    fn is_meant(&self, before: &Object<'_>, after: &Object<'_>) -> bool {
        let whole = |object: &Object<'_>| object.node.value();
        let Some(Decision::Inject(plan)) = self.decide(before).filter(|_| before.kind != "CronJob") else {
            return whole(before) == whole(after);
        };
        let expected = before.as_pod().and_then(|mut pod| {
            json_patch::patch(&mut pod, &plan.patch).ok()?;
            Some(normal(pod))
        });
        let outside = |object: &Object<'_>| {
            let mut value = whole(object);
            value.pointer_mut(&object.pointer()).map(Value::take);
            value
        };
        // What could not be written is told, and the same as before.
        let is_as_before = whole(before) == whole(after);
        is_as_before
            || after.as_pod().map(normal) == expected
                && (before.kind == "Pod" || outside(before) == outside(after))
    }
}

/// The order of volumes means nothing.
fn normal(mut pod: Value) -> Value {
    if let Some(volumes) = pod.pointer_mut("/spec/volumes").and_then(Value::as_array_mut) {
        volumes.sort_by_key(Value::to_string);
    }
    pod
}

fn write(object: &Object<'_>, plan: &Plan, edits: &mut Edits<'_>) -> Result<(), Unwritable> {
    let Some(pod) = object.pod() else { return Ok(()) };
    let key_at = object.template.and_then(|path| {
        let (last, parents) = path.split_last()?;
        object.node.at(parents)?.member(last).map(|member| member.at)
    });
    let pod = Place { mapping: pod, key_at };
    let additions = Additions::of(plan);
    if let Some(spec) = pod.mapping.member("spec").map(Place::of) {
        edits.prepend(spec, "initContainers", &additions.init_containers)?;
        edits.prepend(spec, "volumes", &additions.volumes)?;
    }
    annotate(pod, &additions.status, edits)
}

fn annotate(pod: Place<'_>, status: &str, edits: &mut Edits<'_>) -> Result<(), Unwritable> {
    let annotations = serde_json::json!({STATUS_ANNOTATION: status});
    let metadata = serde_json::json!({"annotations": annotations});
    let Some(member) = pod.mapping.member("metadata") else { return edits.add(pod, "metadata", &metadata) };
    if member.node.value().is_null() {
        edits.fill(pod, member, &metadata);
        return Ok(());
    }
    let place = Place::of(member);
    match place.mapping.member("annotations") {
        None => edits.add(place, "annotations", &annotations),
        Some(member) if member.node.value().is_null() => {
            edits.fill(place, member, &annotations);
            Ok(())
        }
        Some(member) => edits.set(Place::of(member), STATUS_ANNOTATION, status),
    }
}

/// What a plan adds, whatever the pod had before.
#[derive(Default)]
struct Additions {
    init_containers: Vec<Value>,
    volumes: Vec<Value>,
    status: String,
}

impl Additions {
    fn of(plan: &Plan) -> Self {
        let mut additions = Self::default();
        for operation in &plan.patch.0 {
            let PatchOperation::Add(AddOperation { path, value }) = operation else { continue };
            let mut tokens = path.tokens().map(|token| token.decoded().into_owned());
            let values = || match value {
                Value::Array(values) => values.clone(),
                one => vec![one.clone()],
            };
            match (tokens.next().as_deref(), tokens.next().as_deref()) {
                (Some("spec"), Some("initContainers")) => additions.init_containers.extend(values()),
                (Some("spec"), Some("volumes")) => additions.volumes.extend(values()),
                _ => status(value).clone_into(&mut additions.status),
            }
        }
        additions
    }
}

/// The status, which stands in as many mappings as the pod lacked.
fn status(value: &Value) -> &str {
    match value {
        Value::Object(map) => map.values().next().map_or("", status),
        other => other.as_str().unwrap_or_default(),
    }
}
