use proptest::prelude::*;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::super::super::{Field, Visit};
use super::{Stop, walk};
use crate::budget::{Budget, Limits};
use crate::finding::Part;
use crate::reason::Reason;

type Fields = Vec<(Part, Vec<u8>, Vec<u8>)>;

/// Collects; strings that hold documents of their own are documents.
struct Collect {
    fields: Fields,
    budget: Budget,
}

impl Visit for Collect {
    fn field(&mut self, field: &Field<'_>) -> Result<(), Reason> {
        self.fields.push((field.part, field.name.to_vec(), field.value.to_vec()));
        Ok(())
    }

    fn note(&mut self, _: Reason) {}

    fn budget(&mut self) -> &mut Budget {
        &mut self.budget
    }
}

fn ours(bytes: &[u8]) -> (bool, Fields) {
    let mut collect = Collect { fields: Vec::new(), budget: Budget::new(Limits::for_body(1 << 20)) };
    let read = walk(bytes, &mut collect);
    assert!(matches!(read, Ok(()) | Err(Stop::Malformed)), "{read:?}");
    (read.is_ok(), collect.fields)
}

/// The same by serde_json.
struct Reference<'a> {
    fields: &'a mut Fields,
    key: &'a [u8],
}

impl<'de> DeserializeSeed<'de> for Reference<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reference<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        if value.trim_ascii_start().starts_with(['{', '['])
            && serde_json::from_str::<serde::de::IgnoredAny>(value).is_ok()
        {
            self.fields.extend(reference(value.as_bytes()).1);
        } else if !value.is_empty() {
            self.fields.push((Part::Json, self.key.to_vec(), value.as_bytes().to_vec()));
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while members.next_element_seed(Reference { fields: self.fields, key: self.key })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(key) = members.next_key::<String>()? {
            self.fields.push((Part::JsonKey, self.key.to_vec(), key.as_bytes().to_vec()));
            members.next_value_seed(Reference { fields: self.fields, key: key.as_bytes() })?;
        }
        Ok(())
    }
}

fn reference(bytes: &[u8]) -> (bool, Fields) {
    let mut fields = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let read = Reference { fields: &mut fields, key: b"" }.deserialize(&mut deserializer);
    (read.and_then(|()| deserializer.end()).is_ok(), fields)
}

/// Pieces of documents, right and wrong; none that decodes to something that would be decoded again.
const PIECES: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"a\"",
    b"\"it's\"",
    b"\"\"",
    b"\"\\n\\u0041\"",
    b"\"\\ud83d\\ude00\"",
    b"\"\\ud800\"",
    b"\"\\x\"",
    b"\"\n\"",
    b"\"\x1f\"",
    b"\"\x7f\"",
    b"\"\\\"",
    b"\"",
    b"\\",
    b"\xc3\xa4",
    b"\"\xc3\xa4\"",
    b"\"\xff\"",
    b"\xff",
    b"0",
    b"-0",
    b"01",
    b"1.5",
    b"1.",
    b".5",
    b"-",
    b"+1",
    b"1e5",
    b"1E+5",
    b"1e-5",
    b"1e",
    b"1e999",
    b"-1e999",
    b"123456789012345678901234567890",
    b"true",
    b"false",
    b"null",
    b"nul",
    b"NaN",
    b" ",
    b"\t",
    b"\r\n",
    b"\x0b",
    b"\x00",
    b"\"long enough for a word of eight bytes\"",
    b"\"12345678\"",
    b"\"1234567\\t\"",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reads_what_serde_json_reads(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..12)) {
        let text = pieces.concat();
        prop_assert_eq!(ours(&text), reference(&text), "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn reads_documents_and_what_is_almost_one(
        members in proptest::collection::vec(proptest::sample::select(PIECES), 1..6),
        change in proptest::option::of((any::<proptest::sample::Index>(), proptest::sample::select(b"{}[]\",:\\ 0e.\xff\x01".to_vec()))),
    ) {
        let list = members.join(&b","[..]);
        let mut text = [b"{\"k\": [", &list[..], b"], \"k\":{\"m\" :", members[0], b"}}"].concat();
        if let Some((at, byte)) = change {
            let at = at.index(text.len());
            text[at] = byte;
        }
        prop_assert_eq!(ours(&text), reference(&text), "{}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn a_document_in_a_string_is_read_and_not_the_string() {
    for text in [r#""[]""#, r#""{}""#, r#"["[0]"]"#, r#"{"a":"[ true ]"}"#, r#""[""#, r#"" []""#] {
        assert_eq!(ours(text.as_bytes()), reference(text.as_bytes()), "{text}");
    }
    assert_eq!(ours(br#""[]""#), (true, Vec::new()));
}

#[test]
fn numbers_that_no_double_holds_are_malformed_as_they_are_for_serde_json() {
    for digits in [1, 17, 18, 19, 20, 21, 300, 307, 308, 309, 310, 400] {
        for number in
            ["9".repeat(digits), format!("-{}.5", "1".repeat(digits)), format!("0.{}", "7".repeat(digits))]
        {
            assert_eq!(ours(number.as_bytes()), reference(number.as_bytes()), "{number}");
        }
    }
}

#[test]
fn a_string_ends_at_its_quote_wherever_that_stands() {
    for length in 0..200 {
        for other in [b' ', b'a', b'#', b'!', b'[', b']', 0x7F] {
            let text = vec![other; length];
            for behind in
                [&b"\""[..], b"\\n\"", b"\\\"\"", b"\\", b"\n\"", b"\x1f\"", b"\xff\"", b"\xc3\xa4\"", b""]
            {
                let text = [b"\"", &text[..], behind].concat();
                assert_eq!(ours(&text), reference(&text), "{}", text.escape_ascii());
                let text = [b"{", &text[..], b":1,\"a\":", &text[..], b"}"].concat();
                assert_eq!(ours(&text), reference(&text), "{}", text.escape_ascii());
            }
        }
    }
}
