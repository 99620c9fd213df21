//! Hands a request to the engine as far as the policy wants to see it, and has it judged.
//!
//! Where anything is in Block, a body that is parsed is held until it is judged. In Monitor, and outside of the share that
//! is blocked, nothing waits: the head is judged, the body copied as it passes. What a panic took counts as not judged; the failure mode decides.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HeaderMap};
use http::request::Parts;
use http_body::Body as _;
use hyper::body::Incoming;
use rasp_engine::{
    Body, BodyPlan, Classes, Fields, Head, Inspection, Judgement, Outcome, Reason, Refusal, Show, Verdict,
    Why,
};
use tokio::time::{Instant as Deadline, timeout_at};

use super::body::{Broken, RequestBody, Timed};
use super::messages::Messages;
use super::tee::Tee;
use super::{Exchange, record};
use crate::load::breaker::{End, SMALL};
use crate::reason::{Bypass, Kind, Timeout};
use crate::state::{Lease, Shared};

/// Bytes reserved for a body before any of it arrived.
const MAX_RESERVED: usize = 16 << 10;

/// A judged request.
pub struct Judged {
    /// The judgement. Of a copied body, or of a call, it speaks about the head alone.
    pub judgement: Judgement,
    /// What is sent to the application when it goes on.
    pub body: RequestBody,
    /// Whether the whole request was judged, so that it can be recorded.
    pub whole: bool,
    /// Whether bytes of the body were not read.
    pub unread: bool,
    /// Time spent waiting for the client's body.
    pub waited: Duration,
}

/// Reads as much of a request as the policy wants, and judges it.
pub async fn judge(exchange: &Arc<Exchange>, parts: &Parts, body: Incoming) -> Result<Judged, Broken> {
    let ruleset = &exchange.policy.ruleset;
    if body.is_end_stream() {
        let judgement = exchange.decide(head(exchange, &parts.headers));
        return Ok(Judged::of(judgement, RequestBody::default(), false));
    }
    let timed = Timed::new(body, exchange, exchange.streams());
    match ruleset.body_plan(&exchange.head(&())) {
        BodyPlan::Skip => {
            let judgement = whole(exchange, head(exchange, &parts.headers), Body::Opaque, None);
            Ok(Judged::of(judgement, RequestBody::streamed(Bytes::new(), timed), true))
        }
        BodyPlan::Messages(limit) if exchange.streams() => {
            let judgement = exchange.decide(head(exchange, &parts.headers));
            if matches!(judgement.outcome, Outcome::Refuse(_)) {
                return Ok(Judged::of(judgement, RequestBody::default(), true));
            }
            record::message(exchange, &judgement);
            let messages = Messages::new(Arc::clone(exchange), judgement.verdict, limit);
            let called = RequestBody::called(timed, messages);
            Ok(Judged { whole: false, ..Judged::of(judgement, called, true) })
        }
        BodyPlan::Window(limit) | BodyPlan::Messages(limit) if exchange.enforces() => {
            hold(exchange, parts, timed, limit).await
        }
        BodyPlan::Window(limit) | BodyPlan::Messages(limit) => {
            let begun = head(exchange, &parts.headers);
            let judgement = exchange.decide(begun.clone());
            let copied = RequestBody::copied(timed, Tee::new(Arc::clone(exchange), begun, limit));
            Ok(Judged { whole: false, ..Judged::of(judgement, copied, true) })
        }
    }
}

impl Judged {
    fn of(judgement: Judgement, body: RequestBody, unread: bool) -> Self {
        Self { judgement, body, whole: true, unread, waited: Duration::ZERO }
    }
}

