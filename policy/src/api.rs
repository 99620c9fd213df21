//! The API types of group `rasp.dev`, version `v1alpha1`, exactly as users write them.
//!
//! Every field that takes part in precedence is optional and has no schema default: the API server would fill it in
//! and nothing could inherit. The built-in values are in [`crate::precedence::Effective::builtin`].
//! Only fields that act are published.

#![cfg_attr(
    feature = "crd",
    expect(clippy::struct_field_names, reason = "names that users write, in a copy that a macro makes")
)]

use serde::{Deserialize, Serialize};

use crate::selector::LabelSelector;

mod cluster;
mod detections;
mod enforcement;
pub mod exception;
mod rasp_exception;
mod rollout;
pub mod signature;
mod status;
pub(crate) mod target;
pub use cluster::within;
pub use cluster::{ClusterRaspPolicySpec, Origin};
pub use detections::Detections;
pub use enforcement::{Enforcement, HashOn};
pub use exception::Exception;
pub use rasp_exception::{NEEDS_AN_END, RaspExceptionSpec, permanent_allowed};
pub use rollout::{AbortOn, Ratio, Rollout, RolloutPhase, RolloutStatus};
pub use signature::{Signature, SignatureCondition};
pub use status::{Condition, RaspPolicyStatus, TargetCounts, conditions, reasons};
pub use target::{TargetKind, TargetRef};

#[cfg(feature = "crd")]
pub use {cluster::ClusterRaspPolicy, rasp_exception::RaspException};

/// API group of every kind of this project.
pub const GROUP: &str = "rasp.dev";
/// Version served and stored.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of a RaspPolicy document.
pub const API_VERSION: &str = "rasp.dev/v1alpha1";
/// `kind` of a RaspPolicy document.
pub const KIND: &str = "RaspPolicy";

/// The kinds that users write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// For pods of its namespace.
    #[default]
    RaspPolicy,
    /// For many namespaces, below or above what these say.
    ClusterRaspPolicy,
    /// Findings in its namespace that are no attacks.
    RaspException,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::RaspPolicy, Self::ClusterRaspPolicy, Self::RaspException];

    /// The word users write.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RaspPolicy => KIND,
            Self::ClusterRaspPolicy => "ClusterRaspPolicy",
            Self::RaspException => "RaspException",
        }
    }
}

