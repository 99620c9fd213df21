//! How sure code is, from what it calls or names, and what stands around it.

use super::Found;
use super::calls::{Call, Callee, First, is_name};
use super::marks::{Kind, Mark};
use super::words::{self, Use};
use crate::ascii;
use crate::decode::Field;
use crate::detector::Rule;
use crate::finding::{Confidence, RuleId};
use crate::surroundings::Around;

const fn rule(id: &'static str, reason: &'static str) -> Rule {
    Rule { id: RuleId(id), reason }
}

static CALL: Rule = rule("code-call", "the value calls a function that runs, reads or tells something");
static VARIABLE: Rule =
    rule("code-variable-call", "the value calls whatever function a variable or a text of PHP names");
static OBJECT: Rule =
    rule("code-object-call", "the value runs a program or code through an object of the language");
static PHP: Rule = rule("code-php", "the value is PHP code in its tags");
static GLOBAL: Rule = rule("code-php-global", "the value reads what PHP knows of the request or the server");
static SETTING: Rule = rule("code-php-setting", "the value changes a setting of PHP that guards what runs");
static PAGE: Rule = rule("code-page", "the value is a page of Java or ASP with code in it");
static NODE: Rule = rule("code-node", "the value reaches for the process or for a constructor of functions");
static PYTHON: Rule = rule("code-python", "the value reaches for the inside of Python's objects");
static RUBY: Rule = rule("code-ruby", "the value makes Ruby run a program");
static JAVA: Rule = rule("code-java", "the value names a class of Java that runs, reads or loads something");

static NUMBER: Rule =
    rule("code-number", "the value is a number that old parsers of Java and PHP never finish to read");

/// Every rule.
pub(super) static RULES: [&Rule; 12] =
    [&CALL, &VARIABLE, &OBJECT, &PHP, &PAGE, &GLOBAL, &SETTING, &NODE, &PYTHON, &RUBY, &JAVA, &NUMBER];

/// What stands around.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub before: Around,
    /// Lines of the value that have something in them.
    pub lines: usize,
    /// The value is that of a parameter, and no piece of a document.
    pub parameter: bool,
}

impl Place {
    /// Neither a document nor a sentence.
    fn is_short(self) -> bool {
        self.before <= Around::Word && self.lines < 4
    }

    fn is_line(self) -> bool {
        self.before <= Around::Words && self.lines < 4
    }
}

pub(super) fn lines(value: &[u8]) -> usize {
    value.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.trim_ascii().is_empty()).count()
}

/// Whether an expression begins behind this byte.
fn breaks_out(last: Option<u8>) -> bool {
    last.is_none_or(|last| {
        matches!(
            last,
            b';' | b'\''
                | b'"'
                | b'{'
                | b'('
                | b'@'
                | b'='
                | b'.'
                | b'|'
                | b'&'
                | b':'
                | b','
                | b'\\'
                | b'!'
                | b'+'
                | b'}'
                | b'`'
        )
    })
}

