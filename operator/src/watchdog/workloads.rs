//! Reads workloads and restarts them: the IO around `restart::decide`, and its pace. Only the leader's loop calls it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::Value;

use super::restart::{self, Candidate, Kind, Refusal, Situation};
use crate::api_error;
use crate::apply::FIELD_MANAGER;
use crate::leader::Leadership;
use crate::observe::Namespace;

/// Workloads that are asked for in one look.
const AT_ONCE: usize = 4;
/// Restarts that may be unfinished at once. A new version that does not start stops here.
const MAX_UNFINISHED: usize = 3;
/// A workload is looked at again after this; what only people change, after [`LATER`].
const AGAIN: Duration = Duration::from_secs(30);
/// See [`AGAIN`].
const LATER: Duration = Duration::from_secs(600);
/// Window of the rate.
const MINUTE: Duration = Duration::from_secs(60);
/// Window of restarts that did not help.
const HOUR: Duration = Duration::from_secs(3600);
/// So many of the last hour may have been in vain; more only where most have helped.
const MAX_IN_VAIN: usize = 3;
/// Longest wait for one call. Less than the margin between the end of our term and the next leader's.
const PATIENCE: Duration = Duration::from_secs(4);

/// What became of a candidate.
pub struct Outcome {
    /// The candidate.
    pub candidate: Candidate,
    /// UID of the workload where it was restarted, or why it was not.
    pub result: Result<String, Refusal>,
}

/// A restart.
struct Restarted {
    at: Instant,
    candidate: Candidate,
    in_vain: bool,
}

/// Whether a pod of a template would get the sidecar in a namespace.
pub type Injects = dyn Fn(&Value, &Namespace) -> bool + Send + Sync;

/// Restarts workloads, a few at a time.
pub struct Restarts {
    client: Client,
    leadership: Leadership,
    per_minute: usize,
    injects: Box<Injects>,
    /// Of the last hour.
    restarted: VecDeque<Restarted>,
    unfinished: Vec<Candidate>,
    not_before: HashMap<Candidate, Instant>,
}

impl Restarts {
    /// At most `per_minute` restarts in a minute, and only while this replica is leader.
    pub fn new(client: Client, leadership: Leadership, per_minute: usize, injects: Box<Injects>) -> Self {
        Self {
            client,
            leadership,
            per_minute,
            injects,
            restarted: VecDeque::new(),
            unfinished: Vec::new(),
            not_before: HashMap::new(),
        }
    }

    /// Restarts what may be restarted now. `ready` says whether new pods would be injected; `namespace` finds a Namespace.
    pub async fn look(
        &mut self,
        candidates: BTreeSet<Candidate>,
        image: &str,
        ready: bool,
        namespace: impl Fn(&str) -> Option<std::sync::Arc<Namespace>>,
    ) -> Vec<Outcome> {
        self.settle().await;
        let now = Instant::now();
        self.not_before.retain(|candidate, _| candidates.contains(candidate));
        let is_due = |candidate: &Candidate| self.not_before.get(candidate).is_none_or(|until| *until <= now);
        let mut due: Vec<_> = candidates.into_iter().filter(is_due).collect();
        // Whoever was not asked for longest comes first: a few that are refused for ever keep nobody else out.
        due.sort_by_key(|candidate| self.not_before.get(candidate).copied());
        let mut outcomes = Vec::new();
        for candidate in due.into_iter().take(AT_ONCE) {
            let result = match self.may(ready, Instant::now()) {
                Err(refusal) => Err(refusal),
                Ok(()) => match namespace(&candidate.namespace) {
                    Some(namespace) if restart::leaves_alone(&namespace) => Err(Refusal::Excluded),
                    Some(namespace) => self.attempt(&candidate, &namespace, image).await,
                    None => Err(Refusal::Gone),
                },
            };
            let stop = matches!(
                result,
                Err(Refusal::WebhookNotReady
                    | Refusal::TooManyUnfinished
                    | Refusal::InVain
                    | Refusal::Rate
                    | Refusal::Failed)
            );
            if matches!(result, Err(Refusal::DidNotHelp)) {
                let ours = self.restarted.iter_mut().filter(|restarted| restarted.candidate == candidate);
                ours.for_each(|restarted| restarted.in_vain = true);
            }
            // One that the API server always refuses, as an admission policy may, does not stand before all others.
            if !stop || matches!(result, Err(Refusal::Failed)) {
                let lasts = matches!(&result, Err(refusal) if refusal.lasts());
                let pause = if lasts { LATER } else { AGAIN };
                self.not_before.insert(candidate.clone(), now + pause);
            }
            outcomes.push(Outcome { candidate, result });
            if stop {
                break;
            }
        }
        outcomes
    }

