//! Texts, templates, regular expressions, brackets and operators.

use super::name::{LONGEST_NAME, Name};
use super::reader::{self, Reader};
use super::{Ending, Start};
use crate::xss::names::{HOSTILE, SENSITIVE, has};

/// Templates inside of templates that are read.
const DEEPEST_TEMPLATE: usize = 3;

impl Reader<'_> {
    pub(super) fn number(&mut self) -> Option<Ending> {
        if self.operand && !self.loose {
            return Some(Ending::Broken);
        }
        while self.peek(0).is_ascii_alphanumeric() || matches!(self.peek(0), b'.' | b'_') {
            self.at += 1;
        }
        self.end_operand(false);
        None
    }

    pub(super) fn text(&mut self, quote: u8) -> Option<Ending> {
        if self.operand && !self.loose {
            return Some(Ending::Broken);
        }
        let mut at = self.at + 1;
        loop {
            match self.bytes.get(at) {
                None => {
                    self.at = self.bytes.len();
                    return Some(Ending::OpenText);
                }
                Some(b'\\') => at += 2,
                Some(byte) if *byte == quote => break,
                Some(_) => at += 1,
            }
        }
        // `top['al'+'ert']` and `set['constructor']`: what is looked up is a name.
        let inner = self.bytes.get(self.at + 1..at).unwrap_or_default();
        if inner.len() <= LONGEST_NAME && (has(SENSITIVE, inner) || has(HOSTILE, inner)) {
            self.note(inner);
        }
        self.at = at + 1;
        self.end_operand(false);
        None
    }

    pub(super) fn template(&mut self) -> Option<Ending> {
        if self.operand && (self.callable || !self.loose) {
            if !self.callable {
                return Some(Ending::Broken);
            }
            self.reading.calls = true;
        }
        let mut at = self.at + 1;
        loop {
            match (self.bytes.get(at), self.bytes.get(at + 1)) {
                (None, _) => {
                    self.at = self.bytes.len();
                    return Some(Ending::OpenText);
                }
                (Some(b'\\'), _) => at += 2,
                (Some(b'`'), _) => break,
                (Some(b'$'), Some(b'{')) if self.depth < DEEPEST_TEMPLATE => {
                    let inner = reader::read(self.bytes, at + 2, Start::Statement, self.depth + 1);
                    self.reading.calls |= inner.calls;
                    self.reading.assigns |= inner.assigns;
                    self.reading.sensitive |= inner.sensitive;
                    self.reading.hostile |= inner.hostile;
                    at = inner.end.max(at + 2);
                }
                (Some(_), _) => at += 1,
            }
        }
        self.at = at + 1;
        self.end_operand(true);
        None
    }

    pub(super) fn regex(&mut self) -> Option<Ending> {
        let mut at = self.at + 1;
        let mut class = false;
        loop {
            match self.bytes.get(at) {
                None | Some(b'\n' | b'\r') => return Some(Ending::Broken),
                Some(b'\\') => at += 2,
                Some(b'[') => {
                    class = true;
                    at += 1;
                }
                Some(b']') => {
                    class = false;
                    at += 1;
                }
                Some(b'/') if !class => break,
                Some(_) => at += 1,
            }
        }
        self.at = at + 1;
        while self.peek(0).is_ascii_alphabetic() {
            self.at += 1;
        }
        self.end_operand(false);
        None
    }

    pub(super) fn open(&mut self, byte: u8) -> Option<Ending> {
        if self.level >= u64::BITS {
            return Some(Ending::Broken);
        }
        if byte == b'(' && self.operand && self.callable {
            self.reading.calls = true;
            let before = self.at.checked_sub(1).and_then(|at| self.bytes.get(at));
            self.reading.tight |= before.is_some_and(|byte| *byte > b' ');
            self.reading.hostile |= self.constructor;
        }
        let looks_up = byte == b'[' && self.operand && self.global;
        if looks_up && matches!(self.peek(1), b'"' | b'\'' | b'`') {
            self.reading.hidden = true;
        }
        if byte == b'{' && self.operand && !self.loose && !self.head {
            return Some(Ending::Broken);
        }
        self.brackets = self.brackets << 1 | u64::from(byte == b'(' && self.head);
        self.level += 1;
        self.at += 1;
        self.boundary();
        self.loose = byte == b'{';
        None
    }

    /// More may be closed than was opened: what the page opened before the value.
    pub(super) fn close(&mut self, byte: u8) {
        let was_head = self.level > 0 && self.brackets & 1 == 1;
        self.brackets >>= 1;
        self.level = self.level.saturating_sub(1);
        self.at += 1;
        self.end_operand(true);
        // `if(a)b` and `}b`.
        self.loose = was_head || byte == b'}';
        self.head = was_head;
        // A template's part ends at its brace.
        if byte == b'}' && self.depth > 0 && self.level == 0 {
            self.bytes = self.bytes.get(..self.at).unwrap_or_default();
        }
    }

    pub(super) fn operator(&mut self, byte: u8) -> Option<Ending> {
        let next = self.peek(1);
        match byte {
            b'<' if matches!(next, b'/' | b'?' | b'!') => Some(Ending::Broken),
            b'.' if self.operand && next != b'.' => {
                self.at += 1;
                self.member()
            }
            b'?' if next == b'.' && self.operand => {
                self.at += 2;
                self.member()
            }
            b'=' if self.operand => {
                let assigns = !matches!(next, b'=' | b'>');
                self.reading.assigns |= assigns;
                self.reading.tight |= assigns && self.page;
                self.at += if assigns { 1 } else { 2 };
                while self.peek(0) == b'=' {
                    self.at += 1;
                }
                self.operand = false;
                self.loose = next == b'>';
                None
            }
            b'+' | b'-' if next == byte => {
                self.at += 2;
                None
            }
            b'.' if next == b'.' => {
                self.at += 3;
                None
            }
            b'+' | b'-' | b'!' | b'~' | b',' => {
                self.at += 1;
                self.operand = false;
                self.loose = false;
                None
            }
            b'*' | b'/' | b'%' | b'&' | b'|' | b'^' | b'<' | b'>' | b'?' | b':' if self.operand => {
                self.at += 1;
                while matches!(self.peek(0), b'&' | b'|' | b'*' | b'?' | b'=')
                    || self.peek(0) == byte && byte != b'/'
                {
                    // `+=` and the like assign, `<=` compares.
                    self.reading.assigns |=
                        self.peek(0) == b'=' && !matches!(byte, b'<' | b'>' | b'?' | b':');
                    self.at += 1;
                }
                self.operand = false;
                self.loose = byte == b':';
                None
            }
            _ => Some(Ending::Broken),
        }
    }

    pub(super) fn member(&mut self) -> Option<Ending> {
        if let Some(ending) = self.blanks() {
            return Some(ending);
        }
        if matches!(self.peek(0), b'(' | b'[' | b'`') {
            return None;
        }
        let mut name = Name::default();
        let after = name.read(self.bytes, self.at);
        if after == self.at {
            return Some(Ending::Broken);
        }
        self.at = after;
        self.note_member(name.bytes());
        None
    }
}
