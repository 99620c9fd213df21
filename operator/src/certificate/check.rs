//! Checks a stored certificate the way a client would, and says what is wrong with it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, InconsistentKeys, RootCertStore};

use super::{Error, Issued, LEAF_LIFETIME, serve, unix_seconds};

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
    /// The CA is about to end or has ended.
    #[error("the CA ends too soon")]
    CaEnds,
    /// The serving certificate was not signed by the CA.
    #[error("the serving certificate is not signed by the CA")]
    OtherCa,
    /// The serving certificate lacks a name of the Service.
    #[error("the serving certificate is not for {0}")]
    WrongName(String),
    /// The serving certificate is about to end or has ended.
    #[error("the serving certificate ends too soon")]
    Ends,
    /// The serving certificate is not valid yet.
    #[error("the serving certificate is not valid yet")]
    NotYetValid,
    /// The serving certificate is unusable for another reason.
    #[error("the serving certificate is not usable: {0}")]
    Unusable(String),
}

impl Problem {
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

/// The end of a certificate's life in seconds since the epoch, for `rasp_webhook_cert_expiry_seconds`.
pub fn expiry(cert_pem: &str) -> Result<i64, Error> {
    let cert = certificate(cert_pem).ok_or(Error::ReadPem("certificate"))?;
    end(&cert).ok_or(Error::ReadPem("certificate"))
}

pub(super) fn check(issued: &Issued, dns_names: &[String], now: SystemTime) -> Result<(), Problem> {
    let ca = certificate(&issued.ca_pem).ok_or(Problem::Malformed("ca.crt"))?;
    let leaf = certificate(&issued.cert_pem).ok_or(Problem::Malformed("tls.crt"))?;
    pair(&issued.ca_pem, &issued.ca_key_pem, "ca.key")?;
    pair(&issued.cert_pem, &issued.key_pem, "tls.key")?;
    // The CA must outlive the serving certificates it signs.
    if lasts_less_than(&ca, LEAF_LIFETIME, now) {
        return Err(Problem::CaEnds);
    }
    if lasts_less_than(&leaf, LEAF_LIFETIME / 3, now) {
        return Err(Problem::Ends);
    }
    accepted(&ca, &leaf, dns_names, now)
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

/// What a client that trusts only the CA says about each name.
fn accepted(
    ca: &CertificateDer<'static>,
    leaf: &CertificateDer<'_>,
    dns_names: &[String],
    now: SystemTime,
) -> Result<(), Problem> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone()).map_err(|_| Problem::Malformed("ca.crt"))?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), serve::provider())
        .build()
        .map_err(|_| Problem::Malformed("ca.crt"))?;
    let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
    for name in dns_names {
        let server = ServerName::try_from(name.as_str()).map_err(|_| Problem::WrongName(name.clone()))?;
        verifier.verify_server_cert(leaf, &[], &server, &[], now).map_err(|error| problem(&error, name))?;
    }
    Ok(())
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

fn certificate(pem: &str) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem.as_bytes()).ok()
}

fn end(cert: &CertificateDer<'_>) -> Option<i64> {
    let (_, parsed) = x509_parser::parse_x509_certificate(cert).ok()?;
    Some(parsed.validity().not_after.timestamp())
}

fn lasts_less_than(cert: &CertificateDer<'_>, rest: Duration, now: SystemTime) -> bool {
    end(cert).is_none_or(|end| end < unix_seconds(now + rest))
}