pub(super) fn judge_call(call: &Call, place: &Place) -> Option<Found> {
    let breaks_out = breaks_out(call.last);
    let expression = call.first == First::Expression;
    let ends = call.next.is_none_or(|next| {
        matches!(
            next,
            b';' | b')' | b'}' | b'.' | b'\'' | b'"' | b'#' | b'/' | b',' | b'|' | b'&' | b'?' | b'[' | b']'
        )
    });
    // Behind a `{`, a `@` or a quote it is put into code, whatever it is.
    let woven =
        call.last.is_some_and(|last| matches!(last, b'{' | b'@' | b'\'' | b'"' | b'.' | b'(' | b'}' | b';'));
    let (rule, confidence) = match call.callee {
        // `$price (16)` may be a remark; with a comment in between it is none.
        Callee::Variable
            if place.is_short()
                && call.closed
                && call.first != First::Other
                && (!call.apart || call.hidden && call.alone && place.parameter) =>
        {
            (&VARIABLE, Confidence::High)
        }
        // `$OO0O0O0 (16)`: names that are made to be confused.
        Callee::Variable if call.scrambled && call.closed && place.is_line() => (&VARIABLE, Confidence::High),
        Callee::Variable => (&VARIABLE, Confidence::Low),
        Callee::Text if call.closed && place.is_line() => (&VARIABLE, Confidence::Certain),
        Callee::Literal
            if call.closed && (place.is_short() || place.is_line() && call.first == First::Expression) =>
        {
            (&VARIABLE, Confidence::High)
        }
        Callee::Text | Callee::Literal => (&VARIABLE, Confidence::Medium),
        Callee::Console if call.alone && place.parameter && place.lines < 2 => (&NODE, Confidence::High),
        Callee::Object
            if (place.is_short() && breaks_out && call.first != First::Other)
                || (place.is_line() && place.lines < 2 && expression) =>
        {
            (&OBJECT, Confidence::High)
        }
        Callee::Object => (&OBJECT, Confidence::Medium),
        // `exec /**/ (x)`
        Callee::Function(Use::Running | Use::Telling | Use::Common)
            if call.hidden && call.closed && call.alone && place.parameter && place.lines < 4 =>
        {
            (&CALL, Confidence::High)
        }
        Callee::Function(Use::Word | Use::Plain)
            if call.remarked && call.closed && call.alone && place.parameter && place.lines < 4 =>
        {
            (&CALL, Confidence::High)
        }
        Callee::Function(Use::Running | Use::Telling)
            if call.remarked && call.closed && place.parameter && place.is_line() =>
        {
            (&CALL, Confidence::High)
        }
        // `intval(foo)`, but `intval()` is how it is named
        Callee::Function(Use::Plain) if call.closed && call.alone && place.parameter && place.lines < 2 => {
            let named = call.first == First::Nothing && !call.hidden;
            (&CALL, if named { Confidence::Medium } else { Confidence::High })
        }
        Callee::Function(Use::Plain) if place.is_short() && woven && expression && call.closed => {
            (&CALL, Confidence::High)
        }
        Callee::Console | Callee::Function(Use::Plain) => return None,
        Callee::Function(Use::Word)
            if call.variable && call.closed && call.alone && place.parameter && place.lines < 2 =>
        {
            (&CALL, Confidence::High)
        }
        Callee::Function(_) if call.statement && expression && call.closed && ends && place.is_line() => {
            (&CALL, Confidence::High)
        }
        // `${system(ls)}`, `".system(id)."`, and nothing else but `system(ls)`
        Callee::Function(Use::Common)
            if woven && call.closed && ends && place.is_short() && call.first == First::Other =>
        {
            (&CALL, Confidence::High)
        }
        Callee::Function(Use::Common) if call.closed && call.alone && !call.apart && place.lines < 2 => {
            (&CALL, Confidence::High)
        }
        Callee::Function(_) if call.backtick && call.last != Some(b' ') && place.is_line() => {
            (&CALL, Confidence::High)
        }
        Callee::Function(Use::Running | Use::Telling) if place.is_short() && ends => {
            (&CALL, Confidence::High)
        }
        Callee::Function(Use::Running | Use::Telling) if place.is_line() && breaks_out && ends => {
            (&CALL, Confidence::High)
        }
        Callee::Function(Use::Running | Use::Telling) => (&CALL, Confidence::Medium),
        Callee::Function(Use::Common) if place.is_short() && breaks_out && expression && ends => {
            (&CALL, Confidence::High)
        }
        Callee::Function(Use::Common)
            if place.is_line() && breaks_out && expression && call.closed && ends =>
        {
            (&CALL, Confidence::High)
        }
        Callee::Function(Use::Common) if place.is_line() && !call.apart => (&CALL, Confidence::Medium),
        Callee::Function(Use::Common) if place.is_line() => (&CALL, Confidence::Low),
        Callee::Function(Use::Word) if place.is_short() && woven && expression && call.closed => {
            (&CALL, Confidence::High)
        }
        Callee::Function(Use::Word) if place.is_short() && expression && call.closed => {
            (&CALL, Confidence::Low)
        }
        Callee::Function(_) => return None,
    };
    Some(Found { rule, confidence, start: call.start, end: call.end })
}

