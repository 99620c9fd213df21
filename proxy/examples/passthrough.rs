//! A naive hyper proxy: what `cpu` compares the gateway with. No timer, no limit, no field touched, nothing judged.
//!
//! `cargo run -p rasp-proxy --example passthrough -- LISTEN UPSTREAM`

use std::net::SocketAddr;

use anyhow::Context as _;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut address = || -> anyhow::Result<SocketAddr> {
        Ok(arguments.next().context("usage: passthrough LISTEN UPSTREAM")?.parse()?)
    };
    let (listen, upstream) = (address()?, address()?);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(listen).await?;
        eprintln!(r#"{{"fields":{{"listen":"{}"}}}}"#, listener.local_addr()?);
        loop {
            let (client, _) = listener.accept().await?;
            tokio::spawn(async move {
                if let Err(error) = pass(client, upstream).await {
                    eprintln!("{error:#}");
                }
            });
        }
    })
}

async fn pass(client: TcpStream, upstream: SocketAddr) -> anyhow::Result<()> {
    client.set_nodelay(true)?;
    let stream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let sender = Mutex::new(sender);
    let service = service_fn(|request| async {
        let mut sender = sender.lock().await;
        sender.ready().await?;
        sender.send_request(request).await
    });
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(client), service).await?;
    Ok(())
}
