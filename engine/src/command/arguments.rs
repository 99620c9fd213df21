//! What follows the name of a command: does it look like arguments, or like the rest of a sentence?

use super::lexer::{self, Word, is_blank};

/// Words that are read behind a name. A shell takes more, but these decide.
const MOST: usize = 8;

/// How the words end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// With the value, or a separator, or a comment.
    Clean,
    /// At a quote that stands open, or a parenthesis.
    Closed,
    /// At something else, or they went on too long.
    Open,
}

/// What the arguments of a command are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arguments {
    /// `-x`, `--long`, `/x`
    pub flags: usize,
    /// Those of Windows among them.
    pub switches: usize,
    /// `/etc/passwd`, `../x`, `~/x`, `c:\x`
    pub paths: usize,
    /// `http://x`
    pub urls: usize,
    /// Digits, an address, or a time.
    pub numbers: usize,
    /// In quotes, or file names, or globs
    pub texts: usize,
    /// Substitutions, variables, redirections
    pub shell: usize,
    /// Anything else, as prose has it.
    pub words: usize,
    /// One of them names what nobody but an attacker asks for.
    pub sensitive: bool,
    /// One of them, or what is between them, is evaded.
    pub evaded: bool,
    pub ending: Ending,
    pub end: usize,
}

impl Arguments {
    pub(super) fn count(&self) -> usize {
        self.flags + self.paths + self.urls + self.numbers + self.texts + self.shell + self.words
    }

    /// Whether there is something among them that prose does not have.
    pub(super) fn are_strong(&self) -> bool {
        self.evaded || self.flags + self.paths + self.urls + self.shell > 0 && self.words <= 3
    }
}

/// Reads the arguments that follow a name. `glued`: they follow without a blank.
pub(super) fn read(value: &[u8], at: usize, glued: bool) -> Arguments {
    let mut arguments = Arguments {
        flags: 0,
        switches: 0,
        paths: 0,
        urls: 0,
        numbers: 0,
        texts: 0,
        shell: 0,
        words: 0,
        sensitive: false,
        evaded: glued,
        ending: Ending::Open,
        end: at,
    };
    let mut at = at;
    let mut glued = glued;
    for _ in 0..MOST {
        let blanks = blanks(value, at);
        at += blanks;
        let rest = value.get(at..).unwrap_or_default();
        arguments.end = at;
        if let Some(ending) = ending(rest) {
            arguments.ending = ending;
            return arguments;
        }
        if let Some(length) = shell(rest) {
            arguments.shell += 1;
            at += length;
            glued = true;
            continue;
        }
        if blanks == 0 && !glued {
            return arguments;
        }
        let word = lexer::word(value, at);
        if word.end == at {
            return arguments;
        }
        arguments.see(&word, rest);
        glued = word.glued;
        at = word.end;
    }
    arguments.end = at;
    arguments
}

/// Blanks, and the plus signs that stand for them where a form was decoded twice too little.
pub(super) fn blanks(value: &[u8], at: usize) -> usize {
    let mut length = 0;
    loop {
        match value.get(at + length..) {
            Some([byte, ..]) if is_blank(*byte) => length += 1,
            Some([b'+', next, ..])
                if next.is_ascii_alphanumeric() || matches!(next, b'/' | b'|' | b'-' | b'+' | b'&') =>
            {
                length += 1;
            }
            Some([b'\\', b'\n', ..]) => length += 2,
            _ => return length,
        }
    }
}

#[expect(clippy::match_same_arms, reason = "the rows of a table, read from above")]
fn ending(rest: &[u8]) -> Option<Ending> {
    match rest {
        [] | [b';' | b'|' | b'\n' | b'\r' | b'#' | 0 | 0x1A, ..] => Some(Ending::Clean),
        [b'&', next, ..] if *next != b'>' => Some(Ending::Clean),
        [b'&'] => Some(Ending::Clean),
        // What would close a substitution, a group or the quote that the value stands in.
        [b'(' | b')' | b'`' | b'}', ..] => Some(Ending::Closed),
        [b'\'' | b'"'] | [b'\'' | b'"', b'\'' | b'"' | b'`' | b')' | b';' | b'|' | b'&' | b' ', ..] => {
            Some(Ending::Closed)
        }
        _ => None,
    }
}

/// Length of a redirection or of the beginning of a substitution.
#[expect(clippy::match_same_arms, reason = "the rows of a table, read from above")]
fn shell(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'<', b'<', b'<', ..] => Some(3),
        [b'>' | b'<', b'(', ..] | [b'$', b'(' | b'[', ..] => Some(2),
        [b'0'..=b'9' | b'&', b'>', ..] => Some(2),
        [b'>', b'>' | b'&', ..] => Some(2),
        [b'>' | b'<', next, ..] if is_blank(*next) || matches!(next, b'/' | b'a'..=b'z' | b'.') => Some(1),
        [b'`', next, ..] if next.is_ascii_alphabetic() => Some(1),
        _ => None,
    }
}

