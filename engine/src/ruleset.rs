//! The compiled policy and the one pipeline: decode, prefilter, detect. Immutable, shared by `Arc`, swapped as a whole.
//! It never decides: that is [`crate::decide`].

use std::sync::Arc;

use rasp_policy::api::{FailureMode, Mode};
use rasp_policy::class::{Class, Classes};
use rasp_policy::precedence::Effective;

use crate::budget::{Bounds, Budget, Limits};
use crate::decide::{self, Judgement};
use crate::decode::{self, Framing, Kind, Visit as _};
use crate::exception::{self, Excepting, Exceptions};
use crate::exploit;
use crate::finding::Finding;
use crate::message::{Body, BodyPlan, Head};
use crate::reason::Reason;

mod scan;

use scan::{Detection, Scan};

/// How much of a message was really inspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coverage {
    /// All that has a decoder.
    Full,
    /// Not all of it; the most serious reason.
    Partial(Reason),
}

impl Coverage {
    /// Less by this reason, unless there is a more serious one.
    fn or(self, reason: Reason) -> Self {
        let rank = |reason: Reason| Reason::ALL.iter().position(|candidate| *candidate == reason);
        match self {
            Self::Partial(known) if rank(known) >= rank(reason) => self,
            _ => Self::Partial(reason),
        }
    }
}

/// Why a Ruleset could not be built. The policy is at fault, never traffic.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// `response.status` is not an error status.
    #[error("response.status is {status}: use a status from 400 to 599")]
    ResponseStatus {
        /// The value.
        status: u16,
    },
    /// `inspection.maxBodyBytes` is outside of what memory is planned for.
    #[error("inspection.maxBodyBytes is {bytes}: use 1 to 16777216")]
    MaxBodyBytes {
        /// The value.
        bytes: usize,
    },
    /// An exception names what does not exist.
    #[error("exceptions[{id}].{field} is {value}, which does not exist: {list}")]
    Exception {
        /// `policy/name` of the exception.
        id: String,
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// Where those that exist are listed.
        list: &'static str,
    },
    /// A signature that a policy carries cannot be.
    #[error("signatures[{id}]: {what}")]
    Signature {
        /// Its id.
        id: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// The signatures of known exploits could not be read.
    #[error("read the signatures of known exploits")]
    ReadSignatures(#[source] exploit::signature::Error),
}

impl BuildError {
    pub(crate) fn signature(id: &str, error: &exploit::signature::Error) -> Self {
        let what = match error {
            exploit::signature::Error::Signature { what, .. } => (*what).to_owned(),
            exploit::signature::Error::Parse(what) => what.clone(),
        };
        Self::Signature { id: id.to_owned(), what }
    }
}

/// What inspecting one message found, and what it cost.
#[derive(Clone, Debug)]
pub struct Inspection {
    pub(crate) findings: Vec<Finding>,
    pub(crate) coverage: Coverage,
    pub(crate) budget: Budget,
    pub(crate) excepting: Excepting,
    /// Known exploits that the request may be.
    pub(crate) watch: exploit::Watch,
    without: Classes,
    /// Those of them that should have looked at a value.
    suspended: Classes,
    /// Those whose detector panicked on a value.
    failed: Classes,
    run: Run,
}

/// Which detectors were run, and how that went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Those that were run on a value.
    pub ran: Classes,
    /// Those that panicked. Their panic took nothing else with it.
    pub panicked: Classes,
    /// The one that spent most work units, if any did.
    pub costliest: Option<(Class, usize)>,
}

impl Inspection {
    /// The inspection of a message that could not be inspected, for example after a caught panic.
    pub fn failed(reason: Reason) -> Self {
        let mut inspection = Self::new(Limits::for_body(0));
        inspection.note(reason);
        inspection
    }

    fn new(limits: Limits) -> Self {
        Self {
            findings: Vec::new(),
            coverage: Coverage::Full,
            budget: Budget::new(limits),
            excepting: Excepting::default(),
            watch: exploit::Watch::default(),
            without: Classes::NONE,
            suspended: Classes::NONE,
            failed: Classes::NONE,
            run: Run::default(),
        }
    }

    #[cfg(test)]
    pub(crate) fn for_test(findings: Vec<Finding>) -> Self {
        Self { findings, ..Self::new(Limits::for_body(0)) }
    }

    /// Evidence so far.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Coverage so far.
    pub fn coverage(&self) -> Coverage {
        let lost = [(self.failed, Reason::InternalError), (self.suspended, Reason::Suspended)];
        lost.into_iter()
            .filter(|(classes, _)| !classes.is_empty())
            .fold(self.coverage, |coverage, (_, reason)| coverage.or(reason))
    }

    /// Work units spent so far.
    pub fn work(&self) -> usize {
        self.budget.spent_work()
    }

