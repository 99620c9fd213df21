//! Every limit that is met is an event that tells whose it was, and nothing of what was sent.

use std::net::SocketAddr;
use std::thread;

use rasp_policy::pod::PortProtocol;
use rasp_proxy::connection::Target;
use rasp_proxy::limits::{Limits, Timers};
use rasp_proxy::load::Load;
use rasp_proxy::load::pressure::Level;
use rasp_proxy::policy::InForce;
use rasp_proxy::process;
use rasp_proxy::state::Shared;

use super::client::{Client, get};
use super::crowded;
use super::http2::application::Application;
use super::http2::frame::{self, PING, PREFACE, SETTINGS};
use super::timers::{ALL_LONG, PLACES, SHORT, serve_changed};
use super::upgrades::SWITCHED;
use super::upstream::Upstream;

/// A word of every request that has one; no event may hold it.
const SECRET: &str = "s3cr3t";

/// Something that meets a limit.
struct Incident {
    kind: &'static str,
    timers: Timers,
    change: fn(&mut Shared),
    upstream: fn() -> SocketAddr,
    /// Connections that are opened before the one that sends.
    others: usize,
    sends: Vec<u8>,
    /// Method and path, where there was a request.
    request: Option<(&'static str, &'static str)>,
    /// Whether a client is named.
    client: bool,
    verdict: &'static str,
}

impl Incident {
    fn of(kind: &'static str, sends: impl Into<Vec<u8>>) -> Self {
        Self {
            kind,
            timers: ALL_LONG,
            change: |_| {},
            upstream: ok,
            others: 0,
            sends: sends.into(),
            request: None,
            client: true,
            verdict: "block",
        }
    }
}

fn ok() -> SocketAddr {
    Upstream::ok().address
}

fn silent() -> SocketAddr {
    let upstream = Upstream::start(|conversation| {
        conversation.rest();
        None
    });
    upstream.address
}

