//! How a value goes on where an operand of a statement has ended: the cursor over the tokens, and the list of things
//! that may stand there. Expressions and statements are in files of their own.

use super::evidence::{Context, Ending, Evidence, Facts, Opener, Operand, Prefix, Remark};
use super::expression::Shape;
use super::lexer::{Kind, Lexer, Token};
use super::words::Word;

/// Reading stopped at the current token.
#[derive(Debug)]
pub(super) struct Stop;

pub(super) type Read<T> = Result<T, Stop>;

pub(super) struct Parser<'a> {
    lexer: Lexer<'a>,
    current: Token,
    next: Token,
    /// End of the last token that was read.
    end: usize,
    /// The quote of the last token, if that is a text that the statement around the value closes.
    open_text: Option<u8>,
    /// Whether the last token read is a closing parenthesis that the statement around the value opened.
    after_close: bool,
    pub(super) facts: Facts,
    /// A boolean operator or a condition's word was read, so a comparison now is a condition of its own.
    pub(super) boolean_seen: bool,
    /// Tokens that prose does not have.
    pub(super) hard: usize,
    pub(super) depth: usize,
    pub(super) too_deep: bool,
}

impl<'a> Parser<'a> {
    /// Each level takes a few hundred bytes of stack; real queries nest less than ten levels.
    pub(super) const MAX_DEPTH: usize = 96;

    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        let mut lexer = Lexer::new(bytes, at);
        let (current, next) = (lexer.next(), lexer.next());
        Self {
            lexer,
            current,
            next,
            end: at,
            open_text: None,
            after_close: false,
            facts: Facts::default(),
            boolean_seen: false,
            hard: 0,
            depth: 0,
            too_deep: false,
        }
    }

    pub(super) fn work(&self) -> usize {
        self.lexer.work
    }

    pub(super) fn token(&self) -> Token {
        self.current
    }

    pub(super) fn kind(&self) -> Kind {
        self.current.kind
    }

    pub(super) fn peek(&self) -> Kind {
        self.next.kind
    }

    pub(super) fn text(&self, token: Token) -> &'a [u8] {
        self.lexer.text(token)
    }

    pub(super) fn bump(&mut self) {
        if self.current.kind != Kind::End {
            self.end = self.current.end;
            self.open_text = match self.current.kind {
                Kind::Text { open: true } => {
                    self.text(self.current).iter().copied().find(|byte| b"'\"`$".contains(byte))
                }
                _ => None,
            };
        }
        self.after_close = false;
        self.current = self.next;
        if self.next.kind != Kind::End {
            self.next = self.lexer.next();
        }
    }

    pub(super) fn eat(&mut self, word: Word) -> bool {
        self.eat_kind(Kind::Word(word))
    }

    pub(super) fn eat_kind(&mut self, kind: Kind) -> bool {
        let eaten = self.current.kind == kind;
        if eaten {
            self.bump();
        }
        eaten
    }

    pub(super) fn at_name(&self, name: &[u8]) -> bool {
        self.current.kind == Kind::Name && self.text(self.current).eq_ignore_ascii_case(name)
    }

    /// Whether a statement may end here.
    pub(super) fn at_end(&self) -> bool {
        matches!(self.kind(), Kind::End | Kind::Comment | Kind::Semicolon | Kind::Close)
    }

    fn evidence(
        &mut self,
        context: Context,
        operand: Operand,
        opener: Opener,
        start: usize,
        read: &Read<()>,
    ) -> Evidence {
        let ending = match (read, self.kind()) {
            (Ok(()), Kind::Comment) => Ending::Comment(self.remark(context)),
            (Ok(()), Kind::End) if self.closes(context) => Ending::OpenText,
            (Ok(()), Kind::End) => Ending::Complete,
            (Err(_), Kind::End | Kind::Comment) => Ending::Incomplete,
            _ => Ending::Broken { commented: self.is_commented_out() },
        };
        let end = if self.kind() == Kind::Comment { self.current.end } else { self.end };
        Evidence {
            context,
            operand,
            opener,
            ending,
            facts: self.facts,
            prefix: Prefix::Empty,
            start,
            end: end.max(start),
        }
    }

    /// Whether what could not be read ends in a comment. Only looked at where something was found before.
    fn is_commented_out(&mut self) -> bool {
        if self.facts == Facts::default() {
            return false;
        }
        while !matches!(self.kind(), Kind::End | Kind::Comment) {
            self.bump();
        }
        self.kind() == Kind::Comment
    }

    fn closes(&self, context: Context) -> bool {
        self.open_text.is_some_and(|open| context == Context::Quoted(open))
    }

    fn remark(&self, context: Context) -> Remark {
        let comment = self.text(self.current);
        let hash = comment.starts_with(b"#");
        let inside = comment.get(if hash { 1 } else { 2 }..).unwrap_or_default();
        let quoted = match context {
            Context::Quoted(quote) => inside.contains(&quote),
            _ => false,
        };
        let blank_before = self.end < self.current.start;
        match inside.first() {
            Some(first) if hash && blank_before && first.is_ascii_alphanumeric() => Remark::Number,
            _ if quoted || inside.len() > 40 => Remark::Untidy,
            _ => Remark::Tidy,
        }
    }
}

