//! Answers that go on for long, come early or in pieces, and clients that leave before their end.

use std::io::Read as _;
use std::net::Shutdown;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use super::client::{Client, get};
use super::gateway::Gateway;
use super::upstream::{OK, Upstream};

const MODES: [&str; 2] = ["{mode: Block}", "{mode: Monitor}"];

/// A stream of events that goes on when the test says so.
fn events(head: &'static str, sized: bool) -> (Upstream, mpsc::Sender<&'static str>) {
    let (say, said) = mpsc::channel::<&str>();
    let said = Mutex::new(said);
    let upstream = Upstream::start(move |conversation| {
        conversation.request()?;
        conversation.write(head.as_bytes())?;
        while let Ok(event) = said.lock().unwrap().recv() {
            let event = if sized { format!("{:x}\r\n{event}\r\n", event.len()) } else { event.to_owned() };
            conversation.write(event.as_bytes())?;
        }
        None
    });
    (upstream, say)
}

#[test]
fn each_event_of_a_stream_arrives_while_the_stream_goes_on() {
    let table = [
        ("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", false),
    ];
    for spec in MODES {
        for (head, sized) in table {
            let (upstream, say) = events(head, sized);
            let gateway = Gateway::with(upstream.address, spec);
            let mut client = Client::connect(gateway.address);
            client.send(get("/events"));
            assert!(client.head().starts_with("HTTP/1.1 200 "), "the head comes before the first event");
            for event in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"] {
                say.send(event).unwrap();
                client.until(event.as_bytes()); // the next one is said after this one was heard
            }
        }
    }
}

