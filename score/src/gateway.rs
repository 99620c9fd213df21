//! Judges requests by a real gateway in front of an application that answers 200 to everything.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::corpus::Record;

/// What a client sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 403.
    Blocked,
    /// Another error of the proxy, or an end without an answer: it never reached the application.
    Rejected,
    /// The application's.
    Passed,
    /// None in time. Not scored.
    TimedOut,
}

/// Requests on their way at once.
const AT_ONCE: usize = 8;
const TIMEOUT: Duration = Duration::from_secs(10);

/// A process that ends with this.
struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends each request over a connection of its own.
pub fn answers(proxy: &Path, records: &[Record]) -> anyhow::Result<Vec<Answer>> {
    let requests = records.iter().map(Record::wire).collect::<anyhow::Result<Vec<_>>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let application = TcpListener::bind("127.0.0.1:0").await?;
        let upstream = application.local_addr()?;
        tokio::spawn(serve(application));
        let (_gateway, address) = start(proxy, upstream)?;
        let (requests, next) = (Arc::new(requests), Arc::new(AtomicUsize::new(0)));
        let mut clients = JoinSet::new();
        for _ in 0..AT_ONCE {
            clients.spawn(client(address, Arc::clone(&requests), Arc::clone(&next)));
        }
        let mut answers = vec![Answer::TimedOut; requests.len()];
        while let Some(some) = clients.join_next().await {
            for (index, answer) in some?? {
                answers[index] = answer;
            }
        }
        Ok(answers)
    })
}

fn start(proxy: &Path, upstream: SocketAddr) -> anyhow::Result<(Gateway, SocketAddr)> {
    let mut command = Command::new(proxy);
    command.args(["gateway", "--listen", "127.0.0.1:0", "--upstream", &upstream.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut gateway = Gateway(command.spawn().with_context(|| format!("start {}", proxy.display()))?);
    let mut log = BufReader::new(gateway.0.stderr.take().context("no log")?).lines();
    for line in &mut log {
        let line: serde_json::Value = serde_json::from_str(&line?).unwrap_or_default();
        if let Some(address) = line["fields"]["listen"].as_str() {
            let address = address.parse()?;
            thread::spawn(move || log.for_each(drop));
            return Ok((gateway, address));
        }
    }
    anyhow::bail!("{} ended before it listened", proxy.display())
}

async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = service_fn(|request: Request<Incoming>| async {
            let _ = request.into_body().collect().await; // what a client breaks off is no matter of the application
            Ok::<_, hyper::Error>(Response::new(Empty::<Bytes>::new()))
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.max_buf_size(1 << 20);
        tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
    }
}

async fn client(
    address: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
    next: Arc<AtomicUsize>,
) -> anyhow::Result<Vec<(usize, Answer)>> {
    let mut answers = Vec::new();
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let Some(request) = requests.get(index) else { return Ok(answers) };
        let stream = TcpStream::connect(address).await?;
        let answer = timeout(TIMEOUT, exchange(stream, request)).await.unwrap_or(Answer::TimedOut);
        answers.push((index, answer));
    }
}

async fn exchange(stream: TcpStream, request: &[u8]) -> Answer {
    let (mut reader, mut writer) = stream.into_split();
    // An answer may come before the request is sent.
    let send = async {
        let _ = writer.write_all(request).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = status(&mut reader) => answer,
        () = send => Answer::TimedOut,
    }
}

async fn status(reader: &mut (impl tokio::io::AsyncRead + Unpin)) -> Answer {
    let mut read = Vec::new();
    loop {
        let rest = skip_interim(&read);
        if let Some(status) = rest.get(9..12)
            && !status.starts_with(b"1")
        {
            return match status {
                b"403" => Answer::Blocked,
                [b'4' | b'5', ..] => Answer::Rejected,
                _ => Answer::Passed,
            };
        }
        if !matches!(reader.read_buf(&mut read).await, Ok(1..)) {
            return Answer::Rejected;
        }
    }
}

/// Without the responses 1xx that came whole.
fn skip_interim(mut read: &[u8]) -> &[u8] {
    while read.get(9) == Some(&b'1') && read.get(..12).is_some_and(|head| !head.ends_with(b"101")) {
        let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") else { break };
        read = &read[end + 4..];
    }
    read
}
