//! Who may leave HTTP, and what a WebSocket may carry.

use std::time::Duration;

use rustix::process::Signal;

use super::client::{Client, ask, get};
use super::gateway::{Gateway, document};
use super::upstream::{Conversation, OK, Upstream};

const MONITOR: &str = "{mode: Monitor, detections: {sqlInjection: {mode: Monitor}}}";
const BLOCK: &str = "{mode: Block}";

const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: app\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
     Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
pub const SWITCHED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

pub const ATTACK: &[u8] = b"{\"name\": \"x' OR '1'='1\"}";

/// A frame of a client, masked with a key that changes something.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [1, 2, 3, 4];
    let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).unwrap()];
    frame.extend(key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, u8::try_from(payload.len()).unwrap()], payload].concat()
}

pub fn closing(code: u16) -> Vec<u8> {
    unmasked(0x88, &code.to_be_bytes())
}

/// A frame with its first byte and what the mask hides.
fn frame(conversation: &mut Conversation) -> Option<(u8, Vec<u8>)> {
    let head = conversation.exactly(2)?;
    let key = conversation.exactly(4)?;
    let payload = conversation.exactly(usize::from(head[1] & 0x7F))?;
    Some((head[0], payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect()))
}

/// Agrees to the handshake and sends every message back; answers Close with Close.
pub fn echo() -> Upstream {
    Upstream::start(|conversation| {
        conversation.request()?;
        conversation.write(SWITCHED)?;
        loop {
            let (first, payload) = frame(conversation)?;
            conversation.write(&unmasked(first, &payload))?;
            if first == 0x88 {
                return None;
            }
        }
    })
}

fn open(gateway: &Gateway) -> Client {
    opened(gateway, HANDSHAKE)
}

/// The handshake of a user.
pub fn open_as(gateway: &Gateway, user: &str) -> Client {
    opened(gateway, &HANDSHAKE.replacen("Host", &format!("X-User: {user}\r\nHost"), 1))
}

fn opened(gateway: &Gateway, handshake: &str) -> Client {
    let mut client = Client::connect(gateway.address);
    client.send(handshake);
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("Sec-WebSocket-Accept: s3pP"), "{head}");
    client
}

#[test]
fn a_websocket_is_relayed_in_both_directions_without_changing_a_byte() {
    for spec in [BLOCK, MONITOR] {
        let upstream = echo();
        let gateway = Gateway::with(upstream.address, spec);
        let mut client = open(&gateway);
        let frames =
            [masked(0x81, b"hello"), masked(0x89, b""), masked(0x02, b"\x00"), masked(0x80, b"\xff")];
        for sent in &frames {
            client.send(sent);
            client.exactly(sent.len() - 4);
        }
        client.send(masked(0x88, &1000_u16.to_be_bytes()));
        assert_eq!(client.rest(), closing(1000));
        assert!(
            upstream.recorded().ends_with(&[frames.concat(), masked(0x88, &1000_u16.to_be_bytes())].concat())
        );
        assert!(gateway.metric("rasp_uninspected_total", &["\"upgrade\""]) < 0.5);
        gateway.wait_for_metric("rasp_uninspected_total", &["websocket_binary"], 1.0);
        let offered = upstream.text().to_lowercase().contains("sec-websocket-extensions");
        assert_eq!(offered, spec == MONITOR, "what is packed cannot be held back in time");
    }
}

