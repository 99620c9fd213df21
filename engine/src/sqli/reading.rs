//! How a value goes on where an operand of a statement has ended: the list of things that may stand there, and what
//! came of reading them.

use super::evidence::{Context, Ending, Evidence, Facts, Opener, Operand, Prefix, Remark};
use super::expression::Shape;
use super::functions::{FUNCTIONS, Function, PACKAGES};
use super::lexer::Kind;
use super::parser::{Parser, Read, Stop};
use super::words::Word;

impl Parser<'_> {
    fn evidence(
        &mut self,
        context: Context,
        operand: Operand,
        opener: Opener,
        start: usize,
        read: &Read<()>,
    ) -> Evidence {
        let left = self.left();
        let (masked, cut_lines) = self.masks();
        let ending = match (read, self.kind()) {
            (Ok(()), Kind::Comment) => Ending::Comment(self.remark(context)),
            (Ok(()), Kind::End) if self.cut && context == Context::Statement => Ending::Incomplete,
            (Ok(()), Kind::End) if self.closes(context) => Ending::OpenText,
            (Ok(()), Kind::End) => Ending::Complete,
            (Err(_), Kind::End | Kind::Comment) => Ending::Incomplete,
            _ => Ending::Broken { commented: self.skim(opener) },
        };
        let end = if self.kind() == Kind::Comment { self.token().end } else { self.end };
        let comment = if self.kind() == Kind::Comment { self.text(self.token()) } else { &[] };
        Evidence {
            context,
            operand,
            opener,
            ending,
            facts: self.facts,
            prefix: self.prefix,
            start,
            end: end.max(start),
            left,
            hard: self.hard,
            masked,
            cut_lines,
            mark: comment.first().copied().unwrap_or(0),
            parameter: false,
        }
    }

    /// Looks through what could not be read for what no ordinary value has, because no grammar knows all dialects.
    /// Gives whether it ends in a comment.
    fn skim(&mut self, opener: Opener) -> bool {
        if matches!(opener, Opener::Nothing | Opener::Text | Opener::Comment)
            && self.facts == Facts::default()
        {
            return false;
        }
        while !matches!(self.kind(), Kind::End | Kind::Comment) {
            match (self.kind(), self.peek()) {
                (Kind::Name, Kind::Open) => self.skim_function(FUNCTIONS.find(self.text(self.token()))),
                (Kind::Name, Kind::Dot) => self.skim_function(PACKAGES.find(self.text(self.token()))),
                (Kind::Word(Word::SetOperator), Kind::Word(Word::Select | Word::Quantifier)) => {
                    // What stops it is what stopped the reading before; the loop goes on from there.
                    let _ = self.set_operators();
                    continue;
                }
                _ => {}
            }
            self.bump();
        }
        self.kind() == Kind::Comment
    }

    fn skim_function(&mut self, function: Option<Function>) {
        let fact = match function {
            Some(Function::Time) => Facts::TIME,
            Some(Function::Error) => Facts::ERROR,
            Some(Function::System) => Facts::SYSTEM,
            _ => return,
        };
        self.facts.add(fact);
    }

    fn closes(&self, context: Context) -> bool {
        self.open_text.is_some_and(|open| context == Context::Quoted(open))
    }

    fn remark(&self, context: Context) -> Remark {
        let comment = self.text(self.token());
        let hash = comment.starts_with(b"#");
        let inside = comment.get(if hash { 1 } else { 2 }..).unwrap_or_default();
        let quoted = match context {
            Context::Quoted(quote) => inside.contains(&quote),
            _ => false,
        };
        let blank_before = self.end < self.token().start;
        match inside.first() {
            Some(first) if hash && blank_before && first.is_ascii_alphanumeric() => Remark::Number,
            _ if quoted || inside.len() > 40 => Remark::Untidy,
            _ if inside.iter().any(u8::is_ascii_alphanumeric) => Remark::Words,
            _ => Remark::Tidy,
        }
    }
}

