use super::*;
use crate::budget::Limits;

/// Collects what the decoders yield.
pub(super) struct Seen {
    noted: Option<Reason>,
    budget: Budget,
    fields: Vec<Yield>,
}

impl Visit for Seen {
    fn field(&mut self, field: &Field<'_>) -> Result<(), Reason> {
        self.budget.part()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.fields.push((field.part, text(field.name), text(field.value)));
        Ok(())
    }

    fn note(&mut self, reason: Reason) {
        self.noted = Some(reason);
    }

    fn budget(&mut self) -> &mut Budget {
        &mut self.budget
    }
}

fn mk_limits() -> Limits {
    Limits { parts: 100, depth: 8, decoded_bytes: 10_000, work: 100_000 }
}

/// Part, name and value.
pub(super) type Yield = (Part, String, String);

/// What a decoder yields, and what it says was not read.
pub(super) fn seen(decode: impl FnOnce(&mut Seen) -> Result<(), Reason>) -> (Vec<Yield>, Option<Reason>) {
    let mut seen = Seen { noted: None, budget: Budget::new(mk_limits()), fields: Vec::new() };
    let result = decode(&mut seen);
    (seen.fields, result.err().or(seen.noted))
}

fn values(part: Part, decode: impl FnOnce(&mut Seen) -> Result<(), Reason>) -> Vec<String> {
    let (fields, _) = seen(decode);
    fields.into_iter().filter(|(seen, _, _)| *seen == part).map(|(_, _, value)| value).collect()
}

fn mk_head<'a>(content_type: Option<&'a str>, content_encoding: Option<&'a str>) -> Head<'a> {
    Head {
        method: "POST",
        target: b"/",
        content_type: content_type.map(str::as_bytes),
        content_encoding: content_encoding.map(str::as_bytes),
        fields: &(),
    }
}

#[test]
fn percent_decoding_keeps_what_is_not_an_escape() {
    let rows: &[(&[u8], &[u8])] = &[
        (b"", b""),
        (b"abc", b"abc"),
        (b"a+b", b"a b"),
        (b"%41%62%2B", b"Ab+"),
        (b"%", b"%"),
        (b"%4", b"%4"),
        (b"%zz%4", b"%zz%4"),
        (b"%00%ff", b"\x00\xff"),
        (b"%u0027", b"'"),
        (b"%U0041", b"A"),
        (b"%ud800", b"\xEF\xBF\xBD"),
        (b"%u12", b"%u12"),
        (b"%2541", b"%41"),
        (b"100%", b"100%"),
    ];
    for (encoded, decoded) in rows {
        assert_eq!(percent::decode(encoded, true, &mut Vec::new()), *decoded);
    }
    assert_eq!(percent::decode(b"a+b", false, &mut Vec::new()), b"a+b");
}

#[test]
fn query_yields_names_and_values_of_every_pair() {
    let (fields, reason) = seen(|seen| target(b"/p?a=1&b=x%20y&c&=z&&d=e=f#fragment=1", seen));
    assert_eq!(reason, None);
    let field = |part, name: &str, value: &str| (part, name.to_owned(), value.to_owned());
    let expected = vec![
        field(Part::Path, "", "p"),
        field(Part::QueryName, "", "a"),
        field(Part::Query, "a", "1"),
        field(Part::QueryName, "", "b"),
        field(Part::Query, "b", "x y"),
        field(Part::QueryName, "", "c"),
        field(Part::Query, "", "z"),
        field(Part::QueryName, "", "d"),
        field(Part::Query, "d", "e=f"),
    ];
    assert_eq!(fields, expected);
}

#[test]
fn query_is_also_split_at_semicolons() {
    let values = values(Part::Query, |seen| target(b"/?a=1;b=2", seen));
    assert_eq!(values, ["1;b=2", "1", "2"]);
}

#[test]
fn a_value_that_is_json_yields_its_members() {
    let values = values(Part::Json, |seen| target(b"/?a=%7B%22b%22%3A%22%5Cu0027%22%7D", seen));
    assert_eq!(values, ["'"]);
}

#[test]
fn path_yields_segments_and_what_spans_slashes() {
    let paths = |path: &[u8]| values(Part::Path, |seen| target(path, seen));
    assert_eq!(paths(b"/a/b%20c/"), ["a", "b c"]);
    assert_eq!(paths(b"/a+b"), ["a+b"]);
    assert_eq!(paths(b"/item/1/**/or/**/1=1"), ["item", "1", "**", "or", "**", "1=1", "1/**/or/**/1=1"]);
    assert_eq!(paths(b"/x/y'--"), ["x", "y'--", "x/y'--"]);
}

