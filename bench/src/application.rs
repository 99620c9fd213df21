//! The application behind every contender: one thread that answers every request with the same page.
//!
//! HTTP/1 by hand, because it must be cheaper than what is measured in front of it; HTTP/2, told by its preface, by hyper.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::load;

/// Bytes of the page.
const PAGE: usize = 1024;

/// The page that every request gets.
pub fn page() -> Vec<u8> {
    b"<p>All work and no play makes a dull page. ".iter().copied().cycle().take(PAGE).collect()
}

fn response() -> Vec<u8> {
    let mut response = format!(
        "HTTP/1.1 200 OK\r\nServer: application\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/html\r\n\
         Cache-Control: no-store\r\nContent-Length: {PAGE}\r\n\r\n"
    )
    .into_bytes();
    response.extend(page());
    response
}

/// Starts one that answers at once.
pub fn start() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || {
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    if let Err(error) = serve(stream).await {
                        eprintln!("application: {error:#}");
                    }
                });
            }
            anyhow::Ok(())
        })
    });
    Ok(address)
}

async fn serve(mut stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut first = [0; 4];
    if stream.peek(&mut first).await? == 4 && first == *b"PRI " {
        return serve_http2(stream).await;
    }
    let response = response();
    let mut buffer = Vec::with_capacity(16 << 10);
    loop {
        // Nobody who is measured sends a request before it has the answer to the last one.
        buffer.clear();
        let head = loop {
            match stream.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return Ok(()),
                Ok(_) => {}
            }
            if let Some(end) = memchr::memmem::find(&buffer, b"\r\n\r\n") {
                break end + 4;
            }
        };
        let mut body = load::content_length(&buffer[..head])?.saturating_sub(buffer.len() - head);
        while body > 0 {
            buffer.clear();
            let read = stream.read_buf(&mut buffer).await?;
            anyhow::ensure!(read > 0, "a body ended early");
            body = body.saturating_sub(read);
        }
        stream.write_all(&response).await?;
    }
}

async fn serve_http2(stream: TcpStream) -> anyhow::Result<()> {
    let page = Bytes::from(page());
    let service = service_fn(move |request: Request<Incoming>| {
        let page = page.clone();
        async move {
            request.into_body().collect().await?;
            Ok::<_, hyper::Error>(Response::new(Full::new(page)))
        }
    });
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    server.serve_connection(TokioIo::new(stream), service).await?;
    Ok(())
}

/// Starts one that works for a while before each answer. A thread for each connection: timers of a runtime have the
/// resolution of a millisecond, which is more than what is measured with this one.
pub fn start_slow(work: Duration) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let response = response();
                let _ = stream.set_nodelay(true);
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
                    thread::sleep(work);
                    if stream.write_all(&response).is_err() {
                        break;
                    }
                }
            });
        }
    });
    Ok(address)
}
