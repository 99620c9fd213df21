//! What goes wrong, in every mode and failure mode: each row is an exchange over sockets, and a row of docs/policy.md.

use std::net::SocketAddr;
use std::time::Duration;

use rasp_engine::{Class, Classes, Head, Inspection, Ruleset, Run};
use rasp_policy::api::{FailureMode, Mode};
use rasp_policy::precedence::Effective;
use rasp_policy::report::Rejected;
use rasp_proxy::connection::Target;
use rasp_proxy::limits::Limits;
use rasp_proxy::load::Load;
use rasp_proxy::load::breaker::End;
use rasp_proxy::load::pressure::Level;
use rasp_proxy::policy::InForce;
use rasp_proxy::state::Shared;

use super::client::{ask, get, post};
use super::timers::{ALL_LONG, Inside, serve_changed};
use super::upstream::Upstream;

const PAGE: &str = include_str!("../../../docs/policy.md");
const HEADING: &str = "## When something goes wrong";
/// The columns of the table.
const COLUMNS: [(Mode, FailureMode); 4] = [
    (Mode::Monitor, FailureMode::Open),
    (Mode::Monitor, FailureMode::Closed),
    (Mode::Block, FailureMode::Open),
    (Mode::Block, FailureMode::Closed),
];
const HELD: usize = 1 << 20;

/// Something that goes wrong.
struct Fault {
    /// First column of the table.
    name: &'static str,
    /// Bytes for held bodies.
    held: usize,
    /// Breaks the process before it starts.
    before: fn(&mut Shared),
    /// Breaks what is in force.
    after: fn(&Inside, FailureMode),
    request: fn() -> String,
}

const NONE: Fault =
    Fault { name: "", held: HELD, before: |_| {}, after: |_, _| {}, request: || get("/?q=fine") };

const FAULTS: [Fault; 20] = [
    Fault {
        name: "no policy ever arrived",
        after: |inside, failure_mode| {
            inside.policy.replace(InForce::bootstrapping(Ruleset::bootstrapping(failure_mode)));
        },
        ..NONE
    },
    Fault {
        name: "a newer policy is invalid",
        after: |inside, _| {
            inside
                .policy
                .reject(Rejected { reason: "signature".into(), message: "no signature fits".into() });
        },
        ..NONE
    },
    Fault { name: "the operator is gone, or the policy is old", ..NONE },
    Fault {
        name: "inspection panics outside of the detectors",
        before: |shared| shared.inspect = panics,
        ..NONE
    },
    Fault { name: "a detector panics", before: |shared| shared.inspect = a_detector_panics, ..NONE },
    Fault {
        name: "a detector panics whose class only watches",
        before: |shared| shared.inspect = a_detector_panics,
        after: |inside, _| {
            let mut effective = inside.policy.load().ruleset.effective().clone();
            effective.set_detection(Class::SqlInjection, |class| class.mode = Mode::Monitor);
            inside.policy.replace(in_force(&effective));
        },
        ..NONE
    },
    Fault {
        name: "a detector keeps failing and is left out, on a value it had to look at",
        before: suspend,
        request: || "GET /?name=O'Brien HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        ..NONE
    },
    Fault { name: "the same, on any other value", before: suspend, ..NONE },
    Fault {
        name: "the detector uses up its work units, values or depth",
        request: || post("application/json", &"[".repeat(100)),
        ..NONE
    },
    Fault {
        name: "a form or JSON body is over `maxBodyBytes`",
        request: || post("application/json", &format!("[\"{}\"]", "x".repeat(4096))),
        ..NONE
    },
    Fault {
        name: "a body is not what its type says",
        request: || post("application/json", "{\"a\": nothing at all"),
        ..NONE
    },
    Fault {
        name: "a body is compressed, and its type is not a binary one",
        request: || post("application/json\r\nContent-Encoding: gzip", "\u{1f}\u{8b}\u{8}\u{0}\u{1}\u{2}"),
        ..NONE
    },
    Fault {
        name: "a message of gRPC is neither Protocol Buffers nor JSON, or a multipart body is over `maxBodyBytes`",
        request: || post("application/grpc", "\u{0}\u{0}\u{0}\u{0}\u{3}abc"),
        ..NONE
    },
    Fault {
        name: "a body is binary",
        request: || post("image/png", "\u{0}\u{1}\u{2}\u{3}\u{0}\u{1}\u{2}\u{3}"),
        ..NONE
    },
    Fault {
        name: "the memory for held bodies is used up",
        held: 8,
        request: || post("application/json", "[1, 2, 3, 4, 5, 6]"),
        ..NONE
    },
    Fault {
        name: "memory is short (from 85 %) and a body over 16 KiB has to be held",
        before: |shared| shared.load.pressure.set(Level::Saving),
        after: |inside, _| {
            let mut effective = inside.policy.load().ruleset.effective().clone();
            effective.max_body_bytes = HELD;
            inside.policy.replace(in_force(&effective));
        },
        request: || post("application/json", &format!("[\"{}\"]", "x".repeat(17 << 10))),
        ..NONE
    },
    Fault {
        name: "memory is short (from 92 %)",
        before: |shared| shared.load.pressure.set(Level::Refusing),
        ..NONE
    },
    Fault {
        name: "more than `in-flight` requests at once",
        before: |shared| shared.load = Load::new(&Limits { in_flight: 0, ..Limits::in_pod() }),
        ..NONE
    },
    Fault {
        name: "any of the two, and it is a probe of the kubelet",
        before: |shared| {
            shared.load = Load::new(&Limits { in_flight: 0, ..Limits::in_pod() });
            shared.load.pressure.set(Level::Closed);
            shared.load.pressure.set(Level::Refusing);
        },
        request: || "GET /ready HTTP/1.1\r\nHost: a\r\nUser-Agent: kube-probe/1.37\r\n\r\n".to_owned(),
        ..NONE
    },
    Fault {
        name: "the framing of a request is ambiguous",
        request: || "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
        ..NONE
    },
];

