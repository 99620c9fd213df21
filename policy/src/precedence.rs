//! Which value wins, field by field, when several policies concern one pod. Pure; the operator uses it for status
//! and every sidecar for its Ruleset, so the two cannot disagree.
//!
//! Levels are in [`Level`]. Between equals the strictest wins (Block > Monitor > Off, Closed > Open, Refuse > Encode); any
//! other field goes to the oldest policy, then to the lowest name. Lists (exceptions, signatures) of equals are united.
//! RaspExceptions are added to the list that won, unless that is one of cluster overrides. A `mode` of cluster overrides is
//! that of every class too, unless overrides say one of the class: it has to work whatever the policies below it say. For the
//! same reason Block of cluster overrides is for every request, unless overrides say for which share.

use std::borrow::Cow;

use crate::api::Kind;
use crate::api::{Confidence, Detection, Exception, FailureMode, Mode, RaspPolicySpec, RawTarget, Signature};
use crate::bundle::{Bundle, Entry};
use crate::class::Class;
use crate::report::EffectiveMode;
use crate::rollout::{Counted, Step, StepId};
use crate::selector::Subject;
use crate::share::Share;

mod decided;
mod explain;
mod level;

pub use decided::{Decided, Deciders};
pub use explain::{Decider, Explained, Explanation, explain};
pub use level::{Level, ports};

/// What is in force for one pod: every field has a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Mode of everything that is not an attack class: limits and failures.
    pub mode: Mode,
    /// The requests for which Block is Block. For the others it is Monitor.
    pub enforcement: Share,
    /// The step of a rollout that this share is.
    pub rollout: Option<Counted>,
    /// What happens to a request that could not be judged, in Block.
    pub failure_mode: FailureMode,
    /// Settings of each class, by its index.
    pub detections: [EffectiveDetection; Class::COUNT],
    /// Bytes of a request body that are inspected.
    pub max_body_bytes: usize,
    /// Levels of JSON and GraphQL that are inspected.
    pub max_depth: usize,
    /// Names and values of a request that are inspected; `None`: as many as there can be.
    pub max_values: Option<usize>,
    /// Parts of a multipart body that are inspected.
    pub max_multipart_parts: usize,
    /// Bytes that a compressed body may become for each of its bytes.
    pub max_decompression_ratio: usize,
    /// Bytes that a compressed body may become; `None`: as many as can be read then.
    pub max_decompressed_bytes: Option<usize>,
    /// What happens to a request with raw bytes in its target.
    pub raw_target: RawTarget,
    /// Status of a block response.
    pub response_status: u16,
    /// Body of a block response; `None` is the problem document.
    pub response_body: Option<ResponseBody>,
    /// Findings that are recorded and not acted on.
    pub exceptions: Vec<EffectiveException>,
    /// Signatures of known exploits beside those of the program. Each id is there once.
    pub signatures: Vec<Signature>,
}

/// An exception that is in force, until it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveException {
    /// In events and metrics: `policy/name`, of a cluster's policy `ClusterRaspPolicy/policy/name`, of an object of its own
    /// `RaspException/name`.
    pub id: String,
    /// What it excepts.
    pub exception: Exception,
}

/// Settings of one attack class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EffectiveDetection {
    /// What is done with findings.
    pub mode: Mode,
    /// Lowest confidence that Block acts on.
    pub min_confidence: Confidence,
}

impl EffectiveDetection {
    /// The same for one request, as [`Mode::in_share`].
    #[must_use]
    pub fn in_share(self, enforced: bool) -> Self {
        Self { mode: self.mode.in_share(enforced), ..self }
    }
}

/// A configured body of a block response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseBody {
    /// Value of `content-type`.
    pub content_type: String,
    /// Sent as it is.
    pub text: String,
}

