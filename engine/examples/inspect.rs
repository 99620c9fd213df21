//! Judges requests from standard input, one JSON object a line, with the built-in policy in Block, and prints one JSON
//! object a line. For trying rules and for measuring them against a corpus:
//!
//! ```text
//! echo '{"id":"1","method":"GET","uri":"/?q=1%27+or+1=1--","headers":{}}' | cargo run -p rasp-engine --example inspect
//! ```
//!
//! Input: `id`, `method`, `uri`, `headers` (name to text or list), `body` (text). Output: `id`, `verdict`, `coverage`,
//! `work`, `findings` with rule, confidence, part, name and masked sample.

use std::io::{BufRead, Write};

use anyhow::Context as _;
use rasp_engine::{Body, BodyPlan, Coverage, Effective, Head, Ruleset};
use serde_json::{Value, json};

fn main() -> anyhow::Result<()> {
    let ruleset = Ruleset::build(&Effective::builtin_blocking())?;
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?).context("read a request")?;
        writeln!(output, "{}", judge(&ruleset, &request))?;
    }
    Ok(())
}

fn judge(ruleset: &Ruleset, request: &Value) -> Value {
    let text = |key: &str| request.get(key).and_then(Value::as_str).unwrap_or_default();
    let fields: Vec<(&str, &str)> = request
        .get("headers")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .flat_map(|(name, value)| {
            let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            values.iter().filter_map(move |value| Some((name.as_str(), value.as_str()?)))
        })
        .collect();
    let head = Head {
        method: text("method"),
        target: text("uri").as_bytes(),
        content_type: header(request, "content-type"),
        content_encoding: header(request, "content-encoding"),
        fields: &fields.as_slice(),
    };
    let body = text("body").as_bytes();
    let body = match ruleset.body_plan(&head) {
        _ if body.is_empty() => Body::Empty,
        BodyPlan::Skip => Body::Opaque,
        BodyPlan::Window(limit) | BodyPlan::Messages(limit) => {
            body.get(..limit).map_or(Body::Complete(body), Body::Truncated)
        }
    };
    let mut inspection = ruleset.inspect_head(&head);
    ruleset.inspect_body(&head, body, &mut inspection);
    let work = inspection.work();
    let judgement = ruleset.decide(inspection);
    let findings: Vec<Value> = judgement
        .findings
        .iter()
        .map(|finding| {
            json!({
                "rule": finding.rule.0,
                "confidence": finding.confidence.as_str(),
                "part": finding.location.part.as_str(),
                "name": finding.location.name,
                "sample": finding.sample,
            })
        })
        .collect();
    let coverage = match judgement.coverage {
        Coverage::Full => "full",
        Coverage::Partial(reason) => reason.id(),
    };
    json!({
        "id": request.get("id"),
        "verdict": judgement.verdict.as_str(),
        "coverage": coverage,
        "work": work,
        "findings": findings,
    })
}

fn header<'a>(request: &'a Value, name: &str) -> Option<&'a [u8]> {
    let headers = request.get("headers")?.as_object()?;
    let (_, value) = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    let value = value.as_array().and_then(|values| values.first()).unwrap_or(value);
    value.as_str().map(str::as_bytes)
}
