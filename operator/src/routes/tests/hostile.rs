//! Clients of the listener that want it to wait, to remember or to fall over.

use std::time::Duration;

use http::Request;
use http::{Method, StatusCode};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{HOST, Running, connect, review, send, start, tls_connector};

/// A connection of TLS, for bytes that no library sends.
async fn raw(running: &Running) -> tokio_rustls::client::TlsStream<TcpStream> {
    let stream = TcpStream::connect(running.address).await.unwrap();
    let connector = tls_connector(&running.issued.ca_pem);
    connector.connect(ServerName::try_from(HOST).unwrap(), stream).await.unwrap()
}

async fn answer_to(running: &Running, bytes: &[u8]) -> String {
    let mut stream = raw(running).await;
    // The listener may answer, and close, before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = vec![0; 1024];
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut answer)).await;
    let length = read.expect("answers or closes").unwrap_or(0);
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[tokio::test]
async fn a_head_without_end_and_a_body_that_lies_are_refused() {
    let running = start(Duration::ZERO).await;
    let long = format!("POST /v1/report HTTP/1.1\r\nhost: {HOST}\r\nx: {}\r\n\r\n", "a".repeat(64 << 10));
    let many = format!("POST /v1/report HTTP/1.1\r\nhost: {HOST}\r\n{}\r\n", "x: y\r\n".repeat(200));
    for (what, bytes) in [("a long head", long), ("many fields", many)] {
        let answer = answer_to(&running, bytes.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{what}: {answer}");
    }
    let announced =
        format!("POST /inject/enforced HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 99999999999\r\n\r\n");
    let answer = answer_to(&running, announced.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "refused before a byte of it is sent: {answer}");
    let mut sender = connect(running.address, &running.issued.ca_pem).await.unwrap();
    let (status, _) = send(&mut sender, Method::POST, "/inject/enabled", review("shop")).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up() {
    let running = start(Duration::ZERO).await;
    let slow = format!("POST /inject/enforced HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 1000\r\n\r\n{{");
    let answer = answer_to(&running, slow.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn half_a_handshake_and_plain_text_hold_nobody_up() {
    let running = start(Duration::ZERO).await;
    let mut halves = Vec::new();
    for hello in [&b"\x16\x03\x01\x02\x00\x01"[..], b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff", b""] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(hello).await.unwrap();
        halves.push(stream);
    }
    let mut sender = connect(running.address, &running.issued.ca_pem).await.unwrap();
    let (status, _) = send(&mut sender, Method::POST, "/inject/enabled", review("shop")).await;
    assert_eq!(status, StatusCode::OK);
    for mut half in halves {
        let end = async { while half.read(&mut [0; 256]).await.is_ok_and(|read| read > 0) {} };
        tokio::time::timeout(Duration::from_secs(60), end).await.expect("is cut off");
    }
}

#[tokio::test]
async fn a_token_that_is_no_text_or_too_long_is_no_token() {
    let running = start(Duration::ZERO).await;
    for (token, expected) in [("Bearer \u{e9}".to_owned(), 401), ("Basic eDp5".to_owned(), 401)] {
        let stream = raw(&running).await;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::post("/v1/report")
            .header("host", HOST)
            .header("authorization", http::HeaderValue::from_bytes(token.as_bytes()).unwrap())
            .body(Full::new(bytes::Bytes::from_static(b"{}")))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{token:?}");
    }
}
