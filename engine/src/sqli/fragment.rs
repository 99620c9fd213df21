//! Values that no statement comes of, and no ordinary value is: what is tried to learn whether a statement breaks, and what
//! filters and people left of an attack (CWE-89). `7'` where the number of something belongs, `-1 union`, `1 /*`, `a '&' b`,
//! `un<>ion sel<>ect`.
//!
//! Each shape is that of the whole value, so that prose and code have none of them; the parser does not read them because
//! nothing is complete. Must be asked about parameters alone. Called by [`super::inspect`] where no rule is sure.

use crate::ascii;
use crate::detector;
use crate::finding::RuleId;

pub(super) const RULE: detector::Rule = detector::Rule {
    id: RuleId("sqli-fragment"),
    reason: "the value is a piece of SQL that tries whether a statement breaks",
};

/// Whether a value is one of them.
pub(super) fn is_one(name: &[u8], value: &[u8]) -> bool {
    let text = value.trim_ascii();
    if text.is_empty() || text.len() > LONGEST {
        return false;
    }
    // Most begin with a letter, and few of the shapes do.
    if let Some(first @ (b'a'..=b'z' | b'A'..=b'Z')) = text.first()
        && !matches!(first | 0x20, b's' | b'x')
    {
        return operator_in_quotes(text)
            || nested_functions(text)
            || jump(text)
            || matches!(first | 0x20, b'a' | b'i' | b'l' | b'o') && branch(text)
            || pieces(text)
            || waits(text)
            || casts_twice(text);
    }
    has_a_shape(name, text)
}

fn has_a_shape(name: &[u8], text: &[u8]) -> bool {
    broken_number(name, text)
        || number_and_comment(text)
        || left_of_union(text)
        || glued_union(text)
        || operator_in_quotes(text)
        || cut_select(text)
        || nested_functions(text)
        || jump(text)
        || branch(text)
        || joined_catalogs(text)
        || pieces(text)
        || waits(text)
        || casts_twice(text)
        || open_comparison(text)
        || quote_and_operator(text)
}

const LONGEST: usize = 1024;

/// A place in a text that only goes on.
#[derive(Clone, Copy)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn run(&mut self, is_one: impl Fn(&u8) -> bool) -> &'a [u8] {
        let length = self.0.iter().take_while(|byte| is_one(byte)).count();
        let (run, rest) = self.0.split_at_checked(length).unwrap_or((self.0, &[]));
        self.0 = rest;
        run
    }

    fn blanks(&mut self) -> usize {
        self.run(u8::is_ascii_whitespace).len()
    }

    fn number(&mut self) -> bool {
        !self.run(u8::is_ascii_digit).is_empty()
    }

    fn word(&mut self) -> &'a [u8] {
        self.run(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    }

    fn eat(&mut self, text: &str) -> bool {
        let rest = ascii::strip(self.0, text.as_bytes());
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn eat_word(&mut self, text: &str) -> bool {
        let mut next = *self;
        let is_there = next.word().eq_ignore_ascii_case(text.as_bytes());
        if is_there {
            *self = next;
        }
        is_there
    }
}

/// `7'`, `-1"` where a number belongs. Feet and inches have another name.
fn broken_number(name: &[u8], text: &[u8]) -> bool {
    let mut at = Cursor(text);
    let is_negative = at.eat("-");
    let has_number = at.number();
    let quotes = at.run(|byte| matches!(byte, b'\'' | b'"'));
    matches!(quotes, b"'" | b"\"" | b"''") && at.0.is_empty() && (is_negative && has_number || is_key(name))
}

/// Names of parameters that say which one.
fn is_key(name: &[u8]) -> bool {
    const NAMES: &[&str] = &[
        "no", "num", "pid", "uid", "cid", "gid", "nid", "aid", "tid", "fid", "cat", "category", "page",
        "year", "item", "article", "product", "user", "news", "topic", "thread", "order", "view",
    ];
    let is = |known: &&str| name.eq_ignore_ascii_case(known.as_bytes());
    // `userId`, `user_ids`, `id_user`, `idUser`: not `width`, `grid`, `ideal`.
    let ends = match name {
        [.., before, b'i', b'd'] | [.., before, b'i', b'd', b's'] => {
            matches!(before, b'_' | b'-' | b'[' | b'.')
        }
        [.., b'I', b'd' | b'D'] | [.., b'I', b'd' | b'D', b's'] => true,
        _ => false,
    };
    let whole = [
        "id",
        "ids",
        "pubid",
        "bookid",
        "postid",
        "postids",
        "userid",
        "itemid",
        "prodid",
        "productid",
        "newsid",
    ];
    let begins = name.starts_with(b"id_")
        || ascii::strip(name, b"id").is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_uppercase))
        || ["idusuario", "idproduto", "idproducto", "iduser"].iter().any(is_equal(name));
    ends || begins || whole.iter().any(is_equal(name)) || NAMES.iter().any(is) || ascii::ends(name, b"year")
}