fn stops() -> SocketAddr {
    falls_silent_after(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nsome")
}

fn switches() -> SocketAddr {
    falls_silent_after(SWITCHED)
}

fn falls_silent_after(response: &'static [u8]) -> SocketAddr {
    let upstream = Upstream::start(|conversation| {
        conversation.request()?;
        conversation.write(response)?;
        conversation.rest();
        None
    });
    upstream.address
}

fn http2() -> SocketAddr {
    Application::start().address
}

fn full() -> SocketAddr {
    let (listener, queued) = crowded::full();
    let address = listener.local_addr().unwrap();
    std::mem::forget((listener, queued));
    address
}

fn asked() -> String {
    get(&format!("/rooms?q={SECRET}"))
}

fn begun(content_type: &str) -> String {
    format!(
        "POST /rooms?q={SECRET} HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nContent-Length: 900\r\n\r\n[{SECRET}"
    )
}

fn handshake(frames: &[u8]) -> Vec<u8> {
    let head = format!(
        "GET /rooms?q={SECRET} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    [head.as_bytes(), frames].concat()
}

fn greeting(frames: &[Vec<u8>]) -> Vec<u8> {
    [PREFACE, &frame::frame(SETTINGS, 0, 0, []), &frames.concat()].concat()
}

fn of_clients() -> Vec<Incident> {
    vec![
        Incident {
            timers: Timers { first_byte: SHORT, ..ALL_LONG },
            ..Incident::of("first_byte_timeout", "")
        },
        Incident { timers: Timers { head: SHORT, ..ALL_LONG }, ..Incident::of("head_timeout", "GE") },
        Incident {
            timers: Timers { head: SHORT, ..ALL_LONG },
            ..Incident::of("head_timeout", format!("GET /rooms HTTP/1.1\r\nCookie: {SECRET}"))
        },
        Incident::of("request_syntax", b"\r\n".repeat(20_000)),
        Incident {
            change: |shared| {
                let port = shared.probes[0].port;
                shared.protocols.declare(port, PortProtocol::Http);
            },
            ..Incident::of("port_protocol", format!("SSH-2.0-{SECRET}\r\n"))
        },
        Incident {
            change: |shared| shared.hops.proxy_protocol = vec!["127.0.0.0/8".parse().unwrap()],
            ..Incident::of("proxy_protocol", asked())
        },
        Incident {
            timers: Timers { opaque_idle: SHORT, ..ALL_LONG },
            upstream: silent,
            ..Incident::of("opaque_idle_timeout", format!("\0\0\0\0{SECRET}"))
        },
        Incident {
            timers: Timers { opaque_idle: SHORT, ..ALL_LONG },
            upstream: silent,
            change: |shared| {
                shared.policy.replace(InForce::builtin(process::unjudged().unwrap()));
            },
            ..Incident::of("opaque_idle_timeout", asked())
        },
        Incident {
            timers: Timers { ping: SHORT, ..ALL_LONG },
            upstream: http2,
            ..Incident::of("ping_timeout", greeting(&[]))
        },
        Incident {
            timers: Timers { untaken: SHORT, ..ALL_LONG },
            upstream: http2,
            ..Incident::of(
                "untaken_stream_timeout",
                greeting(&[frame::settings(4, 0), frame::get(1, &format!("/large?q={SECRET}"))]),
            )
        },
        Incident {
            upstream: http2,
            ..Incident::of("http2_flood_ping", greeting(&vec![frame::frame(PING, 0, 0, [0; 8]); 5_000]))
        },
    ]
}

fn of_requests() -> Vec<Incident> {
    let posted = Some(("POST", "/rooms"));
    let got = Some(("GET", "/rooms"));
    vec![
        Incident {
            timers: Timers { body_idle: SHORT, ..ALL_LONG },
            request: posted,
            ..Incident::of("body_idle_timeout", begun("image/png"))
        },
        Incident {
            timers: Timers { held_body: SHORT, ..ALL_LONG },
            request: posted,
            ..Incident::of("held_body_timeout", begun("application/json"))
        },
        Incident {
            change: |shared| shared.load = Load::new(&Limits { in_flight: 0, ..Limits::in_pod() }),
            request: got,
            ..Incident::of("shed_in_flight", asked())
        },
        Incident {
            change: |shared| shared.load.pressure.set(Level::Refusing),
            request: got,
            ..Incident::of("shed_memory", asked())
        },
        Incident {
            timers: Timers { opaque_idle: SHORT, ..ALL_LONG },
            upstream: switches,
            request: got,
            ..Incident::of("opaque_idle_timeout", handshake(&[]))
        },
        Incident {
            upstream: switches,
            request: got,
            ..Incident::of("websocket_mask", handshake(b"\x81\x06s3cr3t"))
        },
        Incident {
            timers: Timers { stream_idle: SHORT, ..ALL_LONG },
            upstream: stops,
            request: got,
            verdict: "error",
            ..Incident::of("stream_idle_timeout", asked())
        },
    ]
}

fn of_nobody() -> Vec<Incident> {
    vec![
        Incident {
            timers: Timers { response_head: SHORT, ..ALL_LONG },
            upstream: silent,
            verdict: "error",
            ..Incident::of("response_head_timeout", asked())
        },
        Incident {
            timers: Timers { connect: SHORT, ..ALL_LONG },
            upstream: full,
            client: false,
            verdict: "error",
            ..Incident::of("connect_timeout", asked())
        },
        Incident { others: PLACES, client: false, ..Incident::of("shed_connections", asked()) },
        Incident {
            change: |shared| shared.load.pressure.set(Level::Closed),
            client: false,
            ..Incident::of("shed_accept", "")
        },
    ]
}

fn is_told(incident: &Incident) {
    let upstream = (incident.upstream)();
    let target = Target::Gateway(upstream.to_string().into(), upstream.port());
    let inside = serve_changed(target, incident.timers, 1 << 20, incident.change);
    let _others: Vec<Client> = (0..incident.others).map(|_| Client::connect(inside.address)).collect();
    let mut client = Client::connect(inside.address);
    let _ = std::io::Write::write_all(&mut client.stream, &incident.sends); // it may be closed already
    let event = inside.told(incident.kind);
    let told = |pointer: &str| event.pointer(pointer).and_then(serde_json::Value::as_str);
    let kind = Some(incident.kind);
    assert_eq!((told("/unmapped/rule"), told("/finding_info/types/0")), (kind, kind));
    assert_eq!(told("/severity"), Some("Low"), "{event}");
    assert_eq!(told("/unmapped/coverage"), Some("none"), "{event}");
    assert_eq!(told("/unmapped/verdict"), Some(incident.verdict), "{event}");
    let whose = incident.client.then_some("127.0.0.1");
    assert_eq!(told("/src_endpoint/ip"), whose, "{event}");
    let (method, path) = incident.request.unzip();
    assert_eq!(told("/http_request/http_method"), method.or(Some("other")), "{event}");
    assert_eq!(told("/http_request/url/path"), path, "{event}");
    assert!(!event.to_string().contains(SECRET), "{event}");
}

#[test]
fn every_limit_that_is_met_is_an_event_that_names_the_client_and_no_payload() {
    let incidents: Vec<Incident> = [of_clients(), of_requests(), of_nobody()].into_iter().flatten().collect();
    thread::scope(|scope| {
        let told: Vec<_> =
            incidents.iter().map(|incident| (incident.kind, scope.spawn(|| is_told(incident)))).collect();
        let failed: Vec<&str> =
            told.into_iter().filter_map(|(kind, told)| told.join().err().map(|_| kind)).collect();
        assert!(failed.is_empty(), "{failed:?}");
    });
}
