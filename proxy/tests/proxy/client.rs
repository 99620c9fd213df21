//! A client that sends exactly the bytes it is told.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

pub struct Client<S = TcpStream> {
    pub stream: S,
    ahead: Vec<u8>,
}

#[derive(Debug)]
pub struct Response {
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One request on a connection of its own.
pub fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> Response {
    let mut client = Client::connect(address);
    client.send(request);
    client.response()
}

pub fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: app\r\n\r\n")
}

pub fn post(content_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /form HTTP/1.1\r\nHost: app\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, ahead: Vec::new() }
    }

    pub fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }
}

impl<S: Read + Write> Client<S> {
    pub fn over(stream: S) -> Self {
        Self { stream, ahead: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    fn more(&mut self) -> bool {
        let mut buffer = [0; 16384];
        match self.stream.read(&mut buffer) {
            Ok(read) => {
                self.ahead.extend_from_slice(&buffer[..read]);
                read > 0
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("nothing came: {error}"),
            Err(_) => false,
        }
    }

    pub fn until(&mut self, needle: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.ahead.windows(needle.len()).position(|window| window == needle) {
                return self.ahead.drain(..at + needle.len()).collect();
            }
            assert!(self.more(), "the stream ended with {:?}", String::from_utf8_lossy(&self.ahead));
        }
    }

    pub fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.ahead.len() < length {
            assert!(self.more(), "the stream ended");
        }
        self.ahead.drain(..length).collect()
    }

    pub fn head(&mut self) -> String {
        String::from_utf8(self.until(b"\r\n\r\n")).unwrap()
    }

    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    pub fn response_to(&mut self, method: &str) -> Response {
        let mut head = self.head();
        while head.starts_with("HTTP/1.1 103 ") {
            head = self.head();
        }
        let mut response = Response { head, body: Vec::new() };
        let bodiless = method == "HEAD" || matches!(response.status(), 204 | 304);
        response.body = if bodiless {
            Vec::new()
        } else if response.header("transfer-encoding").is_some() {
            self.chunked()
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().unwrap();
            self.exactly(length)
        } else {
            self.rest()
        };
        response
    }

    fn chunked(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = self.until(b"\r\n");
            let size = usize::from_str_radix(String::from_utf8(line).unwrap().trim(), 16).unwrap();
            if size == 0 {
                while self.until(b"\r\n") != b"\r\n" {}
                return body;
            }
            body.extend(self.exactly(size));
            self.until(b"\r\n");
        }
    }

    /// Everything to the end of the stream.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.ahead)
    }

    /// Whether the peer closed, in order or by reset, without another byte.
    pub fn is_closed(&mut self) -> bool {
        self.rest().is_empty()
    }
}
