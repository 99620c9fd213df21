use http::Method;
use rasp_policy::api::RaspPolicyStatus;
use rasp_policy::bundle::{Bundle, Namespace, SCHEMA_VERSION};
use rasp_policy::report::EffectiveMode;
use serde_json::json;

use super::{Error, Writer};
use crate::inject::{Resources, Settings};
use crate::leader::Leadership;
use crate::signing::Key;
use crate::testing::{api, mk_policy, refusal};

fn mk_bundle(entries: Vec<rasp_policy::bundle::Entry>) -> Bundle {
    let namespace = Namespace { name: "shop".into(), uid: "u".into() };
    Bundle { schema_version: SCHEMA_VERSION, namespace, sequence: 7, entries }
}

#[tokio::test]
async fn a_bundle_is_applied_to_the_config_map_of_its_namespace() {
    let (client, calls) = api(|call| (200, call.body.clone()));
    let key = Key::generate().unwrap();
    let writer = Writer::new(client, Leadership::for_test(true));
    let stored = writer.bundle(&mk_bundle(vec![]), None, &key).await.unwrap();
    assert_eq!(*stored.opened.unwrap().bundle, mk_bundle(vec![]));
    assert!(stored.labelled);
    let calls = calls.lock().unwrap();
    let [call] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(call.method, Method::PATCH);
    assert_eq!(
        call.uri,
        "/api/v1/namespaces/shop/configmaps/rasp-policy?&force=true&fieldManager=kube-rasp-operator"
    );
    assert_eq!(call.body["metadata"]["labels"]["app.kubernetes.io/managed-by"], "kube-rasp");
}

#[tokio::test]
async fn a_status_is_applied_to_the_very_object_that_was_read() {
    let (client, calls) = api(|call| (200, call.body.clone()));
    let writer = Writer::new(client, Leadership::for_test(true));
    let status =
        RaspPolicyStatus { effective_mode: Some(EffectiveMode::Block), ..RaspPolicyStatus::default() };
    let written = writer.status(&mk_policy("p", 1, json!({})), &status).await.unwrap();
    assert_eq!(written.status, status);
    let calls = calls.lock().unwrap();
    assert_eq!(
        calls[0].uri,
        "/apis/rasp.dev/v1alpha1/namespaces/shop/rasppolicies/p/status?&force=true&fieldManager=kube-rasp-operator"
    );
    assert_eq!(calls[0].body["metadata"]["uid"], "p-uid");
    assert_eq!(calls[0].body["metadata"]["resourceVersion"], "1");
    assert_eq!(calls[0].body["status"], json!({ "effectiveMode": "Block" }));
}

#[tokio::test]
async fn a_write_of_a_leader_of_yesterday_is_refused_once_its_successor_has_written() {
    let key = Key::generate().unwrap();
    let seen = crate::testing::mk_stored(&mk_bundle(vec![]), &key);
    // The API server's rule: a named version has to be the one that is there. The successor wrote version 2.
    let (client, calls) = api(|call| match call.body["metadata"]["resourceVersion"].as_str() {
        Some("2") | None => (200, call.body.clone()),
        Some(_) => refusal(409, "Conflict"),
    });
    // Leader when it looked, and still so by its own clock.
    let writer = Writer::new(client, Leadership::for_test(true));
    assert!(matches!(writer.bundle(&mk_bundle(vec![]), Some(&seen), &key).await, Err(Error::Raced)));
    let policy = mk_policy("p", 1, json!({}));
    assert!(matches!(writer.status(&policy, &RaspPolicyStatus::default()).await, Err(Error::Raced)));
    assert_eq!(calls.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn who_is_not_leader_writes_nothing() {
    let (client, calls) = api(|call| (200, call.body.clone()));
    let key = Key::generate().unwrap();
    let writer = Writer::new(client, Leadership::for_test(false));
    assert!(matches!(writer.bundle(&mk_bundle(vec![]), None, &key).await, Err(Error::NotLeader)));
    let status = RaspPolicyStatus::default();
    assert!(matches!(writer.status(&mk_policy("p", 1, json!({})), &status).await, Err(Error::NotLeader)));
    assert!(calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn policies_that_do_not_fit_are_refused_with_what_to_do() {
    let (client, calls) = api(|call| (200, call.body.clone()));
    let key = Key::generate().unwrap();
    let writer = Writer::new(client, Leadership::for_test(true));
    let entry = |body: String| {
        let response = Some(rasp_policy::api::BlockResponse { body: Some(body), ..Default::default() });
        let spec = rasp_policy::api::RaspPolicySpec { response, ..Default::default() };
        let source = rasp_policy::bundle::Source {
            name: "p".into(),
            uid: "u".into(),
            generation: 1,
            created_at: String::new(),
        };
        rasp_policy::bundle::Entry::policy(source, spec)
    };
    let stored = writer.bundle(&mk_bundle(vec![entry("x".repeat(8192)); 300]), None, &key).await.unwrap();
    assert!(stored.text.unwrap().len() < 100_000, "2.4 MiB that can be packed fit");
    assert_eq!(calls.lock().unwrap().len(), 1);

    let random =
        std::iter::repeat_with(|| entry(std::iter::repeat_with(fastrand::alphanumeric).take(8192).collect()));
    for (mut entries, limit) in
        [(vec![entry("x".repeat(8192)); 600], "4194304"), (random.take(150).collect(), "1032192")]
    {
        let named = format!("the largest of {} are RaspPolicy shop/huge (", entries.len());
        entries[7].source.name = "huge".into();
        let error = writer.bundle(&mk_bundle(entries), None, &key).await.unwrap_err().to_string();
        for says in ["merge policies, or shorten response bodies", limit, &named] {
            assert!(error.contains(says), "{error}");
        }
    }
    assert_eq!(calls.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_object_that_is_gone_is_told_from_other_failures() {
    for (code, gone) in [(404, true), (403, false), (409, false)] {
        let (client, _) = api(move |_| refusal(code, "no"));
        let writer = Writer::new(client, Leadership::for_test(true));
        let status = RaspPolicyStatus::default();
        let error = writer.status(&mk_policy("p", 1, json!({})), &status).await.unwrap_err();
        assert_eq!(error.is_gone(), gone, "{code}");
    }
}

#[tokio::test]
async fn the_settings_of_injection_are_applied_beside_the_operator_and_read_back_the_same() {
    let (client, calls) = api(|call| (200, call.body.clone()));
    let settings = Settings {
        proxy_image: "rasp/proxy:1".into(),
        allowed_images: Vec::new(),
        pull_policy: "IfNotPresent".into(),
        operator_url: "https://operator.rasp.svc:443".into(),
        operator_ca_pem: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(),
        public_keys: vec!["a2V5".into()],
        resources: Resources {
            cpu_request: "20m".into(),
            cpu_limit: "1".into(),
            memory_request: "32Mi".into(),
            memory_limit: "128Mi".into(),
        },
    };
    let writer = Writer::new(client, Leadership::for_test(true));
    writer.settings("rasp", &settings).await.unwrap();
    let calls = calls.lock().unwrap();
    let [call] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(
        call.uri,
        "/api/v1/namespaces/rasp/configmaps/kube-rasp-injection?&force=true&fieldManager=kube-rasp-operator"
    );
    let text = call.body["data"]["settings.yaml"].as_str().unwrap();
    assert_eq!(serde_yaml::from_str::<Settings>(text).unwrap(), settings);
}
