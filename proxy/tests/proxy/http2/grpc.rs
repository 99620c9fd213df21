//! Messages of calls of gRPC: each is judged on its way, and none waits for another.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Frame;
use tokio::time::timeout;

use super::super::gateway::{Gateway, document};
use super::application::Application;
use super::streams::{ask, channel, connect, piece};

pub(super) const ATTACK: &str = "x' UNION SELECT name, password FROM users -- ";

/// A message whose first field is a text.
fn message(text: &str) -> Vec<u8> {
    let mut bytes = vec![0x0A];
    let mut length = text.len();
    while length > 0x7F {
        bytes.push(u8::try_from(length & 0x7F).unwrap() | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap());
    bytes.extend(text.as_bytes());
    bytes
}

fn frame(flags: u8, message: &[u8]) -> Bytes {
    [&[flags], &u32::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat().into()
}

pub(super) fn plain(text: &str) -> Bytes {
    frame(0, &message(text))
}

fn packed(text: &str) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&message(text)).unwrap();
    frame(1, &encoder.finish().unwrap())
}

/// The status of gRPC that a call of one message ends with, where the proxy says it.
async fn status(gateway: &Gateway, body: Bytes) -> Option<String> {
    let mut client = connect(gateway.address).await;
    let response = client.send_request(ask("/call", Full::new(body).boxed_unsync()));
    let response = timeout(Duration::from_secs(10), response).await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    response.headers().get("grpc-status").map(|status| status.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_call_is_blocked_by_its_message_and_answered_as_grpc() {
    let application = Application::start();
    let gateway = Gateway::start(application.address);
    for body in [plain(ATTACK), packed(ATTACK), [plain("hello"), plain(ATTACK)].concat().into()] {
        assert_eq!(status(&gateway, body).await.as_deref(), Some("7"));
    }
    for body in [plain("hello, it's me"), packed("hello"), frame(0, b""), Bytes::new()] {
        assert_eq!(status(&gateway, body).await, None, "the application answers");
    }
    gateway.wait_for_metric("rasp_requests_total", &["verdict=\"block\""], 3.0);
    gateway.wait_for_metric("rasp_requests_total", &["verdict=\"allow\""], 4.0);
    let event = &gateway.events(1)[0];
    assert_eq!(event["disposition"], "Blocked");
    assert_eq!(event["unmapped"]["location"]["part"], "protobuf");
}

#[tokio::test]
async fn messages_go_on_one_by_one_until_one_is_refused() {
    let application = Application::start();
    let gateway = Gateway::start(application.address);
    for attack in [plain(ATTACK), packed(ATTACK)] {
        let mut client = connect(gateway.address).await;
        let (sending, body) = channel();
        let mut response = client.send_request(ask("/echo", body)).await.unwrap();
        for number in 0..3 {
            let message = plain(&format!("message {number}"));
            // A message in pieces goes on when it is whole.
            for piece in [message.slice(..3), message.slice(3..9), message.slice(9..)] {
                sending.send(Frame::data(piece)).await.unwrap();
            }
            let mut echoed = Vec::new();
            while echoed.len() < message.len() {
                echoed.extend(piece(&mut response).await.into_data().unwrap());
            }
            assert_eq!(echoed, message);
        }
        sending.send(Frame::data(attack)).await.unwrap();
        let trailers = piece(&mut response).await.into_trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "7");
        assert!(response.body_mut().frame().await.is_none());
    }
    application.wait_for_cancelled("/echo");
    gateway.wait_for_metric("rasp_requests_total", &["verdict=\"block\""], 2.0);
}

#[tokio::test]
async fn monitor_lets_every_message_pass_and_tells() {
    let application = Application::start();
    let gateway = Gateway::with(application.address, "{mode: Monitor}");
    assert_eq!(status(&gateway, [plain("a"), plain(ATTACK)].concat().into()).await, None);
    gateway.wait_for_metric("rasp_requests_total", &["verdict=\"would_block\""], 1.0);
    assert_eq!(gateway.events(1)[0]["unmapped"]["verdict"], "would_block");
}

#[tokio::test]
async fn a_policy_that_changes_acts_on_the_next_message() {
    let application = Application::start();
    let gateway = Gateway::with(application.address, "{mode: Monitor}");
    let mut client = connect(gateway.address).await;
    let (sending, body) = channel();
    let mut response = client.send_request(ask("/echo", body)).await.unwrap();
    sending.send(Frame::data(plain(ATTACK))).await.unwrap();
    assert_eq!(piece(&mut response).await.into_data().unwrap(), plain(ATTACK));
    gateway.change_policy(&document("{mode: Block}"));
    sending.send(Frame::data(plain(ATTACK))).await.unwrap();
    assert_eq!(piece(&mut response).await.into_trailers().unwrap()["grpc-status"], "7");
}

#[tokio::test]
async fn a_message_over_the_window_is_judged_by_its_beginning() {
    let application = Application::start();
    let spec = "{mode: Block, inspection: {maxBodyBytes: 1024}";
    let long = "a ".repeat(20_000);
    for (failure_mode, passes) in [("Open", None), ("Closed", Some("2"))] {
        let gateway = Gateway::with(application.address, &format!("{spec}, failureMode: {failure_mode}}}"));
        assert_eq!(status(&gateway, plain(&long)).await.as_deref(), passes, "{failure_mode}");
        let hidden = frame(0, &[message(ATTACK), message(&long)].concat());
        assert_eq!(status(&gateway, hidden).await.as_deref(), Some("7"), "{failure_mode}");
        gateway.wait_for_metric("rasp_uninspected_total", &["unsupported_body"], 2.0);
        let next = [plain(&long), plain(ATTACK)].concat();
        if passes.is_none() {
            assert_eq!(status(&gateway, next.into()).await.as_deref(), Some("7"), "behind a long one");
        }
    }
}

#[tokio::test]
async fn what_begins_with_no_frame_is_held_and_read_as_what_it_is() {
    let application = Application::start();
    let gateway = Gateway::start(application.address);
    let form = format!("id={}", ATTACK.replace(' ', "+"));
    let json = format!("{{\"id\":\"{ATTACK}\"}}");
    for body in [json, form] {
        let mut client = connect(gateway.address).await;
        let (sending, request) = channel();
        let asked = tokio::spawn(async move { client.send_request(ask("/call", request)).await.unwrap() });
        let (first, second) = body.split_at(8);
        for piece in [first, second] {
            sending.send(Frame::data(Bytes::copy_from_slice(piece.as_bytes()))).await.unwrap();
        }
        drop(sending);
        let response = timeout(Duration::from_secs(10), asked).await.unwrap().unwrap();
        assert_eq!(response.headers()["grpc-status"], "7", "{body}");
    }
}

#[tokio::test]
async fn a_message_that_does_not_become_whole_does_not_wait_for_ever() {
    let application = Application::start();
    let flags = ["--limits", "timeout-held-body=200ms"];
    let gateway = Gateway::with_both(application.address, "{mode: Block}", &flags);
    let mut client = connect(gateway.address).await;
    let (sending, body) = channel();
    sending.send(Frame::data(plain("half of it").slice(..9))).await.unwrap();
    let response = client.send_request(ask("/call", body));
    let response = timeout(Duration::from_secs(10), response).await.unwrap().unwrap();
    assert_eq!(response.headers()["grpc-status"], "2");
    gateway.counted("held_body_timeout");
}

#[tokio::test]
async fn a_frame_that_lies_about_its_length_or_its_coding_hides_nothing() {
    let application = Application::start();
    let lying = |text: &str| -> [(&str, Bytes); 5] {
        let (whole, message) = (plain(text), message(text));
        let with_length = |length: u32| [&[0], &length.to_be_bytes()[..], &message].concat().into();
        let length = u32::try_from(message.len()).unwrap();
        [
            ("longer", with_length(length + 10)),
            ("as long as it can be", with_length(u32::MAX)),
            ("shorter", with_length(4)),
            ("a flag that means nothing", [&[2], &whole[1..]].concat().into()),
            ("said to be compressed", [&[1], &whole[1..]].concat().into()),
        ]
    };
    for failure_mode in ["Open", "Closed"] {
        let gateway =
            Gateway::with(application.address, &format!("{{mode: Block, failureMode: {failure_mode}}}"));
        for (name, body) in lying(ATTACK) {
            assert!(status(&gateway, body).await.is_some(), "{name}, {failure_mode}");
        }
        for (name, body) in lying("hello") {
            let passes = status(&gateway, body).await.is_none();
            assert_eq!(passes, failure_mode == "Open", "{name}, {failure_mode}");
        }
    }
}
