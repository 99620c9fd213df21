//! Netlink messages of nftables: one atomic batch that replaces both tables, the requests for a dump, and replies.
//!
//! Called by `kernel`, which moves the bytes. Reading must never panic, whatever the kernel sends.

use std::fmt;

use super::attribute::{Writer, aligned};
use super::expression::Expression;
use super::ruleset::{Chain, Rule, Table};

/// `NFPROTO_INET`: IPv4 and IPv6 in one table.
pub(super) const FAMILY: u8 = 1;
const HEADER: usize = 16;
/// Family, version and resource id, which every message of netfilter begins with.
const NETFILTER_HEADER: usize = 4;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
/// `NFNL_SUBSYS_NFTABLES` in the upper byte of the type.
const NFTABLES: u16 = 10;
pub(super) const NEW_TABLE: u16 = NFTABLES << 8;
const DELETE_TABLE: u16 = (NFTABLES << 8) | 2;
pub(super) const NEW_CHAIN: u16 = (NFTABLES << 8) | 3;
pub(super) const NEW_RULE: u16 = (NFTABLES << 8) | 6;
/// `NFT_MSG_GETTABLE`, `_GETCHAIN`, `_GETRULE`: what a dump is asked for with.
pub(super) const GET_ALL: [u16; 3] = [(NFTABLES << 8) | 1, (NFTABLES << 8) | 4, (NFTABLES << 8) | 7];

const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const DUMP: u16 = 0x300;
const DUMP_INTERRUPTED: u16 = 0x10;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

const TABLE_NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
/// `NF_ACCEPT`.
const POLICY_ACCEPT: u32 = 1;

/// What one message of a batch does; the index in the batch is its sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    Begin,
    CreateTable(&'a Table),
    DeleteTable(&'a Table),
    CreateChain(&'a Table),
    CreateRule(&'a Table, &'a Rule),
    Commit,
}

impl Step<'_> {
    /// The kernel modules without which this step fails.
    pub(super) fn modules(&self) -> Vec<&'static str> {
        match self {
            Self::CreateChain(table) if table.chain.kind == "nat" => vec!["nft_chain_nat"],
            Self::CreateRule(_, rule) => rule.expressions.iter().filter_map(Expression::module).collect(),
            _ => vec!["nf_tables"],
        }
    }
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin => f.write_str("run the batch of nftables"),
            Self::CreateTable(table) => write!(f, "create table {}", table.name),
            Self::DeleteTable(table) => write!(f, "delete table {}", table.name),
            Self::CreateChain(table) => {
                write!(f, "create chain {} of table {}", table.chain.name, table.name)
            }
            Self::CreateRule(table, rule) => {
                write!(f, "create rule \"{}\" of table {}", rule.name, table.name)
            }
            Self::Commit => f.write_str("commit the batch of nftables"),
        }
    }
}

/// The bytes that replace the tables in one transaction, and what each message does.
pub(super) struct Batch<'a> {
    pub(super) bytes: Vec<u8>,
    pub(super) steps: Vec<Step<'a>>,
}

impl<'a> Batch<'a> {
    /// Create, delete, create: the first makes the deletion succeed where the table is new, and the whole is one
    /// transaction, so that no packet ever meets a half of it.
    pub(super) fn build(tables: &'a [Table]) -> Self {
        let mut steps = vec![Step::Begin];
        for table in tables {
            steps.push(Step::CreateTable(table));
            steps.push(Step::DeleteTable(table));
            steps.push(Step::CreateTable(table));
            steps.push(Step::CreateChain(table));
            steps.extend(table.chain.rules.iter().map(|rule| Step::CreateRule(table, rule)));
        }
        steps.push(Step::Commit);
        let mut batch = Self { bytes: Vec::new(), steps };
        // Only one success is acknowledged: hundreds would not fit into the receive buffer. Failures always are.
        let last = batch.last();
        for (sequence, step) in (0u32..).zip(&batch.steps) {
            let flags = if sequence == last { ACKNOWLEDGE } else { 0 };
            push_step(&mut batch.bytes, sequence, *step, flags);
        }
        batch
    }

    /// Sequence number of the message whose acknowledgement means that all went through: the last one but the end.
    pub(super) fn last(&self) -> u32 {
        u32::try_from(self.steps.len().saturating_sub(2)).unwrap_or(u32::MAX)
    }
}

