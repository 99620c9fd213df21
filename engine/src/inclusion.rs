//! File inclusion (CWE-98, CAPEC-193): does this value make a program load code or a file through a wrapper of its
//! language, or from another host? Sources: PHP manual, "Supported Protocols and Wrappers"; RFC 2397; RFC 8089.
//!
//! A wrapper as the whole value is an attack; in a text it is said, not used. An address of a page is ordinary: only a
//! parameter that names a file to load, with the address of a script, is not.

use crate::ascii;
use rasp_policy::class::Class;

use crate::decode::Field;
use crate::detector::{Detector, Evidence, Needs, Report, Rule};
use crate::finding::Confidence::{self, Certain, High, Low, Medium};
use crate::finding::{Part, RuleId};
use crate::mask;
use crate::path::{targets, units};
use crate::reason::Reason;
use crate::ssrf::Address;

pub(crate) static DETECTOR: Detector = Detector { class: Class::FileInclusion, needs: NEEDS, inspect, rules };

const NEEDS: Needs = Needs {
    alone: b"",
    bytes: b":.",
    needles: &[
        "php:",
        "expect:",
        "zip:",
        "phar:",
        "rar:",
        "glob:",
        "ogg:",
        "ssh2",
        "compress.",
        "data:",
        "file:",
        "convert.",
        "input:",
        "http:/",
        "https:/",
        "ftp:/",
        "ftps:/",
        "smb:/",
        "//",
    ],
};

const WRAPPER: Rule = Rule {
    id: RuleId("file-wrapper"),
    reason: "the value makes PHP read, decode or run something through a wrapper",
};
const DATA: Rule = Rule { id: RuleId("file-data"), reason: "the value is a data address that holds code" };
const LOCAL: Rule =
    Rule { id: RuleId("file-local"), reason: "the value is the address of a file of the host" };
const REMOTE: Rule = Rule {
    id: RuleId("file-remote"),
    reason: "the value makes the application load a file from another host",
};

fn rules() -> Vec<Rule> {
    vec![WRAPPER, DATA, LOCAL, REMOTE]
}

fn inspect(field: &Field<'_>, report: &mut Report<'_>) -> Result<(), Reason> {
    report.budget().work(field.value.len())?;
    let blanks = field.value.iter().take_while(|byte| **byte <= b' ').count();
    let Some(text) = field.value.get(blanks..) else { return Ok(()) };
    let Some((rule, confidence)) = judge(field, text.trim_ascii_end()) else { return Ok(()) };
    let end = field.value.len().min(blanks + 128);
    let sample = mask::sample(field.value.get(blanks..end).unwrap_or_default(), is_word);
    report.find(field, Evidence { rule, confidence, at: blanks..end, sample });
    Ok(())
}

fn is_word(word: &[u8]) -> bool {
    let words: &[&str] = &[
        "php", "filter", "input", "expect", "zip", "phar", "data", "file", "http", "https", "convert",
        "base64", "resource",
    ];
    words.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

fn judge(field: &Field<'_>, text: &[u8]) -> Option<(Rule, Confidence)> {
    let is_name = matches!(field.part, Part::QueryName | Part::FormName | Part::JsonKey);
    if field.part == Part::Text {
        return None;
    }
    let text = after_start(text, b"url:").unwrap_or(text);
    let found = wrapper(text).or_else(|| data(text)).or_else(|| local(field.part, text));
    if let Some((rule, confidence)) = found {
        return Some((rule, if is_name { confidence.min(Medium) } else { confidence }));
    }
    if matches!(field.part, Part::Query | Part::Form) { remote(field.name, text) } else { None }
}

fn after_start<'a>(text: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(start.len())?;
    head.eq_ignore_ascii_case(start).then_some(rest)
}

/// Bytes of which none is blank or belongs to the text around an address.
fn is_one(text: &[u8]) -> bool {
    !text.iter().any(|byte| *byte <= b' ' && *byte != 0)
}

fn wrapper(text: &[u8]) -> Option<(Rule, Confidence)> {
    let found = |confidence| Some((WRAPPER, confidence));
    if let Some(rest) = after_start(text, b"php://") {
        let known: &[&[u8]] =
            &[b"filter", b"input", b"stdin", b"fd", b"memory", b"temp", b"output", b"stdout", b"stderr"];
        let is_known = known.iter().any(|known| after_start(rest, known).is_some());
        return match is_known {
            true if is_one(text) => found(Certain),
            true => found(High),
            false => found(Medium),
        };
    }
    if let Some(rest) = after_start(text, b"expect://") {
        return if rest.is_empty() { found(Medium) } else { found(High) };
    }
    let starts: &[&[u8]] = &[
        b"zip://",
        b"phar://",
        b"rar://",
        b"glob://",
        b"ogg://",
        b"ssh2.",
        b"compress.zlib://",
        b"compress.bzip2://",
        b"input://",
    ];
    if let Some(rest) = starts.iter().find_map(|start| after_start(text, start)) {
        return if !rest.is_empty() && is_one(text) { found(High) } else { found(Medium) };
    }
    // A part of a chain of filters, which an application puts behind `php://`.
    let chain = after_start(text, b"convert.")?;
    let is_filter = after_start(chain, b"iconv.").is_some() || after_start(chain, b"base64-").is_some();
    (is_filter && is_one(text)).then_some((WRAPPER, High))
}

