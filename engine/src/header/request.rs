//! What a head says as a whole: a content type that two readers take differently, a charset that hides what a body says,
//! ranges that no client asks for, cookies that swallow others, and a body where there is none.
//!
//! None of it is a value that an application asked for, so the detectors of values do not see it. Reads the names of the
//! fields once, and looks at few of them. Called for every request by `ruleset::scan`, through [`super`].
//! Sources: RFC 9110 sections 8.3 and 14, RFC 6265 section 3, CVE-2011-3192.

use super::{CHARSET, COOKIE, RANGE, TYPE, session};
use crate::ascii;
use crate::detector::Rule;
use crate::finding::Confidence::{self, High, Medium};
use crate::message::Head;

/// A rule that fits a field, and how sure it is.
pub(super) type Judged = Option<(Rule, Confidence)>;

/// Whether something of a head is worth a look: a parameter of its type, a field that is judged, the name of a session.
pub(super) fn may_match(head: &Head<'_>) -> bool {
    let is_typed = head.content_type.is_some_and(|value| content_type(value).is_some());
    let mut seen = is_typed || session::name(head.target).is_some() || has_idle_body(head);
    if !seen {
        // Nothing is refused here.
        let _ = head.fields.each(&mut |name, value| {
            seen |= matches!(name.len(), 5 | 6 | 13) && field(name, value).is_some();
            Ok(())
        });
    }
    seen
}

/// A request that asks for a head alone, or for an echo of itself, has a body: who does not expect one reads it as the next
/// request (RFC 9110 sections 9.3.2 and 9.3.8).
pub(super) fn has_idle_body(head: &Head<'_>) -> bool {
    if !matches!(head.method, "HEAD" | "TRACE") {
        return false;
    }
    let mut has_body = false;
    // Nothing is refused here.
    let _ = head.fields.each(&mut |name, value| {
        has_body |= name.eq_ignore_ascii_case(b"content-length")
            && number(value).is_some_and(|size| size > 0)
            || name.eq_ignore_ascii_case(b"transfer-encoding");
        Ok(())
    });
    has_body
}

/// One field of a head.
pub(super) fn field(name: &[u8], value: &[u8]) -> Judged {
    match name.len() {
        5 if name.eq_ignore_ascii_case(b"range") => is_absurd(value).then_some((RANGE, High)),
        // An answer that nobody between could read.
        6 if name.eq_ignore_ascii_case(b"accept") => asks_hidden(value).then_some((CHARSET, High)),
        6 if name.eq_ignore_ascii_case(b"cookie") => swallows(value).then_some((COOKIE, High)),
        // The draft of `Range` that no browser sent since 1997, and that servers still read.
        13 if name.eq_ignore_ascii_case(b"request-range") => Some((RANGE, High)),
        _ => None,
    }
}

/// Five ranges or more, one of which ends before it begins or begins before the last one: what makes a server send more
/// than it has, and what no reader of a file needs.
fn is_absurd(value: &[u8]) -> bool {
    let Some(set) = ascii::strip(value.trim_ascii(), b"bytes=") else { return false };
    let (mut count, mut last, mut odd) = (0, None, false);
    for range in set.split(|byte| *byte == b',').take(MOST_RANGES) {
        let mut ends = range.trim_ascii().splitn(2, |byte| *byte == b'-');
        let from = number(ends.next().unwrap_or_default());
        let to = number(ends.next().unwrap_or_default());
        count += 1;
        odd |= matches!((from, to), (Some(from), Some(to)) if to < from) || from.is_some() && from <= last;
        last = from.or(last);
    }
    odd && count > 4
}

const MOST_RANGES: usize = 32;

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.trim().parse().ok()
}

/// `$Version=1; a="b; session=secret; c=d"`: readers of RFC 2965 take all of it for one cookie, and may show it.
fn swallows(value: &[u8]) -> bool {
    let pairs = || value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let opens = |pair: &[u8]| {
        let value = pair.splitn(2, |byte| *byte == b'=').nth(1).unwrap_or_default();
        let value = value.strip_prefix(b"\\").unwrap_or(value);
        value.strip_prefix(b"\"").is_some_and(|inside| !inside.ends_with(b"\""))
    };
    value.first() == Some(&b'$')
        && pairs().next().is_some_and(|first| ascii::starts(first, b"$version"))
        && pairs().any(opens)
}

