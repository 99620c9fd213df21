//! How a value goes on where an operand of a statement has ended: the cursor over the tokens, and the list of things
//! that may stand there. Expressions and statements are in files of their own.

use super::evidence::{Context, Ending, Evidence, Facts, Opener, Operand};
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
        &self,
        context: Context,
        operand: Operand,
        opener: Opener,
        start: usize,
        read: &Read<()>,
    ) -> Evidence {
        let ending = match (read, self.kind()) {
            (Ok(()), Kind::Comment) => Ending::Comment { tidy: self.is_tidy(context) },
            (Ok(()), Kind::End) if self.closes(context) => Ending::OpenText,
            (Ok(()), Kind::End) => Ending::Complete,
            (Err(_), Kind::End | Kind::Comment) => Ending::Incomplete,
            _ => Ending::Broken,
        };
        let end = if self.kind() == Kind::Comment { self.current.end } else { self.end };
        Evidence {
            context,
            operand,
            opener,
            ending,
            facts: self.facts,
            prose: false,
            start,
            end: end.max(start),
        }
    }

    fn closes(&self, context: Context) -> bool {
        self.open_text.is_some_and(|open| context == Context::Quoted(open))
    }

    /// An attacker's comment is empty or short. A flag, a heading, a colour or a path in quotes is not.
    fn is_tidy(&self, context: Context) -> bool {
        let comment = self.text(self.current);
        let dashes = comment.starts_with(b"--") || comment.starts_with(b"/*");
        let inside = comment.get(if dashes { 2 } else { 1 }..).unwrap_or_default();
        let quoted = match context {
            Context::Quoted(quote) => inside.contains(&quote),
            _ => false,
        };
        !quoted && inside.len() <= 40
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
        let opener = self.opener();
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
        }
        match self.kind() {
            Kind::Comment => Opener::Comment,
            Kind::Word(Word::Or | Word::And) | Kind::Ampersands => Opener::Boolean,
            Kind::Pipes => Opener::Pipes,
            Kind::Word(Word::SetOperator) => Opener::SetOperator,
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
                Opener::Compare => {
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
        let alone = matches!(self.kind(), Kind::Word(Word::Shutdown)) && separated;
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
        let strong = self.statement()? || (alone && self.at_end());
        self.facts.add(if strong { Facts::STACKED } else { Facts::STACKED_WEAK });
        Ok(())
    }
}
