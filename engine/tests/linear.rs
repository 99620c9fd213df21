//! What hostile input costs, in instructions: no repetition of any piece makes a decoder or a detector take more than a
//! constant for each byte. Counted by valgrind where it is installed; `RASP_TEST_PLOT=1` prints the whole table.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot build")]

use std::hint::black_box;
use std::process::{Command, Stdio};

use rasp_engine::{Body, Effective, Head, Ruleset};

mod valgrind;

/// Bytes of a small input; the large one has four times as many.
const SMALL: usize = 4 << 10;
/// Instructions for each byte of the large input, in parts of those of the small one. One and a half leaves room for
/// what is cheaper at the beginning; what grows with the square takes four.
const GROWTH: f64 = 1.5;
/// Instructions for each byte: a millisecond for 16 KiB is about 190 of them at three a nanosecond.
const MOST: f64 = 3_000.0;
const RUN: &str = "RASP_TEST_LINEAR";

/// How a value is sent.
#[derive(Clone, Copy, Debug)]
enum Sent {
    Form,
    Json,
    Raw(&'static str),
}

use Sent::{Form, Json, Raw};

/// What is repeated, behind a beginning.
const PIECES: &[(Sent, &str, &str)] = &[
    // Decoders.
    (Raw("application/x-www-form-urlencoded"), "", "a&"),
    (Raw("application/x-www-form-urlencoded"), "", "a=%2527&"),
    (Raw("application/x-www-form-urlencoded"), "a=", "%25"),
    (Raw("application/x-www-form-urlencoded"), "{", "\"a\":&;"),
    (Raw("application/json"), "[", "[],"),
    (Raw("application/json"), "{", "\"a\":{\"b\":1},"),
    (Raw("application/json"), "[\"", "\\u0027"),
    (Raw("application/json"), "[\"", "\\\\\\\""),
    (Raw("application/json"), "", "{\"a\":"),
    (Raw("application/json"), "[", "1e9,"),
    (Raw("application/json"), "[", "\"{\\\"a\\\":1}\","),
    (Raw("text/xml"), "<a>", "<b c='d'>e</b>"),
    (Raw("text/xml"), "<a>", "&lt;&#39;"),
    (Raw("text/xml"), "", "<a>"),
    (Raw("text/xml"), "<a>", "<![CDATA[x]]>"),
    (Raw("text/xml"), "<!DOCTYPE a [", "<!ENTITY b \"&c;\">"),
    (
        Raw("multipart/form-data; boundary=b"),
        "--b\r\n",
        "\r\n--b\r\nContent-Disposition: form-data; name=a\r\n\r\n",
    ),
    (Raw("multipart/form-data; boundary=b"), "--b\r\n\r\n", "\r\n--"),
    (Raw("application/graphql"), "{", "a(b:\"c\"){"),
    (Raw("application/octet-stream"), "", "\u{1}\u{2}\u{3}"),
    (Raw("text/plain"), "", "a=b&"),
    // Values that are encoded again.
    (Form, "", "%2527"),
    (Form, "", "&#x27;"),
    (Form, "", "\\u0027"),
    (Form, "", "\\x27"),
    (Form, "", "YWFh"),
    (Form, "", "eyJhIjoxfQ."),
    (Form, "", "+ADw-"),
    (Form, "", "\u{ff1c}"),
    (Json, "", "JTI1"),
    (Json, "data:text/html;base64,", "PGE+"),
    // Detectors.
    (Form, "a' ", "or 1=1 "),
    (Form, "1", "/**/or/**/1"),
    (Form, "", "'\"`"),
    (Form, "1", "("),
    (Form, "1 union ", "select "),
    (Form, "1 ", "union select 1,"),
    (Form, "1", "||'a'"),
    (Form, "", "1;"),
    (Form, "select ", "case when 1 then "),
    (Form, "", "<a "),
    (Form, "", "<script>"),
    (Form, "", "\"'><"),
    (Form, "<a href=", "java&Tab;script:"),
    (Form, "", "alert("),
    (Form, "", "a[b]("),
    (Form, "<x style=", "\\65xpression("),
    (Form, "", "<!--"),
    (Form, "", "../"),
    (Form, "", "..%5c"),
    (Form, "", "%c0%ae"),
    (Form, "", "/etc/"),
    (Form, "", "http://"),
    (Form, "http://", "0x7f."),
    (Form, "", "[::"),
    (Form, "", "php://"),
    (Form, "", ";id|"),
    (Form, "", "$(a`"),
    (Form, "", "${IFS}c''a"),
    (Form, "", "/???/c?t "),
    (Form, "", "^p^o^w"),
    (Form, "", "system("),
    (Form, "", "$_GET[a]("),
    (Form, "", "{{7*"),
    (Form, "", "<%=#{${"),
    (Form, "{{", "''.__class__."),
    (Form, "", "${${lower:"),
    (Form, "", "#_memberAccess@a@"),
    (Form, "", "' || 'a'=='a"),
    (Form, "", "$ne[$gt]"),
    (Form, "", ")(|(uid=*"),
    (Form, "", "'] | //a["),
    (Form, "", "O:8:\"a\":1:{"),
    (Form, "", "rO0ABX"),
    (Form, "", "!!python/"),
    (Form, "", "__proto__."),
    (Form, "", "\r\nSet-Cookie: "),
    (Form, "", "\r\nBcc: a@b\r\n"),
    (Form, "", "<!--#exec "),
    (Form, "", "//a\\@"),
    (Form, "", "it's 5 o'clock; select "),
    (Json, "", "`rm -rf` \n"),
];

fn message((sent, begin, piece): (Sent, &str, &str), length: usize) -> (&'static str, Vec<u8>) {
    let mut value = begin.as_bytes().to_vec();
    while value.len() < length {
        value.extend(piece.as_bytes());
    }
    match sent {
        Raw(kind) => (kind, value),
        // Sent as it is, so that what is percent-encoded in a piece is decoded.
        Form => ("application/x-www-form-urlencoded", [b"a=", encoded(&value).as_slice()].concat()),
        Json => {
            let text = String::from_utf8(value).unwrap();
            ("application/json", serde_json::to_vec(&serde_json::json!({ "a": text })).unwrap())
        }
    }
}

fn encoded(value: &[u8]) -> Vec<u8> {
    value
        .iter()
        .flat_map(|byte| match byte {
            b'&' => b"%26".to_vec(),
            b'+' => b"%2B".to_vec(),
            b';' => b"%3B".to_vec(),
            byte => vec![*byte],
        })
        .collect()
}

/// Valgrind counts what happens in here.
#[inline(never)]
fn counted(ruleset: &Ruleset, content_type: &str, body: &[u8]) {
    let head = Head {
        method: "POST",
        target: b"/",
        content_type: Some(content_type.as_bytes()),
        content_encoding: None,
        fields: &(),
    };
    let mut inspection = ruleset.inspect_head(&head);
    ruleset.inspect_body(&head, Body::Complete(body), &mut inspection);
    drop(black_box(ruleset.decide(inspection)));
}

#[test]
fn hostile_input_costs_a_constant_for_each_byte() {
    if valgrind::is_missing() {
        return;
    }
    let counts = counts();
    assert_eq!(counts.len(), 2 * PIECES.len());
    let mut wrong = Vec::new();
    for (piece, counts) in PIECES.iter().zip(counts.chunks(2)) {
        let [small, large] = [SMALL, 4 * SMALL]
            .map(|length| f64::from(u32::try_from(message(*piece, length).1.len()).unwrap()));
        let [small, large] = [counts[0] / small, counts[1] / large];
        let line = format!("{small:>8.0} {large:>8.0} instructions a byte for {piece:?}");
        if std::env::var("RASP_TEST_PLOT").is_ok() {
            println!("{line}");
        }
        if large > small * GROWTH || large > MOST {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Instructions of each call of `counted` in a process of its own.
fn counts() -> Vec<f64> {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--toggle-collect=linear::counted*", "--dump-after=*counted*"]);
    command.arg(format!("--callgrind-out-file={}", out.display())).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "what_valgrind_counts", "--test-threads=1"]).env(RUN, "1");
    assert!(command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    let totals = |number: usize| {
        let dump = std::fs::read_to_string(format!("{}.{number}", out.display())).ok()?;
        let summary = dump.lines().find_map(|line| line.strip_prefix("summary: "))?;
        summary.trim().parse().ok()
    };
    (1..).map_while(totals).collect()
}

#[test]
fn what_valgrind_counts() {
    if std::env::var(RUN).is_err() {
        return;
    }
    let ruleset = Ruleset::build(&Effective::builtin_blocking()).unwrap();
    for piece in PIECES {
        for length in [SMALL, 4 * SMALL] {
            let (content_type, body) = message(*piece, length);
            counted(&ruleset, content_type, &body);
        }
    }
}
