//! Attacks in disguise are blocked as if they were written plainly, and their harmless twins pass. Each against a gateway in
//! Block, whose failure mode decides nothing here: all of it can be read.

use rasp_engine::Ruleset;
use rasp_policy::api::FailureMode;
use rasp_policy::precedence::Effective;
use rasp_proxy::connection::Target;
use rasp_proxy::policy::InForce;

use super::client::ask;
use super::timers::{ALL_LONG, serve_changed};
use super::upstream::Upstream;

/// What it is, where it stands, and the status of the answer.
type Vector = (&'static str, Place, u16);

enum Place {
    /// The value of a parameter of the query, percent-encoded.
    Value(&'static str),
    /// The query as it is sent.
    Query(&'static str),
    /// A field of the head.
    Field(&'static str),
}

use Place::{Field, Query, Value};

const VECTORS: [Vector; 35] = [
    ("full-width brackets", Value("\u{ff1c}script\u{ff1e}alert(1)\u{ff1c}/script\u{ff1e}"), 403),
    (
        "full-width letters and brackets",
        Value("\u{ff1c}\u{ff21}\u{ff22}\u{ff23}\u{ff1e} \u{ff08}new\u{ff09}"),
        200,
    ),
    ("UTF-7", Value("+ADw-script+AD4-alert(1)+ADw-/script+AD4-"), 403),
    ("something like UTF-7", Value("a+ADB-b and C+-"), 200),
    ("an address with a character reference", Value("<a href=\"&#106;avascript:alert(1)\">x</a>"), 403),
    ("a reference in hexadecimal", Value("<a href=\"&#x6a;avascript:alert(1)\">x</a>"), 403),
    (
        "a reference with zeros and without an end",
        Value("<a href=\"&#0000106avascript:alert(1)\">x</a>"),
        403,
    ),
    (
        "references in a document of an attribute",
        Value("<iframe srcdoc=\"&lt;script&gt;alert(1)&lt;/script&gt;\">"),
        403,
    ),
    ("what a page makes of a text with brackets", Value("&lt;b&gt; is bold, R&amp;D is not"), 200),
    ("a command with quotes", Value(";c''at /e't'c/passwd"), 403),
    ("a command with the separator of fields", Value(";cat$IFS/etc/passwd"), 403),
    ("a command of wildcards", Value(";/???/c?t /???/p??s??"), 403),
    ("a command with an empty variable", Value(";ca${x}t /etc/passwd"), 403),
    ("a question with wildcards", Value("who? what?? etc/"), 200),
    ("prices", Value("$5; ${name} pays 'cash'"), 200),
    ("Latin-1 beside an attack", Query("caf%e9'+OR+'1'='1"), 403),
    ("Latin-1", Query("caf%e9+d'or"), 200),
    ("UTF-8 beside an attack", Query("caf%c3%a9'+OR+'1'='1"), 403),
    ("a field of the head", Field("X-Q: 1' OR '1'='1"), 403),
    ("the name of a browser", Field("User-Agent: 1' OR '1'='1"), 403),
    ("a cookie", Field("Cookie: a=b; q=1' OR '1'='1"), 403),
    ("a field with quotes", Field("X-Q: O'Brien or 'somebody'"), 200),
    // EN-06 to EN-08 of ADR 5.
    ("a full-width quote", Value("1\u{ff07} OR \u{ff07}1\u{ff07}=\u{ff07}1"), 403),
    ("a full-width quote of a name", Value("O\u{ff07}Brien or somebody"), 200),
    ("a long s", Value("1' UNION \u{17f}ELECT password FROM u\u{17f}ers--"), 403),
    ("a long s in a text", Value("Wach\u{17f}tube \u{17f}elect"), 200),
    ("the sign of Kelvin", Value("<a href=java\u{17f}cript:alert(1)>clic\u{212a}</a>"), 403),
    ("a temperature", Value("300 \u{212a} and more"), 200),
    ("a letter that becomes a quote", Value("1\u{2bc} OR \u{2bc}1\u{2bc}=\u{2bc}1"), 403),
    ("a prime that becomes a quote", Value("1\u{2032} OR \u{2032}1\u{2032}=\u{2032}1"), 403),
    ("feet", Value("5\u{2032} or 6\u{2032}"), 200),
    // EN-17.
    (
        "an encoded parameter",
        Field("Content-Disposition: attachment; filename*=UTF-8''..%2f..%2f..%2fetc%2fpasswd"),
        403,
    ),
    (
        "a statement in an encoded parameter",
        Field("X-File: a; name*=UTF-8''1%27%20UNION%20SELECT%20password%20FROM%20users--"),
        403,
    ),
    (
        "a harmless encoded parameter",
        Field("Content-Disposition: attachment; filename*=UTF-8''a%20b.txt"),
        200,
    ),
    ("a file with quotes", Field("Content-Disposition: attachment; filename*=UTF-8''O%27Brien.txt"), 200),
];

fn request(place: &Place) -> String {
    use std::fmt::Write as _;
    match place {
        Value(value) => {
            let encoded = value.bytes().fold(String::new(), |mut all, byte| {
                let _ = write!(all, "%{byte:02x}");
                all
            });
            format!("GET /?q={encoded} HTTP/1.1\r\nHost: a\r\n\r\n")
        }
        Query(query) => format!("GET /?q={query} HTTP/1.1\r\nHost: a\r\n\r\n"),
        Field(field) => format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n"),
    }
}

#[test]
fn an_attack_in_disguise_is_blocked_and_its_harmless_twin_passes() {
    let upstream = Upstream::ok();
    let mut wrong = Vec::new();
    for failure_mode in [FailureMode::Open, FailureMode::Closed] {
        let target = Target::Gateway(upstream.address.to_string().into(), upstream.address.port());
        let inside = serve_changed(target, ALL_LONG, 1 << 20, |_| {});
        let effective = Effective { failure_mode, ..Effective::builtin_blocking() };
        inside.policy.replace(InForce::builtin(Ruleset::build(&effective).unwrap()));
        for (what, place, expected) in &VECTORS {
            let status = ask(inside.address, request(place)).status();
            if status != *expected {
                wrong.push(format!("{what}: {status} instead of {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
