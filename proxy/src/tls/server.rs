//! What is served on one port: certificates, chosen by the name a client asks for, and who may connect.
//!
//! Everything is built when files change, so that a handshake only picks. Every certificate has sessions and a CA of its
//! own: neither a session nor a client of one name is good for another.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::SingleCertAndKey;

use super::alpn::Alpn;
use super::material::{Material, Problem, now};
use super::names::Names;
use super::{VERSIONS, provider};

pub use rasp_policy::pod::ClientAuth;

/// One port.
#[derive(Debug)]
pub struct Server {
    client_auth: ClientAuth,
    /// What is spoken to clients where the application does not decide it.
    pub protocols: Alpn,
    serving: ArcSwapOption<Serving>,
}

/// Certificates in the order in which they were configured.
#[derive(Debug)]
struct Serving {
    names: Names,
    pairs: Vec<Pair>,
}

#[derive(Debug)]
struct Pair {
    configs: [Arc<ServerConfig>; Alpn::ALL.len()],
    material: Material,
}

impl Server {
    /// A port without a certificate.
    pub fn new(client_auth: ClientAuth, protocols: Alpn) -> Self {
        Self { client_auth, protocols, serving: ArcSwapOption::empty() }
    }

    /// Whether there is a certificate.
    pub fn is_loaded(&self) -> bool {
        self.serving.load().is_some()
    }

    /// Checks that these files can be served here.
    pub fn check(&self, material: &Material) -> Result<(), Problem> {
        Pair::build(material.clone(), self.client_auth).map(drop)
    }

    /// Serves these from now on; open connections go on with what they have. The first is for clients that ask for
    /// no name, or an unknown one.
    pub fn serve(&self, materials: &[Material]) -> Result<(), Problem> {
        let mut names = Names::default();
        let mut pairs = Vec::with_capacity(materials.len());
        for (index, material) in materials.iter().enumerate() {
            material.names.iter().for_each(|name| names.add(name, index));
            pairs.push(Pair::build(material.clone(), self.client_auth)?);
        }
        self.serving.store(Some(Arc::new(Serving { names, pairs })));
        Ok(())
    }

    /// The configuration for a client that asks for `name`.
    pub fn choose(&self, name: Option<&str>, protocols: Alpn) -> Option<Arc<ServerConfig>> {
        let serving = self.serving.load();
        let serving = serving.as_ref()?;
        let index = name.and_then(|name| serving.names.find(name)).unwrap_or_default();
        let pair = serving.pairs.get(index)?;
        pair.configs.get(protocols.index()).cloned()
    }

    /// Seconds until the first certificate ends; negative when one has ended.
    pub fn expiry(&self) -> Option<i64> {
        let serving = self.serving.load();
        let ends = serving.as_ref()?.pairs.iter().map(|pair| pair.material.ends).min()?;
        Some(ends - now())
    }
}

impl Pair {
    fn build(material: Material, client_auth: ClientAuth) -> Result<Self, Problem> {
        let refused = |error: &dyn std::fmt::Display| Problem::Refused(error.to_string());
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&VERSIONS)
            .map_err(|error| refused(&error))?;
        let builder = match client_auth {
            ClientAuth::None => builder.with_no_client_auth(),
            ClientAuth::Optional | ClientAuth::Required => {
                let ca = material.ca.clone().ok_or(Problem::CaMissing)?;
                let verifier = WebPkiClientVerifier::builder_with_provider(ca, provider());
                let verifier = match client_auth {
                    ClientAuth::Required => verifier,
                    _ => verifier.allow_unauthenticated(),
                };
                builder.with_client_cert_verifier(verifier.build().map_err(|error| refused(&error))?)
            }
        };
        let resolver = Arc::new(SingleCertAndKey::from(Arc::clone(&material.key)));
        let config = builder.with_cert_resolver(resolver);
        // The clones share their sessions.
        let configs = Alpn::ALL.map(|protocols| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.names();
            Arc::new(config)
        });
        Ok(Self { configs, material })
    }
}
