//! How sure an expression is an attack, from what it has, its delimiters, and what stands around it.

use super::reading::Expression;
use super::spans::{Kind, Span};
use crate::detector::Rule;
use crate::finding::Confidence::{self, Certain, High, Low, Medium};
use crate::marks::{At, Found, Mark, Place, rule};

static ARITHMETIC: Rule =
    rule("template-arithmetic", "the value makes a template engine compute with constants");
static INTERNAL: Rule =
    rule("template-internal", "the value makes a template engine reach for the inside of its language");
static CALL: Rule = rule("template-call", "the value makes a template engine run a program or read a file");
static BUILDING: Rule =
    rule("template-building", "the value makes a template engine put names together out of pieces");
static OBJECT: Rule =
    rule("template-object", "the value makes a template engine print an object of the application");
static DIRECTIVE: Rule =
    rule("template-directive", "the value has a directive of a template engine that runs code");

/// Every rule.
pub(super) static RULES: [&Rule; 6] = [&ARITHMETIC, &INTERNAL, &CALL, &BUILDING, &OBJECT, &DIRECTIVE];

/// Directives that are told by a word.
pub(super) static MARKS: &[Mark] = &[
    Mark {
        word: "freemarker.template.utility",
        rule: &DIRECTIVE,
        judge: |at: &At<'_>| {
            Some(if at.last() == Some(b'"') || at.last() == Some(b'\'') {
                at.place.lower(High)
            } else {
                Medium
            })
        },
    },
    Mark {
        word: "?new()",
        rule: &DIRECTIVE,
        judge: |at: &At<'_>| matches!(at.last(), Some(b'"' | b'\'')).then(|| at.place.lower(High)),
    },
    Mark {
        word: "{php}",
        rule: &DIRECTIVE,
        judge: |at: &At<'_>| {
            let closed =
                memchr::memmem::find(at.behind.get(..4096).unwrap_or(at.behind), b"{/php}").is_some();
            Some(if closed { at.place.lower(High) } else { Medium })
        },
    },
];

pub(super) fn judge(
    span: &Span<'_>,
    expression: &Expression<'_>,
    place: Place,
    first: Place,
    whole: bool,
) -> Option<Found> {
    let found = |rule: &'static Rule, confidence: Confidence| {
        Some(Found { rule, confidence, start: span.start, end: span.end })
    };
    let kind = span.kind;
    let is_printed = matches!(kind, Kind::Braces | Kind::Tag | Kind::Hash | Kind::Page | Kind::Dollar);
    if expression.is_constant() {
        return arithmetic(span, expression, place, whole)
            .and_then(|confidence| found(&ARITHMETIC, confidence));
    }
    if kind == Kind::Brackets || kind == Kind::Razor && !whole {
        return None;
    }
    if expression.internal > 1 && place.is_line() && (expression.danger || first.is_word()) {
        return found(&INTERNAL, Certain);
    }
    if expression.internal > 0 || expression.constructors > 1 {
        // One name may be a coincidence in prose.
        let climbs = expression.internal > 1 && first.is_word();
        return found(&INTERNAL, if climbs { High } else { place.lower(High) });
    }
    if kind == Kind::Perl {
        let runs =
            span.inner.trim_ascii_start().starts_with(b"[") && (runs_perl(span.inner) || expression.danger);
        return runs.then_some(()).and_then(|()| found(&CALL, place.lower(High)));
    }
    if expression.calls_back(span.inner) || expression.danger {
        return found(&CALL, place.lower_unless_word(High));
    }
    if kind == Kind::Page && expression.backtick {
        return found(&CALL, place.lower_unless_word(High));
    }
    if kind == Kind::Tag
        && expression.first == b"import"
        && matches!(expression.second, b"os" | b"subprocess" | b"sys")
    {
        return found(&CALL, place.lower(High));
    }
    if expression.attribute_filter {
        let odd = expression.built > 0
            || expression.escaped
            || memchr::memchr(b'_', span.inner).is_some()
            || memchr::memmem::find(span.inner, b"attr([").is_some()
            || memchr::memmem::find(span.inner, b"attr((").is_some();
        return found(&BUILDING, if odd { place.lower(High) } else { Medium });
    }
    let printing = matches!(expression.first, b"raw" | b"print" | b"echo" | b"if");
    let only_methods = expression.names == expression.members + usize::from(kind == Kind::Tag && printing);
    if is_printed && expression.literal_member && only_methods && expression.names > 0 {
        return found(&BUILDING, if place.is_word() { High } else { Low });
    }
    if matches!(kind, Kind::Braces | Kind::Tag) && place.is_word() && assigns_literal(span.inner) {
        return found(&BUILDING, High);
    }
    if is_printed && expression.built > 0 && expression.escaped {
        return found(&BUILDING, place.lower_unless_word(High));
    }
    object(span, expression, place, whole)
}

