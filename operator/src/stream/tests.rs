//! Over real sockets, real TLS and real HTTP/2, against an API server that knows some tokens.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rasp_policy::bundle::{Bundle, Entry, Namespace, SCHEMA_VERSION, Source};
use rasp_policy::stream::{Decoder, Frame, HAVE, PATH};
use rustls::SupportedProtocolVersion;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::{MAX_STREAMS, Refused, Streams};
use crate::certificate::{self, Issued, Resolver};
use crate::metrics::Metrics;
use crate::observe::Cache;
use crate::report::Tokens;
use crate::server::{self, Body, Handler, Link, whole};
use crate::signing::Key;
use crate::testing::{api, mk_stored, refusal, tls_client};

const HOST: &str = "kube-rasp-operator.kube-rasp.svc";

/// Nothing but streams, as `routes` answers them.
struct Only(Arc<Streams>);

impl Handler for Only {
    async fn handle(&self, request: Request<Incoming>, link: Link) -> Response<Body> {
        self.0.open(&request, &link).await.unwrap_or_else(|refused| {
            let (status, reason) = refused.answer();
            whole(status, reason.into())
        })
    }
}

struct Desk {
    address: SocketAddr,
    issued: Issued,
    cache: Arc<Cache>,
    key: Key,
    streams: Arc<Streams>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<()>,
}

/// A client's end of a stream.
struct Open {
    body: Incoming,
    decoder: Decoder,
    _sender: SendRequest<Empty<Bytes>>,
}

impl Desk {
    /// An operator that knows the token `NAMESPACE/POD` of every pod.
    async fn open(grace: Duration) -> Self {
        let (client, _) = api(|call| {
            let token = call.body["spec"]["token"].as_str().unwrap_or_default();
            let Some((namespace, pod)) = token.split_once('/') else {
                return if token == "broken" {
                    refusal(500, "InternalError")
                } else {
                    (
                        201,
                        json!({ "metadata": {}, "spec": call.body["spec"], "status": { "authenticated": false } }),
                    )
                };
            };
            let user = json!({
                "username": format!("system:serviceaccount:{namespace}:default"),
                "extra": {
                    "authentication.kubernetes.io/pod-name": [pod],
                    "authentication.kubernetes.io/pod-uid": [format!("{token}-uid")],
                },
            });
            let status = json!({ "authenticated": true, "audiences": ["rasp.dev"], "user": user });
            (201, json!({ "metadata": {}, "spec": call.body["spec"], "status": status }))
        });
        let issued = certificate::issue(&[HOST.to_owned()], std::time::SystemTime::now()).unwrap();
        let resolver = Arc::new(Resolver::new(&issued.cert_pem, &issued.key_pem).unwrap());
        let tls = Arc::new(certificate::server_config(resolver).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (metrics, cache) = (Arc::new(Metrics::new().unwrap()), Arc::new(Cache::default()));
        let tokens = Arc::new(Tokens::new(client, Arc::clone(&metrics)));
        let stop = CancellationToken::new();
        let streams = Arc::new(Streams::new(tokens, Arc::clone(&cache), Arc::clone(&metrics), stop.clone()));
        let handler = Arc::new(Only(Arc::clone(&streams)));
        let served = tokio::spawn(server::serve(listener, tls, handler, stop.clone(), grace));
        Self { address, issued, cache, key: Key::generate().unwrap(), streams, metrics, stop, served }
    }

    /// Writes a Bundle, as the watch or the leader does.
    fn write(&self, namespace: &str, sequence: u64, filling: usize) -> String {
        let bundle = bundle(namespace, sequence, filling);
        let mut stored = mk_stored(&bundle, &self.key);
        stored.namespace = namespace.to_owned();
        let text = stored.text.clone().unwrap();
        self.cache.remember_bundle(self.cache.lists(), stored);
        text
    }

    async fn connect(&self, version: &'static SupportedProtocolVersion) -> SendRequest<Empty<Bytes>> {
        let mut config = tls_client(&self.issued.ca_pem, &[version]);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = TcpStream::connect(self.address).await.unwrap();
        let stream = connector.connect(ServerName::try_from(HOST).unwrap(), stream).await.unwrap();
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    async fn ask(
        &self,
        version: &'static SupportedProtocolVersion,
        token: Option<&str>,
        have: Option<&str>,
    ) -> (Response<Incoming>, SendRequest<Empty<Bytes>>) {
        let mut sender = self.connect(version).await;
        let mut request = Request::get(format!("https://{HOST}{PATH}"));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(have) = have {
            request = request.header(HAVE, have);
        }
        let response = sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
        (response, sender)
    }

    async fn stream(&self, token: &str, have: Option<&str>) -> Open {
        let (response, sender) = self.ask(&TLS13, Some(token), have).await;
        assert_eq!(response.status(), StatusCode::OK, "{token}");
        Open { body: response.into_body(), decoder: Decoder::default(), _sender: sender }
    }

    fn count(&self) -> String {
        let text = String::from_utf8(self.metrics.render(jiff::Timestamp::UNIX_EPOCH)).unwrap();
        text.lines().find(|line| line.starts_with("rasp_policy_streams ")).unwrap().to_owned()
    }
}

/// A Bundle that cannot be packed to less than `filling` bytes.
fn bundle(namespace: &str, sequence: u64, filling: usize) -> Bundle {
    let mut random = fastrand::Rng::with_seed(sequence);
    let text: String = std::iter::repeat_with(|| random.alphanumeric()).take(filling * 4 / 3).collect();
    let source = Source { name: text, uid: "u".into(), generation: 1, created_at: String::new() };
    Bundle {
        schema_version: SCHEMA_VERSION,
        namespace: Namespace { name: namespace.into(), uid: format!("{namespace}-uid") },
        sequence,
        entries: vec![Entry::policy(source, serde_json::from_value(json!({})).unwrap())],
    }
}

impl Open {
    /// The next envelope; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            match self.decoder.next_frame().unwrap() {
                Some(Frame::Bundle(text)) => return Some(String::from_utf8(text).unwrap()),
                Some(Frame::Alive) => {}
                None => {
                    let piece = tokio::time::timeout(Duration::from_secs(20), self.body.frame()).await;
                    self.decoder.push(piece.expect("a frame in time")?.unwrap().data_ref().unwrap());
                }
            }
        }
    }
}

