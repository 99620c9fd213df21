//! Checks a stored certificate the way a client would, and says what is wrong with it.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, InconsistentKeys, RootCertStore};

use super::{Error, Issued, serve, unix_seconds};

/// Why a stored certificate is replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A key of the Secret is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A value of the Secret cannot be read.
    #[error("{0} is not readable as PEM")]
    Malformed(&'static str),
    /// A certificate and its key do not belong together.
    #[error("{0} does not fit its certificate")]
    KeyMismatch(&'static str),
    /// The CA has ended.
    #[error("the CA has ended")]
    CaEnds,
    /// The serving certificate was not signed by the CA.
    #[error("the serving certificate is not signed by the CA")]
    OtherCa,
    /// The serving certificate lacks a name of the Service.
    #[error("the serving certificate is not for {0}")]
    WrongName(String),
    /// The serving certificate has ended.
    #[error("the serving certificate has ended")]
    Ends,
    /// The serving certificate is not valid yet.
    #[error("the serving certificate is not valid yet")]
    NotYetValid,
    /// The serving certificate is unusable for another reason.
    #[error("the serving certificate is not usable: {0}")]
    Unusable(String),
}

impl Problem {
    /// Every id, for metrics.
    pub const IDS: [&str; 9] = [
        "missing",
        "malformed",
        "key_mismatch",
        "ca_ends",
        "other_ca",
        "wrong_name",
        "ends",
        "not_yet_valid",
        "unusable",
    ];

    /// One word from a closed list.
    pub fn id(&self) -> &'static str {
        match self {
            Self::Missing(_) => "missing",
            Self::Malformed(_) => "malformed",
            Self::KeyMismatch(_) => "key_mismatch",
            Self::CaEnds => "ca_ends",
            Self::OtherCa => "other_ca",
            Self::WrongName(_) => "wrong_name",
            Self::Ends => "ends",
            Self::NotYetValid => "not_yet_valid",
            Self::Unusable(_) => "unusable",
        }
    }

    /// Whether a new serving certificate is enough. It is worth trying whenever there may be a CA: sidecars that are
    /// running know only that one.
    pub(super) fn keeps_ca(&self) -> bool {
        match self {
            Self::CaEnds => false,
            Self::Missing(key) | Self::Malformed(key) | Self::KeyMismatch(key) => key.starts_with("tls."),
            Self::OtherCa | Self::WrongName(_) | Self::Ends | Self::NotYetValid | Self::Unusable(_) => true,
        }
    }
}

/// The end of the first certificate's life in seconds since the epoch, for `rasp_webhook_cert_expiry_seconds`.
pub fn expiry(cert_pem: &str) -> Result<i64, Error> {
    life(cert_pem).map(|(_, end)| end).ok_or(Error::ReadPem("certificate"))
}

/// What a client says that trusts only these CAs, about a certificate served with these intermediates.
pub fn accepted_by(ca_pem: &str, cert_pem: &str, dns_name: &str, now: SystemTime) -> Result<(), Problem> {
    accepted(&certificates(ca_pem), &certificates(cert_pem), dns_name, now)
}

/// Whether a certificate has ended, or cannot be read.
pub fn has_ended(certificate: &CertificateDer<'_>, now: SystemTime) -> bool {
    life_of(certificate).is_none_or(|(_, end)| unix_seconds(now) >= end)
}

/// What we made ourselves: the first CA signed it, for every name, and we can sign the next one.
pub(super) fn own(issued: &Issued, dns_names: &[String], now: SystemTime) -> Result<(), Problem> {
    let cas = certificates(&issued.ca_pem);
    let ca = cas.first().ok_or(Problem::Malformed("ca.crt"))?;
    let chain = certificates(&issued.cert_pem);
    let leaf = chain.first().ok_or(Problem::Malformed("tls.crt"))?;
    pair(&issued.ca_pem, &issued.ca_key_pem, "ca.key")?;
    pair(&issued.cert_pem, &issued.key_pem, "tls.key")?;
    // The API server looks at the end of a CA; the verifier of sidecars does not.
    if !is_alive(&issued.ca_pem, now) {
        return Err(Problem::CaEnds);
    }
    dns_names
        .iter()
        .try_for_each(|name| accepted(std::slice::from_ref(ca), std::slice::from_ref(leaf), name, now))
}

