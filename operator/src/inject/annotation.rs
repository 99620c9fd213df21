//! Reads the annotations that tune injection. Anything under our prefix that has no meaning is an error: a typo must
//! not become a port that is silently inspected, or silently not.

use std::collections::{BTreeMap, BTreeSet};

use rasp_policy::limits::{self, Assignments};
use rasp_policy::pod::{
    ADMIN_PORT, CONFIG_PREFIX, INBOUND_PORT, INTERCEPTION, Interception, IpNet, LIMITS, LOG_LEVEL,
    OPAQUE_PORTS, OUTBOUND_PORT, PORT_PROTOCOLS, PROXY_CPU_LIMIT, PROXY_CPU_REQUEST, PROXY_IMAGE,
    PROXY_MEMORY_LIMIT, PROXY_MEMORY_REQUEST, PROXY_PROTOCOL_FROM, PortProtocol, SKIP_INBOUND_PORTS, TLS,
    TRUSTED_PROXIES, TlsPort, network,
};

use super::pod::Pod;
use super::reason::Reason;
use super::resources::Asked;
use super::{Settings, quantity, tls};

/// What a pod's annotations ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tuning {
    /// Left out of interception.
    pub(super) skip_inbound_ports: BTreeSet<u16>,
    /// Relayed without inspection. Where it is given it is the whole list, so that no other port is opaque unasked.
    pub(super) opaque_ports: Option<BTreeSet<u16>>,
    /// What ports speak.
    pub(super) protocols: BTreeMap<u16, PortProtocol>,
    /// Ports whose TLS ends in the sidecar.
    pub(super) tls: Vec<TlsPort>,
    /// Believed about the client in a field of the request.
    pub(super) trusted_proxies: Vec<IpNet>,
    /// Believed about the client in a header of the PROXY protocol.
    pub(super) proxy_protocol_from: Vec<IpNet>,
    /// Limits that differ from their defaults; empty where none does.
    pub(super) limits: Assignments,
    /// How connections are to reach the sidecar.
    pub(super) interception: Option<Interception>,
    /// Requests and limits of our containers.
    pub(super) resources: Asked,
    /// How much the sidecar logs.
    pub(super) log_level: Option<&'static str>,
    /// Image of our containers, one that is allowed.
    pub(super) image: Option<String>,
}

impl Tuning {
    pub(super) fn parse(pod: &Pod<'_>, settings: &Settings) -> Result<Self, Reason> {
        let mut tuning = Self::default();
        for (key, value) in pod.annotations().filter(|(key, _)| key.starts_with(CONFIG_PREFIX)) {
            tuning.take(key, value, settings).map_err(Reason::InvalidAnnotation)?;
        }
        tuning.contradiction().map_or(Ok(tuning), |invalid| Err(Reason::InvalidAnnotation(invalid)))
    }

    fn take(&mut self, key: &str, value: &str, settings: &Settings) -> Result<(), Invalid> {
        let invalid = |problem| Invalid::Value { key: key.to_owned(), value: shortened(value), problem };
        match key {
            SKIP_INBOUND_PORTS => self.skip_inbound_ports = ports(value).map_err(invalid)?,
            OPAQUE_PORTS => self.opaque_ports = Some(ports(value).map_err(invalid)?),
            TLS => {
                self.tls =
                    tls::parse(value).map_err(|problem| Invalid::Tls { value: shortened(value), problem })?;
            }
            PORT_PROTOCOLS => self.protocols = protocols(value).map_err(invalid)?,
            TRUSTED_PROXIES => self.trusted_proxies = networks(value).map_err(invalid)?,
            PROXY_PROTOCOL_FROM => self.proxy_protocol_from = networks(value).map_err(invalid)?,
            LIMITS => self.limits = value.parse().map_err(Invalid::Limits)?,
            INTERCEPTION => {
                self.interception = Some(value.parse().map_err(|_| invalid(Problem::NotAMode))?);
            }
            PROXY_CPU_REQUEST | PROXY_CPU_LIMIT | PROXY_MEMORY_REQUEST | PROXY_MEMORY_LIMIT => {
                *self.resources.of(key) = Some(amount(key, value).map_err(invalid)?);
            }
            LOG_LEVEL => self.log_level = Some(level(value).ok_or_else(|| invalid(Problem::NotALevel))?),
            PROXY_IMAGE => self.image = Some(image(value, settings).map_err(invalid)?),
            _ => return Err(Invalid::Unknown { key: shortened(key) }),
        }
        Ok(())
    }

