//! The flags of TLS of a gateway.

use std::path::PathBuf;

use clap::Args;
use rasp_policy::pod::ClientAuth;
use rustls::pki_types::ServerName;

use crate::gateway::Upstream;
use crate::tls::declared::{Gateway, Upstream as TlsUpstream};
use crate::tls::material::Place;

/// TLS with clients and with the application.
#[derive(Debug, Args)]
pub struct Flags {
    /// Directory with tls.crt, tls.key and maybe ca.crt, as a mounted Secret has it. Repeat it for more names; the first is
    /// for clients that ask for none of them.
    #[arg(long = "tls", env = "RASP_TLS_DIRECTORY", value_name = "DIR", value_delimiter = ',')]
    pub directories: Vec<PathBuf>,
    /// Chain of certificates in PEM, instead of a directory.
    #[arg(
        long = "tls-cert",
        env = "RASP_TLS_CERT",
        value_name = "FILE",
        requires = "key",
        conflicts_with = "directories"
    )]
    pub certificate: Option<PathBuf>,
    /// Private key of --tls-cert in PEM.
    #[arg(long = "tls-key", env = "RASP_TLS_KEY", value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
    /// CA of client certificates in PEM, with --tls-cert.
    #[arg(long = "tls-client-ca", env = "RASP_TLS_CLIENT_CA", value_name = "FILE", requires = "certificate")]
    pub client_ca: Option<PathBuf>,
    /// Client certificates: none, optional or required.
    #[arg(
        long = "tls-client-auth",
        env = "RASP_TLS_CLIENT_AUTH",
        value_name = "HOW",
        default_value = "none"
    )]
    pub client_auth: ClientAuth,
    /// Speak TLS to the application.
    #[arg(long, env = "RASP_UPSTREAM_TLS")]
    pub upstream_tls: bool,
    /// CAs of the application in PEM. Without them those of the system.
    #[arg(long, env = "RASP_UPSTREAM_CA", value_name = "FILE", requires = "upstream_tls")]
    pub upstream_ca: Option<PathBuf>,
    /// Name in the certificate of the application. Without it the host of --upstream.
    #[arg(long, env = "RASP_UPSTREAM_SERVER_NAME", value_name = "NAME", requires = "upstream_tls", value_parser = server_name)]
    pub upstream_server_name: Option<ServerName<'static>>,
}

fn server_name(text: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(text.to_owned()).map_err(|_| "expected a DNS name or an address".to_owned())
}

impl Flags {
    /// What the flags declare. The host of an upstream that is no name makes a name necessary.
    pub fn declared(self, upstream: &Upstream) -> Result<Gateway, String> {
        let files = self.certificate.zip(self.key).map(|(certificate, key)| Place {
            certificate,
            key,
            ca: self.client_ca,
        });
        let directories = self.directories.iter().map(|directory| Place::directory(directory));
        let upstream = match (self.upstream_tls, self.upstream_server_name) {
            (false, _) => None,
            (true, Some(name)) => Some(name),
            (true, None) => Some(server_name(upstream.host()).map_err(|_| {
                "the host of --upstream is no name of a certificate: set --upstream-server-name".to_owned()
            })?),
        };
        Ok(Gateway {
            places: files.into_iter().chain(directories).collect(),
            client_auth: self.client_auth,
            upstream: upstream.map(|name| TlsUpstream { ca: self.upstream_ca, name }),
        })
    }
}
