//! The lever of an incident: what an edit lowers acts at once, also where the rest of it cannot be compiled and what was in
//! force before stays. Pure. Called by `plan`.
//!
//! Never raises a mode. Only modes are taken over: they change nothing about whether the rest can be compiled.

use rasp_policy::api::{Detection, Mode, RaspPolicySpec};
use rasp_policy::class::Class;

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

    use super::pull;

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
