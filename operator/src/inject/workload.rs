//! Which workload a pod belongs to, fixed at admission so that a sidecar need not ask the API server.

use serde_json::Value;

use super::pod::Pod;

/// The controller of a pod, as the pod names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// `apiVersion`
    pub api_version: String,
    /// `kind`
    pub kind: String,
    /// `name`
    pub name: String,
    /// `uid`
    pub uid: String,
}

impl Owner {
    /// The owner reference with `controller: true`.
    pub fn of(pod: &Pod<'_>) -> Option<Self> {
        let references = pod.metadata("ownerReferences")?.as_array()?;
        let controller = |value: &&Value| value.get("controller").and_then(Value::as_bool) == Some(true);
        let reference = references.iter().find(controller)?;
        let text = |key| reference.get(key)?.as_str().filter(|text| is_name(text)).map(ToOwned::to_owned);
        Some(Self {
            api_version: text("apiVersion").unwrap_or_default(),
            kind: text("kind")?,
            name: text("name")?,
            uid: text("uid").unwrap_or_default(),
        })
    }
}

/// Whether a text can be a name, kind, version or UID of an object. Webhooks are asked before the API server has looked at
/// any of them, and it never looks at those of owners: one of a megabyte would go into every event and log line.
pub fn is_name(text: &str) -> bool {
    text.len() <= 253 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:/".contains(&byte))
}

/// `Kind/name`. A ReplicaSet made by a Deployment stands for the Deployment; a Job stands for itself, also when a
/// CronJob made it, because its owner is not in the pod.
pub(super) fn identity(pod: &Pod<'_>) -> String {
    if let Some(Owner { kind, name, .. }) = Owner::of(pod) {
        return match (kind.as_str(), deployment(pod, &name)) {
            ("ReplicaSet", Some(deployment)) => format!("Deployment/{deployment}"),
            _ => format!("{kind}/{name}"),
        };
    }
    // The API server makes the name from the prefix after the webhooks have run.
    let prefix = || pod.metadata_text("generateName").map(|prefix| prefix.trim_end_matches('-'));
    let name = pod.metadata_text("name").or_else(prefix).filter(|name| is_name(name));
    format!("Pod/{}", name.unwrap_or_default())
}

fn deployment<'a>(pod: &Pod<'_>, replica_set: &'a str) -> Option<&'a str> {
    let hash = pod.label("pod-template-hash").filter(|hash| !hash.is_empty())?;
    replica_set.strip_suffix(hash)?.strip_suffix('-').filter(|name| !name.is_empty())
}
