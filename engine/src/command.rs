//! OS command injection (CWE-78, CAPEC-88): would this value make a shell run a command of its own?
//!
//! The value is read as a POSIX shell, `cmd.exe` and PowerShell would read it: each separator and each substitution
//! ([POSIX.1-2024 XCU 2](https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html)) opens a place for a
//! command; quotes, escapes and expansions are undone; what stands there must be a command that is known, or a path to
//! one, and what follows must look like arguments and not like a sentence. Prose and documents around it lower it.
//!
//! In reading order: `words` (vocabulary), `lexer`, `path`, `arguments`, `windows`, `reading` (where, and what), `rules` (how
//! sure). Called through [`DETECTOR`].

use rasp_policy::class::Class;

use crate::ascii;
use crate::budget::Budget;
use crate::decode::Field;
use crate::detector::{Detector, Evidence, Needs, Report, Rule};
use crate::finding::{Confidence, Part};
use crate::lookup::Lookup;
use crate::mask;
use crate::reason::Reason;
use crate::surroundings::{self, Around, Before};

mod arguments;
mod lexer;
mod path;
mod prose;
mod reading;
mod rules;
mod sentence;
mod windows;
mod words;

pub(crate) use prose::is_ordinary;
use reading::{Command, Opener};
use rules::{Place, RULES};

pub(crate) static DETECTOR: Detector =
    Detector { class: Class::OsCommandInjection, needs: NEEDS, inspect, rules };

/// An opener; or a blank, and what shells take for one, between a command and its arguments; or the wildcards of a path.
/// A path to a program and the history of a shell need none of that.
const NEEDS: Needs =
    Needs { alone: b";|&\n\r\x1A`$<> \t\x0B\x0C+{[?~", bytes: b"/!", needles: &["bin/", "!-"] };

fn rules() -> Vec<Rule> {
    RULES.iter().map(|rule| **rule).collect()
}

/// Reports the surest finding in a value.
fn inspect(field: &Field<'_>, report: &mut Report<'_>) -> Result<(), Reason> {
    if !may_match(field.value) {
        return Ok(());
    }
    let asked = Asked::of(field);
    if let Some(Found { rule, confidence, start, end }) = detect(field.value, asked, report.budget())? {
        let sample = mask::sample(field.value.get(start..end).unwrap_or_default(), is_known);
        report.find(field, Evidence { rule: *rule, confidence, at: start..end, sample });
    }
    Ok(())
}

/// What an application asked for in the parameter that the value is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// It is a piece of a document.
    Nothing,
    Something,
    /// By its name, the parameter is for what is run. Who searches for a command does not write it there.
    Command,
    /// What a client says of itself, or where it comes from: it begins with the name of a product, or is an address.
    Client,
}

impl Asked {
    fn of(field: &Field<'_>) -> Self {
        const NAMES: &[&str] = &["arg", "args", "cmd", "code", "do", "exec", "execute", "shell"];
        match field.part {
            Part::Query | Part::Form
                if NAMES.iter().any(|known| field.name.eq_ignore_ascii_case(known.as_bytes())) =>
            {
                Self::Command
            }
            Part::Header
                if field.name.eq_ignore_ascii_case(b"user-agent")
                    || field.name.eq_ignore_ascii_case(b"referer") =>
            {
                Self::Client
            }
            Part::JsonKey if field.value.len() <= 64 => Self::Something,
            Part::Json | Part::JsonKey => Self::Nothing,
            _ if field.is_parameter() => Self::Something,
            _ => Self::Nothing,
        }
    }
}

fn is_known(word: &[u8]) -> bool {
    words::find(&word.to_ascii_lowercase()).is_some()
}

/// An opener, or what wildcards and groups are made of, but for parentheses.
static ACTIVE: Lookup<bool> = Lookup::of(b";|&\n\r\x1A`$<>{[?%~");

/// Sentences have blanks and no opener, and begin with a word that is no command. Parentheses in them open nothing.
pub(crate) fn may_match(value: &[u8]) -> bool {
    if ACTIVE.any(value) || value.starts_with(b"!-") && !lexer::has_blank(value) {
        return true;
    }
    if memchr::memchr(b'(', value).is_some() {
        // `for` and `if` of Windows.
        return !sentence::begins(value) || matches!(value, [b'f' | b'F' | b'i' | b'I', ..]);
    }
    starts_like_command(value)
}

/// Whether the first word is a command, or written in a way that has to be undone to tell.
pub(crate) fn starts_like_command(value: &[u8]) -> bool {
    if sentence::begins(value) {
        return false;
    }
    let at = arguments::blanks(value, 0);
    let at = at + reading::open_quote(value, at);
    if reading::is_plain_word(value, at) {
        return false;
    }
    let first = lexer::word(value, at);
    first.evaded || first.bytes().contains(&b'/') || first.bytes().contains(&b'\\') || reading::starts(&first)
}

