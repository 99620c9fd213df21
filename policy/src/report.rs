//! What a sidecar tells the operator: which Bundle it has in force, on change and every minute.
//!
//! Sent as JSON by `POST /v1/report` over TLS with an audience-bound service account token; the operator checks
//! that the token belongs to the pod named here. Status of policies stands on these reports alone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::pod::Interception;
use crate::rollout::Told;

/// Schema of [`Report`]; raised when a reader has to know.
pub const SCHEMA_VERSION: u32 = 1;
/// Path of the operator's endpoint.
pub const PATH: &str = "/v1/report";
/// Audience of the token. A token for the API server is not accepted, and ours is of no use there.
pub const AUDIENCE: &str = "rasp.dev";

/// One sidecar's statement of what it has in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`SCHEMA_VERSION`] of the sender.
    pub schema_version: u32,
    /// The pod that reports.
    pub pod: PodRef,
    /// `Kind/name` of the controller, fixed at admission.
    pub workload: String,
    /// Version of rasp-proxy.
    pub version: String,
    /// Where the Ruleset in force comes from.
    pub state: PolicyState,
    /// Digest of the Bundle in force, absent in state `Bootstrapping`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Sequence of the Bundle in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Every policy object in the Bundle in force, whether or not it selects this pod.
    #[serde(default)]
    pub sources: Vec<Acknowledged>,
    /// Mode in force.
    pub mode: EffectiveMode,
    /// Ports of which connections pass uninspected, or did within [`UNINSPECTED_WINDOW`], and why: at most
    /// [`MAX_UNINSPECTED`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uninspected: Vec<Uninspected>,
    /// How connections reach the sidecar. Sidecars that do not say so have packet rules.
    #[serde(default)]
    pub interception: Interception,
    /// Ports of the application that can be reached around the sidecar, in mode [`Interception::None`]: something listens
    /// there on more than loopback.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bypassable: Vec<u16>,
    /// The newest Bundle that was refused since the one in force was loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Rejected>,
    /// Classes whose detector keeps failing and is not run, or not on large bodies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspended: Vec<String>,
    /// Exceptions that took findings since the sidecar started: at most [`MAX_EXCEPTIONS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<ExceptionHits>,
    /// Steps of rollouts that are in force, and what was counted of them: at most [`crate::rollout::MOST_STEPS`]. A step that
    /// is named is acknowledged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rollouts: Vec<Told>,
}

/// Exceptions in one report. A policy that changes often must not make it longer.
pub const MAX_EXCEPTIONS: usize = 64;

/// What one exception took in one sidecar, since that started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExceptionHits {
    /// Its id, as in events and metrics ([`crate::precedence::EffectiveException`]).
    pub id: String,
    /// Findings.
    pub hits: u64,
    /// When the last of them was, RFC 3339 in UTC, in whole seconds.
    pub last: String,
}

/// Pairs of port and reason in one report. A scan over the ports of a pod must not make it longer.
pub const MAX_UNINSPECTED: usize = 32;

/// A sidecar that neither got a frame of the live stream nor could report for so long calls its policy stale.
pub const STALE_AFTER: Duration = Duration::from_mins(5);

/// A connection that passed uninspected is told for so long after its end.
pub const UNINSPECTED_WINDOW: Duration = Duration::from_hours(1);

/// Connections to one port of the pod that passed uninspected for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Uninspected {
    /// The port.
    pub port: u16,
    /// Why.
    pub reason: UninspectedReason,
}

/// Why connections passed uninspected: the values of `rasp_uninspected_connections_total{reason}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UninspectedReason {
    /// TLS that ends in the application.
    Tls,
    /// The port is declared opaque.
    OpaquePort,
    /// First bytes that are no HTTP.
    Opaque,
    /// Left HTTP by `Upgrade`.
    Upgrade,
    /// A reason of a newer sidecar.
    #[serde(other)]
    Other,
}

impl UninspectedReason {
    /// Label value, and the word in a status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::OpaquePort => "opaque_port",
            Self::Opaque => "opaque",
            Self::Upgrade => "upgrade",
            Self::Other => "other",
        }
    }
}

/// Names a pod beyond doubt.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PodRef {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
}

/// A policy object and the generation that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// `metadata.uid` of the policy.
    pub uid: String,
    /// `metadata.generation` of the policy.
    pub generation: i64,
}

/// Why and which Bundle was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Id of [`crate::bundle::Refusal`], one word.
    pub reason: String,
    /// A sentence for people; never contents of the Bundle.
    pub message: String,
}

/// Where the Ruleset in force comes from. Values of `rasp_policy_state{state}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PolicyState {
    /// No Bundle was ever loaded: the failure mode injected with the pod decides.
    Bootstrapping,
    /// The newest Bundle seen is in force.
    Current,
    /// What is in force stays, but nothing was heard of the operator for [`STALE_AFTER`]: there may be a newer Bundle.
    /// Never a reason to be unready.
    Stale,
    /// A newer Bundle was refused; the last good one stays in force.
    Rejected,
}

impl PolicyState {
    /// Every state, for metrics.
    pub const ALL: [Self; 4] = [Self::Bootstrapping, Self::Current, Self::Stale, Self::Rejected];

    /// Label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bootstrapping => "bootstrapping",
            Self::Current => "current",
            Self::Stale => "stale",
            Self::Rejected => "rejected",
        }
    }
}

/// Mode in force, over the classes of one sidecar or over several sidecars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema), schemars(transform = crate::crd::undescribed))]
pub enum EffectiveMode {
    /// Everything is Off.
    Off,
    /// Everything is in Monitor.
    Monitor,
    /// Everything is in Block.
    Block,
    /// Classes or sidecars differ.
    Mixed,
    /// Nobody reported.
    Unknown,
}

impl EffectiveMode {
    /// The mode of a group: the common one, `Mixed` where they differ, `Unknown` for an empty group.
    pub fn combine(modes: impl IntoIterator<Item = Self>) -> Self {
        let mut modes = modes.into_iter();
        let Some(first) = modes.next() else { return Self::Unknown };
        if modes.all(|mode| mode == first) { first } else { Self::Mixed }
    }

    /// The word users read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "Off",
            Self::Monitor => "Monitor",
            Self::Block => "Block",
            Self::Mixed => "Mixed",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<crate::api::Mode> for EffectiveMode {
    fn from(mode: crate::api::Mode) -> Self {
        match mode {
            crate::api::Mode::Off => Self::Off,
            crate::api::Mode::Monitor => Self::Monitor,
            crate::api::Mode::Block => Self::Block,
        }
    }
}