#[test]
fn a_handshake_that_is_answered_wrongly_is_a_502_and_both_sides_are_closed() {
    let answer = |lines: &str| {
        format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{lines}\r\n\r\nhello")
    };
    let table = [
        answer("Upgrade: websocket\r\nSec-WebSocket-Accept: d3Jvbmc="),
        answer("Upgrade: websocket"),
        answer("Upgrade: other\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        answer("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ];
    for spec in [BLOCK, MONITOR] {
        for answer in &table {
            let upstream = Upstream::start({
                let answer = answer.clone();
                move |conversation| {
                    conversation.request()?;
                    conversation.write(answer.as_bytes())?;
                    conversation.rest();
                    None
                }
            });
            let gateway = Gateway::with(upstream.address, spec);
            let mut client = Client::connect(gateway.address);
            client.send([HANDSHAKE.as_bytes(), b"early bytes"].concat());
            assert_eq!(client.response().status(), 502, "{answer}");
            assert!(client.is_closed());
            assert!(!upstream.text().contains("early"), "no byte goes on before the answer was checked");
            assert_eq!(gateway.events(1)[0]["unmapped"]["rule"], "response_switch");
        }
    }
}

#[test]
fn a_handshake_that_is_declined_leaves_http_where_it_was() {
    let upstream = Upstream::start(|conversation| {
        let head = conversation.request()?;
        assert!(head.contains("upgrade: websocket"), "{head}");
        conversation.write(
            b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n",
        )?;
        loop {
            let head = conversation.request()?;
            assert!(!head.contains("upgrade"), "{head}");
            conversation.write(OK)?;
        }
    });
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    // What follows at once is held until the answer says what it is: here, requests.
    client.send([HANDSHAKE.replace(": 13", ": 777"), get("/next")].concat());
    let answer = client.response();
    assert_eq!((answer.status(), answer.header("sec-websocket-version")), (426, Some("13")));
    assert_eq!(client.response().status(), 200);
    client.send(get("/?a=1%27%20OR%20%271%27=%271"));
    assert_eq!(client.response().status(), 403, "still inspected");
    assert!(!upstream.text().contains("OR"));
}

#[test]
fn a_switch_to_an_unknown_version_of_websocket_is_refused_where_anything_is_enforced() {
    let upstream = echo();
    let gateway = Gateway::start(upstream.address);
    assert_eq!(ask(gateway.address, HANDSHAKE.replace(": 13", ": 8")).status(), 502);
}

#[test]
fn frames_that_come_with_the_handshake_are_held_until_the_answer() {
    let upstream = echo();
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    client.send([HANDSHAKE.as_bytes(), &masked(0x81, b"early")].concat());
    client.head();
    assert_eq!(client.exactly(7), unmasked(0x81, b"early"));
    let mut other = Client::connect(gateway.address);
    other.send([HANDSHAKE.as_bytes(), &masked(0x81, ATTACK)].concat());
    other.head();
    assert_eq!(other.rest(), closing(1008), "and inspected like any other");
}

#[test]
fn a_handshake_with_a_body_is_refused() {
    for line in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] {
        for spec in [BLOCK, MONITOR] {
            let upstream = echo();
            let gateway = Gateway::with(upstream.address, spec);
            let request = HANDSHAKE.replace("\r\n\r\n", &format!("\r\n{line}"));
            assert_eq!(ask(gateway.address, request).status(), 400, "{line}");
            assert_eq!(upstream.text(), "");
            assert!(gateway.metric("rasp_errors_total", &["request_upgrade_body"]) >= 1.0);
        }
    }
}

#[test]
fn what_may_not_be_asked_for_is_answered_as_http() {
    let ask_for = |line: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
    let table = [
        (ask_for("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk"), true),
        (ask_for("Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk"), true),
        (ask_for("Connection: Upgrade\r\nUpgrade: H2C"), true),
        (ask_for("Upgrade: websocket"), true),
        (ask_for("Connection: Upgrade\r\nUpgrade: foo"), false),
        (ask_for("Connection: Upgrade\r\nUpgrade: SPDY/3.1"), false),
        ("GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".to_owned(), true),
        (HANDSHAKE.replacen("GET", "OPTIONS", 1), true),
    ];
    for (spec, enforces) in [(BLOCK, true), (MONITOR, false)] {
        let upstream = Upstream::ok();
        let gateway = Gateway::with(upstream.address, spec);
        for (request, always) in &table {
            let seen = upstream.recorded().len();
            assert_eq!(ask(gateway.address, request).status(), 200, "{request}");
            let received = String::from_utf8_lossy(&upstream.recorded()[seen..]).to_lowercase();
            let removed = !received.contains("upgrade") && !received.contains("http2-settings");
            assert_eq!(removed, *always || enforces, "{spec} {request} {received}");
        }
    }
}

