//! Raw HTTP/1.1 requests over a new connection each, never retried: what a client on the network really sees.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How one attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A complete response.
    Answered(Response),
    /// The connection was refused or reset before a response.
    Refused,
    /// Neither within the limit.
    Silence,
    /// The connection ended in the middle of a response, or with none.
    Cut,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Header lines as received.
    pub head: String,
    /// Body, read to its declared length or to the end of the connection.
    pub body: Vec<u8>,
}

impl Response {
    /// The first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

impl Outcome {
    /// The status, if there was a response.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answered(response) => Some(response.status),
            _ => None,
        }
    }

    /// One word for comparing a protected with an unprotected pod: bodies are compared separately.
    pub fn word(&self) -> String {
        match self {
            Self::Answered(response) => response.status.to_string(),
            Self::Refused => "refused".to_owned(),
            Self::Silence => "silence".to_owned(),
            Self::Cut => "cut".to_owned(),
        }
    }
}

const LIMIT: Duration = Duration::from_secs(10);

/// `GET target`.
pub async fn get(ip: IpAddr, port: u16, target: &str) -> Outcome {
    request(ip, port, "GET", target, &[], b"").await
}

/// One request on a connection of its own.
pub async fn request(
    ip: IpAddr,
    port: u16,
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
    body: &[u8],
) -> Outcome {
    raw(SocketAddr::new(ip, port), &bytes(method, target, fields, body)).await
}

/// One request after which the connection ends.
pub fn bytes(method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nhost: e2e.test\r\nconnection: close\r\n");
    for (name, value) in fields {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if !body.is_empty() {
        let _ = write!(head, "content-length: {}\r\n", body.len());
    }
    let mut bytes = (head + "\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Sends bytes and reads one response.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> Outcome {
    let exchange = async { exchange(TcpStream::connect(address).await?, bytes).await };
    match tokio::time::timeout(LIMIT, exchange).await {
        Err(_) => Outcome::Silence,
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                Outcome::Refused
            }
            _ => Outcome::Cut,
        },
    }
}

/// Whether a TCP connection is accepted, as a `tcpSocket` probe asks.
pub async fn connects(address: SocketAddr) -> bool {
    matches!(tokio::time::timeout(LIMIT, TcpStream::connect(address)).await, Ok(Ok(_)))
}

/// Sends bytes over a connection that is there, and reads one response to the end of the connection.
pub async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    bytes: &[u8],
) -> std::io::Result<Outcome> {
    stream.write_all(bytes).await?;
    stream.flush().await?;
    let mut received = Vec::new();
    let read = stream.read_to_end(&mut received).await;
    match parse(&received) {
        Some(response) => Ok(Outcome::Answered(response)),
        None => read.map(|_| Outcome::Cut),
    }
}

/// `None` unless the whole response is there.
fn parse(received: &[u8]) -> Option<Response> {
    let end = received.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(received.get(..end)?).ok()?.to_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let raw_body = received.get(end + 4..)?;
    let mut response = Response { status, head, body: Vec::new() };
    response.body = if response.field("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked"))
    {
        dechunk(raw_body)?
    } else if let Some(length) = response.field("content-length").and_then(|v| v.parse::<usize>().ok()) {
        raw_body.get(..length)?.to_vec()
    } else {
        raw_body.to_vec()
    };
    Some(response)
}

fn dechunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(rest.get(..line)?).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        rest = rest.get(line + 2..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}
