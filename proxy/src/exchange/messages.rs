//! Messages of a call of gRPC on their way to the application: each one is judged when it is complete, and goes on before
//! the next one comes, so that both sides may speak at any time ([ADR 10](../../../docs/adr/0010-calls-of-grpc.md)). What
//! does not begin with a frame is no call: it is held as a whole, whatever its type says.
//!
//! In Monitor nothing waits: a copy is judged. Made by `inspect`, fed by `body`. Must never hold more of a message than
//! the window, nor longer than a held body may take.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use rasp_engine::{Coverage, Judgement, Outcome, Reason, Verdict};
use tokio::time::Instant;

use super::body::Broken;
use super::late::{Timer, poll_until};
use super::{Exchange, inspect, record};
use crate::reason::Kind;
use crate::state::Lease;

/// The messages of one call.
#[derive(Debug)]
pub struct Messages {
    call: Arc<Exchange>,
    /// The same under the policy that is in force for the message that comes.
    current: Arc<Exchange>,
    /// Whether they wait to be judged.
    holds: bool,
    shape: Shape,
    held: BytesMut,
    lease: Lease,
    since: Option<Instant>,
    timer: Timer,
    /// Bytes that are left of a message that was longer than the window.
    passing: usize,
    limit: usize,
    verdict: Verdict,
    /// What was counted as not inspected.
    told: Vec<Reason>,
    /// Of the request, for when the last message has gone on.
    pub trailers: Option<HeaderMap>,
}

/// What the body of a call turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Unknown,
    Frames,
    /// Something else, whose type is not true.
    Other,
    /// Nobody can tell where the next message begins; the engine has said so.
    Lost,
}

/// What bytes are that begin where a frame should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// So many of them are whole messages.
    Whole(usize),
    /// The beginning of a message that is longer than the window, of which so many bytes are still to come.
    Longer(usize),
    /// No frame.
    Not,
}

/// A flag and a length.
const FRAME: usize = 5;

impl Messages {
    /// For a call of which the head got this verdict. `limit`: bytes of one message that are inspected.
    pub fn new(call: Arc<Exchange>, verdict: Verdict, limit: usize) -> Self {
        let lease = Lease::new(Arc::clone(&call.connection.shared));
        let holds = call.enforces();
        Self {
            current: Arc::clone(&call),
            call,
            holds,
            shape: Shape::Unknown,
            held: BytesMut::new(),
            lease,
            since: None,
            timer: None,
            passing: 0,
            limit,
            verdict,
            told: Vec::new(),
            trailers: None,
        }
    }

    /// Whether nothing waits here that has yet to go on.
    pub fn is_empty(&self) -> bool {
        self.waiting() == 0 && self.trailers.is_none()
    }

    /// Bytes that have yet to go on.
    pub fn waiting(&self) -> usize {
        if self.holds { self.held.len() } else { 0 }
    }

    /// What came; gives what may go on.
    pub fn take(&mut self, data: &Bytes) -> Result<Bytes, Broken> {
        if self.held.is_empty() && self.passing == 0 {
            self.renew();
        }
        let ready = self.advance(data)?;
        Ok(if self.holds { ready } else { data.clone() })
    }

    /// Nothing more comes; gives what may go on of what was held.
    pub fn finish(&mut self) -> Result<Bytes, Broken> {
        let held = std::mem::take(&mut self.held);
        if held.is_empty() {
            return Ok(Bytes::new());
        }
        self.judge(&held, false)?;
        self.release();
        Ok(if self.holds { held.freeze() } else { Bytes::new() })
    }

    /// Ready when the client has taken too long for a message that is held.
    pub fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.waiting() == 0 {
            return Poll::Pending;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        poll_until(&mut self.timer, since + self.call.connection.shared.timers.held_body, context)
    }

    /// A policy that changes acts on the next message; no call is cut.
    fn renew(&mut self) {
        let connection = &self.call.connection;
        let policy = connection.shared.policy.load_on(connection.target.port());
        if !Arc::ptr_eq(&policy, &self.current.policy) {
            self.current = Arc::new(self.call.under(policy));
            self.holds = self.current.enforces();
            self.limit = self.current.policy.ruleset.effective().max_body_bytes;
        }
    }

    fn advance(&mut self, data: &Bytes) -> Result<Bytes, Broken> {
        if self.shape == Shape::Lost {
            return Ok(data.clone());
        }
        if self.held.is_empty() {
            let ahead = self.passing.min(data.len());
            self.passing -= ahead;
            let ready = ahead + self.judged(data.get(ahead..).unwrap_or_default())?;
            self.hold(data.get(ready..).unwrap_or_default())?;
            return Ok(data.slice(..ready));
        }
        self.hold(data)?;
        let mut held = std::mem::take(&mut self.held);
        let ready = held.split_to(self.judged(&held)?).freeze();
        self.held = held;
        if self.held.is_empty() {
            self.release();
        } else if !ready.is_empty() {
            self.since = None; // the next message has its own time
        }
        Ok(ready)
    }

