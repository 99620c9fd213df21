//! The live stream of Bundles from operator to sidecar: path, field, framing and times. No IO; both binaries use it.
//!
//! The answer to `GET /v1/stream` is frames without end: one byte of kind, four bytes of length (big endian), then so
//! many bytes. `B` carries a signed envelope, `A` (empty) says that the sender is alive. The stream is only a faster
//! way to the same envelope that the ConfigMap holds: what it carries is believed by its signature alone (ADR 14).

use std::time::Duration;

use crate::bundle::MAX_ENVELOPE_BYTES;

/// Path of the operator's endpoint. A change of the framing gets a path of its own.
pub const PATH: &str = "/v1/stream";
/// Field of the request: sequence and digest of the Bundle in force, with a space between. Absent where there is none.
pub const HAVE: &str = "rasp-have";
/// The operator sends a frame at least this often.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// A sidecar that got no whole frame for so long takes the stream for broken.
pub const SILENCE: Duration = Duration::from_secs(45);

const ALIVE: u8 = b'A';
const BUNDLE: u8 = b'B';
const HEAD: usize = 5;

/// The sender is alive.
pub const ALIVE_FRAME: [u8; HEAD] = [ALIVE, 0, 0, 0, 0];

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The sender is alive.
    Alive,
    /// Text of an envelope.
    Bundle(Vec<u8>),
}

/// Why the bytes are no frames. Nothing after it can be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// A kind that does not exist.
    #[error("a frame of unknown kind")]
    Kind,
    /// Longer than an envelope may be, or not empty where it has to be.
    #[error("a frame of {0} bytes")]
    Length(usize),
    /// The stream ended within a frame.
    #[error("the stream ended within a frame")]
    Truncated,
}

/// The frame of an envelope.
pub fn bundle_frame(envelope: &str) -> Vec<u8> {
    let length = u32::try_from(envelope.len()).unwrap_or(u32::MAX); // the reader refuses far less
    let mut frame = Vec::with_capacity(HEAD + envelope.len());
    frame.push(BUNDLE);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(envelope.as_bytes());
    frame
}

/// What a sidecar has, as it tells in [`HAVE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Have {
    /// Sequence of the Bundle.
    pub sequence: u64,
    /// Its digest.
    pub digest: String,
}

impl std::fmt::Display for Have {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.sequence, self.digest)
    }
}

impl std::str::FromStr for Have {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (sequence, digest) = text.split_once(' ').ok_or(())?;
        Ok(Self { sequence: sequence.parse().map_err(|_| ())?, digest: digest.to_owned() })
    }
}

/// Puts frames together from pieces. Holds one frame and one piece at most.
#[derive(Debug, Default)]
pub struct Decoder {
    waiting: Vec<u8>,
}

impl Decoder {
    /// Takes the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.waiting.extend_from_slice(piece);
    }

    /// The next whole frame, if it is there. A length that is too large is refused before its bytes have come.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, BadFrame> {
        let Some((head, rest)) = self.waiting.split_first_chunk::<HEAD>() else {
            return match self.waiting.first() {
                Some(kind) if ![ALIVE, BUNDLE].contains(kind) => Err(BadFrame::Kind),
                _ => Ok(None),
            };
        };
        let [kind, length @ ..] = *head;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let most = match kind {
            ALIVE => 0,
            BUNDLE => MAX_ENVELOPE_BYTES,
            _ => return Err(BadFrame::Kind),
        };
        if length > most {
            return Err(BadFrame::Length(length));
        }
        let Some(content) = rest.get(..length) else { return Ok(None) };
        let frame = if kind == ALIVE { Frame::Alive } else { Frame::Bundle(content.to_vec()) };
        self.waiting.drain(..HEAD + length);
        if self.waiting.is_empty() {
            // A large frame is rare; what it took is not kept for the hours until the next one.
            self.waiting = Vec::new();
        }
        Ok(Some(frame))
    }

    /// Says whether the stream may end here.
    pub fn finish(&self) -> Result<(), BadFrame> {
        if self.waiting.is_empty() { Ok(()) } else { Err(BadFrame::Truncated) }
    }
}

#[cfg(test)]
mod tests {
    use super::{ALIVE_FRAME, BadFrame, Decoder, Frame, Have, bundle_frame};
    use crate::bundle::MAX_ENVELOPE_BYTES;

    fn frames(bytes: &[u8], piece: usize) -> Result<Vec<Frame>, BadFrame> {
        let (mut decoder, mut found) = (Decoder::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            decoder.push(piece);
            while let Some(frame) = decoder.next_frame()? {
                found.push(frame);
            }
        }
        decoder.finish().map(|()| found)
    }

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let bytes = [&ALIVE_FRAME[..], &bundle_frame("{}"), &bundle_frame(""), &ALIVE_FRAME].concat();
        let expected = [Frame::Alive, Frame::Bundle(b"{}".to_vec()), Frame::Bundle(Vec::new()), Frame::Alive];
        for piece in 1..=bytes.len() {
            assert_eq!(frames(&bytes, piece).unwrap(), expected, "pieces of {piece}");
        }
        assert_eq!(bundle_frame("{}"), b"B\0\0\0\x02{}", "the wire form");
    }

    #[test]
    fn what_is_no_frame_is_refused_as_soon_as_it_shows() {
        let too_long = u32::try_from(MAX_ENVELOPE_BYTES + 1).unwrap().to_be_bytes();
        let table: [(&str, Vec<u8>, BadFrame); 6] = [
            ("another protocol", b"HTTP/1.1 200 OK\r\n".to_vec(), BadFrame::Kind),
            ("one byte of it", b"x".to_vec(), BadFrame::Kind),
            ("too long", [b"B", &too_long[..]].concat(), BadFrame::Length(MAX_ENVELOPE_BYTES + 1)),
            ("a full sign of life", b"A\0\0\0\x01x".to_vec(), BadFrame::Length(1)),
            ("ends in a head", b"B\0\0".to_vec(), BadFrame::Truncated),
            ("ends in a frame", b"B\0\0\0\x03{}".to_vec(), BadFrame::Truncated),
        ];
        for (name, bytes, expected) in table {
            assert_eq!(frames(&bytes, 3), Err(expected), "{name}");
        }
    }

    #[test]
    fn what_a_sidecar_has_is_read_as_it_was_written() {
        let have = Have { sequence: 7, digest: "sha256:00".into() };
        assert_eq!(have.to_string().parse(), Ok(have));
        for text in ["", "7", "x sha256:00", "-1 d"] {
            assert_eq!(text.parse::<Have>(), Err(()), "{text}");
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic_or_keep_more_than_a_frame() {
        use proptest::prelude::*;
        proptest!(|(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 0..16))| {
            let mut decoder = Decoder::default();
            for piece in pieces {
                decoder.push(&piece);
                while let Ok(Some(_)) = decoder.next_frame() {}
            }
        });
    }
}
