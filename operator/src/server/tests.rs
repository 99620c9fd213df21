use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::{Body, HANDSHAKE, Handler, Link, empty, serve};
use crate::certificate::{self, Resolver};
use crate::testing::tls_connector;

mod crowded;

struct Nothing;

impl Handler for Nothing {
    async fn handle(&self, _request: Request<Incoming>, _link: Link) -> Response<Body> {
        empty(StatusCode::NOT_FOUND)
    }
}

#[tokio::test]
async fn a_client_that_never_shakes_hands_is_cut_off() {
    let issued = certificate::issue(&["x.svc".to_owned()], std::time::SystemTime::now()).unwrap();
    let resolver = Arc::new(Resolver::new(&issued.cert_pem, &issued.key_pem).unwrap());
    let tls = Arc::new(certificate::server_config(resolver).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, tls, Arc::new(Nothing), CancellationToken::new(), Duration::ZERO));
    let mut silent = TcpStream::connect(address).await.unwrap();
    let started = Instant::now();
    let end = tokio::time::timeout(HANDSHAKE * 2, silent.read(&mut [0; 1])).await.expect("is cut off");
    assert_eq!(end.unwrap(), 0);
    assert!(started.elapsed() + Duration::from_millis(100) >= HANDSHAKE);
}

#[tokio::test]
async fn a_replica_that_goes_says_so_in_every_answer() {
    use tokio::io::AsyncWriteExt as _;

    let issued = certificate::issue(&["x.svc".to_owned()], std::time::SystemTime::now()).unwrap();
    let resolver = Arc::new(Resolver::new(&issued.cert_pem, &issued.key_pem).unwrap());
    let tls = Arc::new(certificate::server_config(resolver).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, tls, Arc::new(Nothing), stop.clone(), Duration::from_secs(30)));
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = tls_connector(&issued.ca_pem);
    let mut stream = connector.connect("x.svc".try_into().unwrap(), stream).await.unwrap();
    let mut answer = vec![0; 4096];
    for (stopping, said) in [(false, false), (true, true)] {
        if stopping {
            stop.cancel();
        }
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let length = stream.read(&mut answer).await.unwrap();
        let head = String::from_utf8_lossy(&answer[..length]).to_lowercase();
        assert!(head.starts_with("http/1.1 404"), "{head}");
        assert_eq!(head.contains("connection: close"), said, "{head}");
    }
}