impl Parser<'_> {
    /// Reads what follows a closed quote.
    pub(super) fn after_quote(mut self, quote: u8, start: usize) -> (Self, Evidence) {
        let opener = self.opener();
        let read = self.continuations(true);
        let evidence = self.evidence(Context::Quoted(quote), Operand::Absent, opener, start, &read);
        (self, evidence)
    }

    /// Reads a value that stands where a number, a name or an expression does.
    pub(super) fn bare(mut self) -> (Self, Evidence) {
        let mut operand = Operand::Absent;
        let mut read = Ok(());
        let mut start = self.current.start;
        let opener = match (self.kind(), self.peek()) {
            // `exec("ls")` is a call in many languages.
            (Kind::Word(Word::Execute), Kind::Open) => Opener::Nothing,
            _ => self.opener(),
        };
        if matches!(opener, Opener::Nothing | Opener::Text | Opener::Math) {
            match self.operand() {
                Ok(shape) => {
                    operand = match shape {
                        Shape::Constant => Operand::Constant,
                        Shape::Name(_) => Operand::Name,
                        _ => Operand::Compound,
                    };
                }
                Err(stop) => read = Err(stop),
            }
            if operand != Operand::Compound {
                start = self.current.start;
            }
        }
        let opener = self.opener();
        let read = read.and_then(|()| self.continuations(false));
        let evidence = self.evidence(Context::Bare, operand, opener, start, &read);
        (self, evidence)
    }

    /// Reads a value that is a statement by itself.
    pub(super) fn whole(mut self) -> (Self, Evidence) {
        let start = self.current.start;
        let read = self.statement().and_then(|strong| {
            if strong {
                self.facts.add(Facts::STATEMENT);
            }
            self.continuations(false)
        });
        let evidence = self.evidence(Context::Statement, Operand::Absent, Opener::Statement, start, &read);
        (self, evidence)
    }

    /// What kind of going on the current token begins, past closing parentheses.
    fn opener(&mut self) -> Opener {
        while matches!(self.kind(), Kind::Close) {
            self.bump();
            self.after_close = true;
        }
        match self.kind() {
            Kind::Comment => Opener::Comment,
            // `) as x where ..` where the statement has a select in parentheses; `against ('..' in boolean mode)`.
            Kind::Word(Word::As) if self.after_close => Opener::Alias,
            Kind::Word(Word::In | Word::With) if self.peek() == Kind::Name => Opener::Alias,
            Kind::Open if self.peek() == Kind::Word(Word::Select) => Opener::Parenthesis,
            Kind::Word(Word::Or | Word::And) | Kind::Ampersands => Opener::Boolean,
            Kind::Pipes => Opener::Pipes,
            Kind::Word(Word::SetOperator) => Opener::SetOperator,
            Kind::Compare if matches!(self.text(self.current), b"<" | b">" | b"<=" | b">=") => {
                Opener::Relation
            }
            Kind::Compare | Kind::Word(Word::Like | Word::Is | Word::In | Word::Between | Word::Not) => {
                Opener::Compare
            }
            Kind::Math | Kind::Star | Kind::Word(Word::Math) | Kind::Cast => Opener::Math,
            Kind::Comma => Opener::Comma,
            Kind::Word(
                Word::Order
                | Word::Group
                | Word::Having
                | Word::Limit
                | Word::Offset
                | Word::Procedure
                | Word::Into
                | Word::Where
                | Word::Tail,
            ) => Opener::Clause,
            Kind::Semicolon => Opener::Statement,
            Kind::Word(Word::If | Word::Insert | Word::Values) if self.peek() == Kind::Open => {
                Opener::Nothing
            }
            Kind::Word(word) if Self::starts_statement(word) => Opener::Statement,
            Kind::Text { .. } => Opener::Text,
            _ => Opener::Nothing,
        }
    }

    /// Everything that may follow an operand, as often as it follows.
    fn continuations(&mut self, quoted: bool) -> Read<()> {
        loop {
            match self.opener() {
                Opener::Comment => return Ok(()),
                Opener::Boolean => {
                    self.boolean_rest(Shape::Outside)?;
                }
                Opener::Pipes => self.pipes()?,
                Opener::SetOperator => self.set_operators()?,
                Opener::Compare | Opener::Relation => {
                    self.comparison_rest(Shape::Outside)?;
                    // `not` without `in`, `like` or `between`
                    if matches!(self.kind(), Kind::Word(Word::Not)) {
                        return Err(Stop);
                    }
                }
                Opener::Math => {
                    while self.eat_kind(Kind::Cast) {
                        self.bump();
                    }
                    self.sum_rest(Shape::Outside)?;
                }
                Opener::Comma => {
                    self.bump();
                    self.condition()?;
                }
                Opener::Clause => self.clauses()?,
                Opener::Statement => self.further_statement()?,
                Opener::Alias => {
                    self.bump();
                    self.bump();
                    while self.kind() == Kind::Name {
                        self.bump();
                    }
                }
                Opener::Parenthesis => {
                    self.sum()?;
                }
                Opener::Text if quoted => {
                    self.sum()?;
                }
                Opener::Text | Opener::Nothing => {
                    return if self.kind() == Kind::End { Ok(()) } else { Err(Stop) };
                }
            }
        }
    }

    /// `||` concatenates, and is `or` in MySQL: what follows may be a condition.
    fn pipes(&mut self) -> Read<()> {
        self.facts.add(Facts::PIPES);
        self.bump();
        self.boolean_seen = true;
        self.condition().map(|_| ())
    }

    /// `; drop table x`, or without the semicolon as T-SQL allows.
    fn further_statement(&mut self) -> Read<()> {
        let mut separated = false;
        while self.eat_kind(Kind::Semicolon) {
            separated = true;
        }
        if matches!(self.kind(), Kind::End | Kind::Comment) {
            return Ok(());
        }
        // Without a semicolon, only what prose can hardly be.
        let plain = matches!(
            self.kind(),
            Kind::Word(
                Word::Waitfor | Word::Execute | Word::Declare | Word::If | Word::Define | Word::Insert
            )
        );
        if !separated && !plain {
            return Err(Stop);
        }
        let strong = if separated && self.kind() == Kind::Open {
            self.condition()?;
            self.facts.any(Facts::SUBSELECT)
        } else {
            self.statement()?
        };
        self.facts.add(if strong { Facts::STACKED } else { Facts::STACKED_WEAK });
        Ok(())
    }
}
