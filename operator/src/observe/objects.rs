//! The compact copies: only what decisions need, read from the JSON the API server sends. Reading never fails; what
//! cannot be read is kept as broken, with the message.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::core::{DynamicObject, ObjectMeta};
use rasp_policy::bundle::Refusal;
use rasp_policy::pod::{BUNDLE_KEY, PROXY_CONTAINER, PROXY_IMAGE};
use rasp_policy::selector::{Labels, Subject};
use serde_json::{Value, json};

use super::{Kept, Manifest};
use crate::inject::{self, Owner};
use crate::signing::{Key, Opened};

/// Value of `app.kubernetes.io/managed-by` on what the operator writes.
pub const MANAGED_BY: &str = "kube-rasp";
/// The label that says who writes an object.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// A Namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Namespace {
    /// `metadata.name`
    pub name: String,
    /// `metadata.uid`
    pub uid: String,
    /// `metadata.labels`
    pub labels: Labels,
    /// `metadata.annotations`
    pub annotations: BTreeMap<String, String>,
    /// Being deleted: nothing can be created in it any more.
    pub terminating: bool,
    version: Option<u64>,
}

/// A Pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pod {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// `metadata.uid`
    pub uid: String,
    /// `metadata.labels`
    pub labels: Labels,
    /// Phase Running and not being deleted.
    pub running: bool,
    /// `status.startTime`
    pub started: Option<Timestamp>,
    /// Has the sidecar among its containers.
    pub injected: bool,
    /// `Kind/name` of its controller, as injection fixes it.
    pub workload: String,
    /// Ports of TCP that its containers name.
    pub ports: Vec<(String, u16)>,
    /// Image of the sidecar, unless an annotation of the pod chose it.
    pub sidecar_image: Option<String>,
    /// Its controller.
    pub owner: Option<Owner>,
    /// Of a pod without sidecar: what `inject::decide` reads, to say why.
    pub manifest: Option<Manifest>,
    version: Option<u64>,
}

/// The ConfigMap of a namespace, as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// `metadata.namespace`
    pub namespace: String,
    /// The envelope, if the key is there.
    pub text: Option<String>,
    /// The Bundle in it, if it is there and ours.
    pub opened: Result<Opened, Refusal>,
    /// Carries the label that says we write it.
    pub labelled: bool,
    version: Option<u64>,
}

pub(super) fn version(metadata: &ObjectMeta) -> Option<u64> {
    metadata.resource_version.as_deref()?.parse().ok()
}

impl Namespace {
    /// Reads a Namespace.
    pub fn read(object: DynamicObject) -> Self {
        let metadata = object.metadata;
        Self {
            version: version(&metadata),
            terminating: metadata.deletion_timestamp.is_some(),
            name: metadata.name.unwrap_or_default(),
            uid: metadata.uid.unwrap_or_default(),
            labels: metadata.labels.unwrap_or_default(),
            annotations: metadata.annotations.unwrap_or_default(),
        }
    }
}

impl Pod {
    /// Reads a Pod.
    pub fn read(object: DynamicObject) -> Self {
        let DynamicObject { metadata, data, .. } = object;
        let status = data.get("status");
        let text = |field| status.and_then(|status| status.get(field)).and_then(Value::as_str);
        let injected = has_sidecar(&data);
        Self {
            version: version(&metadata),
            running: text("phase") == Some("Running") && metadata.deletion_timestamp.is_none(),
            started: text("startTime").and_then(|time| time.parse().ok()),
            injected,
            workload: workload(&metadata),
            ports: ports(&data),
            sidecar_image: sidecar_image(&metadata, &data),
            owner: owner(&metadata),
            manifest: (!injected).then(|| Manifest::new(&manifest(&metadata, &data))),
            namespace: metadata.namespace.unwrap_or_default(),
            name: metadata.name.unwrap_or_default(),
            uid: metadata.uid.unwrap_or_default(),
            labels: metadata.labels.unwrap_or_default(),
        }
    }

    /// The pod as policies select it.
    pub fn subject(&self) -> Subject<'_> {
        Subject { labels: &self.labels, workload: &self.workload }
    }
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"]
        .into_iter()
        .filter_map(|list| pod.get("spec")?.get(list)?.as_array())
        .flatten()
}

fn has_sidecar(pod: &Value) -> bool {
    sidecar(pod).is_some()
}

/// The identity that the webhook gave the sidecar, told by the same code.
fn workload(metadata: &ObjectMeta) -> String {
    inject::identity(&json!({
        "metadata": {
            "name": metadata.name,
            "labels": metadata.labels,
            "ownerReferences": metadata.owner_references,
        },
        "spec": {},
    }))
}

