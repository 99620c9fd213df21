//! The load generator: one thread, closed loop, every connection has one request on its way. Every answer is checked.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::{JoinSet, LocalSet};

use crate::scenario::{Clients, Scenario};

/// What an answer must be.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Status.
    pub status: u16,
    /// Body; `None` where each contender has its own.
    pub body: Option<Bytes>,
}

/// What a turn brought.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Checked answers.
    pub requests: u64,
    /// Wall-clock time.
    pub took: Duration,
    /// Nanoseconds of each request.
    pub latencies: Vec<u64>,
}

/// Open connections to one contender.
pub struct Load {
    runtime: Runtime,
    address: SocketAddr,
    request: Bytes,
    expected: Expected,
    open: Open,
}

enum Open {
    Kept(Vec<TcpStream>),
    Each(usize),
    Streams(SendRequest<Full<Bytes>>, usize),
}

impl Load {
    /// Opens the connections of a scenario and sends one request over each.
    pub fn open(scenario: &Scenario, address: SocketAddr, expected: Expected) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let open = runtime.block_on(async {
            anyhow::Ok(match scenario.clients {
                Clients::Kept(connections) => {
                    let mut streams = Vec::new();
                    for _ in 0..connections {
                        streams.push(connect(address).await?);
                    }
                    Open::Kept(streams)
                }
                Clients::Each(clients) => Open::Each(clients),
                Clients::Streams(streams) => {
                    let stream = connect(address).await?;
                    let (sender, connection) =
                        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
                    tokio::spawn(connection);
                    Open::Streams(sender, streams)
                }
            })
        })?;
        let mut load = Self { runtime, address, request: scenario.request.clone(), expected, open };
        load.run(Duration::ZERO)?;
        Ok(load)
    }

    /// Sends requests for so long, at least one over each connection.
    pub fn run(&mut self, time: Duration) -> anyhow::Result<Outcome> {
        let started = Instant::now();
        let until = started + time;
        let (request, expected) = (Rc::new(self.request.clone()), Rc::new(self.expected.clone()));
        let mut tasks = JoinSet::new();
        let local = LocalSet::new();
        let mut kept = Vec::new();
        match &mut self.open {
            Open::Kept(streams) => {
                for stream in streams.drain(..) {
                    let work = keep(stream, Rc::clone(&request), Rc::clone(&expected), until);
                    tasks.spawn_local_on(async move { work.await.map(|(l, s)| (l, Some(s))) }, &local);
                }
            }
            Open::Each(clients) => {
                for _ in 0..*clients {
                    let work = each(self.address, Rc::clone(&request), Rc::clone(&expected), until);
                    tasks.spawn_local_on(async move { Ok((work.await?, None)) }, &local);
                }
            }
            Open::Streams(sender, streams) => {
                for _ in 0..*streams {
                    let work = stream(sender.clone(), Rc::clone(&expected), until);
                    tasks.spawn_local_on(async move { Ok((work.await?, None)) }, &local);
                }
            }
        }
        let mut outcome = Outcome::default();
        self.runtime.block_on(local.run_until(async {
            while let Some(done) = tasks.join_next().await {
                let (latencies, stream) = done??;
                outcome.requests += latencies.len() as u64;
                outcome.latencies.extend(latencies);
                kept.extend(stream);
            }
            anyhow::Ok(())
        }))?;
        outcome.took = started.elapsed();
        if let Open::Kept(streams) = &mut self.open {
            *streams = kept;
        }
        Ok(outcome)
    }
}

async fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await.context("connect")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn nanos(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

async fn keep(
    mut stream: TcpStream,
    request: Rc<Bytes>,
    expected: Rc<Expected>,
    until: Instant,
) -> anyhow::Result<(Vec<u64>, TcpStream)> {
    let (mut buffer, mut latencies) = (Vec::with_capacity(8192), Vec::new());
    loop {
        let sent = Instant::now();
        exchange(&mut stream, &request, &expected, &mut buffer).await?;
        latencies.push(nanos(sent));
        if Instant::now() >= until {
            return Ok((latencies, stream));
        }
    }
}

async fn each(
    address: SocketAddr,
    request: Rc<Bytes>,
    expected: Rc<Expected>,
    until: Instant,
) -> anyhow::Result<Vec<u64>> {
    let (mut buffer, mut latencies) = (Vec::with_capacity(8192), Vec::new());
    loop {
        let sent = Instant::now();
        let mut stream = connect(address).await?;
        exchange(&mut stream, &request, &expected, &mut buffer).await?;
        latencies.push(nanos(sent));
        if Instant::now() >= until {
            return Ok(latencies);
        }
    }
}

async fn exchange(
    stream: &mut TcpStream,
    request: &[u8],
    expected: &Expected,
    buffer: &mut Vec<u8>,
) -> anyhow::Result<()> {
    stream.write_all(request).await?;
    buffer.clear();
    loop {
        anyhow::ensure!(stream.read_buf(buffer).await? > 0, "closed without an answer");
        if let Some(end) = memchr::memmem::find(buffer, b"\r\n\r\n") {
            let head = end + 4;
            let length = content_length(&buffer[..head])?;
            while buffer.len() < head + length {
                anyhow::ensure!(stream.read_buf(buffer).await? > 0, "closed in the middle of an answer");
            }
            return check(expected, &buffer[..head], &buffer[head..]);
        }
    }
}

fn check(expected: &Expected, head: &[u8], body: &[u8]) -> anyhow::Result<()> {
    let status = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    anyhow::ensure!(
        status == Some(expected.status),
        "expected {}, got {}",
        expected.status,
        String::from_utf8_lossy(head)
    );
    anyhow::ensure!(expected.body.as_ref().is_none_or(|page| page == body), "a body differs");
    Ok(())
}

/// `Content-Length` of a head; 0 without one.
pub fn content_length(head: &[u8]) -> anyhow::Result<usize> {
    const NAME: &[u8] = b"content-length:";
    for line in head.split(|byte| *byte == b'\n') {
        if line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)) {
            return Ok(std::str::from_utf8(&line[NAME.len()..])?.trim().parse()?);
        }
        if line.len() > 18 && line[..18].eq_ignore_ascii_case(b"transfer-encoding:") {
            anyhow::bail!("chunked: this bench only speaks of lengths");
        }
    }
    Ok(0)
}

async fn stream(
    mut sender: SendRequest<Full<Bytes>>,
    expected: Rc<Expected>,
    until: Instant,
) -> anyhow::Result<Vec<u64>> {
    let mut latencies = Vec::new();
    loop {
        let sent = Instant::now();
        let request = http::Request::get("http://app.example/").header("user-agent", "bench/1.0");
        sender.ready().await?;
        let response = sender.send_request(request.body(Full::default())?).await?;
        anyhow::ensure!(response.status().as_u16() == expected.status, "got {}", response.status());
        let body = response.into_body().collect().await?.to_bytes();
        anyhow::ensure!(expected.body.as_ref().is_none_or(|page| *page == body), "a body differs");
        latencies.push(nanos(sent));
        if Instant::now() >= until {
            return Ok(latencies);
        }
    }
}
