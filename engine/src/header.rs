//! Header injection (CWE-113, CAPEC-34): a line break that the application copies into a header ends it, and what follows
//! is a header of its own, a second response, or a page (RFC 9112 section 2.2 and 5).
//!
//! A text of several lines is ordinary where people write texts, so that there it takes a short value that breaks off
//! into a header right away. In a path or a query, a header of HTTP after a line break is enough.
//!
//! What a head says as a whole is judged in `request`: fields that two readers take differently (CWE-436, CWE-444).

use rasp_policy::class::Class;

use crate::ascii;
use crate::decode::{FORM_DATA, Field};
use crate::detector::{Detector, Evidence, Needs, Report, Rule};
use crate::finding::Confidence::{self, Certain, High, Low, Medium};
use crate::finding::{Part, RuleId};
use crate::lookup::Lookup;
use crate::mask;
use crate::message::Head;
use crate::reason::Reason;
use crate::ruleset::Inspection;
use crate::xss::is_shown;

pub(crate) mod request;
mod session;

pub(crate) static DETECTOR: Detector =
    Detector { class: Class::HeaderInjection, needs: NEEDS, inspect, rules };

/// A header needs its colon, and a request line the name of the protocol. A NUL and a semicolon are looked at where names
/// and parts of bodies have them.
const NEEDS: Needs = Needs {
    alone: b"\0;",
    bytes: b"\r\n\x98\\",
    needles: &[":", "http/", "<html", "<script", "<body", "<!doctype", "\n", "\r"],
};

const FIELD: Rule = Rule { id: RuleId("header-field"), reason: "the value ends a line and begins a header" };
const SPLIT: Rule =
    Rule { id: RuleId("header-split"), reason: "the value ends a message and begins another one, or a page" };

const LINE: Rule = Rule { id: RuleId("header-line"), reason: "the path holds a line break" };

const NAME: Rule = Rule {
    id: RuleId("header-name"),
    reason: "the name of a parameter or of a part holds what ends it for some parsers and not for others",
};
const NUL: Rule = Rule {
    id: RuleId("header-nul"),
    reason: "the value holds a NUL, which ends it for some programs and not for others",
};
const TYPE: Rule = Rule {
    id: RuleId("header-type"),
    reason: "the content type names a second type or charset, of which two readers take one each",
};
const CHARSET: Rule = Rule {
    id: RuleId("header-charset"),
    reason: "the body is declared in a charset that hides what it says, or that nobody knows",
};
const RANGE: Rule =
    Rule { id: RuleId("header-range"), reason: "the request asks for ranges that no reader of a file needs" };
const COOKIE: Rule = Rule {
    id: RuleId("header-cookie"),
    reason: "the cookies are quoted so that one of them takes in those behind it",
};
const SESSION: Rule =
    Rule { id: RuleId("header-session"), reason: "the link of another site sets the session of its visitor" };

const BODY: Rule = Rule {
    id: RuleId("header-body"),
    reason: "the request is for a head alone and has a body, which some readers take for the next request",
};

fn rules() -> Vec<Rule> {
    vec![FIELD, SPLIT, LINE, NAME, NUL, TYPE, CHARSET, RANGE, COOKIE, SESSION, BODY]
}

/// Whether a head may have something that is judged as a whole: nearly none has.
pub(crate) fn concerns(head: &Head<'_>) -> bool {
    request::may_match(head)
}

/// Judges what a head says as a whole.
pub(crate) fn inspect_head(head: &Head<'_>, inspection: &mut Inspection) -> Result<(), Reason> {
    let mut report = Report::new(Class::HeaderInjection, inspection);
    let mut find = |part, name: &[u8], value: &[u8], (rule, confidence)| {
        let shown = value.get(..value.len().min(SHOWN)).unwrap_or_default();
        let evidence =
            Evidence { rule, confidence, at: 0..value.len(), sample: mask::sample(shown, is_known) };
        report.find(&Field { part, name, value }, evidence);
    };
    if let Some(value) = head.content_type
        && let Some(judged) = request::content_type(value)
    {
        find(Part::Header, b"content-type", value, judged);
    }
    if request::has_idle_body(head) {
        find(Part::Header, b"content-length", b"", (BODY, High));
    }
    if let Some((rule, confidence, name)) = session::fixed(head) {
        find(Part::QueryName, b"", name, (rule, confidence));
    }
    head.fields.each(&mut |name, value| {
        if let Some(judged) = request::field(name, value) {
            find(Part::Header, name, value, judged);
        }
        Ok(())
    })
}

