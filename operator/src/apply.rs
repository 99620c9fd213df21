//! Writes what was decided: the signed Bundle and the history into their ConfigMaps and statuses onto policies, by
//! server-side apply.
//!
//! Nothing is written by a process that is not leader at that very moment, and nothing over a version that it has not
//! seen: a write that was on its way when another replica became leader is refused by the API server once that one has
//! written. Called by `controller`, `history` and `publish`.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use rasp_policy::api::{API_VERSION, Kind, RaspPolicyStatus};
use rasp_policy::bundle::{Bundle, MAX_PAYLOAD_BYTES};
use rasp_policy::crd::{ClusterRaspPolicy, RaspException, RaspPolicy};
use rasp_policy::pod::{BUNDLE_CONFIG_MAP, BUNDLE_KEY, HISTORY_CONFIG_MAP};
use serde_json::{Value, json};

use crate::api_error;
use crate::inject::Settings;
use crate::leader::Leadership;
use crate::observe::{Kept as _, MANAGED_BY, MANAGED_BY_LABEL, Policy, Stored};
use crate::publish::{SETTINGS_CONFIG_MAP, SETTINGS_KEY};
use crate::signing::Key;

/// Field manager of everything the operator writes.
pub const FIELD_MANAGER: &str = "kube-rasp-operator";
/// Longest wait for one write. Less than the margin between the end of our term and the next leader's.
const PATIENCE: Duration = Duration::from_secs(4);
/// The API server refuses ConfigMaps over 1 MiB; the rest is room for metadata.
const MAX_TEXT_BYTES: usize = (1 << 20) - 16 * 1024;

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another replica leads now.
    #[error("this replica is not the leader any more")]
    NotLeader,
    /// The Bundle does not fit into a ConfigMap, packed as it is, or into a sidecar.
    #[error(
        "the policies of the namespace make {bytes} bytes{}, more than the {limit} that {}; the largest of {} are {largest}; merge policies, or shorten response bodies and signatures",
        if *.packed { " signed and packed" } else { "" },
        if *.packed { "fit into a ConfigMap" } else { "a sidecar reads" },
        .policies
    )]
    TooLarge {
        /// Size of the envelope, or of the payload before it is packed.
        bytes: usize,
        /// What it may have.
        limit: usize,
        /// Whether it is the envelope.
        packed: bool,
        /// How many policies there are.
        policies: usize,
        /// The largest of them, with their sizes before they are packed.
        largest: String,
    },
    /// A record of the history does not fit, even alone.
    #[error("a record of {0} bytes is more than a history may have")]
    RecordTooLarge(usize),
    /// Somebody wrote since this was decided; it is decided again.
    #[error("the object was changed meanwhile; trying again")]
    Raced,
    /// The API server refused.
    #[error("{}", api_error::text(.0))]
    Api(Box<kube::Error>),
    /// The API server did not answer in time.
    #[error("the API server did not answer within {} s", PATIENCE.as_secs())]
    Timeout,
}

impl Error {
    /// The object or its namespace is gone; there is nothing to write to.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Api(error) => matches!(&**error, kube::Error::Api(status) if status.code == 404),
            _ => false,
        }
    }
}

/// Writes as the leader.
pub struct Writer {
    client: Client,
    leadership: Leadership,
}

impl Writer {
    /// Writes by this client while `leadership` lasts.
    pub fn new(client: Client, leadership: Leadership) -> Self {
        Self { client, leadership }
    }

    /// Signs a Bundle and writes it over what was `found`; returns the ConfigMap as it then stands.
    pub async fn bundle(&self, bundle: &Bundle, found: Option<&Stored>, key: &Key) -> Result<Stored, Error> {
        let too_large = |bytes, limit, packed| {
            let (policies, largest) = (bundle.entries.len(), largest(bundle));
            Err(Error::TooLarge { bytes, limit, packed, policies, largest })
        };
        let payload = bundle.to_bytes().len();
        if payload > MAX_PAYLOAD_BYTES {
            return too_large(payload, MAX_PAYLOAD_BYTES, false);
        }
        let (text, _) = key.seal(bundle);
        if text.len() > MAX_TEXT_BYTES {
            return too_large(text.len(), MAX_TEXT_BYTES, true);
        }
        let (namespace, data) = (&bundle.namespace.name, json!({ BUNDLE_KEY: text }));
        let version = found.and_then(Stored::version);
        let written = self.config_map(namespace, BUNDLE_CONFIG_MAP, &data, version).await?;
        Ok(Stored::read(written, key))
    }

