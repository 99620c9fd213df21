//! The naive proxy that everything is compared with: hyper on both sides, one upstream connection for each client
//! connection. No timer, no limit, no field touched, nothing judged: what somebody writes in an afternoon.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

/// Serves until it is ended, and says on standard error where it listens.
#[tokio::main]
pub async fn run(listen: SocketAddr, upstream: SocketAddr, http2: bool, pooled: bool) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    eprintln!(r#"{{"fields":{{"listen":"{}"}}}}"#, listener.local_addr()?);
    let pool = pooled.then(Pool::default);
    loop {
        let (client, _) = listener.accept().await?;
        let pool = pool.clone();
        tokio::spawn(async move {
            let passed = match pool {
                _ if http2 => pass_http2(client, upstream).await,
                Some(pool) => pass_pooled(client, upstream, pool).await,
                None => pass(client, upstream).await,
            };
            if let Err(error) = passed {
                eprintln!("{error:#}");
            }
        });
    }
}

async fn pass(client: TcpStream, upstream: SocketAddr) -> anyhow::Result<()> {
    client.set_nodelay(true)?;
    let sender = tokio::sync::Mutex::new(dial(upstream).await?);
    let service = service_fn(|request| async {
        let mut sender = sender.lock().await;
        sender.ready().await?;
        sender.send_request(request).await
    });
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(client), service).await?;
    Ok(())
}

async fn dial(upstream: SocketAddr) -> anyhow::Result<http1::SendRequest<Incoming>> {
    let stream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn pass_http2(client: TcpStream, upstream: SocketAddr) -> anyhow::Result<()> {
    client.set_nodelay(true)?;
    let stream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let service = service_fn(|request: Request<Incoming>| {
        let mut sender = sender.clone();
        async move { sender.send_request(request).await }
    });
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    server.serve_connection(TokioIo::new(client), service).await?;
    Ok(())
}

/// Idle upstream connections that any client may get. Its gain is what one upstream connection per client costs.
type Pool = Arc<Mutex<Vec<http1::SendRequest<Incoming>>>>;

async fn pass_pooled(client: TcpStream, upstream: SocketAddr, pool: Pool) -> anyhow::Result<()> {
    client.set_nodelay(true)?;
    let service = service_fn(|request| take(&pool, upstream, request));
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(client), service).await?;
    Ok(())
}

async fn take(
    pool: &Pool,
    upstream: SocketAddr,
    request: Request<Incoming>,
) -> anyhow::Result<Response<Incoming>> {
    let idle = || {
        let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.retain(|sender| !sender.is_closed());
        let at = pool.iter().rposition(http1::SendRequest::is_ready)?;
        Some(pool.swap_remove(at))
    };
    let mut sender = match idle() {
        Some(sender) => sender,
        None => dial(upstream).await?,
    };
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    pool.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
    Ok(response)
}
