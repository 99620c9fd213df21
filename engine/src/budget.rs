//! What inspecting one message may cost. Counted in units, never in time: the same message costs the same everywhere.

use crate::decode::Layers;
use crate::reason::Reason;

/// Upper bounds for one message. Reaching one lowers the coverage; it is never a silent pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Names and values that are inspected.
    pub parts: usize,
    /// Nesting of JSON and of GraphQL.
    pub depth: usize,
    /// Bytes that decoding may produce.
    pub decoded_bytes: usize,
    /// Work units: about one per byte and pass of a detector.
    pub work: usize,
}

impl Limits {
    /// Bounds for a message whose body is inspected up to `max_body_bytes`, with 64 KiB for the head.
    ///
    /// A byte is at most a part of its own. It is decoded up to 20 times: once as it came and four times more
    /// (`decode::nested`), in a pair and in a piece between semicolons, as a value and in a pair that has no
    /// name; a form that looks like JSON is read as both, and transcoded first. That is 36 times at most. Detecting takes at most 17 units a
    /// byte, but only what looks like SQL everywhere takes that: 128 units a byte are an attempt to make inspection
    /// expensive. Lower bounds would let an attacker hide behind padding where the failure mode is Open.
    pub fn for_body(max_body_bytes: usize) -> Self {
        let bytes = 65_536 + max_body_bytes;
        Self { parts: bytes, depth: 64, decoded_bytes: 36 * bytes, work: 128 * bytes }
    }
}

/// What decoders make of one message at most, beside its [`Limits`], as the policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Bytes of a compressed body for each that came.
    pub ratio: usize,
    /// Bytes of a compressed body.
    pub inflated: usize,
    /// Parts of a multipart body.
    pub multipart: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { ratio: 100, inflated: usize::MAX, multipart: 1_000 }
    }
}

/// Values that nothing looks at, which are not drawn on a budget yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    parts: usize,
    decoded: usize,
    work: usize,
}

impl Passed {
    /// A name, which came as it is.
    #[inline]
    pub(crate) fn name(&mut self, name: &[u8]) {
        self.parts += 1;
        self.work += name.len();
    }

    /// A value that was decoded.
    #[inline]
    pub(crate) fn value(&mut self, value: &[u8]) {
        self.parts += 1;
        self.decoded += value.len();
        self.work += value.len();
    }
}

/// What is left of the [`Limits`] of one message.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    limits: Limits,
    bounds: Bounds,
    spent: Limits,
    /// JSON documents inside of strings of JSON documents.
    documents: usize,
    /// Documents of GraphQL in the message.
    operations: usize,
    /// The file that is yielded is said to be a picture or the like.
    is_media: bool,
    layers: Layers,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            bounds: Bounds::default(),
            spent: Limits { parts: 0, depth: 0, decoded_bytes: 0, work: 0 },
            documents: 0,
            operations: 0,
            is_media: false,
            layers: Layers::default(),
        }
    }

    pub(crate) fn within(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    pub(crate) fn bounds(&self) -> Bounds {
        self.bounds
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

    /// Bytes that a body with a `content-encoding` may become, so that enough is left for reading it.
    pub(crate) fn inflated(&self) -> usize {
        (self.limits.decoded_bytes / 7).min(self.bounds.inflated)
    }

    pub(crate) fn work(&mut self, units: usize) -> Result<(), Reason> {
        self.spent.work = self.spent.work.saturating_add(units);
        if self.spent.work > self.limits.work { Err(Reason::WorkLimit) } else { Ok(()) }
    }

    pub(crate) fn allows_depth(&self, depth: usize) -> Result<(), Reason> {
        if depth > self.limits.depth { Err(Reason::TooDeep) } else { Ok(()) }
    }

    /// Draws for values that nothing looks at, all at once.
    pub(crate) fn passed(&mut self, passed: Passed) -> Result<(), Reason> {
        self.spent.parts = self.spent.parts.saturating_add(passed.parts);
        if self.spent.parts > self.limits.parts {
            return Err(Reason::TooManyParts);
        }
        self.decoded(passed.decoded)?;
        self.work(passed.work)
    }

    /// Enters a document. Each one inside of a string of another takes stack of its own.
    pub(crate) fn enter_document(&mut self) -> Result<(), Reason> {
        if self.documents >= MAX_DOCUMENTS {
            return Err(Reason::TooDeep);
        }
        self.documents += 1;
        Ok(())
    }

    pub(crate) fn leave_document(&mut self) {
        self.documents = self.documents.saturating_sub(1);
    }

    /// What the type of the file says that is yielded next.
    pub(crate) fn declare_media(&mut self, is_media: bool) {
        self.is_media = is_media;
    }

    /// Whether the file that is yielded is said to be a picture, a sound, a film, a font or a PDF.
    pub(crate) fn is_media(&self) -> bool {
        self.is_media
    }

    /// One more document of GraphQL was read.
    pub(crate) fn operation(&mut self) {
        self.operations += 1;
    }

    /// How many there were so far.
    pub(crate) fn operations(&self) -> usize {
        self.operations
    }

    /// The readings of a value that we are in.
    pub(crate) fn layers(&mut self) -> &mut Layers {
        &mut self.layers
    }

    pub(crate) fn spent_work(&self) -> usize {
        self.spent.work
    }
}

/// Real messages have one, and one more where a gateway wraps what it got.
const MAX_DOCUMENTS: usize = 4;
