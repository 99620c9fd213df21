//! Key material that lives in a Secret of the operator's namespace: made once, then followed, repaired and renewed.
//!
//! Level-triggered: whenever the Secret changes, and every few seconds, what is there is compared with what is in use.
//! What was deleted or made unusable is written back from memory, because injected sidecars trust exactly this material;
//! what cannot be read never replaces what is in use. Only the leader writes, and only over the very version it read.
//! A Secret that somebody else keeps is never written. Called by `run`.

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
use crate::leader::Leadership;
use crate::metrics::{ErrorKind, Metrics, Rotation};
use crate::observe::watch::Patience;
use crate::observe::{MANAGED_BY, MANAGED_BY_LABEL};

/// Pause before what another replica wrote is read.
const RACE: Duration = Duration::from_millis(100);
/// How often it is looked at without a cause: time alone makes material due, and what failed is tried again.
const AGAIN: Duration = Duration::from_secs(3);
/// Longest wait for one write. Less than the margin between the end of our term and the next leader's.
const PATIENCE: Duration = Duration::from_secs(4);
/// Annotation by which a person asks for a rotation; taken away by the write that rotates.
pub const ROTATE: &str = "rasp.dev/rotate";

/// Contents of a Secret.
pub type Data = BTreeMap<String, ByteString>;

/// What material is for.
#[derive(Clone, Debug)]
pub struct Terms {
    /// DNS names of the operator, for material that has any.
    pub names: Vec<String>,
    /// Whether we make and keep the Secret. Otherwise it is read only.
    pub owned: bool,
}

/// Why the contents of a Secret are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// From a closed list: label value of `rasp_secret_problem{reason}`.
    pub reason: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

/// What can be kept in a Secret.
pub trait Material: Sized + Send + Sync + 'static {
    /// Label value of `rasp_secret_problem{secret}`.
    const WHAT: &'static str;
    /// At start: reads what is there, an absent Secret having no data, or makes what is missing. Tells whether it was
    /// made and has to be written.
    fn ensure(data: &Data, terms: &Terms) -> Result<(Self, bool), Refused>;
    /// While running: reads what somebody wrote.
    fn read(data: &Data, terms: &Terms) -> Result<Self, Refused>;
    /// What takes its place, because it is due or because somebody asked in the annotation [`ROTATE`].
    fn rotated(&self, asked: Option<&str>, terms: &Terms) -> Result<Option<(Self, Rotation)>, Refused>;
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
    #[error("secret {name}: {}", .refused.message)]
    Unusable {
        /// Name of the Secret.
        name: String,
        /// What is wrong and what to do.
        refused: Refused,
    },
}

/// Reason of a Secret that is not there.
pub const ABSENT: &str = "absent";
/// Reason of a Secret that the API server does not give us.
pub const ACCESS: &str = "access";

impl Error {
    /// From a closed list: label value of `rasp_secret_problem{reason}`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Access { .. } => ACCESS,
            Self::Unusable { refused, .. } => refused.reason,
        }
    }
}

/// Material in use, and the Secret it is kept in.
pub struct Held<T> {
    api: Api<Secret>,
    name: String,
    terms: Terms,
    value: watch::Sender<Arc<T>>,
}

