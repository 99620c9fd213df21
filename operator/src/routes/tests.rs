//! Over real sockets and real TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rasp_policy::report::EffectiveMode;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Routes;
use crate::certificate::{self, Issued, Resolver};
use crate::inject::{NamespaceFacts, Resources, Settings};
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::observe::Cache;
use crate::report::{Receiver, Reports, Tokens};
use crate::server;
use crate::stream::Streams;
use crate::testing::{api, mk_pod, mk_report, tls_connector};
use crate::webhook::{Facts, Occurrence};

mod hostile;

const HOST: &str = "kube-rasp-operator.kube-rasp.svc";

struct Fixed(Arc<Settings>);

impl Facts for Fixed {
    async fn namespace(&self, name: &str) -> Option<NamespaceFacts> {
        assert_ne!(name, "panic", "makes the handler panic");
        Some(NamespaceFacts { uid: Some("u".into()), ..NamespaceFacts::default() })
    }
    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.0)
    }
}

/// A listener that is running.
struct Running {
    address: SocketAddr,
    issued: Issued,
    resolver: Arc<Resolver>,
    stop: CancellationToken,
    occurred: mpsc::Receiver<Occurrence>,
    metrics: Arc<Metrics>,
    served: tokio::task::JoinHandle<()>,
}

async fn start(grace: Duration) -> Running {
    let issued = certificate::issue(&[HOST.to_owned()], std::time::SystemTime::now()).unwrap();
    let resolver = Arc::new(Resolver::new(&issued.cert_pem, &issued.key_pem).unwrap());
    let tls = Arc::new(certificate::server_config(Arc::clone(&resolver)).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (occurrences, occurred) = mpsc::channel(8);
    let (routes, metrics) = routes(&issued, occurrences);
    let stop = CancellationToken::new();
    let served = tokio::spawn(server::serve(listener, tls, Arc::new(routes), stop.clone(), grace));
    Running { address, issued, resolver, stop, occurred, metrics, served }
}

fn routes(issued: &Issued, occurrences: mpsc::Sender<Occurrence>) -> (Routes<Fixed>, Arc<Metrics>) {
    let text = |value: &str| value.to_owned();
    let resources = Resources {
        cpu_request: text("20m"),
        cpu_limit: text("1"),
        memory_request: text("32Mi"),
        memory_limit: text("128Mi"),
    };
    let settings = Settings {
        proxy_image: text("proxy:1"),
        allowed_images: Vec::new(),
        pull_policy: text("IfNotPresent"),
        operator_url: format!("https://{HOST}:443"),
        operator_ca_pem: issued.ca_pem.clone(),
        public_keys: vec![text("key")],
        resources,
    };
    let (client, _) = api(|call| {
        let user = json!({
            "username": "system:serviceaccount:shop:default",
            "extra": {
                "authentication.kubernetes.io/pod-name": ["web"],
                "authentication.kubernetes.io/pod-uid": ["web-uid"],
            },
        });
        let status = json!({ "authenticated": true, "audiences": ["rasp.dev"], "user": user });
        (201, json!({ "metadata": {}, "spec": call.body["spec"], "status": status }))
    });
    let metrics = Arc::new(Metrics::new().unwrap());
    let (tokens, cache) = (Arc::new(Tokens::new(client, Arc::clone(&metrics))), Arc::new(Cache::default()));
    let streams =
        Streams::new(Arc::clone(&tokens), Arc::clone(&cache), Arc::clone(&metrics), CancellationToken::new());
    let receiver = Receiver {
        leadership: Leadership::for_test(true),
        tokens,
        reports: Arc::new(Reports::default()),
        evictions: crate::report::Evictions::new(Arc::clone(&metrics)),
        cache,
    };
    let facts = Arc::new(Fixed(Arc::new(settings)));
    (Routes { facts, occurrences, receiver, streams, metrics: Arc::clone(&metrics) }, metrics)
}

/// A connection that trusts only this CA.
async fn connect(
    address: SocketAddr,
    ca_pem: &str,
) -> std::io::Result<hyper::client::conn::http1::SendRequest<Full<Bytes>>> {
    let connector = tls_connector(ca_pem);
    let stream = TcpStream::connect(address).await?;
    let stream = connector.connect(ServerName::try_from(HOST).unwrap(), stream).await?;
    let (sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn send(
    sender: &mut hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    method: Method,
    path: &str,
    body: impl Into<Bytes>,
) -> (StatusCode, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", HOST)
        .header("authorization", "Bearer token")
        .body(Full::new(body.into()))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn review(namespace: &str) -> String {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "generateName": "web-", "labels": { "rasp.dev/inject": "true" } },
        "spec": { "containers": [{ "name": "app", "image": "app" }] },
    });
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "r1", "operation": "CREATE", "namespace": namespace, "dryRun": false, "object": pod,
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "resource": { "group": "", "version": "v1", "resource": "pods" },
        },
    })
    .to_string()
}