impl Effective {
    /// The built-in defaults, the last level of precedence.
    ///
    /// | field | value |
    /// |---|---|
    /// | mode | Monitor |
    /// | enforcement | all requests |
    /// | failureMode | Open |
    /// | detections.(class).mode | the mode in force |
    /// | detections.(class).minConfidence | High |
    /// | inspection.maxBodyBytes | 131072 |
    /// | inspection.maxDepth | 64 |
    /// | inspection.maxValues | 65536 and one for each byte of maxBodyBytes |
    /// | inspection.maxMultipartParts | 1000 |
    /// | inspection.maxDecompressionRatio | 100 |
    /// | inspection.maxDecompressedBytes | five times maxBodyBytes and 64 KiB |
    /// | http.rawTarget | Encode |
    /// | response.status | 403 |
    /// | response.body | RFC 9457 problem document |
    /// | exceptions | none |
    /// | signatures | none |
    pub fn builtin() -> Self {
        Self {
            mode: Mode::Monitor,
            enforcement: Share::ALL,
            rollout: None,
            failure_mode: FailureMode::Open,
            detections: [EffectiveDetection { mode: Mode::Monitor, min_confidence: Confidence::High };
                Class::COUNT],
            max_body_bytes: 131_072,
            max_depth: 64,
            max_values: None,
            max_multipart_parts: 1_000,
            max_decompression_ratio: 100,
            max_decompressed_bytes: None,
            raw_target: RawTarget::Encode,
            response_status: 403,
            response_body: None,
            exceptions: Vec::new(),
            signatures: Vec::new(),
        }
    }

    /// Removes the exceptions that have ended at `now` (RFC 3339 in UTC, in whole seconds), and says when the next one
    /// ends. Whoever has a clock calls it before it builds a Ruleset, and builds again at that time.
    pub fn expire(&mut self, now: &str) -> Option<String> {
        let end = |effective: &EffectiveException| effective.exception.expires_at.clone();
        self.exceptions.retain(|effective| end(effective).is_none_or(|end| end.as_str() > now));
        self.exceptions.iter().filter_map(end).min()
    }

    /// The built-in defaults in Block, for `rasp-proxy gateway` without a policy file.
    pub fn builtin_blocking() -> Self {
        Self::builtin().in_mode(Mode::Block)
    }

    /// The same with this mode, and with it for every class.
    #[must_use]
    pub fn in_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self.detections.iter_mut().for_each(|detection| detection.mode = mode);
        self
    }

    /// Settings of a class.
    pub fn detection(&self, class: Class) -> EffectiveDetection {
        let none = EffectiveDetection { mode: self.mode, min_confidence: Confidence::High };
        self.detections.get(class.index()).copied().unwrap_or(none)
    }

    /// Changes settings of a class.
    pub fn set_detection(&mut self, class: Class, change: impl FnOnce(&mut EffectiveDetection)) {
        if let Some(detection) = self.detections.get_mut(class.index()) {
            change(detection);
        }
    }

    /// The mode, then that of each class that has a detector.
    pub fn modes(&self) -> impl Iterator<Item = Mode> {
        std::iter::once(self.mode).chain(Class::detected().map(|class| self.detection(class).mode))
    }

    /// The mode in force as reports and status say it. Block for a share of requests is Mixed, and for none of them Monitor:
    /// nobody may take it for Block.
    pub fn effective_mode(&self) -> EffectiveMode {
        let share = &self.enforcement;
        EffectiveMode::combine(self.modes().map(|mode| match mode.in_share(share.percent > 0) {
            Mode::Block if !share.is_all() => EffectiveMode::Mixed,
            mode => mode.into(),
        }))
    }
}

/// A field that takes part in precedence, by its path in the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// `spec.mode`
    Mode,
    /// `spec.enforcement`
    Enforcement,
    /// `spec.failureMode`
    FailureMode,
    /// `spec.detections.(class).mode`
    ClassMode(Class),
    /// `spec.detections.(class).minConfidence`
    ClassMinConfidence(Class),
    /// `spec.inspection.maxBodyBytes`
    MaxBodyBytes,
    /// `spec.inspection.maxDepth`
    MaxDepth,
    /// `spec.inspection.maxValues`
    MaxValues,
    /// `spec.inspection.maxMultipartParts`
    MaxMultipartParts,
    /// `spec.inspection.maxDecompressionRatio`
    MaxDecompressionRatio,
    /// `spec.inspection.maxDecompressedBytes`
    MaxDecompressedBytes,
    /// `spec.http.rawTarget`
    RawTarget,
    /// `spec.response.status`
    ResponseStatus,
    /// `spec.response.body`, together with its content type
    ResponseBody,
    /// `spec.exceptions`
    Exceptions,
    /// `spec.signatures`
    Signatures,
}

