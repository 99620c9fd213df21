//! An upstream that records every byte that reached it and answers as a test says.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The recording of one connection.
type Recording = Arc<Mutex<Vec<u8>>>;

pub struct Upstream {
    pub address: SocketAddr,
    connections: Arc<Mutex<Vec<Recording>>>,
}

pub struct Conversation {
    pub stream: TcpStream,
    recording: Recording,
    ahead: Vec<u8>,
}

impl Upstream {
    /// Talks on every connection as `talk` says, on a thread of its own.
    pub fn start(talk: impl Fn(&mut Conversation) -> Option<()> + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), talk)
    }

    /// The same on a socket that is open already.
    pub fn on(
        listener: TcpListener,
        talk: impl Fn(&mut Conversation) -> Option<()> + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let (recordings, talk) = (Arc::clone(&connections), Arc::new(talk));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let recording = Recording::default();
                recordings.lock().unwrap().push(Arc::clone(&recording));
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                stream.set_nodelay(true).unwrap();
                let mut conversation = Conversation { stream, recording, ahead: Vec::new() };
                let talk = Arc::clone(&talk);
                thread::spawn(move || talk(&mut conversation));
            }
        });
        Self { address, connections }
    }

    /// Answers every request with `response`.
    pub fn answering(response: impl Into<Vec<u8>>) -> Self {
        let response = response.into();
        Self::start(move |conversation| {
            loop {
                conversation.request()?;
                conversation.write(&response)?;
            }
        })
    }

    /// Answers every request with a short 200.
    pub fn ok() -> Self {
        Self::answering(OK)
    }

    /// An address where nobody listens.
    pub fn refusing() -> SocketAddr {
        // Bound, so that no other test gets the port, but never listening.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        std::mem::forget(socket);
        address
    }

    pub fn connections(&self) -> usize {
        self.connections.lock().unwrap().len()
    }

    /// Everything that reached it over each connection.
    pub fn all(&self) -> Vec<Vec<u8>> {
        self.connections.lock().unwrap().iter().map(|bytes| bytes.lock().unwrap().clone()).collect()
    }

    /// Everything that reached it over connections after the first `before`.
    pub fn since(&self, before: usize) -> Vec<u8> {
        self.all().split_off(before).concat()
    }

    /// Everything that reached it, over all connections.
    pub fn recorded(&self) -> Vec<u8> {
        self.connections.lock().unwrap().iter().flat_map(|bytes| bytes.lock().unwrap().clone()).collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.recorded()).into_owned()
    }

    /// Waits until what reached it holds `needle`.
    pub fn wait_for(&self, needle: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.text().contains(needle) {
            assert!(Instant::now() < deadline, "{needle:?} did not arrive, only {:?}", self.text());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Conversation {
    /// More bytes from the wire; `None` at the end.
    fn more(&mut self) -> Option<()> {
        let mut buffer = [0; 16384];
        let read = self.stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        self.recording.lock().unwrap().extend_from_slice(&buffer[..read]);
        self.ahead.extend_from_slice(&buffer[..read]);
        Some(())
    }

    pub fn until(&mut self, needle: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.ahead.windows(needle.len()).position(|window| window == needle) {
                return Some(self.ahead.drain(..at + needle.len()).collect());
            }
            self.more()?;
        }
    }

    pub fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.ahead.len() < length {
            self.more()?;
        }
        Some(self.ahead.drain(..length).collect())
    }

    /// Reads so many bytes and forgets them.
    pub fn discard(&mut self, length: usize) -> Option<()> {
        let mut left = length.checked_sub(self.ahead.len())?;
        self.ahead.clear();
        let mut buffer = vec![0; 1 << 20];
        while left > 0 {
            left = left.checked_sub(self.stream.read(&mut buffer).ok().filter(|read| *read > 0)?)?;
        }
        Some(())
    }

    /// Reads a request and its body; returns its head in lower case.
    pub fn request(&mut self) -> Option<String> {
        let head = String::from_utf8_lossy(&self.until(b"\r\n\r\n")?).to_lowercase();
        if head.contains("transfer-encoding: chunked") {
            while !self.until(b"\r\n")?.starts_with(b"0") {}
            while self.until(b"\r\n")? != b"\r\n" {}
        } else if let Some(length) = head.lines().find_map(|line| line.strip_prefix("content-length: ")) {
            self.exactly(length.trim().parse().unwrap())?;
        }
        Some(head)
    }

    pub fn write(&mut self, bytes: &[u8]) -> Option<()> {
        self.stream.write_all(bytes).ok()
    }

    /// Reads to the end of the stream.
    pub fn rest(&mut self) {
        while self.more().is_some() {
            self.ahead.clear();
        }
    }
}
