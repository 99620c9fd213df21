//! Where in a value could a command begin, and what would run there? Every separator and every substitution is such a
//! place, and so is the beginning, for applications that run the value as it is.

use super::arguments::{self, Arguments, Ending};
use super::lexer::{self, Word, is_blank, is_name};
use super::path::{self, is_script};
use super::windows;
use super::words::{self, Use};
use crate::lookup::Lookup;

/// What makes a shell look for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opener {
    /// The beginning of the value.
    Start,
    /// `;`, `|`, `||`, `&`, `&&`
    Operator,
    /// A line feed or what some shells take for one.
    Newline,
    /// A backtick
    Backtick,
    /// `$(`
    Dollar,
    /// `<(`, `>(`
    Process,
}

/// What stands where a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Known(Use),
    /// A path to an executable.
    Executable,
    /// An unknown word that `$IFS` or braces glue to its arguments.
    Glued,
    /// A loop or a condition of a Windows batch.
    Batch,
    /// The beginning of code that is run as PowerShell.
    PowerShell,
}

/// A command that would run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Command {
    pub opener: Opener,
    pub name: Name,
    pub evaded: bool,
    /// Behind a keyword or a wrapper, as `then`, `sudo`.
    pub wrapped: bool,
    /// Behind a word that only runs what follows, and that nobody writes who looks for that.
    pub driven: bool,
    /// It only filters what another command prints.
    pub filters: bool,
    /// It runs what it reads.
    pub shell: bool,
    /// It is a shell that is told what to run: `sh -c x`.
    pub runs: bool,
    /// Braces put the name together: `c{a,oun}t`.
    pub braced: bool,
    /// The name has less than three letters.
    pub short: bool,
    pub arguments: Arguments,
    /// The opener, or the name where there is none.
    pub start: usize,
    pub end: usize,
}

/// The next place at or behind `at` where a command could begin: its opener, where that is, and where the command is.
pub(super) fn next_place(value: &[u8], at: usize) -> Option<(Opener, usize, usize)> {
    let mut at = at;
    loop {
        let rest = value.get(at..)?;
        at += rest.iter().position(|byte| OPENERS.one(*byte))?;
        let (opener, length) = match value.get(at..)? {
            [b'|', b'|' | b'&', ..] | [b'&', b'&', ..] => (Opener::Operator, 2),
            [b';' | b'|' | b'&', ..] => (Opener::Operator, 1),
            [b'\n' | b'\r' | 0x1A, ..] => (Opener::Newline, 1),
            [b'`', ..] => (Opener::Backtick, 1),
            [b'$', b'(', ..] => (Opener::Dollar, 2),
            [b'<' | b'>', b'(', ..] => (Opener::Process, 2),
            _ => {
                at += 1;
                continue;
            }
        };
        return Some((opener, at, at + length));
    }
}

/// Bytes that could begin an opener.
static OPENERS: Lookup<bool> = Lookup::of(b";|&\n\r\x1A`$<>");

/// The command at a place, and how many bytes were read to tell.
pub(super) fn command(value: &[u8], opener: Opener, start: usize, at: usize) -> (Option<Command>, usize) {
    let mut at = at;
    let (mut wrapped, mut driven, mut hidden) = (false, false, false);
    for _ in 0..WRAPPERS {
        at = skip(value, at, opener);
        if opener == Opener::Start && at == 0 {
            at += open_quote(value, at);
        }
        let first = value.get(at).copied().unwrap_or(b' ');
        if matches!(first, b'f' | b'F' | b'i' | b'I')
            && let Some((name, end)) = windows::statement(value.get(at..).unwrap_or_default())
        {
            let mut arguments = arguments::read(value, at + end, true);
            arguments.evaded = false;
            return (
                Some(Command {
                    opener,
                    wrapped,
                    start,
                    end: arguments.end,
                    ..Command::plain(name, arguments)
                }),
                end,
            );
        }
        if !(first.is_ascii_alphanumeric()
            || matches!(first, b'/' | b'\\' | b'.' | b'$' | b'\'' | b'"' | b'{' | b'[' | b'%' | b'~' | b'?'))
        {
            return (None, 1);
        }
        if is_plain_word(value, at) {
            return (None, 1);
        }
        let word = lexer::word(value, at);
        // `|$u wget a`: a variable that is not set is nothing at all.
        if opener == Opener::Operator && !hidden && word.is_empty() && word.dynamic {
            let next = word.end + arguments::blanks(value, word.end);
            if next > word.end && starts_command(value, next) {
                hidden = true;
                at = next;
                continue;
            }
        }
        let Some(next) = after_prefix(value, &word) else {
            let command = judge_name(value, opener, start, at, wrapped, &word);
            let command =
                command.map(|command| Command { driven, evaded: command.evaded || hidden, ..command });
            let end = command.map_or(word.end, |command| command.end);
            return (command, end.saturating_sub(at));
        };
        // `time` and `env` run what follows, and are commands by themselves.
        let is_apart = next > word.end + 1 || is_driver(word.bytes());
        if let (Some(_), false) = (words::find(word.bytes()), is_apart && starts_command(value, next)) {
            let command = judge_name(value, opener, start, at, wrapped, &word);
            return (command, word.end.saturating_sub(at));
        }
        wrapped = true;
        driven = is_driver(word.bytes());
        at = next;
    }
    (None, 1)
}

