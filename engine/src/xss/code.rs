//! Judges the value as a part of a script: after the quote it closes, between quotes of a template, or by itself.

use super::evidence::{Best, Evidence};
use super::names::{SENSITIVE, has};
use super::rules::Rule;
use super::script::{self, Ending, Reading, Start};
use super::style;
use super::url::{self, Scheme};
use crate::ascii;
use crate::finding::Confidence::{self, Certain, High, Low, Medium};
use crate::finding::Part;

/// Closing quotes that are tried, of each kind. Attacks are short where they have many.
fn tries(value: &[u8]) -> usize {
    (8192 / value.len().max(1)).clamp(6, 16)
}

pub(super) fn judge(value: &[u8], part: Part, best: &mut Best) -> usize {
    let mut work = value.len();
    work += texts(value, part, best);
    work += bare(value, part, best);
    work += addresses(value, best);
    work += templates(value, best);
    disguised(value, best);
    if value.len() <= 256 {
        pieces(value, part, best);
    }
    if let Some(confidence) = style::weigh_value(value) {
        best.see(Evidence { rule: Rule::Style, confidence, start: 0, end: value.len(), hostile: false });
    }
    work
}

/// As if it stood in a text of a script, which it closes.
fn texts(value: &[u8], part: Part, best: &mut Best) -> usize {
    let mut work = 0;
    for quote in *b"'\"`" {
        for at in memchr::memchr_iter(quote, value).take(tries(value)) {
            let reading = script::read(value, at + 1, Start::Operand);
            work += reading.end - at;
            let calls_early = reading.tokens >= 2;
            let confidence = match reading.ending {
                _ if !calls_early || !reading.runs() => continue,
                Ending::Broken if reading.attacks() && reading.hostile && reading.calls => High,
                Ending::Broken => continue,
                _ if reading.attacks() && reading.hostile => Certain,
                Ending::Comment | Ending::OpenText if reading.attacks() => High,
                Ending::Complete if reading.attacks() && reading.calls && is_parameter(value, part) => High,
                _ if reading.attacks() => Medium,
                _ => continue,
            };
            best.see(evidence(Rule::Text, confidence, at, &reading));
        }
    }
    work
}

/// As if it stood in a script, outside of texts.
fn bare(value: &[u8], part: Part, best: &mut Best) -> usize {
    let mut work = 0;
    let comment = memchr::memchr_iter(b'*', value).find(|at| value.get(at + 1) == Some(&b'/'));
    for (at, start) in [(Some(0), Start::Statement), (comment.map(|at| at + 2), Start::Statement)] {
        let Some(at) = at else { continue };
        // `*/)});`: what the page has open is closed first.
        let closers = value.get(at..).unwrap_or_default().iter();
        let closed = closers.take(LONGEST_CLOSE).take_while(|byte| b")}];, \r\n".contains(byte)).count();
        let at = at + if start_is_closed(value, at, closed) { closed } else { 0 };
        let reading = script::read(value, at, start);
        work += reading.end - at;
        if !reading.sensitive || !(reading.runs() || reading.hidden || reading.hostile) {
            continue;
        }
        if !reading.calls && is_pairs(value) {
            continue;
        }
        let parameter = is_parameter(value, part);
        let confidence = match reading.ending {
            Ending::Broken if reading.runs() && ends_script(value, reading.end) => High,
            Ending::Broken if reading.calls && reading.hostile && ends_tag(value, reading.end) => High,
            Ending::Broken => Low,
            Ending::Incomplete if value.ends_with(b"(") => Medium,
            _ if reading.hostile && (reading.calls || reading.tight || reading.hidden) => High,
            Ending::Complete | Ending::OpenText | Ending::Comment
                if parameter && (reading.tight && reading.strong || reading.hidden) =>
            {
                High
            }
            Ending::Complete if parameter && is_page_secret(value) => High,
            // `document.querySelector("p").textContent="x"`
            Ending::Complete
                if parameter && reading.assigns && reading.calls && value.starts_with(b"document.") =>
            {
                High
            }
            Ending::Complete | Ending::OpenText if parameter && calls_by_template(value) => High,
            _ if reading.runs() => Medium,
            _ => Low,
        };
        best.see(evidence(Rule::Code, confidence, at, &reading));
    }
    work
}

