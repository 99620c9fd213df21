//! What is probably not meant, though it can be compiled. From the object alone, as it is and was: nothing said here is ever a
//! refusal.

use jiff::{SignedDuration, Timestamp};
use rasp_policy::api::{Enforcement, Kind, RaspPolicySpec};
use serde_json::Value;

use crate::time::in_seconds;

/// Longest line. Kubernetes asks for 120 characters in a Warning; the words `kube-rasp: ` come before.
const LINE: usize = 109;
/// An exception that ends within this is told: whoever edits it can still set a later time.
const SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Everything there is to say about the settings of an object, one sentence each, with the paths of a RaspPolicy.
pub fn warnings(kind: Kind, spec: &RaspPolicySpec, now: Timestamp) -> Vec<String> {
    let mut told = Vec::new();
    told.extend(ends(kind, spec, now));
    told.extend(spec.enforcement.as_ref().and_then(Enforcement::caution));
    told
}

/// Of an edit of a policy with a rollout that is past its first step: whatever is edited, fewer requests are blocked from then
/// on.
pub(super) fn begins_anew(old: &Value, spec: &RaspPolicySpec) -> Option<String> {
    let first = spec.enforcement.as_ref()?.rollout.as_ref()?.percent(1);
    let before = old.pointer("/status/rollout/percent")?.as_i64()?;
    (i64::from(first) < before).then(|| {
        format!(
            "spec.enforcement.rollout begins anew with each edit: Block was for {before} % of requests, and is for {first} % \
             now. If it is completed, set percent in its place"
        )
    })
}

fn ends(kind: Kind, spec: &RaspPolicySpec, now: Timestamp) -> Vec<String> {
    // In the one form that policies have, so that times compare as texts.
    let soon = in_seconds(now.checked_add(SOON).unwrap_or(Timestamp::MAX));
    let now = in_seconds(now);
    let mut told = Vec::new();
    for (index, exception) in spec.exceptions.iter().flatten().enumerate() {
        let field = match kind {
            Kind::RaspException => "spec.expiresAt".to_owned(),
            _ => format!("spec.exceptions[{index}].expiresAt"),
        };
        match &exception.expires_at {
            Some(end) if *end <= now => {
                told.push(format!(
                    "{field} is {end}, which is over: it excepts nothing. Set a later time, or remove it"
                ));
            }
            Some(end) if *end <= soon => {
                told.push(format!(
                    "{field} is {end}, in less than 7 days: what it excepts is acted on from then on"
                ));
            }
            None if kind == Kind::RaspException => told.push(format!(
                "{field} is missing: it excepts nothing unless a ClusterRaspPolicy sets allowPermanentExceptions: true"
            )),
            _ => {}
        }
    }
    told
}

/// A text in lines, parted between words.
pub(super) fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut length = LINE;
    for word in text.split_whitespace() {
        let size = word.chars().count();
        match lines.last_mut() {
            Some(line) if length + 1 + size <= LINE => {
                line.push(' ');
                line.push_str(word);
                length += 1 + size;
            }
            _ => {
                // No word is that long but one that somebody means harm with.
                lines.push(word.chars().take(LINE).collect());
                length = size.min(LINE);
            }
        }
    }
    lines
}
