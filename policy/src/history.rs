//! What the policies of a namespace were: signed, numbered records that the operator keeps beside the Bundle, so that
//! somebody can go back to a former state. A record is no Bundle, and no sidecar reads one: going back is an edit of the
//! objects, which makes a new Bundle with a sequence of its own (ADR 17).
//!
//! A record is about the objects of the namespace. Of policies of the cluster it says only which generation took part.
//! This module knows the bytes; the operator signs and keeps them, `raspctl` verifies and compares.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::{Kind, RaspExceptionSpec, RaspPolicySpec};
use crate::bundle::{Bundle, Entry, Namespace, PayloadType, Refusal, digest};

/// The newest schema this version writes and the only one it reads.
pub const SCHEMA_VERSION: u32 = 1;
/// DSSE payload types of a record: a signature over a Bundle is none over a record, and the other way round.
pub const RECORD: PayloadType = PayloadType {
    plain: "application/vnd.rasp.history+json",
    packed: "application/vnd.rasp.history+json+gzip",
    pack_from: 4 << 10,
};
/// Records of a namespace at most.
pub const MOST_RECORDS: usize = 10;
/// Bytes of all records of a namespace at most, signed and packed: they share a ConfigMap, which may have 1 MiB.
pub const MOST_BYTES: usize = 900 << 10;

/// The objects of a namespace behind one Bundle, and behind those that followed it until the objects changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Whose; a record copied to another namespace is refused there.
    pub namespace: Namespace,
    /// Sequence of the Bundle.
    pub sequence: u64,
    /// When it was made, RFC 3339 in UTC.
    pub time: String,
    /// Digest of the Bundle's payload.
    pub digest: String,
    /// A former record with the same objects: somebody went back to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_of: Option<u64>,
    /// RaspPolicies and RaspExceptions, in the order of the Bundle.
    pub objects: Vec<Object>,
    /// ClusterRaspPolicies that took part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster: Vec<Source>,
}

