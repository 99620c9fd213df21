//! Short forms that only the middle of a statement has, and that the grammar of expressions does not reach: they begin or
//! end where no operand does, or compare JSON with operators of one dialect. Read from parameters alone, each as a whole.
//!
//! Sources: PostgreSQL 9.16 (JSON operators), MySQL 11.1.8 (JSON paths), and the lexer of MySQL, to which `1.e(x)` is a number
//! and a call. Called by [`super::detect`].

use super::functions::{FUNCTIONS, Function};
use super::words::is_catalog;
use crate::ascii;

/// What was read, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `) like (`, `if(2=`, `1 as "x" from`
    Piece,
    /// `select a from b where f/**/(/**/'c')`
    Masked,
    /// `from information_schema.`, `exec master.`
    Catalog,
    /// `'{"a":1}'::jsonb ? 'a'`
    Json(usize, usize),
}

/// Longer ones are documents.
const LONGEST: usize = 512;

pub(super) fn find(value: &[u8]) -> Option<Form> {
    if value.len() > LONGEST {
        return None;
    }
    let text = value.trim_ascii();
    if is_piece(text) || is_alias(text) || is_number_call(text) {
        return Some(Form::Piece);
    }
    if is_masked(text) {
        return Some(Form::Masked);
    }
    if names_catalog(text) {
        return Some(Form::Catalog);
    }
    json(value)
}

/// Without a word at the beginning, where it stands there in any case, and the blanks behind it.
fn word<'a>(text: &'a [u8], word: &str) -> Option<&'a [u8]> {
    let rest = ascii::strip(text, word.as_bytes())?;
    let ends = rest.first().is_none_or(|byte| !is_name(*byte));
    ends.then(|| rest.trim_ascii_start())
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A name at the beginning, and what is behind it.
fn name(text: &[u8]) -> (&[u8], &[u8]) {
    let length = text.iter().take_while(|byte| is_name(**byte) || **byte == b'$').count();
    text.split_at_checked(length).unwrap_or((text, &[]))
}

/// `) like (`, `if(2=`, `select pg_sleep`
fn is_piece(text: &[u8]) -> bool {
    let like = text
        .strip_prefix(b")")
        .map(<[u8]>::trim_ascii_start)
        .and_then(|rest| word(rest, "like").or_else(|| word(rest, "rlike")).or_else(|| word(rest, "regexp")));
    if like == Some(b"(") {
        return true;
    }
    if let Some(rest) = ascii::strip(text, b"if(") {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 && rest.get(digits..) == Some(b"=") {
            return true;
        }
    }
    word(text, "select").is_some_and(|rest| {
        let (function, behind) = name(rest);
        behind.is_empty()
            && function.contains(&b'_')
            && matches!(FUNCTIONS.find(function), Some(Function::Time | Function::System | Function::Error))
    })
}

/// `1 as "x" from`, `` ` as `x` from``, `6 as" from`: the list of a select goes on, and its table is another one.
fn is_alias(text: &[u8]) -> bool {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let quote = usize::from(digits == 0 && matches!(text.first(), Some(b'`' | b'"' | b'\'')));
    if digits + quote == 0 {
        return false;
    }
    let rest = text.get(digits + quote..).unwrap_or_default().trim_ascii_start();
    let Some(rest) = word(rest, "as") else { return false };
    let Some((open @ (b'`' | b'"' | b'\''), inside)) = rest.split_first() else { return false };
    let length = inside.iter().take_while(|byte| is_name(**byte)).count();
    let closes = inside.get(length) == Some(open);
    let behind = inside.get(length + usize::from(closes)..).unwrap_or_default();
    (closes || length == 0)
        && behind.first() == Some(&b' ')
        && word(behind.trim_ascii_start(), "from").is_some()
}

/// `1.e(x)`
fn is_number_call(text: &[u8]) -> bool {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = text.get(digits..).unwrap_or_default();
    digits > 0
        && matches!(rest, [b'.', b'e' | b'E', b'(', first, ..] if first.is_ascii_alphabetic())
        && rest.ends_with(b")")
}

/// A statement with comments in it that say nothing and stand where not even a blank has to: nobody writes it so for a
/// database. A comment with words in it is one.
fn is_masked(text: &[u8]) -> bool {
    const VERBS: &[&str] =
        &["select", "insert", "update", "delete", "create", "alter", "drop", "exec", "with"];
    let is_statement = VERBS.iter().any(|verb| {
        ascii::strip(text, verb.as_bytes())
            .is_some_and(|rest| matches!(rest, [b' ' | b'\t' | b'\n' | b'/', ..]))
    });
    is_statement
        && memchr::memmem::find_iter(text, b"/**/").any(|at| {
            let before = at.checked_sub(1).and_then(|at| text.get(at));
            let behind = text.get(at + 4);
            [before, behind].iter().flatten().all(|byte| !byte.is_ascii_whitespace())
                && before.is_some()
                && behind.is_some()
        })
}

/// `from information_schema.`, ``from `sysobjects` ``, `exec master.`
fn names_catalog(text: &[u8]) -> bool {
    if let Some(rest) = word(text, "exec").or_else(|| word(text, "execute")) {
        let (database, behind) = name(rest);
        return database.eq_ignore_ascii_case(b"master") && behind.starts_with(b".");
    }
    let Some(rest) = word(text, "from") else { return false };
    let quote = rest.first().copied().filter(|byte| matches!(byte, b'`' | b'"' | b'['));
    let rest = rest.get(usize::from(quote.is_some())..).unwrap_or_default();
    let (table, behind) = name(rest);
    let behind = behind.get(usize::from(quote.is_some())..).unwrap_or_default();
    let path = |byte: &u8| is_name(*byte) || matches!(byte, b'.' | b'`' | b'"' | b'[' | b']');
    table.len() > 3 && is_catalog(table) && behind.iter().all(path)
}

