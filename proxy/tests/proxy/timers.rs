//! What happens when somebody does not go on, with timers short enough to wait for; and how a pod's port refuses.

use std::io::{ErrorKind, Read as _, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rasp_engine::Ruleset;
use rasp_policy::api::FailureMode;
use rasp_policy::pod::{PortProtocol, PortProtocols, Probe};
use rasp_policy::precedence::Effective;
use rasp_proxy::connection::{self, Target};
use rasp_proxy::drain::Drain;
use rasp_proxy::exchange::incident::Incidents;
use rasp_proxy::limits::{Limits, Messages, Timers};
use rasp_proxy::load::Load;
use rasp_proxy::metrics::Metrics;
use rasp_proxy::policy::{Handle, InForce};
use rasp_proxy::state::{Hops, Identity, Memory, Shared};
use rasp_proxy::tls::Ports;
use rasp_proxy::{event, listener, process};

use super::client::{Client, ask, get};
use super::http2;
use super::http2::application::Application;
use super::http2::frame::{HEADERS, PREFACE, RST_STREAM, SETTINGS, frame};
use super::upgrades::SWITCHED;
use super::upstream::{OK, Upstream};

pub const SHORT: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(60);

pub const ALL_LONG: Timers = Timers {
    first_byte: LONG,
    head: LONG,
    body_idle: LONG,
    body_rate: 0,
    held_body: LONG,
    response_head: LONG,
    stream_idle: LONG,
    keep_alive_idle: LONG,
    ping: LONG,
    untaken: LONG,
    tls_handshake: LONG,
    connect: LONG,
    opaque_idle: LONG,
};

pub struct Inside {
    pub address: SocketAddr,
    pub policy: Arc<Handle>,
    pub metrics: Arc<Metrics>,
    events: Events,
}

/// Events in memory, as they would be written.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<u8>>>);

impl Write for Events {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The data path in this process.
fn serve(target: Target, timers: Timers, body_memory: usize) -> Inside {
    serve_changed(target, timers, body_memory, |_| {})
}

/// The same, changed before it starts.
pub fn serve_changed(
    target: Target,
    timers: Timers,
    body_memory: usize,
    change: impl FnOnce(&mut Shared),
) -> Inside {
    let metrics = Arc::new(Metrics::new().unwrap());
    start(target, timers, body_memory, (Ports::default(), metrics), change)
}

pub fn serve_with(
    target: Target,
    timers: Timers,
    body_memory: usize,
    tls: Ports,
    metrics: Arc<Metrics>,
) -> Inside {
    start(target, timers, body_memory, (tls, metrics), |_| {})
}

fn start(
    target: Target,
    timers: Timers,
    body_memory: usize,
    (tls, metrics): (Ports, Arc<Metrics>),
    change: impl FnOnce(&mut Shared),
) -> Inside {
    let told = Events::default();
    let (events, _writer) = event::Sink::start(told.clone(), Arc::clone(&metrics)).unwrap();
    let ruleset = Ruleset::build(&Effective::builtin_blocking()).unwrap();
    let policy = Arc::new(Handle::new(InForce::builtin(ruleset), Arc::clone(&metrics)));
    let mut protocols = PortProtocols::default();
    protocols.declare(OPAQUE, PortProtocol::Opaque);
    let mut shared = Shared {
        policy: Arc::clone(&policy),
        metrics: Arc::clone(&metrics),
        events,
        incidents: Incidents::default(),
        drain: Drain::default(),
        timers,
        messages: Messages::default(),
        identity: Identity::default(),
        probes: vec![Probe { port: target.port(), path: "/ready".into(), headers: vec![] }],
        protocols,
        tls: Arc::new(tls),
        hops: Hops::default(),
        body_memory: Memory::new(body_memory),
        unjudged: process::unjudged().unwrap(),
        load: Load::new(&Limits::in_gateway()),
        inspect: Ruleset::inspect_head_without,
    };
    change(&mut shared);
    let shared = Arc::new(shared);
    let socket = listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let counted = Arc::clone(&metrics);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let places = listener::Places::new(PLACES).under(&shared);
        let serving = listener::run(vec![socket], places, counted, move |stream, peer, place| {
            connection::serve(
                Arc::clone(&shared),
                connection::Client { stream: stream.into(), peer, place },
                target.clone(),
            )
        });
        runtime.block_on(serving).unwrap();
    });
    Inside { address, policy, metrics, events: told }
}

