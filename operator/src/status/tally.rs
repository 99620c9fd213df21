//! Sorts the pods that a policy selects by what is known of them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use rasp_policy::report::{EffectiveMode, Uninspected};
use rasp_policy::selector::Labels;

use super::{GRACE, Input, STALE, Target};
use crate::observe::{Pod, Policy};
use crate::plan::Verdict;

/// The selected pods, sorted.
#[derive(Default)]
pub(super) struct Tally<'a> {
    /// All selected pods.
    pub matched: usize,
    /// Sidecars that acknowledged this generation.
    pub programmed: usize,
    /// Sidecars that have not; those that reported something else first, then the silent ones.
    pub waiting: Vec<&'a Pod>,
    /// Of the silent ones: how many an earlier leader had seen programmed.
    pub presumed: usize,
    /// Pods without sidecar, and why.
    pub unprotected: Vec<(&'a Pod, Option<&'a str>)>,
    /// Sidecars that refused a Bundle, and why.
    pub rejected: Vec<(&'a Pod, &'a str)>,
    /// Sidecars that leave a detector out, and the classes.
    pub suspended: Vec<(&'a Pod, String)>,
    /// Sidecars that were not heard of for too long.
    pub stale: Vec<&'a Pod>,
    /// Ports of which sidecars relayed connections uninspected, and how many of them did.
    pub uninspected: BTreeMap<Uninspected, usize>,
    /// Modes that sidecars report.
    pub modes: Vec<EffectiveMode>,
}

impl<'a> Tally<'a> {
    /// Selected pods that have a sidecar.
    pub fn sidecars(&self) -> usize {
        self.matched - self.unprotected.len()
    }

    pub fn count(input: &'a Input<'_>) -> Self {
        let mut tally = Self::default();
        let mut silent = Vec::new();
        for target in selected(input) {
            tally.matched += 1;
            if target.pod.injected {
                tally.sidecar(input, target, &mut silent);
            } else {
                tally.unprotected.push((target.pod, target.why.as_deref()));
            }
        }
        tally.presumed = presumed(input, tally.programmed, silent.len());
        tally.waiting.extend(silent);
        tally
    }

    fn sidecar(&mut self, input: &Input<'_>, target: &'a Target<'_>, silent: &mut Vec<&'a Pod>) {
        if is_stale(input, target) {
            self.stale.push(target.pod);
        }
        let Some(received) = target.report else {
            silent.push(target.pod);
            return;
        };
        let report = &received.report;
        self.modes.push(report.mode);
        for relayed in &report.uninspected {
            *self.uninspected.entry(*relayed).or_default() += 1;
        }
        if let Some(rejected) = &report.rejected {
            self.rejected.push((target.pod, &rejected.reason));
        }
        if !report.suspended.is_empty() {
            self.suspended.push((target.pod, report.suspended.join(" ")));
        }
        let acknowledged = report
            .sources
            .iter()
            .any(|source| source.uid == input.policy.uid && source.generation == input.policy.generation);
        if acknowledged {
            self.programmed += 1;
        } else {
            self.waiting.push(target.pod);
        }
    }
}

/// The running pods that the policy selects.
pub(super) fn selected<'a>(input: &'a Input<'_>) -> impl Iterator<Item = &'a Target<'a>> {
    input.targets.iter().filter(|target| target.pod.running && selects(input, &target.pod.labels))
}

fn selects(input: &Input<'_>, labels: &Labels) -> bool {
    match &input.policy.spec {
        Ok(spec) => spec.pod_selector.as_ref().is_none_or(|selector| selector.matches(labels)),
        // Cannot be read: speak of the pods of the generation that stays in force.
        Err(_) => kept(input.policy, input.verdict, input).is_some_and(|entry| entry.selects(labels)),
    }
}

fn kept<'a>(
    policy: &Policy,
    verdict: &Verdict,
    input: &'a Input<'_>,
) -> Option<&'a rasp_policy::bundle::Entry> {
    let Verdict::Invalid { kept: Some(_), .. } = verdict else { return None };
    input.written?.bundle.entries.iter().find(|entry| entry.source.uid == policy.uid)
}

fn presumed(input: &Input<'_>, programmed: usize, silent: usize) -> usize {
    let before = &input.policy.status;
    if input.leader_for >= GRACE || before.observed_generation != Some(input.policy.generation) {
        return 0;
    }
    let known = before.targets.map_or(0, |targets| usize::try_from(targets.programmed).unwrap_or(0));
    known.saturating_sub(programmed).min(silent)
}

fn is_stale(input: &Input<'_>, target: &Target<'_>) -> bool {
    let heard = target.report.map(|received| received.at);
    // Before it became leader this process could not hear anybody.
    let deaf_until = input.now - input.leader_for;
    let since = heard.or_else(|| target.pod.started.map(|started: Timestamp| started.max(deaf_until)));
    since.is_some_and(|since| {
        Duration::try_from(input.now.duration_since(since)).is_ok_and(|silence| silence >= STALE)
    })
}
