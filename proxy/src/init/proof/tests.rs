use super::super::ruleset::{Form, build};
use super::*;

fn mk_tables() -> [Table; 2] {
    build(&[8080].into(), Form::Listeners)
}

/// What a kernel that did as told would report.
fn mk_dump(tables: &[Table]) -> Dump {
    let mut dump = Dump::default();
    for table in tables {
        let chain = &table.chain;
        dump.tables.push(dump::Table { name: table.name.to_owned(), flags: 0 });
        let (kind, hook, priority) = (chain.kind.to_owned(), chain.hook, chain.priority);
        let base = Some(dump::Base { kind, hook, priority, policy: 1 });
        dump.chains.push(dump::Chain { table: table.name.to_owned(), name: chain.name.to_owned(), base });
        for (rule, handle) in chain.rules.iter().zip(2..) {
            dump.rules.push(dump::Rule {
                table: table.name.to_owned(),
                chain: chain.name.to_owned(),
                handle,
                expressions: rule.expressions.clone(),
            });
        }
    }
    dump
}

fn difference(change: impl FnOnce(&mut Dump)) -> Difference {
    let tables = mk_tables();
    let mut dump = mk_dump(&tables);
    change(&mut dump);
    compare(&tables, &dump).unwrap_err()
}

/// Each rule with its table and its place in the dump.
fn mk_places() -> Vec<(usize, &'static str, String)> {
    let tables = mk_tables();
    let all =
        tables.iter().flat_map(|table| table.chain.rules.iter().map(|rule| (table.name, rule.name.clone())));
    all.enumerate().map(|(at, (table, rule))| (at, table, rule)).collect()
}

#[test]
fn what_was_written_is_proven_among_tables_of_others() {
    let tables = mk_tables();
    let mut dump = mk_dump(&tables);
    dump.tables.push(dump::Table { name: "istio".to_owned(), flags: 1 });
    dump.chains.push(dump::Chain { table: "istio".to_owned(), name: "input".to_owned(), base: None });
    assert_eq!(compare(&tables, &dump), Ok(()));
}

#[test]
fn every_missing_rule_is_named() {
    for (at, table, rule) in mk_places() {
        assert_eq!(difference(|dump| drop(dump.rules.remove(at))), Difference::MissingRule { table, rule });
    }
}

#[test]
fn every_expression_that_is_missing_doubled_or_changed_is_named_with_its_rule() {
    let tables = mk_tables();
    for (at, table, rule) in mk_places() {
        let is_this = |found: Difference| match found {
            Difference::WrongRule { table: t, rule: r, .. } => t == table && r == rule,
            _ => false,
        };
        for expression in 0..mk_dump(&tables).rules[at].expressions.len() {
            let change = |edit: &dyn Fn(&mut Vec<Expression>)| {
                difference(|dump| edit(&mut dump.rules[at].expressions))
            };
            let foreign = || Expression::Other { name: "log".to_owned(), data: Vec::new() };
            assert!(is_this(change(&|list| drop(list.remove(expression)))), "{rule} without {expression}");
            assert!(is_this(change(&|list| list[expression] = foreign())), "{rule} other {expression}");
            assert!(is_this(change(&|list| list.insert(expression, foreign()))), "{rule} more {expression}");
        }
    }
}

#[test]
fn two_missing_rules_are_told_as_the_first() {
    let found = difference(|dump| drop(dump.rules.drain(..2)));
    assert_eq!(found, Difference::MissingRule { table: "rasp-redirect", rule: "leave port 8080".to_owned() });
}

#[test]
fn an_extra_rule_is_told_by_its_handle_wherever_it_is() {
    for at in 0..4 {
        let extra = dump::Rule {
            table: "rasp-redirect".to_owned(),
            chain: "prerouting".to_owned(),
            handle: 77,
            expressions: vec![Expression::Verdict(1)],
        };
        let found = difference(|dump| dump.rules.insert(at, extra));
        let expected =
            Difference::ExtraRule { table: "rasp-redirect", handle: 77, found: "[accept]".to_owned() };
        assert_eq!(found, expected, "at {at}");
    }
}

#[test]
fn rules_in_another_order_are_wrong() {
    let found = difference(|dump| dump.rules.swap(0, 3));
    assert!(matches!(found, Difference::WrongRule { rule, .. } if rule == "leave port 8080"));
}

#[test]
fn a_table_that_is_missing_or_dormant_is_named() {
    let found = difference(|dump| drop(dump.tables.remove(1)));
    assert_eq!(found, Difference::MissingTable { table: "rasp-guard" });
    let found = difference(|dump| dump.tables[0].flags = 1);
    assert_eq!(found, Difference::TableFlags { table: "rasp-redirect", flags: 1 });
}

type Edit = fn(&mut Option<dump::Base>);

#[test]
fn a_chain_that_is_missing_foreign_or_called_elsewhere_is_named() {
    let found = difference(|dump| drop(dump.chains.remove(0)));
    assert_eq!(found, Difference::MissingChain { table: "rasp-redirect", chain: "prerouting" });
    let found = difference(|dump| {
        let (table, name) = ("rasp-guard".to_owned(), "extra".to_owned());
        dump.chains.push(dump::Chain { table, name, base: None });
    });
    assert_eq!(found, Difference::ExtraChain { table: "rasp-guard", chain: "extra".to_owned() });
    let edits: [Edit; 5] = [
        |base| *base = None,
        |base| base.as_mut().unwrap().hook = 4,
        |base| base.as_mut().unwrap().priority = 100,
        |base| base.as_mut().unwrap().policy = 0,
        |base| base.as_mut().unwrap().kind = "route".to_owned(),
    ];
    for edit in edits {
        let found = difference(|dump| edit(&mut dump.chains[1].base));
        assert!(
            matches!(found, Difference::WrongChain { table: "rasp-guard", chain: "input", .. }),
            "{found}"
        );
    }
}
