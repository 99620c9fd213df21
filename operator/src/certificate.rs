//! The operator's own CA and serving certificate: made here, kept in a Secret, checked before use, served reloadably.
//!
//! Pure but for the random number generator: the clock is passed in, and reading or writing the Secret is the caller's.
//! A CA that is still good is kept when the serving certificate is replaced, and a new CA is signed by the one before
//! it, because sidecars know only the CAs they were injected with (ADR 15). Private keys are never logged.
//! Called by `serving`, which reads, makes and renews.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::ByteString;

mod check;
mod issue;
mod serve;

pub use check::{Problem, accepted_by, expiry, has_ended};
pub use issue::{issue, renew, rotate_ca};
pub use serve::{Resolver, server_config};

/// CAs and a certificate signed by the first of them, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// Certificates of the CAs, the one in use first: they go into `caBundle` and into every sidecar.
    pub ca_pem: String,
    /// Key of the first CA. Empty where somebody else signs.
    pub ca_key_pem: String,
    /// Serving certificate, and what leads from it to earlier CAs.
    pub cert_pem: String,
    /// Key of the serving certificate.
    pub key_pem: String,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("ca_pem", &self.ca_pem)
            .field("cert_pem", &self.cert_pem)
            .finish_non_exhaustive()
    }
}

/// Data of a Secret.
pub type SecretData = BTreeMap<String, ByteString>;

/// What became of the content of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ensured {
    /// Good as it is.
    Kept(Issued),
    /// Replaced by the first because of the second: to be written to the Secret.
    Replaced(Issued, Problem),
}

impl Ensured {
    /// What is to be served from now on.
    pub fn issued(&self) -> &Issued {
        match self {
            Self::Kept(issued) | Self::Replaced(issued, _) => issued,
        }
    }
}

/// What has reached two thirds of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The serving certificate alone.
    Certificate,
    /// The CA, and with it the serving certificate.
    Ca,
}

/// The names under which the API server and the sidecars reach the operator's Service; both use the first.
pub fn dns_names(service: &str, namespace: &str) -> Vec<String> {
    vec![
        format!("{service}.{namespace}.svc"),
        format!("{service}.{namespace}.svc.cluster.local"),
        format!("{service}.{namespace}"),
        service.to_owned(),
    ]
}

/// Checks what a Secret holds, and makes new what cannot be used. An absent Secret has no data. What is merely due is
/// kept: the leader renews it.
pub fn ensure(data: &SecretData, dns_names: &[String], now: SystemTime) -> Result<Ensured, Error> {
    let problem = match from_secret(data, dns_names, now) {
        Ok(issued) => return Ok(Ensured::Kept(issued)),
        Err(problem) => problem,
    };
    let kept = problem.keeps_ca().then(|| with_same_ca(data, dns_names, now)).flatten();
    if let Some(renewed) = kept {
        return Ok(Ensured::Replaced(renewed, problem));
    }
    Ok(Ensured::Replaced(issue(dns_names, now)?, problem))
}

/// What goes into the Secret.
pub fn secret_data(issued: &Issued) -> SecretData {
    let values = [&issued.ca_pem, &issued.ca_key_pem, &issued.cert_pem, &issued.key_pem];
    KEYS.into_iter()
        .zip(values)
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (key.to_owned(), ByteString(value.clone().into_bytes())))
        .collect()
}

/// Reads a Secret of ours and checks that what it holds can be served under these names now.
pub fn from_secret(data: &SecretData, dns_names: &[String], now: SystemTime) -> Result<Issued, Problem> {
    let issued = read(data, true)?;
    check::own(&issued, dns_names, now)?;
    Ok(issued)
}

/// Reads a Secret that somebody else keeps: any CA of `ca.crt` may have signed, and only the name that is dialled counts.
pub fn from_foreign_secret(
    data: &SecretData,
    dns_names: &[String],
    now: SystemTime,
) -> Result<Issued, Problem> {
    let issued = read(data, false)?;
    check::foreign(&issued, dns_names, now)?;
    Ok(issued)
}

/// What is to be renewed, if anything.
pub fn due(issued: &Issued, now: SystemTime) -> Option<Due> {
    if check::is_due(&issued.ca_pem, now) {
        return Some(Due::Ca);
    }
    check::is_due(&issued.cert_pem, now).then_some(Due::Certificate)
}

/// `None` when the CA cannot sign what its clients accept: then a new one does no more harm.
fn with_same_ca(data: &SecretData, dns_names: &[String], now: SystemTime) -> Option<Issued> {
    let [ca, ca_key, cert, _] = KEYS;
    let old = Issued {
        ca_pem: text(data, ca).ok()?,
        ca_key_pem: text(data, ca_key).ok()?,
        cert_pem: text(data, cert).unwrap_or_default(),
        key_pem: String::new(),
    };
    let renewed = renew(&old, dns_names, now).ok()?;
    check::own(&renewed, dns_names, now).ok()?;
    Some(renewed)
}

fn read(data: &SecretData, with_ca_key: bool) -> Result<Issued, Problem> {
    let [ca, ca_key, cert, key] = KEYS;
    Ok(Issued {
        ca_pem: text(data, ca)?,
        ca_key_pem: if with_ca_key { text(data, ca_key)? } else { String::new() },
        cert_pem: text(data, cert)?,
        key_pem: text(data, key)?,
    })
}

fn text(data: &SecretData, key: &'static str) -> Result<String, Problem> {
    let value = data.get(key).ok_or(Problem::Missing(key))?;
    String::from_utf8(value.0.clone()).map_err(|_| Problem::Malformed(key))
}

/// Keys of the Secret; the last two are those of type `kubernetes.io/tls`.
pub const KEYS: [&str; 4] = ["ca.crt", "ca.key", "tls.crt", "tls.key"];

const DAY: Duration = Duration::from_hours(24);
/// Longer than any pod lives: a sidecar knows only the CAs it was injected with.
const CA_LIFETIME: Duration = DAY.saturating_mul(3650);
const LEAF_LIFETIME: Duration = DAY.saturating_mul(90);
/// Clocks of nodes differ, and a node that has just started may not have set its own yet.
const BACKDATED: Duration = DAY;

fn unix_seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// What went wrong while a certificate was made or loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key or a certificate could not be made.
    #[error("cannot issue a certificate")]
    Issue(#[source] rcgen::Error),
    /// PEM text is none, or holds something else.
    #[error("cannot read {0} as PEM")]
    ReadPem(&'static str),
    /// The TLS library does not take the certificate or its key.
    #[error("cannot serve the certificate")]
    Serve(#[source] rustls::Error),
}

#[cfg(test)]
mod tests;
