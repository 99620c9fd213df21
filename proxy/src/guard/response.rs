//! Follows what an application sends as HTTP/1 responses, and refuses what two readers could understand in two ways
//! (RFC 9112). Pure: bytes in, so many of them may pass, or a reason. What a whole read holds is not copied; only a line
//! that is cut by the end of a read is kept.
//!
//! Bytes that no request asked for never pass: they would be the answer to somebody's next request (response queue
//! poisoning). Called by `connection::answers`, between the application's socket and hyper.

use memchr::memchr;

use super::awaited::Awaited;
use super::{field, line};
use crate::reason::BadResponse;

/// What a response may take. Lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of a head.
    pub head: usize,
    /// Of a head; of a trailer section never more than 100. Applications send more than the 100 that hyper has room for
    /// unless it is to allocate and fill 16 KiB with every head, so what is beyond 90 goes around it.
    pub fields: usize,
    /// Of a status line.
    pub status_line: usize,
    /// Interim responses (1xx) before the final one.
    pub interim: usize,
    /// Of a trailer section.
    pub trailer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: 192 << 10, fields: 256, status_line: 8 << 10, interim: 10, trailer: 16 << 10 }
    }
}

/// Fields of a head that hyper gets. The others go around it, but for those by which it finds the end of a response,
/// which the rest of its 100 are for.
const HYPERS: usize = 90;
/// Fields of a trailer section that hyper takes.
const MAX_TRAILERS: usize = 100;
/// Bytes of a chunk's extension.
const MAX_EXTENSION: usize = 256;
/// Digits of a chunk's size: 64 bits.
const MAX_SIZE_DIGITS: usize = 16;

/// How far the bytes of one read may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// So many of them.
    pub bytes: usize,
    /// Why no more, and nothing from now on.
    pub fault: Option<BadResponse>,
}

/// Where in the stream of responses the next byte belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before a status line.
    Between,
    Status,
    Field,
    /// So many bytes of a body with a length.
    Length(u64),
    ChunkSize,
    /// So many bytes of a chunk.
    Chunk(u64),
    ChunkEnd,
    Trailer,
    /// A body that ends with the connection.
    UntilEnd,
    /// No HTTP any more.
    Switched,
    Broken(BadResponse),
}

/// What the head that is being read says.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    status: u16,
    is_1_0: bool,
    length: Option<u64>,
    is_chunked: bool,
    bytes: usize,
    fields: usize,
}

/// Follows the responses of one connection.
#[derive(Debug)]
pub struct Follower {
    limits: Limits,
    place: Place,
    head: Head,
    /// The beginning of a line whose end has not come yet.
    cut: Vec<u8>,
    interim: usize,
    /// The head of an interim response for the client.
    hint: Vec<u8>,
    /// What of this read goes on to hyper, where that is not what came.
    passing: Option<Vec<u8>>,
    /// Lines of this head that go around it.
    surplus: Vec<u8>,
}

impl Default for Follower {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Follower {
    /// Nothing was said yet.
    pub fn new(limits: Limits) -> Self {
        let (place, head) = (Place::Between, Head::default());
        let (cut, hint, surplus) = (Vec::new(), Vec::new(), Vec::new());
        Self { limits, place, head, cut, interim: 0, hint, passing: None, surplus }
    }

    /// What goes on of the bytes that were followed last, where that is not what came: lines are left out, or were
    /// kept back until they were whole.
    pub fn take_passing(&mut self) -> Option<Vec<u8>> {
        self.passing.take()
    }

