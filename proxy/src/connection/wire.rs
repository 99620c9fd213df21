//! The wire guard between the client's socket and hyper: lets bytes go on, keeps them, or puts a refusal in their place.
//!
//! Bytes are looked at where they were read to; only an incomplete head, a head that is written anew, and what follows
//! a request are copied. hyper never sees a byte of a refused request: in place of its head it gets a fixed one, and
//! the exchange answers with the reason that it finds in the [`Note`]. Called by `pace`.

use std::sync::{Mutex, PoisonError};

use tokio::io::ReadBuf;

use crate::guard::Limits;
use crate::guard::head::Facts;
use crate::guard::request::{Refusal, Requests, Step};
use crate::reason::Malformed;

/// What hyper gets in place of a head that is refused, so that the answer takes the normal way.
const IN_PLACE_OF_GET: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";
const IN_PLACE_OF_HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// What the guard says about the request whose head went on last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// It may be judged, if hyper read the same.
    Accepted(Facts),
    /// It must be answered, with the status of the reason, and nothing else.
    Refused(Malformed),
}

/// The way of a note to the exchange. There is never more than one: the guard stops after each request.
#[derive(Debug, Default)]
pub struct Notes(Mutex<Option<Note>>);

impl Notes {
    /// The note about the request that hyper hands over; `None` when the guard knows of none.
    pub fn take(&self) -> Option<Note> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// `false` when the last one was not taken: hyper sees fewer requests than the guard.
    fn put(&self, note: Note) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(note).is_none()
    }
}

/// Why hyper gets no more of a body whose head it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is refused: {}", .0.id())]
pub struct RefusedBody(pub Malformed);

/// The guard of one connection, with the bytes it keeps.
#[derive(Debug)]
pub struct Wire {
    guard: Requests,
    kept: Vec<u8>,
    // Where in `kept` the first byte is that has not gone on, and how many from there may.
    at: usize,
    free: usize,
    over: bool,
}

impl Wire {
    /// A guard for a new connection.
    pub fn new(limits: Limits) -> Self {
        Self { guard: Requests::new(limits), kept: Vec::new(), at: 0, free: 0, over: false }
    }

    /// Whether bytes are kept.
    pub fn keeps(&self) -> bool {
        self.at < self.kept.len()
    }

    /// Whether the next byte begins a request, and none of an earlier one is left.
    pub fn is_between(&self) -> bool {
        !self.keeps() && !self.over && !self.guard.is_inside()
    }

    /// Whether nothing will ever go on again.
    pub fn is_over(&self) -> bool {
        self.over && self.free == 0
    }

    /// Looks at what was read into `buffer` after its first `before` bytes, and leaves there what may go on: `false`
    /// when that is nothing yet.
    pub fn filter(
        &mut self,
        buffer: &mut ReadBuf<'_>,
        before: usize,
        notes: &Notes,
    ) -> Result<bool, RefusedBody> {
        if !self.keeps() && !self.over {
            let bytes = buffer.filled().get(before..).unwrap_or_default();
            let step = self.guard.look(bytes);
            if let Step::Pass(length, head) = step
                && head.is_none_or(|head| !head.rewrite.is_needed())
                && head.is_none_or(|head| notes.put(Note::Accepted(head.facts)))
            {
                if length < bytes.len() {
                    self.keep(bytes.get(length..).unwrap_or_default());
                    buffer.set_filled(before + length);
                }
                return Ok(true);
            }
            self.keep(bytes);
            buffer.set_filled(before);
            self.take(step, notes)?;
        } else {
            self.keep(buffer.filled().get(before..).unwrap_or_default());
            buffer.set_filled(before);
        }
        self.give(buffer, notes)
    }

    /// Gives what may go on of the bytes that are kept; `false` when that is nothing yet.
    pub fn give(&mut self, buffer: &mut ReadBuf<'_>, notes: &Notes) -> Result<bool, RefusedBody> {
        while self.free == 0 {
            if !self.keeps() || self.over {
                return Ok(false);
            }
            let step = self.guard.look(self.kept.get(self.at..).unwrap_or_default());
            if step == Step::More {
                return Ok(false);
            }
            self.take(step, notes)?;
        }
        let length = self.free.min(buffer.remaining());
        buffer.put_slice(self.kept.get(self.at..self.at + length).unwrap_or_default());
        self.free -= length;
        self.advance(length);
        Ok(true)
    }