#[test]
fn of_several_protocols_websocket_is_left() {
    let upstream = echo();
    let gateway = Gateway::start(upstream.address);
    let mut client = Client::connect(gateway.address);
    client.send(HANDSHAKE.replace("Upgrade: websocket", "Upgrade: h2c, WebSocket"));
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert!(upstream.text().contains("Upgrade: websocket\r\n"), "{}", upstream.text());
}

#[test]
fn monitor_relays_and_counts_another_protocol_that_the_application_agrees_to() {
    let upstream = Upstream::start(|conversation| {
        conversation.request()?;
        conversation.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n\r\nhello",
        )?;
        assert_eq!(conversation.exactly(4)?, b"\x00\xffab");
        conversation.write(b"bye")
    });
    let gateway = Gateway::with(upstream.address, MONITOR);
    let mut client = Client::connect(gateway.address);
    // As `kubectl exec` and docker do it: with a body, by POST.
    client.send("POST /exec HTTP/1.1\r\nHost: app\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(client.exactly(5), b"hello");
    client.send(b"\x00\xffab");
    assert_eq!(client.rest(), b"bye");
    gateway.wait_for_metric("rasp_uninspected_total", &["\"upgrade\""], 1.0);
}

#[test]
fn a_message_with_an_attack_never_arrives_whole() {
    let split = [
        masked(0x01, &ATTACK[..9]),
        masked(0x00, &ATTACK[9..15]),
        masked(0x89, b"ping"),
        masked(0x80, &ATTACK[15..]),
    ];
    let numbered = masked(0x81, &[b"42[\"say\",", ATTACK, b"]"].concat());
    for attack in [masked(0x81, ATTACK), split.concat(), numbered] {
        let upstream = echo();
        let gateway = Gateway::start(upstream.address);
        let mut client = open(&gateway);
        client.send(masked(0x81, b"{\"name\": \"O'Neill\"}"));
        client.exactly(21);
        client.send(&attack);
        assert!(client.rest().ends_with(&closing(1008)));
        let received = upstream.recorded();
        assert!(!received.windows(attack.len()).any(|window| window == attack));
        let event = &gateway.events(1)[0];
        assert_eq!(event["unmapped"]["rule"], "sqli-tautology");
        assert_eq!(event["disposition"], "Blocked");
        assert_eq!(event["unmapped"]["location"]["part"], "json");

        let monitored = Gateway::with(upstream.address, MONITOR);
        let mut client = open(&monitored);
        client.send(&attack);
        assert_eq!(monitored.events(1)[0]["disposition"], "Logged");
        upstream.wait_for(&String::from_utf8_lossy(&attack));
    }
}

#[test]
fn a_frame_that_is_none_ends_a_websocket_where_anything_is_enforced() {
    let table: [(&[u8], &str); 4] = [
        (&unmasked(0x81, b"x"), "websocket_mask"),
        (&masked(0xC1, b"x"), "websocket_reserved"),
        (&masked(0x09, b"x"), "websocket_control"),
        (&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], "websocket_length"),
    ];
    let upstream = Upstream::start(|conversation| {
        conversation.request()?;
        conversation.write(SWITCHED)?;
        conversation.rest();
        None
    });
    let (block, monitor) = (Gateway::start(upstream.address), Gateway::with(upstream.address, MONITOR));
    for (bytes, reason) in table {
        let mut client = open(&block);
        client.send(bytes);
        assert_eq!(client.rest(), closing(1002), "{reason}");
        block.wait_for_metric("rasp_errors_total", &[reason], 1.0);
        assert!(!upstream.recorded().ends_with(bytes), "{reason}");

        let mut client = open(&monitor);
        client.send([bytes, b"and more"].concat());
        upstream.wait_for("and more");
        monitor.wait_for_metric("rasp_errors_total", &[reason], 1.0);
    }
}

