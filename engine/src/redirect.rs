//! Open redirect (CWE-601): the value sends a browser to another host than the application and its filters
//! read out of it. Browsers treat `\` as `/`, leave out tabs and line breaks, and need no slashes after a scheme that
//! they know (WHATWG URL 4.4); hosts may be written as octal, hexadecimal or one number (3.5).
//!
//! An ordinary address in a parameter that is made for one is ordinary: `Low`. Disguise is what makes it an attack.

use rasp_policy::class::Class;

use crate::ascii;
use crate::decode::Field;
use crate::detector::{Detector, Evidence, Needs, Report, Rule};
use crate::finding::Confidence::{self, High, Low, Medium};
use crate::finding::{Part, RuleId};
use crate::mask;
use crate::reason::Reason;
use crate::ssrf::host;

pub(crate) static DETECTOR: Detector = Detector { class: Class::OpenRedirect, needs: NEEDS, inspect, rules };

const NEEDS: Needs =
    Needs { alone: b"", bytes: b"/\\:", needles: &["//", "\\", "http:", "https:", "/\t", "/%", "/\0"] };

const DISGUISED: Rule = Rule {
    id: RuleId("redirect-disguised"),
    reason: "the value is an address that browsers and filters read in different ways",
};
const ELSEWHERE: Rule = Rule {
    id: RuleId("redirect-elsewhere"),
    reason: "the value of a parameter for the next page is on another host",
};

fn rules() -> Vec<Rule> {
    vec![DISGUISED, ELSEWHERE]
}

fn inspect(field: &Field<'_>, report: &mut Report<'_>) -> Result<(), Reason> {
    report.budget().work(field.value.len())?;
    let Some((rule, confidence)) = judge(field) else { return Ok(()) };
    let sample = mask::sample(field.value, |word| {
        word.eq_ignore_ascii_case(b"http") || word.eq_ignore_ascii_case(b"https")
    });
    report.find(field, Evidence { rule, confidence, at: 0..field.value.len(), sample });
    Ok(())
}

/// Names that mean nothing else.
const NEXT: &[&str] = &[
    "back",
    "continue",
    "dest",
    "destination",
    "forward",
    "go",
    "goto",
    "jump",
    "next",
    "redir",
    "redirect",
    "return",
    "returnto",
    "rurl",
];

/// Words of names of parameters that say where a browser goes next.
const NAMES: &[&str] = &[
    "back",
    "callback",
    "checkout",
    "continue",
    "dest",
    "destination",
    "exit",
    "forward",
    "go",
    "goto",
    "jump",
    "link",
    "location",
    "next",
    "out",
    "page",
    "redir",
    "redirect",
    "ref",
    "referer",
    "referrer",
    "return",
    "returnto",
    "rurl",
    "success",
    "target",
    "to",
    "uri",
    "url",
    "view",
];

fn is_one_of(names: &[&str], name: &[u8]) -> bool {
    let ends = |known: &&str| {
        let known = known.as_bytes();
        name.eq_ignore_ascii_case(known)
            || known.len() > 2 && (ascii::starts(name, known) || ascii::ends(name, known))
    };
    names.iter().any(ends)
}

/// A request for `//host/..`: an application that sends the browser to the path it asked for, with a slash more or less,
/// sends it to that host.
fn path(value: &[u8]) -> Option<(Rule, Confidence)> {
    let address =
        Address::read(value).filter(|_| matches!(value, [b'/', b'/' | b'\\' | b'\t', ..] | [b'\\', ..]))?;
    let is_forged = address.is_hidden || address.is_deceptive() || value.starts_with(b"\\");
    (is_forged && names_host(address.authority)).then_some((DISGUISED, High))
}

/// It ends as names of hosts do, and not as files.
fn names_host(authority: &[u8]) -> bool {
    const FILES: &[&str] = &[
        "asp", "aspx", "cfm", "cgi", "css", "gif", "gz", "htm", "html", "ico", "ini", "jpeg", "jpg", "js",
        "json", "jsp", "map", "md", "pdf", "php", "pl", "png", "py", "sh", "svg", "tar", "tgz", "txt",
        "webp", "woff", "xml", "zip",
    ];
    let host = authority.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
    let host = host.split(|byte| *byte == b':').next().unwrap_or_default();
    let Some(dot) = memchr::memrchr(b'.', host) else { return false };
    let last = host.get(dot + 1..).unwrap_or_default();
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let is_file = FILES.iter().any(|known| last.eq_ignore_ascii_case(known.as_bytes()));
    dot > 0
        && host.iter().all(is_name)
        && (2..=12).contains(&last.len())
        && last.iter().all(u8::is_ascii_alphabetic)
        && !is_file
}

