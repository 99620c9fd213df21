use base64::Engine as _;

use super::{
    Bundle, Entry, Envelope, MAX_ENVELOPE_BYTES, MAX_PAYLOAD_BYTES, Namespace, PACK_FROM_BYTES,
    PACKED_PAYLOAD_TYPE, PAYLOAD_TYPE, Refusal, SCHEMA_VERSION, Source, Target, digest, pack,
};
use crate::api::{Kind, Origin, TargetKind};
use crate::selector::Labels;

/// The wire form of schema 1. A change of these bytes is a change of the contract with sidecars that already run:
/// it needs a new schema version and a file of its own, not an edit.
const GOLDEN: &str = include_str!("../../tests/golden/bundle.v1.json");

/// The same payload in an envelope of the packed type, signed by [`sign`]. Made by another implementation of gzip.
const GOLDEN_PACKED: &str = include_str!("../../tests/golden/envelope.packed.v1.json");

fn mk_bundle() -> Bundle {
    let entry = |name: &str, generation, spec: &str| {
        let source = Source {
            name: name.to_owned(),
            uid: format!("00000000-0000-0000-0000-00000000000{generation}"),
            generation,
            created_at: "2026-01-02T03:04:05Z".to_owned(),
        };
        Entry::policy(source, serde_yaml::from_str(spec).unwrap())
    };
    Bundle {
        schema_version: SCHEMA_VERSION,
        namespace: Namespace { name: "shop".to_owned(), uid: "11111111-1111-1111-1111-111111111111".to_owned() },
        sequence: 1_767_323_045_000,
        entries: vec![
            entry(
                "api",
                3,
                "podSelector: {matchLabels: {app: api}, matchExpressions: [{key: tier, operator: In, values: [a]}]}
mode: Block
failureMode: Closed
detections: {sqlInjection: {mode: Monitor, minConfidence: Certain}}
inspection: {maxBodyBytes: 65536}
response: {status: 404, body: 'no', contentType: text/html}",
            ),
            entry("everything", 1, "mode: Monitor"),
        ],
    }
}

/// A stand-in for a key: the signature is the digest of the message.
fn sign(message: &[u8]) -> Vec<u8> {
    digest(message).into_bytes()
}

fn verify(key_id: &str, message: &[u8], signature: &[u8]) -> bool {
    key_id == "key" && signature == sign(message)
}

#[test]
fn the_wire_form_is_what_running_sidecars_expect() {
    let bundle = mk_bundle();
    assert_eq!(String::from_utf8(bundle.to_bytes()).unwrap(), GOLDEN.trim_end());
    assert_eq!(Bundle::from_verified(GOLDEN.trim_end().as_bytes()), Ok(bundle.clone()));
    assert_eq!(
        digest(&bundle.to_bytes()),
        "sha256:a390a7cc70206460cafa24332cd85592031f3d3fef15cdaf3495f7051bac9746"
    );
}

/// What came after the first version of schema 1. A sidecar of before refuses it as an unknown field and keeps what it
/// has, as `a_payload_that_cannot_be_obeyed_in_full_is_refused` shows; Bundles without it are the same bytes as ever.
#[test]
fn fields_that_came_later_are_written_only_where_they_are_set() {
    let mut bundle = mk_bundle();
    bundle.entries[1].spec = serde_yaml::from_str("{mode: Monitor, http: {rawTarget: Refuse}}").unwrap();
    let bytes = bundle.to_bytes();
    let spec = br#""spec":{"mode":"Monitor","http":{"rawTarget":"Refuse"}}"#;
    assert!(bytes.windows(spec.len()).any(|window| window == spec), "{}", bytes.escape_ascii());
    assert_eq!(Bundle::from_verified(&bytes), Ok(bundle));

    let mut bundle = mk_bundle();
    bundle.entries[1].spec = serde_yaml::from_str(
        "exceptions: [{name: x, class: sqlInjection, path: /a, parameter: q, reason: r}]",
    )
    .unwrap();
    let bytes = bundle.to_bytes();
    let spec = br#""spec":{"exceptions":[{"name":"x","class":"sqlInjection","path":"/a","parameter":"q","reason":"r"}]}"#;
    assert!(bytes.windows(spec.len()).any(|window| window == spec), "{}", bytes.escape_ascii());
    assert_eq!(Bundle::from_verified(&bytes), Ok(bundle));
}