/// Connections at once.
pub const PLACES: usize = 100;

/// A port of the target that is declared opaque; its address is the upstream's all the same.
const OPAQUE: u16 = 3306;

pub fn gateway(upstream: SocketAddr, timers: Timers) -> Inside {
    serve(Target::Gateway(upstream.to_string().into(), upstream.port()), timers, 1 << 20)
}

impl Inside {
    pub fn has_counted(&self, kind: &str) -> bool {
        let zero = format!("rasp_errors_total{{kind=\"{kind}\"}} 0\n");
        !String::from_utf8(self.metrics.render()).unwrap().contains(&zero)
    }

    pub fn counted(&self, kind: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.has_counted(kind) {
            assert!(Instant::now() < deadline, "{kind} was not counted");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until an incident was counted, and its event is written.
    pub fn told(&self, kind: &str) -> serde_json::Value {
        self.counted(kind);
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let text = String::from_utf8(self.events.0.lock().unwrap().clone()).unwrap();
            let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let mut events = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            if let Some(event) = events.find(|event| event["unmapped"]["rule"] == kind) {
                return event;
            }
            assert!(Instant::now() < deadline, "{kind} is no event: {text}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_client_that_says_nothing_or_half_a_head_is_let_go() {
    let upstream = Upstream::ok();
    let timers = Timers { first_byte: SHORT, head: SHORT, ..ALL_LONG };
    let table =
        [("", "first_byte_timeout"), ("GE", "head_timeout"), ("GET / HTTP/1.1\r\nHost: a", "head_timeout")];
    for (beginning, reason) in table {
        let inside = gateway(upstream.address, timers);
        let mut client = Client::connect(inside.address);
        let started = Instant::now();
        client.send(beginning);
        assert!(client.is_closed(), "{beginning:?}");
        assert!(started.elapsed() >= SHORT && started.elapsed() < LONG / 6, "{beginning:?}");
        inside.counted(reason);
    }
}

#[test]
fn a_silent_http2_client_is_let_go() {
    let application = Application::start();
    let inside = gateway(application.address, Timers { ping: SHORT, head: SHORT, ..ALL_LONG });
    let begun = [PREFACE, &frame(SETTINGS, 0, 0, [])].concat();
    let beginnings: [(&str, Vec<u8>); 4] = [
        ("half a preface", PREFACE[..8].to_vec()),
        ("a preface", PREFACE.to_vec()),
        ("a preface and SETTINGS", begun.clone()),
        ("half a head", [begun, frame(HEADERS, 1, 1, [0])].concat()),
    ];
    for (what, bytes) in beginnings {
        let started = Instant::now();
        let mut client = Client::connect(inside.address);
        client.send(bytes);
        client.rest();
        assert!(started.elapsed() >= SHORT && started.elapsed() < LONG / 6, "{what}");
    }
    inside.counted("ping_timeout");
}

#[test]
fn a_stream_whose_client_takes_nothing_is_reset() {
    let application = Application::start();
    let inside = gateway(application.address, Timers { untaken: SHORT, ..ALL_LONG });
    let mut client = http2::frame::Client::connect(inside.address);
    client.send(http2::frame::settings(4, 0));
    client.send(http2::frame::get(1, "/large"));
    client.send(http2::frame::get(3, "/hold"));
    assert_eq!(client.until(|frame| frame.kind == RST_STREAM).stream, 1);
    std::thread::sleep(SHORT * 2);
    application.go();
    client.send(http2::frame::window(3, 100));
    assert_eq!(client.answer(3), 200, "a silent application has time");
}

#[test]
fn blanks_before_a_request_buy_neither_time_nor_memory() {
    let upstream = Upstream::ok();
    let slowly = gateway(upstream.address, Timers { head: SHORT, ..ALL_LONG });
    let mut client = Client::connect(slowly.address);
    let started = Instant::now();
    while client.stream.write_all(b"\r\n").is_ok() {
        assert!(started.elapsed() < SHORT * 5, "every blank bought more time");
        thread::sleep(SHORT / 5);
    }
    slowly.counted("head_timeout");

    let fast = gateway(upstream.address, ALL_LONG);
    let mut client = Client::connect(fast.address);
    let (blanks, mut sent) = (b"\r\n".repeat(2048), 0);
    while client.stream.write_all(&blanks).is_ok() {
        sent += blanks.len();
        assert!(sent < 16 << 20, "they are kept for ever");
    }
    fast.counted("request_syntax");
}

#[test]
fn an_idle_connection_lives_longer_than_a_head_may_take() {
    let upstream = Upstream::ok();
    let timers = Timers { head: SHORT, keep_alive_idle: SHORT * 5, ..ALL_LONG };
    let inside = gateway(upstream.address, timers);
    let mut client = Client::connect(inside.address);
    client.send(get("/1"));
    assert_eq!(client.response().status(), 200);
    thread::sleep(SHORT * 3);
    client.send(get("/2"));
    assert_eq!(client.response().status(), 200);
    let started = Instant::now();
    client.send("GET /3 HTTP/1.1\r\n");
    assert!(client.is_closed(), "a second head has no more time than the first");
    assert!(started.elapsed() < SHORT * 4);

    let mut idle = Client::connect(inside.address);
    let started = Instant::now();
    idle.send(get("/4"));
    assert_eq!(idle.response().status(), 200);
    assert!(idle.is_closed());
    assert!(started.elapsed() >= SHORT * 5);
    inside.counted("keep_alive_idle_timeout");
}

#[test]
fn a_body_that_stops_is_answered_408() {
    let upstream = Upstream::ok();
    let timers = Timers { body_idle: SHORT, ..ALL_LONG };
    for content_type in ["application/json", "application/octet-stream"] {
        let inside = gateway(upstream.address, timers);
        let mut client = Client::connect(inside.address);
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nContent-Length: 9\r\n\r\n{{"
        ));
        thread::sleep(SHORT * 2 / 3);
        client.send(" ");
        assert_eq!(client.response().status(), 408, "{content_type}");
        assert!(client.is_closed());
        inside.counted("body_idle_timeout");
    }
}

#[test]
fn an_application_that_does_not_answer_is_answered_for_and_a_slow_upload_is_not_its_fault() {
    let upstream = Upstream::start(|conversation| {
        let head = conversation.request()?;
        if head.contains("/never") {
            conversation.rest();
            return None;
        }
        conversation.write(OK)
    });
    let inside = gateway(upstream.address, Timers { response_head: SHORT, ..ALL_LONG });
    let response = ask(inside.address, get("/never"));
    assert_eq!((response.status(), response.header("connection")), (504, Some("close")));
    inside.counted("response_head_timeout");

    let mut slow = Client::connect(inside.address);
    slow.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: 4\r\n\r\na");
    for byte in ["b", "c", "d"] {
        thread::sleep(SHORT * 2 / 3);
        slow.send(byte);
    }
    assert_eq!(slow.response().status(), 200);
}

#[test]
fn a_stream_whose_application_does_not_answer_is_answered_for_and_its_neighbours_live_on() {
    let application = Application::start();
    let inside = gateway(application.address, Timers { response_head: SHORT, ..ALL_LONG });
    let mut client = http2::frame::Client::connect(inside.address);
    client.send(http2::frame::get(1, "/hold"));
    assert_eq!(client.answer(1), 504);
    inside.counted("response_head_timeout");
    client.send(http2::frame::get(3, "/"));
    assert_eq!(client.answer(3), 200);
    application.wait_for_cancelled("/hold");
}

#[test]
fn opaque_connections_end_when_nothing_moves() {
    let upstream = Upstream::start(|conversation| {
        conversation.rest();
        None
    });
    let inside = gateway(upstream.address, Timers { opaque_idle: SHORT * 2, ..ALL_LONG });
    let mut client = Client::connect(inside.address);
    let started = Instant::now();
    client.send(b"\0\0\0\0");
    thread::sleep(SHORT);
    client.send(b"\0");
    assert!(client.is_closed());
    assert!(started.elapsed() >= SHORT * 3 && started.elapsed() < LONG / 6);
    inside.counted("opaque_idle_timeout");
}

#[test]
fn a_declared_opaque_port_is_relayed_without_waiting_for_anybody() {
    let upstream = Upstream::start(|conversation| {
        conversation.until(b"1'='1")?;
        conversation.write(b"rows")
    });
    let target = Target::Gateway(upstream.address.to_string().into(), OPAQUE);
    let inside = serve(target, ALL_LONG, 1 << 20);
    let mut client = Client::connect(inside.address);
    client.send("GET /?q=1' OR '1'='1");
    assert_eq!(client.rest(), b"rows");
    assert!(String::from_utf8(inside.metrics.render()).unwrap().contains("{reason=\"opaque_port\"} 1\n"));
}

#[test]
fn a_closed_port_of_a_pod_resets_the_client_as_without_the_proxy() {
    let inside = serve(Target::Pod(Upstream::refusing()), ALL_LONG, 1 << 20);
    for request in ["", &get("/")] {
        let mut client = Client::connect(inside.address);
        // The reset may be faster than the request; either call tells it.
        let sent = client.stream.write_all(request.as_bytes());
        let error = sent.and_then(|()| client.stream.read(&mut [0]).map(drop)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{request:?}");
    }
    inside.counted("upstream_connect");
}

#[test]
fn a_reset_of_the_application_reaches_the_client_of_an_opaque_connection() {
    let application = TcpListener::bind("127.0.0.1:0").unwrap();
    let inside = gateway(application.local_addr().unwrap(), ALL_LONG);
    let mut client = Client::connect(inside.address);
    client.send(b"\0\0\0\0");
    let (stream, _) = application.accept().unwrap();
    stream.peek(&mut [0; 4]).unwrap();
    drop(stream); // with unread bytes: a reset
    let mut byte = [0];
    assert_eq!(client.stream.read(&mut byte).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn held_bodies_share_a_budget_and_a_request_beyond_it_is_refused_whatever_the_failure_mode() {
    let upstream = Upstream::ok();
    let target = Target::Gateway(upstream.address.to_string().into(), upstream.address.port());
    let inside = serve(target, ALL_LONG, 1000);
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(800));
    let request = super::client::post("application/json", &body);
    let mut holding = Client::connect(inside.address);
    holding.send(&request[..request.len() - 1]);
    thread::sleep(SHORT / 3);
    assert_eq!(Effective::builtin_blocking().failure_mode, FailureMode::Open);
    let refused = ask(inside.address, &request);
    assert_eq!((refused.status(), refused.header("connection")), (503, Some("close")));
    assert_eq!(upstream.text(), "");
    inside.counted("body_memory");
    holding.send(&request[request.len() - 1..]);
    assert_eq!(holding.response().status(), 200);
    upstream.wait_for(&body);
    assert!(String::from_utf8(inside.metrics.render()).unwrap().contains("verdict=\"error\"} 1\n"));
    let mut again = Client::connect(inside.address);
    again.send(&request);
    assert_eq!(again.response().status(), 200);
    assert!(
        String::from_utf8(inside.metrics.render()).unwrap().contains("verdict=\"error\"} 1\n"),
        "given back"
    );
}

/// The first body is larger than the buffers of the kernel, which take what nobody reads.
#[test]
fn a_held_body_counts_until_the_application_has_taken_it() {
    let application = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = application.local_addr().unwrap();
    let memory = (12 << 20) + (100 << 10);
    let inside = serve(Target::Gateway(address.to_string().into(), address.port()), ALL_LONG, memory);
    let effective = Effective { max_body_bytes: 16 << 20, ..Effective::builtin_blocking() };
    inside.policy.replace(InForce::builtin(Ruleset::build(&effective).unwrap()));
    let request = |length: usize| {
        super::client::post("application/json", &format!("{{\"a\":\"{}\"}}", "x".repeat(length)))
    };
    let (large, small) = (request(12 << 20), request(200 << 10));
    let mut first = Client::connect(inside.address);
    first.send(&large);
    let (mut taken, _) = application.accept().unwrap();
    taken.peek(&mut [0]).unwrap(); // it is judged, and on its way
    assert_eq!(ask(inside.address, &small).status(), 503);
    let mut rest = vec![0; large.len()];
    taken.read_exact(&mut rest).unwrap();
    taken.write_all(OK).unwrap();
    assert_eq!(first.response().status(), 200);
    drop(application.accept().unwrap()); // of the one that was refused
    let mut next = Client::connect(inside.address);
    next.send(&small);
    let (mut taken, _) = application.accept().unwrap();
    taken.read_exact(&mut rest[..small.len()]).unwrap();
    taken.write_all(OK).unwrap();
    assert_eq!(next.response().status(), 200, "given back");
}

#[test]
fn a_busy_connection_from_before_protection_was_switched_on_ends_soon() {
    let upstream = Upstream::ok();
    let inside = gateway(upstream.address, ALL_LONG);
    inside.policy.replace(InForce::builtin(process::unjudged().unwrap()));
    let attack = get("/?q=1%27%20OR%20%271%27=%271");
    let mut client = Client::connect(inside.address);
    client.send(&attack);
    assert_eq!(client.response().status(), 200);
    inside.policy.replace(InForce::builtin(Ruleset::build(&Effective::builtin_blocking()).unwrap()));
    let started = Instant::now();
    while client.stream.write_all(attack.as_bytes()).is_ok() {
        assert!(started.elapsed() < Duration::from_secs(8), "it is never quiet, and stays a way past");
        thread::sleep(SHORT / 2);
    }
}

#[test]
fn no_request_is_lost_while_the_policy_changes_all_the_time() {
    let upstream = Upstream::ok();
    let inside = gateway(upstream.address, ALL_LONG);
    let attack = get("/?q=1%27%20OR%20%271%27=%271");
    let build = |effective: &Effective| InForce::builtin(Ruleset::build(effective).unwrap());
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::connect(inside.address);
                    let mut refused = 0;
                    for _ in 0..300 {
                        client.send(get("/fine"));
                        assert_eq!(client.response().status(), 200);
                        client.send(&attack);
                        match client.response().status() {
                            200 => {}
                            403 => refused += 1,
                            other => panic!("{other} is explained by neither policy"),
                        }
                    }
                    refused
                })
            })
            .collect();
        while clients.iter().any(|client| !client.is_finished()) {
            for effective in [Effective::builtin(), Effective::builtin_blocking()] {
                inside.policy.replace(build(&effective));
                thread::sleep(Duration::from_millis(2));
            }
        }
        let refused: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
        assert!((1..1200).contains(&refused), "both policies were in force: {refused}");
        let arrived = upstream.text();
        assert_eq!(arrived.matches("GET /fine ").count(), 1200);
        assert_eq!(
            arrived.matches("GET /?q=").count(),
            1200 - refused,
            "each one judged, each one counted once"
        );
        assert_eq!(upstream.connections(), 4);
    });
}