/// The content type of a body, or of a part of one.
pub(super) fn content_type(value: &[u8]) -> Judged {
    let first = memchr::memchr(b';', value)?;
    let (kind, rest) = value.split_at_checked(first)?;
    let is_form = ascii::starts(kind, b"application/x-www-form-urlencoded");
    let is_unknown =
        ascii::strip(kind, b"multipart/").is_some_and(|subtype| !is_in_parts(subtype.trim_ascii()));
    let mut charset: &[u8] = b"";
    for parameter in rest.split(|byte| *byte == b';').take(MOST_PARAMETERS) {
        let mut halves = parameter.splitn(2, |byte| *byte == b'=');
        let name = halves.next().unwrap_or_default().trim_ascii();
        let value = halves.next().unwrap_or_default().trim_ascii();
        let quotes = |byte: &u8| matches!(byte, b'"' | b'\'');
        let start = value.iter().position(|byte| !quotes(byte)).unwrap_or(value.len());
        let value = value.get(start..).unwrap_or_default();
        let value = value.strip_suffix(b"\"").or_else(|| value.strip_suffix(b"'")).unwrap_or(value);
        if name.eq_ignore_ascii_case(b"charset") {
            let differs = !charset.is_empty() && !charset.eq_ignore_ascii_case(value);
            if differs && (hides(charset) || hides(value)) {
                return Some((TYPE, High));
            }
            if hides(value) {
                return Some((CHARSET, High));
            }
            charset = value;
            continue;
        }
        let is_boundary = name.eq_ignore_ascii_case(b"boundary");
        let misread = is_unknown && is_boundary && !value.is_empty();
        if misread || ((is_form || is_boundary) && (is_type(value) || names_charset(value))) {
            return Some((TYPE, High));
        }
    }
    (!charset.is_empty() && !is_known(charset)).then_some((CHARSET, Medium))
}

const MOST_PARAMETERS: usize = 8;

/// Whether a subtype of `multipart` is one that is registered or in use. Readers that look for a boundary alone take the
/// others apart, and those that look at the type do not (CWE-436).
fn is_in_parts(subtype: &[u8]) -> bool {
    const KNOWN: &[&str] = &[
        "form-data",
        "mixed",
        "related",
        "alternative",
        "digest",
        "parallel",
        "signed",
        "encrypted",
        "report",
        "byteranges",
        "appledouble",
        "header-set",
        "multilingual",
        "voice-message",
        "form",
        "formdata",
    ];
    let of_its_own = ascii::starts(subtype, b"x-") || ascii::starts(subtype, b"vnd.");
    of_its_own || KNOWN.iter().any(|known| subtype.eq_ignore_ascii_case(known.as_bytes()))
}

/// `application/json`, as the value of a parameter that is no type.
fn is_type(value: &[u8]) -> bool {
    [&b"application/"[..], b"text/", b"multipart/", b"image/"].iter().any(|start| ascii::starts(value, start))
}

fn names_charset(value: &[u8]) -> bool {
    ascii::starts(value, b"charset=")
}

/// Charsets in which the bytes of an attack are not those of ASCII, so that whoever does not decode them sees nothing:
/// UTF-7, and EBCDIC by its code pages (Java and .NET know them). UTF-16 is decoded, and honest clients send it.
pub(crate) fn hides(charset: &[u8]) -> bool {
    let is = |known: &[u8]| charset.eq_ignore_ascii_case(known);
    if is(b"utf-7") || is(b"utf7") || is(b"unicode-1-1-utf-7") || is(b"x-utf-7") || is(b"utf-7-imap") {
        return true;
    }
    let page = ascii::strip(charset, b"ibm-").or_else(|| ascii::strip(charset, b"ibm"));
    let page = page.or_else(|| ascii::strip(charset, b"cp-")).or_else(|| ascii::strip(charset, b"cp"));
    page.is_some_and(|page| EBCDIC.iter().any(|known| known.as_bytes() == page))
        || ascii::starts(charset, b"ebcdic")
        || ascii::starts(charset, b"x-ebcdic")
}

