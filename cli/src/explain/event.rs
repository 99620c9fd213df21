//! Reads the events of sidecars (docs/events.md), one JSON line each. A field of a newer version is passed over; one that is
//! missing is empty. Pure.

use rasp_policy::class::Class;
use serde::{Deserialize, Serialize};

/// An event, as far as it is explained. What it says comes from a log: it is data, and printed without control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// Milliseconds since the epoch.
    pub time: i64,
    /// Blocked or Logged.
    pub disposition: String,
    /// What was seen.
    pub finding_info: FindingInfo,
    /// The request.
    pub http_request: HttpRequest,
    /// The client.
    pub src_endpoint: Endpoint,
    /// The application.
    pub dst_endpoint: Endpoint,
    /// The policy that decided the mode; sidecars of older versions do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// All else.
    pub unmapped: Unmapped,
}

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FindingInfo {
    /// Request id and number of the finding.
    pub uid: String,
    /// A sentence.
    pub title: String,
}

/// The request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpRequest {
    /// Its method.
    pub http_method: String,
    /// Its target.
    pub url: Url,
}

/// A target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Url {
    /// The masked path.
    pub path: Option<String>,
}

/// An end of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// Address.
    pub ip: Option<String>,
    /// Port.
    pub port: Option<u16>,
}

/// A policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Kind, namespace and name.
    pub name: String,
    /// UID of the object.
    pub uid: Option<String>,
    /// Generation of the object.
    pub version: Option<String>,
}

/// What OCSF has no place for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unmapped {
    /// The id.
    pub request_id: String,
    /// Namespace of the pod.
    pub namespace: Option<String>,
    /// The pod.
    pub pod: Option<String>,
    /// Its workload.
    pub workload: Option<String>,
    /// `allow`, `would_block`, `block`, `error`.
    pub verdict: String,
    /// Mode of the class.
    pub mode: String,
    /// `false` outside of the share that a policy blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforced: Option<bool>,
    /// Attack class.
    pub class: Option<String>,
    /// Rule, or why it was refused.
    pub rule: String,
    /// Where.
    pub location: Option<Location>,
    /// How sure the rule is.
    pub confidence: Option<String>,
    /// The exception that the finding falls under.
    pub exception: Option<String>,
    /// The shape of the evidence.
    pub sample: Option<String>,
    /// How much was inspected.
    pub coverage: String,
    /// Digest of the policies in force.
    pub policy_digest: Option<String>,
    /// The field of the policy that decided the mode.
    pub policy_field: Option<String>,
}

/// Where something was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Location {
    /// Part of the message.
    pub part: String,
    /// Name of the parameter.
    pub name: String,
    /// First byte of the evidence.
    pub offset: u64,
    /// Bytes of the evidence.
    pub length: u64,
    /// What was undone to read it.
    pub encodings: Vec<String>,
}

impl Event {
    /// Reads a line of a log, if it is an event of this request.
    pub fn of(line: &str, request_id: &str) -> Option<Self> {
        if !line.contains(request_id) {
            return None;
        }
        let event: Self = serde_json::from_str(line).ok()?;
        (event.unmapped.request_id == request_id).then_some(event)
    }

    /// The class, if this version knows it.
    pub fn class(&self) -> Option<Class> {
        let class = self.unmapped.class.as_deref()?;
        Class::ALL.into_iter().find(|known| known.as_str() == class)
    }
}
