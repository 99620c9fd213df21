//! One request and its response, from top to bottom: read, inspect, decide, act, forward, record.
//!
//! Nothing reaches the application without a `Pass`, which only the engine makes. Called by hyper for every request
//! of a connection: one after the other with HTTP/1, many at once with HTTP/2.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, Uri};
use hyper::body::{Body as _, Incoming};
use rasp_engine::{Fields, Head, Inspection, Judgement, Outcome, Refusal};
use rasp_policy::api::{Mode, RawTarget};
use rasp_policy::class::Class;
use rasp_policy::precedence::EffectiveDetection;

use crate::connection::pace::Phase;
use crate::connection::{Target, fault};
use crate::guard::head::Facts;
use crate::listener::Place;
use crate::metrics::Requests;
use crate::policy::InForce;
use crate::reason::{BadResponse, Malformed};
use crate::state::Shared;

mod act;
pub mod body;
mod client;
mod content;
mod fields;
mod forward;
pub mod incident;
mod inspect;
mod late;
pub mod link;
pub mod masked;
mod messages;
pub mod read;
mod record;
mod share;
mod tee;
pub mod trace;
mod tunnel;
mod upgrade;

use body::{Broken, ResponseBody};
use fields::Named;
use late::Timer;
use link::Link;
use share::Bucket;
use trace::Trace;

