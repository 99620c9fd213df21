//! SQL tokens of all dialects at once, read lazily from any byte of a value. A comment is white space, or the end of
//! the statement where nothing follows it; a MySQL conditional comment is code.

use super::find_pair;
use super::words::{WORDS, Word};

/// A token and the bytes it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    /// `open`: its closing quote is missing, so the statement around the value closes it.
    Text {
        open: bool,
    },
    Name,
    Word(Word),
    /// `?`: a parameter, and an operator on JSON
    Question,
    /// `@x`, `@@version`, `:x`, `$1`
    Variable,
    Compare,
    /// `||`, which is `or` in MySQL
    Pipes,
    /// `&&`
    Ampersands,
    /// `+ - / % ^ & | ~ << >>`
    Math,
    /// `*`
    Star,
    /// `!`
    Bang,
    /// `::`
    Cast,
    Comma,
    Dot,
    Open,
    Close,
    Semicolon,
    /// `]`
    CloseBracket,
    OpenBrace,
    CloseBrace,
    /// A comment that reaches the end of the value.
    Comment,
    /// Nothing that SQL knows.
    Junk,
    End,
}

#[derive(Debug)]
pub(super) struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Conditional comments that are open.
    conditional: usize,
    /// Comments in place of blanks.
    pub masks: usize,
    /// Comments to the end of a line, with something behind.
    pub breaks: usize,
    /// Bytes and tokens read, in work units.
    pub work: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, conditional: 0, masks: 0, breaks: 0, work: 0 }
    }

    pub(super) fn text(&self, token: Token) -> &'a [u8] {
        self.bytes.get(token.start..token.end).unwrap_or_default()
    }

    pub(super) fn before(&self, at: usize) -> &'a [u8] {
        self.bytes.get(..at).unwrap_or_default()
    }

    pub(super) fn length(&self) -> usize {
        self.bytes.len()
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(super) fn next(&mut self) -> Token {
        let before = self.at;
        let comment = self.skip_blank();
        let start = comment.unwrap_or(self.at);
        let kind = match comment {
            Some(_) => {
                self.at = self.bytes.len();
                Kind::Comment
            }
            None => self.token(),
        };
        self.work += 1 + self.at.saturating_sub(before);
        Token { kind, start, end: self.at }
    }

    /// Skips white space and comments. Gives the start of a comment that nothing follows.
    fn skip_blank(&mut self) -> Option<usize> {
        loop {
            match self.rest() {
                [0..=b' ' | 0xA0, ..] => self.at += 1,
                [0xC2, 0xA0, ..] => self.at += 2,
                // MySQL reads over a number with an empty exponent: `1.e(select 1.e)`.
                [b'0'..=b'9', ..] if self.empty_exponent() > 0 => self.at += self.empty_exponent(),
                [b'/', b'*', b'!', ..] => {
                    self.conditional += 1;
                    self.masks += 1;
                    self.at += 3;
                    self.at += self.rest().iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
                }
                [b'*', b'/', ..] if self.conditional > 0 => {
                    self.conditional -= 1;
                    self.at += 2;
                }
                [b'/', b'*', inside @ ..] => match find_pair(inside, *b"*/") {
                    Some(length) => {
                        self.masks += 1;
                        self.at += length + 4;
                    }
                    None => return Some(self.at),
                },
                [b'-', b'-', ..] | [b'#', ..] => match memchr::memchr(b'\n', self.rest()) {
                    Some(length) if !blank(self.bytes.get(self.at + length..).unwrap_or_default()) => {
                        self.breaks += 1;
                        self.at += length + 1;
                    }
                    _ => return Some(self.at),
                },
                _ => return None,
            }
        }
    }

    /// Bytes of `1.e` or `1.2e` at the cursor where neither digit nor letter follows; 0 where there is none.
    fn empty_exponent(&self) -> usize {
        let digits = |bytes: &[u8]| bytes.iter().take(32).take_while(|byte| byte.is_ascii_digit()).count();
        let rest = self.rest();
        let whole = digits(rest);
        let Some([b'.', fraction @ ..]) = rest.get(whole..) else { return 0 };
        let length = whole + 1 + digits(fraction);
        match rest.get(length..) {
            Some([b'e' | b'E', next, ..]) if name_byte(*next) || matches!(next, b'+' | b'-') => 0,
            Some([b'e' | b'E', ..]) => length + 1,
            _ => 0,
        }
    }

    fn take(&mut self, length: usize, kind: Kind) -> Kind {
        self.at += length;
        kind
    }

    fn token(&mut self) -> Kind {
        match self.rest() {
            [] => Kind::End,
            [b'0'..=b'9', ..] | [b'.', b'0'..=b'9', ..] => self.number(),
            [quote @ (b'\'' | b'"'), ..] => self.quoted(*quote),
            [b'`', ..] => match self.quoted(b'`') {
                Kind::Text { open: false } => Kind::Name,
                other => other,
            },
            [b'[', ..] => self.bracketed(),
            [b'$', ..] => self.dollar(),
            // Operators of PostgreSQL on JSON and text search.
            [b'@', b'>' | b'?', ..] | [b'<', b'@', ..] | [b'?', b'|' | b'&', ..] => {
                self.take(2, Kind::Compare)
            }
            [b'-', b'>', b'>', ..] => self.take(3, Kind::Math),
            [b'-', b'>', ..] => self.take(2, Kind::Math),
            [b'@', b'@', byte, ..] if !name_byte(*byte) => self.take(2, Kind::Compare),
            // A variable of MySQL may have this name.
            [b'@', b'.', ..] => self.take(2, Kind::Variable),
            [b'@' | b':', byte, ..] if name_byte(*byte) || *byte == b'@' => self.variable(),
            [byte, ..] if name_byte(*byte) => self.name(),
            [b'|', b'|', ..] => self.take(2, Kind::Pipes),
            [b'&', b'&', ..] => self.take(2, Kind::Ampersands),
            [b':', b':', ..] => self.take(2, Kind::Cast),
            [b'<', b'=', b'>', ..] => self.take(3, Kind::Compare),
            [b'<', b'<', ..] | [b'>', b'>', ..] => self.take(2, Kind::Math),
            [b'<', b'=' | b'>', ..] | [b'>' | b'!' | b'=' | b':' | b'^', b'=', ..] => {
                self.take(2, Kind::Compare)
            }
            [b'!', b'~' | b'<' | b'>', ..] | [b'~', b'*', ..] => self.take(2, Kind::Compare),
            [b'=' | b'<' | b'>', ..] => self.take(1, Kind::Compare),
            [b'+' | b'-' | b'/' | b'%' | b'^' | b'&' | b'|' | b'~', ..] => self.take(1, Kind::Math),
            [b'*', ..] => self.take(1, Kind::Star),
            [b'!', ..] => self.take(1, Kind::Bang),
            [b',', ..] => self.take(1, Kind::Comma),
            [b'.', ..] => self.take(1, Kind::Dot),
            [b'(', ..] => self.take(1, Kind::Open),
            [b')', ..] => self.take(1, Kind::Close),
            [b';', ..] => self.take(1, Kind::Semicolon),
            [b']', ..] => self.take(1, Kind::CloseBracket),
            [b'{', ..] => self.take(1, Kind::OpenBrace),
            [b'}', ..] => self.take(1, Kind::CloseBrace),
            [b'?', ..] => self.take(1, Kind::Question),
            [b'\\', b'N', ..] => self.take(2, Kind::Word(Word::Constant)),
            _ => self.take(1, Kind::Junk),
        }
    }

    /// `1`, `1.5`, `.5`, `1e5`, `0x1F`. What follows without a space is the next token: `1union` is read by MySQL.
    fn number(&mut self) -> Kind {
        let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if let [b'0', b'x' | b'X', hex @ ..] = self.rest() {
            let length = hex.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
            if length > 0 {
                return self.take(2 + length, Kind::Number);
            }
        }
        self.at += digits(self.rest());
        if let [b'.', fraction @ ..] = self.rest() {
            self.at += 1 + digits(fraction);
        }
        let exponent = match self.rest() {
            [b'e' | b'E', b'+' | b'-', power @ ..] if digits(power) > 0 => 2 + digits(power),
            [b'e' | b'E', power @ ..] if digits(power) > 0 => 1 + digits(power),
            _ => 0,
        };
        self.take(exponent, Kind::Number)
    }

    /// A text in quotes; a doubled quote and one after a backslash do not close it.
    fn quoted(&mut self, quote: u8) -> Kind {
        self.at += 1;
        loop {
            let rest = self.rest();
            let Some(length) = memchr::memchr2(quote, b'\\', rest) else {
                self.at = self.bytes.len();
                return Kind::Text { open: true };
            };
            match rest.get(length..) {
                Some([b'\\', ..]) => self.at = (self.at + length + 2).min(self.bytes.len()),
                Some([first, second, ..]) if first == second => self.at += length + 2,
                _ => return self.take(length + 1, Kind::Text { open: false }),
            }
        }
    }

    /// `[name]` of T-SQL; any other bracket is junk.
    fn bracketed(&mut self) -> Kind {
        let inside = self.rest().get(1..).unwrap_or_default();
        let length = inside.iter().take(64).take_while(|byte| name_byte(**byte) || **byte == b' ').count();
        match inside.get(length) {
            Some(b']') if length > 0 => self.take(length + 2, Kind::Name),
            _ => self.take(1, Kind::Junk),
        }
    }

    /// `$1`, or a text between `$tag$` and `$tag$` as PostgreSQL has it.
    fn dollar(&mut self) -> Kind {
        let rest = self.rest();
        let tag = 1 + rest.iter().skip(1).take(32).take_while(|byte| name_byte(**byte)).count();
        if rest.get(tag) != Some(&b'$') {
            return self.take(tag, if tag > 1 { Kind::Variable } else { Kind::Junk });
        }
        let (mark, inside) = rest.split_at_checked(tag + 1).unwrap_or((rest, &[]));
        match memchr::memmem::find(inside, mark) {
            Some(length) => self.take(2 * mark.len() + length, Kind::Text { open: false }),
            None => self.take(rest.len(), Kind::Text { open: true }),
        }
    }

    fn variable(&mut self) -> Kind {
        let length =
            1 + self.rest().iter().skip(1).take_while(|byte| name_byte(**byte) || **byte == b'@').count();
        self.take(length, Kind::Variable)
    }

    /// A name, a word, or the prefix of a text: `N'..'`, `X'..'`, `_utf8'..'`, `q'[..]'`.
    fn name(&mut self) -> Kind {
        let rest = self.rest();
        let length = rest.iter().take_while(|byte| is_in_name(**byte)).count();
        let name = rest.get(..length).unwrap_or_default();
        self.at += length;
        if let Some(quote @ (b'\'' | b'"')) = rest.get(length)
            && is_text_prefix(name)
        {
            return self.quoted(*quote);
        }
        WORDS.find(name).map_or(Kind::Name, Kind::Word)
    }
}

pub(super) fn is_text_prefix(name: &[u8]) -> bool {
    matches!(name, [b'n' | b'N' | b'x' | b'X' | b'b' | b'B' | b'e' | b'E' | b'q' | b'Q'])
        || name.first() == Some(&b'_')
}

pub(super) fn name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || (byte >= 0x80 && byte != 0xA0)
}

/// A byte of a name behind its first one.
pub(super) fn is_in_name(byte: u8) -> bool {
    name_byte(byte) || byte == b'$'
}

pub(super) fn blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte <= b' ')
}