    /// Follows the bytes of one read. Where a fault is found nothing of this read passes, but for the end of a response
    /// that was right: what comes after it is another matter.
    pub fn follow(&mut self, bytes: &[u8], awaited: &Awaited) -> Passed {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let sorts = self.sorts();
            if sorts && self.passing.is_none() {
                self.passing = Some(bytes.get(..at).unwrap_or_default().to_vec());
            }
            match self.step(rest, awaited) {
                Ok(taken) => {
                    if !sorts && let Some(passing) = &mut self.passing {
                        passing.extend_from_slice(rest.get(..taken).unwrap_or_default());
                    }
                    at += taken;
                }
                Err(fault) => {
                    self.place = Place::Broken(fault);
                    let bytes = if fault == BadResponse::Unasked { at } else { 0 };
                    self.passing = self.passing.take().filter(|_| bytes > 0);
                    return Passed { bytes, fault: Some(fault) };
                }
            }
        }
        Passed { bytes: bytes.len(), fault: None }
    }

    /// The application closed: was it in the middle of something? A body that ends with the connection ends with a FIN;
    /// after a reset nobody knows whether it is whole.
    pub fn end(&mut self, by_reset: bool) -> Result<(), BadResponse> {
        match self.place {
            Place::Between | Place::Switched => Ok(()),
            Place::UntilEnd if !by_reset => Ok(()),
            // Nothing was answered yet: why is for the exchange to tell.
            Place::Status if self.cut.is_empty() && self.interim == 0 => Ok(()),
            Place::Broken(fault) => Err(fault),
            _ => {
                self.place = Place::Broken(BadResponse::Incomplete);
                Err(BadResponse::Incomplete)
            }
        }
    }

    /// Takes some bytes of the front.
    fn step(&mut self, rest: &[u8], awaited: &Awaited) -> Result<usize, BadResponse> {
        match self.place {
            Place::Between => {
                if !awaited.is_due() {
                    return Err(BadResponse::Unasked);
                }
                self.begin();
                Ok(0)
            }
            Place::Status | Place::Field | Place::ChunkSize | Place::ChunkEnd | Place::Trailer => {
                self.line(rest, awaited)
            }
            Place::Length(left) => {
                let taken = taken(left, rest);
                match left - taken as u64 {
                    0 => self.done(awaited),
                    left => self.place = Place::Length(left),
                }
                Ok(taken)
            }
            Place::Chunk(left) => {
                let taken = taken(left, rest);
                self.place = match left - taken as u64 {
                    0 => Place::ChunkEnd,
                    left => Place::Chunk(left),
                };
                Ok(taken)
            }
            Place::UntilEnd | Place::Switched => Ok(rest.len()),
            Place::Broken(fault) => Err(fault),
        }
    }

    fn begin(&mut self) {
        self.place = Place::Status;
        self.head = Head::default();
        self.surplus = Vec::new();
    }

    /// Whether hyper has enough fields: each that follows is sorted when it is whole.
    fn sorts(&self) -> bool {
        self.place == Place::Field && self.head.fields >= HYPERS
    }

    /// A whole line goes on to hyper, or around it.
    fn sort(&mut self, line: &[u8], to_hyper: bool) {
        let way = if to_hyper { self.passing.get_or_insert_default() } else { &mut self.surplus };
        way.extend_from_slice(line);
        way.extend_from_slice(b"\r\n");
    }

    fn done(&mut self, awaited: &Awaited) {
        awaited.answered();
        self.interim = 0;
        self.place = Place::Between;
    }

    /// Takes the rest of a line, or keeps what there is of it.
    fn line(&mut self, rest: &[u8], awaited: &Awaited) -> Result<usize, BadResponse> {
        let end = memchr(b'\n', rest);
        let length = end.map_or(rest.len(), |end| end + 1);
        self.room(length)?;
        let piece = rest.get(..length).unwrap_or(rest);
        if end.is_none() {
            self.cut.extend_from_slice(piece);
        } else if self.cut.is_empty() {
            self.whole(piece, awaited)?;
        } else {
            let mut line = std::mem::take(&mut self.cut);
            line.extend_from_slice(piece);
            self.whole(&line, awaited)?;
        }
        Ok(length)
    }

