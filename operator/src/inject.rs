//! Decides whether a pod gets the sidecar, and computes the patch that adds it. Pure functions of JSON objects:
//! a pod is never read through typed structs, so that fields newer than this version survive.
//!
//! A decision never depends on an annotation this project writes; whether a pod is injected already is told from its
//! containers. Nothing the pod's author wrote is moved out, changed or removed; only a sidecar that another version or other
//! settings added is replaced.
//! Called by [`crate::webhook`].

use std::collections::BTreeMap;
use std::sync::Arc;

use rasp_policy::api::FailureMode;
use rasp_policy::bundle::Bundle;
use rasp_policy::pod::Interception;
use rasp_policy::precedence;
use rasp_policy::selector::Subject;
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod annotation;
mod container;
mod intercept;
mod obstacle;
mod patch;
mod pod;
mod port;
mod present;
mod probe;
mod quantity;
mod reason;
mod resources;
mod tls;
mod tunable;
mod workload;

pub use annotation::Invalid;
pub use pod::Pod;
pub use reason::{Mesh, Reason};
pub use tunable::{TUNABLES, Tunable, markdown};
pub use workload::{Owner, is_name};

/// What injection needs to know beyond the pod and its namespace; the same for every pod. Written to a ConfigMap for those
/// who inject without the webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Image of both containers.
    pub proxy_image: String,
    /// Images that a pod may choose instead, or that another webhook may have written in its place.
    #[serde(default)]
    pub allowed_images: Vec<String>,
    /// `imagePullPolicy` of both containers.
    pub pull_policy: String,
    /// `https://HOST:PORT` of the operator.
    pub operator_url: String,
    /// PEM certificates of the CAs that may have signed the operator's certificate.
    pub operator_ca_pem: String,
    /// Standard base64 of the raw public keys that may have signed a Bundle.
    pub public_keys: Vec<String>,
    /// Requests and limits of both containers.
    pub resources: Resources,
}

/// Kubernetes quantities. All four are always written: a LimitRange has run before webhooks, and a pod without them
/// would not start in a namespace with a quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    /// `requests.cpu`
    pub cpu_request: String,
    /// `limits.cpu`
    pub cpu_limit: String,
    /// `requests.memory`
    pub memory_request: String,
    /// `limits.memory`
    pub memory_limit: String,
}

/// What is known of the pod's namespace. The default is a namespace of which nothing is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamespaceFacts {
    /// `metadata.uid`.
    pub uid: Option<String>,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`; Linkerd reads its wish to inject from here.
    pub annotations: BTreeMap<String, String>,
    /// The Bundle that the namespace's ConfigMap holds. It must have been written already: its sequence is the floor
    /// below which the new sidecar refuses a Bundle, so one that is only planned would keep the sidecar without any.
    pub bundle: Option<Arc<Bundle>>,
}

/// How injection was asked for; told by the path of the webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// The namespace asks for it, the pod may opt out.
    Enabled,
    /// The namespace demands it: a pod cannot opt out, and what cannot be injected by the pod's own fault is denied.
    Enforced,
    /// Only the pod asks for it.
    Object,
}

impl Level {
    /// Every level.
    pub const ALL: [Self; 3] = [Self::Enabled, Self::Enforced, Self::Object];

    /// Last segment of the webhook's path, and log field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Enforced => "enforced",
            Self::Object => "object",
        }
    }
}

/// What is to be done with a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The pod gets the sidecar.
    Inject(Plan),
    /// The pod starts as it is, at every level.
    Skip(Reason),
    /// The pod is at fault: denied at [`Level::Enforced`], started as it is elsewhere.
    Refuse(Reason),
}

/// The additions to one pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// RFC 6902 operations: each adds, or takes out what an earlier injection added.
    pub patch: json_patch::Patch,
    /// How connections reach the sidecar.
    pub interception: Interception,
    /// In what a sidecar that is there differs, of another version or with other settings; it gives way.
    pub replaces: Option<String>,
    /// `Kind/name` of the workload, as the sidecar will report it.
    pub workload: String,
    /// What the pod's author should know although the pod is injected.
    pub warnings: Vec<String>,
}

/// Decides about a pod as the API server sends it on CREATE.
///
/// | | `Enabled` | `Enforced` | `Object` |
/// |---|---|---|---|
/// | pod label `"true"`, other or absent | inject | inject | only `"true"` |
/// | pod label `"false"` | skip | inject | skip |
/// | an obstacle (host network, ...) | skip | skip | skip |
/// | a sidecar that another version or other settings added | inject anew | inject anew | inject anew |
/// | the pod's own fault (UID in use, ...) | refuse: starts with a Warning | refuse: denied | refuse: starts with a Warning |
pub fn decide(pod: &Value, level: Level, namespace: &NamespaceFacts, settings: &Settings) -> Decision {
    match plan(pod, level, namespace, settings) {
        Ok(plan) => Decision::Inject(plan),
        Err(reason) if reason.is_fault() => Decision::Refuse(reason),
        Err(reason) => Decision::Skip(reason),
    }
}

fn plan(pod: &Value, level: Level, namespace: &NamespaceFacts, settings: &Settings) -> Result<Plan, Reason> {
    let pod = Pod::new(pod).ok_or(Reason::MalformedPod)?;
    obstacle::unwanted(&pod, level)?;
    let is_present = present::uses_our_names(&pod);
    if is_present {
        present::foreign(&pod)?;
    }
    obstacle::impossible(&pod, namespace)?;
    obstacle::conflicting(&pod)?;
    let tuning = annotation::Tuning::parse(&pod, settings)?;
    let intercepted = intercept::plan(&pod, namespace, &tuning)?;
    let (resources, sized) = resources::of(&pod, &tuning.resources, settings);
    let rendered = container::render(&container::Input {
        pod: &pod,
        tuning: &tuning,
        interception: &intercepted,
        resources: &resources,
        namespace,
        settings,
    });
    let difference = present::difference(&pod, &rendered, settings).filter(|_| is_present);
    if is_present && difference.is_none() {
        return Err(Reason::AlreadyInjected);
    }
    let replaced = difference.as_ref().map(|(name, what)| {
        format!("{name} was added by another version or with other settings ({what}), and is replaced")
    });
    let weakened = obstacle::weakening(&pod, level, &tuning, intercepted.interception);
    Ok(Plan {
        patch: patch::build(&pod, rendered),
        interception: intercepted.interception,
        replaces: difference.map(|(_, what)| what),
        workload: workload::identity(&pod),
        warnings: intercepted.warnings.into_iter().chain(replaced).chain(weakened).chain(sized).collect(),
    })
}

/// `Kind/name` of the controller of a pod, as a sidecar is told it.
pub fn identity(pod: &Value) -> String {
    Pod::new(pod).map(|pod| workload::identity(&pod)).unwrap_or_default()
}

/// What the sidecar does while it never had a Bundle: fixed at admission, so that a missing ConfigMap cannot loosen it.
fn failure_mode(pod: &Pod<'_>, namespace: &NamespaceFacts) -> FailureMode {
    match &namespace.bundle {
        Some(bundle) => {
            let (labels, workload) = (pod.labels(), workload::identity(pod));
            let subject = Subject { labels: &labels, workload: &workload };
            precedence::resolve(bundle, subject).effective.failure_mode
        }
        None => precedence::Effective::builtin().failure_mode,
    }
}
