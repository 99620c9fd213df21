use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use kube::Api;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Outcome, PATIENCE, Probe};
use crate::admin::Readiness;
use crate::certificate::{self, Issued, Resolver};
use crate::metrics::Metrics;
use crate::observe::Cache;
use crate::server::{Body, Handler, Link, serve, whole};
use crate::testing::{api, refusal};

/// Answers every review like this.
struct Answers(Value);

impl Handler for Answers {
    async fn handle(&self, request: Request<Incoming>, _link: Link) -> Response<Body> {
        assert_eq!(request.uri().path(), "/inject/enabled");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let review: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(review["request"]["dryRun"], true);
        whole(StatusCode::OK, Bytes::from(self.0.to_string()))
    }
}

async fn listen(issued: &Issued, answer: Value) -> SocketAddr {
    let resolver = Arc::new(Resolver::new(&issued.cert_pem, &issued.key_pem).unwrap());
    let tls = Arc::new(certificate::server_config(resolver).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, tls, Arc::new(Answers(answer)), CancellationToken::new(), Duration::ZERO));
    address
}

fn mk_issued() -> Issued {
    issue_at(SystemTime::now())
}

fn issue_at(now: SystemTime) -> Issued {
    certificate::issue(&certificate::dns_names("kube-rasp-operator", "kube-rasp"), now).unwrap()
}

fn webhook(ca_pem: &str) -> Value {
    json!({ "name": "a", "clientConfig": { "caBundle": BASE64.encode(ca_pem) } })
}

/// A probe whose Service is at this address.
fn mk_probe(
    service: Option<SocketAddr>,
    listen: SocketAddr,
    issued: &Issued,
) -> (Probe, mpsc::Receiver<crate::events::Notice>) {
    let (client, _) = api(move |_| match service {
        None => refusal(404, "NotFound"),
        Some(address) => (
            200,
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": { "name": "kube-rasp-operator" },
                "spec": { "clusterIP": address.ip().to_string(), "ports": [{ "port": address.port() }] },
            }),
        ),
    });
    let (notices, noticed) = mpsc::channel(4);
    let probe = Probe {
        services: Api::namespaced(client, "kube-rasp"),
        service: "kube-rasp-operator".to_owned(),
        namespace: "kube-rasp".to_owned(),
        listen,
        webhooks: watch::channel(Vec::new()).1,
        issued: watch::channel(Arc::new(issued.clone())).1,
        metrics: Arc::new(Metrics::new().unwrap()),
        readiness: Arc::new(Readiness::new(Arc::new(Cache::default()))),
        notices,
    };
    (probe, noticed)
}

#[tokio::test]
async fn a_webhook_is_called_as_an_api_server_calls_it() {
    let (issued, stranger) = (mk_issued(), mk_issued());
    let good = json!({ "response": { "uid": "kube-rasp-probe", "allowed": true } });
    let address = listen(&issued, good).await;
    let denying =
        listen(&issued, json!({ "response": { "uid": "kube-rasp-probe", "allowed": false } })).await;
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let ended = issue_at(SystemTime::now() - Duration::from_hours(24 * 91));
    let expired = listen(&ended, json!({})).await;
    let rotated = certificate::rotate_ca(
        &issued,
        &certificate::dns_names("kube-rasp-operator", "kube-rasp"),
        SystemTime::now(),
    )
    .unwrap();
    let table = [
        // address of the Service, webhooks, what is said
        (Some(address), vec![webhook(&issued.ca_pem)], Outcome::Ok),
        (Some(address), vec![webhook(&rotated.ca_pem), webhook(&issued.ca_pem)], Outcome::Ok),
        (Some(address), vec![], Outcome::NoWebhook),
        (Some(address), vec![webhook(&issued.ca_pem), json!({ "clientConfig": {} })], Outcome::CaBundle),
        (Some(address), vec![webhook("no certificate")], Outcome::CaBundle),
        (Some(address), vec![webhook(&stranger.ca_pem)], Outcome::Tls),
        (Some(address), vec![webhook(&issued.ca_pem), webhook(&stranger.ca_pem)], Outcome::Tls),
        (Some(expired), vec![webhook(&ended.ca_pem)], Outcome::Tls),
        (Some(denying), vec![webhook(&issued.ca_pem)], Outcome::Answer),
        (Some(closed), vec![webhook(&issued.ca_pem)], Outcome::Connect),
        (None, vec![webhook(&issued.ca_pem)], Outcome::NoService),
    ];
    for (index, (service, webhooks, expected)) in table.into_iter().enumerate() {
        let (probe, _noticed) = mk_probe(service, address, &issued);
        assert_eq!(probe.through_service(&webhooks).await, expected, "row {index}");
    }
}

