//! Keeps what the policies of each namespace were: the last states of its objects, signed, in a ConfigMap beside the
//! Bundle, for `raspctl rollback`.
//!
//! Never stands in the way of a Bundle: the loop hands a change over and goes on, and one that cannot be kept is counted
//! and lost. Nothing of it is watched or cached; it is read when it is written. What does not carry our signature is not
//! kept. [`change`] and [`revise`] are pure. Called by `controller`, started by `run`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use rasp_policy::api::Kind;
use rasp_policy::bundle::{Bundle, Entry};
use rasp_policy::history::{
    MOST_BYTES, MOST_RECORDS, Object, Record, SCHEMA_VERSION, cluster, is_same, written,
};
use tokio::sync::mpsc;

use crate::apply::{Error, Writer};
use crate::metrics::{ErrorKind, Metrics};
use crate::observe::Policy;
use crate::plan::Verdict;
use crate::secrets::Held;
use crate::signing::Key;
use crate::time::in_seconds;

/// Changes that wait to be kept; more are lost. A change of a policy of the cluster, which touches many namespaces, is none;
/// an exchange of the signing key is one of every namespace that has policies.
pub const QUEUE: usize = 1024;
/// How often a change is tried that somebody else's write came before.
const ATTEMPTS: usize = 3;

/// The objects of a namespace changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What they are now.
    pub record: Record,
    /// What they were, as far as the Bundle before tells it: for a namespace that has no history yet.
    pub before: Option<Record>,
}

/// What a Bundle that was just written changes for the history, if it does.
pub fn change(
    previous: Option<&Bundle>,
    bundle: &Bundle,
    digest: &str,
    policies: &[Arc<Policy>],
    verdicts: &BTreeMap<String, Verdict>,
    is_signed_anew: bool,
) -> Option<Change> {
    let previous = previous.filter(|previous| previous.namespace.uid == bundle.namespace.uid);
    let is_the_same = own(previous).eq(own(Some(bundle)));
    // A key that was replaced is believed for an hour only: the records are signed anew when the Bundle is.
    let has_records = own(previous).next().is_some();
    if is_the_same && !(is_signed_anew && has_records) {
        return None;
    }
    let record = Record {
        schema_version: SCHEMA_VERSION,
        namespace: bundle.namespace.clone(),
        sequence: bundle.sequence,
        time: time(bundle.sequence),
        digest: digest.to_owned(),
        rollback_of: None,
        objects: policies.iter().filter_map(|policy| object(policy, verdicts.get(&policy.uid)?)).collect(),
        cluster: cluster(bundle),
    };
    let before = previous.map(|previous| Record::of_bundle(previous, time(previous.sequence)));
    Some(Change { record, before })
}

/// The objects of the namespace that take part, by what tells one version of them from another.
fn own(bundle: Option<&Bundle>) -> impl Iterator<Item = (Kind, &str, i64)> {
    let of_namespace = |entry: &&Entry| entry.kind != Kind::ClusterRaspPolicy;
    let entries = bundle.into_iter().flat_map(|bundle| &bundle.entries).filter(of_namespace);
    entries.map(|entry| (entry.kind, entry.source.uid.as_str(), entry.source.generation))
}

/// One whose new generation is invalid counts as the generation that stays in force; its spec is in an older record.
fn object(policy: &Policy, verdict: &Verdict) -> Option<Object> {
    if policy.kind == Kind::ClusterRaspPolicy {
        return None;
    }
    let (generation, spec) = match (verdict, &policy.spec) {
        (Verdict::Invalid { kept, .. }, _) => ((*kept)?, None),
        (_, spec) => (policy.generation, spec.as_ref().ok().and_then(|spec| written(policy.kind, spec))),
    };
    let (name, uid) = (policy.name.clone(), policy.uid.clone());
    Some(Object { kind: policy.kind, name, uid, generation, spec })
}

/// A sequence is the time at which its Bundle was made, but where a clock went back.
fn time(sequence: u64) -> String {
    let made = i64::try_from(sequence).ok().and_then(|sequence| Timestamp::from_millisecond(sequence).ok());
    in_seconds(made.unwrap_or_default())
}

