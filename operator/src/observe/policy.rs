//! A policy of any kind in the form of a RaspPolicy, so that plan and status treat all alike. Reading never fails; what
//! cannot be read is kept as broken, with the message.

use std::sync::{Arc, OnceLock};

use kube::core::DynamicObject;
use rasp_policy::api::{
    ClusterRaspPolicySpec, Kind, Origin, RaspExceptionSpec, RaspPolicySpec, RaspPolicyStatus, within,
};
use rasp_policy::selector::LabelSelector;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::objects::version;
use super::{Kept, Namespace};

/// A RaspPolicy, a ClusterRaspPolicy or a RaspException.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What it is.
    pub kind: Kind,
    /// `metadata.namespace`; empty for a ClusterRaspPolicy.
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// `metadata.uid`
    pub uid: String,
    /// `metadata.generation`
    pub generation: i64,
    /// `metadata.creationTimestamp`, RFC 3339 in UTC.
    pub created_at: String,
    /// What it asks for in the form of a RaspPolicy, or why it cannot be read.
    pub spec: Result<RaspPolicySpec, String>,
    /// Of a ClusterRaspPolicy that can be read: where it stands.
    pub cluster: Option<Cluster>,
    /// Whether this spec can be compiled, once somebody has tried.
    pub checked: Checked,
    /// The status as it stands.
    pub status: RaspPolicyStatus,
    version: Option<u64>,
}

/// What somebody has found out about an object. Not a part of it: objects are equal whatever is known of them. Copies share it,
/// so that each knows what was found out by way of another.
#[derive(Clone, Debug, Default)]
pub struct Checked(Arc<OnceLock<Result<(), String>>>);

impl Checked {
    /// What is known; the first who asks finds out.
    pub fn get_or_init(&self, find_out: impl FnOnce() -> Result<(), String>) -> &Result<(), String> {
        self.0.get_or_init(find_out)
    }
}

impl PartialEq for Checked {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// What a ClusterRaspPolicy says beside its settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Below or above the policies of namespaces.
    pub origin: Origin,
    /// `spec.namespaceSelector`
    pub selector: Option<LabelSelector>,
    /// `spec.allowPermanentExceptions`
    pub permanent: Option<bool>,
}

impl Policy {
    /// Reads an object of this kind.
    pub fn read(kind: Kind, object: DynamicObject) -> Self {
        let DynamicObject { metadata, data, .. } = object;
        let part = |name| data.get(name).cloned().unwrap_or(json!({}));
        let (spec, cluster) = asked(kind, metadata.name.as_deref().unwrap_or_default(), part("spec"));
        Self {
            kind,
            version: version(&metadata),
            spec: spec
                .map_err(|error| if error.starts_with("spec") { error } else { format!("spec: {error}") }),
            cluster,
            checked: Checked::default(),
            // A status that cannot be read is written anew.
            status: RaspPolicyStatus::deserialize(part("status")).unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            created_at: metadata.creation_timestamp.map(|time| time.0.to_string()).unwrap_or_default(),
            namespace: metadata.namespace.unwrap_or_default(),
            name: metadata.name.unwrap_or_default(),
            uid: metadata.uid.unwrap_or_default(),
        }
    }
}

/// The settings of an object of any kind. What the API server has checked is checked again: it may have been stored under
/// an older CRD.
fn asked(kind: Kind, name: &str, spec: Value) -> (Result<RaspPolicySpec, String>, Option<Cluster>) {
    let unreadable = |error: serde_json::Error| error.to_string();
    match kind {
        Kind::RaspPolicy => {
            let read = RaspPolicySpec::deserialize(spec).map_err(unreadable);
            (read, None)
        }
        Kind::RaspException => {
            let read = RaspExceptionSpec::deserialize(spec).map_err(unreadable);
            (read.and_then(|spec| spec.check().map(|()| spec.policy(name))), None)
        }
        Kind::ClusterRaspPolicy => {
            let read = ClusterRaspPolicySpec::deserialize(spec).map_err(unreadable);
            let spec = match read {
                Ok(spec) => spec,
                Err(error) => return (Err(error), None),
            };
            let settings = spec.settings().map(|(origin, settings)| (origin, settings.clone()));
            let checked = spec.check();
            match settings {
                Ok((origin, settings)) => {
                    let cluster = Cluster {
                        origin,
                        selector: spec.namespace_selector,
                        permanent: spec.allow_permanent_exceptions,
                    };
                    (checked.map(|()| settings), Some(cluster))
                }
                Err(error) => (Err(error), None),
            }
        }
    }
}

impl Policy {
    /// Whether it is for this namespace. A ClusterRaspPolicy that cannot be read may be: what it said before stays where it
    /// is in force.
    pub fn is_for(&self, namespace: &Namespace) -> bool {
        match (self.kind, &self.cluster) {
            (Kind::ClusterRaspPolicy, Some(cluster)) => {
                cluster.selector.as_ref().is_none_or(|selector| selector.matches(&namespace.labels))
            }
            (Kind::ClusterRaspPolicy, None) => true,
            _ => self.namespace == namespace.name,
        }
    }

    /// A message about the settings with the path they have in this kind.
    pub fn told(&self, message: &str) -> String {
        match &self.cluster {
            Some(cluster) => within(cluster.origin, message),
            None => message.to_owned(),
        }
    }
}

impl Kept for Policy {
    fn namespace(&self) -> &str {
        if self.kind == Kind::ClusterRaspPolicy { &self.name } else { &self.namespace }
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn version(&self) -> Option<u64> {
        self.version
    }
    /// Every write of a status brings the object back: its settings need not be compiled again. They are compared as well,
    /// since another CRD may read other settings from the same generation.
    fn inherit(&mut self, before: &Self) {
        let is_same = self.kind == before.kind
            && self.uid == before.uid
            && self.generation == before.generation
            && self.spec == before.spec
            && self.cluster == before.cluster;
        if is_same {
            self.checked = before.checked.clone();
        }
    }
}
