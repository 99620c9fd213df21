//! One turn for one namespace.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rasp_policy::api::{Kind, RaspPolicySpec, RaspPolicyStatus, RolloutStatus, conditions, reasons};
use rasp_policy::bundle::{Bundle, Entry};
use rasp_policy::pod::INJECT_LABEL;

use super::rollouts::Rollouts;
use super::{Controller, now_ms};
use crate::apply;
use crate::events::Notice;
use crate::history;
use crate::metrics::{ErrorKind, Rollout};
use crate::observe::{Kept as _, Namespace, Pod, Policy, Service, Stored};
use crate::plan::{self, Cause, Input, Plan, Verdict, asks_for_injection};
use crate::status::{self, GRACE, Received, Target};
use crate::watchdog::Ledger;

/// Reports of pods the watch has not shown are kept this long: the report of a new pod may be faster than the watch.
const UNSEEN: Duration = Duration::from_secs(600);

/// What is known of the namespace, all of it from the caches.
pub(super) struct View {
    namespace: Arc<Namespace>,
    pub policies: Vec<Arc<Policy>>,
    pods: Vec<Arc<Pod>>,
    services: Vec<Arc<Service>>,
    reports: Vec<Option<Arc<Received>>>,
    /// Whether some of them were dropped for want of room.
    evicted: bool,
    pub stored: Option<Arc<Stored>>,
    excluded: bool,
}

/// A status could not be written. It was told.
pub(super) struct NotWritten;

impl Controller {
    /// Plans and writes for one namespace. Failures are logged, counted and shown in status; `false` asks to try again.
    pub(super) async fn namespace(&self, name: &str) -> bool {
        let Some(mut view) = self.view(name) else {
            self.forget(name);
            return true;
        };
        if let Some(opened) = view.stored.as_ref().and_then(|stored| stored.opened.as_ref().ok()) {
            self.remember(&opened.bundle);
        }
        let last_good = self.last_good(name);
        let rollouts = self.rollouts(&mut view).await;
        let plan = plan::plan(
            &Input {
                namespace: &view.namespace,
                excluded: view.excluded,
                policies: &view.policies,
                pods: &view.pods,
                services: &view.services,
                rollouts: &rollouts.in_force,
                stored: view.stored.as_deref(),
                last_good: last_good.as_deref(),
                acknowledged_sequence: view.acknowledged_sequence(),
                now_ms: now_ms(Timestamp::now()),
            },
            &*self.compile,
        );
        let (stored, error) = self.distribute(&view, &plan).await;
        let told = self.report_status(&view, &plan, &rollouts, stored.as_deref(), error.as_ref()).await;
        // What is too large stays so until somebody changes it.
        told && !rollouts.failed && error.is_none_or(|error| matches!(error, apply::Error::TooLarge { .. }))
    }

    fn view(&self, name: &str) -> Option<View> {
        let state = self.cache.read();
        let pods: Vec<_> = state.pods.of(name);
        let namespace = state.namespaces.get(name, name)?;
        let stored = state.bundles.of(name).into_iter().next();
        let in_force = stored.as_ref().and_then(|stored| stored.opened.as_ref().ok());
        // An edit that cannot be compiled does not act: not by the namespaces either that it leaves out.
        let stays = |policy: &Policy| {
            in_force.is_some_and(|opened| opened.bundle.entries.iter().any(|e| e.source.uid == policy.uid))
                && plan::check(policy, &*self.compile).is_err()
        };
        let view = View {
            policies: state.policies_for(&namespace, stays),
            namespace,
            services: state.services.of(name),
            reports: pods.iter().map(|pod| self.reports.of(&pod.uid)).collect(),
            evicted: self.reports.has_evicted(name, Timestamp::now()),
            stored,
            excluded: (self.excludes)(name),
            pods,
        };
        drop(state);
        let oldest = Timestamp::now() - UNSEEN;
        self.reports.retain(name, |received| {
            received.at > oldest || view.pods.iter().any(|pod| pod.uid == received.report.pod.uid)
        });
        Some(view)
    }

