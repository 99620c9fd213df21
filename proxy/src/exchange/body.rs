//! Bodies on their way through: streamed, held or copied, never more of them in memory than their window.
//!
//! A request body may be neither quiet nor slow for long; a response body may be quiet for longer, since event streams
//! are. Made by `inspect` and `forward`, polled by hyper.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::oneshot;

use super::fields;
use super::late::Patience;
use super::messages::Messages;
use super::tee::Tee;
use super::{Connection, Exchange, act, record};
use crate::connection::wire::RefusedBody;
use crate::drain::InFlight;
use crate::guard::awaited::Awaited;
use crate::reason::{Kind, Malformed, Timeout};

/// Why an exchange ended without a response: a request body ended early, or the application left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Nothing came for too long.
    #[error("no more of a body came in time: {}", .0.id())]
    TimedOut(Timeout),
    /// The client broke off.
    #[error("the client broke off its body")]
    Client,
    /// The client sent something that is no body.
    #[error("the body is refused: {}", .0.id())]
    Malformed(Malformed),
    /// A message of a call was refused, on which its exchange has the answer.
    #[error("a message of the call is refused")]
    Refused,
    /// The application closed a connection that was kept alive while a request was on its way, or broke off its
    /// response.
    #[error("the application closed the connection")]
    Application,
    /// The application reset the stream of HTTP/2, or never looked at it.
    #[error("the application reset the stream: {0}")]
    Reset(h2::Reason),
}

impl Broken {
    /// What the other side of HTTP/2 is told (RFC 9113 section 7).
    pub fn reason(self) -> h2::Reason {
        match self {
            Self::TimedOut(_) | Self::Client | Self::Refused => h2::Reason::CANCEL,
            Self::Malformed(_) => h2::Reason::PROTOCOL_ERROR,
            Self::Application => h2::Reason::INTERNAL_ERROR,
            Self::Reset(reason) => reason,
        }
    }
}

/// What became of a request body, for those who no longer hold it.
#[derive(Clone, Debug, Default)]
pub struct Fate(Option<Arc<AtomicU8>>); // none for a body that was there from the start

const FINISHED: u8 = 1;
const IDLE: u8 = 2;
const SLOW: u8 = 3;
const BROKEN: u8 = 4;
const HELD: u8 = 5;
const REFUSED: u8 = 6;
/// And the place of the reason in the list of them.
const MALFORMED: u8 = 7;

impl Fate {
    fn open() -> Self {
        Self(Some(Arc::default()))
    }

    fn set(&self, fate: u8) {
        if let Some(shared) = &self.0 {
            shared.store(fate, Ordering::Release);
        }
    }

    fn get(&self) -> u8 {
        self.0.as_ref().map_or(FINISHED, |shared| shared.load(Ordering::Acquire))
    }

    fn finished(&self) {
        self.set(FINISHED);
    }

    fn broke(&self, broken: Broken) {
        let fate = match broken {
            Broken::TimedOut(Timeout::BodyRate) => SLOW,
            Broken::TimedOut(Timeout::HeldBody) => HELD,
            Broken::TimedOut(_) => IDLE,
            Broken::Refused => REFUSED,
            Broken::Client | Broken::Application | Broken::Reset(_) => BROKEN,
            Broken::Malformed(malformed) => MALFORMED + malformed as u8,
        };
        self.set(fate);
    }

    /// Whether all of it was read.
    pub fn is_finished(&self) -> bool {
        self.get() == FINISHED
    }

    /// How it broke, if it did.
    pub fn broken(&self) -> Option<Broken> {
        match self.get() {
            IDLE => Some(Broken::TimedOut(Timeout::BodyIdle)),
            SLOW => Some(Broken::TimedOut(Timeout::BodyRate)),
            BROKEN => Some(Broken::Client),
            HELD => Some(Broken::TimedOut(Timeout::HeldBody)),
            REFUSED => Some(Broken::Refused),
            fate => {
                let place = fate.checked_sub(MALFORMED)?;
                Malformed::ALL.get(usize::from(place)).map(|malformed| Broken::Malformed(*malformed))
            }
        }
    }
}

/// A client's body with a time limit between two reads, and a least rate.
#[derive(Debug)]
pub struct Timed {
    body: Incoming,
    exchange: Arc<Exchange>,
    patience: Patience,
}

impl Timed {
    /// Limits the body of a request. One that streams, as those of gRPC do, may be as quiet as a response.
    pub fn new(body: Incoming, exchange: &Arc<Exchange>, streams: bool) -> Self {
        let timers = &exchange.connection.shared.timers;
        let patience = if streams {
            Patience::new(timers.stream_idle, Timeout::StreamIdle, None)
        } else {
            Patience::new(timers.body_idle, Timeout::BodyIdle, None).at_rate(timers.body_rate)
        };
        Self { body, exchange: Arc::clone(exchange), patience }
    }

