//! Statements of `cmd.exe` that other shells write otherwise: `for %i in (..) do ..`, `if "%x%"=="" ..`.

use super::lexer::is_blank;
use super::reading::Name;

/// Bytes within which a statement must show what it is.
const HEAD: usize = 96;

/// The statement that begins here, and the length of what shows it.
pub(super) fn statement(rest: &[u8]) -> Option<(Name, usize)> {
    let (first, after) = token(rest.get(..HEAD).unwrap_or(rest));
    let length = |left: &[u8]| rest.len().min(HEAD).saturating_sub(left.len());
    let left = if first.eq_ignore_ascii_case(b"for") {
        for_loop(after)
    } else if first.eq_ignore_ascii_case(b"if") {
        condition(after, false)
    } else if first.eq_ignore_ascii_case(b"if/i") {
        condition(after, true)
    } else {
        None
    }?;
    Some((Name::Batch, length(left)))
}

/// `[/f ["tokens=*"]] %i in (`
fn for_loop(mut rest: &[u8]) -> Option<&[u8]> {
    for _ in 0..6 {
        let (word, after) = token(rest);
        match word {
            [b'%', first, ..] if first.is_ascii_graphic() => {
                let (word, after) = token(after);
                let open = trim(after).strip_prefix(b"(");
                return open.filter(|_| word.eq_ignore_ascii_case(b"in"));
            }
            [] => return None,
            _ => rest = after,
        }
    }
    None
}

/// `[/i] [not] exist x (`, `"%x%"=="y"`, `%x% equ 1`
fn condition(mut rest: &[u8], mut ignores_case: bool) -> Option<&[u8]> {
    for option in [&b"/i"[..], b"not"] {
        let (word, after) = token(rest);
        if word.eq_ignore_ascii_case(option) {
            ignores_case |= option == b"/i";
            rest = after;
        }
    }
    let (word, after) = token(rest);
    let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
    if is(b"exist") || is(b"defined") || is(b"cmdextversion") || is(b"errorlevel") {
        let (_, after) = token(after);
        let (does, _) = token(after);
        return does_something(does).then_some(after);
    }
    let marked =
        word.iter().any(|byte| matches!(byte, b'%' | b'!')) || matches!(word.first(), Some(b'"' | b'('));
    let (operator, behind) = token(after);
    let compares = [&b"equ"[..], b"neq", b"lss", b"leq", b"gtr", b"geq"];
    if compares.iter().any(|known| operator.eq_ignore_ascii_case(known)) {
        return Some(behind);
    }
    let has_variable = word.contains(&b'%') || word.starts_with(b"\"!");
    let equal = |bytes: &[u8]| bytes.windows(2).any(|pair| pair == b"==");
    // `red==red echo x`, `"a" == "b" echo x`, and `/i a==b x`, which is nothing but that
    let (left, right) = if word.starts_with(b"=") { (false, &b""[..]) } else { (equal(word), after) };
    let behind_both = if operator.starts_with(b"==") { token(behind).1 } else { right };
    let compares = left || operator.starts_with(b"==") && !word.is_empty();
    let (does, _) = token(behind_both);
    if compares && !does.is_empty() && (ignores_case || does_something(does) && !does.starts_with(b"(")) {
        return Some(behind_both);
    }
    let compared = equal(word) && !equal(b"=") || operator.starts_with(b"==");
    (compared && (has_variable || marked && word.starts_with(b"(") && word.contains(&b'='))).then_some(after)
}

/// What stands behind a condition.
fn does_something(word: &[u8]) -> bool {
    let known = [&b"goto"[..], b"echo", b"set", b"call", b"del", b"exit", b"rem", b"cmd", b"if"];
    word.starts_with(b"(") || known.iter().any(|known| word.eq_ignore_ascii_case(known))
}

fn trim(rest: &[u8]) -> &[u8] {
    let length = rest.iter().take_while(|byte| is_blank(**byte)).count();
    rest.get(length..).unwrap_or_default()
}

/// The next word and what is behind it. Quotes hold blanks together.
fn token(rest: &[u8]) -> (&[u8], &[u8]) {
    let rest = trim(rest);
    let mut quoted = false;
    let length = rest
        .iter()
        .take_while(|byte| {
            quoted ^= **byte == b'"';
            quoted || (!is_blank(**byte) && **byte != b'\n')
        })
        .count();
    rest.split_at_checked(length).unwrap_or((rest, &[]))
}
