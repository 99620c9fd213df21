//! Receives what sidecars report. A report is believed only when its bearer token belongs to the very pod it names;
//! then it is kept in memory by pod UID and the namespace is looked at again.
//!
//! Only the leader keeps reports, since only the leader writes statuses: any other replica answers 503 `not_leader`,
//! and the sidecar tries again on a new connection. Never does an answer say more than a word from a closed list.

use std::sync::Arc;

use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use rasp_policy::report::SCHEMA_VERSION;

use crate::leader::Leadership;
use crate::observe::Cache;
use crate::status::Received;

mod bounds;
mod evicted;
mod kept;
mod token;

pub use evicted::{Bound, Evicted, Evictions};
pub use kept::Reports;
pub use token::{Identity, Tokens};

/// Largest report that is read. A Bundle of a thousand policies acknowledges itself in less.
pub const MAX_BYTES: usize = 64 * 1024;

/// Why a report is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// This replica is not the leader.
    NotLeader,
    /// No bearer token.
    NoToken,
    /// The token is not valid for this endpoint.
    InvalidToken,
    /// The token belongs to another pod than the report.
    WrongPod,
    /// Not a report.
    Malformed,
    /// A schema this version does not read.
    SchemaVersion,
    /// The API server could not be asked.
    Unavailable,
}

impl Refused {
    /// Status and id, one row per reason.
    pub const TABLE: [(Self, StatusCode, &'static str); 7] = [
        (Self::NotLeader, StatusCode::SERVICE_UNAVAILABLE, "not_leader"),
        (Self::NoToken, StatusCode::UNAUTHORIZED, "no_token"),
        (Self::InvalidToken, StatusCode::UNAUTHORIZED, "invalid_token"),
        (Self::WrongPod, StatusCode::FORBIDDEN, "wrong_pod"),
        (Self::Malformed, StatusCode::BAD_REQUEST, "malformed"),
        (Self::SchemaVersion, StatusCode::BAD_REQUEST, "schema_version"),
        (Self::Unavailable, StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    ];

    /// Status and id of this reason.
    pub fn answer(self) -> (StatusCode, &'static str) {
        let row = Self::TABLE.iter().find(|row| row.0 == self);
        row.map_or((StatusCode::INTERNAL_SERVER_ERROR, "internal"), |row| (row.1, row.2))
    }
}

/// The endpoint.
pub struct Receiver {
    /// Whether this replica may take reports.
    pub leadership: Leadership,
    /// Who sends.
    pub tokens: Arc<Tokens>,
    /// Where they are kept.
    pub reports: Arc<Reports>,
    /// Told which had to go.
    pub evictions: Evictions,
    /// Whose namespaces are marked.
    pub cache: Arc<Cache>,
}

impl Receiver {
    /// Takes one report.
    pub async fn receive(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Refused> {
        if !self.leadership.is_leader() {
            return Err(Refused::NotLeader);
        }
        let token = bearer(headers).ok_or(Refused::NoToken)?;
        // Nothing of a stranger is read.
        let identity = self.tokens.identify(token).await?;
        let report = bounds::read(body).ok_or(Refused::Malformed)?;
        if report.schema_version != SCHEMA_VERSION {
            return Err(Refused::SchemaVersion);
        }
        let Identity { namespace, pod, uid } = &identity;
        if (namespace, pod, uid) != (&report.pod.namespace, &report.pod.name, &report.pod.uid) {
            tracing::warn!(
                namespace,
                pod,
                claimed.namespace = report.pod.namespace,
                claimed.pod = report.pod.name,
                "a pod reported for another"
            );
            return Err(Refused::WrongPod);
        }
        let namespace = report.pod.namespace.clone();
        let (is_news, evicted) = self.reports.keep(Received { report, at: Timestamp::now() });
        if is_news {
            self.cache.dirty().mark([namespace]);
        }
        self.evictions.tell(&evicted);
        // What is not known any more is not programmed any more.
        self.cache.dirty().mark(evicted.into_iter().map(|evicted| evicted.namespace));
        Ok(())
    }
}

/// The token of a request.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.trim())
}

#[cfg(test)]
mod tests;
