//! NoSQL injection (CWE-943, CAPEC-676): does this value become an operator or code of a document database?
//!
//! `user[$ne]=` and `{"user": {"$ne": null}}` put an operator where the application wants a value: it is told by the
//! name. A string that gets into `$where` or into a document that is put together as text breaks out of its quotes: it
//! goes on with an operator, or with a condition or statement of JavaScript. Sources: manual of MongoDB; OWASP WSTG-INPV-05.6.
//!
//! Called through [`DETECTOR`].

use std::sync::LazyLock;

use rasp_policy::class::Class;

use crate::decode::Field;
use crate::detector::{Detector, Needs, Report, Rule};
use crate::finding::Confidence::{self, High, Low, Medium};
use crate::finding::Part;
use crate::marks::{At, Found, Mark, Marks, Place, is_name, lines, rule, surer};
use crate::reason::Reason;
use crate::surroundings::Before;

pub(crate) static DETECTOR: Detector =
    Detector { class: Class::NoSqlInjection, needs: NEEDS, inspect, rules };

const NEEDS: Needs = Needs {
    alone: b"",
    bytes: b"$|&;(",
    needles: &[
        "$eq",
        "$ne",
        "$gt",
        "$lt",
        "$in",
        "$nin",
        "$not",
        "$or",
        "$and",
        "$nor",
        "$regex",
        "$exists",
        "$where",
        "$elemmatch",
        "$expr",
        "$function",
        "$accumulator",
        "$func",
        "$comment",
        "||",
        "&&",
        "return",
        "sleep(",
        "this.",
        "db.",
        "while(",
    ],
};

static NAME: Rule =
    rule("nosql-operator-name", "the name of a parameter puts a database operator where a value belongs");
static KEY: Rule =
    rule("nosql-operator-key", "the key of a member puts a database operator where a value belongs");
static DOCUMENT: Rule =
    rule("nosql-operator", "the value goes on with a database operator where a string belongs");
static CONDITION: Rule =
    rule("nosql-condition", "the value adds a condition of JavaScript whose result is known in advance");
static STATEMENT: Rule =
    rule("nosql-statement", "the value ends a statement of JavaScript and begins another one");
static RECORD: Rule = rule("nosql-record", "the value reads a record or a collection through JavaScript");

static RULES: [&Rule; 6] = [&NAME, &KEY, &DOCUMENT, &CONDITION, &STATEMENT, &RECORD];

static MARKS: &[Mark] = &[
    Mark { word: "$eq", rule: &DOCUMENT, judge: operator },
    Mark { word: "$ne", rule: &DOCUMENT, judge: operator },
    Mark { word: "$gt", rule: &DOCUMENT, judge: operator },
    Mark { word: "$gte", rule: &DOCUMENT, judge: operator },
    Mark { word: "$lt", rule: &DOCUMENT, judge: operator },
    Mark { word: "$lte", rule: &DOCUMENT, judge: operator },
    Mark { word: "$in", rule: &DOCUMENT, judge: operator },
    Mark { word: "$nin", rule: &DOCUMENT, judge: operator },
    Mark { word: "$not", rule: &DOCUMENT, judge: operator },
    Mark { word: "$or", rule: &DOCUMENT, judge: operator },
    Mark { word: "$and", rule: &DOCUMENT, judge: operator },
    Mark { word: "$nor", rule: &DOCUMENT, judge: operator },
    Mark { word: "$regex", rule: &DOCUMENT, judge: operator },
    Mark { word: "$exists", rule: &DOCUMENT, judge: operator },
    Mark { word: "$where", rule: &DOCUMENT, judge: operator },
    Mark { word: "$elemmatch", rule: &DOCUMENT, judge: operator },
    Mark { word: "$expr", rule: &DOCUMENT, judge: operator },
    Mark { word: "$comment", rule: &DOCUMENT, judge: operator },
    Mark { word: "return", rule: &STATEMENT, judge: returns },
    Mark { word: "sleep(", rule: &STATEMENT, judge: sleeps },
    Mark { word: "while(", rule: &STATEMENT, judge: loops },
    Mark { word: "this.", rule: &RECORD, judge: reads_record },
    Mark { word: "db.", rule: &RECORD, judge: reads_collection },
    Mark { word: "||", rule: &CONDITION, judge: condition },
    Mark { word: "&&", rule: &CONDITION, judge: condition },
];

