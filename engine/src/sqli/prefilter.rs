//! Which values could be an attack at all: one pass over byte classes, then one automaton. It has no false negatives:
//! a value that it drops cannot give a finding, because each rule needs one of the bytes or words below.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, BuildError, MatchKind};

#[derive(Debug)]
pub(super) struct Prefilter {
    words: AhoCorasick,
}

/// Bytes without one of which no value can change a statement: quotes, blanks, operators, comments, parentheses.
const fn is_active(byte: u8) -> bool {
    matches!(
        byte,
        0..=b' '
            | b'\''
            | b'"'
            | b'`'
            | b'('
            | b')'
            | b';'
            | b'='
            | b'<'
            | b'>'
            | b'!'
            | b'#'
            | b'*'
            | b'|'
            | b'&'
            | b'@'
            | b'+'
            | 0xA0
    )
}

/// Looked up, not computed: every byte of a message is.
#[expect(clippy::indexing_slicing, reason = "the compiler runs it")]
static ACTIVE: [bool; 256] = {
    let mut active = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        active[byte] = is_active(byte.to_le_bytes()[0]);
        byte += 1;
    }
    active
};

/// Every rule needs one of these. Parts of words are enough: `exec` is in `execute`, `user` in `current_user`.
const NEEDLES: &[&str] = &[
    "'",
    "\"",
    "`",
    "(",
    ";",
    "=",
    "<",
    ">",
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
    "#",
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

/// The same for every policy, so compiled once, not with every Ruleset.
static WORDS: LazyLock<Result<AhoCorasick, BuildError>> = LazyLock::new(|| {
    AhoCorasick::builder().ascii_case_insensitive(true).match_kind(MatchKind::Standard).build(NEEDLES)
});

impl Prefilter {
    pub(super) fn build() -> Result<Self, BuildError> {
        Ok(Self { words: WORDS.clone()? })
    }

    pub(super) fn may_match(&self, value: &[u8]) -> bool {
        let active = |byte: &u8| ACTIVE.get(usize::from(*byte)).copied().unwrap_or(true);
        value.iter().any(active) && self.words.is_match(value)
    }
}
