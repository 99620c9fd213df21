//! Compares what the kernel has in force with what protects the pod, expression by expression.
//!
//! Pure. Traffic made inside the pod never meets these rules, so nothing in the pod could try them out; reading them
//! back is the proof. Handles, positions and counters do not matter; tables of others do not either. Called by `init`.

use super::dump::{self, Dump};
use super::expression::Expression;
use super::ruleset::{Rule, Table};

/// `NF_ACCEPT`.
const POLICY_ACCEPT: u32 = 1;

/// How the rules in force differ from those that protect the pod: the first difference, tables in order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// The table is not there.
    #[error("table {table} is missing")]
    MissingTable {
        /// Name of the table.
        table: &'static str,
    },
    /// The table is there and has flags, e.g. 1, which puts it out of force.
    #[error("table {table} has flags {flags:#x}, none expected")]
    TableFlags {
        /// Name of the table.
        table: &'static str,
        /// `NFT_TABLE_F_*`.
        flags: u32,
    },
    /// The chain is not there.
    #[error("table {table}: chain {chain} is missing")]
    MissingChain {
        /// Name of the table.
        table: &'static str,
        /// Name of the chain.
        chain: &'static str,
    },
    /// The table has a chain that was not written by this program.
    #[error("table {table}: chain {chain} is not expected")]
    ExtraChain {
        /// Name of the table.
        table: &'static str,
        /// Name of the chain.
        chain: String,
    },
    /// The chain is called in another place, or lets other packets pass.
    #[error("table {table}: chain {chain} is {found}, expected {expected}")]
    WrongChain {
        /// Name of the table.
        table: &'static str,
        /// Name of the chain.
        chain: &'static str,
        /// Type, hook, priority and policy.
        expected: String,
        /// Type, hook, priority and policy.
        found: String,
    },
    /// The rule is not there.
    #[error("table {table}: rule \"{rule}\" is missing")]
    MissingRule {
        /// Name of the table.
        table: &'static str,
        /// Name of the rule, as in the errors of programming.
        rule: String,
    },
    /// There is a rule that was not written by this program.
    #[error("table {table}: the rule with handle {handle} is not expected: {found}")]
    ExtraRule {
        /// Name of the table.
        table: &'static str,
        /// As `nft -a list ruleset` shows it.
        handle: u64,
        /// Its expressions.
        found: String,
    },
    /// In the place of the rule there is another one.
    #[error("table {table}: rule \"{rule}\" is {found}, expected {expected}")]
    WrongRule {
        /// Name of the table.
        table: &'static str,
        /// Name of the rule.
        rule: String,
        /// Its expressions.
        expected: String,
        /// Its expressions.
        found: String,
    },
}

/// `Ok` only where each table is in force exactly as given.
pub(super) fn compare(expected: &[Table], dump: &Dump) -> Result<(), Difference> {
    expected.iter().try_for_each(|table| {
        compare_table(table, dump)?;
        compare_chains(table, dump)?;
        compare_rules(table, dump)
    })
}

fn compare_table(expected: &Table, dump: &Dump) -> Result<(), Difference> {
    let table = expected.name;
    match dump.tables.iter().find(|found| found.name == table) {
        None => Err(Difference::MissingTable { table }),
        Some(dump::Table { flags: 0, .. }) => Ok(()),
        Some(dump::Table { flags, .. }) => Err(Difference::TableFlags { table, flags: *flags }),
    }
}

fn compare_chains(expected: &Table, dump: &Dump) -> Result<(), Difference> {
    let (table, chain) = (expected.name, &expected.chain);
    let mut ours = None;
    for found in dump.chains.iter().filter(|found| found.table == table) {
        if found.name != chain.name {
            return Err(Difference::ExtraChain { table, chain: found.name.clone() });
        }
        ours = Some(found);
    }
    let found = ours.ok_or(Difference::MissingChain { table, chain: chain.name })?;
    let wanted = dump::Base {
        kind: chain.kind.to_owned(),
        hook: chain.hook,
        priority: chain.priority,
        policy: POLICY_ACCEPT,
    };
    if found.base.as_ref() == Some(&wanted) {
        return Ok(());
    }
    let (expected, found) = (describe_base(Some(&wanted)), describe_base(found.base.as_ref()));
    Err(Difference::WrongChain { table, chain: chain.name, expected, found })
}

fn compare_rules(expected: &Table, dump: &Dump) -> Result<(), Difference> {
    let wanted = &expected.chain.rules;
    let found: Vec<&dump::Rule> = dump.rules.iter().filter(|rule| rule.table == expected.name).collect();
    let same = |(w, f): (&Rule, &&dump::Rule)| w.expressions == f.expressions;
    let at = wanted.iter().zip(&found).take_while(|pair| same(*pair)).count();
    let wanted_has = |rule: &dump::Rule| wanted.iter().any(|w| w.expressions == rule.expressions);
    let found_has = |rule: &Rule| found.iter().any(|f| f.expressions == rule.expressions);
    let missing = |rule: &Rule| Difference::MissingRule { table: expected.name, rule: rule.name.clone() };
    // Rules of a chain are all different, so where two do not fit, one of them being nowhere in the other list tells
    // a deletion or an insertion from a change.
    match (wanted.get(at), found.get(at)) {
        (None, None) => Ok(()),
        (Some(w), None) => Err(missing(w)),
        (Some(w), Some(f)) if wanted_has(f) && !found_has(w) => Err(missing(w)),
        (Some(w), Some(f)) if wanted_has(f) || !found_has(w) => Err(Difference::WrongRule {
            table: expected.name,
            rule: w.name.clone(),
            expected: describe(&w.expressions),
            found: describe(&f.expressions),
        }),
        (_, Some(f)) => Err(Difference::ExtraRule {
            table: expected.name,
            handle: f.handle,
            found: describe(&f.expressions),
        }),
    }
}

fn describe(expressions: &[Expression]) -> String {
    let texts: Vec<String> = expressions.iter().map(|expression| format!("[{expression}]")).collect();
    texts.join(" ")
}

fn describe_base(base: Option<&dump::Base>) -> String {
    match base {
        None => "not called by any hook".to_owned(),
        Some(base) => {
            let policy = if base.policy == POLICY_ACCEPT { "accept" } else { "drop" };
            format!("type {} hook {} priority {} policy {policy}", base.kind, base.hook, base.priority)
        }
    }
}

#[cfg(test)]
mod tests;