    /// Writes the Bundle if the plan says so; what then stands in the ConfigMap, and why it is not what it should be.
    async fn distribute(&self, view: &View, plan: &Plan) -> (Option<Arc<Stored>>, Option<apply::Error>) {
        let Some((cause, bundle)) = &plan.write else { return (view.stored.clone(), None) };
        let namespace = &view.namespace.name;
        if *cause == Cause::Repaired {
            let found = view.stored.as_ref().and_then(|stored| stored.opened.as_ref().err());
            let found = found.map_or("missing_or_older", rasp_policy::bundle::Refusal::id);
            tracing::warn!(namespace, found, "the ConfigMap does not hold what was written and is repaired");
            self.tell(Notice::repaired(namespace, found));
        }
        let previous = self.last_good(namespace);
        match self.put_bundle(view, bundle, *cause).await {
            Ok(stored) => {
                self.note_change(view, plan, previous.as_deref(), bundle, &stored);
                (Some(stored), None)
            }
            Err(error) => {
                self.metrics.rollout(Rollout::Failed);
                self.metrics.failed(ErrorKind::BundleWrite);
                tracing::warn!(namespace, %error, "cannot write the Bundle");
                (self.lessened(view, bundle, &error).await.or_else(|| view.stored.clone()), Some(error))
            }
        }
    }

    /// Where the policies do not fit: what was lowered or taken away since the Bundle that stays acts all the same. Not in the
    /// history, which holds what somebody asked for.
    async fn lessened(&self, view: &View, bundle: &Bundle, error: &apply::Error) -> Option<Arc<Stored>> {
        if !matches!(error, apply::Error::TooLarge { .. }) {
            return None;
        }
        let before = &view.stored.as_ref()?.opened.as_ref().ok()?.bundle;
        let bundle = plan::lessened(before, bundle)?;
        match self.put_bundle(view, &bundle, Cause::Written).await {
            Ok(stored) => Some(stored),
            Err(error) => {
                tracing::warn!(namespace = bundle.namespace.name, %error, "cannot write what was lowered");
                None
            }
        }
    }

    async fn put_bundle(
        &self,
        view: &View,
        bundle: &Bundle,
        cause: Cause,
    ) -> Result<Arc<Stored>, apply::Error> {
        let lists = self.cache.lists();
        let stored = self.writer.bundle(bundle, view.stored.as_deref(), &self.signing.get()).await?;
        self.metrics.rollout(match cause {
            Cause::Written => Rollout::Written,
            Cause::Repaired => Rollout::Repaired,
        });
        let (namespace, policies) = (&bundle.namespace.name, bundle.entries.len());
        tracing::info!(namespace, sequence = bundle.sequence, policies, "Bundle written");
        self.remember(&Arc::new(bundle.clone()));
        self.cache.remember_bundle(lists, stored.clone());
        Ok(Arc::new(stored))
    }

    /// Never waits: the Bundle is what matters.
    fn note_change(
        &self,
        view: &View,
        plan: &Plan,
        previous: Option<&Bundle>,
        bundle: &Bundle,
        stored: &Stored,
    ) {
        let is_signed_anew = view.stored.as_ref().is_some_and(|stored| stored.is_outdated());
        let Some(digest) = stored.opened.as_ref().ok().map(|opened| &opened.digest) else { return };
        let change =
            history::change(previous, bundle, digest, &view.policies, &plan.verdicts, is_signed_anew);
        if let Some(change) = change
            && self.history.try_send(change).is_err()
        {
            self.metrics.failed(ErrorKind::HistoryWrite);
            tracing::warn!(
                namespace = bundle.namespace.name,
                "a change is not in the history: too many wait"
            );
        }
    }

