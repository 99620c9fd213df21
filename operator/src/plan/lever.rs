//! The lever of an incident: what an edit lowers acts at once, also where the rest of it cannot be compiled and what was in
//! force before stays. Pure. Called by `plan`.
//!
//! Never raises a mode, and never makes a share larger. Only modes and the percentage of `enforcement` are taken over: they
//! change nothing about whether the rest can be compiled.

use rasp_policy::api::{Detection, Enforcement, Mode, RaspPolicySpec};
use rasp_policy::bundle::Entry;
use rasp_policy::class::Class;
use rasp_policy::share::Share;

/// Takes the modes over that are lower in the edit than in what is in force; whether there were any.
///
/// A mode that is absent in the edit counts as Monitor, the built-in; one that is absent in what is in force as Block, the
/// highest that it may inherit. `lifts`: the edit makes defaults of overrides, so that what it lowers is for the policies of
/// namespaces to decide.
pub(super) fn pull(kept: &mut RaspPolicySpec, edit: &RaspPolicySpec, lifts: bool) -> bool {
    let before = kept.clone();
    if edit.mode != kept.mode && edit.mode.unwrap_or(Mode::Monitor) < kept.mode.unwrap_or(Mode::Block) {
        kept.mode = edit.mode.filter(|_| !lifts);
    }
    for class in Class::ALL {
        let (was, wanted) = (of(&before, class), of(edit, class));
        if was.is_none() && wanted.is_none() {
            continue;
        }
        let high = was.or(before.mode).unwrap_or(Mode::Block);
        let low = wanted.or(edit.mode).unwrap_or(Mode::Monitor);
        let follows = kept.mode == edit.mode;
        let mode = match was {
            // It follows the mode of the policy in the edit, and can follow the same one here.
            _ if low < high && wanted.is_none() && follows => None,
            _ if low < high => Some(low).filter(|_| !lifts),
            Some(was) => Some(was),
            // It followed a mode that is lower now, and the edit does not lower it.
            None if kept.mode != before.mode => before.mode,
            None => None,
        };
        set(kept, class, mode);
    }
    *kept != before
}

/// Takes the percentage of `enforcement` over that is lower in the edit than in what is in force; whether it was.
///
/// Where nothing is said in force, what is inherited may be less than the edit says, so that only 0 is surely lower. Another
/// key blocks other clients, also where it blocks fewer: of such an edit only 0 acts, which blocks nobody. A rollout of the edit
/// begins when it can be compiled.
pub(super) fn pull_share(kept: &mut Entry, edit: &RaspPolicySpec) -> bool {
    let asked = edit.enforcement.as_ref();
    let Some((asked, percent)) = asked.and_then(|asked| Some((asked, asked.percent?))) else { return false };
    let in_force = kept.spec.enforcement.as_ref();
    let lowers = match in_force {
        _ if percent < 0 => false,
        None => percent == 0,
        Some(in_force) => {
            let share = |enforcement| Share::of(enforcement, &kept.source.uid);
            percent < in_force.at() && (percent == 0 || share(in_force).has_buckets_of(&share(asked)))
        }
    };
    if lowers {
        let nothing = Enforcement { percent: None, rollout: None, hash_on: None, header: None, cookie: None };
        let key = kept.spec.enforcement.take().unwrap_or(nothing);
        kept.spec.enforcement = Some(Enforcement { percent: Some(percent), rollout: None, ..key });
        // Nobody watches the step of a generation that was edited, and what is counted now is none of it.
        kept.rollout = None;
    }
    lowers
}

fn of(spec: &RaspPolicySpec, class: Class) -> Option<Mode> {
    spec.detections.as_ref()?.get(class)?.mode
}

fn set(spec: &mut RaspPolicySpec, class: Class, mode: Option<Mode>) {
    if of(spec, class) == mode {
        return;
    }
    let detections = spec.detections.get_or_insert_default();
    let settings = detections.get(class).cloned().unwrap_or_default();
    detections.set(class, Detection { mode, ..settings });
}

#[cfg(test)]
mod tests {
    use rasp_policy::api::RaspPolicySpec;
    use rasp_policy::bundle::{Entry, Source};
    use rasp_policy::rollout::Step;

    use super::{pull, pull_share};

