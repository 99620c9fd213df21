//! Builders of objects and a scripted API server, for the tests of this crate.

use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use kube::core::DynamicObject;
use rasp_policy::api::Kind;
use rasp_policy::bundle::Bundle;
use rasp_policy::report::{Acknowledged, EffectiveMode, PodRef, PolicyState, Report, SCHEMA_VERSION};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use serde_json::{Value, json};
use tokio_rustls::TlsConnector;

use crate::observe::{Namespace, Pod, Policy, Service, Stored};
use crate::signing::Key;

/// A call the API server got.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    pub uri: String,
    pub body: Value,
}

/// Calls in the order in which they came.
pub type Calls = Arc<Mutex<Vec<Call>>>;

/// A client of an API server that answers as the script says, and what was asked.
pub fn api(script: impl Fn(&Call) -> (u16, Value) + Send + Sync + 'static) -> (Client, Calls) {
    let calls = Calls::default();
    let (seen, script) = (Arc::clone(&calls), Arc::new(script));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let call = Call { method: head.method, uri: head.uri.to_string(), body };
            let (status, answer) = script(&call);
            seen.lock().unwrap().push(call);
            let response = Response::builder().status(status).header("content-type", "application/json");
            Ok::<_, std::convert::Infallible>(
                response.body(Body::from(serde_json::to_vec(&answer).unwrap())).unwrap(),
            )
        }
    });
    (Client::new(service, "default"), calls)
}

/// A client of TLS that trusts only this CA, of these versions.
pub fn tls_client(ca_pem: &str, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// The same in whatever version, to connect with.
pub fn tls_connector(ca_pem: &str) -> TlsConnector {
    Arc::new(tls_client(ca_pem, rustls::DEFAULT_VERSIONS)).into()
}

/// An error as the API server words it.
pub fn refusal(code: u16, reason: &str) -> (u16, Value) {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": reason, "reason": reason, "code": code,
    });
    (code, body)
}

fn object(value: Value) -> DynamicObject {
    serde_json::from_value(value).unwrap()
}

pub fn mk_namespace(name: &str, label: Option<&str>) -> Namespace {
    let labels = label.map(|label| json!({ "rasp.dev/inject": label })).unwrap_or(json!({}));
    let metadata =
        json!({ "name": name, "uid": format!("{name}-uid"), "labels": labels, "resourceVersion": "1" });
    Namespace::read(object(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata })))
}

pub fn mk_policy(name: &str, generation: i64, spec: Value) -> Policy {
    mk_policy_of(Kind::RaspPolicy, name, generation, spec)
}

pub fn mk_policy_of(kind: Kind, name: &str, generation: i64, spec: Value) -> Policy {
    let mut policy = json!({
        "apiVersion": "rasp.dev/v1alpha1",
        "kind": kind.as_str(),
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("{name}-uid"), "generation": generation,
            "creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "1",
        },
    });
    policy["spec"] = spec;
    if kind == Kind::ClusterRaspPolicy {
        policy["metadata"]["namespace"].take();
    }
    Policy::read(kind, object(policy))
}

pub fn mk_service(name: &str, selector: &Value, ports: &Value) -> Service {
    Service::read(object(json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": name, "namespace": "shop", "resourceVersion": "1" },
        "spec": { "selector": selector, "ports": ports },
    })))
}

/// A running pod with `app` as its label.
pub fn mk_pod(name: &str, app: &str, injected: bool) -> Pod {
    mk_pod_with(name, app, injected, |_| {})
}

pub fn mk_pod_with(name: &str, app: &str, injected: bool, change: impl FnOnce(&mut Value)) -> Pod {
    let sidecar = json!([{ "name": "rasp-proxy", "restartPolicy": "Always" }]);
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("{name}-uid"), "labels": { "app": app },
            "resourceVersion": "1",
        },
        "spec": {
            "initContainers": if injected { sidecar } else { json!([]) },
            "containers": [{ "name": "app", "image": "app", "env": [{ "name": "SECRET", "value": "x" }] }],
        },
        "status": { "phase": "Running", "startTime": "2026-01-01T00:00:00Z" },
    });
    change(&mut pod);
    Pod::read(object(pod))
}

/// The ConfigMap that holds this Bundle.
pub fn mk_stored(bundle: &Bundle, key: &Key) -> Stored {
    mk_stored_text(&key.seal(bundle).0, key)
}

pub fn mk_stored_text(text: &str, key: &Key) -> Stored {
    Stored::read(object(config_map(text)), key)
}

fn config_map(text: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "rasp-policy", "namespace": "shop", "resourceVersion": "1",
            "labels": { "app.kubernetes.io/managed-by": "kube-rasp" },
        },
        "data": { "bundle.v1": text },
    })
}

/// What the sidecar of a pod says that has acknowledged these policies.
pub fn mk_report(pod: &Pod, mode: EffectiveMode, sources: &[(&str, i64)]) -> Report {
    Report {
        schema_version: SCHEMA_VERSION,
        pod: PodRef { namespace: pod.namespace.clone(), name: pod.name.clone(), uid: pod.uid.clone() },
        workload: "Deployment/web".to_owned(),
        version: "0.1.0".to_owned(),
        state: PolicyState::Current,
        digest: Some("sha256:0".to_owned()),
        sequence: Some(1),
        sources: sources
            .iter()
            .map(|(name, generation)| Acknowledged { uid: format!("{name}-uid"), generation: *generation })
            .collect(),
        mode,
        uninspected: vec![],
        interception: rasp_policy::pod::Interception::Redirect,
        bypassable: vec![],
        rejected: None,
        suspended: Vec::new(),
        exceptions: vec![],
        rollouts: vec![],
    }
}
