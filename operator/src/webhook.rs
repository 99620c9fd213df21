//! Answers AdmissionReviews: bytes in, bytes out. The decision is [`crate::inject`]'s; this module only reads the
//! request, asks the caches, and writes the answer.
//!
//! It never calls the API server, never waits for the queue of occurrences, and never answers for anything but the
//! creation of a pod. Bad input is told with a 4xx, which the API server treats as a failed call (`failurePolicy`).
//! Called by the TLS server, which limits the body before this does.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use rasp_policy::pod::Interception;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::inject::{self, Decision, Level, NamespaceFacts, Owner, Pod, Reason, Settings, is_name};
use crate::text;

pub(crate) mod weight;
pub(crate) mod wire;

/// Largest AdmissionReview that is read: what the API server accepts as a request, 3 MiB.
pub const MAX_BODY_BYTES: usize = 3 << 20;

/// What a review needs to know, from caches.
pub trait Facts: Send + Sync + 'static {
    /// The namespace of a pod; may wait shortly for one that has just been made. `None`: not known.
    fn namespace(&self, name: &str) -> impl Future<Output = Option<NamespaceFacts>> + Send;
    /// The settings in force.
    fn settings(&self) -> Arc<Settings>;
    /// Other settings that a pod may carry: another replica is about to use them, or we did a moment ago.
    fn accepted(&self) -> Arc<Vec<Arc<Settings>>> {
        Arc::default()
    }
}

/// One decision about a pod that will exist, for metrics and events. Dry runs make none.
#[derive(Clone, Debug, PartialEq)]
pub struct Occurrence {
    /// Namespace of the pod.
    pub namespace: String,
    /// Whom an event is for.
    pub subject: Subject,
    /// How injection was asked for.
    pub level: Level,
    /// What was done.
    pub outcome: Outcome,
    /// Why it was not injected.
    pub reason: Option<Reason>,
    /// Of an injected pod: how connections reach its sidecar.
    pub interception: Option<Interception>,
    /// A sentence for people: why not, or what weakens the protection of an injected pod.
    pub message: String,
}

impl Occurrence {
    /// Label value: the id of the reason, empty for an injected pod.
    pub fn reason_id(&self) -> &'static str {
        self.reason.as_ref().map_or("", Reason::id)
    }
}

/// Whom an event about a pod is for: the pod itself has no UID yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The controller that makes the pod.
    Controller(Owner),
    /// A pod without controller: its name, or the prefix its name will be made from.
    Pod(String),
}

impl Subject {
    /// Every value of [`Subject::kind`].
    pub const KINDS: [&str; 7] =
        ["ReplicaSet", "StatefulSet", "DaemonSet", "Job", "ReplicationController", "Pod", "other"];

    /// Label value from a closed list: kinds are free text in an owner reference.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Pod(_) => "Pod",
            Self::Controller(owner) => {
                Self::KINDS.into_iter().find(|kind| *kind == owner.kind).unwrap_or("other")
            }
        }
    }

    fn of(pod: &Value) -> Self {
        let Some(pod) = Pod::new(pod) else { return Self::Pod(String::new()) };
        if let Some(owner) = Owner::of(&pod) {
            return Self::Controller(owner);
        }
        let name = pod.metadata_text("name").or_else(|| pod.metadata_text("generateName"));
        Self::Pod(name.filter(|name| is_name(name)).unwrap_or_default().to_owned())
    }
}

/// What was done with a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It got the sidecar.
    Injected,
    /// It starts as it is.
    Skipped,
    /// It may not start.
    Denied,
}

impl Outcome {
    /// Every outcome, for metrics.
    pub const ALL: [Self; 3] = [Self::Injected, Self::Skipped, Self::Denied];

    /// Label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::Skipped => "skipped",
            Self::Denied => "denied",
        }
    }
}

/// Answers one AdmissionReview. Both forms of the answer are JSON.
pub async fn review<F: Facts>(
    facts: &F,
    level: Level,
    body: Bytes,
    occurrences: &mpsc::Sender<Occurrence>,
) -> (StatusCode, Bytes) {
    match answer(facts, level, &body, occurrences).await {
        Ok(answer) => (StatusCode::OK, answer),
        Err(error) => {
            tracing::warn!(level = level.as_str(), %error, "admission review refused");
            (error.status(), wire::problem(&error.to_string()))
        }
    }
}

