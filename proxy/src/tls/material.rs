//! A certificate, its key and a CA, as files: read, checked, and told apart from what was there before.
//!
//! The key never leaves this module but inside rustls; nothing of it is logged. Called by [`super::watch`].

use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;

use super::provider;

/// A Secret has at most 1 MiB.
const MAX_BYTES: u64 = 1 << 20;

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Chain of certificates, the server's first, in PEM.
    pub certificate: PathBuf,
    /// Private key in PEM.
    pub key: PathBuf,
    /// Certificates of CAs in PEM; may be absent.
    pub ca: Option<PathBuf>,
}

impl Place {
    /// A mounted Secret of type `kubernetes.io/tls`.
    pub fn directory(directory: &Path) -> Self {
        Self {
            certificate: directory.join("tls.crt"),
            key: directory.join("tls.key"),
            ca: Some(directory.join("ca.crt")),
        }
    }

    /// Reads what is there now.
    pub fn read(&self) -> Result<Files, Problem> {
        let ca = match self.ca.as_deref().map(read) {
            None => None,
            Some(Ok(ca)) => Some(ca),
            Some(Err(Problem::Read { source, .. })) if source.kind() == io::ErrorKind::NotFound => None,
            Some(Err(problem)) => return Err(problem),
        };
        Ok(Files { certificate: read(&self.certificate)?, key: read(&self.key)?, ca })
    }
}

/// One byte more than is accepted is read, so that a file that is too large is seen as such.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Ok(length) if length as u64 > MAX_BYTES => Err(Problem::TooLarge(path.to_owned())),
        Ok(_) => Ok(bytes),
        Err(source) => Err(Problem::Read { path: path.to_owned(), source }),
    }
}

/// Contents of the files.
pub struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    ca: Option<Vec<u8>>,
}

impl fmt::Debug for Files {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Files").finish_non_exhaustive()
    }
}

/// Tells two contents apart without keeping a key in memory.
pub type Digest = [u8; 32];

impl Files {
    /// Of all three, with their lengths.
    pub fn digest(&self) -> Digest {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [Some(&self.certificate), Some(&self.key), self.ca.as_ref()] {
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            context.update(&length.to_be_bytes());
            context.update(part.map_or(&[], |part| part.as_slice()));
        }
        let mut digest = Digest::default();
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }

    /// Checks that the key fits, and reads what else has to be known.
    pub fn load(&self) -> Result<Material, Problem> {
        let chain = certificates(&self.certificate).ok_or(Problem::Certificate)?;
        let leaf = chain.first().cloned().ok_or(Problem::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| Problem::Key)?;
        let key = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => Problem::Mismatch,
            _ => Problem::Key,
        })?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).map_err(|_| Problem::Certificate)?;
        let names = match parsed.subject_alternative_name().map_err(|_| Problem::Certificate)? {
            Some(names) => names.value.general_names.iter().filter_map(dns).map(str::to_owned).collect(),
            None => Vec::new(),
        };
        let ends = parsed.validity().not_after.timestamp();
        let begins = parsed.validity().not_before.timestamp();
        let ca = self.ca.as_deref().map(|ca| roots(ca).ok_or(Problem::Ca)).transpose()?;
        Ok(Material { key: Arc::new(key), leaf, names, begins, ends, ca: ca.map(Arc::new) })
    }
}

fn dns<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    match name {
        GeneralName::DNSName(name) => Some(name),
        _ => None,
    }
}

/// At least one.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    (!all.is_empty()).then_some(all)
}

/// At least one, each usable as a trust anchor.
pub(super) fn roots(pem: &[u8]) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).ok()?;
    }
    Some(roots)
}

/// What can be served.
#[derive(Clone, Debug)]
pub struct Material {
    /// Chain and key.
    pub key: Arc<CertifiedKey>,
    /// The server's own certificate.
    pub leaf: CertificateDer<'static>,
    /// Its DNS names.
    pub names: Vec<String>,
    /// It is valid from this second of the epoch.
    pub begins: i64,
    /// It is valid until this second of the epoch.
    pub ends: i64,
    /// Who may have signed clients, or the application.
    pub ca: Option<Arc<RootCertStore>>,
}

impl Material {
    /// Whether clients would take it at this time.
    pub fn is_valid(&self, now: i64) -> bool {
        (self.begins..=self.ends).contains(&now)
    }
}

/// Seconds of the epoch.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Why files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A file cannot be read.
    #[error("read {path}: {source}")]
    Read {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is larger than any Secret.
    #[error("{0} is larger than 1 MiB")]
    TooLarge(PathBuf),
    /// The certificate cannot be read.
    #[error("the certificate is not readable as PEM")]
    Certificate,
    /// The key cannot be read.
    #[error("the private key is not readable as PEM, or of a kind that is not supported")]
    Key,
    /// Certificate and key do not belong together.
    #[error("the private key does not fit the certificate")]
    Mismatch,
    /// The CA cannot be read.
    #[error("the CA is not readable as PEM")]
    Ca,
    /// Client certificates are asked for, and there is no CA to check them.
    #[error("client certificates are asked for and there is no CA (ca.crt)")]
    CaMissing,
    /// The new certificate has ended, or has not begun.
    #[error("the new certificate is not valid now")]
    NotValidNow,
    /// The TLS library refuses it.
    #[error("the certificate cannot be served: {0}")]
    Refused(String),
}
