//! The sidecar's configuration from its environment. Every error is reported, not only the first.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use rasp_policy::api::FailureMode;
use rasp_policy::limits::Assignments;
use rasp_policy::pod::{self, IpNet, PortProtocols, Probe, ServedPorts, TlsPort, env, network};

use crate::control;
use crate::policy::keys::Keys;
use crate::policy::load::Checks;
use crate::report::{self, Operator, Url};
use crate::state::{Hops, Identity};

/// One wrong variable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not set.
    #[error("{0} is not set")]
    Missing(&'static str),
    /// It is set to something else than expected.
    #[error("{name}: {problem}")]
    Wrong {
        /// Name of the variable.
        name: &'static str,
        /// What is wrong, and what is expected.
        problem: String,
    },
}

impl Error {
    fn name(&self) -> &'static str {
        match self {
            Self::Missing(name) | Self::Wrong { name, .. } => name,
        }
    }
}

/// Every wrong variable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} environment variable(s) are wrong", .0.len())]
pub struct Errors(pub Vec<Error>);

/// The process ends so long before it would be killed.
const MARGIN: Duration = Duration::from_secs(2);

/// How a sidecar is started.
#[derive(Debug)]
pub struct Config {
    /// Who this is.
    pub identity: Identity,
    /// The pod's addresses.
    pub pod_ips: Vec<IpAddr>,
    /// What Bundles are checked against.
    pub checks: Checks,
    /// What happens while no Bundle was ever loaded.
    pub failure_mode: FailureMode,
    /// Where to report.
    pub operator: Operator,
    /// Probes that are forwarded whatever the policy says.
    pub probes: Vec<Probe>,
    /// What the pod's ports are declared to speak.
    pub protocols: PortProtocols,
    /// Ports whose TLS ends here.
    pub tls: Vec<TlsPort>,
    /// Whose word about the client is believed.
    pub hops: Hops,
    /// Where redirected connections arrive, unless ports of the sidecar's own are served.
    pub listen: SocketAddr,
    /// The ports of the sidecar's own that stand before ports of the application, where packet rules may not be set.
    pub served: ServedPorts,
    /// `/metrics`, `/livez`, `/readyz`.
    pub admin: SocketAddr,
    /// Bundle, labels and token.
    pub config_directory: PathBuf,
    /// Last sequence.
    pub run_directory: PathBuf,
    /// Control socket.
    pub control_socket: PathBuf,
    /// What differs from the default limits.
    pub limits: Assignments,
    /// How long in-flight work may take after SIGTERM.
    pub grace: Duration,
}