async fn answer<F: Facts>(
    facts: &F,
    level: Level,
    body: &[u8],
    occurrences: &mpsc::Sender<Occurrence>,
) -> Result<Bytes, Error> {
    if body.len() > MAX_BODY_BYTES {
        return Err(Error::TooLarge(body.len()));
    }
    let request = wire::read(body)?;
    if !request.creates_pod() {
        return Ok(wire::Response::allow(request.uid).write());
    }
    let object = request.object.ok_or(Error::NoObject)?;
    let namespace = request.namespace()?;
    let known = facts.namespace(namespace).await;
    // Nothing waits while a pod is held: it is large, and anybody may send one.
    let _room = weight::room(weight::of(object.get())).await?;
    let pod = &wire::object(object)?;
    let is_known = known.is_some();
    if known.is_none() {
        // Better to protect a pod whose namespace is too new to be known than to start it without the sidecar.
        tracing::warn!(namespace, "namespace is not known yet");
    }
    let known = known.unwrap_or_default();
    let mut decision = inject::decide(pod, level, &known, &facts.settings());
    if matches!(&decision, Decision::Inject(plan) if plan.replaces.is_some()) {
        // The API server asks twice about a pod, and a key or a CA may have been exchanged in between.
        let others = facts.accepted();
        let mut decisions = others.iter().map(|other| inject::decide(pod, level, &known, other));
        let injected = decisions.find(|decision| matches!(decision, Decision::Skip(Reason::AlreadyInjected)));
        decision = injected.unwrap_or(decision);
    }
    // Only API servers know all namespaces, and anybody may ask: what is told of others would be made up.
    if is_known && !request.is_dry_run() {
        tell(occurrence(namespace, pod, level, &decision), occurrences);
    }
    Ok(respond(request.uid.clone(), level, &decision).write())
}

fn respond(uid: String, level: Level, decision: &Decision) -> wire::Response {
    let response = wire::Response::allow(uid);
    match decision {
        Decision::Inject(plan) => response.patch(&plan.patch).warn(&plan.warnings),
        Decision::Refuse(reason) if level == Level::Enforced => response.deny(reason),
        Decision::Skip(reason) | Decision::Refuse(reason) if reason.is_told() => {
            response.warn(&[format!("not protected, {}: {reason}", reason.id())])
        }
        Decision::Skip(_) | Decision::Refuse(_) => response,
    }
}

fn occurrence(namespace: &str, pod: &Value, level: Level, decision: &Decision) -> Occurrence {
    let interception = match decision {
        Decision::Inject(plan) => Some(plan.interception),
        Decision::Skip(_) | Decision::Refuse(_) => None,
    };
    let (outcome, reason) = match decision {
        Decision::Inject(_) => (Outcome::Injected, None),
        Decision::Refuse(reason) if level == Level::Enforced => (Outcome::Denied, Some(reason)),
        Decision::Refuse(reason) | Decision::Skip(reason) => (Outcome::Skipped, Some(reason)),
    };
    Occurrence {
        namespace: namespace.to_owned(),
        subject: Subject::of(pod),
        level,
        outcome,
        message: message(decision),
        reason: reason.cloned(),
        interception,
    }
}

/// Longest message; events have less. It waits in a queue, and parts of it are what the pod's author wrote.
const MAX_MESSAGE: usize = 1024;

/// Warnings reach whoever makes a pod; a controller reads none, so they are told here as well.
fn message(decision: &Decision) -> String {
    let message = match decision {
        Decision::Inject(plan) if plan.warnings.is_empty() => "the pod gets the sidecar".to_owned(),
        Decision::Inject(plan) => plan.warnings.join("; "),
        Decision::Skip(reason) | Decision::Refuse(reason) => reason.to_string(),
    };
    text::line(&message, MAX_MESSAGE)
}

fn tell(occurrence: Occurrence, occurrences: &mpsc::Sender<Occurrence>) {
    tracing::info!(
        namespace = occurrence.namespace,
        owner_kind = occurrence.subject.kind(),
        level = occurrence.level.as_str(),
        result = occurrence.outcome.as_str(),
        reason = occurrence.reason_id(),
        "pod reviewed"
    );
    // A full queue loses an event; waiting for room would hold up the creation of pods.
    if let Err(error) = occurrences.try_send(occurrence) {
        tracing::warn!(%error, "occurrence lost");
    }
}

/// Why a request was not answered with a review. All of them but `Busy` and `Failed` are the caller's doing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("the body has {0} bytes, more than {MAX_BODY_BYTES}")]
    TooLarge(usize),
    #[error("the body is no AdmissionReview: {problem} at line {line}, column {column}")]
    Malformed { problem: &'static str, line: usize, column: usize },
    #[error("the body is no AdmissionReview of admission.k8s.io/v1: send that version")]
    Version,
    #[error("field request is missing: send an AdmissionReview with a request")]
    NoRequest,
    #[error("field request.object is missing: send the object that is to be written")]
    NoObject,
    #[error("field request.namespace is no name of a namespace")]
    Namespace,
    #[error("the object would take up to {0} bytes of memory, more than {most}", most = weight::MOST)]
    TooHeavy(usize),
    #[error("too many large objects at once: try again")]
    Busy,
    #[error("the object could not be judged")]
    Failed,
}

impl Error {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) | Self::TooHeavy(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Malformed { .. } | Self::Version | Self::NoRequest | Self::NoObject | Self::Namespace => {
                StatusCode::BAD_REQUEST
            }
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

#[cfg(test)]
mod tests;
