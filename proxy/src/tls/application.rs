//! TLS to the application: the same protocol and the same name as its client, and a certificate that is accepted.
//!
//! A gateway checks the certificate as any client would. Inside a pod, where the address is the pod's own, it must be
//! one that the port's own Secret vouches for, so that an application which reloads its certificate later than the
//! proxy, or never, goes on being served.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::alpn::Alpn;
use super::material::Material;
use super::{VERSIONS, provider};
use crate::reason::Tls;

/// Certificates of one Secret that are remembered: a pod outlives hardly more renewals without a restart.
const REMEMBERED: usize = 8;

/// How one application is spoken to.
pub struct Application {
    configs: [Arc<ClientConfig>; Alpn::ALL.len()],
    /// Always asked for, where the client's own name is not passed on.
    pub name: Option<ServerName<'static>>,
}

impl fmt::Debug for Application {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Application").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Application {
    /// An application with a certificate that `verifier` accepts.
    pub fn new(
        verifier: Arc<dyn ServerCertVerifier>,
        name: Option<ServerName<'static>>,
    ) -> Result<Self, rustls::Error> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&VERSIONS)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        let configs = Alpn::ALL.map(|protocols| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.names();
            Arc::new(config)
        });
        Ok(Self { configs, name })
    }

    /// The whole handshake.
    pub async fn connect(
        &self,
        socket: TcpStream,
        name: ServerName<'static>,
        protocols: Alpn,
        limit: Duration,
    ) -> Result<TlsStream<TcpStream>, (Tls, io::Error)> {
        let Some(config) = self.configs.get(protocols.index()) else {
            return Err((Tls::UpstreamHandshake, io::ErrorKind::InvalidInput.into()));
        };
        let connecting = TlsConnector::from(Arc::clone(config)).connect(name, socket);
        match timeout(limit, connecting).await {
            Ok(connected) => connected.map_err(|error| (reason(&error), error)),
            Err(_) => Err((Tls::UpstreamHandshake, io::ErrorKind::TimedOut.into())),
        }
    }
}

fn reason(error: &io::Error) -> Tls {
    match error.get_ref().and_then(|source| source.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_)) => Tls::UpstreamCertificate,
        Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => Tls::UpstreamProtocol,
        _ => Tls::UpstreamHandshake,
    }
}

/// Checks a certificate as any client does: signed by one of the roots, valid now, and for the name.
pub fn by_roots(roots: RootCertStore) -> Result<Arc<dyn ServerCertVerifier>, rustls::Error> {
    let verifier = verifier(Arc::new(roots))?;
    Ok(verifier)
}

fn verifier(roots: Arc<RootCertStore>) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
    WebPkiServerVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))
}

/// What the Secrets of a port vouch for.
#[derive(Debug, Default)]
pub struct Vouched {
    leaves: Mutex<VecDeque<CertificateDer<'static>>>,
    authorities: ArcSwapOption<Vec<Arc<WebPkiServerVerifier>>>,
}

impl Vouched {
    /// Takes what is served now; what was served before is remembered.
    pub fn extend(&self, materials: &[Material]) {
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        for material in materials {
            if !leaves.contains(&material.leaf) {
                leaves.push_back(material.leaf.clone());
            }
        }
        while leaves.len() > REMEMBERED.max(materials.len()) {
            leaves.pop_front();
        }
        let authorities = materials.iter().filter_map(|material| verifier(material.ca.clone()?).ok());
        self.authorities.store(Some(Arc::new(authorities.collect())));
    }

    fn holds(&self, leaf: &CertificateDer<'_>) -> bool {
        self.leaves.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|known| known == leaf)
    }
}

/// Accepts what the Secrets of a port vouch for; anything at all without them.
#[derive(Debug)]
pub struct InPod {
    vouched: Option<Arc<Vouched>>,
    provider: Arc<CryptoProvider>,
}

impl InPod {
    /// `None` accepts every certificate whose key the application has.
    pub fn new(vouched: Option<Arc<Vouched>>) -> Arc<Self> {
        Arc::new(Self { vouched, provider: provider() })
    }
}

impl ServerCertVerifier for InPod {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(vouched) = &self.vouched else { return Ok(ServerCertVerified::assertion()) };
        if vouched.holds(leaf) {
            return Ok(ServerCertVerified::assertion());
        }
        // An address stands for a client that asked for no name.
        let nameless = matches!(name, ServerName::IpAddress(_));
        let mut refusal = CertificateError::UnknownIssuer.into();
        for authority in vouched.authorities.load().iter().flat_map(|authorities| authorities.iter()) {
            match authority.verify_server_cert(leaf, intermediates, name, ocsp, now) {
                Ok(verified) => return Ok(verified),
                // The chain was verified before the name.
                Err(rustls::Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )) if nameless => return Ok(ServerCertVerified::assertion()),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