    fn mk_entry(spec: &str) -> Entry {
        let source = Source {
            name: "p".into(),
            uid: "p-uid".into(),
            generation: 1,
            created_at: "2026-01-01T00:00:00Z".into(),
        };
        Entry::policy(source, serde_yaml::from_str(spec).unwrap())
    }

    #[test]
    fn a_share_that_an_edit_lowers_is_taken_over_and_one_that_may_be_larger_is_not() {
        // in force, edit, in force then
        let table = [
            ("{percent: 50}", "{percent: 10}", "{percent: 10}"),
            ("{percent: 50}", "{percent: 10, hashOn: ClientIP}", "{percent: 10}"),
            ("{percent: 50, hashOn: ClientIP}", "{percent: 0}", "{percent: 0, hashOn: ClientIP}"),
            ("{percent: 100}", "{percent: 99}", "{percent: 99}"),
            (
                "{percent: 50, hashOn: Header, header: X-User}",
                "{percent: 10, hashOn: Header, header: x-user}",
                "{percent: 10, hashOn: Header, header: X-User}",
            ),
            // Nothing is lowered.
            ("{percent: 50}", "{percent: 50}", "{percent: 50}"),
            ("{percent: 50}", "{percent: 60}", "{percent: 50}"),
            ("{percent: 0}", "{percent: 0}", "{percent: 0}"),
            ("{percent: 50}", "null", "{percent: 50}"),
            // Out of bounds, which may be what cannot be compiled.
            ("{percent: 50}", "{percent: -1}", "{percent: 50}"),
            // Other clients than before: only nobody is fewer.
            ("{percent: 50}", "{percent: 10, hashOn: Cookie, cookie: sid}", "{percent: 50}"),
            ("{percent: 50}", "{percent: 0, hashOn: Cookie, cookie: sid}", "{percent: 0}"),
            ("{percent: 50}", "{percent: 0, hashOn: Header}", "{percent: 0}"),
            // What it inherits may be less.
            ("null", "{percent: 10}", "null"),
            ("null", "{percent: 0}", "{percent: 0}"),
            // A rollout begins when it can be compiled.
            (
                "{percent: 50}",
                "{rollout: {steps: [1, 100], interval: 10m, abortOn: {errorRatio: 0}}}",
                "{percent: 50}",
            ),
        ];
        let read = |share: &str| mk_entry(&format!("{{mode: Block, enforcement: {share}}}"));
        for (kept, edit, expected) in table {
            let edit = read(&format!("{edit}, failureMode: Closed, response: {{status: 200}}")).spec;
            let mut after = read(kept);
            let pulled = pull_share(&mut after, &edit);
            assert_eq!(after, read(expected), "{kept} edited to {edit:?}");
            assert_eq!(pulled, kept != expected, "{kept} edited to {edit:?}");
            assert!(!pull_share(&mut after, &edit), "twice is once: {kept} edited to {edit:?}");
            assert!(after.spec.check().is_ok(), "{kept} edited to {edit:?}");
        }
    }

    #[test]
    fn a_step_of_a_rollout_whose_share_is_lowered_is_over() {
        let json = r#"{"steps": [5, 50], "interval": "10m", "abortOn": {"errorRatio": 0}}"#;
        let step = Step::of(&serde_json::from_str(json).unwrap(), 2);
        let mut kept = mk_entry("{mode: Block, enforcement: {percent: 50}}");
        kept.rollout = Some(step.clone());
        let higher = mk_entry("{enforcement: {percent: 60}}").spec;
        assert!(!pull_share(&mut kept, &higher) && kept.rollout == Some(step));
        let lower = mk_entry("{enforcement: {percent: 5}}").spec;
        assert!(pull_share(&mut kept, &lower));
        assert_eq!((kept.rollout, kept.spec.enforcement), (None, lower.enforcement));
    }

