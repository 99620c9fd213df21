//! Expressions: conditions, comparisons, sums. Each method reads what it is named after and stops at the first token
//! that does not belong to it. Operands are in a file of their own.

use super::evidence::Facts;
use super::lexer::{Kind, Token};
use super::parser::{Parser, Read, Stop};
use super::words::Word;

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
            self.facts.add(Facts::CALCULATED);
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
            if self.kind() == Kind::Word(Word::Sounds) {
                // `it sounds right` is prose.
                if self.peek() != Kind::Word(Word::Like) {
                    return Ok(shape);
                }
                self.bump();
            }
            match self.kind() {
                Kind::Compare | Kind::Question | Kind::Word(Word::Like) => {
                    self.bump();
                    if self.boolean_seen {
                        self.facts.add(Facts::COMPARING);
                    }
                    // `similar to`, `= any (..)`, `= not ..`
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
                    // `1 or 2 in 3` is prose.
                    if !matches!(self.kind(), Kind::Open | Kind::Variable) {
                        return Err(Stop);
                    }
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
        if self.boolean_seen {
            self.facts.add(Facts::COMPARING);
        }
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
            self.facts.add(Facts::CALCULATED);
            shape = match (shape, right) {
                (Shape::Constant, Shape::Constant) => Shape::Constant,
                _ => Shape::Compound,
            };
        }
    }
}

impl Parser<'_> {
    /// One level of nesting. Without a bound, parentheses could exhaust the stack.
    pub(super) fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
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
