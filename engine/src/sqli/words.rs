//! The vocabulary: SQL words that shape a statement, and how names are looked up. Sorted, which a test asserts.

use super::functions::CATALOGS;
use crate::ascii;

/// A word that shapes a statement. Words that do the same for the grammar share a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// `or`, `xor`
    Or,
    And,
    Not,
    /// `union`, `intersect`, `except`, `minus`
    SetOperator,
    /// `all`, `distinct`, `any`, `some`: before a list or a subselect
    Quantifier,
    Select,
    Values,
    From,
    Where,
    Order,
    Group,
    By,
    /// `asc`, `desc`
    Direction,
    Having,
    Limit,
    Offset,
    Procedure,
    Into,
    /// `outfile`, `dumpfile`
    File,
    /// `like`, `rlike`, `regexp`, `glob` and others that stand between two operands
    Like,
    /// `sounds`, which is an operator before `like` alone
    Sounds,
    Is,
    In,
    Between,
    /// `div`, `mod`
    Math,
    /// `null`, `true`, `current_date` and others that are operands by themselves
    Constant,
    Case,
    When,
    Then,
    Else,
    End,
    Exists,
    Interval,
    /// `binary`, `prior`: before an operand, without effect here
    Prefix,
    Collate,
    Escape,
    As,
    Join,
    /// `inner`, `left`, `natural` and others before `join`
    JoinKind,
    On,
    Using,
    /// `for`, `lock`, `fetch`, `returning`: clauses whose inside does not matter
    Tail,
    Top,
    /// `insert`, `replace`
    Insert,
    Update,
    Set,
    Delete,
    /// `drop`, `create`, `alter`, `truncate`, `rename`
    Define,
    /// `table`, `database`, `user` and others that are defined
    Object,
    /// `exec`, `execute`, `call`
    Execute,
    Declare,
    Waitfor,
    Shutdown,
    Copy,
    /// `grant`, `revoke`
    Grant,
    Begin,
    If,
    With,
    /// `load`, `handler`, `prepare`, `attach`, `backup`, `use`, `show`, `dbcc`, `pragma`: other statements
    Other,
}

use Word as W;

/// SQL words.
pub(super) static WORDS: Table<Word> = Table::new(&[
    ("all", W::Quantifier),
    ("alter", W::Define),
    ("and", W::And),
    ("any", W::Quantifier),
    ("as", W::As),
    ("asc", W::Direction),
    ("attach", W::Other),
    ("backup", W::Other),
    ("begin", W::Begin),
    ("between", W::Between),
    ("binary", W::Prefix),
    ("by", W::By),
    ("call", W::Execute),
    ("case", W::Case),
    ("collate", W::Collate),
    ("column", W::Object),
    ("copy", W::Copy),
    ("create", W::Define),
    ("cross", W::JoinKind),
    ("current_catalog", W::Constant),
    ("current_date", W::Constant),
    ("current_role", W::Constant),
    ("current_schema", W::Constant),
    ("current_time", W::Constant),
    ("current_timestamp", W::Constant),
    ("current_user", W::Constant),
    ("database", W::Object),
    ("dbcc", W::Other),
    ("declare", W::Declare),
    ("delete", W::Delete),
    ("desc", W::Direction),
    ("distinct", W::Quantifier),
    ("distinctrow", W::Quantifier),
    ("div", W::Math),
    ("drop", W::Define),
    ("dumpfile", W::File),
    ("else", W::Else),
    ("end", W::End),
    ("escape", W::Escape),
    ("except", W::SetOperator),
    ("exec", W::Execute),
    ("execute", W::Execute),
    ("exists", W::Exists),
    ("false", W::Constant),
    ("fetch", W::Tail),
    ("for", W::Tail),
    ("from", W::From),
    ("full", W::JoinKind),
    ("function", W::Object),
    ("glob", W::Like),
    ("grant", W::Grant),
    ("group", W::Group),
    ("handler", W::Other),
    ("having", W::Having),
    ("if", W::If),
    ("ilike", W::Like),
    ("in", W::In),
    ("index", W::Object),
    ("inner", W::JoinKind),
    ("insert", W::Insert),
    ("intersect", W::SetOperator),
    ("interval", W::Interval),
    ("into", W::Into),
    ("is", W::Is),
    ("join", W::Join),
    ("left", W::JoinKind),
    ("like", W::Like),
    ("limit", W::Limit),
    ("load", W::Other),
    ("lock", W::Tail),
    ("login", W::Object),
    ("match", W::Like),
    ("minus", W::SetOperator),
    ("mod", W::Math),
    ("natural", W::JoinKind),
    ("not", W::Not),
    ("null", W::Constant),
    ("offset", W::Offset),
    ("on", W::On),
    ("or", W::Or),
    ("order", W::Order),
    ("outer", W::JoinKind),
    ("outfile", W::File),
    ("pragma", W::Other),
    ("prepare", W::Other),
    ("prior", W::Prefix),
    ("procedure", W::Procedure),
    ("regexp", W::Like),
    ("rename", W::Define),
    ("replace", W::Insert),
    ("returning", W::Tail),
    ("revoke", W::Grant),
    ("right", W::JoinKind),
    ("rlike", W::Like),
    ("role", W::Object),
    ("schema", W::Object),
    ("select", W::Select),
    ("sequence", W::Object),
    ("session_user", W::Constant),
    ("set", W::Set),
    ("show", W::Other),
    ("shutdown", W::Shutdown),
    ("similar", W::Like),
    ("some", W::Quantifier),
    ("sounds", W::Sounds),
    ("straight_join", W::JoinKind),
    ("sysdate", W::Constant),
    ("system_user", W::Constant),
    ("table", W::Object),
    ("tablespace", W::Object),
    ("then", W::Then),
    ("top", W::Top),
    ("trigger", W::Object),
    ("true", W::Constant),
    ("truncate", W::Define),
    ("union", W::SetOperator),
    ("update", W::Update),
    ("use", W::Other),
    ("user", W::Object),
    ("using", W::Using),
    ("values", W::Values),
    ("view", W::Object),
    ("waitfor", W::Waitfor),
    ("when", W::When),
    ("where", W::Where),
    ("with", W::With),
    ("xor", W::Or),
]);

