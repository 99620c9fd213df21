//! The judgement: a pure function of findings, modes, coverage and failure mode, and the only maker of [`Pass`].
//!
//! | first row that applies | verdict | outcome |
//! |---|---|---|
//! | finding >= minConfidence, its class in Block | block | refuse, configured status |
//! | over a limit, mode Block | block | refuse 413 |
//! | failure, mode Block, Closed | error | refuse 503 |
//! | a body that holds values nobody can read, mode Block, Closed | block | refuse 415 or 400 |
//! | finding >= minConfidence, its class in Monitor; or over a limit, mode Monitor | would_block | forward |
//! | failure, mode Block (Open) or Monitor | error | forward |
//! | anything else | allow | forward |

use rasp_policy::api::{FailureMode, Mode};
use rasp_policy::precedence::Effective;

use crate::finding::Finding;
use crate::reason::Effect;
use crate::ruleset::{Coverage, Inspection};

/// The judgement in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Nothing that the policy acts on.
    Allow,
    /// Block would have refused it.
    WouldBlock,
    /// Refused by policy.
    Block,
    /// It could not be judged.
    Error,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 4] = [Self::Allow, Self::WouldBlock, Self::Block, Self::Error];

    /// Metric label and event field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::WouldBlock => "would_block",
            Self::Block => "block",
            Self::Error => "error",
        }
    }
}

/// The proof that a request was judged and may go on. Only [`crate::Ruleset::decide`] makes one.
///
/// ```compile_fail
/// let forged = rasp_engine::Pass { _judged: () };
/// ```
#[derive(Debug)]
#[must_use = "a Pass is spent by forwarding the request"]
pub struct Pass {
    _judged: (),
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// An attack was detected.
    Detected,
    /// The body is longer than the inspection limit.
    BodyTooLarge,
    /// It could not be judged, and the failure mode is Closed.
    NotJudged,
}

impl Why {
    /// Event field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Detected => "detected",
            Self::BodyTooLarge => "body_too_large",
            Self::NotJudged => "not_judged",
        }
    }
}

/// A refused request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status of the answer.
    pub status: u16,
    /// Why.
    pub why: Why,
}

/// What happens to the request.
#[derive(Debug)]
pub enum Outcome {
    /// It goes on.
    Forward(Pass),
    /// It does not.
    Refuse(Refusal),
}

/// The judgement over one request.
#[derive(Debug)]
pub struct Judgement {
    /// In one word.
    pub verdict: Verdict,
    /// All evidence, also what the policy does not act on.
    pub findings: Vec<Finding>,
    /// How much of the request was inspected.
    pub coverage: Coverage,
    /// What happens to the request.
    pub outcome: Outcome,
}

pub(crate) fn decide(effective: &Effective, inspection: Inspection) -> Judgement {
    let Inspection { findings, coverage, .. } = inspection;
    let (verdict, refusal) = judge(effective, &findings, coverage);
    let outcome = match refusal {
        None => Outcome::Forward(Pass { _judged: () }),
        Some(refusal) => Outcome::Refuse(refusal),
    };
    Judgement { verdict, findings, coverage, outcome }
}

fn judge(effective: &Effective, findings: &[Finding], coverage: Coverage) -> (Verdict, Option<Refusal>) {
    let detected = |mode: Mode| {
        findings.iter().any(|finding| {
            let detection = effective.detection(finding.class);
            detection.mode == mode && finding.confidence >= detection.min_confidence
        })
    };
    let effect = match coverage {
        Coverage::Full => Effect::Passes,
        Coverage::Partial(reason) => reason.effect(),
    };
    let refuse = |status, why| Some(Refusal { status, why });
    if detected(Mode::Block) {
        return (Verdict::Block, refuse(effective.response_status, Why::Detected));
    }
    match (effect, effective.mode, effective.failure_mode) {
        (Effect::OverLimit, Mode::Block, _) => (Verdict::Block, refuse(413, Why::BodyTooLarge)),
        (Effect::Failure, Mode::Block, FailureMode::Closed) => (Verdict::Error, refuse(503, Why::NotJudged)),
        (Effect::Unread(status), Mode::Block, FailureMode::Closed) => {
            (Verdict::Block, refuse(status, Why::NotJudged))
        }
        _ if detected(Mode::Monitor) => (Verdict::WouldBlock, None),
        (Effect::OverLimit, Mode::Monitor, _) => (Verdict::WouldBlock, None),
        (Effect::Failure, Mode::Block | Mode::Monitor, _) => (Verdict::Error, None),
        _ => (Verdict::Allow, None),
    }
}

#[cfg(test)]
mod tests;