impl Config {
    /// Reads the environment of this process.
    pub fn from_env() -> Result<Self, Errors> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Reads variables from anywhere.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Errors> {
        let mut raw = Raw { lookup, errors: Vec::new() };
        let identity = Identity {
            namespace: raw.required(env::NAMESPACE, parsed).unwrap_or_default(),
            pod: raw.required(env::POD_NAME, parsed).unwrap_or_default(),
            pod_uid: raw.required(env::POD_UID, parsed).unwrap_or_default(),
            workload: raw.required(env::WORKLOAD, parsed).unwrap_or_default(),
        };
        let keys =
            raw.required(env::PUBLIC_KEYS, |text| Keys::parse(text).map_err(|error| error.to_string()));
        let namespace_uid = raw.optional(env::NAMESPACE_UID, parsed);
        let floor = raw.optional(env::SEQUENCE_FLOOR, parsed::<u64>).unwrap_or(0);
        let url = raw.required(env::OPERATOR_URL, operator_url);
        let roots = raw.required(env::OPERATOR_CA, operator_roots);
        let pod_ips = raw.required(env::POD_IPS, list::<IpAddr>);
        let failure_mode = raw.required(env::FAILURE_MODE, failure_mode);
        let probes = raw.optional(env::PROBES, probes).unwrap_or_default();
        let limits = raw.optional(env::LIMITS, parsed).unwrap_or_default();
        let grace = raw.optional(env::GRACE, parsed::<u64>).unwrap_or(pod::DEFAULT_GRACE);
        let protocols = raw.optional(env::PORT_PROTOCOLS, parsed).unwrap_or_default();
        let tls = raw.optional(env::TLS, tls).unwrap_or_default();
        let served = raw.optional(env::SERVED_PORTS, parsed).unwrap_or_default();
        let hops = Hops {
            proxy_protocol: raw.optional(env::PROXY_PROTOCOL_FROM, networks).unwrap_or_default(),
            trusted: raw.optional(env::TRUSTED_PROXIES, networks).unwrap_or_default(),
        };
        let (Some(keys), Some(url), Some(roots), Some(pod_ips), Some(failure_mode), []) =
            (keys, url, roots, pod_ips, failure_mode, &*raw.errors)
        else {
            return Err(Errors(raw.errors));
        };
        Ok(Self {
            checks: Checks {
                keys,
                namespace: identity.namespace.clone(),
                namespace_uid,
                floor,
                workload: identity.workload.clone(),
            },
            identity,
            pod_ips,
            failure_mode,
            operator: Operator { url, roots, token: PathBuf::from(pod::CONFIG_DIR).join(pod::TOKEN_FILE) },
            probes,
            protocols,
            tls,
            hops,
            listen: (Ipv6Addr::UNSPECIFIED, pod::INBOUND_PORT).into(),
            served,
            admin: (Ipv6Addr::UNSPECIFIED, pod::ADMIN_PORT).into(),
            config_directory: pod::CONFIG_DIR.into(),
            run_directory: pod::RUN_DIR.into(),
            control_socket: control::default_path(),
            limits,
            grace: Duration::from_secs(grace).saturating_sub(MARGIN),
        })
    }
}

/// Variables as they were set, and what was wrong with them.
struct Raw<L> {
    lookup: L,
    errors: Vec<Error>,
}

impl<L: Fn(&str) -> Option<String>> Raw<L> {
    fn required<T>(&mut self, name: &'static str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let value = self.optional(name, read);
        if value.is_none() && !self.errors.iter().any(|error| error.name() == name) {
            self.errors.push(Error::Missing(name));
        }
        value
    }

    /// A variable that is set to nothing counts as not set.
    fn optional<T>(&mut self, name: &'static str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = (self.lookup)(name).filter(|text| !text.trim().is_empty())?;
        match read(text.trim()) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.errors.push(Error::Wrong { name, problem });
                None
            }
        }
    }
}

fn parsed<T: FromStr>(text: &str) -> Result<T, String>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| format!("{text:?}: {error}"))
}

fn list<T: FromStr>(text: &str) -> Result<Vec<T>, String>
where
    T::Err: std::fmt::Display,
{
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(parsed).collect()
}

fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let read = |item: &str| network(item).map_err(|error| format!("{item:?}: {error}"));
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(read).collect()
}

fn failure_mode(text: &str) -> Result<FailureMode, String> {
    match text {
        "Open" => Ok(FailureMode::Open),
        "Closed" => Ok(FailureMode::Closed),
        _ => Err(format!("{text:?}: expected Open or Closed")),
    }
}

fn probes(text: &str) -> Result<Vec<Probe>, String> {
    serde_json::from_str(text).map_err(|error| format!("expected a JSON array of probes: {error}"))
}

fn tls(text: &str) -> Result<Vec<TlsPort>, String> {
    serde_json::from_str(text).map_err(|error| format!("expected a JSON array of ports with TLS: {error}"))
}

fn operator_url(text: &str) -> Result<Url, String> {
    text.parse()
}

fn operator_roots(pem: &str) -> Result<rustls::RootCertStore, String> {
    report::roots(pem.as_bytes())
}

#[cfg(test)]
mod tests;
