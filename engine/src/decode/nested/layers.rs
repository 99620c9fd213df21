//! Where we are in the readings of one value, and what that means for what is found there. Part of the budget, since a
//! reading is yielded like any value and comes back here.

use super::super::Field;
use crate::finding::{Confidence, Encodings, Part};

/// What was undone to get from one reading to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub encodings: Encodings,
    /// How many of the layers it takes.
    pub layers: usize,
    /// Ordinary data is written like that: nothing that is found is more than [`Confidence::Medium`].
    pub is_doubtful: bool,
    /// Letters were escaped, which nobody does who has nothing to hide.
    pub is_disguised: bool,
}

impl Step {
    pub(super) fn of(encodings: Encodings) -> Self {
        Self { encodings, layers: 1, is_doubtful: false, is_disguised: false }
    }
}

/// The state between two readings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State {
    depth: usize,
    encodings: Encodings,
    is_doubtful: bool,
    is_disguised: bool,
}

/// The readings that we are in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layers {
    state: State,
    outer: Option<(Part, usize)>,
    /// Name of the outer value, cut.
    name: Vec<u8>,
    /// For each depth the buffer that its reading is made in.
    buffers: [Vec<u8>; super::LAYERS + 1],
}

/// The value that a reading was made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outer<'a> {
    pub part: Part,
    pub name: &'a [u8],
    pub length: usize,
    pub encodings: Encodings,
}

impl Layers {
    pub(super) fn depth(&self) -> usize {
        self.state.depth
    }

    /// The buffer for the reading of a value at this depth, which may have been used before.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.buffers.get_mut(self.state.depth).map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn give_back(&mut self, buffer: Vec<u8>) {
        if let Some(place) = self.buffers.get_mut(self.state.depth) {
            *place = buffer;
        }
    }

    /// Gives what [`Self::leave`] restores.
    pub(super) fn enter(&mut self, field: &Field<'_>, step: Step) -> State {
        let outside = self.state;
        if outside.depth == 0 {
            self.outer = Some((field.part, field.value.len()));
            self.name.clear();
            self.name.extend(field.name.iter().take(LONGEST_NAME));
        }
        self.state = State {
            depth: outside.depth + step.layers,
            encodings: outside.encodings | step.encodings,
            is_doubtful: outside.is_doubtful | step.is_doubtful,
            is_disguised: outside.is_disguised | step.is_disguised,
        };
        outside
    }

    pub(super) fn leave(&mut self, outside: State) {
        self.state = outside;
        if outside.depth == 0 {
            self.outer = None;
        }
    }

    /// The value that is really in the message, where we are in a reading of it.
    pub(crate) fn outer(&self) -> Option<Outer<'_>> {
        let (part, length) = self.outer?;
        Some(Outer { part, name: &self.name, length, encodings: self.state.encodings })
    }

    /// Whether letters were escaped to get here.
    pub(crate) fn is_disguised(&self) -> bool {
        self.state.is_disguised
    }

    /// What a finding in this reading is worth. Percent-encoding is no reason for doubt: applications do it.
    pub(crate) fn weigh(&self, confidence: Confidence) -> Confidence {
        let State { encodings, is_doubtful, is_disguised, .. } = self.state;
        match confidence {
            Confidence::High | Confidence::Certain if is_doubtful => Confidence::Medium,
            Confidence::Medium if is_disguised && !is_doubtful => Confidence::High,
            Confidence::Medium if !encodings.without(Encodings::PERCENT).is_empty() => Confidence::Low,
            known => known,
        }
    }
}

/// No longer name is shown.
const LONGEST_NAME: usize = 64;
