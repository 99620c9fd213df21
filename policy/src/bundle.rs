//! The wire form of policies: a DSSE envelope over the exact bytes of a payload that holds every policy that concerns
//! one namespace, its own and those of the cluster. This module makes and reads bytes and digests; the operator signs, the proxy verifies.
//!
//! A large payload is packed by gzip inside of the envelope, under a payload type of its own: what is signed is what is
//! packed, so that nothing is unpacked that was not signed, and the digest is that of the payload either way.
//!
//! An envelope is verified first and parsed afterwards, and never serialised again. A sidecar refuses a Bundle with a
//! field it does not know and keeps what it has, so a new field is optional and never written unless it is set. The
//! schema version is raised where the meaning of what is there already changes.
//! Source: DSSE v1 protocol (secure-systems-lab/dsse).

use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::api::{Kind, Origin, RaspPolicySpec, TargetKind};
use crate::report::Acknowledged;
use crate::rollout::Step;
use crate::selector::{Labels, Subject};

/// The newest schema this version writes and the only one it reads.
pub const SCHEMA_VERSION: u32 = 1;
/// DSSE payload type of a payload as it is.
pub const PAYLOAD_TYPE: &str = "application/vnd.rasp.bundle+json";
/// DSSE payload type of a payload in the format of gzip.
pub const PACKED_PAYLOAD_TYPE: &str = "application/vnd.rasp.bundle+json+gzip";
/// Payloads over this size are packed, bytes. Smaller ones stay readable for people with `base64 -d`.
pub const PACK_FROM_BYTES: usize = 64 << 10;
/// The payload of a Bundle.
pub const BUNDLE: PayloadType =
    PayloadType { plain: PAYLOAD_TYPE, packed: PACKED_PAYLOAD_TYPE, pack_from: PACK_FROM_BYTES };
/// Largest payload that is made or unpacked, bytes: what a sidecar has to hold while it compiles.
pub const MAX_PAYLOAD_BYTES: usize = 4 << 20;
/// Largest envelope that is read; the API server limits a ConfigMap to 1 MiB.
pub const MAX_ENVELOPE_BYTES: usize = 1 << 20;

/// Every policy of one namespace, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bundle {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// The namespace the policies live in; a Bundle copied to another namespace is refused there.
    pub namespace: Namespace,
    /// Grows with every Bundle of the namespace: max(previous + 1, milliseconds since the epoch).
    pub sequence: u64,
    /// The policies, kind by kind in the order of [`Kind`], each in the order of their names.
    pub entries: Vec<Entry>,
}

/// Names a namespace beyond doubt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
}

/// One policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The object it comes from.
    pub source: Source,
    /// What it asks for. `targetRefs` are in `targets`.
    pub spec: RaspPolicySpec,
    /// What kind of object it comes from. Not written for a RaspPolicy.
    #[serde(default, skip_serializing_if = "is_rasp_policy")]
    pub kind: Kind,
    /// Of a ClusterRaspPolicy: below or above the policies of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What is there of its `targetRefs`: it is for these alone, for nothing where the list is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<Vec<Target>>,
    /// The step of its rollout that goes on. The share of that is in `spec.enforcement.percent`, and nothing of the rollout in
    /// the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Step>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
fn is_rasp_policy(kind: &Kind) -> bool {
    *kind == Kind::RaspPolicy
}

/// A target as a sidecar can compare it with itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// What it is.
    pub kind: TargetKind,
    /// Its name.
    pub name: String,
    /// Of a Service: the labels it selects.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub selector: Labels,
    /// The ports of pods that `sectionName` stands for; `None` where it names none: every port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<u16>>,
}

impl Target {
    /// Whether a pod is of this target. A Service without a selector has no pods that we know.
    pub fn selects(&self, subject: Subject<'_>) -> bool {
        match self.kind {
            TargetKind::Service => {
                !self.selector.is_empty()
                    && self.selector.iter().all(|(key, value)| subject.labels.get(key) == Some(value))
            }
            kind => subject
                .workload
                .strip_prefix(kind.as_str())
                .and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(|name| name == self.name),
        }
    }
}

/// The object a policy comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// `metadata.creationTimestamp`, RFC 3339 in UTC.
    pub created_at: String,
}

impl Entry {
    /// A RaspPolicy without targets.
    pub fn policy(source: Source, spec: RaspPolicySpec) -> Self {
        Self { source, spec, kind: Kind::RaspPolicy, origin: None, targets: None, rollout: None }
    }

