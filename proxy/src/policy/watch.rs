//! Keeps the newest good Bundle in force, whether the mounted directory or the live stream brings it.
//!
//! The only place that decides between them: the higher sequence wins. Runs on a thread of its own and reads two small
//! files a second: kubelet swaps the directory by renaming `..data`, which no watch of a file sees, and a poll cannot
//! miss an event. What the stream brings is taken at once.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rasp_policy::bundle::{MAX_ENVELOPE_BYTES, Refusal};
use rasp_policy::pod;
use rasp_policy::report::Rejected;
use rasp_policy::selector::Labels;

use super::load::{Checks, Verified};
use super::sequence::{Last, Store};
use super::{Handle, Source, labels};
use crate::metrics::Metrics;
use crate::reason::Kind;

mod behind;

use behind::Marks;

/// How often the directory is looked at.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// An envelope that the stream brought.
pub struct Offer {
    /// Its text.
    pub envelope: Vec<u8>,
    /// Told whether it was looked at. Until then the stream reads nothing more, so that one envelope waits at most.
    pub done: tokio::sync::oneshot::Sender<bool>,
}

/// Watches one directory.
pub struct Watch {
    directory: PathBuf,
    checks: Checks,
    store: Store,
    handle: Arc<Handle>,
    metrics: Arc<Metrics>,
    seen: Option<Seen>,
    last: Option<Last>,
    verified: Option<Verified>,
    /// What brought the Bundle in force.
    source: Option<Source>,
    marks: Marks,
    refused: Option<(Source, Refusal)>,
    unreadable: bool,
}

/// Contents of the two files, as they were last looked at.
#[derive(PartialEq, Eq)]
struct Seen {
    envelope: Option<Vec<u8>>,
    labels: Vec<u8>,
}

impl Watch {
    /// Prepares to watch `directory`; remembers sequences in `store`.
    pub fn new(
        directory: PathBuf,
        checks: Checks,
        store: Store,
        handle: Arc<Handle>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let last = store.read();
        Self {
            directory,
            checks,
            store,
            handle,
            metrics,
            seen: None,
            last,
            verified: None,
            source: None,
            marks: Marks::default(),
            refused: None,
            unreadable: false,
        }
    }

    /// Looks once, and acts when something changed.
    pub fn look(&mut self) {
        self.look_at(&super::now());
    }

    /// The same at this moment.
    fn look_at(&mut self, moment: &str) {
        let Some(now) = self.read() else { return };
        let pod_labels = labels::parse(&String::from_utf8_lossy(&now.labels));
        let envelope_changed = self.seen.as_ref().is_none_or(|seen| seen.envelope != now.envelope);
        let labels_changed = self.seen.as_ref().is_none_or(|seen| seen.labels != now.labels);
        let expired = self.handle.load().has_expired(moment);
        if expired {
            tracing::info!("an exception of the policy has ended");
        }
        if (labels_changed || expired) && self.verified.is_some() {
            self.rebuild(&pod_labels, moment);
        }
        if self.seen.is_none()
            && let Some(kept) = self.store.envelope()
        {
            self.consider(Source::Kept, &kept, &pod_labels, moment);
        }
        match &now.envelope {
            Some(text) if envelope_changed => self.consider(Source::File, text, &pod_labels, moment),
            None if envelope_changed => {
                tracing::warn!(
                    loaded = self.verified.is_some(),
                    "there is no bundle; what is in force stays"
                );
            }
            _ => {}
        }
        self.seen = Some(now);
    }

    /// Takes what the stream brought. `false` while the labels are not known: it has to be brought again.
    fn offered(&mut self, text: &[u8]) -> bool {
        if self.seen.is_none() {
            self.look();
        }
        let Some(seen) = &self.seen else { return false };
        let pod_labels = labels::parse(&String::from_utf8_lossy(&seen.labels));
        self.consider(Source::Stream, text, &pod_labels, &super::now());
        true
    }

