//! Server-side request forgery (CWE-918, CAPEC-664): does this value send the application to where its sender cannot
//! go? The value is read as a lenient URL library reads it (WHATWG URL 4.4, `inet_aton` for hosts), and the host is
//! resolved without a resolver: numbers in any notation, names that resolve to addresses of their own.
//!
//! Addresses of clusters and of developers are ordinary in configuration (`http://svc.ns.svc`, callbacks to
//! `localhost`): plain ones are hints. Disguise, the metadata of a cloud and protocols that speak to services are not.

use rasp_policy::class::Class;

use crate::ascii;
use crate::decode::Field;
use crate::detector::{Detector, Evidence, Needs, Report, Rule};
use crate::finding::Confidence::{self, Certain, High, Low, Medium};
use crate::finding::{Part, RuleId};
use crate::mask;
use crate::reason::Reason;

pub(crate) mod host;

use host::Host;

pub(crate) static DETECTOR: Detector =
    Detector { class: Class::ServerSideRequestForgery, needs: NEEDS, inspect, rules };

const NEEDS: Needs = Needs {
    alone: b"",
    bytes: b":/",
    needles: &[
        "://",
        "//",
        ":/",
        ":\\",
        "169.254.",
        "metadata.",
        "gopher:",
        "dict:",
        "tftp:",
        "netdoc:",
        "jar:",
        "ldap:",
        "ldaps:",
        "ldapi:",
        "localhost",
        "localdomain",
        "loopback/",
        ".internal/",
        ".local/",
        ".me/",
    ],
};

const METADATA: Rule = Rule {
    id: RuleId("ssrf-metadata"),
    reason: "the value is an address of the metadata of a cloud or an orchestrator",
};
const SCHEME: Rule = Rule {
    id: RuleId("ssrf-scheme"),
    reason: "the value is an address of a protocol that speaks to services inside",
};
const DISGUISED: Rule = Rule {
    id: RuleId("ssrf-disguised"),
    reason: "the value is an address inside that is written to look like another",
};
const REBINDING: Rule = Rule {
    id: RuleId("ssrf-rebinding"),
    reason: "the value names a host that resolves to whatever address its name holds",
};
const CALLBACK: Rule = Rule {
    id: RuleId("ssrf-callback"),
    reason: "the value is an address of a host that tells its owner who asked for it",
};
const INTERNAL: Rule = Rule {
    id: RuleId("ssrf-internal"),
    reason: "the value is an address of this host or of a network inside",
};

const REQUEST: Rule = Rule {
    id: RuleId("ssrf-request"),
    reason: "the value is the first line of a request for another host, as a proxy reads it",
};

fn rules() -> Vec<Rule> {
    vec![METADATA, SCHEME, DISGUISED, REBINDING, CALLBACK, INTERNAL, REQUEST]
}

fn inspect(field: &Field<'_>, report: &mut Report<'_>) -> Result<(), Reason> {
    report.budget().work(field.value.len())?;
    let found = detect(field.part, field.value).or_else(|| {
        let is_named = names_inside(field.value) && is_for_address(field);
        is_named.then_some((INTERNAL, High, 0, field.value.len()))
    });
    let Some((rule, confidence, start, end)) = found else { return Ok(()) };
    let is_fetched = rule.id == INTERNAL.id && confidence == Medium && is_fetched(field);
    let confidence = if is_fetched { High } else { confidence };
    let sample = mask::sample(field.value.get(start..end).unwrap_or_default(), is_word);
    report.find(field, Evidence { rule, confidence, at: start..end, sample });
    Ok(())
}