impl Field {
    /// Every field, in the order of the API.
    pub fn all() -> impl Iterator<Item = Self> {
        let classes =
            Class::detected().flat_map(|class| [Self::ClassMode(class), Self::ClassMinConfidence(class)]);
        let rest = [
            Self::MaxBodyBytes,
            Self::MaxDepth,
            Self::MaxValues,
            Self::MaxMultipartParts,
            Self::MaxDecompressionRatio,
            Self::MaxDecompressedBytes,
            Self::RawTarget,
            Self::ResponseStatus,
            Self::ResponseBody,
            Self::Exceptions,
            Self::Signatures,
        ];
        [Self::Mode, Self::Enforcement, Self::FailureMode].into_iter().chain(classes).chain(rest)
    }

    /// Path in the object, for messages.
    pub fn path(self) -> Cow<'static, str> {
        match self {
            Self::Mode => "spec.mode".into(),
            Self::Enforcement => "spec.enforcement".into(),
            Self::FailureMode => "spec.failureMode".into(),
            Self::ClassMode(class) => format!("spec.detections.{}.mode", class.key()).into(),
            Self::ClassMinConfidence(class) => {
                format!("spec.detections.{}.minConfidence", class.key()).into()
            }
            Self::MaxBodyBytes => "spec.inspection.maxBodyBytes".into(),
            Self::MaxDepth => "spec.inspection.maxDepth".into(),
            Self::MaxValues => "spec.inspection.maxValues".into(),
            Self::MaxMultipartParts => "spec.inspection.maxMultipartParts".into(),
            Self::MaxDecompressionRatio => "spec.inspection.maxDecompressionRatio".into(),
            Self::MaxDecompressedBytes => "spec.inspection.maxDecompressedBytes".into(),
            Self::RawTarget => "spec.http.rawTarget".into(),
            Self::ResponseStatus => "spec.response.status".into(),
            Self::ResponseBody => "spec.response.body".into(),
            Self::Exceptions => "spec.exceptions".into(),
            Self::Signatures => "spec.signatures".into(),
        }
    }

    fn is_set(self, spec: &RaspPolicySpec) -> bool {
        let response = spec.response.as_ref();
        match self {
            Self::Mode => spec.mode.is_some(),
            Self::Enforcement => spec.enforcement.is_some(),
            Self::FailureMode => spec.failure_mode.is_some(),
            Self::ClassMode(class) => written(spec, class).is_some_and(|class| class.mode.is_some()),
            Self::ClassMinConfidence(class) => {
                written(spec, class).is_some_and(|class| class.min_confidence.is_some())
            }
            Self::MaxBodyBytes
            | Self::MaxDepth
            | Self::MaxValues
            | Self::MaxMultipartParts
            | Self::MaxDecompressionRatio
            | Self::MaxDecompressedBytes => self.bound(spec).is_some(),
            Self::RawTarget => raw_target(spec).is_some(),
            Self::ResponseStatus => response.is_some_and(|response| response.status.is_some()),
            Self::ResponseBody => response.is_some_and(|response| response.body.is_some()),
            Self::Exceptions => spec.exceptions.is_some(),
            Self::Signatures => spec.signatures.is_some(),
        }
    }

    /// What is written for a bound of what is inspected.
    fn bound(self, spec: &RaspPolicySpec) -> Option<usize> {
        let inspection = spec.inspection.as_ref()?;
        let bound = match self {
            Self::MaxBodyBytes => inspection.max_body_bytes,
            Self::MaxDepth => inspection.max_depth,
            Self::MaxValues => inspection.max_values,
            Self::MaxMultipartParts => inspection.max_multipart_parts,
            Self::MaxDecompressionRatio => inspection.max_decompression_ratio,
            Self::MaxDecompressedBytes => inspection.max_decompressed_bytes,
            _ => None,
        };
        bound.and_then(|bound| usize::try_from(bound).ok())
    }

    /// Rank of the value where the strictest wins; 0 for fields that go to the oldest.
    fn strictness(self, spec: &RaspPolicySpec) -> u8 {
        match self {
            Self::Mode => spec.mode.map_or(0, |mode| mode as u8),
            Self::FailureMode => spec.failure_mode.map_or(0, |mode| mode as u8),
            Self::ClassMode(class) => {
                written(spec, class).and_then(|class| class.mode).map_or(0, |mode| mode as u8)
            }
            Self::RawTarget => raw_target(spec).map_or(0, |target| target as u8),
            _ => 0,
        }
    }
}