    fn consider(&mut self, source: Source, text: &[u8], labels: &Labels, moment: &str) {
        let candidate = self
            .checks
            .open(text, self.last.as_ref())
            .and_then(|verified| verified.build(labels, moment).map(|in_force| (verified, in_force)));
        let (verified, in_force) = match candidate {
            Ok(candidate) => candidate,
            Err(refusal) => return self.turn_down(source, refusal),
        };
        self.marks.saw(source, verified.last().sequence);
        self.settle(source);
        if self.handle.load().digest == in_force.digest {
            return;
        }
        tracing::info!(
            digest = in_force.digest.as_deref(),
            sequence = in_force.sequence,
            source = source.id(),
            mode = in_force.ruleset.effective().effective_mode().as_str(),
            "policy in force"
        );
        self.handle.replace(in_force);
        self.metrics.policy_source(source);
        (self.source, self.refused) = (Some(source), None);
        let last = verified.last();
        if self.last.as_ref() != Some(&last)
            && let Err(error) = self.persist(source, &last, text)
        {
            self.metrics.error(&Kind::PolicyPersist);
            tracing::error!(%error, "the sequence could not be kept for a restart of this container");
        }
        self.last = Some(last);
        self.verified = Some(verified);
    }

    fn persist(&self, source: Source, last: &Last, text: &[u8]) -> std::io::Result<()> {
        if source == Source::Stream {
            self.store.keep(text)?;
        }
        self.store.write(last)
    }

    /// A source offers nothing that is refused any more.
    fn settle(&mut self, source: Source) {
        if self.refused.as_ref().is_some_and(|(by, _)| *by == source) {
            self.refused = None;
            self.handle.settle();
        }
    }

    /// What is kept is no news, and a source that is merely slower than another one is no attack.
    fn turn_down(&mut self, source: Source, refusal: Refusal) {
        let is_behind = self.source.is_some_and(|by| by != source)
            && self.last.as_ref().is_some_and(|last| self.marks.is_behind(source, &refusal, last.sequence));
        if is_behind || source == Source::Kept {
            tracing::debug!(source = source.id(), %refusal, "passed over");
            return self.settle(source);
        }
        self.refuse(source, refusal);
    }

    /// Labels may select other policies of the same Bundle, and exceptions end. A refusal of a newer one stays reported.
    fn rebuild(&mut self, labels: &Labels, moment: &str) {
        match self.verified.as_ref().map(|verified| verified.build(labels, moment)) {
            Some(Ok(in_force)) => self.handle.reselect(in_force),
            Some(Err(refusal)) => self.refuse(self.source.unwrap_or(Source::File), refusal),
            None => {}
        }
    }

    fn refuse(&mut self, source: Source, refusal: Refusal) {
        self.handle.reject(Rejected { reason: refusal.id().to_owned(), message: refusal.to_string() });
        if self.refused.as_ref().is_none_or(|(_, before)| *before != refusal) {
            tracing::error!(reason = refusal.id(), source = source.id(), %refusal, "bundle refused; what is in force stays");
        }
        let kind = Kind::Bundle(refusal.clone());
        self.metrics.error(&kind);
        self.refused = Some((source, refusal));
    }

    /// Looks, and takes what is offered, until the process ends.
    pub fn run(mut self, offers: &Receiver<Offer>) {
        let mut next = Instant::now() + INTERVAL;
        loop {
            match offers.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(offer) => {
                    let was_looked_at = self.offered(&offer.envelope);
                    let _ = offer.done.send(was_looked_at); // a stream that has ended asks no more
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(INTERVAL),
            }
            let now = Instant::now();
            if now >= next {
                self.look();
                self.handle.listen(now);
                next = now + INTERVAL;
            }
        }
    }

    /// Nothing until the labels could be read once: without them a Bundle selects other policies than for this pod.
    fn read(&mut self) -> Option<Seen> {
        let labels = read_bounded(&self.directory.join(pod::LABELS_FILE));
        if let Err(error) = &labels
            && !self.unreadable
        {
            let known = self.seen.is_some();
            tracing::warn!(%error, known, "the labels of the pod cannot be read; the last known ones stay");
        }
        self.unreadable = labels.is_err();
        let labels = labels.ok().or_else(|| Some(self.seen.as_ref()?.labels.clone()))?;
        Some(Seen { envelope: read_bounded(&self.directory.join(pod::BUNDLE_KEY)).ok(), labels })
    }
}

/// One byte more than is accepted, so that a file that is too large is still seen as such.
fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_ENVELOPE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
