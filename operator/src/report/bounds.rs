//! Reads a report as what it is: the word of a process that an attacker may have taken over. What it says of its own pod
//! cannot be checked, but its texts end in statuses, which people read in terminals, and its lists in memory.
//!
//! Every text becomes a printable line, whatever the field, every list has an end, and words from closed lists stay
//! words. A longer list is cut: what is not acknowledged counts as not in force. Pure; called by `report`.

use rasp_policy::report::Report;
use rasp_policy::rollout::MOST_STEPS;
use serde_json::Value;

use crate::text;

/// Longest text, in characters. A refusal quotes a path of a policy and what is wrong there.
const MAX_TEXT: usize = 512;
/// Longest list; a thousand policies are acknowledged in less.
const MAX_LIST: usize = 2048;
/// What stands for a word that is none.
const OTHER: &str = "other";

/// The report in a body, if it is one.
pub(super) fn read(body: &[u8]) -> Option<Report> {
    let mut value: Value = serde_json::from_slice(body).ok()?;
    tidy(&mut value);
    let mut report: Report = serde_json::from_value(value).ok()?;
    if let Some(rejected) = &mut report.rejected {
        keep_word(&mut rejected.reason);
    }
    report.suspended.iter_mut().for_each(keep_word);
    report.suspended.sort_unstable();
    report.suspended.dedup();
    report.suspended.truncate(64);
    report.rollouts.truncate(MOST_STEPS);
    Some(report)
}

fn tidy(value: &mut Value) {
    match value {
        Value::String(found) => *found = text::line(found, MAX_TEXT),
        Value::Array(list) => {
            list.truncate(MAX_LIST);
            list.iter_mut().for_each(tidy);
        }
        Value::Object(members) => members.values_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A newer sidecar may know words that this version does not; a sentence is none.
fn keep_word(word: &mut String) {
    let of_a_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !(1..=40).contains(&word.len()) || !word.bytes().all(of_a_word) {
        OTHER.clone_into(word);
    }
}