    /// What concerns every workload alike.
    fn may(&mut self, ready: bool, now: Instant) -> Result<(), Refusal> {
        self.restarted.retain(|restarted| now.duration_since(restarted.at) < HOUR);
        let in_vain = self.restarted.iter().filter(|restarted| restarted.in_vain).count();
        let just_now = self.restarted.iter().filter(|restarted| now.duration_since(restarted.at) < MINUTE);
        if !ready {
            Err(Refusal::WebhookNotReady)
        } else if self.unfinished.len() >= MAX_UNFINISHED {
            Err(Refusal::TooManyUnfinished)
        } else if in_vain >= MAX_IN_VAIN && 2 * in_vain > self.restarted.len() {
            Err(Refusal::InVain)
        } else if just_now.count() >= self.per_minute {
            Err(Refusal::Rate)
        } else {
            Ok(())
        }
    }

    async fn attempt(
        &mut self,
        candidate: &Candidate,
        namespace: &Namespace,
        image: &str,
    ) -> Result<String, Refusal> {
        let mut workloads = Vec::new();
        for kind in Kind::ALL {
            let found = self.list(&candidate.namespace, &resource(kind)).await?;
            workloads.extend(found.into_iter().map(|object| (kind, object)));
        }
        let budgets =
            self.list(&candidate.namespace, &ApiResource::erase::<PodDisruptionBudget>(&())).await?;
        let patch = restart::decide(&Situation {
            candidate,
            image,
            workloads: &workloads,
            budgets: &budgets,
            injects: &|template| (self.injects)(template, namespace),
            now: Timestamp::now(),
        })?;
        let api = self.api(&candidate.namespace, &resource(candidate.workload.kind));
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(&patch);
        let restarted = self.bounded(api.patch(&candidate.workload.name, &params, &patch)).await?;
        self.restarted.push_back(Restarted {
            at: Instant::now(),
            candidate: candidate.clone(),
            in_vain: false,
        });
        self.unfinished.push(candidate.clone());
        Ok(restarted.metadata.uid.unwrap_or_default())
    }

    /// Forgets the restarts that have finished. What cannot be asked counts as unfinished.
    async fn settle(&mut self) {
        for candidate in std::mem::take(&mut self.unfinished) {
            let kind = candidate.workload.kind;
            let finished = match self.list(&candidate.namespace, &resource(kind)).await {
                Ok(found) => found
                    .iter()
                    .find(|object| object["metadata"]["name"] == candidate.workload.name.as_str())
                    .is_none_or(|object| restart::is_finished(kind, object)),
                Err(_) => false,
            };
            if !finished {
                self.unfinished.push(candidate);
            }
        }
    }

    async fn list(&self, namespace: &str, kind: &ApiResource) -> Result<Vec<Value>, Refusal> {
        let found = self.bounded(self.api(namespace, kind).list(&ListParams::default())).await?;
        Ok(found.items.into_iter().filter_map(|object| serde_json::to_value(object).ok()).collect())
    }

    fn api(&self, namespace: &str, kind: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, kind)
    }

    async fn bounded<T>(&self, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Refusal> {
        if !self.leadership.is_leader() {
            return Err(Refusal::Failed);
        }
        match tokio::time::timeout(PATIENCE, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                tracing::warn!(error = api_error::text(&error), "a workload cannot be read or restarted");
                Err(Refusal::Failed)
            }
            Err(_) => Err(Refusal::Failed),
        }
    }
}

fn resource(kind: Kind) -> ApiResource {
    match kind {
        Kind::Deployment => ApiResource::erase::<Deployment>(&()),
        Kind::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
        Kind::DaemonSet => ApiResource::erase::<DaemonSet>(&()),
    }
}

#[cfg(test)]
mod tests;