#[test]
fn a_body_in_declared_utf_7_is_read_as_that_and_as_it_stands() {
    let rows: &[(&str, &str, &[&str])] = &[
        ("application/x-www-form-urlencoded; charset=utf-7", "q=+ADw-script+AD4-", &["<script>"]),
        ("application/x-www-form-urlencoded; charset=UTF-7", "q=+ADwAcwBjAHIAaQBwAHQAPg", &["<script>"]),
        ("application/x-www-form-urlencoded; charset=utf-7", "q=a+-b", &["a b"]),
        ("application/json; charset=utf-7", "{\"q\":\"+ACc- or 1+AD0-1\"}", &["' or 1=1"]),
        ("application/json; charset=utf-8", "{\"q\":\"+ACc- or 1+AD0-1\"}", &[]),
    ];
    for (content_type, body, expected) in rows {
        let head = mk_head(Some(content_type), None);
        let (fields, reason) = seen(|seen| super::body(kind(&head), &head, (body.as_bytes(), false), seen));
        let values: Vec<&str> = fields.iter().map(|(_, _, value)| &**value).collect();
        assert!(expected.iter().all(|wanted| values.contains(wanted)), "{body}: {values:?}");
        assert_eq!(reason, None, "{body}");
        let stands = values.iter().any(|value| value.contains('A'));
        assert!(stands || !body.contains('A'), "{body}: {values:?}");
    }
}

#[test]
fn the_type_tells_how_a_body_is_read() {
    let framed = |is_web, is_text, is_json| Kind::Frames(Framing { is_web, is_text, is_json });
    let rows: &[(Option<&str>, Option<&str>, Kind)] = &[
        (Some("application/x-www-form-urlencoded"), None, Kind::Form),
        (Some("Application/X-WWW-Form-Urlencoded; charset=utf-8"), None, Kind::Form),
        (Some("application/json"), None, Kind::Json),
        (Some(" application/json ;charset=utf-8"), None, Kind::Json),
        (Some("application/vnd.api+json"), None, Kind::Json),
        (Some("application/json"), Some("identity"), Kind::Json),
        (None, None, Kind::Sniff),
        (Some(""), None, Kind::Sniff),
        (Some("text/plain"), None, Kind::Sniff),
        (Some("multipart/form-data; boundary=x"), None, Kind::Multipart),
        (Some("text/xml"), None, Kind::Xml),
        (Some("application/soap+xml"), None, Kind::Xml),
        (Some("image/svg+xml"), None, Kind::Xml),
        (Some("application/graphql"), None, Kind::GraphQl),
        (Some("application/x-ndjson"), None, Kind::Lines),
        (Some("application/x-protobuf"), None, Kind::Not(Reason::OpaqueBody)),
        (Some("application/protobuf"), None, Kind::Protobuf),
        (Some("application/grpc-web+proto"), None, framed(true, false, false)),
        (Some("application/grpc-web-text"), None, framed(true, true, false)),
        (Some("Application/gRPC"), None, framed(false, false, false)),
        (Some("application/grpc+json"), None, framed(false, false, true)),
        (Some("application/octet-stream"), None, Kind::Undeclared),
        (Some("text/html"), None, Kind::Undeclared),
        (Some("Application/PDF"), None, Kind::Not(Reason::OpaqueBody)),
        (Some("multipart/mixed"), None, Kind::Multipart),
        (Some("application/grpc+proto"), None, framed(false, false, false)),
        (Some("application/json"), Some("identity, ,"), Kind::Json),
        (Some("image/png"), Some("gzip"), Kind::Not(Reason::OpaqueBody)),
        (Some("application/x-protobuf"), Some("snappy"), Kind::Not(Reason::OpaqueBody)),
        (Some("multipart/form-data"), Some("gzip"), Kind::Encoded),
        (Some("application/grpc"), Some("gzip"), framed(false, false, false)),
        (Some("application/grpc-web"), Some("gzip"), Kind::Encoded),
        (Some("image/png"), None, Kind::Not(Reason::OpaqueBody)),
        (Some("x"), None, Kind::Undeclared),
        (Some("application/json"), Some("gzip"), Kind::Encoded),
        (None, Some("br"), Kind::Encoded),
    ];
    for (content_type, content_encoding, expected) in rows {
        assert_eq!(kind(&mk_head(*content_type, *content_encoding)), *expected, "{content_type:?}");
    }
}

#[test]
fn json_yields_strings_and_keys_also_of_duplicate_members() {
    let document = br#"{"a":"1","a":"2","b":[true,null,3.5,-1,9,{"c":"x\ny"}]}"#;
    let (fields, reason) = seen(|seen| content(Kind::Json, b"", (document, false), seen));
    assert_eq!(reason, None);
    let strings: Vec<_> =
        fields.iter().filter(|field| field.0 == Part::Json).map(|f| (&*f.1, &*f.2)).collect();
    assert_eq!(strings, [("a", "1"), ("a", "2"), ("c", "x\ny")]);
    let keys: Vec<_> =
        fields.iter().filter(|field| field.0 == Part::JsonKey).map(|field| &*field.2).collect();
    assert_eq!(keys, ["a", "a", "b", "c"]);
}