const WRAPPERS: usize = 4;

/// Length of a quote that the value only closes: `'cat /etc/passwd`. An apostrophe has a letter before it.
pub(super) fn open_quote(value: &[u8], at: usize) -> usize {
    let rest = value.get(at..).unwrap_or_default();
    let Some((quote @ (b'\'' | b'"'), inside)) = rest.split_first() else { return 0 };
    let inside = inside.get(..lexer::LONGEST_WORD).unwrap_or(inside);
    usize::from(memchr::memchr(*quote, inside).is_none())
}

/// Whether a word is the name of a command.
pub(super) fn starts(word: &Word) -> bool {
    name(word).is_some() || is_prefix(word.bytes())
}

fn starts_command(value: &[u8], at: usize) -> bool {
    let word = lexer::word(value, at);
    name(&word)
        .is_some_and(|(name, evaded)| evaded || !matches!(name, Name::Known(Use::English | Use::Telling)))
}

/// Whether a word stands here that is written out and is no command: most words of a text, told at little cost.
pub(super) fn is_plain_word(value: &[u8], at: usize) -> bool {
    let rest = value.get(at..).unwrap_or_default();
    let mut name = [0; 24];
    let mut length = 0;
    for byte in rest {
        match (byte, name.get_mut(length)) {
            (b'a'..=b'z' | b'0'..=b'9' | b'-', Some(slot)) => *slot = *byte,
            (b'A'..=b'Z', Some(slot)) => *slot = byte | 0x20,
            _ => break,
        }
        length += 1;
    }
    let name = name.get(..length).unwrap_or_default();
    let ends = match rest.get(length..).unwrap_or_default() {
        [] | [b' ' | b',' | b':' | b'\n' | b';' | b'|', ..] => true,
        // `it's`: the quote is not closed before the next blank, so that the word ends before it.
        [quote @ (b'\'' | b'"'), inside @ ..] => {
            let mut inside = inside.iter().take(lexer::LONGEST_WORD);
            name.iter().all(u8::is_ascii_lowercase)
                && inside.find(|byte| *byte == quote || lexer::is_end(**byte)) != Some(quote)
        }
        _ => false,
    };
    ends && length > 0 && !is_prefix(name) && words::find(name).is_none()
}

/// Blanks, groups, and the silence of `cmd.exe`.
fn skip(value: &[u8], at: usize, opener: Opener) -> usize {
    let mut at = at + arguments::blanks(value, at);
    for _ in 0..4 {
        match value.get(at..) {
            // Notebooks run lines that begin with `!` in a shell.
            Some([b'!', ..]) if opener == Opener::Start => return at,
            Some([b'(' | b'!' | b'@', ..]) => at += 1,
            Some([b'{', next, ..]) if is_blank(*next) => at += 1,
            _ => return at,
        }
        at += arguments::blanks(value, at);
    }
    at
}

/// Words that run what follows them.
pub(super) fn is_prefix(word: &[u8]) -> bool {
    matches!(
        word,
        b"sudo"
            | b"env"
            | b"time"
            | b"nohup"
            | b"exec"
            | b"command"
            | b"builtin"
            | b"eval"
            | b"then"
            | b"do"
            | b"else"
            | b"if"
            | b"while"
            | b"until"
            | b"nice"
            | b"setsid"
            | b"strace"
            | b"ltrace"
            | b"busybox"
            | b"call"
            | b"doas"
            | b"start"
            | b"xargs"
            | b"elif"
    )
}

/// Those of them that people do not write in front of what they look for or ask about.
fn is_driver(word: &[u8]) -> bool {
    matches!(word, b"nohup" | b"time" | b"setsid" | b"strace" | b"ltrace" | b"busybox")
}

