//! Judges requests in this process, with the policy that is in force where nobody wrote one.

use std::time::{Duration, Instant};

use rasp_engine::{Body, BodyPlan, Effective, Finding, Head, Outcome, Ruleset};

use crate::corpus::{Record, Request};

/// What the engine says about a request.
#[derive(Debug)]
pub struct Judged {
    /// Whether Block refuses it.
    pub refused: bool,
    /// The evidence.
    pub findings: Vec<Finding>,
    /// Time of the engine alone.
    pub took: Duration,
}

/// Judges each; `None` for those that are bytes and not requests.
pub fn judge(records: &[Record]) -> anyhow::Result<Vec<Option<Judged>>> {
    let ruleset = Ruleset::build(&Effective::builtin_blocking())?;
    records.iter().map(|record| Ok(record.request()?.map(|request| one(&ruleset, &request)))).collect()
}

fn one(ruleset: &Ruleset, request: &Request) -> Judged {
    let head = Head {
        method: &request.method,
        target: &request.target,
        content_type: request.field("content-type"),
        content_encoding: request.field("content-encoding"),
        fields: &request.fields.as_slice(),
    };
    let started = Instant::now();
    let mut inspection = ruleset.inspect_head(&head);
    let body = match ruleset.body_plan(&head) {
        _ if request.body.is_empty() => Body::Empty,
        BodyPlan::Skip => Body::Opaque,
        BodyPlan::Window(limit) | BodyPlan::Messages(limit) => match request.body.get(..limit) {
            Some(window) if request.body.len() > limit => Body::Truncated(window),
            _ => Body::Complete(&request.body),
        },
    };
    ruleset.inspect_body(&head, body, &mut inspection);
    let judgement = ruleset.decide(inspection);
    let took = started.elapsed();
    let refused = matches!(judgement.outcome, Outcome::Refuse(_));
    Judged { refused, findings: judgement.findings, took }
}
