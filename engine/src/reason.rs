//! Why a request, or a part of it, was not inspected. Closed: the id is metric label, log field and status reason at
//! once, so every value is frozen.

/// Why something was not inspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Every detection is Off.
    DetectionOff,
    /// The connection does not carry a protocol that is inspected.
    OpaqueProtocol,
    /// The body is binary, by its type or by its bytes.
    OpaqueBody,
    /// The body has a structured type without a decoder.
    UnsupportedBody,
    /// The body has a `content-encoding`, and its type is none of the binary ones.
    EncodedBody,
    /// The body is not what its type says; its raw text was inspected.
    MalformedBody,
    /// The body is longer than the inspection limit.
    BodyTooLarge,
    /// The message has more values than are inspected.
    TooManyParts,
    /// The message is nested deeper than is inspected.
    TooDeep,
    /// Decoding produced more bytes than are inspected.
    DecodedTooLarge,
    /// The detectors used up their work units.
    WorkLimit,
    /// The detector keeps failing and is left out for a while.
    Suspended,
    /// Inspecting failed.
    InternalError,
    /// No policy was ever loaded.
    NoPolicy,
}

/// What a [`Reason`] means for the judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// There is nothing to inspect: passes in every mode, counted.
    Passes,
    /// A body of a kind that holds values, which no detector can read. In Block, Open lets it pass and Closed refuses it with this status; it is no
    /// failure, so that the verdict is no error.
    Unread(u16),
    /// Over a limit: refused in Block.
    OverLimit,
    /// Could not be judged: the failure mode decides in Block.
    Failure,
}

impl Reason {
    /// Every reason, from the least to the most serious; of several, the most serious one is kept.
    pub const ALL: [Self; 14] = [
        Self::DetectionOff,
        Self::OpaqueProtocol,
        Self::OpaqueBody,
        Self::UnsupportedBody,
        Self::EncodedBody,
        Self::MalformedBody,
        Self::TooManyParts,
        Self::TooDeep,
        Self::DecodedTooLarge,
        Self::WorkLimit,
        Self::BodyTooLarge,
        Self::Suspended,
        Self::InternalError,
        Self::NoPolicy,
    ];

    /// Metric label, log field and status reason.
    pub fn id(self) -> &'static str {
        match self {
            Self::DetectionOff => "detection_off",
            Self::OpaqueProtocol => "opaque_protocol",
            Self::OpaqueBody => "opaque_body",
            Self::UnsupportedBody => "unsupported_body",
            Self::EncodedBody => "encoded_body",
            Self::MalformedBody => "malformed_body",
            Self::BodyTooLarge => "body_too_large",
            Self::TooManyParts => "too_many_parts",
            Self::TooDeep => "too_deep",
            Self::DecodedTooLarge => "decoded_too_large",
            Self::WorkLimit => "work_limit",
            Self::Suspended => "suspended",
            Self::InternalError => "internal_error",
            Self::NoPolicy => "no_policy",
        }
    }

    /// What it means for the judgement.
    pub fn effect(self) -> Effect {
        match self {
            // A picture is no failure: there is nothing in it to judge, whatever the failure mode says (ADR 8).
            Self::DetectionOff | Self::OpaqueProtocol | Self::OpaqueBody => Effect::Passes,
            // Unsupported Media Type (RFC 9110 section 15.5.16) is about codings as well.
            Self::UnsupportedBody | Self::EncodedBody => Effect::Unread(415),
            Self::MalformedBody => Effect::Unread(400),
            Self::BodyTooLarge => Effect::OverLimit,
            Self::TooManyParts
            | Self::TooDeep
            | Self::DecodedTooLarge
            | Self::WorkLimit
            | Self::Suspended
            | Self::InternalError
            | Self::NoPolicy => Effect::Failure,
        }
    }
}