fn arithmetic(span: &Span<'_>, expression: &Expression<'_>, place: Place, whole: bool) -> Option<Confidence> {
    let kind = span.kind;
    if kind == Kind::Smarty {
        // `{*99*}`: a comment with nothing but a number, which shows whether it vanishes.
        let inner = span.inner;
        let comment = inner.strip_prefix(b"*").and_then(|inner| inner.strip_suffix(b"*"));
        if comment.is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)) {
            return place.is_line().then_some(High);
        }
        let computes = expression.computed > 0 && memchr::memchr2(b'*', b'~', inner).is_some();
        return (computes && expression.numbers > 1).then_some(if whole { High } else { Low });
    }
    if expression.computed == 0 {
        return (expression.weakly_computed > 0).then_some(if whole { Medium } else { Low });
    }
    let sure = match kind {
        Kind::Razor | Kind::Brackets => whole || kind == Kind::Brackets && place.is_word(),
        _ => place.is_word(),
    };
    Some(match (sure, whole) {
        (true, true) if matches!(kind, Kind::Braces | Kind::Dollar | Kind::Page | Kind::Hash) => Certain,
        (true, _) => High,
        _ => Medium,
    })
}

/// `{%set a={}|int%}`: a number out of nothing.
fn assigns_literal(inner: &[u8]) -> bool {
    [&b"{}|"[..], b"()|", b"[]|"].iter().any(|literal| memchr::memmem::find(inner, literal).is_some())
}

fn runs_perl(inner: &[u8]) -> bool {
    [&b"system"[..], b"System", b"exec", b"CORE::", b"qx", b"`"]
        .iter()
        .any(|name| memchr::memmem::find(inner, name).is_some())
}

/// Objects that engines and frameworks offer, where nothing but the object is printed.
fn object(span: &Span<'_>, expression: &Expression<'_>, place: Place, whole: bool) -> Option<Found> {
    let found =
        |confidence: Confidence| Some(Found { rule: &OBJECT, confidence, start: span.start, end: span.end });
    let (first, second) = (expression.first, expression.second);
    let alone = expression.names == 1 && expression.strings == 0 && expression.numbers == 0;
    match span.kind {
        Kind::Tag if first == b"print" && expression.names == 2 && is_object(second) => {
            found(place.lower(High))
        }
        Kind::Tag if first == b"debug" && alone && whole => found(Medium),
        Kind::Tag if first == b"for" && expression.listed && place.is_word() && names_config(span.inner) => {
            found(High)
        }
        Kind::Braces | Kind::Dollar | Kind::Hash if whole && alone && is_object(first) => {
            found(if span.kind == Kind::Braces && first.len() > 1 { High } else { Medium })
        }
        Kind::Braces if first == b"config" && expression.listed => found(place.lower_unless_word(High)),
        Kind::Braces if first == b"app" && second == b"request" && expression.server => {
            found(place.lower_unless_word(High))
        }
        Kind::Braces if first == b"dump" && span.inner.contains(&b'(') => {
            found(if whole { High } else { Medium })
        }
        Kind::Dollar if whole && alone && is_scope(first) => found(High),
        Kind::Smarty if span.inner.starts_with(b"$smarty.") => found(if whole { High } else { Medium }),
        _ => None,
    }
}

fn names_config(inner: &[u8]) -> bool {
    memchr::memmem::find(inner, b"config.").is_some()
}

fn is_object(name: &[u8]) -> bool {
    matches!(
        name,
        b"request" | b"config" | b"self" | b"session" | b"g" | b"_context" | b"settings" | b"environ"
    )
}

/// Of the Expression Language.
fn is_scope(name: &[u8]) -> bool {
    matches!(
        name,
        b"applicationScope"
            | b"sessionScope"
            | b"requestScope"
            | b"pageContext"
            | b"initParam"
            | b"headerValues"
    )
}
