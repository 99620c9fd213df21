//! Row 30: connections that live for hours: WebSocket, events, long downloads, calls of gRPC. Policies come and go.

use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::application;
use super::cage::gateway;
use super::client::Client;
use super::gateway::{Gateway, document};
use super::http2_application::Application;
use super::row::{Row, Sampler, soak};

/// How long the short form goes on.
const SHORT: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(20);

/// Another policy, now and then: it acts on what comes next, and ends nothing.
fn change_policy(gateway: &Gateway, round: u64) {
    if round.is_multiple_of(4) {
        let mode = if round.is_multiple_of(8) { "Block" } else { "Monitor" };
        gateway.change_policy(&document(&format!("{{mode: {mode}, response: {{body: \"{round}\"}}}}")));
    }
}

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
    let time = soak().unwrap_or(SHORT);
    let (started, mut rounds) = (Instant::now(), 0_u64);
    while started.elapsed() < time {
        // A masked text frame of 2 bytes, as a client sends it; the application echoes every byte.
        let frame = [0x81, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2];
        socket.send(frame);
        assert_eq!(socket.exactly(frame.len()), frame);
        events.until(b"data: tick\n\n");
        download.exactly(10_000);
        change_policy(&gateway, rounds);
        rounds += 1;
        thread::sleep(Duration::from_millis(20));
    }
    let trend = sampler.finish();
    assert!(rounds > 2);
    row.kept(&format!("{rounds} rounds in {:.0?}", started.elapsed()), Some(&trend));
}

/// One message there and back.
async fn echoed(sender: &mut SendStream<Bytes>, body: &mut RecvStream, message: Bytes) {
    sender.send_data(message.clone(), false).unwrap();
    let mut received = Vec::new();
    while received.len() < message.len() {
        let data = timeout(PATIENCE, body.data()).await.unwrap().unwrap().unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        received.extend_from_slice(&data);
    }
    assert_eq!(received, message);
}

#[tokio::test]
async fn a_call_of_grpc_lives_long_and_ends_with_its_trailers_while_the_policy_changes() {
    let row = Row::new(
        "30 gRPC",
        "a call of gRPC lives on both ways while policies change, and ends with its trailers",
    );
    let application = Application::start();
    let gateway = gateway(application.address, Some("{mode: Monitor}"), &[]);
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let call = Request::post("http://app/echo").header("content-type", "application/grpc");
    let call = call.header("te", "trailers").body(()).unwrap();
    let mut client = client.ready().await.unwrap();
    let (answer, mut sender) = client.send_request(call, false).unwrap();
    let answer = timeout(PATIENCE, answer).await.unwrap().unwrap();
    assert_eq!(answer.status(), 200, "the head comes before the call is over");
    let mut body = answer.into_body();
    let sampler = Sampler::start(gateway.pid(), Duration::from_millis(200));
    let (time, started, mut rounds) = (soak().unwrap_or(SHORT), Instant::now(), 0_u64);
    while started.elapsed() < time {
        let text = format!("message {rounds}");
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        echoed(&mut sender, &mut body, [&[0], &length[..], text.as_bytes()].concat().into()).await;
        change_policy(&gateway, rounds);
        rounds += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let trend = sampler.finish();
    let trailers = [(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))];
    let trailers: HeaderMap = trailers.into_iter().collect();
    sender.send_trailers(trailers.clone()).unwrap();
    assert!(timeout(PATIENCE, body.data()).await.unwrap().is_none());
    assert_eq!(timeout(PATIENCE, body.trailers()).await.unwrap().unwrap(), Some(trailers));
    assert!(rounds > 2);
    row.kept(&format!("{rounds} messages in {:.0?}", started.elapsed()), Some(&trend));
}
