//! Objects as a list or a watch brings them, each read into what is kept of it before the next one is parsed. As a tree of JSON
//! an object takes ten times its text, and that of a page together was most of what a start took more than what follows.
//!
//! What managers of fields say of one another (`metadata.managedFields`, a third of most objects) never becomes a tree. An
//! object of an unexpected shape is no error: what is kept of it says what is wrong. Used by `watch`.

use std::borrow::Cow;
use std::fmt::{self, Debug};

use k8s_openapi::api::core::v1;
use kube::Resource;
use kube::core::{DynamicObject, ObjectMeta};
use rasp_policy::api::Kind;
use rasp_policy::crd;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::{Namespace, Pod, Policy, Service};

/// A kind of object, and what is kept of one.
pub trait Watched: Resource<DynamicType = ()> {
    /// What is kept.
    type Kept: Clone + Debug + Send;
    /// Reads it. Never fails.
    fn read(object: DynamicObject) -> Self::Kept;
}

impl Watched for v1::Namespace {
    type Kept = Namespace;
    fn read(object: DynamicObject) -> Namespace {
        Namespace::read(object)
    }
}

impl Watched for v1::Pod {
    type Kept = Pod;
    fn read(object: DynamicObject) -> Pod {
        Pod::read(object)
    }
}

impl Watched for v1::Service {
    type Kept = Service;
    fn read(object: DynamicObject) -> Service {
        Service::read(object)
    }
}

/// It is opened with the key of the moment in which it is put in.
impl Watched for v1::ConfigMap {
    type Kept = DynamicObject;
    fn read(object: DynamicObject) -> DynamicObject {
        object
    }
}

impl Watched for crd::RaspPolicy {
    type Kept = Policy;
    fn read(object: DynamicObject) -> Policy {
        Policy::read(Kind::RaspPolicy, object)
    }
}

impl Watched for crd::ClusterRaspPolicy {
    type Kept = Policy;
    fn read(object: DynamicObject) -> Policy {
        Policy::read(Kind::ClusterRaspPolicy, object)
    }
}

impl Watched for crd::RaspException {
    type Kept = Policy;
    fn read(object: DynamicObject) -> Policy {
        Policy::read(Kind::RaspException, object)
    }
}

/// An object of this kind.
pub struct Seen<K: Watched> {
    /// What the watch itself needs: the version.
    metadata: ObjectMeta,
    /// What is kept.
    pub kept: K::Kept,
}

impl<K: Watched> Clone for Seen<K> {
    fn clone(&self) -> Self {
        Self { metadata: self.metadata.clone(), kept: self.kept.clone() }
    }
}

impl<K: Watched> Debug for Seen<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kept.fmt(formatter)
    }
}

impl<K: Watched> Resource for Seen<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }
    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }
    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }
    fn api_version((): &()) -> Cow<'_, str> {
        K::api_version(&())
    }
    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl<'de, K: Watched> Deserialize<'de> for Seen<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = deserializer.deserialize_map(Object)?;
        let resource_version = object.metadata.resource_version.clone();
        let metadata = ObjectMeta { resource_version, ..ObjectMeta::default() };
        Ok(Self { metadata, kept: K::read(object) })
    }
}

/// Reads an object without its types, which the kind says, and without managers of fields.
struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = DynamicObject;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DynamicObject, A::Error> {
        let (mut metadata, mut data) = (ObjectMeta::default(), Map::new());
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "apiVersion" | "kind" => {
                    map.next_value::<IgnoredAny>()?;
                }
                "metadata" => Metadata(metadata) = map.next_value()?,
                _ => drop(data.insert(name, map.next_value()?)),
            }
        }
        Ok(DynamicObject { types: None, metadata, data: Value::Object(data) })
    }
}

struct Metadata(ObjectMeta);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = ObjectMeta;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("metadata")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ObjectMeta, A::Error> {
                ObjectMeta::deserialize(MapAccessDeserializer::new(Unmanaged(map)))
            }
        }
        deserializer.deserialize_map(Fields).map(Self)
    }
}

/// The members of `metadata` but one.
struct Unmanaged<A>(A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Unmanaged<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        while let Some(name) = self.0.next_key::<String>()? {
            if name != "managedFields" {
                return seed.deserialize(name.into_deserializer()).map(Some);
            }
            self.0.next_value::<IgnoredAny>()?;
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_read_as_from_its_whole_tree_whatever_its_managers_say() {
        let metadata = json!({
            "name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "7", "labels": { "app": "web" },
            "annotations": null, "newerThanThisVersion": [{}], "creationTimestamp": "2026-01-01T00:00:00Z",
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "r", "controller": true,
            }],
        });
        let table = [
            json!({ "metadata": metadata, "spec": { "containers": [{ "name": "app" }] }, "status": { "phase": "Running" } }),
            json!({ "metadata": metadata, "spec": { "initContainers": [{ "name": "rasp-proxy", "image": "i" }] } }),
            json!({ "kind": "Pod", "apiVersion": "v1", "metadata": {}, "spec": { "containers": "none" }, "status": 7 }),
            json!({ "spec": null }),
        ];
        for whole in table {
            let expected = Pod::read(serde_json::from_value(whole.clone()).unwrap());
            for managers in
                [json!(null), json!([{ "manager": "kubelet", "fieldsV1": { "f:status": {} } }]), json!(7)]
            {
                let mut sent = whole.clone();
                if sent.get("metadata").is_some() {
                    sent["metadata"]["managedFields"] = managers;
                }
                let seen: Seen<v1::Pod> = serde_json::from_str(&sent.to_string()).unwrap();
                assert_eq!(seen.kept, expected, "{sent}");
                assert_eq!(seen.resource_version().as_deref(), sent["metadata"]["resourceVersion"].as_str());
            }
        }
    }

    #[test]
    fn an_object_is_asked_for_where_its_kind_is() {
        let path = Seen::<crd::ClusterRaspPolicy>::url_path(&(), None);
        assert_eq!(path, crd::ClusterRaspPolicy::url_path(&(), None));
        assert_eq!(Seen::<v1::Pod>::url_path(&(), None), "/api/v1/pods");
    }
}
