use http::Version;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::{Hop, Named, connect, forwarded_for, strip, written};

type Lines<'a> = &'a [(&'a str, &'a str)];

fn headers(lines: Lines<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers
            .append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn says_what_the_removed_fields_meant() {
    let (eleven, ten) = (Version::HTTP_11, Version::HTTP_10);
    let hop = |close, keep_alive, upgrade| Hop { close, keep_alive, upgrade };
    let table: [(Lines<'_>, Version, Hop, &[&str]); 8] = [
        (&[], eleven, hop(false, false, false), &[]),
        (&[], ten, hop(true, false, false), &[]),
        (&[("connection", "Keep-Alive")], ten, hop(false, true, false), &[]),
        (&[("connection", "a, close"), ("a", "1"), ("b", "2")], eleven, hop(true, false, false), &["b"]),
        (
            &[("connection", "a"), ("connection", "b,, c"), ("a", "1"), ("c", "2")],
            eleven,
            hop(false, false, false),
            &[],
        ),
        (
            &[("connection", "upgrade"), ("upgrade", "websocket")],
            eleven,
            hop(false, false, true),
            &["upgrade"],
        ),
        (
            &[("connection", "upgrade, http2-settings"), ("upgrade", "h2c")],
            eleven,
            hop(false, false, false),
            &[],
        ),
        (&[("upgrade", "websocket"), ("te", "gzip")], eleven, hop(false, false, false), &[]),
    ];
    for (lines, version, expected, left) in table {
        let mut headers = headers(lines);
        let named = Named::of(&headers);
        assert_eq!(strip(&mut headers, version, named), expected, "{lines:?}");
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), left, "{lines:?}");
    }
}

#[test]
fn a_nominated_length_stays() {
    let mut headers =
        headers(&[("connection", "content-length, te"), ("content-length", "3"), ("te", "trailers")]);
    let named = Named::of(&headers);
    strip(&mut headers, Version::HTTP_11, named);
    assert_eq!(
        (headers["content-length"].as_bytes(), headers["te"].as_bytes()),
        (&b"3"[..], &b"trailers"[..])
    );
}

#[test]
fn tells_the_next_hop_what_holds_for_it() {
    let table: [(Lines<'_>, Version, Option<&str>); 5] = [
        (&[("connection", "close")], Version::HTTP_11, Some("close")),
        (&[("connection", "keep-alive")], Version::HTTP_11, None),
        (&[("connection", "keep-alive")], Version::HTTP_10, Some("keep-alive")),
        (&[("te", "trailers")], Version::HTTP_11, Some("TE")),
        (&[("connection", "Upgrade"), ("upgrade", "x")], Version::HTTP_11, Some("upgrade")),
    ];
    for (lines, version, expected) in table {
        let mut headers = headers(lines);
        let named = Named::of(&headers);
        let hop = strip(&mut headers, version, named);
        connect(&mut headers, hop, version, named);
        assert_eq!(
            headers.get("connection").map(HeaderValue::as_bytes),
            expected.map(str::as_bytes),
            "{lines:?}"
        );
    }
}

#[test]
fn appends_the_peer_to_the_addresses_before_it() {
    let mut none = HeaderMap::new();
    forwarded_for(&mut none, &written("[::ffff:10.0.0.9]:80".parse().unwrap()), Named::default());
    assert_eq!(none["x-forwarded-for"], "10.0.0.9");
    let mut some = headers(&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2")]);
    let named = Named::of(&some);
    forwarded_for(&mut some, &written("[fd00::9]:80".parse().unwrap()), named);
    assert_eq!(some.get_all("x-forwarded-for").iter().collect::<Vec<_>>(), ["1.1.1.1, 2.2.2.2, fd00::9"]);
}

#[test]
fn lines_that_came_around_hyper_are_added_as_it_would_have_read_them() {
    let mut headers = headers(&[("a", "1")]);
    super::append(&mut headers, b"A: 2\r\nSet-Cookie:\tb=c:d \r\nEmpty:\r\nLatin: \xe9\r\n");
    let lines: Vec<(&str, &[u8])> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let expected: [(&str, &[u8]); 5] =
        [("a", b"1"), ("a", b"2"), ("set-cookie", b"b=c:d"), ("empty", b""), ("latin", b"\xe9")];
    assert_eq!(lines, expected);
}

#[test]
fn every_field_that_is_asked_for_by_name_is_seen_in_any_case() {
    let table: [(&[&str], Named); 9] = [
        (&["Connection"], Named::CONNECTION),
        (&["Keep-Alive", "Proxy-Connection", "Upgrade", "HTTP2-Settings"], Named::HOP),
        (&["TE"], Named::TE),
        (&["Transfer-Encoding"], Named::TRANSFER_ENCODING),
        (&["Content-Length"], Named::CONTENT_LENGTH),
        (&["Content-Type", "Content-Encoding"], Named::CONTENT),
        (&["Expect"], Named::EXPECT),
        (&["X-Request-Id", "traceparent"], Named::TRACE),
        (&["X-Forwarded-For"], Named::FORWARDED_FOR),
    ];
    for (names, field) in table {
        for name in names {
            let named = Named::of(&headers(&[("host", "a"), (name, "1"), ("accept", "*/*")]));
            assert_eq!(named, field, "{name}");
        }
    }
    assert_eq!(Named::of(&headers(&[("x-te", "a"), ("expectations", "b")])), Named::default());
}
