use std::collections::BTreeSet;

use super::*;

#[test]
fn every_rule_has_an_id_of_its_own_and_a_sentence() {
    let ids: BTreeSet<_> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(ids.len(), RULES.len());
    for rule in RULES {
        assert!(rule.id.0.starts_with("sqli-"), "{}", rule.id);
        assert!(rule.reason.starts_with("the value "), "{}", rule.reason);
    }
}
