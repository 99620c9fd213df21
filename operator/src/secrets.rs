//! Key material that lives in a Secret of the operator's namespace: made once, then followed.
//!
//! Two replicas may start at once: who is second takes what the first one made. A Secret that is deleted is restored
//! from memory, because injected sidecars trust exactly this material. A Secret that cannot be read never replaces
//! what is in use. Called by `run`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::runtime::watcher::{Config, Event};
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::sync::watch;

use crate::api_error;
use crate::metrics::{ErrorKind, Metrics};
use crate::observe::watch::Patience;
use crate::observe::{MANAGED_BY, MANAGED_BY_LABEL};

/// Pause before what another replica wrote is read.
const RACE: Duration = Duration::from_millis(100);

/// Contents of a Secret.
pub type Data = BTreeMap<String, ByteString>;

/// What can be kept in a Secret. `names` are the DNS names of the operator, for material that has any.
pub trait Material: Sized + Send + Sync + 'static {
    /// At start: reads what is there, an absent Secret having no data, or makes what is missing. Tells whether it was
    /// made and has to be written.
    fn ensure(data: &Data, names: &[String]) -> Result<(Self, bool), String>;
    /// While running: reads what somebody wrote. The message says what is wrong and what to do.
    fn read(data: &Data, names: &[String]) -> Result<Self, String>;
    /// The contents of the Secret.
    fn data(&self) -> Data;
}

/// Why material could not be obtained.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or was not reachable.
    #[error("cannot access secret {name}: {}", api_error::text(.error))]
    Access {
        /// Name of the Secret.
        name: String,
        /// What the client says.
        error: Box<kube::Error>,
    },
    /// It could not be made, or what is in the Secret cannot be used.
    #[error("secret {name}: {message}")]
    Unusable {
        /// Name of the Secret.
        name: String,
        /// What is wrong and what to do.
        message: String,
    },
}

/// Material in use, and the Secret it is kept in.
pub struct Held<T> {
    api: Api<Secret>,
    name: String,
    names: Vec<String>,
    value: watch::Sender<Arc<T>>,
}

impl<T: Material> Held<T> {
    /// Reads the material, or makes it at the first start.
    pub async fn obtain(api: Api<Secret>, name: &str, names: &[String]) -> Result<Self, Error> {
        let access = |error| Error::Access { name: name.to_owned(), error: Box::new(error) };
        loop {
            let found = api.get_opt(name).await.map_err(access)?;
            let data = found.as_ref().and_then(|secret| secret.data.clone()).unwrap_or_default();
            let (value, made) = T::ensure(&data, names)
                .map_err(|message| Error::Unusable { name: name.to_owned(), message })?;
            match if made { write(&api, name, found, value.data()).await } else { Ok(()) } {
                Ok(()) => {
                    let (name, names, value) =
                        (name.to_owned(), names.to_vec(), watch::Sender::new(Arc::new(value)));
                    return Ok(Self { api, name, names, value });
                }
                // Another replica was faster; what it made is read.
                Err(kube::Error::Api(status)) if status.code == 409 => tokio::time::sleep(RACE).await,
                Err(error) => return Err(access(error)),
            }
        }
    }

    /// The material in use.
    pub fn get(&self) -> Arc<T> {
        self.value.borrow().clone()
    }

    /// Tells when it is replaced.
    pub fn subscribe(&self) -> watch::Receiver<Arc<T>> {
        self.value.subscribe()
    }

    /// Follows the Secret until the task is dropped.
    pub async fn follow(&self, metrics: &Metrics) {
        let config = Config::default().fields(&format!("metadata.name={}", self.name));
        let mut events = std::pin::pin!(watcher(self.api.clone(), config).backoff(Patience::default()));
        let mut listed = false;
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed = false,
                Ok(Event::InitApply(secret) | Event::Apply(secret)) => {
                    listed = true;
                    self.replace(secret, metrics);
                }
                Ok(Event::InitDone) if listed => {}
                Ok(Event::InitDone | Event::Delete(_)) => self.restore(metrics).await,
                Err(error) => {
                    metrics.failed(ErrorKind::Secret);
                    tracing::warn!(%error, secret = self.name, "a watch failed and is restarted");
                }
            }
        }
    }

    fn replace(&self, secret: Secret, metrics: &Metrics) {
        let data = secret.data.unwrap_or_default();
        if data == self.get().data() {
            return;
        }
        match T::read(&data, &self.names) {
            Ok(value) => {
                tracing::info!(secret = self.name, "the secret changed, its contents are in use now");
                self.value.send_replace(Arc::new(value));
            }
            Err(message) => {
                metrics.failed(ErrorKind::Secret);
                tracing::error!(
                    secret = self.name,
                    message,
                    "the secret cannot be used, the old contents stay in use"
                );
            }
        }
    }

    async fn restore(&self, metrics: &Metrics) {
        // A Secret deleted together with its namespace cannot be restored; do not insist.
        let create =
            async { self.api.create(&PostParams::default(), &secret(&self.name, self.get().data())).await };
        match tokio::time::timeout(Duration::from_secs(10), create).await {
            Ok(Ok(_)) => tracing::warn!(secret = self.name, "the secret was deleted and is restored"),
            // Another replica was faster.
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => {}
            Ok(Err(error)) => {
                metrics.failed(ErrorKind::Secret);
                let error = api_error::text(&error);
                tracing::error!(error, secret = self.name, "the secret was deleted and cannot be restored");
            }
            Err(_) => metrics.failed(ErrorKind::Secret),
        }
    }
}

async fn write(api: &Api<Secret>, name: &str, found: Option<Secret>, data: Data) -> Result<(), kube::Error> {
    match found {
        None => api.create(&PostParams::default(), &secret(name, data)).await.map(|_| ()),
        // Carries the resourceVersion that was read: whoever wrote since wins.
        Some(found) => {
            let changed = Secret { data: Some(data), ..found };
            api.replace(name, &PostParams::default(), &changed).await.map(|_| ())
        }
    }
}

fn secret(name: &str, data: Data) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(BTreeMap::from([(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned())])),
            ..ObjectMeta::default()
        },
        data: Some(data),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests;
