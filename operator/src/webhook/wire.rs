//! AdmissionReview v1 as JSON. Own types, because the pod must stay a JSON value and the patch must be base64:
//! kube's response type writes it as a list of numbers (kube-rs#1781).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Error;
use crate::inject::Reason;
use crate::text;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(borrow)]
    request: Option<Request<'a>>,
}

/// The members of an AdmissionRequest that are used. The objects stay texts until it is known that they are needed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request<'a> {
    pub(crate) uid: String,
    kind: GroupVersionKind,
    sub_resource: Option<String>,
    operation: String,
    namespace: Option<String>,
    #[serde(borrow)]
    pub(crate) object: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) old_object: Option<&'a RawValue>,
    dry_run: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct GroupVersionKind {
    #[serde(default)]
    group: String,
    version: String,
    kind: String,
}

pub(crate) fn read(body: &[u8]) -> Result<Request<'_>, Error> {
    let review: Review<'_> = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
    if review.api_version != API_VERSION || review.kind != KIND {
        return Err(Error::Version);
    }
    review.request.ok_or(Error::NoRequest)
}

/// Reads an object. What weighs too much must not come here.
pub(crate) fn object(object: &RawValue) -> Result<Value, Error> {
    serde_json::from_str(object.get()).map_err(|error| malformed(&error))
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

impl Request<'_> {
    pub(crate) fn creates_pod(&self) -> bool {
        let GroupVersionKind { group, version, kind } = &self.kind;
        let is_pod = (group.as_str(), version.as_str(), kind.as_str()) == ("", "v1", "Pod");
        is_pod && self.operation == "CREATE" && self.sub_resource.as_deref().unwrap_or_default().is_empty()
    }

    /// The kind of this group whose objects, not their status or their scale, are made or changed.
    pub(crate) fn writes(&self, group: &str) -> Option<&str> {
        let whole = self.sub_resource.as_deref().unwrap_or_default().is_empty();
        let writes = matches!(self.operation.as_str(), "CREATE" | "UPDATE");
        (self.kind.group == group && whole && writes).then_some(&self.kind.kind)
    }

    /// The namespace of the request counts: the object's own may be empty still. It ends in logs, labels and events,
    /// and an API server only asks about namespaces that exist, so it has to be a name of one (RFC 1123).
    pub(crate) fn namespace(&self) -> Result<&str, Error> {
        let name = self.namespace.as_deref().unwrap_or_default();
        let of_a_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_name = name.len() <= 63 && name.bytes().all(of_a_name);
        if is_name { Ok(name) } else { Err(Error::Namespace) }
    }

    pub(crate) fn is_dry_run(&self) -> bool {
        self.dry_run == Some(true)
    }
}

/// An AdmissionResponse.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Response {
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
    pub(crate) fn allow(uid: String) -> Self {
        Self { uid, allowed: true, patch_type: None, patch: None, status: None, warnings: Vec::new() }
    }

    pub(crate) fn patch(mut self, patch: &json_patch::Patch) -> Self {
        let bytes = serde_json::to_vec(patch).unwrap_or_default(); // operations over JSON values always serialise
        self.patch_type = Some("JSONPatch");
        self.patch = Some(BASE64.encode(bytes));
        self
    }

    pub(crate) fn deny(mut self, reason: &Reason) -> Self {
        // kubectl prints it as it comes, and parts of it are what the pod's author wrote.
        let said = text::line(&reason.to_string(), MAX_DENIAL_CHARS);
        self.allowed = false;
        self.status = Some(json!({
            "code": 403,
            "reason": "Forbidden",
            "message": format!("kube-rasp must protect this pod and cannot, {}: {said}", reason.id()),
            "details": {"causes": [{"reason": reason.id(), "message": said}]},
        }));
        self
    }

    /// Refuses an object with a message that begins with the path of a field.
    pub(crate) fn refuse(mut self, group: &str, kind: &str, name: &str, message: &str) -> Self {
        let said = text::line(message, MAX_DENIAL_CHARS);
        let field = said.split([' ', ':']).next().unwrap_or_default();
        // kubectl prints the causes alone, each as `field: message`.
        let cause = said.strip_prefix(field).unwrap_or(&said).trim_start_matches([':', ' ']);
        self.allowed = false;
        self.status = Some(json!({
            "code": 422,
            "reason": "Invalid",
            "message": said,
            "details": {
                "group": group, "kind": kind, "name": text::line(name, MAX_NAME_CHARS),
                "causes": [{"reason": "FieldValueInvalid", "field": field, "message": cause}],
            },
        }));
        self
    }

    pub(crate) fn warn(mut self, warnings: &[String]) -> Self {
        self.warnings = warnings.iter().take(MAX_WARNINGS).map(|text| warning(text)).collect();
        self
    }

    pub(crate) fn write(&self) -> Bytes {
        let review = json!({"apiVersion": API_VERSION, "kind": KIND, "response": self});
        Bytes::from(review.to_string())
    }
}

/// The API server cuts each warning at 256 characters and all of them at 4096.
const MAX_WARNINGS: usize = 16;
const MAX_WARNING_CHARS: usize = 256;
/// A denial has no limit of its own.
const MAX_DENIAL_CHARS: usize = 1024;
/// Longest name of an object (RFC 1123 subdomain).
const MAX_NAME_CHARS: usize = 253;

/// Warnings travel in a header field, so nothing but printable characters may be in them.
fn warning(text: &str) -> String {
    text::line(&format!("kube-rasp: {text}"), MAX_WARNING_CHARS)
}

/// The body of a 4xx.
pub(crate) fn problem(message: &str) -> Bytes {
    Bytes::from(json!({"error": message}).to_string())
}
