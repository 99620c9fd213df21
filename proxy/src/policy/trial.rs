//! Counts the requests of a step of a rollout (`spec.enforcement.rollout`), for the report. Only where such a step is in force;
//! everybody else pays one look at an empty place.
//!
//! A step is counted from the moment it came into force here, and goes on over Bundles and labels that change something else.
//! Fed by `exchange`; told by [`crate::report`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rasp_engine::{Coverage, Judgement, Outcome, Reason, Verdict, Why};
use rasp_policy::rollout::{Counted, Counts, MOST_STEPS, Told};

use super::InForce;

/// A step and its counts.
#[derive(Debug)]
pub struct Trial {
    /// Which step, and what ends it.
    pub counted: Counted,
    requests: AtomicU64,
    enforced: AtomicU64,
    blocked: AtomicU64,
    would_block: AtomicU64,
    errors: AtomicU64,
}

impl Trial {
    fn new(counted: Counted) -> Self {
        let zero = AtomicU64::default;
        Self {
            counted,
            requests: zero(),
            enforced: zero(),
            blocked: zero(),
            would_block: zero(),
            errors: zero(),
        }
    }

    /// Counts a request that was judged as a whole. `enforced` says whether it was in the share.
    pub fn judged(&self, judgement: &Judgement, enforced: bool) {
        let failed = match judgement.coverage {
            // Of a probe of the kubelet, and where everything is Off.
            Coverage::Partial(Reason::DetectionOff) => return,
            Coverage::Partial(Reason::InternalError | Reason::Suspended) => true,
            Coverage::Partial(_) | Coverage::Full => false,
        };
        let refused = match &judgement.outcome {
            Outcome::Refuse(refusal) => Some(refusal.why),
            Outcome::Forward(_) => None,
        };
        self.request(judgement.verdict, refused, enforced);
        if failed && enforced && refused.is_none_or(|why| why == Why::Detected) {
            add(&self.errors);
        }
    }

    /// Counts a request, and for what it was refused.
    pub fn request(&self, verdict: Verdict, refused: Option<Why>, enforced: bool) {
        add(&self.requests);
        if enforced {
            add(&self.enforced);
        }
        match refused {
            Some(Why::Detected) => add(&self.blocked),
            // Outside of the share it would have been so in Monitor as well.
            Some(Why::BodyTooLarge | Why::NotJudged) if enforced => add(&self.errors),
            None if verdict == Verdict::WouldBlock && !enforced => add(&self.would_block),
            Some(_) | None => {}
        }
    }

    /// Counts a request for which there was no room.
    pub fn shed(&self, enforced: bool) {
        self.request(Verdict::Error, Some(Why::NotJudged), enforced);
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            requests: of(&self.requests),
            enforced: of(&self.enforced),
            blocked: of(&self.blocked),
            would_block: of(&self.would_block),
            errors: of(&self.errors),
        }
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

impl InForce {
    /// The step that requests are counted for, if one is in force.
    pub fn trial(&self) -> Option<&Arc<Trial>> {
        self.trial.get()
    }

    /// Every step that is in force, over all ports.
    pub fn trials(&self) -> Vec<Arc<Trial>> {
        let mut trials: Vec<Arc<Trial>> = Vec::new();
        for trial in self.all().filter_map(Self::trial) {
            if trials.len() < MOST_STEPS && !trials.iter().any(|known| Arc::ptr_eq(known, trial)) {
                trials.push(Arc::clone(trial));
            }
        }
        trials
    }

    /// What is to be told of them.
    pub fn told(&self) -> Vec<Told> {
        let told = |trial: &Arc<Trial>| Told { id: trial.counted.id.clone(), counts: trial.counts() };
        self.trials().iter().map(told).collect()
    }

    /// Begins to count the steps of this one, which is about to be put in force; those that were in force go on.
    pub(super) fn adopt(&self, before: &Self) {
        let mut known = before.trials();
        for one in self.all() {
            // Where nothing is in Block nothing is tried: its requests would hide how many of the others are blocked.
            let Some(counted) = one.ruleset.effective().rollout.as_ref().filter(|_| one.ruleset.enforces())
            else {
                continue;
            };
            let same = known.iter().find(|trial| trial.counted.id == counted.id);
            let trial = same.cloned().unwrap_or_else(|| Arc::new(Trial::new(counted.clone())));
            known.push(Arc::clone(&trial));
            let _ = one.trial.set(trial); // a place that has one shares it with an equal port
        }
    }

    fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.ports.iter().map(|(_, own)| &**own))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use rasp_engine::{Ruleset, Verdict, Why};
    use rasp_policy::precedence::Effective;
    use rasp_policy::rollout::{Counted, Counts, Step, StepId};

    use crate::metrics::Metrics;
    use crate::policy::{Handle, InForce};

    /// Two steps that end at a tenth of 20 requests.
    pub(crate) fn in_force(step: i32) -> InForce {
        let json =
            r#"{"steps": [5, 50], "interval": "10s", "abortOn": {"blockRatio": 0.1, "minRequests": 20}}"#;
        let rollout = serde_json::from_str(json).unwrap();
        let id = StepId { uid: "p-uid".into(), generation: 4, step };
        let counted = Counted { id, step: Step::of(&rollout, step) };
        let effective = Effective { rollout: Some(counted), ..Effective::builtin_blocking() };
        InForce::builtin(Ruleset::build(&effective).unwrap())
    }

    #[test]
    fn requests_are_counted_by_what_became_of_them() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let handle = Handle::new(in_force(1), metrics);
        let policy = handle.load();
        let trial = policy.trial().unwrap();
        let table = [
            (Verdict::Allow, None, true),
            (Verdict::Allow, None, false),
            (Verdict::Block, Some(Why::Detected), true),
            (Verdict::WouldBlock, None, false),
            (Verdict::WouldBlock, None, true), // a class that is in Monitor
            (Verdict::Block, Some(Why::BodyTooLarge), true),
            (Verdict::Error, Some(Why::NotJudged), true),
            (Verdict::Error, Some(Why::NotJudged), false), // memory is short, also in Monitor
            (Verdict::Error, None, true),                  // it passed
        ];
        for (verdict, refused, enforced) in table {
            trial.request(verdict, refused, enforced);
        }
        trial.shed(true);
        trial.shed(false);
        let expected = Counts { requests: 11, enforced: 7, blocked: 1, would_block: 1, errors: 3 };
        assert_eq!(policy.told().remove(0).counts, expected);
    }

    #[test]
    fn requests_where_nothing_is_in_block_are_no_part_of_a_step() {
        let handle = Handle::new(in_force(1), Arc::new(Metrics::new().unwrap()));
        let rollout = in_force(1).ruleset.effective().rollout.clone();
        let monitors = || {
            let effective = Effective { rollout: rollout.clone(), ..Effective::builtin() };
            InForce::builtin(Ruleset::build(&effective).unwrap())
        };
        handle.replace(InForce { ports: vec![(80, Arc::new(monitors()))], ..in_force(1) });
        assert!(handle.load_on(80).trial().is_none());
        handle.load().trial().unwrap().shed(true);
        handle.replace(monitors()); // the lever of an incident
        assert!(handle.load().told().is_empty());
        handle.replace(in_force(1));
        assert_eq!(handle.load().told().remove(0).counts, Counts::default(), "it begins anew after that");
    }

    #[test]
    fn a_step_is_counted_over_bundles_that_keep_it_and_the_next_one_from_nothing() {
        let handle = Handle::new(InForce::builtin(Ruleset::build(&Effective::builtin()).unwrap()), {
            Arc::new(Metrics::new().unwrap())
        });
        assert!(handle.load().trial().is_none() && handle.load().told().is_empty());
        let requests = || handle.load().told().remove(0).counts.requests;
        let port = |step| InForce { ports: vec![(80, Arc::new(in_force(step)))], ..in_force(step) };
        handle.replace(port(1));
        handle.load().trial().unwrap().shed(true);
        handle.load_on(80).trial().unwrap().shed(true);
        assert_eq!((handle.load().told().len(), requests()), (1, 2), "ports count together");
        handle.replace(port(1));
        handle.reselect(port(1));
        assert_eq!(requests(), 2);
        handle.replace(port(2));
        assert_eq!(requests(), 0);
    }
}