    #[test]
    fn what_an_edit_lowers_is_taken_over_and_nothing_else_is() {
        // in force, edit, in force then
        let table = [
            ("{mode: Block}", "{mode: Monitor}", "{mode: Monitor}"),
            ("{mode: Block}", "{mode: 'Off'}", "{mode: 'Off'}"),
            ("{mode: Monitor}", "{mode: 'Off'}", "{mode: 'Off'}"),
            ("{mode: Block}", "{}", "{}"),
            // Absent in force: it may inherit Block.
            ("{}", "{mode: Monitor}", "{mode: Monitor}"),
            ("{}", "{mode: 'Off'}", "{mode: 'Off'}"),
            // Nothing is lowered.
            ("{}", "{}", "{}"),
            ("{mode: Block}", "{mode: Block}", "{mode: Block}"),
            ("{mode: Monitor}", "{mode: Block}", "{mode: Monitor}"),
            ("{mode: Monitor}", "{}", "{mode: Monitor}"),
            ("{mode: 'Off'}", "{mode: Monitor}", "{mode: 'Off'}"),
            ("{}", "{mode: Block}", "{}"),
            // Only modes, whatever else the edit says.
            (
                "{mode: Block, failureMode: Closed}",
                "{mode: Monitor, failureMode: Open, response: {status: 200}}",
                "{mode: Monitor, failureMode: Closed}",
            ),
            // Classes.
            (
                "{mode: Block}",
                "{mode: Block, detections: {sqlInjection: {mode: Monitor}}}",
                "{mode: Block, detections: {sqlInjection: {mode: Monitor}}}",
            ),
            (
                "{detections: {sqlInjection: {mode: Block, minConfidence: Low}}}",
                "{detections: {sqlInjection: {mode: 'Off', minConfidence: High}}}",
                "{detections: {sqlInjection: {mode: 'Off', minConfidence: Low}}}",
            ),
            (
                "{mode: Block, detections: {sqlInjection: {mode: Monitor}}}",
                "{mode: Block, detections: {sqlInjection: {mode: Block}}}",
                "{mode: Block, detections: {sqlInjection: {mode: Monitor}}}",
            ),
            // One goes down, another one up.
            (
                "{detections: {sqlInjection: {mode: Block}, webShell: {mode: Monitor}}}",
                "{detections: {sqlInjection: {mode: Monitor}, webShell: {mode: Block}}}",
                "{detections: {sqlInjection: {mode: Monitor}, webShell: {mode: Monitor}}}",
            ),
            // A class that stays follows the mode no longer.
            (
                "{mode: Block}",
                "{mode: Monitor, detections: {sqlInjection: {mode: Block}}}",
                "{mode: Monitor, detections: {sqlInjection: {mode: Block}}}",
            ),
            ("{}", "{mode: Monitor, detections: {sqlInjection: {mode: Block}}}", "{mode: Monitor}"),
            // The mode of a class is taken away.
            (
                "{mode: Monitor, detections: {sqlInjection: {mode: Block}}}",
                "{mode: Monitor}",
                "{mode: Monitor, detections: {sqlInjection: {}}}",
            ),
            (
                "{mode: 'Off', detections: {sqlInjection: {mode: Block}}}",
                "{mode: Monitor}",
                "{mode: 'Off', detections: {sqlInjection: {mode: Monitor}}}",
            ),
            (
                "{mode: Block, detections: {sqlInjection: {mode: Block}}}",
                "{mode: Monitor}",
                "{mode: Monitor, detections: {sqlInjection: {}}}",
            ),
            (
                "{mode: Block, detections: {sqlInjection: {mode: 'Off'}}}",
                "{mode: Monitor}",
                "{mode: Monitor, detections: {sqlInjection: {mode: 'Off'}}}",
            ),
        ];
        let read = |yaml: &str| serde_yaml::from_str::<RaspPolicySpec>(yaml).unwrap();
        for (kept, edit, expected) in table {
            let mut after = read(kept);
            let pulled = pull(&mut after, &read(edit), false);
            assert_eq!(after, read(expected), "{kept} edited to {edit}");
            assert_eq!(pulled, kept != expected, "{kept} edited to {edit}");
            assert!(!pull(&mut after, &read(edit), false), "twice is once: {kept} edited to {edit}");
        }
        let table = [
            ("{mode: Block}", "{mode: Monitor}", "{}"),
            ("{mode: Block}", "{mode: Block}", "{mode: Block}"),
            (
                "{mode: Block, detections: {sqlInjection: {mode: Block}}}",
                "{mode: Block, detections: {sqlInjection: {mode: Monitor}}}",
                "{mode: Block, detections: {sqlInjection: {}}}",
            ),
        ];
        for (kept, edit, expected) in table {
            let mut after = read(kept);
            pull(&mut after, &read(edit), true);
            assert_eq!(after, read(expected), "overrides {kept} edited to defaults {edit}");
        }
    }
}
