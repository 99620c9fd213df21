//! The operator's own CA and serving certificate: made here, kept in a Secret, checked before use, served reloadably.
//!
//! Pure but for the random number generator: the clock is passed in, and reading or writing the Secret is the caller's.
//! A CA that is still good is kept when the serving certificate is replaced, because every sidecar was injected with
//! it. Private keys are never logged; `Debug` hides them.
//! Called by the operator at start, and by whoever renews later.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::ByteString;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};

mod check;
mod serve;

pub use check::{Problem, expiry};
pub use serve::{Resolver, server_config};

/// A CA and a certificate signed by it, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// Certificate of the CA: goes into `caBundle` and into every sidecar.
    pub ca_pem: String,
    /// Key of the CA.
    pub ca_key_pem: String,
    /// Serving certificate.
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

/// The names under which the API server and the sidecars reach the operator's Service.
pub fn dns_names(service: &str, namespace: &str) -> Vec<String> {
    vec![
        format!("{service}.{namespace}.svc"),
        format!("{service}.{namespace}.svc.cluster.local"),
        format!("{service}.{namespace}"),
        service.to_owned(),
    ]
}

/// Makes a CA and a serving certificate.
pub fn issue(dns_names: &[String], now: SystemTime) -> Result<Issued, Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Error::Issue)?;
    let ca = ca_params(now).self_signed(&key).map_err(Error::Issue)?;
    sign(ca.pem(), &key, dns_names, now)
}

/// Makes a new serving certificate with the CA that is there.
pub fn renew(old: &Issued, dns_names: &[String], now: SystemTime) -> Result<Issued, Error> {
    sign_with(old.ca_pem.clone(), &old.ca_key_pem, dns_names, now)
}

/// Checks what a Secret holds, and makes new what cannot be used or soon could not be. An absent Secret has no data.
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
        .map(|(key, value)| (key.to_owned(), ByteString(value.clone().into_bytes())))
        .collect()
}

/// Reads a Secret and checks that what it holds can be served under these names, now and for a while.
pub fn from_secret(data: &SecretData, dns_names: &[String], now: SystemTime) -> Result<Issued, Problem> {
    let issued = read(data)?;
    check::check(&issued, dns_names, now)?;
    Ok(issued)
}

/// `None` when the CA cannot sign what its clients accept: then a new one does no more harm.
fn with_same_ca(data: &SecretData, dns_names: &[String], now: SystemTime) -> Option<Issued> {
    let [ca, ca_key, ..] = KEYS;
    let renewed = sign_with(text(data, ca).ok()?, &text(data, ca_key).ok()?, dns_names, now).ok()?;
    check::check(&renewed, dns_names, now).ok()?;
    Some(renewed)
}

fn read(data: &SecretData) -> Result<Issued, Problem> {
    let [ca, ca_key, cert, key] = KEYS;
    Ok(Issued {
        ca_pem: text(data, ca)?,
        ca_key_pem: text(data, ca_key)?,
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
/// Longer than most pods live: a sidecar knows only the CA it was injected with.
const CA_LIFETIME: Duration = DAY.saturating_mul(730);
const LEAF_LIFETIME: Duration = DAY.saturating_mul(90);
/// Clocks of nodes differ.
const BACKDATED: Duration = Duration::from_hours(1);

fn sign_with(
    ca_pem: String,
    ca_key_pem: &str,
    dns_names: &[String],
    now: SystemTime,
) -> Result<Issued, Error> {
    let key = KeyPair::from_pem(ca_key_pem).map_err(Error::Issue)?;
    sign(ca_pem, &key, dns_names, now)
}

fn sign(ca_pem: String, ca_key: &KeyPair, dns_names: &[String], now: SystemTime) -> Result<Issued, Error> {
    let issuer = Issuer::new(ca_params(now), ca_key);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Error::Issue)?;
    let cert = leaf_params(dns_names, now)?.signed_by(&key, &issuer).map_err(Error::Issue)?;
    Ok(Issued {
        ca_pem,
        ca_key_pem: ca_key.serialize_pem(),
        cert_pem: cert.pem(),
        key_pem: key.serialize_pem(),
    })
}

/// A serving certificate is told from its CA by the name only, so the name never changes.
fn ca_params(now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("kube-rasp-operator CA");
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + CA_LIFETIME).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf_params(dns_names: &[String], now: SystemTime) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(dns_names).map_err(Error::Issue)?;
    params.distinguished_name = name("kube-rasp-operator");
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + LEAF_LIFETIME).into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

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
