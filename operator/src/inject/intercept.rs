//! How connections reach the sidecar of a pod: by packet rules, or, where these may not be set, at ports of the sidecar's
//! own that Services name instead of the application's.
//!
//! A container of the application is never changed: its port keeps its name, and the sidecar has one of its own for each,
//! `rasp-NAME`. A Service finds it among the ports of native sidecars, after those of the containers (Kubernetes 1.32,
//! `FindPort`). Pure.

use std::collections::BTreeSet;

use rasp_policy::pod::{
    ADMIN_PORT_NAME, FIRST_SERVED_PORT, INTERCEPTION, Interception, MOST_SERVED_PORTS, SERVED_PORT_PREFIX,
    ServedPorts, is_served_port,
};
use serde_json::Value;

use super::NamespaceFacts;
use super::annotation::Tuning;
use super::pod::{Container, Pod};
use super::reason::Reason;

/// Longest name of a port (RFC 6335 section 5.1, checked by the API server).
const LONGEST_NAME: usize = 15;

/// How a pod is intercepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// The mode.
    pub(super) interception: Interception,
    /// The sidecar's own ports; none where packet rules are set.
    pub(super) served: Vec<Served>,
    /// What the pod's author should know.
    pub(super) warnings: Vec<String>,
}

/// One port of the sidecar's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Served {
    /// What Services call it.
    pub(super) name: String,
    /// Its number.
    pub(super) own: u16,
    /// The application's port behind it.
    pub(super) application: u16,
}

impl Plan {
    /// The form that the sidecar reads.
    pub(super) fn ports(&self) -> ServedPorts {
        let mut ports = ServedPorts::default();
        self.served.iter().for_each(|served| ports.serve(served.own, served.application));
        ports
    }
}

/// Packet rules, unless the namespace forbids them or the pod does not want them.
pub(super) fn plan(pod: &Pod<'_>, namespace: &NamespaceFacts, tuning: &Tuning) -> Result<Plan, Reason> {
    let level = enforced(namespace);
    let why = match (tuning.interception, level) {
        (None | Some(Interception::Redirect), None) => return Ok(Plan::default()),
        (Some(Interception::Redirect), Some(level)) => return Err(Reason::PodSecurity(level)),
        (Some(Interception::None), None) => format!("as {INTERCEPTION} asks for"),
        (_, Some(level)) => format!("since the namespace enforces Pod Security {level}"),
    };
    let mut plan = Plan { interception: Interception::None, ..Plan::default() };
    serve(pod, tuning, &mut plan);
    if plan.served.is_empty() {
        return Err(Reason::NoNamedPorts { by_namespace: level.is_some() });
    }
    let told = format!(
        "interception None, {why}: only what arrives at {} is inspected: make these the targetPort of Services",
        listed(&plan.served)
    );
    plan.warnings.insert(0, told);
    Ok(plan)
}

/// The level of Pod Security that forbids NET_ADMIN, where the namespace enforces one. The API server takes a value it
/// does not know for the strictest.
fn enforced(namespace: &NamespaceFacts) -> Option<&'static str> {
    match namespace.labels.get("pod-security.kubernetes.io/enforce").map(String::as_str) {
        None | Some("privileged") => None,
        Some("baseline") => Some("baseline"),
        Some(_) => Some("restricted"),
    }
}

fn listed(served: &[Served]) -> String {
    const NAMED: usize = 3;
    let names: Vec<_> = served.iter().take(NAMED).map(|served| served.name.as_str()).collect();
    let more = served.len().saturating_sub(NAMED);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    names.join(", ") + &rest
}

/// In the order in which a Service looks for a name: containers first.
fn serve(pod: &Pod<'_>, tuning: &Tuning, plan: &mut Plan) {
    let mut running: Vec<_> =
        pod.foreign_containers().filter(|container| container.keeps_running()).collect();
    running.sort_by_key(|container| container.is_init());
    let all = || running.iter().flat_map(|container| container.ports());
    let mut names: BTreeSet<String> =
        all().filter_map(|port| text(port, "name")).map(str::to_owned).collect();
    names.insert(ADMIN_PORT_NAME.to_owned());
    let declared: BTreeSet<u16> = all().filter_map(number).collect();
    let mut free = (FIRST_SERVED_PORT..)
        .take_while(|port| is_served_port(*port))
        .filter(|port| !declared.contains(port));
    for container in &running {
        for port in container.ports() {
            let Some(application) = number(port).filter(|port| !tuning.skip_inbound_ports.contains(port))
            else {
                continue;
            };
            if let Some(host) = port.get("hostPort").and_then(Value::as_u64).filter(|host| *host != 0) {
                plan.warnings.push(format!(
                    "hostPort {host} reaches port {application} around the sidecar: leave it out"
                ));
            }
            match name(*container, port, application, &names) {
                Err(warning) => plan.warnings.push(warning),
                Ok(name) => match free.next() {
                    Some(own) => {
                        names.insert(name.clone());
                        plan.served.push(Served { name, own, application });
                    }
                    None => plan.warnings.push(format!(
                        "port {application} is not inspected: a sidecar serves {MOST_SERVED_PORTS} ports at most"
                    )),
                },
            }
        }
    }
}

/// `rasp-` and the name of the port, cut to 15 characters, and not ending with a dash.
fn name(
    container: Container<'_>,
    port: &Value,
    application: u16,
    taken: &BTreeSet<String>,
) -> Result<String, String> {
    let of = || format!("port {application} of container {}", container.name());
    let Some(own) = text(port, "name") else {
        return Err(format!("{} is not inspected: it has no name, and interception None needs one", of()));
    };
    let name: String = SERVED_PORT_PREFIX.chars().chain(own.chars()).take(LONGEST_NAME).collect();
    let name = name.trim_end_matches('-').to_owned();
    if taken.contains(&name) {
        return Err(format!(
            "{} is not inspected: the sidecar's port would be {name}, which is taken: rename it",
            of()
        ));
    }
    Ok(name)
}

fn text<'a>(port: &'a Value, member: &str) -> Option<&'a str> {
    port.get(member).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The number of a TCP port.
fn number(port: &Value) -> Option<u16> {
    let is_tcp = matches!(port.get("protocol").and_then(Value::as_str), None | Some("TCP"));
    let number = port.get("containerPort").and_then(Value::as_u64).filter(|_| is_tcp)?;
    u16::try_from(number).ok().filter(|port| *port != 0)
}