    /// Whether so many more bytes of a line are within the limits.
    fn room(&mut self, more: usize) -> Result<(), BadResponse> {
        let line = self.cut.len() + more;
        self.head.bytes += more;
        let fits = match self.place {
            Place::Status => line <= self.limits.status_line,
            Place::Trailer => self.head.bytes <= self.limits.trailer,
            Place::ChunkEnd => return if line <= 2 { Ok(()) } else { Err(BadResponse::Chunk) },
            Place::ChunkSize => {
                let fits = line <= MAX_SIZE_DIGITS + MAX_EXTENSION + 2;
                return if fits { Ok(()) } else { Err(BadResponse::Chunk) };
            }
            _ => self.head.bytes <= self.limits.head,
        };
        if fits { Ok(()) } else { Err(BadResponse::TooLarge) }
    }

    /// A whole line with its end.
    fn whole(&mut self, line: &[u8], awaited: &Awaited) -> Result<(), BadResponse> {
        let Some(line) = line.strip_suffix(b"\r\n") else {
            // A lone LF ends a line for some readers and is part of a value for others.
            return Err(match self.place {
                Place::ChunkSize | Place::ChunkEnd => BadResponse::Chunk,
                Place::Status => BadResponse::StatusLine,
                _ => BadResponse::Field,
            });
        };
        match self.place {
            Place::Status => {
                (self.head.status, self.head.is_1_0) = status_line(line).ok_or(BadResponse::StatusLine)?;
                self.place = Place::Field;
                // The client's side answers 100 itself, when the body is wanted.
                if matches!(self.head.status, 102..=199) && awaited.takes_hints() {
                    self.hint(line);
                }
            }
            Place::Field if line.is_empty() => {
                if self.sorts() {
                    self.sort(line, true);
                    if !matches!(self.head.status, 100 | 102..=199) {
                        awaited.exceed(std::mem::take(&mut self.surplus));
                    }
                }
                return self.head_is_whole(awaited);
            }
            Place::Field => {
                let sorts = self.sorts();
                self.counted(self.limits.fields)?;
                let (name, value) = split(line).ok_or(BadResponse::Field)?;
                self.head.note(name, value)?;
                if !self.hint.is_empty() && !is_of_hop(name) {
                    self.hint(line);
                }
                if sorts {
                    self.sort(line, concerns_hyper(name));
                }
            }
            Place::ChunkSize => {
                self.place = match chunk_size(line).ok_or(BadResponse::Chunk)? {
                    0 => {
                        (self.head.bytes, self.head.fields) = (0, 0);
                        Place::Trailer
                    }
                    size => Place::Chunk(size),
                };
            }
            Place::ChunkEnd if line.is_empty() => self.place = Place::ChunkSize,
            Place::ChunkEnd => return Err(BadResponse::Chunk),
            Place::Trailer if line.is_empty() => self.done(awaited),
            _ => {
                self.counted(self.limits.fields.min(MAX_TRAILERS))?;
                split(line).ok_or(BadResponse::Field)?;
            }
        }
        Ok(())
    }

    fn hint(&mut self, line: &[u8]) {
        self.hint.extend_from_slice(line);
        self.hint.extend_from_slice(b"\r\n");
    }

    fn counted(&mut self, most: usize) -> Result<(), BadResponse> {
        self.head.fields += 1;
        if self.head.fields > most { Err(BadResponse::TooLarge) } else { Ok(()) }
    }

    /// What follows a head (RFC 9112 section 6.3).
    fn head_is_whole(&mut self, awaited: &Awaited) -> Result<(), BadResponse> {
        let Head { status, is_1_0, length, is_chunked, .. } = self.head;
        if is_chunked && (length.is_some() || is_1_0) {
            return Err(BadResponse::Lengths);
        }
        if let 100..=199 = status {
            if is_chunked || length.is_some_and(|length| length > 0) {
                return Err(BadResponse::Lengths);
            }
            return self.interim(status, awaited);
        }
        let bodiless = awaited.is_bodiless() || matches!(status, 204 | 304);
        match (length, is_chunked) {
            _ if bodiless => self.done(awaited),
            (_, true) => self.place = Place::ChunkSize,
            (Some(0), _) => self.done(awaited),
            (Some(length), _) => self.place = Place::Length(length),
            (None, false) => {
                awaited.answered();
                self.place = Place::UntilEnd;
            }
        }
        Ok(())
    }

