//! What inspecting one message may cost. Counted in units, never in time: the same message costs the same everywhere.

use crate::reason::Reason;

/// Upper bounds for one message. Reaching one lowers the coverage; it is never a silent pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Names and values that are inspected.
    pub parts: usize,
    /// Nesting of JSON, and of encodings.
    pub depth: usize,
    /// Bytes that decoding may produce.
    pub decoded_bytes: usize,
    /// Work units: about one per byte and pass of a detector.
    pub work: usize,
}

impl Limits {
    /// Bounds for a message whose body is inspected up to `max_body_bytes`.
    ///
    /// Each byte may be decoded three times and read by five contexts of the detector; the constant part is for the
    /// head. More than that is an attempt to make inspection expensive.
    pub fn for_body(max_body_bytes: usize) -> Self {
        Self {
            parts: 10_000,
            depth: 64,
            decoded_bytes: 65_536 + 3 * max_body_bytes,
            work: 1_048_576 + 64 * max_body_bytes,
        }
    }
}

/// What is left of the [`Limits`] of one message.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    limits: Limits,
    spent: Limits,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, spent: Limits { parts: 0, depth: 0, decoded_bytes: 0, work: 0 } }
    }

    pub(crate) fn part(&mut self) -> Result<(), Reason> {
        self.spent.parts += 1;
        if self.spent.parts > self.limits.parts { Err(Reason::TooManyParts) } else { Ok(()) }
    }

    pub(crate) fn decoded(&mut self, bytes: usize) -> Result<(), Reason> {
        self.spent.decoded_bytes = self.spent.decoded_bytes.saturating_add(bytes);
        if self.spent.decoded_bytes > self.limits.decoded_bytes {
            Err(Reason::DecodedTooLarge)
        } else {
            Ok(())
        }
    }

    pub(crate) fn work(&mut self, units: usize) -> Result<(), Reason> {
        self.spent.work = self.spent.work.saturating_add(units);
        if self.spent.work > self.limits.work { Err(Reason::WorkLimit) } else { Ok(()) }
    }

    pub(crate) fn allows_depth(&self, depth: usize) -> Result<(), Reason> {
        if depth > self.limits.depth { Err(Reason::TooDeep) } else { Ok(()) }
    }

    pub(crate) fn spent_work(&self) -> usize {
        self.spent.work
    }
}
