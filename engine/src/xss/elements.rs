//! Judges markup that runs no script by itself: a value that closes an element of the page it never opened, opens one that
//! takes the page over (headings of a forged page, pictures and styles that call elsewhere, other namespaces), or tries how
//! a filter treats a mark. HTML 13.2.6 (tree construction); OWASP's page on filter evasion.
//!
//! Must not judge documents: editors write markup. So it reads short values in one line, and elements only where an
//! address or a cookie holds them. Called by [`super::read`] for the value as it came.

use super::evidence::Evidence;
use super::html::{self, Attribute, Place, Sink};
use super::rules::Rule;
use super::url::{self, Scheme};
use crate::ascii;
use crate::entity;
use crate::finding::Confidence::High;
use crate::finding::Part;

/// Elements whose text is read in another way, or that a page has once: who closes one of them leaves it.
const CLOSED: &[&str] = &[
    "script",
    "style",
    "title",
    "textarea",
    "xmp",
    "noscript",
    "noembed",
    "noframes",
    "iframe",
    "plaintext",
    "svg",
    "math",
    "template",
    "select",
    "object",
    "form",
    "head",
    "body",
    "html",
];

/// Elements that nobody looks for, with an attribute or with their end.
const TAKEN: &[&str] = &[
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "marquee",
    "center",
    "blink",
    "xmp",
    "xml",
    "isindex",
    "layer",
    "ilayer",
    "bgsound",
    "frameset",
    "keygen",
    "applet",
    "object",
    "embed",
    "body",
    "html",
    "foreignobject",
    "feimage",
    "plaintext",
    "stylesheet",
];

/// Elements that fetch what their address says as soon as they are there.
const FETCHING: &[&str] = &["img", "image", "video", "audio", "source", "track", "embed", "bgsound", "input"];

/// What a value shows that is read by no other judge.
pub(super) fn judge(value: &[u8], part: Part) -> Option<Evidence> {
    let found = |rule, start, end| Some(Evidence { rule, confidence: High, start, end, hostile: true });
    let text = value.trim_ascii();
    if text.len() > LONGEST || memchr::memchr(b'\n', text).is_some() {
        return None;
    }
    let is_name = matches!(part, Part::QueryName | Part::FormName);
    let is_value = part.is_parameter() && !is_name || part == Part::Json;
    if is_value && (is_probe(text) || closes_all(text)) {
        return found(Rule::Probe, 0, value.len());
    }
    if let Some((rule, start)) = broken(value).filter(|_| part.is_parameter() || part == Part::Xml) {
        return found(rule, start, value.len());
    }
    let is_read = matches!(part, Part::Query | Part::QueryName | Part::Cookie | Part::Path);
    let first = memchr::memchr(b'<', value)?;
    let before = value.get(..first)?.split(|byte| *byte <= b' ').filter(|word| !word.is_empty());
    if !is_read || before.take(MOST_WORDS).count() == MOST_WORDS {
        return None;
    }
    let mut elements =
        Elements { value, tag: Tag::default(), open: 0, taken: 0, quoted_to: 0, foreign: None, found: None };
    html::read(value, 0, Place::Text, &mut elements);
    let (start, end) = elements.found.or(elements.foreign)?;
    found(Rule::Markup, start, end.min(value.len()))
}

/// Tags that whoever takes out blanks, or goes on behind them, makes whole: `<f o r m`, `< x: script`, `<base a href =`,
/// ` onload=`.
fn broken(value: &[u8]) -> Option<(Rule, usize)> {
    if let Some(at) = memchr::memchr_iter(b'<', value).find(|at| {
        let rest = value.get(at + 1..).unwrap_or_default();
        is_set_apart(rest) || is_prefixed(rest)
    }) {
        return Some((Rule::HiddenTag, at));
    }
    if let Some(at) =
        memchr::memrchr(b'<', value).filter(|at| is_cut(value.get(at + 1..).unwrap_or_default()))
    {
        return Some((Rule::Markup, at));
    }
    is_bare_event(value).then_some((Rule::Attribute, 0))
}