    /// Whether the policy is for this pod, or for a port of it.
    pub fn selects<'a>(&self, subject: impl Into<Subject<'a>>) -> bool {
        let subject = subject.into();
        match &self.targets {
            Some(targets) => targets.iter().any(|target| target.selects(subject)),
            None => self.spec.pod_selector.as_ref().is_none_or(|selector| selector.matches(subject.labels)),
        }
    }

    /// How it is named to people: `RaspPolicy shop/web`, `ClusterRaspPolicy base`.
    pub fn title(&self, namespace: &str) -> String {
        let (kind, name) = (self.kind.as_str(), &self.source.name);
        if self.kind == Kind::ClusterRaspPolicy {
            format!("{kind} {name}")
        } else {
            format!("{kind} {namespace}/{name}")
        }
    }
}

impl Bundle {
    /// The bytes that are signed. `entries` must already be in their order.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default() // plain structs with string keys always serialise
    }

    /// What a sidecar that has this Bundle in force acknowledges.
    pub fn acknowledged(&self) -> Vec<Acknowledged> {
        self.entries
            .iter()
            .map(|Entry { source, .. }| Acknowledged {
                uid: source.uid.clone(),
                generation: source.generation,
            })
            .collect()
    }

    /// Reads a verified payload. Unknown fields are refused: obeying half of a policy is worse than keeping the last.
    pub fn from_verified(payload: &[u8]) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            schema_version: u32,
        }
        let Version { schema_version } =
            serde_json::from_slice(payload).map_err(|error| Refusal::Malformed(error.to_string()))?;
        if schema_version != SCHEMA_VERSION {
            return Err(Refusal::SchemaVersion(schema_version));
        }
        let mut unknown = None;
        let bundle: Self =
            serde_ignored::deserialize(&mut serde_json::Deserializer::from_slice(payload), |path| {
                unknown.get_or_insert_with(|| crate::document::dotted(&path));
            })
            .map_err(|error| Refusal::Malformed(error.to_string()))?;
        match unknown {
            Some(path) => Err(Refusal::UnknownField(path)),
            None => Ok(bundle),
        }
    }
}

/// Digest of payload bytes: `sha256:` and 64 hex digits. What status calls `policyHash`.
pub fn digest(payload: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(payload).iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Why a Bundle was refused. The id is the metric label, the event field and part of the status message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The envelope is larger than [`MAX_ENVELOPE_BYTES`], or its payload than [`MAX_PAYLOAD_BYTES`].
    #[error(
        "{0} bytes or more; an envelope may have {MAX_ENVELOPE_BYTES} and its payload {MAX_PAYLOAD_BYTES}"
    )]
    TooLarge(usize),
    /// Not a DSSE envelope, or not the payload of one.
    #[error("not a Bundle: {0}")]
    Malformed(String),
    /// The envelope has no signature.
    #[error("the envelope carries no signature")]
    Unsigned,
    /// No signature was made by a known key over these bytes.
    #[error("no signature by a known key fits the payload")]
    Signature,
    /// Written by a newer operator.
    #[error("schema version {0} is not {SCHEMA_VERSION}, the one this version reads")]
    SchemaVersion(u32),
    /// A field this version does not know.
    #[error("unknown field {0}")]
    UnknownField(String),
    /// Made for another namespace.
    #[error("made for another namespace")]
    Namespace,
    /// Not newer than what is in force or than the floor injected with the pod.
    #[error("sequence {found} is older than {floor}")]
    Older {
        /// Sequence of the refused Bundle.
        found: u64,
        /// Lowest acceptable sequence.
        floor: u64,
    },
    /// The policies cannot be compiled by this version.
    #[error("cannot be compiled: {0}")]
    Build(String),
}

impl Refusal {
    /// Every id, for metrics.
    pub const IDS: [&str; 9] = [
        "too_large",
        "malformed",
        "unsigned",
        "signature",
        "schema_version",
        "unknown_field",
        "namespace",
        "older",
        "build",
    ];

    /// Ids of refusals that only a newer version of the reader ends: the Bundle says what it does not know. They are told of
    /// signed payloads alone.
    pub const TOO_OLD: [&str; 2] = ["schema_version", "unknown_field"];