/// The same for what other kinds and targets need beside the spec.
#[test]
fn entries_of_other_kinds_say_what_they_are() {
    const GOLDEN: &str = include_str!("../../tests/golden/bundle.v1.kinds.json");
    let mut bundle = mk_bundle();
    let [first, second] = &mut bundle.entries[..] else { panic!("two entries") };
    first.spec = serde_yaml::from_str("mode: Block").unwrap();
    first.targets = Some(vec![
        Target {
            kind: TargetKind::Service,
            name: "api".to_owned(),
            selector: Labels::from([("app".to_owned(), "api".to_owned())]),
            ports: Some(vec![8080]),
        },
        Target { kind: TargetKind::StatefulSet, name: "db".to_owned(), selector: Labels::new(), ports: None },
    ]);
    second.kind = Kind::ClusterRaspPolicy;
    second.origin = Some(Origin::Overrides);
    let mut exception = second.clone();
    exception.kind = Kind::RaspException;
    exception.origin = None;
    exception.spec = serde_yaml::from_str("exceptions: [{name: x, rule: sqli-comment, reason: r}]").unwrap();
    bundle.entries.push(exception);
    assert_eq!(String::from_utf8(bundle.to_bytes()).unwrap(), GOLDEN.trim_end());
    assert_eq!(Bundle::from_verified(GOLDEN.trim_end().as_bytes()), Ok(bundle));
}

/// The example of the DSSE v1 protocol document.
#[test]
fn what_is_signed_follows_dsse() {
    assert_eq!(
        super::pre_authentication_encoding("http://example.com/HelloWorld", b"hello world"),
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    );
}

#[test]
fn a_sealed_bundle_opens_with_the_same_bytes() {
    let payload = mk_bundle().to_bytes();
    let text = Envelope::seal(&payload, "key", sign).to_text();
    assert_eq!(Envelope::open(text.as_bytes(), verify), Ok(payload));
}

#[test]
fn a_packed_payload_is_the_payload_as_sidecars_know_it() {
    assert_eq!(
        Envelope::open(GOLDEN_PACKED.trim_end().as_bytes(), verify).unwrap(),
        GOLDEN.trim_end().as_bytes()
    );
    let large = "policy ".repeat(PACK_FROM_BYTES);
    let text = Envelope::seal(large.as_bytes(), "key", sign).to_text();
    assert!(text.contains(PACKED_PAYLOAD_TYPE) && text.len() < large.len() / 10, "{} bytes", text.len());
    assert_eq!(Envelope::open(text.as_bytes(), verify).unwrap(), large.as_bytes());
    let small = Envelope::seal(b"policy", "key", sign).to_text();
    assert!(small.contains(&format!("\"{PAYLOAD_TYPE}\"")), "{small}");
}

#[test]
fn a_packed_payload_is_bounded_and_unpacked_only_when_its_signature_holds() {
    let envelope = |payload_type: &str, body: &[u8], signed_as: &str| {
        let signature = sign(&super::pre_authentication_encoding(signed_as, body));
        let envelope = Envelope {
            payload_type: payload_type.to_owned(),
            payload: super::BASE64.encode(body),
            signatures: vec![super::Signature { keyid: "key".into(), sig: super::BASE64.encode(signature) }],
        };
        Envelope::open(envelope.to_text().as_bytes(), verify)
    };
    let bomb = pack(&vec![b' '; MAX_PAYLOAD_BYTES + 1]).unwrap();
    let most = pack(&vec![b' '; MAX_PAYLOAD_BYTES]).unwrap();
    assert!(bomb.len() < 8 << 10);
    let packed = PACKED_PAYLOAD_TYPE;
    assert_eq!(envelope(packed, &bomb, packed), Err(Refusal::TooLarge(MAX_PAYLOAD_BYTES + 1)));
    assert_eq!(envelope(packed, &most, packed).unwrap().len(), MAX_PAYLOAD_BYTES);
    assert_eq!(envelope(packed, b"not packed", packed).unwrap_err().id(), "malformed");
    assert_eq!(envelope(packed, &most[..most.len() / 2], packed).unwrap_err().id(), "malformed");
    assert_eq!(envelope(packed, &bomb, PAYLOAD_TYPE), Err(Refusal::Signature), "the type is signed");
}

