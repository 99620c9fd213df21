//! What is called at a parenthesis, read from there to the left, and what its arguments are, read to the right.

use super::words::{self, Use};

/// Bytes that are read to each side.
const REACH: usize = 96;

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Callee {
    Function(Use),
    /// `$f(..)`, `$a['b'](..)`, `${@f}(..)`, `$o->$f(..)`: what a variable of PHP holds.
    Variable,
    /// `('system')(..)`, `['system'][0](..)`
    Text,
    /// `'system'(..)`, `"sys"."tem"(..)`
    Literal,
    /// `console.log(`: harmless, and what whoever tries out whether code runs writes first.
    Console,
    /// `os.system(`, `Kernel.exec(`, `.getRuntime().exec(`: through an object that runs programs.
    Object,
}

/// How the arguments begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// `f()`
    Nothing,
    /// A text, a variable, a number, a call, a list: an expression that no sentence has.
    Expression,
    /// A word, or something else.
    Other,
    /// The value ends.
    Open,
}

/// A call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub callee: Callee,
    pub first: First,
    /// A backtick begins the arguments: PHP runs what is in it.
    pub backtick: bool,
    /// A blank stands before the parenthesis, as sentences have it.
    pub apart: bool,
    /// More than one blank does, a line break or a comment: as nobody writes a call or a sentence.
    pub hidden: bool,
    /// A comment does.
    pub remarked: bool,
    /// The arguments begin with a variable of PHP.
    pub variable: bool,
    /// What is called has a name of letters and digits that look alike.
    pub scrambled: bool,
    /// It is what a statement prints: `echo f(..)`.
    pub statement: bool,
    /// The value is nothing else.
    pub alone: bool,
    /// The last byte before it that is no blank.
    pub last: Option<u8>,
    /// It is closed, and this byte follows.
    pub closed: bool,
    pub next: Option<u8>,
    pub start: usize,
    pub end: usize,
}

/// The call whose parenthesis opens at `open`, where it is one that matters.
pub(super) fn call(value: &[u8], open: usize) -> Option<Call> {
    let from = open.saturating_sub(REACH);
    let left = value.get(from..open)?;
    let (callee, length) = callee(left)?;
    let start = open - length;
    let right = value.get(open + 1..).unwrap_or_default();
    let right = right.get(..REACH).unwrap_or(right);
    let trimmed = right.trim_ascii_start();
    let first = match trimmed {
        [] => First::Open,
        [b')', ..] => First::Nothing,
        [b'\'' | b'"' | b'$' | b'`' | b'0'..=b'9' | b'[' | b'@' | b'-' | b'!' | b'&' | b'\\' | b'(', ..] => {
            First::Expression
        }
        rest => {
            let name = rest.iter().take_while(|byte| is_name(**byte)).count();
            match rest.get(name..) {
                Some([b'(' | b'[' | b'.' | b'\'', ..]) if name > 0 => First::Expression,
                _ => First::Other,
            }
        }
    };
    let closer = closer(right);
    let gap = left.get(trim(left).len()..).unwrap_or_default();
    let left_of = value.get(start.saturating_sub(32)..start).unwrap_or_default();
    let before = left_of.trim_ascii_end();
    let next =
        closer.and_then(|at| right.get(at + 1..)).and_then(|rest| rest.trim_ascii_start().first()).copied();
    Some(Call {
        callee,
        first,
        backtick: trimmed.first() == Some(&b'`'),
        variable: matches!(trimmed, [b'$', first, ..] if first.is_ascii_alphabetic() || *first == b'_'),
        scrambled: is_scrambled(trim(value.get(start..open).unwrap_or_default())),
        hidden: gap.len() > 1 || gap.iter().any(|byte| *byte != b' '),
        remarked: gap.iter().any(|byte| matches!(byte, b'/' | b'#')),
        apart: left.last().is_some_and(u8::is_ascii_whitespace)
            && trim(left).last().is_some_and(|byte| is_name(*byte)),
        statement: [&b"echo"[..], b"print"]
            .iter()
            .any(|word| before.len() <= 24 && before.ends_with(word) && before.len() != left_of.len()),
        alone: before.is_empty()
            && closer.is_some()
            && (next.is_none() || (next == Some(b';') && right.len() < REACH)),
        last: before.last().copied(),
        closed: closer.is_some(),
        next,
        start,
        end: open + 1 + closer.map_or(0, |at| at + 1),
    })
}

