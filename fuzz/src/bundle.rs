//! A Bundle as a sidecar takes it: any bytes as an envelope, and as the payload of one that is signed. Nothing that is not
//! signed is read; what is read is compiled or refused, and asks a request for its share of `enforcement`.

use std::sync::OnceLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rasp_engine::{Body, Head};
use rasp_policy::bundle::{BUNDLE, Bundle, Envelope, PACKED_PAYLOAD_TYPE, PayloadType, Refusal};
use rasp_policy::history::Record;
use rasp_policy::share::BUCKETS;
use rasp_proxy::policy::keys::Keys;
use rasp_proxy::policy::load::Checks;

const NOW: &str = "2026-11-26T12:00:00Z";
/// Payloads that are said to be packed, whatever they are.
const AS_PACKED: PayloadType = PayloadType { plain: PACKED_PAYLOAD_TYPE, packed: "", pack_from: usize::MAX };
const ALWAYS_PACKED: PayloadType = PayloadType { pack_from: 0, ..BUNDLE };

fn key() -> &'static Ed25519KeyPair {
    static KEY: OnceLock<Ed25519KeyPair> = OnceLock::new();
    KEY.get_or_init(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key"))
}

fn mk_checks() -> Checks {
    Checks {
        keys: Keys::parse(&BASE64.encode(key().public_key().as_ref())).expect("a key"),
        namespace: "shop".to_owned(),
        namespace_uid: None,
        floor: 0,
        workload: "Deployment/web".to_owned(),
    }
}

/// The input is an envelope, the payload of one, and one that claims to be packed.
pub fn run(data: &[u8]) {
    let checks = mk_checks();
    assert!(checks.open(data, None).is_err(), "nobody signed it");
    let plain = opened(&checks, BUNDLE, data);
    assert_eq!(opened(&checks, ALWAYS_PACKED, data), plain, "packed or not");
    let _ = opened(&checks, AS_PACKED, data);
    if let Ok(bundle) = Bundle::from_verified(data) {
        stays_what_it_is(&bundle);
    }
}

fn opened(checks: &Checks, kind: PayloadType, payload: &[u8]) -> Result<(), Refusal> {
    let envelope = Envelope::seal_as(kind, payload, "hint", |message| key().sign(message).as_ref().to_vec());
    let verified = checks.open(envelope.to_text().as_bytes(), None)?;
    let labels = [("app".to_owned(), "web".to_owned())].into();
    let in_force = verified.build(&labels, NOW)?;
    assert!(in_force.ports.is_sorted_by(|one, other| one.0 < other.0), "ports are looked up by halves");
    let own = in_force.ports.iter().map(|(_, own)| &**own);
    for in_force in std::iter::once(&in_force).chain(own) {
        assert!(!in_force.has_expired(NOW), "what has ended is not in force");
        let share = &in_force.ruleset.effective().enforcement;
        assert!(share.percent <= 100 && share.bucket(b"alice") < BUCKETS);
        assert!(share.bucket_of([192, 0, 2, 1].into()) < BUCKETS);
        let _ = in_force.effective_mode();
        let head = Head {
            method: "POST",
            target: b"/a/../b?id=1%27%20or%201=1--&q=%3Cscript%3E",
            content_type: Some(b"application/json"),
            content_encoding: None,
            fields: &(),
        };
        let mut inspection = in_force.ruleset.inspect_head(&head);
        in_force.ruleset.inspect_body(&head, Body::Complete(br#"{"a":"$(id)"}"#), &mut inspection);
        assert!(inspection.take_run().panicked.is_empty());
    }
    Ok(())
}

fn stays_what_it_is(bundle: &Bundle) {
    assert_eq!(Bundle::from_verified(&bundle.to_bytes()).as_ref(), Ok(bundle));
    let record = Record::of_bundle(bundle, NOW.to_owned());
    assert_eq!(Record::from_verified(&record.to_bytes()), Ok(record));
}
