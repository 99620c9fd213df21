//! Who the client is: the peer, a header of the PROXY protocol, or a field of a trusted hop. Never what a stranger says.

use std::time::{Duration, Instant};

use super::client::{Client, ask, get};
use super::gateway::Gateway;
use super::upstream::{OK, Upstream};

const ATTACK: &str = "/?q=1%27%20OR%20%271%27=%271";
const V1: &str = "PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\x30\x39\x01\xbb";
const FROM_HERE: [&str; 2] = ["--proxy-protocol-from", "127.0.0.0/8"];

#[test]
fn a_declared_load_balancer_says_who_the_client_is_and_the_application_sees_no_header() {
    let upstream = Upstream::ok();
    let gateway = Gateway::with_flags(upstream.address, &FROM_HERE);
    for (number, header) in (1..).zip([V1.as_bytes(), V2]) {
        let mut client = Client::connect(gateway.address);
        for byte in header.chunks(1) {
            client.send(byte);
        }
        client.send(get("/fine"));
        assert_eq!(client.response().status(), 200);
        client.send(get(ATTACK));
        assert_eq!(client.response().status(), 403);
        let source = &gateway.events(number)[number - 1]["src_endpoint"];
        assert_eq!((source["ip"].as_str(), source["port"].as_u64()), (Some("192.0.2.1"), Some(12345)));
    }
    let arrived = upstream.text();
    assert!(arrived.starts_with("GET /fine ") && !arrived.contains("PROXY") && !arrived.contains("QUIT"));
    assert_eq!(arrived.matches("x-forwarded-for: 192.0.2.1\r\n").count(), 2, "{arrived}");
}

#[test]
fn a_declared_load_balancer_that_sends_no_header_is_closed() {
    let upstream = Upstream::ok();
    let gateway = Gateway::with_flags(upstream.address, &FROM_HERE);
    for (count, bytes) in
        [(1.0, get("/")), (2.0, "PROXY TCP4 nonsense\r\n".to_owned()), (3.0, "\r\n\r\nGET".to_owned())]
    {
        let mut client = Client::connect(gateway.address);
        client.send(&bytes);
        assert!(client.is_closed(), "{bytes}");
        let counted = || gateway.metric("rasp_errors_total", &["proxy_protocol"]) >= count;
        let deadline = Instant::now() + Duration::from_secs(5);
        while !counted() && Instant::now() < deadline {}
        assert!(counted(), "{bytes}");
    }
    assert_eq!(upstream.text(), "");
}

/// Or a request after it would pass uninspected as part of an opaque connection.
#[test]
fn a_header_of_anybody_else_is_none_and_refused() {
    let upstream = Upstream::ok();
    let elsewhere = ["--proxy-protocol-from", "192.0.2.0/24"];
    for gateway in [Gateway::start(upstream.address), Gateway::with_flags(upstream.address, &elsewhere)] {
        for header in [V1.as_bytes(), V2] {
            let mut client = Client::connect(gateway.address);
            client.send([header, get(ATTACK).as_bytes()].concat());
            assert_eq!(client.response().status(), 400, "{}", header.escape_ascii());
            assert!(client.is_closed());
        }
    }
    assert_eq!(upstream.text(), "");
}

#[test]
fn the_header_is_taken_off_an_opaque_connection_as_well() {
    let upstream = Upstream::start(|conversation| {
        conversation.until(b"ping")?;
        conversation.write(b"pong")
    });
    let flags = [&FROM_HERE[..], &["--protocol", "opaque"]].concat();
    let gateway = Gateway::with_flags(upstream.address, &flags);
    let mut client = Client::connect(gateway.address);
    client.send([V2, b"ping"].concat());
    assert_eq!(client.rest(), b"pong");
    assert_eq!(upstream.text(), "ping");
}

#[test]
fn a_trusted_proxy_is_believed_about_the_client_and_a_stranger_is_not() {
    let request = format!("GET {ATTACK} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4, 192.0.2.7\r\n\r\n");
    let upstream = Upstream::answering(OK);
    for (flags, expected, port) in
        [(&["--trusted-proxies", "127.0.0.1"][..], "192.0.2.7", false), (&[], "127.0.0.1", true)]
    {
        let gateway = Gateway::with_flags(upstream.address, flags);
        assert_eq!(ask(gateway.address, &request).status(), 403);
        let source = &gateway.events(1)[0]["src_endpoint"];
        assert_eq!((source["ip"].as_str(), source["port"].is_u64()), (Some(expected), port));
    }
}

#[test]
fn a_gateway_that_would_believe_everybody_does_not_start() {
    let mut command = std::process::Command::new(super::gateway::BINARY);
    command.args([
        "gateway",
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        "127.0.0.1:1",
        "--trusted-proxies",
        "::/0",
    ]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("would believe everybody"));
}
