//! Decides whether a workload is restarted so that its pods become protected. Pure: objects of the API server in, a patch or
//! the reason against it out. Whoever is in doubt does not restart.
//!
//! No loop: what a workload was restarted for is written on it, and it is never restarted for that again. Called by
//! `workloads`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rasp_policy::selector::{LabelSelector, Labels};
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::{Cause, Finding};
use crate::observe::{Namespace, Pod};
use crate::time::in_seconds;

mod rollout;

pub use rollout::is_finished;

/// Annotation of a workload: the image of the sidecar, then the causes for which it was restarted with that image.
pub const RESTARTED_FOR: &str = "rasp.dev/restarted-for";
/// Annotation of a Namespace or a workload that keeps the watchdog from restarting it: `disabled`.
pub const WATCHDOG_RESTART: &str = "rasp.dev/watchdog-restart";
/// Value of `rasp_watchdog_restarts_total{result}` beside the ids of [`Refusal`].
pub const RESTARTED_ID: &str = "restarted";
/// What `kubectl rollout restart` writes.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// Kinds that can be restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// apps/v1 Deployment
    Deployment,
    /// apps/v1 StatefulSet
    StatefulSet,
    /// apps/v1 DaemonSet
    DaemonSet,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Deployment, Self::StatefulSet, Self::DaemonSet];

    /// `kind`
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
        }
    }
}

/// A workload of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Workload {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

impl Workload {
    /// The workload of a pod, if it is of a kind that can be restarted.
    pub fn of(pod: &Pod) -> Option<Self> {
        // Exactly this version: of an owner in one that the API server does not have, its garbage collector never finds out
        // that it is made up, and whoever may make a pod could have any workload of the namespace restarted.
        let owner = pod.owner.as_ref().filter(|owner| owner.api_version == "apps/v1")?;
        let (kind, name) = match owner.kind.as_str() {
            "ReplicaSet" => {
                let hash = pod.labels.get("pod-template-hash").filter(|hash| !hash.is_empty())?;
                (Kind::Deployment, owner.name.strip_suffix(hash.as_str())?.strip_suffix('-')?)
            }
            "StatefulSet" => (Kind::StatefulSet, owner.name.as_str()),
            "DaemonSet" => (Kind::DaemonSet, owner.name.as_str()),
            _ => return None,
        };
        (!name.is_empty()).then(|| Self { kind, name: name.to_owned() })
    }
}

