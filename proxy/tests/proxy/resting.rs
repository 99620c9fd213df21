//! Connections on which nothing happens for more than a second: the proxy lets go of what it can, and nobody notices.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::client::{Client, get, post};
use super::timers::{ALL_LONG, gateway};
use super::upstream::{OK, Upstream};

/// Connections rest after a second.
const REST: Duration = Duration::from_millis(1300);

fn rested(address: std::net::SocketAddr) -> Client {
    let mut client = Client::connect(address);
    client.send(get("/1"));
    assert_eq!(client.response().status(), 200);
    thread::sleep(REST);
    client
}

#[test]
fn a_connection_that_rested_goes_on_as_if_it_had_not() {
    let upstream = Upstream::ok();
    let mut client = rested(gateway(upstream.address, ALL_LONG).address);
    for piece in ["GET /in-pie", "ces HTTP/1.1\r\nHost: app\r\n", "\r\n"] {
        client.send(piece);
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(client.response().status(), 200);
    client.send([get("/3"), post("text/plain", "body"), get("/5")].concat());
    for _ in 0..3 {
        assert_eq!(client.response().status(), 200);
    }
    thread::sleep(REST);
    client.send(get("/again"));
    assert_eq!(client.response().status(), 200);
    client.send("GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    assert_eq!(client.response().status(), 400);
    assert!(client.is_closed());
    assert_eq!(upstream.connections(), 1, "the application sees one connection");
    assert!(!upstream.text().contains("/bad"));
}

#[test]
fn an_application_that_closes_while_nothing_happens_closes_the_client() {
    let upstream = Upstream::start(|conversation| {
        conversation.request()?;
        conversation.write(OK)?;
        thread::sleep(REST + Duration::from_millis(300));
        Some(())
    });
    let mut client = rested(gateway(upstream.address, ALL_LONG).address);
    assert!(client.is_closed());
}

#[test]
fn a_client_that_closes_while_nothing_happens_closes_the_application() {
    let (closed, is_closed) = mpsc::channel();
    let upstream = Upstream::start(move |conversation| {
        conversation.request()?;
        conversation.write(OK)?;
        conversation.rest();
        closed.send(()).ok()
    });
    drop(rested(gateway(upstream.address, ALL_LONG).address));
    is_closed.recv_timeout(Duration::from_secs(10)).unwrap();
}

#[test]
fn bytes_that_no_request_asked_for_reach_nobody_after_a_rest_either() {
    let upstream = Upstream::start(|conversation| {
        conversation.request()?;
        conversation.write(OK)?;
        thread::sleep(REST + Duration::from_millis(200));
        conversation.stream.write_all(OK).ok()?;
        conversation.rest();
        Some(())
    });
    let inside = gateway(upstream.address, ALL_LONG);
    let mut client = rested(inside.address);
    assert!(client.is_closed(), "not a byte of it");
    inside.counted("response_unasked");
}

#[test]
fn a_request_that_takes_long_is_no_rest() {
    let upstream = Arc::new(Upstream::start(|conversation| {
        conversation.request()?;
        thread::sleep(REST * 2);
        conversation.write(&OK[..OK.len() - 1])?;
        thread::sleep(REST);
        conversation.write(&OK[OK.len() - 1..])
    }));
    let mut client = Client::connect(gateway(upstream.address, ALL_LONG).address);
    client.send(get("/"));
    assert_eq!(client.response().text(), "ok");
}