#[tokio::test]
async fn a_replica_that_api_servers_would_refuse_is_not_ready_and_an_unreachable_service_is_told() {
    let (issued, stranger) = (mk_issued(), mk_issued());
    let address = listen(&issued, json!({})).await;
    let (probe, mut noticed) = mk_probe(None, address, &issued);
    let accepted = || probe.readiness.accepted.load(Ordering::Acquire);
    assert!(!accepted(), "nothing is known yet");
    probe.tell_own(probe.own(&[webhook(&issued.ca_pem)]).await, 0);
    assert!(accepted());
    let refused = probe.own(&[webhook(&stranger.ca_pem)]).await;
    assert_eq!(refused, Err(Outcome::Tls), "our CA was never in the configuration");
    probe.tell_own(refused, PATIENCE - 1);
    assert!(accepted(), "once may be chance");
    probe.tell_own(refused, PATIENCE);
    assert!(!accepted());

    probe.tell_service(Outcome::Connect);
    let told = format!("{:?}", noticed.try_recv().unwrap());
    assert!(told.contains("WebhookUnreachable") && told.contains("connect"), "{told}");
    probe.tell_own(Ok(()), 0);
    assert!(accepted());
}

#[tokio::test]
async fn a_configuration_that_somebody_breaks_is_told_and_makes_only_a_replica_unready_whose_certificate_is_bad()
 {
    let (issued, stranger) = (mk_issued(), mk_issued());
    let ended = issue_at(SystemTime::now() - Duration::from_hours(24 * 91));
    let good = json!({ "response": { "uid": "kube-rasp-probe", "allowed": true } });
    let address = listen(&issued, good).await;
    let expired = listen(&ended, json!({})).await;
    let broken = [
        (vec![], Outcome::NoWebhook),
        (vec![json!({ "clientConfig": {} })], Outcome::CaBundle),
        (vec![webhook("no certificate")], Outcome::CaBundle),
        (vec![webhook(&issued.ca_pem), webhook(&stranger.ca_pem)], Outcome::Tls),
    ];
    for (webhooks, outcome) in broken {
        let (probe, _noticed) = mk_probe(Some(address), address, &issued);
        assert_eq!(probe.own(&webhooks).await, Err(outcome), "nobody comes to a replica that starts");
        probe.readiness.ca_bundle.see(true);
        probe.readiness.ca_bundle.see(false);
        assert_eq!(probe.own(&webhooks).await, Ok(()), "it was ready: {outcome:?}");
        assert_eq!(probe.through_service(&webhooks).await, outcome, "what is counted and told");

        let (probe, _noticed) = mk_probe(Some(expired), expired, &ended);
        probe.readiness.ca_bundle.see(true);
        assert_eq!(probe.own(&webhooks).await, Err(Outcome::Tls), "its own certificate has ended");
    }
}

#[tokio::test]
async fn a_broken_configuration_is_counted_and_told_although_the_replica_is_ready() {
    let issued = mk_issued();
    let address = listen(&issued, json!({})).await;
    let (mut probe, mut noticed) = mk_probe(Some(address), address, &issued);
    let (_webhooks, seen) = watch::channel(vec![json!({ "clientConfig": {} })]);
    probe.webhooks = seen;
    let (readiness, metrics) = (Arc::clone(&probe.readiness), Arc::clone(&probe.metrics));
    readiness.ca_bundle.see(true);
    let probing = tokio::spawn(probe.run());
    let told = tokio::time::timeout(Duration::from_secs(10), noticed.recv()).await.unwrap();
    let told = format!("{:?}", told.unwrap());
    assert!(told.contains("WebhookUnreachable") && told.contains("ca_bundle"), "{told}");
    let text = String::from_utf8(metrics.render(jiff::Timestamp::now())).unwrap();
    assert!(text.contains(r#"rasp_webhook_probe_total{result="ca_bundle"} 1"#), "{text}");
    assert!(readiness.accepted.load(Ordering::Acquire));
    probing.abort();
}