/// `$OO0O0O`, `$lIl1Il`: as tools that hide code name what they make.
fn is_scrambled(callee: &[u8]) -> bool {
    let Some(name) = callee.strip_prefix(b"$").filter(|name| name.len() > 5) else { return false };
    let [first, ..] = name else { return false };
    let is_of = |set: &[u8]| name.iter().all(|byte| set.contains(byte));
    (is_of(b"Oo0_") || is_of(b"lI1i_")) && name.iter().any(|byte| byte != first)
}

/// Start of `console["log"]` at the end.
fn console(left: &[u8]) -> Option<usize> {
    let inside = left.strip_suffix(b"]")?.trim_ascii_end();
    let (quote, inside) = inside.split_last().filter(|(quote, _)| matches!(quote, b'\'' | b'"' | b'`'))?;
    let open = memchr::memrchr(*quote, inside)?;
    let object = inside.get(..open)?.trim_ascii_end().strip_suffix(b"[")?.trim_ascii_end();
    let rest = object.strip_suffix(b"console")?;
    let is_whole = !rest.last().is_some_and(|byte| is_name(*byte));
    (is_whole && SAY.contains(&inside.get(open + 1..)?)).then_some(rest.len())
}

/// Where the parenthesis closes, if it is near.
fn closer(right: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in right.iter().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 0 => return Some(at),
            b')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// What a console is told with.
const SAY: &[&[u8]] = &[b"log", b"info", b"error", b"warn", b"debug", b"dir", b"trace", b"table"];

/// What stands to the left of a parenthesis, and its length with the blanks behind it.
fn callee(left: &[u8]) -> Option<(Callee, usize)> {
    let bare = trim(left);
    let apart = bare.len() != left.len();
    let length = |rest: &[u8]| left.len() - rest.len();
    match bare.last()? {
        b']' | b'}' => {
            if let Some(start) = console(bare) {
                return Some((Callee::Console, left.len() - start));
            }
            if let Some(start) = dynamic(bare) {
                return Some((Callee::Variable, left.len() - start));
            }
            let (rest, groups) = before_groups(bare)?;
            if rest.ends_with(b")") {
                let inside = group(rest)?;
                // `(string) {[system][0]}` is turned into a text first.
                if text(inside).is_some() {
                    return Some((Callee::Text, inside.len() + left.len() - rest.len()));
                }
            }
            text(groups).map(|()| (Callee::Text, groups.len() + left.len() - bare.len()))
        }
        b')' => {
            let group = group(bare)?;
            // `($f)('x')`
            if let Some(name) = group.strip_prefix(b"($").and_then(|rest| rest.strip_suffix(b")")) {
                let is_variable = name.first().is_some_and(|byte| is_name(*byte) && !byte.is_ascii_digit())
                    && name.iter().all(|byte| is_name(*byte));
                return is_variable.then_some((Callee::Variable, group.len() + left.len() - bare.len()));
            }
            text(group)?;
            Some((Callee::Text, group.len() + left.len() - bare.len()))
        }
        b'\'' | b'"' => {
            let name = literals(bare)?;
            // `"system" (a)` may be a sentence, `"sys"."tem" (a)` is none.
            if apart && name.iter().filter(|byte| matches!(byte, b'\'' | b'"')).count() < 4 {
                return None;
            }
            text(name)?;
            Some((Callee::Literal, name.len() + left.len() - bare.len()))
        }
        last if is_name(*last) => {
            let name_length = bare.iter().rev().take_while(|byte| is_name(**byte)).count();
            let (rest, name) = bare.split_at_checked(bare.len() - name_length)?;
            // A name by itself: neither a variable nor called through an object.
            if !matches!(rest.last(), Some(b'$' | b'.' | b'>' | b':')) {
                let meaning = words::find(lower(name).get(..name.len())?)?;
                return Some((Callee::Function(meaning), length(rest)));
            }
            if let Some(start) = variable(bare) {
                return Some((Callee::Variable, left.len() - start));
            }
            let lower = lower(name);
            let lower = lower.get(..name.len())?;
            let qualified = qualifier(rest);
            if qualified == Some(b"console") && SAY.contains(&lower) {
                return Some((Callee::Console, left.len() - (rest.len() - b"console.".len())));
            }
            // `console.log.call(`
            if let (Some(method), b"call" | b"apply" | b"bind") = (qualified, lower)
                && SAY.contains(&method)
                && let Some(object) = rest.get(..rest.len() - method.len() - 1)
                && object.ends_with(b"console.")
            {
                return Some((Callee::Console, left.len() - (object.len() - b"console.".len())));
            }
            if let Some(start) = object(qualified, rest, lower) {
                return Some((Callee::Object, left.len() - start));
            }
            // A method of something: not the function.
            if qualified.is_some() {
                return None;
            }
            let meaning = words::find(lower)?;
            Some((Callee::Function(meaning), length(rest)))
        }
        _ => None,
    }
}

fn lower(name: &[u8]) -> [u8; REACH] {
    let mut lower = [0; REACH];
    for (slot, byte) in lower.iter_mut().zip(name) {
        *slot = byte.to_ascii_lowercase();
    }
    lower
}

/// Without blanks and comments at the end.
fn trim(mut left: &[u8]) -> &[u8] {
    for _ in 0..COMMENTS {
        let bare = left.trim_ascii_end();
        let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
        if left.get(bare.len()..).unwrap_or_default().iter().any(is_break) {
            let line = bare.iter().rposition(is_break).map_or(0, |at| at + 1);
            let text = bare.get(line..).unwrap_or_default();
            let mark = text.windows(2).position(|two| two == b"//" || two.starts_with(b"#"));
            let mark = mark.or_else(|| text.ends_with(b"#").then(|| text.len() - 1));
            if let Some(mark) = mark {
                left = bare.get(..line + mark).unwrap_or_default();
                continue;
            }
        }
        let Some(inside) = bare.strip_suffix(b"*/") else { return bare };
        let Some(start) = inside.windows(2).rposition(|pair| pair == b"/*") else { return bare };
        left = bare.get(..start).unwrap_or_default();
    }
    left.trim_ascii_end()
}

/// Comments in a row that are taken away.
const COMMENTS: usize = 8;

/// Start of `$name`, `$$name`, `->$name`, `::$name` at the end.
fn variable(left: &[u8]) -> Option<usize> {
    let name = left.iter().rev().take_while(|byte| is_name(**byte)).count();
    let rest = left.get(..left.len() - name)?;
    let first = left.get(left.len() - name)?;
    if name == 0 || first.is_ascii_digit() || !rest.ends_with(b"$") {
        return None;
    }
    // `$.each(` and `a$b(` are JavaScript.
    let marks = rest.iter().rev().take_while(|byte| **byte == b'$').count();
    let rest = rest.get(..rest.len() - marks)?;
    (!rest.last().is_some_and(|byte| is_name(*byte))).then_some(rest.len())
}

/// Start of `$name[..]{..}`, `${..}`, `$ {..}['x']` at the end: what a variable holds, however it is named.
fn dynamic(left: &[u8]) -> Option<usize> {
    let mut rest = left;
    for _ in 0..6 {
        let open = match rest.last() {
            Some(b']') => b'[',
            Some(b'}') => b'{',
            _ => return variable(rest),
        };
        let start = memchr::memrchr(open, rest)?;
        let before = trim(rest.get(..start)?);
        if let Some(name) = before.strip_suffix(b"$").filter(|_| open == b'{') {
            return (!name.last().is_some_and(|byte| is_name(*byte))).then_some(name.len());
        }
        rest = before;
    }
    None
}

/// `"sys"."tem"` at the end: texts in quotes, put together.
fn literals(left: &[u8]) -> Option<&[u8]> {
    let mut start = left.len();
    for _ in 0..6 {
        let rest = left.get(..start)?;
        let (quote, inside) = rest.split_last()?;
        if !matches!(quote, b'\'' | b'"') {
            return None;
        }
        start = memchr::memrchr(*quote, inside)?;
        let before = left.get(..start)?.trim_ascii_end();
        let Some(before) = before.strip_suffix(b".") else { break };
        match before.trim_ascii_end() {
            before if matches!(before.last(), Some(b'\'' | b'"')) => start = before.len(),
            _ => break,
        }
    }
    left.get(start..)
}

/// What stands before `[..]` and `{..}` and the comments between them, and those.
fn before_groups(left: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = left;
    for _ in 0..6 {
        let open = match rest.last() {
            Some(b']') => b'[',
            Some(b'}') => b'{',
            _ => break,
        };
        let start = memchr::memrchr(open, rest)?;
        rest = trim(rest.get(..start)?);
    }
    Some((rest, left.get(rest.len()..)?))
}

/// The parentheses that close at the end.
fn group(left: &[u8]) -> Option<&[u8]> {
    let mut depth = 0_usize;
    for (at, byte) in left.iter().enumerate().rev() {
        match byte {
            b')' => depth += 1,
            b'(' if depth == 1 => return left.get(at..),
            b'(' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Whether a group holds nothing but the name of a function, whole or in pieces.
fn text(group: &[u8]) -> Option<()> {
    let mut name = [0; 32];
    let mut length = 0;
    let mut rest = group;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'/' if after.starts_with(b"*") => {
                let end = after.windows(2).skip(1).position(|two| two == b"*/")?;
                rest = after.get(end + 3..)?;
            }
            b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'\'' | b'"' | b'.' | b' ' | b'0'..=b'9' => {}
            byte if is_name(*byte) => {
                *name.get_mut(length)? = byte.to_ascii_lowercase();
                length += 1;
            }
            _ => return None,
        }
    }
    let meaning = words::find(name.get(..length)?)?;
    (meaning != Use::Word).then_some(())
}

/// The name before `.`, `->` or `::` at the end; empty where a call or a list stands there.
fn qualifier(rest: &[u8]) -> Option<&[u8]> {
    let rest =
        rest.strip_suffix(b"->").or_else(|| rest.strip_suffix(b"::")).or_else(|| rest.strip_suffix(b"."))?;
    let length = rest.iter().rev().take_while(|byte| is_name(**byte)).count();
    let name = rest.get(rest.len() - length..)?;
    // PHP concatenates with a dot: `1.print(..)`, `'.system(..)`.
    let is_object = name.first().is_some_and(|byte| !byte.is_ascii_digit())
        || matches!(rest.last(), Some(b')' | b']' | b'}'));
    is_object.then_some(name)
}

/// Start of what is called through an object that runs programs.
fn object(qualified: Option<&[u8]>, rest: &[u8], name: &[u8]) -> Option<usize> {
    const METHODS: &[(&[u8], &[u8])] = &[
        (b"os", b"system"),
        (b"os", b"popen"),
        (b"os", b"execv"),
        (b"os", b"execl"),
        (b"os", b"spawnl"),
        (b"subprocess", b"popen"),
        (b"subprocess", b"call"),
        (b"subprocess", b"run"),
        (b"subprocess", b"check_output"),
        (b"subprocess", b"getoutput"),
        (b"kernel", b"exec"),
        (b"kernel", b"system"),
        (b"kernel", b"spawn"),
        (b"kernel", b"eval"),
        (b"kernel", b"fork"),
        (b"io", b"popen"),
        (b"io", b"sysopen"),
        (b"process", b"spawn"),
        (b"process", b"exec"),
        (b"process", b"binding"),
        (b"process", b"dlopen"),
        (b"process", b"kill"),
        (b"pty", b"spawn"),
        (b"open3", b"capture2"),
        (b"child_process", b"exec"),
        (b"child_process", b"spawn"),
        (b"child_process", b"execsync"),
        (b"constructor", b"constructor"),
        (b"runtime", b"getruntime"),
        (b"runtime", b"exec"),
        (b"class", b"forname"),
        (b"pickle", b"loads"),
        (b"marshal", b"loads"),
        (b"commands", b"getoutput"),
        (b"importlib", b"import_module"),
        (b"response", b"write"),
        (b"server", b"createobject"),
        (b"string", b"fromcharcode"),
        (b"vm", b"runinnewcontext"),
    ];
    let qualified = qualified?;
    let lower = lower(qualified);
    let qualified = lower.get(..qualified.len())?;
    let known = METHODS.iter().any(|(object, method)| *object == qualified && *method == name);
    // What a call gives: `getRuntime().exec(`, `__import__('os').popen(`, `require('child_process').exec(`.
    let chained = qualified.is_empty()
        && matches!(
            name,
            b"exec" | b"popen" | b"system" | b"execsync" | b"spawnsync" | b"getruntime" | b"forname"
        );
    let told = |piece: &[u8]| rest.windows(piece.len()).any(|window| window.eq_ignore_ascii_case(piece));
    let runs = chained
        && [&b"getruntime"[..], b"__import__", b"child_process", b"runtime", b"forname", b"getclass"]
            .iter()
            .any(|piece| told(piece));
    (known || runs).then_some(rest.len() - 1 - qualified.len().min(rest.len() - 1))
}

pub(super) fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
