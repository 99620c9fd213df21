//! Dots and separators of a path in all the ways that some server, framework or file system takes for them.

/// What stands at a place of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Dot,
    Slash,
    Nul,
    Other,
}

/// The unit that bytes begin with, its length, and whether it is written otherwise than with its one byte.
pub(crate) fn unit(rest: &[u8]) -> (Unit, usize, bool) {
    match *rest {
        [b'.', ..] => (Unit::Dot, 1, false),
        [0, ..] => (Unit::Nul, 1, false),
        [b'\\', b'u' | b'U', b'0', b'0', high, low, ..] => {
            coded(high, low, 6).unwrap_or((Unit::Slash, 1, false))
        }
        [b'\\', b'u', b'2', b'2', b'1', b'5' | b'6', ..] => (Unit::Slash, 6, true),
        [b'\\', b'x' | b'X', high, low, ..] => coded(high, low, 4).unwrap_or((Unit::Slash, 1, false)),
        [b'/' | b'\\', ..] => (Unit::Slash, 1, false),
        [b'0', b'x' | b'X', high, low, ..] => coded(high, low, 4).unwrap_or((Unit::Other, 1, false)),
        [b'%', ..] => percent(rest),
        // Overlong UTF-8 of one byte, and what some decoders make of an incomplete one.
        [0xC0 | 0xC1, second, ..] => overlong(second, 2),
        [0xE0, 0x80 | 0x81, third, ..] => overlong(third, 3),
        [0xF0, 0x80, 0x80 | 0x81, fourth, ..] => overlong(fourth, 4),
        // U+2044, U+2215, U+2216, U+FF0F, U+FF3C, U+EFC8: best fit to `/` and `\`.
        [0xE2, 0x81, 0x84, ..]
        | [0xE2, 0x88, 0x95 | 0x96, ..]
        | [0xEF, 0xBC, 0x8F | 0xBC, ..]
        | [0xEE, 0xBF, 0x88, ..]
        | [0xEF, 0x80, 0xA5, ..] => (Unit::Slash, 3, true),
        // U+2024, U+FF0E.
        [0xE2, 0x80, 0xA4, ..] | [0xEF, 0xBC, 0x8E, ..] => (Unit::Dot, 3, true),
        _ => (Unit::Other, 1, false),
    }
}

fn overlong(last: u8, length: usize) -> (Unit, usize, bool) {
    match last {
        0xAE | 0x2E => (Unit::Dot, length, true),
        0xAF | 0x2F | 0x9C | 0x5C | 0x1C => (Unit::Slash, length, true),
        0x80 => (Unit::Nul, length, true),
        _ => (Unit::Other, 1, false),
    }
}

fn coded(high: u8, low: u8, length: usize) -> Option<(Unit, usize, bool)> {
    match [high, low.to_ascii_lowercase()] {
        [b'2', b'e'] => Some((Unit::Dot, length, true)),
        [b'2', b'f'] | [b'5', b'c'] => Some((Unit::Slash, length, true)),
        _ => None,
    }
}

/// An escape that is still there: `%2e`, `%252e`, `%c0%ae`.
fn percent(rest: &[u8]) -> (Unit, usize, bool) {
    let mut at = 1;
    while rest.get(at..at + 2) == Some(b"25") && at < 16 {
        at += 2;
    }
    let other = (Unit::Other, 1, false);
    // `..%\`: the percent sign of an escape that was undone halfway.
    if matches!(rest.get(1), Some(b'/' | b'\\')) {
        return (Unit::Slash, 2, true);
    }
    match rest.get(at..) {
        Some([b'0', b'0', ..]) => (Unit::Nul, at + 2, true),
        Some([b'c' | b'C', b'0' | b'1', b'%', high, low, ..]) => {
            match [high.to_ascii_lowercase(), low.to_ascii_lowercase()] {
                [b'a' | b'2', b'e'] => (Unit::Dot, at + 5, true),
                [b'a' | b'2', b'f'] | [b'9' | b'5', b'c'] => (Unit::Slash, at + 5, true),
                _ => other,
            }
        }
        Some([high, low, ..]) => coded(*high, *low, at + 2).unwrap_or(other),
        _ => other,
    }
}

/// Whether the path starts at a root: of a Unix system, of a drive.
pub(crate) fn is_rooted(rest: &[u8]) -> bool {
    unit(rest).0 == Unit::Slash
        || rest.first().is_some_and(u8::is_ascii_alphabetic) && rest.get(1) == Some(&b':')
}

/// The name of a file that bytes begin with: lower case, one `/` between its parts, none before it, no drive.
pub(crate) struct Name {
    buffer: [u8; LONGEST],
    length: usize,
    /// Bytes that were read.
    pub read: usize,
}

const LONGEST: usize = 96;

impl Name {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }

    fn push(&mut self, byte: u8) {
        let last = self.length.checked_sub(1).and_then(|at| self.buffer.get(at)).copied();
        if byte == b'/' && matches!(last, None | Some(b'/')) {
            return;
        }
        // `c:/` and `etc/./passwd` say nothing more.
        if byte == b'/' && (self.bytes() == b"c:" || self.bytes() == b"." || self.bytes().ends_with(b"/.")) {
            self.length -= if self.bytes() == b"c:" { 2 } else { 1 };
            return;
        }
        if let Some(place) = self.buffer.get_mut(self.length) {
            *place = byte.to_ascii_lowercase();
            self.length += 1;
        }
    }
}

pub(crate) fn name(bytes: &[u8]) -> Name {
    let mut name = Name { buffer: [0; LONGEST], length: 0, read: 0 };
    while let Some(rest) = bytes.get(name.read..).filter(|rest| !rest.is_empty()) {
        let (unit, length, _) = unit(rest);
        match (unit, rest.first()) {
            _ if name.length == LONGEST => break,
            (Unit::Nul, _) | (Unit::Other, None) => break,
            (Unit::Dot, _) => name.push(b'.'),
            (Unit::Slash, _) => name.push(b'/'),
            // `program files`, `apache group`, `documents and settings`
            (Unit::Other, Some(b' '))
                if [&b"program"[..], b"apache", b"documents", b"documents and"]
                    .iter()
                    .any(|word| name.bytes().ends_with(word))
                    && rest.get(1).is_some_and(|next| {
                        matches!(next, b'f' | b'F' | b'g' | b'G' | b'a' | b's' | b'S')
                    }) =>
            {
                name.push(b' ');
            }
            (Unit::Other, Some(byte)) if *byte <= b' ' || b"?#&|;,\"'`<>(){}".contains(byte) => break,
            (Unit::Other, Some(byte)) => name.push(*byte),
        }
        name.read += length;
    }
    name
}
