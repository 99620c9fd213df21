//! The judgement: a pure function of findings, modes, coverage and failure mode, and the only maker of [`Pass`].
//!
//! | first row that applies | verdict | outcome |
//! |---|---|---|
//! | finding >= minConfidence, its class in Block; or two that meet | block | refuse, configured status |
//! | over a limit, mode Block | block | refuse 413 |
//! | failure, or one of a class in Block; mode Block, Closed | error | refuse 503 |
//! | a body that holds values nobody can read, mode Block, Closed | block | refuse 415 or 400 |
//! | the same with a class in Monitor; or over a limit, mode Monitor | would_block | forward |
//! | failure, or one of a class; mode Block (Open) or Monitor | error | forward |
//! | anything else | allow | forward |
//!
//! For a request outside of the share of `spec.enforcement` every Block of the table is Monitor.
//!
//! Two findings of `Medium` meet when they are independent: of two rules, in two parameters, of classes in Block.

use rasp_policy::api::{Confidence, FailureMode, Mode};
use rasp_policy::class::{Class, Classes};
use rasp_policy::precedence::{Effective, EffectiveDetection};

use crate::exception::Excepted;
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
    /// Evidence that the policy excepts. It changes no verdict.
    pub excepted: Vec<Excepted>,
    /// How much of the request was inspected.
    pub coverage: Coverage,
    /// What happens to the request.
    pub outcome: Outcome,
}

pub(crate) fn decide(effective: &Effective, inspection: Inspection, enforced: bool) -> Judgement {
    let coverage = inspection.coverage();
    let (verdict, refusal) = judge(InForce { effective, enforced }, &inspection);
    let outcome = match refusal {
        None => Outcome::Forward(Pass { _judged: () }),
        Some(refusal) => Outcome::Refuse(refusal),
    };
    Judgement {
        verdict,
        findings: inspection.findings,
        excepted: inspection.excepting.taken,
        coverage,
        outcome,
    }
}

/// What is in force for one request: nothing here may read a mode past it.
#[derive(Clone, Copy)]
struct InForce<'a> {
    effective: &'a Effective,
    /// Whether the request is in the share for which Block is Block.
    enforced: bool,
}

impl InForce<'_> {
    fn mode(self) -> Mode {
        self.effective.mode.in_share(self.enforced)
    }

    fn detection(self, class: Class) -> EffectiveDetection {
        self.effective.detection(class).in_share(self.enforced)
    }
}

fn judge(policy: InForce<'_>, inspection: &Inspection) -> (Verdict, Option<Refusal>) {
    let detected = |mode: Mode| {
        inspection.findings.iter().any(|finding| {
            let detection = policy.detection(finding.class);
            detection.mode == mode && finding.confidence >= detection.min_confidence
        }) || meet(policy, &inspection.findings, mode)
    };
    let effect = match inspection.coverage {
        Coverage::Full => Effect::Passes,
        Coverage::Partial(reason) => reason.effect(),
    };
    let lost = strictest(policy, inspection.lost());
    let met = |wanted: Effect, mode: Mode| effect == wanted && policy.mode() == mode;
    let failed = |mode: Mode| met(Effect::Failure, mode) || lost == Some(mode);
    let closed = policy.effective.failure_mode == FailureMode::Closed;
    let refuse = |status, why| Some(Refusal { status, why });
    match effect {
        _ if detected(Mode::Block) => {
            (Verdict::Block, refuse(policy.effective.response_status, Why::Detected))
        }
        _ if met(Effect::OverLimit, Mode::Block) => (Verdict::Block, refuse(413, Why::BodyTooLarge)),
        _ if closed && failed(Mode::Block) => (Verdict::Error, refuse(503, Why::NotJudged)),
        Effect::Unread(status) if closed && policy.mode() == Mode::Block => {
            (Verdict::Block, refuse(status, Why::NotJudged))
        }
        _ if detected(Mode::Monitor) || met(Effect::OverLimit, Mode::Monitor) => (Verdict::WouldBlock, None),
        _ if failed(Mode::Block) || failed(Mode::Monitor) => (Verdict::Error, None),
        _ => (Verdict::Allow, None),
    }
}

/// The strictest mode of these classes. One that only watches must not refuse anything by failing.
fn strictest(policy: InForce<'_>, classes: Classes) -> Option<Mode> {
    if classes.is_empty() {
        return None;
    }
    let blocks = classes.iter().any(|class| policy.detection(class).mode == Mode::Block);
    Some(if blocks { Mode::Block } else { Mode::Monitor })
}

/// Whether two findings meet that are too weak alone. `mode` is that of the weaker of their classes.
///
/// What two rules see in one value is one thing: code and markup look like attacks of many kinds at once, which is
/// why values of documents do not count either. Nor does a class of which the policy wants to be surer than `High`.
fn meet(policy: InForce<'_>, findings: &[Finding], mode: Mode) -> bool {
    let counts = |finding: &&Finding| {
        let detection = policy.detection(finding.class);
        finding.confidence == Confidence::Medium
            && detection.min_confidence == Confidence::High
            && matches!(detection.mode, Mode::Block | Mode::Monitor)
            && finding.location.part.is_parameter()
    };
    let weak = || findings.iter().filter(counts).take(MOST);
    weak().enumerate().any(|(at, one)| {
        weak().skip(at + 1).any(|other| {
            let modes = [one, other].map(|finding| policy.detection(finding.class).mode);
            let weaker = if modes.contains(&Mode::Monitor) { Mode::Monitor } else { Mode::Block };
            weaker == mode && are_independent(one, other)
        })
    })
}

/// More are not compared with each other.
const MOST: usize = 16;

fn are_independent(one: &Finding, other: &Finding) -> bool {
    let is_elsewhere = one.location.part != other.location.part || one.location.name != other.location.name;
    one.rule != other.rule && is_elsewhere
}

#[cfg(test)]
mod tests;
