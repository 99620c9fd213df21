use proptest::prelude::*;

use super::*;
use crate::decode::tests::{Yield, seen};

const TYPE: &str = "multipart/form-data; boundary=b";

fn read_as(content_type: &str, body: &str) -> (Vec<(&'static str, String, String)>, Option<Reason>) {
    let body = body.replace('|', "\r\n");
    let (fields, reason) =
        seen(|seen| decode(content_type.as_bytes(), (body.as_bytes(), false), seen).map(drop));
    let show = |(part, name, value): Yield| (part.as_str(), name, value);
    (fields.into_iter().map(show).collect(), reason)
}

/// Content type, body (`|` is a line break), what is yielded, what is noted.
type Row =
    (&'static str, &'static str, &'static [(&'static str, &'static str, &'static str)], Option<Reason>);

const BROKEN: Option<Reason> = Some(Reason::MalformedBody);

const ROWS: &[Row] = &[
    (
        TYPE,
        "--b|Content-Disposition: form-data; name=\"a\"||x' or 1=1--|--b--|",
        &[("form_name", "form-data", "a"), ("form", "a", "x' or 1=1--")],
        None,
    ),
    (
        TYPE,
        "--b|Content-Disposition: form-data; name=a|Content-Type: text/plain; charset=utf-8||1|2|--b|content-disposition:form-data;name=b||--b--",
        &[("form_name", "form-data", "a"), ("form", "a", "1\r\n2"), ("form_name", "form-data", "b")],
        None,
    ),
    (
        TYPE,
        "--b\nContent-Disposition: form-data; name=\"a\"\n\nx\n--b--\n",
        &[("form_name", "form-data", "a"), ("form", "a", "x")],
        None,
    ),
    (
        "multipart/form-data; boundary=\"b c\"",
        "--b c|Content-Disposition: form-data; name=\"f\"; filename=\"../a.php\"|Content-Type: image/png||<?php|--b c--",
        &[("form_name", "form-data", "f"), ("file_name", "f", "../a.php"), ("file", "../a.php", "<?php")],
        None,
    ),
    (
        TYPE,
        "--b|Content-Disposition: form-data; name=\"f\"; filename*=utf-8''..%2Fa.php||x|--b--",
        // Many applications know no `filename*`, and take it for a value.
        &[
            ("form_name", "form-data", "f"),
            ("file_name", "f", "../a.php"),
            ("file", "../a.php", "x"),
            ("form", "f", "x"),
        ],
        None,
    ),
    (
        TYPE,
        "--b|Content-Disposition: form-data; name=\"f\"; filename=\"a.txt\"; filename=\"b.php\"||x|--b--",
        &[
            ("form_name", "form-data", "f"),
            ("file_name", "f", "a.txt"),
            ("file_name", "f", "b.php"),
            ("file", "a.txt", "x"),
        ],
        None,
    ),
    (
        TYPE,
        "--b|Content-Disposition: form-data;| name=\"a\"|X-Other: <b>||x|--b--",
        &[("header", "X-Other", "<b>"), ("form_name", "form-data", "a"), ("form", "a", "x")],
        None,
    ),
    (
        TYPE,
        "--b|Content-Disposition: form-data; name=\"j\"; filename=\"blob\"|Content-Type: application/json||{\"k\":\"v\"}|--b--",
        &[
            ("form_name", "form-data", "j"),
            ("file_name", "j", "blob"),
            ("json_key", "", "k"),
            ("json", "k", "v"),
        ],
        None,
    ),
    (
        TYPE,
        "--b|Content-Disposition: form-data; name=\"x\"|Content-Type: text/xml||<a>b</a>|--b--",
        &[("form_name", "form-data", "x"), ("document", "", "<a>b</a>"), ("xml", "a", "b")],
        None,
    ),
    (
        TYPE,
        "--b|Content-Disposition: form-data; name=\"q\"|Content-Transfer-Encoding: base64||MScgb3IgMT0x|--b--",
        &[("form_name", "form-data", "q"), ("form", "q", "1' or 1=1"), ("form", "q", "MScgb3IgMT0x")],
        None,
    ),
    (
        TYPE,
        "--b|Content-Type: multipart/mixed; boundary=c||--c|Content-Disposition: form-data; name=\"d\"||e|--c--|--b--",
        &[("form_name", "form-data", "d"), ("form", "d", "e")],
        None,
    ),
    (
        TYPE,
        "--b|Content-Type: application/http||GET / HTTP/1.1|--b--",
        &[("text", "", "GET / HTTP/1.1")],
        None,
    ),
    // What is broken is read all the same.
    (
        TYPE,
        "before|--b|Content-Disposition: form-data; name=\"a\"||x|--b--|after",
        &[("text", "", "before"), ("form_name", "form-data", "a"), ("form", "a", "x"), ("text", "", "after")],
        None,
    ),
    (
        TYPE,
        "--b|Content-Disposition: form-data; name=\"a\"||x",
        &[("form_name", "form-data", "a"), ("form", "a", "x")],
        BROKEN,
    ),
    (TYPE, "--b|Content-Disposition: form-data; name=\"a\"", &[("form_name", "form-data", "a")], BROKEN),
    (
        TYPE,
        "--b|Content-Disposition : form-data; name=\"a\"||x|--b--",
        &[("form_name", "form-data", "a"), ("form", "a", "x")],
        BROKEN,
    ),
    (
        TYPE,
        "--b|Content-Disposition: form-data; name=\"a\"; name=\"c\"||x|--b--",
        &[("form_name", "form-data", "a"), ("form_name", "form-data", "c"), ("form", "a", "x")],
        BROKEN,
    ),
    (
        "multipart/form-data; boundary=c; boundary=b",
        "--b|Content-Disposition: form-data; name=\"a\"||x|--b--",
        &[("form_name", "form-data", "a"), ("form", "a", "x")],
        BROKEN,
    ),
    (
        "multipart/form-data",
        "--b|Content-Disposition: form-data; name=\"a\"||x|--b--",
        &[("form_name", "form-data", "a"), ("form", "a", "x")],
        BROKEN,
    ),
    (
        "multipart/form-data; boundary*0=a; boundary*1=b",
        "--ab|Content-Disposition: form-data; name=\"a\"||--abc|--ab--",
        &[("form_name", "form-data", "a"), ("form", "a", "--abc")],
        None,
    ),
    ("multipart/form-data; boundary=c", "hello", &[], None),
];

