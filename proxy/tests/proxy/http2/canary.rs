//! `spec.enforcement` with HTTP/2: each stream has a side of its own, and a call of gRPC keeps that of its head.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Frame;
use tokio::time::timeout;

use super::super::canary::{by_user, user_at};
use super::super::gateway::{Gateway, document};
use super::application::Application;
use super::frame::{Client, WHOLE, headers};
use super::grpc::{ATTACK, plain};
use super::streams::{Body, ask, channel, connect, piece};

fn ask_as(user: &str, path: &str, body: Body) -> http::Request<Body> {
    let mut request = ask(path, body);
    request.headers_mut().insert("x-user", user.parse().unwrap());
    request
}

#[test]
fn streams_of_one_connection_are_told_apart() {
    let application = Application::start();
    let gateway = Gateway::with(application.address, &by_user(50));
    let (inside, outside) = (user_at(10), user_at(60));
    let mut client = Client::connect(gateway.address);
    let target = "/?q=1%27%20OR%20%271%27=%271";
    for (stream, user, status) in
        [(1, &inside, 403), (3, &outside, 200), (5, &inside, 403), (7, &outside, 200)]
    {
        let fields = [
            (":method", "GET"),
            (":scheme", "http"),
            (":path", target),
            (":authority", "app"),
            ("x-user", user.as_str()),
        ];
        client.send(headers(stream, WHOLE, &fields));
        assert_eq!(client.answer(stream), status, "{user}");
    }
    gateway.wait_for_metric("rasp_requests_total", &["would_block"], 2.0);
    gateway.wait_for_metric("rasp_requests_total", &["\"block\""], 2.0);
}

#[tokio::test]
async fn a_message_of_a_call_is_refused_inside_and_goes_on_outside() {
    let application = Application::start();
    let gateway = Gateway::with(application.address, &by_user(50));
    let mut client = connect(gateway.address).await;
    for (user, said) in [(user_at(10), Some("7")), (user_at(60), None)] {
        let response = client.send_request(ask_as(&user, "/call", Full::new(plain(ATTACK)).boxed_unsync()));
        let response = timeout(Duration::from_secs(10), response).await.unwrap().unwrap();
        let status = response.headers().get("grpc-status").map(|status| status.to_str().unwrap());
        assert_eq!(status, said, "{user}");
    }
    let events = gateway.events(2);
    assert_eq!((&events[0]["disposition"], &events[1]["disposition"]), (&"Blocked".into(), &"Logged".into()));
    assert_eq!(events[1]["unmapped"]["enforced"], false);
    assert_eq!(events[1]["unmapped"]["verdict"], "would_block");
    assert_eq!(events[0]["unmapped"].get("enforced"), None);
}

#[tokio::test]
async fn outside_of_the_share_a_message_does_not_wait_until_it_is_whole() {
    let application = Application::start();
    let gateway = Gateway::with(application.address, &by_user(50));
    let mut client = connect(gateway.address).await;
    let (sending, body) = channel();
    let mut response = client.send_request(ask_as(&user_at(60), "/echo", body)).await.unwrap();
    let message = plain(ATTACK);
    sending.send(Frame::data(message.slice(..9))).await.unwrap();
    assert_eq!(piece(&mut response).await.into_data().unwrap(), message.slice(..9));
    sending.send(Frame::data(message.slice(9..))).await.unwrap();
    assert_eq!(piece(&mut response).await.into_data().unwrap(), message.slice(9..));
    // The share grows over it: its next message is held, and refused.
    gateway.change_policy(&document(&by_user(70)));
    sending.send(Frame::data(message.slice(..9))).await.unwrap();
    sending.send(Frame::data(message.slice(9..))).await.unwrap();
    assert_eq!(piece(&mut response).await.into_trailers().unwrap()["grpc-status"], "7");
    gateway.wait_for_metric("rasp_detections_total", &["action=\"Log\"", "mode=\"Monitor\""], 1.0);
    gateway.wait_for_metric("rasp_detections_total", &["action=\"Block\"", "mode=\"Block\""], 1.0);
}