/// Bytes of a field that a sample is made of.
const SHOWN: usize = 64;

fn inspect(field: &Field<'_>, report: &mut Report<'_>) -> Result<(), Reason> {
    report.budget().work(field.value.len())?;
    if !matches!(field.part, Part::FormName | Part::Header) && !BREAKS.any(field.value) {
        return Ok(());
    }
    let found = judge(field.value, field.part);
    let found = found.or_else(|| {
        judge_name(field).or_else(|| part_type(field)).map(|(rule, sure)| (rule, sure, 0, field.value.len()))
    });
    let Some((rule, confidence, start, end)) = found else { return Ok(()) };
    let sample = mask::sample(field.value.get(start..end).unwrap_or_default(), is_known);
    report.find(field, Evidence { rule, confidence, at: start..end, sample });
    Ok(())
}

/// Whatever is found in a value, but in names of parts and in types, has one of them: what a line break begins with, or a NUL.
static BREAKS: Lookup<bool> = Lookup::of(b"\r\n\xE5\\\0");

/// Names that parsers read differently, and values that C ends early.
fn judge_name(field: &Field<'_>) -> Option<(Rule, Confidence)> {
    use Part::{Cookie, Form, FormName, Header, Query, QueryName};
    let value = field.value;
    let is_short = value.len() <= 128 && words(value) < 3;
    let breaks = value.iter().any(|byte| matches!(byte, b'\r' | b'\n'));
    if field.part == QueryName && breaks && is_short {
        return Some((NAME, High));
    }
    // Names of fields are the application's: none has a semicolon, and no browser escapes a letter.
    let escapes = || {
        value
            .windows(2)
            .any(|two| two.first() == Some(&b'\\') && two.get(1).is_some_and(u8::is_ascii_alphabetic))
    };
    if field.part == FormName && field.name == FORM_DATA && is_short && (has_semicolon(value) || escapes()) {
        return Some((NAME, High));
    }
    let nuls = memchr::memchr_iter(0, value).take(3).count();
    // A NUL alone ends nothing.
    let is_text =
        || value.iter().all(|byte| *byte == 0 || *byte >= b' ') && value.iter().any(|byte| *byte != 0);
    match field.part {
        Query | QueryName | FormName | Cookie | Header if (1..3).contains(&nuls) && is_text() => {
            Some((NUL, High))
        }
        Form if (1..3).contains(&nuls) && is_text() => Some((NUL, Medium)),
        _ => None,
    }
}

/// A semicolon, but for those of `&#228;`, as browsers write what the charset of a page does not have.
fn has_semicolon(name: &[u8]) -> bool {
    let mut pieces = name.split(|byte| *byte == b';').peekable();
    while let Some(piece) = pieces.next() {
        let is_reference = memchr::memrchr(b'&', piece).is_some_and(|at| {
            let inside = piece.get(at + 1..).unwrap_or_default();
            let inside = inside.strip_prefix(b"#").unwrap_or(inside);
            !inside.is_empty() && inside.len() < 8 && inside.iter().all(u8::is_ascii_alphanumeric)
        });
        if pieces.peek().is_some() && !is_reference {
            return true;
        }
    }
    false
}

/// The content type of a part of a body.
fn part_type(field: &Field<'_>) -> Option<(Rule, Confidence)> {
    let is_type = field.part == Part::Header && field.name.eq_ignore_ascii_case(b"content-type");
    if is_type {
        request::content_type(field.value).filter(|(_, confidence)| *confidence > Medium)
    } else {
        None
    }
}

/// Response and request headers that are worth injecting.
const FIELDS: &[&str] = &[
    "accept",
    "access-control-allow-credentials",
    "access-control-allow-origin",
    "cache-control",
    "connection",
    "content-disposition",
    "content-encoding",
    "content-length",
    "content-location",
    "content-security-policy",
    "content-type",
    "cookie",
    "etag",
    "expires",
    "forwarded",
    "host",
    "last-modified",
    "link",
    "location",
    "referer",
    "refresh",
    "remote-addr",
    "server",
    "set-cookie",
    "set-cookie2",
    "status",
    "strict-transport-security",
    "transfer-encoding",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-frame-options",
    "x-xss-protection",
];