/// Where the command goes on behind `X=1 ` or a word that only runs what follows.
fn after_prefix(value: &[u8], word: &Word) -> Option<usize> {
    let bytes = word.bytes();
    let is_blank_behind = value.get(word.end).is_some_and(|byte| is_blank(*byte));
    let is_assignment = {
        let length = bytes.iter().take_while(|byte| is_name(**byte)).count();
        length > 0 && bytes.get(length) == Some(&b'=') && !bytes.first().is_some_and(u8::is_ascii_digit)
    };
    if is_blank_behind && (is_assignment || is_prefix(bytes)) {
        return Some(word.end + arguments::blanks(value, word.end));
    }
    None
}

fn judge_name(
    value: &[u8],
    opener: Opener,
    start: usize,
    at: usize,
    wrapped: bool,
    word: &Word,
) -> Option<Command> {
    let behind = value.get(word.end..).unwrap_or_default();
    let (name, evaded) = match name(word) {
        // A path alone is the path of a file.
        Some((Name::Executable, _)) if opener == Opener::Start && is_script(word.bytes()) => return None,
        Some((name, evaded)) => (name, evaded),
        None if word.glued
            && word.bytes().len() > 1
            && word.bytes().iter().all(|byte| is_name(*byte) || b"/.-".contains(byte)) =>
        {
            (Name::Glued, true)
        }
        None if is_variable_shell(value, at) => {
            let arguments = arguments::read(value, word.end, false);
            let start = if opener == Opener::Start { at } else { start };
            return Some(Command {
                opener,
                wrapped,
                shell: true,
                runs: true,
                start,
                end: arguments.end,
                ..Command::plain(Name::Executable, arguments)
            });
        }
        // Somebody's own program, asked for what only attackers ask for.
        None if word.bytes().starts_with(b"/") && !word.glob && opener != Opener::Start => {
            let arguments = arguments::read(value, word.end, false);
            return arguments.sensitive.then_some(Command {
                opener,
                wrapped,
                start,
                end: arguments.end,
                ..Command::plain(Name::Executable, arguments)
            });
        }
        None => return None,
    };
    let behind = if is_powershell(word.bytes()) { behind.trim_ascii_start() } else { behind };
    let told = behind.get(..4).is_some_and(|start| {
        start.starts_with(b"-c") || start.eq_ignore_ascii_case(b"-com") || start.starts_with(b"-e")
    });
    if is_powershell(word.bytes()) && told {
        let arguments = arguments::read(value, word.end, false);
        return Some(Command {
            opener,
            evaded,
            wrapped,
            start,
            end: arguments.end,
            ..Command::plain(Name::PowerShell, arguments)
        });
    }
    match behind {
        // A call of a function, which a shell would define.
        [b'(', ..] if !is_powershell(word.bytes()) => return None,
        [b'(', ..] => {
            let mut arguments = arguments::read(value, word.end, true);
            arguments.evaded = false;
            return Some(Command {
                opener,
                evaded,
                wrapped,
                start,
                end: word.end,
                ..Command::plain(Name::PowerShell, arguments)
            });
        }
        _ => {}
    }
    let mut arguments = arguments::read(value, word.end, word.glued);
    if administers(word.bytes(), value, word.end, &arguments, opener) {
        arguments.sensitive = true;
        arguments.words = 1;
    }
    // `sed/a` by itself is the name of a file.
    let is_path = arguments.count() == 0 && word.bytes().contains(&b'/') && matches!(name, Name::Known(_));
    let evaded = evaded && !is_path;
    // `(sh)0>/dev/tcp/a/1`: no sentence goes on so behind a parenthesis.
    if is_shell(word.bytes()) && is_redirected_group(value.get(arguments.end..).unwrap_or_default()) {
        arguments.sensitive = true;
        arguments.shell += 1;
    }
    let start = if opener == Opener::Start { at } else { start };
    let filters = matches!(
        word.bytes(),
        b"grep"
            | b"egrep"
            | b"sort"
            | b"awk"
            | b"sed"
            | b"wc"
            | b"head"
            | b"tail"
            | b"jq"
            | b"cut"
            | b"tr"
            | b"uniq"
    );
    let shell = is_shell(word.bytes());
    Some(Command {
        opener,
        evaded: evaded || word.glued,
        wrapped,
        filters,
        shell,
        runs: shell && is_told(value, word.end),
        braced: word.braced,
        short: word.bytes().len() < 3,
        start,
        end: arguments.end,
        ..Command::plain(name, arguments)
    })
}

impl Command {
    fn plain(name: Name, arguments: Arguments) -> Self {
        Self {
            opener: Opener::Start,
            name,
            evaded: false,
            wrapped: false,
            driven: false,
            filters: false,
            shell: false,
            runs: false,
            braced: false,
            short: false,
            arguments,
            start: 0,
            end: 0,
        }
    }
}

