//! Row 30: connections that live for hours: WebSocket, events, long downloads. Policies come and go.

use std::thread;
use std::time::{Duration, Instant};

use super::application;
use super::cage::gateway;
use super::client::Client;
use super::gateway::document;
use super::row::{Row, Sampler, soak};

#[test]
fn what_lives_long_is_not_cut_when_the_policy_changes() {
    let row = Row::new("30", "WebSocket, events and long downloads live on while policies change");
    let gateway = gateway(application::start(), Some("{mode: Monitor}"), &[]);
    let mut socket = Client::connect(gateway.address);
    socket.send(
        "GET /echo HTTP/1.1\r\nHost: app\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert!(socket.head().starts_with("HTTP/1.1 101"));
    let mut events = Client::connect(gateway.address);
    events.send(super::client::get("/events"));
    let mut download = Client::connect(gateway.address);
    download.send(super::client::get("/chunked/1000000000000"));
    let sampler = Sampler::start(gateway.pid(), Duration::from_millis(200));
    let time = soak().unwrap_or(Duration::from_secs(3));
    let (started, mut rounds) = (Instant::now(), 0_u64);
    while started.elapsed() < time {
        // A masked text frame of 2 bytes, as a client sends it; the application echoes every byte.
        let frame = [0x81, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2];
        socket.send(frame);
        assert_eq!(socket.exactly(frame.len()), frame);
        events.until(b"data: tick\n\n");
        download.exactly(10_000);
        if rounds.is_multiple_of(4) {
            let mode = if rounds.is_multiple_of(8) { "Block" } else { "Monitor" };
            gateway.change_policy(&document(&format!("{{mode: {mode}, response: {{body: \"{rounds}\"}}}}")));
        }
        rounds += 1;
        thread::sleep(Duration::from_millis(20));
    }
    let trend = sampler.finish();
    assert!(rounds > 2);
    row.kept(&format!("{rounds} rounds in {:.0?}", started.elapsed()), Some(&trend));
}
