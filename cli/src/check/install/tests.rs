use base64::Engine as _;
use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;

use super::super::line::Outcome;
use super::super::look::{Certificate, Installed, certificate};
use super::{BASE64, DAY, admission, judge};
use crate::standing::Standings;

fn installed(issued: &Issued, bundle: &str, now: Timestamp) -> Installed {
    let encode = |text: &str| BASE64.encode(text);
    let webhook = |name: &str| {
        json!({
            "name": name, "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {
                "caBundle": encode(bundle),
                "service": {"name": "kube-rasp-operator", "namespace": "rasp", "path": "/"},
            },
        })
    };
    let read = |value: serde_json::Value| serde_json::from_value(value).unwrap();
    Installed {
        namespace: "rasp".to_owned(),
        now,
        deployment: Ok(Some(
            serde_json::from_value(json!({
                "metadata": {"name": "kube-rasp-operator"},
                "spec": {"replicas": 2, "selector": {}, "template": {}}, "status": {"readyReplicas": 2},
            }))
            .unwrap(),
        )),
        endpoints: Ok(vec![
            serde_json::from_value(json!({
                "metadata": {"labels": {"kubernetes.io/service-name": "kube-rasp-operator"}}, "addressType": "IPv4",
                "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}, {"addresses": ["10.0.0.2"]}],
            }))
            .unwrap(),
        ]),
        webhooks: Ok(Some(read(json!({"metadata": {"name": "x"}, "webhooks": [webhook("a.rasp.dev"), webhook("b.rasp.dev")]})))),
        validator: Ok(Some(
            serde_json::from_value(json!({"metadata": {"name": "y"}, "webhooks": [webhook("c.rasp.dev")]}))
                .unwrap(),
        )),
        secret: Ok(Some(serde_json::from_value(json!({"metadata": {}, "data": {"tls.crt": encode(&issued.cert_pem)}})).unwrap())),
        certificate: Certificate { secret: "tls".to_owned(), provided: false },
        settings: Err("not there".to_owned()),
        fleet: Ok(vec![]),
        excluded: vec![],
        policies: Standings::default(),
        guard_rails: (Ok(vec![]), Ok(vec![])),
        admission: ("shop".to_owned(), Ok(json!({"spec": {"initContainers": [{"name": "rasp-proxy"}]}}))),
    }
}

/// A CA, and a certificate of it for the operator.
struct Issued {
    ca_pem: String,
    cert_pem: String,
}