fn judge(field: &Field<'_>) -> Option<(Rule, Confidence)> {
    if field.part == Part::Path {
        return path(field.value);
    }
    if matches!(field.part, Part::QueryName | Part::FormName | Part::JsonKey | Part::Text) {
        return None;
    }
    let value = field.value;
    if value.len() > LONGEST || value.trim_ascii().contains(&b' ') {
        return None;
    }
    // Records of what a browser did hold such addresses, and are no parameters.
    let is_next = matches!(field.part, Part::Query | Part::Form) && is_one_of(NEXT, field.name);
    let is_sent = matches!(field.part, Part::Query | Part::Form);
    let named = is_next || is_one_of(NAMES, field.name);
    if is_next && hides_scheme(value) {
        return Some((DISGUISED, High));
    }
    let address = Address::read(value)?;
    let confidence = match () {
        () if address.is_deceptive() => High,
        () if address.is_odd && is_next => High,
        () if address.is_odd => Medium,
        () if !named => return None,
        // Nobody is sent there but by who wants to see whether a browser comes.
        () if is_sent && host::waits_for_calls(address.authority) => return Some((ELSEWHERE, High)),
        () => return Some((ELSEWHERE, Low)),
    };
    Some((DISGUISED, confidence))
}

const LONGEST: usize = 2048;

/// `x00http://`, `hthttp://tp://`, `http\x3a\x2f\x2f`: what is left when a filter has taken something away.
fn hides_scheme(value: &[u8]) -> bool {
    let start = value.get(..24).unwrap_or(value).to_ascii_lowercase();
    let at = |part: &[u8]| start.windows(part.len()).position(|window| window == part);
    let inner = at(b"http://").or_else(|| at(b"https://"));
    let is_escaped = at(b"http\\x3a").or_else(|| at(b"https\\x3a")).or_else(|| at(b"http\\u003a")).is_some();
    is_escaped
        || inner.is_some_and(|at| {
            (1..=8).contains(&at)
                && !start.iter().take(at).any(|byte| matches!(byte, b'/' | b':' | b'=' | b'?'))
        })
}