/// Letters one by one, with blanks between them, that are the name of an element.
fn is_set_apart(rest: &[u8]) -> bool {
    const NAMES: &[&str] = &[
        "script", "iframe", "object", "embed", "applet", "form", "dialog", "style", "body", "meta", "link",
        "base", "input", "frame", "audio", "video", "math", "marquee", "details", "isindex",
    ];
    let (mut name, mut length, mut at) = ([0_u8; 8], 0, 0);
    while let (Some(letter), Some(slot)) =
        (rest.get(at).filter(|byte| byte.is_ascii_alphabetic()), name.get_mut(length))
    {
        *slot = letter.to_ascii_lowercase();
        length += 1;
        let blanks = rest.get(at + 1..).unwrap_or_default().iter().take_while(|byte| **byte <= b' ').count();
        if blanks == 0 {
            break;
        }
        at += 1 + blanks;
    }
    let name = name.get(..length).unwrap_or_default();
    length > 3 && NAMES.iter().any(|known| name.starts_with(known.as_bytes()))
}

/// `< x: script`: a namespace, and blanks where no tag has them.
fn is_prefixed(rest: &[u8]) -> bool {
    let name = rest.trim_ascii_start();
    let length = name.iter().take(16).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let Some(local) = name.get(length..).and_then(|rest| rest.strip_prefix(b":")) else { return false };
    let is_odd = name.len() < rest.len() || local.first().is_some_and(u8::is_ascii_whitespace);
    length > 0 && is_odd && ascii::starts(local.trim_ascii_start(), b"script")
}

/// A tag that the value leaves open behind the attribute that makes it load something.
fn is_cut(rest: &[u8]) -> bool {
    const PAIRS: &[(&[u8], &[u8])] =
        &[(b"base", b"href"), (b"link", b"href"), (b"import", b"implementation"), (b"vmlframe", b"src")];
    let rest = rest.strip_prefix(b"?").or_else(|| rest.strip_prefix(b":")).unwrap_or(rest);
    let Some((element, wanted)) = PAIRS.iter().find(|(element, _)| ascii::starts(rest, element)) else {
        return false;
    };
    let behind = rest.get(element.len()..).unwrap_or_default();
    let is_element = behind.first().is_some_and(|byte| !byte.is_ascii_alphanumeric() && *byte != b'>');
    let is_open = memchr::memchr(b'>', behind).is_none();
    let sets = |at: usize| {
        let rest = behind.get(at + wanted.len()..).unwrap_or_default();
        let blanks = rest.iter().take_while(|byte| **byte <= b' ' || matches!(byte, b'/' | b'+')).count();
        rest.get(blanks) == Some(&b'=')
    };
    let first = wanted.first().copied().unwrap_or_default();
    let mut places = memchr::memchr2_iter(first, first.to_ascii_uppercase(), behind)
        .filter(|at| behind.get(*at..).is_some_and(|rest| ascii::starts(rest, wanted)));
    (is_element || *element == b"import") && is_open && places.any(sets)
}

/// ` onload=`, `'formaction=`, and nothing else: an attribute for the tag of the page, which goes on with the code.
fn is_bare_event(value: &[u8]) -> bool {
    const WORDS: &[&[u8]] = &[
        b"once", b"only", b"one", b"online", b"onto", b"ongoing", b"onboard", b"onset", b"onsite", b"onward",
        b"onshore", b"onion", b"onus",
    ];
    let is_mark = |byte: &u8| *byte <= b' ' || matches!(byte, b'"' | b'\'' | b'/' | b'`');
    let marks = value.iter().take_while(|byte| is_mark(byte)).count();
    let rest = value.get(marks..).unwrap_or_default().trim_ascii_end();
    let Some(name) = rest.strip_suffix(b"=").map(<[u8]>::trim_ascii_end) else { return false };
    let is_name = (5..=48).contains(&name.len()) && name.iter().all(u8::is_ascii_alphabetic);
    let is_event = ascii::starts(name, b"on") && !WORDS.iter().any(|word| ascii::starts(name, word));
    marks > 0 && is_name && (is_event || name.eq_ignore_ascii_case(b"formaction"))
}

