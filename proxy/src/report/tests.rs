use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rasp_engine::{Ruleset, Verdict, Why};
use rasp_policy::precedence::Effective;
use rasp_policy::report::{EffectiveMode, PolicyState, Rejected, Report, Uninspected, UninspectedReason};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use http::StatusCode;

use super::{Error, Operator, Reporter, longest_pause, roots};
use crate::load::breaker::Breaker;
use crate::metrics::Metrics;
use crate::policy::{Handle, InForce};
use crate::reason::Bypass;
use crate::state::Identity;

/// An operator that records reports with their tokens, and answers as it is told.
struct Desk {
    port: u16,
    ca: String,
    received: Arc<Mutex<Vec<(String, Report)>>>,
    answers: Arc<Mutex<Vec<&'static str>>>,
}

impl Desk {
    async fn open() -> Self {
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let desk = Self { port, ca: certified.cert.pem(), received: Arc::default(), answers: Arc::default() };
        let (received, answers) = (Arc::clone(&desk.received), Arc::clone(&desk.answers));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut bytes = Vec::new();
                let report = loop {
                    let mut buffer = [0; 4096];
                    let read = stream.read(&mut buffer).await.unwrap();
                    assert!(read > 0, "a whole report");
                    bytes.extend_from_slice(&buffer[..read]);
                    let text = String::from_utf8_lossy(&bytes);
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    assert!(head.starts_with("POST /v1/report HTTP/1.1\r\n"), "{head}");
                    if let Ok(report) = serde_json::from_str(body) {
                        let token = head.lines().find_map(|line| line.strip_prefix("authorization: Bearer "));
                        break (token.unwrap().to_owned(), report);
                    }
                };
                received.lock().unwrap().push(report);
                let status = answers.lock().unwrap().pop().unwrap_or("204 No Content");
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        desk
    }

    fn reporter(&self, directory: &Path, ca: &str) -> (Reporter, Arc<Handle>, Arc<Metrics>) {
        let token = directory.join("token");
        std::fs::write(&token, "first\n").unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let ruleset = Ruleset::bootstrapping(rasp_policy::api::FailureMode::Open);
        let handle = Arc::new(Handle::new(InForce::bootstrapping(ruleset), Arc::clone(&metrics)));
        let operator = Operator {
            url: format!("https://localhost:{}", self.port).parse().unwrap(),
            roots: roots(ca.as_bytes()).unwrap(),
            token,
        };
        let identity = Identity { namespace: "shop".into(), pod: "web-1".into(), ..Identity::default() };
        let reporter = Reporter::new(
            operator,
            identity,
            Arc::clone(&handle),
            Arc::clone(&metrics),
            Arc::new(Breaker::new(Duration::from_millis(50), 1)),
        )
        .unwrap();
        (reporter, handle, metrics)
    }

