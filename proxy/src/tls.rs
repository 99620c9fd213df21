//! TLS at the ends of a connection: a client's ends here, an application's begins here.
//!
//! It stands below everything that reads HTTP: what comes out of it takes the same path as plain bytes. Which ports it
//! is for is declared, never guessed; TLS on another port ends in the application and is relayed. TLS 1.2 and 1.3 only
//! (RFC 8996), by aws-lc-rs. Nothing here ever falls back to plain text.
//! Called by [`crate::connection`]; certificates are kept current by [`watch`].

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;

pub mod accept;
mod alpn;
pub mod application;
pub mod declared;
pub mod hello;
pub mod material;
mod names;
pub mod server;
pub mod watch;

pub use alpn::Alpn;
use application::Application;
use server::Server;

/// What is done on one port.
#[derive(Debug, Default)]
pub struct Port {
    /// The client's TLS ends here.
    pub server: Option<Arc<Server>>,
    /// The application is spoken to in TLS.
    pub application: Option<Arc<Application>>,
}

/// The ports with TLS, by the application's port.
#[derive(Debug, Default)]
pub struct Ports(HashMap<u16, Port>);

impl Ports {
    /// Declares a port.
    pub fn declare(&mut self, port: u16, tls: Port) {
        self.0.insert(port, tls);
    }

    /// What is declared for a port.
    pub fn of(&self, port: u16) -> Option<&Port> {
        self.0.get(&port)
    }

    /// Whether the client's TLS ends here.
    pub fn ends(&self, port: u16) -> bool {
        self.of(port).is_some_and(|tls| tls.server.is_some())
    }

    /// Whether the application cannot see by itself that its client used TLS.
    pub fn is_hidden(&self, port: u16) -> bool {
        self.of(port).is_some_and(|tls| tls.server.is_some() && tls.application.is_none())
    }

    /// Whether every port has a certificate to serve.
    pub fn are_loaded(&self) -> bool {
        self.servers().all(|(_, server)| server.is_loaded())
    }

    fn servers(&self) -> impl Iterator<Item = (u16, &Arc<Server>)> {
        self.0.iter().filter_map(|(port, tls)| Some((*port, tls.server.as_ref()?)))
    }
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

/// Named, so that nothing depends on a process-wide default.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