#[tokio::test]
async fn each_path_answers_what_it_is_for_and_nothing_else_answers() {
    let mut running = start(Duration::ZERO).await;
    let mut sender = connect(running.address, &running.issued.ca_pem).await.unwrap();
    for path in ["/inject/enabled", "/inject/enforced", "/inject/object"] {
        let (status, answer) = send(&mut sender, Method::POST, path, review("shop")).await;
        assert_eq!((status, &answer["response"]["allowed"]), (StatusCode::OK, &json!(true)), "{path}");
        assert_eq!(answer["response"]["patchType"], "JSONPatch", "{path}");
        assert_eq!(running.occurred.recv().await.unwrap().namespace, "shop");
    }
    let table = [
        (Method::POST, "/", StatusCode::NOT_FOUND),
        (Method::POST, "/inject/", StatusCode::NOT_FOUND),
        (Method::POST, "/inject/enabled/", StatusCode::NOT_FOUND),
        (Method::POST, "/inject/other", StatusCode::NOT_FOUND),
        (Method::GET, "/metrics", StatusCode::NOT_FOUND),
        (Method::GET, "/inject/enabled", StatusCode::METHOD_NOT_ALLOWED),
        (Method::PUT, "/v1/report", StatusCode::METHOD_NOT_ALLOWED),
        (Method::POST, "/v1/stream", StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, "/v1/stream", StatusCode::HTTP_VERSION_NOT_SUPPORTED),
    ];
    for (method, path, expected) in table {
        assert_eq!(send(&mut sender, method, path, "").await.0, expected, "{path}");
    }
    let text = String::from_utf8(running.metrics.render(jiff::Timestamp::UNIX_EPOCH)).unwrap();
    assert!(text.contains("rasp_injection_duration_seconds_count 3"), "{text}");
}

#[tokio::test]
async fn reports_are_taken_and_refused_with_a_word() {
    let running = start(Duration::ZERO).await;
    let report = mk_report(&mk_pod("web", "web", true), EffectiveMode::Block, &[("p", 1)]);
    let mut sender = connect(running.address, &running.issued.ca_pem).await.unwrap();
    let body = serde_json::to_vec(&report).unwrap();
    let (status, _) = send(&mut sender, Method::POST, "/v1/report", body).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let mut other = report.clone();
    other.pod.name = "api".to_owned();
    let body = serde_json::to_vec(&other).unwrap();
    let (status, answer) = send(&mut sender, Method::POST, "/v1/report", body).await;
    assert_eq!((status, answer), (StatusCode::FORBIDDEN, json!({ "reason": "wrong_pod" })));
    let mut sender = connect(running.address, &running.issued.ca_pem).await.unwrap();
    let (status, _) = send(&mut sender, Method::POST, "/v1/report", vec![b' '; 64 * 1024 + 1]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_review_that_is_too_large_is_refused_and_a_panic_is_a_500() {
    let running = start(Duration::ZERO).await;
    let mut sender = connect(running.address, &running.issued.ca_pem).await.unwrap();
    let body = vec![b' '; crate::webhook::MAX_BODY_BYTES + 1];
    let (status, _) = send(&mut sender, Method::POST, "/inject/enabled", body).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let mut sender = connect(running.address, &running.issued.ca_pem).await.unwrap();
    let (status, _) = send(&mut sender, Method::POST, "/inject/enabled", review("panic")).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let (status, _) = send(&mut sender, Method::POST, "/inject/enabled", review("shop")).await;
    assert_eq!(status, StatusCode::OK, "the connection goes on");
}

#[tokio::test]
async fn a_new_certificate_is_served_without_a_restart() {
    let running = start(Duration::ZERO).await;
    let mut open = connect(running.address, &running.issued.ca_pem).await.unwrap();
    let other = certificate::issue(&[HOST.to_owned()], std::time::SystemTime::now()).unwrap();
    assert!(connect(running.address, &other.ca_pem).await.is_err());
    running.resolver.replace(&other.cert_pem, &other.key_pem).unwrap();
    assert!(connect(running.address, &other.ca_pem).await.is_ok());
    let (status, _) = send(&mut open, Method::POST, "/inject/enabled", review("shop")).await;
    assert_eq!(status, StatusCode::OK, "open connections go on");
}

#[tokio::test]
async fn after_the_signal_it_serves_until_the_grace_is_over_and_then_ends() {
    let running = start(Duration::from_millis(400)).await;
    running.stop.cancel();
    let mut sender = connect(running.address, &running.issued.ca_pem).await.unwrap();
    let (status, _) = send(&mut sender, Method::POST, "/inject/enabled", review("shop")).await;
    assert_eq!(status, StatusCode::OK);
    tokio::time::timeout(Duration::from_secs(4), running.served)
        .await
        .expect("ends with an idle connection")
        .unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}
