//! The key that signs Bundles: made once, kept in a Secret, used by the leader only.
//!
//! A Bundle, and a record of the history, is signed and verified here and nowhere else in the operator. The private key never leaves this module
//! except as the contents of its Secret. A rotation makes a new key and lets the old one sign a last time: the key
//! document by which running sidecars learn of it (ADR 15). Called by `serving`, `observe` (verify), `apply` (sign), `history`.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use k8s_openapi::ByteString;
use rasp_policy::bundle::{BUNDLE, Bundle, Envelope, PayloadType, Refusal, digest};
use rasp_policy::history::{RECORD, Record};
use rasp_policy::keys::{self, KeyDocument, MAX_DOCUMENTS, Signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};

use crate::secrets::Data;

/// Key in the Secret: PKCS#8 in PEM.
pub const SECRET_KEY: &str = "signing.key";
/// Key in the Secret: what came before the key, as JSON. Absent before the first rotation.
pub const HISTORY_KEY: &str = "history.json";
/// How long a key that was replaced is still trusted by new pods and by the operator: until every Bundle is signed anew
/// and kubelet has brought it everywhere.
const OVERLAP: Duration = Duration::from_hours(1);

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
    /// The history is none.
    #[error("entry {HISTORY_KEY} cannot be read; restore it, or take it away if no key was ever rotated")]
    History,
}

impl Error {
    /// One word from a closed list.
    pub fn id(&self) -> &'static str {
        match self {
            Self::Generate => "unusable",
            Self::Missing => "missing",
            Self::Malformed | Self::History => "malformed",
        }
    }
}

/// What came before a key. Nothing in it is secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct History {
    generation: u64,
    documents: Vec<Signed>,
    previous: Vec<Previous>,
}

/// A key that was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Previous {
    /// Standard base64 of the raw public key.
    public_key: String,
    /// End of its overlap, in seconds since the epoch.
    until: u64,
}

/// A signing key with its public half.
pub struct Key {
    pair: Ed25519KeyPair,
    pem: String,
    public: Vec<u8>,
    id: String,
    history: History,
}

