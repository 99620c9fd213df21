//! Follows the requests of one HTTP/1 connection: head, body, trailer, next head. Allocates nothing.
//!
//! It is given the bytes that have not gone on yet, always from the first of them, and says how many may. It stops
//! at the end of each request, so whoever feeds it can wait for what becomes of one before the next is looked at.

use super::chunk::Chunked;
use super::head::{Complete, Framing, Head};
use super::{Fault, Limits};
use crate::reason::Malformed;

/// What to do with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Keep them until more are there.
    More,
    /// Drop so many: empty lines before a request.
    Drop(usize),
    /// Let so many go on. They begin with a head if there is one, which may have to be written anew.
    Pass(usize, Option<Complete>),
    /// Let none go on, nor any byte that follows.
    Refuse(Refusal),
}

/// A request that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Malformed,
    /// Whether its head has gone on before.
    pub begun: bool,
    /// Whether it is a HEAD, as far as is known.
    pub head: bool,
}

/// The guard of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Requests {
    limits: Limits,
    state: State,
    blank_lines: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Head(Head),
    Body(Body),
    Refused(Refusal),
}

#[derive(Clone, Copy, Debug)]
enum Body {
    Length(u64),
    Chunked(Chunked),
}

impl Requests {
    /// A connection without a request yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, state: State::Head(Head::default()), blank_lines: 0 }
    }

    /// Looks at the bytes that have not gone on yet. A call with the same bytes, or with more after them, gives the
    /// same answer or a later one, never another one.
    pub fn look(&mut self, bytes: &[u8]) -> Step {
        match self.state {
            State::Head(head) => self.head(head, bytes),
            State::Body(body) => match self.body(body, bytes) {
                Ok(0) => Step::More,
                Ok(length) => Step::Pass(length, None),
                Err(reason) => self.refuse(Refusal { reason, begun: true, head: false }),
            },
            State::Refused(refusal) => Step::Refuse(refusal),
        }
    }

    /// Whether a request has begun that is not complete.
    pub fn is_inside(&self) -> bool {
        matches!(self.state, State::Body(_))
    }

    fn head(&mut self, mut head: Head, bytes: &[u8]) -> Step {
        match bytes {
            [] | [b'\r'] => return Step::More,
            [b'\r', b'\n', ..] => {
                self.blank_lines += 1;
                if self.blank_lines > self.limits.blank_lines {
                    return self.refuse(Refusal { reason: Malformed::Line, begun: false, head: false });
                }
                return Step::Drop(2);
            }
            _ => {}
        }
        let looked = head.look(bytes, &self.limits);
        let is_head = head.is_head(bytes);
        self.state = State::Head(head);
        let refused = |reason| Refusal { reason, begun: false, head: is_head };
        let complete = match looked {
            Ok(Some(complete)) => complete,
            Ok(None) => return Step::More,
            Err(reason) => return self.refuse(refused(reason)),
        };
        self.blank_lines = 0;
        let body = match complete.facts.framing {
            Framing::None | Framing::Length(0) => {
                self.state = State::Head(Head::default());
                return Step::Pass(complete.length, Some(complete));
            }
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::Chunked(Chunked::default()),
        };
        // A body that is refused before its head went on takes the head with it.
        match self.body(body, bytes.get(complete.length..).unwrap_or_default()) {
            Ok(length) => Step::Pass(complete.length + length, Some(complete)),
            Err(reason) => self.refuse(refused(reason)),
        }
    }

    fn body(&mut self, body: Body, bytes: &[u8]) -> Result<usize, Malformed> {
        let (taken, left) = match body {
            Body::Length(left) => {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                let left = left - taken as u64;
                (taken, (left > 0).then_some(Body::Length(left)))
            }
            Body::Chunked(mut chunked) => {
                let taken = chunked.look(bytes, &self.limits).map_err(of_body)?;
                (taken, (!chunked.is_over()).then_some(Body::Chunked(chunked)))
            }
        };
        self.state = left.map_or(State::Head(Head::default()), State::Body);
        Ok(taken)
    }

    fn refuse(&mut self, refusal: Refusal) -> Step {
        self.state = State::Refused(refusal);
        Step::Refuse(refusal)
    }
}

fn of_body(fault: Fault) -> Malformed {
    match fault {
        Fault::ChunkSize | Fault::LineSize => Malformed::ChunkSize,
        Fault::Trailer => Malformed::Trailer,
        Fault::TrailerSize => Malformed::TrailerSize,
        _ => Malformed::Chunk,
    }
}

#[cfg(test)]
mod tests;