/// `first`: it is one of the first marks. Only they are looked at closely, so that many of them cost little.
pub(super) fn judge_mark(value: &[u8], mark: &Mark, place: &Place, first: bool) -> Option<Found> {
    let behind = value.get(mark.end..).unwrap_or_default();
    let last = mark.start.checked_sub(1).and_then(|last| value.get(last)).copied();
    let text = value.get(mark.start..mark.end).unwrap_or_default();
    let whole = place.before == Around::Nothing && behind.trim_ascii().is_empty();
    let short = |confidence| if place.is_short() { confidence } else { Confidence::Medium };
    let (rule, confidence) = match mark.kind {
        // `name<?`: the tag is open, and what the application writes behind it runs.
        Kind::PhpTag
            if text == b"<?" && behind.is_empty() && place.parameter && last.is_some_and(is_name) =>
        {
            (&PHP, Confidence::High)
        }
        // `echo 1{/php}`: what was open before the value ends.
        Kind::PhpTag if place.parameter && place.is_line() && closes_php(value, mark) => {
            (&PHP, Confidence::High)
        }
        Kind::PhpTag => (&PHP, php(text, behind, place, first)?),
        Kind::Page => {
            (&PAGE, if place.before == Around::Nothing { Confidence::High } else { Confidence::Medium })
        }
        Kind::PhpGlobal if behind.first().is_some_and(|byte| is_name(*byte)) => return None,
        // `$_GET is a superglobal`
        Kind::PhpGlobal
            if behind.first() == Some(&b' ') && behind.get(1).is_some_and(u8::is_ascii_alphabetic) =>
        {
            (&GLOBAL, Confidence::Medium)
        }
        Kind::PhpGlobal => (&GLOBAL, short(Confidence::High)),
        Kind::PhpSetting if behind.trim_ascii_start().starts_with(b"=") => {
            (&SETTING, short(Confidence::High))
        }
        Kind::Module if place.parameter && place.is_short() => (&NODE, Confidence::High),
        Kind::PhpSetting if whole => (&SETTING, Confidence::Low),
        Kind::PhpSetting | Kind::Module => return None,
        Kind::Node
            if last.is_some_and(is_name)
                || (text.last().is_some_and(u8::is_ascii_alphanumeric)
                    && behind.first().is_some_and(|byte| is_name(*byte))) =>
        {
            return None;
        }
        // `process.env.PORT` by itself is what people look for and configure.
        Kind::Node if text == b"process.env" && last.is_none() && behind.first() == Some(&b'.') => {
            (&NODE, Confidence::Medium)
        }
        // `"$1:constructor:constructor"`: the path that React's server followed (CVE-2025-55182).
        Kind::Node if is_flight(value, mark.start) => (&NODE, Confidence::High),
        Kind::Node if place.is_short() => (&NODE, Confidence::High),
        Kind::Python
            if last.is_some_and(|last| matches!(last, b'.' | b'\'' | b'"')) || behind.starts_with(b"(") =>
        {
            (&PYTHON, short(Confidence::High))
        }
        Kind::Node | Kind::Python => {
            (if mark.kind == Kind::Node { &NODE } else { &PYTHON }, Confidence::Medium)
        }
        Kind::Ruby | Kind::JavaClass if last.is_some_and(is_name) => return None,
        Kind::Ruby if place.is_short() && behind.iter().any(|byte| matches!(byte, b'}' | b')')) => {
            (&RUBY, Confidence::High)
        }
        Kind::Ruby => (&RUBY, Confidence::Low),
        // Named in a sentence it is talked about.
        Kind::JavaClass => {
            let whole = behind.trim_ascii().is_empty() && is_qualified(value, mark.start);
            let is_used =
                whole || matches!(behind.trim_ascii_start(), [b'(' | b'.' | b'"' | b'\'' | b')', ..]);
            (&JAVA, if is_used && place.is_line() { Confidence::High } else { Confidence::Medium })
        }
        Kind::JavaName if last.is_some_and(|last| is_name(last) || last == b'.' || last == b'/') => {
            return None;
        }
        Kind::JavaName => (&JAVA, java(text, whole)?),
        Kind::Number => (&NUMBER, number(value, behind)?),
    };
    Some(Found { rule, confidence, start: mark.start, end: mark.end })
}

/// Whether a tag ends what the value did not begin.
fn closes_php(value: &[u8], mark: &Mark) -> bool {
    let text = value.get(mark.start..mark.end).unwrap_or_default();
    let before = value.get(..mark.start).unwrap_or_default();
    let opens = ascii::contains(before, b"[php]") || ascii::contains(before, b"{php}");
    matches!(text, [b'[' | b'{', b'/' | b'\\', ..]) && !opens
}

/// Whether nothing but the package of a class stands before its name.
fn is_qualified(value: &[u8], at: usize) -> bool {
    let before = value.get(..at).unwrap_or_default();
    let is_package = |byte: &u8| is_name(*byte) || *byte == b'.';
    let is_around = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'\'' | b'"');
    let package = before.iter().rev().take_while(|byte| is_package(byte)).count();
    before.iter().take(before.len() - package).all(is_around)
}

