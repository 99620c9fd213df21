//! Looks after pods that should be protected and are not, or not by what is current: tells people, and, where somebody
//! asked for it, restarts their workloads.
//!
//! The controller notes what it finds in the [`Ledger`], namespace by namespace; [`Watchdog`] reads it. [`tell`] and
//! [`restart`] decide and are pure. A pod is never touched: only the template of a workload is, as `kubectl rollout restart`
//! does.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::facts::Absence;
use crate::inject::Owner;
use crate::observe::Pod;
use crate::status::{Target, is_too_old};

pub mod restart;
mod run;
pub mod tell;
mod workloads;

pub use run::Watchdog;
pub use workloads::{Injects, Restarts};

/// What is wrong with a pod. The id is the reason of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// It has no sidecar, and would get one if it were made now: it was there before its namespace asked, or started while
    /// the webhook was away.
    StartedUnprotected,
    /// It has no sidecar, and would get none.
    CannotBeProtected,
    /// Its sidecar is of another version.
    OutdatedSidecar,
    /// Its sidecar does not have the current policies.
    OutdatedPolicy,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 4] =
        [Self::StartedUnprotected, Self::CannotBeProtected, Self::OutdatedSidecar, Self::OutdatedPolicy];

    /// Reason of the event, and the word in [`restart::RESTARTED_FOR`].
    pub fn id(self) -> &'static str {
        match self {
            Self::StartedUnprotected => "StartedUnprotected",
            Self::CannotBeProtected => "CannotBeProtected",
            Self::OutdatedSidecar => "OutdatedSidecar",
            Self::OutdatedPolicy => "OutdatedPolicy",
        }
    }

    /// Whether a new pod of the same workload would be without it.
    pub fn ends_by_restart(self) -> bool {
        matches!(self, Self::StartedUnprotected | Self::OutdatedSidecar)
    }

    /// Whether such a pod has no sidecar. The sidecar of any other is outdated.
    pub fn is_unprotected(self) -> bool {
        matches!(self, Self::StartedUnprotected | Self::CannotBeProtected)
    }

    /// How long it has to last before anybody is told: every rollout of a policy passes through [`Self::OutdatedPolicy`].
    fn patience(self, settle: Duration) -> Duration {
        match self {
            Self::OutdatedPolicy => settle.max(Duration::from_secs(300)),
            _ => settle,
        }
    }
}

/// How many pods of a namespace have which cause. One may have both an outdated sidecar and outdated policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([i64; Cause::ALL.len()]);

impl Counts {
    /// Of these causes, one for each pod that has it.
    pub fn of(causes: impl IntoIterator<Item = Cause>) -> Self {
        let mut counts = Self::default();
        for cause in causes {
            for (known, count) in Cause::ALL.into_iter().zip(&mut counts.0) {
                *count += i64::from(known == cause);
            }
        }
        counts
    }

    /// Each cause with its pods.
    pub fn each(self) -> impl Iterator<Item = (Cause, i64)> {
        Cause::ALL.into_iter().zip(self.0)
    }

    /// Adds those of another namespace.
    pub fn add(&mut self, other: Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }
}

/// Something that is wrong with a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// Its UID.
    pub uid: String,
    /// Its controller.
    pub owner: Option<Owner>,
    /// What would have to be restarted, if that can be.
    pub workload: Option<restart::Workload>,
    /// What is wrong.
    pub cause: Cause,
    /// In words, or the id of the reason of injection.
    pub why: String,
    /// Since when it is known.
    pub since: Instant,
}

/// What the controller found, namespace by namespace.
pub struct Ledger {
    image: String,
    /// What counts as the same to the webhook: mirrors that another webhook writes.
    allowed: Vec<String>,
    namespaces: Mutex<BTreeMap<String, Vec<Finding>>>,
}

impl Ledger {
    /// An empty one. `image` is what new pods get as their sidecar; those of `allowed` count as the same.
    pub fn new(image: String, allowed: Vec<String>) -> Self {
        Self { image, allowed, namespaces: Mutex::default() }
    }

    /// The image of current sidecars.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// The image of the pod's sidecar, where that is another one than new pods get. Of pods that choose theirs it is not known.
    pub fn other_image<'a>(&self, pod: &'a Pod) -> Option<&'a str> {
        let image = pod.sidecar_image.as_deref()?;
        (image != self.image && !self.allowed.iter().any(|known| known == image)).then_some(image)
    }

    /// Replaces what is known of a namespace; how many pods that are. `unprotected` and `outdated` are those of the running
    /// pods, `targets`, that have no sidecar though somebody asked, and whose sidecar has not acknowledged the current policies.
    pub fn note(
        &self,
        namespace: &str,
        now: Instant,
        targets: &[Target<'_>],
        unprotected: &[&Target<'_>],
        outdated: &[&Target<'_>],
    ) -> Counts {
        let mut namespaces = self.lock();
        let before = namespaces.remove(namespace).unwrap_or_default();
        let unprotected = unprotected.iter().map(|target| {
            let cause = match target.why {
                Some(Absence::Missed) => Cause::StartedUnprotected,
                _ => Cause::CannotBeProtected,
            };
            (target.pod, cause, target.why.map_or_else(|| "unknown".to_owned(), |why| why.to_string()))
        });
        let older = targets.iter().filter_map(|target| {
            let image = target.other_image?;
            Some((
                target.pod,
                Cause::OutdatedSidecar,
                format!("it runs {image}, new pods get {}", self.image),
            ))
        });
        let outdated = outdated.iter().map(|target| {
            let rejected = target.report.map(|received| received.report.rejected.as_ref());
            let why = match rejected {
                Some(Some(rejected)) if is_too_old(rejected) => {
                    "it is too old to read them: restart its workload".to_owned()
                }
                Some(Some(rejected)) => format!("it refused them: {}", rejected.reason),
                Some(None) => "it reports others".to_owned(),
                None if target.evicted => "its report was dropped for want of room".to_owned(),
                None => "it reports nothing".to_owned(),
            };
            (target.pod, Cause::OutdatedPolicy, why)
        });
        let found: Vec<_> = unprotected
            .chain(older)
            .chain(outdated)
            .map(|(pod, cause, why)| {
                let known = before.iter().find(|known| known.uid == pod.uid && known.cause == cause);
                finding(pod, cause, why, known.map_or(now, |known| known.since))
            })
            .collect();
        let counts = Counts::of(found.iter().map(|finding| finding.cause));
        if !found.is_empty() {
            namespaces.insert(namespace.to_owned(), found);
        }
        counts
    }

    /// Forgets a namespace.
    pub fn forget(&self, namespace: &str) {
        self.lock().remove(namespace);
    }

    /// Forgets everything: only the leader knows.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// What has lasted long enough to be told, and to be ended.
    pub fn due(&self, now: Instant, settle: Duration) -> Vec<Finding> {
        let namespaces = self.lock();
        let all = namespaces.values().flatten();
        all.filter(|finding| now.duration_since(finding.since) >= finding.cause.patience(settle))
            .cloned()
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Finding>>> {
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn finding(pod: &Pod, cause: Cause, why: String, since: Instant) -> Finding {
    Finding {
        namespace: pod.namespace.clone(),
        pod: pod.name.clone(),
        uid: pod.uid.clone(),
        owner: pod.owner.clone(),
        workload: restart::Workload::of(pod),
        cause,
        why,
        since,
    }
}

#[cfg(test)]
mod tests;
