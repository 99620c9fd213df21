//! What stands between the delimiters of a template engine. A string may hold a delimiter: the end is first looked for
//! with quotes and brackets in mind, and as it comes where that finds none.

use crate::ascii;

/// The engine's family, as the delimiter tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `{{ }}`
    Braces,
    /// `{% %}`
    Tag,
    /// `${ }`
    Dollar,
    /// `#{ }`, `*{ }`, `%{ }`
    Hash,
    /// `@{ }`
    Perl,
    /// `<% %>`
    Page,
    /// `@( )`
    Razor,
    /// `[[ ]]`
    Brackets,
    /// `<# >`, `[# ]`, `#set( )`
    Directive,
    /// `{ }`
    Smarty,
}

/// Opening, closing, family. Longer ones first.
const DELIMITERS: &[(&[u8], &[u8], Kind)] = &[
    (b"{{", b"}}", Kind::Braces),
    (b"{%", b"%}", Kind::Tag),
    (b"${", b"}", Kind::Dollar),
    (b"#{", b"}", Kind::Hash),
    (b"*{", b"}", Kind::Hash),
    (b"%{", b"}", Kind::Hash),
    (b"@{", b"}", Kind::Perl),
    (b"<%", b"%>", Kind::Page),
    (b"@(", b")", Kind::Razor),
    (b"[[", b"]]", Kind::Brackets),
    (b"<#", b">", Kind::Directive),
    (b"[#", b"]", Kind::Directive),
    (b"#set(", b")", Kind::Directive),
    (b"{", b"}", Kind::Smarty),
];

#[derive(Clone, Copy, Debug)]
pub(super) struct Span<'a> {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
    pub inner: &'a [u8],
    /// Work units that finding and reading it takes.
    pub cost: usize,
}

/// Longest expression that is read.
const LONGEST: usize = 2048;
/// Spans that are looked into for others.
const MOST_NESTED: usize = 32;
/// And what they may cost together, for each byte of the value: the inside of each is read again for the ones in it.
const MOST_COST: usize = 12;
/// Searches with quotes in mind that may fail.
const MOST_FAILED: usize = 8;

pub(super) struct Spans<'a> {
    value: &'a [u8],
    at: usize,
    nested: usize,
    spent: usize,
    failed: usize,
    /// For each delimiter: there is no end for it any more.
    dead: [bool; DELIMITERS.len()],
}

impl<'a> Spans<'a> {
    pub(super) fn new(value: &'a [u8]) -> Self {
        Self { value, at: 0, nested: 0, spent: 0, failed: 0, dead: [false; DELIMITERS.len()] }
    }

    pub(super) fn next(&mut self) -> Option<Span<'a>> {
        loop {
            let rest = self.value.get(self.at..)?;
            let skip = rest
                .iter()
                .position(|byte| matches!(byte, b'{' | b'<' | b'@' | b'[' | b'$' | b'#' | b'*' | b'%'))?;
            let start = self.at + skip;
            let rest = rest.get(skip..)?;
            let known = DELIMITERS.iter().position(|(open, ..)| ascii::starts(rest, open));
            self.at = start + 1;
            let Some(number) = known else { continue };
            let Some((open, close, kind)) = DELIMITERS.get(number).copied() else { continue };
            let Some(dead) = self.dead.get_mut(number).filter(|dead| !**dead) else { continue };
            let body = rest.get(open.len()..).unwrap_or_default();
            // Of single braces only those that are told at once.
            if kind == Kind::Smarty && !is_smarty(body) {
                continue;
            }
            let mut cost = 16;
            let mut length = None;
            if self.failed < MOST_FAILED {
                length = matching(body, close);
                cost += length.unwrap_or(LONGEST.min(body.len()));
                self.failed += usize::from(length.is_none());
            }
            let Some(length) = length.or_else(|| memchr::memmem::find(body, close)) else {
                *dead = true;
                continue;
            };
            let inner = body.get(..length.min(LONGEST)).unwrap_or_default();
            cost += 2 * length;
            let end = start + open.len() + length + close.len();
            let opens = |pair: &[u8]| memchr::memmem::find(inner, pair).is_some();
            let nests = opens(b"{{") || opens(b"${") || opens(b"#{") || opens(b"<%") || opens(b"{%");
            self.spent += cost;
            let affordable = self.spent <= MOST_COST * self.value.len();
            self.at = if nests && affordable && self.nested < MOST_NESTED {
                self.nested += 1;
                start + open.len()
            } else {
                end
            };
            return Some(Span { kind, start, end: end.min(self.value.len()), inner, cost });
        }
    }
}

/// `{$smarty`, `{php}`, `{7`, `{*99*}`, `{system(`
fn is_smarty(body: &[u8]) -> bool {
    let name = body.iter().take(24).take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'_').count();
    match body.first() {
        Some(b'0'..=b'9' | b'*' | b'\'' | b'"') => true,
        Some(b'$') => body.starts_with(b"$smarty."),
        _ if body.starts_with(b"php}") || body.starts_with(b"if ") => true,
        _ => name > 1 && body.get(name) == Some(&b'('),
    }
}

/// Where the end is, if quotes and brackets before it are even.
fn matching(body: &[u8], close: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut escaped = false;
    for (at, byte) in body.iter().take(LONGEST).enumerate() {
        if escaped {
            escaped = false;
            continue;
        }
        match (byte, quote) {
            (b'\\', Some(_)) => escaped = true,
            (byte, Some(open)) if *byte == open => quote = None,
            (_, Some(_)) => {}
            _ if depth == 0 && body.get(at..).is_some_and(|rest| rest.starts_with(close)) => return Some(at),
            (b'\'' | b'"', None) => quote = Some(*byte),
            (b'(' | b'[' | b'{', None) => depth += 1,
            (b')' | b']' | b'}', None) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}
