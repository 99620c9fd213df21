//! Operands: literals, names, calls, and what stands in parentheses.

use super::evidence::Facts;
use super::expression::Shape;
use super::functions::{FUNCTIONS, Function, PACKAGES};
use super::lexer::{Kind, Token};
use super::parser::{Parser, Read, Stop};
use super::words::{self, Word};
use crate::ascii;

impl Parser<'_> {
    pub(super) fn operand(&mut self) -> Read<Shape> {
        self.deeper(|parser| {
            let shape = parser.bare_operand()?;
            loop {
                if parser.eat_kind(Kind::Cast) {
                    if matches!(shape, Shape::Compound) && words::is_type(parser.text(parser.token())) {
                        parser.facts.add(Facts::HOSTILE);
                    }
                    if !parser.eat_kind(Kind::Name) {
                        return Err(Stop);
                    }
                    if parser.at_name(b"precision") {
                        parser.bump();
                    }
                } else if parser.eat(Word::Collate) {
                    parser.bump();
                } else {
                    return Ok(shape);
                }
            }
        })
    }

    fn bare_operand(&mut self) -> Read<Shape> {
        while matches!(self.kind(), Kind::Math | Kind::Bang | Kind::Word(Word::Prefix | Word::Not)) {
            if self.kind() == Kind::Word(Word::Prefix) {
                self.facts.add(Facts::CALCULATED);
            }
            self.bump();
        }
        let token = self.token();
        match token.kind {
            Kind::Number => {
                self.hard += 1;
                self.bump();
                Ok(Shape::Constant)
            }
            Kind::Text { .. } => {
                while let Kind::Text { open } = self.kind() {
                    // `"union select" is ..`: what follows a phrase in quotes is not a text of a select list.
                    self.hard += usize::from(!open);
                    self.bump();
                }
                Ok(Shape::Constant)
            }
            Kind::Question => {
                self.bump();
                Ok(Shape::Compound)
            }
            Kind::Variable => {
                self.hard += 1;
                if self.text(token).starts_with(b"@@") {
                    self.facts.add(Facts::INFORMATION);
                }
                self.bump();
                if matches!(self.kind(), Kind::Compare) && self.text(self.token()) == b":=" {
                    self.bump();
                    self.sum()?;
                }
                Ok(Shape::Compound)
            }
            Kind::Open => self.parenthesised(),
            Kind::OpenBrace => self.braced(),
            Kind::Name => self.named(),
            Kind::Word(word) => self.worded(word),
            _ => Err(Stop),
        }
    }

    fn worded(&mut self, word: Word) -> Read<Shape> {
        match word {
            Word::Constant => {
                self.hard += 1;
                self.bump();
                if matches!(self.kind(), Kind::Open) {
                    return self.call(Some(Function::Information));
                }
                Ok(Shape::Constant)
            }
            Word::Case => self.case(),
            Word::Exists => {
                self.bump();
                self.facts.add(Facts::EXISTS);
                self.operand()
            }
            Word::Interval => {
                self.bump();
                let shape = self.sum()?;
                self.eat_kind(Kind::Name);
                Ok(shape)
            }
            Word::Quantifier if matches!(self.peek(), Kind::Open) => {
                self.bump();
                self.operand()
            }
            Word::Select => {
                self.subselect()?;
                Ok(Shape::Compound)
            }
            // `if(..)`, `left(..)`, `user()`, `insert(..)`: words that are functions, too.
            Word::If
            | Word::Like
            | Word::JoinKind
            | Word::Insert
            | Word::Object
            | Word::Math
            | Word::Values
                if matches!(self.peek(), Kind::Open) =>
            {
                self.named()
            }
            // `x.user`, `table.column` and plain columns with such names.
            Word::Object | Word::Offset | Word::Tail | Word::Other | Word::Escape | Word::Copy => {
                self.named()
            }
            _ => Err(Stop),
        }
    }

    fn named(&mut self) -> Read<Shape> {
        let first = self.token();
        let mut last = first;
        self.bump();
        let mut parts = 1;
        while matches!(self.kind(), Kind::Dot) {
            self.bump();
            match self.kind() {
                Kind::Dot => {}
                Kind::Star => {
                    self.hard += 1;
                    self.bump();
                }
                Kind::Name | Kind::Word(_) => {
                    last = self.token();
                    self.bump();
                    parts += 1;
                }
                _ => return Err(Stop),
            }
        }
        if parts > 1 && words::is_catalog(self.text(first)) {
            self.facts.add(Facts::CATALOG);
        }
        if matches!(self.kind(), Kind::Open) {
            let function = self.function(first, last, parts);
            return self.call(function);
        }
        if matches!(PACKAGES.find(self.text(first)), Some(Function::Error)) && parts > 1 {
            self.facts.add(Facts::ERROR);
        }
        Ok(Shape::Name(Token { kind: Kind::Name, start: first.start, end: last.end }))
    }

    fn function(&self, first: Token, last: Token, parts: usize) -> Option<Function> {
        if parts > 1
            && let Some(function) = PACKAGES.find(self.text(first))
        {
            return Some(function);
        }
        let name = self.text(last);
        if ascii::starts(name, b"xp_") {
            return Some(Function::System);
        }
        FUNCTIONS
            .find(name)
            // `time.sleep(5)`, `user.left(..)`: a method of some language, unless the database's own schema is named.
            .filter(|function| {
                parts == 1
                    || matches!(
                        function,
                        Function::Error | Function::System | Function::Time | Function::Repeat
                    )
            })
    }

    /// The arguments of a function, loosely: conditions separated by commas or by words such as `from` and `as`.
    fn call(&mut self, function: Option<Function>) -> Read<Shape> {
        self.hard += 1;
        self.facts.add(match function {
            Some(Function::Time) => Facts::TIME,
            Some(Function::Sleep) => Facts::SLEEP,
            Some(Function::Error) => Facts::ERROR,
            Some(Function::System) => Facts::SYSTEM,
            Some(Function::Information) => Facts::INFORMATION,
            Some(Function::Text) => Facts::TEXT_FUNCTION,
            Some(Function::Repeat) | None => Facts::OTHER_FUNCTION,
        });
        // `max (` is what people type; `concat (` is not.
        let name = self.last_name();
        let is_apart = self.end < self.token().start && !words::is_short_for(name);
        self.bump();
        if function.is_some() && !is_apart && self.kind() == Kind::End {
            self.facts.add(Facts::CUT);
        }
        if function == Some(Function::Sleep) && (self.kind(), self.peek()) == (Kind::Number, Kind::Close) {
            self.facts.add(Facts::PAUSE);
        }
        while !matches!(self.kind(), Kind::Close | Kind::End) {
            if function == Some(Function::Repeat) && self.kind() == Kind::Comma {
                self.facts.add(Facts::TIME);
            }
            match self.kind() {
                Kind::Comma
                | Kind::Star
                | Kind::Word(
                    Word::From
                    | Word::Where
                    | Word::Having
                    | Word::As
                    | Word::Using
                    | Word::Quantifier
                    | Word::Tail
                    | Word::In
                    | Word::Order
                    | Word::By
                    | Word::Direction,
                ) => self.bump(),
                _ => {
                    self.condition()?;
                    // `cast(x as decimal(1, 2))`, `group_concat(x separator ',')`, `trim(both ' ' from x)`
                    while matches!(self.kind(), Kind::Name | Kind::Text { .. }) {
                        self.bump();
                    }
                }
            }
        }
        self.cut |= !self.eat_kind(Kind::Close);
        Ok(Shape::Compound)
    }

    fn subselect(&mut self) -> Read<()> {
        let hard = self.hard;
        let read = self.select();
        // Also when it breaks off: what was read is enough for the rules.
        if self.hard > hard {
            self.facts.add(Facts::SUBSELECT);
        }
        read.map(|_| ())
    }

    fn parenthesised(&mut self) -> Read<Shape> {
        self.bump();
        let mut shape = Shape::Compound;
        if matches!(self.kind(), Kind::Word(Word::Select | Word::With | Word::Values)) {
            self.subselect()?;
        } else {
            shape = self.condition()?;
            // `(select 1) union (select 2)` inside further parentheses
            self.set_operators()?;
            while self.eat_kind(Kind::Comma) {
                self.condition()?;
                shape = Shape::Constant;
            }
        }
        match self.kind() {
            Kind::Close => {
                self.bump();
                Ok(shape)
            }
            // The statement around the value closes it.
            Kind::End | Kind::Comment | Kind::Semicolon => Ok(shape),
            _ => Err(Stop),
        }
    }

    /// `{ts '..'}` of ODBC, and `{x 1}` as MySQL reads it.
    fn braced(&mut self) -> Read<Shape> {
        self.bump();
        self.bump();
        let shape = self.condition()?;
        if self.eat_kind(Kind::CloseBrace) { Ok(shape) } else { Err(Stop) }
    }

    fn case(&mut self) -> Read<Shape> {
        self.bump();
        if !matches!(self.kind(), Kind::Word(Word::When)) {
            self.condition()?;
        }
        while self.eat(Word::When) {
            let seen = std::mem::replace(&mut self.boolean_seen, true);
            self.condition()?;
            self.boolean_seen = seen;
            if !self.eat(Word::Then) {
                return Err(Stop);
            }
            self.facts.add(Facts::CASE);
            self.condition()?;
        }
        if self.eat(Word::Else) {
            self.condition()?;
        }
        if !self.eat(Word::End) && !matches!(self.kind(), Kind::End) {
            return Err(Stop);
        }
        Ok(Shape::Compound)
    }
}