fn is_equal(name: &[u8]) -> impl Fn(&&str) -> bool + '_ {
    move |known| name.eq_ignore_ascii_case(known.as_bytes())
}

/// `1 /*`, `@a --`, `1/*!x*/`, `1--sp_password`: a number, and the beginning of a comment or a remark of MySQL.
fn number_and_comment(text: &[u8]) -> bool {
    let mut at = Cursor(text);
    let is_variable = at.eat("@");
    at.eat("@");
    let has_operand = if is_variable { !at.word().is_empty() } else { at.number() };
    // `7/*` is all that is below 7.
    let is_apart = at.blanks() > 0 || is_variable;
    if !has_operand {
        return false;
    }
    let is_begun = matches!(at.0, b"/*" | b"--") && is_apart;
    let is_hidden = at.0.starts_with(b"--") && ascii::ends(text, b"sp_password");
    let is_remark = at.0.starts_with(b"/*!") && at.0.ends_with(b"*/");
    is_begun || is_hidden || is_remark
}

/// `-1 union`, `1/**/union#`: nothing but a number, marks and the word.
fn left_of_union(text: &[u8]) -> bool {
    let is_mark = |byte: &u8| b"'\"#/*-()\\".contains(byte) || byte.is_ascii_whitespace();
    let end = text.iter().rposition(|byte| !is_mark(byte)).map_or(0, |last| last + 1);
    let Some(before) = end.checked_sub(5).and_then(|start| text.get(..start)) else { return false };
    if !text.get(before.len()..end).is_some_and(|word| word.eq_ignore_ascii_case(b"union")) {
        return false;
    }
    let is_left = |byte: &u8| byte.is_ascii_digit() || is_mark(byte) || *byte == b'x';
    let is_odd = before.trim_ascii_start().starts_with(b"-")
        || memchr::memchr2(b'/', b'#', before).is_some()
        || memchr::memchr(b'*', text).is_some();
    is_odd && before.iter().any(u8::is_ascii_digit) && before.iter().all(is_left)
}

/// `1funion select`, `0xunion select`, `\union select`: the word begins where some reader of numbers stops.
fn glued_union(text: &[u8]) -> bool {
    // It begins as what is added to does.
    let begins =
        matches!(text.first(), Some(b'0'..=b'9' | b'-' | b'.' | b'\\')) || ascii::starts(text, b"select");
    begins
        && memchr::memchr2_iter(b'u', b'U', text).any(|start| {
            let mut at = Cursor(text.get(start..).unwrap_or_default());
            if !at.eat("union") || at.blanks() == 0 {
                return false;
            }
            at.eat("all ");
            let before = text.get(..start).unwrap_or_default();
            let is_glued = match before {
                [.., b'0'..=b'9', b'f' | b'F' | b'd' | b'D'] | [.., b'0', b'x' | b'X'] | [.., b'\\'] => true,
                [.., b'0'..=b'9' | b'.'] => start < 8 || ascii::starts(text, b"select"),
                _ => false,
            };
            at.eat("select ") && is_glued
        })
}

/// `a '&' b`, `a' | 'b`: two words, and between them an operator with both of its quotes.
fn operator_in_quotes(text: &[u8]) -> bool {
    const WORDS: &[&str] = &[
        "xor",
        "div",
        "mod",
        "rlike",
        "regexp",
        "not like",
        "not rlike",
        "not regexp",
        "sounds like",
        "is not",
    ];
    let mut at = Cursor(text);
    let first = at.word();
    at.blanks();
    if !(1..=16).contains(&first.len()) || !at.eat("'") || memchr::memchr(b'\'', at.0).is_none() {
        return false;
    }
    at.blanks();
    let rest = at.0;
    let signs = at.run(|byte| b"=<>!+-*/%^&|~".contains(byte));
    let is_sign = (1..=4).contains(&signs.len());
    if signs.is_empty() {
        at.0 = rest;
    }
    let is_word = signs.is_empty() && WORDS.iter().any(|word| at.eat(word));
    at.blanks();
    let has_second = at.eat("'");
    at.blanks();
    let last = at.word();
    // `Ask' + 'Tell`: what is left of two names in quotes.
    let is_prose = matches!(signs, b"+" | b"-" | b"&" | b"/") && first.len().min(last.len()) > 2;
    !is_prose && (is_sign || is_word) && has_second && (1..=16).contains(&last.len()) && at.0.is_empty()
}

