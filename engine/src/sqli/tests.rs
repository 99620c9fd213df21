use proptest::prelude::*;

use super::functions::{CATALOGS, FUNCTIONS, PACKAGES};
use super::words::WORDS;
use super::*;
use crate::budget::Limits;
use crate::finding::{Finding, Part};
use crate::prefilter;
use crate::ruleset::{Coverage, Inspection};

/// What came of one value.
#[derive(Debug, PartialEq)]
struct Seen {
    finding: Option<Finding>,
    too_deep: bool,
}

fn detect(value: &[u8]) -> Seen {
    let mut inspection = Inspection::for_test(Vec::new());
    inspection.budget = Budget::new(Limits::for_body(1 << 20));
    let field = Field { part: Part::Query, name: b"q", value };
    inspect(&field, &mut Report::new(Class::SqlInjection, &mut inspection)).unwrap();
    let too_deep = inspection.coverage() == Coverage::Partial(Reason::TooDeep);
    Seen { finding: inspection.findings.pop(), too_deep }
}

fn work(value: &[u8]) -> usize {
    let mut budget = Budget::new(Limits { parts: 1, depth: 1, decoded_bytes: 0, work: usize::MAX });
    let _ = super::detect(&Field { part: Part::Query, name: b"q", value }, true, &mut budget);
    budget.spent_work()
}

fn sample(bytes: &[u8]) -> String {
    mask::sample(bytes, is_known)
}

fn all_are_found<T: Copy + PartialEq + std::fmt::Debug>(table: &words::Table<T>) {
    assert!(table.entries.is_sorted_by(|a, b| a.0 < b.0));
    for (name, value) in table.entries {
        assert_eq!(name.to_lowercase(), *name);
        assert_eq!(table.find(name.as_bytes()), Some(*value), "{name}");
        assert_eq!(table.find(name.to_uppercase().as_bytes()), Some(*value), "{name}");
    }
}

#[test]
fn tables_are_sorted_and_have_no_entry_twice() {
    assert!(CATALOGS.is_sorted_by(|a, b| a < b));
    all_are_found(&WORDS);
    all_are_found(&FUNCTIONS);
    all_are_found(&PACKAGES);
    for name in ["", "_", "@", "[", "{", "0", "\u{e9}", "a", "zzz", "a_name_that_is_longer_than_any_word"] {
        assert_eq!(WORDS.find(name.as_bytes()), None, "{name}");
    }
}

#[test]
fn finds_the_quote_that_closes() {
    let rows: &[(&[u8], [Option<usize>; 2])] = &[
        (b"abc", [None, None]),
        (b"a'b", [Some(1), None]),
        (b"a''b", [None, None]),
        (b"a''b'c", [Some(4), None]),
        (b"'''", [Some(2), None]),
        (b"a\\'b", [Some(2), None]),
        (b"a\\'b'c", [Some(2), Some(4)]),
        (b"a\\\\'b", [Some(3), None]),
        (b"\\", [None, None]),
    ];
    for (value, expected) in rows {
        assert_eq!(closing_quotes(value, b'\''), *expected, "{:?}", String::from_utf8_lossy(value));
    }
}

#[test]
fn samples_show_shape_and_never_data() {
    assert_eq!(sample(b"' OR 'secret'='secret'--"), "' or 'aaaaaa'='aaaaaa'--");
    assert_eq!(sample(b"' union select 4111111111111111"), "' union select 99999999");
    assert_eq!(sample(b"\x00\xff\n"), " a ");
    assert!(sample(&b"1 or ".repeat(100)).len() < 120);
    assert_eq!(mask::name(b"user[0].name"), "user[0].name");
    assert_eq!(mask::name(b"a'<b> c\n"), "a??b??c?");
    assert_eq!(mask::name(&[b'x'; 200]).len(), 64);
}

#[test]
fn location_is_where_the_value_leaves_its_place() {
    let finding = detect(b"admin' or 1=1--").finding.unwrap();
    assert_eq!((finding.location.offset, finding.location.length), (5, 10));
    assert_eq!(finding.sample, "' or 9=9--");
    let finding = detect(b"12 or 1=1").finding.unwrap();
    assert_eq!((finding.location.offset, finding.location.length), (3, 6));
}

