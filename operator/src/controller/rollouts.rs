//! The rollouts of one namespace, before its Bundle is planned. A step that changes is written into the status first: whoever
//! leads next reads it there, and a Bundle is never ahead of it. Decisions are in [`crate::rollout`].

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use rasp_policy::api::{Kind, RaspPolicyStatus, Rollout as Asked, RolloutStatus};

use super::Controller;
use super::namespace::View;
use crate::events::Notice;
use crate::metrics::Rollout;
use crate::observe::Policy;
use crate::plan;
use crate::rollout::{self, AllInForce, InForce, Turn};
use crate::status::GRACE;

/// Where the rollouts of a namespace are.
#[derive(Default)]
pub(super) struct Rollouts {
    /// What their statuses should say, by the UID of the policy.
    pub statuses: BTreeMap<String, RolloutStatus>,
    /// What the Bundle says.
    pub in_force: AllInForce,
    /// A status could not be written: the step before stays, and it has to be tried again.
    pub failed: bool,
}

impl Controller {
    /// Takes the rollouts of a namespace as far as they may go.
    pub(super) async fn rollouts(&self, view: &mut View) -> Rollouts {
        let mut rollouts = Rollouts::default();
        let Some(since) = self.leadership.since() else { return rollouts };
        let deaf = since.elapsed() < GRACE;
        for (index, asked, status, turn) in self.decided(view, deaf) {
            let Some(policy) = view.policies.get(index).map(Arc::clone) else { continue };
            let mut status = status;
            if rollout::has_moved(policy.status.rollout.as_ref(), &status) {
                if let Some(written) = self.moved(&policy, &status, turn).await {
                    if let Some(place) = view.policies.get_mut(index) {
                        *place = Arc::new(written);
                    }
                } else {
                    rollouts.failed = true;
                    // Where there is none of this generation, the first step is the most careful one.
                    let before = policy.status.rollout.clone();
                    status = before.filter(|before| before.generation == status.generation).unwrap_or(status);
                }
            }
            rollouts.in_force.insert(policy.uid.clone(), InForce::of(&asked, &status));
            rollouts.statuses.insert(policy.uid.clone(), status);
        }
        rollouts
    }

    /// Where each of them should be.
    fn decided(&self, view: &View, deaf: bool) -> Vec<(usize, Asked, RolloutStatus, Option<Turn>)> {
        let with = view.policies.iter().enumerate().filter_map(|(index, policy)| {
            let asked = asked(policy)?;
            // One that is not accepted changes nothing: what stays in force stays at its step.
            plan::check(policy, &*self.compile).ok().map(|_| (index, policy, asked))
        });
        let mut with = with.peekable();
        if with.peek().is_none() {
            return Vec::new();
        }
        // Only sidecars are looked at here: why a pod has none is found out for the status, once.
        let targets = view.targets(&|_, _| None, &self.watchdog);
        let written = view.stored.as_ref().and_then(|stored| stored.opened.as_ref().ok());
        with.map(|(index, policy, rollout)| {
            let before = policy.status.rollout.as_ref();
            let step = before.map_or(1, |before| before.step);
            let (now, generation) = (Timestamp::now(), policy.generation);
            let seen = rollout::look(policy, step, written, &targets, now);
            let input = rollout::Input { now, generation, rollout, before, seen: &seen, deaf };
            let (status, turn) = rollout::advance(&input);
            (index, rollout.clone(), status, turn)
        })
        .collect()
    }

    /// Writes that a rollout moved, without the pause of other statuses: a rollback may not wait for it. The policy as it
    /// then stands.
    async fn moved(&self, policy: &Policy, status: &RolloutStatus, turn: Option<Turn>) -> Option<Policy> {
        let whole = RaspPolicyStatus { rollout: Some(status.clone()), ..policy.status.clone() };
        let written = self.put_status(policy, &whole).await.ok().flatten()?;
        tracing::info!(
            namespace = policy.namespace,
            policy = policy.name,
            step = status.step,
            percent = status.percent,
            reason = status.reason,
            message = status.message,
            "a rollout moved"
        );
        if let Some(turn) = turn {
            self.metrics.rollout(match turn {
                Turn::Advanced => Rollout::Advanced,
                Turn::Completed => Rollout::Completed,
                Turn::RolledBack => Rollout::RolledBack,
            });
            self.tell(Notice::rollout(policy, turn, &status.message));
        }
        Some(written)
    }
}

/// The rollout that a policy asks for.
fn asked(policy: &Policy) -> Option<&Asked> {
    let spec = policy.spec.as_ref().ok().filter(|_| policy.kind == Kind::RaspPolicy)?;
    spec.enforcement.as_ref()?.rollout.as_ref()
}
