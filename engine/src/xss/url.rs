//! Addresses that run a script when they are followed (WHATWG URL 4.4: controls and white space are dropped before the
//! scheme is read; HTML 7.4.2.3 on `javascript:`).

use crate::ascii;

/// What an address does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `javascript:` and its old kin; where the script begins.
    Script(usize),
    /// `data:` with a document or a program.
    Document,
    /// `data:` with a picture that may hold scripts.
    Svg,
    /// One that shows a document in another way: `view-source:`, `mhtml:`, `jar:`.
    Wrapper,
    /// On another server.
    Remote,
    /// Anything else.
    Other,
}

/// Tells the scheme; references must have been undone.
pub(super) fn scheme(value: &[u8]) -> Scheme {
    let mut name = [0_u8; LONGEST];
    let mut length = 0;
    let mut skip = 0;
    for (at, byte) in value.iter().copied().enumerate() {
        if skip > 0 {
            skip -= 1;
            continue;
        }
        match byte {
            // `ja\nva`: the escape of a line break, not undone yet.
            b'\\' if length > 0 && matches!(value.get(at + 1), Some(b'n' | b'r' | b't')) => skip = 1,
            // Engines drop some of these, filters others.
            0..=b' ' | 0x7F.. | b'\\' if length < LONGEST => {}
            b':' if length > 0 => {
                return named(name.get(..length).unwrap_or_default(), value.get(at + 1..), at + 1);
            }
            b'/' if length == 0 => {
                let slashes =
                    value.get(at..).unwrap_or_default().iter().take_while(|byte| **byte == b'/').count();
                return if slashes > 1 { Scheme::Remote } else { Scheme::Other };
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'0'..=b'9' | b'+' => {
                let Some(place) = name.get_mut(length) else { return Scheme::Other };
                *place = byte.to_ascii_lowercase();
                length += 1;
            }
            // `&14;`: what a filter left of a reference.
            b';' if name.get(..length).is_some_and(|name| name.iter().all(u8::is_ascii_digit)) => length = 0,
            b'"' | b'\'' | b'`' | b'(' | b'&' | b'[' if length == 0 => {}
            _ => return Scheme::Other,
        }
    }
    Scheme::Other
}

const LONGEST: usize = 24;

fn named(name: &[u8], rest: Option<&[u8]>, start: usize) -> Scheme {
    let rest = rest.unwrap_or_default();
    match name {
        b"javascript" | b"vbscript" | b"livescript" | b"mocha" | b"jscript" | b"ecmascript" | b"vbs" => {
            Scheme::Script(start)
        }
        // `x01javascript`: an escape that a filter stripped of its backslash.
        _ if name.ends_with(b"javascript") && name.len() <= 16 => Scheme::Script(start),
        b"feed" | b"view-source" | b"jar" | b"mhtml" | b"ms-its" | b"mk" | b"url" => match scheme(rest) {
            Scheme::Script(inner) => Scheme::Script(start + inner),
            Scheme::Document => Scheme::Document,
            _ => Scheme::Wrapper,
        },
        b"data" => data(rest),
        b"http" | b"https" | b"ftp" => Scheme::Remote,
        _ => Scheme::Other,
    }
}

fn data(rest: &[u8]) -> Scheme {
    let mut kind = [0_u8; 40];
    let mut length = 0;
    for byte in rest
        .iter()
        .copied()
        .filter(|byte| *byte > b' ')
        .take_while(|byte| !matches!(byte, b',' | b';'))
        .take(40)
    {
        if let Some(place) = kind.get_mut(length) {
            *place = byte.to_ascii_lowercase();
        }
        length += 1;
    }
    let kind = kind.get(..length).unwrap_or_default();
    let holds = |part: &[u8]| kind.windows(part.len()).any(|window| window == part);
    if holds(b"svg") {
        Scheme::Svg
    } else if is_packed_markup(rest)
        || holds(b"html")
        || holds(b"script")
        || holds(b"xml")
        || holds(b"xsl")
        || holds(b"flash")
        || holds(b"jar")
    {
        Scheme::Document
    } else {
        Scheme::Other
    }
}

/// Base64 of `<script` or `<svg`, also where it was turned to lower case.
fn is_packed_markup(rest: &[u8]) -> bool {
    let rest = rest.get(..512).unwrap_or(rest);
    [&b"PHNjcmlwd"[..], b"PHN2Zy"].iter().any(|known| ascii::contains(rest, known))
}
