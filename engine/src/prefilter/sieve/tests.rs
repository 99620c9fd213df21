use proptest::prelude::*;

use super::*;
use crate::budget::{Budget, Limits};
use crate::decode::Field;
use crate::detector::{DETECTORS, Report};
use crate::finding::Part;
use crate::lookup::Lookup;
use crate::ruleset::Inspection;

/// Whether anything would look at a value, told without the sieve, or find anything where all that is there for a
/// detector is what sentences have.
fn is_wanted(value: &[u8]) -> bool {
    let command = sieve().readers.command;
    let candidates = shared().candidates(value, Set::MAX);
    let looks = candidates & !command != 0 || candidates & command != 0 && command::may_match(value);
    let is_soft = value.iter().any(|byte| b"';(".contains(byte));
    looks && (!is_soft || finds(value, candidates)) || nested::is_likely_whole(value)
}

/// Whether one of the detectors finds anything in a value, whatever part it is of, or reads it further.
fn finds(value: &[u8], candidates: Set) -> bool {
    let fields: &[(Part, &str)] = &[
        (Part::Json, "note"),
        (Part::Json, "id"),
        (Part::JsonKey, ""),
        (Part::Form, "cmd"),
        (Part::Form, "q"),
        (Part::Query, "userId"),
    ];
    let those = DETECTORS.iter().enumerate().filter(|(number, _)| candidates >> number & 1 != 0);
    let mut inspection = Inspection::for_test(Vec::new());
    inspection.budget = Budget::new(Limits::for_body(1 << 20));
    for (_, detector) in those {
        for (part, name) in fields {
            let field = Field { part: *part, name: name.as_bytes(), value };
            let read = (detector.inspect)(&field, &mut Report::new(detector.class, &mut inspection));
            assert_eq!(read, Ok(()));
        }
    }
    !inspection.findings.is_empty() || candidates >> DETECTORS.len() != 0
}

/// Looks at the value where it stands.
fn check(before: &[u8], value: &[u8], behind: &[u8]) {
    let text = [before, value, behind].concat();
    for ends in [Ends::Json, Ends::Form] {
        let stops: &[u8] = match ends {
            Ends::Json => b"\"\\",
            Ends::Form => b"&=",
        };
        let is_stop = |byte: &u8| stops.contains(byte) || ends == Ends::Json && *byte < 0x20;
        let mut cursor = Cursor::new(&text, ends);
        let mut from = before.len();
        loop {
            let length = text[from..].iter().position(is_stop).unwrap_or(text.len() - from);
            let (end, seen) = cursor.piece(from);
            assert_eq!(end, from + length, "{ends:?} in {}", text.escape_ascii());
            let piece = &text[from..end];
            assert_eq!(seen.has(Glance::HIGH), !piece.is_ascii());
            let meant: Vec<u8> = match ends {
                Ends::Form => piece.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect(),
                Ends::Json => piece.to_vec(),
            };
            assert_eq!(seen.has(Glance::BLANK), meant.contains(&b' '));
            if cursor.passes(&meant, seen) {
                assert!(!is_wanted(&meant), "{ends:?} passes {}", meant.escape_ascii());
            }
            if end >= text.len() {
                break;
            }
            from = end + 1;
        }
    }
}

fn needles() -> Vec<&'static str> {
    needs().flat_map(|needs| needs.needles.iter().copied()).collect()
}

#[test]
fn a_value_with_a_needle_and_its_byte_is_never_passed() {
    for needs in needs() {
        for needle in needs.needles {
            for byte in needs.bytes {
                for length in [0, 1, 15, 28, 57, 60, 61, 62, 63, 64, 126] {
                    let before = "x".repeat(length);
                    let byte = [*byte];
                    for needle in [needle.to_ascii_lowercase(), needle.to_ascii_uppercase()] {
                        check(before.as_bytes(), &[needle.as_bytes(), &byte].concat(), b"");
                        check(before.as_bytes(), &[&byte, needle.as_bytes()].concat(), b"\"yyy");
                    }
                }
            }
        }
    }
}

#[test]
fn a_byte_that_suffices_is_seen_wherever_it_stands() {
    let alone: Vec<u8> = (0..=255).filter(|byte| is_wanted(&[*byte])).collect();
    assert!(alone.len() > 20);
    for byte in alone {
        for length in 0..70 {
            check(b"\"", &[&vec![b'x'; length][..], &[byte], b"yy"].concat(), b"\"");
        }
    }
}

