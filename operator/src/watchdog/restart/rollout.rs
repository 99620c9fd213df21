//! How rollouts of the three kinds go on, read from their objects as `kubectl rollout status` reads them.

use serde_json::Value;

use super::{Kind, Refusal};

/// Whether the last change of the template has reached every pod, and all are available.
pub fn is_finished(kind: Kind, object: &Value) -> bool {
    let number = |path: &str| object.pointer(path).and_then(Value::as_u64).unwrap_or_default();
    if number("/status/observedGeneration") < number("/metadata/generation") {
        return false;
    }
    let wanted = replicas(object);
    match kind {
        Kind::Deployment => {
            let updated = number("/status/updatedReplicas");
            updated >= wanted
                && number("/status/replicas") <= updated
                && number("/status/availableReplicas") >= updated
        }
        Kind::StatefulSet => {
            let revision = |name: &str| object.pointer(&format!("/status/{name}")).and_then(Value::as_str);
            number("/status/availableReplicas") >= wanted
                && (wanted == 0 || revision("currentRevision") == revision("updateRevision"))
        }
        Kind::DaemonSet => {
            let wanted = number("/status/desiredNumberScheduled");
            number("/status/updatedNumberScheduled") >= wanted && number("/status/numberAvailable") >= wanted
        }
    }
}

/// Whether a change of the template would reach every pod, beginning now.
pub(super) fn can_begin(kind: Kind, object: &Value) -> Result<(), Refusal> {
    let strategy = if kind == Kind::Deployment { "strategy" } else { "updateStrategy" };
    if object.pointer("/spec/paused").and_then(Value::as_bool) == Some(true) {
        return Err(Refusal::Paused);
    }
    let at = |field: &str| object.pointer(&format!("/spec/{strategy}/{field}"));
    if at("type").and_then(Value::as_str) == Some("OnDelete") {
        return Err(Refusal::OnDelete);
    }
    if at("rollingUpdate/partition").and_then(Value::as_u64).unwrap_or_default() > 0 {
        return Err(Refusal::Partition);
    }
    if is_finished(kind, object) { Ok(()) } else { Err(Refusal::RolloutUnfinished) }
}

/// How many pods a rollout may take away at once, with the defaults of apps/v1.
pub(super) fn taken_away(kind: Kind, object: &Value) -> u64 {
    match kind {
        Kind::Deployment => {
            let wanted = replicas(object);
            if object.pointer("/spec/strategy/type").and_then(Value::as_str) == Some("Recreate") {
                return wanted;
            }
            let field = |name: &str| object.pointer(&format!("/spec/strategy/rollingUpdate/{name}"));
            let quarter = Value::from("25%");
            let unavailable = resolve(field("maxUnavailable").unwrap_or(&quarter), wanted, u64::div_euclid);
            let surge = resolve(field("maxSurge").unwrap_or(&quarter), wanted, u64::div_ceil);
            // The controller has to begin somewhere.
            if surge == 0 { unavailable.max(1) } else { unavailable }
        }
        Kind::StatefulSet => {
            let wanted = replicas(object);
            let field = object.pointer("/spec/updateStrategy/rollingUpdate/maxUnavailable");
            field.map_or(1, |value| resolve(value, wanted, u64::div_ceil).max(1))
        }
        Kind::DaemonSet => {
            let wanted =
                object.pointer("/status/desiredNumberScheduled").and_then(Value::as_u64).unwrap_or_default();
            let field = object.pointer("/spec/updateStrategy/rollingUpdate/maxUnavailable");
            field.map_or(1, |value| resolve(value, wanted, u64::div_ceil))
        }
    }
}

/// `spec.replicas`, by default one.
fn replicas(object: &Value) -> u64 {
    object.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1)
}

/// A number or a percentage of `all`.
fn resolve(value: &Value, all: u64, divide: fn(u64, u64) -> u64) -> u64 {
    let percent = || value.as_str()?.strip_suffix('%')?.parse::<u64>().ok();
    value.as_u64().or_else(|| Some(divide(all.saturating_mul(percent()?), 100))).unwrap_or(all)
}