/// Both in ten seconds: that is how long a body may be as slow as it likes.
#[test]
fn a_body_that_trickles_in_is_answered_408_whether_it_is_held_or_not() {
    let upstream = Upstream::ok();
    let inside = gateway(upstream.address, Timers { body_rate: 500, ..ALL_LONG });
    thread::scope(|scope| {
        // HTTP/1 has no gRPC: the type buys no time.
        for content_type in ["application/json", "image/png", "application/grpc"] {
            let address = inside.address;
            scope.spawn(move || {
                let mut client = Client::connect(address);
                let started = Instant::now();
                client.send(format!(
                    "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nContent-Length: 10000\r\n\r\n["
                ));
                let mut trickle = client.stream.try_clone().unwrap();
                thread::spawn(move || {
                    while trickle.write_all(b" ").is_ok() && started.elapsed() < LONG / 2 {
                        thread::sleep(SHORT);
                    }
                });
                assert_eq!(client.response().status(), 408);
                assert!(started.elapsed() >= Duration::from_secs(9) && started.elapsed() < LONG / 4);
            });
        }
    });
    inside.told("body_rate");
}

#[test]
fn a_held_body_has_a_longest_time_however_fast_it_comes() {
    let upstream = Upstream::ok();
    let inside = gateway(upstream.address, Timers { held_body: SHORT, ..ALL_LONG });
    let mut client = Client::connect(inside.address);
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 10000\r\n\r\n[",
    );
    let mut trickle = client.stream.try_clone().unwrap();
    thread::spawn(move || {
        while trickle.write_all(b" ").is_ok() {
            thread::sleep(SHORT / 10);
        }
    });
    assert_eq!(client.response().status(), 408);
    inside.counted("held_body_timeout");
}

