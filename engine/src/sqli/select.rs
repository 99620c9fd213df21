//! `select`, its clauses, and the set operators that join several.

use super::evidence::Facts;
use super::lexer::Kind;
use super::parser::{Parser, Read, Stop};
use super::words::Word;

impl Parser<'_> {
    /// `select .. from ..`, from its first word. Gives whether it has more than names in it.
    pub(super) fn select(&mut self) -> Read<bool> {
        let hard = self.hard;
        if self.eat(Word::With) {
            // `with x as (select ..) select ..`
            self.name()?;
            if matches!(self.kind(), Kind::Open) {
                self.operand()?;
            }
            if !self.eat(Word::As) {
                return Err(Stop);
            }
            self.operand()?;
        }
        if self.eat(Word::Values) {
            self.operand()?;
            return Ok(true);
        }
        if !self.eat(Word::Select) {
            return Err(Stop);
        }
        while matches!(self.kind(), Kind::Word(Word::Quantifier | Word::JoinKind)) {
            self.bump();
        }
        if self.eat(Word::Top) {
            self.operand()?;
        }
        self.select_list()?;
        self.clauses()?;
        Ok(self.hard > hard)
    }

    fn select_list(&mut self) -> Read<()> {
        loop {
            if self.eat_kind(Kind::Star) {
                self.hard += 1;
            } else {
                self.condition()?;
                self.alias();
            }
            if !self.eat_kind(Kind::Comma) {
                return Ok(());
            }
            self.hard += 1;
        }
    }

    fn alias(&mut self) {
        let explicit = self.eat(Word::As);
        if matches!(self.kind(), Kind::Name)
            || (explicit && matches!(self.kind(), Kind::Text { .. } | Kind::Word(_)))
        {
            self.bump();
        }
    }

    /// Clauses in any order, as often as they come.
    pub(super) fn clauses(&mut self) -> Read<()> {
        loop {
            match self.kind() {
                Kind::Word(Word::From) => {
                    self.bump();
                    self.tables()?;
                }
                Kind::Word(Word::Where) => {
                    self.bump();
                    self.boolean_seen = true;
                    self.condition()?;
                }
                Kind::Word(Word::Having) => {
                    self.bump();
                    self.boolean_seen = true;
                    self.facts.add(Facts::HAVING);
                    self.boolean_operand().and_then(|shape| self.boolean_rest(shape))?;
                }
                Kind::Word(Word::Order | Word::Group) => self.ordered()?,
                Kind::Word(Word::Limit | Word::Offset) => {
                    self.bump();
                    self.list()?;
                }
                Kind::Word(Word::Procedure) => {
                    self.bump();
                    self.operand()?;
                    self.facts.add(Facts::PROCEDURE);
                }
                Kind::Word(Word::Into) => self.target_clause()?,
                Kind::Word(Word::SetOperator) => self.set_operators()?,
                Kind::Word(Word::Tail) => {
                    self.bump();
                    while matches!(
                        self.kind(),
                        Kind::Name | Kind::Word(Word::Update | Word::In) | Kind::Number
                    ) {
                        self.bump();
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    fn ordered(&mut self) -> Read<()> {
        self.bump();
        if !self.eat(Word::By) {
            return Err(Stop);
        }
        if matches!(self.kind(), Kind::Number) {
            self.facts.add(Facts::ORDER_NUMBER);
        }
        self.list()
    }

    fn list(&mut self) -> Read<()> {
        loop {
            self.condition()?;
            self.eat(Word::Direction);
            if !self.eat_kind(Kind::Comma) {
                return Ok(());
            }
        }
    }

    fn target_clause(&mut self) -> Read<()> {
        self.bump();
        if self.eat(Word::File) {
            if !matches!(self.kind(), Kind::Text { .. } | Kind::Name | Kind::Open | Kind::Variable) {
                return Err(Stop);
            }
            self.facts.add(Facts::OUTFILE);
            self.operand()?;
            self.skip_to_semicolon();
            return Ok(());
        }
        self.name().map(|_| ())
    }

    fn tables(&mut self) -> Read<()> {
        loop {
            self.table()?;
            loop {
                while self.eat(Word::JoinKind) {}
                if !self.eat(Word::Join) {
                    break;
                }
                self.hard += 1;
                self.table()?;
                if self.eat(Word::On) {
                    self.condition()?;
                } else if self.eat(Word::Using) {
                    self.operand()?;
                }
            }
            if !self.eat_kind(Kind::Comma) {
                return Ok(());
            }
            self.hard += 1;
        }
    }

    fn table(&mut self) -> Read<()> {
        if matches!(self.kind(), Kind::Open) || matches!(self.peek(), Kind::Open) {
            self.operand()?;
        } else {
            self.name()?;
            if self.at_end() || matches!(self.kind(), Kind::Word(Word::Where | Word::Limit | Word::Order)) {
                self.hard += 1;
            }
        }
        self.alias();
        Ok(())
    }

    /// `union all select ..`, as often as it follows.
    pub(super) fn set_operators(&mut self) -> Read<()> {
        while self.eat(Word::SetOperator) {
            while self.eat(Word::Quantifier) {}
            let mut open = 0;
            while matches!(self.kind(), Kind::Open) {
                self.bump();
                open += 1;
            }
            let hard = self.hard;
            let starts = matches!(self.kind(), Kind::Word(Word::Select | Word::Values | Word::With));
            if !starts {
                return Err(Stop);
            }
            self.facts.add(Facts::UNION);
            let read = self.select();
            match self.hard - hard {
                0 => {}
                1 => self.facts.add(Facts::UNION_STRONG),
                _ => self.facts.add(Facts::UNION_STRONG.or(Facts::UNION_LONG)),
            }
            read?;
            while open > 0 && self.eat_kind(Kind::Close) {
                open -= 1;
            }
        }
        Ok(())
    }
}