/// The surest finding in a value.
fn detect(value: &[u8], asked: Asked, budget: &mut Budget) -> Result<Option<Found>, Reason> {
    let mut best = Best { found: None };
    best.see(shellshock(value));
    best.see(masked(value));
    best.see(expansion(value));
    if asked != Asked::Nothing {
        best.see(computed(value));
        best.see(alias(value));
    }
    commands(value, asked, &mut best, budget)?;
    Ok(best.found)
}

/// A rule that fits, how sure it is, and where.
#[derive(Clone, Copy, Debug)]
struct Found {
    rule: &'static Rule,
    confidence: Confidence,
    start: usize,
    end: usize,
}

struct Best {
    found: Option<Found>,
}

impl Best {
    fn see(&mut self, found: Option<Found>) {
        if let Some(found) = found
            && self.found.is_none_or(|known| found.confidence > known.confidence)
        {
            self.found = Some(found);
        }
    }
}

/// Every place where a command could begin.
fn commands(value: &[u8], asked: Asked, best: &mut Best, budget: &mut Budget) -> Result<(), Reason> {
    let mut before = Before::new(value);
    let mut shape = None;
    let mut ticks = Ticks::default();
    let mut place = Some((Opener::Start, 0, 0));
    while let Some((opener, start, at)) = place {
        let open = opener != Opener::Backtick || ticks.opens(value, start);
        if open {
            let (command, read) = reading::command(value, opener, start, at);
            budget.work(read)?;
            if let Some(command) = command
                && rules::strength(&command) != rules::Strength::Nothing
            {
                let (lines, broken_line, script) = *shape.get_or_insert_with(|| shape_of(value));
                let place =
                    Place { asked, ..around(value, &command, &mut before, (lines, broken_line, script)) };
                let judged = rules::judge(&command, &place);
                best.see(judged.map(|(rule, confidence)| Found {
                    rule,
                    confidence,
                    start: command.start,
                    end: command.end,
                }));
            }
        }
        if best.found.is_some_and(|found| found.confidence == Confidence::Certain) {
            break;
        }
        place = reading::next_place(value, at);
    }
    Ok(())
}

/// Which backticks open and which close: single ones come in pairs, several in a row quote text in Markdown.
#[derive(Debug, Default)]
struct Ticks {
    open: bool,
}

impl Ticks {
    fn opens(&mut self, value: &[u8], at: usize) -> bool {
        let is_tick = |at: Option<usize>| at.and_then(|at| value.get(at)) == Some(&b'`');
        if is_tick(at.checked_sub(1)) || is_tick(Some(at + 1)) {
            return false;
        }
        self.open = !self.open;
        self.open
    }
}

fn around(
    value: &[u8],
    command: &Command,
    before: &mut Before<'_>,
    (lines, broken_line, script): (usize, bool, bool),
) -> Place {
    let closer = match command.opener {
        Opener::Backtick => memchr::memchr(b'`', tail(value, command.end)),
        Opener::Dollar | Opener::Process => memchr::memchr(b')', tail(value, command.end)),
        _ => None,
    };
    let behind = closer.map_or(&[][..], |length| tail(value, command.end + length + 1));
    let byte = |back: usize| command.start.checked_sub(back).and_then(|at| value.get(at)).copied();
    let last = byte(1);
    let woven = match last {
        Some(b'(') => byte(2).is_some_and(lexer::is_name),
        last => last.is_some_and(|last| b".=|&;,+\n".contains(&last)),
    };
    let rest = value.get(command.end..).unwrap_or_default();
    let terminator = rest.first().copied().filter(|_| rest.trim_ascii_end().len() == 1);
    let prefix = value.get(command.start.saturating_sub(64)..command.start).unwrap_or_default();
    Place {
        asked: Asked::Nothing,
        before: before.upto(command.start),
        behind: surroundings::behind(behind),
        last,
        script,
        enclosed: rest.starts_with(b")") && prefix.contains(&b'('),
        woven,
        ends: rest.trim_ascii_end().is_empty(),
        terminator,
        said: last == Some(b' ')
            && byte(2).is_some_and(|byte| byte.is_ascii_alphabetic())
            && matches!(behind, [b' ', next, ..] if next.is_ascii_alphabetic()),
        chained: rest.starts_with(b"||") || rest.starts_with(b"&&"),
        cut: matches!(rest, [b';' | b'|' | b'&', next, ..] if !next.is_ascii_alphabetic() && !lexer::is_end(*next)),
        opens: value.get(command.start).copied().unwrap_or(0),
        odd: prefix.iter().any(|byte| !lexer::is_name(*byte)),
        next: behind.first().copied(),
        broken_line,
        lines,
    }
}

