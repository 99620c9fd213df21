use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rasp_policy::api::{Mode, RaspPolicySpec};
use rasp_policy::bundle::{Bundle, Entry, Envelope, Namespace, Refusal, SCHEMA_VERSION, Source};
use rasp_policy::selector::{LabelSelector, Labels};

use super::{Checks, Last};
use crate::policy::keys::{Error, Keys};

/// Signs Bundles as an operator does.
pub(crate) struct Signer(Ed25519KeyPair);

impl Signer {
    pub(crate) fn new() -> Self {
        Self(Ed25519KeyPair::generate().unwrap())
    }

    pub(crate) fn public(&self) -> String {
        BASE64.encode(self.0.public_key().as_ref())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }

    pub(crate) fn seal(&self, payload: &[u8]) -> String {
        Envelope::seal(payload, "hint", |message| self.sign(message)).to_text()
    }

    pub(crate) fn checks(&self) -> Checks {
        Checks {
            keys: Keys::parse(&self.public()).unwrap(),
            namespace: "shop".into(),
            namespace_uid: Some("uid-1".into()),
            floor: 100,
            workload: "Deployment/web".into(),
        }
    }
}

pub(crate) fn bundle(sequence: u64, mode: Mode, selector: Option<LabelSelector>) -> Bundle {
    let source = Source {
        name: "p".into(),
        uid: "p-uid".into(),
        generation: 3,
        created_at: "2026-01-01T00:00:00Z".into(),
    };
    let spec = RaspPolicySpec { mode: Some(mode), pod_selector: selector, ..RaspPolicySpec::default() };
    Bundle {
        schema_version: SCHEMA_VERSION,
        namespace: Namespace { name: "shop".into(), uid: "uid-1".into() },
        sequence,
        entries: vec![Entry::policy(source, spec)],
    }
}

fn refusal(checks: &Checks, text: &str, last: Option<&Last>) -> String {
    match checks
        .open(text.as_bytes(), last)
        .and_then(|verified| verified.build(&Labels::new(), &crate::policy::now()))
    {
        Ok(_) => "accepted".into(),
        Err(refusal) => refusal.id().into(),
    }
}

#[test]
fn only_a_signed_newer_bundle_of_this_namespace_and_schema_is_accepted() {
    let (signer, stranger) = (Signer::new(), Signer::new());
    let checks = signer.checks();
    let good = bundle(100, Mode::Block, None);
    let sealed = signer.seal(&good.to_bytes());
    let unsigned = serde_json::json!({
        "payloadType": rasp_policy::bundle::PAYLOAD_TYPE, "payload": BASE64.encode(good.to_bytes()), "signatures": [],
    });
    let tampered = {
        let mut envelope: serde_json::Value = serde_json::from_str(&sealed).unwrap();
        envelope["payload"] = BASE64.encode(bundle(100, Mode::Off, None).to_bytes()).into();
        envelope.to_string()
    };
    let mut foreign = good.clone();
    foreign.namespace.name = "other".into();
    let mut recreated = good.clone();
    recreated.namespace.uid = "uid-2".into();
    let mut newer = good.clone();
    newer.schema_version += 1;
    let mut broken = good.clone();
    broken.entries[0].spec.inspection = Some(rasp_policy::api::Inspection {
        max_body_bytes: Some(i64::from(i32::MAX)),
        ..Default::default()
    });
    let unknown = String::from_utf8(good.to_bytes()).unwrap().replacen("\"mode\"", "\"mood\":1,\"mode\"", 1);
    let table = [
        ("accepted", sealed.clone()),
        ("unsigned", unsigned.to_string()),
        ("signature", tampered),
        ("signature", stranger.seal(&good.to_bytes())),
        ("namespace", signer.seal(&foreign.to_bytes())),
        ("namespace", signer.seal(&recreated.to_bytes())),
        ("schema_version", signer.seal(&newer.to_bytes())),
        ("older", signer.seal(&bundle(99, Mode::Block, None).to_bytes())),
        ("build", signer.seal(&broken.to_bytes())),
        ("unknown_field", signer.seal(unknown.as_bytes())),
        ("malformed", signer.seal(b"{}")),
        ("malformed", "no envelope".into()),
        ("too_large", " ".repeat((1 << 20) + 1)),
    ];
    for (expected, text) in &table {
        assert_eq!(refusal(&checks, text, None), *expected, "{}", &text[..text.len().min(200)]);
    }
    for id in Refusal::IDS {
        assert!(table.iter().any(|(expected, _)| *expected == id), "{id} is tested");
    }
}