/// Holds a body until it is complete or too long, then judges the request.
async fn hold(
    exchange: &Arc<Exchange>,
    parts: &Parts,
    mut timed: Timed,
    limit: usize,
) -> Result<Judged, Broken> {
    // An attack in the head is refused before the client sends, or we keep, a body.
    let begun = head(exchange, &parts.headers);
    if !begun.findings().is_empty() {
        let early = exchange.decide(begun.clone());
        if matches!(early.outcome, Outcome::Refuse(_)) {
            return Ok(Judged::of(early, RequestBody::default(), true));
        }
    }
    let stated =
        parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if stated.is_some_and(|length| length > limit) {
        // Where it is refused whatever it holds. Elsewhere its beginning may still be an attack.
        let judgement = whole(exchange, begun.clone(), Body::Truncated(&[]), None);
        if matches!(judgement.outcome, Outcome::Refuse(_)) {
            return Ok(Judged::of(judgement, RequestBody::streamed(Bytes::new(), timed), true));
        }
    }
    let mut lease = Lease::new(Arc::clone(&exchange.connection.shared));
    let mut window = Window { stated: stated.unwrap_or(0), whole: Bytes::new(), pieces: BytesMut::new() };
    let started = Instant::now();
    // Otherwise a few slow clients keep all the memory there is for bodies.
    let deadline = Deadline::now() + exchange.connection.shared.timers.held_body;
    let end = timeout_at(deadline, collect(&mut timed, &mut window, limit, &mut lease))
        .await
        .unwrap_or(Err(Broken::TimedOut(Timeout::HeldBody)))?;
    let waited = started.elapsed();
    let (judgement, body, unread) = match end {
        Collected::Complete(trailers) => {
            let window = window.bytes();
            let judgement = whole(exchange, begun, Body::Complete(&window), None);
            (judgement, RequestBody::held(lease.over(window), trailers), false)
        }
        Collected::TooLong => {
            let window = window.bytes();
            let judgement =
                whole(exchange, begun, Body::Truncated(window.get(..limit).unwrap_or(&window)), None);
            (judgement, RequestBody::streamed(lease.over(window), timed), true)
        }
        Collected::NoMemory => {
            exchange.connection.shared.metrics.error(&Kind::BodyMemory);
            let window = window.bytes();
            let judgement = whole(exchange, begun, Body::Complete(&window), Some(Reason::WorkLimit));
            let judgement = refused(judgement);
            (judgement, RequestBody::streamed(window, timed), true)
        }
    };
    Ok(Judged { waited, ..Judged::of(judgement, body, unread) })
}

/// What was read of a body: all of it as it came in one piece, or the pieces put together.
struct Window {
    /// Its length as the client states it.
    stated: usize,
    whole: Bytes,
    pieces: BytesMut,
}

impl Window {
    fn len(&self) -> usize {
        self.whole.len() + self.pieces.len()
    }

    fn push(&mut self, piece: Bytes) {
        if self.len() == 0 && piece.len() == self.stated {
            self.whole = piece;
            return;
        }
        if self.pieces.is_empty() {
            // What a client states is no reason to reserve memory for it.
            self.pieces.reserve(self.stated.min(MAX_RESERVED));
            self.pieces.extend_from_slice(&std::mem::take(&mut self.whole));
        }
        self.pieces.extend_from_slice(&piece);
    }

    fn bytes(self) -> Bytes {
        if self.pieces.is_empty() { self.whole } else { self.pieces.freeze() }
    }
}

/// Whoever fills the memory for bodies must not open the way for everybody, so here the failure mode does not decide.
fn refused(judgement: Judgement) -> Judgement {
    match judgement.outcome {
        Outcome::Refuse(_) => judgement,
        Outcome::Forward(_) => Judgement {
            verdict: Verdict::Error,
            outcome: Outcome::Refuse(Refusal { status: 503, why: Why::NotJudged }),
            ..judgement
        },
    }
}

enum Collected {
    Complete(Option<http::HeaderMap>),
    TooLong,
    NoMemory,
}

async fn collect(
    timed: &mut Timed,
    window: &mut Window,
    limit: usize,
    lease: &mut Lease,
) -> Result<Collected, Broken> {
    loop {
        let Some(frame) = std::future::poll_fn(|context| timed.poll_next(context)).await else {
            return Ok(Collected::Complete(None));
        };
        let frame = frame?;
        match frame.into_data() {
            Ok(data) => {
                let fits = lease.grow(data.len());
                window.push(data);
                if window.len() > limit {
                    return Ok(Collected::TooLong);
                }
                if !fits {
                    return Ok(Collected::NoMemory);
                }
            }
            Err(frame) => return Ok(Collected::Complete(frame.into_trailers().ok())),
        }
    }
}

/// Inspects the body of a request and judges it as a whole. `begun` is the inspection of its head, `lost` says that
/// bytes of its body were lost to the proxy's own limits.
pub fn whole(exchange: &Exchange, mut begun: Inspection, body: Body<'_>, lost: Option<Reason>) -> Judgement {
    let ruleset = &exchange.policy.ruleset;
    let bytes = match body {
        Body::Complete(bytes) | Body::Truncated(bytes) => bytes.len(),
        Body::Empty | Body::Opaque => 0,
    };
    let Some(left_out) = left_out(exchange, bytes) else {
        begun.note(Reason::Suspended);
        return exchange.decide(begun);
    };
    let inspection = guarded(exchange, bytes, left_out, || {
        begun.leave_out(left_out);
        ruleset.inspect_body(&exchange.head(&()), body, &mut begun);
        if let Some(reason) = lost {
            begun.note(reason);
        }
        begun
    });
    exchange.decide(inspection)
}