const LONGEST: usize = 512;
/// More in front of it are a question about markup.
const MOST_WORDS: usize = 4;

/// One `<` or `>`, written as nobody writes it who means it: by number, with zeros, without its semicolon.
fn is_probe(text: &[u8]) -> bool {
    let is_mark = |code: u32| matches!(code, 0x3C | 0x3E);
    if let Some((code, length, is_number)) = entity::reference(text) {
        let is_plain = matches!(text, b"&lt;" | b"&gt;");
        return length == text.len() && is_mark(code) && (is_number || !is_plain);
    }
    // The places where this string is cut tell what a filter takes away.
    if memchr::memmem::find(text, b"=&{()}").is_some() {
        return true;
    }
    let ([b'\\', b'x' | b'X', digits @ ..] | [b'\\', b'u' | b'U', b'0', b'0', digits @ ..]) = text else {
        return false;
    };
    digits.len() == 2 && (digits.eq_ignore_ascii_case(b"3c") || digits.eq_ignore_ascii_case(b"3e"))
}

/// `"'`-->]]>`: the ends of a text, a comment and a section, whatever it stands in.
fn closes_all(text: &[u8]) -> bool {
    let is_end =
        |byte: &u8| matches!(byte, b'"' | b'\'' | b'`' | b'-' | b'>' | b']' | b')' | b'}' | b'*' | b'/');
    memchr::memmem::find(text, b"-->").is_some_and(|at| {
        let before = text.get(..at).unwrap_or_default();
        let start = before.iter().rposition(|byte| !is_end(byte)).map_or(0, |last| last + 1);
        let rest = text.get(start..).unwrap_or_default();
        let length = rest.iter().position(|byte| !is_end(byte)).unwrap_or(rest.len());
        let run = rest.get(..length).unwrap_or_default();
        let quotes = [b'"', b'\'', b'`'].iter().filter(|quote| run.contains(quote)).count();
        let section = memchr::memmem::find(run, b"]]>").is_some();
        quotes > 1 || section && quotes > 0
    })
}

struct Elements<'a> {
    value: &'a [u8],
    tag: Tag,
    /// A bit for each of [`CLOSED`] that was opened.
    open: u32,
    /// A bit for each of [`TAKEN`] that was opened.
    taken: u32,
    /// Where the last attribute ends. What is in it is a text of its own, for other judges.
    quoted_to: usize,
    /// A picture or a formula that is not closed: the page goes on in its namespace.
    foreign: Option<(usize, usize)>,
    found: Option<(usize, usize)>,
}

#[derive(Clone, Copy, Default)]
struct Tag {
    start: usize,
    is_end: bool,
    is_taken: bool,
    is_fetching: bool,
    is_foreign: bool,
}

impl Elements<'_> {
    fn see(&mut self, end: usize) {
        let start = self.tag.start;
        self.found.get_or_insert((start, end));
    }
}

