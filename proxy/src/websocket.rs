//! Follows the frames of one direction of a WebSocket (RFC 6455 section 5). Pure: it changes no byte, keeps none but a
//! cut frame header and, of text, as much as is to be inspected.
//!
//! A message is inspected when its last byte is there and before that byte is passed on: until then no application has
//! the message, and nothing waits. Called by `exchange::tunnel`.

use crate::reason::BadFrame;

/// Whose frames they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Masks its frames.
    Client,
    /// Does not.
    Application,
}

/// What frames may be, and how much of them is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message, all fragments together; 0 is no limit.
    pub message: u64,
    /// Messages of one second; 0 is no limit.
    pub rate: u32,
    /// Bytes of a text message that are kept for inspection; 0 keeps nothing.
    pub window: usize,
    /// Whether an extension was negotiated: only then may a frame have reserved bits.
    pub extensions: bool,
}

/// What stands out among the bytes that were followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The last byte of a text message.
    Text,
    /// The last byte of a message that is not kept: binary, or packed by an extension.
    Opaque {
        /// By an extension.
        packed: bool,
    },
    /// The last byte of a Close frame.
    Close,
}

/// How far the bytes were followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// So many of them.
    pub taken: usize,
    /// Where the last frame that ends with them begins, if it begins among them.
    pub begins: Option<usize>,
    /// What ends there; nothing where all bytes were followed.
    pub seen: Option<Seen>,
}

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A frame that has begun.
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    opcode: u8,
    is_last: bool,
    left: u64,
    key: [u8; 4],
    /// Bytes of the payload so far, for the mask.
    at: usize,
}

/// A message of which not all fragments came.
#[derive(Clone, Copy, Debug)]
struct Message {
    is_text: bool,
    packed: bool,
    length: u64,
}

/// Follows the frames of one direction.
#[derive(Debug)]
pub struct Follower {
    sender: Sender,
    limits: Limits,
    /// The beginning of a frame header: 14 bytes at most.
    header: [u8; 14],
    have: usize,
    frame: Option<Frame>,
    message: Option<Message>,
    text: Vec<u8>,
    longer: bool,
    closed: bool,
}

impl Follower {
    /// At the beginning of the first frame.
    pub fn new(sender: Sender, limits: Limits) -> Self {
        Self {
            sender,
            limits,
            header: [0; 14],
            have: 0,
            frame: None,
            message: None,
            text: Vec::new(),
            longer: false,
            closed: false,
        }
    }

    /// Whether no frame is cut here: another one may be put in.
    pub fn is_between(&self) -> bool {
        self.have == 0 && self.frame.is_none()
    }

    /// What was kept of the text message that just ended.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether the text message that just ended was longer than what was kept of it.
    pub fn is_longer(&self) -> bool {
        self.longer
    }

    /// Gives back the memory of a text, if it is more than so many bytes.
    pub fn forget(&mut self, most: usize) {
        self.text.clear();
        self.text.shrink_to(most);
    }

