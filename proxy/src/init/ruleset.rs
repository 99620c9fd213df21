//! The packet rules as data: two tables, each with one chain, built from the configuration and nothing else.
//!
//! `rasp-redirect` sends what arrives for a listener in the pod to the sidecar; `rasp-guard` refuses what was not
//! sent there, so that losing one table never opens a port. Rules hold everything inline: there are no sets, which
//! could be changed behind an unchanged rule. Pure. Called by `init` and `proof`.

use std::collections::BTreeSet;
use std::fmt;

use rasp_policy::pod;

use super::expression::{self as ex, Expression};

/// How inbound connections are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Redirects where something in the pod listens for the address and port; any other port is refused by the
    /// kernel as in an unprotected pod.
    Listeners,
    /// Redirects every port: the fallback where the kernel lacks `nft_socket`. A port without a listener then accepts
    /// the connection, which the sidecar resets as soon as its own dial is refused. A TCP probe of such a port
    /// succeeds where it would fail in an unprotected pod.
    Plain,
}

impl Form {
    /// Stable id for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listeners => "listeners",
            Self::Plain => "plain",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) chain: Chain,
}

/// A base chain with policy `accept`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) hook: u32,
    pub(super) priority: i32,
    pub(super) rules: Vec<Rule>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) expressions: Vec<Expression>,
}

pub(super) const REDIRECT_TABLE: &str = "rasp-redirect";
pub(super) const GUARD_TABLE: &str = "rasp-guard";

/// `NF_INET_PRE_ROUTING` with `NF_IP_PRI_NAT_DST`, `NF_INET_LOCAL_IN` with `NF_IP_PRI_FILTER`.
const PREROUTING: (u32, i32) = (0, -100);
const INPUT: (u32, i32) = (1, 0);

const IPPROTO_TCP: u8 = 6;
const IFNAMSIZ: usize = 16;
/// Bits of `ct state`: `invalid`, `established | related`, `untracked`.
const INVALID: u32 = 1;
const ESTABLISHED_RELATED: u32 = 2 | 4;
const UNTRACKED: u32 = 64;
/// `IPS_DST_NAT`, bit of `ct status`.
const DNAT: u32 = 1 << 5;

/// Both tables, in the order they are written.
pub(super) fn build(skip_ports: &BTreeSet<u16>, form: Form) -> [Table; 2] {
    let mut left_alone = skip_ports.clone();
    left_alone.insert(pod::ADMIN_PORT);
    [redirect(&left_alone, form), guard(&left_alone)]
}

fn redirect(left_alone: &BTreeSet<u16>, form: Form) -> Table {
    let mut ports = left_alone.clone();
    ports.insert(pod::INBOUND_PORT);
    let mut rules: Vec<Rule> = ports.iter().map(|port| on_port("leave", *port, ex::RETURN)).collect();
    let mut expressions = tcp();
    if form == Form::Listeners {
        // Loading ends the rule where nothing listens. The value is 0 or 1; comparing it states that both will do,
        // a listener on all addresses and one on the address of the pod.
        expressions.push(Expression::Socket(ex::SOCKET_WILDCARD));
        expressions.push(Expression::Compare { operator: ex::LESS_OR_EQUAL, value: vec![1] });
    }
    expressions.push(Expression::Load(pod::INBOUND_PORT.to_be_bytes().to_vec()));
    expressions.push(Expression::Redirect);
    rules.push(Rule { name: "redirect to the sidecar".to_owned(), expressions });
    let (hook, priority) = PREROUTING;
    Table { name: REDIRECT_TABLE, chain: Chain { name: "prerouting", kind: "nat", hook, priority, rules } }
}

fn guard(left_alone: &BTreeSet<u16>) -> Table {
    let mut rules = vec![
        rule("accept loopback", loopback(), Expression::Verdict(ex::ACCEPT)),
        rule(
            "accept established",
            any_bit(ex::CT_STATE, ESTABLISHED_RELATED),
            Expression::Verdict(ex::ACCEPT),
        ),
    ];
    rules.extend(left_alone.iter().map(|port| on_port("accept", *port, ex::ACCEPT)));
    // Without connection tracking there is no status, and the next rule would end without a match: a `notrack` rule
    // of somebody else would open every port. Dropping, not rejecting, since a packet outside its connection's window
    // is invalid too, and a reset would end that connection.
    let mut untracked = tcp();
    untracked.extend(any_bit(ex::CT_STATE, INVALID | UNTRACKED));
    rules.push(rule("drop untracked", untracked, Expression::Verdict(ex::DROP)));
    let mut not_redirected = tcp();
    not_redirected.extend(no_bit(ex::CT_STATUS, DNAT));
    rules.push(rule("reject not redirected", not_redirected, Expression::Reject(ex::TCP_RESET)));
    let (hook, priority) = INPUT;
    Table { name: GUARD_TABLE, chain: Chain { name: "input", kind: "filter", hook, priority, rules } }
}

fn rule(name: &str, mut expressions: Vec<Expression>, last: Expression) -> Rule {
    expressions.push(last);
    Rule { name: name.to_owned(), expressions }
}

fn on_port(verb: &str, port: u16, verdict: u32) -> Rule {
    let mut expressions = tcp();
    expressions.push(Expression::Payload { base: ex::TRANSPORT_HEADER, offset: 2, length: 2 });
    expressions.push(Expression::Compare { operator: ex::EQUAL, value: port.to_be_bytes().to_vec() });
    rule(&format!("{verb} port {port}"), expressions, Expression::Verdict(verdict))
}

/// Matches TCP in both families, behind IPv6 extension headers too.
fn tcp() -> Vec<Expression> {
    vec![
        Expression::Meta(ex::META_L4PROTO),
        Expression::Compare { operator: ex::EQUAL, value: vec![IPPROTO_TCP] },
    ]
}

fn loopback() -> Vec<Expression> {
    // The whole name field is compared, so that `lo` is not a prefix of another name.
    let mut name = b"lo".to_vec();
    name.resize(IFNAMSIZ, 0);
    vec![Expression::Meta(ex::META_IIFNAME), Expression::Compare { operator: ex::EQUAL, value: name }]
}

fn any_bit(key: u32, bits: u32) -> Vec<Expression> {
    masked(key, bits, ex::NOT_EQUAL)
}

fn no_bit(key: u32, bits: u32) -> Vec<Expression> {
    masked(key, bits, ex::EQUAL)
}

fn masked(key: u32, bits: u32, operator: u32) -> Vec<Expression> {
    vec![
        Expression::Ct(key),
        Expression::Bitwise { mask: bits.to_ne_bytes().to_vec(), xor: vec![0; 4] },
        Expression::Compare { operator, value: vec![0; 4] },
    ]
}

#[cfg(test)]
mod tests;