/// What somebody else made: it is enough that clients accept it under the name they dial.
pub(super) fn foreign(issued: &Issued, dns_names: &[String], now: SystemTime) -> Result<(), Problem> {
    let cas = certificates(&issued.ca_pem);
    if cas.is_empty() {
        return Err(Problem::Malformed("ca.crt"));
    }
    let chain = certificates(&issued.cert_pem);
    if chain.is_empty() {
        return Err(Problem::Malformed("tls.crt"));
    }
    pair(&issued.cert_pem, &issued.key_pem, "tls.key")?;
    let name = dns_names.first().map(String::as_str).unwrap_or_default();
    accepted(&cas, &chain, name, now)
}

/// Whether two thirds of the first certificate's life are over; also when it cannot be read.
pub(super) fn is_due(pem: &str, now: SystemTime) -> bool {
    life(pem).is_none_or(|(start, end)| unix_seconds(now) >= start + (end - start) / 3 * 2)
}

/// Whether the first certificate can be read and has not ended.
pub(super) fn is_alive(pem: &str, now: SystemTime) -> bool {
    life(pem).is_some_and(|(_, end)| unix_seconds(now) < end)
}

fn pair(cert_pem: &str, key_pem: &str, name: &'static str) -> Result<(), Problem> {
    match serve::certified_key(cert_pem, key_pem) {
        Ok(_) => Ok(()),
        Err(Error::Serve(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch))) => {
            Err(Problem::KeyMismatch(name))
        }
        Err(_) => Err(Problem::Malformed(name)),
    }
}

fn accepted(
    cas: &[CertificateDer<'static>],
    chain: &[CertificateDer<'static>],
    name: &str,
    now: SystemTime,
) -> Result<(), Problem> {
    let unreadable = || Problem::Malformed("ca.crt");
    let mut roots = RootCertStore::empty();
    for ca in cas {
        roots.add(ca.clone()).map_err(|_| unreadable())?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), serve::provider())
        .build()
        .map_err(|_| unreadable())?;
    let (leaf, intermediates) = chain.split_first().ok_or(Problem::Malformed("tls.crt"))?;
    let server = ServerName::try_from(name).map_err(|_| Problem::WrongName(name.to_owned()))?;
    let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
    let verified = verifier.verify_server_cert(leaf, intermediates, &server, &[], now);
    verified.map(drop).map_err(|error| problem(&error, name))
}

fn problem(error: &rustls::Error, name: &str) -> Problem {
    use CertificateError as E;
    let rustls::Error::InvalidCertificate(error) = error else { return Problem::Unusable(error.to_string()) };
    match error {
        E::NotValidForName | E::NotValidForNameContext { .. } => Problem::WrongName(name.to_owned()),
        E::Expired | E::ExpiredContext { .. } => Problem::Ends,
        E::NotValidYet | E::NotValidYetContext { .. } => Problem::NotYetValid,
        E::UnknownIssuer | E::BadSignature => Problem::OtherCa,
        other => Problem::Unusable(other.to_string()),
    }
}

/// Every certificate of a PEM text; none if one of them cannot be read.
fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().unwrap_or_default()
}

/// Start and end of the first certificate.
fn life(pem: &str) -> Option<(i64, i64)> {
    life_of(&CertificateDer::from_pem_slice(pem.as_bytes()).ok()?)
}

fn life_of(certificate: &CertificateDer<'_>) -> Option<(i64, i64)> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let validity = parsed.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}