/// Code pages of EBCDIC.
const EBCDIC: &[&str] = &[
    "037", "038", "1026", "1047", "1140", "1141", "1142", "1143", "1144", "1145", "1146", "1147", "1148",
    "1149", "273", "274", "275", "277", "278", "280", "281", "284", "285", "290", "297", "420", "423", "424",
    "500", "870", "871", "875", "880", "905", "918", "930", "933", "935", "937", "939",
];

/// Beginnings of the charsets that are in use (WHATWG Encoding, section 4.2), however they are written.
fn is_known(charset: &[u8]) -> bool {
    const KNOWN: &[&str] = &[
        "utf-8",
        "utf8",
        "utf-16",
        "utf16",
        "utf-32",
        "us-ascii",
        "ascii",
        "latin",
        "iso",
        "windows-",
        "cp",
        "ibm",
        "macintosh",
        "mac",
        "x-mac",
        "koi8",
        "gb",
        "big5",
        "euc-",
        "shift",
        "sjis",
        "ms_kanji",
        "x-sjis",
        "ks_c",
        "ksc",
        "tis-620",
        "unicode",
        "ansi",
        "binary",
        "hz-",
        "johab",
        "viscii",
        "l1",
        "csiso",
        "x-",
    ];
    // `charset=utf-8,application/json` and `UTF-8"`: mistakes of honest programs.
    let exact = if ascii::starts(charset, b"utf") {
        let number: Vec<u8> = charset.iter().copied().filter(u8::is_ascii_digit).take(4).collect();
        matches!(number.as_slice(), b"8" | b"16" | b"32" | b"84") // `utf8mb4`
    } else {
        true
    };
    exact && KNOWN.iter().any(|known| ascii::starts(charset, known.as_bytes()))
}