/// Bytes of brackets that a value closes before its own code begins.
const LONGEST_CLOSE: usize = 16;

/// At least two brackets or their like are closed, one of which ends a block or a call.
fn start_is_closed(value: &[u8], at: usize, closed: usize) -> bool {
    let marks = value.get(at..at + closed).unwrap_or_default();
    at > 0 && marks.iter().filter(|byte| matches!(byte, b')' | b'}' | b']')).count() > 1
}

/// A parameter is a name or a number, and not a program; strings of documents are all kinds of things.
fn is_parameter(value: &[u8], part: Part) -> bool {
    (part.is_parameter() || part == Part::Xml)
        && part != Part::Path
        && value.len() <= 256
        && memchr::memchr(b'\n', value.trim_ascii()).is_none()
}

/// `Root=1-67;Parent=53;Sampled=1`: names and plain values, as headers and filters have them.
fn is_pairs(value: &[u8]) -> bool {
    let is_plain = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'_' | b'-' | b'.' | b':' | b'/' | b'%' | b'+' | b' ')
            || *byte >= 0x80
    };
    let is_pair = |pair: &[u8]| {
        let Some(at) = memchr::memchr(b'=', pair) else { return pair.trim_ascii().is_empty() };
        let (name, text) = (pair.get(..at).unwrap_or_default(), pair.get(at + 1..).unwrap_or_default());
        let first = text.split(|byte| !byte.is_ascii_alphanumeric()).next().unwrap_or_default();
        // `location=name` takes the page to where its opener said.
        let elsewhere = [&b"javascript"[..], b"data", b"name"];
        let is_address = elsewhere.iter().any(|word| first.eq_ignore_ascii_case(word));
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b' ');
        name.iter().all(is_name) && text.iter().all(is_plain) && !is_address && !has(SENSITIVE, first)
    };
    value.split(|byte| matches!(byte, b';' | b'&' | b',' | b'|')).all(is_pair)
}

/// `document.cookie` and the like, with comments or brackets in it or not.
fn is_page_secret(value: &[u8]) -> bool {
    let has = |word: &[u8]| ascii::contains(value, word);
    has(b"document")
        && (has(b"cookie") || has(b"domain"))
        && (!value.trim_ascii().contains(&b' ') || has(b"*/"))
}

/// `[].map.call`${eval}b``: a function that is called without a parenthesis. Markdown closes its code with such a mark.
fn calls_by_template(value: &[u8]) -> bool {
    let is_called = |at: usize| {
        let before = value.get(..at).unwrap_or_default().trim_ascii_end();
        let before = match before.strip_suffix(b"*/").and_then(|inside| memchr::memmem::rfind(inside, b"/*"))
        {
            Some(start) => before.get(..start).unwrap_or_default().trim_ascii_end(),
            None => before,
        };
        ascii::ends(before, b"call") || ascii::ends(before, b"apply")
    };
    let first = memchr::memchr(b'`', value);
    let marks = memchr::memchr_iter(b'`', value).take(4).count();
    marks == 2 && first.is_some_and(|at| at > 8 && is_called(at))
}

fn ends_tag(value: &[u8], at: usize) -> bool {
    matches!(value.get(at), Some(b'<' | b'>' | b'/'))
}

fn ends_script(value: &[u8], at: usize) -> bool {
    value.get(at..).unwrap_or_default().trim_ascii_start().starts_with(b"</")
}

/// `\t`, `\u0020`, and nothing else: what a filter does with a blank behind the scheme is tried.
fn is_escaped_blank(rest: &[u8]) -> bool {
    let rest = rest.trim_ascii();
    let rest = rest.get(rest.iter().take_while(|byte| **byte == b'\\').count()..).unwrap_or_default();
    let is_one = matches!(rest, [b't' | b'n' | b'r']);
    let is_code =
        ascii::starts(rest, b"u00") && rest.len() == 5 && rest.iter().all(u8::is_ascii_alphanumeric);
    is_one || is_code
}

