//! What reading a value as SQL showed: the facts that the rules look at. Plain data; made by the parser, read by the
//! rules.

/// The place in a statement that the value is put into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Context {
    /// Inside this quote, which the value closes.
    Quoted(u8),
    /// Where a number, a name or an expression stands.
    Bare,
    /// At the start of a statement.
    Statement,
}

/// What a bare value starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    /// Nothing: it goes on where the statement was.
    Absent,
    Constant,
    Name,
    Compound,
}

/// What stands before the quote that a value closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    Empty,
    /// One word, as a user name or a number is.
    Word,
    Words,
    /// Code, markup or a long sentence.
    Prose,
}

/// How the value goes on where an operand has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opener {
    /// Not at all.
    Nothing,
    Comment,
    /// `or`, `and`, `xor`, `&&`
    Boolean,
    /// `||`
    Pipes,
    SetOperator,
    Compare,
    /// `<` or `>`, which mathematics and prose have, too
    Relation,
    /// Arithmetic, and `*`
    Math,
    Comma,
    Clause,
    Statement,
    /// Another text right behind.
    Text,
    /// `as x`, `in boolean mode`: what ends a select in parentheses or a full-text search.
    Alias,
    /// A `select` in parentheses.
    Parenthesis,
}

/// What is inside the comment at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remark {
    /// Nothing, or punctuation, as attackers write it.
    Tidy,
    /// Up to 40 bytes with letters or digits in them: an attacker's, or the rest of a sentence with a dash.
    Words,
    /// More, or the quote that the value closes: a flag, a heading, a colour or a path in quotes has that.
    Untidy,
    /// `7" #2 needle`: a blank before the mark and none behind it.
    Number,
}

/// How reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// All of it was read.
    Complete,
    /// In a comment that swallows what follows in the statement.
    Comment(Remark),
    /// In a text that the statement around the value closes.
    OpenText,
    /// Where an operand should have followed.
    Incomplete,
    /// At something that cannot stand there; `commented`: a comment ends the rest.
    Broken { commented: bool },
}

/// A set of facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts(u32);

impl Facts {
    /// After a boolean operator or in a condition: a comparison of constants, or of a name with itself.
    pub(super) const TAUTOLOGY: Self = Self(1);
    /// After a boolean operator: any other comparison.
    pub(super) const CONDITION: Self = Self(1 << 1);
    /// After a boolean operator: a constant alone.
    pub(super) const TRUTHY: Self = Self(1 << 2);
    /// A comparison elsewhere.
    pub(super) const COMPARISON: Self = Self(1 << 3);
    /// A `select` in parentheses with more than names in it.
    pub(super) const SUBSELECT: Self = Self(1 << 4);
    /// A set operator and a `select`.
    pub(super) const UNION: Self = Self(1 << 5);
    /// That `select` has more than names in it.
    pub(super) const UNION_STRONG: Self = Self(1 << 6);
    pub(super) const TIME: Self = Self(1 << 7);
    pub(super) const SLEEP: Self = Self(1 << 8);
    pub(super) const ERROR: Self = Self(1 << 9);
    pub(super) const SYSTEM: Self = Self(1 << 10);
    pub(super) const INFORMATION: Self = Self(1 << 11);
    pub(super) const TEXT_FUNCTION: Self = Self(1 << 12);
    pub(super) const OTHER_FUNCTION: Self = Self(1 << 13);
    /// `case when .. end`
    pub(super) const CASE: Self = Self(1 << 14);
    pub(super) const CATALOG: Self = Self(1 << 15);
    /// `into outfile`
    pub(super) const OUTFILE: Self = Self(1 << 16);
    /// A further statement, complete enough to do something.
    pub(super) const STACKED: Self = Self(1 << 17);
    /// A further statement that prose could be.
    pub(super) const STACKED_WEAK: Self = Self(1 << 18);
    /// The value is a statement by itself.
    pub(super) const STATEMENT: Self = Self(1 << 19);
    /// `having`
    pub(super) const HAVING: Self = Self(1 << 20);
    /// `order by` or `group by` a number
    pub(super) const ORDER_NUMBER: Self = Self(1 << 21);
    /// `procedure analyse(..)`
    pub(super) const PROCEDURE: Self = Self(1 << 22);
    /// `||` between operands
    pub(super) const PIPES: Self = Self(1 << 23);
    /// `exists (select ..)`
    pub(super) const EXISTS: Self = Self(1 << 24);
    /// That `select` has more than one thing in it that prose does not have.
    pub(super) const UNION_LONG: Self = Self(1 << 25);

    /// A comparison of constants outside of a condition.
    pub(super) const CONSTANTS: Self = Self(1 << 26);
    /// An operator joins operands or changes one.
    pub(super) const CALCULATED: Self = Self(1 << 27);
    /// `sleep(5)`: it waits for so long, whatever the name means elsewhere.
    pub(super) const PAUSE: Self = Self(1 << 28);
    /// After a boolean operator: an operator that compares, whatever it compares with.
    pub(super) const COMPARING: Self = Self(1 << 29);

    /// A known function is called, and the value ends behind the parenthesis that opens.
    pub(super) const CUT: Self = Self(1 << 30);
    /// What nobody sends but who takes a statement over: a variable is declared, a text is executed, a routine is created,
    /// the result of a call is cast.
    pub(super) const HOSTILE: Self = Self(1 << 31);

    pub(super) fn add(&mut self, facts: Self) {
        self.0 |= facts.0;
    }

    /// Whether any of these is in it.
    pub(super) fn any(self, facts: Self) -> bool {
        self.0 & facts.0 != 0
    }

    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Evidence {
    /// Of a form that no reading made.
    pub(super) fn of_form(start: usize, end: usize) -> Self {
        Self {
            context: Context::Bare,
            operand: Operand::Absent,
            opener: Opener::Nothing,
            ending: Ending::Complete,
            facts: Facts::default(),
            prefix: Prefix::Empty,
            start,
            end,
            left: 0,
            hard: 0,
            masked: false,
            cut_lines: false,
            mark: 0,
            parameter: true,
        }
    }
}

/// One reading of a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence {
    pub context: Context,
    pub operand: Operand,
    pub opener: Opener,
    pub ending: Ending,
    pub facts: Facts,
    pub prefix: Prefix,
    /// First byte of what goes on.
    pub start: usize,
    /// First byte that was not read.
    pub end: usize,
    /// Bytes that were not read.
    pub left: usize,
    /// Tokens that prose does not have.
    pub hard: usize,
    /// Comments stand between tokens, where blanks would do.
    pub masked: bool,
    /// So do comments to the end of a line.
    pub cut_lines: bool,
    /// The first byte of the comment that ends it, or 0.
    pub mark: u8,
    /// It is the value of a parameter, and not a piece of a document.
    pub parameter: bool,
}