/// `text/html;charset=CP1026` in `Accept`.
fn asks_hidden(value: &[u8]) -> bool {
    let mut parameters = value.split(|byte| matches!(byte, b';' | b','));
    let ends_name = |at: usize| at > 0 && matches!(value.get(at - 1), Some(b't' | b'T'));
    memchr::memchr_iter(b'=', value).any(ends_name)
        && memchr::memchr(b';', value).is_some()
        && parameters.any(|parameter| {
            let quotes = |byte: &u8| matches!(byte, b'"' | b' ');
            let charset = ascii::strip(parameter.trim_ascii(), b"charset=").unwrap_or_default();
            let start = charset.iter().position(|byte| !quotes(byte)).unwrap_or(charset.len());
            let charset = charset.get(start..).unwrap_or_default();
            let charset = charset.strip_suffix(b"\"").unwrap_or(charset);
            hides(charset) || ascii::starts(charset, b"utf-16") || ascii::starts(charset, b"utf-32")
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sure(judged: Judged) -> Option<Confidence> {
        judged.map(|(_, confidence)| confidence)
    }

    #[test]
    fn a_type_or_a_charset_that_hides_the_body_is_an_attack() {
        let attacks: &[&str] = &[
            "application/x-www-form-urlencoded; charset=utf-7",
            "text/plain;charset=IBM037",
            "text/xml; charset=\"cp1047\"",
            "application/json; charset=ibm500",
            "application/x-www-form-urlencoded; charset=utf-8; charset=UTF-7",
            "application/x-www-form-urlencoded; charset=ibm037; charset=utf-8",
            "application/x-www-form-urlencoded; x=\"application/json\"",
            "application/x-www-form-urlencoded;boundary=text/xml",
            "multipart/form-data; boundary=\"application/x-www-form-urlencoded\"",
            "multipart/form-data; boundary=\"charset=utf-7\"",
            "multipart/; boundary=0",
            "multipart/foo; boundary=0",
            "Multipart/Form-Dat; boundary=\"a\"",
        ];
        for value in attacks {
            assert_eq!(sure(content_type(value.as_bytes())), Some(High), "{value}");
        }
        let benign: &[&str] = &[
            "application/json",
            "application/json; charset=utf-8",
            "application/json;charset=UTF-8;",
            "application/json; charset=utf-8; charset=utf-8",
            "application/json; charset=utf-8, application/json",
            "text/plain; charset=utf8mb4",
            "application/x-www-form-urlencoded; charset=UTF-8",
            "application/x-www-form-urlencoded; charset=windows-1251",
            "application/x-www-form-urlencoded; charset=Shift_JIS",
            "text/html; charset=iso-8859-15",
            "text/html; charset=cp1252",
            "text/html; charset=IBM866",
            "text/plain; charset=utf-16le",
            "application/soap+xml; charset=utf-8; action=\"http://example.org/a\"",
            "multipart/related; type=\"application/xop+xml\"; boundary=\"uuid:1\"; start-info=\"text/xml\"",
            "multipart/form-data; boundary=----WebKitFormBoundaryAbc/text",
            "multipart/form-data; boundary=\"=_application/x\"",
            "multipart/signed; protocol=\"application/pgp-signature\"; boundary=a",
            "application/json; profile=\"https://example.org/p\"",
            "application/json; odata.metadata=minimal",
            "text/csv; header=present; charset=",
            "multipart/mixed; boundary=a",
            "Multipart/X-Mixed-Replace; boundary=a",
            "multipart/vnd.example; boundary=a",
            "multipart/foo",
            "multipart/foo; boundary=",
            "a;b;c",
            ";",
        ];
        for value in benign {
            assert_eq!(sure(content_type(value.as_bytes())), None, "{value}");
        }
        for value in ["text/plain; charset=none", "text/plain; charset=utf-80"] {
            assert_eq!(sure(content_type(value.as_bytes())), Some(Medium), "{value}");
        }
    }

    #[test]
    fn ranges_that_make_a_server_work_and_cookies_that_swallow_others_are_attacks() {
        let attacks: &[(&str, &str)] = &[
            ("Range", "bytes=0-,5-0,5-1,5-2,5-3"),
            ("range", "bytes=0-9,0-9,0-9,0-9,0-9,0-9"),
            ("Request-Range", "bytes=0-1"),
            ("request-range", ""),
            ("Accept", "text/html;q=0.9;charset=\"CP1026\", */*;q=0.8"),
            ("Accept", "text/html;charset=\"iso-8859-1\",*/*;q=0.8;charset=utf-16"),
            ("Cookie", "$Version=1; a=\"b; session=secret; c=d\""),
            ("cookie", "$Version=1; a=\\\"b; session=secret; c=d\\\""),
        ];
        for (name, value) in attacks {
            assert_eq!(sure(field(name.as_bytes(), value.as_bytes())), Some(High), "{name}: {value}");
        }
        let benign: &[(&str, &str)] = &[
            ("Range", "bytes=0-1023"),
            ("Range", "bytes=-500"),
            ("Range", "bytes=0-"),
            ("Range", "bytes=0-9,20-29,40-49,60-69,80-89,-10"),
            ("Range", "bytes=9-0"),
            ("Range", "items=0-24"),
            ("Range", "bytes=,,,,,,"),
            ("Cookie", "a=b; session=\"x\""),
            ("Cookie", "$Version=1; a=\"b\"; $Path=\"/\""),
            ("Cookie", "$Version=0; a=b"),
            ("Cookie", "note=\"open; a=b"),
            ("Accept", "$Version"),
            ("Accept", "text/html;charset=utf-8, application/json;q=0.9"),
        ];
        for (name, value) in benign {
            assert_eq!(sure(field(name.as_bytes(), value.as_bytes())), None, "{name}: {value}");
        }
    }

    #[test]
    fn a_request_for_a_head_that_has_a_body_is_an_attack() {
        let rows: &[(&str, &str, &str, bool)] = &[
            ("HEAD", "Content-Length", "7", true),
            ("HEAD", "transfer-encoding", "chunked", true),
            ("TRACE", "Content-Length", "1", true),
            ("HEAD", "Content-Length", "0", false),
            ("HEAD", "Content-Type", "7", false),
            ("GET", "Content-Length", "7", false),
            ("POST", "Transfer-Encoding", "chunked", false),
        ];
        for (method, name, value, expected) in rows {
            let fields = [(*name, *value)];
            let fields: &[(&str, &str)] = &fields;
            let head =
                Head { method, target: b"/", content_type: None, content_encoding: None, fields: &fields };
            assert_eq!(has_idle_body(&head), *expected, "{method} {name}: {value}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(value in "(bytes=|\\$Version)?[-0-9,;=\" a-z/]{0,60}", name in "Range|Cookie|a") {
            let _ = field(name.as_bytes(), value.as_bytes());
            let _ = content_type(value.as_bytes());
        }
    }
}
