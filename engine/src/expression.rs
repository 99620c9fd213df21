//! Expression languages and JNDI (CWE-917): would a lookup of Log4j, OGNL, SpEL, EL or MVEL evaluate this value?
//!
//! Lookups are evaluated as Log4j does, nested ones first, so that `${${lower:j}ndi:` is what it becomes. The other
//! languages are told by what they have for reaching classes: `@java.lang.Runtime@`, `#_memberAccess`, `T(java...)`,
//! `class.module.classLoader`. Sources: the manuals of Log4j, OGNL and SpEL; CVE-2021-44228, CVE-2017-5638,
//! CVE-2022-22965.
//!
//! In reading order: `lookup`, then the marks below. Called through [`DETECTOR`].

use std::sync::LazyLock;

use rasp_policy::class::Class;

use crate::ascii;
use crate::budget::Budget;
use crate::decode::Field;
use crate::detector::{Detector, Needs, Report, Rule};
use crate::finding::Confidence::{self, Certain, High, Low, Medium};
use crate::marks::{At, Found, Mark, Marks, Place, is_name, lines, rule, surer};
use crate::reason::Reason;
use crate::surroundings::Before;

mod lookup;

pub(crate) static DETECTOR: Detector =
    Detector { class: Class::ExpressionInjection, needs: NEEDS, inspect, rules };

const NEEDS: Needs = Needs {
    alone: b"",
    bytes: b"$#@.(:[",
    needles: &[
        "${",
        "_memberaccess",
        "@java.lang.",
        "@java.util.",
        "@ognl.",
        "@org.apache.",
        "#context",
        "#this.",
        "#parameters.",
        "(#",
        "t(java",
        "t(org.",
        "t(javax",
        "t (java",
        "class.module.classloader",
        "class.classloader",
        "class['classloader']",
        "class[classloader]",
        "new java.lang.processbuilder",
        "getruntime()",
        "mvel2.sh.shellsession",
        ".forname(",
        "allowstaticmethodaccess",
        "jmx:rmi:///jndi",
        "{jndi:",
        "lbracejndi:",
        "lbrace;jndi:",
        "\\u0023_",
    ],
};

static LOOKUP: Rule = rule("expression-jndi", "the value makes a logger look up a name through JNDI");
static HIDDEN: Rule =
    rule("expression-hidden-lookup", "the value hides the name of a lookup in other lookups");
static OGNL: Rule = rule("expression-ognl", "the value is OGNL that reaches for the context or for a class");
static CLASS: Rule = rule("expression-class", "the value is an expression that reaches for a class of Java");
static LOADER: Rule =
    rule("expression-class-loader", "the value binds to the class loader of a Java application");

static RULES: [&Rule; 5] = [&LOOKUP, &HIDDEN, &OGNL, &CLASS, &LOADER];

static MARKS: &[Mark] = &[
    Mark { word: "jmx:rmi:///jndi", rule: &LOOKUP, judge: line },
    Mark { word: "{jndi:", rule: &LOOKUP, judge: scheme },
    Mark { word: "lbracejndi:", rule: &LOOKUP, judge: scheme },
    Mark { word: "lbrace;jndi:", rule: &LOOKUP, judge: scheme },
    Mark { word: "#_memberaccess", rule: &OGNL, judge: line },
    Mark { word: "\\u0023_memberaccess", rule: &OGNL, judge: line },
    Mark {
        word: "allowstaticmethodaccess",
        rule: &OGNL,
        judge: |at: &At<'_>| Some(if at.place.is_word() { High } else { Medium }),
    },
    Mark { word: "@java.lang.", rule: &OGNL, judge: class_method },
    Mark { word: "@java.util.", rule: &OGNL, judge: class_method },
    Mark { word: "@ognl.", rule: &OGNL, judge: class_method },
    Mark { word: "@org.apache.", rule: &OGNL, judge: class_method },
    Mark {
        word: "#context",
        rule: &OGNL,
        judge: |at: &At<'_>| {
            matches!(at.behind.first(), Some(b'[' | b'.' | b'=')).then(|| at.place.lower_unless_word(High))
        },
    },
    Mark {
        word: "#this.",
        rule: &OGNL,
        judge: |at: &At<'_>| at.behind.starts_with(b"getClass").then(|| at.place.lower(High)),
    },
    Mark { word: "#parameters.", rule: &OGNL, judge: |at: &At<'_>| Some(at.place.lower_unless_word(High)) },
    Mark { word: "(#", rule: &OGNL, judge: assignment },
    Mark { word: "t(java", rule: &CLASS, judge: spring },
    Mark { word: "t (java", rule: &CLASS, judge: spring },
    Mark { word: "t(org.", rule: &CLASS, judge: spring },
    Mark { word: "new java.lang.processbuilder", rule: &CLASS, judge: line },
    Mark { word: "mvel2.sh.shellsession(", rule: &CLASS, judge: line },
    Mark {
        word: "getruntime()",
        rule: &CLASS,
        judge: |at: &At<'_>| at.next().starts_with(b".exec").then(|| at.place.lower(High)),
    },
    Mark {
        word: ".forname(",
        rule: &CLASS,
        judge: |at: &At<'_>| {
            let next = at.next();
            let java = matches!(
                next,
                [b'"' | b'\'', b'j', b'a', b'v', b'a', ..] | [b'\\', b'"' | b'\'', b'j', b'a', ..]
            );
            Some(if java { at.place.lower(High) } else { Low })
        },
    },
    Mark { word: "class.module.classloader", rule: &LOADER, judge: loader },
    Mark { word: "class.classloader", rule: &LOADER, judge: loader },
    Mark { word: "class['classloader']", rule: &LOADER, judge: loader },
    Mark { word: "class[classloader]", rule: &LOADER, judge: loader },
];