#[test]
fn ordinary_values_are_passed() {
    let passed = |value: &str| {
        let mut cursor = Cursor::new(value.as_bytes(), Ends::Json);
        let (_, seen) = cursor.piece(0);
        cursor.passes(value.as_bytes(), seen)
    };
    for value in [
        "id",
        "kitchen",
        "item_number",
        "created_at_time",
        "Item number 42",
        "A plain thing for the kitchen and the garden",
        "Ships within three days, 2 of 5 are left",
        "2026-01-31",
        "ada@example.org",
        "12.95",
        "Gr\u{fc}\u{df}e aus K\u{f6}ln",
        "It's blue; select another colour if you like",
        "Keep dry and away from light (below 25 C)",
        "They say it's fine; ask Ada's shop (or ours)",
    ] {
        assert!(passed(value), "{value}");
    }
    for value in [
        "it's",
        "whoami now",
        "JyBvciAxPTE=",
        "1 union",
        "a user of it",
        "",
        "a; b",
        "Two words; whoami",
        "Run it by system (now)",
    ] {
        assert_eq!(passed(value), value.is_empty(), "{value}");
    }
}

#[test]
fn few_places_of_a_text_look_like_words() {
    let text = include_str!("../../../../docs/benchmarks.md").as_bytes();
    let mut found = 0;
    for block in text.chunks(64) {
        found += sieve().look(block, Ends::Json).asked.count_ones() as usize;
    }
    let is_asked = Lookup::of(b"./:_@])!*~");
    found -= text.iter().filter(|byte| is_asked.one(**byte)).count();
    assert!(found * 30 < text.len(), "{found} of {}", text.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_anything_would_look_at_is_passed(
        before in "[ -~]{0,70}",
        pieces in proptest::collection::vec((any::<u16>(), any::<u64>(), "[ -~]{0,3}|[\\x00-\\xff]{0,2}|[a-z ]{0,9}"), 0..5),
        behind in "[ -~]{0,5}",
    ) {
        let needles = needles();
        let value: Vec<Vec<u8>> = pieces.iter().map(|(index, case, text)| {
            let needle = needles[usize::from(*index) % needles.len()];
            // A needle that lacks its end as often as a whole one, in any case.
            let end = if index % 2 == 0 { needle.len() } else { needle.len() - 1 };
            let cased = needle.bytes().take(end).enumerate().map(|(at, byte)| {
                if case >> (at % 64) & 1 == 0 { byte.to_ascii_lowercase() } else { byte.to_ascii_uppercase() }
            });
            cased.chain(text.bytes()).collect()
        }).collect();
        check(before.as_bytes(), &value.concat(), behind.as_bytes());
    }
}

/// Words that mean something to a detector, and what stands between the words of sentences.
fn piece() -> impl Strategy<Value = String> {
    let words = &[
        "it",
        "s",
        "t",
        "blue",
        "select",
        "or",
        "and",
        "union",
        "goto",
        "begin",
        "declare @a",
        "ascii",
        "ord",
        "substr",
        "where",
        "like",
        "null",
        "is",
        "not",
        "mod",
        "xor",
        "as",
        "from",
        "exec",
        "sleep",
        "1",
        "1=1",
        "id",
        "ls",
        "cat",
        "/etc/passwd",
        "whoami",
        "sudo",
        "for",
        "if",
        "do",
        "then",
        "net user",
        "echo",
        "system",
        "eval",
        "phpinfo",
        "console.log",
        "os.system",
        "print",
        "java.lang.Runtime",
        "process.env",
        "new Function",
        "return",
        "all",
        "Ada",
        "note",
        "x",
        "n",
        "E",
        "drop table a",
        "waitfor delay",
        "table",
        "user",
        "admin",
        "true",
        "having",
        "order by 1",
        "end",
        "name",
        "text",
        "time",
        "sh",
        "nc",
    ];
    let marks = &[
        "'", "'s ", "; ", ";", " (", "(", ") ", ")", " ", "  ", ", ", ". ", " - ", "--", "/*", "*/", " '",
        "' ", ":", "!", "@", "/", ".", "_", "]", "*",
    ];
    let in_case = |text: &str, case: u8| match case % 4 {
        0 => text.to_uppercase(),
        1 => text.chars().take(1).flat_map(char::to_uppercase).chain(text.chars().skip(1)).collect(),
        _ => text.to_owned(),
    };
    let words =
        (proptest::sample::select(words), any::<u8>()).prop_map(move |(word, case)| in_case(word, case));
    let marks = proptest::sample::select(marks).prop_map(str::to_owned);
    (words, prop_oneof![3 => Just(" ".to_owned()), 4 => marks]).prop_map(|(word, mark)| word + &mark)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_found_in_what_passes_as_prose(
        start in prop_oneof![Just("Two words "), Just("It's "), Just("Keep dry "), Just("")],
        pieces in proptest::collection::vec(piece(), 0..8),
        end in "[ -~]{0,2}",
    ) {
        check(b"\"", format!("{start}{}{end}", pieces.concat()).as_bytes(), b"\"");
    }
}