    async fn report_status(
        &self,
        view: &View,
        plan: &Plan,
        rollouts: &Rollouts,
        stored: Option<&Stored>,
        error: Option<&apply::Error>,
    ) -> bool {
        let Some(since) = self.leadership.since() else { return false };
        let leader_for = since.elapsed();
        let too_large = matches!(error, Some(apply::Error::TooLarge { .. }));
        let error = error.map(ToString::to_string);
        let written = stored.and_then(|stored| stored.opened.as_ref().ok());
        let targets = view.targets(&*self.why, &self.watchdog);
        self.count(view, plan, &targets, written.map(|opened| opened.digest.as_str()), leader_for);
        let input = |policy| {
            let policy: &Policy = policy;
            let verdict = plan.verdicts.get(&policy.uid)?;
            Some(status::Input {
                now: Timestamp::now(),
                leader_for,
                policy,
                verdict,
                rollout: rollouts.statuses.get(&policy.uid).or_else(|| kept(policy, verdict)),
                written,
                distribution_error: error.as_deref(),
                too_large,
                missing: plan.missing.get(&policy.uid).map(Vec::as_slice).unwrap_or_default(),
                targets: &targets,
            })
        };
        let inputs: Vec<_> = view.policies.iter().filter_map(|policy| input(policy)).collect();
        self.share(&view.namespace.name, &inputs, plan.concerned);
        let mut done = true;
        for input in inputs.iter().filter(|input| input.policy.kind != Kind::ClusterRaspPolicy) {
            let status = status::status(input);
            if status != input.policy.status {
                done &= self.write_status(input.policy, input.verdict, &status).await;
            }
        }
        done
    }

    /// `false` asks to try again: it failed, or the last one was written a moment ago.
    pub(super) async fn write_status(
        &self,
        policy: &Policy,
        verdict: &Verdict,
        status: &RaspPolicyStatus,
    ) -> bool {
        if !self.may_write(&policy.uid) {
            return false;
        }
        match self.put_status(policy, status).await {
            Ok(Some(_)) => self.note_transitions(policy, verdict, status),
            Ok(None) => {}
            Err(NotWritten) => return false,
        }
        true
    }

    /// Writes a status, and remembers the policy as it then stands; `None` where it was deleted meanwhile.
    pub(super) async fn put_status(
        &self,
        policy: &Policy,
        status: &RaspPolicyStatus,
    ) -> Result<Option<Policy>, NotWritten> {
        let lists = self.cache.lists();
        match self.writer.status(policy, status).await {
            Ok(mut written) => {
                written.inherit(policy);
                let kept = written.clone();
                self.cache.remember(lists, |state| {
                    let index = match kept.kind {
                        Kind::RaspPolicy => &mut state.policies,
                        Kind::ClusterRaspPolicy => &mut state.clusters,
                        Kind::RaspException => &mut state.exceptions,
                    };
                    index.written(kept);
                });
                Ok(Some(written))
            }
            // The watch will tell.
            Err(error) if error.is_gone() => Ok(None),
            Err(error) => {
                self.metrics.failed(ErrorKind::StatusWrite);
                tracing::warn!(namespace = policy.namespace, policy = policy.name, %error, "cannot write the status");
                Err(NotWritten)
            }
        }
    }

    /// Whether the pause since the last write of this object is over; if so, it begins anew.
    fn may_write(&self, uid: &str) -> bool {
        let mut written = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        written.retain(|_, at| now.duration_since(*at) < self.status_pause);
        if written.contains_key(uid) {
            return false;
        }
        written.insert(uid.to_owned(), now);
        true
    }