#[test]
fn a_word_that_is_half_an_operator_compares_nothing() {
    for value in ["where abs sounds role ", "1 or x sounds y", "1 where sounds"] {
        assert_eq!(detect(value.as_bytes()).finding, None, "{value}");
    }
    assert!(detect(b"' or x sounds like 'y").finding.is_some());
}

#[test]
fn a_value_that_is_nested_too_deep_is_not_called_inspected() {
    let mut value = b"1 or ".to_vec();
    value.extend_from_slice(&b"(".repeat(1_000));
    value.extend_from_slice(b"1=1");
    assert_eq!(detect(&value), Seen { finding: None, too_deep: true });
    let mut value = b"1 or ".to_vec();
    value.extend_from_slice(&b"(".repeat(30));
    value.extend_from_slice(b"1=1");
    assert_eq!(detect(&value).finding.unwrap().rule.0, "sqli-tautology");
}

#[test]
fn work_is_bounded_by_a_multiple_of_the_length() {
    let hostile: &[&[u8]] = &[
        b"'",
        b"\"",
        b"`",
        b"(",
        b")",
        b"/*",
        b"*/",
        b"/*!",
        b"--\n",
        b"#\n",
        b"$$",
        b"$a$",
        b"'\"",
        b"''",
        b"\\'",
        b"1 or ",
        b"1,",
        b";select 1",
        b"union select 1 ",
        b"[a",
        b"0x",
        b"@",
        b" ",
        b"\xff",
        b"a.",
        b"case when 1 ",
        b"1 or/**/",
        b"' or '",
        b"(select ",
        b"f(",
        b"not ",
        b"-",
        b"{x ",
    ];
    for piece in hostile {
        for prefix in [&b""[..], b"1 ", b"' ", b"' or "] {
            let value = [prefix, &piece.repeat(2_000)].concat();
            let units = work(&value);
            assert!(units <= 16 * value.len() + 64, "{} units for {} bytes of {piece:?}", units, value.len());
        }
    }
}

/// Pieces of SQL that make readings go far.
fn sql() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&str> = WORDS
        .entries
        .iter()
        .map(|(word, _)| *word)
        .chain(FUNCTIONS.entries.iter().map(|(name, _)| *name))
        .chain([
            " ",
            " ",
            " ",
            "'",
            "'",
            "\"",
            "`",
            "(",
            ")",
            ",",
            ";",
            "--",
            "-- ",
            "#",
            "/*",
            "*/",
            "/*!",
            "=",
            "<",
            ">",
            "!=",
            "||",
            "&&",
            "1",
            "2",
            "1=1",
            "'a'",
            "x",
            "x.y",
            "@@version",
            "*",
            "+",
            "-",
            "/",
            "\n",
            "\\",
            "$$",
            "[x]",
            "?",
            "?|",
            "~*",
            "!~",
            "@>",
            "@?",
            "->",
            "@@",
            "@x",
            "1.e",
            "is",
            "in",
            "]",
            "[",
            "{",
            "}",
            "::int",
            "0x41",
            "xp_cmdshell",
            "information_schema.tables",
            "\0",
            "\u{a0}",
            "é",
        ])
        .collect();
    proptest::collection::vec(proptest::sample::select(pieces), 0..12).prop_map(|pieces| {
        let mut value = Vec::new();
        for piece in pieces {
            value.extend_from_slice(piece.as_bytes());
            value.push(b' ');
        }
        value
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(value in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = detect(&value);
        let _ = sample(&value);
        let _ = mask::name(&value);
    }

    #[test]
    fn no_sql_makes_it_panic_and_evidence_lies_inside_the_value(value in sql()) {
        if let Some(finding) = detect(&value).finding {
            prop_assert!(finding.location.offset + finding.location.length <= value.len());
        }
    }

    #[test]
    fn the_prefilter_drops_nothing_that_gives_a_finding(value in sql()) {
        let prefilter = prefilter::shared();
        if let Some(finding) = detect(&value).finding {
            prop_assert!(prefilter.candidates(&value, 1) == 1, "{}", finding.rule);
        }
    }

    #[test]
    fn work_on_sql_is_bounded_by_a_multiple_of_the_length(value in sql()) {
        prop_assert!(work(&value) <= 16 * value.len() + 64);
    }
}

fn mk_readings(budget: &mut Budget) -> Readings<'_> {
    Readings { budget, best: None, too_deep: false, parameter: true, units: 0 }
}