    /// Writes what pods are injected with, for those who do it without the webhook.
    pub async fn settings(&self, namespace: &str, settings: &Settings) -> Result<(), Error> {
        let text = serde_yaml::to_string(settings).unwrap_or_default(); // plain structs always serialise
        self.config_map(namespace, SETTINGS_CONFIG_MAP, &json!({ SETTINGS_KEY: text }), None).await.map(drop)
    }

    /// The history of a namespace as it stands: its version, and the signed records by their keys. Asked for when it is
    /// written: it is in no cache.
    pub async fn history(&self, namespace: &str) -> Result<(Option<u64>, BTreeMap<String, String>), Error> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let found = self.bounded(api.get_opt(HISTORY_CONFIG_MAP)).await?.unwrap_or_default();
        let version = found.metadata.resource_version.and_then(|version| version.parse().ok());
        Ok((version, found.data.unwrap_or_default()))
    }

    /// Writes the history of a namespace over the version that was found.
    pub async fn keep_history(
        &self,
        namespace: &str,
        records: &BTreeMap<String, String>,
        version: Option<u64>,
    ) -> Result<(), Error> {
        self.config_map(namespace, HISTORY_CONFIG_MAP, &json!(records), version).await.map(drop)
    }

    async fn config_map(
        &self,
        namespace: &str,
        name: &str,
        data: &Value,
        version: Option<u64>,
    ) -> Result<DynamicObject, Error> {
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": { MANAGED_BY_LABEL: MANAGED_BY, "app.kubernetes.io/part-of": MANAGED_BY },
            },
            "data": data,
        });
        fence(&mut object, version);
        let kind = ApiResource::erase::<ConfigMap>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &kind);
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(&object);
        self.bounded(api.patch(name, &params, &patch)).await
    }

    /// Writes the status of a policy; returns the policy as it then stands.
    pub async fn status(&self, policy: &Policy, status: &RaspPolicyStatus) -> Result<Policy, Error> {
        let kind = policy.kind;
        let mut object = json!({
            "apiVersion": API_VERSION,
            "kind": kind.as_str(),
            // The UID makes the write fail on an object of the same name that was made since.
            "metadata": { "name": policy.name, "uid": policy.uid },
            "status": status,
        });
        fence(&mut object, policy.version());
        let api: Api<DynamicObject> = if kind == Kind::ClusterRaspPolicy {
            Api::all_with(self.client.clone(), &ApiResource::erase::<ClusterRaspPolicy>(&()))
        } else {
            object["metadata"]["namespace"] = policy.namespace.clone().into();
            let resource = match kind {
                Kind::RaspException => ApiResource::erase::<RaspException>(&()),
                _ => ApiResource::erase::<RaspPolicy>(&()),
            };
            Api::namespaced_with(self.client.clone(), &policy.namespace, &resource)
        };
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(&object);
        let written = self.bounded(api.patch_status(&policy.name, &params, &patch)).await?;
        Ok(Policy::read(kind, written))
    }

    async fn bounded<T>(&self, write: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Error> {
        if !self.leadership.is_leader() {
            return Err(Error::NotLeader);
        }
        tokio::time::timeout(PATIENCE, write).await.map_err(|_| Error::Timeout)?.map_err(
            |error| match error {
                kube::Error::Api(status) if status.code == 409 => Error::Raced,
                error => Error::Api(Box::new(error)),
            },
        )
    }
}

/// The policies to look at first, for people.
fn largest(bundle: &Bundle) -> String {
    let size = |entry| serde_json::to_vec(entry).map_or(0, |bytes| bytes.len());
    let mut sizes: Vec<_> = bundle.entries.iter().map(|entry| (size(entry), entry)).collect();
    sizes.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
    let named = sizes
        .iter()
        .take(3)
        .map(|(size, entry)| format!("{} ({size} bytes)", entry.title(&bundle.namespace.name)));
    named.collect::<Vec<_>>().join(", ")
}

/// The API server refuses the write unless the object is still at this version, also by a forced apply.
fn fence(object: &mut Value, version: Option<u64>) {
    if let Some(version) = version {
        object["metadata"]["resourceVersion"] = json!(version.to_string());
    }
}

#[cfg(test)]
mod tests;