#[test]
fn a_packed_message_is_refused_in_block_and_passes_packed_in_monitor() {
    // 15 bytes in the format of RFC 7692, as a sender of permessage-deflate writes them; they would be 4 KiB of zeros.
    const PACKED: &[u8] = b"\x62\x60\x18\x05\xa3\x60\x14\x0c\x77\x00\x00";
    let upstream = Upstream::start(|conversation| {
        let head = conversation.request()?;
        let extension = if head.contains("permessage-deflate") {
            "Sec-WebSocket-Extensions: permessage-deflate\r\n"
        } else {
            ""
        };
        let agreed = String::from_utf8_lossy(SWITCHED).replace("\r\n\r\n", &format!("\r\n{extension}\r\n"));
        conversation.write(agreed.as_bytes())?;
        conversation.rest();
        None
    });
    let (block, monitor) = (Gateway::start(upstream.address), Gateway::with(upstream.address, MONITOR));
    let mut client = open(&block);
    client.send(masked(0xC1, PACKED));
    assert_eq!(client.rest(), closing(1002), "it was not agreed to");
    assert!(!upstream.recorded().ends_with(&masked(0xC1, PACKED)));

    let memory = monitor.memory();
    let mut client = open(&monitor);
    let many = masked(0xC1, PACKED).repeat(10_000);
    client.send(&many);
    client.finish();
    client.rest();
    assert!(upstream.recorded().ends_with(&many), "as they came");
    monitor.wait_for_metric("rasp_uninspected_total", &["websocket_packed"], 1.0);
    assert!(monitor.memory() < memory + 8192, "nothing is unpacked");
}

#[test]
fn a_policy_that_changes_acts_on_the_next_message_and_cuts_no_tunnel() {
    let upstream = echo();
    let gateway = Gateway::with(upstream.address, MONITOR);
    let mut client = open(&gateway);
    client.send(masked(0x81, ATTACK));
    client.exactly(ATTACK.len() + 2);
    gateway.change_policy(&document(BLOCK));
    client.send(masked(0x81, b"still there"));
    assert_eq!(client.exactly(13), unmasked(0x81, b"still there"));
    client.send(masked(0x81, ATTACK));
    assert_eq!(client.rest(), closing(1008));
}

#[test]
fn sigterm_tells_clients_of_websockets_to_go_elsewhere() {
    let upstream = echo();
    let mut gateway = Gateway::start(upstream.address);
    let mut client = open(&gateway);
    client.send(masked(0x81, b"hello"));
    client.exactly(7);
    gateway.signal(Signal::TERM);
    assert_eq!(client.exactly(4), closing(1001));
    client.send(masked(0x88, &1001_u16.to_be_bytes()));
    assert!(client.is_closed());
    assert!(gateway.wait_for_exit(Duration::from_secs(4)).success());
    assert!(upstream.recorded().ends_with(&masked(0x88, &1001_u16.to_be_bytes())));
}

#[test]
fn messages_of_a_client_have_a_size_and_a_rate_where_they_are_set() {
    let table: [(&str, &[&[u8]], u16, &str); 2] = [
        ("websocket-message=125", &[&[b'a'; 100], &[b'b'; 100]], 1009, "websocket_too_large"),
        ("websocket-rate=5", &[&b"a"[..]; 30], 1008, "websocket_too_many"),
    ];
    for (limits, messages, code, kind) in table {
        let (upstream, free) = (echo(), echo());
        let gateway = Gateway::with_flags(upstream.address, &["--limits", limits]);
        let without = Gateway::with_flags(free.address, &[]);
        // One message of several fragments, or several messages.
        let pieces = |frames: &mut Vec<u8>| {
            for (number, payload) in messages.iter().enumerate() {
                let first = if kind == "websocket_too_many" { 0x82 } else { [0x02, 0x80][number] };
                frames.extend(masked(first, payload));
            }
        };
        let mut frames = Vec::new();
        pieces(&mut frames);
        let mut client = open(&gateway);
        client.send(&frames);
        assert!(client.rest().ends_with(&closing(code)), "{limits}");
        gateway.counted(kind);
        let event = &gateway.events(1)[0];
        assert_eq!(event["unmapped"]["rule"], kind);
        let mut client = open(&without);
        client.send(&frames);
        client.exactly(frames.len() - 4 * messages.len());
    }
}
