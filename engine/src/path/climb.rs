//! Runs of segments that go up a directory: `../../`, and what lenient readers take for it: `....//`, `..;/`, `.././`.

use super::units::{self, Unit};
use crate::ascii;

/// One run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Climb {
    /// Directories that it goes up.
    pub count: usize,
    pub start: usize,
    /// Where the name behind it begins.
    pub end: usize,
    /// Dots or separators are not written as everybody does.
    pub is_odd: bool,
    /// In a way that no client encodes by itself: dots, or bytes that are not UTF-8.
    pub is_forged: bool,
    pub has_nul: bool,
}

/// Calls `see` with each run of a value, in one pass.
pub(super) fn each(value: &[u8], mut see: impl FnMut(Climb)) {
    let mut run = Climb::default();
    let mut dots = Dots::default();
    let mut at = 0;
    while let Some(rest) = value.get(at..).filter(|rest| !rest.is_empty()) {
        let (unit, length, is_odd) = match bare_code(rest, &dots) {
            Some(length) => (Unit::Slash, length, true),
            None => units::unit(rest),
        };
        match unit {
            Unit::Dot => dots.add(at, is_odd),
            Unit::Nul => run.has_nul |= run.count > 0 || dots.count > 1,
            Unit::Slash => {
                run.take(&dots, is_odd);
                run.is_forged |= run.count > 0 && is_odd && rest.first() != Some(&b'%');
                run.end = at + length;
                dots = Dots { after_word: false, ..Dots::default() };
            }
            Unit::Other if dots.count == 2 && is_parameter(rest) => dots.is_odd = true,
            Unit::Other => {
                run.give(&mut see);
                dots = Dots { after_word: true, ..Dots::default() };
            }
        }
        at += length;
    }
    if run.count > 0 || dots.count == 2 && !dots.after_word {
        run.take(&dots, false);
        run.end = run.end.max(at);
    }
    run.give(&mut see);
}

impl Climb {
    fn take(&mut self, dots: &Dots, is_odd: bool) {
        // `...` alone is what authors leave out; with a separator and again it is two steps in some shells.
        let counts = matches!(dots.count, 2..=8) && !(dots.after_word && dots.count > 2);
        if !counts {
            return;
        }
        if self.count == 0 {
            self.start = dots.start;
            self.is_odd = false;
            self.is_forged = false;
        }
        self.count += 1;
        self.is_forged |= dots.is_forged;
        self.is_odd |= is_odd || dots.is_odd || dots.count > 2;
    }

    fn give(&mut self, see: &mut impl FnMut(Climb)) {
        // One group of three dots or more is an omission.
        if self.count > 0 {
            see(*self);
        }
        *self = Self::default();
    }
}

#[derive(Default)]
struct Dots {
    count: usize,
    start: usize,
    is_odd: bool,
    is_forged: bool,
    after_word: bool,
}

impl Dots {
    fn add(&mut self, at: usize, is_odd: bool) {
        if self.count == 0 {
            self.start = at;
        }
        self.count += 1;
        self.is_odd |= is_odd;
        self.is_forged |= is_odd;
    }
}

/// `..2f..2f`, `..2fetc`: a filter took the percent signs away. Or a client made two replacement characters of a separator
/// in two bytes that are no UTF-8.
fn bare_code(rest: &[u8], dots: &Dots) -> Option<usize> {
    if dots.count != 2 || dots.after_word {
        return None;
    }
    if rest.starts_with(b"\xEF\xBF\xBD\xEF\xBF\xBD") {
        return Some(6);
    }
    let codes: &[&[u8]] = &[b"2f", b"5c", b"252f", b"255c", b"u2215", b"u2216"];
    let next: &[&[u8]] = &[b"..", b"etc", b"proc", b"windows", b"winnt", b"boot.ini", b"apache"];
    let code = codes.iter().find(|code| {
        let behind = rest.get(code.len()..).unwrap_or_default();
        ascii::starts(rest, code) && next.iter().any(|next| ascii::starts(behind, next))
    })?;
    Some(code.len())
}

/// `..;/`: a parameter of a segment (RFC 3986 3.3) that only some servers take off.
fn is_parameter(rest: &[u8]) -> bool {
    rest.first() == Some(&b';') && rest.get(1..).is_some_and(|rest| units::unit(rest).0 == Unit::Slash)
}
