use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::Method;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::{Value, json};

use super::{Error, Held, Material, secret};
use crate::certificate::Issued;
use crate::metrics::Metrics;
use crate::signing::Key;
use crate::testing::{api, refusal};

fn names() -> Vec<String> {
    vec!["kube-rasp-operator.kube-rasp.svc".to_owned()]
}

fn stored<T: Material>(value: &T) -> Value {
    serde_json::to_value(secret("s", value.data())).unwrap()
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
    let secrets: Api<Secret> = Api::namespaced(client, "kube-rasp");
    let first = Held::<Key>::obtain(secrets.clone(), "s", &names()).await.unwrap();
    let second = Held::<Key>::obtain(secrets, "s", &names()).await.unwrap();
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
    let held = Held::<Key>::obtain(Api::namespaced(client, "kube-rasp"), "s", &names()).await.unwrap();
    assert_eq!(held.get().id(), first.id());
}

#[tokio::test]
async fn a_signing_key_that_cannot_be_read_is_not_replaced() {
    let broken = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" }, "data": { "signing.key": "AAAA" } });
    let (client, calls) = api(move |_| (200, broken.clone()));
    let held = Held::<Key>::obtain(Api::namespaced(client, "kube-rasp"), "s", &names()).await;
    assert!(matches!(held, Err(Error::Unusable { .. })));
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
    let held = Held::<Issued>::obtain(Api::namespaced(client, "kube-rasp"), "s", &names()).await.unwrap();
    assert!(held.get().cert_pem.contains("BEGIN CERTIFICATE"));
    let calls = calls.lock().unwrap();
    let put = calls.iter().find(|call| call.method == Method::PUT).unwrap();
    assert_eq!(put.body["metadata"]["resourceVersion"], "5", "whoever wrote meanwhile must win");
}

#[tokio::test]
async fn what_somebody_writes_is_used_only_if_it_can_be() {
    let (first, second) = (Key::generate().unwrap(), Key::generate().unwrap());
    let made = stored(&first);
    let (client, calls) = api(move |call| match call.method {
        Method::GET => (200, made.clone()),
        _ => (201, call.body.clone()),
    });
    let held = Held::<Key>::obtain(Api::namespaced(client, "kube-rasp"), "s", &names()).await.unwrap();
    let (metrics, mut changes) = (Metrics::new().unwrap(), held.subscribe());

    held.replace(secret("s", super::Data::new()), &metrics);
    assert_eq!(held.get().id(), first.id());
    held.replace(secret("s", first.data()), &metrics);
    assert!(!changes.has_changed().unwrap(), "the same contents are no change");
    held.replace(secret("s", second.data()), &metrics);
    assert_eq!(changes.borrow_and_update().id(), second.id());

    held.restore(&metrics).await;
    let calls = calls.lock().unwrap();
    let post = calls.iter().find(|call| call.method == Method::POST).unwrap();
    assert_eq!(post.body["data"], stored(&second)["data"], "a deleted secret gets back what is in use");
}
