//! The key that signs Bundles: made once, kept in a Secret, used by the leader only.
//!
//! A Bundle is signed and verified here and nowhere else in the operator. The private key never leaves this module
//! except as the contents of its Secret. Called by `credentials` (load), `observe` (verify) and `apply` (sign).

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use k8s_openapi::ByteString;
use rasp_policy::bundle::{Bundle, Envelope, Refusal, digest};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use crate::secrets::{Data, Material};

/// Key in the Secret: PKCS#8 in PEM.
pub const SECRET_KEY: &str = "signing.key";

/// Why there is no signing key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The random generator or the key encoder failed.
    #[error("cannot make an Ed25519 key")]
    Generate,
    /// The Secret lacks the entry.
    #[error("the secret has no entry {SECRET_KEY}; delete the secret to have a new key made")]
    Missing,
    /// Not PKCS#8 of an Ed25519 key.
    #[error(
        "entry {SECRET_KEY} is not a PKCS#8 Ed25519 key in PEM; restore it, or delete the secret to have a new key made"
    )]
    Malformed,
}

/// A signing key with its public half.
pub struct Key {
    pair: Ed25519KeyPair,
    pem: String,
    public: Vec<u8>,
    id: String,
}

/// A Bundle whose signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The Bundle.
    pub bundle: Arc<Bundle>,
    /// Digest of its exact bytes.
    pub digest: String,
}

impl Key {
    /// Makes a new key.
    pub fn generate() -> Result<Self, Error> {
        let der = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).map_err(|_| Error::Generate)?;
        // 48 bytes of PKCS#8 v1 are 64 characters of base64: one line of PEM.
        let body = BASE64.encode(der.as_ref());
        Self::from_pem(&format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"))
    }

    /// Reads a key from PEM.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| Error::Malformed)?;
        let pair =
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_der()).map_err(|_| Error::Malformed)?;
        let public = pair.public_key().as_ref().to_vec();
        let id = digest(&public).chars().skip("sha256:".len()).take(16).collect();
        Ok(Self { pair, pem: pem.to_owned(), public, id })
    }

    /// Reads the key from its Secret.
    pub fn from_secret(data: &Data) -> Result<Self, Error> {
        let pem = data.get(SECRET_KEY).ok_or(Error::Missing)?;
        Self::from_pem(std::str::from_utf8(&pem.0).map_err(|_| Error::Malformed)?)
    }

    /// Contents of the Secret.
    pub fn secret_data(&self) -> Data {
        Data::from([(SECRET_KEY.to_owned(), ByteString(self.pem.clone().into_bytes()))])
    }

    /// First 16 hex digits of the SHA-256 of the public key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The raw public key in standard base64, as sidecars get it.
    pub fn public_base64(&self) -> String {
        BASE64.encode(&self.public)
    }

    /// Signs a Bundle; returns the text for the ConfigMap and the digest of the payload.
    pub fn seal(&self, bundle: &Bundle) -> (String, String) {
        let payload = bundle.to_bytes();
        let envelope =
            Envelope::seal(&payload, &self.id, |message| self.pair.sign(message).as_ref().to_vec());
        (envelope.to_text(), digest(&payload))
    }

    /// Verifies and reads what stands in a ConfigMap.
    pub fn open(&self, text: &str) -> Result<Opened, Refusal> {
        let payload = Envelope::open(text.as_bytes(), |_, message, signature| {
            UnparsedPublicKey::new(&ED25519, &self.public).verify(message, signature).is_ok()
        })?;
        Ok(Opened { bundle: Arc::new(Bundle::from_verified(&payload)?), digest: digest(&payload) })
    }
}

impl Material for Key {
    /// A key that cannot be read is never replaced: every injected sidecar trusts it, so a person has to decide.
    fn ensure(data: &Data, names: &[String]) -> Result<(Self, bool), String> {
        if data.is_empty() {
            return Self::generate().map(|key| (key, true)).map_err(|error| error.to_string());
        }
        Self::read(data, names).map(|key| (key, false))
    }

    fn read(data: &Data, _names: &[String]) -> Result<Self, String> {
        Self::from_secret(data).map_err(|error| error.to_string())
    }

    fn data(&self) -> Data {
        self.secret_data()
    }
}

#[cfg(test)]
mod tests {
    use rasp_policy::bundle::{Bundle, Namespace, Refusal, SCHEMA_VERSION};

    use super::{Error, Key};

    fn mk_bundle() -> Bundle {
        Bundle {
            schema_version: SCHEMA_VERSION,
            namespace: Namespace { name: "shop".into(), uid: "u".into() },
            sequence: 7,
            entries: vec![],
        }
    }

    #[test]
    fn a_sealed_bundle_opens_with_the_same_key_only() {
        let (key, other) = (Key::generate().unwrap(), Key::generate().unwrap());
        let (text, digest) = key.seal(&mk_bundle());
        let opened = key.open(&text).unwrap();
        assert_eq!((*opened.bundle).clone(), mk_bundle());
        assert_eq!(opened.digest, digest);
        assert_eq!(other.open(&text).unwrap_err(), Refusal::Signature);
    }

    #[test]
    fn the_secret_keeps_the_key() {
        let key = Key::generate().unwrap();
        let again = Key::from_secret(&key.secret_data()).unwrap();
        assert_eq!((key.id(), key.public_base64()), (again.id(), again.public_base64()));
        assert_eq!(key.id().len(), 16);
        let (text, _) = key.seal(&mk_bundle());
        assert!(again.open(&text).is_ok());
    }

    #[test]
    fn a_broken_secret_says_what_to_do() {
        assert!(matches!(Key::from_secret(&std::collections::BTreeMap::new()), Err(Error::Missing)));
        assert!(matches!(
            Key::from_pem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
            Err(Error::Malformed)
        ));
    }
}