    fn contradiction(&self) -> Option<Invalid> {
        if let Some(what) = self.resources.over_its_limit() {
            return Some(Invalid::OverItsLimit { what });
        }
        let uninspected = |port: &u16| {
            self.skip_inbound_ports.contains(port)
                || self.opaque_ports.iter().flatten().any(|opaque| opaque == port)
                || self.protocols.get(port).is_some_and(|protocol| !protocol.is_http())
        };
        if let Some(port) = self.tls.iter().map(|tls| tls.port).find(uninspected) {
            return Some(Invalid::TlsUninspected { port });
        }
        let mut opaque = self.opaque_ports.iter().flatten();
        opaque
            .find(|port| self.protocols.get(port).is_some_and(|protocol| *protocol != PortProtocol::Opaque))
            .map(|port| Invalid::Contradiction { port: *port })
    }
}

/// What is wrong with an annotation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// No such annotation.
    #[error("annotation {} is unknown: docs/injection.md of kube-rasp has the list", shortened(.key))]
    Unknown {
        /// The annotation.
        key: String,
    },
    /// A port whose TLS is to end in the sidecar is not to be inspected.
    #[error(
        "{TLS} has port {port}, which another annotation keeps from inspection: leave it out of one of them"
    )]
    TlsUninspected {
        /// The port.
        port: u16,
    },
    /// No declaration of ports with TLS.
    #[error("annotation {TLS} is {value:?}, {problem}")]
    Tls {
        /// Its value, shortened.
        value: String,
        /// What is wrong with it, and what to do.
        problem: tls::Problem,
    },
    /// More is requested than the limit allows.
    #[error(
        "{CONFIG_PREFIX}proxy-{what}-request is more than {CONFIG_PREFIX}proxy-{what}-limit: raise the limit"
    )]
    OverItsLimit {
        /// `cpu` or `memory`.
        what: &'static str,
    },
    /// Two annotations say different things of one port.
    #[error("{OPAQUE_PORTS} and {PORT_PROTOCOLS} disagree about port {port}: leave it out of one of them")]
    Contradiction {
        /// The port.
        port: u16,
    },
    /// Not a list of limits.
    #[error("annotation {LIMITS}: {0}")]
    Limits(limits::Error),
    /// Not what is expected there.
    #[error("annotation {key} is {value:?}, {problem}")]
    Value {
        /// The annotation.
        key: String,
        /// Its value, shortened.
        value: String,
        /// What is wrong with it, and what to do.
        problem: Problem,
    },
}

/// What is wrong with the value of an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// An element is no port.
    #[error(
        "element {0} is no port: write numbers from 1 to 65535 with commas between them, e.g. \"8080,9090\""
    )]
    NotAPort(usize),
    /// An element does not say what a port speaks.
    #[error(
        "element {0} is no PORT=PROTOCOL; protocols: detect, http, http1, http2, grpc, tls, https, opaque, tcp"
    )]
    NotADeclaration(usize),
    /// An element is no network that could be believed.
    #[error(
        "element {0} is no network: write for example \"10.0.0.0/8,fd00::/8\", and nothing that ends in /0"
    )]
    NotANetwork(usize),
    /// A port is declared twice.
    #[error("which declares port {0} twice: leave one out")]
    Twice(u16),
    /// A port of the proxy.
    #[error("which contains {0}, a port of the proxy: leave it out")]
    Own(u16),
    /// Not a mode of interception.
    #[error("which is no mode: write redirect or none")]
    NotAMode,
    /// Not an amount of CPU.
    #[error("which is no amount of CPU from 1m to 1024: write for example \"50m\" or \"0.5\"")]
    NotCpu,
    /// Not an amount of memory, or one that nothing could run in.
    #[error("which is no amount of memory from {0} to 1Ti: write for example \"64Mi\"")]
    NotMemory(&'static str),
    /// Not a level of logging.
    #[error("which is no level: write error, warn, info, debug or trace")]
    NotALevel,
    /// Not an image that may be run.
    #[error("which the operator does not allow: the chart value proxy.allowedImages has the list")]
    NotAllowed,
    /// The list is longer than [`MAX_ELEMENTS`].
    #[error("a list of more than {MAX_ELEMENTS} elements: shorten it")]
    TooMany,
}