/// Names and what they mean, found by their first letter: most names of a text are in no table, and each is looked up.
#[derive(Debug)]
pub(super) struct Table<T: 'static> {
    pub(super) entries: &'static [(&'static str, T)],
    /// Where the entries with each letter begin, and where the last ones end.
    starts: [usize; LETTERS + 1],
    shapes: [u64; 256],
}

const LETTERS: usize = 26;

impl<T: Copy> Table<T> {
    /// Sorted entries in lower case, which a test asserts. Each begins with a letter, or this does not compile.
    #[expect(clippy::indexing_slicing, reason = "the compiler runs it")]
    pub(super) const fn new(entries: &'static [(&'static str, T)]) -> Self {
        let mut starts = [entries.len(); LETTERS + 1];
        let mut index = entries.len();
        while index > 0 {
            index -= 1;
            starts[letter(entries[index].0.as_bytes()[0])] = index;
        }
        // Letters without an entry begin where the next one does.
        let mut at = LETTERS;
        while at > 0 {
            at -= 1;
            if starts[at] > starts[at + 1] {
                starts[at] = starts[at + 1];
            }
        }
        Self { entries, starts, shapes: ascii::shapes_of(entries) }
    }

    /// Looks a name up, whatever its case.
    pub(super) fn find(&self, name: &[u8]) -> Option<T> {
        if !ascii::has_shape(&self.shapes, name) {
            return None;
        }
        let letter = letter(*name.first()?);
        let (start, end) = (*self.starts.get(letter)?, *self.starts.get(letter + 1)?);
        let is_name = |(entry, _): &&(&str, T)| entry.as_bytes().eq_ignore_ascii_case(name);
        self.entries.get(start..end)?.iter().find(is_name).map(|(_, value)| *value)
    }
}

/// The place of a letter in the alphabet, whatever its case; out of it for other bytes.
const fn letter(byte: u8) -> usize {
    (byte | 0x20).wrapping_sub(b'a') as usize
}

/// Names of functions that no language has a word for.
pub(super) fn is_short_for(name: &[u8]) -> bool {
    const NAMES: &[&str] = &[
        "benchmark",
        "char_length",
        "compress",
        "concat",
        "concat_ws",
        "cos",
        "group_concat",
        "hex",
        "ifnull",
        "iif",
        "ltrim",
        "nvl",
        "rand",
        "rtrim",
        "sin",
        "substr",
        "uncompress",
        "unhex",
    ];
    NAMES.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

/// Types that attackers cast to, so that what they read is told in an error.
pub(super) fn is_type(name: &[u8]) -> bool {
    const TYPES: &[&str] = &[
        "bigint",
        "bool",
        "boolean",
        "bytea",
        "char",
        "date",
        "decimal",
        "double",
        "float",
        "int",
        "int2",
        "int4",
        "int8",
        "integer",
        "json",
        "jsonb",
        "numeric",
        "real",
        "regclass",
        "smallint",
        "text",
        "timestamp",
        "uuid",
        "varchar",
        "xml",
    ];
    TYPES.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

pub(super) fn is_catalog(name: &[u8]) -> bool {
    CATALOGS.iter().any(|catalog| catalog.as_bytes().eq_ignore_ascii_case(name))
}