fn written(spec: &RaspPolicySpec, class: Class) -> Option<&Detection> {
    spec.detections.as_ref()?.get(class)
}

/// Whether it blocks anything.
fn says_block(spec: &RaspPolicySpec) -> bool {
    let of_class = |class| written(spec, class).and_then(|class| class.mode);
    spec.mode.into_iter().chain(Class::detected().filter_map(of_class)).any(|mode| mode == Mode::Block)
}

fn raw_target(spec: &RaspPolicySpec) -> Option<RawTarget> {
    spec.http.as_ref()?.raw_target
}

/// What is in force for one pod or one port of it, and which policy decided each field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The values.
    pub effective: Effective,
    /// For each field that a policy decided: the index of the entry in the Bundle. Several entries may decide a list.
    pub winners: Vec<(Field, usize)>,
    /// For each field: the entries that say something else about it and lost.
    pub losers: Vec<(Field, usize)>,
    /// The entries that are for the pod, highest precedence first, and the level of each.
    pub selected: Vec<(Level, usize)>,
}

/// Resolves the policies of a Bundle for a pod, on every port that has no policy of its own.
pub fn resolve<'a>(bundle: &Bundle, subject: impl Into<Subject<'a>>) -> Resolution {
    resolve_at(bundle, subject.into(), None)
}

/// The same for one port, or with `None` for those that have no policy of their own. [`ports`] lists the others.
pub fn resolve_at(bundle: &Bundle, subject: Subject<'_>, port: Option<u16>) -> Resolution {
    let level = |(index, entry): (usize, &Entry)| Some((entry.level(subject, port)?, index));
    let mut selected: Vec<_> = bundle.entries.iter().enumerate().filter_map(level).collect();
    selected.sort_by(|&a, &b| order(bundle, a).cmp(&order(bundle, b)));
    let of = |index: usize| bundle.entries.get(index);
    let is_exception = |index: usize| of(index).is_some_and(|entry| entry.kind == Kind::RaspException);

    let mut resolution =
        Resolution { effective: Effective::builtin(), winners: Vec::new(), losers: Vec::new(), selected };
    let blocking = resolution.selected.iter().find(|&&(level, index)| {
        level == Level::ClusterOverrides && of(index).is_some_and(|entry| says_block(&entry.spec))
    });
    let blocking = blocking.map(|&(_, index)| index);
    let mut lever = Vec::new();
    for field in Field::all() {
        let sets = |(_, index): &&(Level, usize)| of(*index).is_some_and(|entry| field.is_set(&entry.spec));
        let setting: Vec<(Level, usize)> = resolution.selected.iter().filter(sets).copied().collect();
        let policies = || setting.iter().copied().filter(|&(_, index)| !is_exception(index));
        let highest = policies().next().map(|(level, _)| level);
        let equals: Vec<usize> =
            policies().filter(|&(level, _)| Some(level) == highest).map(|(_, index)| index).collect();
        let mut winners = match field {
            Field::Exceptions | Field::Signatures => equals,
            _ => strictest(bundle, &equals, field).into_iter().collect(),
        };
        if highest == Some(Level::ClusterOverrides) {
            // The mode comes before those of classes.
            if field == Field::Mode {
                lever.clone_from(&winners);
            }
        } else if matches!(field, Field::ClassMode(_)) && !setting.is_empty() && !lever.is_empty() {
            winners.clone_from(&lever);
        } else if field == Field::Enforcement && !setting.is_empty() && blocking.is_some() {
            winners = blocking.into_iter().collect();
        } else {
            winners.extend(setting.iter().map(|&(_, index)| index).filter(|&index| is_exception(index)));
        }
        for &index in &winners {
            let Some(entry) = of(index) else { continue };
            take(&mut resolution.effective, field, entry);
            resolution.winners.push((field, index));
        }
        let lost = setting.iter().filter(|(_, index)| !winners.contains(index));
        resolution.losers.extend(lost.map(|&(_, index)| (field, index)));
    }
    resolution
}