#[test]
fn an_application_hears_of_a_client_that_left() {
    for head in ["", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"] {
        for resets in [false, true] {
            let (left, heard) = mpsc::channel();
            let left = Mutex::new(left);
            let upstream = Upstream::start(move |conversation| {
                conversation.request()?;
                conversation.write(head.as_bytes())?;
                conversation.rest(); // nothing is said: only the end of the connection ends this
                left.lock().unwrap().send(()).ok()
            });
            let gateway = Gateway::start(upstream.address);
            let mut client = Client::connect(gateway.address);
            client.send(get("/long"));
            upstream.wait_for("\r\n\r\n");
            if !head.is_empty() {
                client.until(b"ok");
            }
            if resets {
                socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
            drop(client);
            heard.recv_timeout(Duration::from_secs(10)).expect("the application was not told");
            std::thread::sleep(Duration::from_millis(50));
            for kind in ["upstream_response", "response_incomplete"] {
                assert!(
                    gateway.metric("rasp_errors_total", &[kind]) < 0.5,
                    "it is no fault of the application"
                );
            }
        }
    }
}

/// Its end is behind bytes that nobody needs yet; of many, also behind those that nobody reads yet.
#[test]
fn an_application_hears_of_a_client_that_left_also_after_other_requests() {
    for (more, resets) in [(1, false), (1, true), (1_000, false), (1_000, true)] {
        let (left, heard) = mpsc::channel();
        let left = Mutex::new(left);
        let upstream = Upstream::start(move |conversation| {
            conversation.request()?;
            conversation.rest();
            left.lock().unwrap().send(()).ok()
        });
        let gateway = Gateway::start(upstream.address);
        let mut client = Client::connect(gateway.address);
        client.send(get("/long"));
        upstream.wait_for("\r\n\r\n");
        client.send(get("/more").repeat(more));
        std::thread::sleep(Duration::from_millis(200));
        if resets {
            socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(client);
        heard.recv_timeout(Duration::from_secs(10)).expect("the application was not told");
    }
}

#[test]
fn requests_that_come_while_one_is_answered_are_answered_after_it_however_many() {
    let upstream = Upstream::start(|conversation| {
        loop {
            let head = conversation.request()?;
            if head.contains("/slow") {
                std::thread::sleep(Duration::from_millis(500));
            }
            let target = head.split(' ').nth(1)?.to_owned();
            let length = target.len();
            conversation
                .write(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{target}").as_bytes())?;
        }
    });
    let gateway = Gateway::start(upstream.address);
    for (count, closes) in [(1, false), (3, true), (500, false), (500, true)] {
        let mut client = Client::connect(gateway.address);
        client.send(get("/slow"));
        std::thread::sleep(Duration::from_millis(100));
        for number in 0..count {
            client.send(get(&format!("/{number}")));
        }
        if closes {
            client.finish();
        }
        assert_eq!(client.response().text(), "/slow");
        for number in 0..count {
            assert_eq!(client.response().text(), format!("/{number}"));
        }
        if closes {
            assert!(client.is_closed());
        }
    }
}

#[test]
fn a_half_closed_client_gets_its_answer_also_after_an_upload() {
    for body in [0, 300_000] {
        let upstream = Upstream::start(|conversation| {
            conversation.request()?;
            conversation.rest(); // the end of the client's side arrives
            conversation.write(OK)
        });
        let gateway = Gateway::start(upstream.address);
        let mut client = Client::connect(gateway.address);
        client.send(format!(
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: {body}\r\n\r\n"
        ));
        client.send(vec![b'x'; body]);
        client.finish();
        assert_eq!(client.response().text(), "ok");
        assert!(client.is_closed());
    }
}

#[test]
fn requests_of_a_client_that_half_closed_are_all_answered() {
    let upstream = Upstream::ok();
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    client.send(get("/").repeat(3));
    client.finish();
    for _ in 0..3 {
        assert_eq!(client.response().text(), "ok");
    }
    assert!(client.is_closed());
}

#[test]
fn an_application_that_closes_its_half_first_is_heard_to_the_end() {
    let upstream = Upstream::start(|conversation| {
        conversation.request()?;
        conversation.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")?;
        conversation.stream.shutdown(Shutdown::Write).ok()?;
        conversation.rest();
        None
    });
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    client.send(get("/"));
    assert_eq!(client.response().text(), "hello");
    assert!(client.is_closed());
}

const UPLOAD: &str = "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Type: image/png\r\nContent-Length: 5\r\n\r\n";

#[test]
fn a_body_is_asked_for_once_and_only_when_the_application_wants_it() {
    for spec in MODES {
        let upstream = Upstream::start(|conversation| {
            conversation.until(b"\r\n\r\n")?;
            conversation.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            conversation.exactly(5)?;
            conversation.write(OK)
        });
        let gateway = Gateway::with(upstream.address, spec);
        let mut client = Client::connect(gateway.address);
        client.send(UPLOAD);
        assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
        client.send("hello");
        assert_eq!(client.response().status(), 200, "and not a second 100");
    }
}

#[test]
fn a_body_is_not_asked_for_where_the_application_declines_it() {
    for spec in MODES {
        for status in ["417 Expectation Failed", "403 Forbidden"] {
            let upstream = Upstream::start(move |conversation| {
                conversation.until(b"\r\n\r\n")?;
                conversation.write(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes())?;
                conversation.rest();
                None
            });
            let gateway = Gateway::with(upstream.address, spec);
            let mut client = Client::connect(gateway.address);
            client.send(UPLOAD);
            let answer = client.response();
            assert!(answer.head.contains(status), "{}", answer.head);
            assert_eq!(answer.header("connection"), Some("close"));
            // Some clients send the body all the same: it must not be taken for a request, nor reach anybody.
            client.send("GET /");
            assert!(client.is_closed());
            assert!(!upstream.text().contains("GET /"));
        }
    }
}

#[test]
fn an_application_that_never_says_100_gets_the_body_after_a_second() {
    let upstream = Upstream::ok();
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    client.send(UPLOAD);
    assert!(client.head().starts_with("HTTP/1.1 100 "));
    client.send("hello");
    assert_eq!(client.response().status(), 200);
}

#[test]
fn a_client_that_does_not_wait_for_100_is_served() {
    let upstream = Upstream::ok();
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    client.send([UPLOAD, "hello"].concat());
    let mut head = client.head();
    if head.starts_with("HTTP/1.1 100 ") {
        head = client.head();
    }
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}

#[test]
fn after_an_early_answer_neither_connection_is_used_again() {
    let (left, heard) = mpsc::channel();
    let left = Mutex::new(left);
    let upstream = Upstream::start(move |conversation| {
        conversation.until(b"\r\n\r\n")?;
        conversation.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")?;
        conversation.rest();
        left.lock().unwrap().send(()).ok()
    });
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: 100000\r\n\r\n");
    let answer = client.response();
    assert_eq!((answer.status(), answer.text().as_str()), (413, "big"));
    assert_eq!(answer.header("connection"), Some("close"));
    heard
        .recv_timeout(Duration::from_secs(10))
        .expect("nobody has to say more for the application to hear of it");
    let mut client = Client::connect(gateway.address);
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: 100000\r\n\r\n");
    assert_eq!(client.response().status(), 413);
    client.send([vec![b'x'; 90_000], get("/smuggled").into_bytes()].concat());
    let mut rest = Vec::new();
    let _ = client.stream.read_to_end(&mut rest);
    assert!(rest.is_empty(), "{}", rest.escape_ascii());
    assert!(!upstream.text().contains("smuggled") || upstream.connections() == 2);
}

#[test]
fn hints_before_an_answer_reach_a_client_that_knows_them() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let upstream = Upstream::start(move |conversation| {
        loop {
            conversation.request()?;
            conversation
                .write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x\r\n\r\n")?;
            wait.lock().unwrap().recv().ok()?;
            conversation.write(b"HTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\n")?;
            conversation.write(OK)?;
        }
    });
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    for _ in 0..2 {
        client.send(get("/"));
        assert_eq!(client.head(), "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
        go.send(()).unwrap();
        assert_eq!(client.head(), "HTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\n");
        assert_eq!(client.response().status(), 200);
    }
    let mut old = Client::connect(gateway.address);
    old.send("GET / HTTP/1.0\r\n\r\n");
    go.send(()).unwrap();
    assert!(old.head().contains(" 200 "), "HTTP/1.0 has no interim responses");
}

#[test]
fn a_client_that_knows_no_trailers_gets_none_and_forbidden_ones_nobody() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Content-Length, Host\r\n\r\n2\r\nok\r\n0\r\n\
         X-Sum: 9\r\nContent-Length: 5\r\nHost: evil\r\n\r\n",
    );
    let gateway = Gateway::start(upstream.address);
    for (te, arrives) in
        [("TE: trailers\r\nConnection: close, TE\r\n", true), ("Connection: close\r\n", false)]
    {
        let mut client = Client::connect(gateway.address);
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{te}\r\n"));
        client.head();
        let body = String::from_utf8(client.rest()).unwrap().to_lowercase();
        assert_eq!(body.contains("x-sum: 9\r\n"), arrives, "{body}");
        assert!(
            body.ends_with("\r\n\r\n") && !body.contains("evil") && !body.contains("content-length"),
            "{body}"
        );
    }
}