/// Reads, inspects, decides, acts, forwards and records one request.
pub async fn serve(
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Broken> {
    let arrived = Instant::now();
    connection.phase.busy();
    let mut in_flight = connection.shared.drain.begin();
    let policy = connection.shared.policy.load_on(connection.target.port());
    let (mut parts, body) = request.into_parts();
    let named = Named::of(&parts.headers);
    let trace = Trace::of(&parts.headers, named);
    let facts = match connection.check(&policy, &mut parts, &body) {
        Ok(facts) => facts,
        Err(malformed) => {
            record::malformed(&connection, &policy, &trace, None, malformed);
            return Ok(act::malformed(connection, &trace, malformed, in_flight));
        }
    };
    let exchange = Arc::new(Exchange::new(connection, policy, trace, facts, (named, &parts)));
    if facts.type_repeated && !exchange.is_off() {
        if exchange.mode() == Mode::Block {
            record::malformed_body(&exchange, Malformed::ContentType);
            let connection = Arc::clone(&exchange.connection);
            return Ok(act::malformed(connection, &exchange.trace, Malformed::ContentType, in_flight));
        }
        record::tolerated(&exchange, Malformed::ContentType);
    }
    if facts.crumbs && (exchange.enforces() || exchange.connection.is_multiplexed()) {
        fields::join_cookies(&mut parts.headers);
    }
    // A probe of the kubelet has no body; what has one is judged.
    let probe = body.is_end_stream() && exchange.is_probe(&parts);
    let load = &exchange.connection.shared.load;
    let admitted = if probe { load.admit_probe(exchange.connection.peer.ip()) } else { load.admit() };
    match admitted {
        Ok(admitted) => in_flight.admit(admitted),
        Err(shed) => return Ok(act::shed(&exchange, shed, !body.is_end_stream(), in_flight)),
    }
    let judged = if probe {
        inspect::probe(&exchange, body)
    } else {
        match inspect::judge(&exchange, &parts, body).await {
            Ok(judged) => judged,
            Err(Broken::TimedOut(late)) => return Ok(act::body_timed_out(&exchange, late, in_flight)),
            Err(Broken::Malformed(malformed)) => {
                let connection = Arc::clone(&exchange.connection);
                return Ok(act::malformed(connection, &exchange.trace, malformed, in_flight));
            }
            Err(broken) => return Err(broken),
        }
    };
    if judged.whole {
        record::judged(&exchange, &judged.judgement);
    }
    match judged.judgement.outcome {
        Outcome::Refuse(refusal) => Ok(act::refuse(&exchange, refusal, judged.unread, in_flight)),
        Outcome::Forward(pass) => {
            record::added(&exchange, arrived.elapsed().saturating_sub(judged.waited));
            forward::forward(&exchange, pass, Request::from_parts(parts, judged.body), in_flight).await
        }
    }
}

/// What the exchanges of one connection share.
#[derive(Debug)]
pub struct Connection {
    /// What all connections share.
    pub shared: Arc<Shared>,
    /// What the client's side is doing.
    pub phase: Arc<Phase>,
    /// Who connected, or whom a header of the PROXY protocol names.
    pub peer: SocketAddr,
    /// The application.
    pub target: Target,
    requests: Requests,
    /// The peer in `X-Forwarded-For`.
    written: HeaderValue,
    /// The application's side.
    pub(crate) link: Link,
    response_timer: Mutex<Timer>,
    _place: Place,
}

impl Connection {
    /// A connection with the application's side open, or not yet.
    pub fn new(shared: Arc<Shared>, peer: SocketAddr, target: Target, place: Place, link: Link) -> Self {
        let requests = shared.metrics.requests(target.port());
        Self {
            shared,
            phase: Phase::new(),
            peer,
            target,
            requests,
            written: fields::written(peer),
            link,
            response_timer: Mutex::default(),
            _place: place,
        }
    }

    /// The connection is over: what was on its way to its task goes nowhere.
    pub(crate) fn end(&self) {
        if let Link::Http1(link) = &self.link {
            link.fresh.clear();
        }
    }

    /// What the guard of HTTP/1 said about a request, or what is checked of a stream of HTTP/2.
    fn check(&self, policy: &InForce, parts: &mut Parts, body: &Incoming) -> Result<Facts, Malformed> {
        let ruleset = &policy.ruleset;
        let facts = if self.is_multiplexed() {
            if ruleset.is_off() {
                return Ok(Facts { internal: true, ..Facts::default() }); // nobody looked for such fields
            }
            read::http2::check(parts, &self.shared.messages.request)?
        } else {
            read::note(self.phase.notes.take(), parts, body)?
        };
        if ruleset.is_off() {
            return Ok(facts);
        }
        if facts.oddities.encoded {
            if ruleset.effective().raw_target == RawTarget::Refuse {
                return Err(Malformed::RawTarget);
            }
            if self.is_multiplexed() {
                parts.uri = read::http2::encoded(&parts.uri)?; // the guard of HTTP/1 has done it
            }
        }
        Ok(facts)
    }

    /// Whether requests are streams of HTTP/2, of which no one may speak for the connection.
    fn is_multiplexed(&self) -> bool {
        matches!(self.link, Link::Http2(_))
    }

    /// The timer that limits how long responses are quiet.
    fn take_timer(&self) -> Timer {
        self.response_timer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep_timer(&self, timer: Timer) {
        *self.response_timer.lock().unwrap_or_else(PoisonError::into_inner) = timer;
    }
}

/// What every stage knows about one request.
#[derive(Debug)]
pub struct Exchange {
    connection: Arc<Connection>,
    policy: Arc<InForce>,
    trace: Trace,
    /// The client, as far as declared hops are believed; port 0 where only its address is known.
    client: SocketAddr,
    /// What says whether the request is in the share of `spec.enforcement`.
    bucket: Bucket,
    facts: Facts,
    named: Named,
    method: Method,
    uri: Uri,
    content_type: Option<HeaderValue>,
    content_encoding: Option<HeaderValue>,
    worked_nanos: AtomicU64,
    denied: OnceLock<Refusal>,
}

impl Exchange {
    fn new(
        connection: Arc<Connection>,
        policy: Arc<InForce>,
        trace: Trace,
        facts: Facts,
        (named, parts): (Named, &Parts),
    ) -> Self {
        let content = named.has(Named::CONTENT);
        let client = client::of(&parts.headers, connection.peer, &connection.shared.hops);
        let bucket = Bucket::of(&policy.ruleset.effective().enforcement, &parts.headers, client);
        Self {
            connection,
            policy,
            trace,
            client,
            bucket,
            facts,
            named,
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            content_type: if content { content::media_type(&parts.headers) } else { None },
            content_encoding: if content { content::encoding(&parts.headers) } else { None },
            worked_nanos: AtomicU64::new(0),
            denied: OnceLock::new(),
        }
    }

    /// The engine's view, with fields where the head is inspected.
    fn head<'a>(&'a self, fields: &'a dyn Fields) -> Head<'a> {
        Head {
            method: self.method.as_str(),
            target: self.uri.path_and_query().map_or("", PathAndQuery::as_str).as_bytes(),
            content_type: self.content_type.as_ref().map(HeaderValue::as_bytes),
            content_encoding: self.content_encoding.as_ref().map(HeaderValue::as_bytes),
            fields,
        }
    }

    /// The same under another policy: what a tunnel or a call goes on with when the policy changes.
    fn under(&self, policy: Arc<InForce>) -> Self {
        let share = &policy.ruleset.effective().enforcement;
        let bucket = self.bucket.under(&self.policy.ruleset.effective().enforcement, share, self.client);
        Self {
            connection: Arc::clone(&self.connection),
            policy,
            trace: self.trace.clone(),
            client: self.client,
            bucket,
            facts: self.facts,
            named: self.named,
            method: self.method.clone(),
            uri: self.uri.clone(),
            content_type: self.content_type.clone(),
            content_encoding: self.content_encoding.clone(),
            worked_nanos: AtomicU64::new(0),
            denied: OnceLock::new(),
        }
    }

    /// The response is over; what came behind it goes nowhere.
    fn ended(&self) {
        if let Link::Http1(link) = &self.connection.link
            && link.awaited.was_followed()
        {
            record::response(self, BadResponse::Unasked);
        }
    }

    /// The response ended before its end: the client must not take it for a whole one.
    fn broke_off(&self, error: &hyper::Error) {
        self.connection.phase.broken();
        if let Some(bad) = fault(error) {
            record::response(self, bad);
        }
    }

    fn is_probe(&self, parts: &Parts) -> bool {
        let Connection { shared, target, .. } = &*self.connection;
        read::is_probe(parts, target.port(), &shared.probes)
    }

    /// Whether messages go both ways for as long as both sides like: a call of gRPC, which HTTP/1 cannot carry. There the
    /// type would only buy a slow client time.
    fn streams(&self) -> bool {
        const GRPC: &[u8] = b"application/grpc";
        let starts = |value: &HeaderValue| {
            value.as_bytes().get(..GRPC.len()).is_some_and(|start| start.eq_ignore_ascii_case(GRPC))
        };
        self.connection.is_multiplexed() && self.content_type.as_ref().is_some_and(starts)
    }

    /// A message of the call is refused, whatever became of its response by then.
    fn deny(&self, refusal: Refusal) {
        let _ = self.denied.set(refusal); // the first one ends it
    }

    fn denied(&self) -> Option<Refusal> {
        self.denied.get().copied()
    }

    /// Whether Block is Block here: outside of the share of `spec.enforcement` everything is as in Monitor.
    fn is_enforced(&self) -> bool {
        self.bucket.is_in(&self.policy.ruleset.effective().enforcement)
    }

    /// Whether anything may be refused for what it holds, so that it waits until it is judged.
    fn enforces(&self) -> bool {
        self.policy.ruleset.enforces() && self.is_enforced()
    }

    /// Whether it is not refused although it would be, were it in the share.
    fn is_spared(&self) -> bool {
        !self.is_enforced() && self.policy.ruleset.enforces()
    }

    /// The mode of everything that is not an attack class.
    fn mode(&self) -> Mode {
        self.policy.ruleset.effective().mode.in_share(self.is_enforced())
    }

    /// Settings of a class.
    fn detection(&self, class: Class) -> EffectiveDetection {
        self.policy.ruleset.effective().detection(class).in_share(self.is_enforced())
    }

    fn decide(&self, inspection: Inspection) -> Judgement {
        self.policy.ruleset.decide_in(inspection, self.is_enforced())
    }

    fn is_off(&self) -> bool {
        self.policy.ruleset.is_off()
    }

    fn worked(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.worked_nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}
