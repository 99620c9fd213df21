//! A pod without sidecar, as text. Most clusters have many such pods, and a tree of small maps takes ten times the memory; it
//! is read only to say why the pod has no sidecar.

use serde_json::Value;

/// JSON of a pod, or of the parts of it that decide about injection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest(Box<str>);

impl Manifest {
    /// Keeps a pod.
    pub fn new(pod: &Value) -> Self {
        Self(pod.to_string().into_boxed_str())
    }

    /// The pod.
    pub fn read(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default() // what was written here can be read
    }
}