/// `data://` is for PHP alone, `data:` is for everybody.
fn data(text: &[u8]) -> Option<(Rule, Confidence)> {
    let rest = after_start(text, b"data:")?;
    if let Some(rest) = rest.strip_prefix(b"//") {
        return Some((
            DATA,
            if memchr::memchr(b',', rest).is_some() || after_start(rest, b"text").is_some() {
                High
            } else {
                Medium
            },
        ));
    }
    let comma = memchr::memchr(b',', rest.get(..96).unwrap_or(rest))?;
    let head = rest.get(..comma).filter(|head| is_one(head))?;
    let body = rest.get(comma + 1..)?;
    let body = body.get(..256).unwrap_or(body);
    let is_code = body.windows(2).any(|two| two == b"<?" || two == b"<%");
    // `<?` in base64.
    let is_encoded =
        body.trim_ascii_start().starts_with(b"PD9") || body.trim_ascii_start().starts_with(b"PD8");
    let is_text = after_start(head, b"image").is_none()
        && after_start(head, b"application/xml").is_none()
        && after_start(head, b"text/xml").is_none();
    let is_script = is_code && body.windows(5).any(|five| five.eq_ignore_ascii_case(b"<?xml"));
    (is_text && !is_script && (is_code || is_encoded)).then_some((DATA, High))
}

fn local(part: Part, text: &[u8]) -> Option<(Rule, Confidence)> {
    let rest = after_start(text, b"file:")?;
    if !is_one(text.get(..128).unwrap_or(text)) && !text.ends_with(b" ") {
        return None;
    }
    let name = units::name(rest);
    // `file:///`: the list of the root.
    if text.eq_ignore_ascii_case(b"file:///") && matches!(part, Part::Query | Part::Form) {
        return Some((LOCAL, High));
    }
    if name.bytes().is_empty() || !rest.starts_with(b"/") && !rest.starts_with(b"\\") {
        return None;
    }
    let is_host = rest.starts_with(b"//") && !rest.starts_with(b"///") && !units::is_rooted(rest.get(2..)?);
    let confidence = match targets::find(name.bytes()) {
        Some(targets::Target::Secret) => Certain,
        // Editors and debuggers name files of the host.
        _ if !part.is_parameter_or_file() => Medium,
        None if is_host => Medium,
        _ => High,
    };
    Some((LOCAL, confidence))
}

/// Words of names of parameters that say which file is loaded, and hardly ever where a page is.
const NAMES: &[&str] = &[
    "page",
    "file",
    "filename",
    "include",
    "inc",
    "template",
    "tpl",
    "path",
    "root",
    "dir",
    "document_root",
    "module",
    "controller",
    "lang",
    "language",
    "theme",
    "skin",
    "style",
    "layout",
    "view",
    "conf",
    "config",
    "class",
    "load",
    "plugin",
    "doc",
    "document",
    "folder",
    "content",
    "cat",
    "section",
    "action",
];

/// Names of variables that PHP once took from a request, and that programs built the path of what they load of:
/// `mosConfig_absolute_path`, `_CONF[path]`, `GLOBALS[root]`.
fn is_global(name: &[u8]) -> bool {
    const STARTS: &[&[u8]] =
        &[b"_conf[", b"_config[", b"_path[", b"_server[", b"_env[", b"_session[", b"globals[", b"mosconfig_"];
    const ENDS: &[&[u8]] = &[b"_absolute_path", b"_root_path", b"_include_path", b"document_root"];
    STARTS.iter().any(|start| ascii::starts(name, start)) || ENDS.iter().any(|end| ascii::ends(name, end))
}

