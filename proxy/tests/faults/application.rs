//! The application behind the proxy: answers by path, records nothing, checks what it is sent. In this process or, to
//! be stopped and killed, in one of its own.
//!
//! `/bytes/N` and `/chunked/N` answer with N bytes, `/digest` with length and digest of the request's body, `/sleep/N`
//! after N ms, `/events` with an event every 50 ms, `/echo` switches protocols and echoes; everything else says `ok`.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Interval, interval};

/// What every body of `/bytes` repeats.
pub fn pattern() -> Vec<u8> {
    (0..65_536_u32).map(|index| u8::try_from((index * 31 + index / 251) % 251).unwrap()).collect()
}

/// Length and SHA-256, as `/digest` answers.
#[derive(Clone)]
pub struct Digest(u64, digest::Context);

impl Digest {
    pub fn new() -> Self {
        Self(0, digest::Context::new(&digest::SHA256))
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.0 += u64::try_from(bytes.len()).unwrap();
        self.1.update(bytes);
    }

    pub fn length(&self) -> u64 {
        self.0
    }

    pub fn text(self) -> String {
        let hex: Vec<String> = self.1.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{} {}", self.0, hex.concat())
    }
}

/// Length and digest of a body of `/bytes`.
pub fn digest_of(length: u64) -> String {
    let (mut digest, pattern, mut left) = (Digest::new(), pattern(), length);
    while left > 0 {
        let piece = usize::try_from(left).unwrap().min(pattern.len());
        digest.update(&pattern[..piece]);
        left -= u64::try_from(piece).unwrap();
    }
    digest.text()
}

/// Serves in this process, as long as it lives.
pub fn start() -> SocketAddr {
    start_on(TcpListener::bind("127.0.0.1:0").unwrap())
}

pub fn start_on(listener: TcpListener) -> SocketAddr {
    let address = listener.local_addr().unwrap();
    thread::spawn(move || serve(listener));
    address
}

fn serve(listener: TcpListener) {
    listener.set_nonblocking(true).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            tokio::spawn(
                http1::Builder::new()
                    .max_buf_size(64 << 10)
                    .half_close(true)
                    .serve_connection(TokioIo::new(stream), service_fn(answer))
                    .with_upgrades(),
            );
        }
    });
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
    let path = request.uri().path().to_owned();
    let number = || path.rsplit('/').next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let response = Response::new(match path.split('/').nth(1).unwrap_or_default() {
        "bytes" => Answer::bytes(number(), true),
        "chunked" => Answer::bytes(number(), false),
        "digest" => {
            let mut digest = Digest::new();
            while let Some(Ok(frame)) = request.body_mut().frame().await {
                if let Some(data) = frame.data_ref() {
                    digest.update(data);
                }
            }
            if !request.body().is_end_stream() {
                std::future::pending::<()>().await; // it broke off: nobody is told that it is whole
            }
            Answer::text(digest.text())
        }
        "sleep" => {
            tokio::time::sleep(Duration::from_millis(number())).await;
            Answer::text("slept")
        }
        "events" => Answer::Events(interval(Duration::from_millis(50))),
        "echo" => {
            let upgrade = hyper::upgrade::on(request);
            tokio::spawn(async move {
                let Ok(stream) = upgrade.await else { return };
                let (mut from, mut to) = tokio::io::split(TokioIo::new(stream));
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
            let mut response = Response::new(Answer::text(""));
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert("connection", "upgrade".parse().unwrap());
            response.headers_mut().insert("upgrade", "websocket".parse().unwrap());
            response
                .headers_mut()
                .insert("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".parse().unwrap());
            return Ok(response);
        }
        _ => Answer::text("ok"),
    });
    Ok(response)
}

enum Answer {
    Bytes { left: u64, block: Bytes, stated: bool },
    Events(Interval),
}

impl Answer {
    fn text(text: impl Into<String>) -> Self {
        let block = Bytes::from(text.into());
        Self::Bytes { left: u64::try_from(block.len()).unwrap(), block, stated: true }
    }

    fn bytes(length: u64, stated: bool) -> Self {
        Self::Bytes { left: length, block: pattern().into(), stated }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Bytes { left: 0, .. } => Poll::Ready(None),
            Self::Bytes { left, block, .. } => {
                let length = usize::try_from(*left).unwrap().min(block.len());
                *left -= u64::try_from(length).unwrap();
                Poll::Ready(Some(Ok(Frame::data(block.slice(..length)))))
            }
            Self::Events(interval) => interval
                .poll_tick(context)
                .map(|_| Some(Ok(Frame::data(Bytes::from_static(b"data: tick\n\n"))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Bytes { left: 0, .. })
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Bytes { left, stated: true, .. } => SizeHint::with_exact(*left),
            _ => SizeHint::default(),
        }
    }
}

const ADDRESS: &str = "RASP_TEST_APPLICATION";

/// The application as a process, which ends with this value.
pub struct Process {
    pub address: SocketAddr,
    child: Child,
}

impl Process {
    pub fn start() -> Self {
        Self::on("127.0.0.1:0".parse().unwrap())
    }

    /// This test program, started again as the application.
    pub fn on(address: SocketAddr) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "application::is_a_process_of_its_own", "--nocapture"]);
        command.env(ADDRESS, address.to_string()).stdout(Stdio::piped());
        // Ends with the value, also when it does not start.
        let mut process = Self { address, child: command.spawn().unwrap() };
        let mut output = BufReader::new(process.child.stdout.take().unwrap());
        loop {
            let mut line = String::new();
            assert!(output.read_line(&mut line).unwrap() > 0, "the application did not start");
            // The test program writes the name of the test before it, on the same line.
            if let Some((_, address)) = line.trim().split_once("listens on ") {
                process.address = address.parse().unwrap();
                return process;
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// No test but in a process that was started as the application.
#[test]
fn is_a_process_of_its_own() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let address: SocketAddr = address.parse().unwrap();
    let socket =
        socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap(); // the one before may have been killed a moment ago
    socket.bind(&address.into()).unwrap();
    socket.listen(1024).unwrap();
    let listener: TcpListener = socket.into();
    println!("listens on {}", listener.local_addr().unwrap());
    serve(listener);
}
