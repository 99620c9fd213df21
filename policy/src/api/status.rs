//! Status of a RaspPolicy, a ClusterRaspPolicy or a RaspException, as the operator writes it and users read it with `kubectl get` and `describe`.

use serde::{Deserialize, Serialize};

use super::RolloutStatus;
use crate::report::EffectiveMode;

/// What is really in force, as reported by sidecars.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
pub struct RaspPolicyStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Mode that the sidecars of the selected pods report: one mode, Mixed, or Unknown when none reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_mode: Option<EffectiveMode>,
    /// Digest of the Bundle that carries this generation, `sha256:` and 64 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(length(max = 71)))]
    pub policy_hash: Option<String>,
    /// How many pods are selected, and how many have this policy in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<TargetCounts>,
    /// Of a RaspException: the findings it took, as the sidecars that run now count them since each of them started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(range(min = 0)))]
    pub hits: Option<i64>,
    /// Of a RaspException: when it last took a finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(extend("format" = "date-time")))]
    pub last_hit: Option<String>,
    /// Of a policy with a rollout: how far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
    /// Accepted, Programmed and Degraded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "crd", schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])))]
    pub conditions: Vec<Condition>,
}

/// Counts of pods. `matched = programmed + outdated + unprotected`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
pub struct TargetCounts {
    /// Running pods that the policy selects.
    #[cfg_attr(feature = "crd", schemars(range(min = 0)))]
    pub matched: i32,
    /// Of these, sidecars that acknowledged this generation.
    #[cfg_attr(feature = "crd", schemars(range(min = 0)))]
    pub programmed: i32,
    /// Of these, sidecars that have not acknowledged this generation (yet).
    #[cfg_attr(feature = "crd", schemars(range(min = 0)))]
    pub outdated: i32,
    /// Of these, pods without a sidecar.
    #[cfg_attr(feature = "crd", schemars(range(min = 0)))]
    pub unprotected: i32,
    /// Of the others, sidecars of another version than new pods get, whether or not they acknowledged this generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(range(min = 0)))]
    pub outdated_sidecars: Option<i32>,
}

/// A condition, as in Kubernetes API conventions (`metav1.Condition`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
pub struct Condition {
    /// Accepted, Programmed or Degraded.
    #[cfg_attr(feature = "crd", schemars(length(max = 316)))]
    pub r#type: String,
    /// True, False or Unknown.
    #[cfg_attr(feature = "crd", schemars(extend("enum" = ["True", "False", "Unknown"])))]
    pub status: String,
    /// The generation of the spec that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When `status` last changed, RFC 3339.
    #[cfg_attr(feature = "crd", schemars(extend("format" = "date-time")))]
    pub last_transition_time: String,
    /// One word from a closed list; scripts may match on it.
    #[cfg_attr(
        feature = "crd",
        schemars(length(min = 1, max = 1024), regex(pattern = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"))
    )]
    pub reason: String,
    /// A sentence for people.
    #[cfg_attr(feature = "crd", schemars(length(max = 32_768)))]
    pub message: String,
}

/// Condition types. Frozen.
pub mod conditions {
    /// The policy can be compiled and takes part.
    pub const ACCEPTED: &str = "Accepted";
    /// Every selected pod that has a sidecar has this generation in force.
    pub const PROGRAMMED: &str = "Programmed";
    /// Every target of `targetRefs` is there. Only on objects that have such.
    pub const RESOLVED_REFS: &str = "ResolvedRefs";
    /// The rollout of `enforcement` is at its end. Only on objects that have one.
    pub const ROLLED_OUT: &str = "RolledOut";
    /// Connections to the selected pods are inspected, not relayed as they are.
    pub const INSPECTED: &str = "Inspected";
    /// Something that is in force is not as it should be.
    pub const DEGRADED: &str = "Degraded";
}