/// Why a workload is not restarted. The id is a value of `rasp_watchdog_restarts_total{result}` and of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// This replica does not serve the webhook, or API servers do not trust it: new pods might start as the old ones did.
    WebhookNotReady,
    /// Restarts that do not finish: something is wrong with what restarts lead to.
    TooManyUnfinished,
    /// Most restarts of the last hour did not help: what keeps sidecars away is not in the workloads.
    InVain,
    /// As many as may be were restarted within the last minute.
    Rate,
    /// The annotation of the Namespace or the workload, or the Namespace is being deleted.
    Excluded,
    /// The workload is not there.
    Gone,
    /// Something else controls the workload, and knows better in which order to restart.
    Owned,
    /// A new pod would get no sidecar: its namespace or its template does not ask, or stands against it.
    NotInjected,
    /// It was restarted for this before.
    DidNotHelp,
    /// A paused Deployment does not roll out.
    Paused,
    /// With the strategy OnDelete a restart changes no pod.
    OnDelete,
    /// A StatefulSet with a partition would be restarted in part.
    Partition,
    /// A rollout of it goes on, or its pods are not available.
    RolloutUnfinished,
    /// Another workload of the namespace is being restarted.
    NamespaceBusy,
    /// A rollout takes away more pods at once than a PodDisruptionBudget allows now.
    DisruptionBudget,
    /// The API server refused or did not answer.
    Failed,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Self; 16] = [
        Self::WebhookNotReady,
        Self::TooManyUnfinished,
        Self::InVain,
        Self::Rate,
        Self::Excluded,
        Self::Gone,
        Self::Owned,
        Self::NotInjected,
        Self::DidNotHelp,
        Self::Paused,
        Self::OnDelete,
        Self::Partition,
        Self::RolloutUnfinished,
        Self::NamespaceBusy,
        Self::DisruptionBudget,
        Self::Failed,
    ];

    /// Label value and log field.
    pub fn id(self) -> &'static str {
        match self {
            Self::WebhookNotReady => "webhook_not_ready",
            Self::TooManyUnfinished => "too_many_unfinished",
            Self::InVain => "in_vain",
            Self::Rate => "rate",
            Self::Excluded => "excluded",
            Self::Gone => "gone",
            Self::Owned => "owned",
            Self::NotInjected => "not_injected",
            Self::DidNotHelp => "did_not_help",
            Self::Paused => "paused",
            Self::OnDelete => "on_delete",
            Self::Partition => "partition",
            Self::RolloutUnfinished => "rollout_unfinished",
            Self::NamespaceBusy => "namespace_busy",
            Self::DisruptionBudget => "disruption_budget",
            Self::Failed => "failed",
        }
    }

    /// Only a person changes it.
    pub fn lasts(self) -> bool {
        matches!(
            self,
            Self::Excluded
                | Self::Owned
                | Self::NotInjected
                | Self::DidNotHelp
                | Self::Paused
                | Self::OnDelete
                | Self::Partition
        )
    }
}

/// A workload that a restart would make protected, and the cause.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Candidate {
    /// Namespace.
    pub namespace: String,
    /// Workload.
    pub workload: Workload,
    /// What is wrong with its pods; the worst.
    pub cause: Cause,
}

/// The workloads that are worth a restart.
pub fn candidates(findings: &[Finding]) -> BTreeSet<Candidate> {
    let mut worst: BTreeMap<(&str, &Workload), Cause> = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.cause.ends_by_restart()) {
        let Some(workload) = &finding.workload else { continue };
        let cause = worst.entry((&finding.namespace, workload)).or_insert(finding.cause);
        *cause = finding.cause.min(*cause);
    }
    let candidate = |((namespace, workload), cause): ((&str, &Workload), Cause)| Candidate {
        namespace: namespace.to_owned(),
        workload: workload.clone(),
        cause,
    };
    worst.into_iter().map(candidate).collect()
}

/// What a decision stands on.
pub struct Situation<'a> {
    /// What is asked for.
    pub candidate: &'a Candidate,
    /// The image that sidecars of new pods get.
    pub image: &'a str,
    /// The Deployments, StatefulSets and DaemonSets of the namespace.
    pub workloads: &'a [(Kind, Value)],
    /// Its PodDisruptionBudgets.
    pub budgets: &'a [Value],
    /// Whether a pod of a template would get the sidecar.
    pub injects: &'a dyn Fn(&Value) -> bool,
    /// Now.
    pub now: Timestamp,
}