/// `'sys' . 'tem'`, `"ev"+"al"`: texts that are the name of a function together. Nobody writes it so who may name it.
pub(super) fn assembled(value: &[u8]) -> Option<Found> {
    memchr::memchr2_iter(b'.', b'+', value).take(MOST_JOINTS).find_map(|joint| {
        let left = value.get(..joint)?.trim_ascii_end();
        let (quote, inside) = left.split_last().filter(|(quote, _)| matches!(quote, b'\'' | b'"'))?;
        let length = inside.iter().rev().take_while(|byte| is_name(**byte)).count();
        let start = inside.len().checked_sub(length + 1)?;
        if length == 0 || inside.get(start) != Some(quote) {
            return None;
        }
        let mut name = inside.get(start + 1..)?.to_ascii_lowercase();
        let mut rest = value.get(joint..)?;
        while let [b'.' | b'+', behind @ ..] = rest.trim_ascii_start()
            && let Some((quote @ (b'\'' | b'"'), piece)) = behind.trim_ascii_start().split_first()
        {
            let length = piece.iter().take_while(|byte| is_name(**byte)).count();
            if length == 0 || piece.get(length) != Some(quote) || name.len() + length > LONGEST_ASSEMBLED {
                break;
            }
            name.extend(piece.get(..length)?.iter().map(u8::to_ascii_lowercase));
            rest = piece.get(length + 1..)?;
        }
        let runs = matches!(words::find(&name), Some(Use::Running | Use::Telling | Use::Common));
        let end = value.len() - rest.len();
        runs.then_some(Found { rule: &VARIABLE, confidence: Confidence::High, start, end })
    })
}

/// Joints that are looked at, and bytes of the longest name that is known.
const MOST_JOINTS: usize = 32;
const LONGEST_ASSEMBLED: usize = 32;

/// Whether `$1:`, with names between colons, stands before a place.
fn is_flight(value: &[u8], at: usize) -> bool {
    let before = value.get(at.saturating_sub(48)..at).unwrap_or_default();
    let is_path = |byte: &u8| is_name(*byte) || *byte == b':';
    let length = before.iter().rev().take_while(|byte| is_path(byte)).count();
    let (rest, path) = before.split_at_checked(before.len() - length).unwrap_or((&[], &[]));
    rest.ends_with(b"$") && path.first().is_some_and(u8::is_ascii_hexdigit) && path.ends_with(b":")
}

/// `${'a'}`, `$ {a}`, and nothing else: a variable of PHP whose name is computed, or is written as nobody writes it.
pub(super) fn computed_name(value: &[u8]) -> Option<Found> {
    let text = value.trim_ascii();
    let rest = text.strip_prefix(b"$")?;
    let inside = rest.trim_ascii_start().strip_prefix(b"{")?.strip_suffix(b"}")?;
    let is_apart = rest.first().is_some_and(u8::is_ascii_whitespace);
    let is_computed = matches!(inside.trim_ascii_start().first(), Some(b'\'' | b'"' | b'$' | b'@'));
    let ends = !inside.iter().any(|byte| matches!(byte, b'{' | b'}' | b';'));
    (text.len() < 96 && ends && (is_apart || is_computed)).then_some(Found {
        rule: &VARIABLE,
        confidence: Confidence::High,
        start: 0,
        end: value.len(),
    })
}

/// What a page that is uploaded to be run does: it reads the request, runs something, or removes itself.
const ARMED: &[&[u8]] = &[
    b"$_",
    b"eval",
    b"system",
    b"exec",
    b"passthru",
    b"base64_decode",
    b"__FILE__",
    b"phpinfo",
    b"md5",
    b"assert",
    b"include",
];

