//! What each port of a pod speaks, as far as its author says so. Pure.
//!
//! The field `appProtocol` belongs to Services, which are not part of an admission review and may not exist yet: asking
//! the API server for them is what a webhook must never do. What a pod says of itself is all there is.

use std::collections::BTreeMap;

use rasp_policy::pod::{DEFAULT_OPAQUE_PORTS, PortProtocol, PortProtocols};
use serde_json::Value;

use super::annotation::Tuning;
use super::pod::Pod;
use super::probe;

/// From the weakest statement to the strongest: the default list, names, `opaque-ports`, `tls`, `port-protocols`.
pub(super) fn protocols(pod: &Pod<'_>, tuning: &Tuning) -> PortProtocols {
    let mut ports = PortProtocols::default();
    if tuning.opaque_ports.is_none() {
        for port in DEFAULT_OPAQUE_PORTS {
            ports.declare(port, PortProtocol::Opaque);
        }
    }
    for (port, protocol) in named(pod) {
        if protocol != PortProtocol::Opaque || tuning.opaque_ports.is_none() {
            ports.declare(port, protocol);
        }
    }
    for port in tuning.opaque_ports.iter().flatten() {
        ports.declare(*port, PortProtocol::Opaque);
    }
    for tls in &tuning.tls {
        ports.declare(tls.port, PortProtocol::Http); // what comes out of the TLS
    }
    for (port, protocol) in &tuning.protocols {
        ports.declare(*port, *protocol);
    }
    ports
}

/// Declared ports that are not inspected because of nothing but their name.
pub(super) fn opaque_by_name(pod: &Pod<'_>, tuning: &Tuning) -> Vec<u16> {
    if tuning.opaque_ports.is_some() {
        return Vec::new();
    }
    let opaque = named(pod).into_iter().filter(|(_, protocol)| *protocol == PortProtocol::Opaque);
    let says_more =
        |port: &u16| tuning.protocols.contains_key(port) || tuning.tls.iter().any(|tls| tls.port == *port);
    opaque.map(|(port, _)| port).filter(|port| !says_more(port)).collect()
}

/// What the names of the container ports say.
fn named(pod: &Pod<'_>) -> BTreeMap<u16, PortProtocol> {
    let mut ports = BTreeMap::new();
    let running = || pod.foreign_containers().filter(|container| container.keeps_running());
    for (port, protocol) in running().flat_map(|container| container.ports().filter_map(declared)) {
        let strictest = ports.entry(port).or_insert(protocol);
        *strictest = protocol.min(*strictest);
    }
    // A port that kubelet is told to ask in TLS speaks TLS, whatever it is called.
    for port in running().flat_map(probe::tls_ports) {
        ports.entry(port).and_modify(|protocol| *protocol = PortProtocol::Tls);
    }
    ports.retain(|_, protocol| *protocol != PortProtocol::Detect);
    ports
}

fn declared(port: &Value) -> Option<(u16, PortProtocol)> {
    let text = |member| port.get(member).and_then(Value::as_str);
    if !matches!(text("protocol"), None | Some("TCP")) {
        return None;
    }
    let number = port.get("containerPort").and_then(Value::as_u64)?;
    Some((u16::try_from(number).ok()?, PortProtocol::of_name(text("name").unwrap_or_default())))
}
