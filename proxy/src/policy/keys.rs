//! The public keys that may sign Bundles. Injected into the pod spec; never taken from the ConfigMap.

use aws_lc_rs::signature::{ED25519, ED25519_PUBLIC_KEY_LEN, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

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

/// A set of public keys.
#[derive(Clone, Debug)]
pub struct Keys(Vec<UnparsedPublicKey<Vec<u8>>>);

impl Keys {
    /// Reads comma-separated standard base64.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut keys = Vec::new();
        for (index, item) in text.split(',').map(str::trim).filter(|item| !item.is_empty()).enumerate() {
            let raw = BASE64.decode(item).map_err(|_| Error::Key(index + 1))?;
            if raw.len() != ED25519_PUBLIC_KEY_LEN {
                return Err(Error::Key(index + 1));
            }
            keys.push(UnparsedPublicKey::new(&ED25519, raw));
        }
        if keys.is_empty() { Err(Error::Empty) } else { Ok(Self(keys)) }
    }

    /// Whether one of the keys made this signature. The key id of an envelope is a hint that we do not need.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.iter().any(|key| key.verify(message, signature).is_ok())
    }
}