fn ports(pod: &Value) -> Vec<(String, u16)> {
    let tcp = |port: &&Value| port.get("protocol").and_then(Value::as_str).is_none_or(|name| name == "TCP");
    let read = |port: &Value| {
        let name = port.get("name").and_then(Value::as_str)?;
        Some((name.to_owned(), u16::try_from(port.get("containerPort")?.as_u64()?).ok()?))
    };
    containers(pod)
        .filter_map(|container| container.get("ports")?.as_array())
        .flatten()
        .filter(tcp)
        .filter_map(read)
        .collect()
}

fn sidecar(pod: &Value) -> Option<&Value> {
    containers(pod).find(|container| container.get("name").and_then(Value::as_str) == Some(PROXY_CONTAINER))
}

fn sidecar_image(metadata: &ObjectMeta, pod: &Value) -> Option<String> {
    let chosen = metadata.annotations.as_ref().is_some_and(|all| all.contains_key(PROXY_IMAGE));
    if chosen { None } else { sidecar(pod)?.get("image")?.as_str().map(ToOwned::to_owned) }
}

fn owner(metadata: &ObjectMeta) -> Option<Owner> {
    let owner =
        metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))?.clone();
    Some(Owner { api_version: owner.api_version, kind: owner.kind, name: owner.name, uid: owner.uid })
}

/// Fields of a container that no decision about injection reads, and which can be large or secret.
const DROPPED_FROM_CONTAINERS: [&str; 7] =
    ["env", "envFrom", "command", "args", "volumeMounts", "resources", "lifecycle"];
/// Likewise of the pod's spec.
const DROPPED_FROM_SPEC: [&str; 3] = ["affinity", "tolerations", "topologySpreadConstraints"];

fn manifest(metadata: &ObjectMeta, data: &Value) -> Value {
    let mut spec = data.get("spec").cloned().unwrap_or_default();
    if let Some(spec) = spec.as_object_mut() {
        for field in DROPPED_FROM_SPEC {
            spec.remove(field);
        }
        let lists = ["initContainers", "containers", "ephemeralContainers"];
        let containers = spec.iter_mut().filter(|(name, _)| lists.contains(&name.as_str()));
        for container in containers.filter_map(|(_, list)| list.as_array_mut()).flatten() {
            for field in DROPPED_FROM_CONTAINERS {
                container.as_object_mut().map(|container| container.remove(field));
            }
        }
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": metadata.name,
            "namespace": metadata.namespace,
            "labels": metadata.labels.clone().unwrap_or_default(),
            "annotations": metadata.annotations.clone().unwrap_or_default(),
            "ownerReferences": metadata.owner_references.clone().unwrap_or_default(),
        },
        "spec": spec,
    })
}

impl Stored {
    /// Reads our ConfigMap and verifies what is in it.
    pub fn read(object: DynamicObject, key: &Key) -> Self {
        let DynamicObject { metadata, data, .. } = object;
        let text = data.get("data").and_then(|data| data.get(BUNDLE_KEY)).and_then(Value::as_str);
        let managed_by = metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY_LABEL));
        Self {
            version: version(&metadata),
            labelled: managed_by.is_some_and(|by| by == MANAGED_BY),
            opened: open(text, key),
            text: text.map(ToOwned::to_owned),
            namespace: metadata.namespace.unwrap_or_default(),
        }
    }

    /// A Bundle of ours by a key that was replaced.
    pub fn is_outdated(&self) -> bool {
        self.opened.as_ref().is_ok_and(|opened| opened.is_outdated)
    }

    /// The same ConfigMap seen with another key.
    #[must_use]
    pub fn reopened(&self, key: &Key) -> Self {
        Self { opened: open(self.text.as_deref(), key), ..self.clone() }
    }
}

fn open(text: Option<&str>, key: &Key) -> Result<Opened, Refusal> {
    key.open(text.ok_or_else(|| Refusal::Malformed(format!("the key {BUNDLE_KEY} is missing")))?)
}

impl Kept for Namespace {
    fn namespace(&self) -> &str {
        &self.name
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn version(&self) -> Option<u64> {
        self.version
    }
}

impl Kept for Pod {
    fn namespace(&self) -> &str {
        &self.namespace
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn version(&self) -> Option<u64> {
        self.version
    }
}

impl Kept for Stored {
    fn namespace(&self) -> &str {
        &self.namespace
    }
    fn name(&self) -> &'static str {
        rasp_policy::pod::BUNDLE_CONFIG_MAP
    }
    fn version(&self) -> Option<u64> {
        self.version
    }
}
