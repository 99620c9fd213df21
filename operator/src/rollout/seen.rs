//! What sidecars say of a step: who has it in force, what they counted together, and whether the policy decides the share at
//! all. One that was not heard for too long says nothing: nobody knows what is in force there now. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use rasp_policy::api::Mode;
use rasp_policy::bundle::Bundle;
use rasp_policy::precedence::{Field, ports, resolve_at};
use rasp_policy::report::Report;
use rasp_policy::rollout::{Counts, StepId};
use rasp_policy::selector::Subject;

use crate::observe::Policy;
use crate::signing::Opened;
use crate::status::{STALE, Target, list};

/// What is known of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether it matters.
    pub standing: Standing,
    /// Selected pods that have a sidecar.
    pub sidecars: usize,
    /// Of these, the ones that have neither the step in force nor said why not, or are silent.
    pub waiting: Vec<String>,
    /// What they counted together.
    pub counts: Counts,
}

/// What the policy of a rollout decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The Bundle as written does not carry the step.
    Unwritten,
    /// No selected pod has a sidecar.
    Nobody,
    /// Other policies decide the share on every selected pod.
    Superseded(String),
    /// It decides the share, and no mode there is Block.
    NotInBlock,
    /// It decides the share of something.
    Decides,
}

/// Looks at a step, counted from 1.
pub fn look(
    policy: &Policy,
    step: i32,
    written: Option<&Opened>,
    targets: &[Target<'_>],
    now: Timestamp,
) -> Seen {
    let unwritten =
        Seen { standing: Standing::Unwritten, sidecars: 0, waiting: Vec::new(), counts: Counts::default() };
    let id = StepId { uid: policy.uid.clone(), generation: policy.generation, step };
    let Some(written) = written else { return unwritten };
    let bundle = &written.bundle;
    let own = bundle.entries.iter().enumerate().find(|(_, entry)| {
        (&entry.source.uid, entry.source.generation) == (&id.uid, id.generation)
            && entry.rollout.as_ref().is_some_and(|carried| carried.number == step)
    });
    let Some((own, entry)) = own else { return unwritten };
    let mut seen = unwritten;
    let mut subjects = BTreeSet::new();
    let sidecars = targets.iter().filter(|target| target.pod.running && target.pod.injected);
    for target in sidecars.filter(|target| entry.selects(target.pod.subject())) {
        seen.sidecars += 1;
        subjects.insert(target.pod.subject());
        let report = heard(target, now);
        let told = report.and_then(|report| report.rollouts.iter().find(|told| told.id == id));
        if let Some(told) = told {
            seen.counts = seen.counts.plus(told.counts);
        } else if !report.is_some_and(|report| is_settled(report, &written.digest)) {
            seen.waiting.push(format!("{}/{}", target.pod.namespace, target.pod.name));
        }
    }
    seen.standing = standing(bundle, own, &subjects);
    seen
}

/// What a sidecar said, unless it is silent since.
fn heard<'a>(target: &Target<'a>, now: Timestamp) -> Option<&'a Report> {
    let received = target.report?;
    let silence = Duration::try_from(now.duration_since(received.at)).unwrap_or_default(); // a clock may go back
    (silence < STALE).then_some(&received.report)
}

/// Of a sidecar that does not count the step: whether another policy decides there, or it has said why it cannot.
fn is_settled(report: &Report, digest: &str) -> bool {
    report.rejected.is_some() || report.digest.as_deref() == Some(digest)
}

fn standing(bundle: &Bundle, own: usize, subjects: &BTreeSet<Subject<'_>>) -> Standing {
    let (mut decides, mut winners) = (false, BTreeSet::new());
    for subject in subjects {
        for port in std::iter::once(None).chain(ports(bundle, *subject).into_iter().map(Some)) {
            let resolution = resolve_at(bundle, *subject, port);
            let winner = resolution.winners.iter().find(|(field, _)| *field == Field::Enforcement);
            let Some((_, winner)) = winner else { continue };
            if *winner != own {
                winners.extend(bundle.entries.get(*winner).map(|entry| entry.title(&bundle.namespace.name)));
                continue;
            }
            if resolution.effective.modes().any(|mode| mode == Mode::Block) {
                return Standing::Decides;
            }
            decides = true;
        }
    }
    match (subjects.is_empty(), decides) {
        (true, _) => Standing::Nobody,
        (false, true) => Standing::NotInBlock,
        (false, false) => Standing::Superseded(list(winners.into_iter())),
    }
}
