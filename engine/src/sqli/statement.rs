//! Statements, as far as it takes to tell them from prose. `select` has a file of its own.

use super::evidence::Facts;
use super::lexer::{Kind, Token};
use super::parser::{Parser, Read, Stop};
use super::words::{self, Word};
use crate::ascii;

impl Parser<'_> {
    pub(super) fn starts_statement(word: Word) -> bool {
        matches!(
            word,
            Word::Select
                | Word::Insert
                | Word::Update
                | Word::Delete
                | Word::Define
                | Word::Execute
                | Word::Declare
                | Word::Waitfor
                | Word::Shutdown
                | Word::Copy
                | Word::Grant
                | Word::Begin
                | Word::If
                | Word::Set
                | Word::With
                | Word::Values
                | Word::Other
        )
    }

    /// One statement. Gives whether it is strong: complete enough to do something, and not what prose says.
    pub(super) fn statement(&mut self) -> Read<bool> {
        let Kind::Word(word) = self.kind() else { return Err(Stop) };
        match word {
            Word::Select | Word::With | Word::Values => self.select(),
            Word::Insert => self.insert(),
            Word::Update => self.update(),
            Word::Delete => self.delete(),
            Word::Define => self.define(),
            Word::Execute => self.execute(),
            Word::Declare => {
                self.bump();
                let strong = matches!(self.kind(), Kind::Variable);
                if strong {
                    self.facts.add(Facts::HOSTILE);
                }
                self.skip_to_semicolon();
                Ok(strong)
            }
            Word::Waitfor => self.waitfor(),
            Word::Shutdown => {
                self.bump();
                let option = self.eat(Word::With);
                self.skip_words();
                Ok(option && self.at_end())
            }
            Word::Copy => self.copy(),
            Word::Grant => {
                self.bump();
                self.skip_words();
                Ok(matches!(self.kind(), Kind::Word(Word::On)) && {
                    self.skip_to_semicolon();
                    true
                })
            }
            Word::Begin => {
                self.bump();
                self.eat_kind(Kind::Semicolon);
                if matches!(self.kind(), Kind::Word(_)) { self.statement() } else { self.call_statement() }
            }
            Word::If => {
                self.bump();
                self.boolean_seen = true;
                self.condition()?;
                // `if .. then` of Oracle
                if self.eat(Word::Then) && !matches!(self.kind(), Kind::Word(_)) {
                    return self.call_statement();
                }
                self.statement()
            }
            Word::Set => self.set(),
            Word::Other => self.other(),
            _ => Err(Stop),
        }
    }

    /// `dbms_lock.sleep(5);`
    fn call_statement(&mut self) -> Read<bool> {
        let hard = self.hard;
        self.operand()?;
        Ok(self.hard > hard)
    }

    fn skip_words(&mut self) {
        while matches!(
            self.kind(),
            Kind::Name
                | Kind::Word(
                    Word::With
                        | Word::Quantifier
                        | Word::Select
                        | Word::Update
                        | Word::Insert
                        | Word::Delete
                        | Word::Execute
                        | Word::Define
                )
                | Kind::Comma
        ) {
            self.bump();
        }
    }

    pub(super) fn skip_to_semicolon(&mut self) {
        while !matches!(self.kind(), Kind::Semicolon | Kind::End | Kind::Comment) {
            self.bump();
        }
    }

    /// A name with its qualifiers. Gives the last part.
    pub(super) fn name(&mut self) -> Read<Token> {
        loop {
            let part = self.token();
            match self.kind() {
                Kind::Name | Kind::Variable | Kind::Text { open: false } => {
                    if words::is_catalog(self.text(self.token())) {
                        self.facts.add(Facts::CATALOG);
                        self.hard += 1;
                    }
                    self.bump();
                }
                Kind::Word(word) if Self::may_be_name(word) => self.bump(),
                _ => return Err(Stop),
            }
            // `sysmaster:sysdual` of Informix, and `name@link` of Oracle
            if self.kind() == Kind::Variable && self.token().start == part.end {
                self.hard += 1;
                self.bump();
            }
            if !matches!(self.kind(), Kind::Dot) {
                return Ok(part);
            }
            while self.eat_kind(Kind::Dot) {
                self.hard += 1;
            }
        }
    }

    fn may_be_name(word: Word) -> bool {
        matches!(
            word,
            Word::Object
                | Word::Other
                | Word::Offset
                | Word::Copy
                | Word::Escape
                | Word::End
                | Word::Constant
        )
    }

    fn insert(&mut self) -> Read<bool> {
        self.bump();
        let into = self.eat(Word::Into);
        self.name()?;
        if matches!(self.kind(), Kind::Open) {
            self.operand()?;
        }
        match self.kind() {
            Kind::Word(Word::Values) => {
                self.bump();
                while matches!(self.kind(), Kind::Open) {
                    self.operand()?;
                    self.eat_kind(Kind::Comma);
                }
                Ok(true)
            }
            Kind::Word(Word::Select) => self.select().map(|_| into),
            Kind::Word(Word::Set) => self.set(),
            _ => Ok(false),
        }
    }

    fn update(&mut self) -> Read<bool> {
        self.bump();
        self.name()?;
        if matches!(self.kind(), Kind::Word(Word::Set)) { self.set() } else { Err(Stop) }
    }

    /// `set x = 1, y = 2 where ..`
    fn set(&mut self) -> Read<bool> {
        self.bump();
        loop {
            if matches!(self.kind(), Kind::Variable) {
                self.bump();
            } else {
                self.name()?;
            }
            if !self.eat_kind(Kind::Compare) {
                return Ok(false);
            }
            self.condition()?;
            if !self.eat_kind(Kind::Comma) {
                break;
            }
        }
        self.clauses()?;
        Ok(true)
    }

    fn delete(&mut self) -> Read<bool> {
        self.bump();
        while self.at_name(b"low_priority") || self.at_name(b"quick") || self.at_name(b"ignore") {
            self.bump();
        }
        if !self.eat(Word::From) {
            return Err(Stop);
        }
        self.name()?;
        let bare = self.at_end();
        self.clauses()?;
        Ok(bare || self.at_end())
    }

    /// `drop table if exists x`
    fn define(&mut self) -> Read<bool> {
        self.bump();
        while matches!(self.kind(), Kind::Word(Word::Or | Word::Insert)) || self.at_name(b"temporary") {
            self.bump();
        }
        let object = self.eat(Word::Object);
        if self.eat(Word::If) {
            self.eat(Word::Not);
            self.eat(Word::Exists);
        }
        self.name()?;
        if !object {
            return Ok(false);
        }
        while self.eat_kind(Kind::Comma) {
            self.name()?;
        }
        let strong = self.at_end()
            || matches!(
                self.kind(),
                Kind::Open | Kind::Word(Word::As | Word::Define | Word::Set | Word::With)
            )
            || self.at_name(b"cascade")
            || self.at_name(b"add")
            || self.at_name(b"modify")
            || self.at_name(b"identified")
            || self.at_name(b"returns");
        // `create function x(..) returns ..`
        let begins = self.kind() == Kind::Open;
        if strong {
            self.skip_to(b"returns", begins);
        }
        Ok(strong)
    }

    /// Skips to the end of the statement, and notes whether this word stands in it.
    fn skip_to(&mut self, word: &[u8], wanted: bool) {
        while !matches!(self.kind(), Kind::Semicolon | Kind::End | Kind::Comment) {
            if wanted && self.at_name(word) {
                self.facts.add(Facts::HOSTILE);
            }
            self.bump();
        }
    }

    /// `exec xp_cmdshell 'x'`, `exec('..')`, `execute immediate '..'`, `call x()`
    fn execute(&mut self) -> Read<bool> {
        self.bump();
        if matches!(self.kind(), Kind::Open) {
            self.operand()?;
            return Ok(true);
        }
        let last = self.name()?;
        let procedure = self.text(last);
        let known = [b"xp_", b"sp_"].iter().any(|prefix| ascii::starts(procedure, *prefix));
        if known {
            self.facts.add(Facts::SYSTEM);
        }
        let is_text = matches!(self.kind(), Kind::Text { .. } | Kind::Variable);
        if procedure.eq_ignore_ascii_case(b"immediate") && is_text {
            self.facts.add(Facts::HOSTILE);
        }
        let strong = known
            || matches!(self.kind(), Kind::Text { .. } | Kind::Open | Kind::Variable | Kind::Compare)
            || procedure.starts_with(b"@");
        if strong {
            self.skip_to_semicolon();
        }
        Ok(strong)
    }

    fn waitfor(&mut self) -> Read<bool> {
        self.bump();
        if !self.at_name(b"delay") && !self.at_name(b"time") {
            return Err(Stop);
        }
        self.bump();
        self.operand()?;
        self.facts.add(Facts::TIME);
        Ok(true)
    }

    /// `copy x from program '..'`
    fn copy(&mut self) -> Read<bool> {
        self.bump();
        if matches!(self.kind(), Kind::Open) {
            self.operand()?;
        } else {
            self.name()?;
            if matches!(self.kind(), Kind::Open) {
                self.operand()?;
            }
        }
        if !self.eat(Word::From) && !self.at_name(b"to") {
            return Err(Stop);
        }
        while self.at_name(b"to") || self.at_name(b"program") {
            self.bump();
        }
        if !matches!(self.kind(), Kind::Text { .. }) {
            return Ok(false);
        }
        self.facts.add(Facts::SYSTEM);
        self.skip_to_semicolon();
        Ok(true)
    }

    /// Statements that are told by what ends them: a text, a number, or nothing.
    fn other(&mut self) -> Read<bool> {
        self.bump();
        let mut strong = false;
        while matches!(
            self.kind(),
            Kind::Name | Kind::Word(_) | Kind::Text { .. } | Kind::Number | Kind::Compare | Kind::Dot
        ) {
            strong |= matches!(self.kind(), Kind::Text { .. });
            self.bump();
        }
        if self.at_end() { Ok(strong) } else { Err(Stop) }
    }
}
