//! The proof against rules that somebody deletes, replaces or adds with `nft`.

use rasp_proxy::init::{Difference, Error};

use super::world::{Namespace, World};
use super::{GOLDEN, prove, run};

const CHAINS: [(&str, &str, &[&str]); 2] = [
    (
        "rasp-redirect",
        "prerouting",
        &["leave port 9090", "leave port 16143", "leave port 16191", "redirect to the sidecar"],
    ),
    (
        "rasp-guard",
        "input",
        &[
            "accept loopback",
            "accept established",
            "accept port 9090",
            "accept port 16191",
            "drop untracked",
            "reject not redirected",
        ],
    ),
];

/// Handles of the rules of a chain, in order.
fn handles(pod: &Namespace, table: &str, chain: &str) -> Vec<String> {
    let listing = pod.nft(&format!("-a list chain inet {table} {chain}"));
    let rules = listing.lines().filter(|line| line.starts_with("\t\t") && line.contains("# handle"));
    rules.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
}

pub(crate) fn delete_rule(pod: &Namespace, table: &str, chain: &str, at: usize) {
    let handle = &handles(pod, table, chain)[at];
    pod.nft(&format!("delete rule inet {table} {chain} handle {handle}"));
}

fn difference(pod: &Namespace) -> Difference {
    match prove(pod) {
        Err(Error::NotProven(difference)) => difference,
        other => panic!("expected a difference, got {other:?}"),
    }
}

#[test]
fn the_proof_names_each_rule_that_is_deleted_and_a_run_restores_it() {
    let world = World::new();
    let pod = &world.pod;
    run(pod).unwrap();
    for (table, chain, rules) in CHAINS {
        assert_eq!(handles(pod, table, chain).len(), rules.len(), "{table}");
        for (at, rule) in rules.iter().enumerate() {
            delete_rule(pod, table, chain, at);
            assert_eq!(difference(pod), Difference::MissingRule { table, rule: (*rule).to_owned() });
            assert_restored(pod);
        }
    }
}

#[test]
fn the_proof_names_each_rule_that_is_replaced_and_a_run_restores_it() {
    let world = World::new();
    let pod = &world.pod;
    run(pod).unwrap();
    for (table, chain, rules) in CHAINS {
        for (at, expected) in rules.iter().enumerate() {
            let handle = &handles(pod, table, chain)[at];
            pod.nft(&format!("replace rule inet {table} {chain} handle {handle} tcp dport 81 return"));
            match difference(pod) {
                Difference::WrongRule { table: t, rule, .. } => {
                    assert_eq!((t, rule.as_str()), (table, *expected));
                }
                other => panic!("{table} {expected}: {other}"),
            }
            assert_restored(pod);
        }
    }
}

#[test]
fn the_proof_names_what_else_was_changed_and_a_run_restores_it() {
    let world = World::new();
    let pod = &world.pod;
    let cases = [
        ("delete table inet rasp-redirect", "table rasp-redirect is missing"),
        ("delete table inet rasp-guard", "table rasp-guard is missing"),
        ("add table inet rasp-guard { flags dormant ; }", "table rasp-guard has flags 0x1, none expected"),
        (
            "add chain inet rasp-guard input { policy drop ; }",
            "table rasp-guard: chain input is type filter hook 1 priority 0 policy drop, \
             expected type filter hook 1 priority 0 policy accept",
        ),
        ("add chain inet rasp-redirect extra", "table rasp-redirect: chain extra is not expected"),
        ("insert rule inet rasp-redirect prerouting accept", "is not expected: [accept]"),
        ("add rule inet rasp-guard input tcp dport 80 accept", "is not expected: [meta l4proto]"),
    ];
    for (change, expected) in cases {
        run(pod).unwrap();
        pod.nft(change);
        let found = difference(pod).to_string();
        assert!(found.contains(expected), "after {change}: {found}");
        assert_restored(pod);
    }
    for (table, chain, _) in CHAINS {
        pod.nft(&format!("flush chain inet {table} {chain}"));
        pod.nft(&format!("delete chain inet {table} {chain}"));
        assert_eq!(difference(pod), Difference::MissingChain { table, chain });
        assert_restored(pod);
    }
}

fn assert_restored(pod: &Namespace) {
    run(pod).unwrap();
    prove(pod).unwrap();
    assert_eq!(pod.nft("list ruleset"), GOLDEN);
}

#[test]
fn nothing_is_proven_where_nothing_was_programmed() {
    let world = World::new();
    assert_eq!(difference(&world.pod), Difference::MissingTable { table: "rasp-redirect" });
}