/// `javascript:` at the beginning, or where an address begins inside of the value.
fn addresses(value: &[u8], best: &mut Best) -> usize {
    let mut work = 0;
    match url::scheme(value) {
        Scheme::Script(start) => {
            let reading = script::read(value, start, Start::Statement);
            work += reading.end - start;
            let confidence = match reading.ending {
                _ if reading.attacks() => Certain,
                _ if is_escaped_blank(value.get(start..).unwrap_or_default()) => High,
                Ending::Broken => Low,
                _ if reading.runs() => High,
                Ending::Comment => Medium,
                _ => Low,
            };
            best.see(evidence(Rule::Address, confidence, 0, &reading));
        }
        Scheme::Document => {
            let end = value.len();
            best.see(Evidence { rule: Rule::Address, confidence: High, start: 0, end, hostile: true });
        }
        _ => {}
    }
    let mut read_to = 0;
    for colon in memchr::memchr_iter(b':', value) {
        if colon < read_to {
            continue;
        }
        let before = value.get(..colon).unwrap_or_default();
        if !ascii::ends(before, b"ascript") && !ascii::ends(before, b"vbscript") {
            continue;
        }
        let reading = script::read(value, colon + 1, Start::Statement);
        work += reading.end - colon;
        read_to = reading.end;
        if reading.attacks() && reading.hostile {
            best.see(evidence(Rule::Address, High, colon, &reading));
        }
    }
    work
}

/// `${alert(1)}` in a template of a script, and `&{alert(1)}` in attributes of the oldest browsers.
fn templates(value: &[u8], best: &mut Best) -> usize {
    let mut work = 0;
    for at in memchr::memchr2_iter(b'$', b'&', value)
        .filter(|at| value.get(at + 1) == Some(&b'{'))
        .take(tries(value))
    {
        let reading = script::read(value, at + 2, Start::Statement);
        work += reading.end - at;
        if reading.attacks() && reading.hostile {
            best.see(evidence(Rule::Text, High, at, &reading));
        }
    }
    work
}

/// Short code that no reading shows: `document/**/.cookie`, `.cookie;expires=`, `\u0061lert`, `\xbc/b\xbe`.
fn pieces(value: &[u8], part: Part, best: &mut Best) {
    let text = value.trim_ascii();
    let rule = match () {
        () if is_parted(text) => Rule::Code,
        () if is_parameter(value, part) && sets_cookie(text) => Rule::Code,
        () if is_parameter(value, part) && is_escaped_name(text) => Rule::Disguised,
        () if closes_in_seven_bits(text) => Rule::Disguised,
        () => return,
    };
    best.see(Evidence { rule, confidence: High, start: 0, end: value.len(), hostile: true });
}

/// `document /* a */ . cookie`, and nothing else: a comment between names, for which only a filter cares.
fn is_parted(text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(b"document").or_else(|| text.strip_prefix(b"window")) else {
        return false;
    };
    let (first, rest) = gap(rest);
    let Some(rest) = rest.strip_prefix(b".") else { return false };
    let (second, rest) = gap(rest);
    (first || second) && has(SENSITIVE, rest)
}

/// Whether blanks at the beginning have a comment among them, and what is behind them.
fn gap(mut rest: &[u8]) -> (bool, &[u8]) {
    let mut seen = false;
    for _ in 0..4 {
        rest = rest.trim_ascii_start();
        let Some(inside) = rest.strip_prefix(b"/*") else { break };
        let Some(length) = memchr::memmem::find(inside, b"*/") else { break };
        rest = inside.get(length + 2..).unwrap_or_default();
        seen = true;
    }
    (seen, rest)
}