/// `select 1 from a where`: what it selects is no name, and the statement around the value goes on.
fn cut_select(text: &[u8]) -> bool {
    let Some(items) = ascii::strip(text, b"select ") else { return false };
    let Some(from) = items.windows(6).position(|six| six.eq_ignore_ascii_case(b" from ")) else {
        return false;
    };
    let selected = items.get(..from).unwrap_or_default();
    let is_odd = |byte: &u8| byte.is_ascii_digit() || b"'\"@(*".contains(byte);
    ascii::ends(text, b" where") && selected.iter().any(is_odd)
}

/// `ascii(substring(a,1,1))`: a letter at a time.
fn nested_functions(text: &[u8]) -> bool {
    const INNER: &[&str] = &["substr(", "substring(", "mid(", "lower(", "upper(", "(select", "select "];
    memchr::memchr_iter(b'(', text).any(|open| {
        let before = text.get(..open).unwrap_or_default();
        let outer = if ascii::ends(before, b"ascii") { 5 } else { 3 };
        let is_called = outer == 5 || ascii::ends(before, b"ord");
        let joined = before.len().checked_sub(outer + 1).and_then(|at| before.get(at));
        let mut at = Cursor(text.get(open + 1..).unwrap_or_default());
        is_called && !joined.is_some_and(u8::is_ascii_alphanumeric) && {
            at.blanks();
            INNER.iter().any(|inner| at.eat(inner))
        }
    })
}

/// `'goto a a: declare @b`, `'begin declare @b`: T-SQL goes on without a semicolon.
fn jump(text: &[u8]) -> bool {
    let Some(quote) = memchr::memchr2(b'\'', b'"', text.get(..24).unwrap_or(text)) else { return false };
    let mut at = Cursor(text.get(quote + 1..).unwrap_or_default());
    at.run(|byte| byte.is_ascii_whitespace() || *byte == b')' || *byte == b';');
    let jumps = at.eat_word("goto") || at.eat_word("begin");
    jumps && at.blanks() > 0 && ascii::contains(at.0, b"declare @")
}

/// `if(1=2) select 3 else drop a`, `7;iif(1=2,1,1/0)`, `) as a where 1=2`, `or true--`, `limit 0,1--`, `7,8 order by 9`.
fn branch(text: &[u8]) -> bool {
    let compares = |at: &mut Cursor<'_>| {
        let first = at.number();
        at.blanks();
        first && at.eat("=") && {
            at.blanks();
            at.number()
        }
    };
    let mut at = Cursor(text);
    if at.eat("if(") {
        return compares(&mut at) && at.eat(")") && at.blanks() > 0 && at.eat_word("select");
    }
    if at.eat("limit ") {
        return at.number() && at.eat(",") && at.number() && at.0.trim_ascii().starts_with(b"--");
    }
    at.run(|byte| b") ".contains(byte));
    if at.eat_word("as") {
        let named = at.blanks() > 0 && !at.word().is_empty() && at.blanks() > 0;
        return named && at.eat_word("where") && at.blanks() > 0 && compares(&mut at);
    }
    if at.eat_word("or") || at.eat_word("and") {
        let known = at.blanks() > 0 && ["true", "false", "1", "0"].iter().any(|word| at.eat_word(word));
        at.blanks();
        return known && matches!(at.0, b"--" | b"#" | b"/*");
    }
    let listed = !at.run(|byte| byte.is_ascii_digit() || *byte == b',').is_empty();
    at.run(|byte| *byte == b')');
    if listed && at.eat(";") {
        at.blanks();
        return at.eat("iif(") && compares(&mut at) && at.eat(",");
    }
    listed && at.blanks() > 0 && at.eat_word("order") && at.blanks() > 0 && at.eat_word("by") && {
        at.blanks();
        at.number() && at.0.is_empty()
    }
}