impl Parser<'_> {
    /// Reads what follows a closed quote.
    pub(super) fn after_quote(mut self, quote: u8, start: usize, prefix: Prefix) -> (Self, Evidence) {
        self.prefix = prefix;
        let (opener, read) =
            self.first_opener().map_or((Opener::Alias, Err(Stop)), |opener| (opener, Ok(())));
        let read = read.and_then(|()| self.continuations(true));
        let evidence = self.evidence(Context::Quoted(quote), Operand::Absent, opener, start, &read);
        (self, evidence)
    }

    /// Reads a value that stands where a number, a name or an expression does.
    pub(super) fn bare(mut self) -> (Self, Evidence) {
        let mut operand = Operand::Absent;
        let mut read = Ok(());
        let mut start = self.token().start;
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
                start = self.token().start;
            }
        }
        let opener =
            if read.is_ok() { self.first_opener().unwrap_or(Opener::Alias) } else { Opener::Nothing };
        let read = read.and_then(|()| self.continuations(false));
        let evidence = self.evidence(Context::Bare, operand, opener, start, &read);
        (self, evidence)
    }

    /// Reads a value that is a statement by itself.
    pub(super) fn whole(mut self) -> (Self, Evidence) {
        let start = self.token().start;
        let read = self.statement().and_then(|strong| {
            if strong {
                self.facts.add(Facts::STATEMENT);
            }
            self.continuations(false)
        });
        let evidence = self.evidence(Context::Statement, Operand::Absent, Opener::Statement, start, &read);
        (self, evidence)
    }

    /// How the value goes on, behind what only ends a select in parentheses or a full-text search.
    fn first_opener(&mut self) -> Read<Opener> {
        loop {
            match self.opener() {
                Opener::Alias => self.alias_of_parentheses()?,
                opener => return Ok(opener),
            }
        }
    }

    fn alias_of_parentheses(&mut self) -> Read<()> {
        self.bump();
        if self.kind() != Kind::Name {
            return Err(Stop);
        }
        while self.kind() == Kind::Name {
            self.bump();
        }
        Ok(())
    }

    /// What kind of going on the current token begins, past closing parentheses and `asc`.
    fn opener(&mut self) -> Opener {
        while matches!(self.kind(), Kind::Close | Kind::CloseBracket | Kind::Word(Word::Direction)) {
            let direction = matches!(self.kind(), Kind::Word(_));
            self.bump();
            self.after_close = !direction;
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
            Kind::Compare if matches!(self.text(self.token()), b"<" | b">" | b"<=" | b">=") => {
                Opener::Relation
            }
            Kind::Compare
            | Kind::Question
            | Kind::Word(Word::Like | Word::Is | Word::In | Word::Between | Word::Not) => Opener::Compare,
            Kind::Word(Word::Sounds) if self.peek() == Kind::Word(Word::Like) => Opener::Compare,
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
        let mut after_text = quoted;
        loop {
            let opener = self.opener();
            match opener {
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
                Opener::Alias => self.alias_of_parentheses()?,
                Opener::Parenthesis => {
                    self.sum()?;
                }
                // Texts side by side are one text; a text behind a number is not SQL: `5' or 6'`.
                Opener::Text if after_text => {
                    self.sum()?;
                }
                Opener::Text | Opener::Nothing => {
                    return if self.kind() == Kind::End { Ok(()) } else { Err(Stop) };
                }
            }
            after_text = false;
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
                Word::Waitfor
                    | Word::Execute
                    | Word::Declare
                    | Word::If
                    | Word::Define
                    | Word::Insert
                    | Word::Update
            )
        );
        if !separated && !plain {
            return Err(Stop);
        }
        let call = self.kind() == Kind::Open || (self.kind() == Kind::Name && self.peek() == Kind::Open);
        let strong = if separated && call {
            self.condition()?;
            self.facts.any(Facts::SUBSELECT)
        } else {
            self.statement()?
        };
        self.facts.add(if strong { Facts::STACKED } else { Facts::STACKED_WEAK });
        Ok(())
    }
}