fn panics(_: &Ruleset, _: &Head<'_>, _: Classes) -> Inspection {
    panic!("a bug")
}

fn a_detector_panics(ruleset: &Ruleset, head: &Head<'_>, left_out: Classes) -> Inspection {
    let mut inspection = ruleset.inspect_head_without(head, left_out);
    inspection.panicked(Class::SqlInjection);
    inspection
}

fn suspend(shared: &mut Shared) {
    let panicked = [Class::SqlInjection].into_iter().collect();
    for _ in 0..Limits::in_pod().inspection_failures {
        let end = End::Done(Run { panicked, ..Run::default() }, Duration::ZERO);
        shared.load.breaker.note(0, Classes::NONE, end);
    }
}

fn in_force(effective: &Effective) -> InForce {
    InForce::builtin(Ruleset::build(effective).unwrap())
}

/// What the client sees.
fn outcome(fault: &Fault, upstream: SocketAddr, (mode, failure_mode): (Mode, FailureMode)) -> String {
    let target = Target::Gateway(upstream.to_string().into(), upstream.port());
    let inside = serve_changed(target, ALL_LONG, fault.held, fault.before);
    let mut effective = Effective { mode, failure_mode, max_body_bytes: 1024, ..Effective::builtin() };
    effective.set_detection(Class::SqlInjection, |class| class.mode = mode);
    inside.policy.replace(in_force(&effective));
    (fault.after)(&inside, failure_mode);
    let answer = ask(inside.address, (fault.request)());
    let retries = (answer.status() == 503).then_some("1");
    assert_eq!(answer.header("retry-after"), retries, "{}: {}", fault.name, answer.head);
    match answer.status() {
        200 => "passes".to_owned(),
        status => format!("refused, {status}"),
    }
}

#[test]
fn what_happens_when_something_goes_wrong_is_what_the_page_says() {
    let upstream = Upstream::ok();
    let rows: Vec<Vec<&str>> = PAGE
        .lines()
        .skip_while(|line| *line != HEADING)
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let happens: Vec<Vec<String>> = FAULTS
        .iter()
        .map(|fault| {
            let cells = COLUMNS.map(|column| outcome(fault, upstream.address, column));
            std::iter::once(fault.name.to_owned()).chain(cells).collect()
        })
        .collect();
    for (happens, said) in happens.iter().zip(&rows) {
        assert_eq!(happens, said);
    }
    assert_eq!(rows.len(), happens.len());
}

#[test]
fn what_is_shed_says_when_to_come_back_and_is_counted() {
    let upstream = Upstream::ok();
    let target = || Target::Gateway(upstream.address.to_string().into(), upstream.address.port());
    let crowded = serve_changed(target(), ALL_LONG, HELD, |shared| {
        shared.load = Load::new(&Limits { in_flight: 0, ..Limits::in_pod() });
    });
    let answer = ask(crowded.address, get("/"));
    assert_eq!((answer.status(), answer.header("retry-after")), (503, Some("1")));
    assert_eq!(answer.header("connection"), None, "there is room again soon");
    crowded.counted("shed_in_flight");

    let tight = serve_changed(target(), ALL_LONG, HELD, |shared| shared.load.pressure.set(Level::Refusing));
    let answer = ask(tight.address, get("/"));
    assert_eq!((answer.status(), answer.header("retry-after")), (503, Some("1")));
    assert_eq!(answer.header("connection"), Some("close"));
    tight.counted("shed_memory");
    assert_eq!(upstream.text(), "");
}

#[test]
fn short_memory_ends_idle_connections_and_no_response() {
    let upstream = Upstream::ok();
    let target = Target::Gateway(upstream.address.to_string().into(), upstream.address.port());
    let (sender, receiver) = std::sync::mpsc::channel();
    let inside = serve_changed(target, ALL_LONG, HELD, |shared| {
        sender.send(std::sync::Arc::clone(&shared.load.pressure)).unwrap();
    });
    let pressure = receiver.recv().unwrap();
    let mut idle = super::client::Client::connect(inside.address);
    idle.send(get("/"));
    assert_eq!(idle.response().header("connection"), None);
    pressure.set(Level::Saving);
    assert!(idle.is_closed());
    inside.counted("shed_keep_alive");
    let answer = ask(inside.address, get("/"));
    assert_eq!((answer.status(), answer.header("connection")), (200, Some("close")));
    pressure.set(Level::Normal);
    assert_eq!(ask(inside.address, get("/")).header("connection"), None);
}
