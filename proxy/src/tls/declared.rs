//! From what was declared to what is served: the ports of a pod, or the one of a gateway.
//!
//! In a pod, a certificate that cannot be read leaves its port without TLS and the pod not ready: the other ports are
//! served. A gateway has nothing else to serve and does not start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rasp_policy::pod::{ClientAuth, PortProtocol, PortProtocols, TLS_DIR, TlsPort, ToApplication, Verify};
use rustls::pki_types::ServerName;

use super::application::{Application, InPod, Vouched, by_roots};
use super::material::{Place, Problem, read, roots};
use super::server::Server;
use super::watch::{self, Watch};
use super::{Alpn, Port, Ports};
use crate::metrics::Metrics;
use crate::reason::{Kind, Tls};

/// TLS of a gateway.
#[derive(Clone, Debug, Default)]
pub struct Gateway {
    /// Certificates; without any, clients speak plain text.
    pub places: Vec<Place>,
    /// Client certificates.
    pub client_auth: ClientAuth,
    /// How the upstream is spoken to in TLS.
    pub upstream: Option<Upstream>,
}

/// TLS to the upstream of a gateway.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// CAs in PEM; those of the system where there is none.
    pub ca: Option<PathBuf>,
    /// The name its certificate must have, and that is asked for.
    pub name: ServerName<'static>,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate cannot be served.
    #[error(transparent)]
    Certificate(#[from] Problem),
    /// The CAs of the upstream cannot be used.
    #[error("{0}: no certificate of a CA in it")]
    NoRoots(PathBuf),
    /// The TLS library refuses the configuration.
    #[error("TLS: {0}")]
    Library(#[from] rustls::Error),
    /// The system refuses a thread.
    #[error("start: {0}")]
    Start(#[from] std::io::Error),
}

/// Sets up the ports of a pod and keeps their certificates current.
pub fn in_pod(
    declared: &[TlsPort],
    protocols: &PortProtocols,
    metrics: &Arc<Metrics>,
) -> Result<Ports, Error> {
    in_directory(Path::new(TLS_DIR), declared, protocols, metrics)
}

/// The same with the Secrets mounted elsewhere.
pub fn in_directory(
    directory: &Path,
    declared: &[TlsPort],
    protocols: &PortProtocols,
    metrics: &Arc<Metrics>,
) -> Result<Ports, Error> {
    let (mut ports, mut watches) = (Ports::default(), Vec::new());
    for declared in declared {
        let server = Arc::new(Server::new(declared.client_auth, Alpn::declared(protocols.of(declared.port))));
        let vouched = match (declared.upstream, declared.verify) {
            (ToApplication::Tls, Verify::Secret) => Some(Arc::new(Vouched::default())),
            _ => None,
        };
        let application = match declared.upstream {
            ToApplication::Plain => None,
            ToApplication::Tls => Some(Arc::new(Application::new(InPod::new(vouched.clone()), None)?)),
        };
        let places =
            declared.secrets.iter().map(|secret| Place::directory(&directory.join(secret))).collect();
        let mut watch = Watch::new(declared.port, Arc::clone(&server), vouched, places);
        if let Err(problem) = watch.begin(metrics) {
            metrics.error(&Kind::Tls(Tls::Material));
            tracing::error!(port = declared.port, %problem, "no certificate: the port is not served and the pod not ready");
        }
        watches.push(watch);
        ports.declare(declared.port, Port { server: Some(server), application });
    }
    watch::start(watches, Arc::clone(metrics))?;
    Ok(ports)
}

/// Sets up the port of a gateway and keeps its certificates current.
pub fn in_gateway(
    declared: Gateway,
    port: u16,
    protocol: PortProtocol,
    metrics: &Arc<Metrics>,
) -> Result<Ports, Error> {
    let mut tls = Port::default();
    if let Some(upstream) = declared.upstream {
        let roots = match upstream.ca {
            Some(path) => roots(&read(&path)?).ok_or(Error::NoRoots(path))?,
            None => system_roots()?,
        };
        tls.application = Some(Arc::new(Application::new(by_roots(roots)?, Some(upstream.name))?));
    }
    if !declared.places.is_empty() {
        let server = Arc::new(Server::new(declared.client_auth, Alpn::declared(protocol)));
        let mut watch = Watch::new(port, Arc::clone(&server), None, declared.places);
        watch.begin(metrics)?;
        watch::start(vec![watch], Arc::clone(metrics))?;
        tls.server = Some(server);
    }
    let mut ports = Ports::default();
    if tls.server.is_some() || tls.application.is_some() {
        ports.declare(port, tls);
    }
    Ok(ports)
}

/// Where Debian, Alpine and images without a distribution keep them.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

fn system_roots() -> Result<rustls::RootCertStore, Error> {
    let path = std::env::var_os("SSL_CERT_FILE").map_or_else(|| PathBuf::from(SYSTEM_ROOTS), PathBuf::from);
    roots(&read(&path)?).ok_or(Error::NoRoots(path))
}
