//! Streams from end to end: both ways at once, with trailers, and what each end is told when the other gives up.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Empty, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::Signal;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::timeout;

use super::super::gateway::{Gateway, document};
use super::application::Application;
use super::frame::{CANCEL, Client, DATA, GOAWAY, HEADERS, REFUSED_STREAM, RST_STREAM, get, reset};

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

pub(super) async fn connect(address: SocketAddr) -> SendRequest<Body> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub(super) fn ask(path: &str, body: Body) -> Request<Body> {
    Request::post(format!("http://app{path}")).header("content-type", "application/grpc").body(body).unwrap()
}

/// A body of what is sent to it.
struct Received(Receiver<Frame<Bytes>>);

impl hyper::body::Body for Received {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|frame| frame.map(Ok))
    }
}

pub(super) fn channel() -> (Sender<Frame<Bytes>>, Body) {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    (sender, Received(receiver).boxed_unsync())
}

pub(super) async fn piece(response: &mut Response<Incoming>) -> Frame<Bytes> {
    timeout(Duration::from_secs(10), response.body_mut().frame()).await.unwrap().unwrap().unwrap()
}

#[tokio::test]
async fn grpc_streams_both_ways_at_once_and_ends_with_trailers() {
    let application = Application::start();
    for spec in ["{mode: Block}", "{mode: Monitor}"] {
        let gateway = Gateway::with(application.address, spec);
        let mut client = connect(gateway.address).await;
        let (sending, body) = channel();
        let mut response = client.send_request(ask("/echo", body)).await.unwrap();
        assert_eq!(response.status(), 200, "the head comes before the request is over");
        for number in 0..20 {
            let text = format!("message {number:02}");
            let message = Bytes::from([b"\0\0\0\0\x0c\x0a\x0a", text.as_bytes()].concat());
            sending.send(Frame::data(message.clone())).await.unwrap();
            assert_eq!(piece(&mut response).await.into_data().unwrap(), message, "{spec}");
        }
        let trailers: HeaderMap =
            [("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))].into_iter().collect();
        sending.send(Frame::trailers(trailers.clone())).await.unwrap();
        drop(sending);
        assert_eq!(piece(&mut response).await.into_trailers().unwrap(), trailers, "{spec}");
        assert!(response.body_mut().frame().await.is_none());
    }
}

#[tokio::test]
async fn a_trailer_that_an_application_could_take_for_a_field_of_the_head_does_not_go_on() {
    let application = Application::start();
    let gateway = Gateway::start(application.address);
    let mut client = connect(gateway.address).await;
    let (sending, body) = channel();
    let mut response = client.send_request(ask("/echo", body)).await.unwrap();
    let trailers = ["x-checksum", "host", "x-forwarded-for", "authorization"];
    let trailers =
        trailers.map(|name| (name.parse().unwrap(), HeaderValue::from_static("1"))).into_iter().collect();
    sending.send(Frame::trailers(trailers)).await.unwrap();
    let echoed = piece(&mut response).await.into_trailers().unwrap();
    assert_eq!(echoed.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["x-checksum"]);
}

#[tokio::test]
async fn a_blocked_grpc_call_gets_the_status_of_grpc() {
    let application = Application::start();
    let gateway = Gateway::start(application.address);
    let mut client = connect(gateway.address).await;
    let attack = "/?id=1%27%20OR%201%3D1%20--%20";
    let response = client.send_request(ask(attack, Empty::new().boxed_unsync())).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["grpc-status"], "7");
    assert_eq!(response.headers()["content-type"], "application/grpc");
    assert!(response.headers().contains_key("x-request-id"));
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
    assert!(application.seen().is_empty());
}

#[test]
fn what_a_client_takes_back_is_taken_back_from_the_application() {
    let application = Application::start();
    let gateway = Gateway::start(application.address);
    let mut client = Client::connect(gateway.address);
    for (stream, path) in [(1, "/hold"), (3, "/echo")] {
        if path == "/echo" {
            client.send(super::frame::headers(
                stream,
                super::frame::END_HEADERS,
                &[
                    (":method", "POST"),
                    (":scheme", "http"),
                    (":path", path),
                    (":authority", "app"),
                    ("content-type", "application/grpc"),
                ],
            ));
            client.until(|frame| frame.stream == stream && frame.kind == HEADERS);
        } else {
            client.send(get(stream, path));
            application.wait_for(path);
        }
        client.send(reset(stream, CANCEL));
        application.wait_for_cancelled(path);
    }
    client.send(get(5, "/"));
    assert_eq!(client.answer(5), 200);
    assert_eq!(application.connections(), 1);
}

#[test]
fn what_the_application_resets_is_reset_with_its_code_and_nothing_else_is() {
    let application = Application::start();
    let gateway = Gateway::start(application.address);
    let mut client = Client::connect(gateway.address);
    client.send(get(1, "/hold"));
    for (stream, path, code) in [(3, "/refuse", REFUSED_STREAM), (5, "/reset", 0xc)] {
        client.send(get(stream, path));
        let end = client.until(|frame| frame.stream == stream);
        assert_eq!((end.kind, end.code()), (RST_STREAM, code), "{path}");
    }
    client.send(get(7, "/half"));
    assert_eq!(client.until(|frame| frame.stream == 7).status(), 200);
    assert_eq!(client.until(|frame| frame.stream == 7 && frame.kind == DATA).payload, b"half");
    assert_eq!(client.until(|frame| frame.stream == 7 && frame.kind == RST_STREAM).code(), 0xc);
    application.go();
    assert_eq!(client.answer(1), 200);
}

#[test]
fn an_application_that_dies_in_the_middle_of_answers_completes_none_of_them() {
    let application = Application::start();
    let gateway = Gateway::start(application.address);
    for _ in 0..5 {
        let mut client = Client::connect(gateway.address);
        client.send(get(1, "/stuck"));
        assert_eq!(client.until(|frame| frame.stream == 1).status(), 200);
        assert_eq!(client.until(|frame| frame.stream == 1 && frame.kind == DATA).payload, b"half");
        client.send(get(3, "/hold"));
        client.ping();
        application.die();
        let mut unanswered = None;
        while let Some(frame) = client.next() {
            assert!(frame.stream != 1 || !frame.ends_stream(), "half a response with an end");
            if frame.stream == 3 && frame.kind == HEADERS {
                assert_eq!(unanswered.replace(frame.status()), None, "two answers");
            }
        }
        assert!(matches!(unanswered, None | Some(502)), "{unanswered:?}");
        let mut next = Client::connect(gateway.address);
        next.send(get(1, "/"));
        assert_eq!(next.answer(1), 200, "the next connection finds it again");
    }
}

#[tokio::test]
async fn a_grpc_stream_is_not_cut_when_the_policy_changes() {
    let application = Application::start();
    let gateway = Gateway::with(application.address, "{mode: Monitor}");
    let mut client = connect(gateway.address).await;
    let (sender, body) = channel();
    let mut response = timeout(Duration::from_secs(10), client.send_request(ask("/echo", body))).await;
    let response = response.as_mut().unwrap().as_mut().unwrap();
    for round in 0..20 {
        sender.send(Frame::data(Bytes::from_static(b"\0\0\0\0\x02hi"))).await.unwrap();
        assert_eq!(piece(response).await.into_data().unwrap(), b"\0\0\0\0\x02hi".as_slice());
        if round % 5 == 0 {
            let mode = if round % 2 == 0 { "Block" } else { "Monitor" };
            gateway.change_policy(&document(&format!("{{mode: {mode}, response: {{body: \"{round}\"}}}}")));
        }
    }
    assert_eq!(application.connections(), 1);
}

#[test]
fn no_stream_waits_for_another() {
    let application = Application::start();
    let gateway = Gateway::start(application.address);
    let mut client = Client::connect(gateway.address);
    client.send(get(1, "/hold"));
    for stream in (3..63).step_by(2) {
        client.send(get(stream, "/"));
        assert_eq!(client.answer(stream), 200);
    }
    application.go();
    assert_eq!(client.answer(1), 200);
}

#[test]
fn when_the_application_leaves_so_does_the_client_after_its_last_answer() {
    let application = Application::start();
    let gateway = Gateway::start(application.address);
    let mut client = Client::connect(gateway.address);
    client.send(get(1, "/hold"));
    application.wait_for("/hold");
    application.leave();
    let goaway = client.next_of(GOAWAY);
    assert_eq!(goaway.code(), 0);
    application.go();
    assert_eq!(client.answers_before_the_end(), [(1, 200)]);
    let mut next = Client::connect(gateway.address);
    next.send(get(1, "/"));
    assert_eq!(next.answer(1), 200, "the next connection finds a new one");
}

#[test]
fn sigterm_says_goaway_and_lets_streams_end() {
    let application = Application::start();
    let mut gateway = Gateway::start(application.address);
    let mut client = Client::connect(gateway.address);
    let mut idle = Client::connect(gateway.address);
    idle.ping();
    client.send(get(1, "/hold"));
    application.wait_for("/hold");
    gateway.signal(Signal::TERM);
    assert_eq!(client.next_of(GOAWAY).code(), 0);
    assert_eq!(idle.answers_before_the_end(), []);
    application.go();
    assert_eq!(client.answers_before_the_end(), [(1, 200)]);
    assert!(gateway.wait_for_exit(Duration::from_secs(5)).success());
}

#[test]
fn an_application_that_is_not_there_is_a_bad_gateway_until_it_is_back() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let gateway = Gateway::start(address);
    let mut client = Client::connect(gateway.address);
    client.send(get(1, "/"));
    assert_eq!(
        client.answers_before_the_end(),
        [(1, 502)],
        "the connection ends, so that the next one dials"
    );
}

#[test]
fn a_server_of_http2_that_speaks_first_is_no_way_past_inspection() {
    let application = Application::start();
    let gateway = Gateway::start(application.address);
    let mut client = super::super::client::Client::connect(gateway.address);
    std::thread::sleep(Duration::from_millis(200)); // the application has sent its SETTINGS
    client.send(super::frame::PREFACE);
    client.send(super::frame::settings(1, 0));
    client.send(get(1, "/?id=1%27%20OR%201%3D1%20--%20"));
    gateway.wait_for_metric("rasp_requests_total", &["verdict=\"block\""], 1.0);
    assert!(application.seen().is_empty());
}