    fn note_transitions(&self, policy: &Policy, verdict: &Verdict, status: &RaspPolicyStatus) {
        let has = |status: &RaspPolicyStatus, kind, reason| {
            status.conditions.iter().any(|condition| condition.r#type == kind && condition.reason == reason)
        };
        let became = |kind, reason| {
            let same_generation = policy.status.observed_generation == status.observed_generation;
            has(status, kind, reason) && !(same_generation && has(&policy.status, kind, reason))
        };
        if became(conditions::PROGRAMMED, reasons::PROGRAMMED) {
            self.metrics.rollout(Rollout::Programmed);
        }
        if let Verdict::Invalid { message, .. } = verdict
            && became(conditions::ACCEPTED, reasons::INVALID)
        {
            self.metrics.failed(ErrorKind::InvalidPolicy);
            tracing::warn!(
                namespace = policy.namespace,
                policy = policy.name,
                message,
                "a policy is invalid"
            );
            self.tell(Notice::invalid(policy, message));
        }
    }

    /// Moves the gauges of the namespace, if it is any of our business.
    fn count(
        &self,
        view: &View,
        plan: &Plan,
        targets: &[Target<'_>],
        digest: Option<&str>,
        leader_for: Duration,
    ) {
        let sidecars = view.pods.iter().any(|pod| pod.injected);
        let entries = &plan.entries;
        let wanted = view.pods.iter().any(|pod| view.asks_for(pod, entries));
        let policies = view.policies.iter().any(|policy| policy.kind == Kind::RaspPolicy);
        if !(sidecars || wanted || policies || asks_for_injection(&view.namespace)) {
            self.watchdog.forget(&view.namespace.name);
            return self.metrics.forget_namespace(&view.namespace.name);
        }
        let unprotected: Vec<_> = targets
            .iter()
            .filter(|target| !target.pod.injected && view.asks_for(target.pod, entries))
            .collect();
        let outdated: Vec<_> = targets
            .iter()
            .filter(|target| target.pod.injected)
            .filter(|target| match target.report {
                Some(received) => received.report.digest.as_deref() != digest,
                None => target.evicted || leader_for >= GRACE,
            })
            .collect();
        let name = &view.namespace.name;
        self.metrics.pods(name, self.watchdog.note(name, Instant::now(), targets, &unprotected, &outdated));
    }
}

impl View {
    pub fn targets(&self, why: &super::Why, watchdog: &Ledger) -> Vec<Target<'_>> {
        // To say why, a pod is unpacked and decided about: not where nobody would be told.
        let is_told = |pod: &Pod| !self.policies.is_empty() || self.asks_for(pod, &[]);
        let running = self.pods.iter().zip(&self.reports).filter(|(pod, _)| pod.running);
        running
            .map(|(pod, report)| Target {
                pod,
                report: report.as_deref(),
                evicted: self.evicted && pod.injected && report.is_none(),
                why: if pod.injected || !is_told(pod) { None } else { why(pod, &self.namespace) },
                other_image: watchdog.other_image(pod),
            })
            .collect()
    }

    /// Whether somebody wants this pod protected: its namespace, unless the pod may and does opt out, the pod itself,
    /// or a policy that selects it.
    fn asks_for(&self, pod: &Pod, entries: &[Entry]) -> bool {
        let own = pod.labels.get(INJECT_LABEL).map(String::as_str);
        let enforced = self.namespace.labels.get(INJECT_LABEL).is_some_and(|level| level == "enforced");
        let by_namespace =
            asks_for_injection(&self.namespace) && !self.excluded && (enforced || own != Some("false"));
        let by_policy =
            || entries.iter().any(|entry| entry.kind == Kind::RaspPolicy && entry.selects(pod.subject()));
        by_namespace || own == Some("true") || by_policy()
    }

    fn acknowledged_sequence(&self) -> u64 {
        self.reports
            .iter()
            .flatten()
            .filter_map(|received| received.report.sequence)
            .max()
            .unwrap_or_default()
    }
}

/// Of a policy whose edit is not accepted: where the rollout of the generation before is, also where the edit asks for none.
fn kept<'a>(policy: &'a Policy, verdict: &Verdict) -> Option<&'a RolloutStatus> {
    let rollout = policy.status.rollout.as_ref()?;
    let asked =
        |spec: &RaspPolicySpec| spec.enforcement.as_ref().is_some_and(|share| share.rollout.is_some());
    let stays = matches!(verdict, Verdict::Invalid { kept: Some(kept), .. } if *kept == rollout.generation);
    (stays || policy.spec.as_ref().map_or(true, asked)).then_some(rollout)
}
