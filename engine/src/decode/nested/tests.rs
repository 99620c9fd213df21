use super::*;
use crate::budget::{Budget, Limits};
use crate::finding::Part;

/// Collects what is yielded, and asks for the readings of it as the ruleset does.
struct Readings {
    budget: Budget,
    values: Vec<String>,
}

impl Visit for Readings {
    fn field(&mut self, field: &Field<'_>) -> Result<(), Reason> {
        self.values.push(String::from_utf8_lossy(field.value).into_owned());
        let marked = field.value.iter().any(|byte| escapes::MARKS.contains(byte));
        decode(field, marked, self)
    }

    fn note(&mut self, reason: Reason) {
        panic!("{reason:?}");
    }

    fn budget(&mut self) -> &mut Budget {
        &mut self.budget
    }
}

/// The value, then its readings.
fn readings(value: &[u8]) -> Vec<String> {
    let mut readings = Readings { budget: Budget::new(Limits::for_body(0)), values: Vec::new() };
    readings.field(&Field { part: Part::Query, name: b"q", value }).unwrap();
    assert_eq!(readings.budget.layers().depth(), 0, "left as it was entered");
    assert!(readings.budget.layers().outer().is_none());
    readings.values
}

#[test]
fn a_value_is_read_as_applications_decode_it_once_more() {
    let rows: &[(&str, &[&str])] = &[
        ("%27", &["'"]),
        ("%2527", &["%27", "'"]),
        ("%25252527", &["%252527", "%2527", "%27"]),
        ("%u0027%U02BC", &["'\u{2bc}", "''"]),
        ("&#39;&#x27;&apos;&#39&lt;&ltimg", &["''''<<img"]),
        ("&amp;lt;", &["&lt;", "<"]),
        (r"\u0027\x27\047\u{27}", &["''''"]),
        (r"\uff07", &["\u{ff07}", "'"]),
        ("union \u{17f}elect \u{212a}", &["union select K"]),
        ("\u{ff07}\u{3000}\u{ff4f}\u{ff52}\u{3000}\u{ff11}\u{ff1d}\u{ff11}", &["' or 1=1"]),
        ("\u{24e2}\u{1d4ee}lect", &["select"]),
        ("\u{2bc} or 1=1 \u{4e2d}", &["' or 1=1 \u{4e2d}"]),
        ("+ADw-script+AD4-+ACcAIgAn-", &["<script>'\"'"]),
        ("sel\0ect", &["select"]),
        ("'\0 \0o\0r\0", &["' or"]),
        ("1'+or+1=1", &["1' or 1=1"]),
        ("1%27+or+1=1", &["1'+or+1=1", "1' or 1=1"]),
        ("JyBvciAxPTEtLQ==", &["' or 1=1--"]),
        ("JyBvciAxPTEtLQ", &["' or 1=1--"]),
        ("\"JyBvciAxPTEtLQ==\"", &["' or 1=1--"]),
        ("J%79BvciAxPTEtLQ%3D%3D", &["JyBvciAxPTEtLQ==", "' or 1=1--"]),
        ("SnlCdmNpQXhQVEV0TFE9PQ==", &["JyBvciAxPTEtLQ==", "' or 1=1--"]),
        ("JTI3JTIwb3IlMjAxPTE=", &["%27%20or%201=1", "' or 1=1"]),
        ("0x27206f7220313d31", &["' or 1=1"]),
        ("27206f7220313d312d2d", &["' or 1=1--"]),
        ("data:text/html;base64,PHNjcmlwdD4=", &["<script>"]),
        ("eyJhIjoiJyJ9.eyJiIjoiXCIifQ.AAAA", &["a", "'", "b", "\""]),
        ("eyJhIjoiJyBvciAxPTEifQ==", &["a", "' or 1=1"]),
        ("%7B%22a%22:%22b%22%7D", &["a", "b"]),
    ];
    for (value, expected) in rows {
        assert_eq!(readings(value.as_bytes()).get(1..).unwrap(), *expected, "{value:?}");
    }
    assert_eq!(readings(b"\xC0\xA7\xE0\x80\xAF\xF0\x80\x80\xBC").get(1..).unwrap(), ["'/<"]);
}

