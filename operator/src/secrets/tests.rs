use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::Method;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{Data, Error, Held, Material, ROTATE, Terms, secret};
use crate::certificate::{self, Issued};
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::signing::Key;
use crate::testing::{Calls, api, refusal};

fn owned() -> Terms {
    Terms { names: vec!["kube-rasp-operator.kube-rasp.svc".to_owned()], owned: true }
}

fn stored<T: Material>(value: &T) -> Value {
    serde_json::to_value(secret("s", value.data())).unwrap()
}

fn secrets(client: Client) -> Api<Secret> {
    Api::namespaced(client, "kube-rasp")
}

#[tokio::test]
async fn material_is_made_at_the_first_start_and_read_at_the_next() {
    let kept = Arc::new(Mutex::new(None::<Value>));
    let script = Arc::clone(&kept);
    let (client, calls) = api(move |call| {
        let mut kept = script.lock().unwrap();
        match (&call.method, &*kept) {
            (&Method::GET, None) => refusal(404, "NotFound"),
            (&Method::GET, Some(secret)) => (200, secret.clone()),
            _ => {
                *kept = Some(call.body.clone());
                (201, call.body.clone())
            }
        }
    });
    let first = Held::<Key>::obtain(secrets(client.clone()), "s", &owned()).await.unwrap();
    let second = Held::<Key>::obtain(secrets(client), "s", &owned()).await.unwrap();
    assert_eq!(first.get().id(), second.get().id());
    let posts = calls.lock().unwrap().iter().filter(|call| call.method == Method::POST).count();
    assert_eq!(posts, 1);
}

#[tokio::test]
async fn who_is_second_takes_what_the_first_one_made() {
    let first = Key::generate().unwrap();
    let (made, reads) = (stored(&first), AtomicUsize::new(0));
    let (client, _) = api(move |call| match call.method {
        Method::GET if reads.fetch_add(1, Ordering::Relaxed) == 0 => refusal(404, "NotFound"),
        Method::GET => (200, made.clone()),
        _ => refusal(409, "AlreadyExists"),
    });
    let held = Held::<Key>::obtain(secrets(client), "s", &owned()).await.unwrap();
    assert_eq!(held.get().id(), first.id());
}

#[tokio::test]
async fn a_signing_key_that_cannot_be_read_is_not_replaced() {
    let broken = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" }, "data": { "signing.key": "AAAA" } });
    let (client, calls) = api(move |_| (200, broken.clone()));
    let held = Held::<Key>::obtain(secrets(client), "s", &owned()).await;
    assert!(matches!(held, Err(error @ Error::Unusable { .. }) if error.reason() == "malformed"));
    assert!(calls.lock().unwrap().iter().all(|call| call.method == Method::GET));
}

#[tokio::test]
async fn a_certificate_that_cannot_be_served_is_replaced_in_its_secret() {
    let broken = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s", "resourceVersion": "5" },
        "data": { "tls.crt": "AAAA" },
    });
    let (client, calls) = api(move |call| match call.method {
        Method::GET => (200, broken.clone()),
        _ => (200, call.body.clone()),
    });
    let held = Held::<Issued>::obtain(secrets(client), "s", &owned()).await.unwrap();
    assert!(held.get().cert_pem.contains("BEGIN CERTIFICATE"));
    let calls = calls.lock().unwrap();
    let put = calls.iter().find(|call| call.method == Method::PUT).unwrap();
    assert_eq!(put.body["metadata"]["resourceVersion"], "5", "whoever wrote meanwhile must win");
}

/// Material that is in use, an API server that takes every write, and what it was asked.
async fn held<T: Material>(value: &T, terms: &Terms) -> (Held<T>, Calls) {
    let made = stored(value);
    let (client, calls) = api(move |call| match call.method {
        Method::GET => (200, made.clone()),
        _ => (201, call.body.clone()),
    });
    let held = Held::obtain(secrets(client), "s", terms).await.unwrap();
    calls.lock().unwrap().clear();
    (held, calls)
}

/// The Secret as a watch shows it.
fn shown(data: Data, asked: Option<&str>) -> Secret {
    let mut shown = secret("s", data);
    shown.metadata.resource_version = Some("7".to_owned());
    shown.metadata.annotations = asked.map(|asked| [(ROTATE.to_owned(), asked.to_owned())].into());
    shown
}