static FOUND: LazyLock<Marks> = LazyLock::new(|| Marks::new(MARKS));

fn rules() -> Vec<Rule> {
    RULES.iter().map(|rule| **rule).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "of the type of the table")]
fn line(at: &At<'_>) -> Option<Confidence> {
    Some(at.place.lower(High))
}

/// `$}{jndi:ldap://`, `$&lbracejndi:rmi:`: lookups that are put together by what reads the value before Log4j does.
fn scheme(at: &At<'_>) -> Option<Confidence> {
    const SCHEMES: &[&[u8]] = &[b"ldap", b"rmi:", b"dns:", b"iiop", b"corba", b"nis:", b"nds:", b"http"];
    SCHEMES.iter().any(|known| ascii::starts(at.behind, known)).then(|| at.place.lower_unless_word(High))
}

/// `@java.lang.Runtime@getRuntime()`: annotations and addresses have one `@`.
fn class_method(at: &At<'_>) -> Option<Confidence> {
    let name = at.behind.iter().take(80).take_while(|byte| is_name(**byte) || **byte == b'.').count();
    (at.behind.get(name) == Some(&b'@')).then(|| at.place.lower(High))
}

/// `(#a=@...`, `(#a=new ...`: a link to a section has no `=`.
fn assignment(at: &At<'_>) -> Option<Confidence> {
    let name = at.behind.iter().take(48).take_while(|byte| is_name(**byte)).count();
    let behind = at.behind.get(name..)?;
    let behind = behind.get(..16).unwrap_or(behind).trim_ascii_start();
    let value = behind.strip_prefix(b"=")?.trim_ascii_start();
    let is_value =
        matches!(value.first(), Some(b'@' | b'#' | b'(' | b'\'' | b'"')) || value.starts_with(b"new ");
    (name > 0 && is_value).then(|| at.place.lower(High))
}

/// `T(java.lang.Runtime)`
fn spring(at: &At<'_>) -> Option<Confidence> {
    // `print(java.util...)` ends in a `t` as well.
    let alone = at.begins_word() && at.value.get(at.before.len()) == Some(&b'T');
    alone.then(|| at.place.lower(High))
}

/// The name of a parameter, or its start.
fn loader(at: &At<'_>) -> Option<Confidence> {
    let bound = at.behind.first().is_none_or(|byte| matches!(byte, b'.' | b'[' | b'=' | b'\''));
    (at.begins_word() && bound).then(|| at.place.lower_unless_word(High))
}

fn inspect(field: &Field<'_>, report: &mut Report<'_>) -> Result<(), Reason> {
    if let Some(found) = detect(field.value, report.budget())? {
        found.report(field, report, |word| {
            ["jndi", "lower", "upper", "env", "ldap", "rmi", "dns", "java", "lang", "ognl"]
                .iter()
                .any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
        });
    }
    Ok(())
}

fn detect(value: &[u8], budget: &mut Budget) -> Result<Option<Found>, Reason> {
    let marked = FOUND.find(value, budget)?;
    let Some(first) = memchr::memmem::find(value, b"${") else { return Ok(marked) };
    budget.work(3 * value.len())?;
    let Some(seen) = lookup::find(value, first) else { return Ok(marked) };
    let place = Place { before: Before::new(value).upto(seen.start), lines: lines(value) };
    let (rule, confidence) = match seen.what {
        // Who hides it does not write about it.
        lookup::What::Jndi { hidden: true } => (&LOOKUP, Certain),
        lookup::What::Jndi { hidden: false } if place.is_line() => (&LOOKUP, Certain),
        lookup::What::Jndi { .. } => (&LOOKUP, Medium),
        lookup::What::Letters => (&HIDDEN, High),
    };
    let found = Found { rule, confidence, start: seen.start, end: seen.end };
    Ok(surer(Some(found), marked))
}

#[cfg(test)]
mod tests;