/// Every element becomes one of a packet rule or of an environment variable.
const MAX_ELEMENTS: usize = 64;

fn ports(value: &str) -> Result<BTreeSet<u16>, Problem> {
    elements(value)?.map(|(number, element)| port(element, Problem::NotAPort(number))).collect()
}

fn protocols(value: &str) -> Result<BTreeMap<u16, PortProtocol>, Problem> {
    let mut declared = BTreeMap::new();
    for (number, element) in elements(value)? {
        let wrong = Problem::NotADeclaration(number);
        let (of, protocol) = element.split_once('=').ok_or(wrong)?;
        let of = port(of.trim_end(), wrong)?;
        if declared.insert(of, protocol.trim_start().parse().map_err(|_| wrong)?).is_some() {
            return Err(Problem::Twice(of));
        }
    }
    Ok(declared)
}

/// A quantity within reason: `128m` of memory is a typo, and nothing runs in it.
fn amount(key: &str, value: &str) -> Result<String, Problem> {
    const MIB: u128 = 1000 << 20; // in thousandths of a byte, as quantities are read
    let (least, most, problem) = match key {
        PROXY_MEMORY_LIMIT => (32 * MIB, MIB << 20, Problem::NotMemory("32Mi")),
        PROXY_MEMORY_REQUEST => (MIB, MIB << 20, Problem::NotMemory("1Mi")),
        _ => (1, 1_024_000, Problem::NotCpu),
    };
    let amount = quantity::parse(value).filter(|amount| (least..=most).contains(amount));
    amount.map(|_| value.to_owned()).ok_or(problem)
}

fn level(value: &str) -> Option<&'static str> {
    ["error", "warn", "info", "debug", "trace"].into_iter().find(|level| *level == value)
}

/// Whoever may write a pod's annotations must not choose what runs with the pod's token for reports.
fn image(value: &str, settings: &Settings) -> Result<String, Problem> {
    let mut allowed = settings.allowed_images.iter().chain([&settings.proxy_image]);
    allowed.find(|image| *image == value).cloned().ok_or(Problem::NotAllowed)
}

fn networks(value: &str) -> Result<Vec<IpNet>, Problem> {
    let parsed = |(number, element)| network(element).map_err(|_| Problem::NotANetwork(number));
    elements(value)?.map(parsed).collect()
}

/// The elements of a list, counted from 1. An empty list is written as an empty value.
fn elements(value: &str) -> Result<impl Iterator<Item = (usize, &str)>, Problem> {
    let length = if value.trim().is_empty() { 0 } else { value.split(',').count() };
    if length > MAX_ELEMENTS {
        return Err(Problem::TooMany);
    }
    Ok((1..).zip(value.split(',').map(str::trim)).take(length))
}

fn port(digits: &str, wrong: Problem) -> Result<u16, Problem> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.parse().ok().filter(|port| is_number && *port != 0).ok_or(wrong)?;
    if [INBOUND_PORT, OUTBOUND_PORT, ADMIN_PORT].contains(&port) {
        return Err(Problem::Own(port));
    }
    Ok(port)
}

/// Enough to recognise it; an annotation may have 256 KiB, a warning 256 characters.
fn shortened(text: &str) -> String {
    const KEPT: usize = 40;
    match text.char_indices().nth(KEPT) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
