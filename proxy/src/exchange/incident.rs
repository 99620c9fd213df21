//! Tells of what ended, refused or held up a connection or a request by the proxy's own limits: counted, and an event.
//!
//! Whoever makes an incident can make a million, so of each kind only a few a second are events; the next one says how
//! many were not. Never holds payload. Called where a timer or a limit runs out; never awaited.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use rasp_engine::Verdict;

use super::fields::Named;
use super::trace::Trace;
use super::{Connection, Exchange, masked};
use crate::event::{Action, Endpoint, Event, FindingInfo, HttpRequest, Severity, Unmapped, Url};
use crate::reason::{Kind, Timeout};
use crate::state::Shared;

/// Events of one kind in each second.
const MOST: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);

/// What was told of each kind. The kinds are a closed list, so this does not grow.
#[derive(Debug, Default)]
pub struct Incidents(Mutex<BTreeMap<&'static str, Tally>>);

#[derive(Debug)]
struct Tally {
    since: Instant,
    told: u32,
    suppressed: u64,
}

impl Incidents {
    /// How many of this kind were not told since the last one that was; `None` where this one is not told either.
    fn next(&self, id: &'static str, now: Instant) -> Option<u64> {
        let mut tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tallies.entry(id).or_insert(Tally { since: now, told: 0, suppressed: 0 });
        if now.duration_since(tally.since) >= SECOND {
            (tally.since, tally.told) = (now, 0);
        }
        if tally.told >= MOST {
            tally.suppressed += 1;
            return None;
        }
        tally.told += 1;
        Some(std::mem::take(&mut tally.suppressed))
    }
}

/// Whose incident it is.
struct Whose<'a> {
    client: Option<SocketAddr>,
    port: u16,
    exchange: Option<&'a Exchange>,
}

impl Shared {
    /// Something ended a connection, or held it up, before there was a request. `port` is the application's.
    pub fn incident(&self, kind: &Kind, client: Option<SocketAddr>, port: u16) {
        tell(self, kind, &Whose { client, port, exchange: None });
    }
}

impl Connection {
    /// Something ended this connection, or a stream of it.
    pub fn incident(&self, kind: &Kind) {
        self.shared.incident(kind, Some(self.peer), self.target.port());
    }
}

impl Exchange {
    /// Something ended this request or its response.
    pub fn incident(&self, kind: &Kind) {
        let Connection { shared, target, .. } = &*self.connection;
        let whose = Whose { client: Some(self.client), port: target.port(), exchange: Some(self) };
        tell(shared, kind, &whose);
    }
}

fn tell(shared: &Shared, kind: &Kind, whose: &Whose<'_>) {
    shared.metrics.error(kind);
    let Some(suppressed) = shared.incidents.next(kind.id(), Instant::now()) else { return };
    let made;
    let trace = if let Some(exchange) = whose.exchange {
        &exchange.trace
    } else {
        made = Trace::of(&HeaderMap::new(), Named::default());
        &made
    };
    let request = HttpRequest {
        http_method: whose.exchange.map_or("other", |exchange| masked::method(&exchange.method)).to_owned(),
        url: Url { path: whose.exchange.map(|exchange| masked::path(exchange.uri.path())) },
    };
    let policy = shared.policy.load_on(whose.port);
    let enforced = whose.exchange.is_none_or(Exchange::is_enforced);
    let identity = &shared.identity;
    let unmapped = Unmapped {
        request_id: trace.request_id().to_owned(),
        trace_id: whose.exchange.and_then(|_| trace.trace_id()).map(str::to_owned),
        pod: identity.pod.clone(),
        namespace: identity.namespace.clone(),
        workload: identity.workload.clone(),
        mode: policy.ruleset.effective().mode.in_share(enforced).as_str(),
        verdict: if is_the_applications(kind) { Verdict::Error } else { Verdict::Block }.as_str(),
        enforced: whose.exchange.filter(|exchange| exchange.is_spared()).map(|_| false),
        class: None,
        rule: kind.id(),
        location: None,
        confidence: None,
        exception: None,
        sample: None,
        policy_digest: policy.digest.clone(),
        policy_field: None,
        coverage: "none",
        suppressed: Some(suppressed).filter(|suppressed| *suppressed > 0),
    };
    let client = whose.client.map_or(Endpoint { ip: None, port: 0 }, Endpoint::from);
    let application = Endpoint { ip: None, port: whose.port };
    let mut event = Event::now(Action::Block, Severity::Low, request, (client, application), unmapped);
    event.finding_info = FindingInfo {
        uid: trace.request_id().to_owned(),
        title: title(kind).to_owned(),
        types: vec![kind.id()],
    };
    shared.events.send(event);
}

/// Whether no client is to blame.
fn is_the_applications(kind: &Kind) -> bool {
    matches!(kind, Kind::Timeout(Timeout::Connect | Timeout::ResponseHead | Timeout::StreamIdle))
}

fn title(kind: &Kind) -> &'static str {
    match kind {
        Kind::Timeout(timeout) => timeout.title(),
        Kind::Shed(shed) => shed.title(),
        Kind::Flood(_) => "the client sent too many frames that lead nowhere",
        Kind::Frame(_) => "a frame of a WebSocket is none, or over a limit",
        Kind::PortProtocol => "the port is declared to speak something else",
        Kind::ProxyProtocol => "the connection does not begin with a header of the PROXY protocol",
        Kind::RequestSyntax => "the connection does not begin with a request",
        Kind::Tls(_) => "there is no TLS with the client",
        _ => "the connection was ended",
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Incidents, MOST};

    #[test]
    fn of_each_kind_a_few_a_second_are_told_and_the_next_one_says_how_many_were_not() {
        let (incidents, start) = (Incidents::default(), Instant::now());
        let told = (0..1000).filter(|_| incidents.next("head_timeout", start).is_some()).count();
        assert_eq!(told, MOST as usize);
        assert_eq!(incidents.next("ping_timeout", start), Some(0), "another kind");
        let later = start + Duration::from_secs(1);
        assert_eq!(incidents.next("head_timeout", later), Some(1000 - u64::from(MOST)));
        assert_eq!(incidents.next("head_timeout", later), Some(0));
    }
}