#[test]
fn a_response_that_stops_is_broken_off_and_one_that_nobody_reads_is_not() {
    let upstream = Upstream::start(|conversation| {
        let stops = conversation.request()?.contains("/stops");
        let length = if stops { 10 } else { 8 << 20 };
        conversation.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes())?;
        conversation.write(&b"some".repeat(if stops { 1 } else { 2 << 20 }))?;
        conversation.rest();
        None
    });
    let inside = gateway(upstream.address, Timers { stream_idle: SHORT, ..ALL_LONG });
    let mut client = Client::connect(inside.address);
    client.send(get("/stops"));
    client.head();
    assert_eq!(client.exactly(4), b"some");
    assert!(client.is_closed());
    inside.counted("stream_idle_timeout");

    let mut slow = Client::connect(inside.address);
    slow.send(get("/whole"));
    slow.head();
    thread::sleep(SHORT * 2);
    assert_eq!(slow.exactly(8 << 20).len(), 8 << 20);
}

#[test]
fn a_request_like_a_probe_with_a_body_is_judged() {
    let upstream = Upstream::ok();
    let inside = gateway(upstream.address, ALL_LONG);
    let probe = "GET /ready HTTP/1.1\r\nHost: a\r\nUser-Agent: kube-probe/1.37\r\n";
    assert_eq!(ask(inside.address, format!("{probe}\r\n")).status(), 200);
    assert!(String::from_utf8(inside.metrics.render()).unwrap().contains("{reason=\"probe\"} 1\n"));
    let attack = "id=1%27+UNION+SELECT+password+FROM+users--";
    let fields = "Content-Type: application/x-www-form-urlencoded\r\n";
    let request = format!("{probe}{fields}Content-Length: {}\r\n\r\n{attack}", attack.len());
    assert_eq!(ask(inside.address, request).status(), 403);
}

#[test]
fn a_websocket_is_not_cut_by_the_timers_of_http() {
    let upstream = Upstream::start(|conversation| {
        conversation.request()?;
        conversation.write(SWITCHED)?;
        conversation.exactly(12)?;
        conversation.write(b"\x8a\x00")
    });
    let gateway = gateway(upstream.address, Timers { head: SHORT, keep_alive_idle: SHORT, ..ALL_LONG });
    let mut client = Client::connect(gateway.address);
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    for _ in 0..2 {
        thread::sleep(SHORT * 2);
        client.send(b"\x89\x80\x01\x02\x03\x04");
    }
    assert_eq!(client.exactly(2), b"\x8a\x00");
}
