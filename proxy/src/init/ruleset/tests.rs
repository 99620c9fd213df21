use super::*;

fn tables(ports: &[u16], form: Form) -> [Table; 2] {
    build(&ports.iter().copied().collect(), form)
}

/// Name and expressions of every rule, one rule a line.
fn text(table: &Table) -> Vec<String> {
    let line = |rule: &Rule| {
        let expressions: Vec<String> = rule.expressions.iter().map(ToString::to_string).collect();
        format!("{}: {}", rule.name, expressions.join(" | "))
    };
    table.chain.rules.iter().map(line).collect()
}

#[test]
fn redirect_leaves_its_own_and_skipped_ports_and_redirects_listeners() {
    let [redirect, _] = tables(&[8080], Form::Listeners);
    let chain = &redirect.chain;
    assert_eq!((redirect.name, chain.name, chain.kind), ("rasp-redirect", "prerouting", "nat"));
    assert_eq!((chain.hook, chain.priority), (0, -100));
    assert_eq!(
        text(&redirect),
        [
            "leave port 8080: meta l4proto | cmp eq 0x06 | payload 2b @ transport header + 2 | cmp eq 0x1f90 | return",
            "leave port 16143: meta l4proto | cmp eq 0x06 | payload 2b @ transport header + 2 | cmp eq 0x3f0f | return",
            "leave port 16191: meta l4proto | cmp eq 0x06 | payload 2b @ transport header + 2 | cmp eq 0x3f3f | return",
            "redirect to the sidecar: meta l4proto | cmp eq 0x06 | socket wildcard | cmp lte 0x01 | immediate 0x3f0f | redir",
        ]
    );
}

#[test]
fn redirect_in_its_plain_form_does_not_ask_for_a_socket() {
    let [redirect, guard] = tables(&[], Form::Plain);
    assert_eq!(
        redirect.chain.rules.last().unwrap().expressions,
        [
            Expression::Meta(16),
            Expression::Compare { operator: 0, value: vec![6] },
            Expression::Load(vec![0x3f, 0x0f]),
            Expression::Redirect,
        ]
    );
    assert_eq!(guard, tables(&[], Form::Listeners)[1]);
}

#[test]
#[cfg(target_endian = "little")]
fn guard_refuses_what_was_not_redirected() {
    let [_, guard] = tables(&[8080], Form::Listeners);
    let chain = &guard.chain;
    assert_eq!((guard.name, chain.name, chain.kind), ("rasp-guard", "input", "filter"));
    assert_eq!((chain.hook, chain.priority), (1, 0));
    assert_eq!(
        text(&guard),
        [
            "accept loopback: meta iifname | cmp eq 0x6c6f0000000000000000000000000000 | accept",
            "accept established: ct state | bitwise & 0x06000000 ^ 0x00000000 | cmp neq 0x00000000 | accept",
            "accept port 8080: meta l4proto | cmp eq 0x06 | payload 2b @ transport header + 2 | cmp eq 0x1f90 | accept",
            "accept port 16191: meta l4proto | cmp eq 0x06 | payload 2b @ transport header + 2 | cmp eq 0x3f3f | accept",
            "drop untracked: meta l4proto | cmp eq 0x06 | ct state | bitwise & 0x41000000 ^ 0x00000000 | cmp neq 0x00000000 | drop",
            "reject not redirected: meta l4proto | cmp eq 0x06 | ct status | bitwise & 0x20000000 ^ 0x00000000 | cmp eq 0x00000000 | reject with tcp reset",
        ]
    );
}

#[test]
fn the_inbound_port_is_never_accepted_by_the_guard() {
    let [_, guard] = tables(&[], Form::Listeners);
    let inbound =
        Expression::Compare { operator: ex::EQUAL, value: pod::INBOUND_PORT.to_be_bytes().to_vec() };
    assert!(guard.chain.rules.iter().all(|rule| !rule.expressions.contains(&inbound)));
}

#[test]
fn the_rules_of_a_chain_are_all_different() {
    for table in tables(&[pod::ADMIN_PORT, 80, 443], Form::Listeners) {
        let rules = &table.chain.rules;
        for (at, rule) in rules.iter().enumerate() {
            let same = |other: &Rule| other.name == rule.name || other.expressions == rule.expressions;
            assert!(!rules[at + 1..].iter().any(same), "{} in {}", rule.name, table.name);
        }
    }
}