/// The level first, then the oldest, then the lowest name. RFC 3339 times in UTC compare as text.
fn order(bundle: &Bundle, (level, index): (Level, usize)) -> (Level, &str, &str) {
    let source = bundle.entries.get(index).map(|entry| &entry.source);
    source.map_or((level, "", ""), |source| (level, source.created_at.as_str(), source.name.as_str()))
}

/// Of equals in their order: the first of the strictest.
fn strictest(bundle: &Bundle, equals: &[usize], field: Field) -> Option<usize> {
    let strictness =
        |index: usize| bundle.entries.get(index).map_or(0, |entry| field.strictness(&entry.spec));
    equals
        .iter()
        .copied()
        .reduce(|best, index| if strictness(index) > strictness(best) { index } else { best })
}

fn counted(entry: &Entry, step: &Step) -> Counted {
    let (uid, generation) = (entry.source.uid.clone(), entry.source.generation);
    Counted { id: StepId { uid, generation, step: step.number }, step: step.clone() }
}

fn exception_id(entry: &Entry, exception: &Exception) -> String {
    let (kind, policy) = (entry.kind.as_str(), &entry.source.name);
    match entry.kind {
        Kind::RaspPolicy => format!("{policy}/{}", exception.name),
        Kind::ClusterRaspPolicy => format!("{kind}/{policy}/{}", exception.name),
        Kind::RaspException => format!("{kind}/{policy}"),
    }
}

fn take(effective: &mut Effective, field: Field, entry: &Entry) {
    let spec = &entry.spec;
    let response = spec.response.as_ref();
    match field {
        // It comes first: a class follows it, unless a policy sets the mode of the class.
        Field::Mode => *effective = effective.clone().in_mode(spec.mode.unwrap_or(effective.mode)),
        Field::Enforcement => {
            let share = spec.enforcement.as_ref().map(|written| Share::of(written, &entry.source.uid));
            effective.enforcement = share.unwrap_or(Share::ALL); // overrides that block, and say no share
            effective.rollout = entry.rollout.as_ref().map(|step| counted(entry, step));
        }
        Field::FailureMode => effective.failure_mode = spec.failure_mode.unwrap_or(effective.failure_mode),
        Field::ClassMode(class) => effective.set_detection(class, |detection| {
            detection.mode = written(spec, class).and_then(|class| class.mode).unwrap_or(detection.mode);
        }),
        Field::ClassMinConfidence(class) => effective.set_detection(class, |detection| {
            let minimum = written(spec, class).and_then(|class| class.min_confidence);
            detection.min_confidence = minimum.unwrap_or(detection.min_confidence);
        }),
        Field::MaxBodyBytes => {
            effective.max_body_bytes = field.bound(spec).unwrap_or(effective.max_body_bytes);
        }
        Field::MaxDepth => effective.max_depth = field.bound(spec).unwrap_or(effective.max_depth),
        Field::MaxValues => effective.max_values = field.bound(spec),
        Field::MaxMultipartParts => {
            effective.max_multipart_parts = field.bound(spec).unwrap_or(effective.max_multipart_parts);
        }
        Field::MaxDecompressionRatio => {
            effective.max_decompression_ratio =
                field.bound(spec).unwrap_or(effective.max_decompression_ratio);
        }
        Field::MaxDecompressedBytes => effective.max_decompressed_bytes = field.bound(spec),
        Field::RawTarget => effective.raw_target = raw_target(spec).unwrap_or(effective.raw_target),
        Field::ResponseStatus => {
            let status = response.and_then(|response| response.status);
            effective.response_status =
                status.and_then(|status| u16::try_from(status).ok()).unwrap_or(effective.response_status);
        }
        Field::ResponseBody => {
            effective.response_body = response.and_then(|response| {
                response.body.as_ref().map(|text| ResponseBody {
                    content_type: response
                        .content_type
                        .clone()
                        .unwrap_or_else(|| "text/plain; charset=utf-8".to_owned()),
                    text: text.clone(),
                })
            });
        }
        // United.
        Field::Exceptions => {
            effective.exceptions.extend(spec.exceptions.iter().flatten().map(|exception| {
                EffectiveException { id: exception_id(entry, exception), exception: exception.clone() }
            }));
        }
        Field::Signatures => {
            for signature in spec.signatures.iter().flatten() {
                if effective.signatures.iter().all(|known| known.id != signature.id) {
                    effective.signatures.push(signature.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