#[test]
fn parts_are_names_values_and_files() {
    for (content_type, body, expected, noted) in ROWS {
        let (fields, reason) = read_as(content_type, body);
        let found: Vec<_> = fields.iter().map(|(part, name, value)| (*part, &**name, &**value)).collect();
        assert_eq!((found.as_slice(), reason), (*expected, *noted), "{content_type} {body}");
    }
}

#[test]
fn what_came_of_a_body_that_is_cut_off_is_read() {
    let body = b"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx' or";
    let (fields, reason) = seen(|seen| decode(TYPE.as_bytes(), (body, true), seen).map(drop));
    assert_eq!(reason, None);
    assert_eq!(fields.last().map(|field| &*field.2), Some("x' or"));
}

#[test]
fn bodies_in_bodies_are_bounded() {
    let mut body = "--b|Content-Disposition: form-data; name=\"a\"||x|--b--".to_owned();
    for boundary in ["c", "d", "e", "f"] {
        let inner = char::from(boundary.as_bytes()[0] - 1);
        body = format!("--{boundary}|Content-Type: multipart/mixed; boundary={inner}||{body}|--{boundary}--");
    }
    let (fields, reason) = read_as("multipart/mixed; boundary=f", &body);
    assert_eq!(reason, Some(Reason::TooDeep));
    assert!(
        fields.iter().any(|(part, _, value)| *part == "text" && value.contains("name=\"a\"")),
        "{fields:?}"
    );
}

proptest! {
    #[test]
    fn no_bytes_panic_and_all_of_a_value_is_yielded(
        pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "--b", "--", "\r\n", "\n", "\r\n\r\n", "Content-Disposition: form-data; name=a", "; filename=\"x", "\"",
                "Content-Type: multipart/mixed; boundary=b", "Content-Transfer-Encoding: base64", "x", " ", ":", "\u{0}",
            ]),
            0..40,
        ),
        truncated in any::<bool>(),
    ) {
        let body = pieces.concat();
        let (fields, _) = seen(|seen| decode(TYPE.as_bytes(), (body.as_bytes(), truncated), seen).map(drop));
        let bytes: usize = fields.iter().map(|(_, _, value)| value.len()).sum();
        prop_assert!(bytes <= 8 * body.len() + 64, "{bytes} of {}", body.len());
    }
}
