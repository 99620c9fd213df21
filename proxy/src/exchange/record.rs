//! Tells what happened: metrics for every request, an event for every finding and every refusal. Never awaited.

use std::net::SocketAddr;
use std::time::Duration;

use rasp_engine::{Confidence, Coverage, Excepted, Finding, Judgement, Outcome, Part, Refusal, Verdict, Why};

use super::trace::Trace;
use super::{Connection, Exchange, masked};
use crate::event::{Action, Endpoint, Event, FindingInfo, HttpRequest, Location, Severity, Unmapped, Url};
use crate::policy::InForce;
use crate::reason::{BadResponse, Kind, Malformed};

/// Coverage of what was refused before anything looked into it.
const UNREAD: &str = "none";

/// Records the judgement over a whole request.
pub fn judged(exchange: &Exchange, judgement: &Judgement) {
    exchange.connection.requests.count(judgement.verdict);
    if let Some(trial) = exchange.policy.trial() {
        trial.judged(judgement, exchange.is_enforced());
    }
    message(exchange, judgement);
}

/// Records the judgement over a message of a WebSocket, which is no request.
pub fn message(exchange: &Exchange, judgement: &Judgement) {
    let connection = &exchange.connection;
    let metrics = &connection.shared.metrics;
    let worked = exchange.worked_nanos.swap(0, std::sync::atomic::Ordering::Relaxed);
    if worked > 0 {
        metrics.inspected(Duration::from_nanos(worked));
    }
    if let Coverage::Partial(reason) = judgement.coverage {
        metrics.partial(reason);
    }
    for (index, finding) in judgement.findings.iter().enumerate() {
        let action = action(exchange, judgement, finding);
        metrics.detection(finding.class, action, exchange.detection(finding.class).mode);
        connection.shared.events.send(detection(exchange, judgement, index, finding, action));
    }
    let first = judgement.findings.len();
    for (index, Excepted { finding, exception }) in judgement.excepted.iter().enumerate() {
        metrics.detection(finding.class, Action::Log, exchange.detection(finding.class).mode);
        metrics.excepted(exception);
        let mut event = detection(exchange, judgement, first + index, finding, Action::Log);
        event.unmapped.exception = Some(exception.to_string());
        connection.shared.events.send(event);
    }
    if let Outcome::Refuse(refusal) = &judgement.outcome
        && refusal.why != Why::Detected
    {
        connection.shared.events.send(refused(exchange, judgement, refusal.why));
    }
}

/// Records a request that is refused whatever the policy says: it is ambiguous, or breaks a limit. `seen` is what hyper
/// read of it, where it did.
pub fn malformed(
    connection: &Connection,
    policy: &InForce,
    trace: &Trace,
    seen: Option<&Exchange>,
    malformed: Malformed,
) {
    tracing::debug!(reason = malformed.id(), request_id = trace.request_id(), "request refused");
    odd((connection, policy, trace), seen, malformed, (Verdict::Block, Action::Block));
}

/// Records a request that Block refuses whatever it holds, and that goes on.
pub fn tolerated(exchange: &Exchange, reason: Malformed) {
    let Exchange { connection, policy, trace, .. } = exchange;
    odd((connection, policy, trace), Some(exchange), reason, (Verdict::WouldBlock, Action::Log));
}

fn odd(
    (connection, policy, trace): (&Connection, &InForce, &Trace),
    seen: Option<&Exchange>,
    malformed: Malformed,
    (verdict, action): (Verdict, Action),
) {
    connection.shared.metrics.error(&Kind::Request(malformed));
    let request = HttpRequest {
        http_method: seen.map_or("other", |exchange| masked::method(&exchange.method)).to_owned(),
        url: Url { path: seen.map(|exchange| masked::path(exchange.uri.path())) },
    };
    let unmapped = match seen {
        Some(exchange) => unmapped_of(exchange, verdict, UNREAD),
        None => unmapped(connection, policy, trace, verdict, UNREAD),
    };
    let client = seen.map_or(connection.peer, |exchange| exchange.client);
    let mut event = event_of(connection, client, (action, Severity::Low), request, unmapped);
    event.finding_info = FindingInfo {
        uid: trace.request_id().to_owned(),
        title: malformed.title().to_owned(),
        types: vec![malformed.id()],
    };
    event.unmapped.rule = malformed.id();
    connection.shared.events.send(event);
}

/// Records that a request is refused for its body, or for what is said of it, of which the head was not.
pub fn malformed_body(exchange: &Exchange, reason: Malformed) {
    malformed(&exchange.connection, &exchange.policy, &exchange.trace, Some(exchange), reason);
}

/// Records the time a request spent on its way through the proxy.
pub fn added(exchange: &Exchange, time: Duration) {
    exchange.connection.shared.metrics.added(time);
}

/// A finding blocks where its class is in Block and it is sure enough; the others of the request are only reported.
fn action(exchange: &Exchange, judgement: &Judgement, finding: &Finding) -> Action {
    let settings = exchange.detection(finding.class);
    let refused = matches!(&judgement.outcome, Outcome::Refuse(refusal) if refusal.why == Why::Detected);
    let blocks =
        settings.mode == rasp_policy::api::Mode::Block && finding.confidence >= settings.min_confidence;
    if refused && blocks { Action::Block } else { Action::Log }
}

