//! What the kernel has in force, as it tells it: tables, chains and rules of the `inet` family.
//!
//! Called by `kernel`, which adds object by object, and read by `proof`. Decoding must never panic; an object that
//! cannot be read is an error, never left out, or something foreign could hide in it.

use super::attribute::Fields;
use super::expression::Expression;
use super::message::{FAMILY, NEW_CHAIN, NEW_RULE, NEW_TABLE};

/// Everything of the family, also what others wrote.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Dump {
    pub(super) tables: Vec<Table>,
    pub(super) chains: Vec<Chain>,
    /// In the order of evaluation.
    pub(super) rules: Vec<Rule>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    /// 1 is dormant: present and without effect.
    pub(super) flags: u32,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) table: String,
    pub(super) name: String,
    /// Absent for a chain that no hook calls.
    pub(super) base: Option<Base>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) kind: String,
    pub(super) hook: u32,
    pub(super) priority: i32,
    pub(super) policy: u32,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) table: String,
    pub(super) chain: String,
    pub(super) handle: u64,
    pub(super) expressions: Vec<Expression>,
}

impl Dump {
    /// Adds one object; `None` where it is malformed. Objects of another family or kind are none of our business.
    pub(super) fn add(&mut self, kind: u16, family: u8, attributes: &[u8]) -> Option<()> {
        if family != FAMILY {
            return Some(());
        }
        match kind {
            NEW_TABLE => self.tables.push(table(attributes)?),
            NEW_CHAIN => self.chains.push(chain(attributes)?),
            NEW_RULE => self.rules.push(rule(attributes)?),
            _ => {}
        }
        Some(())
    }
}

fn table(attributes: &[u8]) -> Option<Table> {
    let mut fields = Fields::parse(attributes)?;
    let name = fields.string(1)?.to_owned();
    Some(Table { name, flags: fields.be32(2).unwrap_or(0) })
}

fn chain(attributes: &[u8]) -> Option<Chain> {
    let mut fields = Fields::parse(attributes)?;
    let (table, name) = (fields.string(1)?.to_owned(), fields.string(3)?.to_owned());
    let base = match fields.nested(4) {
        None => None,
        Some(mut hook) => Some(Base {
            kind: fields.string(7)?.to_owned(),
            hook: hook.be32(1)?,
            priority: hook.be32(2)?.cast_signed(),
            policy: fields.be32(5)?,
        }),
    };
    Some(Chain { table, name, base })
}

fn rule(attributes: &[u8]) -> Option<Rule> {
    let mut fields = Fields::parse(attributes)?;
    Some(Rule {
        table: fields.string(1)?.to_owned(),
        chain: fields.string(2)?.to_owned(),
        handle: fields.be64(3)?,
        expressions: Expression::decode_list(fields.take(4).unwrap_or_default())?,
    })
}

#[cfg(test)]
mod tests;
