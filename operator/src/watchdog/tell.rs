//! Which findings become events: one for each owner and cause, once an hour. Pure but for what it remembers.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::restart::Workload;
use super::{Cause, Finding};
use crate::events::{Notice, Object};

/// The same is told of the same object at most this often.
pub const QUIET: Duration = Duration::from_secs(3600);
/// Events of one look. What is left over comes with the next ones: a whole cluster that was left unprotected may not
/// bury its API server in events.
const AT_ONCE: usize = 20;
/// Of these, for one namespace. `events` admits 50 a minute of a namespace and drops what is beyond, which would count as told.
const AT_ONCE_OF_ONE: usize = 3;
/// Objects remembered; beyond them nothing is told until an hour has passed for some.
const MAX_TOLD: usize = 20_000;

/// A workload was restarted.
pub const RESTARTED: &str = "WorkloadRestarted";
/// A restart changed nothing, and is not repeated.
pub const DID_NOT_HELP: &str = "RestartDidNotHelp";

/// What was told, and when.
#[derive(Default)]
pub struct Told(HashMap<(Object, &'static str), Instant>);

impl Told {
    /// Whether this may not be told now. Where it is told, [`Self::keep`] has to follow.
    fn is_quiet(&self, object: &Object, reason: &'static str) -> bool {
        self.0.len() >= MAX_TOLD || self.0.contains_key(&(object.clone(), reason))
    }

    /// It was told.
    pub fn keep(&mut self, object: Object, reason: &'static str, now: Instant) {
        self.0.insert((object, reason), now);
    }

    /// Whether `reason` may be told of a workload now; it then counts as told.
    pub fn admits(&mut self, workload: Object, reason: &'static str, now: Instant) -> bool {
        self.forget(now);
        let admitted = !self.is_quiet(&workload, reason);
        if admitted {
            self.keep(workload, reason, now);
        }
        admitted
    }

    fn forget(&mut self, now: Instant) {
        self.0.retain(|_, told| now.duration_since(*told) < QUIET);
    }

    /// The events that are due: of each what has to be kept once it is sent.
    pub fn due(&mut self, findings: &[Finding], now: Instant) -> Vec<(Object, Cause, Notice)> {
        self.forget(now);
        let mut groups: BTreeMap<(&str, &str, &str, Cause), Vec<&Finding>> = BTreeMap::new();
        for finding in findings {
            let (kind, name) = match &finding.owner {
                Some(owner) => (owner.kind.as_str(), owner.name.as_str()),
                None => ("Pod", finding.pod.as_str()),
            };
            groups.entry((&finding.namespace, kind, name, finding.cause)).or_default().push(finding);
        }
        let mut of_one: HashMap<String, usize> = HashMap::new();
        groups
            .into_iter()
            .filter_map(|((.., cause), found)| {
                let object = subject(found.first()?);
                let told = self.is_quiet(&object, cause.id());
                (!told).then(|| {
                    (object.clone(), cause, Notice::watchdog(object, cause.id(), message(cause, &found)))
                })
            })
            .filter(|(object, ..)| {
                let told = of_one.entry(object.namespace.clone()).or_default();
                *told += 1;
                *told <= AT_ONCE_OF_ONE
            })
            .take(AT_ONCE)
            .collect()
    }
}

/// The controller of the pod, or the pod itself.
fn subject(finding: &Finding) -> Object {
    let namespace = finding.namespace.clone();
    match finding.owner.clone() {
        Some(owner) => Object {
            api_version: owner.api_version,
            kind: owner.kind,
            namespace,
            name: owner.name,
            uid: Some(owner.uid),
        },
        None => Object {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            namespace,
            name: finding.pod.clone(),
            uid: Some(finding.uid.clone()),
        },
    }
}

/// A workload as the object of an event.
pub fn workload(namespace: &str, workload: &Workload, uid: Option<String>) -> Object {
    Object {
        api_version: "apps/v1".to_owned(),
        kind: workload.kind.as_str().to_owned(),
        namespace: namespace.to_owned(),
        name: workload.name.clone(),
        uid,
    }
}

fn message(cause: Cause, found: &[&Finding]) -> String {
    let (pods, verb) = if found.len() == 1 { ("pod", "runs") } else { ("pods", "run") };
    let what = match cause {
        Cause::StartedUnprotected | Cause::CannotBeProtected => format!("{verb} without a sidecar"),
        Cause::OutdatedSidecar => format!("{verb} a sidecar of another version"),
        Cause::OutdatedPolicy => format!("{verb} without the current policies"),
    };
    let first =
        found.first().map(|finding| format!(": {}, {}", finding.pod, finding.why)).unwrap_or_default();
    format!("{} {pods} {what}{first}", found.len())
}

#[cfg(test)]
mod tests;