#[tokio::test]
async fn what_somebody_writes_is_used_only_if_it_can_be_and_repaired_by_the_leader_if_not() {
    let (first, second) = (Key::generate().unwrap(), Key::generate().unwrap());
    let (held, calls) = held(&first, &owned()).await;
    let (metrics, mut changes) = (Metrics::new().unwrap(), held.subscribe());
    let (leader, other) = (Leadership::for_test(true), Leadership::for_test(false));

    assert!(held.look(Some(&shown(Data::new(), None)), &other, &metrics).await.is_none());
    assert!(held.look(None, &other, &metrics).await.is_none());
    assert_eq!(metrics.secret_problems(), ["signing_key: absent"]);
    assert!(calls.lock().unwrap().is_empty(), "only the leader writes");
    held.look(Some(&shown(first.data(), None)), &leader, &metrics).await;
    assert!(!changes.has_changed().unwrap(), "the same contents are no change");
    assert!(metrics.secret_problems().is_empty());

    for (found, method) in [(None, Method::POST), (Some(shown(Data::new(), None)), Method::PUT)] {
        let written = held.look(found.as_ref(), &leader, &metrics).await.unwrap();
        assert_eq!(written.data, Some(first.data()), "what is in use is written back");
        let calls = std::mem::take(&mut *calls.lock().unwrap());
        assert_eq!(calls.iter().map(|call| call.method.clone()).collect::<Vec<_>>(), [method]);
    }
    held.look(Some(&shown(second.data(), None)), &leader, &metrics).await;
    assert_eq!(changes.borrow_and_update().id(), second.id());
    assert!(calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_person_starts_a_rotation_by_an_annotation_that_the_rotation_takes_away() {
    let first = Key::generate().unwrap();
    let (leader, other) = (Leadership::for_test(true), Leadership::for_test(false));
    for (asked, vouched) in [("signing-key", true), ("stolen-signing-key", false)] {
        let (held, calls) = held(&first, &owned()).await;
        let metrics = Metrics::new().unwrap();
        assert!(held.look(Some(&shown(first.data(), Some(asked))), &other, &metrics).await.is_none());
        held.look(Some(&shown(first.data(), Some("soon"))), &leader, &metrics).await;
        assert_eq!(held.get().id(), first.id());
        let written = held.look(Some(&shown(first.data(), Some(asked))), &leader, &metrics).await.unwrap();
        assert_ne!(held.get().id(), first.id());
        assert_eq!(written.data, Some(held.get().data()));
        let now = std::time::SystemTime::now();
        assert_eq!(held.get().trusted(now).contains(&first.public_base64()), vouched);
        let calls = calls.lock().unwrap();
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].body["metadata"]["resourceVersion"], "7", "over exactly what was read");
        assert_eq!(calls[0].body["metadata"]["annotations"], json!({}));
    }
}

#[tokio::test]
async fn a_certificate_is_renewed_when_it_is_due_and_when_somebody_asks() {
    let now = std::time::SystemTime::now();
    let old = certificate::issue(&owned().names, now - std::time::Duration::from_hours(24 * 70)).unwrap();
    let (leader, metrics) = (Leadership::for_test(true), Metrics::new().unwrap());
    let (due, _) = held(&old, &owned()).await;
    due.look(Some(&shown(old.data(), None)), &leader, &metrics).await.unwrap();
    assert_eq!(due.get().ca_pem, old.ca_pem);
    assert_eq!(certificate::due(&due.get(), now), None);
    let fresh = due.get();
    let (asked, _) = held(&*fresh, &owned()).await;
    assert!(
        asked.look(Some(&shown(fresh.data(), None)), &leader, &metrics).await.is_none(),
        "nothing is due"
    );
    asked.look(Some(&shown(fresh.data(), Some("ca"))), &leader, &metrics).await.unwrap();
    assert!(asked.get().ca_pem.ends_with(&fresh.ca_pem), "both CAs are known during the overlap");
}

#[tokio::test]
async fn a_secret_of_somebody_else_is_read_and_never_written() {
    let now = std::time::SystemTime::now();
    let foreign = Terms { owned: false, ..owned() };
    let (client, calls) = api(|_| refusal(404, "NotFound"));
    let absent = Held::<Issued>::obtain(secrets(client), "s", &foreign).await;
    assert!(matches!(absent, Err(error) if error.reason() == "absent"));
    assert!(calls.lock().unwrap().iter().all(|call| call.method == Method::GET));

    let own = certificate::issue(&owned().names, now).unwrap();
    let issued = Issued { ca_key_pem: String::new(), ..own.clone() };
    let (held, calls) = held(&issued, &foreign).await;
    let (leader, metrics) = (Leadership::for_test(true), Metrics::new().unwrap());
    let mut changes = held.subscribe();
    let mut more = issued.data();
    more.insert("keystore.p12".to_owned(), ByteString(vec![1]));
    held.look(Some(&shown(more, Some("ca"))), &leader, &metrics).await;
    held.look(None, &leader, &metrics).await;
    assert_eq!(metrics.secret_problems(), ["certificate: absent"]);
    let mut broken = issued.data();
    broken.remove("tls.key");
    held.look(Some(&shown(broken, None)), &leader, &metrics).await;
    assert_eq!(metrics.secret_problems(), ["certificate: missing"]);
    assert!(!changes.has_changed().unwrap(), "the last good one is served");
    let next = certificate::renew(&own, &owned().names, now).unwrap();
    held.look(Some(&shown(Issued { ca_key_pem: String::new(), ..next }.data(), None)), &leader, &metrics)
        .await;
    assert!(changes.has_changed().unwrap() && metrics.secret_problems().is_empty());
    changes.mark_unchanged();
    assert!(calls.lock().unwrap().is_empty(), "never written");
}
