//! Serves a certificate that can be exchanged while connections are open.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Error;

/// Gives every new connection the newest certificate; open ones go on with theirs.
#[derive(Debug)]
pub struct Resolver {
    current: ArcSwap<CertifiedKey>,
}

impl Resolver {
    /// Serves this certificate until the first [`Resolver::replace`].
    pub fn new(cert_pem: &str, key_pem: &str) -> Result<Self, Error> {
        Ok(Self { current: ArcSwap::from_pointee(certified_key(cert_pem, key_pem)?) })
    }

    /// Serves this certificate from now on. On error the old one stays.
    pub fn replace(&self, cert_pem: &str, key_pem: &str) -> Result<(), Error> {
        self.current.store(Arc::new(certified_key(cert_pem, key_pem)?));
        Ok(())
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// TLS for the webhook and for reports (HTTP/1.1) and for streams (HTTP/2), and no session resumption, which would let a client go on with a
/// certificate that was replaced.
pub fn server_config(resolver: Arc<Resolver>) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(Error::Serve)?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    // Who speaks both, as API servers may, goes on with HTTP/1.1: its requests then spread over the replicas.
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Named, so that nothing depends on a process-wide default.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

pub(super) fn certified_key(cert_pem: &str, key_pem: &str) -> Result<CertifiedKey, Error> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert_pem.as_bytes()).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(Error::ReadPem("certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|_| Error::ReadPem("private key"))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(Error::Serve)
}
