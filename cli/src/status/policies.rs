//! Policies and exceptions in the output of `raspctl status`. Pure.

use rasp_policy::api::{Condition, Kind, TargetCounts, conditions};
use rasp_policy::report::EffectiveMode;
use serde::Serialize;

use crate::print;
use crate::standing::Standing;

/// A policy or an exception.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    pub(super) kind: Kind,
    /// Its name.
    pub(super) policy: String,
    #[serde(skip)]
    title: String,
    /// The mode that it asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    /// The mode that sidecars report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) observed: Option<EffectiveMode>,
    /// Status and reason of the condition.
    accepted: String,
    accepted_reason: String,
    programmed: String,
    reason: String,
    /// Of an exception: it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    expired: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    /// Of an exception: how often it was needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    hits: Option<i64>,
    targets: TargetCounts,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// The status speaks of the spec as it is.
    current: bool,
    /// Why it is not what its author meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<Fault>,
}

/// A condition that is not as it should be.
#[derive(Debug, Serialize)]
struct Fault {
    reason: String,
    message: String,
}

impl Fault {
    fn of(condition: &Condition) -> Self {
        Self { reason: condition.reason.clone(), message: condition.message.clone() }
    }
}

impl PolicyStatus {
    /// What a policy says of itself.
    pub fn of(standing: &Standing) -> Self {
        let ((accepted, accepted_reason), (programmed, reason)) =
            (standing.said(conditions::ACCEPTED), standing.said(conditions::PROGRAMMED));
        Self {
            kind: standing.kind,
            policy: standing.name.clone(),
            title: standing.title(),
            mode: standing.asked.clone(),
            observed: standing.status.effective_mode,
            accepted,
            accepted_reason,
            programmed,
            reason,
            expired: (standing.kind == Kind::RaspException).then(|| standing.has_expired()),
            expires_at: standing.expires_at.clone(),
            hits: standing.status.hits,
            targets: standing.status.targets.unwrap_or_default(),
            digest: standing.status.policy_hash.clone(),
            current: standing.current,
            faults: standing.faults().into_iter().map(Fault::of).collect(),
        }
    }

    /// Columns of [`POLICY`].
    pub fn row(&self) -> Vec<String> {
        vec![
            self.title.clone(),
            self.mode.clone().unwrap_or_else(|| "-".to_owned()),
            self.observed.map_or("-", EffectiveMode::as_str).to_owned(),
            self.accepted(),
            self.programmed(),
            self.pods(),
            super::short(self.digest.as_deref()),
        ]
    }

    /// Columns of [`EXCEPTION`].
    pub fn exception_row(&self) -> Vec<String> {
        let title = self.title.strip_prefix("RaspException/").unwrap_or(&self.title);
        vec![
            title.to_owned(),
            self.accepted(),
            self.programmed(),
            self.pods(),
            self.hits.map_or_else(|| "-".to_owned(), |hits| hits.to_string()),
            print::plain(self.expires_at.as_deref().unwrap_or("never")),
        ]
    }

    /// Columns of [`FAULT`]. What an exception that has ended says of it is said by its row.
    pub fn fault_rows(&self) -> Vec<Vec<String>> {
        let told = self.faults.iter().filter(|_| self.expired != Some(true));
        let row = |fault: &Fault| {
            vec![self.title.clone(), print::plain(&fault.reason), print::plain(&fault.message)]
        };
        told.map(row).collect()
    }

    fn accepted(&self) -> String {
        if self.accepted == "True" {
            return self.accepted.clone();
        }
        print::plain(&format!("{} ({})", self.accepted, self.accepted_reason))
    }

    fn programmed(&self) -> String {
        let stale = if self.current || self.reason == "NoStatus" { "" } else { ", of an older generation" };
        print::plain(&format!("{} ({}{stale})", self.programmed, self.reason))
    }

    fn pods(&self) -> String {
        format!("{}/{}", self.targets.programmed, self.targets.matched)
    }
}

/// Of policies.
pub const POLICY: [&str; 7] = ["POLICY", "ASKED", "OBSERVED", "ACCEPTED", "PROGRAMMED", "PODS", "DIGEST"];
/// Of what is wrong with them.
pub const FAULT: [&str; 3] = ["POLICY", "REASON", "WHY"];
/// Of exceptions.
pub const EXCEPTION: [&str; 6] = ["EXCEPTION", "ACCEPTED", "PROGRAMMED", "PODS", "HITS", "EXPIRES"];