/// What kube-rasp detects in the selected pods of this namespace, and what it does about it.
///
/// Absent fields inherit from less specific policies, and in the end from the built-in defaults
/// (mode Monitor, failureMode Open, minConfidence High).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(
    feature = "crd",
    derive(kube::CustomResource, kube::KubeSchema),
    kube(
        group = "rasp.dev",
        version = "v1alpha1",
        kind = "RaspPolicy",
        plural = "rasppolicies",
        singular = "rasppolicy",
        shortname = "rp",
        category = "rasp",
        doc = "What kube-rasp detects in pods of one namespace, what it does about it, and (in status) what is really in force.",
        namespaced,
        status = "RaspPolicyStatus",
        derive = "PartialEq",
        printcolumn = r#"{"name":"Mode","type":"string","jsonPath":".spec.mode","description":"Mode this policy asks for."}"#,
        printcolumn = r#"{"name":"Observed","type":"string","jsonPath":".status.effectiveMode","description":"Mode the sidecars report."}"#,
        printcolumn = r#"{"name":"Programmed","type":"string","jsonPath":".status.conditions[?(@.type==\"Programmed\")].status"}"#,
        printcolumn = r#"{"name":"Pods","type":"integer","jsonPath":".status.targets.programmed","description":"Sidecars that have this generation in force."}"#,
        printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
        printcolumn = r#"{"name":"Unprotected","type":"integer","jsonPath":".status.targets.unprotected","description":"Pods without a sidecar.","priority":1}"#,
        printcolumn = r#"{"name":"Outdated","type":"integer","jsonPath":".status.targets.outdated","description":"Sidecars that do not have this generation in force.","priority":1}"#,
        printcolumn = r#"{"name":"Outdated sidecars","type":"integer","jsonPath":".status.targets.outdatedSidecars","description":"Sidecars of another version than new pods get.","priority":1}"#,
        printcolumn = r#"{"name":"Share","type":"integer","jsonPath":".status.rollout.percent","description":"Of a rollout: requests of a hundred in which findings are refused.","priority":1}"#,
        printcolumn = r#"{"name":"Rollout","type":"string","jsonPath":".status.rollout.phase","priority":1}"#,
        printcolumn = r#"{"name":"Hash","type":"string","jsonPath":".status.policyHash","priority":1}"#
    ),
    x_kube(validation = (
        "!(has(self.podSelector) && has(self.targetRefs))",
        "set either podSelector or targetRefs"
    ))
)]
pub struct RaspPolicySpec {
    /// The pods this policy is for, by their labels. Absent, as targetRefs: every pod of the namespace. A policy with a
    /// selector is more specific than one without and wins field by field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
    /// The Services, Deployments, StatefulSets and DaemonSets of the namespace whose pods this policy is for. As specific as
    /// a selector; with sectionName more specific than any other policy of a namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "crd",
        schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "atomic"))
    )]
    pub target_refs: Option<Vec<TargetRef>>,
    /// Off relays traffic untouched, Monitor inspects and reports, Block also refuses what is detected.
    /// A detection may have a mode of its own. Write "Off" in quotes: YAML reads the bare word as a boolean.
    /// Built-in: Monitor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Where a mode is Block: the share of requests for which it is. The rest is judged and reported as in Monitor. Absent:
    /// all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<Enforcement>,
    /// What happens to a request that could not be judged while the mode is Block: a detector failed or used up its
    /// budget, or the body holds values that cannot be read (malformed, compressed, or of a type without a decoder, such
    /// as multipart forms). Open lets it pass and counts it, Closed refuses it. Before the first policy has arrived,
    /// Closed refuses whatever the mode. Overload and bodies over maxBodyBytes are refused either way, binary bodies
    /// pass either way. Built-in: Open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_mode: Option<FailureMode>,
    /// Attack classes, each with its own settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detections: Option<Detections>,
    /// How much of a request is inspected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inspection: Option<Inspection>,
    /// What is not inspected for attacks but refused or repaired, because an application could read it in two ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Http>,
    /// What the client of a blocked request receives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<BlockResponse>,
    /// Findings that are recorded and not acted on: false positives that are known. A policy with a list, also an empty
    /// one, takes the place of the lists of less specific policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "crd",
        schemars(
            length(max = 64),
            extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
        )
    )]
    pub exceptions: Option<Vec<Exception>>,
    /// Signatures of known exploits beside those of the program, in force without a new version. Their findings are of the
    /// class knownExploit. A policy with a list, also an empty one, takes the place of the lists of less specific policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "crd",
        schemars(
            length(max = 32),
            extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"])
        )
    )]
    pub signatures: Option<Vec<Signature>>,
}

/// What is done with what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema), schemars(transform = crate::crd::undescribed))]
pub enum Mode {
    /// Bytes are relayed untouched and uninspected.
    Off,
    /// Everything is inspected and reported, nothing is changed.
    Monitor,
    /// Detections of sufficient confidence are refused.
    Block,
}

impl Mode {
    /// The same for one request: outside of the share that `spec.enforcement` blocks, Block is Monitor.
    #[must_use]
    pub fn in_share(self, enforced: bool) -> Self {
        if enforced { self } else { self.min(Self::Monitor) }
    }

    /// The word users write, and the value of metric labels and event fields.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "Off",
            Self::Monitor => "Monitor",
            Self::Block => "Block",
        }
    }
}

/// What happens to a request that could not be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema), schemars(transform = crate::crd::undescribed))]
pub enum FailureMode {
    /// It passes and is counted.
    Open,
    /// It is refused: 503, or 400 and 415 where its body cannot be read.
    Closed,
}

/// How sure a finding is; calibrated per detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema), schemars(transform = crate::crd::undescribed))]
pub enum Confidence {
    /// A hint. Recorded, never blocked by the built-in settings.
    Low,
    /// Suspicious structure that ordinary input can have too.
    Medium,
    /// Structure that ordinary input practically never has.
    High,
    /// A complete attack.
    Certain,
}

impl Confidence {
    /// The word users write, and the value of event fields.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
            Self::Certain => "Certain",
        }
    }
}

