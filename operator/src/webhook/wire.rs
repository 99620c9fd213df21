//! AdmissionReview v1 as JSON. Own types, because the pod must stay a JSON value and the patch must be base64:
//! kube's response type writes it as a list of numbers (kube-rs#1781).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Error;
use crate::inject::Reason;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    request: Option<Request>,
}

/// The members of an AdmissionRequest that are used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    pub(super) uid: String,
    kind: GroupVersionKind,
    sub_resource: Option<String>,
    operation: String,
    namespace: Option<String>,
    pub(super) object: Option<Value>,
    dry_run: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct GroupVersionKind {
    #[serde(default)]
    group: String,
    version: String,
    kind: String,
}

pub(super) fn read(body: &[u8]) -> Result<Request, Error> {
    let review: Review = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
    if review.api_version != API_VERSION || review.kind != KIND {
        return Err(Error::Version);
    }
    review.request.ok_or(Error::NoRequest)
}

/// The parser's own text could quote the pod.
fn malformed(error: &serde_json::Error) -> Error {
    use serde_json::error::Category;
    let problem = match error.classify() {
        Category::Io | Category::Syntax => "not JSON",
        Category::Eof => "the JSON ends too early",
        Category::Data => "a field is missing or of another type",
    };
    Error::Malformed { problem, line: error.line(), column: error.column() }
}

impl Request {
    pub(super) fn creates_pod(&self) -> bool {
        let GroupVersionKind { group, version, kind } = &self.kind;
        let is_pod = (group.as_str(), version.as_str(), kind.as_str()) == ("", "v1", "Pod");
        is_pod && self.operation == "CREATE" && self.sub_resource.as_deref().unwrap_or_default().is_empty()
    }

    /// The namespace of the request counts: the object's own may be empty still.
    pub(super) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }

    pub(super) fn is_dry_run(&self) -> bool {
        self.dry_run == Some(true)
    }
}

/// An AdmissionResponse.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Response {
    uid: String,
    allowed: bool,
    /// Only ever together with `patch`: the API server refuses one without the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl Response {
    pub(super) fn allow(uid: String) -> Self {
        Self { uid, allowed: true, patch_type: None, patch: None, status: None, warnings: Vec::new() }
    }

    pub(super) fn patch(mut self, patch: &json_patch::Patch) -> Self {
        let bytes = serde_json::to_vec(patch).unwrap_or_default(); // operations over JSON values always serialise
        self.patch_type = Some("JSONPatch");
        self.patch = Some(BASE64.encode(bytes));
        self
    }

    pub(super) fn deny(mut self, reason: &Reason) -> Self {
        self.allowed = false;
        self.status = Some(json!({
            "code": 403,
            "reason": "Forbidden",
            "message": format!("kube-rasp must protect this pod and cannot, {}: {reason}", reason.id()),
            "details": {"causes": [{"reason": reason.id(), "message": reason.to_string()}]},
        }));
        self
    }

    pub(super) fn warn(mut self, warnings: &[String]) -> Self {
        self.warnings = warnings.iter().take(MAX_WARNINGS).map(|text| warning(text)).collect();
        self
    }

    pub(super) fn write(&self) -> Bytes {
        let review = json!({"apiVersion": API_VERSION, "kind": KIND, "response": self});
        Bytes::from(review.to_string())
    }
}

/// The API server cuts each warning at 256 characters and all of them at 4096.
const MAX_WARNINGS: usize = 16;
const MAX_WARNING_CHARS: usize = 256;

/// Warnings travel in a header field, so nothing but printable characters may be in them.
fn warning(text: &str) -> String {
    let printable = |char: char| if char.is_control() { ' ' } else { char };
    let text: String = "kube-rasp: ".chars().chain(text.chars().map(printable)).collect();
    match text.char_indices().nth(MAX_WARNING_CHARS) {
        None => text,
        Some(_) => text.chars().take(MAX_WARNING_CHARS - 3).chain("...".chars()).collect(),
    }
}

/// The body of a 4xx.
pub(super) fn problem(message: &str) -> Bytes {
    Bytes::from(json!({"error": message}).to_string())
}
