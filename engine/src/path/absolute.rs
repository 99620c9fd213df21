//! Values that are a path as a whole, wherever it starts: a file of the system, a share of a host, the path of a request.

use super::{
    ABSOLUTE, ENCODED, Found, REQUESTED, SHARE, requested as files,
    targets::{self, Target},
    units,
};
use crate::finding::Confidence::{self, High, Low, Medium};
use crate::finding::Part;

/// The value as a whole is a path that does not depend on where it starts.
pub(super) fn absolute(part: Part, value: &[u8], blanks: usize) -> Option<Found> {
    let rest = value.get(blanks..)?;
    let found = |rule, confidence| Some(Found { rule, confidence, start: blanks, end: value.len() });
    if is_encoded(rest) {
        return found(ENCODED, High);
    }
    if part == Part::Text || rest.len() > LONGEST {
        return None;
    }
    let name = units::name(rest);
    let behind = rest.get(name.read..).unwrap_or_default();
    let has_nul = behind.first() == Some(&0) || behind.starts_with(b"%00");
    // `;`, `|` and `&` begin a command, which is for another detector; what is behind them is still not a text.
    let words = behind.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).take(3).count();
    if words > 2 || (words > 0 && behind.trim_ascii().first().is_some_and(|byte| b"<>\"'`(,=".contains(byte)))
    {
        return None;
    }
    if part == Part::Path {
        let file = name.bytes().strip_suffix(b"/").unwrap_or(name.bytes());
        let secret = targets::ends_in_secret(file) || holds_private_folder(rest);
        return if secret { found(ABSOLUTE, High) } else { found(REQUESTED, requested(rest)?) };
    }
    if is_share(rest) {
        let is_hidden = memchr::memchr(b'$', rest).is_some()
            || rest.starts_with(b"\\\\.\\")
            || rest.starts_with(b"\\\\?\\");
        return found(SHARE, if is_hidden || rest.starts_with(b"\\\\::") { High } else { Low });
    }
    let is_rooted = units::is_rooted(rest);
    let is_name = matches!(part, Part::JsonKey | Part::FormName | Part::QueryName);
    // Applications that manage machines name directories of theirs.
    let is_managed = !part.is_parameter_or_file() || is_name;
    if is_rooted && !is_managed && targets::is_in_home(name.bytes()) {
        return found(ABSOLUTE, High);
    }
    let confidence = match targets::find(name.bytes())? {
        Target::Secret if !is_name && matches!(name.bytes(), b"etc/passwd" | b"etc/shadow") => High,
        Target::Secret if is_rooted || targets::is_hidden(name.bytes()) => High,
        Target::Secret if name.bytes().ends_with(b"/.htpasswd") => High,
        Target::System if !is_rooted => return None,
        Target::System
            if has_nul
                || !is_managed
                    && targets::is_file(name.bytes())
                    && !targets::is_asset(name.bytes())
                    && !targets::is_program(name.bytes()) =>
        {
            High
        }
        Target::System if !targets::is_file(name.bytes()) => Low,
        _ => Medium,
    };
    found(ABSOLUTE, confidence)
}

const LONGEST: usize = 1024;

/// `/app;/WEB-INF/web.xml`: servers keep these folders to themselves, and a parameter of a segment gets around that.
fn holds_private_folder(path: &[u8]) -> bool {
    memchr::memchr_iter(b'/', path).any(|at| {
        let folder = path.get(at + 1..at + 9).unwrap_or_default();
        folder.eq_ignore_ascii_case(b"web-inf/") || folder.eq_ignore_ascii_case(b"meta-inf")
    })
}

/// The whole path of a request, of which the end tells what it is for.
fn requested(rest: &[u8]) -> Option<Confidence> {
    const END: usize = 80;
    let end = rest.get(rest.len().saturating_sub(END)..)?;
    let end = end.get(memchr::memchr(b'/', end)?..)?;
    let name = units::name(end);
    if !rest.starts_with(b"/") || name.read < end.len() {
        return None;
    }
    files::judge(name.bytes())
}

fn is_share(rest: &[u8]) -> bool {
    let Some(host) = rest.strip_prefix(b"\\\\") else { return false };
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:?$@".contains(byte);
    let length = host.iter().take_while(|byte| is_name(byte)).count();
    length > 0 && host.get(length) == Some(&b'\\') && host.get(length + 1).is_some_and(is_name)
}

/// `../../../`, `..\..\..\`, `/etc/passwd` and their like, as base64. Its letters tell three bytes exactly.
fn is_encoded(rest: &[u8]) -> bool {
    const STARTS: &[&[u8]] = &[
        b"Li4vLi4vLi4v",
        b"Li5cLi5cLi5c",
        b"Ly4uLy4uLy4u",
        b"L2V0Yy9wYXNz",
        b"L2V0Yy9zaGFk",
        b"L2V0Yy9ob3N0",
        b"L2V0Yy9pc3N1",
        b"L2V0Yy9tYXN0",
    ];
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_%".contains(byte);
    STARTS.iter().any(|start| rest.starts_with(start)) && rest.trim_ascii_end().iter().all(is_letter)
}