#[tokio::test]
async fn a_pod_gets_the_bundle_of_its_own_namespace_and_every_newer_one() {
    let desk = Desk::open(Duration::ZERO).await;
    let (shop, bank) = (desk.write("shop", 5, 10), desk.write("bank", 9, 10));
    let (mut web, mut vault) = (desk.stream("shop/web", None).await, desk.stream("bank/vault", None).await);
    assert_eq!(web.next().await.unwrap(), shop);
    assert_eq!(vault.next().await.unwrap(), bank);
    desk.write("bank", 10, 10);
    desk.write("shop", 4, 10);
    let newer = desk.write("shop", 6, 10);
    assert_eq!(web.next().await.unwrap(), newer, "nothing of another namespace, and nothing older");
    assert_eq!(desk.count(), "rasp_policy_streams 2");
    drop(web);
    for _ in 0..200 {
        if desk.count() == "rasp_policy_streams 1" {
            return assert_eq!(desk.streams.open.lock().unwrap().len(), 1);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a place is given back: {}", desk.count());
}

#[tokio::test]
async fn what_the_sidecar_has_is_not_sent_again_and_a_replica_that_lags_says_nothing() {
    let desk = Desk::open(Duration::ZERO).await;
    desk.write("shop", 5, 10);
    for have in ["5 sha256:x", "6 sha256:y"] {
        let mut web = desk.stream("shop/web", Some(have)).await;
        if have.starts_with('6') {
            desk.write("shop", 6, 10);
        }
        let sequence = if have.starts_with('6') { 8 } else { 6 };
        let newer = desk.write("shop", sequence, 10);
        assert_eq!(web.next().await.unwrap(), newer, "{have}");
        desk.cache
            .update_bundles(|bundles| bundles.rewrite(|_| mk_stored(&bundle("shop", 5, 10), &desk.key)));
    }
}

#[tokio::test]
async fn every_stream_that_is_not_opened_has_its_reason() {
    let desk = Desk::open(Duration::from_secs(5)).await;
    let refused = async |version, token: Option<&str>| {
        let (response, _sender) = desk.ask(version, token, None).await;
        let status = response.status();
        let reason = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(reason.to_vec()).unwrap())
    };
    let told = |refused: Refused| (refused.answer().0, refused.answer().1.to_owned());
    let table = [
        (&TLS12, Some("shop/web"), Refused::Protocol),
        (&TLS13, None, Refused::NoToken),
        (&TLS13, Some("unknown"), Refused::InvalidToken),
        (&TLS13, Some("broken"), Refused::Unavailable),
    ];
    for (version, token, expected) in table {
        assert_eq!(refused(version, token).await, told(expected), "{token:?}");
    }
    for _ in 0..10 {
        desk.stream("shop/hasty", None).await;
    }
    assert_eq!(refused(&TLS13, Some("shop/hasty")).await, told(Refused::TooOften));
    desk.stream("shop/other", None).await;

    // Those that were dropped give their places back first.
    let all = u32::try_from(MAX_STREAMS).unwrap();
    let taken = tokio::time::timeout(Duration::from_secs(20), desk.streams.places.acquire_many(all)).await;
    let taken = taken.expect("every place is given back").unwrap();
    assert_eq!(refused(&TLS13, Some("shop/late")).await, told(Refused::Full));
    drop(taken);
    desk.stop.cancel();
    assert_eq!(refused(&TLS13, Some("shop/late")).await, told(Refused::Stopping));
    let ids: std::collections::BTreeSet<_> = Refused::TABLE.iter().map(|row| row.2).collect();
    assert_eq!(ids.len(), Refused::TABLE.len());
}

#[tokio::test]
async fn a_pod_that_comes_again_takes_the_place_of_its_half_open_connection() {
    let desk = Desk::open(Duration::ZERO).await;
    let text = desk.write("shop", 5, 10);
    let mut older = desk.stream("shop/web", None).await;
    assert_eq!(older.next().await.unwrap(), text);
    let mut newer = desk.stream("shop/web", None).await;
    assert_eq!(older.next().await, None);
    assert_eq!(newer.next().await.unwrap(), text);
    let text = desk.write("shop", 6, 10);
    assert_eq!(newer.next().await.unwrap(), text);
    assert_eq!(desk.streams.open.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_reader_that_is_slow_gets_the_newest_and_little_else() {
    let desk = Desk::open(Duration::ZERO).await;
    desk.write("shop", 1, 10);
    let mut slow = desk.stream("shop/slow", None).await;
    let mut newest = String::new();
    for sequence in 2..=60 {
        newest = desk.write("shop", sequence, 200_000);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut came = 1;
    while slow.next().await.unwrap() != newest {
        came += 1;
    }
    assert!(came < 30, "{came} of 60");
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off_when_its_stream_ends() {
    let desk = Desk::open(Duration::ZERO).await;
    desk.write("shop", 1, 900_000);
    let stuck = desk.stream("shop/stuck", None).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let newer = desk.stream("shop/stuck", None).await;
    drop(newer);
    for _ in 0..1000 {
        if desk.count() == "rasp_policy_streams 0" {
            return drop(stuck);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{}", desk.count());
}

#[tokio::test]
async fn a_replica_that_ends_closes_its_streams_one_after_the_other_and_in_good_order() {
    let desk = Desk::open(Duration::from_secs(1)).await;
    desk.write("shop", 1, 10);
    let mut ends = tokio::task::JoinSet::new();
    for number in 0..40 {
        let mut stream = desk.stream(&format!("shop/{number}"), None).await;
        stream.next().await.unwrap();
        ends.spawn(async move {
            assert_eq!(stream.next().await, None, "an end, and no error");
            Instant::now()
        });
    }
    desk.stop.cancel();
    let ends = ends.join_all().await;
    let spread = *ends.iter().max().unwrap() - *ends.iter().min().unwrap();
    assert!(spread > Duration::from_millis(200), "{spread:?}");
    tokio::time::timeout(Duration::from_secs(5), desk.served).await.expect("the listener ends").unwrap();
}

#[tokio::test]
async fn streams_take_no_place_of_api_servers() {
    let desk = Desk::open(Duration::ZERO).await;
    let mut streams = Vec::new();
    for number in 0..20 {
        streams.push(desk.stream(&format!("shop/{number}"), None).await);
    }
    assert_eq!(desk.streams.places.available_permits(), MAX_STREAMS - 20);
    let mut sender = desk.connect(&TLS13).await;
    let request = Request::get(format!("https://{HOST}{PATH}")).body(Empty::new()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

/// From the moment in which the leader's write is answered, or the watch of another replica has it, to the last of 200
/// sidecars: the operator's own code over loopback, with as many TLS sessions. Run with `--nocapture` for the numbers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_streams_have_a_new_bundle_within_a_second() {
    const STREAMS: u64 = 200;
    const CHANGES: u64 = 20;
    let desk = Desk::open(Duration::ZERO).await;
    desk.write("shop", 1, 2000);
    let before = resident();
    let (arrivals, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let mut listening = tokio::task::JoinSet::new();
    for number in 0..STREAMS {
        let mut stream = desk.stream(&format!("shop/{number}"), None).await;
        let arrivals = arrivals.clone();
        listening.spawn(async move {
            while let Some(text) = stream.next().await {
                arrivals.send((text, Instant::now())).unwrap();
            }
        });
    }
    for _ in 0..STREAMS {
        arrived.recv().await.unwrap();
    }
    let both_ends = resident().saturating_sub(before) / STREAMS;
    let mut took = Vec::new();
    for sequence in 2..2 + CHANGES {
        let began = Instant::now();
        let text = desk.write("shop", sequence, 2000);
        for _ in 0..STREAMS {
            let (got, at) = arrived.recv().await.unwrap();
            assert_eq!(got, text);
            took.push(at - began);
        }
    }
    listening.shutdown().await;
    took.sort();
    let share = |percent: usize| took[(took.len() - 1) * percent / 100];
    println!(
        "{STREAMS} streams, {CHANGES} changes: p50 {:?}, p99 {:?}, most {:?}; {both_ends} KiB for both ends of one",
        share(50),
        share(99),
        share(100)
    );
    assert!(share(99) < Duration::from_secs(5), "{:?}", share(99));
}

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
