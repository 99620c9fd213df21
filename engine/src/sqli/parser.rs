//! The cursor over the tokens of a value, and what was noted on the way. What is read with it is in `reading`,
//! `expression`, `operand`, `statement` and `select`.

use super::evidence::{Facts, Prefix};
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
    pub(super) end: usize,
    /// The quote of the last token, if that is a text that the statement around the value closes.
    pub(super) open_text: Option<u8>,
    /// Whether the last token read is a closing parenthesis that the statement around the value opened.
    pub(super) after_close: bool,
    /// What stands before the quote that the value closes.
    pub(super) prefix: Prefix,
    pub(super) facts: Facts,
    /// A boolean operator or a condition's word was read, so a comparison now is a condition of its own.
    pub(super) boolean_seen: bool,
    /// Tokens that prose does not have.
    pub(super) hard: usize,
    pub(super) depth: usize,
    pub(super) too_deep: bool,
    /// The value ended inside the parentheses of a call.
    pub(super) cut: bool,
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
            prefix: Prefix::Empty,
            facts: Facts::default(),
            boolean_seen: false,
            hard: 0,
            depth: 0,
            too_deep: false,
            cut: false,
        }
    }

    pub(super) fn work(&self) -> usize {
        self.lexer.work
    }

    /// Comments that stand in place of blanks, up to the current token and a little further: in a line, and to its end.
    pub(super) fn masks(&self) -> (bool, bool) {
        (self.lexer.masks > 0, self.lexer.breaks > 0)
    }

    /// Bytes from the current token on; many where that is a word.
    pub(super) fn left(&self) -> usize {
        if self.text(self.current).first().is_some_and(u8::is_ascii_alphanumeric) {
            return usize::MAX;
        }
        self.lexer.length().saturating_sub(self.current.start)
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

    /// The token that was read last, as far as it is a name.
    pub(super) fn last_name(&self) -> &'a [u8] {
        let read = self.lexer.before(self.end);
        let length = read
            .iter()
            .rev()
            .take(32)
            .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
            .count();
        read.get(read.len() - length..).unwrap_or_default()
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
}
