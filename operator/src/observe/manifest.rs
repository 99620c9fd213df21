//! A pod without sidecar, packed. Most clusters have many such pods, and a tree of small maps takes ten times the memory of
//! its text, and that three times what is kept here; it is read only to say why the pod has no sidecar.

use std::io::Read as _;

use flate2::Compression;
use flate2::bufread::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde_json::Value;

/// JSON of a pod, or of the parts of it that decide about injection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest(Box<[u8]>);

impl Manifest {
    /// Keeps a pod.
    pub fn new(pod: &Value) -> Self {
        let mut packed = DeflateEncoder::new(Vec::new(), Compression::fast());
        let written = serde_json::to_writer(&mut packed, pod).map_err(std::io::Error::from);
        let bytes = written.and_then(|()| packed.finish()).unwrap_or_default(); // memory does not refuse bytes
        // Copied, because an allocator leaves a block that shrinks where it is, with the room that it had.
        Self(Box::from(bytes.as_slice()))
    }

    /// The pod.
    pub fn read(&self) -> Value {
        let mut text = Vec::new();
        // What was written here can be read.
        let read = DeflateDecoder::new(&*self.0).read_to_end(&mut text);
        read.ok().and_then(|_| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Manifest;

    #[test]
    fn what_is_read_is_what_was_kept() {
        let containers: Vec<_> = (0..500).map(|n| json!({ "name": format!("c-{n}") })).collect();
        for pod in [json!({}), json!({ "spec": { "containers": containers } })] {
            assert_eq!(Manifest::new(&pod).read(), pod);
        }
    }
}
