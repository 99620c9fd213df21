use rasp_policy::api::Mode;
use rasp_policy::keys::{KeyDocument, SCHEMA_VERSION, Signed, attach};

use super::Keys;
use crate::policy::load::tests::{Signer, bundle};

/// What an operator says when it goes from one key to the next.
fn document(old: &Signer, generation: u64, new: &[&Signer]) -> Signed {
    let keys = new.iter().map(|key| key.public()).collect();
    let document = KeyDocument { schema_version: SCHEMA_VERSION, generation, keys };
    Signed::seal(&document, |message| old.sign(message))
}

fn envelope(signer: &Signer, sequence: u64, documents: &[Signed]) -> String {
    attach(signer.seal(&bundle(sequence, Mode::Block, None).to_bytes()), documents)
}

fn signers() -> [Signer; 4] {
    std::array::from_fn(|_| Signer::new())
}

#[test]
fn a_sidecar_that_knows_the_first_key_follows_every_rotation_it_missed() {
    let [first, second, third, _] = signers();
    let checks = first.checks();
    let documents = [document(&first, 1, &[&second]), document(&second, 2, &[&third])];
    assert!(checks.open(envelope(&third, 101, &[]).as_bytes(), None).is_err(), "the key alone says nothing");
    assert!(checks.open(envelope(&third, 101, &documents).as_bytes(), None).is_ok());
    assert!(checks.open(envelope(&third, 102, &[]).as_bytes(), None).is_ok(), "learned once");
}

#[test]
fn a_key_that_was_given_up_signs_nothing_any_more() {
    let [first, second, thief, _] = signers();
    let checks = first.checks();
    let moved = document(&first, 1, &[&second]);
    assert!(checks.open(envelope(&second, 101, std::slice::from_ref(&moved)).as_bytes(), None).is_ok());
    assert!(checks.open(envelope(&first, 102, &[]).as_bytes(), None).is_err(), "a Bundle");
    let forged = document(&first, 9, &[&thief]);
    assert!(checks.open(envelope(&thief, 103, &[forged]).as_bytes(), None).is_err(), "a document");
    let back = document(&second, 1, &[&first]);
    assert!(
        checks.open(envelope(&first, 104, &[moved, back]).as_bytes(), None).is_err(),
        "no newer generation"
    );
}

#[test]
fn documents_of_strangers_are_none_of_ours_and_do_no_harm() {
    let [first, second, stranger, thief] = signers();
    let checks = first.checks();
    let itself = document(&thief, 7, &[&thief]);
    assert!(checks.open(envelope(&thief, 101, &[itself]).as_bytes(), None).is_err());
    // A Bundle of ours with documents that were made before this pod was injected.
    let earlier = document(&stranger, 1, &[&second]);
    assert!(checks.open(envelope(&first, 102, &[earlier]).as_bytes(), None).is_ok());
    let broken = Signed::seal(
        &KeyDocument { schema_version: SCHEMA_VERSION, generation: 3, keys: vec!["AAAA".to_owned()] },
        |message| first.sign(message),
    );
    assert!(checks.open(envelope(&first, 103, &[broken]).as_bytes(), None).is_ok(), "no usable key: ignored");
    // A signature over a Bundle is none over a document, whatever the bytes.
    let keys = vec![thief.public()];
    let payload = KeyDocument { schema_version: SCHEMA_VERSION, generation: 4, keys };
    let as_bundle = first.seal(&serde_json::to_vec(&payload).unwrap());
    let sealed: serde_json::Value = serde_json::from_str(&as_bundle).unwrap();
    let (payload, sig) = (&sealed["payload"], &sealed["signatures"][0]["sig"]);
    let confused = serde_json::from_value(serde_json::json!({"payload": payload, "sig": sig})).unwrap();
    assert!(checks.open(envelope(&thief, 104, &[confused]).as_bytes(), None).is_err());
}

#[test]
fn a_restarted_container_knows_what_its_predecessor_learned_and_believes_no_file() {
    let [first, second, thief, _] = signers();
    let directory = tempfile::tempdir().unwrap();
    let injected = || Keys::parse(&first.public()).unwrap();
    let keys = injected();
    keys.keep_in(directory.path());
    keys.learn(envelope(&second, 1, &[document(&first, 1, &[&second])]).as_bytes());

    let restarted = injected();
    restarted.keep_in(directory.path());
    assert!(restarted.verify(b"m", &second.sign(b"m")) && !restarted.verify(b"m", &first.sign(b"m")));

    for text in [serde_json::to_string(&[document(&thief, 5, &[&thief])]).unwrap(), "{".to_owned()] {
        std::fs::write(directory.path().join("keys"), text).unwrap();
        let careful = injected();
        careful.keep_in(directory.path());
        assert!(careful.verify(b"m", &first.sign(b"m")) && !careful.verify(b"m", &thief.sign(b"m")));
    }
}
