//! Whether an edit does nothing but lower modes, or the percentage of `enforcement`: the lever of an incident, which must work
//! whatever else is wrong.
//!
//! Compared as JSON, so that it works on objects that cannot be read. A mode that is absent counts as Monitor, the built-in.
//! What of it acts is for `plan::lever` to say.

use std::collections::BTreeMap;

use rasp_policy::api::Mode;
use serde::Deserialize as _;
use serde_json::Value;

/// The modes of one block of settings.
struct Modes {
    all: Mode,
    classes: BTreeMap<String, Mode>,
}

impl Modes {
    fn of(&self, class: &str) -> Mode {
        self.classes.get(class).copied().unwrap_or(self.all)
    }
}

/// Whether nothing but modes and the share differs, and none is higher than it was. Taking a mode away is an edit of it.
pub(super) fn only_lowers(old: &Value, new: &Value) -> bool {
    let spec = |object: &Value| object.get("spec").cloned().unwrap_or_default();
    let (mut old, mut new) = (spec(old), spec(new));
    // Of a RaspPolicy the spec itself, of a ClusterRaspPolicy one of its halves.
    ["", "/defaults", "/overrides"]
        .into_iter()
        .all(|block| lowers(old.pointer_mut(block), new.pointer_mut(block)))
        && old == new
}

fn lowers(old: Option<&mut Value>, new: Option<&mut Value>) -> bool {
    let (old, new) = match (old, new) {
        (Some(old), Some(new)) => (take(old), take(new)),
        (None, None) => return true,
        _ => return false,
    };
    let (Some((old, was)), Some((new, wanted))) = (old, new) else { return false };
    lowers_share(was.as_ref(), wanted.as_ref())
        && new.all <= old.all
        && old.classes.keys().chain(new.classes.keys()).all(|class| new.of(class) <= old.of(class))
}

/// Whether Block is for no more requests: for nobody, or for fewer of the same. Beside that of a rollout no other percentage than 0
/// is surely lower.
fn lowers_share(old: Option<&Value>, new: Option<&Value>) -> bool {
    let parts = |share: Option<&Value>| {
        let mut rest = share?.as_object()?.clone();
        Some((rest.remove("percent")?.as_u64()?, rest))
    };
    match (parts(old), parts(new)) {
        _ if old == new => true,
        (_, Some((0, _))) => true,
        (Some((old, key)), Some((new, same))) => new < old && same == key,
        _ => false,
    }
}