#[test]
fn json_is_read_after_a_byte_order_mark_and_as_a_bare_string() {
    assert_eq!(
        values(Part::Json, |seen| content(Kind::Json, b"", (b"\xEF\xBB\xBF[\"a\"]", false), seen)),
        ["a"]
    );
    assert_eq!(values(Part::Json, |seen| content(Kind::Json, b"", (b"\"a\"", false), seen)), ["a"]);
}

#[test]
fn json_that_is_too_deep_is_noted() {
    let deep = format!("{}1{}", "[".repeat(9), "]".repeat(9));
    assert_eq!(
        seen(|seen| content(Kind::Json, b"", (deep.as_bytes(), false), seen)).1,
        Some(Reason::TooDeep)
    );
    let fine = format!("{}1{}", "[".repeat(8), "]".repeat(8));
    assert_eq!(seen(|seen| content(Kind::Json, b"", (fine.as_bytes(), false), seen)).1, None);
}

#[test]
fn what_is_too_deep_is_still_looked_through() {
    let deep = format!("{}\"\\u0027x\"{}", "[".repeat(20), "]".repeat(20));
    let (fields, reason) = seen(|seen| target(format!("/?a={deep}&b=after").as_bytes(), seen));
    assert_eq!(reason, Some(Reason::TooDeep));
    assert!(fields.contains(&(Part::Json, String::new(), "'x".into())), "{fields:?}");
    assert!(fields.contains(&(Part::Query, "b".into(), "after".into())), "{fields:?}");
}

#[test]
fn documents_in_strings_of_documents_are_read_and_bounded() {
    let wrap = |text: &str| serde_json::to_string(&[text]).unwrap();
    let mut document = wrap("innermost");
    for _ in 0..3 {
        document = wrap(&document);
    }
    let (fields, reason) = seen(|seen| content(Kind::Json, b"", (document.as_bytes(), false), seen));
    assert_eq!(reason, None);
    assert!(fields.contains(&(Part::Json, String::new(), "innermost".into())), "{fields:?}");
    let document = wrap(&document);
    let (fields, reason) = seen(|seen| content(Kind::Json, b"", (document.as_bytes(), false), seen));
    assert_eq!(reason, Some(Reason::TooDeep));
    assert!(fields.contains(&(Part::Json, String::new(), "innermost".into())), "{fields:?}");
}

#[test]
fn malformed_json_yields_what_looks_like_strings_and_the_raw_text() {
    let document = br#"{"a":"x", b: "\u0027 or 1=1", /* c */ "lone\ud800" "#;
    let (fields, reason) = seen(|seen| content(Kind::Json, b"", (document, false), seen));
    assert_eq!(reason, Some(Reason::MalformedBody));
    assert!(fields.contains(&(Part::Json, String::new(), "' or 1=1".into())), "{fields:?}");
    assert!(fields.iter().any(|(part, _, value)| *part == Part::Text && value.starts_with('{')));
}

