//! Row 1: the application breaks off. Whoever reads must see that the message is not whole.

use std::io::Write as _;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use socket2::SockRef;

use super::application::{self, Process};
use super::cage::{gateway, settled, usage};
use super::client::{Client, ask, get};
use super::fault_proxy::{self, Fault};
use super::gateway::Gateway;
use super::row::{Row, pick};
use super::upstream::Upstream;

const BODY: usize = 4096;

fn whole(framing: &str) -> Vec<u8> {
    let body = "x".repeat(BODY);
    match framing {
        "length" => format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n{body}"),
        "chunked" => {
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{BODY:x}\r\n{body}\r\n0\r\n\r\n")
        }
        _ => format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}"),
    }
    .into_bytes()
}

/// Answers `/cut/FRAMING/N/END` with N bytes of a response and then an end in order or by reset.
fn crashing() -> Upstream {
    Upstream::start(|conversation| {
        let head = conversation.request()?;
        let Some((_, rest)) = head.split_once("/cut/") else {
            return conversation.write(super::upstream::OK);
        };
        let mut words = rest.split(['/', ' ']);
        let (framing, cut, end) = (words.next()?, words.next()?.parse::<usize>().ok()?, words.next()?);
        conversation.write(whole(framing).get(..cut)?)?;
        if end == "reset" {
            thread::sleep(Duration::from_millis(1)); // what was written should get there
            SockRef::from(&conversation.stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        None
    })
}

/// How an exchange ended for a client that reads to the end.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Status(u16),
    Incomplete,
    Nothing,
    Whole,
}

fn see(address: SocketAddr, request: &str) -> Seen {
    let mut client = Client::connect(address);
    client.send(request);
    let _ = client.stream.shutdown(Shutdown::Write); // it may be over already
    let bytes = client.rest();
    let text = String::from_utf8_lossy(&bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        assert_eq!(text, "", "a piece of a head");
        return Seen::Nothing;
    };
    let head = head.to_lowercase();
    if !head.starts_with("http/1.1 200") {
        return Seen::Status(head.split(' ').nth(1).unwrap().parse().unwrap());
    }
    let stated = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let is_whole = if let Some(length) = stated {
        body.len() >= length.parse().unwrap()
    } else {
        assert!(head.contains("transfer-encoding: chunked"), "the end of it says nothing: {head}");
        body.ends_with("0\r\n\r\n")
    };
    if is_whole { Seen::Whole } else { Seen::Incomplete }
}

#[test]
fn a_response_that_breaks_off_never_looks_whole() {
    let row = Row::new("1", "a response that breaks off never looks whole, and costs one 502 at most");
    let upstream = crashing();
    let gateway = Gateway::start(upstream.address);
    let (mut runs, mut before) = (0, None);
    for round in 0..pick(12, 300) {
        for framing in ["length", "chunked", "close"] {
            let whole = whole(framing);
            let head = whole.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
            for cut in [0, 12, head - 1, head, head + BODY / 2, whole.len() - 1] {
                for end in ["order", "reset"] {
                    if framing == "close" && end == "order" && cut >= head {
                        continue; // an end in order is the end of such a response
                    }
                    let seen = see(gateway.address, &get(&format!("/cut/{framing}/{cut}/{end}")));
                    let expected: &[Seen] = match (cut < head, end) {
                        (true, _) => &[Seen::Status(502)],
                        // hyper writes the head together with the first piece of the body.
                        (false, "order") if cut == head => &[Seen::Incomplete, Seen::Nothing],
                        (false, "order") => &[Seen::Incomplete],
                        // The reset may be faster than what was sent before it.
                        _ => &[Seen::Incomplete, Seen::Status(502), Seen::Nothing],
                    };
                    assert!(expected.contains(&seen), "{framing} {cut} {end}: {seen:?}");
                    assert_eq!(see(gateway.address, &get("/")), Seen::Whole, "the next request");
                    runs += 1;
                }
            }
        }
        if round == 2 {
            before = Some(usage(gateway.pid()));
        }
    }
    let before = before.unwrap();
    let after = settled(gateway.pid(), before.files);
    let grown = after.rss_kib - before.rss_kib;
    assert!(grown < pick(2048.0, 4096.0), "{grown} KiB more");
    row.kept(&format!("{runs} runs, RSS {grown:+.0} KiB, files {:+.0}", after.files - before.files), None);
}

#[test]
fn an_application_that_is_killed_is_answered_502_until_it_is_back() {
    let row = Row::new("1", "kill -9 of the application: no clean end, 502, and back with it");
    let mut app = Process::start();
    let (address, gateway) = (app.address, gateway(app.address, None, &[]));
    let rounds = pick(3, 50);
    for _ in 0..rounds {
        let mut reading = Client::connect(gateway.address);
        reading.send(get("/chunked/100000000000"));
        reading.exactly(1 << 20);
        let mut kept = Client::connect(gateway.address);
        kept.send(get("/"));
        assert_eq!(kept.response().status(), 200);
        app.signal(Signal::KILL);
        drop(app);
        assert!(!reading.rest().ends_with(b"0\r\n\r\n"), "a clean end");
        assert!(kept.is_closed(), "a connection that the application closed");
        assert_eq!(ask(gateway.address, get("/")).status(), 502);
        app = Process::on(address);
        assert_eq!(ask(gateway.address, get("/")).status(), 200);
    }
    row.kept(&format!("{rounds} kills"), None);
}

#[test]
fn an_upload_that_breaks_off_never_looks_whole_to_the_application() {
    let row = Row::new("1", "an upload that breaks off never reaches the application as a whole one");
    let upstream = Upstream::ok();
    let gateway = Gateway::start(upstream.address);
    let body = "a".repeat(5000);
    let mut runs = 0;
    for content_type in ["image/png", "application/x-www-form-urlencoded"] {
        let heads = [
            (format!("Content-Length: {}\r\n\r\n{body}", body.len()), "length"),
            (format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()), "chunked"),
        ];
        for (rest, framing) in heads {
            let target = format!("/{}-{framing}", content_type.replace('/', "-"));
            let request =
                format!("POST {target} HTTP/1.1\r\nHost: app\r\nContent-Type: {content_type}\r\n{rest}");
            let head = request.find("\r\n\r\n").unwrap() + 4;
            for cut in [head / 2, head, head + 1, head + 2500, request.len() - 1] {
                for reset in [false, true] {
                    let mut client = Client::connect(gateway.address);
                    client.send(&request[..cut]);
                    if reset {
                        thread::sleep(Duration::from_millis(2));
                        SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
                    } else {
                        let _ = client.stream.shutdown(Shutdown::Write); // it may be over already
                        let answer = client.rest();
                        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{content_type} {framing} {cut}");
                    }
                    runs += 1;
                }
            }
            assert_eq!(ask(gateway.address, &request).status(), 200, "the whole one");
        }
    }
    let ends = upstream.text().matches("a\r\n0\r\n\r\n").count();
    assert!(ends <= 2, "a broken body has an end: {ends} have one");
    row.kept(&format!("{runs} cuts"), None);
}

