//! A real stream over loopback TLS and HTTP/2, from an operator that does as it is told, into the real watch.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::os::unix::fs::symlink;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rasp_engine::Ruleset;
use rasp_policy::api::{FailureMode, Mode};
use rasp_policy::report::{EffectiveMode, PolicyState};
use rasp_policy::stream::{ALIVE_FRAME, HAVE, PATH, bundle_frame};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio::sync::mpsc as channel;
use tokio_rustls::TlsAcceptor;

use super::{Stream, Timing};
use crate::metrics::Metrics;
use crate::policy::load::tests::{Signer, bundle};
use crate::policy::sequence::Store;
use crate::policy::watch::Watch;
use crate::policy::{Handle, InForce};
use crate::report::{Operator, roots};

/// How a connection goes.
enum Act {
    /// The stream is opened, and sends what the test sends.
    Answer,
    /// The request is never answered.
    Stall,
    /// Refused with this status.
    Refuse(u16),
}

/// An accepted stream: what the sidecar said it has, and the way to it.
struct Accepted {
    have: Option<String>,
    token: String,
    to: channel::UnboundedSender<Bytes>,
}

struct Fed(channel::UnboundedReceiver<Bytes>);

impl Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

struct World {
    signer: Signer,
    stranger: Signer,
    directory: tempfile::TempDir,
    handle: Arc<Handle>,
    metrics: Arc<Metrics>,
    acts: Arc<Mutex<VecDeque<Act>>>,
    accepted: channel::UnboundedReceiver<Accepted>,
    _stream: tokio::task::JoinHandle<()>,
}

const FAST: Timing = Timing {
    attempt: Duration::from_millis(400),
    silence: Duration::from_millis(400),
    pause_min: Duration::from_millis(20),
    pause_max: Duration::from_millis(100),
    steady: Duration::from_secs(1),
};
/// For tests that take their time.
const PATIENT: Timing = Timing { silence: Duration::from_secs(60), ..FAST };

impl World {
    /// A sidecar with a Bundle of sequence 200 in its mount, in Monitor.
    async fn start(acts: impl IntoIterator<Item = Act>, timing: Timing) -> Self {
        let (signer, directory) = (Signer::new(), tempfile::tempdir().unwrap());
        let config = directory.path().join("config");
        std::fs::create_dir(&config).unwrap();
        std::fs::write(config.join("labels"), "app=\"web\"\n").unwrap();
        std::fs::write(config.join("bundle.v1"), signer.seal(&bundle(200, Mode::Monitor, None).to_bytes()))
            .unwrap();
        std::fs::write(directory.path().join("token"), "secret\n").unwrap();

        let metrics = Arc::new(Metrics::new().unwrap());
        let first = InForce::bootstrapping(Ruleset::bootstrapping(FailureMode::Closed));
        let handle = Arc::new(Handle::new(first, Arc::clone(&metrics)));
        let store = Store::new(directory.path());
        let mut watch = Watch::new(config, signer.checks(), store, Arc::clone(&handle), Arc::clone(&metrics));
        watch.look();
        let (offers, offered) = mpsc::channel();
        std::thread::spawn(move || watch.run(&offered));

        let acts = Arc::new(Mutex::new(acts.into_iter().collect()));
        let (url, ca, accepted) = serve(Arc::clone(&acts)).await;
        let operator = Operator {
            url: url.parse().unwrap(),
            roots: roots(ca.as_bytes()).unwrap(),
            token: directory.path().join("token"),
        };
        let stream =
            Stream::new(operator, Arc::clone(&handle), Arc::clone(&metrics), offers).unwrap().timed(timing);
        let stream = tokio::spawn(stream.run());
        Self { signer, stranger: Signer::new(), directory, handle, metrics, acts, accepted, _stream: stream }
    }

    async fn accept(&mut self) -> Accepted {
        tokio::time::timeout(Duration::from_secs(20), self.accepted.recv()).await.expect("a stream").unwrap()
    }

    fn sealed(&self, sequence: u64, mode: Mode) -> String {
        self.signer.seal(&bundle(sequence, mode, None).to_bytes())
    }

    fn state(&self) -> (PolicyState, EffectiveMode, Option<u64>) {
        let status = self.handle.status();
        let mode = status.in_force.ruleset.effective().effective_mode();
        (status.state(), mode, status.in_force.sequence)
    }