/// The merge patch that restarts the workload, or why not.
pub fn decide(situation: &Situation<'_>) -> Result<Value, Refusal> {
    let Situation { candidate, image, workloads, .. } = situation;
    let kind = candidate.workload.kind;
    let named = |object: &Value| text(object, "/metadata/name") == candidate.workload.name;
    let (_, object) =
        workloads.iter().find(|(found, object)| *found == kind && named(object)).ok_or(Refusal::Gone)?;
    if is_excluded(labels(object, "/metadata/annotations").as_ref()) {
        return Err(Refusal::Excluded);
    }
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    if owners.is_some_and(|owners| owners.iter().any(|owner| owner["controller"] == true)) {
        return Err(Refusal::Owned);
    }
    // What made the old pods need not be so any more: a restart would take the sidecar away, or the pods.
    if object.pointer("/spec/template").is_none_or(|template| !(situation.injects)(template)) {
        return Err(Refusal::NotInjected);
    }
    // A rollout of ours that goes on has not failed to help.
    rollout::can_begin(kind, object)?;
    let restarted_for = restarted_for(object, image, candidate.cause)?;
    let busy = |(kind, other): &(Kind, Value)| {
        !text(other, &annotation_path(RESTARTED_FOR)).is_empty() && !is_finished(*kind, other)
    };
    if workloads.iter().any(busy) {
        return Err(Refusal::NamespaceBusy);
    }
    let pods = labels(object, "/spec/template/metadata/labels").unwrap_or_default();
    let away = rollout::taken_away(kind, object);
    if situation.budgets.iter().any(|budget| selects(budget, &pods) && allowed(budget) < away) {
        return Err(Refusal::DisruptionBudget);
    }
    Ok(json!({
        "metadata": {
            // The write fails when the object has changed since.
            "resourceVersion": text(object, "/metadata/resourceVersion"),
            "annotations": { RESTARTED_FOR: restarted_for },
        },
        "spec": { "template": { "metadata": { "annotations": { RESTARTED_AT: in_seconds(situation.now) } } } },
    }))
}

/// What [`RESTARTED_FOR`] says after this restart: images, each with the causes it was restarted for. The one before this is
/// kept: where an upgrade stands still and two versions lead by turns, each calls the other's sidecars outdated.
fn restarted_for(object: &Value, image: &str, cause: Cause) -> Result<String, Refusal> {
    let is_cause = |word: &str| Cause::ALL.iter().any(|cause| cause.id() == word);
    let mut groups: Vec<Vec<&str>> = Vec::new();
    for word in text(object, &annotation_path(RESTARTED_FOR)).split(' ').filter(|word| !word.is_empty()) {
        match groups.last_mut() {
            Some(group) if is_cause(word) => group.push(word),
            _ => groups.push(vec![word]),
        }
    }
    let of_image = |group: &Vec<&str>| group.first() == Some(&image);
    let mut current = groups.iter().find(|group| of_image(group)).cloned().unwrap_or_else(|| vec![image]);
    if current.contains(&cause.id()) {
        return Err(Refusal::DidNotHelp);
    }
    current.push(cause.id());
    let before = groups.into_iter().find(|group| !of_image(group)).unwrap_or_default();
    Ok(current.into_iter().chain(before).collect::<Vec<_>>().join(" "))
}

/// Whether nothing of a Namespace is restarted. To be asked before anything of it is read.
pub fn leaves_alone(namespace: &Namespace) -> bool {
    is_excluded(Some(&namespace.annotations)) || namespace.terminating
}

fn is_excluded(annotations: Option<&Labels>) -> bool {
    annotations
        .and_then(|annotations| annotations.get(WATCHDOG_RESTART))
        .is_some_and(|word| word == "disabled")
}

fn annotation_path(name: &str) -> String {
    format!("/metadata/annotations/{}", name.replace('/', "~1"))
}

fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn labels(object: &Value, path: &str) -> Option<Labels> {
    Labels::deserialize(object.pointer(path)?).ok()
}

/// A budget whose selector cannot be read may be for any pod.
fn selects(budget: &Value, pods: &Labels) -> bool {
    match budget.pointer("/spec/selector") {
        None | Some(Value::Null) => false,
        Some(selector) => {
            LabelSelector::deserialize(selector).map_or(true, |selector| selector.matches(pods))
        }
    }
}

/// Pods that may be taken away now. A budget that was not looked at since it was changed allows nothing.
fn allowed(budget: &Value) -> u64 {
    let number = |path| budget.pointer(path).and_then(Value::as_u64).unwrap_or_default();
    let is_current = number("/status/observedGeneration") >= number("/metadata/generation");
    if is_current { number("/status/disruptionsAllowed") } else { 0 }
}

#[cfg(test)]
mod tests;
