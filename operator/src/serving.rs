//! Keeps what is served and injected in step with the Secrets: certificate, settings of new pods, and which Bundles
//! count as ours. Called by `run`.
//!
//! Nothing is used before everybody accepts it: new settings are accepted in pods for a moment before pods get them, so
//! that the other replica, asked about the same pod, knows them; a certificate of a new CA is served once API servers
//! had that CA in the webhook configuration for a moment.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use crate::args::Run;
use crate::ca_bundle;
use crate::certificate::{self, Due, Issued, Problem, Resolver};
use crate::facts::{self, Facts};
use crate::metrics::{ErrorKind, Metrics, Rotation};
use crate::observe::Cache;
use crate::secrets::{Data, Held, Material, Refused, Terms};
use crate::signing::Key;

/// How long others may need to learn what this replica has learned.
const SETTLE: Duration = Duration::from_secs(3);
/// Longest wait for a new CA to be in the webhook configuration.
const PLACED: Duration = Duration::from_secs(60);
/// How often time alone is looked at: the overlap of a key ends.
const AGAIN: Duration = Duration::from_secs(60);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { reason: problem.id(), message: problem.to_string() }
    }
}

impl From<certificate::Error> for Refused {
    fn from(error: certificate::Error) -> Self {
        Self { reason: "unusable", message: error.to_string() }
    }
}

impl From<crate::signing::Error> for Refused {
    fn from(error: crate::signing::Error) -> Self {
        Self { reason: error.id(), message: error.to_string() }
    }
}

impl Material for Issued {
    const WHAT: &'static str = "certificate";

    fn ensure(data: &Data, terms: &Terms) -> Result<(Self, bool), Refused> {
        match certificate::ensure(data, &terms.names, SystemTime::now())? {
            certificate::Ensured::Kept(issued) => Ok((issued, false)),
            certificate::Ensured::Replaced(issued, problem) => {
                tracing::info!(%problem, "a certificate was made");
                Ok((issued, true))
            }
        }
    }

    fn read(data: &Data, terms: &Terms) -> Result<Self, Refused> {
        let read = if terms.owned { certificate::from_secret } else { certificate::from_foreign_secret };
        Ok(read(data, &terms.names, SystemTime::now())?)
    }

    fn rotated(&self, asked: Option<&str>, terms: &Terms) -> Result<Option<(Self, Rotation)>, Refused> {
        let now = SystemTime::now();
        let due = match asked {
            Some("ca") => Some(Due::Ca),
            Some("certificate") => Some(Due::Certificate),
            _ => certificate::due(self, now),
        };
        Ok(match due {
            None => None,
            Some(Due::Ca) => Some((certificate::rotate_ca(self, &terms.names, now)?, Rotation::Ca)),
            Some(Due::Certificate) => {
                Some((certificate::renew(self, &terms.names, now)?, Rotation::Certificate))
            }
        })
    }

    fn data(&self) -> Data {
        certificate::secret_data(self)
    }
}

impl Material for Key {
    const WHAT: &'static str = "signing_key";

    /// A key that cannot be read is never replaced: every injected sidecar trusts it, so a person has to decide.
    fn ensure(data: &Data, terms: &Terms) -> Result<(Self, bool), Refused> {
        if data.is_empty() {
            return Ok((Self::generate()?, true));
        }
        Self::read(data, terms).map(|key| (key, false))
    }

    fn read(data: &Data, _terms: &Terms) -> Result<Self, Refused> {
        Ok(Self::from_secret(data)?)
    }

    /// Never by itself: who has only the key before the last sixteen is not reached any more.
    fn rotated(&self, asked: Option<&str>, _terms: &Terms) -> Result<Option<(Self, Rotation)>, Refused> {
        Ok(match asked {
            Some("signing-key") => Some((self.successor(SystemTime::now())?, Rotation::SigningKey)),
            Some("stolen-signing-key") => Some((self.stranger()?, Rotation::StolenSigningKey)),
            _ => None,
        })
    }

    fn data(&self) -> Data {
        self.secret_data()
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
    /// The webhooks as API servers know them.
    pub webhooks: watch::Receiver<Vec<Value>>,
    /// Expiry and failures.
    pub metrics: Arc<Metrics>,
}

impl Serving {
    /// Runs until the task is dropped.
    pub async fn run(mut self, args: Run) {
        let (mut issued, mut signing) = (self.issued.subscribe(), self.signing.subscribe());
        let mut served = self.issued.get();
        self.expiry(&served);
        loop {
            tokio::select! {
                changed = issued.changed() => if changed.is_err() { return },
                changed = signing.changed() => match changed {
                    Ok(()) => self.key(),
                    Err(_) => return,
                },
                () = tokio::time::sleep(AGAIN) => {}
            }
            let next = self.issued.get();
            let settings = facts::settings(&args, &self.signing.get(), &next);
            if self.facts.accept(&settings) {
                tokio::time::sleep(SETTLE).await;
                self.facts.replace(settings);
            }
            if next != served {
                self.certificate(&next, &served).await;
                served = next;
            }
        }
    }

    async fn certificate(&mut self, next: &Issued, served: &Issued) {
        if next.ca_pem != served.ca_pem {
            let placed = self.webhooks.wait_for(|webhooks| ca_bundle::is_placed(webhooks, &next.ca_pem));
            if !matches!(tokio::time::timeout(PLACED, placed).await, Ok(Ok(_))) {
                tracing::warn!(
                    "a certificate of a new CA is served before it was seen in the webhook configuration"
                );
            }
            tokio::time::sleep(SETTLE).await;
        }
        match self.resolver.replace(&next.cert_pem, &next.key_pem) {
            Ok(()) => self.expiry(next),
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
        tracing::warn!(key_id = key.id(), "the signing key changed, every Bundle is signed anew");
        self.cache.update_bundles(|bundles| bundles.rewrite(|stored| stored.reopened(&key)));
    }
}
