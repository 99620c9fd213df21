//! Events as OCSF Detection Findings (class 2004), one JSON line each, on standard output.
//!
//! Never holds payload: the path goes masked and without its query (and not at all where a finding is in the path),
//! the sample is masked by the engine. Called by `exchange::record`; never awaited by the data path.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use rasp_policy::precedence::Decided;
use serde::Serialize;

mod sink;
pub use sink::{DROP_REASONS, STDOUT, Sink, Writer};

/// What was done about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Reported only.
    Log,
    /// The request was refused.
    Block,
}

impl Action {
    /// Every action that is taken.
    pub const ALL: [Self; 2] = [Self::Log, Self::Block];

    /// Metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Log => "Log",
            Self::Block => "Block",
        }
    }
}

/// OCSF class Detection Finding.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// 2 is Findings.
    pub category_uid: u32,
    /// 2004 is Detection Finding.
    pub class_uid: u32,
    /// 1 is Create.
    pub activity_id: u32,
    /// Class and activity.
    pub type_uid: u32,
    /// Milliseconds since the epoch.
    pub time: i64,
    /// 1 Informational to 5 Critical.
    pub severity_id: u32,
    /// In words.
    pub severity: &'static str,
    /// 2 Blocked, 17 Logged.
    pub disposition_id: u32,
    /// In words.
    pub disposition: &'static str,
    /// Version of OCSF and name of the product.
    pub metadata: Metadata,
    /// The finding itself.
    pub finding_info: FindingInfo,
    /// The request.
    pub http_request: HttpRequest,
    /// The client: the peer, or whom declared hops name.
    pub src_endpoint: Endpoint,
    /// The application.
    pub dst_endpoint: Endpoint,
    /// The policy that decided the mode (profile Security Control).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// What OCSF has no place for.
    pub unmapped: Unmapped,
}

/// Version of OCSF and name of the product.
#[derive(Clone, Debug, Serialize)]
pub struct Metadata {
    /// Version of OCSF.
    pub version: &'static str,
    /// The product.
    pub product: Product,
}

/// The product.
#[derive(Clone, Debug, Serialize)]
pub struct Product {
    /// Name.
    pub name: &'static str,
    /// Vendor.
    pub vendor_name: &'static str,
    /// Version.
    pub version: &'static str,
}

/// The finding itself.
#[derive(Clone, Debug, Serialize)]
pub struct FindingInfo {
    /// Unique: request id and number of the finding.
    pub uid: String,
    /// A sentence.
    pub title: String,
    /// Classes.
    pub types: Vec<&'static str>,
}

/// The request.
#[derive(Clone, Debug, Serialize)]
pub struct HttpRequest {
    /// Method; `other` where HTTP defines none of that name.
    pub http_method: String,
    /// Target.
    pub url: Url,
}

/// A target without its query.
#[derive(Clone, Debug, Serialize)]
pub struct Url {
    /// Masked path; absent where a finding of the request is in the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// One end of the connection.
#[derive(Clone, Debug, Serialize)]
pub struct Endpoint {
    /// Address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Port; absent (0) where a hop names an address alone.
    #[serde(skip_serializing_if = "is_zero")]
    pub port: u16,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(port: &u16) -> bool {
    *port == 0
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self { ip: Some(address.ip().to_canonical().to_string()), port: address.port() }
    }
}

/// A policy.
#[derive(Clone, Debug, Serialize)]
pub struct Policy {
    /// `RaspPolicy shop/web`, `ClusterRaspPolicy base`.
    pub name: String,
    /// UID of the object; a document of a file has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Generation of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
}

impl Event {
    /// Names the policy that decided the mode.
    pub fn decided_by(&mut self, decided: Option<&Decided>) {
        let Some(Decided { name, uid, generation, field }) = decided else { return };
        let version = if uid.is_empty() { String::new() } else { generation.to_string() };
        self.policy = Some(Policy { name: name.clone(), uid: uid.clone(), version });
        self.unmapped.policy_field = Some(field.clone());
    }
}

/// What OCSF has no place for. Names are frozen.
#[derive(Clone, Debug, Serialize)]
pub struct Unmapped {
    /// Id that the client, the application and this event share.
    pub request_id: String,
    /// Trace of W3C Trace Context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Name of the pod.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pod: String,
    /// Namespace of the pod.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// `Kind/name` of the controller.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub workload: String,
    /// Mode of the class.
    pub mode: &'static str,
    /// Verdict over the request.
    pub verdict: &'static str,
    /// `false` outside of the share that `spec.enforcement` blocks, where Block is Monitor; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforced: Option<bool>,
    /// Attack class; absent where the request was refused for another reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<&'static str>,
    /// Rule; for refusals without a finding the reason.
    pub rule: &'static str,
    /// Where in the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// How sure the rule is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<&'static str>,
    /// The exception of the policy that the finding falls under, as `policy/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<String>,
    /// Masked shape of the evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<String>,
    /// Digest of the policy in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_digest: Option<String>,
    /// The field of the policy that decided the mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_field: Option<String>,
    /// `full`, or why not.
    pub coverage: &'static str,
    /// Incidents of this kind that are no events, since the last one that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<u64>,
}

/// Where in the request.
#[derive(Clone, Debug, Serialize)]
pub struct Location {
    /// Part of the message.
    pub part: &'static str,
    /// Name of the parameter.
    pub name: String,
    /// First byte in the decoded value.
    pub offset: usize,
    /// Number of bytes.
    pub length: usize,
    /// What else was undone to read it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub encodings: Vec<&'static str>,
}

impl Event {
    /// An event of this moment, with the numbers of OCSF filled in.
    pub fn now(
        action: Action,
        severity: Severity,
        http_request: HttpRequest,
        (src_endpoint, dst_endpoint): (Endpoint, Endpoint),
        unmapped: Unmapped,
    ) -> Self {
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis());
        let (disposition_id, disposition) = match action {
            Action::Block => (2, "Blocked"),
            Action::Log => (17, "Logged"),
        };
        let product = Product { name: "kube-rasp", vendor_name: "kube-rasp", version: crate::VERSION };
        Self {
            category_uid: 2,
            class_uid: 2004,
            activity_id: 1,
            type_uid: 200_401,
            time: i64::try_from(millis).unwrap_or(i64::MAX),
            severity_id: severity as u32,
            severity: severity.as_str(),
            disposition_id,
            disposition,
            metadata: Metadata { version: "1.6.0", product },
            finding_info: FindingInfo { uid: String::new(), title: String::new(), types: Vec::new() },
            http_request,
            src_endpoint,
            dst_endpoint,
            policy: None,
            unmapped,
        }
    }
}

/// Severities of OCSF, with their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// A hint, or a refusal without a finding.
    Low = 2,
    /// Suspicious.
    Medium = 3,
    /// Practically an attack.
    High = 4,
    /// A complete attack.
    Critical = 5,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
            Self::Critical => "Critical",
        }
    }
}