fn is_word(word: &[u8]) -> bool {
    let words: &[&str] =
        &["http", "https", "gopher", "dict", "ldap", "ftp", "jar", "file", "localhost", "metadata"];
    words.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

fn detect(part: Part, value: &[u8]) -> Option<(Rule, Confidence, usize, usize)> {
    let blanks = value.iter().take_while(|byte| **byte <= b' ').count();
    let text = value.get(blanks..)?.trim_ascii_end();
    let is_one = text.len() <= LONGEST && !text.iter().any(|byte| matches!(byte, b' ' | b'\n' | b'\t'));
    if is_socket(text) {
        return Some((SCHEME, High, blanks, blanks + text.len().min(64)));
    }
    if !is_one && part.is_parameter() && is_request_line(text) {
        return Some((REQUEST, High, blanks, blanks + text.len().min(64)));
    }
    if !is_one || part == Part::Text {
        // A payload of a protocol may hold blanks of its own.
        let (rule, confidence) = protocol(text).filter(|(_, confidence)| *confidence == Certain)?;
        return (part != Part::Text).then_some((rule, confidence, blanks, blanks + text.len().min(64)));
    }
    if part == Part::Path {
        // `/proxy/http://169.254.169.254/`: of the whole path, that is the tail behind a scheme.
        let at = text.windows(3).position(|three| three == b"://")?;
        let start = text.get(..at)?.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let (rule, confidence) = judge(text.get(start..)?)?;
        return (confidence > Medium).then_some((rule, High, blanks + start, blanks + text.len()));
    }
    // Whom a client or a proxy names as host or peer is an address as well, and nothing is fetched from it.
    if part == Part::Header && !text.windows(3).any(|three| three == b"://") {
        return None;
    }
    let (rule, confidence) = judge(text)?;
    let is_name = matches!(part, Part::QueryName | Part::FormName | Part::JsonKey);
    let confidence = if is_name { confidence.min(Medium) } else { confidence };
    Some((rule, confidence, blanks, blanks + text.len()))
}

const LONGEST: usize = 8192;

fn judge(text: &[u8]) -> Option<(Rule, Confidence)> {
    if let Some(found) = protocol(text) {
        return Some(found);
    }
    let address = Address::read(text)?;
    let host = host::read(address.host);
    match host {
        Host::Metadata if address.has_scheme || !address.path.is_empty() => Some((METADATA, Certain)),
        Host::Metadata => Some((METADATA, High)),
        _ if !address.has_scheme => None,
        Host::Disguised => Some((DISGUISED, High)),
        Host::Rebinding => Some((REBINDING, High)),
        Host::Callback => Some((CALLBACK, High)),
        Host::Internal if address.is_deceptive => Some((DISGUISED, High)),
        Host::Internal if is_service(&address) && !is_configured(text) => Some((INTERNAL, High)),
        Host::Internal => Some((INTERNAL, Medium)),
        Host::Cluster => Some((INTERNAL, Low)),
        Host::Other if address.is_deceptive && address.user_is_internal => Some((DISGUISED, High)),
        Host::Other => None,
    }
}

/// `localhost/`, `host.docker.internal/a`: an address without its scheme, of this host or of the one that it runs on.
/// A name alone is what settings have.
fn names_inside(value: &[u8]) -> bool {
    const HERE: &[&str] = &[
        "localhost",
        "localhost.localdomain",
        "localhost4",
        "localhost4.localdomain4",
        "localhost6",
        "localhost6.localdomain6",
        "ip6-localhost",
        "ip6-loopback",
        "ipv6-localhost",
        "ipv6-loopback",
        "host.docker.internal",
        "gateway.docker.internal",
        "kubernetes.docker.internal",
        "host.containers.internal",
    ];
    let Some(slash) = memchr::memchr(b'/', value) else { return false };
    let host = value.get(..slash).unwrap_or_default();
    HERE.iter().any(|known| host.eq_ignore_ascii_case(known.as_bytes()))
        || host::read(host) == Host::Rebinding
}

/// The parameter is for the address of something that the application fetches.
fn is_for_address(field: &Field<'_>) -> bool {
    const NAMES: &[&str] =
        &["url", "uri", "src", "feed", "proxy", "fetch", "link", "endpoint", "remote", "address", "webhook"];
    // Machines of developers, which have no such name anywhere else. No browser is sent there without a scheme.
    const TARGETS: &[&str] =
        &["redirect", "redirect_uri", "redirect_url", "dest", "target", "next", "return"];
    let is = |names: &[&str]| names.iter().any(|known| field.name.eq_ignore_ascii_case(known.as_bytes()));
    let is_container = memchr::memchr(b'/', field.value)
        .and_then(|slash| field.value.get(..slash))
        .is_some_and(|host| ascii::ends(host, b".internal"));
    matches!(field.part, Part::Query | Part::Form | Part::Cookie)
        && (is(NAMES) || is_container && is(TARGETS))
}

/// The parameter is for what the application fetches itself, and it names the host of the application. A browser
/// that is sent back to a developer's machine is named otherwise.
fn is_fetched(field: &Field<'_>) -> bool {
    const NAMES: &[&str] = &[
        "url", "uri", "src", "source", "feed", "proxy", "fetch", "link", "image", "img", "file", "path",
        "page", "load", "host", "endpoint", "server", "remote", "site", "domain", "address", "download",
        "import", "preview",
    ];
    const LOOPBACK: &[&str] = &["127.", "localhost", "[::1]", "0.0.0.0", "[::]"];
    let named = NAMES.iter().any(|known| field.name.eq_ignore_ascii_case(known.as_bytes()));
    let here = Address::read(field.value.trim_ascii())
        .is_some_and(|address| LOOPBACK.iter().any(|start| ascii::starts(address.host, start.as_bytes())));
    matches!(field.part, Part::Query | Part::Form) && named && here
}

/// Ports and paths of services that answer whoever reaches them, and no browser is sent to.
fn is_service(address: &Address<'_>) -> bool {
    const PORTS: &[&str] = &[
        "22", "25", "2375", "2376", "2379", "3306", "5432", "5984", "6379", "6443", "9200", "10250", "10255",
        "11211", "27017",
    ];
    const PATHS: &[&str] =
        &["/server-status", "/2018-06-01/runtime", "/_cat/", "/containers/json", "/actuator/", "/latest/"];
    PORTS.iter().any(|port| port.as_bytes() == address.port)
        || PATHS.iter().any(|path| address.path.starts_with(path.as_bytes()))
}

/// `redis://localhost:6379/0`: a client of that service is told where it is, and nothing else fetches such an address.
fn is_configured(text: &[u8]) -> bool {
    const CLIENTS: &[&[u8]] = &[
        b"redis://",
        b"rediss://",
        b"postgres://",
        b"postgresql://",
        b"mysql://",
        b"mongodb://",
        b"amqp://",
    ];
    CLIENTS.iter().any(|scheme| ascii::strip(text, scheme).is_some())
}

/// Protocols that only few clients speak, and services of many kinds understand.
fn protocol(text: &[u8]) -> Option<(Rule, Confidence)> {
    let text = ascii::strip(text, b"url:").unwrap_or(text);
    let colon = memchr::memchr(b':', text.get(..12).unwrap_or(text))?;
    let (scheme, rest) = text.split_at_checked(colon)?;
    let rest = rest.get(1..)?;
    let is = |known: &str| scheme.eq_ignore_ascii_case(known.as_bytes());
    let has_slashes = rest.starts_with(b"//") && rest.len() > 2;
    let confidence = match () {
        () if is("gopher") && has_slashes => {
            if memchr::memmem::find(rest, b"/_").is_some() {
                Certain
            } else {
                High
            }
        }
        () if is("netdoc") && rest.starts_with(b"/") => High,
        () if (is("dict") || is("tftp") || is("ldapi")) && has_slashes => High,
        () if is("jar")
            && (ascii::strip(rest, b"http").is_some()
                || ascii::strip(rest, b"file:").is_some()
                || ascii::strip(rest, b"ftp").is_some()) =>
        {
            High
        }
        () if (is("ldap") || is("ldaps")) && has_slashes => {
            let address = Address::read(text)?;
            if matches!(host::read(address.host), Host::Internal | Host::Disguised | Host::Metadata) {
                High
            } else {
                Low
            }
        }
        () => return None,
    };
    Some((SCHEME, confidence))
}

/// `unix:a|http://b`: what Apache's `mod_proxy` takes for a socket of this host and for an address (CVE-2021-40438).
fn is_socket(text: &[u8]) -> bool {
    ascii::strip(text, b"unix:").is_some_and(|rest| {
        memchr::memchr(b'|', rest).is_some_and(|at| {
            let behind = rest.get(at + 1..).unwrap_or_default();
            [&b"http://"[..], b"https://", b"ajp://", b"fcgi://"]
                .iter()
                .any(|start| ascii::starts(behind, start))
        })
    })
}

/// `GET http://a.example HTTP/1.1`, and nothing else (RFC 9112 section 3.2.2): it is for a proxy, and where it reaches one
/// behind a line break it is a request of its own.
fn is_request_line(text: &[u8]) -> bool {
    let mut words = text.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return false;
    };
    let digits = ascii::strip(version, b"http/").unwrap_or_default();
    (3..=8).contains(&method.len())
        && method.iter().all(u8::is_ascii_alphabetic)
        && memchr::memmem::find(target, b"://").is_some_and(|at| (3..8).contains(&at))
        && matches!(digits, [b'0'..=b'9'] | [b'0'..=b'9', b'.', b'0'..=b'9'])
}