#[test]
fn ordinary_values_have_no_further_reading() {
    let rows: &[&str] = &[
        "",
        "a plain sentence, isn't it",
        "100% & more",
        "AT&T",
        "C:\\new\\x.txt",
        "\\d+\\.\\d{2}",
        "\\x1b[31m",
        "2026-01-01T00:00:00+02:00",
        "+49 30 123456",
        "C++",
        "0f8fad5b-d9cb-469f-a165-70867728950e",
        "d41d8cd98f00b204e9800998ecf8427e",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "2071690107",
        "InputStreamReader",
        "internationalization",
        "kJ8sLq0ZxV3nPw5TgYbR7A",
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ",
        "\u{8bf7}\u{9009}\u{62e9}\u{ff08}\u{4e00}\u{ff09}\u{ff1a}\u{ff21}\u{ff1b}ls -l",
        "it\u{2019}s \u{201c}quoted\u{201d}",
    ];
    for value in rows {
        assert_eq!(readings(value.as_bytes()).len(), 1, "{value:?}: {:?}", readings(value.as_bytes()));
    }
}

#[test]
fn whatever_is_in_a_value_its_readings_are_few() {
    let pieces: &[&[u8]] = &[
        b"%25252525252525",
        b"&amp;amp;amp;amp;amp;",
        b"\\u005cu005cu005cu005c",
        b"a+b",
        b"+A+A",
        b"+AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        b"\xEF\xBC\x87",
        b"\xC0\xC0\xA5",
        b"\0'",
        b"&&&&&",
        b"&lt%26lt\\x25+ACU-\xEF\xBC\x85",
        b"Vm0wd2QyUXlVWGxW",
        b"41414141",
    ];
    for piece in pieces {
        let value = piece.repeat(4_000 / piece.len());
        let read = readings(&value);
        assert!(read.len() <= LAYERS + 2, "{}: {}", piece.escape_ascii(), read.len());
        assert!(read.iter().all(|reading| reading.len() <= 3 * value.len()));
    }
}

#[test]
fn the_documentation_of_events_has_every_encoding() {
    let page = include_str!("../../../../docs/events.md");
    for name in Encodings::names() {
        assert!(page.contains(&format!("\n| `{name}` |")), "{name}");
    }
}

fn compressed(text: &str, raw: bool) -> String {
    use std::io::Write as _;

    use base64::Engine as _;
    let level = flate2::Compression::default();
    let bytes = if raw {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    } else {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn what_is_compressed_in_base64_is_read_where_it_is_text() {
    let attack = "x' UNION SELECT a FROM b --";
    assert_eq!(readings(compressed(attack, false).as_bytes()).get(1..).unwrap(), [attack]);
    assert_eq!(readings(compressed("\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}", false).as_bytes()).len(), 1, "not text");
    // Without a mark only where SAML has it.
    let saml = compressed("<AuthnRequest ID=\"a\">' or 1=1</AuthnRequest>", true);
    assert_eq!(readings(saml.as_bytes()).len(), 1);
    let mut seen = Readings { budget: Budget::new(Limits::for_body(0)), values: Vec::new() };
    seen.field(&Field { part: Part::Query, name: b"SAMLRequest", value: saml.as_bytes() }).unwrap();
    assert!(seen.values.iter().any(|value| value.contains("' or 1=1")), "{:?}", seen.values);
}

#[test]
fn a_bomb_in_base64_is_cut_and_told() {
    struct Noting(Readings, Vec<Reason>);
    impl Visit for Noting {
        fn field(&mut self, field: &Field<'_>) -> Result<(), Reason> {
            self.0.values.push(String::from_utf8_lossy(field.value).into_owned());
            decode(field, true, self)
        }
        fn note(&mut self, reason: Reason) {
            self.1.push(reason);
        }
        fn budget(&mut self) -> &mut Budget {
            &mut self.0.budget
        }
    }
    let bomb = compressed(&"a ".repeat(1 << 20), false);
    let readings = Readings { budget: Budget::new(Limits::for_body(131_072)), values: Vec::new() };
    let mut seen = Noting(readings, Vec::new());
    seen.field(&Field { part: Part::Query, name: b"q", value: bomb.as_bytes() }).unwrap();
    assert_eq!(seen.1, [Reason::DecodedTooLarge]);
    assert!(seen.0.values.iter().all(|value| value.len() < 1 << 20));
}
