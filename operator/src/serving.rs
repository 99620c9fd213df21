//! Keeps what is served and injected in step with the Secrets: certificate, settings of new pods, and which Bundles
//! count as ours. Called by `run`.

use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;

use crate::args::Run;
use crate::certificate::{self, Issued, Resolver};
use crate::facts::{self, Facts};
use crate::metrics::{ErrorKind, Metrics};
use crate::observe::Cache;
use crate::secrets::{Data, Held, Material};
use crate::signing::Key;

impl Material for Issued {
    fn ensure(data: &Data, names: &[String]) -> Result<(Self, bool), String> {
        match certificate::ensure(data, names, SystemTime::now()) {
            Ok(certificate::Ensured::Kept(issued)) => Ok((issued, false)),
            Ok(certificate::Ensured::Replaced(issued, problem)) => {
                tracing::info!(%problem, "a certificate was made");
                Ok((issued, true))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn read(data: &Data, names: &[String]) -> Result<Self, String> {
        certificate::from_secret(data, names, SystemTime::now()).map_err(|problem| problem.to_string())
    }

    fn data(&self) -> Data {
        certificate::secret_data(self)
    }
}

/// The parts that follow the Secrets.
pub struct Serving {
    /// The certificate and its CA.
    pub issued: Arc<Held<Issued>>,
    /// The signing key.
    pub signing: Arc<Held<Key>>,
    /// What the TLS listener serves.
    pub resolver: Arc<Resolver>,
    /// What the webhook decides by.
    pub facts: Arc<Facts>,
    /// Whose Bundles are opened again with a new key.
    pub cache: Arc<Cache>,
    /// Expiry and failures.
    pub metrics: Arc<Metrics>,
}

impl Serving {
    /// Runs until the task is dropped.
    pub async fn run(self, args: Run) {
        let (mut issued, mut signing) = (self.issued.subscribe(), self.signing.subscribe());
        self.expiry(&self.issued.get());
        loop {
            let changed = tokio::select! {
                changed = issued.changed() => changed.map(|()| self.certificate()),
                changed = signing.changed() => changed.map(|()| self.key()),
            };
            if changed.is_err() {
                return;
            }
            self.facts.replace(facts::settings(&args, &self.signing.get(), &self.issued.get()));
        }
    }

    fn certificate(&self) {
        let issued = self.issued.get();
        match self.resolver.replace(&issued.cert_pem, &issued.key_pem) {
            Ok(()) => self.expiry(&issued),
            Err(error) => {
                self.metrics.failed(ErrorKind::Secret);
                tracing::error!(%error, "the new certificate cannot be served, the old one stays");
            }
        }
    }

    fn expiry(&self, issued: &Issued) {
        let seconds = certificate::expiry(&issued.cert_pem).ok();
        if let Some(end) = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()) {
            self.metrics.certificate(end);
        }
    }

    fn key(&self) {
        let key = self.signing.get();
        tracing::warn!(
            key_id = key.id(),
            "the signing key changed; sidecars injected before refuse its Bundles"
        );
        self.cache.update(|state| state.bundles.rewrite(|stored| stored.reopened(&key)));
    }
}
