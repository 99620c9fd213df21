//! Paths that attackers run or read, whether written out or with wildcards in place of letters.

use super::lexer::{Word, is_name};
use super::words;

/// What is run through wildcards. A short list: each is compared.
const MASKED: &[&[u8]] = &[
    b"cat",
    b"ls",
    b"id",
    b"nc",
    b"sh",
    b"bash",
    b"dash",
    b"whoami",
    b"uname",
    b"head",
    b"tail",
    b"tac",
    b"less",
    b"more",
    b"curl",
    b"wget",
    b"ping",
    b"sleep",
    b"base64",
    b"xxd",
    b"perl",
    b"python3",
    b"php",
    b"grep",
    b"netcat",
    b"nslookup",
    b"env",
    b"echo",
    b"cp",
    b"find",
    b"awk",
    b"nl",
    b"strings",
];

/// Whether a word is the path of an executable, or fits one with its wildcards, and if so whether it is evaded.
pub(super) fn executable(word: &Word) -> Option<bool> {
    let bytes = word.bytes();
    let is_separator = |byte: &u8| matches!(byte, b'/' | b'\\');
    let last = bytes.rsplit(is_separator).next().unwrap_or_default();
    let folder = bytes.rsplit(is_separator).nth(1).unwrap_or_default();
    if word.glob {
        let fits = |pattern: &[u8], name: &[u8]| glob(pattern, name);
        let folder_fits =
            [&b"bin"[..], b"sbin"].iter().any(|name| fits(folder, name)) && bytes.starts_with(b"/");
        // `/*/*` fits anything, and is what documentation has.
        let told = last.iter().filter(|byte| byte.is_ascii_alphanumeric()).count() > 0
            || last.len() > 1 && !last.contains(&b'*');
        let is_command = || MASKED.iter().any(|known| fits(last, known));
        return (folder_fits && told && !folder.contains(&b'*') && is_command()).then_some(true);
    }
    let letters =
        !last.is_empty() && last.iter().all(|byte| is_name(*byte) || matches!(byte, b'.' | b'-' | b'+'));
    let is_program = letters
        && (last.ends_with(b".exe") || words::find(last.strip_suffix(b".exe").unwrap_or(last)).is_some());
    let is_folder = matches!(folder, b"bin" | b"sbin" | b"system32" | b"v1.0" | b"syswow64");
    // Somebody's own programs and scripts as well.
    (letters && (is_folder && (is_program || bytes.starts_with(b"/")) || is_script(bytes)))
        .then_some(word.evaded)
}

pub(super) fn is_script(path: &[u8]) -> bool {
    path.starts_with(b"/") && [&b".sh"[..], b".pl", b".py"].iter().any(|ending| path.ends_with(ending))
}

/// Whether a name fits a pattern with `?`, `*` and `[..]`.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let next = match (pattern.get(at..).unwrap_or_default(), name.get(read)) {
            ([], None) => return true,
            ([b'*', ..], _) => {
                star = Some((at + 1, read));
                at += 1;
                continue;
            }
            ([b'?', ..], Some(_)) => Some(1),
            ([b'[', set @ ..], Some(byte)) => in_set(set, *byte).map(|length| length + 1),
            ([first, ..], Some(byte)) if first == byte => Some(1),
            _ => None,
        };
        match (next, star) {
            (Some(length), _) => {
                at += length;
                read += 1;
            }
            (None, Some((behind, from))) if from < name.len() => {
                star = Some((behind, from + 1));
                (at, read) = (behind, from + 1);
            }
            _ => return false,
        }
    }
}

/// Length of `abc]` or `a-z]` or `!q]` where the byte is in it.
fn in_set(set: &[u8], byte: u8) -> Option<usize> {
    let length = memchr::memchr(b']', set).filter(|length| (1..12).contains(length))?;
    let inside = set.get(..length)?;
    let (inside, wanted) = match inside {
        [b'!' | b'^', inside @ ..] => (inside, false),
        inside => (inside, true),
    };
    let listed = inside.contains(&byte)
        || inside.windows(3).any(|range| matches!(range, [from, b'-', to] if (*from..=*to).contains(&byte)));
    (listed == wanted).then_some(length + 1)
}

/// Whether a path is one that attackers ask for, written with wildcards in place of letters.
pub(super) fn is_masked_path(value: &[u8]) -> bool {
    const FILES: &[&[u8]] = &[
        b"/etc/passwd",
        b"/etc/shadow",
        b"/etc/hosts",
        b"/etc/group",
        b"/bin/cat",
        b"/bin/bash",
        b"/bin/sh",
        b"/bin/nc",
        b"/bin/ls",
    ];
    if value.len() > 24 || !value.starts_with(b"/") || !value.iter().any(|byte| matches!(byte, b'?' | b'[')) {
        return false;
    }
    FILES.iter().any(|file| glob(value, file))
}

/// `/[e]tc/[p]asswd`, `/[e///]tc`: brackets around one letter, or around slashes, stand for that letter and hide it.
pub(super) fn is_cut(path: &[u8]) -> bool {
    path.starts_with(b"/")
        && memchr::memchr_iter(b'[', path).any(|at| {
            let inside = path.get(at + 1..).unwrap_or_default();
            let length = memchr::memchr(b']', inside).unwrap_or(0);
            let set = inside.get(..length).unwrap_or_default();
            let goes_on = inside.get(length + 1).is_some_and(u8::is_ascii_alphabetic);
            goes_on && (set.len() == 1 && !set.iter().all(u8::is_ascii_digit) || set.contains(&b'/'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_fit_as_in_a_shell() {
        let rows: &[(&[u8], &[u8], bool)] = &[
            (b"c?t", b"cat", true),
            (b"c*", b"cat", true),
            (b"*t", b"cat", true),
            (b"[a-c]at", b"cat", true),
            (b"[!x]at", b"cat", true),
            (b"[x]at", b"cat", false),
            (b"c?", b"cat", false),
            (b"", b"", true),
            (b"***", b"", true),
            (b"[", b"a", false),
        ];
        for (pattern, name, expected) in rows {
            assert_eq!(glob(pattern, name), *expected, "{}", String::from_utf8_lossy(pattern));
        }
    }
}