/// `(select count(*) from a b,a c,a d) as e`: a product of tables that takes its time.
fn joined_catalogs(text: &[u8]) -> bool {
    let Some(tables) = ascii::strip(text, b"(select count(*) from ") else { return false };
    memchr::memchr_iter(b',', tables).take(2).count() == 2 && memchr::memchr(b')', tables).is_some()
}

/// `a waitfor delay '0:0:9' --`, behind whatever a text begins with.
fn waits(text: &[u8]) -> bool {
    let Some(rest) = text.strip_suffix(b"--") else { return false };
    let Some(rest) = rest.trim_ascii_end().strip_suffix(b"'") else { return false };
    let time = rest.iter().rev().take_while(|byte| byte.is_ascii_digit() || **byte == b':').count();
    let before = rest.get(..rest.len() - time).and_then(|rest| rest.strip_suffix(b"'")).unwrap_or_default();
    let Some(at) = before.len().checked_sub(32).or(Some(0)) else { return false };
    let mut words = before.get(at..).unwrap_or_default().rsplit(u8::is_ascii_whitespace);
    let mut next = || words.find(|word| !word.is_empty()).unwrap_or_default();
    time > 0 && next().eq_ignore_ascii_case(b"delay") && ascii::ends(next(), b"waitfor")
}

/// `f(a::jsonb)::int`: a parenthesis that is cast, and another one around it, as whoever gets data through an error needs.
fn casts_twice(text: &[u8]) -> bool {
    const TYPES: &[&str] = &["int", "integer", "numeric", "bigint", "float", "bool", "boolean", "date"];
    let Some(at) = memchr::memmem::rfind(text, b")::") else { return false };
    let (before, kind) = (text.get(..at).unwrap_or_default(), text.get(at + 3..).unwrap_or_default());
    TYPES.iter().any(is_equal(kind)) && memchr::memmem::find(before, b"::").is_some()
}

/// `'a'!='b`: two texts compared, of which the statement around the value closes the second.
fn open_comparison(text: &[u8]) -> bool {
    let mut at = Cursor(text);
    let Some(quote @ (b'\'' | b'"')) = text.first().copied() else { return false };
    let quote_is = |at: &mut Cursor<'_>| {
        at.blanks();
        at.run(|byte| *byte == quote).len() == 1
    };
    let first = quote_is(&mut at) && !at.word().is_empty() && quote_is(&mut at);
    at.blanks();
    let compares = matches!(at.run(|byte| b"=<>!".contains(byte)), b"=" | b"!=" | b"<>" | b"<=>" | b"==");
    first && compares && quote_is(&mut at) && !at.word().is_empty() && at.0.is_empty()
}

/// `` ` regexp``: a quote, an operator that is no word of a language, and nothing else.
fn quote_and_operator(text: &[u8]) -> bool {
    let mut at = Cursor(text);
    let quotes = at.run(|byte| matches!(byte, b'\'' | b'"' | b'`'));
    at.blanks();
    at.eat_word("not");
    at.blanks();
    quotes.len() == 1 && (at.eat_word("regexp") || at.eat_word("rlike")) && at.0.is_empty()
}

