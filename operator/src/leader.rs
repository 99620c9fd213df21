//! Leader election by a Lease of coordination.k8s.io: at most one replica writes Bundles and statuses.
//!
//! Fencing: leadership ends by this process's own clock, counted from *before* the last successful renewal was sent,
//! and earlier than another replica may take over. A process that was stopped and continued therefore sees that it
//! is no longer leader before it writes. Other replicas' clocks play no part: a lease has expired when it was seen
//! unchanged for its whole duration, as in client-go.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api_error;
use crate::metrics::{ErrorKind, Metrics};

/// How long others wait for a silent leader.
const DURATION: Duration = Duration::from_secs(15);
/// The leader stops writing this long before others may take over.
const MARGIN: Duration = Duration::from_secs(5);
/// How often the leader renews.
const RENEW: Duration = Duration::from_secs(5);
/// How often the others look, and the leader after a failure.
const RETRY: Duration = Duration::from_secs(2);
/// Longest call to the API server; two must fit into `DURATION - MARGIN`.
const CALL: Duration = Duration::from_secs(4);

/// One uninterrupted time of being leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Term {
    since: Instant,
    until: Instant,
}

/// Tells whether this process is leader, now.
#[derive(Clone)]
pub struct Leadership(watch::Receiver<Option<Term>>);

impl Leadership {
    /// Whether this process may write now.
    pub fn is_leader(&self) -> bool {
        self.since().is_some()
    }

    /// Since when this process is leader, if it is.
    pub fn since(&self) -> Option<Instant> {
        let now = Instant::now();
        self.0.borrow().filter(|term| now < term.until).map(|term| term.since)
    }

    /// Waits until this process is leader. `false` when the election has ended.
    pub async fn acquired(&mut self) -> bool {
        self.0.wait_for(|term| term.is_some_and(|term| Instant::now() < term.until)).await.is_ok()
    }

    /// A leadership that began so long ago, for tests.
    #[cfg(test)]
    pub fn leading_for(time: Duration) -> Self {
        let now = Instant::now();
        let term =
            Term { since: now.checked_sub(time).unwrap_or(now), until: now + Duration::from_secs(3600) };
        Self(watch::channel(Some(term)).1)
    }

    /// A leadership that never ends, for tests.
    #[cfg(test)]
    pub fn for_test(leader: bool) -> Self {
        let term = Term { since: Instant::now(), until: Instant::now() + Duration::from_secs(3600) };
        Self(watch::channel(leader.then_some(term)).1)
    }
}

/// What was last seen of the Lease, and since when it looks like that.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    holder: String,
    renewed: Option<MicroTime>,
    at: Instant,
}

/// What to do with the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Ours: renew it.
    Renew,
    /// Nobody's, or its holder is silent: take it.
    Take,
    /// Somebody else's.
    Wait,
}

fn step(lease: &Lease, identity: &str, seen: &mut Option<Seen>, now: Instant) -> Step {
    let spec = lease.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.unwrap_or_default();
    if holder == identity {
        return Step::Renew;
    }
    if holder.is_empty() {
        return Step::Take;
    }
    let duration = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(15);
    match seen {
        Some(seen) if seen.holder == holder && seen.renewed == spec.renew_time => {
            if now.duration_since(seen.at) >= Duration::from_secs(duration) { Step::Take } else { Step::Wait }
        }
        _ => {
            *seen = Some(Seen { holder, renewed: spec.renew_time, at: now });
            Step::Wait
        }
    }
}

/// Takes part in the election until `stop`, then gives the Lease back.
pub struct Election {
    api: Api<Lease>,
    name: String,
    identity: String,
    seen: Option<Seen>,
    /// Labels and annotations of the Lease: whoever makes it anew gives it back to the chart that it is of.
    kept: ObjectMeta,
    term: watch::Sender<Option<Term>>,
}

