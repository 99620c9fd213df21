//! Finds the pods that a document describes: a Pod itself, or the template of a workload. Called by [`crate::inject`]
//! and [`crate::uninject`].

use serde_json::{Value, json};

use crate::tree::{Kind, Node};

/// Kinds with pods in them, and where.
const TEMPLATES: [(&str, &str, &[&str]); 8] = [
    ("v1", "Pod", &[]),
    ("v1", "ReplicationController", &["spec", "template"]),
    ("apps/v1", "Deployment", &["spec", "template"]),
    ("apps/v1", "StatefulSet", &["spec", "template"]),
    ("apps/v1", "DaemonSet", &["spec", "template"]),
    ("apps/v1", "ReplicaSet", &["spec", "template"]),
    ("batch/v1", "Job", &["spec", "template"]),
    ("batch/v1", "CronJob", &["spec", "jobTemplate", "spec", "template"]),
];

/// An object of a document.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    /// Where it stands.
    pub node: &'a Node,
    /// `kind`, empty where there is none.
    pub kind: String,
    /// Whether it says what it is: `apiVersion` and `kind`.
    pub is_typed: bool,
    /// `metadata.name`, or what `generateName` begins with.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// Path of the pod in it, where it has one.
    pub template: Option<&'static [&'static str]>,
}

/// The objects of a document: itself, or the items of a List. Those of a `PodList` need not say that they are Pods.
pub fn objects(root: &Node) -> Vec<Object<'_>> {
    let kind = text(root, &["kind"]).unwrap_or_default();
    let Some(of) = kind.strip_suffix("List") else { return vec![object(root, "", "")] };
    let Some(items) = root.member("items") else { return vec![object(root, "", "")] };
    let version = text(root, &["apiVersion"]).unwrap_or_default();
    items.node.items().iter().map(|item| object(item, of, &version)).collect()
}

/// `kind` and `version` are those of an object that does not say its own.
fn object<'a>(node: &'a Node, kind: &str, version: &str) -> Object<'a> {
    let (own_kind, own_version) = (text(node, &["kind"]), text(node, &["apiVersion"]));
    let is_typed = own_kind.is_some() || own_version.is_some();
    let or = |own: Option<String>, of: &str| {
        own.unwrap_or_else(|| if is_typed { String::new() } else { of.to_owned() })
    };
    let (kind, version) = (or(own_kind, kind), or(own_version, version));
    let template = TEMPLATES.iter().find(|(api, known, _)| *api == version && *known == kind);
    let name = text(node, &["metadata", "name"]).or_else(|| text(node, &["metadata", "generateName"]));
    Object {
        node,
        name: name.unwrap_or_default(),
        namespace: text(node, &["metadata", "namespace"]),
        template: template.map(|(_, _, path)| *path),
        is_typed: !kind.is_empty() && !version.is_empty(),
        kind,
    }
}

fn text(node: &Node, path: &[&str]) -> Option<String> {
    match &node.at(path)?.kind {
        Kind::Scalar(Value::String(text)) => Some(text.clone()),
        _ => None,
    }
}

impl<'a> Object<'a> {
    /// `deployment/web`.
    pub fn label(&self) -> String {
        let kind = if self.kind.is_empty() { "document".to_owned() } else { self.kind.to_lowercase() };
        if self.name.is_empty() { kind } else { format!("{kind}/{}", self.name) }
    }

    /// Whether something in it looks like the spec of a pod, although its kind is none that is known to have one: a kind
    /// that somebody defined.
    pub fn seems_to_have_pods(&self) -> bool {
        fn has_containers(node: &Node) -> bool {
            let Kind::Mapping { members, .. } = &node.kind else { return false };
            members.iter().any(|member| {
                let containers = member.node.member("containers").map(|member| member.node.items());
                let has_names =
                    containers.unwrap_or_default().iter().any(|item| item.member("name").is_some());
                member.key == "spec" && has_names || has_containers(&member.node)
            })
        }
        self.template.is_none() && has_containers(self.node)
    }

    /// Where the pod stands, as a JSON pointer; the empty one where the object is the pod.
    pub fn pointer(&self) -> String {
        let mut pointer = String::new();
        for key in self.template.into_iter().flatten() {
            pointer.push('/');
            pointer.push_str(key);
        }
        pointer
    }

    /// Where the pod stands, when the document has one with a `spec`.
    pub fn pod(&self) -> Option<&'a Node> {
        let node = self.node;
        let pod = node.at(self.template?)?;
        pod.member("spec").map(|_| pod)
    }

    /// The pod as the API server would send it to the webhook: with the workload as its owner.
    pub fn as_pod(&self) -> Option<Value> {
        let mut pod = self.pod()?.value();
        if self.kind != "Pod" {
            let owner = json!([{"kind": self.kind, "name": self.name, "controller": true}]);
            let pod = pod.as_object_mut()?;
            let metadata = pod.entry("metadata").or_insert_with(|| json!({}));
            if metadata.is_null() {
                *metadata = json!({});
            }
            metadata.as_object_mut()?.insert("ownerReferences".to_owned(), owner);
        }
        Some(pod)
    }
}
