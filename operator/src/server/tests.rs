use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::{HANDSHAKE, Handler, empty, serve};
use crate::certificate::{self, Resolver};

struct Nothing;

impl Handler for Nothing {
    async fn handle(&self, _request: Request<Incoming>) -> Response<Full<Bytes>> {
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
