//! An application that answers with bytes that two readers could understand in two ways: the client never sees them as
//! an answer, in Block and in Monitor, and nobody gets the answer to somebody else's request.

use std::io::{ErrorKind, Read as _};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use super::client::{Client, ask, get};
use super::gateway::Gateway;
use super::upstream::Upstream;

const MODES: [&str; 2] = ["{mode: Block}", "{mode: Monitor}"];

/// Answers the first request of each connection with `bytes` and leaves the connection open.
fn answering_once(bytes: Vec<u8>) -> Upstream {
    Upstream::start(move |conversation| {
        conversation.request()?;
        conversation.write(&bytes)?;
        conversation.rest();
        None
    })
}

fn chunked(rest: &[u8]) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", rest].concat()
}

#[test]
fn a_response_that_is_none_is_a_502_with_a_reason() {
    let head = |lines: &[u8]| [b"HTTP/1.1 200 OK\r\n", lines, b"\r\n0\r\n\r\n"].concat();
    let table: Vec<(Vec<u8>, &str)> = vec![
        (head(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), "response_lengths"),
        (head(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), "response_lengths"),
        (head(b"Content-Length: 1\r\nContent-Length: 2\r\n"), "response_lengths"),
        (head(b"Transfer-Encoding: gzip, chunked\r\n"), "response_transfer_encoding"),
        (head(b"Transfer-Encoding: identity\r\n"), "response_transfer_encoding"),
        (head(b"X: a\0b\r\nContent-Length: 0\r\n"), "response_field"),
        (head(b"X: a\rSet-Cookie: b\r\nContent-Length: 0\r\n"), "response_field"),
        (head(b"X: a\nSet-Cookie: b\r\nContent-Length: 0\r\n"), "response_field"),
        (head(b"X: a\r\n folded\r\nContent-Length: 0\r\n"), "response_field"),
        (head(b"no colon\r\nContent-Length: 0\r\n"), "response_field"),
        (b"HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(), "response_status_line"),
        (b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n".to_vec(), "response_status_line"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".to_vec(),
            "response_switch",
        ),
        (chunked(b"zz\r\n"), "response_chunk"),
        (
            [
                &b"HTTP/1.1 100 Continue\r\n\r\n".repeat(5)[..],
                &b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(2000),
            ]
            .concat(),
            "response_interim",
        ),
        (head(&[&b"X: "[..], &vec![b'x'; 1 << 20]].concat()), "response_too_large"),
        (head(&b"X: y\r\n".repeat(10_000)), "response_too_large"),
        (
            [b"HTTP/1.1 200 ".to_vec(), vec![b'x'; 100_000], b"\r\n\r\n".to_vec()].concat(),
            "response_too_large",
        ),
    ];
    for spec in MODES {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let next = Arc::clone(&bytes);
        let upstream = Upstream::start(move |conversation| {
            conversation.request()?;
            let bytes: Vec<u8> = next.lock().unwrap().clone();
            conversation.write(&bytes)?;
            conversation.rest();
            None
        });
        let gateway = Gateway::with(upstream.address, spec);
        for (number, (response, reason)) in table.iter().enumerate() {
            bytes.lock().unwrap().clone_from(response);
            let mut client = Client::connect(gateway.address);
            client.send(get("/"));
            let shown: Vec<u8> = response.iter().copied().take(80).collect();
            let answer = client.response();
            assert_eq!(answer.status(), 502, "{} {}", shown.escape_ascii(), answer.head);
            assert!(client.is_closed(), "{}", shown.escape_ascii());
            let events = gateway.events(number + 1);
            let event = &events[number]["unmapped"];
            assert_eq!(event["rule"], *reason, "{}", shown.escape_ascii());
            assert_eq!(event["request_id"], *answer.header("x-request-id").unwrap());
            assert!(gateway.metric("rasp_errors_total", &[reason]) >= 1.0);
        }
        assert_eq!(upstream.connections(), table.len(), "a connection with a fault is never used again");
        assert!(gateway.peak_memory() < 64 << 10, "{} KiB", gateway.peak_memory());
    }
}

/// Answers with `first`, and once `go` was heard with `then`, and closes, or resets.
fn in_two_pieces(first: &'static str, then: &'static str, resets: bool) -> (Upstream, mpsc::Sender<()>) {
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let upstream = Upstream::start(move |conversation| {
        conversation.request()?;
        conversation.write(first.as_bytes())?;
        wait.lock().unwrap().recv().ok()?;
        conversation.write(then.as_bytes())?;
        if resets {
            socket2::SockRef::from(&conversation.stream).set_linger(Some(Duration::ZERO)).ok()?;
        }
        None
    });
    (upstream, go)
}

/// Reads to the end of the stream, and tells the error it ends with, if it does not end in order.
fn rest_of(client: &Client) -> (Option<ErrorKind>, Vec<u8>) {
    let mut rest = Vec::new();
    let error = (&client.stream).read_to_end(&mut rest).err();
    (error.map(|error| error.kind()), rest)
}

#[test]
fn a_response_that_breaks_off_never_looks_complete() {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    const LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    const UNTIL_END: &str = "HTTP/1.0 200 OK\r\n\r\nhello";
    let table = [
        (CHUNKED, "5\r\nworld\r\nzz\r\n", false, "response_chunk"),
        (CHUNKED, "0\r\nno colon\r\n\r\n", false, "response_field"),
        (CHUNKED, "", false, "response_incomplete"),
        (CHUNKED, "", true, "response_incomplete"),
        (LENGTH, "wor", false, "response_incomplete"),
        (LENGTH, "", true, "response_incomplete"),
        (UNTIL_END, "", true, "response_incomplete"),
    ];
    for (first, then, resets, reason) in table {
        let (upstream, go) = in_two_pieces(first, then, resets);
        let gateway = Gateway::start(upstream.address);
        let mut client = Client::connect(gateway.address);
        client.send(get("/"));
        client.until(b"hello");
        go.send(()).unwrap();
        let rest = client.rest();
        assert!(!rest.ends_with(b"0\r\n\r\n") && rest.len() < 20, "{}", rest.escape_ascii());
        assert_eq!(gateway.events(1)[0]["unmapped"]["rule"], reason);
        gateway.wait_for_metric("rasp_errors_total", &[reason], 1.0);

        // A client of HTTP/1.0 tells a whole body from half of one only by how the connection ends.
        let mut old = Client::connect(gateway.address);
        old.send("GET / HTTP/1.0\r\n\r\n");
        old.until(b"hello");
        go.send(()).unwrap();
        assert_eq!(rest_of(&old).0, Some(ErrorKind::ConnectionReset), "{first:?} {then:?}");
    }
}

#[test]
fn bytes_that_no_request_asked_for_reach_nobody() {
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let table = [
        ("GET", format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{poison}"), "ok"),
        (
            "GET",
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{poison}"),
            "ok",
        ),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison".to_owned(), ""),
        ("GET", format!("HTTP/1.1 204 No Content\r\n\r\n{poison}"), ""),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison".to_owned(), ""),
    ];
    for spec in MODES {
        for (method, response, body) in &table {
            let upstream = answering_once(response.clone().into_bytes());
            let gateway = Gateway::with(upstream.address, spec);
            let mut client = Client::connect(gateway.address);
            client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
            let answer = client.response_to(method);
            assert_eq!(answer.text(), *body, "{response:?}");
            let rest = String::from_utf8_lossy(&client.rest()).into_owned();
            assert!(!rest.contains("poison"), "{response:?} {rest}");
            gateway.wait_for_metric("rasp_errors_total", &["response_unasked"], 1.0);
            assert_eq!(gateway.events(1)[0]["unmapped"]["rule"], "response_unasked");
        }
    }
}

#[test]
fn a_body_that_ends_with_the_connection_ends_in_order() {
    for first in ["HTTP/1.0 200 OK\r\n\r\nhello", "HTTP/1.1 200 OK\r\n\r\nhello"] {
        let (upstream, go) = in_two_pieces(first, " world", false);
        let gateway = Gateway::start(upstream.address);
        let mut client = Client::connect(gateway.address);
        client.send(get("/"));
        let head = client.head().to_lowercase();
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        assert_eq!(client.until(b"hello\r\n"), b"5\r\nhello\r\n");
        go.send(()).unwrap();
        assert_eq!(client.rest(), b"6\r\n world\r\n0\r\n\r\n");

        let mut old = Client::connect(gateway.address);
        old.send("GET / HTTP/1.0\r\n\r\n");
        old.until(b"\r\n\r\nhello");
        go.send(()).unwrap();
        assert_eq!(rest_of(&old), (None, b" world".to_vec()));
    }
}

#[test]
fn equal_lengths_are_one_and_cookies_stay_as_they_are() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200\r\nContent-Length: 2\r\nContent-Length: 2\r\nSet-Cookie: a=\"b\"; Path=/\r\nsEt-CoOkIe: c=d\r\n\r\nok",
    );
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    for _ in 0..2 {
        client.send(get("/"));
        let head = client.head();
        assert_eq!(head.to_lowercase().matches("content-length: 2\r\n").count(), 1, "{head}");
        assert!(head.contains("Set-Cookie: a=\"b\"; Path=/\r\nsEt-CoOkIe: c=d\r\n"), "{head}");
        assert_eq!(client.exactly(2), b"ok");
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_length_of_nothing_is_no_trap_for_the_next_answer() {
    let upstream = Upstream::answering("HTTP/1.1 204 No Content\r\nContent-Length: 35\r\n\r\n");
    let zero = Upstream::answering("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n");
    for spec in MODES {
        for (application, length) in [(upstream.address, None), (zero.address, Some("0"))] {
            let gateway = Gateway::with(application, spec);
            let mut client = Client::connect(gateway.address);
            for _ in 0..2 {
                client.send(get("/"));
                let answer = client.response();
                assert_eq!((answer.status(), answer.header("content-length")), (204, length), "{spec}");
            }
        }
    }
}

#[test]
fn a_packed_response_passes_packed() {
    // 60 KiB of one byte in zstd's run-length form: nobody here unpacks it.
    let body = b"\x28\xb5\x2f\xfd\x60\x00\xee\x03\x80\x07\x00\x41";
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: zstd\r\nContent-Length: {}\r\n\r\n", body.len());
    let upstream = Upstream::answering([head.as_bytes(), body].concat());
    for spec in MODES {
        let gateway = Gateway::with(upstream.address, spec);
        let answer = ask(gateway.address, get("/"));
        assert_eq!((answer.header("content-encoding"), &*answer.body), (Some("zstd"), &body[..]), "{spec}");
    }
}

#[test]
fn an_answer_that_says_what_to_upgrade_to_says_it_of_its_hop() {
    let upstream = Upstream::answering(
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n",
    );
    let gateway = Gateway::start(upstream.address);
    let answer = ask(gateway.address, get("/"));
    assert_eq!((answer.header("upgrade"), answer.header("connection")), (Some("websocket"), Some("upgrade")));
}

#[test]
fn ten_interim_responses_pass_the_guard() {
    let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(10);
    let upstream = Upstream::answering([&hints[..], super::upstream::OK].concat());
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    for _ in 0..3 {
        client.send(get("/"));
        let mut head = client.head();
        while head.starts_with("HTTP/1.1 103 ") {
            head = client.head();
        }
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(client.exactly(2), b"ok");
    }
}