impl Sink for Elements<'_> {
    type Tag = Tag;

    fn state(&self) -> Tag {
        self.tag
    }

    fn restore(&mut self, tag: Tag) {
        self.tag = tag;
    }

    fn tag(&mut self, name: &[u8], at: usize, is_end: bool) {
        let bit = |list: &[&str]| {
            let place = list.iter().position(|known| name.eq_ignore_ascii_case(known.as_bytes()));
            place.map_or(0, |place| 1_u32 << place)
        };
        // `<?xml version="1.0"?>` is how documents begin.
        let is_element = self.value.get(at + 1) != Some(&b'?') && at >= self.quoted_to;
        let (closed, taken) = if is_element { (bit(CLOSED), bit(TAKEN)) } else { (0, 0) };
        let is_foreign =
            is_element && (name.eq_ignore_ascii_case(b"svg") || name.eq_ignore_ascii_case(b"math"));
        self.tag =
            Tag { start: at, is_end, is_taken: taken != 0, is_fetching: bit(FETCHING) != 0, is_foreign };
        if is_foreign && is_end {
            self.foreign = None;
        }
        if is_end && (closed & !self.open != 0 || taken & self.taken != 0) {
            self.see(at + name.len() + 2);
        }
        if !is_end {
            self.open |= closed;
            self.taken |= taken;
        }
    }

    fn attribute(&mut self, attribute: &Attribute<'_>) {
        let is = |known: &str| attribute.name.eq_ignore_ascii_case(known.as_bytes());
        if attribute.start < self.quoted_to {
            return;
        }
        self.quoted_to = attribute.end;
        if self.tag.is_foreign && !self.tag.is_end {
            self.foreign.get_or_insert((self.tag.start, attribute.end));
        }
        let Some(value) = attribute.value.filter(|_| !self.tag.is_end) else { return };
        let calls = self.tag.is_fetching && (is("src") || is("href") || is("xlink:href") || is("poster"));
        let is_found = self.tag.is_taken
            || ascii::starts(attribute.name, b"xmlns:")
            || is("datafld")
            || is("dataformatas")
            || is("style") && breaks_out(value)
            || calls && url::scheme(value) == Scheme::Remote && memchr::memchr(b'?', value).is_some()
            || is("href") && is_near_script(value.trim_ascii());
        if is_found {
            self.see(attribute.end);
        }
    }

    /// `a<h1>b`: what the page goes on with is in it.
    fn content(&mut self, at: usize) {
        let goes_on = self.value.get(at).is_some_and(u8::is_ascii_alphanumeric);
        if self.tag.is_taken && !self.tag.is_end && goes_on {
            self.see(at);
        }
    }
}

/// `javascript#a`: what a filter makes of the scheme is tried.
fn is_near_script(address: &[u8]) -> bool {
    let behind = ascii::strip(address, b"javascript").and_then(<[u8]>::first);
    matches!(behind, Some(b'#' | b';' | b'(' | b'&'))
}

