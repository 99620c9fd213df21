//! Reads bytes as JavaScript from a given place, as far as it is JavaScript, and says what running it would do.
//!
//! No full parser: it alternates operands and operators over real tokens (ECMA-262 section 12), which prose does not
//! survive for two words. Linear; depth of templates is bounded. Must never need a valid end: attacks leave the page's
//! own script behind them broken, or in a comment, or in a quote.

mod name;
mod reader;
mod tokens;

pub(super) use name::escape;

/// What the reader stopped at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The end, where a statement may end.
    Complete,
    /// The end, inside of a comment.
    Comment,
    /// The end, inside of a text: the quote that follows in the page closes it.
    OpenText,
    /// The end, after an operator or inside of brackets.
    Incomplete,
    /// A token that cannot stand there.
    Broken,
}

/// What was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// Something is called.
    pub calls: bool,
    /// Something is assigned or thrown.
    pub assigns: bool,
    /// A name of the page or the browser is used that an attack needs.
    pub sensitive: bool,
    /// One that does more than look at the page.
    pub strong: bool,
    /// One that ordinary code uses rarely.
    pub hostile: bool,
    /// A call that has no blank in front of its parenthesis, as prose has it, or a property of the page is assigned to.
    pub tight: bool,
    /// A property of the browser is looked up by a text, which hides its name.
    pub hidden: bool,
    /// Statements or operators before the first call.
    pub tokens: usize,
    /// Where it stopped.
    pub end: usize,
    pub ending: Ending,
}

impl Reading {
    /// It does something when it runs.
    pub(super) fn runs(&self) -> bool {
        self.calls || self.assigns
    }

    /// It does what an attack does.
    pub(super) fn attacks(&self) -> bool {
        self.runs() && self.sensitive
    }
}

/// Where reading starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// At the beginning of a statement.
    Statement,
    /// After an operand, for example a text that was closed.
    Operand,
}

pub(super) fn read(bytes: &[u8], at: usize, start: Start) -> Reading {
    reader::read(bytes, at, start, 0)
}

/// Reads code that is known to be code, over what cannot stand there: a page's own copy of it may have lost line breaks.
pub(super) fn read_loosely(bytes: &[u8]) -> Reading {
    let mut all = read(bytes, 0, Start::Statement);
    let mut at = all.end;
    for _ in 0..MOST_BREAKS {
        if all.ending != Ending::Broken || all.attacks() && all.hostile {
            break;
        }
        let next = read(bytes, at, Start::Statement);
        at = next.end.max(at + 1);
        all = Reading {
            calls: all.calls | next.calls,
            assigns: all.assigns | next.assigns,
            sensitive: all.sensitive | next.sensitive,
            strong: all.strong | next.strong,
            hostile: all.hostile | next.hostile,
            tight: all.tight | next.tight,
            hidden: all.hidden | next.hidden,
            tokens: all.tokens + next.tokens,
            end: at.min(bytes.len()),
            ending: next.ending,
        };
    }
    all
}

const MOST_BREAKS: usize = 64;