static FOUND: LazyLock<Marks> = LazyLock::new(|| Marks::new(MARKS));

fn rules() -> Vec<Rule> {
    RULES.iter().map(|rule| **rule).collect()
}

fn inspect(field: &Field<'_>, report: &mut Report<'_>) -> Result<(), Reason> {
    let value = field.value;
    let named = match field.part {
        Part::QueryName | Part::FormName => parameter(value),
        Part::JsonKey => key(field.name, value),
        _ => None,
    };
    let found = surer(named, FOUND.find(value, report.budget())?);
    if let Some(found) = found {
        found.report(field, report, |word| {
            matches!(word, b"return" | b"true" | b"false" | b"this" | b"sleep") || is_operator(word)
        });
    }
    Ok(())
}

/// Names without their `$`.
fn is_operator(word: &[u8]) -> bool {
    is_telling(word)
        || matches!(
            word,
            b"eq" | b"gt" | b"gte" | b"lt" | b"lte" | b"in" | b"and" | b"all" | b"size" | b"type" | b"mod"
        )
}

/// Those that documents of other languages do not have as keys.
fn is_telling(word: &[u8]) -> bool {
    matches!(
        word,
        b"ne"
            | b"nin"
            | b"not"
            | b"or"
            | b"nor"
            | b"regex"
            | b"exists"
            | b"where"
            | b"elemMatch"
            | b"func"
            | b"function"
            | b"accumulator"
    )
}

/// `user[$ne]`, `user[name][$gt][]`, `$where`
fn parameter(name: &[u8]) -> Option<Found> {
    let open = memchr::memmem::find(name, b"[$");
    let operator = match open {
        Some(open) => {
            let rest = name.get(open + 2..)?;
            let length = memchr::memchr(b']', rest).filter(|length| *length < 16)?;
            rest.get(..length)?
        }
        None => name.strip_prefix(b"$").filter(|operator| is_telling(operator))?,
    };
    let place = Place { before: Before::new(name).upto(name.len()), lines: lines(name) };
    let confidence = if place.is_word() { High } else { Medium };
    is_operator(operator).then_some(Found {
        rule: &NAME,
        confidence,
        start: open.unwrap_or(0),
        end: name.len(),
    })
}

/// `"$ne"` as the key of a member. Pipelines and filters that an application takes on purpose compare as well, so that
/// only what they seldom have is sure, and what stands where somebody says who he is: nobody asks for a password that
/// is greater than another.
fn key(parent: &[u8], name: &[u8]) -> Option<Found> {
    let operator = name.strip_prefix(b"$")?;
    let confidence = if is_telling(operator) || is_credential(parent) { High } else { Medium };
    is_operator(operator).then_some(Found { rule: &KEY, confidence, start: 0, end: name.len() })
}