    async fn wait_for(&self, count: usize) -> Vec<(String, Report)> {
        for _ in 0..500 {
            let received = self.received.lock().unwrap().clone();
            if received.len() >= count {
                return received;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("only {:?}", self.received.lock().unwrap());
    }
}

fn errors(metrics: &Metrics) -> bool {
    !String::from_utf8(metrics.render()).unwrap().contains("rasp_errors_total{kind=\"report\"} 0\n")
}

#[tokio::test]
async fn a_port_that_is_first_relayed_uninspected_is_reported_at_once() {
    let (desk, directory) = (Desk::open().await, tempfile::tempdir().unwrap());
    let (reporter, _handle, metrics) = desk.reporter(directory.path(), &desk.ca);
    tokio::spawn(reporter.run());
    desk.wait_for(1).await;
    drop(metrics.relayed(Bypass::Tls, 8443));
    let (_, report) = desk.wait_for(2).await.remove(1);
    assert_eq!(report.uninspected, [Uninspected { port: 8443, reason: UninspectedReason::Tls }]);
}

#[tokio::test]
async fn reports_at_the_start_and_on_every_change_with_the_token_of_the_moment() {
    let (desk, directory) = (Desk::open().await, tempfile::tempdir().unwrap());
    let (reporter, handle, metrics) = desk.reporter(directory.path(), &desk.ca);
    tokio::spawn(reporter.run());
    let (token, report) = desk.wait_for(1).await.remove(0);
    assert_eq!((token.as_str(), report.state, report.digest), ("first", PolicyState::Bootstrapping, None));
    assert_eq!((report.pod.name.as_str(), report.pod.namespace.as_str()), ("web-1", "shop"));

    std::fs::write(directory.path().join("token"), "second").unwrap();
    let ruleset = Ruleset::build(&Effective::builtin_blocking()).unwrap();
    let loaded = InForce { digest: Some("sha256:x".into()), sequence: Some(9), ..InForce::builtin(ruleset) };
    handle.replace(loaded);
    let (token, report) = desk.wait_for(2).await.remove(1);
    assert_eq!(
        (token.as_str(), report.state, report.mode),
        ("second", PolicyState::Current, EffectiveMode::Block)
    );
    assert_eq!((report.digest.as_deref(), report.sequence), (Some("sha256:x"), Some(9)));

    let rejected = Rejected { reason: "older".into(), message: "m".into() };
    handle.reject(rejected.clone());
    let (_, report) = desk.wait_for(3).await.remove(2);
    assert_eq!((report.state, report.rejected), (PolicyState::Rejected, Some(rejected)));
    assert!(!errors(&metrics));
}

#[tokio::test]
async fn asks_again_when_the_replica_is_not_the_leader() {
    let (desk, directory) = (Desk::open().await, tempfile::tempdir().unwrap());
    desk.answers.lock().unwrap().extend(["503 Service Unavailable", "503 Service Unavailable"]);
    let (reporter, _handle, metrics) = desk.reporter(directory.path(), &desk.ca);
    tokio::spawn(reporter.run());
    assert_eq!(desk.wait_for(3).await.len(), 3);
    assert!(errors(&metrics));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(desk.wait_for(3).await.len(), 3, "delivered is delivered");
}

#[test]
fn a_replica_that_is_not_the_leader_is_asked_again_within_a_second() {
    use std::io::{Error as IoError, ErrorKind};
    let table = [
        (Error::Status(StatusCode::SERVICE_UNAVAILABLE), 1),
        (Error::Status(StatusCode::FORBIDDEN), 10),
        (Error::Connect(IoError::from(ErrorKind::ConnectionRefused)), 10),
        (Error::Timeout, 10),
    ];
    for (error, seconds) in table {
        assert_eq!(longest_pause(&error), Duration::from_secs(seconds), "{error}");
    }
}

#[tokio::test]
async fn tells_nothing_to_an_operator_of_another_ca() {
    let (desk, directory) = (Desk::open().await, tempfile::tempdir().unwrap());
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert.pem();
    let (reporter, _handle, metrics) = desk.reporter(directory.path(), &other);
    tokio::spawn(reporter.run());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(desk.received.lock().unwrap().is_empty());
    assert!(errors(&metrics));
}

#[tokio::test]
async fn a_burst_of_changes_makes_few_reports_and_the_last_one_is_the_last() {
    let (desk, directory) = (Desk::open().await, tempfile::tempdir().unwrap());
    let (reporter, handle, _metrics) = desk.reporter(directory.path(), &desk.ca);
    tokio::spawn(reporter.run());
    desk.wait_for(1).await;
    for change in 0..100 {
        let ruleset = Ruleset::bootstrapping(rasp_policy::api::FailureMode::Open);
        handle.replace(InForce { digest: Some(format!("sha256:{change}")), ..InForce::builtin(ruleset) });
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let last = || desk.received.lock().unwrap().last().and_then(|(_, report)| report.digest.clone());
    for _ in 0..500 {
        if last().as_deref() == Some("sha256:99") {
            let reports = desk.received.lock().unwrap().len();
            return assert!(reports < 50, "{reports} reports");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", last());
}

#[test]
fn an_operator_that_does_not_know_a_word_is_heard_all_the_same() {
    let status = |status| Err(Error::Status(status));
    for sent in [Ok(()), status(StatusCode::BAD_REQUEST)] {
        assert!(super::heard(&sent), "{sent:?}");
    }
    for sent in [status(StatusCode::SERVICE_UNAVAILABLE), status(StatusCode::FORBIDDEN), Err(Error::Timeout)]
    {
        assert!(!super::heard(&sent), "{sent:?}");
    }
}

#[tokio::test]
async fn the_counts_of_a_rollout_are_told_at_once_where_they_may_end_it() {
    let (desk, directory) = (Desk::open().await, tempfile::tempdir().unwrap());
    let (reporter, handle, _metrics) = desk.reporter(directory.path(), &desk.ca);
    tokio::spawn(reporter.run());
    desk.wait_for(1).await;
    handle.replace(crate::policy::trial::tests::in_force(1));
    let (_, report) = desk.wait_for(2).await.remove(1);
    let told = &report.rollouts[0];
    assert_eq!((told.id.uid.as_str(), told.id.generation, told.id.step), ("p-uid", 4, 1));
    assert_eq!(
        told.counts,
        rasp_policy::rollout::Counts::default(),
        "a step is acknowledged before it has counts"
    );
    let policy = handle.load();
    for _ in 0..10 {
        policy.trial().unwrap().request(Verdict::Block, Some(Why::Detected), true);
    }
    let (_, report) = desk.wait_for(3).await.remove(2);
    assert_eq!((report.rollouts[0].counts.blocked, report.rollouts[0].counts.enforced), (10, 10));
    handle.replace(InForce::builtin(Ruleset::build(&Effective::builtin_blocking()).unwrap()));
    let (_, report) = desk.wait_for(4).await.remove(3);
    assert!(report.rollouts.is_empty(), "no step is in force any more");
}
