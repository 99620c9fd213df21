//! What was found in a value, and how sure the best of it is.

use super::rules::Rule;
use crate::finding::Confidence;

/// Evidence for one rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence {
    pub rule: Rule,
    pub confidence: Confidence,
    /// First byte of it in the value.
    pub start: usize,
    pub end: usize,
    /// It uses what ordinary code uses rarely.
    pub hostile: bool,
}

/// The surest evidence so far; the first of equals.
#[derive(Debug, Default)]
pub(super) struct Best(pub Option<Evidence>);

impl Best {
    pub(super) fn see(&mut self, evidence: Evidence) {
        if self.0.is_none_or(|known| evidence.confidence > known.confidence) {
            self.0 = Some(evidence);
        }
    }
}