/// `)0>a`, `)<a`
fn is_redirected_group(rest: &[u8]) -> bool {
    let Some(rest) = rest.strip_prefix(b")") else { return false };
    let digits = rest.iter().take(2).take_while(|byte| byte.is_ascii_digit()).count();
    matches!(rest.get(digits..), Some([b'<' | b'>', next, ..]) if !lexer::is_end(*next) || matches!(next, b'&' | b'>'))
}

/// Programs that run what they are given.
fn is_shell(name: &[u8]) -> bool {
    matches!(
        name,
        b"sh"
            | b"bash"
            | b"dash"
            | b"ash"
            | b"zsh"
            | b"ksh"
            | b"csh"
            | b"tcsh"
            | b"fish"
            | b"busybox"
            | b"pwsh"
    )
}

/// Whether `-c` and something to run follow.
fn is_told(value: &[u8], at: usize) -> bool {
    let at = at + arguments::blanks(value, at);
    let option = lexer::word(value, at);
    matches!(option.bytes(), b"-c" | b"-lc" | b"-ic" | b"-ec" | b"-xc")
        && value.get(option.end..).is_some_and(|rest| !rest.trim_ascii().is_empty())
}

/// `$SHELL -c x`: the shell of whoever runs this.
fn is_variable_shell(value: &[u8], at: usize) -> bool {
    const VARIABLES: &[&[u8]] = &[b"$SHELL", b"${SHELL}", b"$BASH", b"${BASH}", b"$0"];
    let rest = value.get(at..).unwrap_or_default();
    VARIABLES.iter().any(|name| {
        rest.starts_with(name)
            && rest.get(name.len()).is_some_and(|byte| is_blank(*byte))
            && is_told(value, at + name.len())
    })
}

/// `net user a b /add`, `net view`, `netsh firewall set opmode disable`: words that are commands only together.
fn administers(name: &[u8], value: &[u8], at: usize, arguments: &Arguments, opener: Opener) -> bool {
    const NET: &[&[u8]] = &[
        b"user",
        b"users",
        b"view",
        b"localgroup",
        b"group",
        b"share",
        b"use",
        b"accounts",
        b"session",
        b"start",
        b"stop",
        b"config",
    ];
    const NETSH: &[&[u8]] =
        &[b"firewall", b"advfirewall", b"wlan", b"interface", b"winhttp", b"trace", b"dump", b"int"];
    let next = lexer::word(value, at + arguments::blanks(value, at));
    let whole = is_whole(arguments.ending);
    match name {
        // `; net user growth` is about money.
        b"net" => {
            let told = arguments.switches > 0 || opener != Opener::Start && arguments.words == 1;
            NET.contains(&next.bytes()) && whole && told
        }
        b"netsh" => {
            NETSH.contains(&next.bytes()) && whole && (opener != Opener::Start || arguments.words > 2)
        }
        _ => false,
    }
}

fn is_powershell(name: &[u8]) -> bool {
    matches!(name, b"iex" | b"iwr" | b"irm" | b"invoke-expression" | b"invoke-webrequest")
}

/// What a word would run, and whether it is written so that this is not seen.
fn name(word: &Word) -> Option<(Name, bool)> {
    let bytes = word.bytes();
    if word.long || bytes.is_empty() {
        return None;
    }
    // `bcdboot/r a`: options of Windows need no blank before them.
    if let [command @ .., b'/', option] = bytes
        && option.is_ascii_alphabetic()
        && let Some(meaning @ (Use::Tool | Use::Brief | Use::Probe)) = words::find(command)
    {
        return Some((Name::Known(meaning), true));
    }
    if bytes.contains(&b'/') || bytes.contains(&b'\\') {
        return path::executable(word).map(|evaded| (Name::Executable, evaded));
    }
    if let [b'%', ..] = bytes {
        let is_shell = bytes == b"%comspec%" || bytes.contains(&b'~') && bytes.ends_with(b"%");
        return is_shell.then_some((Name::Executable, true));
    }
    if word.dynamic && !word.evaded {
        return None;
    }
    let bare = [&b".exe"[..], b".com", b".cmd"]
        .iter()
        .find_map(|ending| bytes.strip_suffix(*ending))
        .unwrap_or(bytes);
    let known = words::find(bare).or_else(|| {
        // `python3.10`, `gcc-12`
        let digits = bare.iter().rev().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
        let stem = bare.get(..bare.len() - digits)?;
        let stem = stem.strip_suffix(b"-").unwrap_or(stem);
        if digits == 0 || stem.len() < 3 || stem.ends_with(b".") { None } else { words::find(stem) }
    });
    known.map(|meaning| (Name::Known(meaning), word.evaded))
}

/// Whether a command that ended this way ended as a whole.
pub(super) fn is_whole(ending: Ending) -> bool {
    ending != Ending::Open
}