/// A Bundle whose signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The Bundle.
    pub bundle: Arc<Bundle>,
    /// Digest of its exact bytes.
    pub digest: String,
    /// Signed by a key that was replaced: to be signed anew.
    pub is_outdated: bool,
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
        Ok(Self { pair, pem: pem.to_owned(), public, id, history: History::default() })
    }

    /// Reads the key from its Secret.
    pub fn from_secret(data: &Data) -> Result<Self, Error> {
        let pem = data.get(SECRET_KEY).ok_or(Error::Missing)?;
        let key = Self::from_pem(std::str::from_utf8(&pem.0).map_err(|_| Error::Malformed)?)?;
        let history = data.get(HISTORY_KEY).map(|text| serde_json::from_slice(&text.0));
        Ok(Self { history: history.transpose().map_err(|_| Error::History)?.unwrap_or_default(), ..key })
    }

    /// Contents of the Secret.
    pub fn secret_data(&self) -> Data {
        let mut data = Data::from([(SECRET_KEY.to_owned(), ByteString(self.pem.clone().into_bytes()))]);
        if self.history != History::default() {
            let text = serde_json::to_vec(&self.history).unwrap_or_default(); // plain structs always serialise
            data.insert(HISTORY_KEY.to_owned(), ByteString(text));
        }
        data
    }

    /// A new key, which this one vouches for: running sidecars go over to it.
    pub fn successor(&self, now: SystemTime) -> Result<Self, Error> {
        let next = Self::generate()?;
        let generation = self.history.generation.saturating_add(1);
        let document = KeyDocument {
            schema_version: keys::SCHEMA_VERSION,
            generation,
            keys: vec![next.public_base64()],
        };
        let mut documents = self.history.documents.clone();
        documents.push(Signed::seal(&document, |message| self.pair.sign(message).as_ref().to_vec()));
        let documents = documents.split_off(documents.len().saturating_sub(MAX_DOCUMENTS));
        let mut previous = self.history.previous.clone();
        previous.retain(|previous| previous.until > unix_seconds(now));
        previous.push(Previous { public_key: self.public_base64(), until: unix_seconds(now + OVERLAP) });
        Ok(Self { history: History { generation, documents, previous }, ..next })
    }

    /// A new key without a word of this one, which may be in the wrong hands: running sidecars refuse Bundles until
    /// their pods are made anew.
    pub fn stranger(&self) -> Result<Self, Error> {
        let generation = self.history.generation.saturating_add(1);
        Ok(Self { history: History { generation, ..History::default() }, ..Self::generate()? })
    }

    /// The raw public keys in standard base64 that new pods trust: this one, and those still in their overlap.
    pub fn trusted(&self, now: SystemTime) -> Vec<String> {
        std::iter::once(self.public_base64()).chain(self.overlapping(now).map(ToOwned::to_owned)).collect()
    }

    fn overlapping(&self, now: SystemTime) -> impl Iterator<Item = &str> {
        let now = unix_seconds(now);
        let previous = self.history.previous.iter().filter(move |previous| previous.until > now);
        previous.map(|previous| previous.public_key.as_str())
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
        (keys::attach(envelope.to_text(), &self.history.documents), digest(&payload))
    }

    /// Verifies and reads what stands in a ConfigMap.
    pub fn open(&self, text: &str) -> Result<Opened, Refusal> {
        let (payload, own) = self.verified(BUNDLE, text)?;
        let bundle = Arc::new(Bundle::from_verified(&payload)?);
        // A Bundle without the documents was written by an operator that had forgotten them.
        let complete = keys::attached(text.as_bytes()) == self.history.documents;
        Ok(Opened { bundle, digest: digest(&payload), is_outdated: !(own && complete) })
    }

    /// Signs a record of the history.
    pub fn seal_record(&self, record: &Record) -> String {
        let sign = |message: &[u8]| self.pair.sign(message).as_ref().to_vec();
        Envelope::seal_as(RECORD, &record.to_bytes(), &self.id, sign).to_text()
    }

    /// Verifies and reads a record; whether this key has signed it, and not one that was replaced.
    pub fn open_record(&self, text: &str) -> Result<(Record, bool), Refusal> {
        let (payload, own) = self.verified(RECORD, text)?;
        Ok((Record::from_verified(&payload)?, own))
    }

    /// The payload of an envelope that this key signed, or one that is still in its overlap; whether it was this one.
    fn verified(&self, kind: PayloadType, text: &str) -> Result<(Vec<u8>, bool), Refusal> {
        let (own, now) = (std::cell::Cell::new(false), SystemTime::now());
        let payload = Envelope::open_as(kind, text.as_bytes(), |_, message, signature| {
            let by =
                |public: &[u8]| UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok();
            own.set(by(&self.public));
            let mut previous = self.overlapping(now).filter_map(|public| BASE64.decode(public).ok());
            own.get() || previous.any(|public| by(&public))
        })?;
        Ok((payload, own.get()))
    }
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
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
    fn a_successor_is_vouched_for_and_the_key_before_it_is_trusted_for_an_hour() {
        let now = std::time::SystemTime::now();
        let first = Key::generate().unwrap();
        let (before, digest) = first.seal(&mk_bundle());
        let second = first.successor(now).unwrap();
        let second = Key::from_secret(&second.secret_data()).unwrap();
        let opened = second.open(&before).unwrap();
        assert!(opened.is_outdated && opened.digest == digest);
        let (text, _) = second.seal(&mk_bundle());
        assert!(!second.open(&text).unwrap().is_outdated);
        assert_eq!(first.open(&text).unwrap_err(), Refusal::Signature, "only sidecars read documents");

        let [document] = rasp_policy::keys::attached(text.as_bytes()).try_into().unwrap();
        let verify = |key: &Key, message: &[u8], signature: &[u8]| {
            aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, &key.public)
                .verify(message, signature)
                .is_ok()
        };
        let told = document.open(|message, signature| verify(&first, message, signature)).unwrap();
        assert_eq!((told.generation, told.keys), (1, vec![second.public_base64()]));

        let hour = std::time::Duration::from_hours(1);
        assert_eq!(second.trusted(now), [second.public_base64(), first.public_base64()]);
        assert_eq!(second.trusted(now + hour), [second.public_base64()]);
        let past = first.successor(now - 2 * hour).unwrap();
        assert_eq!(past.open(&before).unwrap_err(), Refusal::Signature, "its time is over");
    }

    #[test]
    fn rotations_in_a_row_are_all_told_up_to_a_bound() {
        let now = std::time::SystemTime::now();
        let mut key = Key::generate().unwrap();
        for _ in 0..20 {
            key = key.successor(now).unwrap();
        }
        let documents = rasp_policy::keys::attached(key.seal(&mk_bundle()).0.as_bytes());
        assert_eq!(documents.len(), rasp_policy::keys::MAX_DOCUMENTS);
        let newest = documents.last().unwrap().open(|_, _| true).unwrap();
        assert_eq!((newest.generation, newest.keys), (20, vec![key.public_base64()]));
        let stranger = key.stranger().unwrap();
        assert_eq!(rasp_policy::keys::attached(stranger.seal(&mk_bundle()).0.as_bytes()), []);
        assert_eq!(stranger.trusted(now), [stranger.public_base64()], "nobody vouches for it");
    }

    #[test]
    fn a_broken_secret_says_what_to_do() {
        let mut data = Key::generate().unwrap().secret_data();
        data.insert("history.json".to_owned(), k8s_openapi::ByteString(b"{".to_vec()));
        assert!(matches!(Key::from_secret(&data), Err(Error::History)));
        assert!(matches!(Key::from_secret(&std::collections::BTreeMap::new()), Err(Error::Missing)));
        assert!(matches!(
            Key::from_pem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
            Err(Error::Malformed)
        ));
    }
}
