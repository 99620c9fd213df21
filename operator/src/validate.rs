//! Answers AdmissionReviews of policies: says at once what only a compiler can say, with the code that controller and
//! sidecar use. Called by `routes`, on any replica.
//!
//! It knows the object alone, not the cluster: anybody who reaches the port may ask, and must learn nothing of others. It
//! never refuses an edit that only lowers a mode, one of metadata alone, or one of an object that is being deleted. Nothing
//! depends on it (`failurePolicy: Ignore`): the status says the same later.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use kube::core::DynamicObject;
use rasp_policy::api::{GROUP, Kind};
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::metrics::Metrics;
use crate::observe::Policy;
use crate::plan;
use crate::webhook::{self, MAX_BODY_BYTES, weight, wire};

mod lever;
mod warning;

pub use warning::warnings;

/// Where reviews of policies are taken.
pub const PATH: &str = "/validate";
/// Policies compiled at once. That takes CPU, and reviews of pods must not wait for it.
static AT_ONCE: Semaphore = Semaphore::const_new(2);
/// Longest wait for an answer; API servers wait for 5 s and then take the policy as it is.
const PATIENCE: Duration = Duration::from_secs(4);

/// How a review ended. Values of `rasp_validation_requests_total{result}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is wrong.
    Allowed,
    /// It is taken, with Warnings.
    Warned,
    /// It cannot be compiled, and is taken because it only lowers a mode.
    Lowered,
    /// It cannot be compiled.
    Refused,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Allowed, Self::Warned, Self::Lowered, Self::Refused];

    /// Label value.
    pub fn id(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Warned => "warned",
            Self::Lowered => "lowered",
            Self::Refused => "refused",
        }
    }
}

/// What is said about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Judgement {
    outcome: Outcome,
    /// Field, value, and what to do; of a refused object.
    message: String,
    warnings: Vec<String>,
}

/// Answers one AdmissionReview. Both forms of the answer are JSON.
pub async fn review(metrics: &Metrics, body: Bytes) -> (StatusCode, Bytes) {
    let answered = tokio::time::timeout(PATIENCE, answer(&body, Timestamp::now())).await;
    match answered.unwrap_or(Err(webhook::Error::Busy)) {
        Ok((answer, judged)) => {
            if let Some((kind, outcome)) = judged {
                metrics.validated(kind, outcome);
                tracing::debug!(kind = kind.as_str(), result = outcome.id(), "policy reviewed");
            }
            (StatusCode::OK, answer)
        }
        Err(error) => {
            tracing::warn!(%error, "review of a policy refused");
            (error.status(), wire::problem(&error.to_string()))
        }
    }
}

type Answer = (Bytes, Option<(Kind, Outcome)>);

async fn answer(body: &[u8], now: Timestamp) -> Result<Answer, webhook::Error> {
    if body.len() > MAX_BODY_BYTES {
        return Err(webhook::Error::TooLarge(body.len()));
    }
    let request = wire::read(body)?;
    let kind = request.writes(GROUP).and_then(|kind| Kind::ALL.into_iter().find(|k| k.as_str() == kind));
    let response = wire::Response::allow(request.uid.clone());
    let Some(kind) = kind else { return Ok((response.write(), None)) };
    let object = request.object.ok_or(webhook::Error::NoObject)?;
    let turn = AT_ONCE.acquire().await;
    let (name, question) = {
        // Nothing waits and nothing is compiled while the values are held: they are large, and pods need the room.
        let old = request.old_object.map_or(0, |old| weight::of(old.get()));
        let _room = weight::room(weight::of(object.get()) + old).await?;
        let new = wire::object(object)?;
        let old = request.old_object.map(wire::object).transpose()?;
        let name = new.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        (name.to_owned(), read(kind, old.as_ref(), &new))
    };
    // The turn is not over before the compiler is, whoever has stopped waiting.
    let judged = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        judge(question, now)
    });
    let judged = judged.await.map_err(|_| webhook::Error::Failed)?;
    let response = response.warn(&judged.warnings);
    let response = if judged.outcome == Outcome::Refused {
        response.refuse(GROUP, kind.as_str(), &name, &judged.message)
    } else {
        response
    };
    Ok((response.write(), Some((kind, judged.outcome))))
}

/// What has to be judged of an object: it, and what it was before where it was there.
struct Question {
    policy: Policy,
    /// What is wrong with it without compiling it.
    fault: Option<String>,
    only_lowers: bool,
    /// What the edit does beside what the object says.
    begins_anew: Option<String>,
}

/// `None` where there is nothing to judge.
fn read(kind: Kind, old: Option<&Value>, new: &Value) -> Option<Question> {
    // Its finalizers must go whatever it says.
    let leaves = new.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null());
    if leaves || old.is_some_and(|old| old.get("spec") == new.get("spec")) {
        return None;
    }
    let only_lowers = old.is_some_and(|old| lever::only_lowers(old, new));
    let mut object = DynamicObject::deserialize(new).unwrap_or_else(|_| DynamicObject {
        types: None,
        metadata: kube::api::ObjectMeta::default(),
        // The API server reads metadata before anybody else does.
        data: json!({ "spec": new.get("spec") }),
    });
    // One with generateName has its name still to come.
    object.metadata.name.get_or_insert_with(|| "x".to_owned());
    if !object.data.is_object() {
        object.data = json!({});
    }
    let policy = Policy::read(kind, object);
    let begins_anew = old.zip(policy.spec.as_ref().ok());
    let begins_anew = begins_anew.and_then(|(old, spec)| warning::begins_anew(old, spec));
    let checked = policy.spec.as_ref().map_err(Clone::clone);
    let fault = checked.and_then(|spec| spec.check().map_err(|fault| policy.told(&fault))).err();
    Some(Question { policy, fault, only_lowers, begins_anew })
}

fn judge(question: Option<Question>, now: Timestamp) -> Judgement {
    let taken = |outcome, warnings| Judgement { outcome, message: String::new(), warnings };
    let Some(Question { policy, fault, only_lowers, begins_anew }) = question else {
        return taken(Outcome::Allowed, Vec::new());
    };
    let fault = fault.or_else(|| plan::check(&policy, &plan::dry_run).err());
    let mut told = policy.spec.as_ref().map(|spec| warnings(policy.kind, spec, now)).unwrap_or_default();
    told.extend(begins_anew.filter(|_| fault.is_none()));
    let told = told.iter().flat_map(|text| warning::lines(&policy.told(text))).collect::<Vec<_>>();
    match fault.map(|fault| in_words_of(policy.kind, &fault)) {
        None if told.is_empty() => taken(Outcome::Allowed, told),
        None => taken(Outcome::Warned, told),
        Some(fault) if only_lowers => {
            let acts = match &policy.spec {
                Ok(_) => {
                    "the lower mode or share is in force at once, and nothing else of the object is until it can be compiled"
                }
                Err(_) => {
                    "the lower mode or share is stored and NOT in force, because the object cannot be read: lower it by a \
                     ClusterRaspPolicy with overrides"
                }
            };
            let fault = warning::lines(&format!("{acts}: {fault}"));
            taken(Outcome::Lowered, fault.into_iter().chain(told).collect())
        }
        Some(message) => Judgement { outcome: Outcome::Refused, message, warnings: Vec::new() },
    }
}

/// An exception is compiled as a policy with one.
fn in_words_of(kind: Kind, message: &str) -> String {
    let inside = message.strip_prefix("spec.exceptions[").and_then(|rest| rest.split_once("]."));
    match inside {
        Some((_, rest)) if kind == Kind::RaspException => format!("spec.{rest}"),
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests;
