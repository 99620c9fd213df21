//! Turns occurrences into metrics, and the ones that somebody should know into events on the owner of the pod or on
//! the policy. Never holds anybody up: who sends does not wait, and what comes too often is left out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use rasp_policy::api::{API_VERSION, reasons};
use rasp_policy::pod::{BUNDLE_CONFIG_MAP, Interception};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::api_error;
use crate::apply::FIELD_MANAGER;
use crate::metrics::{ErrorKind, Metrics};
use crate::observe::Policy;
use crate::rollout::Turn;
use crate::text;
use crate::webhook::{Occurrence, Outcome, Subject};

/// The same event on the same object at most this often: a controller that cannot make its pod tries for ever.
const QUIET: Duration = Duration::from_secs(60);
/// Different events remembered, and therefore written within [`QUIET`] at most.
const MAX_EVENTS: usize = 500;
/// Those of one namespace: a tenant whose pods fail in many ways must not silence the others.
const MAX_EVENTS_OF_ONE: usize = 50;
/// Longest text, in characters; the API allows 1024 bytes.
const MAX_NOTE: usize = 250;
/// Longest wait for one write.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reason of the event about a pod that is protected only where it is reached through ports of the sidecar.
const INTERCEPTION_NONE: &str = "InterceptionNone";

/// The object an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    /// `apiVersion`
    pub api_version: String,
    /// `kind`
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID, if the object exists already.
    pub uid: Option<String>,
}

impl Object {
    fn of(policy: &Policy) -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: policy.kind.as_str().to_owned(),
            namespace: policy.namespace.clone(),
            name: policy.name.clone(),
            uid: Some(policy.uid.clone()),
        }
    }
}

/// Something to be told of an object, as a rule a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    object: Object,
    action: &'static str,
    reason: String,
    message: String,
    /// Nothing is wrong.
    is_normal: bool,
}

impl Notice {
    /// A policy became invalid.
    pub fn invalid(policy: &Policy, message: &str) -> Self {
        Self::warning(Object::of(policy), "Compile", reasons::INVALID.to_owned(), message.to_owned())
    }

    /// A rollout took a step, or ended.
    pub fn rollout(policy: &Policy, turn: Turn, message: &str) -> Self {
        let (reason, is_normal) = match turn {
            Turn::Advanced => ("RolloutAdvanced", true),
            Turn::Completed => ("RolloutCompleted", true),
            Turn::RolledBack => ("RolloutAborted", false),
        };
        let warning = Self::warning(Object::of(policy), "Rollout", reason.to_owned(), message.to_owned());
        Self { is_normal, ..warning }
    }

    fn warning(object: Object, action: &'static str, reason: String, message: String) -> Self {
        Self { object, action, reason, message, is_normal: false }
    }

    /// The webhook does not answer through its Service; `result` is one word for where it failed.
    pub fn unreachable(namespace: &str, service: &str, result: &str) -> Self {
        let object = Object {
            api_version: "v1".to_owned(),
            kind: "Service".to_owned(),
            namespace: namespace.to_owned(),
            name: service.to_owned(),
            uid: None,
        };
        let message = format!(
            "the webhook does not answer through this Service ({result}): pods start unprotected, or are refused where \
             the namespace is enforced"
        );
        Self::warning(object, "Probe", "WebhookUnreachable".to_owned(), message)
    }

    /// What the watchdog has to say; `reason` is of a closed list.
    pub fn watchdog(object: Object, reason: &'static str, message: String) -> Self {
        Self::warning(object, "Protect", reason.to_owned(), message)
    }

    /// Somebody changed the ConfigMap of a namespace; `found` is one word for what stood there.
    pub fn repaired(namespace: &str, found: &str) -> Self {
        let object = Object {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            namespace: namespace.to_owned(),
            name: BUNDLE_CONFIG_MAP.to_owned(),
            uid: None,
        };
        let message = format!("somebody else changed the signed policies ({found}); they were written anew");
        Self::warning(object, "Distribute", "BundleRepaired".to_owned(), message)
    }
}