#[test]
fn every_fault_of_an_envelope_has_its_own_refusal() {
    let payload = mk_bundle().to_bytes();
    let good: serde_json::Value =
        serde_json::from_str(&Envelope::seal(&payload, "key", sign).to_text()).unwrap();
    let edit = |pointer: &str, value: serde_json::Value| {
        let mut envelope = good.clone();
        *envelope.pointer_mut(pointer).unwrap() = value;
        envelope.to_string()
    };
    let table = [
        (edit("/payload", "e30=".into()), "signature"),
        (edit("/payload", "%".into()), "malformed"),
        (edit("/payloadType", "text/plain".into()), "malformed"),
        (edit("/signatures", serde_json::json!([])), "unsigned"),
        (edit("/signatures/0/sig", "AAAA".into()), "signature"),
        (edit("/signatures/0/sig", "not base64".into()), "signature"),
        (edit("/signatures/0/keyid", "other".into()), "signature"),
        ("{}".to_owned(), "malformed"),
        (String::new(), "malformed"),
        (" ".repeat(MAX_ENVELOPE_BYTES + 1), "too_large"),
    ];
    for (text, id) in table {
        let refusal = Envelope::open(text.as_bytes(), verify).unwrap_err();
        assert_eq!(refusal.id(), id, "{}", text.get(..200).unwrap_or(&text));
    }
}

#[test]
fn a_payload_that_cannot_be_obeyed_in_full_is_refused() {
    let good: serde_json::Value = serde_json::from_str(GOLDEN).unwrap();
    let edit = |pointer: &str, key: &str, value: serde_json::Value| {
        let mut payload = good.clone();
        payload.pointer_mut(pointer).unwrap()[key] = value;
        payload.to_string()
    };
    let table = [
        (edit("", "schemaVersion", 2.into()), Refusal::SchemaVersion(2)),
        (edit("", "schemaVersion", 0.into()), Refusal::SchemaVersion(0)),
        (edit("", "later", 1.into()), Refusal::UnknownField("later".into())),
        (edit("/entries/0/spec", "later", 1.into()), Refusal::UnknownField("entries.0.spec.later".into())),
        (
            edit("/entries/0/spec/detections", "noSuchInjection", serde_json::json!({})),
            Refusal::UnknownField("entries.0.spec.detections.noSuchInjection".into()),
        ),
    ];
    for (payload, refusal) in table {
        assert_eq!(Bundle::from_verified(payload.as_bytes()), Err(refusal), "{payload}");
    }
    for payload in [edit("/entries/0/spec", "mode", "Blok".into()), "[]".into(), "{}".into(), "x".into()] {
        assert_eq!(Bundle::from_verified(payload.as_bytes()).unwrap_err().id(), "malformed", "{payload}");
    }
}

#[test]
fn every_refusal_has_an_id_in_the_frozen_list() {
    let refusals = [
        Refusal::TooLarge(0),
        Refusal::Malformed(String::new()),
        Refusal::Unsigned,
        Refusal::Signature,
        Refusal::SchemaVersion(0),
        Refusal::UnknownField(String::new()),
        Refusal::Namespace,
        Refusal::Older { found: 0, floor: 0 },
        Refusal::Build(String::new()),
    ];
    assert_eq!(refusals.map(|refusal| refusal.id()), Refusal::IDS);
    assert!(Refusal::TOO_OLD.iter().all(|id| Refusal::IDS.contains(id)));
}

#[test]
fn no_bytes_make_the_reader_panic() {
    use proptest::prelude::*;
    proptest!(|(bytes in proptest::collection::vec(any::<u8>(), 0..512))| {
        let _ = Envelope::open(&bytes, |_, _, _| true);
        let _ = Bundle::from_verified(&bytes);
    });
}