/// The signed records by their keys, as they stand in a ConfigMap.
pub type Texts = BTreeMap<String, String>;

/// A record of this many bytes does not fit, even alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge(pub usize);

/// The history with a change in it; `None` where it stays as it is. Oldest records go first, by count and by size.
pub fn revise(found: &Texts, change: Change, key: &Key) -> Result<Option<Texts>, TooLarge> {
    let Change { record: mut next, before } = change;
    let mut records = BTreeMap::new();
    for text in found.values() {
        let Ok((record, is_own)) = key.open_record(text) else { continue };
        if record.namespace == next.namespace {
            records.insert(record.sequence, (record, is_own.then(|| text.clone())));
        }
    }
    if records.is_empty() {
        let before = before.filter(|before| before.sequence < next.sequence);
        records.extend(before.map(|before| (before.sequence, (before, None))));
    }
    let known: Vec<&Record> = records.values().map(|(record, _)| record).collect();
    fill(&mut next, &known);
    let is_new = known
        .last()
        .is_none_or(|newest| newest.sequence < next.sequence && !is_same(&newest.state(), &next.state()));
    if is_new {
        let former = known.iter().rev().find(|record| is_same(&record.state(), &next.state()));
        next.rollback_of = former.map(|record| record.sequence);
        records.insert(next.sequence, (next, None));
    }
    let mut texts = Texts::new();
    let mut bytes = 0;
    for (sequence, (record, text)) in records.into_iter().rev().take(MOST_RECORDS) {
        let text = text.unwrap_or_else(|| key.seal_record(&record));
        bytes += text.len();
        if bytes > MOST_BYTES {
            if texts.is_empty() {
                return Err(TooLarge(bytes));
            }
            break;
        }
        texts.insert(sequence.to_string(), text);
    }
    Ok((texts != *found).then_some(texts))
}

/// Puts in what only older records know.
fn fill(next: &mut Record, known: &[&Record]) {
    for object in next.objects.iter_mut().filter(|object| object.spec.is_none()) {
        let same = |known: &&Object| known.uid == object.uid && known.generation == object.generation;
        let known = known.iter().rev().flat_map(|record| &record.objects).find(same);
        object.spec = known.and_then(|known| known.spec.clone());
    }
}

/// Keeps changes, one after the other.
pub struct Historian {
    /// Reads and writes while this replica leads.
    pub writer: Writer,
    /// Signs records.
    pub signing: Arc<Held<Key>>,
    /// Moved by failures.
    pub metrics: Arc<Metrics>,
}

impl Historian {
    /// Runs until nobody sends changes any more.
    pub async fn run(self, mut changes: mpsc::Receiver<Change>) {
        while let Some(change) = changes.recv().await {
            self.keep(&change).await;
        }
    }

    async fn keep(&self, change: &Change) {
        let namespace = &change.record.namespace.name;
        let mut last = Ok(());
        for _ in 0..ATTEMPTS {
            last = self.attempt(namespace, change).await;
            if !matches!(last, Err(Error::Raced)) {
                break;
            }
        }
        match last {
            // Who leads now writes Bundles and history; a namespace that is gone needs none.
            Ok(()) | Err(Error::NotLeader) => {}
            Err(error) if error.is_gone() => {}
            Err(error) => {
                self.metrics.failed(ErrorKind::HistoryWrite);
                let sequence = change.record.sequence;
                tracing::warn!(namespace, sequence, %error, "a change of policies is not in the history");
            }
        }
    }

    async fn attempt(&self, namespace: &str, change: &Change) -> Result<(), Error> {
        let (version, found) = self.writer.history(namespace).await?;
        match revise(&found, change.clone(), &self.signing.get()) {
            Ok(Some(texts)) => self.writer.keep_history(namespace, &texts, version).await,
            Ok(None) => Ok(()),
            Err(TooLarge(bytes)) => Err(Error::RecordTooLarge(bytes)),
        }
    }
}

#[cfg(test)]
mod tests;