fn issue() -> Issued {
    let mut ca = CertificateParams::new(vec![]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca_pem = ca.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(ca, key);
    let mut leaf = CertificateParams::new(vec!["kube-rasp-operator.rasp.svc".to_owned()]).unwrap();
    leaf.not_before = rcgen::date_time_ymd(2020, 1, 1);
    leaf.not_after = leaf.not_before.replace_year(2099).unwrap();
    let cert_pem = leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().pem();
    Issued { ca_pem, cert_pem }
}

fn outcomes(seen: &Installed) -> Vec<(&'static str, Outcome)> {
    judge(seen).iter().map(|line| (line.check.as_str(), line.status)).collect()
}

fn outcome(seen: &Installed, check: &str) -> Outcome {
    outcomes(seen).into_iter().find(|(name, _)| *name == check).unwrap().1
}

#[test]
fn what_is_installed_well_passes() {
    let issued = issue();
    let seen = installed(&issued, &issued.ca_pem, Timestamp::now());
    let expected = [
        ("operator", Outcome::Pass),
        ("webhook", Outcome::Pass),
        ("ca_bundle", Outcome::Pass),
        ("validator", Outcome::Pass),
        ("certificate", Outcome::Pass),
        ("admission", Outcome::Pass),
        ("settings", Outcome::Warn),
    ];
    assert_eq!(outcomes(&seen), expected);
}

#[test]
fn a_ca_bundle_that_does_not_verify_the_certificate_fails() {
    let (issued, other) = (issue(), issue());
    assert_eq!(outcome(&installed(&issued, &other.ca_pem, Timestamp::now()), "ca_bundle"), Outcome::Fail);
    assert_eq!(outcome(&installed(&issued, "", Timestamp::now()), "webhook"), Outcome::Fail);
    let both = format!("{}{}", other.ca_pem, issued.ca_pem);
    assert_eq!(outcome(&installed(&issued, &both, Timestamp::now()), "ca_bundle"), Outcome::Pass);
}

#[test]
fn a_validator_that_nobody_can_ask_is_a_warning_and_none_is_none() {
    let (issued, other) = (issue(), issue());
    for (bundle, expected) in
        [(&issued.ca_pem, Outcome::Pass), (&other.ca_pem, Outcome::Warn), (&String::new(), Outcome::Warn)]
    {
        let mut seen = installed(&issued, bundle, Timestamp::now());
        assert_eq!(outcome(&seen, "validator"), expected, "{bundle}");
        seen.validator = Ok(None);
        assert_eq!(outcome(&seen, "validator"), Outcome::Pass);
        seen.validator = Err("forbidden".to_owned());
        assert_eq!(outcome(&seen, "validator"), Outcome::Warn);
    }
}

#[test]
fn a_certificate_warns_before_it_ends_and_fails_after() {
    let issued = issue();
    let end: Timestamp = "2099-01-01T00:00:00Z".parse().unwrap();
    for (days, expected) in [(-90, Outcome::Pass), (-10, Outcome::Warn), (1, Outcome::Fail)] {
        let now = Timestamp::from_second(end.as_second() + days * DAY).unwrap();
        assert_eq!(outcome(&installed(&issued, &issued.ca_pem, now), "certificate"), expected, "{days}");
    }
}

#[test]
fn what_may_not_be_seen_or_is_not_there_is_no_pass() {
    let issued = issue();
    let mut seen = installed(&issued, &issued.ca_pem, Timestamp::now());
    seen.secret = Err("secrets is forbidden".to_owned());
    seen.deployment = Ok(None);
    seen.webhooks = Ok(None);
    for (check, expected) in [
        ("ca_bundle", Outcome::Warn),
        ("certificate", Outcome::Warn),
        ("operator", Outcome::Fail),
        ("webhook", Outcome::Fail),
    ] {
        assert_eq!(outcome(&seen, check), expected, "{check}");
    }
}

#[test]
fn a_pod_that_is_admitted_without_a_sidecar_fails() {
    assert_eq!(admission("shop", &Ok(json!({"spec": {"containers": []}}))).status, Outcome::Fail);
    assert_eq!(admission("-", &Ok(json!(null))).status, Outcome::Warn);
}

#[test]
fn the_secret_of_the_certificate_is_the_one_that_the_operator_is_told() {
    let deployment = |env: serde_json::Value| {
        serde_json::from_value(json!({
            "metadata": {"name": "kube-rasp-operator"},
            "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "operator", "env": env}]}}},
        }))
        .unwrap()
    };
    let own = Certificate { secret: "kube-rasp-webhook-tls".to_owned(), provided: false };
    assert_eq!(certificate(None), own);
    assert_eq!(certificate(Some(&deployment(json!([])))), own);
    let told = deployment(json!([
        {"name": "RASP_CERTIFICATE_SOURCE", "value": "secret"}, {"name": "RASP_CERTIFICATE_SECRET", "value": "mine"},
    ]));
    assert_eq!(certificate(Some(&told)), Certificate { secret: "mine".to_owned(), provided: true });

    let issued = issue();
    let mut seen = installed(&issued, &issued.ca_pem, Timestamp::now());
    seen.secret = Ok(None);
    for (provided, says) in [(false, "the operator makes it"), (true, "somebody else")] {
        seen.certificate.provided = provided;
        let line = judge(&seen).into_iter().find(|line| line.check.as_str() == "certificate").unwrap();
        assert_eq!((line.status, line.message.as_str()), (Outcome::Fail, "Secret rasp/tls is not there"));
        assert!(line.hint.unwrap().contains(says), "{provided}");
    }
}
