//! Key documents: how a running sidecar learns that Bundles are signed by another key from now on.
//!
//! A document is signed by a key that was trusted until then, so it may travel with the Bundles, in the same envelope:
//! who can write there can repeat it, and make none. What it says takes the place of what was trusted. The operator
//! makes documents, the proxy verifies them; this module only knows their bytes (ADR 15).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::bundle::{MAX_ENVELOPE_BYTES, pre_authentication_encoding};

/// The newest schema this version writes and the only one it reads.
pub const SCHEMA_VERSION: u32 = 1;
/// DSSE payload type: a signature over a Bundle is none over a document.
pub const PAYLOAD_TYPE: &str = "application/vnd.rasp.keys+json";
/// Documents that travel with a Bundle at most; each is a rotation that a sidecar may have missed.
pub const MAX_DOCUMENTS: usize = 16;
/// Keys of a document at most.
pub const MAX_KEYS: usize = 8;

/// Says which keys are trusted from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyDocument {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Grows with every rotation. A sidecar obeys a document once.
    pub generation: u64,
    /// Standard base64 of raw Ed25519 public keys; all others are no longer trusted.
    pub keys: Vec<String>,
}

/// A document and the signature of a key that was trusted before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    payload: String,
    sig: String,
}

impl Signed {
    /// Signs a document. `sign` gets the pre-authentication encoding and returns the raw signature.
    pub fn seal(document: &KeyDocument, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Self {
        let payload = serde_json::to_vec(document).unwrap_or_default(); // plain structs always serialise
        let sig = sign(&pre_authentication_encoding(PAYLOAD_TYPE, &payload));
        Self { payload: BASE64.encode(payload), sig: BASE64.encode(sig) }
    }

    /// The document, once `verify(message, signature)` accepts the signature, and if this version can read it.
    pub fn open(&self, verify: impl FnOnce(&[u8], &[u8]) -> bool) -> Option<KeyDocument> {
        let (payload, signature) = (BASE64.decode(&self.payload).ok()?, BASE64.decode(&self.sig).ok()?);
        if !verify(&pre_authentication_encoding(PAYLOAD_TYPE, &payload), &signature) {
            return None;
        }
        let document: KeyDocument = serde_json::from_slice(&payload).ok()?;
        let readable =
            document.schema_version == SCHEMA_VERSION && (1..=MAX_KEYS).contains(&document.keys.len());
        readable.then_some(document)
    }
}

/// The text of an envelope with these documents beside its payload, where older sidecars leave them alone.
pub fn attach(envelope: String, documents: &[Signed]) -> String {
    let Some(open) = envelope.strip_suffix('}').filter(|_| !documents.is_empty()) else { return envelope };
    let documents = serde_json::to_string(documents).unwrap_or_default(); // plain structs always serialise
    format!("{open},\"{FIELD}\":{documents}}}")
}

/// The documents beside the payload of an envelope, the oldest first; none if it cannot be read.
pub fn attached(envelope: &[u8]) -> Vec<Signed> {
    #[derive(Deserialize)]
    struct Attached {
        #[serde(default, rename = "keyDocuments")]
        documents: Vec<Signed>,
    }
    if envelope.len() > MAX_ENVELOPE_BYTES {
        return Vec::new();
    }
    let attached = serde_json::from_slice::<Attached>(envelope);
    attached.map(|attached| attached.documents.into_iter().take(MAX_DOCUMENTS).collect()).unwrap_or_default()
}

const FIELD: &str = "keyDocuments";

#[cfg(test)]
mod tests {
    use super::{KeyDocument, MAX_DOCUMENTS, SCHEMA_VERSION, Signed, attach, attached};
    use crate::bundle::Envelope;

    fn document(generation: u64) -> KeyDocument {
        KeyDocument { schema_version: SCHEMA_VERSION, generation, keys: vec!["a2V5".to_owned()] }
    }

    fn sealed(document: &KeyDocument) -> Signed {
        Signed::seal(document, |_| b"sig".to_vec())
    }

    #[test]
    fn a_document_is_read_only_once_its_signature_holds() {
        let signed = Signed::seal(&document(1), |message| {
            assert!(
                message.starts_with(b"DSSEv1 30 application/vnd.rasp.keys+json "),
                "not that of a Bundle"
            );
            b"sig".to_vec()
        });
        assert_eq!(signed.open(|_, signature| signature == b"sig"), Some(document(1)));
        assert_eq!(signed.open(|_, _| false), None);
        let newer = KeyDocument { schema_version: SCHEMA_VERSION + 1, ..document(1) };
        let none = KeyDocument { keys: Vec::new(), ..document(1) };
        let many = KeyDocument { keys: vec!["a2V5".to_owned(); 9], ..document(1) };
        for unreadable in [newer, none, many] {
            assert_eq!(sealed(&unreadable).open(|_, _| true), None);
        }
    }

    #[test]
    fn documents_travel_in_the_envelope_and_change_nothing_else_of_it() {
        let plain = Envelope::seal(b"{}", "id", |_| b"sig".to_vec()).to_text();
        let documents = vec![sealed(&document(1)), sealed(&document(2))];
        let text = attach(plain.clone(), &documents);
        assert_eq!(attached(text.as_bytes()), documents);
        assert_eq!(Envelope::open(text.as_bytes(), |_, _, _| true).unwrap(), b"{}");
        assert_eq!(attach(plain.clone(), &[]), plain);
        for without in [plain.as_str(), "", "[]", "{\"keyDocuments\":7}"] {
            assert_eq!(attached(without.as_bytes()), []);
        }
        let many = attach(plain, &vec![sealed(&document(1)); 40]);
        assert_eq!(attached(many.as_bytes()).len(), MAX_DOCUMENTS);
    }
}
