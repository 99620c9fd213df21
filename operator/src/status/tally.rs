//! Sorts the pods that a policy selects by what is known of them. Counts everybody, names the first few: those of two
//! namespaces can be put together.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use rasp_policy::api::{RolloutPhase, RolloutStatus};
use rasp_policy::bundle::Refusal;
use rasp_policy::report::{EffectiveMode, Rejected, Uninspected};
use rasp_policy::rollout::Told;

use super::{Input, NAMED, STALE, Target};
use crate::observe::Pod;
use crate::text;

/// How many there are, and the first few of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    count: usize,
    first: Vec<String>,
}

impl Names {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn push(&mut self, name: String) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(name);
        }
    }

    pub fn add(&mut self, others: &Self) {
        self.count += others.count;
        let room = NAMED - self.first.len();
        self.first.extend(others.first.iter().take(room).cloned());
    }

    /// Speaks of at most so many.
    pub fn shorten(&mut self, most: usize) {
        self.count = self.count.min(most);
        self.first.truncate(most);
    }
}

impl fmt::Display for Names {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.first.join(", "))?;
        match self.count - self.first.len() {
            0 => Ok(()),
            more => write!(formatter, " and {more} more"),
        }
    }
}

/// What a sidecar that has not heard of a rollback does.
const STILL_IN_STEP: &str = "still at a step of the rollout";
/// Why nothing is known of a pod that reports.
const EVICTED: &str = "report_evicted";
/// Characters of the name of an image in a message.
const MAX_IMAGE: usize = 128;
/// Characters of the version of a sidecar in a message.
const MAX_VERSION: usize = 32;
/// Characters of what a sidecar says about a Bundle.
const MAX_REFUSAL: usize = 256;
/// What ends the refusal of a sidecar that does not know all that the Bundle says.
const OLDER: &str = ": an older sidecar, restart its workload";
/// Ports of one pod in a message.
const MOST_PORTS: usize = 4;

/// The selected pods, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// All selected pods.
    pub matched: usize,
    /// Sidecars that acknowledged this generation.
    pub programmed: usize,
    /// Sidecars that reported something else, or whose report was dropped.
    pub waiting: Names,
    /// Sidecars that cannot read this generation, which only a restart ends: their versions, and what they do not know.
    pub too_old: Names,
    /// Sidecars that have not reported.
    pub silent: Names,
    /// Pods without sidecar, and why.
    pub unprotected: Names,
    /// Sidecars of another version than new pods get, and their images.
    pub older: Names,
    /// Sidecars that refused a Bundle, and why.
    pub rejected: Names,
    /// Sidecars that leave a detector out, and the classes.
    pub suspended: Names,
    /// Sidecars that were not heard of for too long.
    pub stale: Names,
    /// Ports of which sidecars relayed connections uninspected, and how many of them did.
    pub uninspected: BTreeMap<Uninspected, usize>,
    /// Sidecars that ports of the application can be reached around, and the ports.
    pub bypassable: Names,
    /// Modes that sidecars report.
    pub modes: Vec<EffectiveMode>,
}

impl Tally {
    /// Selected pods that have a sidecar.
    pub fn sidecars(&self) -> usize {
        self.matched - self.unprotected.len()
    }

    pub fn count(input: &Input<'_>) -> Self {
        let mut tally = Self::default();
        for target in selected(input) {
            tally.matched += 1;
            if target.pod.injected {
                tally.sidecar(input, target);
            } else {
                tally.unprotected.push(with(target.pod, target.why.map(|why| why.to_string()).as_deref()));
            }
        }
        tally
    }

    pub fn add(&mut self, other: &Self) {
        self.matched += other.matched;
        self.programmed += other.programmed;
        self.waiting.add(&other.waiting);
        self.too_old.add(&other.too_old);
        self.silent.add(&other.silent);
        self.unprotected.add(&other.unprotected);
        self.older.add(&other.older);
        self.rejected.add(&other.rejected);
        self.suspended.add(&other.suspended);
        self.stale.add(&other.stale);
        for (relayed, sidecars) in &other.uninspected {
            *self.uninspected.entry(*relayed).or_default() += sidecars;
        }
        self.bypassable.add(&other.bypassable);
        self.modes.extend(&other.modes);
    }

