//! Lookups as Log4j evaluates them: inner ones first, each replaced by what it stands for. On a stack of a fixed size:
//! what does not fit is left out, and no input allocates.

use crate::ascii;

/// Text of all lookups that are open.
const TEXT: usize = 512;
const DEPTH: usize = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// `${jndi:`. `hidden`: by lookups, or by letters that are written otherwise.
    Jndi { hidden: bool },
    /// Lookups that stand for a single letter, three or more.
    Letters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub what: What,
    pub start: usize,
    pub end: usize,
}

struct Stack {
    text: [u8; TEXT],
    length: usize,
    /// Where the text of each open lookup begins, and where it stands in the value.
    open: [(usize, usize); DEPTH],
    depth: usize,
    /// Lookups that are nested too deep to be evaluated.
    beyond: usize,
    /// Lookups that stood for a single letter, in a row.
    letters: usize,
}

/// The first lookup of a name through JNDI, or what hides something.
pub(super) fn find(value: &[u8], first: usize) -> Option<Seen> {
    let mut stack =
        Stack { text: [0; TEXT], length: 0, open: [(0, 0); DEPTH], depth: 0, beyond: 0, letters: 0 };
    let mut hidden = None;
    let mut at = first;
    while let Some(byte) = value.get(at) {
        let next = value.get(at + 1);
        match byte {
            b'$' if next == Some(&b'{') => {
                stack.push(at);
                at += 2;
                continue;
            }
            b'}' if stack.depth > 0 => {
                let nested = stack.depth > 1;
                if let Some(seen) = stack.pop(value, at) {
                    return Some(seen);
                }
                if !nested && stack.letters >= 3 && hidden.is_none() {
                    hidden = Some(Seen { what: What::Letters, start: first, end: at + 1 });
                }
            }
            _ if stack.depth > 0 => stack.add(*byte),
            _ => {}
        }
        at += 1;
    }
    // One that the value does not close, the application may.
    while stack.depth > 0 {
        if let Some(seen) = stack.pop(value, value.len()) {
            return Some(seen);
        }
    }
    hidden
}

impl Stack {
    fn push(&mut self, at: usize) {
        if self.beyond > 0 {
            self.beyond += 1;
        } else if let Some(open) = self.open.get_mut(self.depth) {
            *open = (self.length, at);
            self.depth += 1;
        } else {
            self.beyond = 1;
        }
    }

    fn add(&mut self, byte: u8) {
        if let Some(free) = self.text.get_mut(self.length) {
            *free = byte;
            self.length += 1;
        }
    }

    /// Ends the innermost lookup and leaves what it stands for.
    fn pop(&mut self, value: &[u8], at: usize) -> Option<Seen> {
        if self.beyond > 0 {
            self.beyond -= 1;
            return None;
        }
        self.depth = self.depth.checked_sub(1)?;
        let (start, place) = self.open.get(self.depth).copied()?;
        let text = self.text.get(start..self.length)?;
        if is_jndi(text) {
            let written = value.get(place + 2..at).unwrap_or_default();
            let hidden = !is_jndi(written);
            let end = (at + 1).min(value.len());
            return Some(Seen { what: What::Jndi { hidden }, start: place, end });
        }
        let (from, to) = stands_for(text);
        // `${::-a}` stands for a letter whatever happens; `${1:-0}` is a default of a shell.
        let is_letter = to == from + 1 && text.get(from).is_some_and(u8::is_ascii_alphabetic);
        let how = text.get(..from).unwrap_or_default();
        let obvious = memchr::memchr_iter(b':', how).count() > 1
            || how.eq_ignore_ascii_case(b"lower:")
            || how.eq_ignore_ascii_case(b"upper:");
        // By itself it is text that somebody wants.
        if is_letter && obvious && self.depth > 0 {
            self.letters += 1;
        }
        if self.depth == 0 {
            self.length = 0;
        } else {
            self.text.copy_within(start + from..start + to, start);
            self.length = start + (to - from);
        }
        None
    }
}

fn is_jndi(text: &[u8]) -> bool {
    ascii::starts(text.trim_ascii_start(), b"jndi:")
}

/// Which part of a lookup is left of it: what follows `:-`, or what a function of text is applied to.
fn stands_for(text: &[u8]) -> (usize, usize) {
    let end = text.len();
    let begins = |name: &[u8]| ascii::starts(text, name);
    if let Some(at) = memchr::memmem::find(text, b":-") {
        return (at + 2, end);
    }
    if begins(b"lower:") || begins(b"upper:") {
        return (6, end);
    }
    if begins(b"date:") {
        let quoted = text.get(5) == Some(&b'\'') && text.last() == Some(&b'\'') && end > 6;
        return if quoted { (6, end - 1) } else { (5, end) };
    }
    (0, 0)
}