/// A piece that is short, so that many of them cost little.
fn tail(value: &[u8], at: usize) -> &[u8] {
    let rest = value.get(at..).unwrap_or_default();
    rest.get(..128).unwrap_or(rest)
}

/// Whether the value begins as a line of a script does, or as one that was copied from a terminal.
fn is_script(value: &[u8]) -> bool {
    let at = value
        .iter()
        .take(16)
        .take_while(|byte| byte.is_ascii_whitespace() || matches!(byte, b'$' | b'#' | b'>' | b'!' | b'%'))
        .count();
    let word = lexer::word(value, at);
    !word.evaded && reading::starts(&word) && value.get(word.end).is_some_and(|byte| lexer::is_blank(*byte))
}

/// Lines of a value that have something in them, and whether the first is one word that is no piece of a program,
/// and whether it begins as a script.
fn shape_of(value: &[u8]) -> (usize, bool, bool) {
    let mut lines =
        value.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.trim_ascii().is_empty());
    let first = lines.next().unwrap_or_default();
    let plain = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'@' | b'\'' | b'"' | b')')
    };
    let broken =
        value.starts_with(first) && first.iter().all(plain) && !reading::starts(&lexer::word(first, 0));
    (1 + lines.count(), broken, is_script(value))
}

/// `() { :;}; cmd`: CVE-2014-6271 and those that followed.
fn shellshock(value: &[u8]) -> Option<Found> {
    let start = value.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let mut rest = value.get(start..)?;
    for mark in *b"(){" {
        let blanks = rest.iter().take(8).take_while(|byte| byte.is_ascii_whitespace()).count();
        rest = rest.get(blanks..)?.strip_prefix(&[mark])?;
    }
    let body = rest.get(..64).unwrap_or(rest);
    let closed = memchr::memchr(b'}', body);
    let behind = closed.and_then(|length| body.get(length + 1..)).unwrap_or_default().trim_ascii_start();
    let told = closed.is_some_and(|length| length < 16 && behind.starts_with(b";"));
    let confidence = match body.trim_ascii_start() {
        _ if told => Confidence::Certain,
        [] | [b':' | b'_', ..] => Confidence::High,
        _ => Confidence::Medium,
    };
    Some(Found { rule: &rules::SHELLSHOCK, confidence, start, end: value.len() - rest.len() })
}

/// The value as a whole.
fn masked(value: &[u8]) -> Option<Found> {
    let found = Found { rule: &rules::MASKED, confidence: Confidence::High, start: 0, end: value.len() };
    let is_cut = || value.len() <= 64 && !lexer::has_blank(value) && path::is_cut(value);
    (path::is_masked_path(value) || is_cut()).then_some(found)
}