    /// One word from a closed list.
    pub fn id(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "too_large",
            Self::Malformed(_) => "malformed",
            Self::Unsigned => "unsigned",
            Self::Signature => "signature",
            Self::SchemaVersion(_) => "schema_version",
            Self::UnknownField(_) => "unknown_field",
            Self::Namespace => "namespace",
            Self::Older { .. } => "older",
            Self::Build(_) => "build",
        }
    }
}

/// What a payload is. The signature covers it, so that one payload is never taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadType {
    /// DSSE payload type of a payload as it is.
    pub plain: &'static str,
    /// Of one in the format of gzip.
    pub packed: &'static str,
    /// Payloads over this size are packed, bytes.
    pub pack_from: usize,
}

/// A DSSE envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Signature {
    keyid: String,
    sig: String,
}

impl Envelope {
    /// Seals the payload of a Bundle, packed where it is large. `sign` gets the pre-authentication encoding and returns the raw signature.
    pub fn seal(payload: &[u8], key_id: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Self {
        Self::seal_as(BUNDLE, payload, key_id, sign)
    }

    /// The same of another payload.
    pub fn seal_as(
        kind: PayloadType,
        payload: &[u8],
        key_id: &str,
        sign: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Self {
        let packed = (payload.len() > kind.pack_from).then(|| pack(payload)).flatten();
        let (payload_type, body) = match &packed {
            Some(packed) => (kind.packed, packed.as_slice()),
            None => (kind.plain, payload),
        };
        let sig = sign(&pre_authentication_encoding(payload_type, body));
        Self {
            payload_type: payload_type.to_owned(),
            payload: BASE64.encode(body),
            signatures: vec![Signature { keyid: key_id.to_owned(), sig: BASE64.encode(sig) }],
        }
    }

    /// The text that goes into the ConfigMap.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() // plain structs with string keys always serialise
    }

    /// Reads the text of an envelope and returns the payload bytes of a Bundle once `verify(key_id, message, signature)`
    /// accepts one of its signatures. `key_id` is a hint from the envelope, not proof.
    pub fn open(text: &[u8], verify: impl Fn(&str, &[u8], &[u8]) -> bool) -> Result<Vec<u8>, Refusal> {
        Self::open_as(BUNDLE, text, verify)
    }

    /// The same of another payload.
    pub fn open_as(
        kind: PayloadType,
        text: &[u8],
        verify: impl Fn(&str, &[u8], &[u8]) -> bool,
    ) -> Result<Vec<u8>, Refusal> {
        if text.len() > MAX_ENVELOPE_BYTES {
            return Err(Refusal::TooLarge(text.len()));
        }
        let envelope: Self =
            serde_json::from_slice(text).map_err(|error| Refusal::Malformed(error.to_string()))?;
        let payload_type =
            [kind.plain, kind.packed].into_iter().find(|known| *known == envelope.payload_type).ok_or_else(
                || Refusal::Malformed(format!("payload type is not {} nor the packed one", kind.plain)),
            )?;
        if envelope.signatures.is_empty() {
            return Err(Refusal::Unsigned);
        }
        let body = BASE64.decode(&envelope.payload).map_err(|error| Refusal::Malformed(error.to_string()))?;
        let message = pre_authentication_encoding(payload_type, &body);
        let accepted = envelope.signatures.iter().any(|Signature { keyid, sig }| {
            BASE64.decode(sig).is_ok_and(|signature| verify(keyid, &message, &signature))
        });
        if !accepted {
            return Err(Refusal::Signature);
        }
        if payload_type == kind.packed { unpack(&body) } else { Ok(body) }
    }
}

/// `None` where packing gains nothing.
fn pack(payload: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(payload).ok()?;
    encoder.finish().ok().filter(|packed| packed.len() < payload.len())
}

/// Only ever of signed bytes; bounded all the same, since a signed mistake must not take the memory of every sidecar.
fn unpack(packed: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut payload = Vec::new();
    let most = MAX_PAYLOAD_BYTES as u64 + 1;
    GzDecoder::new(packed)
        .take(most)
        .read_to_end(&mut payload)
        .map_err(|error| Refusal::Malformed(format!("cannot be unpacked: {error}")))?;
    if payload.len() > MAX_PAYLOAD_BYTES { Err(Refusal::TooLarge(payload.len())) } else { Ok(payload) }
}

/// `PAE(type, body)` of DSSE v1: what is signed, so that the type cannot be exchanged.
pub(crate) fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut message =
        format!("DSSEv1 {} {} {} ", payload_type.len(), payload_type, payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message
}

#[cfg(test)]
mod tests;