#[test]
fn what_was_in_force_is_the_floor_and_may_come_again_after_a_restart() {
    let signer = Signer::new();
    let checks = signer.checks();
    let (first, other) = (bundle(200, Mode::Block, None), bundle(200, Mode::Off, None));
    let last = checks.open(signer.seal(&first.to_bytes()).as_bytes(), None).unwrap().last();
    for (expected, candidate) in [
        ("accepted", &first),
        ("older", &other),
        ("older", &bundle(199, Mode::Block, None)),
        ("accepted", &bundle(201, Mode::Off, None)),
    ] {
        let text = signer.seal(&candidate.to_bytes());
        assert_eq!(refusal(&checks, &text, Some(&last)), expected, "{candidate:?}");
    }
}

#[test]
fn a_port_that_a_policy_names_has_a_ruleset_of_its_own() {
    use rasp_policy::bundle::Target;
    let signer = Signer::new();
    let target = |name: &str, port| Target {
        kind: rasp_policy::api::TargetKind::Deployment,
        name: name.into(),
        selector: Labels::new(),
        ports: Some(vec![port]),
    };
    let mut offered = bundle(100, Mode::Block, None);
    offered.entries[0].targets = Some(vec![target("web", 8443), target("web", 8080), target("other", 9090)]);
    let verified = signer.checks().open(signer.seal(&offered.to_bytes()).as_bytes(), None).unwrap();
    let in_force = verified.build(&Labels::new(), &crate::policy::now()).unwrap();
    let numbers: Vec<u16> = in_force.ports.iter().map(|(port, _)| *port).collect();
    assert_eq!(numbers, [8080, 8443], "of this workload alone, in their order");
    assert!(std::sync::Arc::ptr_eq(&in_force.ports[0].1, &in_force.ports[1].1), "the same, so one");
    assert_eq!(in_force.effective_mode(), rasp_policy::report::EffectiveMode::Mixed);
    let metrics = std::sync::Arc::new(crate::metrics::Metrics::new().unwrap());
    let handle = crate::policy::Handle::new(in_force, metrics);
    let mode = |port| handle.load_on(port).ruleset.effective().mode;
    assert_eq!([mode(8080), mode(8443), mode(9090)], [Mode::Block, Mode::Block, Mode::Monitor]);
    assert_eq!(handle.load().ruleset.effective().mode, Mode::Monitor);
    assert_eq!(handle.load_on(8080).digest, handle.load().digest);
}

#[test]
fn a_port_on_which_another_policy_decides_the_same_shares_the_ruleset_and_names_the_other_policy() {
    use rasp_policy::bundle::Target;
    let signer = Signer::new();
    let mut offered = bundle(100, Mode::Block, None);
    let mut of_port = offered.entries[0].clone();
    (of_port.source.name, of_port.source.uid) = ("port".into(), "port-uid".into());
    of_port.targets = Some(vec![Target {
        kind: rasp_policy::api::TargetKind::Deployment,
        name: "web".into(),
        selector: Labels::new(),
        ports: Some(vec![8080]),
    }]);
    offered.entries.push(of_port);
    let verified = signer.checks().open(signer.seal(&offered.to_bytes()).as_bytes(), None).unwrap();
    let in_force = verified.build(&Labels::new(), &crate::policy::now()).unwrap();
    let (port, on_port) = &in_force.ports[0];
    assert_eq!((*port, in_force.ports.len()), (8080, 1));
    assert!(std::sync::Arc::ptr_eq(&in_force.ruleset, &on_port.ruleset), "compiled once");
    let decided = |in_force: &crate::policy::InForce| in_force.deciders.mode().unwrap().name.clone();
    assert_eq!([decided(&in_force), decided(on_port)], ["RaspPolicy shop/p", "RaspPolicy shop/port"]);
}

#[test]
fn one_of_several_keys_is_enough_and_nonsense_is_no_key() {
    let (old, new) = (Signer::new(), Signer::new());
    let keys = Keys::parse(&format!("{}, {}", old.public(), new.public())).unwrap();
    let checks = Checks { keys, ..old.checks() };
    for signer in [old, new] {
        let text = signer.seal(&bundle(100, Mode::Block, None).to_bytes());
        assert_eq!(refusal(&checks, &text, None), "accepted");
    }
    assert_eq!(Keys::parse(" , ").unwrap_err(), Error::Empty);
    assert_eq!(Keys::parse("!!").unwrap_err(), Error::Key(1));
    assert_eq!(Keys::parse(&BASE64.encode([1; 31])).unwrap_err(), Error::Key(1));
}
