//! What a value must have that could be an attack. No false negatives: each rule needs one of the bytes or words below.

use crate::detector::Needs;

pub(super) const NEEDS: Needs = Needs {
    // Quotes, comparisons, separators.
    alone: b"'\"`(;=<>#",
    // Blanks, operators, comments: without one of them no value changes a statement.
    bytes: BLANKS_AND_OPERATORS,
    // Parts of words are enough: `exec` is in `execute`, `user` in `current_user`.
    needles: NEEDLES,
};

/// What MySQL, PostgreSQL or SQL Server skips between words is a blank: any control character, and 0xA0.
const BLANKS_AND_OPERATORS: &[u8] =
    b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B\x0C\x0D\x0E\x0F\x10\x11\x12\x13\x14\
    \x15\x16\x17\x18\x19\x1A\x1B\x1C\x1D\x1E\x1F \xA0)!*|&@+";

const NEEDLES: &[&str] = &[
    "*/",
    "$$",
    "?",
    "~",
    "@@",
    "||",
    "select",
    "union",
    "intersect",
    "except",
    "minus",
    "values",
    "having",
    "order",
    "group",
    "procedure",
    "into",
    "insert",
    "replace",
    "update",
    "delete",
    "drop",
    "create",
    "alter",
    "truncate",
    "rename",
    "exec",
    "call",
    "declare",
    "waitfor",
    "shutdown",
    "copy",
    "grant",
    "revoke",
    "begin",
    "like",
    "glob",
    "match",
    "regexp",
    "similar",
    "between",
    "case",
    "exists",
    "user",
    "current_",
    "--",
    "/*",
    " is",
    "\tis",
    "\nis",
    "/is",
    "load",
    "handler",
    "prepare",
    "attach",
    "backup",
    "use",
    "show",
    "dbcc",
    "pragma",
    "set",
    "sys",
    "utl_",
    "is ",
    " in",
];
