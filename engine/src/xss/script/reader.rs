//! The state of reading: what stands where, and words, which are most of it. [`super::tokens`] has the other tokens.

use super::name::{Name, starts_escape};
use super::{Ending, Reading, Start};
use crate::xss::names::{BETWEEN, HEADS, HOSTILE, LOOKING, PREFIXES, SENSITIVE, has};

pub(super) fn read(bytes: &[u8], at: usize, start: Start, depth: usize) -> Reading {
    let mut reader = Reader {
        bytes,
        at,
        operand: start == Start::Operand,
        callable: false,
        global: false,
        page: false,
        constructor: false,
        brackets: 0,
        level: 0,
        head: false,
        loose: start == Start::Statement,
        depth,
        reading: Reading {
            calls: false,
            assigns: false,
            sensitive: false,
            strong: false,
            hostile: false,
            tight: false,
            hidden: false,
            tokens: 0,
            end: at,
            ending: Ending::Complete,
        },
    };
    let ending = reader.run();
    Reading { end: reader.at, ending, ..reader.reading }
}

pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    /// The last token was the end of an operand.
    pub(super) operand: bool,
    /// And it may be called.
    pub(super) callable: bool,
    /// The operand is the browser's window or the page.
    pub(super) global: bool,
    /// Or a property of one of them.
    pub(super) page: bool,
    /// The last member is the constructor of something: of functions, it is `Function`.
    pub(super) constructor: bool,
    /// One bit for each open bracket: whether it belongs to a statement's head.
    pub(super) brackets: u64,
    pub(super) level: u32,
    /// The last word announces a parenthesis that is no call.
    pub(super) head: bool,
    /// After `}`, a head, or a line break: a statement may begin, and an operator may follow as well.
    pub(super) loose: bool,
    pub(super) depth: usize,
    pub(super) reading: Reading,
}

impl Reader<'_> {
    pub(super) fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    pub(super) fn run(&mut self) -> Ending {
        loop {
            if let Some(ending) = self.blanks() {
                return ending;
            }
            if self.at >= self.bytes.len() {
                let open = self.level > 0 || (!self.operand && self.reading.tokens > 0 && !self.loose);
                return if open { Ending::Incomplete } else { Ending::Complete };
            }
            self.reading.tokens += 1;
            let before = self.at;
            let step = self.token();
            if let Some(ending) = step {
                return ending;
            }
            debug_assert!(self.at > before);
        }
    }

    /// White space and comments. A comment that does not end, ends the reading.
    pub(super) fn blanks(&mut self) -> Option<Ending> {
        loop {
            match (self.peek(0), self.peek(1), self.peek(2)) {
                (b'\n' | b'\r', ..) => {
                    self.at += 1;
                    self.loose = true;
                }
                (b' ' | b'\t' | 0x0B | 0x0C, ..) => self.at += 1,
                (0, ..) if self.at < self.bytes.len() => self.at += 1,
                (0xC2, 0xA0, _) => self.at += 2,
                (0xEF, 0xBB, 0xBF) => self.at += 3,
                (0xE2, 0x80, 0xA8 | 0xA9) => {
                    self.at += 3;
                    self.loose = true;
                }
                (b'/', b'/', _) | (b'<', b'!', b'-') => {
                    let rest = self.bytes.get(self.at..).unwrap_or_default();
                    let Some(length) = memchr::memchr2(b'\n', b'\r', rest) else {
                        self.at = self.bytes.len();
                        return Some(Ending::Comment);
                    };
                    self.at += length;
                }
                (b'/', b'*', _) => {
                    let rest = self.bytes.get(self.at + 2..).unwrap_or_default();
                    let Some(length) =
                        memchr::memchr_iter(b'*', rest).find(|at| rest.get(at + 1) == Some(&b'/'))
                    else {
                        self.at = self.bytes.len();
                        return Some(Ending::Comment);
                    };
                    self.at += length + 4;
                }
                _ => return None,
            }
        }
    }

    pub(super) fn token(&mut self) -> Option<Ending> {
        let byte = self.peek(0);
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$' => self.word(),
            b'\\' | 0x80.. if starts_escape(self.bytes, self.at) || byte >= 0x80 => self.word(),
            b'0'..=b'9' => self.number(),
            b'.' if !self.operand && self.peek(1).is_ascii_digit() => self.number(),
            b'"' | b'\'' => self.text(byte),
            b'`' => self.template(),
            b'(' | b'[' | b'{' => self.open(byte),
            b')' | b']' | b'}' => {
                self.close(byte);
                None
            }
            b';' => {
                self.at += 1;
                self.boundary();
                None
            }
            b'/' if !self.operand => self.regex(),
            _ => self.operator(byte),
        }
    }

    pub(super) fn boundary(&mut self) {
        self.operand = false;
        self.callable = false;
        self.head = false;
        self.loose = true;
    }

    pub(super) fn word(&mut self) -> Option<Ending> {
        let mut name = Name::default();
        let after = name.read(self.bytes, self.at);
        if after == self.at {
            return Some(Ending::Broken);
        }
        let name = name.bytes();
        let is_word = has(BETWEEN, name);
        if self.operand && is_word {
            self.at = after;
            self.operand = false;
            return None;
        }
        if self.operand && !self.loose {
            return Some(Ending::Broken);
        }
        self.at = after;
        self.loose = false;
        self.head = has(HEADS, name);
        self.operand = !has(PREFIXES, name);
        self.callable = self.operand && !self.head;
        if name.eq_ignore_ascii_case(b"throw") {
            self.reading.assigns = true;
        }
        self.note(name);
        self.constructor = false;
        self.global = has(GLOBALS, name);
        self.page = self.global && !name.eq_ignore_ascii_case(b"this");
        // `Function`, and not the word that defines one.
        if self.head && name == b"Function" {
            self.head = false;
            self.callable = true;
        }
        None
    }

    pub(super) fn note(&mut self, name: &[u8]) {
        let defines = name == b"function";
        self.reading.sensitive |= !defines && has(SENSITIVE, name);
        self.reading.strong |= has(SENSITIVE, name) && !has(LOOKING, name);
        self.reading.hostile |= has(HOSTILE, name);
    }

    /// `order.confirm()` is no dialog.
    pub(super) fn note_member(&mut self, name: &[u8]) {
        let own = has(OWN_METHODS, name) && !self.global;
        if !own {
            self.note(name);
        }
        let page = self.page;
        self.end_operand(true);
        self.page = page;
        self.constructor = name.eq_ignore_ascii_case(b"constructor");
    }

    pub(super) fn end_operand(&mut self, callable: bool) {
        self.operand = true;
        self.callable = callable;
        self.loose = false;
        self.head = false;
        self.constructor = false;
        self.global = false;
        self.page = false;
    }
}

/// Names of the window and the page.
const GLOBALS: &[&str] =
    &["document", "frames", "globalthis", "location", "parent", "self", "this", "top", "window"];

/// Methods that objects of applications have as well.
const OWN_METHODS: &[&str] = &["alert", "confirm", "eval", "prompt"];
