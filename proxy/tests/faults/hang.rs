//! Rows 3 and 4: an application that hangs, or whose packets vanish on an open connection; and, of row 28, clients that
//! do not go on. All with timers that are set short.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::application::{self, Process};
use super::cage::gateway;
use super::client::{Client, ask, get};
use super::network::{lonely, swallow};
use super::row::{Row, is_late, pick};
use super::upstream::Upstream;

#[test]
fn a_hung_application_is_answered_504_and_beyond_the_cap_503_at_once() {
    let row = Row::new(
        "3",
        "a hung application: 504 in time, beyond the in-flight cap 503 and Retry-After at once",
    );
    let app = Process::start();
    let capped = gateway(app.address, None, &["--limits", "timeout-response-head=10m,in-flight=20"]);
    let hasty = gateway(app.address, None, &["--limits", "timeout-response-head=1s"]);
    let (mut waited, mut refused, mut slowest) = (0, 0, Duration::ZERO);
    for _ in 0..pick(1, 10) {
        assert_eq!(ask(capped.address, get("/")).status(), 200);
        app.signal(Signal::STOP);
        let mut waiting: Vec<Client> = (0..20).map(|_| Client::connect(capped.address)).collect();
        for client in &mut waiting {
            client.send(get("/"));
        }
        let met = Instant::now();
        // Until the cap is met; what is not answered yet is one of those that wait.
        while answered_within(capped.address, Duration::from_millis(200), &mut waiting).is_none() {
            assert!(!is_late(met.elapsed(), Duration::from_secs(4)), "there is no cap");
        }
        for _ in 0..pick(50, 1000) {
            let started = Instant::now();
            // The place of the very first request may have become free since: then this one waits as well.
            let Some(mut client) = answered_within(capped.address, Duration::from_secs(2), &mut waiting)
            else {
                continue;
            };
            let response = client.response();
            assert_eq!(response.status(), 503);
            assert!(response.header("retry-after").is_some(), "{}", response.head);
            slowest = slowest.max(started.elapsed());
            refused += 1;
        }
        assert_eq!(ask(hasty.address, get("/")).status(), 504);
        for path in ["/livez", "/readyz", "/metrics"] {
            assert_eq!(capped.admin(path).status(), 200, "{path}");
        }
        app.signal(Signal::CONT);
        let answers: Vec<u16> = waiting.iter_mut().map(|client| client.response().status()).collect();
        assert!(answers.iter().all(|status| matches!(status, 200 | 503)), "{answers:?}");
        let admitted = answers.iter().filter(|status| **status == 200).count();
        assert_eq!(admitted, 20, "{answers:?}");
        waited += admitted;
    }
    assert!(refused > 0, "the cap refuses");
    assert!(!is_late(slowest, Duration::from_secs(10)), "{slowest:?}");
    row.kept(&format!("{refused} times 503, slowest of them {slowest:.1?}; {waited} waited"), None);
}

/// Asks, and gives back who has an answer by then; who has none waits with the others.
fn answered_within(address: SocketAddr, time: Duration, waiting: &mut Vec<Client>) -> Option<Client> {
    let mut client = Client::connect(address);
    client.send(get("/"));
    client.stream.set_read_timeout(Some(time)).unwrap();
    let is_answered = client.stream.peek(&mut [0]).is_ok();
    client.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    if is_answered {
        return Some(client);
    }
    waiting.push(client);
    None
}

#[test]
fn an_application_whose_packets_vanish_is_noticed_and_used_again_when_they_are_back() {
    let row =
        Row::new("4", "packets of an open connection vanish: 504 in time, 200 as soon as they are back");
    let namespace = lonely("vanish");
    namespace.inside(|| {
        let app = application::start();
        let limits = "timeout-response-head=1s,timeout-connect=300ms";
        let gateway = gateway(app, None, &["--limits", limits]);
        let mut kept = Client::connect(gateway.address);
        kept.send(get("/"));
        assert_eq!(kept.response().status(), 200);
        for _ in 0..pick(1, 20) {
            swallow(&namespace, app.port());
            let started = Instant::now();
            kept.send(get("/"));
            assert_eq!(kept.response().status(), 504);
            assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
            let status = ask(gateway.address, get("/")).status();
            assert!(matches!(status, 502 | 504), "{status}");
            namespace.nft("delete table inet faults");
            kept = Client::connect(gateway.address);
            kept.send(get("/"));
            assert_eq!(kept.response().status(), 200, "they are back");
        }
    });
    row.kept("504 on the open connection, 502 on a new one", None);
}

/// Sends pieces, one each 300 ms, and says what came back, and after how long the connection was over.
fn stall(address: SocketAddr, pieces: &[&str]) -> (String, Duration) {
    let mut client = Client::connect(address);
    let (mut writing, started) = (client.stream.try_clone().unwrap(), Instant::now());
    let pieces: Vec<String> = pieces.iter().map(ToString::to_string).collect();
    let sending = thread::spawn(move || {
        for piece in pieces {
            if writing.write_all(piece.as_bytes()).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(300));
        }
    });
    let mut seen = Vec::new();
    let _ = client.stream.read_to_end(&mut seen);
    let took = started.elapsed();
    sending.join().unwrap();
    (String::from_utf8_lossy(&seen).into_owned(), took)
}

#[test]
fn clients_that_do_not_go_on_are_let_go_each_in_its_time() {
    let row = Row::new("28 SL-01 to 05", "silent, dribbling and idle clients are let go, each in its time");
    let upstream = Upstream::ok();
    let limits = "timeout-first-byte=1s,timeout-head=1s,timeout-body-idle=1s,timeout-keep-alive-idle=2s";
    let gateway = gateway(upstream.address, None, &["--limits", limits]);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: 100\r\n\r\n";
    let line = "X-A: b\r\n";
    let table: Vec<(&str, Vec<&str>, &str, f64)> = vec![
        ("SL-01 nothing", vec![], "", 1.0),
        ("SL-02 half a line", vec!["GET / HT"], "", 1.0),
        (
            "SL-03 a line now and then",
            [vec!["GET / HTTP/1.1\r\nHost: a\r\n"], vec![line; 20]].concat(),
            "",
            1.0,
        ),
        ("SL-04 idle after an answer", vec!["GET / HTTP/1.1\r\nHost: a\r\n\r\n"], "HTTP/1.1 200", 2.0),
        ("SL-05 half a body", vec![head, "abc"], "HTTP/1.1 408", 1.0),
    ];
    let took: Vec<String> = thread::scope(|scope| {
        let asked: Vec<_> = table
            .iter()
            .map(|(name, pieces, answer, least)| {
                let address = gateway.address;
                scope.spawn(move || {
                    let (seen, took) = stall(address, pieces);
                    assert!(seen.starts_with(answer), "{name}: {seen}");
                    assert!(
                        answer.is_empty() <= (seen.is_empty() || seen.starts_with("HTTP/1.1 408")),
                        "{name}: {seen}"
                    );
                    let least = Duration::from_secs_f64(least * 0.9);
                    assert!(took >= least && took < least + Duration::from_secs(5), "{name}: {took:?}");
                    format!("{:.1}", took.as_secs_f64())
                })
            })
            .collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert_eq!(upstream.text().matches("GET / ").count(), 1, "only the whole one arrived");
    row.kept(&format!("after {} s", took.join(", ")), None);
}