    fn interim(&mut self, status: u16, awaited: &Awaited) -> Result<(), BadResponse> {
        if status == 101 {
            if !awaited.may_switch() {
                return Err(BadResponse::Switch);
            }
            awaited.answered();
            self.place = Place::Switched;
            return Ok(());
        }
        self.interim += 1;
        if self.interim > self.limits.interim {
            return Err(BadResponse::Interim);
        }
        if status == 100 {
            awaited.proceed();
        }
        if !self.hint.is_empty() {
            self.hint(b"");
            awaited.hint(&self.hint);
            self.hint = Vec::new();
        }
        self.begin();
        Ok(())
    }
}

impl Head {
    /// Notes what a field says about the length of the body.
    fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadResponse> {
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                for element in value.split(|byte| *byte == b',') {
                    let length = number(element.trim_ascii()).ok_or(BadResponse::Lengths)?;
                    // Equal ones are one (RFC 9110 section 8.6), and some applications repeat them.
                    if self.length.replace(length).is_some_and(|known| known != length) {
                        return Err(BadResponse::Lengths);
                    }
                }
                Ok(())
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                let is_first = !std::mem::replace(&mut self.is_chunked, true);
                let holds = is_first && value.eq_ignore_ascii_case(b"chunked");
                if holds { Ok(()) } else { Err(BadResponse::TransferEncoding) }
            }
            _ => Ok(()),
        }
    }
}

fn taken(left: u64, rest: &[u8]) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(rest.len())
}

/// `HTTP-version SP status-code [ SP reason-phrase ]`: status, and whether the version is 1.0. Many applications leave
/// out the space before a missing reason.
fn status_line(line: &[u8]) -> Option<(u16, bool)> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let (version, rest) = (rest.first()?, rest.get(1..)?.strip_prefix(b" ")?);
    if !matches!(version, b'0' | b'1') {
        return None;
    }
    let digits = rest.get(..3)?;
    let status = number(digits)?;
    let reason = match rest.get(3..)? {
        [] => &[][..],
        [b' ', reason @ ..] => reason,
        _ => return None,
    };
    let is_known = (100..=999).contains(&status) && is_value(reason);
    is_known.then_some((u16::try_from(status).ok()?, *version == b'0'))
}

/// `field-name ":" OWS field-value OWS` (RFC 9112 section 5), without the white space. A folded line begins with white
/// space, which no name does.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr(b':', line)?;
    let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
    let holds = field::is_token(name) && is_value(value);
    holds.then_some((name, field::trimmed(value)))
}

/// Fields that end at this hop (RFC 9110 section 7.6.1).
fn is_of_hop(name: &[u8]) -> bool {
    const NAMES: [&str; 5] = ["connection", "keep-alive", "proxy-connection", "upgrade", "content-length"];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// Fields by which hyper finds the end of a response, and of the connection.
fn concerns_hyper(name: &[u8]) -> bool {
    const NAMES: [&str; 4] = ["connection", "content-length", "transfer-encoding", "upgrade"];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// No control byte but tabs (RFC 9110 section 5.5).
fn is_value(value: &[u8]) -> bool {
    line::control(value, 0).is_none()
}

/// Digits and nothing else, below 2^63.
fn number(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.len() <= 19 && digits.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()?;
    Some(number).filter(|number| *number < 1 << 63)
}

/// `chunk-size [ chunk-ext ]` (RFC 9112 section 7.1). Old servers pad the size with blanks, which hyper takes as well.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at_checked(digits)?;
    let extension = rest.trim_ascii_start();
    let extension_holds = extension.is_empty() || (extension.starts_with(b";") && is_value(extension));
    if digits.is_empty() || digits.len() > MAX_SIZE_DIGITS || rest.len() > MAX_EXTENSION || !extension_holds {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok().filter(|size| *size < 1 << 63)
}

#[cfg(test)]
mod tests;
