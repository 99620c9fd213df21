//! Reads the annotations that tune injection. Anything under our prefix that has no meaning is an error: a typo must
//! not become a port that is silently inspected, or silently not.

use std::collections::BTreeSet;

use rasp_policy::pod::{
    ADMIN_PORT, CONFIG_PREFIX, DEFAULT_OPAQUE_PORTS, INBOUND_PORT, OPAQUE_PORTS, OUTBOUND_PORT,
    SKIP_INBOUND_PORTS,
};

use super::pod::Pod;
use super::reason::Reason;

/// What a pod's annotations ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tuning {
    /// Left out of interception.
    pub(super) skip_inbound_ports: BTreeSet<u16>,
    /// Relayed without inspection. An annotation replaces the default list, so that one of its ports can be inspected.
    pub(super) opaque_ports: BTreeSet<u16>,
}

impl Tuning {
    pub(super) fn parse(pod: &Pod<'_>) -> Result<Self, Reason> {
        let mut tuning =
            Self { skip_inbound_ports: BTreeSet::new(), opaque_ports: DEFAULT_OPAQUE_PORTS.into() };
        for (key, value) in pod.annotations().filter(|(key, _)| key.starts_with(CONFIG_PREFIX)) {
            let target = match key {
                SKIP_INBOUND_PORTS => &mut tuning.skip_inbound_ports,
                OPAQUE_PORTS => &mut tuning.opaque_ports,
                _ => return Err(Reason::InvalidAnnotation(Invalid::Unknown { key: key.to_owned() })),
            };
            *target = ports(value).map_err(|problem| {
                Reason::InvalidAnnotation(Invalid::Ports {
                    key: key.to_owned(),
                    value: shortened(value),
                    problem,
                })
            })?;
        }
        Ok(tuning)
    }
}

/// What is wrong with an annotation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// No such annotation.
    #[error("annotation {} is unknown: use {SKIP_INBOUND_PORTS} or {OPAQUE_PORTS}", shortened(.key))]
    Unknown {
        /// The annotation.
        key: String,
    },
    /// Not a list of ports.
    #[error("annotation {key} is {value:?}, {problem}")]
    Ports {
        /// The annotation.
        key: String,
        /// Its value, shortened.
        value: String,
        /// What is wrong with it, and what to do.
        problem: Problem,
    },
}

/// What is wrong with a list of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// An element is no port.
    #[error(
        "element {0} is no port: write numbers from 1 to 65535 with commas between them, e.g. \"8080,9090\""
    )]
    NotAPort(usize),
    /// A port of the proxy.
    #[error("which contains {0}, a port of the proxy: leave it out")]
    Own(u16),
    /// The list is longer than [`MAX_PORTS`].
    #[error("a list of more than {MAX_PORTS} ports: shorten it")]
    TooMany,
}

/// Every port becomes an element of a packet rule and of an environment variable.
const MAX_PORTS: usize = 64;

/// An empty list is written as an empty value.
fn ports(value: &str) -> Result<BTreeSet<u16>, Problem> {
    let mut ports = BTreeSet::new();
    if value.trim().is_empty() {
        return Ok(ports);
    }
    for (index, element) in value.split(',').map(str::trim).enumerate() {
        if index >= MAX_PORTS {
            return Err(Problem::TooMany);
        }
        let digits = !element.is_empty() && element.bytes().all(|byte| byte.is_ascii_digit());
        let port = element.parse().ok().filter(|port| digits && *port != 0);
        let port = port.ok_or(Problem::NotAPort(index + 1))?;
        if [INBOUND_PORT, OUTBOUND_PORT, ADMIN_PORT].contains(&port) {
            return Err(Problem::Own(port));
        }
        ports.insert(port);
    }
    Ok(ports)
}

/// Enough to recognise it; an annotation may have 256 KiB, a warning 256 characters.
fn shortened(text: &str) -> String {
    const KEPT: usize = 40;
    match text.char_indices().nth(KEPT) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
