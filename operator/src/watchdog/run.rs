//! The loop of the watchdog: while this replica leads, every few seconds it tells what is due and restarts what may be.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::restart::{self, Refusal};
use super::tell::{self, Told};
use super::workloads::Outcome;
use super::{Ledger, Restarts};
use crate::admin::Readiness;
use crate::events::Notice;
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::observe::Cache;

/// How often it looks.
const LOOK: Duration = Duration::from_secs(5);

/// What the loop works with.
pub struct Watchdog {
    /// What the controller found.
    pub ledger: Arc<Ledger>,
    /// Where Namespaces are.
    pub cache: Arc<Cache>,
    /// Whether this replica may speak and write.
    pub leadership: Leadership,
    /// Whether this replica serves the webhook and is asked.
    pub readiness: Arc<Readiness>,
    /// Where warnings for people go; a full queue loses them, and they come again.
    pub notices: mpsc::Sender<Notice>,
    /// Moved by restarts.
    pub metrics: Arc<Metrics>,
    /// How long something has to be wrong.
    pub settle: Duration,
    /// Restarts workloads, where somebody asked for it.
    pub restarts: Option<Restarts>,
}

impl Watchdog {
    /// Runs until the task is dropped.
    pub async fn run(mut self) {
        let mut told = Told::default();
        loop {
            tokio::time::sleep(LOOK).await;
            if self.leadership.is_leader() {
                self.look(&mut told).await;
            } else {
                told = Told::default();
            }
        }
    }

    async fn look(&mut self, told: &mut Told) {
        let now = Instant::now();
        let due = self.ledger.due(now, self.settle);
        for (object, cause, notice) in told.due(&due, now) {
            if self.notices.try_send(notice).is_ok() {
                told.keep(object, cause.id(), now);
            }
        }
        let Some(restarts) = &mut self.restarts else { return };
        let ready = self.readiness.injects();
        let cache = Arc::clone(&self.cache);
        let namespace = |name: &str| cache.read().namespaces.get(name, name);
        let outcomes = restarts.look(restart::candidates(&due), self.ledger.image(), ready, namespace).await;
        for outcome in outcomes {
            self.record(told, outcome);
        }
    }

    fn record(&self, told: &mut Told, Outcome { candidate, result }: Outcome) {
        let restart::Candidate { namespace, workload, cause } = candidate;
        let result_id = result.as_ref().map_or_else(|refusal| refusal.id(), |_| restart::RESTARTED_ID);
        self.metrics.restart(result_id);
        let (kind, name) = (workload.kind.as_str(), workload.name.as_str());
        tracing::info!(
            namespace,
            kind,
            name,
            cause = cause.id(),
            result = result_id,
            "restart of a workload"
        );
        let (reason, uid, message) = match result {
            Ok(uid) => {
                let message =
                    format!("its pods are made anew, so that they get the current sidecar ({})", cause.id());
                (tell::RESTARTED, Some(uid), message)
            }
            Err(Refusal::DidNotHelp) => {
                let message = format!("it was restarted for this before ({}), and is not again", cause.id());
                (tell::DID_NOT_HELP, None, message)
            }
            Err(_) => return,
        };
        let object = tell::workload(&namespace, &workload, uid);
        if told.admits(object.clone(), reason, Instant::now())
            && self.notices.try_send(Notice::watchdog(object, reason, message)).is_err()
        {
            tracing::warn!("an event was dropped: too many wait already");
        }
    }
}