/// `.cookie;expires=`, `document.cookie="a";path=`
fn sets_cookie(text: &[u8]) -> bool {
    let Some(rest) = ascii::strip(text.strip_prefix(b"document").unwrap_or(text), b".cookie") else {
        return false;
    };
    rest.first().is_some_and(|byte| !byte.is_ascii_alphanumeric())
        && memchr::memchr_iter(b';', rest).any(|at| {
            let behind = rest.get(at + 1..).unwrap_or_default().trim_ascii_start();
            [&b"expires"[..], b"domain", b"path", b"max-age", b"samesite"].iter().any(|name| {
                ascii::strip(behind, name).is_some_and(|rest| rest.trim_ascii_start().starts_with(b"="))
            })
        })
}

/// `\u0061lert`: a name of the page or the browser, of which letters are written by number. JavaScript reads it as the name.
fn is_escaped_name(text: &[u8]) -> bool {
    let (mut name, mut length, mut at, mut escaped) = ([0_u8; 32], 0, 0, false);
    while let Some(byte) = text.get(at).copied() {
        let (letter, next) = match script::escape(text, at) {
            Some((code, next)) => (u8::try_from(code).unwrap_or(0), next),
            None => (byte, at + 1),
        };
        escaped |= next > at + 1;
        let Some(slot) = name.get_mut(length).filter(|_| letter.is_ascii_alphabetic()) else { return false };
        *slot = letter;
        length += 1;
        at = next;
    }
    escaped && has(SENSITIVE, name.get(..length).unwrap_or_default())
}

/// `\xbc/b\xbe`: the end of a tag for readers that take seven bits of each byte.
fn closes_in_seven_bits(text: &[u8]) -> bool {
    memchr::memchr_iter(b'\\', text).any(|at| {
        let Some(rest) = text.get(at..).and_then(|rest| ascii::strip(rest, b"\\xbc/")) else { return false };
        let name = rest.iter().take(24).take_while(|byte| byte.is_ascii_alphanumeric()).count();
        name > 0 && rest.get(name..).is_some_and(|rest| ascii::starts(rest, b"\\xbe"))
    })
}

/// Code of brackets and signs alone: every letter is taken out of the names of values (`(![]+[])[+[]]` is `f`).
fn disguised(value: &[u8], best: &mut Best) {
    let text = value.trim_ascii();
    let is_truth = |byte: &u8| b"[]()! ".contains(byte);
    // `!![]`: `true`, and nothing else. `![](a)` is a picture without a text.
    if text.len() > 3
        && text.iter().all(is_truth)
        && memchr::memmem::find(text, b"![]").is_some()
        && memchr::memmem::find(text, b"](").is_none()
    {
        let end = value.len();
        best.see(Evidence { rule: Rule::Disguised, confidence: High, start: 0, end, hostile: true });
        return;
    }
    let is_sign = |byte: &u8| matches!(byte, b'[' | b']' | b'(' | b')' | b'!' | b'+');
    let Some(start) = value.iter().position(is_sign) else { return };
    let run = |rest: &[u8]| rest.iter().take_while(|byte| is_sign(byte) || **byte == b' ').count();
    let mut at = start;
    while let Some(rest) = value.get(at..).filter(|rest| !rest.is_empty()) {
        let length = run(rest);
        let text = rest.get(..length).unwrap_or_default();
        let holds = |part: &[u8]| memchr::memmem::find(text, part).is_some();
        // A form has turned its `+` into blanks.
        let adds = holds(b"+") && length >= SHORTEST_DISGUISE || length >= 4 * SHORTEST_DISGUISE;
        if adds && holds(b"![]") && (holds(b"[+") || holds(b"[]")) {
            let end = at + length;
            best.see(Evidence { rule: Rule::Disguised, confidence: Certain, start: at, end, hostile: true });
            return;
        }
        at += length.max(1);
    }
}

const SHORTEST_DISGUISE: usize = 15;

fn evidence(rule: Rule, confidence: Confidence, start: usize, reading: &Reading) -> Evidence {
    Evidence { rule, confidence, start, end: reading.end, hostile: reading.hostile }
}