/// Operators that nothing but JSON in a database has.
const OPERATORS: &[&[u8]] = &[b"#>>", b"->>", b"?|", b"?&", b"#>", b"#-", b"@>", b"<@", b"@?", b"@@", b"->"];

/// Those that mean something to JSON where the text was made that by a cast.
const COMMON: &[&[u8]] = &[b"||", b"?", b"@", b"-", b"<", b">", b"="];

/// A JSON document in quotes, and an operator of a database with another operand.
fn json(value: &[u8]) -> Option<Form> {
    let mut quotes = memchr::memchr_iter(b'\'', value).take(MOST_TEXTS);
    quotes.find_map(|at| operand(value, at))
}

const MOST_TEXTS: usize = 8;

fn operand(value: &[u8], at: usize) -> Option<Form> {
    let inside = value.get(at + 1..)?;
    let length = memchr::memchr(b'\'', inside)?;
    let document = inside.get(..length)?.trim_ascii();
    if !matches!(document, [b'{', .., b'}'] | [b'[', .., b']']) {
        return None;
    }
    let mut rest = blanks(inside.get(length + 1..)?);
    let cast = ascii::strip(rest, b"::jsonb").or_else(|| ascii::strip(rest, b"::json"));
    if let Some(behind) = cast {
        rest = blanks(behind);
    }
    let special = OPERATORS.iter().find(|operator| rest.starts_with(operator));
    let common = COMMON.iter().find(|operator| rest.starts_with(operator)).filter(|_| special.is_none());
    let operator = special.or(common)?;
    let other = blanks(rest.get(operator.len()..)?);
    let is_operand = matches!(other, [b'\'' | b'0'..=b'9', ..]) || word(other, "array").is_some();
    let is_path = other.starts_with(b"'$");
    let compares = match (special, cast) {
        (Some(_), _) | (_, Some(_)) => is_operand,
        // A text with a path of JSON, or the key of one.
        _ => is_path || **operator == b"?"[..] && other.starts_with(b"'"),
    };
    let end = value.len() - other.len();
    compares.then_some(Form::Json(at, end))
}

/// Without blanks and comments at the beginning.
fn blanks(mut text: &[u8]) -> &[u8] {
    for _ in 0..4 {
        text = text.trim_ascii_start();
        let Some(inside) = text.strip_prefix(b"/*") else { return text };
        let Some(end) = inside.windows(2).position(|two| two == b"*/") else { return text };
        text = inside.get(end + 2..).unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pieces_of_statements_are_told_from_what_people_send() {
        let attacks: &[&str] = &[
            ")like(",
            " ) RLIKE (",
            "if(42=",
            "SELECT pg_sleep",
            "7 as \"name\" from users",
            "` as `x` from",
            "3 as' from",
            "1.e(version)",
            "SELECT a FROM b WHERE JSON_EXTRACT/**/(/**/'{}', '$.a')",
            "delete/**/from/**/a",
            "from information_schema.",
            "FROM `sysobjects`",
            "from pg_catalog.pg_class",
            "exec master.",
            "execute master..x",
            "'{\"a\":1}'::jsonb ? 'a'",
            "x' or '{\"a\":1}' ?| array['a']",
            "'[1]'::json #>> '{0}'",
            "'{\"a\":2}'/**/@>/**/'{}'",
            "or '{\"a\":2}' < '$.a'",
            "'[1,2]'::jsonb || '3'",
            "'[1,2]'::jsonb - 1",
        ];
        for value in attacks {
            assert!(find(value.as_bytes()).is_some(), "{value}");
        }
        let benign: &[&str] = &[
            "",
            ")",
            "like",
            ") likes (",
            "if(2=2)",
            "if(x=",
            "select all",
            "select sleep",
            "1 as one from the list",
            "as \"x\" from",
            "1 of 3 from",
            "\"as it is\" from a friend",
            "1.e",
            "1.exe(x)",
            "select a /* the name */ from b",
            "SELECT a /**/ FROM b",
            "selected/**/items",
            "src/**/*.js",
            "2.e4",
            "from information",
            "from sys to user",
            "from user",
            "from pg_catalog with love",
            "from: information_schema",
            "executive master.",
            "exec mastery.",
            "master.x",
            "curl -d '{\"a\":1}' -H 'A: b'",
            "echo '{\"a\":1}' | jq .a",
            "echo '[1]' > 'a.json'",
            "x = '{}' + '[]'",
            "d = {'a': '{}'}",
            "'{a}' - '{b}'",
            "is it '{name}' ?",
            "print('[x]', '[y]')",
            "a('[1]' == '[2]')",
        ];
        for value in benign {
            assert_eq!(find(value.as_bytes()), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(value in "(from|exec|1|`|'\\{)? ?(as|[a-z.'\"(\\[{}\\]:?|@#<>=/*-]){0,40}") {
            if let Some(Form::Json(start, end)) = find(value.as_bytes()) {
                prop_assert!(start <= end && end <= value.len());
            }
        }
    }
}
