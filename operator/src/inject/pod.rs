//! A read-only view of a pod as JSON. Absent, null and wrongly typed members all read as absent: the API server has
//! decoded the pod before any webhook sees it, so nothing here validates.

use serde_json::{Map, Value};

use rasp_policy::pod::{INIT_CONTAINER, PROXY_CONTAINER};
use rasp_policy::selector::Labels;

/// A pod with a `spec`.
#[derive(Clone, Copy, Debug)]
pub struct Pod<'a> {
    root: &'a Value,
    spec: &'a Map<String, Value>,
}

impl<'a> Pod<'a> {
    /// `None` when `spec` is no object.
    pub fn new(root: &'a Value) -> Option<Self> {
        let spec = root.get("spec")?.as_object()?;
        Some(Self { root, spec })
    }

    /// A member of `metadata`, when it is a non-empty text.
    pub fn metadata_text(&self, key: &str) -> Option<&'a str> {
        self.metadata(key)?.as_str().filter(|text| !text.is_empty())
    }

    /// A member of `metadata`.
    pub fn metadata(&self, key: &str) -> Option<&'a Value> {
        self.root.get("metadata")?.get(key)
    }

    /// Whether `metadata` is an object that members can be added to.
    pub fn has_metadata(&self) -> bool {
        self.root.get("metadata").is_some_and(Value::is_object)
    }

    /// A label.
    pub fn label(&self, key: &str) -> Option<&'a str> {
        self.metadata("labels")?.get(key)?.as_str()
    }

    /// All labels.
    pub fn labels(&self) -> Labels {
        texts(self.metadata("labels")).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// An annotation.
    pub fn annotation(&self, key: &str) -> Option<&'a str> {
        self.metadata("annotations")?.get(key)?.as_str()
    }

    /// All annotations.
    pub fn annotations(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        texts(self.metadata("annotations"))
    }

    /// A member of `spec`.
    pub fn spec(&self, key: &str) -> Option<&'a Value> {
        self.spec.get(key)
    }

    /// The elements of a list in `spec`.
    pub fn list(&self, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.spec.get(key).and_then(Value::as_array).into_iter().flatten()
    }

    /// Every container, with the path of the list and its index, the author's and ours.
    pub fn containers(&self) -> impl Iterator<Item = Container<'a>> + use<'a> {
        let list = |key: &'static str| {
            self.list(key).enumerate().map(move |(index, value)| Container { list: key, index, value })
        };
        list("initContainers").chain(list("containers"))
    }

    /// Every container that is not called like one of ours.
    pub fn foreign_containers(&self) -> impl Iterator<Item = Container<'a>> + use<'a> {
        self.containers().filter(|container| !container.has_our_name())
    }
}

/// One container of a pod.
#[derive(Clone, Copy, Debug)]
pub struct Container<'a> {
    list: &'static str,
    index: usize,
    value: &'a Value,
}

impl<'a> Container<'a> {
    /// The container as JSON.
    pub fn value(self) -> &'a Value {
        self.value
    }

    /// Its name, empty when it has none.
    pub fn name(self) -> &'a str {
        self.value.get("name").and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether it is called like one of ours.
    pub fn has_our_name(self) -> bool {
        [INIT_CONTAINER, PROXY_CONTAINER].contains(&self.name())
    }

    /// `spec.containers[2].MEMBER`, for messages.
    pub fn path(self, member: &str) -> String {
        format!("spec.{}[{}].{member}", self.list, self.index)
    }

    /// Whether it is an init container.
    pub fn is_init(self) -> bool {
        self.list == "initContainers"
    }

    /// Whether it runs beside the application: a container, or an init container that is a native sidecar.
    pub fn keeps_running(self) -> bool {
        self.list == "containers" || self.value.get("restartPolicy").and_then(Value::as_str) == Some("Always")
    }

    /// The declared ports.
    pub fn ports(self) -> impl Iterator<Item = &'a Value> {
        self.value.get("ports").and_then(Value::as_array).into_iter().flatten()
    }
}

fn texts(map: Option<&Value>) -> impl Iterator<Item = (&str, &str)> {
    map.and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| value.as_str().map(|value| (key.as_str(), value)))
}