    /// Follows bytes up to the end of a message, or all of them.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<Step, BadFrame> {
        let (mut at, mut begins) = (0, None);
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let mut frame = if let Some(frame) = self.frame.take() {
                frame
            } else {
                if self.have == 0 {
                    begins = Some(at);
                }
                let (taken, frame) = self.header(rest)?;
                at += taken;
                let Some(frame) = frame else { continue };
                frame
            };
            let rest = bytes.get(at..).unwrap_or_default();
            let taken = usize::try_from(frame.left).unwrap_or(usize::MAX).min(rest.len());
            self.keep(&frame, rest.get(..taken).unwrap_or(rest));
            at += taken;
            frame.at = frame.at.wrapping_add(taken);
            frame.left -= taken as u64;
            if frame.left > 0 {
                self.frame = Some(frame);
                continue;
            }
            if let Some(seen) = self.ended(&frame) {
                return Ok(Step { taken: at, begins, seen: Some(seen) });
            }
        }
        Ok(Step { taken: bytes.len(), begins, seen: None })
    }

    /// Takes bytes of a frame header; a frame once it is whole.
    fn header(&mut self, rest: &[u8]) -> Result<(usize, Option<Frame>), BadFrame> {
        let mut taken = 0;
        for byte in rest {
            if let Some(place) = self.header.get_mut(self.have) {
                *place = *byte;
            }
            self.have += 1;
            taken += 1;
            if self.have == 2 {
                self.begun()?;
            }
            if self.have >= 2 && self.have == self.header_length() {
                self.have = 0;
                return Ok((taken, Some(self.frame()?)));
            }
        }
        Ok((taken, None))
    }

    fn header_length(&self) -> usize {
        let length = match self.header[1] & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if self.header[1] & 0x80 == 0 { 0 } else { 4 }
    }

    /// What the first two bytes of a header must be.
    fn begun(&self) -> Result<(), BadFrame> {
        let [first, second, ..] = self.header;
        let (opcode, is_last, reserved) = (first & 0x0F, first & 0x80 != 0, first & 0x70);
        if (second & 0x80 != 0) != (self.sender == Sender::Client) {
            return Err(BadFrame::Mask);
        }
        if !matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
            return Err(BadFrame::Opcode);
        }
        let is_control = opcode >= CLOSE;
        if reserved != 0 && (is_control || !self.limits.extensions) {
            return Err(BadFrame::Reserved);
        }
        if is_control && (!is_last || second & 0x7F > 125 || (opcode == CLOSE && second & 0x7F == 1)) {
            return Err(BadFrame::Control);
        }
        if !is_control && (opcode == CONTINUATION) != self.message.is_some() {
            return Err(BadFrame::Fragment);
        }
        if self.closed { Err(BadFrame::AfterClose) } else { Ok(()) }
    }

    /// A whole header.
    fn frame(&mut self) -> Result<Frame, BadFrame> {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let [first, second, rest @ ..] = self.header;
        let (length, is_shortest) = match second & 0x7F {
            126 => (number(&rest[..2]), number(&rest[..2]) > 125),
            127 => (number(&rest[..8]), number(&rest[..8]) > 0xFFFF),
            short => (u64::from(short), true),
        };
        if length >= 1 << 63 || !is_shortest {
            return Err(BadFrame::Length);
        }
        let mut key = [0; 4];
        if let (Sender::Client, Some(masked)) = (self.sender, self.header.get(..self.header_length())) {
            key.copy_from_slice(&masked[masked.len() - 4..]);
        }
        let frame = Frame { opcode: first & 0x0F, is_last: first & 0x80 != 0, left: length, key, at: 0 };
        if frame.opcode < CLOSE {
            self.grown(&frame, first & 0x40 != 0)?;
        }
        Ok(frame)
    }

    /// A data frame begins or goes on with a message.
    fn grown(&mut self, frame: &Frame, packed: bool) -> Result<(), BadFrame> {
        if frame.opcode != CONTINUATION {
            self.text.clear();
            self.message = Some(Message { is_text: frame.opcode == TEXT, packed, length: 0 });
        }
        let Some(message) = &mut self.message else { return Err(BadFrame::Fragment) };
        message.length = message.length.saturating_add(frame.left);
        if self.limits.message > 0 && message.length > self.limits.message {
            Err(BadFrame::TooLarge)
        } else {
            Ok(())
        }
    }

    fn keep(&mut self, frame: &Frame, payload: &[u8]) {
        let is_kept = self.message.is_some_and(|message| message.is_text && !message.packed);
        if frame.opcode >= CLOSE || !is_kept {
            return;
        }
        let room = self.limits.window.saturating_sub(self.text.len());
        let fits = payload.get(..room).unwrap_or(payload);
        let key = frame.key.iter().cycle().skip(frame.at % 4);
        self.text.extend(fits.iter().zip(key).map(|(byte, key)| byte ^ key));
    }

    /// The last byte of a frame came.
    fn ended(&mut self, frame: &Frame) -> Option<Seen> {
        match frame.opcode {
            CLOSE => {
                self.closed = true;
                Some(Seen::Close)
            }
            PING | PONG => None,
            _ if !frame.is_last => None,
            _ => {
                let message = self.message.take()?;
                self.longer = message.length > self.text.len() as u64;
                let is_kept = message.is_text && !message.packed && self.limits.window > 0;
                Some(if is_kept { Seen::Text } else { Seen::Opaque { packed: message.packed } })
            }
        }
    }
}

/// Counts the messages of one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    second: u64,
    messages: u32,
}

impl Rate {
    /// One more message, so many seconds after the beginning.
    pub fn count(&mut self, second: u64, limits: &Limits) -> Result<(), BadFrame> {
        if self.second != second {
            *self = Self { second, messages: 0 };
        }
        self.messages = self.messages.saturating_add(1);
        if limits.rate > 0 && self.messages > limits.rate { Err(BadFrame::TooMany) } else { Ok(()) }
    }
}

/// A Close frame (RFC 6455 section 5.5.1) with a code and no reason. A mask of zeros is one.
pub fn close(receiver: Sender, code: u16) -> Vec<u8> {
    let [high, low] = code.to_be_bytes();
    match receiver {
        Sender::Client => vec![0x80 | CLOSE, 2, high, low],
        Sender::Application => vec![0x80 | CLOSE, 0x82, 0, 0, 0, 0, high, low],
    }
}

#[cfg(test)]
mod tests;