/// Settings of one attack class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
pub struct Detection {
    /// Mode of this class. Absent: the mode of the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Lowest confidence that Block acts on; findings below it are reported only. Low is a hint, Medium a structure
    /// that ordinary input can have too, High one that it practically never has, Certain a complete attack.
    /// Built-in: High.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_confidence: Option<Confidence>,
}

/// How much of a request is inspected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "crd", derive(kube::KubeSchema))]
pub struct Inspection {
    /// Bytes of a request body that are inspected, 1024 to 16777216. A body of a parsed type (form, JSON) that is
    /// larger is refused with 413 in Block and passes, counted as uninspected, in Monitor. Built-in: 131072.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(range(min = 1024, max = 16_777_216)))]
    pub max_body_bytes: Option<i64>,
    /// Levels of JSON and GraphQL inside of each other that are inspected, 8 to 128. What is nested deeper is looked through
    /// as text, and the request counts as not judged (too_deep). Built-in: 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(range(min = 8, max = 128)))]
    pub max_depth: Option<i64>,
    /// Names and values of one request that are inspected, 100 to 16777216. A request with more counts as not judged
    /// (too_many_parts). Built-in: 65536 and one for each byte of maxBodyBytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(range(min = 100, max = 16_777_216)))]
    pub max_values: Option<i64>,
    /// Parts of one multipart body that are inspected, 1 to 10000. A body with more counts as not judged
    /// (too_many_parts). Built-in: 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(range(min = 1, max = 10_000)))]
    pub max_multipart_parts: Option<i64>,
    /// Bytes that a compressed body may become for each of its bytes, 2 to 1000; 64 KiB are always allowed. A body that
    /// becomes more is read up to there and counts as not judged (decoded_too_large). Built-in: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(range(min = 2, max = 1000)))]
    pub max_decompression_ratio: Option<i64>,
    /// Bytes that a compressed body may become in all, 1024 to 67108864. A body that becomes more is read up to there and
    /// counts as not judged (decoded_too_large). Built-in, and never more than: five times maxBodyBytes and 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(range(min = 1024, max = 67_108_864)))]
    pub max_decompressed_bytes: Option<i64>,
}

impl Inspection {
    /// Every bound: its name in the object, what is written, and its range.
    pub fn bounds(&self) -> [(&'static str, Option<i64>, std::ops::RangeInclusive<i64>); 6] {
        [
            ("maxBodyBytes", self.max_body_bytes, 1024..=16_777_216),
            ("maxDepth", self.max_depth, 8..=128),
            ("maxValues", self.max_values, 100..=16_777_216),
            ("maxMultipartParts", self.max_multipart_parts, 1..=10_000),
            ("maxDecompressionRatio", self.max_decompression_ratio, 2..=1000),
            ("maxDecompressedBytes", self.max_decompressed_bytes, 1024..=67_108_864),
        ]
    }
}

/// What HTTP itself leaves open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
pub struct Http {
    /// What happens to a request with raw bytes in its target that belong percent-encoded there, such as a quotation
    /// mark, an angle bracket or bytes over 0x7F. Encode inspects it and forwards it percent-encoded, Refuse answers 400
    /// in every mode but Off. Built-in: Encode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_target: Option<RawTarget>,
}

/// What happens to a request with raw bytes in its target that belong percent-encoded there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema), schemars(transform = crate::crd::undescribed))]
pub enum RawTarget {
    /// They are percent-encoded on the way.
    Encode,
    /// The request is answered 400.
    Refuse,
}

/// What the client of a blocked request receives. It never says which rule matched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(
    feature = "crd",
    derive(kube::KubeSchema),
    x_kube(validation = (
        "!has(self.contentType) || has(self.body)",
        "contentType is the type of body: set body as well, or remove contentType"
    ))
)]
pub struct BlockResponse {
    /// HTTP status, 400 to 599. Built-in: 403.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(range(min = 400, max = 599)))]
    pub status: Option<i32>,
    /// Body sent as it is, at most 8192 characters. Built-in: an RFC 9457 problem document with the request id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(length(max = 8192)))]
    pub body: Option<String>,
    /// Media type of `body`. Built-in: text/plain; charset=utf-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "crd",
        schemars(
            length(max = 128),
            regex(pattern = r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(; ?[a-z]+=[A-Za-z0-9._-]+)*$")
        )
    )]
    pub content_type: Option<String>,
}
