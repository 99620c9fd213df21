//! Expressions: operands, operators, conditions. Each method reads what it is named after and stops at the first token
//! that does not belong to it.

use super::evidence::Facts;
use super::lexer::{Kind, Token};
use super::parser::{Parser, Read, Stop};
use super::words::{self, FUNCTIONS, Function, PACKAGES, Word};

/// What an expression is, as far as comparisons care.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// Literals only.
    Constant,
    Name(Token),
    /// The operand in the statement around the value.
    Outside,
    Condition,
    Compound,
}

impl Parser<'_> {
    /// A condition: comparisons joined by boolean operators.
    pub(super) fn condition(&mut self) -> Read<Shape> {
        self.deeper(|parser| {
            let left = parser.comparison()?;
            parser.boolean_rest(left)
        })
    }

    /// `and x = 1 or ..`, where the operand on the left was read.
    pub(super) fn boolean_rest(&mut self, left: Shape) -> Read<Shape> {
        let mut shape = left;
        while self.at_boolean() {
            self.bump();
            self.boolean_seen = true;
            shape = self.boolean_operand()?;
        }
        Ok(shape)
    }

    pub(super) fn at_boolean(&self) -> bool {
        matches!(self.kind(), Kind::Word(Word::Or | Word::And) | Kind::Ampersands)
    }

    /// What follows a boolean operator; a constant alone is worth noting.
    pub(super) fn boolean_operand(&mut self) -> Read<Shape> {
        let shape = self.comparison()?;
        if matches!(shape, Shape::Constant) {
            self.facts.add(Facts::TRUTHY);
        }
        Ok(if matches!(shape, Shape::Constant | Shape::Name(_)) { Shape::Condition } else { shape })
    }

    fn comparison(&mut self) -> Read<Shape> {
        while matches!(self.kind(), Kind::Word(Word::Not) | Kind::Bang) {
            self.bump();
        }
        let left = self.sum()?;
        self.comparison_rest(left)
    }

    /// `= 1`, `like 'x'`, `in (1, 2)`, `between 1 and 2`, where the operand on the left was read.
    pub(super) fn comparison_rest(&mut self, left: Shape) -> Read<Shape> {
        let mut shape = left;
        loop {
            let negated = matches!(self.kind(), Kind::Word(Word::Not))
                && matches!(self.peek(), Kind::Word(Word::In | Word::Like | Word::Between));
            if negated {
                self.bump();
            }
            match self.kind() {
                Kind::Compare | Kind::Word(Word::Like) => {
                    self.bump();
                    // `sounds like`, `similar to`, `= any (..)`, `= not ..`
                    while matches!(
                        self.kind(),
                        Kind::Word(Word::Like | Word::Quantifier | Word::Not) | Kind::Bang
                    ) || self.at_name(b"to")
                    {
                        self.bump();
                    }
                    let right = self.sum()?;
                    self.compared(shape, right);
                    if self.eat(Word::Escape) {
                        self.operand()?;
                    }
                }
                Kind::Word(Word::Is) => self.is(shape)?,
                Kind::Word(Word::In) => {
                    self.bump();
                    let right = self.sum()?;
                    self.compared(shape, right);
                }
                Kind::Word(Word::Between) => {
                    self.bump();
                    let low = self.sum()?;
                    if !self.eat(Word::And) {
                        return Err(Stop);
                    }
                    let high = self.sum()?;
                    let right = if matches!(low, Shape::Constant) { high } else { low };
                    self.compared(shape, right);
                }
                _ => return Ok(shape),
            }
            shape = Shape::Condition;
        }
    }

    fn is(&mut self, left: Shape) -> Read<()> {
        self.bump();
        self.eat(Word::Not);
        if self.eat(Word::Quantifier) && !self.eat(Word::From) {
            return Err(Stop);
        }
        let literal = matches!(self.kind(), Kind::Word(Word::Constant));
        let right = self.sum()?;
        // `x is null` is what prose says, too: a constant on the left is needed to make it a tautology.
        if literal && matches!((left, right), (Shape::Constant, Shape::Constant)) {
            self.compared(left, right);
        }
        Ok(())
    }

    fn compared(&mut self, left: Shape, right: Shape) {
        let same = match (left, right) {
            (Shape::Constant, Shape::Constant) => true,
            (Shape::Name(left), Shape::Name(right)) => self.text(left).eq_ignore_ascii_case(self.text(right)),
            _ => false,
        };
        self.facts.add(match (self.boolean_seen, same) {
            (true, true) => Facts::TAUTOLOGY,
            (true, false) => Facts::CONDITION,
            (false, true) => Facts::COMPARISON.or(Facts::CONSTANTS),
            (false, false) => Facts::COMPARISON,
        });
    }

    /// Operands joined by arithmetic.
    pub(super) fn sum(&mut self) -> Read<Shape> {
        let left = self.operand()?;
        self.sum_rest(left)
    }

    pub(super) fn sum_rest(&mut self, left: Shape) -> Read<Shape> {
        let mut shape = left;
        loop {
            match self.kind() {
                Kind::Math | Kind::Star | Kind::Word(Word::Math) => self.bump(),
                Kind::Pipes => {
                    self.facts.add(Facts::PIPES);
                    self.bump();
                }
                _ => return Ok(shape),
            }
            let right = self.operand()?;
            shape = match (shape, right) {
                (Shape::Constant, Shape::Constant) => Shape::Constant,
                _ => Shape::Compound,
            };
        }
    }

    pub(super) fn operand(&mut self) -> Read<Shape> {
        self.deeper(|parser| {
            let shape = parser.bare_operand()?;
            loop {
                if parser.eat_kind(Kind::Cast) {
                    if !parser.eat_kind(Kind::Name) {
                        return Err(Stop);
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
        if matches!(words::lookup(PACKAGES, self.text(first)), Some(Function::Error)) && parts > 1 {
            self.facts.add(Facts::ERROR);
        }
        Ok(Shape::Name(Token { kind: Kind::Name, start: first.start, end: last.end }))
    }

    fn function(&self, first: Token, last: Token, parts: usize) -> Option<Function> {
        if parts > 1
            && let Some(function) = words::lookup(PACKAGES, self.text(first))
        {
            return Some(function);
        }
        let name = self.text(last);
        if name.get(..3).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"xp_")) {
            return Some(Function::System);
        }
        words::lookup(FUNCTIONS, name)
            // `time.sleep(5)`, `user.left(..)`: a method of some language, unless the database's own schema is named.
            .filter(|function| {
                parts == 1 || matches!(function, Function::Error | Function::System | Function::Time)
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
            None => Facts::OTHER_FUNCTION,
        });
        self.bump();
        while !matches!(self.kind(), Kind::Close | Kind::End) {
            match self.kind() {
                Kind::Comma
                | Kind::Star
                | Kind::Word(
                    Word::From
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
        self.eat_kind(Kind::Close);
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

impl Parser<'_> {
    /// One level of nesting. Without a bound, parentheses could exhaust the stack.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        if self.depth >= Self::MAX_DEPTH {
            self.too_deep = true;
            return Err(Stop);
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }
}
