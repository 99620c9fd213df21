//! One address that opens every connection there is.

use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use super::super::serve_at_most;
use super::{Arc, CancellationToken, Nothing, Resolver, TcpListener, certificate};
use crate::testing::tls_connector;

#[tokio::test]
async fn a_pod_that_opens_every_connection_keeps_nobody_else_out() {
    let issued = certificate::issue(&["x.svc".to_owned()], std::time::SystemTime::now()).unwrap();
    let resolver = Arc::new(Resolver::new(&issued.cert_pem, &issued.key_pem).unwrap());
    let tls = Arc::new(certificate::server_config(resolver).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(serve_at_most(32, listener, tls, Arc::new(Nothing), stop, Duration::ZERO));

    let connector = tls_connector(&issued.ca_pem);
    let connect = async |from: &str| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(from.parse().unwrap()).unwrap();
        let stream = socket.connect(address).await.unwrap();
        connector.connect(ServerName::try_from("x.svc").unwrap(), stream).await
    };
    let mut greedy = Vec::new();
    for _ in 0..40 {
        // Idle connections may stay for more than a minute; without anybody leaving the last ones would wait for that.
        let opened = tokio::time::timeout(Duration::from_secs(40), connect("127.0.0.2:0")).await;
        greedy.extend(opened.expect("nobody waits"));
    }
    let asked = async {
        let mut stream = connect("127.0.0.3:0").await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        answer
    };
    let answer = tokio::time::timeout(Duration::from_secs(40), asked).await.expect("is let in");
    assert_eq!(&answer, b"HTTP/1.1 404");
    let first = tokio::time::timeout(Duration::from_secs(40), greedy[0].read(&mut [0; 1])).await;
    assert!(matches!(first.expect("had to leave"), Ok(0) | Err(_)));
}
