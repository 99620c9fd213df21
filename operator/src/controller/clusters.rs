//! The statuses of policies of the cluster: each namespace leaves its share when it is looked at, and what changed is put
//! together at the end of a turn.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::PoisonError;

use jiff::Timestamp;
use rasp_policy::api::Kind;

use super::Controller;
use crate::observe::Policy;
use crate::plan::{self, Verdict};
use crate::status::{self, Share};

/// What namespaces add to the status of policies of the cluster.
#[derive(Default)]
pub struct Shares {
    /// By the UID of the policy, then by namespace.
    of: HashMap<String, BTreeMap<String, (Share, Option<i64>)>>,
    /// Policies, by UID, of which a share changed since their status was looked at.
    touched: BTreeSet<String>,
}

impl Shares {
    /// Replaces what a namespace adds: by UID, its share, and the earlier generation that stays in force there.
    pub fn replace(&mut self, namespace: &str, shares: Vec<(String, (Share, Option<i64>))>) {
        let mut fresh: HashMap<String, (Share, Option<i64>)> = shares.into_iter().collect();
        let known: BTreeSet<String> = self.of.keys().chain(fresh.keys()).cloned().collect();
        for uid in known {
            let namespaces = self.of.entry(uid.clone()).or_default();
            let changed = match fresh.remove(&uid) {
                Some(share) => {
                    let same = namespaces.get(namespace) == Some(&share);
                    namespaces.insert(namespace.to_owned(), share);
                    !same
                }
                None => namespaces.remove(namespace).is_some(),
            };
            if changed {
                self.touched.insert(uid);
            }
        }
    }

    /// Forgets everything: another leader may have looked at it meanwhile.
    pub fn clear(&mut self) {
        self.of.clear();
        self.touched.clear();
    }
}

impl Controller {
    /// Writes the statuses of the policies of the cluster that changed. What fails, or is written too often, is touched
    /// again: the loop comes by every second.
    pub(super) async fn clusters(&self) {
        let policies: Vec<_> = self.cache.read().clusters.all().cloned().collect();
        let is_known = |uid: &String| policies.iter().any(|policy| policy.uid == *uid);
        self.shares().of.retain(|uid, _| is_known(uid));
        self.shares().touched.retain(is_known);
        for policy in policies {
            let is_new = policy.status.observed_generation != Some(policy.generation);
            if !(self.shares().touched.remove(&policy.uid) || is_new) {
                continue;
            }
            let Some(since) = self.leadership.since() else { return };
            let (verdict, status) = {
                let shares = self.shares();
                let of = shares.of.get(&policy.uid);
                let shares = || of.into_iter().flat_map(BTreeMap::values);
                let verdict = self.verdict(&policy, shares().filter_map(|(_, kept)| *kept).max());
                let all = shares().map(|(share, _)| share);
                let status = status::of_shares(Timestamp::now(), since.elapsed(), &policy, &verdict, all);
                (verdict, status)
            };
            if status != policy.status && !self.write_status(&policy, &verdict, &status).await {
                self.shares().touched.insert(policy.uid.clone());
            }
        }
    }

    fn verdict(&self, policy: &Policy, kept: Option<i64>) -> Verdict {
        match plan::check(policy, &*self.compile) {
            Ok(_) => Verdict::Accepted,
            Err(message) => Verdict::Invalid { message, kept },
        }
    }

    /// Keeps what a namespace knows of the policies of the cluster. One that concerns nobody adds nothing.
    pub(super) fn share(&self, namespace: &str, inputs: &[status::Input<'_>], concerned: bool) {
        let of_cluster =
            inputs.iter().filter(|input| concerned && input.policy.kind == Kind::ClusterRaspPolicy);
        let shares = of_cluster.map(|input| {
            let kept = match input.verdict {
                Verdict::Invalid { kept, .. } => *kept,
                _ => None,
            };
            (input.policy.uid.clone(), (status::share(input), kept))
        });
        let shares = shares.collect();
        self.shares().replace(namespace, shares);
    }

    fn shares(&self) -> std::sync::MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