/// Those that are words of English as well.
const WORDS: &[&str] = &[
    "accept",
    "connection",
    "cookie",
    "expires",
    "forwarded",
    "host",
    "link",
    "location",
    "referer",
    "refresh",
    "server",
    "status",
    "vary",
    "via",
];

fn is_known(word: &[u8]) -> bool {
    FIELDS.iter().flat_map(|name| name.split('-')).any(|part| word.eq_ignore_ascii_case(part.as_bytes()))
}

/// Lines that are looked at. Injected headers come first.
const LINES: usize = 16;

fn judge(value: &[u8], part: Part) -> Option<(Rule, Confidence, usize, usize)> {
    let lines = breaks(value).take(LINES + 1).count();
    let first = breaks(value).next()?;
    let token = value.get(..first.0)?;
    // What stands before the break is no text.
    let short = token.len() <= 128 && words(token) < 3;
    // Neither one word of a text nor a line of a record (`BEGIN:VEVENT`).
    let bare = words(token) < 2 && !is_record(token);
    let open = !matches!(part, Part::Path | Part::Query | Part::QueryName);
    let mut best: Option<(Rule, Confidence, usize, usize)> = None;
    for (number, (at, after)) in breaks(value).take(LINES).enumerate() {
        let line = value.get(after..).unwrap_or_default();
        let blanks = line.iter().take_while(|byte| matches!(**byte, b' ' | b'\t')).count();
        let line = line.get(blanks..).unwrap_or_default();
        let end =
            after + blanks + line.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(line.len());
        let found = begins_message(line).map(|sure| (SPLIT, sure)).or_else(|| {
            let sure = field(line)?;
            let name = line.split(|byte| matches!(*byte, b':' | b' ')).next().unwrap_or_default();
            let is_word = WORDS.iter().any(|word| name.eq_ignore_ascii_case(word.as_bytes()));
            let told = line.get(name.len()..end - after - blanks).unwrap_or_default();
            let is_text = !told.windows(2).any(|two| match two {
                [b'/' | b'=', _] => true,
                [b'.', after] => after.is_ascii_alphanumeric(),
                _ => false,
            });
            let doubtful = is_record(token) || is_word && (!bare || is_text);
            Some((FIELD, if doubtful { sure.min(Medium) } else { sure }))
        });
        let Some((rule, sure)) = found else { continue };
        // An empty line ends a head: what follows is the page.
        let is_page = rule.id == SPLIT.id
            && number == 0
            && memchr::memchr_iter(b'\n', value.get(at..after).unwrap_or_default()).count() > 1
            && matches!(part, Part::Query | Part::Cookie | Part::Header);
        let confidence = match (part, sure) {
            (Part::Path, _) => sure.max(High),
            (_, Medium) if is_page && short => High,
            _ if is_shown(value, at) => sure.min(Medium),
            // Nothing but a line break and one header, without the blank that people write.
            (_, Low | Medium) if at == 0 && lines <= 3 && is_tight(line) => High,
            // A field holds no line break but an encoded one.
            (Part::Header, Low) if number == 0 && bare && is_camel(line) => High,
            _ if lines > LINES / 2 => Low,
            _ if !short || number > 2 => sure.min(Medium),
            (_, High | Certain) if open && lines > 4 && rule == FIELD => Medium,
            (_, sure) => sure,
        };
        if best.is_none_or(|(_, known, ..)| confidence > known) {
            best = Some((rule, confidence, at, end));
        }
    }
    // Servers read a path to the line break, and programs behind them all of it.
    let goes_on = part == Part::Path && first.1 < value.len() && value.get(first.0) != Some(&b'\\');
    best.or_else(|| goes_on.then_some((LINE, High, first.0, first.1)))
}

/// Line breaks: CR, LF, both, their escapes, and U+560A and U+560D, of which some libraries keep the lower byte. Where
/// each begins and ends.
fn breaks(value: &[u8]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = value.get(at..)?;
            let length = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n' | 0xE5 | b'\\'))?;
            let start = at + length;
            let mut end = start;
            while let Some(length) = one_break(value.get(end..).unwrap_or_default()) {
                end += length;
            }
            at = end.max(start + 1);
            if end > start {
                return Some((start, end));
            }
        }
    })
}

