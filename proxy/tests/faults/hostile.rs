//! Row 35: an application that answers with what is no HTTP, or with more than was asked for.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use super::cage::{gateway, settled, usage};
use super::client::{Client, get};
use super::gateway::Gateway;
use super::row::{Row, pick};
use super::upstream::Upstream;

/// Answers `/N` with the N-th of these, and keeps the connection.
fn answering(answers: Vec<Vec<u8>>) -> Upstream {
    Upstream::start(move |conversation| {
        loop {
            let head = conversation.request()?;
            match head.split(' ').nth(1)?.trim_start_matches('/').parse::<usize>() {
                Ok(number) => conversation.write(&answers[number])?,
                Err(_) => conversation.write(super::upstream::OK)?,
            }
            if head.contains("/close") {
                return None;
            }
        }
    })
}

/// Sends a request and, a moment later, a second one: everything that comes back.
fn exchange(gateway: &Gateway, method: &str, target: &str) -> String {
    let mut client = Client::connect(gateway.address);
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: app\r\n\r\n"));
    client.stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    thread::sleep(Duration::from_millis(30));
    let _ = client.stream.write_all(get("/second").as_bytes());
    let _ = client.stream.shutdown(Shutdown::Write);
    let mut seen = Vec::new();
    if let Err(error) = client.stream.read_to_end(&mut seen) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{method} {target}: {}", seen.escape_ascii());
    }
    String::from_utf8_lossy(&seen).into_owned()
}

/// What the client may see first. Nothing: the connection ends.
const REFUSED: &[&str] = &["HTTP/1.1 502"];
const BROKEN_OFF: &[&str] = &["HTTP/1.1 502", "HTTP/1.1 200", ""];
const SERVED: &[&str] = &["HTTP/1.1 200"];
const EITHER: &[&str] = &["HTTP/1.1 502", "HTTP/1.1 200"];

const SMUGGLED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled";

#[test]
fn a_hostile_response_is_refused_or_ends_with_its_connection() {
    let row = Row::new(
        "35",
        "hostile responses: 502 or a visible break, never bytes of another answer, bounded memory",
    );
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    let table: Vec<(&str, String, &[&str])> = vec![
        ("two lengths that differ", head("Content-Length: 5\r\nContent-Length: 3\r\n") + "hello", REFUSED),
        ("a list of lengths", head("Content-Length: 5, 3\r\n") + "hello", REFUSED),
        ("a signed length", head("Content-Length: +5\r\n") + "hello", REFUSED),
        ("a negative length", head("Content-Length: -5\r\n") + "hello", REFUSED),
        ("a length of 2^64", head("Content-Length: 18446744073709551616\r\n") + "hello", REFUSED),
        (
            "length and chunks",
            head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + "2\r\nok\r\n0\r\n\r\n" + SMUGGLED,
            EITHER,
        ),
        ("more than its length", head("Content-Length: 2\r\n") + "ok" + SMUGGLED, SERVED),
        (
            "more than its chunks",
            head("Transfer-Encoding: chunked\r\n") + "2\r\nok\r\n0\r\n\r\n" + SMUGGLED,
            SERVED,
        ),
        (
            "a chunk size that is none",
            head("Transfer-Encoding: chunked\r\n") + "2\r\nok\r\nzz\r\n" + SMUGGLED,
            BROKEN_OFF,
        ),
        (
            "a chunk longer than its size",
            head("Transfer-Encoding: chunked\r\n") + "2\r\nok!\r\n0\r\n\r\n" + SMUGGLED,
            BROKEN_OFF,
        ),
        (
            "a chunk size that overflows",
            head("Transfer-Encoding: chunked\r\n") + "fffffffffffffffff\r\nok",
            BROKEN_OFF,
        ),
        ("NUL in a value", head("X-A: a\0b\r\nContent-Length: 2\r\n") + "ok", REFUSED),
        ("CR in a value", head("X-A: a\rb\r\nContent-Length: 2\r\n") + "ok", REFUSED),
        ("no colon", head("X-A\r\nContent-Length: 2\r\n") + "ok", REFUSED),
        ("a blank before the colon", head("Content-Length : 2\r\n") + "ok", REFUSED),
        ("a folded line", head("X-A: a\r\n b\r\nContent-Length: 2\r\n") + "ok", EITHER),
        ("a head of 1 MiB", head(&format!("X-A: {}\r\n", "a".repeat(1 << 20))), REFUSED),
        ("10,000 fields", head(&"X-A: a\r\n".repeat(10_000)), REFUSED),
        (
            "a status line of 100 KiB",
            format!("HTTP/1.1 200 {}\r\nContent-Length: 0\r\n\r\n", "a".repeat(300 << 10)),
            REFUSED,
        ),
        ("no HTTP", "SSH-2.0-OpenSSH_9\r\n\r\n".into(), REFUSED),
        ("another HTTP", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok".into(), REFUSED),
        ("a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok".into(), REFUSED),
        ("a status of letters", "HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok".into(), REFUSED),
        (
            "101 that nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
                .to_owned()
                + SMUGGLED,
            REFUSED,
        ),
        (
            "a 204 with a body",
            "HTTP/1.1 204 No Content\r\n\r\n".to_owned() + SMUGGLED,
            &["HTTP/1.1 204", "HTTP/1.1 502"],
        ),
        (
            "a 304 with a body",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n".to_owned() + SMUGGLED,
            &["HTTP/1.1 304", "HTTP/1.1 502"],
        ),
        (
            "a storm of 103",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(20_000)
                + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            &["HTTP/1.1 103"], // the first ten are passed on, then comes a 502
        ),
    ];
    let upstream = answering(table.iter().map(|(_, answer, _)| answer.clone().into_bytes()).collect());
    let gateway = gateway(upstream.address, None, &[]);
    let mut before = None;
    for round in 0..pick(2, 100) {
        for (number, (name, _, expected)) in table.iter().enumerate() {
            let seen = exchange(&gateway, "GET", &format!("/{number}"));
            let start: String = seen.chars().take(12).collect();
            assert!(expected.contains(&start.as_str()), "{name}: {:?}", seen.get(..300).unwrap_or(&seen));
            assert!(!seen.contains("smuggled"), "{name}: {seen:?}");
        }
        if round == 0 {
            before = Some(usage(gateway.pid()));
        }
    }
    let before = before.unwrap();
    let after = settled(gateway.pid(), before.files);
    let grown = after.rss_kib - before.rss_kib;
    assert!(grown < 4096.0, "{grown} KiB more");
    row.kept(&format!("{} answers, RSS {grown:+.0} KiB", table.len()), None);
}

#[test]
fn a_body_that_may_not_be_never_reaches_the_client_nor_its_next_request() {
    let row = Row::new("35", "HEAD, 204 and 304 have no body, whatever the application sends");
    let upstream = answering(vec![
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len()).into(),
    ]);
    let gateway = gateway(upstream.address, None, &[]);
    let seen = exchange(&gateway, "HEAD", "/0");
    assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
    assert!(!seen.contains("smuggled"), "{seen}");
    row.kept("the connection ends", None);
}
