//! A Service as far as policies name it: what it selects, and where its ports lead.

use kube::core::DynamicObject;
use rasp_policy::selector::Labels;
use serde_json::Value;

use super::Kept;
use super::objects::version;

/// A Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Service {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// `spec.selector`
    pub selector: Labels,
    /// Ports by name; a single port may have none.
    pub ports: Vec<(String, PortTarget)>,
    version: Option<u64>,
}

/// Where a port leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortTarget {
    /// To this port of every pod.
    Number(u16),
    /// To the port that a container of the pod names so.
    Name(String),
}

impl Service {
    /// Reads a Service. What is no port of TCP is left out: nothing else is inspected.
    pub fn read(object: DynamicObject) -> Self {
        let DynamicObject { metadata, data, .. } = object;
        let spec = data.get("spec");
        let member = |name: &str| spec.and_then(|spec| spec.get(name));
        let texts = member("selector").and_then(Value::as_object).into_iter().flatten();
        Self {
            version: version(&metadata),
            selector: texts
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect(),
            ports: member("ports").and_then(Value::as_array).into_iter().flatten().filter_map(port).collect(),
            namespace: metadata.namespace.unwrap_or_default(),
            name: metadata.name.unwrap_or_default(),
        }
    }
}

fn port(port: &Value) -> Option<(String, PortTarget)> {
    if port.get("protocol").and_then(Value::as_str).is_some_and(|protocol| protocol != "TCP") {
        return None;
    }
    let name = port.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let target = port.get("targetPort").filter(|target| !target.is_null()).or_else(|| port.get("port"))?;
    let target = match target.as_str() {
        Some(name) => PortTarget::Name(name.to_owned()),
        None => PortTarget::Number(u16::try_from(target.as_u64()?).ok()?),
    };
    Some((name, target))
}

impl Kept for Service {
    fn namespace(&self) -> &str {
        &self.namespace
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn version(&self) -> Option<u64> {
        self.version
    }
}