/// Takes the modes and the share out; `None` where one of the modes is none.
fn take(settings: &mut Value) -> Option<(Modes, Option<Value>)> {
    let Some(settings) = settings.as_object_mut() else {
        return Some((Modes { all: Mode::Monitor, classes: BTreeMap::new() }, None));
    };
    let share = settings.remove("enforcement");
    let mode = |mode: Option<Value>| mode.map(|mode| Mode::deserialize(mode).ok());
    let all = mode(settings.remove("mode")).unwrap_or(Some(Mode::Monitor))?;
    let mut classes = BTreeMap::new();
    if let Some(detections) = settings.get_mut("detections").and_then(Value::as_object_mut) {
        for (class, detection) in detections.iter_mut() {
            let Some(detection) = detection.as_object_mut() else { continue };
            if let Some(mode) = mode(detection.remove("mode")) {
                classes.insert(class.clone(), mode?);
            }
        }
        detections.retain(|_, detection| detection.as_object().is_none_or(|detection| !detection.is_empty()));
        if detections.is_empty() {
            settings.remove("detections");
        }
    }
    Some((Modes { all, classes }, share))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::only_lowers;

    #[test]
    fn only_edits_of_modes_and_the_share_downwards_are_the_lever() {
        let table = [
            ("{mode: Block}", "{mode: Monitor}", true),
            ("{mode: Block}", "{mode: 'Off'}", true),
            ("{mode: Monitor}", "{mode: 'Off'}", true),
            ("{mode: Block}", "{}", true),
            ("{}", "{mode: Monitor}", true),
            ("{}", "{mode: 'Off'}", true),
            ("{}", "{mode: Block}", false),
            ("{mode: 'Off'}", "{}", false),
            ("{mode: Monitor}", "{mode: Block}", false),
            ("{mode: Block}", "{mode: Monitor, failureMode: Closed}", false),
            ("{mode: Block, failureMode: Open}", "{mode: Monitor, failureMode: Open}", true),
            // A class that is not named follows the policy.
            (
                "{mode: Monitor, detections: {sqlInjection: {mode: Block}}}",
                "{mode: Monitor, detections: {sqlInjection: {mode: Monitor}}}",
                true,
            ),
            ("{detections: {sqlInjection: {mode: Block}}}", "{}", true),
            ("{mode: Block, detections: {sqlInjection: {mode: 'Off'}}}", "{mode: Block}", false),
            ("{mode: Block}", "{mode: Block, detections: {sqlInjection: {mode: 'Off'}}}", true),
            ("{mode: Monitor}", "{mode: 'Off', detections: {sqlInjection: {mode: Block}}}", false),
            (
                "{detections: {sqlInjection: {mode: Block, minConfidence: Low}}}",
                "{detections: {sqlInjection: {minConfidence: Low}}}",
                true,
            ),
            (
                "{detections: {sqlInjection: {mode: Block, minConfidence: Low}}}",
                "{detections: {sqlInjection: {mode: Monitor}}}",
                false,
            ),
            ("{overrides: {mode: Block}}", "{overrides: {mode: Monitor}}", true),
            ("{defaults: {mode: Block}}", "{defaults: {}}", true),
            ("{defaults: {mode: Block}}", "{overrides: {mode: Monitor}}", false),
            ("{overrides: {mode: Monitor}}", "{overrides: {mode: Block}}", false),
            ("{mode: Block, signatures: [{id: 1}]}", "{mode: Monitor, signatures: [{id: 1}]}", true),
            ("{mode: Block, signatures: [{id: 1}]}", "{mode: Monitor, signatures: [{id: 2}]}", false),
            ("{mode: Block}", "{mode: Blok}", false),
            ("[]", "{mode: Block}", false),
            // The share.
            ("{enforcement: {percent: 50}}", "{enforcement: {percent: 10}}", true),
            ("{mode: Block, enforcement: {percent: 50}}", "{mode: Monitor, enforcement: {percent: 0}}", true),
            (
                "{mode: Monitor, enforcement: {percent: 50}}",
                "{mode: Block, enforcement: {percent: 0}}",
                false,
            ),
            ("{enforcement: {percent: 10}}", "{enforcement: {percent: 50}}", false),
            ("{enforcement: {percent: 10}}", "{enforcement: {percent: -1}}", false),
            ("{enforcement: {percent: 10}}", "{}", false),
            ("{}", "{enforcement: {percent: 10}}", false),
            ("{}", "{enforcement: {percent: 0}}", true),
            (
                "{enforcement: {percent: 50, hashOn: Header, header: a}}",
                "{enforcement: {percent: 10, hashOn: Header, header: a}}",
                true,
            ),
            (
                "{enforcement: {percent: 50, hashOn: Header, header: a}}",
                "{enforcement: {percent: 10, hashOn: Header, header: b}}",
                false,
            ),
            ("{enforcement: {rollout: {steps: [50]}}}", "{enforcement: {percent: 10}}", false),
            ("{enforcement: {rollout: {steps: [50]}}}", "{enforcement: {percent: 0}}", true),
            ("{enforcement: {percent: 50}}", "{enforcement: {rollout: {steps: [1]}}}", false),
            ("{enforcement: {percent: 50}}", "{enforcement: {percent: 10}, failureMode: Open}", false),
        ];
        let object = |spec: &str| json!({ "spec": serde_yaml::from_str::<Value>(spec).unwrap() });
        for (old, new, expected) in table {
            assert_eq!(only_lowers(&object(old), &object(new)), expected, "{old} -> {new}");
        }
    }
}