#[test]
fn a_truncated_document_is_not_called_malformed() {
    let (fields, reason) = seen(|seen| content(Kind::Json, b"", (br#"{"a":"x","b":"y"#, true), seen));
    assert_eq!(reason, None);
    assert!(fields.contains(&(Part::Json, "a".into(), "x".into())));
    assert!(fields.contains(&(Part::Json, String::new(), "y".into())), "the part of a string that came");
}

#[test]
fn a_form_that_is_json_is_read_as_json() {
    assert_eq!(values(Part::Json, |seen| content(Kind::Form, b"", (br#"{"a":"b"}"#, false), seen)), ["b"]);
    assert_eq!(values(Part::Form, |seen| content(Kind::Form, b"", (b"{a=b", false), seen)), ["b"]);
}

#[test]
fn a_body_without_a_type_is_told_by_its_shape() {
    assert_eq!(values(Part::Json, |seen| content(Kind::Sniff, b"", (b" [\"a\"]", false), seen)), ["a"]);
    assert_eq!(
        values(Part::Form, |seen| content(Kind::Sniff, b"", (b"a=b&c=d%20e", false), seen)),
        ["b", "d e"]
    );
    assert_eq!(
        values(Part::Text, |seen| content(Kind::Sniff, b"", (b"hello, world", false), seen)),
        ["hello, world"]
    );
    assert_eq!(
        seen(|seen| content(Kind::Sniff, b"", (b"\x00\x01", false), seen)).1,
        Some(Reason::OpaqueBody)
    );
}

#[test]
fn every_budget_ends_in_its_reason() {
    let many = format!("/?{}", "a=1&".repeat(100));
    assert_eq!(seen(|seen| target(many.as_bytes(), seen)).1, Some(Reason::TooManyParts));
    let long = format!("/?a={}", "x".repeat(10_001));
    assert_eq!(seen(|seen| target(long.as_bytes(), seen)).1, Some(Reason::DecodedTooLarge));
    let mut budget = Budget::new(mk_limits());
    assert_eq!(budget.work(100_000), Ok(()));
    assert_eq!(budget.work(1), Err(Reason::WorkLimit));
    assert_eq!(budget.work(usize::MAX), Err(Reason::WorkLimit));
}

/// A text in each of the encodings: name of the charset, whether it starts with a mark, bytes.
fn encoded(text: &str) -> Vec<(&'static str, bool, Vec<u8>)> {
    let mut rows = Vec::new();
    for marked in [false, true] {
        let text = if marked { format!("\u{FEFF}{text}") } else { text.to_owned() };
        let units = || text.encode_utf16();
        rows.push(("utf-16le", marked, units().flat_map(u16::to_le_bytes).collect()));
        rows.push(("utf-16be", marked, units().flat_map(u16::to_be_bytes).collect()));
        let chars = || text.chars().map(u32::from);
        rows.push(("UTF-32LE", marked, chars().flat_map(u32::to_le_bytes).collect()));
        rows.push(("UTF-32BE", marked, chars().flat_map(u32::to_be_bytes).collect()));
    }
    rows
}

#[test]
fn json_in_utf_16_and_utf_32_is_read_whatever_the_type_says() {
    for (charset, marked, bytes) in encoded("{\"a\": \"1' or \u{1F600}\u{4E2D}\"}") {
        for kind in [Kind::Json, Kind::Form, Kind::Sniff] {
            let (fields, reason) = seen(|seen| content(kind, b"", (&bytes, false), seen));
            assert_eq!(reason, None, "{charset} {marked} {kind:?}");
            let expected = (Part::Json, "a".to_owned(), "1' or \u{1F600}\u{4E2D}".to_owned());
            assert!(fields.contains(&expected), "{charset} {marked} {kind:?}: {fields:?}");
        }
    }
    for (charset, marked, bytes) in encoded("\"\u{4E2D}'\"") {
        let values = values(Part::Json, |seen| content(Kind::Json, b"", (&bytes, false), seen));
        assert_eq!(values, ["\u{4E2D}'"], "{charset} {marked}");
    }
}

#[test]
fn a_declared_charset_is_believed_only_where_the_bytes_do_not_contradict_it() {
    for (charset, _, bytes) in encoded("\u{4E2D}=x") {
        let head = format!("text/plain; charset=\"{charset}\"");
        let (fields, _) = seen(|seen| content(Kind::Form, head.as_bytes(), (&bytes, false), seen));
        assert!(fields.contains(&(Part::Form, "\u{4E2D}".into(), "x".into())), "{head}: {fields:?}");
    }
    let plain =
        values(Part::Json, |seen| content(Kind::Json, b"a/b; charset=utf-16", (b"[\"a\"]", false), seen));
    assert_eq!(plain, ["a"]);
}

fn charset_of(content_type: &str) -> Vec<u8> {
    charset(content_type.as_bytes()).to_vec()
}

#[test]
fn the_charset_is_told_from_the_other_parameters() {
    let rows = [
        ("application/json", ""),
        ("application/json;charset=utf-16", "utf-16"),
        ("application/json; a=b; Charset = \"UTF-16LE\" ; c", "UTF-16LE"),
        ("application/json; charset", ""),
        ("application/json; charset=\"", ""),
    ];
    for (content_type, expected) in rows {
        assert_eq!(charset_of(content_type), expected.as_bytes(), "{content_type}");
    }
}

#[test]
fn transcoding_draws_on_the_decoded_budget_and_survives_what_breaks_off() {
    let long: Vec<u8> = b"{\0".iter().copied().cycle().take(8_000).collect();
    assert_eq!(seen(|seen| content(Kind::Json, b"", (&long, false), seen)).1, Some(Reason::DecodedTooLarge));
    for (_, _, bytes) in encoded("{\"a\":\"b\"}") {
        let cut = &bytes[..bytes.len() - 1];
        let values = values(Part::Json, |seen| content(Kind::Json, b"", (cut, false), seen));
        assert!(values.contains(&"b".to_owned()), "{values:?}");
    }
}

#[test]
fn a_charset_that_is_not_read_is_noted() {
    let rows = [("", None), ("UTF-8", None), ("utf-7", None), ("ibm037", Some(Reason::UnsupportedBody))];
    for (charset, expected) in rows {
        let reason = seen(|seen| {
            content(Kind::Json, format!("a/b; charset={charset}").as_bytes(), (b"[]", false), seen)
        })
        .1;
        assert_eq!(reason, expected, "{charset}");
    }
}