fn detection(
    exchange: &Exchange,
    judgement: &Judgement,
    index: usize,
    finding: &Finding,
    action: Action,
) -> Event {
    let mut event = event(exchange, judgement, action, severity(finding.confidence));
    event.finding_info = FindingInfo {
        uid: format!("{}-{index}", exchange.trace.request_id()),
        title: finding.reason.to_owned(),
        types: vec![finding.class.as_str()],
    };
    event.decided_by(exchange.policy.deciders.class(finding.class).map(AsRef::as_ref));
    event.unmapped.mode = exchange.detection(finding.class).mode.as_str();
    event.unmapped.class = Some(finding.class.as_str());
    event.unmapped.rule = finding.rule.0;
    event.unmapped.confidence = Some(finding.confidence.as_str());
    event.unmapped.sample = Some(finding.sample.clone());
    event.unmapped.location = Some(Location {
        part: finding.location.part.as_str(),
        name: finding.location.name.clone(),
        offset: finding.location.offset,
        length: finding.location.length,
        encodings: finding.location.encodings.iter().collect(),
    });
    event
}

fn refused(exchange: &Exchange, judgement: &Judgement, why: Why) -> Event {
    let mut event = event(exchange, judgement, Action::Block, Severity::Low);
    event.finding_info = FindingInfo {
        uid: exchange.trace.request_id().to_owned(),
        title: match why {
            Why::BodyTooLarge => "the body is longer than the inspection limit".to_owned(),
            Why::NotJudged | Why::Detected => "the request could not be judged".to_owned(),
        },
        types: vec![why.as_str()],
    };
    event.decided_by(exchange.policy.deciders.mode().map(AsRef::as_ref));
    event.unmapped.rule = why.as_str();
    event
}

/// Records that the response to a request is not passed on, or not to its end.
pub fn response(exchange: &Exchange, bad: BadResponse) {
    let refusal = Refusal { status: 502, why: Why::NotJudged };
    let judgement = Judgement {
        verdict: Verdict::Error,
        findings: Vec::new(),
        excepted: Vec::new(),
        coverage: Coverage::Full,
        outcome: Outcome::Refuse(refusal),
    };
    let mut event = event(exchange, &judgement, Action::Block, Severity::Low);
    event.finding_info = FindingInfo {
        uid: exchange.trace.request_id().to_owned(),
        title: "the application's response is not one that everybody reads in the same way".to_owned(),
        types: vec![bad.id()],
    };
    event.unmapped.rule = bad.id();
    exchange.connection.shared.events.send(event);
}

fn severity(confidence: Confidence) -> Severity {
    match confidence {
        Confidence::Low => Severity::Low,
        Confidence::Medium => Severity::Medium,
        Confidence::High => Severity::High,
        Confidence::Certain => Severity::Critical,
    }
}

fn event(exchange: &Exchange, judgement: &Judgement, action: Action, severity: Severity) -> Event {
    let coverage = match judgement.coverage {
        Coverage::Full => "full",
        Coverage::Partial(reason) => reason.id(),
    };
    // Of several findings one may be in the path that another one's event would show.
    let excepted = judgement.excepted.iter().map(|excepted| &excepted.finding);
    let in_path =
        judgement.findings.iter().chain(excepted).any(|finding| finding.location.part == Part::Path);
    let path = (!in_path).then(|| masked::path(exchange.uri.path()));
    let request = HttpRequest { http_method: masked::method(&exchange.method).to_owned(), url: Url { path } };
    let unmapped = unmapped_of(exchange, judgement.verdict, coverage);
    event_of(&exchange.connection, exchange.client, (action, severity), request, unmapped)
}

fn unmapped_of(exchange: &Exchange, verdict: Verdict, coverage: &'static str) -> Unmapped {
    let Exchange { connection, policy, trace, .. } = exchange;
    Unmapped {
        mode: exchange.mode().as_str(),
        enforced: exchange.is_spared().then_some(false),
        ..unmapped(connection, policy, trace, verdict, coverage)
    }
}

fn unmapped(
    connection: &Connection,
    policy: &InForce,
    trace: &Trace,
    verdict: Verdict,
    coverage: &'static str,
) -> Unmapped {
    let identity = &connection.shared.identity;
    Unmapped {
        request_id: trace.request_id().to_owned(),
        trace_id: trace.trace_id().map(str::to_owned),
        pod: identity.pod.clone(),
        namespace: identity.namespace.clone(),
        workload: identity.workload.clone(),
        mode: policy.ruleset.effective().mode.as_str(),
        verdict: verdict.as_str(),
        enforced: None,
        class: None,
        rule: "",
        location: None,
        confidence: None,
        exception: None,
        sample: None,
        policy_digest: policy.digest.clone(),
        policy_field: None,
        coverage,
        suppressed: None,
    }
}

fn event_of(
    connection: &Connection,
    client: SocketAddr,
    (action, severity): (Action, Severity),
    request: HttpRequest,
    unmapped: Unmapped,
) -> Event {
    let application = Endpoint { ip: None, port: connection.target.port() };
    Event::now(action, severity, request, (client.into(), application), unmapped)
}
