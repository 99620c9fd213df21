//! A port that is declared HTTP never becomes opaque; one that is declared opaque waits for nobody.

use super::client::{Client, ask, get};
use super::gateway::Gateway;
use super::upstream::{OK, Upstream};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS, then GOAWAY of PROTOCOL_ERROR.
const GOAWAY: &[u8] = &[
    0, 0, 0, 4, 0, 0, 0, 0, 0, //
    0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
];
const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 ";
const ATTACK: &str = "/?q=1%27%20OR%20%271%27=%271";

#[test]
fn what_a_port_is_not_declared_to_speak_is_turned_away_and_never_arrives() {
    let table: [(&str, &[u8], &[u8]); 8] = [
        ("http", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", BAD_REQUEST),
        ("http", b"*1\r\n$4\r\nPING\r\n", BAD_REQUEST),
        ("http", b"\0\0\0\x08\x04\xd2\x16\x2f", BAD_REQUEST),
        ("http1", PREFACE, BAD_REQUEST),
        ("http1", b"\x16\x03\x01\x02\0", BAD_REQUEST),
        ("http2", b"INVALID CONNECTION PREFACE\r\n\r\n", GOAWAY),
        ("grpc", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", GOAWAY),
        ("http2", b"PRI * HTTP/2.0\r\n\r\nSM\r\nxx", GOAWAY),
    ];
    let upstream = Upstream::ok();
    for (protocol, bytes, answer) in table {
        let gateway = Gateway::with_flags(upstream.address, &["--protocol", protocol]);
        let mut client = Client::connect(gateway.address);
        client.send(bytes);
        let answered = client.rest();
        let row = format!("{protocol}: {}", bytes.escape_ascii());
        assert!(answered.starts_with(answer), "{row}: {}", answered.escape_ascii());
        assert!(gateway.metric("rasp_errors_total", &["port_protocol"]) > 0.0, "{row}");
        assert!(gateway.metric("rasp_uninspected_total", &[]) < 1.0, "{row}");
        let event = &gateway.events(1)[0];
        assert_eq!(
            (&event["unmapped"]["rule"], &event["src_endpoint"]["ip"]),
            (&"port_protocol".into(), &"127.0.0.1".into())
        );
        assert_eq!(event["dst_endpoint"]["port"], upstream.address.port());
    }
    assert_eq!(upstream.text(), "");
}

#[test]
fn http_on_a_port_that_is_declared_http_or_tls_is_judged() {
    let upstream = Upstream::ok();
    for protocol in ["http", "http1", "tls", "detect"] {
        let gateway = Gateway::with_flags(upstream.address, &["--protocol", protocol]);
        assert_eq!(ask(gateway.address, get("/")).status(), 200, "{protocol}");
        assert_eq!(ask(gateway.address, get(ATTACK)).status(), 403, "{protocol}");
    }
}

#[test]
fn a_server_that_speaks_first_is_heard_at_once_where_it_is_declared_opaque() {
    let upstream = Upstream::start(|conversation| {
        conversation.write(b"220 mail.test ESMTP\r\n")?;
        conversation.until(b"GET / HTTP/1.1\r\n")?;
        conversation.write(b"500 what?\r\n")
    });
    let gateway = Gateway::with_flags(upstream.address, &["--protocol", "tcp"]);
    let mut client = Client::connect(gateway.address);
    assert_eq!(client.until(b"\r\n"), b"220 mail.test ESMTP\r\n");
    client.send("GET / HTTP/1.1\r\n");
    assert_eq!(client.rest(), b"500 what?\r\n");
}

#[test]
fn a_server_that_speaks_something_else_first_is_not_heard_on_a_port_that_is_declared_http() {
    let upstream = Upstream::start(|conversation| {
        conversation.write(b"220 mail.test ESMTP\r\n")?;
        conversation.rest();
        None
    });
    let gateway = Gateway::with_flags(upstream.address, &["--protocol", "http"]);
    assert_eq!(Client::connect(gateway.address).rest().get(..BAD_REQUEST.len()), Some(BAD_REQUEST));
    assert!(gateway.metric("rasp_errors_total", &["port_protocol"]) > 0.0);
}

/// As servers of gRPC do; taking that for a protocol in which the server speaks first would leave gRPC uninspected.
#[test]
fn settings_that_a_server_sends_at_once_do_not_lead_past_inspection() {
    let upstream = Upstream::start(|conversation| {
        conversation.write(b"\0\0\0\x04\0\0\0\0\0")?;
        conversation.request()?;
        conversation.write(OK)
    });
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    std::thread::sleep(std::time::Duration::from_millis(200)); // the greeting comes first
    client.send(get(ATTACK));
    assert_eq!(client.response().status(), 403);
    assert_eq!(upstream.text(), "");
}

#[test]
fn a_protocol_that_does_not_exist_is_told_with_those_that_do() {
    let mut command = std::process::Command::new(super::gateway::BINARY);
    command.args(["gateway", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--protocol", "HTTP"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("use detect, http, http1"));
}