/// A style that calls an address, or has marks that end a rule in some readers.
fn breaks_out(style: &[u8]) -> bool {
    ascii::contains(style, b"url(")
        || memchr::memchr3(b'{', b'}', b'\\', style).is_some()
        || memchr::memchr2(b'[', b']', style).is_some()
        || memchr::memmem::find(style, b"&#").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_that_changes_the_page_around_it_is_an_attack() {
        let rows: &[(Part, &str)] = &[
            (Part::Query, "</script>"),
            (Part::Query, "a</sCript/>b"),
            (Part::Cookie, "\"></title>"),
            (Part::Query, "</textarea>"),
            (Part::Query, "</body></html>"),
            (Part::Query, "a<h1>Please log in</h1>"),
            (Part::Query, "*a<h2>b"),
            (Part::Path, "<h2>Moved</h2>"),
            (Part::Query, "<svg xmlns=\"http://www.w3.org/2000/svg\">"),
            (Part::Query, "<math href=a>"),
            (Part::Query, "<marquee>a</marquee>"),
            (Part::Query, "<img src=\"http://evil.example/a?b\">"),
            (Part::Query, "<b style=\"background:url(//evil.example/a)\">a</b>"),
            (Part::Query, "<div style=\"font-family:a}color:red\">"),
            (Part::Query, "<p xmlns:a=\"urn:b\">"),
            (Part::Query, "<a href=\"javascript#alert(1)\">"),
            (Part::Query, "\"'`-->]]>"),
            (Part::Json, "a//[\"'`-->]]>]</b>"),
            (Part::Form, "'\"-->"),
            (Part::Form, "&#0060"),
            (Part::Json, "&#x00003C;"),
            (Part::Cookie, "&LT"),
            (Part::Query, "\\u003c"),
            (Part::Query, "';!--\"<A>=&{()}"),
        ];
        for (part, value) in rows {
            assert!(judge(value.as_bytes(), *part).is_some(), "{part:?} {value}");
        }
    }

    #[test]
    fn tags_that_become_whole_are_attacks_and_pieces_of_text_are_not() {
        let attacks: &[(Part, &str)] = &[
            (Part::Query, "a<f o r m"),
            (Part::Cookie, "1234<s c r i p t>"),
            (Part::Header, "Agent/1.0 <i\tf\tr\ta\tm\te src=x"),
            (Part::QueryName, "b<d i a l o g"),
            (Part::Form, "< x: script"),
            (Part::Form, "<svg:\tscript"),
            (Part::Query, "<base target=a HREF / = "),
            (Part::Xml, "<link / b href ="),
            (Part::Query, "<?import c implementation="),
            (Part::Query, "<:vmlframe src="),
            (Part::QueryName, "  onload= "),
            (Part::Query, "\" onpointerrawupdate ="),
            (Part::Xml, "' onfocus="),
            (Part::Query, "'formaction= "),
        ];
        for (part, value) in attacks {
            assert!(judge(value.as_bytes(), *part).is_some(), "{part:?} {value}");
        }
        let ordinary: &[(Part, &str)] = &[
            (Part::Query, "a < b or c < d"),
            (Part::Query, "<f o o"),
            (Part::Form, "if (a <b c d e)"),
            (Part::Form, "<form"),
            (Part::Query, "x <s i n e"),
            (Part::Form, "a: script"),
            (Part::Form, "<time>: script"),
            (Part::Form, "<link rel=\"icon\" href=\"/a.ico\">"),
            (Part::Query, "<link> href ="),
            (Part::Form, "<linked list> href="),
            (Part::Query, "<baseline href="),
            (Part::Query, "base href ="),
            (Part::Query, "onload="),
            (Part::Query, " online="),
            (Part::QueryName, " once ="),
            (Part::Query, "\"on="),
            (Part::Form, " on sale = 5"),
            (Part::Json, "  onload= "),
        ];
        for (part, value) in ordinary {
            assert!(judge(value.as_bytes(), *part).is_none(), "{part:?} {value}");
        }
    }

    #[test]
    fn markup_that_people_write_or_look_for_is_ordinary() {
        let rows: &[(Part, &str)] = &[
            (Part::Query, "<div>"),
            (Part::Query, "<svg>"),
            (Part::Query, "<svg xmlns=\"http://www.w3.org/2000/svg\"><path d=\"M0 0h1\"/></svg>"),
            (Part::Query, "<form> in HTML"),
            (Part::Query, "<h1> or <h2>"),
            (Part::Query, "how do I use <svg width=\"10\"> here"),
            (Part::Query, "<syntaxhighlight lang=\"bash\">"),
            (Part::Query, "<input type=\"file\"> multiple"),
            (Part::Query, "<span class=\"a\">b</span>"),
            (Part::Query, "a <a href=\"/b\">c</a>"),
            (Part::Query, "<b>a</b>"),
            (Part::Query, "<em style=\"color:red\">a</em>"),
            (Part::Query, "<style>a{}</style>"),
            (Part::Query, "<img src=\"/a.png?b=7\">"),
            (Part::Query, "<img src=\"https://example.org/a.png\" alt=\"a\">"),
            (Part::Query, "a < b and c > d"),
            (Part::Form, "</mark>"),
            (Part::Form, "<h1>News</h1>"),
            (Part::Json, "<svg xmlns=\"http://www.w3.org/2000/svg\"></svg>"),
            (Part::Form, "&lt;"),
            (Part::Form, "5 &#60; 6"),
            (Part::Form, "&#169;"),
            (Part::Query, "<!-- a -->"),
            (Part::Query, "<?xml version=\"1.0\" encoding=\"UTF-8\"?><order><id>7</id></order>"),
            (Part::Json, "\"a\" --> \"b\""),
            (Part::Query, "A-->B"),
            (Part::Query, "14&#39;"),
            (Part::Query, "\\u00e9"),
            (Part::Query, "<Tr0ub4dor&3>"),
            (Part::Query, "</a>"),
            (Part::Query, "-->\n\"'`-->"),
        ];
        for (part, value) in rows {
            assert!(judge(value.as_bytes(), *part).is_none(), "{part:?} {value}");
        }
    }
}
