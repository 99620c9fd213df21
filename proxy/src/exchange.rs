//! One request and its response, from top to bottom: read, inspect, decide, act, forward, record.
//!
//! Nothing reaches the application without a `Pass`, which only the engine makes. Called by hyper for every request
//! of a connection: one after the other with HTTP/1, many at once with HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, Uri};
use hyper::body::{Body as _, Incoming};
use rasp_engine::{Head, Outcome};

use crate::connection::Target;
use crate::connection::pace::Phase;
use crate::listener::Place;
use crate::metrics::Requests;
use crate::policy::InForce;
use crate::state::Shared;

mod act;
pub mod body;
mod content;
mod fields;
mod forward;
mod inspect;
pub mod link;
mod masked;
mod read;
mod record;
mod tee;
pub mod trace;
mod upgrade;

use body::{Broken, ResponseBody};
use link::Link;
use trace::Trace;

/// Reads, inspects, decides, acts, forwards and records one request.
pub async fn serve(
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Broken> {
    let arrived = Instant::now();
    connection.phase.busy();
    let in_flight = connection.shared.drain.begin();
    let policy = connection.shared.policy.load();
    let (mut parts, body) = request.into_parts();
    let trace = Trace::of(&parts.headers);

    if !policy.ruleset.is_off()
        && let Err(malformed) = read::check(&mut parts)
    {
        return Ok(act::malformed(connection, &trace, malformed, in_flight));
    }
    let exchange = Arc::new(Exchange::new(connection, policy, trace, &parts));
    // A probe of the kubelet has no body; what has one is judged.
    let judged = if body.is_end_stream() && exchange.is_probe(&parts) {
        inspect::probe(&exchange, body)
    } else {
        match inspect::judge(&exchange, &parts, body).await {
            Ok(judged) => judged,
            Err(Broken::TimedOut) => return Ok(act::body_timed_out(&exchange, in_flight)),
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
    /// The client.
    pub peer: SocketAddr,
    /// The application.
    pub target: Target,
    requests: Requests,
    link: Link,
    upgraded: AtomicBool,
    _place: Place,
}

impl Connection {
    /// A connection with the application's side open, or not yet.
    pub fn new(shared: Arc<Shared>, peer: SocketAddr, target: Target, place: Place, link: Link) -> Self {
        let requests = shared.metrics.requests(target.port());
        let upgraded = AtomicBool::new(false);
        Self { shared, phase: Phase::new(), peer, target, requests, link, upgraded, _place: place }
    }

    /// Whether the connection has left HTTP.
    pub fn is_upgraded(&self) -> bool {
        self.upgraded.load(Ordering::Acquire)
    }

    fn switched(&self) {
        self.upgraded.store(true, Ordering::Release);
    }

    /// Whether requests are streams of HTTP/2, of which no one may speak for the connection.
    fn is_multiplexed(&self) -> bool {
        matches!(self.link, Link::Http2(_))
    }
}

/// What every stage knows about one request.
#[derive(Debug)]
pub struct Exchange {
    connection: Arc<Connection>,
    policy: Arc<InForce>,
    trace: Trace,
    method: Method,
    uri: Uri,
    content_type: Option<HeaderValue>,
    content_encoding: Option<HeaderValue>,
    worked_nanos: AtomicU64,
}

impl Exchange {
    fn new(connection: Arc<Connection>, policy: Arc<InForce>, trace: Trace, parts: &Parts) -> Self {
        Self {
            connection,
            policy,
            trace,
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            content_type: content::media_type(&parts.headers),
            content_encoding: content::encoding(&parts.headers),
            worked_nanos: AtomicU64::new(0),
        }
    }

    /// The engine's view.
    fn head(&self) -> Head<'_> {
        Head {
            method: self.method.as_str(),
            target: self.uri.path_and_query().map_or("", PathAndQuery::as_str).as_bytes(),
            content_type: self.content_type.as_ref().map(HeaderValue::as_bytes),
            content_encoding: self.content_encoding.as_ref().map(HeaderValue::as_bytes),
        }
    }

    fn is_probe(&self, parts: &Parts) -> bool {
        let Connection { shared, target, .. } = &*self.connection;
        read::is_probe(parts, target.port(), &shared.probes)
    }

    fn is_off(&self) -> bool {
        self.policy.ruleset.is_off()
    }

    fn worked(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.worked_nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}