    /// How many of these bytes may go on, after what is whole was judged.
    fn judged(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        match (self.shape, next(bytes, self.limit)) {
            (_, Next::Whole(0)) if self.shape != Shape::Other => Ok(0),
            (Shape::Other, _) | (Shape::Unknown, Next::Not) => {
                self.shape = Shape::Other;
                if bytes.len() < self.limit {
                    return Ok(0);
                }
                self.judge(bytes, true)?;
                self.shape = Shape::Lost;
                Ok(bytes.len())
            }
            (_, Next::Not) => {
                self.judge(bytes, false)?;
                self.shape = Shape::Lost;
                Ok(bytes.len())
            }
            (_, Next::Whole(count)) => {
                self.shape = Shape::Frames;
                self.judge(bytes.get(..count).unwrap_or(bytes), false)?;
                Ok(count)
            }
            (_, Next::Longer(rest)) => {
                self.shape = Shape::Frames;
                self.judge(bytes, true)?;
                self.passing = rest;
                Ok(bytes.len())
            }
        }
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        if bytes.is_empty() || self.lease.grow(bytes.len()) {
            self.held.extend_from_slice(bytes);
            return Ok(());
        }
        self.call.connection.shared.metrics.error(&Kind::BodyMemory);
        self.shape = Shape::Lost;
        self.held.clear();
        self.release();
        let judgement = inspect::without_memory(&self.current, self.holds);
        self.act(judgement)
    }

    fn release(&mut self) {
        self.lease = Lease::new(Arc::clone(&self.call.connection.shared));
        self.since = None;
    }

    fn judge(&mut self, frames: &[u8], longer: bool) -> Result<(), Broken> {
        if self.current.is_off() {
            return Ok(());
        }
        let judgement = inspect::call(&self.current, frames, longer);
        self.act(judgement)
    }

    fn act(&mut self, mut judgement: Judgement) -> Result<(), Broken> {
        self.verdict = self.verdict.max(judgement.verdict);
        let goes_on = matches!(judgement.outcome, Outcome::Forward(_));
        if let Coverage::Partial(reason) = judgement.coverage {
            if !self.told.contains(&reason) {
                self.told.push(reason);
            } else if goes_on && judgement.findings.is_empty() && judgement.excepted.is_empty() {
                judgement.coverage = Coverage::Full; // a call counts once, however many messages it has
            }
        }
        record::message(&self.current, &judgement);
        match judgement.outcome {
            Outcome::Refuse(refusal) if self.holds => {
                self.call.deny(refusal);
                Err(Broken::Refused)
            }
            Outcome::Refuse(_) => Ok(()), // it has gone on already
            Outcome::Forward(pass) => {
                drop(pass);
                Ok(())
            }
        }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.call.connection.requests.count(self.verdict);
        if let Some(trial) = self.call.policy.trial() {
            let refused = self.call.denied().map(|refusal| refusal.why);
            trial.request(self.verdict, refused, self.call.is_enforced());
        }
    }
}

fn next(bytes: &[u8], limit: usize) -> Next {
    let mut at = 0;
    while let Some([flags, rest @ ..]) = bytes.get(at..) {
        if *flags > 1 {
            return if at == 0 { Next::Not } else { Next::Whole(at) };
        }
        let [a, b, c, d, content @ ..] = rest else { break };
        let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX - FRAME);
        if content.len() < length {
            let held = FRAME + content.len();
            return if at == 0 && held >= limit {
                Next::Longer(length - content.len())
            } else {
                Next::Whole(at)
            };
        }
        at += FRAME + length;
    }
    Next::Whole(at)
}

#[cfg(test)]
mod tests {
    use super::{Next, next};

    #[test]
    fn whole_messages_are_told_from_what_is_still_to_come() {
        let rows: &[(&[u8], Next)] = &[
            (b"", Next::Whole(0)),
            (b"\0", Next::Whole(0)),
            (b"\0\0\0\0", Next::Whole(0)),
            (b"\0\0\0\0\0", Next::Whole(5)),
            (b"\0\0\0\0\x02a", Next::Whole(0)),
            (b"\0\0\0\0\x02ab\x01\0\0\0\x01c", Next::Whole(13)),
            (b"\0\0\0\0\x02ab\x01\0\0\0\x02c", Next::Whole(7)),
            (b"\0\0\0\0\x02ab\x02", Next::Whole(7)),
            (b"\0\0\0\0\x10abcdefghijk", Next::Longer(5)),
            (b"\0\0\0\0\x10abcdefghij", Next::Whole(0)),
            (b"\0\0\0\0\x01a\0\0\0\0\x10abcdefghijk", Next::Whole(6)),
            (b"\0\xff\xff\xff\xffabcdefghijk", Next::Longer(0xffff_ffff - 11)),
            (b"{}", Next::Not),
            (b"\x02\0\0\0\0", Next::Not),
        ];
        for (bytes, expected) in rows {
            assert_eq!(next(bytes, 16), *expected, "{}", bytes.escape_ascii());
        }
    }
}