    /// Gives all bytes that are kept, on a connection that has left HTTP.
    pub fn give_raw(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let rest = self.kept.get(self.at..).unwrap_or_default();
        let length = rest.len().min(buffer.remaining());
        buffer.put_slice(rest.get(..length).unwrap_or_default());
        self.advance(length);
        length > 0
    }

    fn keep(&mut self, bytes: &[u8]) {
        // Whoever pipelines without end must not have what is gone kept for ever.
        self.kept.drain(..self.at);
        self.at = 0;
        self.kept.extend_from_slice(bytes);
    }

    fn advance(&mut self, length: usize) {
        self.at += length;
        if !self.keeps() {
            self.kept = Vec::new(); // an idle connection keeps no memory
            self.at = 0;
        }
    }

    fn take(&mut self, step: Step, notes: &Notes) -> Result<(), RefusedBody> {
        match step {
            Step::More => {}
            Step::Drop(length) => self.advance(length),
            Step::Pass(length, None) => self.free = length,
            Step::Pass(length, Some(mut head)) => {
                self.free = length;
                if head.rewrite.is_needed() {
                    let kept = self.kept.get(self.at..).unwrap_or_default();
                    let (old, rest) = kept.split_at_checked(head.length).unwrap_or_default();
                    let mut written = Vec::with_capacity(kept.len() * 2);
                    head.facts.digest = head.rewrite.write(old, &mut written).unwrap_or(head.facts.digest);
                    self.free = written.len() + length - head.length;
                    written.extend_from_slice(rest);
                    (self.kept, self.at) = (written, 0);
                }
                if !notes.put(Note::Accepted(head.facts)) {
                    return self.refuse_body(Malformed::Disagreement);
                }
            }
            Step::Refuse(Refusal { reason, begun: true, .. }) => return self.refuse_body(reason),
            Step::Refuse(Refusal { reason, head, .. }) => {
                let in_place = if head { IN_PLACE_OF_HEAD } else { IN_PLACE_OF_GET };
                (self.kept, self.at, self.free) = (in_place.to_vec(), 0, in_place.len());
                self.over = true;
                notes.put(Note::Refused(reason));
            }
        }
        Ok(())
    }

    fn refuse_body(&mut self, reason: Malformed) -> Result<(), RefusedBody> {
        (self.kept, self.at, self.free, self.over) = (Vec::new(), 0, 0, true);
        Err(RefusedBody(reason))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::ReadBuf;

    use super::{Note, Notes, Wire};
    use crate::guard::Limits;
    use crate::reason::Malformed;

    const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\nX: 0123456789\r\n\r\n";

    /// What hyper gets of bytes that come in pieces, and the notes of it.
    fn pass(wire: &mut Wire, notes: &Notes, piece: &[u8]) -> (Vec<u8>, Vec<Note>) {
        let (mut got, mut taken) = (Vec::new(), Vec::new());
        let mut space = [0; 8192];
        let mut buffer = ReadBuf::new(&mut space);
        buffer.put_slice(piece);
        let mut given = wire.filter(&mut buffer, 0, notes).unwrap();
        while given {
            got.extend_from_slice(buffer.filled());
            taken.extend(notes.take());
            buffer.clear();
            given = wire.give(&mut buffer, notes).unwrap();
        }
        (got, taken)
    }

    #[test]
    fn pipelined_requests_go_on_one_by_one_and_nothing_of_them_is_kept() {
        let (mut wire, notes) = (Wire::new(Limits::default()), Notes::default());
        let stream = REQUEST.repeat(20_000);
        let (mut got, mut count) = (0, 0);
        for piece in stream.chunks(5000) {
            let (bytes, taken) = pass(&mut wire, &notes, piece);
            got += bytes.len();
            count += taken.len();
            assert!(wire.kept.capacity() < 32 << 10, "{} bytes are kept", wire.kept.capacity());
        }
        assert_eq!((got, count), (stream.len(), 20_000));
        assert_eq!(wire.kept.capacity(), 0, "an idle connection keeps nothing");
    }

    #[test]
    fn in_place_of_a_refused_request_hyper_gets_a_fixed_one_and_nothing_more() {
        let (mut wire, notes) = (Wire::new(Limits::default()), Notes::default());
        let bytes = [REQUEST, b"HEAD /SECRET HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", REQUEST].concat();
        let (got, taken) = pass(&mut wire, &notes, &bytes);
        assert_eq!(got, [REQUEST, super::IN_PLACE_OF_HEAD].concat());
        assert_eq!(taken[1], Note::Refused(Malformed::HostRepeated));
        assert!(wire.is_over());
    }
}