fn head(exchange: &Exchange, headers: &HeaderMap) -> Inspection {
    let (ruleset, inspect) = (&exchange.policy.ruleset, exchange.connection.shared.inspect);
    let Some(left_out) = left_out(exchange, 0) else { return Inspection::failed(Reason::Suspended) };
    guarded(exchange, 0, left_out, || inspect(ruleset, &exchange.head(&Lines(headers)), left_out))
}

/// The fields of a head, for the engine.
#[derive(Debug)]
struct Lines<'a>(&'a HeaderMap);

impl Fields for Lines<'_> {
    fn each(&self, show: &mut Show<'_>) -> Result<(), Reason> {
        self.0.iter().try_for_each(|(name, value)| show(name.as_str().as_bytes(), value.as_bytes()))
    }
}

/// Inspects and judges a text message of a WebSocket. Its path and query were judged with the handshake.
pub fn message(exchange: &Exchange, text: &[u8], longer: bool) -> Judgement {
    let head = Head {
        method: "GET",
        target: b"/",
        content_type: Some(b"text/plain"),
        content_encoding: None,
        fields: &(),
    };
    alone(exchange, &head, numbered(text), longer)
}

/// Inspects and judges messages of a call of gRPC with their frames. Its path and fields were judged with its head.
pub fn call(exchange: &Exchange, frames: &[u8], longer: bool) -> Judgement {
    alone(exchange, &Head { target: b"/", ..exchange.head(&()) }, frames, longer)
}

/// Judges a message of a call for which there is no memory. `held`: it has not gone on.
pub fn without_memory(exchange: &Exchange, held: bool) -> Judgement {
    let judgement = exchange.decide(Inspection::failed(Reason::WorkLimit));
    if held { refused(judgement) } else { judgement }
}

fn alone(exchange: &Exchange, head: &Head<'_>, text: &[u8], longer: bool) -> Judgement {
    let ruleset = &exchange.policy.ruleset;
    let Some(left_out) = left_out(exchange, text.len()) else {
        return exchange.decide(Inspection::failed(Reason::Suspended));
    };
    let inspection = guarded(exchange, text.len(), left_out, || {
        let mut inspection = (exchange.connection.shared.inspect)(ruleset, head, left_out);
        ruleset.locate(exchange.head(&()).target, &mut inspection);
        let body = if longer { Body::Truncated(text) } else { Body::Complete(text) };
        ruleset.inspect_body(head, body, &mut inspection);
        inspection
    });
    exchange.decide(inspection)
}

/// Protocols such as Socket.IO number the JSON documents that they send: `42["name",{}]`.
fn numbered(text: &[u8]) -> &[u8] {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match text.get(digits..) {
        Some(rest) if digits > 0 && matches!(rest.first(), Some(b'[' | b'{')) => rest,
        _ => text,
    }
}

/// Lets a probe of the kubelet pass without looking at it.
pub fn probe(exchange: &Arc<Exchange>, body: Incoming) -> Judged {
    let shared = &exchange.connection.shared;
    shared.metrics.bypass(Bypass::Probe);
    let judgement = shared.unjudged.decide(Inspection::failed(Reason::DetectionOff));
    let timed = Timed::new(body, exchange, false);
    Judged::of(judgement, RequestBody::streamed(Bytes::new(), timed), true)
}

/// The classes that keep failing, and are not run on a message whose body has so many bytes; `None`: none is run.
fn left_out(exchange: &Exchange, bytes: usize) -> Option<Classes> {
    if exchange.policy.ruleset.is_idle() {
        return Some(Classes::NONE);
    }
    exchange.connection.shared.load.breaker.leaves_out(bytes)
}

/// Runs the engine. Whatever input makes it panic must not take the connection, or the judgement, with it.
fn guarded(
    exchange: &Exchange,
    bytes: usize,
    left_out: Classes,
    inspect: impl FnOnce() -> Inspection,
) -> Inspection {
    let Shared { load, metrics, .. } = &*exchange.connection.shared;
    if exchange.policy.ruleset.is_idle() {
        return inspect();
    }
    let (started, clock) = (Instant::now(), (bytes > SMALL).then(processor_time));
    let caught = catch_unwind(AssertUnwindSafe(inspect));
    exchange.worked(started.elapsed());
    let (inspection, end) = if let Ok(mut inspection) = caught {
        // Time in which this thread did not run says nothing about the detectors.
        let time = clock.map_or(Duration::ZERO, |clock| processor_time().saturating_sub(clock));
        let run = inspection.take_run();
        run.panicked.iter().for_each(|_| metrics.error(&Kind::Panic));
        (inspection, End::Done(run, time))
    } else {
        metrics.error(&Kind::Panic);
        (Inspection::failed(Reason::InternalError), End::Panicked)
    };
    if load.breaker.note(bytes, left_out, end) {
        metrics.error(&Kind::InspectionOverrun);
    }
    inspection
}

/// Time that the processor spent on this thread.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
