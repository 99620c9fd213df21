//! What is known of a policy in one namespace. Of a policy of the cluster it is kept until the namespace is looked at again,
//! so that its status is made without looking at the others.

use std::collections::BTreeSet;

use super::tally::{Tally, selected};
use super::{Input, list, overridden};
use crate::observe::Policy;

/// What is known of a policy in one namespace, or in several together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    pub(super) tally: Tally,
    /// Digests of the Bundles that carry this generation; `None` for one that does not.
    digests: BTreeSet<Option<String>>,
    /// Whether the policy decides anything on a pod.
    wins: bool,
    /// Who decides instead.
    winners: BTreeSet<String>,
    pub(super) distribution_error: Option<String>,
    /// Why this generation cannot be brought to sidecars, where the policies of a namespace are too large together.
    pub(super) too_large: Option<String>,
    pub(super) missing: Vec<String>,
    /// Of an earlier generation that stays in force: the percentage of its `enforcement`.
    pub(super) kept_percent: Option<i32>,
    /// Findings that it took, where it is an exception, and when the last was.
    pub(super) hits: u64,
    pub(super) last_hit: Option<String>,
}

/// What a namespace adds to the status of a policy.
pub fn share(input: &Input<'_>) -> Share {
    let carried = input.written.filter(|written| {
        let mut sources = written.bundle.entries.iter().map(|entry| &entry.source);
        sources.any(|source| source.uid == input.policy.uid && source.generation == input.policy.generation)
    });
    let (wins, winners) = overridden::by(input);
    let mut share = Share {
        tally: Tally::count(input),
        digests: BTreeSet::from([carried.map(|written| written.digest.clone())]),
        wins,
        winners,
        distribution_error: input.distribution_error.map(ToOwned::to_owned),
        too_large: input
            .distribution_error
            .filter(|_| input.too_large && carried.is_none())
            .map(ToOwned::to_owned),
        missing: input.missing.to_vec(),
        kept_percent: kept_percent(input),
        hits: 0,
        last_hit: None,
    };
    let id = exception_id(input.policy);
    let reports = selected(input).filter_map(|target| target.report);
    for hit in reports.flat_map(|received| &received.report.exceptions).filter(|hit| hit.id == id) {
        share.hits = share.hits.saturating_add(hit.hits);
        // Texts that are no times come from sidecars that lie; they would stay for ever.
        let said =
            Some(&hit.last).filter(|last| last.parse::<jiff::Timestamp>().is_ok_and(|at| at <= input.now));
        share.last_hit = share.last_hit.take().max(said.cloned());
    }
    share
}

fn kept_percent(input: &Input<'_>) -> Option<i32> {
    let mut entries = input.written?.bundle.entries.iter();
    let kept = entries.find(|entry| entry.source.uid == input.policy.uid)?;
    let is_earlier = kept.source.generation != input.policy.generation;
    kept.spec.enforcement.as_ref().filter(|_| is_earlier)?.percent
}

/// As sidecars name it in metrics and reports.
fn exception_id(policy: &Policy) -> String {
    format!("{}/{}", policy.kind.as_str(), policy.name)
}

impl Share {
    /// All of them together.
    pub(super) fn united<'a>(shares: impl Iterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        for share in shares {
            all.tally.add(&share.tally);
            all.digests.extend(share.digests.iter().cloned());
            all.wins |= share.wins;
            all.winners.extend(share.winners.iter().cloned());
            all.distribution_error =
                all.distribution_error.take().or_else(|| share.distribution_error.clone());
            all.too_large = all.too_large.take().or_else(|| share.too_large.clone());
            all.missing.extend(share.missing.iter().cloned());
            // Of several namespaces the largest: nobody should take another one for it.
            all.kept_percent = all.kept_percent.max(share.kept_percent);
            all.hits = all.hits.saturating_add(share.hits);
            all.last_hit = all.last_hit.take().max(share.last_hit.clone());
        }
        all
    }

    /// The digest of the Bundle, where one carries the policy everywhere.
    pub(super) fn carried(&self) -> Option<&str> {
        match self.digests.first() {
            Some(digest) if self.digests.len() == 1 => digest.as_deref(),
            _ => None,
        }
    }

    /// The winners' names, if on no selected pod any field that this policy sets is decided by it.
    pub(super) fn overridden(&self) -> Option<String> {
        (!self.wins && !self.winners.is_empty()).then(|| list(self.winners.iter().cloned()))
    }
}