impl Election {
    /// An election for the Lease `name`, in the namespace of `api`.
    pub fn new(api: Api<Lease>, name: &str, identity: &str) -> (Self, Leadership) {
        let (term, leadership) = watch::channel(None);
        let (name, identity) = (name.to_owned(), identity.to_owned());
        let election = Self { api, name, identity, seen: None, kept: ObjectMeta::default(), term };
        (election, Leadership(leadership))
    }

    /// Runs until `stop`.
    pub async fn run(mut self, metrics: &Metrics, stop: CancellationToken) {
        loop {
            let pause = match tokio::time::timeout(CALL, self.round()).await {
                Ok(Ok(true)) => RENEW,
                Ok(Ok(false)) => RETRY,
                Ok(Err(error)) => {
                    metrics.failed(ErrorKind::Lease);
                    tracing::warn!(error = api_error::text(&error), "cannot renew the lease");
                    RETRY
                }
                Err(_) => {
                    metrics.failed(ErrorKind::Lease);
                    tracing::warn!("the API server did not answer in time about the lease");
                    RETRY
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => break,
            }
        }
        self.release().await;
    }

    /// One look at the Lease; whether this process is leader afterwards.
    async fn round(&mut self) -> Result<bool, kube::Error> {
        let asked = Instant::now();
        let found = self.api.get_opt(&self.name).await?;
        if let Some(Lease { metadata: ObjectMeta { labels, annotations, .. }, .. }) = found.clone() {
            self.kept = ObjectMeta { labels, annotations, ..ObjectMeta::default() };
        }
        let written = match found {
            None => self.api.create(&PostParams::default(), &self.lease(None)).await,
            Some(lease) => match step(&lease, &self.identity, &mut self.seen, asked) {
                Step::Wait => {
                    self.set(None);
                    return Ok(false);
                }
                Step::Renew | Step::Take => {
                    self.api.replace(&self.name, &PostParams::default(), &self.lease(Some(lease))).await
                }
            },
        };
        match written {
            Ok(_) => {
                let until = asked + DURATION - MARGIN;
                let since =
                    self.term.borrow().filter(|term| asked < term.until).map_or(asked, |term| term.since);
                self.set(Some(Term { since, until }));
                Ok(true)
            }
            // Somebody else was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                self.set(None);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn set(&self, term: Option<Term>) {
        let was = self.term.send_replace(term).is_some();
        if was != term.is_some() {
            tracing::info!(leader = term.is_some(), identity = %self.identity, "leadership changed");
        }
    }

    fn lease(&self, current: Option<Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let mut lease = current.unwrap_or_default();
        lease.metadata = ObjectMeta {
            name: Some(self.name.clone()),
            resource_version: lease.metadata.resource_version,
            ..self.kept.clone()
        };
        let mut spec = lease.spec.unwrap_or_default();
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            spec.lease_transitions = Some(spec.lease_transitions.map_or(0, |count| count.saturating_add(1)));
            spec.acquire_time = Some(now.clone());
        }
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            renew_time: Some(now),
            ..spec
        });
        lease
    }

    /// Lets another replica take over at once instead of after `DURATION`.
    async fn release(&self) {
        let held = self.term.borrow().is_some();
        self.set(None);
        if !held {
            return;
        }
        let release = async {
            let Some(lease) = self.api.get_opt(&self.name).await? else { return Ok(()) };
            if lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()) != Some(&self.identity) {
                return Ok(());
            }
            let mut lease = self.lease(Some(lease));
            if let Some(spec) = &mut lease.spec {
                spec.holder_identity = Some(String::new());
                spec.lease_duration_seconds = Some(1);
            }
            self.api.replace(&self.name, &PostParams::default(), &lease).await.map(|_| ())
        };
        match tokio::time::timeout(CALL, release).await {
            Ok(Ok(())) => tracing::info!("lease released"),
            Ok(Err(error)) => tracing::warn!(error = api_error::text(&error), "cannot release the lease"),
            Err(_) => tracing::warn!("cannot release the lease in time"),
        }
    }
}

#[cfg(test)]
mod tests;