fn one_break(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'\r' | b'\n', ..] => Some(1),
        [0xE5, 0x98, 0x8A | 0x8D, ..] => Some(3),
        [b'\\', b'r' | b'n', ..] if matches!(rest.get(2..4), Some([b'\\', b'r' | b'n'])) => Some(2),
        _ => None,
    }
}

/// A header at the beginning of a line.
fn field(line: &[u8]) -> Option<Confidence> {
    let is_token = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'-' || **byte == b'_';
    let length = line.iter().take(64).take_while(is_token).count();
    let name = line.get(..length).filter(|name| !name.is_empty())?;
    let blanks = line.get(length..)?.iter().take_while(|byte| **byte <= b' ').count();
    if line.get(length + blanks) != Some(&b':') {
        // `PHP_VALUE` as a parameter of FastCGI.
        let php = name.eq_ignore_ascii_case(b"php_value") || name.eq_ignore_ascii_case(b"php_admin_value");
        return php.then_some(High);
    }
    // `%%0a0a` leaves digits in front of it.
    let cookie = name.len() <= 12 && name.to_ascii_lowercase().ends_with(b"set-cookie");
    let known = cookie || FIELDS.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
    let custom = ascii::starts(name, b"x-") && length > 3;
    match name {
        _ if known || custom => Some(High),
        // `http://`
        _ if line.get(length + blanks + 1..length + blanks + 3) == Some(b"//") => None,
        _ if name.contains(&b'-') => Some(Medium),
        _ => Some(Low),
    }
}

/// A status line, a request line, or a page.
fn begins_message(line: &[u8]) -> Option<Confidence> {
    let starts = |word: &[u8]| ascii::starts(line, word);
    if starts(b"http/1.") || starts(b"http/2 ") {
        return Some(Certain);
    }
    if [&b"<html"[..], b"<script", b"<body", b"<!doctype html"].iter().any(|tag| starts(tag)) {
        return Some(Medium);
    }
    let methods: &[&[u8]] =
        &[b"get ", b"post ", b"head ", b"put ", b"delete ", b"options ", b"trace ", b"connect "];
    let end = line.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(line.len());
    let line = line.get(..end)?;
    let has_protocol = line.len() > 9 && ascii::contains(line, b" http/");
    (has_protocol && methods.iter().any(|method| starts(method))).then_some(High)
}

/// `name:value`, and nothing else.
fn is_tight(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let mut halves = line.splitn(2, |byte| *byte == b':');
    let name = halves.next().unwrap_or_default();
    let value = halves.next().unwrap_or_default();
    name.len() > 1
        && value.len() > 1
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        && !value.iter().take(64).any(|byte| *byte == b' ')
        && !value.starts_with(b"//")
}

/// `InjectedHeader:`: words in one, each with its capital, as no sentence begins.
fn is_camel(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    let is_hump = |two: &[u8]| matches!(two, [b'a'..=b'z', b'A'..=b'Z']);
    name.first().is_some_and(u8::is_ascii_uppercase)
        && name.iter().all(u8::is_ascii_alphanumeric)
        && name.windows(2).any(is_hump)
}

/// Words of letters, up to three.
fn words(text: &[u8]) -> usize {
    text.split(|byte| *byte <= b' ')
        .filter(|word| word.len() > 1 && word.iter().any(u8::is_ascii_alphabetic))
        .take(3)
        .count()
}