/// Code in tags, unless it is a document that XML declares or that somebody wrote about PHP.
fn php(text: &[u8], behind: &[u8], place: &Place, first: bool) -> Option<Confidence> {
    if text != b"<?" {
        return Some(if place.is_short() { Confidence::High } else { Confidence::Medium });
    }
    let is = |name: &[u8]| ascii::starts(behind, name);
    let is_tag = is(b"php") && !behind.get(3).is_some_and(|byte| is_name(*byte)) || is(b"=");
    // `<?xml version=` declares a document.
    let says = |name: &[u8]| ascii::starts(behind.trim_ascii_start(), name);
    let blank = matches!(behind.first(), Some(b' ' | b'\t' | b'\n' | b'\r' | b'$' | b'@'));
    let is_short_tag = blank
        && (says(b"echo")
            || says(b"php")
            || says(b"print")
            || behind.iter().take(64).any(|byte| matches!(byte, b';' | b'(' | b'$' | b'?')));
    let is_odd = is(b"xml") && behind.get(3..).is_some_and(|rest| rest.trim_ascii_start().starts_with(b":"));
    if !(is_tag || is_short_tag || is_odd) {
        return None;
    }
    let near = behind.get(..1024).unwrap_or(behind);
    let is_armed = first && ARMED.iter().any(|name| memchr::memmem::find(near, name).is_some());
    Some(match place.before {
        Around::Nothing | Around::Word if place.lines < 4 => {
            if is_armed {
                Confidence::Certain
            } else {
                Confidence::High
            }
        }
        Around::Nothing if is_armed && place.lines < 12 => Confidence::High,
        Around::Words if is_armed && place.lines < 4 => Confidence::High,
        _ => Confidence::Medium,
    })
}

/// 2.2250738585072011e-308 and its other spellings (CVE-2010-4476, CVE-2010-4645), and nothing else.
fn number(value: &[u8], behind: &[u8]) -> Option<Confidence> {
    let is_part = |byte: &u8| byte.is_ascii_digit() || b".eE+-".contains(byte);
    let is_number = value.trim_ascii().iter().all(is_part);
    let is_it = behind.starts_with(b"11") || behind.starts_with(b"12");
    let exponent = memchr::memchr2(b'e', b'E', behind).and_then(|at| behind.get(at + 1..))?;
    (is_number && is_it && exponent.starts_with(b"-3")).then_some(Confidence::High)
}

/// Whether the value is but named: in a search, or where the name of a type is asked for.
pub(super) fn is_said(field: &Field<'_>, rule: &Rule) -> bool {
    let text = field.value.trim_ascii();
    let is_type = |name: &[u8]| ascii::contains(name, b"type") || ascii::contains(name, b"class");
    match rule.id {
        id if id == JAVA.id => {
            !text.contains(&b'(') && field.is_sought() || is_data(text) && is_type(field.name)
        }
        id if id == CALL.id || id == NODE.id => {
            let is_module = text.starts_with(b"require(") && memchr::memmem::find(text, b"process").is_none();
            let is_one = memchr::memchr2_iter(b'(', b'[', text).count() == 1 && text.ends_with(b")");
            (is_module || text.starts_with(b"console.")) && is_one && field.is_sought()
        }
        _ => false,
    }
}

/// Classes that hold a value: mappings, serializers and tools for databases name them, and nothing runs through them.
fn is_data(name: &[u8]) -> bool {
    const CLASSES: &[&[u8]] = &[
        b"String",
        b"Integer",
        b"Long",
        b"Short",
        b"Byte",
        b"Double",
        b"Float",
        b"Boolean",
        b"Character",
        b"Number",
        b"Enum",
        b"Record",
        b"Iterable",
        b"Comparable",
    ];
    name.strip_prefix(b"java.lang.").is_some_and(|class| CLASSES.contains(&class))
}

/// The name of a class by itself. Stack traces and imports have many, and sentences.
fn java(text: &[u8], whole: bool) -> Option<Confidence> {
    const PACKAGES: &[&[u8]] = &[
        b"java.lang.",
        b"java.io.",
        b"javax.script.",
        b"java.beans.",
        b"java.rmi.",
        b"java.util.zip.",
        b"javassist",
        b"com.opensymphony.",
        b"com.sun.org.apache",
        b"com.sun.rowset",
        b"com.sun.jndi",
        b"org.omg.",
        b"sun.reflect",
        b"javax.naming",
        b"javax.management",
    ];
    let is_fault = [&b"Exception"[..], b"Error", b"Throwable"]
        .iter()
        .any(|name| memchr::memmem::find(text, name).is_some());
    let reaches = PACKAGES.iter().any(|package| text.starts_with(package));
    match (whole, reaches && !is_fault) {
        // The name of a library, as people search for it and builds declare it.
        (true, true) if !text.contains(&b'.') => Some(Confidence::Medium),
        (true, true) => Some(Confidence::High),
        (false, true) => Some(Confidence::Low),
        _ => None,
    }
}