/// Names of values that prove who somebody is.
fn is_credential(name: &[u8]) -> bool {
    const NAMES: &[&str] = &[
        "user",
        "username",
        "user_name",
        "userid",
        "user_id",
        "login",
        "email",
        "mail",
        "password",
        "passwd",
        "pass",
        "pwd",
        "passphrase",
        "token",
        "access_token",
        "resettoken",
        "reset_token",
        "apikey",
        "api_key",
        "secret",
        "session",
        "sessionid",
        "sid",
        "otp",
        "pin",
        "code",
        "auth",
        "hash",
        "key",
    ];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// `', $or: [`, `{ $ne: 1 }`, `[$ne]=1`
fn operator(at: &At<'_>) -> Option<Confidence> {
    if at.behind.first().is_some_and(|byte| is_name(*byte)) {
        return None;
    }
    let next = at.next();
    if at.last() == Some(b'[') && next.starts_with(b"]") {
        // `$list[$in] = 1` is PHP.
        let subject = at.near().iter().any(|byte| matches!(byte, b'$' | b'>' | b'(' | b' '));
        // `[$lte]x`: the name of the parameter goes before it.
        if at.before.len() == 1 && at.place.is_word() && next.len() > 1 {
            return Some(High);
        }
        return Some(if next.starts_with(b"]=") && !subject && at.place.is_word() { High } else { Low });
    }
    let next =
        next.strip_prefix(b"\"").or_else(|| next.strip_prefix(b"'")).unwrap_or(next).trim_ascii_start();
    if !next.starts_with(b":") {
        return None;
    }
    let quoted = matches!(at.last(), Some(b'"' | b'\''));
    let before =
        if quoted { at.before.split_last().map_or(&[][..], |(_, before)| before) } else { at.before };
    let dark = before.get(before.len().saturating_sub(16)..).unwrap_or_default().trim_ascii_end().last();
    let starts = matches!(dark, None | Some(b'{' | b',' | b'['));
    // `$in: Int` is a variable of GraphQL.
    let value = next.get(1..).unwrap_or_default().trim_ascii_start();
    let is_value = quoted
        || matches!(value.first(), Some(b'\'' | b'"' | b'[' | b'{' | b'/' | b'-' | b'0'..=b'9'))
        || [&b"true"[..], b"false", b"null"].iter().any(|word| value.starts_with(word));
    // Who writes about it begins with a word.
    let told = at.value.first().is_some_and(u8::is_ascii_alphabetic)
        && !at.place.is_word()
        && !at.value.starts_with(b"true,")
        && !at.value.starts_with(b"false,");
    (starts && is_value).then(|| if told { Medium } else { at.place.lower(High) })
}

/// Before it stands the end of a string or of a value: `'`, `0;`.
fn ends_value(at: &At<'_>) -> bool {
    at.last_dark().is_none_or(|last| matches!(last, b';' | b'}'))
}

/// `;return true`, `';return 'a'=='a`
fn returns(at: &At<'_>) -> Option<Confidence> {
    let next = at.behind.get(..24).unwrap_or(at.behind);
    let value = next.trim_ascii_start();
    let inner = value.strip_prefix(b"(").unwrap_or(value).trim_ascii_start();
    let is_constant = [&b"true"[..], b"false", b"1", b"0", b"!0", b"'", b"\"", b"null"]
        .iter()
        .any(|start| inner.starts_with(start));
    let apart = value.len() < next.len() || value.starts_with(b"(");
    if !is_constant || !apart || at.last_dark() != Some(b';') {
        return None;
    }
    // `foo();return true;` is a handler that somebody wrote.
    let called = memchr::memchr2(b'(', b'{', at.near()).is_some();
    Some(if at.place.is_word() && !called { High } else { Medium })
}

/// `';sleep(5000);`
fn sleeps(at: &At<'_>) -> Option<Confidence> {
    let digits = at.behind.iter().take(8).take_while(|byte| byte.is_ascii_digit()).count();
    let closed = digits > 0 && at.behind.get(digits) == Some(&b')');
    let called = memchr::memchr(b'(', at.near()).is_some();
    (closed && at.last_dark() == Some(b';') && !called).then(|| at.place.lower_unless_word(High))
}

/// `do{c=new Date();}while(c-d<9999);`, `while(!0);`
fn loops(at: &At<'_>) -> Option<Confidence> {
    let until_now = memchr::memmem::find(at.near(), b"new Date").is_some() && at.last_dark() == Some(b'}');
    let argument = at.behind.iter().take(24).take_while(|byte| **byte != b';').count();
    let argument = at.behind.get(..argument)?.trim_ascii();
    let endless = argument.strip_suffix(b")").is_some_and(|argument| {
        matches!(
            argument,
            b"1" | b"true" | b"Infinity" | b"-Infinity" | b"new Date" | b"!false" | b"new Date()"
        ) || matches!(argument.first(), Some(b'!' | b'+' | b'-'))
            && argument.len() < 6
            && !argument.iter().any(u8::is_ascii_alphabetic)
    });
    // `while(this);`: nothing but a loop with nothing in it.
    let alone = at.before.is_empty()
        && at.value.len() < 32
        && matches!(at.value.trim_ascii_end(), [.., b')', b';'] | [.., b')'])
        && !argument.iter().any(|byte| matches!(byte, b' ' | b'.' | b'-'));
    let endless = endless || alone;
    match (until_now, endless) {
        (true, _) => Some(if at.place.lines < 4 { High } else { Medium }),
        (_, true) => Some(if at.place.is_word() { High } else { Low }),
        _ => None,
    }
}

/// `' && this.password.match(/.*/)`
fn reads_record(at: &At<'_>) -> Option<Confidence> {
    if !at.begins_word() || at.last() == Some(b'.') {
        return None;
    }
    let name = at.behind.iter().take(40).take_while(|byte| is_name(**byte)).count();
    let used = at.behind.get(name..)?;
    let asks = [&b".match("[..], b".length", b"==", b" ==", b"!=", b" !=", b".startsWith(", b"["]
        .iter()
        .any(|start| used.starts_with(start));
    let joined = at.before.trim_ascii_end();
    let joined = joined.ends_with(b"&&") || joined.ends_with(b"||");
    let broken =
        matches!(at.before.first(), Some(b'\'' | b'"')) || memchr::memmem::find(at.near(), b"' ").is_some();
    (name > 0 && asks && joined).then(|| if broken { at.place.lower(High) } else { Medium })
}

/// `db.users.insert(`
fn reads_collection(at: &At<'_>) -> Option<Confidence> {
    const METHODS: &[&[u8]] = &[
        b"insert",
        b"find",
        b"remove",
        b"drop",
        b"update",
        b"mapReduce",
        b"deleteMany",
        b"getCollectionNames",
        b"aggregate",
        b"eval",
        b"count",
    ];
    if !at.begins_word() || at.last() == Some(b'.') {
        return None;
    }
    let name = at.behind.iter().take(48).take_while(|byte| is_name(**byte)).count();
    let word = at.behind.get(..name)?;
    let rest = at.behind.get(name..)?;
    let method = if rest.starts_with(b"(") { word } else { rest.strip_prefix(b".")? };
    let known = METHODS.iter().any(|known| method.starts_with(known));
    let starts = ends_value(at) || matches!(at.last(), Some(b'\'' | b'"'));
    (known && starts).then(|| if at.place.is_word() { High } else { Medium })
}

/// `|| 'a'=='a'`, `&& 1!=2`: both sides are constants. No program asks that.
fn condition(at: &At<'_>) -> Option<Confidence> {
    let next = at.behind.get(..96).unwrap_or(at.behind).trim_ascii_start();
    let rest = constant(next)?.trim_ascii_start();
    let compared = [&b"==="[..], b"!==", b"==", b"!=", b"<=", b">=", b"<", b">"]
        .iter()
        .find_map(|sign| rest.strip_prefix(*sign))?;
    let right = compared.trim_ascii_start().first()?;
    let is_constant = matches!(right, b'\'' | b'"') || right.is_ascii_digit();
    // A value stands before it, or nothing.
    let left = at.last_dark();
    let joins = left
        .is_none_or(|left| is_name(left) || matches!(left, b'\'' | b'"' | b')' | b'*' | b'/' | b']' | b'}'));
    (is_constant && joins).then(|| at.place.lower(High))
}

/// What follows a string or a number.
fn constant(bytes: &[u8]) -> Option<&[u8]> {
    match bytes.split_first()? {
        (quote @ (b'\'' | b'"'), rest) => {
            let length = memchr::memchr(*quote, rest)?;
            rest.get(length + 1..)
        }
        (first, _) if first.is_ascii_digit() => {
            let length = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
            bytes.get(length..)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