/// `name: value`, and no address.
fn is_record(line: &[u8]) -> bool {
    memchr::memchr(b':', line).is_some_and(|at| at > 0 && line.get(at + 1..at + 3) != Some(b"//"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(value: &[u8], part: Part) -> Confidence {
        judge(value, part).map_or(Low, |(_, confidence, ..)| confidence)
    }

    #[test]
    fn a_header_after_a_line_break_is_an_attack() {
        let rows: &[(&[u8], Part)] = &[
            (b"de\r\nSet-Cookie: admin=1", Part::Query),
            (b"\nset-cookie:a=b", Part::Query),
            (b"\rX-Test: 1", Part::Query),
            (b"de\r\n\tLocation: //evil.example", Part::Form),
            (b"\xE5\x98\x8A\xE5\x98\x8DSet-Cookie: a", Part::Query),
            (b"home\r\nX-Any: thing", Part::Path),
            (b"home\nName: value", Part::Path),
            (
                b"x\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>",
                Part::Query,
            ),
            (b"1\r\nGET /admin HTTP/1.1", Part::Form),
            (b"x\nTransfer-Encoding : chunked", Part::Json),
            (b"index.php\ninfo.php", Part::Path),
            (b"\r\nprobe:crlf=1\r\n", Part::Form),
            (b"index.php\nPHP_VALUE\nsession.auto_start=1", Part::Path),
            (b"a\rInjectedHeader: b", Part::Header),
        ];
        for (value, part) in rows {
            assert!(judged(value, *part) >= High, "{:?} {part:?}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn names_that_parsers_end_differently_and_nuls_are_attacks() {
        let sure = |part, name: &[u8], value: &[u8]| {
            let field = Field { part, name, value };
            judge_name(&field).or_else(|| part_type(&field)).map(|(_, confidence)| confidence)
        };
        let attacks: &[(Part, &[u8], &[u8])] = &[
            (Part::FormName, FORM_DATA, b"na;me"),
            (Part::FormName, FORM_DATA, b";x"),
            (Part::FormName, FORM_DATA, b"&amp;a;b"),
            (Part::FormName, FORM_DATA, b"cv.p\\d\\f"),
            (Part::QueryName, b"", b"name\r\n"),
            (Part::QueryName, b"", b"\rrest"),
            (Part::Query, b"id", b"5\0"),
            (Part::QueryName, b"", b"id\0"),
            (Part::Cookie, b"a", b"b\0c"),
            (Part::Header, b"Content-Type", b"text/plain; charset=utf-7"),
        ];
        for (part, name, value) in attacks {
            assert_eq!(sure(*part, name, value), Some(High), "{}", value.escape_ascii());
        }
        let benign: &[(Part, &[u8], &[u8])] = &[
            (Part::FormName, FORM_DATA, b"user[name]"),
            (Part::FormName, FORM_DATA, "\u{540d}\u{524d}".as_bytes()),
            (Part::FormName, FORM_DATA, b"&#228;pfel"),
            (Part::FormName, FORM_DATA, b"a&auml;b"),
            (Part::FormName, b"", b"a;b"),
            (Part::Form, b"a", b"b;c"),
            (Part::QueryName, b"", b"a list of words\nin two lines"),
            (Part::Query, b"a", b"two\nlines"),
            (Part::Query, b"a", b"\0\0\0\0"),
            (Part::Query, b"a", b"\0"),
            (Part::QueryName, b"", b"\0"),
            (Part::Query, b"a", b"\x01\x02\0"),
            (Part::Header, b"Content-Type", b"text/plain; charset=utf-8"),
            (Part::Header, b"Content-Type", b"text/plain; charset=x-none"),
            (Part::Header, b"X-Type", b"text/plain; charset=utf-7"),
        ];
        for (part, name, value) in benign {
            assert_eq!(sure(*part, name, value), None, "{}", value.escape_ascii());
        }
        assert_eq!(sure(Part::Form, b"a", b"b\0"), Some(Medium));
    }

    #[test]
    fn texts_of_several_lines_are_ordinary() {
        let rows: &[&[u8]] = &[
            b"Dear all,\r\nLocation: room 5\r\nHost: Anna\r\nBring a pen.",
            b"We meet on Monday.\nLocation: Berlin",
            b"name: web\nimage: nginx\nports:\n  - 80:80",
            b"He: hello\nShe: hi\nHe: bye",
            b"---\ntitle: a\nlink: b\n---\ntext",
            b"line one\nline two http://example.org/a:b",
            b"$ curl -i https://example.org\nHTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 5\n\nhello",
            b"a\\nb: c",
            b"A name with `\r\nSet-Cookie: admin=1` added a header.",
            b"Hello\nNote: call me",
            b"BEGIN:VEVENT\r\nLOCATION:Berlin\r\nEND:VEVENT",
            "\u{5598}: ok".as_bytes(),
        ];
        for value in rows {
            for part in [Part::Query, Part::Form, Part::Json, Part::Text] {
                assert!(judged(value, part) < High, "{:?} {part:?}", String::from_utf8_lossy(value));
            }
        }
    }
}