    async fn until(&self, what: &str, wanted: impl Fn(&Self) -> bool) {
        for _ in 0..1000 {
            if wanted(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what}: {:?}\n{}", self.state(), self.metrics());
    }

    async fn until_state(&self, state: PolicyState, mode: EffectiveMode, sequence: u64) {
        self.until(&format!("{state:?} {sequence}"), |world| world.state() == (state, mode, Some(sequence)))
            .await;
    }

    fn metrics(&self) -> String {
        String::from_utf8(self.metrics.render()).unwrap()
    }

    /// Nothing was counted as a broken stream.
    fn is_unbroken(&self) -> bool {
        self.metrics().contains("rasp_errors_total{kind=\"policy_stream\"} 0\n")
    }
}

impl Accepted {
    fn send(&self, bytes: impl Into<Bytes>) {
        self.to.send(bytes.into()).unwrap();
    }
}

/// Accepts connections and does with each request what is next in the list; answers when the list is empty.
async fn serve(acts: Arc<Mutex<VecDeque<Act>>>) -> (String, String, channel::UnboundedReceiver<Accepted>) {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let (accepting, accepted) = channel::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let (acts, accepting) = (Arc::clone(&acts), accepting.clone());
            let service = service_fn(move |request| answer(request, Arc::clone(&acts), accepting.clone()));
            let connection =
                http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    (url, certified.cert.pem(), accepted)
}

async fn answer(
    request: Request<Incoming>,
    acts: Arc<Mutex<VecDeque<Act>>>,
    accepting: channel::UnboundedSender<Accepted>,
) -> Result<Response<Fed>, Infallible> {
    assert_eq!((request.method().as_str(), request.uri().path()), ("GET", PATH));
    let field = |name| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (to, from) = channel::unbounded_channel();
    let act = acts.lock().unwrap().pop_front().unwrap_or(Act::Answer);
    match act {
        Act::Stall => std::future::pending().await,
        Act::Refuse(status) => Ok(Response::builder().status(status).body(Fed(from)).unwrap()),
        Act::Answer => {
            let token = field("authorization").unwrap();
            accepting.send(Accepted { have: field(HAVE), token, to }).unwrap();
            Ok(Response::new(Fed(from)))
        }
    }
}

#[tokio::test]
async fn a_new_bundle_is_in_force_at_once_and_the_next_stream_says_so() {
    let mut world = World::start([], PATIENT).await;
    let stream = world.accept().await;
    assert_eq!(stream.token, "Bearer secret");
    assert!(stream.have.unwrap().starts_with("200 sha256:"));
    let stream = { stream.to };
    stream.send(ALIVE_FRAME.to_vec().into()).unwrap();
    for (sequence, mode, effective) in
        [(201, Mode::Block, EffectiveMode::Block), (202, Mode::Off, EffectiveMode::Off)]
    {
        stream.send(bundle_frame(&world.sealed(sequence, mode)).into()).unwrap();
        world.until_state(PolicyState::Current, effective, sequence).await;
    }
    let page = world.metrics();
    assert!(page.contains("rasp_policy_source{source=\"stream\"} 1\n"), "{page}");
    assert!(page.contains("rasp_policy_source{source=\"file\"} 0\n"), "{page}");
    assert!(page.contains("rasp_policy_stream_open 1\n"), "{page}");
    drop(stream);
    let again = world.accept().await;
    assert!(again.have.unwrap().starts_with("202 sha256:"));
    assert!(world.is_unbroken(), "an end is no error");
}

#[tokio::test]
async fn what_nobody_should_obey_is_refused_by_name_and_the_stream_goes_on() {
    let mut world = World::start([], PATIENT).await;
    let stream = world.accept().await;
    stream.send(bundle_frame(&world.sealed(300, Mode::Block)));
    world.until_state(PolicyState::Current, EffectiveMode::Block, 300).await;
    let mut foreign = bundle(301, Mode::Off, None);
    foreign.namespace.name = "bank".into();
    let mut recreated = bundle(301, Mode::Off, None);
    recreated.namespace.uid = "uid-2".into();
    let off = bundle(301, Mode::Off, None).to_bytes();
    let unsigned = serde_json::json!({
        "payloadType": rasp_policy::bundle::PAYLOAD_TYPE, "payload": BASE64.encode(&off), "signatures": [],
    });
    let tampered = {
        let mut envelope: serde_json::Value = serde_json::from_str(&world.sealed(302, Mode::Block)).unwrap();
        envelope["payload"] = BASE64.encode(&off).into();
        envelope.to_string()
    };
    let table = [
        ("older", "a replay", world.sealed(250, Mode::Off)),
        ("older", "another Bundle of the same sequence", world.sealed(300, Mode::Off)),
        ("older", "below the floor of admission", world.sealed(99, Mode::Off)),
        ("namespace", "of another namespace", world.signer.seal(&foreign.to_bytes())),
        ("namespace", "of a namespace of the same name", world.signer.seal(&recreated.to_bytes())),
        ("unsigned", "without a signature", unsigned.to_string()),
        ("signature", "signed by a stranger", world.stranger.seal(&off)),
        ("signature", "changed on the way", tampered),
        ("malformed", "no envelope", "{}".to_owned()),
    ];
    for (expected, name, envelope) in table {
        world.handle.settle();
        stream.send(bundle_frame(&envelope));
        world.until(name, |world| world.handle.status().rejected.is_some()).await;
        assert_eq!(world.handle.status().rejected.unwrap().reason, expected, "{name}");
        assert_eq!(world.state(), (PolicyState::Rejected, EffectiveMode::Block, Some(300)), "{name}");
    }
    // A rollback is a former content under a new number.
    stream.send(bundle_frame(&world.sealed(303, Mode::Monitor)));
    world.until_state(PolicyState::Current, EffectiveMode::Monitor, 303).await;
    assert!(world.is_unbroken());
}

#[tokio::test]
async fn frames_that_are_none_end_the_stream_and_the_next_one_is_heard() {
    let table: [(&str, &[u8]); 5] = [
        ("garbage", b"HTTP/1.1 200 OK\r\n\r\n"),
        ("an oversized frame", b"B\xff\xff\xff\xff"),
        ("a full sign of life", b"A\0\0\0\x01x"),
        ("half a frame", b"B\0\0\x01\0{"),
        ("half a head", b"B\0"),
    ];
    for (name, bytes) in table {
        let mut world = World::start([], PATIENT).await;
        let bad = world.accept().await;
        bad.send(bytes.to_vec());
        drop(bad.to);
        let good = world.accept().await;
        assert!(!world.is_unbroken(), "{name} is counted");
        assert_eq!(world.state(), (PolicyState::Current, EffectiveMode::Monitor, Some(200)), "{name}");
        good.send(bundle_frame(&world.sealed(201, Mode::Block)));
        world.until_state(PolicyState::Current, EffectiveMode::Block, 201).await;
    }
}

#[tokio::test]
async fn an_operator_that_stalls_in_whatever_way_is_left() {
    let mut world = World::start([Act::Stall, Act::Refuse(503), Act::Refuse(401)], FAST).await;
    let silent = world.accept().await;
    let dripping = world.accept().await;
    let frame = bundle_frame(&world.sealed(201, Mode::Block));
    let (to, bytes) = (dripping.to, frame.clone());
    tokio::spawn(async move {
        for byte in bytes {
            let _ = to.send(Bytes::copy_from_slice(&[byte]));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let good = world.accept().await;
    good.send(frame);
    world.until_state(PolicyState::Current, EffectiveMode::Block, 201).await;
    assert!(world.acts.lock().unwrap().is_empty());
    drop(silent);
}

#[tokio::test]
async fn an_operator_of_another_ca_is_told_no_token() {
    let mut world = World::start([], FAST).await;
    let real = world.accept().await;
    let (url, _, mut accepted) = serve(Arc::default()).await;
    let (offers, _offered) = mpsc::channel();
    let stranger = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert.pem();
    let operator = Operator {
        url: url.parse().unwrap(),
        roots: roots(stranger.as_bytes()).unwrap(),
        token: world.directory.path().join("token"),
    };
    let stream =
        Stream::new(operator, Arc::clone(&world.handle), Arc::clone(&world.metrics), offers).unwrap();
    let run = tokio::spawn(stream.timed(FAST).run());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(accepted.try_recv().is_err());
    assert!(!world.is_unbroken());
    run.abort();
    drop(real);
}

#[tokio::test]
async fn the_file_never_takes_back_what_the_stream_brought() {
    let mut world = World::start([], PATIENT).await;
    let stream = world.accept().await;
    stream.send(bundle_frame(&world.sealed(300, Mode::Block)));
    world.until_state(PolicyState::Current, EffectiveMode::Block, 300).await;
    let mount = |sequence, mode| {
        let config = world.directory.path().join("config");
        let (next, file) = (config.join("next"), config.join("bundle.v1"));
        std::fs::write(&next, world.sealed(sequence, mode)).unwrap();
        let _ = std::fs::remove_file(&file);
        symlink(&next, &file).unwrap();
    };
    mount(250, Mode::Off); // kubelet is a minute behind
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(world.state(), (PolicyState::Current, EffectiveMode::Block, Some(300)));
    mount(301, Mode::Monitor); // the stream is away, say
    world.until_state(PolicyState::Current, EffectiveMode::Monitor, 301).await;
    stream.send(bundle_frame(&world.sealed(302, Mode::Block)));
    world.until_state(PolicyState::Current, EffectiveMode::Block, 302).await;
    mount(250, Mode::Off); // somebody writes an old one
    world.until_state(PolicyState::Rejected, EffectiveMode::Block, 302).await;
    assert_eq!(world.handle.status().rejected.unwrap().reason, "older");
}