    /// Leaves these classes out from now on. A value that one of them would have looked at counts as not judged by it.
    pub fn leave_out(&mut self, classes: Classes) {
        self.without = classes;
    }

    /// Counts a value as not judged by a class whose detector panicked on it.
    pub fn panicked(&mut self, class: Class) {
        self.run.panicked.insert(class);
        self.failed.insert(class);
    }

    /// Classes that did not judge a value they should have judged.
    pub(crate) fn lost(&self) -> Classes {
        self.suspended.with(self.failed)
    }

    /// Which detectors were run since this was asked last.
    pub fn take_run(&mut self) -> Run {
        std::mem::take(&mut self.run)
    }

    /// Bounds memory: a message can hold an attack in each of its values. The surest ones are kept.
    pub(crate) fn keep(&mut self, finding: Finding) {
        let Some(finding) = self.excepting.take(finding) else { return };
        let findings = &mut self.findings;
        if findings.len() < MAX_FINDINGS {
            findings.push(finding);
        } else if let Some(weakest) = findings.iter_mut().min_by_key(|known| known.confidence)
            && weakest.confidence < finding.confidence
        {
            *weakest = finding;
        }
    }

    /// Whether the same was found in the same value, as surely: most readings of an attack are one.
    pub(crate) fn knows(&self, finding: &Finding) -> bool {
        self.findings.iter().any(|known| {
            known.rule == finding.rule
                && known.confidence >= finding.confidence
                && known.location.part == finding.location.part
                && known.location.name == finding.location.name
        })
    }

    /// Notes that part of the message was not inspected; the most serious reason is kept.
    pub fn note(&mut self, reason: Reason) {
        self.coverage = self.coverage.or(reason);
    }
}

/// The compiled, immutable form of the policy in force.
#[derive(Debug)]
pub struct Ruleset {
    effective: Effective,
    limits: Limits,
    bounds: Bounds,
    detection: Option<Detection>,
    exceptions: Option<Arc<Exceptions>>,
    loaded: bool,
}

impl Ruleset {
    /// Compiles what is in force for a workload.
    pub fn build(effective: &Effective) -> Result<Self, BuildError> {
        if !(400..=599).contains(&effective.response_status) {
            return Err(BuildError::ResponseStatus { status: effective.response_status });
        }
        if !(1..=16_777_216).contains(&effective.max_body_bytes) {
            return Err(BuildError::MaxBodyBytes { bytes: effective.max_body_bytes });
        }
        let detection = Detection::build(effective)?;
        Ok(Self {
            effective: effective.clone(),
            limits: limits(effective),
            bounds: bounds(effective),
            detection,
            exceptions: Exceptions::build(effective),
            loaded: true,
        })
    }

    /// Refuses what [`Self::build`] refuses, exceptions that name a rule, or a part of messages, that does not exist, and
    /// signatures that do not see their own attacks, or see ordinary requests. For whoever can tell the author of a policy;
    /// `build` lets the rest be, because the policy may be newer than this version. Nothing is kept of what is only
    /// checked, however often and whoever asks; what is built leaves the names of its signatures behind.
    pub fn check(effective: &Effective) -> Result<(), BuildError> {
        Self::build(&Effective { signatures: Vec::new(), ..effective.clone() })?;
        exception::check(effective)?;
        exploit::trial::check(effective)
    }

    /// With these signatures in the place of all others.
    pub(crate) fn with_signatures(mut self, signatures: Arc<exploit::signature::Signatures>) -> Self {
        if let Some(detection) = &mut self.detection {
            detection.exploits = Some(signatures);
        }
        self
    }

    /// What is in force before any Bundle was loaded: every request has coverage `no_policy`. Closed refuses it, Open
    /// lets it pass.
    pub fn bootstrapping(failure_mode: FailureMode) -> Self {
        let mut effective = Effective::builtin_blocking();
        effective.failure_mode = failure_mode;
        let limits = Limits::for_body(0);
        Self {
            effective,
            limits,
            bounds: Bounds::default(),
            detection: None,
            exceptions: None,
            loaded: false,
        }
    }

    /// The policy this was built from.
    pub fn effective(&self) -> &Effective {
        &self.effective
    }

    /// Whether every mode is Off: relay untouched.
    pub fn is_off(&self) -> bool {
        self.effective.modes().all(|mode| mode == Mode::Off)
    }

    /// Whether anything is in Block, so that a request waits for its judgement, if it is in the share of `spec.enforcement`.
    pub fn enforces(&self) -> bool {
        self.effective.modes().any(|mode| mode == Mode::Block)
    }

    /// Whether no detector would run: everything is Off, or nothing was ever loaded.
    pub fn is_idle(&self) -> bool {
        self.detection.is_none()
    }

