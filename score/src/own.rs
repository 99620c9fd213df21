//! The corpus of this repository, `score/corpus`, written for it: every request of it is judged right. It holds each
//! class of attack in the places where applications read values, and ordinary values that look like attacks.

use std::path::Path;

use crate::corpus::{self, Label};
use crate::engine;

#[test]
fn every_request_of_the_own_corpus_is_judged_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let (mut seen, mut wrong) = ([0, 0], Vec::new());
    for file in corpus::files(&folder, &[]).unwrap() {
        let records = corpus::read(&file).unwrap();
        for (record, judged) in records.iter().zip(engine::judge(&records).unwrap()) {
            let judged = judged.unwrap();
            let is_attack = record.label == Label::Attack;
            seen[usize::from(is_attack)] += 1;
            if judged.refused != is_attack {
                let rules: Vec<&str> = judged.findings.iter().map(|finding| finding.rule.0).collect();
                wrong.push(format!("{} ({}): {rules:?}", record.id, record.category));
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 250), "{seen:?}");
    assert!(wrong.is_empty(), "{} are judged wrong:\n{}", wrong.len(), wrong.join("\n"));
}