fn remote(name: &[u8], text: &[u8]) -> Option<(Rule, Confidence)> {
    if !is_one(text) || text.len() > 2048 {
        return None;
    }
    let starts: &[&[u8]] = &[b"http://", b"https://", b"ftp://", b"ftps://", b"smb://", b"//", b"\\\\"];
    let start = starts.iter().find(|start| after_start(text, start).is_some())?;
    let address = Address::read(text)?;
    let path = address.path.split(|byte| matches!(byte, b'?' | b'#' | 0)).next().unwrap_or_default();
    let ends: &[&[u8]] = &[
        b".php", b".php3", b".php5", b".phtml", b".asp", b".aspx", b".jsp", b".cfm", b".pl", b".cgi", b".sh",
        b".inc", b".txt", b".dtd",
    ];
    let end_is = |known: &[u8]| path.len() > known.len() && ascii::ends(path, known);
    let is_script = ends.iter().any(|known| end_is(known));
    let is_open =
        text.ends_with(b"?") || text.ends_with(b"?\0") || text.ends_with(b"\0") || text.ends_with(b"%00");
    let is_loaded = name
        .split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
        .any(|word| NAMES.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes())));
    let is_number =
        address.host.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') && !address.host.is_empty();
    let is_of_number = |byte: &u8| byte.is_ascii_hexdigit() || b":[].".contains(byte);
    let is_number = is_number || address.host.contains(&b':') && address.host.iter().all(is_of_number);
    let is_ftp = start.first() == Some(&b'f') || start.first() == Some(&b's');
    let confidence = match () {
        () if is_loaded && (is_script || is_open) || is_global(name) => High,
        () if is_open && is_script => High,
        () if is_number && is_script && path.split(|byte| *byte == b'/').count() < 4 => High,
        () if is_open && is_number || is_ftp && is_loaded => Medium,
        () if is_loaded => Low,
        () => return None,
    };
    Some((REMOTE, confidence))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sure(part: Part, name: &str, value: &[u8]) -> Confidence {
        judge(&Field { part, name: name.as_bytes(), value }, value).map_or(Low, |(_, confidence)| confidence)
    }

    #[test]
    fn wrappers_and_remote_files_are_attacks() {
        let rows: &[(Part, &str, &[u8])] = &[
            (Part::Query, "q", b"php://filter/convert.base64-encode/resource=index"),
            (Part::Json, "q", b"PHP://input"),
            (Part::Query, "q", b"expect://id"),
            (Part::Query, "q", b"zip://a.jpg#b"),
            (Part::Form, "q", b"phar://uploads/a.jpg/b"),
            (Part::Query, "q", b"compress.zlib://http://evil.example/a"),
            (Part::Query, "q", b"convert.iconv.UTF8.CSISO2022KR"),
            (Part::Query, "q", b"data://text/plain;base64,PD9waHA"),
            (Part::Query, "q", b"data:text/plain,<?php phpinfo()?>"),
            (Part::Query, "q", b"data:;base64,PD9waHA"),
            (Part::Json, "q", b"file:///etc/passwd"),
            (Part::Query, "q", b"file:///c:/windows/win.ini"),
            (Part::Query, "q", b"file:///srv/app/main.py"),
            (Part::Query, "q", b"file:///"),
            (Part::Query, "page", b"http://evil.example/shell.txt?"),
            (Part::Query, "_CONF[path]", b"http://evil.example/a.php"),
            (Part::Query, "DOCUMENT_ROOT", b"https://evil.example/?"),
            (Part::Query, "src", b"http://192.0.2.7/crash.php"),
            (Part::Query, "src", b"https://[2001:db8::7]/crash.php"),
            (Part::Query, "GLOBALS[root]", b"http://evil.example/"),
            (Part::Query, "mosConfig_live_site", b"ftp://evil.example"),
            (Part::Form, "phpbb_root_path", b"https://evil.example/a"),
            (Part::Query, "q", b"php://stderr"),
        ];
        for (part, name, value) in rows {
            assert!(sure(*part, name, value) >= High, "{name}={}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn addresses_and_texts_about_wrappers_are_ordinary() {
        let rows: &[(Part, &str, &[u8])] = &[
            (Part::Form, "q", b"read it from php://input in the handler"),
            (Part::Form, "q", b"data:image/png;base64,iVBORw0KGgo="),
            (Part::Form, "q", b"data:text/plain,hello"),
            (Part::Form, "q", b"data:image/svg+xml,<?xml version='1.0'?><svg/>"),
            (Part::Form, "q", b"data: 3, <?"),
            (Part::Json, "uri", b"file:///home/a/src/main.ts"),
            (Part::Form, "q", b"file: a.txt"),
            (Part::Query, "url", b"https://example.org/index.php"),
            (Part::Query, "next", b"https://example.org/robots.txt"),
            (Part::Query, "page", b"https://example.org/blog/"),
            (Part::Query, "url", b"https://example.org/search?q=a"),
            (Part::Query, "q", b"what is http://example.org/a.php?"),
            (Part::Query, "q", b"convert.pdf"),
            (Part::Query, "image", b"https://[2001:db8::7]/a/b.png"),
            (Part::Query, "config", b"https://example.org/a/"),
            (Part::Query, "GLOBALS[root]", b"/srv/app"),
            (Part::Form, "site_root", b"https://example.org/"),
            (Part::Form, "q", b"php://example"),
            (Part::Query, "q", b"zip: 12345"),
            (Part::Query, "q", b"// a comment"),
        ];
        for (part, name, value) in rows {
            assert!(sure(*part, name, value) < High, "{name}={}", String::from_utf8_lossy(value));
        }
    }
}