/// An address with a host, as a browser reads it.
struct Address<'a> {
    /// Before the host: scheme and slashes are not as everybody writes them.
    is_odd: bool,
    /// And in no way that ordinary clients do.
    is_hidden: bool,
    authority: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Address<'a> {
    fn read(value: &'a [u8]) -> Option<Self> {
        let blanks = value.iter().take_while(|byte| **byte <= b' ').count();
        let text = value.get(blanks..)?;
        let starts = |known: &[u8]| text.get(..known.len()).filter(|start| start.eq_ignore_ascii_case(known));
        let scheme = starts(b"https:").or_else(|| starts(b"http:"));
        let after = text.get(scheme.map_or(0, <[u8]>::len)..)?;
        let slashes = after
            .iter()
            .take_while(|byte| matches!(**byte, b'/' | b'\\' | b'\t' | b'\r' | b'\n' | 0))
            .count();
        let marks = after.get(..slashes)?;
        let rest = after.get(slashes..)?;
        // `/https://host` and `//https://host`: an address behind a slash.
        let inner = scheme.is_none()
            && slashes > 0
            && [&b"https:/"[..], b"http:/"].iter().any(|known| ascii::starts(rest, known));
        if inner {
            // A log of what a browser was shown may have one slash there, and nothing has two.
            let is_hidden = slashes > 1 || marks.contains(&b'\\');
            return Self::read(rest).map(|inner| Self {
                is_odd: true,
                is_hidden: is_hidden || inner.is_hidden,
                ..inner
            });
        }
        let length =
            rest.iter().position(|byte| matches!(byte, b'/' | b'\\' | b'?' | b'#')).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(length)?;
        let has_host = authority.len() > 1 && is_host(authority);
        let (is_odd, is_hidden) = match (scheme, marks) {
            _ if !has_host => return None,
            (None, [] | [b'/']) => return None,
            // Proxies that tidy a path up leave one slash.
            (Some(_), b"/") | (None, b"//" | b"\\\\") => (true, false),
            // `///host`, `/\host`, `/<tab>/host`
            (None, marks) => (true, marks.iter().any(|mark| *mark != b'/') || marks.len() > 2),
            (Some(scheme), b"//") => {
                let is_mixed =
                    scheme.iter().any(u8::is_ascii_uppercase) && scheme.iter().any(u8::is_ascii_lowercase);
                // Phones begin a text with a capital.
                let is_sentence = !scheme.iter().skip(1).any(u8::is_ascii_uppercase);
                (is_mixed, is_mixed && !is_sentence)
            }
            (Some(_), _) => (true, true),
        };
        Some(Self { is_odd: is_odd || blanks > 0, is_hidden, authority, rest })
    }

    fn is_deceptive(&self) -> bool {
        let host = match memchr::memrchr(b'@', self.authority) {
            Some(at) => {
                // `http://bank.example@evil.example`: a name of a host where a user's belongs.
                let user = self.authority.get(..at).unwrap_or_default();
                if memchr::memchr(b'.', user).is_some() && memchr::memchr(b':', user).is_none() {
                    return true;
                }
                self.authority.get(at + 1..).unwrap_or_default()
            }
            None => self.authority,
        };
        let ends_in_dots = [&b"/%2f"[..], b"/%2e%2e", b"/..", b"/%5c"]
            .iter()
            .any(|end| self.is_odd && ascii::starts(self.rest, end));
        let path = self.rest.strip_suffix(b"/").unwrap_or(self.rest);
        let is_stub = path.len() <= 12 && (path.ends_with(b"/..") || path.eq_ignore_ascii_case(b"/%2e%2e"));
        let after_mark = self.rest.starts_with(b"\\")
            || self.rest.get(1).is_some_and(|byte| *byte == b'@') && !self.rest.starts_with(b"/");
        self.is_hidden
            || ends_in_dots
            || is_stub
            || after_mark
            || is_number(host)
            || holds_odd_dot(host)
            || hides_letters(host)
    }
}

/// It looks like a name or an address of a host: dots, brackets or a number.
fn is_host(authority: &[u8]) -> bool {
    let inner = memchr::memchr(b'.', authority).is_some_and(|dot| dot > 0 && dot + 1 < authority.len());
    inner
        || hides_letters(authority)
        || authority.starts_with(b"[")
        || holds_odd_dot(authority)
        || is_number(authority)
        || memchr::memchr(b'@', authority).is_some()
}

/// `%65%76%69%6c.example`: names of hosts need no escapes.
fn hides_letters(host: &[u8]) -> bool {
    let escapes = memchr::memchr_iter(b'%', host)
        .filter(|at| host.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)));
    escapes.take(3).count() == 3
}

/// U+3002 and its kin, which browsers read as a dot, and NUL.
fn holds_odd_dot(host: &[u8]) -> bool {
    memchr::memchr(0, host).is_some()
        || host
            .windows(3)
            .any(|three| matches!(three, [0xE3, 0x80, 0x82] | [0xEF, 0xBC, 0x8E] | [0xEF, 0xBD, 0xA1]))
}