/// What is told without reading must be what reading tells.
#[test]
fn a_value_that_begins_with_names_is_no_evidence_however_it_goes_on() {
    let firsts =
        ["a", "plain", "It", "O", "x1", "users", "information_schema", "sleep", "waitforit", "selected", "N"];
    let seconds = ["b", "thing", "orders", "version", "pg_sleep", "s", "re", "x$y"];
    let rests = [
        "",
        " ",
        ", it is",
        "(1)",
        " (select 1)",
        "' or 1=1--",
        " or 1=1",
        " union select 1",
        ".b",
        ";drop table x",
        "\"",
        "=1",
        " -- x",
        "#",
        "/**/or 1=1",
        "||1",
        " as x where 1=1",
        ")",
        "::int",
        "@",
        "\u{e9}",
        "/*",
        "[0]",
    ];
    let mut budget = Budget::new(crate::budget::Limits::for_body(1 << 20));
    let mut told = 0;
    let mut read = |value: &str| {
        let mut readings = mk_readings(&mut budget);
        readings.unquoted(value.as_bytes(), 0).unwrap();
        readings.best.is_some()
    };
    for first in firsts {
        for rest in rests {
            for second in seconds {
                let value = format!("{first} {second}{rest}");
                if begins_with_names(value.as_bytes(), 2) {
                    told += 1;
                    assert!(!read(&value), "{value}");
                }
            }
        }
    }
    assert!(told > 1_000, "{told}");
    let mut budget = Budget::new(crate::budget::Limits::for_body(1 << 20));
    for name in firsts.iter().chain(&seconds) {
        for rest in rests {
            let value = format!("{name}{rest}");
            if begins_with_names(value.as_bytes(), 1) {
                let mut readings = mk_readings(&mut budget);
                let value = format!("x'{value}");
                readings.see(Parser::new(value.as_bytes(), 2).after_quote(b'\'', 1, Prefix::Word)).unwrap();
                assert!(readings.best.is_none(), "{value}");
            }
        }
    }
}

/// Words of statements and of texts, and what stands between them.
const WORDS_OF_ALL: &str = "(it|don|I|we|Tom|blue|if|or|and|union|select|all|from|where|sleep|exec|drop|table|by|not|like|is|in|null\
    |n|x|user|insert|values|waitfor|version|1|7|@a|s|t|re|shop|as|order|having|into|case|when|end|[a-z]{1,4})";
const BETWEEN: &str = "( |  |'|'s |'t |\"|\\(|\\) |; |, |=| = |\\.|--|#|/\\*|\\*/|\\|\\||&&|`|\\$|\\\\|\n|%|<|\\[|\\]|!|\\?|:|::)";

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 4_000, ..Default::default() })]

    #[test]
    fn what_begins_as_a_sentence_is_nothing_when_it_is_read(
        value in proptest::string::string_regex(&format!("({WORDS_OF_ALL}{BETWEEN}){{1,9}}")).unwrap(),
    ) {
        let value = value.as_bytes();
        if begins_as_sentence(value) {
            let mut budget = Budget::new(Limits::for_body(0));
            for parameter in [false, true] {
                let mut readings = Readings { budget: &mut budget, best: None, too_deep: false, parameter, units: 0 };
                readings.unquoted(value, 0).unwrap();
                proptest::prop_assert!(readings.best.is_none() && !readings.too_deep, "{}", value.escape_ascii());
            }
        }
    }

    #[test]
    fn each_union_is_found(value in "((un|ni|io|on|u|n|UN|Ion|union|UNION|uni|onu)[a-z ]?){0,9}") {
        let value = value.as_bytes();
        let naive: Vec<usize> =
            (0..value.len()).filter(|at| ascii::starts(&value[*at..], b"union")).collect();
        proptest::prop_assert_eq!(unions(value).collect::<Vec<_>>(), naive);
    }
}