/// Publishes until both channels are closed.
pub async fn run(
    client: Client,
    pod_name: String,
    metrics: Arc<Metrics>,
    mut occurrences: mpsc::Receiver<Occurrence>,
    mut notices: mpsc::Receiver<Notice>,
) {
    let reporter = Reporter { controller: FIELD_MANAGER.to_owned(), instance: Some(pod_name) };
    let recorder = Recorder::new(client, reporter);
    let mut limit = Limit::default();
    loop {
        let notice = tokio::select! {
            Some(occurrence) = occurrences.recv() => {
                metrics.injected(
                    &occurrence.namespace,
                    occurrence.subject.kind(),
                    occurrence.outcome.as_str(),
                    occurrence.reason_id(),
                );
                notice(&occurrence)
            }
            Some(notice) = notices.recv() => Some(notice),
            else => return,
        };
        if let Some(notice) = notice.filter(|notice| limit.admits(notice, Instant::now())) {
            publish(&recorder, &metrics, notice).await;
        }
    }
}

/// What is to be told of an occurrence, if anything.
fn notice(occurrence: &Occurrence) -> Option<Notice> {
    let reason = match (&occurrence.reason, occurrence.interception) {
        (Some(reason), _) if reason.is_told() => camel_case(reason.id()),
        (None, Some(Interception::None)) => INTERCEPTION_NONE.to_owned(),
        _ => return None,
    };
    let object = match &occurrence.subject {
        Subject::Controller(owner) => Object {
            api_version: owner.api_version.clone(),
            kind: owner.kind.clone(),
            namespace: occurrence.namespace.clone(),
            name: owner.name.clone(),
            uid: Some(owner.uid.clone()),
        },
        Subject::Pod(name) => Object {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            namespace: occurrence.namespace.clone(),
            // The name of a pod that is still to get its suffix ends with a dash, which no object name may.
            name: name.trim_end_matches('-').to_owned(),
            uid: None,
        },
    };
    let action = match occurrence.outcome {
        Outcome::Denied => "Deny",
        Outcome::Injected | Outcome::Skipped => "Inject",
    };
    let message = match occurrence.outcome {
        Outcome::Denied => format!("a pod was denied: {}", occurrence.message),
        Outcome::Skipped => format!("a pod starts unprotected: {}", occurrence.message),
        Outcome::Injected => format!("a pod is protected in part: {}", occurrence.message),
    };
    (!object.name.is_empty()).then(|| Notice::warning(object, action, reason, message))
}

async fn publish(recorder: &Recorder, metrics: &Metrics, notice: Notice) {
    let event = Event {
        type_: if notice.is_normal { EventType::Normal } else { EventType::Warning },
        reason: notice.reason,
        note: Some(text::line(&notice.message, MAX_NOTE)),
        action: notice.action.to_owned(),
        secondary: None,
    };
    let regarding = ObjectReference {
        api_version: Some(notice.object.api_version),
        kind: Some(notice.object.kind),
        // An event on an object of the cluster stands in the namespace `default`.
        namespace: Some(notice.object.namespace).filter(|namespace| !namespace.is_empty()),
        name: Some(notice.object.name),
        uid: notice.object.uid,
        ..ObjectReference::default()
    };
    match tokio::time::timeout(PATIENCE, recorder.publish(&event, &regarding)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            metrics.failed(ErrorKind::Event);
            tracing::warn!(error = api_error::text(&error), "cannot write an event");
        }
        Err(_) => metrics.failed(ErrorKind::Event),
    }
}

/// Keeps repeated events quiet.
#[derive(Default)]
struct Limit(HashMap<(Object, String), Instant>);

impl Limit {
    fn admits(&mut self, notice: &Notice, now: Instant) -> bool {
        self.0.retain(|_, written| now.duration_since(*written) < QUIET);
        let key = (notice.object.clone(), notice.reason.clone());
        let of_one = self.0.keys().filter(|(object, _)| object.namespace == notice.object.namespace).count();
        if self.0.len() >= MAX_EVENTS || of_one >= MAX_EVENTS_OF_ONE || self.0.contains_key(&key) {
            return false;
        }
        self.0.insert(key, now);
        true
    }
}

/// `host_network` as events say it: `HostNetwork`.
fn camel_case(id: &str) -> String {
    id.split('_')
        .flat_map(|word| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters)
        })
        .collect()
}

#[cfg(test)]
mod tests;
