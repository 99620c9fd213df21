//! Whether an edit does nothing but lower modes: the lever of an incident, which must work whatever else is wrong.
//!
//! Compared as JSON, so that it works on objects that cannot be read. A mode that is absent counts as Monitor, the built-in.

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

/// Whether nothing but modes differs, and no mode is higher than it was. Taking a mode away is an edit of it.
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
    let (Some(old), Some(new)) = (old, new) else { return false };
    new.all <= old.all
        && old.classes.keys().chain(new.classes.keys()).all(|class| new.of(class) <= old.of(class))
}

/// Takes the modes out; `None` where one of them is none.
fn take(settings: &mut Value) -> Option<Modes> {
    let Some(settings) = settings.as_object_mut() else {
        return Some(Modes { all: Mode::Monitor, classes: BTreeMap::new() });
    };
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
    Some(Modes { all, classes })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::only_lowers;

    #[test]
    fn only_edits_of_modes_downwards_are_the_lever() {
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
        ];
        let object = |spec: &str| json!({ "spec": serde_yaml::from_str::<Value>(spec).unwrap() });
        for (old, new, expected) in table {
            assert_eq!(only_lowers(&object(old), &object(new)), expected, "{old} -> {new}");
        }
    }
}
