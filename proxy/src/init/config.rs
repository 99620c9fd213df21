//! What `rasp-proxy init` is told by the environment of its container.
//!
//! All that is wrong is told at once, each with variable, value and remedy. Called by `main` through `init`.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use rasp_policy::pod;

/// A batch is one datagram of at most `net.core.wmem_default` (212,992) bytes. A skip port takes two rules of about
/// 250 bytes each: 256 of them are 125 KiB.
pub(super) const MAX_SKIP_PORTS: usize = 256;

/// What is true about the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// TCP ports that stay out of interception.
    pub skip_ports: BTreeSet<u16>,
    /// Addresses of the pod; at least one.
    pub pod_ips: Vec<IpAddr>,
    /// Addresses of the node; at least one.
    pub host_ips: Vec<IpAddr>,
}

/// The environment is not usable: every problem in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Problem>);

/// One thing that is wrong in the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Name of the variable.
    pub variable: &'static str,
    /// The part of its value that is wrong; `None` where the variable is missing or empty.
    pub value: Option<String>,
    /// What is wrong with it.
    pub wrong: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { variable, value, wrong, remedy } = self;
        match value {
            None => write!(f, "{variable} {wrong}: {remedy}"),
            Some(value) => write!(f, "{variable}: \"{}\" {wrong}: {remedy}", value.escape_debug()),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problems: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&problems.join("; "))
    }
}

impl std::error::Error for ConfigError {}

const PODS_REMEDY: &str = "fill it with status.podIPs by the downward API";
const HOSTS_REMEDY: &str = "fill it with status.hostIPs by the downward API";
const PORTS_REMEDY: &str = "list TCP ports from 1 to 65535, separated by commas";

impl Config {
    /// Reads the environment of the process.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_lookup(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// Reads variables from `lookup`.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let config = Self {
            skip_ports: ports(&lookup, &mut problems),
            pod_ips: addresses(&lookup, pod::env::POD_IPS, PODS_REMEDY, &mut problems),
            host_ips: addresses(&lookup, pod::env::HOST_IPS, HOSTS_REMEDY, &mut problems),
        };
        if problems.is_empty() { Ok(config) } else { Err(ConfigError(problems)) }
    }

    /// An address of the pod that is the node's too, which only the host network explains.
    pub(super) fn host_address(&self) -> Option<IpAddr> {
        let canonical: BTreeSet<IpAddr> = self.host_ips.iter().map(IpAddr::to_canonical).collect();
        self.pod_ips.iter().copied().find(|ip| canonical.contains(&ip.to_canonical()))
    }
}

/// The items of a list, trimmed; none where the variable is missing or blank.
fn items(lookup: impl Fn(&str) -> Option<String>, variable: &str) -> Vec<String> {
    let text = lookup(variable).unwrap_or_default();
    if text.trim().is_empty() {
        return Vec::new();
    }
    text.split(',').map(|item| item.trim().to_owned()).collect()
}

fn ports(lookup: impl Fn(&str) -> Option<String>, problems: &mut Vec<Problem>) -> BTreeSet<u16> {
    let variable = pod::env::SKIP_INBOUND_PORTS;
    let mut ports = BTreeSet::new();
    let mut refuse = |value: String, wrong, remedy| {
        problems.push(Problem { variable, value: Some(value), wrong, remedy });
    };
    for item in items(lookup, variable) {
        match item.parse::<u16>() {
            Err(_) | Ok(0) => refuse(item, "is not a port", PORTS_REMEDY),
            Ok(pod::INBOUND_PORT | pod::OUTBOUND_PORT) => {
                refuse(
                    item,
                    "is a port of the sidecar itself",
                    "leave it out; it must not be reached from outside",
                );
            }
            Ok(port) => {
                ports.insert(port);
            }
        }
    }
    if ports.len() > MAX_SKIP_PORTS {
        refuse(ports.len().to_string(), "ports are too many", "skip at most 256, or do not inject this pod");
    }
    ports
}

fn addresses(
    lookup: impl Fn(&str) -> Option<String>,
    variable: &'static str,
    remedy: &'static str,
    problems: &mut Vec<Problem>,
) -> Vec<IpAddr> {
    let items = items(lookup, variable);
    if items.is_empty() {
        problems.push(Problem { variable, value: None, wrong: "is missing or empty", remedy });
    }
    let mut addresses = Vec::new();
    for item in items {
        match item.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => {
                problems.push(Problem { variable, value: Some(item), wrong: "is not an IP address", remedy });
            }
        }
    }
    addresses
}

#[cfg(test)]
mod tests;