/// Condition reasons. Frozen.
pub mod reasons {
    /// Accepted=True.
    pub const ACCEPTED: &str = "Accepted";
    /// Accepted=False: the policy cannot be compiled.
    pub const INVALID: &str = "Invalid";
    /// Accepted=False: the exception has ended.
    pub const EXPIRED: &str = "Expired";
    /// Accepted=False: the exception has no end, and no ClusterRaspPolicy allows that.
    pub const PERMANENT_NOT_ALLOWED: &str = "PermanentNotAllowed";
    /// ResolvedRefs=True.
    pub const RESOLVED_REFS: &str = "ResolvedRefs";
    /// ResolvedRefs=False: a target, or its port, is not there.
    pub const TARGET_NOT_FOUND: &str = "TargetNotFound";
    /// Programmed=True.
    pub const PROGRAMMED: &str = "Programmed";
    /// Programmed=False: some sidecars acknowledged, others not.
    pub const PARTIALLY_PROGRAMMED: &str = "PartiallyProgrammed";
    /// Programmed=False: a sidecar is of a version that cannot read this generation, and keeps an earlier one until it is restarted.
    pub const SIDECAR_TOO_OLD: &str = "SidecarTooOld";
    /// Programmed=False: no sidecar acknowledged yet.
    pub const PENDING: &str = "Pending";
    /// Programmed=False: a more specific or stricter policy sets every field that this one sets.
    pub const OVERRIDDEN: &str = "Overridden";
    /// Programmed=False: the policies of the namespace are too large together; what was in force before stays.
    pub const TOO_LARGE: &str = "TooLarge";
    /// Programmed=Unknown: no pod is selected.
    pub const NO_TARGETS: &str = "NoTargets";
    /// RolledOut=True.
    pub const COMPLETED: &str = "Completed";
    /// RolledOut=False: not every sidecar has the step in force yet.
    pub const WAITING_FOR_SIDECARS: &str = "WaitingForSidecars";
    /// RolledOut=False: the step is watched until its interval is over.
    pub const OBSERVING: &str = "Observing";
    /// RolledOut=False: the interval is over, and too few requests were in the share.
    pub const WAITING_FOR_SAMPLE: &str = "WaitingForSample";
    /// RolledOut=False: on every selected pod another policy decides `enforcement`.
    pub const SUPERSEDED: &str = "Superseded";
    /// RolledOut=False: where this policy decides the share, nothing is in Block.
    pub const NOT_IN_BLOCK: &str = "NotInBlock";
    /// RolledOut=False, and Degraded=True: a step did not hold, and nothing is blocked any more.
    pub const ROLLED_BACK: &str = "RolledBack";
    /// Inspected=True.
    pub const ALL_CONNECTIONS: &str = "AllConnections";
    /// Inspected=False: a sidecar relayed connections without inspection, by declaration or for want of HTTP.
    pub const UNINSPECTED: &str = "Uninspected";
    /// Inspected=Unknown: sidecars without packet rules do not see who dials the application's own ports.
    pub const BYPASSABLE: &str = "Bypassable";
    /// Inspected=False: the mode of a sidecar is Off.
    pub const DETECTION_OFF: &str = "DetectionOff";
    /// Degraded=False.
    pub const ALL_SIDECARS_HEALTHY: &str = "AllSidecarsHealthy";
    /// Degraded=True: a sidecar refused a Bundle and keeps the previous one.
    pub const BUNDLE_REJECTED: &str = "BundleRejected";
    /// Degraded=True: a selected pod has no sidecar.
    pub const UNPROTECTED: &str = "Unprotected";
    /// Degraded=True: a detector of a sidecar keeps failing and is left out for a while.
    pub const INSPECTION_SUSPENDED: &str = "InspectionSuspended";
    /// Degraded=True: a sidecar has not reported for several intervals.
    pub const REPORT_STALE: &str = "ReportStale";
    /// Degraded=True: the Bundle could not be written.
    pub const DISTRIBUTION_FAILED: &str = "DistributionFailed";
}
