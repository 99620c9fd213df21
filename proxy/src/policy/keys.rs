//! The public keys that may sign Bundles. Injected into the pod spec; others only by a key document that one of them
//! signed (`rasp_policy::keys`), which comes with a Bundle. Never taken from a ConfigMap alone.
//!
//! What was learned is kept beside the last sequence, so that a restarted container does not go back to a key that was
//! given up. It is verified again from the injected keys on: the folder is not believed. Called by `load` and `sidecar`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::signature::{ED25519, ED25519_PUBLIC_KEY_LEN, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rasp_policy::keys::{KeyDocument, Signed, attached};

/// Name of the file with the documents that were obeyed.
const FILE: &str = "keys";

/// Why a list of keys was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The list is empty.
    #[error("no key; expected comma-separated base64 of raw 32-byte Ed25519 public keys")]
    Empty,
    /// An item is no key.
    #[error("key {0} is not base64 of a raw 32-byte Ed25519 public key")]
    Key(usize),
}

type PublicKey = UnparsedPublicKey<Vec<u8>>;

/// A set of public keys. Clones share it: what one of them learns all of them know.
#[derive(Clone, Debug)]
pub struct Keys(Arc<Mutex<Trusted>>);

#[derive(Debug)]
struct Trusted {
    keys: Vec<PublicKey>,
    generation: u64,
    obeyed: Vec<Signed>,
    file: Option<PathBuf>,
}

impl Keys {
    /// Reads comma-separated standard base64.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let keys: Vec<_> = items
            .enumerate()
            .map(|(index, item)| key(item).ok_or(Error::Key(index + 1)))
            .collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(Error::Empty);
        }
        Ok(Self(Arc::new(Mutex::new(Trusted { keys, generation: 0, obeyed: Vec::new(), file: None }))))
    }

    /// Whether one of the keys made this signature. The key id of an envelope is a hint that we do not need.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        verify(&self.lock().keys, message, signature)
    }

    /// Obeys the key documents that come with an envelope, in their order. One that no trusted key signed is none of
    /// ours: a pod that was injected later need not know who signed it.
    pub fn learn(&self, envelope: &[u8]) {
        let documents = attached(envelope);
        if documents.is_empty() {
            return;
        }
        let mut trusted = self.lock();
        let before = trusted.generation;
        for document in documents {
            trusted.obey(document);
        }
        if trusted.generation != before {
            tracing::info!(generation = trusted.generation, "a key document changed who may sign policies");
            trusted.keep();
        }
    }

    /// Keeps what is learned in this directory, and learns again what was kept there.
    pub fn keep_in(&self, directory: &Path) {
        let file = directory.join(FILE);
        let kept =
            std::fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Vec<Signed>>(&text).ok());
        let mut trusted = self.lock();
        trusted.file = Some(file);
        for document in kept.unwrap_or_default() {
            trusted.obey(document);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Trusted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trusted {
    fn obey(&mut self, signed: Signed) {
        let opened = signed.open(|message, signature| verify(&self.keys, message, signature));
        let Some(KeyDocument { generation, keys, .. }) = opened else { return };
        let keys: Option<Vec<_>> = keys.iter().map(|item| key(item)).collect();
        if let Some(keys) = keys.filter(|_| generation > self.generation) {
            self.keys = keys;
            self.generation = generation;
            self.obeyed.push(signed);
        }
    }

    /// Whole or not at all.
    fn keep(&self) {
        let Some(file) = &self.file else { return };
        let text = serde_json::to_vec(&self.obeyed).unwrap_or_default(); // plain structs always serialise
        let next = file.with_extension("next");
        if let Err(error) = std::fs::write(&next, text).and_then(|()| std::fs::rename(&next, file)) {
            tracing::error!(%error, "the new keys could not be kept for a restart of this container");
        }
    }
}

fn verify(keys: &[PublicKey], message: &[u8], signature: &[u8]) -> bool {
    keys.iter().any(|key| key.verify(message, signature).is_ok())
}

fn key(item: &str) -> Option<PublicKey> {
    let raw = BASE64.decode(item).ok().filter(|raw| raw.len() == ED25519_PUBLIC_KEY_LEN)?;
    Some(UnparsedPublicKey::new(&ED25519, raw))
}

#[cfg(test)]
mod tests;