fn push_step(bytes: &mut Vec<u8>, sequence: u32, step: Step<'_>, flags: u16) {
    let mut attributes = Writer::default();
    let (kind, specific, family, resource) = match step {
        Step::Begin => (BATCH_BEGIN, 0, 0, NFTABLES),
        Step::Commit => (BATCH_END, 0, 0, NFTABLES),
        Step::CreateTable(table) => {
            attributes.string(TABLE_NAME, table.name);
            (NEW_TABLE, CREATE, FAMILY, 0)
        }
        Step::DeleteTable(table) => {
            attributes.string(TABLE_NAME, table.name);
            (DELETE_TABLE, 0, FAMILY, 0)
        }
        Step::CreateChain(table) => {
            write_chain(&mut attributes, table.name, &table.chain);
            (NEW_CHAIN, CREATE, FAMILY, 0)
        }
        Step::CreateRule(table, rule) => {
            write_rule(&mut attributes, table, rule);
            (NEW_RULE, CREATE | APPEND, FAMILY, 0)
        }
    };
    let mut body = netfilter_header(family, resource);
    body.extend_from_slice(&attributes.finish());
    push_message(bytes, kind, REQUEST | specific | flags, sequence, &body);
}

fn write_chain(attributes: &mut Writer, table: &str, chain: &Chain) {
    attributes.string(CHAIN_TABLE, table);
    attributes.string(CHAIN_NAME, chain.name);
    attributes.nested(CHAIN_HOOK, |hook| {
        hook.be32(HOOK_NUMBER, chain.hook);
        hook.bytes(HOOK_PRIORITY, &chain.priority.to_be_bytes());
    });
    attributes.be32(CHAIN_POLICY, POLICY_ACCEPT);
    attributes.string(CHAIN_TYPE, chain.kind);
}

fn write_rule(attributes: &mut Writer, table: &Table, rule: &Rule) {
    attributes.string(RULE_TABLE, table.name);
    attributes.string(RULE_CHAIN, table.chain.name);
    attributes.nested(RULE_EXPRESSIONS, |list| {
        for expression in &rule.expressions {
            expression.encode(list);
        }
    });
}

/// Asks for every object of a kind in the family.
pub(super) fn dump_request(kind: u16, sequence: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_message(&mut bytes, kind, REQUEST | DUMP, sequence, &netfilter_header(FAMILY, 0));
    bytes
}

fn netfilter_header(family: u8, resource: u16) -> Vec<u8> {
    let [high, low] = resource.to_be_bytes();
    vec![family, 0, high, low]
}

fn push_message(bytes: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32, body: &[u8]) {
    // The size of a whole batch is bounded by the number of skip ports, far below 4 GiB.
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&sequence.to_ne_bytes());
    bytes.extend_from_slice(&0u32.to_ne_bytes());
    bytes.extend_from_slice(body);
    bytes.resize(aligned(bytes.len()), 0);
}

/// One message of the kernel.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply<'a> {
    pub(super) sequence: u32,
    /// The dump was disturbed by a change and has to be read again.
    pub(super) interrupted: bool,
    pub(super) content: Content<'a>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    /// The request of this sequence number: 0 is done, any other an errno.
    Status(i32),
    /// The end of a dump, with its errno or 0.
    Done(i32),
    /// Attributes of an object.
    Object { kind: u16, family: u8, attributes: &'a [u8] },
}

/// The messages of one datagram; `None` where it is malformed.
pub(super) fn replies(mut bytes: &[u8]) -> Option<Vec<Reply<'_>>> {
    let mut replies = Vec::new();
    while !bytes.is_empty() {
        let length = usize::try_from(u32::from_ne_bytes(at(bytes, 0)?)).ok()?;
        let kind = u16::from_ne_bytes(at(bytes, 4)?);
        let flags = u16::from_ne_bytes(at(bytes, 6)?);
        let sequence = u32::from_ne_bytes(at(bytes, 8)?);
        let body = bytes.get(HEADER..length)?;
        let content = match kind {
            // The kernel says errors as negative numbers.
            NLMSG_ERROR => Content::Status(i32::from_ne_bytes(at(body, 0)?).saturating_neg()),
            NLMSG_DONE => Content::Done(at(body, 0).map_or(0, i32::from_ne_bytes).saturating_neg()),
            _ => Content::Object { kind, family: *body.first()?, attributes: body.get(NETFILTER_HEADER..)? },
        };
        replies.push(Reply { sequence, interrupted: flags & DUMP_INTERRUPTED != 0, content });
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
    }
    Some(replies)
}

fn at<const N: usize>(bytes: &[u8], from: usize) -> Option<[u8; N]> {
    bytes.get(from..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests;