/// An IPv4 address that is not four decimal numbers (`0x7f.1`, `0177.0.0.1`, `2130706433`), or one inside of IPv6.
fn is_number(host: &[u8]) -> bool {
    if let Some(inner) = host.strip_prefix(b"[") {
        let inner = inner.split(|byte| *byte == b']').next().unwrap_or_default();
        return memchr::memchr(b'.', inner).is_some();
    }
    let host = host.split(|byte| *byte == b':').next().unwrap_or_default();
    let mut parts = 0;
    let mut odd = false;
    for part in host.split(|byte| *byte == b'.') {
        parts += 1;
        let hex = part.strip_prefix(b"0x").or_else(|| part.strip_prefix(b"0X"));
        let is_hex = hex.is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit));
        if !is_hex && (part.is_empty() || !part.iter().all(u8::is_ascii_digit)) {
            return false;
        }
        let large = part.len() == 3 && part > b"255".as_slice();
        odd |= is_hex || part.len() > 3 || large || part.len() > 1 && part.starts_with(b"0");
    }
    odd && parts <= 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(name: &str, value: &[u8]) -> Confidence {
        let field = Field { part: Part::Query, name: name.as_bytes(), value };
        judge(&field).map_or(Low, |(_, confidence)| confidence)
    }

    #[test]
    fn addresses_in_disguise_are_attacks() {
        let rows: &[(&str, &[u8])] = &[
            ("next", b"//evil.example"),
            ("returnUrl", b"\\\\evil.example"),
            ("redirect_uri", b"/\\evil.example/a"),
            ("q", b"///evil.example/%2f.."),
            ("q", b"/\t/evil.example"),
            ("q", b"https:evil.example"),
            ("q", b"http:///evil.example"),
            ("goto", b"hTTps://evil.example"),
            ("q", b"hTtP://evil.example"),
            ("q", b"http://%65%76%69%6c%2eexample/"),
            ("q", b"https://good.example@evil.example/"),
            ("q", b"http://0x7f.0x0.0x0.0x1/"),
            ("q", b"http://2130706433/"),
            ("q", b"http://0177.0.0.01"),
            ("q", b"http://[::ffff:127.0.0.1]/"),
            ("next", b"x00http://evil.example"),
            ("q", b"/https://good.example@evil.example/"),
            ("q", b"https://evil.example/%2e%2e"),
            ("next", b"//evil\xE3\x80\x82example"),
            ("q", b"//evil.example\\@good.example"),
            ("goto", b"/https://evil.example/"),
            ("q", b"//https://evil.example//"),
            ("next", b"https://a1b2.oastify.com/"),
            ("exitUrl", b"https://www.interact.sh"),
        ];
        for (name, value) in rows {
            assert!(judged(name, value) >= High, "{name}={}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn a_path_that_names_a_host_is_an_attack_and_one_that_names_files_is_not() {
        let rows: &[(&[u8], bool)] = &[
            (b"/\\evil.example/a", true),
            (b"\\evil.example", true),
            (b"//evil.example/..", true),
            (b"//evil.example/%2f..", true),
            (b"///evil.example/%2e%2e", true),
            (b"/\t/evil.example", true),
            (b"//evil.example/a.js", false),
            (b"//css/a/../b.css", false),
            (b"//images/../a.png", false),
            (b"///index.php/..", false),
            (b"//v1.2/..", false),
            (b"/a/..", false),
            (b"/\\server\\share", false),
            (b"evil.example", false),
        ];
        for (value, expected) in rows {
            let field = Field { part: Part::Path, name: b"", value };
            assert_eq!(judge(&field).is_some(), *expected, "{}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn ordinary_addresses_are_ordinary() {
        let rows: &[(&str, &[u8])] = &[
            ("next", b"/account?tab=1"),
            ("next", b"https://example.org/a/b?c=d"),
            ("url", b"HTTP://EXAMPLE.ORG/"),
            ("url", b"Http://example.org/"),
            ("url", b"http://example.org/%65%76%69%6c"),
            ("url", b"//example.org/a"),
            ("u", b"https:/example.org/"),
            ("next", b"/a?b=http://example.org"),
            ("src", b"//cdn.example.org/a.js"),
            ("q", b"https://user@example.org/repo.git"),
            ("q", b"https://example.org/@user"),
            ("q", b"http://127.0.0.1:8080/"),
            ("q", b"http://[::1]/"),
            ("path", b"\\\\server\\share\\file.txt"),
            ("path", b"C:\\Users\\a"),
            ("q", b"// a comment"),
            ("dp", b"/https://example.org/a"),
            ("q", b"https://a1b2.oastify.com/"),
            ("next", b"https://interact.shop/"),
            ("q", b"a//b"),
            ("q", b"http: the protocol"),
            ("time", b"12:30"),
            ("version", b"1.2.3.4"),
            ("q", b"//"),
        ];
        for (name, value) in rows {
            assert!(judged(name, value) < High, "{name}={}", String::from_utf8_lossy(value));
        }
    }
}