    /// What the proxy should hand over of the body that follows this head.
    pub fn body_plan(&self, head: &Head<'_>) -> BodyPlan {
        match (&self.detection, decode::kind(head)) {
            (None, _) | (_, Kind::Not(_)) => BodyPlan::Skip,
            (Some(_), Kind::Frames(Framing { is_web: false, .. })) => {
                BodyPlan::Messages(self.effective.max_body_bytes)
            }
            (Some(_), _) => BodyPlan::Window(self.effective.max_body_bytes),
        }
    }

    /// Inspects the head: path, query and fields.
    pub fn inspect_head(&self, head: &Head<'_>) -> Inspection {
        self.inspect_head_without(head, Classes::NONE)
    }

    /// Inspects the target, and leaves classes out, as [`Inspection::leave_out`] says.
    pub fn inspect_head_without(&self, head: &Head<'_>, without: Classes) -> Inspection {
        let mut inspection = Inspection::new(self.limits);
        inspection.budget = inspection.budget.within(self.bounds);
        inspection.leave_out(without);
        self.locate(head.target, &mut inspection);
        let Some(detection) = &self.detection else {
            inspection.note(if self.loaded { Reason::DetectionOff } else { Reason::NoPolicy });
            return inspection;
        };
        let mut scan = Scan { detection, inspection: &mut inspection };
        if detection.exploits.as_ref().is_some_and(|set| exploit::concerns(set, head)) {
            scan.exploits(|set, inspection| exploit::open(set, head, inspection));
        }
        if let Err(reason) = scan
            .head(head)
            .and_then(|()| decode::target(head.target, &mut scan))
            .and_then(|()| decode::fields(head.fields, &mut scan))
        {
            scan.note(reason);
        }
        scan.close(head);
        inspection
    }

    /// What is found from now on is part of a request with this target, whose path exceptions may name.
    pub fn locate(&self, target: &[u8], inspection: &mut Inspection) {
        if self.exceptions.is_some() {
            inspection.excepting = Excepting::new(self.exceptions.as_ref(), target);
        }
    }

    /// Inspects the body and adds to what the head gave.
    pub fn inspect_body(&self, head: &Head<'_>, body: Body<'_>, inspection: &mut Inspection) {
        let Some(detection) = &self.detection else { return };
        let kind = decode::kind(head);
        let (bytes, truncated) = match body {
            Body::Empty => return,
            Body::Opaque => {
                inspection.note(match kind {
                    Kind::Not(reason) => reason,
                    Kind::Encoded => Reason::EncodedBody,
                    Kind::Multipart | Kind::Frames(_) => Reason::UnsupportedBody,
                    _ => Reason::OpaqueBody,
                });
                return;
            }
            Body::Complete(bytes) => (bytes, false),
            Body::Truncated(bytes) => (bytes, true),
        };
        if truncated {
            inspection.note(match kind {
                Kind::Not(reason) => reason,
                // Uploads have these, and they pass at any length.
                Kind::Undeclared | Kind::Lines | Kind::Protobuf => Reason::OpaqueBody,
                // They may hold values behind the files.
                Kind::Multipart | Kind::Frames(_) => Reason::UnsupportedBody,
                Kind::Encoded => Reason::EncodedBody,
                Kind::Form | Kind::Json | Kind::Xml | Kind::GraphQl | Kind::Sniff => Reason::BodyTooLarge,
            });
        }
        let mut scan = Scan { detection, inspection };
        if !scan.inspection.watch.is_empty() {
            scan.exploits(|set, inspection| exploit::body(set, bytes, inspection));
        }
        if let Err(reason) = decode::body(kind, head, (bytes, truncated), &mut scan) {
            scan.note(reason);
        }
        scan.close(head);
    }

    /// Judges what was found. Pure.
    pub fn decide(&self, inspection: Inspection) -> Judgement {
        self.decide_in(inspection, true)
    }

    /// The same; `enforced` says whether the request is in the share of `spec.enforcement`, for which Block is Block. For any
    /// other one it is Monitor.
    pub fn decide_in(&self, inspection: Inspection, enforced: bool) -> Judgement {
        decide::decide(&self.effective, inspection, enforced)
    }
}

fn limits(effective: &Effective) -> Limits {
    let limits = Limits::for_body(effective.max_body_bytes);
    let parts = effective.max_values.map_or(limits.parts, |most| most.min(limits.parts));
    Limits { parts, depth: effective.max_depth.min(DEEPEST), ..limits }
}

/// Each level takes stack.
const DEEPEST: usize = 128;

fn bounds(effective: &Effective) -> Bounds {
    Bounds {
        ratio: effective.max_decompression_ratio,
        inflated: effective.max_decompressed_bytes.unwrap_or(usize::MAX),
        multipart: effective.max_multipart_parts,
    }
}

const MAX_FINDINGS: usize = 32;

#[cfg(test)]
mod tests;