/// An object of the namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// RaspPolicy or RaspException.
    pub kind: Kind,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.generation` that took part.
    pub generation: i64,
    /// `spec` of this generation, as [`normal`] has it. Absent where the operator never saw it as it was written: the
    /// object had become invalid before there was a history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<Value>,
}

/// A policy of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: i64,
}

/// Specs by kind and name; `None` is one that is not known.
pub type State = BTreeMap<(Kind, String), Option<Value>>;

impl Record {
    /// What a Bundle says of the objects behind it. Of one with `targetRefs` it does not hold what was written, nor of one with
    /// `enforcement`, where a step of a rollout looks as if somebody had written its percent.
    pub fn of_bundle(bundle: &Bundle, time: String) -> Self {
        let own = bundle.entries.iter().filter(|entry| entry.kind != Kind::ClusterRaspPolicy);
        let objects = own.map(|entry| Object {
            kind: entry.kind,
            name: entry.source.name.clone(),
            uid: entry.source.uid.clone(),
            generation: entry.source.generation,
            spec: is_as_written(entry).then(|| written(entry.kind, &entry.spec)).flatten(),
        });
        Self {
            schema_version: SCHEMA_VERSION,
            namespace: bundle.namespace.clone(),
            sequence: bundle.sequence,
            time,
            digest: digest(&bundle.to_bytes()),
            rollback_of: None,
            objects: objects.collect(),
            cluster: cluster(bundle),
        }
    }

    /// The bytes that are signed.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default() // plain structs with string keys always serialise
    }

    /// Reads a verified payload.
    pub fn from_verified(payload: &[u8]) -> Result<Self, Refusal> {
        let record: Self =
            serde_json::from_slice(payload).map_err(|error| Refusal::Malformed(error.to_string()))?;
        match record.schema_version {
            SCHEMA_VERSION => Ok(record),
            other => Err(Refusal::SchemaVersion(other)),
        }
    }

    /// Its specs.
    pub fn state(&self) -> State {
        let objects = self.objects.iter();
        objects.map(|object| ((object.kind, object.name.clone()), object.spec.clone())).collect()
    }
}

fn is_as_written(entry: &Entry) -> bool {
    entry.targets.is_none() && entry.spec.enforcement.is_none()
}

/// The policies of the cluster in a Bundle.
pub fn cluster(bundle: &Bundle) -> Vec<Source> {
    let of_cluster = bundle.entries.iter().filter(|entry| entry.kind == Kind::ClusterRaspPolicy);
    of_cluster
        .map(|entry| Source {
            name: entry.source.name.clone(),
            uid: entry.source.uid.clone(),
            generation: entry.source.generation,
        })
        .collect()
}

/// Whether two states ask for the same. What is not known may be the same.
pub fn is_same(one: &State, other: &State) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|((key, spec), (other_key, other_spec))| {
            key == other_key && (spec.is_none() || other_spec.is_none() || spec == other_spec)
        })
}

/// The spec that a user wrote, of what a Bundle and the operator make of every kind.
pub fn written(kind: Kind, spec: &RaspPolicySpec) -> Option<Value> {
    match kind {
        Kind::RaspPolicy => serde_json::to_value(spec).ok(),
        Kind::RaspException => serde_json::to_value(RaspExceptionSpec::of_policy(spec)?).ok(),
        Kind::ClusterRaspPolicy => None,
    }
}

/// A spec as records have it, to be compared with them: without what says nothing. One that cannot be read stays as it is.
pub fn normal(kind: Kind, spec: &Value) -> Value {
    let read = match kind {
        Kind::RaspPolicy => RaspPolicySpec::deserialize(spec).ok().and_then(|spec| written(kind, &spec)),
        Kind::RaspException => {
            RaspExceptionSpec::deserialize(spec).ok().and_then(|spec| serde_json::to_value(spec).ok())
        }
        Kind::ClusterRaspPolicy => None,
    };
    read.unwrap_or_else(|| spec.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{RECORD, Record, is_same, normal, written};
    use crate::api::{Kind, RaspExceptionSpec, RaspPolicySpec};
    use crate::bundle::{self, Bundle, Entry, Envelope, Namespace, Refusal};

    fn entry(kind: Kind, name: &str, spec: RaspPolicySpec) -> Entry {
        let source = bundle::Source {
            name: name.to_owned(),
            uid: format!("{name}-uid"),
            generation: 3,
            created_at: String::new(),
        };
        Entry { kind, ..Entry::policy(source, spec) }
    }

    fn mk_bundle() -> Bundle {
        let exception: RaspExceptionSpec =
            serde_yaml::from_str("{rule: sqli-comment, path: /a, reason: r, podSelector: {}}").unwrap();
        let block: RaspPolicySpec = serde_yaml::from_str("{mode: Block}").unwrap();
        let mut targeted = entry(Kind::RaspPolicy, "targeted", block.clone());
        targeted.targets = Some(Vec::new());
        let rolling = serde_yaml::from_str("{mode: Block, enforcement: {percent: 5}}").unwrap();
        Bundle {
            schema_version: bundle::SCHEMA_VERSION,
            namespace: Namespace { name: "shop".into(), uid: "u".into() },
            sequence: 7,
            entries: vec![
                entry(Kind::RaspPolicy, "all", block.clone()),
                targeted,
                entry(Kind::RaspPolicy, "rolling", rolling),
                entry(Kind::ClusterRaspPolicy, "base", block),
                entry(Kind::RaspException, "editor", exception.policy("editor")),
            ],
        }
    }

    #[test]
    fn a_record_holds_the_specs_as_they_were_written_and_only_names_policies_of_the_cluster() {
        let record = Record::of_bundle(&mk_bundle(), "2026-11-26T00:00:00Z".to_owned());
        let specs: Vec<_> =
            record.objects.iter().map(|object| (&*object.name, object.spec.clone())).collect();
        let exception = json!({ "rule": "sqli-comment", "path": "/a", "reason": "r", "podSelector": {} });
        let wanted = [
            ("all", Some(json!({ "mode": "Block" }))),
            ("targeted", None),
            ("rolling", None),
            ("editor", Some(exception)),
        ];
        assert_eq!(specs, wanted);
        assert_eq!(record.cluster.iter().map(|source| &*source.name).collect::<Vec<_>>(), ["base"]);
        assert_eq!(record.digest, bundle::digest(&mk_bundle().to_bytes()));
    }

    #[test]
    fn a_sealed_record_opens_with_the_same_bytes_and_is_no_bundle() {
        let record = Record::of_bundle(&mk_bundle(), String::new());
        let text = Envelope::seal_as(RECORD, &record.to_bytes(), "key", |_| b"sig".to_vec()).to_text();
        let payload = Envelope::open_as(RECORD, text.as_bytes(), |_, _, _| true).unwrap();
        assert_eq!(Record::from_verified(&payload), Ok(record));
        assert_eq!(Envelope::open(text.as_bytes(), |_, _, _| true).unwrap_err().id(), "malformed");
        let bundle = Envelope::seal(&mk_bundle().to_bytes(), "key", |_| b"sig".to_vec()).to_text();
        let refused = Envelope::open_as(RECORD, bundle.as_bytes(), |_, _, _| true);
        assert_eq!(refused.unwrap_err().id(), "malformed");
    }

    #[test]
    fn a_record_of_a_newer_version_is_not_half_read() {
        let mut newer = Record::of_bundle(&mk_bundle(), String::new());
        newer.schema_version += 1;
        assert_eq!(Record::from_verified(&newer.to_bytes()), Err(Refusal::SchemaVersion(2)));
    }

    #[test]
    fn states_are_compared_by_what_they_ask_for() {
        let record = Record::of_bundle(&mk_bundle(), String::new());
        let mut same = record.clone();
        same.objects[0].uid = "made anew".into();
        same.objects[1].spec = Some(json!({ "mode": "Off" }));
        assert!(is_same(&record.state(), &same.state()), "one that is not known may be the same");
        same.objects[0].spec = Some(json!({ "mode": "Off" }));
        assert!(!is_same(&record.state(), &same.state()));
        same.objects.pop();
        assert!(!is_same(&record.state(), &same.state()));
    }

    #[test]
    fn what_says_nothing_is_not_compared_and_what_cannot_be_read_stays() {
        for (kind, spec, wanted) in [
            (Kind::RaspPolicy, json!({ "mode": "Block", "response": null }), json!({ "mode": "Block" })),
            (Kind::RaspPolicy, json!({ "mode": 7 }), json!({ "mode": 7 })),
            (
                Kind::RaspException,
                json!({ "rule": "a", "reason": "r" }),
                json!({ "rule": "a", "reason": "r" }),
            ),
        ] {
            assert_eq!(normal(kind, &spec), wanted);
        }
        assert_eq!(written(Kind::RaspException, &RaspPolicySpec::default()), None, "it is none");
    }
}