/// `un<>ion sel<>ect`: a filter takes out what stands between the letters.
fn pieces(text: &[u8]) -> bool {
    let is_letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphabetic);
    let marks = |text: &[u8]| {
        let cuts = memchr::memmem::find_iter(text, b"<>");
        let is_inside = |at: &usize| {
            is_letter(at.checked_sub(1).and_then(|before| text.get(before))) && is_letter(text.get(at + 2))
        };
        cuts.filter(is_inside).count()
    };
    if memchr::memchr(b'<', text).is_none() || marks(text) < 2 {
        return false;
    }
    let whole: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b'<' | b'>')).collect();
    let has = |word: &[u8]| ascii::contains(&whole, word);
    has(b"union") && has(b"select") || has(b" and 1=") || has(b" or 1=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_statements_are_attacks() {
        let rows: &[(&str, &str)] = &[
            ("q", "-1'"),
            ("id", "7'"),
            ("userId", "12\""),
            ("item_id", "'"),
            ("syear", "2020'"),
            ("q", "7 /*"),
            ("q", "@a --"),
            ("q", "@@version/*"),
            ("q", "7/*!a*/"),
            ("q", "7-- a sp_password"),
            ("q", "-7 union"),
            ("q", "-7 UNION '"),
            ("q", "7/1/**/union#"),
            ("q", "-7\r\n/1/**/union"),
            ("q", "7funion select 8"),
            ("q", "-7DUNION ALL SELECT a FROM b"),
            ("q", "select 0xunion select 8"),
            ("q", "\\7union select 8"),
            ("q", "a '&' b"),
            ("q", "a' - 'b"),
            ("q", "a '<=>' b"),
            ("q", "a'|!'b"),
            ("q", "a 'xor' b"),
            ("q", "a 'not rlike' b"),
            ("q", "select 7 from a where"),
            ("q", "select 'a' from b where"),
            ("q", "7 + ascii(substring(a,1,1))-8"),
            ("q", "ORD(MID(a,1,1))"),
            ("q", "'goto a; a: declare @b varchar(9)"),
            ("q", "'begin declare @b int"),
            ("q", "IF(7=8) SELECT 7 ELSE DROP FUNCTION a--"),
            ("q", "7);iif(7=8,1,1/0)"),
            ("q", " as a where 7=7 and 8=8"),
            ("q", "or true--"),
            ("q", "limit 0,1--"),
            ("q", "7,8 order by 9"),
            ("q", "(select count(*) from a b,a c,a d) as e"),
            ("q", "a' a<>nd 1=2 un<>ion sel<>ect 1"),
            ("user-agent", "Agent/1.0 (a) waitfor delay '0:0:9' --"),
            ("q", "a;WAITFOR  DELAY '00:00:05'--"),
            ("id", "f(...(1,a)::jsonb)::int"),
            ("id", "...(g(1,a)::json)::numeric"),
            ("q", "'a'!='b"),
            ("q", "\"a\" <> \"b"),
            ("q", "` REGEXP "),
            ("q", "' not rlike"),
        ];
        for (name, value) in rows {
            assert!(is_one(name.as_bytes(), value.as_bytes()), "{name}={value}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_begins_with_a_letter_has_none_of_the_shapes_that_are_left_out(
            text in "[a-zA-Z](( |'|\"|\\(|\\)|,|;|=|--|#|/\\*|<>|-)?(union|select|if|iif|limit|as|or|and|where|order|by|goto|begin\
                |declare @a|ascii|ord|mid\\(|substr\\(|true|[0-9]|[a-z]{1,3}|xor|')){0,8}",
        ) {
            let text = text.trim().as_bytes();
            proptest::prop_assert_eq!(is_one(b"id", text), has_a_shape(b"id", text));
        }
    }

    #[test]
    fn what_people_write_is_no_piece_of_a_statement() {
        let rows: &[(&str, &str)] = &[
            ("q", "6'"),
            ("height", "6'"),
            ("width", "7\""),
            ("grid", "7'"),
            ("id", "7"),
            ("id", "-7"),
            ("name", "O'Brien"),
            ("q", "rock 'n' roll"),
            ("q", "this 'or' that"),
            ("q", "Ben & Jerry's"),
            ("q", "the '&' sign in HTML"),
            ("q", "'a' + 'b'"),
            ("q", "5' - 6'"),
            ("q", "credit union"),
            ("q", "12 union"),
            ("q", "12 Union Street"),
            ("q", "european union -brexit"),
            ("q", "a/*"),
            ("q", "7/*"),
            ("q", "7 /* seven */"),
            ("q", "Ask' + 'Tell"),
            ("q", "*/5"),
            ("q", "10.--"),
            ("q", "2--3 days"),
            ("q", "select a from b where"),
            ("q", "select one from many where it helps"),
            ("q", "ascii table"),
            ("q", "LEN(LEFT(A1,2))"),
            ("q", "password(mid(a))"),
            ("q", "don't goto the shop"),
            ("q", "begin at 7"),
            ("q", "if(a) select b"),
            ("q", "as a rule where possible"),
            ("q", "or true story -- a film"),
            ("q", "limit 0,1"),
            ("q", "order by phone"),
            ("q", "a<>b and c<>d"),
            ("q", "select union rep"),
            ("q", "the 2nd union select committee"),
            ("q", "section 7f union select committee of the house"),
            ("q", "waitfor delay '0:0:9'"),
            ("q", "they delay '5' --"),
            ("q", "amount::int"),
            ("q", "amount.sum()::int"),
            ("q", "a::text,b::int"),
            ("q", "'a' = 'b'"),
            ("q", "'a' and 'b"),
            ("q", "regexp"),
            ("q", "` regexps"),
            ("q", "'regexp'"),
        ];
        for (name, value) in rows {
            assert!(!is_one(name.as_bytes(), value.as_bytes()), "{name}={value}");
        }
    }
}