/// A URL, or the host and path of one.
#[derive(Debug)]
pub(crate) struct Address<'a> {
    pub has_scheme: bool,
    pub host: &'a [u8],
    pub port: &'a [u8],
    pub path: &'a [u8],
    /// A user, or a backslash, stands before the host.
    pub is_deceptive: bool,
    user_is_internal: bool,
}

impl<'a> Address<'a> {
    pub(crate) fn read(text: &'a [u8]) -> Option<Self> {
        let text = ascii::strip(text, b"url:").unwrap_or(text);
        let scheme =
            text.iter().take(16).take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'+').count();
        let colon = text.get(scheme) == Some(&b':')
            && text.get(scheme + 1).is_some_and(|byte| matches!(byte, b'/' | b'\\'));
        let after = if scheme > 0 && colon { text.get(scheme + 1..)? } else { text };
        let slashes = after.iter().take_while(|byte| matches!(byte, b'/' | b'\\')).count();
        let has_scheme = scheme > 0 && colon || slashes > 1;
        if !has_scheme && slashes > 0 {
            return None;
        }
        let rest = after.get(slashes..)?;
        let length =
            rest.iter().position(|byte| matches!(byte, b'/' | b'\\' | b'?' | b'#')).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(length)?;
        let (user, server) = match memchr::memrchr(b'@', authority) {
            Some(at) => (authority.get(..at)?, authority.get(at + 1..)?),
            None => (&b""[..], authority),
        };
        let (host, port) = match (server.first(), memchr::memrchr(b']', server), memchr::memchr(b':', server))
        {
            (Some(b'['), Some(end), _) => (server.get(..=end)?, server.get(end + 2..).unwrap_or_default()),
            (_, _, Some(colon)) => (server.get(..colon)?, server.get(colon + 1..)?),
            _ => (server, &b""[..]),
        };
        let user_is_host = memchr::memchr(b'.', user).is_some();
        // `http://inside:80@good.example` and `http://good.example#@inside`: parsers differ in which one is the host.
        let user_host = user.split(|byte| *byte == b':').next().unwrap_or_default();
        let user_is_internal =
            matches!(host::read(user_host), Host::Internal | Host::Metadata | Host::Disguised);
        Some(Self {
            has_scheme,
            host,
            port,
            path,
            is_deceptive: user_is_host || user_is_internal,
            user_is_internal,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sure(value: &[u8]) -> Confidence {
        detect(Part::Query, value).map_or(Low, |(_, confidence, ..)| confidence)
    }

    #[test]
    fn hosts_of_containers_are_named_without_a_scheme_by_attackers_alone() {
        let rows: &[(Part, &[u8], &[u8], bool)] = &[
            (Part::Cookie, b"redirect", b"host.docker.internal/", true),
            (Part::Query, b"next", b"host.containers.internal/a", true),
            (Part::Query, b"url", b"localhost/", true),
            (Part::Query, b"redirect", b"localhost/", false),
            (Part::Query, b"q", b"host.docker.internal/", false),
            (Part::Query, b"redirect", b"internal/a", false),
            (Part::Query, b"next", b"/host.docker.internal/", false),
        ];
        for (part, name, value, expected) in rows {
            let field = Field { part: *part, name, value };
            assert_eq!(names_inside(value) && is_for_address(&field), *expected, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn addresses_that_only_an_attacker_writes_are_attacks() {
        let rows: &[&str] = &[
            "http://169.254.169.254/latest/meta-data/",
            "169.254.169.254/latest/user-data",
            "http://[fd00:ec2::254]/latest/",
            "http://[::ffff:169.254.169.254]/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://2852039166/latest/",
            "http://0xa9fea9fe/",
            "http://0251.0376.0251.0376/",
            "http://metadata.google.internal/computeMetadata/v1/",
            "http://100.100.100.200/latest/",
            "https://kubernetes.default.svc/api",
            "http://0x7f.1/",
            "http://127.1/admin",
            "http://0/",
            "http://0177.0.0.1/server-status",
            "http://2130706433/",
            "http://[::]:25/",
            "http://[0:0:0:0:0:ffff:127.0.0.1]/",
            "http://127.0.0.1:6379/",
            "http://good.example@127.0.0.1/",
            "http://localhost:443@evil.example/",
            "http://127.0.0.1.nip.io/",
            "http://localtest.me/",
            "http://10-0-0-1.sslip.io/",
            "http://\u{2460}\u{2461}\u{2466}.0.0.1/",
            "http://127\u{3002}0\u{3002}0\u{3002}1/",
            "//169.254.169.254/a",
            "gopher://127.0.0.1:6379/_*1%0d%0a",
            "dict://localhost:11211/stat",
            "netdoc:///etc/passwd",
            "jar:http://evil.example/a.jar!/b",
            "ldap://127.0.0.1:389/a",
            "tftp://evil.example/a",
            "http://a1b2.oastify.com/",
            "https://a1b2.c3.interact.sh",
            "//a1b2.burpcollaborator.net/a",
            "ftp://a1b2.dnslog.cn/a",
            "http://a1b2.oast.example/",
        ];
        for row in rows {
            assert!(sure(row.as_bytes()) >= High, "{row}: {:?}", detect(Part::Query, row.as_bytes()));
        }
        assert!(detect(Part::Path, b"/proxy/http://169.254.169.254/latest").is_some());
        assert!(detect(Part::Header, b"http://169.254.169.254/latest").is_some());
        assert!(detect(Part::Header, b"169.254.169.254").is_none(), "a peer");
    }

    #[test]
    fn addresses_of_developers_and_clusters_are_ordinary() {
        let rows: &[&str] = &[
            "http://localhost:8080/callback",
            "http://127.0.0.1:3000/",
            "http://[::1]:8080/",
            "http://10.0.0.5/hook",
            "redis://localhost:6379/0",
            "postgres://app:secret@127.0.0.1:5432/shop",
            "http://web.shop.svc.cluster.local:8080/hook",
            "http://prometheus:9090/",
            "https://example.org/a?b=http://example.org",
            "https://user@example.org/repo.git",
            "https://1.1.1.1/dns-query",
            "ldap://ldap.example.org",
            "1.2.3.4",
            "127.0.0.1:8081",
            "2130706433",
            "0/",
            "12:30",
            "//cdn.example.org/a.js",
            "a//b",
            "the metadata is at http://169.254.169.254/latest/ of the host",
            "jar: a vessel",
            "dict: {a: b}",
            "postgres://user:secret@db:5432/shop",
            "https://bit.ly/a",
            "https://oast.example/about",
            "https://interact.sh/",
            "https://toast.example/",
            "https://oastify.com.example/",
            "",
        ];
        for row in rows {
            assert!(sure(row.as_bytes()) < High, "{row}: {:?}", detect(Part::Query, row.as_bytes()));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(value in "(http|gopher|jar|[a-z]{0,4})?[:/@\\\\.\\[\\]0-9a-fx]{0,40}.{0,8}") {
            for part in [Part::Query, Part::Path, Part::Json, Part::Text] {
                if let Some((.., start, end)) = detect(part, value.as_bytes()) {
                    prop_assert!(start <= end && end <= value.len());
                }
            }
        }
    }
}
