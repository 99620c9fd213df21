//! A client of HTTP/2 that sends exactly the frames it is told. Field lines are HPACK literals, so that any can be sent.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const WITH_PRIORITY: u8 = 0x20;
/// The flags of a request without a body.
pub const WHOLE: u8 = END_STREAM | END_HEADERS;

pub const PROTOCOL_ERROR: u32 = 1;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub type Fields<'a> = &'a [(&'a str, &'a str)];

pub const GET: Fields = &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "app")];
pub const POST: Fields = &[(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "app")];

pub fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A string of HPACK without Huffman (RFC 7541 section 5.2).
fn string(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = text.len();
    if length < 127 {
        bytes.push(u8::try_from(length).unwrap());
    } else {
        bytes.push(127);
        let mut rest = length - 127;
        while rest >= 128 {
            bytes.push(u8::try_from(rest % 128).unwrap() | 128);
            rest /= 128;
        }
        bytes.push(u8::try_from(rest).unwrap());
    }
    bytes.extend(text.as_bytes());
    bytes
}

/// Literals without indexing, with new names (RFC 7541 section 6.2.2).
pub fn block(fields: Fields) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| [vec![0], string(name), string(value)].concat()).collect()
}

/// A head; a long one goes on in CONTINUATION.
pub fn headers(stream: u32, flags: u8, fields: Fields) -> Vec<u8> {
    let block = block(fields);
    let mut pieces = block.chunks(16_000).peekable();
    let (mut kind, mut bytes) = (HEADERS, Vec::new());
    while let Some(piece) = pieces.next() {
        let end_headers = if pieces.peek().is_none() { flags & END_HEADERS } else { 0 };
        let others = if kind == HEADERS { flags & !END_HEADERS } else { 0 };
        bytes.extend(frame(kind, others | end_headers, stream, piece));
        kind = CONTINUATION;
    }
    bytes
}

/// A request without a body.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    headers(stream, WHOLE, &[(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "app")])
}

pub fn settings(id: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, code.to_be_bytes())
}

pub fn window(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, increment.to_be_bytes())
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// `:status`, which comes first. There is no dynamic table, so it is one of the static ones or three digits.
    pub fn status(&self) -> u16 {
        const STATIC: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
        let block = match self.payload.as_slice() {
            [first, rest @ ..] if first & 0xe0 == 0x20 => rest, // the size of the table
            block => block,
        };
        match *block {
            [index @ 0x88..=0x8e, ..] => STATIC[usize::from(index) - 0x88],
            [0x08 | 0x48 | 0x18, length, ref rest @ ..] if length & 0x80 != 0 => {
                digits(&rest[..usize::from(length & 0x7f)])
            }
            [0x08 | 0x48 | 0x18, 3, a, b, c, ..] => {
                String::from_utf8(vec![a, b, c]).unwrap().parse().unwrap()
            }
            _ => panic!("no status in {block:x?}"),
        }
    }
}

/// Digits in the Huffman code of HPACK: `0` to `2` have five bits, the others six (RFC 7541 appendix B).
fn digits(bytes: &[u8]) -> u16 {
    let mut bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let mut number = 0;
    for _ in 0..3 {
        let mut code = (0..5).fold(0, |code, _| code * 2 + u16::from(bits.next().unwrap()));
        if code > 2 {
            code = code * 2 + u16::from(bits.next().unwrap()) - 0x19 + 3;
        }
        number = number * 10 + code;
    }
    number
}

pub struct Client<S = TcpStream> {
    pub stream: S,
    ahead: Vec<u8>,
}

impl Client {
    /// Sends only the preface and reads nothing.
    pub fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Self { stream, ahead: Vec::new() };
        client.send(PREFACE);
        client
    }

    /// After the exchange of SETTINGS.
    pub fn connect(address: SocketAddr) -> Self {
        Self::silent(address).greeted()
    }
}

impl<S: Read + Write> Client<S> {
    /// Over a stream on which nothing was sent yet, after the exchange of SETTINGS.
    pub fn over(stream: S) -> Self {
        let mut client = Self { stream, ahead: Vec::new() };
        client.send(PREFACE);
        client.greeted()
    }

    fn greeted(mut self) -> Self {
        self.send(settings(1, 0)); // without a dynamic table, heads can be read one by one
        while !self.frame(|frame| frame.kind == SETTINGS && frame.flags & ACK != 0) {}
        self.send(frame(SETTINGS, ACK, 0, []));
        self
    }

    fn frame(&mut self, wanted: impl Fn(&Frame) -> bool) -> bool {
        wanted(&self.more())
    }

    /// The next frame, of which there must be one.
    fn more(&mut self) -> Frame {
        self.next().unwrap_or_else(|| panic!("the connection ended"))
    }

    /// What a peer that closed already does not read is no failure of the test.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// The next frame; `None` at the end of the stream.
    pub fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((head, rest)) = self.ahead.split_at_checked(9) {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                if rest.len() >= length {
                    let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
                    let frame =
                        Frame { kind: head[3], flags: head[4], stream, payload: rest[..length].to_vec() };
                    self.ahead.drain(..9 + length);
                    return Some(frame);
                }
            }
            let mut buffer = [0; 16384];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(read) => self.ahead.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("nothing came: {error}")
                }
                Err(_) => return None,
            }
        }
    }

    /// The next frame that is wanted.
    pub fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            let next = self.more();
            if wanted(&next) {
                return next;
            }
            assert!(next.kind != GOAWAY, "{next:?}");
        }
    }

    /// The status of a stream's response, once all of it is there.
    pub fn answer(&mut self, stream: u32) -> u16 {
        let head = self.until(|frame| frame.stream == stream && matches!(frame.kind, HEADERS | RST_STREAM));
        assert_eq!(head.kind, HEADERS, "{head:?}");
        if !head.ends_stream() {
            self.until(|frame| frame.stream == stream && frame.ends_stream());
        }
        head.status()
    }

    /// The code of the GOAWAY that ends the connection, which must end then.
    pub fn farewell(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.next() {
            if frame.kind == GOAWAY {
                code = Some(frame.code());
            }
        }
        code
    }

    pub fn ping(&mut self) {
        self.send(frame(PING, 0, 0, b"are you?"));
        self.until(|frame| frame.kind == PING && frame.flags & ACK != 0 && frame.payload == b"are you?");
    }

    /// The next frame of a kind, whatever comes before it.
    pub fn next_of(&mut self, kind: u8) -> Frame {
        loop {
            let next = self.more();
            if next.kind == kind {
                return next;
            }
            self.pong(&next);
        }
    }

    fn pong(&mut self, frame: &Frame) {
        if frame.kind == PING && frame.flags & ACK == 0 {
            self.send(self::frame(PING, ACK, 0, &frame.payload));
        }
    }

    /// Answers every PING to the end of the connection; says which streams were answered with what.
    pub fn answers_before_the_end(&mut self) -> Vec<(u32, u16)> {
        let mut answers = Vec::new();
        while let Some(frame) = self.next() {
            self.pong(&frame);
            if frame.kind == HEADERS {
                answers.push((frame.stream, frame.status()));
            }
        }
        answers
    }
}