    /// Why hyper has no more of the body.
    fn broken(&self, error: &hyper::Error) -> Broken {
        let Some(RefusedBody(malformed)) = refused(error) else { return Broken::Client };
        record::malformed_body(&self.exchange, malformed);
        Broken::Malformed(malformed)
    }

    /// The next frame of a call, whose messages are judged one by one.
    fn poll_message(
        &mut self,
        messages: &mut Messages,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            if let Some(trailers) = messages.trailers.take() {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            let Poll::Ready(next) = self.poll_next(context) else {
                let late = messages.poll_late(context);
                return late.map(|()| Some(Err(Broken::TimedOut(Timeout::HeldBody))));
            };
            let (ready, ends) = match next {
                Some(Err(broken)) => return Poll::Ready(Some(Err(broken))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => (messages.take(&data), false),
                    Err(frame) => {
                        messages.trailers = frame.into_trailers().ok();
                        (messages.finish(), false)
                    }
                },
                None => (messages.finish(), true),
            };
            match ready {
                Err(broken) => return Poll::Ready(Some(Err(broken))),
                Ok(ready) if !ready.is_empty() => return Poll::Ready(Some(Ok(Frame::data(ready)))),
                Ok(_) if ends => return Poll::Ready(None),
                Ok(_) => {}
            }
        }
    }

    /// The next frame.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => {
                let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
                self.patience.came(data.map_or(0, Bytes::len));
                Poll::Ready(frame.map(|frame| frame.map(trimmed).map_err(|error| self.broken(&error))))
            }
            Poll::Pending => self.patience.poll(context).map(|late| Some(Err(Broken::TimedOut(late)))),
        }
    }
}

fn trimmed(mut frame: Frame<Bytes>) -> Frame<Bytes> {
    if let Some(trailers) = frame.trailers_mut() {
        fields::trim_trailers(trailers);
    }
    frame
}

/// What the guard says about a body, from inside the error that hyper made of it.
fn refused(error: &hyper::Error) -> Option<RefusedBody> {
    let io = std::error::Error::source(error)?.downcast_ref::<std::io::Error>()?;
    io.get_ref()?.downcast_ref().copied()
}

/// What is sent to the application.
#[derive(Debug, Default)]
pub struct RequestBody {
    ahead: Bytes,
    // What few requests have is in boxes: all of this is moved a dozen times on its way.
    rest: Option<Box<Timed>>,
    trailers: Option<Box<HeaderMap>>,
    tee: Option<Box<Tee>>,
    messages: Option<Box<Messages>>,
    fate: Fate,
    // Dropping it tells the exchange that the request was sent.
    sent: Option<oneshot::Sender<()>>,
    gate: Option<Gate>,
    awaited: Option<Arc<Awaited>>,
}

/// What must come before the first byte of a body is asked for.
struct Gate(Pin<Box<dyn Future<Output = ()> + Send>>);

impl std::fmt::Debug for Gate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Gate")
    }
}

impl RequestBody {
    /// A body that was read completely.
    pub fn held(ahead: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self { ahead, trailers: trailers.map(Box::new), ..Self::default() }
    }

    /// A body that is passed on as it comes, after what was already read of it.
    pub fn streamed(ahead: Bytes, rest: Timed) -> Self {
        Self { ahead, rest: Some(Box::new(rest)), fate: Fate::open(), ..Self::default() }
    }

    /// A body that is passed on as it comes, and copied.
    pub fn copied(rest: Timed, tee: Tee) -> Self {
        Self { rest: Some(Box::new(rest)), tee: Some(Box::new(tee)), fate: Fate::open(), ..Self::default() }
    }

    /// The messages of a call, each passed on when it was judged.
    pub fn called(rest: Timed, messages: Messages) -> Self {
        Self {
            rest: Some(Box::new(rest)),
            messages: Some(Box::new(messages)),
            fate: Fate::open(),
            ..Self::default()
        }
    }

    /// Resolves when the body was sent or given up; `None` where there is nothing to wait for.
    pub fn sent(&mut self) -> Option<oneshot::Receiver<()>> {
        self.rest.as_ref()?;
        let (sender, receiver) = oneshot::channel();
        self.sent = Some(sender);
        Some(receiver)
    }

    /// Asks the client for none of it until then; of what was read already nothing waits.
    pub fn wait(&mut self, gate: impl Future<Output = ()> + Send + 'static) {
        if self.rest.is_some() && self.ahead.is_empty() {
            self.gate = Some(Gate(Box::pin(gate)));
        }
    }

    /// Tells when the last of it was handed over.
    pub fn tell(&mut self, awaited: &Arc<Awaited>) {
        self.awaited = self.rest.is_some().then(|| Arc::clone(awaited));
    }