impl Arguments {
    #[expect(clippy::match_same_arms, reason = "the rows of a table, read from above")]
    fn see(&mut self, word: &Word, rest: &[u8]) {
        let bytes = word.bytes();
        self.evaded |= (word.evaded && !word.quoted && bytes.len() > 2) || word.glued;
        let masked = word.glob && (super::path::is_masked_path(bytes) || super::path::is_cut(bytes));
        self.evaded |= masked;
        self.sensitive |= masked || is_sensitive(bytes);
        let counter = match bytes {
            [b'-', b'-', first, ..] if first.is_ascii_alphabetic() => &mut self.flags,
            [b'-', first, ..] if first.is_ascii_alphanumeric() => &mut self.flags,
            _ if is_switch(bytes) => {
                self.switches += 1;
                &mut self.flags
            }
            [b'/', first, ..]
                if first.is_ascii_alphanumeric() || matches!(first, b'?' | b'*' | b'[' | b'.' | b'/') =>
            {
                &mut self.paths
            }
            b"/" | b"~" => &mut self.paths,
            // What `find -exec` ends with.
            b"{}" | b"+" => &mut self.shell,
            [b'.', b'/' | b'\\', ..] | [b'.', b'.', b'/' | b'\\', ..] | [b'~', b'/', ..] => &mut self.paths,
            [_, b':', b'\\' | b'/', ..] | [b'\\', b'\\', ..] => &mut self.paths,
            _ if word.dynamic || is_variable(bytes) => &mut self.shell,
            _ if has_scheme(bytes) => &mut self.urls,
            _ if !bytes.is_empty()
                && bytes.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b':' | b'/'))
                && bytes.iter().any(u8::is_ascii_digit) =>
            {
                &mut self.numbers
            }
            _ if word.quoted || word.glob || matches!(rest.first(), Some(b'\'' | b'"')) || is_file(bytes) => {
                &mut self.texts
            }
            _ => &mut self.words,
        };
        *counter += 1;
    }
}

/// `/c`, `/?`, `/all`, `/add`, `/t:x`
fn is_switch(bytes: &[u8]) -> bool {
    match bytes {
        [b'/', first] | [b'/', first, b':', ..] => first.is_ascii_alphabetic() || *first == b'?',
        _ => matches!(bytes, b"/all" | b"/add" | b"/delete" | b"/im" | b"/fo" | b"/tn"),
    }
}

/// `%windir%`, `!var!`, `%i`
fn is_variable(bytes: &[u8]) -> bool {
    match bytes {
        [b'%', first, ..] => {
            first.is_ascii_alphabetic()
                && (bytes.len() == 2 || bytes.get(1..).unwrap_or_default().contains(&b'%'))
        }
        _ => false,
    }
}

fn has_scheme(bytes: &[u8]) -> bool {
    let letters = bytes.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    (2..8).contains(&letters) && bytes.get(letters..).is_some_and(|rest| rest.starts_with(b"://"))
}

/// `x.sh`, `dir/x.txt`, `host.example`: a name with a dot inside of it.
fn is_file(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_suffix(b".").unwrap_or(bytes);
    let dot = bytes.iter().rposition(|byte| *byte == b'.');
    let ending = dot.and_then(|dot| bytes.get(dot + 1..)).unwrap_or_default();
    let name = |byte: &u8| lexer::is_name(*byte) || matches!(byte, b'.' | b'-' | b'/' | b'_' | b':');
    dot > Some(0) && (1..12).contains(&ending.len()) && bytes.iter().all(name)
}

/// Files and devices that a shell is asked for by attackers.
pub(super) fn is_sensitive(bytes: &[u8]) -> bool {
    const PLACES: &[&[u8]] = &[
        b"/etc/passwd",
        b"/etc/shadow",
        b"/etc/group",
        b"/etc/hosts",
        b"/etc/issue",
        b"/etc/sub",
        b"/etc/sudoers",
        b"/etc/crontab",
        b"/etc/ssh/",
        b"/dev/tcp/",
        b"/dev/udp/",
        b"/proc/self",
        b"/.ssh/",
        b"/bin/sh",
        b"/bin/bash",
        b"\\win.ini",
        b"/win.ini",
        b"boot.ini",
        b"\\system32",
        b"\\repair\\",
    ];
    // Options that run what follows them.
    if matches!(bytes, b"-exec" | b"-execdir" | b"-wrapper") || bytes.starts_with(b"--checkpoint-action=") {
        return true;
    }
    bytes.len() > 6 && PLACES.iter().any(|place| bytes.windows(place.len()).any(|piece| piece == *place))
}