    fn sidecar(&mut self, input: &Input<'_>, target: &Target<'_>) {
        if let Some(image) = target.other_image {
            self.older.push(with(target.pod, Some(&text::line(image, MAX_IMAGE))));
        }
        if target.evicted {
            // Neither silent nor in force, whatever an earlier leader knew.
            return self.waiting.push(with(target.pod, Some(EVICTED)));
        }
        if is_stale(input, target) {
            self.stale.push(with(target.pod, None));
        }
        let Some(received) = target.report else { return self.silent.push(with(target.pod, None)) };
        let report = &received.report;
        self.modes.push(report.mode);
        for relayed in &report.uninspected {
            *self.uninspected.entry(*relayed).or_default() += 1;
        }
        if !report.bypassable.is_empty() {
            let ports: Vec<_> = report.bypassable.iter().take(MOST_PORTS).map(ToString::to_string).collect();
            self.bypassable.push(with(target.pod, Some(&format!("port {}", ports.join(" ")))));
        }
        let too_old = report.rejected.as_ref().filter(|rejected| is_too_old(rejected));
        if let Some(rejected) = &report.rejected {
            let remedy = if too_old.is_some() { OLDER } else { "" };
            self.rejected.push(with(target.pod, Some(&format!("{}{remedy}", rejected.reason))));
        }
        if !report.suspended.is_empty() {
            self.suspended.push(with(target.pod, Some(&report.suspended.join(" "))));
        }
        let acknowledged = report
            .sources
            .iter()
            .any(|source| source.uid == input.policy.uid && source.generation == input.policy.generation);
        if acknowledged && is_behind(input, &report.rollouts) {
            self.waiting.push(with(target.pod, Some(STILL_IN_STEP)));
        } else if acknowledged {
            self.programmed += 1;
        } else if let Some(rejected) = too_old {
            let (version, unknown) =
                (text::line(&report.version, MAX_VERSION), text::line(&rejected.message, MAX_REFUSAL));
            self.too_old.push(with(target.pod, Some(&format!("version {version}: {unknown}"))));
        } else {
            self.waiting.push(with(target.pod, None));
        }
    }
}

/// The running pods that the policy selects.
pub(super) fn selected<'a>(input: &'a Input<'_>) -> impl Iterator<Item = &'a Target<'a>> {
    input.targets.iter().filter(|target| target.pod.running && selects(input, target.pod))
}

/// By the policy itself where it says it. Targets are resolved in the Bundle, and of a policy that cannot be read only what
/// stays in force is known.
fn selects(input: &Input<'_>, pod: &Pod) -> bool {
    match &input.policy.spec {
        Ok(spec) if spec.target_refs.is_none() => {
            spec.pod_selector.as_ref().is_none_or(|selector| selector.matches(&pod.labels))
        }
        _ => {
            let mut entries = input.written.iter().flat_map(|written| &written.bundle.entries);
            let own = entries.find(|entry| entry.source.uid == input.policy.uid);
            own.filter(|_| input.verdict.has_entry()).is_some_and(|entry| entry.selects(pod.subject()))
        }
    }
}

/// Whether a sidecar still counts a step of a rollout that was taken back: it blocks for its share.
fn is_behind(input: &Input<'_>, told: &[Told]) -> bool {
    let (uid, generation) = (&input.policy.uid, input.policy.generation);
    let taken_back = |rollout: &RolloutStatus| rollout.phase == RolloutPhase::RolledBack;
    input.rollout.is_some_and(taken_back)
        && told.iter().any(|told| (&told.id.uid, told.id.generation) == (uid, generation))
}

/// Whether nothing but another sidecar ends this.
pub(crate) fn is_too_old(rejected: &Rejected) -> bool {
    Refusal::TOO_OLD.contains(&rejected.reason.as_str())
}

/// `namespace/name`, and why in brackets.
fn with(pod: &Pod, why: Option<&str>) -> String {
    let (namespace, name) = (&pod.namespace, &pod.name);
    match why {
        Some(why) => format!("{namespace}/{name} ({why})"),
        None => format!("{namespace}/{name}"),
    }
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