impl<T: Material> Held<T> {
    /// Reads the material, or makes it at the first start.
    pub async fn obtain(api: Api<Secret>, name: &str, terms: &Terms) -> Result<Self, Error> {
        let access = |error| Error::Access { name: name.to_owned(), error: Box::new(error) };
        let unusable = |refused| Error::Unusable { name: name.to_owned(), refused };
        loop {
            let found = api.get_opt(name).await.map_err(access)?;
            let data = found.as_ref().and_then(|secret| secret.data.clone()).unwrap_or_default();
            let (value, made) = if terms.owned {
                T::ensure(&data, terms).map_err(unusable)?
            } else if found.is_none() {
                let message = "it is not there: whoever keeps it has to make it".to_owned();
                return Err(unusable(Refused { reason: ABSENT, message }));
            } else {
                (T::read(&data, terms).map_err(unusable)?, false)
            };
            match if made { write(&api, name, found, value.data()).await } else { Ok(()) } {
                Ok(()) => {
                    let (name, terms) = (name.to_owned(), terms.clone());
                    return Ok(Self { api, name, terms, value: watch::Sender::new(Arc::new(value)) });
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
    pub async fn follow(&self, leadership: &Leadership, metrics: &Metrics) {
        let config = Config::default().fields(&format!("metadata.name={}", self.name));
        let mut events = std::pin::pin!(watcher(self.api.clone(), config).backoff(Patience::default()));
        let mut again = tokio::time::interval(AGAIN);
        again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Nothing is known before the first list.
        let (mut seen, mut listed): (Option<Option<Secret>>, bool) = (None, false);
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                _ = again.tick() => None,
            };
            match event {
                Some(Ok(Event::Init)) => listed = false,
                Some(Ok(Event::InitApply(secret) | Event::Apply(secret))) => {
                    listed = true;
                    seen = Some(Some(secret));
                }
                Some(Ok(Event::InitDone)) if listed => {}
                Some(Ok(Event::InitDone | Event::Delete(_))) => seen = Some(None),
                Some(Err(error)) => {
                    metrics.failed(ErrorKind::Secret);
                    tracing::warn!(%error, secret = self.name, "a watch failed and is restarted");
                }
                None => {}
            }
            if let Some(found) = &seen
                && let Some(written) = self.look(found.as_ref(), leadership, metrics).await
            {
                seen = Some(Some(written));
            }
        }
    }

    /// Compares what is there with what is in use, once; what was written, if anything.
    async fn look(
        &self,
        found: Option<&Secret>,
        leadership: &Leadership,
        metrics: &Metrics,
    ) -> Option<Secret> {
        let data = found.and_then(|secret| secret.data.clone()).unwrap_or_default();
        let problem = if found.is_none() {
            Some(Refused { reason: ABSENT, message: "it was deleted".to_owned() })
        } else if self.terms.owned && data == self.get().data() {
            None
        } else {
            // Time alone can end what somebody else keeps, so that is read every time.
            match T::read(&data, &self.terms) {
                Ok(value) if value.data() == self.get().data() => None,
                Ok(value) => {
                    tracing::info!(secret = self.name, "the secret changed, its contents are in use now");
                    self.value.send_replace(Arc::new(value));
                    None
                }
                Err(refused) => Some(refused),
            }
        };
        if metrics.secret_problem(T::WHAT, problem.as_ref().map(|refused| refused.reason))
            && let Some(Refused { reason, message }) = &problem
        {
            metrics.failed(ErrorKind::Secret);
            let (secret, owned) = (&self.name, self.terms.owned);
            tracing::error!(
                secret,
                owned,
                reason,
                message,
                "the secret cannot be used, what was in it stays in use"
            );
        }
        if !self.terms.owned || !leadership.is_leader() {
            return None;
        }
        match problem {
            Some(_) => self.put(found, self.get(), None, metrics).await,
            None => self.rotate(found?, metrics).await,
        }
    }

    async fn rotate(&self, found: &Secret, metrics: &Metrics) -> Option<Secret> {
        let asked = found.metadata.annotations.as_ref().and_then(|all| all.get(ROTATE)).map(String::as_str);
        match self.get().rotated(asked, &self.terms) {
            Ok(None) => None,
            Ok(Some((value, rotation))) => {
                self.put(Some(found), Arc::new(value), Some(rotation), metrics).await
            }
            Err(refused) => {
                metrics.failed(ErrorKind::Secret);
                tracing::error!(secret = self.name, message = refused.message, "cannot rotate");
                None
            }
        }
    }

    /// Writes over exactly what was found, and puts in use what was written. `rotation` tells a rotation from a repair.
    async fn put(
        &self,
        found: Option<&Secret>,
        value: Arc<T>,
        rotation: Option<Rotation>,
        metrics: &Metrics,
    ) -> Option<Secret> {
        let (params, what) = (PostParams::default(), rotation.map_or("repair", Rotation::id));
        let written = async {
            match found {
                None => self.api.create(&params, &secret(&self.name, value.data())).await,
                Some(found) => {
                    // Carries the resourceVersion that was read: a writer that is no longer leader is refused.
                    let mut changed = Secret { data: Some(value.data()), ..found.clone() };
                    if let Some(annotations) = &mut changed.metadata.annotations {
                        annotations.remove(ROTATE);
                    }
                    self.api.replace(&self.name, &params, &changed).await
                }
            }
        };
        match tokio::time::timeout(PATIENCE, written).await {
            Ok(Ok(secret)) => {
                tracing::warn!(secret = self.name, what, "the secret was written");
                metrics.secret_problem(T::WHAT, None);
                if let Some(rotation) = rotation {
                    metrics.rotated(rotation);
                    self.value.send_replace(value);
                }
                return Some(secret);
            }
            // Somebody else was faster; the watch tells.
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => {}
            Ok(Err(error)) => {
                metrics.failed(ErrorKind::Secret);
                let error = api_error::text(&error);
                tracing::error!(error, secret = self.name, what, "cannot write the secret");
            }
            Err(_) => metrics.failed(ErrorKind::Secret),
        }
        None
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
