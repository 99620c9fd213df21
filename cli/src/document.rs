//! One document in, one out: reads it, changes the objects in it, and proves that nothing else changed.
//! Called by `main` for every document of every file.

use crate::edit::Edits;
use crate::outcome::Outcome;
use crate::tree::{self, Node};
use crate::workload::{self, Object};

/// What a document became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The text to write; the very text that was read where nothing changed.
    pub text: String,
    /// What became of each object: its label, the outcome, and warnings.
    pub told: Vec<(String, Outcome, Vec<String>)>,
}

/// What is to be done with one object.
pub trait Change {
    /// Adds its edits where the object is to be changed.
    fn change(&self, object: &Object<'_>, edits: &mut Edits<'_>) -> (Outcome, Vec<String>);
    /// Whether the object before and the one that came out differ in nothing but what [`Change::change`] meant.
    fn is_meant(&self, before: &Object<'_>, after: &Object<'_>) -> bool;
}

/// Changes a document.
pub fn change(text: &str, change: &dyn Change) -> Changed {
    let unchanged = |label: &str, outcome| Changed {
        text: text.to_owned(),
        told: vec![(label.to_owned(), outcome, Vec::new())],
    };
    let root = match tree::read(text) {
        Ok(Some(root)) => root,
        Ok(None) => return Changed { text: text.to_owned(), told: Vec::new() },
        Err(error) => {
            return unchanged("document", Outcome::Refused("no_yaml".to_owned(), error.to_string()));
        }
    };
    let mut told = Vec::new();
    let mut edits = Edits::new(text);
    for object in workload::objects(&root) {
        let before = edits.mark();
        let (outcome, warnings) = change.change(&object, &mut edits);
        if outcome.is_failure() {
            edits.back_to(before);
        }
        told.push((object.label(), outcome, warnings));
    }
    let new = edits.apply();
    if !is_meant(&root, &new, change) {
        let label = told.first().map_or_else(String::new, |(label, ..)| label.clone());
        let text = "its style cannot be edited without changing more: write it in block style".to_owned();
        return unchanged(&label, Outcome::Refused("unwritable".to_owned(), text));
    }
    Changed { text: new, told }
}

fn is_meant(root: &Node, new: &str, change: &dyn Change) -> bool {
    let Ok(Some(after)) = tree::read(new) else { return false };
    let (before, after) = (workload::objects(root), workload::objects(&after));
    before.len() == after.len()
        && before.iter().zip(&after).all(|(before, after)| change.is_meant(before, after))
}