/// `$[2+2]`, `$((7*7))`, `~+`, `~-1`, `!-1!-2`, `>/tmp/a`, and nothing else: what a shell computes, or takes from its stack
/// of directories or its history, and a file that it empties.
fn computed(value: &[u8]) -> Option<Found> {
    let text = value.trim_ascii();
    let sum = text
        .strip_prefix(b"$[")
        .and_then(|rest| rest.strip_suffix(b"]"))
        .or_else(|| text.strip_prefix(b"$((").and_then(|rest| rest.strip_suffix(b"))")));
    let is_sum = |byte: &u8| byte.is_ascii_digit() || b"+-*/%^() ".contains(byte);
    let runs = |sum: &[u8]| memchr::memmem::find(sum, b"$(").is_some() || sum.contains(&b'`');
    let adds = sum.is_some_and(|sum| sum.len() < 48 && (sum.iter().all(is_sum) || runs(sum)));
    let is_directory = match text {
        [b'~', b'+' | b'-', digits @ ..] => digits.len() < 3 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let found = Found { rule: &rules::EXPANSION, confidence: Confidence::High, start: 0, end: value.len() };
    let is_one = adds
        || is_directory
        || is_spread(text)
        || is_history(text)
        || is_redirected(text)
        || lexer::is_cut_variable(text);
    is_one.then_some(found)
}

/// `!-1!-2`, `!-2!3`: commands that were run before, put together.
fn is_history(text: &[u8]) -> bool {
    let mut rest = text;
    let mut count = 0;
    while let Some(event) = rest.strip_prefix(b"!") {
        let event = event.strip_prefix(b"-").unwrap_or(event);
        let digits = event.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 || digits > 4 {
            return false;
        }
        rest = event.get(digits..).unwrap_or_default();
        count += 1;
    }
    rest.is_empty() && count > 1 && text.starts_with(b"!-")
}

/// `>/tmp/a`, `2>>/dev/shm/a`: where a command writes to, and attackers may.
fn is_redirected(text: &[u8]) -> bool {
    const PLACES: &[&[u8]] =
        &[b"/tmp/", b"/var/tmp/", b"/dev/shm/", b"/dev/tcp/", b"/dev/udp/", b"/var/www/"];
    let rest = text.strip_prefix(b"1").or_else(|| text.strip_prefix(b"2")).unwrap_or(text);
    let marks = rest.iter().take_while(|byte| matches!(byte, b'>' | b'&' | b'|')).count();
    let path = rest.get(marks..).unwrap_or_default();
    rest.first() == Some(&b'>')
        && marks < 3
        && !lexer::has_blank(path)
        && PLACES.iter().any(|place| path.starts_with(place) && path.len() > place.len())
}

/// `{l,-lh}s`: what braces make of it is a command with its options, `ls -lhs`.
fn is_spread(text: &[u8]) -> bool {
    let Some(inside) = text.strip_prefix(b"{") else { return false };
    let Some(close) = memchr::memchr(b'}', inside.get(..32).unwrap_or(inside)) else { return false };
    let (list, end) = (inside.get(..close).unwrap_or_default(), inside.get(close + 1..).unwrap_or_default());
    // `{id,}`: a command without arguments. Lists of names have a second one.
    if let (Some(name), []) = (list.strip_suffix(b","), end) {
        return matches!(
            words::find(&name.to_ascii_lowercase()),
            Some(words::Use::Probe | words::Use::Brief | words::Use::Tool | words::Use::Telling)
        );
    }
    let mut pieces = list.split(|byte| *byte == b',');
    let first = pieces.next().unwrap_or_default();
    let mut name = first.to_ascii_lowercase();
    name.extend_from_slice(end);
    !end.is_empty()
        && end.iter().all(u8::is_ascii_lowercase)
        && pieces.next().is_some_and(|option| option.starts_with(b"-"))
        && words::find(&name).is_some()
}

/// `alias a=b`: a name of the attacker's for a command, under which no list of commands finds it.
fn alias(value: &[u8]) -> Option<Found> {
    let text = value.trim_ascii();
    let rest = ascii::strip(text, b"alias")
        .filter(|rest| rest.first().is_some_and(|byte| lexer::is_blank(*byte)))?;
    if text.len() > 256 || text.contains(&b'\n') {
        return None;
    }
    let mut words = rest.split(|byte| lexer::is_blank(*byte)).filter(|word| !word.is_empty());
    let word = words.find(|word| !matches!(word.first(), Some(b'-' | b'+')))?;
    let mut halves = word.splitn(2, |byte| *byte == b'=');
    let name = halves.next().unwrap_or_default();
    let is_name = |byte: &u8| lexer::is_name(*byte) || b"-.'\"$~:!".contains(byte);
    let sets =
        !name.is_empty() && name.iter().all(is_name) && halves.next().is_some_and(|value| !value.is_empty());
    sets.then_some(Found { rule: &rules::COMMAND, confidence: Confidence::High, start: 0, end: value.len() })
}

/// `${PATH:0:1}`, `${HOME%/*}`: only shells cut variables, and only scripts need it.
fn expansion(value: &[u8]) -> Option<Found> {
    const VARIABLES: &[&[u8]] =
        &[b"PATH", b"HOME", b"PWD", b"SHELL", b"IFS", b"OLDPWD", b"LS_COLORS", b"BASH_VERSION"];
    let start = memchr::memchr_iter(b'$', value).find(|at| value.get(at + 1) == Some(&b'{'))?;
    let name = value.get(start + 2..)?;
    let known = VARIABLES.iter().any(|known| {
        name.strip_prefix(*known).is_some_and(|rest| !rest.first().is_some_and(|byte| lexer::is_name(*byte)))
    });
    let length = memchr::memchr(b'}', name.get(..32).unwrap_or(name))?;
    let inside = name.get(..length)?;
    let (lines, ..) = shape_of(value);
    let cut = lexer::is_slice(inside) || inside == b"IFS";
    let confidence = if lines < 3 && surroundings::behind(value) <= Around::Words {
        Confidence::High
    } else {
        Confidence::Medium
    };
    (known && cut).then_some(Found { rule: &rules::EXPANSION, confidence, start, end: start + length + 3 })
}

#[cfg(test)]
mod tests;