    /// What becomes of it.
    pub fn fate(&self) -> Fate {
        self.fate.clone()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    // hyper looks for this type to know the code it resets a stream with.
    type Error = h2::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let this = self.get_mut();
        if let Some(gate) = &mut this.gate {
            std::task::ready!(gate.0.as_mut().poll(context));
            this.gate = None;
        }
        if !this.ahead.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.ahead)))));
        }
        let Some(rest) = &mut this.rest else {
            return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(*trailers))));
        };
        let polled = match &mut this.messages {
            Some(messages) => rest.poll_message(messages, context),
            None => rest.poll_next(context),
        };
        let mut ends = false;
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let is_passed = this.messages.as_ref().is_none_or(|messages| messages.is_empty());
                ends = rest.body.is_end_stream() && is_passed || frame.is_trailers();
                if let (Some(tee), Some(data)) = (&mut this.tee, frame.data_ref()) {
                    tee.copy(data);
                }
            }
            Poll::Ready(Some(Err(broken))) => this.fate.broke(*broken),
            Poll::Ready(None) => {
                ends = true;
                this.tee = None;
            }
            Poll::Pending => {}
        }
        if ends {
            this.fate.finished();
            if let Some(awaited) = &this.awaited {
                awaited.sent();
            }
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(|broken| broken.reason().into())))
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty()
            && self.trailers.is_none()
            && self.messages.as_ref().is_none_or(|messages| messages.is_empty())
            && self.rest.as_ref().is_none_or(|rest| rest.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.messages.as_ref().map_or(0, |messages| messages.waiting());
        let ahead = (self.ahead.len() + held) as u64;
        let rest = self.rest.as_ref().map_or(SizeHint::with_exact(0), |rest| rest.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(ahead));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(ahead));
        }
        hint
    }
}

/// What is sent to the client. The exchange is over when it is dropped.
#[derive(Debug)]
pub struct ResponseBody {
    source: Source,
    // The length is stated by a field although there is no body: HEAD, 304.
    length_stated: bool,
    connection: Arc<Connection>,
    in_flight: Option<InFlight>,
}

#[derive(Debug)]
enum Source {
    Own(Option<Bytes>),
    Application(Incoming, Arc<Exchange>, Patience),
}

impl ResponseBody {
    /// The proxy's own answer.
    pub fn own(bytes: Bytes, connection: Arc<Connection>, in_flight: InFlight) -> Self {
        let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
        Self { source: Source::Own(bytes), length_stated: false, connection, in_flight: Some(in_flight) }
    }

    /// The same answer without a body.
    #[must_use]
    pub fn emptied(mut self) -> Self {
        self.source = Source::Own(None);
        self
    }

    /// The application's answer.
    pub fn application(
        body: Incoming,
        length_stated: bool,
        exchange: Arc<Exchange>,
        in_flight: InFlight,
    ) -> Self {
        let connection = Arc::clone(&exchange.connection);
        let idle = connection.shared.timers.stream_idle;
        let patience = Patience::new(idle, Timeout::StreamIdle, connection.take_timer());
        let source = Source::Application(body, exchange, patience);
        Self { source, length_stated, connection, in_flight: Some(in_flight) }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if let Source::Application(_, exchange, patience) = &mut self.source {
            exchange.ended();
            self.connection.keep_timer(patience.take_timer());
        }
        self.connection.phase.idle(self.in_flight.take());
    }
}

/// Why a response ends before its end. hyper looks for the cause, to know the code it resets a stream of HTTP/2 with.
#[derive(Debug, thiserror::Error)]
pub enum Cut {
    /// The application broke off.
    #[error("the application broke off its response")]
    Application(#[source] hyper::Error),
    /// Nothing came for too long.
    #[error("no more of a response came in time: {}", .0.id())]
    Late(Timeout),
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        match &mut this.source {
            Source::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Application(body, exchange, patience) => match Pin::new(body).poll_frame(context) {
                Poll::Ready(Some(Err(_))) if exchange.denied().is_some() => {
                    let trailers = exchange.denied().map(act::denied).unwrap_or_default();
                    exchange.ended();
                    this.source = Source::Own(None);
                    Poll::Ready(Some(Ok(Frame::trailers(trailers))))
                }
                Poll::Ready(frame) => {
                    patience.came(0);
                    if let Some(Err(error)) = &frame {
                        exchange.broke_off(error);
                    }
                    Poll::Ready(frame.map(|frame| frame.map(trimmed).map_err(Cut::Application)))
                }
                Poll::Pending => patience.poll(context).map(|late| {
                    exchange.incident(&Kind::Timeout(late));
                    Some(Err(Cut::Late(late)))
                }),
            },
        }
    }

    /// hyper drops `content-length` of a response that it takes for empty, so it must not take it for that.
    fn is_end_stream(&self) -> bool {
        !self.length_stated
            && match &self.source {
                Source::Own(bytes) => bytes.is_none(),
                Source::Application(body, ..) => body.is_end_stream(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            _ if self.length_stated => SizeHint::new(),
            Source::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Source::Application(body, ..) => body.size_hint(),
        }
    }
}