#[test]
fn whatever_the_network_does_no_answer_is_cut_short_unnoticed_and_none_gets_another_ones_bytes() {
    let row = Row::new(
        "1",
        "faults between proxy and application: whole, or visibly not; never another answer's bytes",
    );
    let app = application::start();
    let length = application::pattern().len();
    let far = pick(24, 400);
    let plan = move |number: usize| {
        let at = (number * 7919) % (length + 300);
        let fault = match number % 7 {
            0 => Fault::Cut(at),
            1 => Fault::Reset(at),
            2 => Fault::HalfClose(at),
            3 => Fault::Split(1 + number % 700),
            4 => Fault::Delay(Duration::from_millis(1), Duration::from_millis(3)),
            _ => Fault::None,
        };
        (Fault::None, fault)
    };
    let gateway = gateway(fault_proxy::start(app, plan), None, &[]);
    let (mut whole, mut broken) = (0, 0);
    for _ in 0..far * 7 {
        let mut client = Client::connect(gateway.address);
        client.send(get(&format!("/chunked/{length}")));
        let _ = client.stream.shutdown(Shutdown::Write); // it may be over already
        let bytes = client.rest();
        if bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 502") {
            broken += 1;
        } else if bytes.ends_with(b"\r\n0\r\n\r\n") {
            let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
            assert!(dechunk(&bytes[head..]) == application::pattern(), "whole, but other bytes");
            whole += 1;
        } else {
            broken += 1;
        }
    }
    assert!(whole > far && broken > far, "{whole} whole and {broken} broken");
    row.kept(&format!("{whole} whole, {broken} visibly broken"), None);
}

fn dechunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = bytes.windows(2).position(|window| window == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&bytes[line + 2..line + 2 + size]);
        bytes = &bytes[line + 2 + size + 2..];
    }
}

#[test]
fn a_corrupted_byte_of_a_response_ends_with_its_connection() {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-A: b\r\n\r\nsecret";
    static AT: AtomicUsize = AtomicUsize::new(0);
    let row = Row::new("1", "a corrupted byte between application and proxy never reaches a second answer");
    let upstream = Upstream::answering(ANSWER);
    let faulty =
        fault_proxy::start(upstream.address, |_| (Fault::None, Fault::Corrupt(AT.load(Ordering::Acquire))));
    let gateway = gateway(faulty, None, &[]);
    let name = 17..31; // without the name of its length a response ends with the connection: nothing to see
    let (mut refused, mut runs) = (0, 0);
    for at in (0..ANSWER.len()).filter(|at| !name.contains(at)) {
        AT.store(at, Ordering::Release);
        let mut client = Client::connect(gateway.address);
        client.send(get("/1"));
        thread::sleep(Duration::from_millis(10));
        let _ = client.stream.write_all(get("/2").as_bytes());
        let _ = client.stream.shutdown(Shutdown::Write);
        let bytes = client.rest();
        let mut rest = String::from_utf8_lossy(&bytes).into_owned();
        refused += u32::from(rest.starts_with("HTTP/1.1 502"));
        while !rest.is_empty() {
            assert!(rest.starts_with("HTTP/1.1 "), "byte {at}: {:?}", String::from_utf8_lossy(&bytes));
            let (head, body) = rest.split_once("\r\n\r\n").unwrap();
            let length = head
                .to_lowercase()
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            rest = body.get(length.unwrap_or(body.len())..).unwrap_or_default().to_owned();
        }
        runs += 1;
    }
    row.kept(&format!("{runs} bytes, {refused} answered 502"), None);
}
