//! GraphQL documents ([specification, October 2021](https://spec.graphql.org/October2021/)): the string literals of an
//! operation, named after the argument they are given to. Everything else is names, and names reach no interpreter.
//! Fields that are nested too deep are noted. Variables come as JSON and are read there.

use super::percent::hex;
use super::{Field, Visit, pairs};
use crate::finding::Part;
use crate::reason::Reason;

/// Whether it starts like an operation or a selection.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    const STARTS: &[&[u8]] = &[b"query", b"mutation", b"subscription", b"fragment"];
    let bytes = bytes.trim_ascii_start();
    let starts = |start: &&&[u8]| {
        bytes.strip_prefix(**start).is_some_and(|rest| {
            matches!(rest.first(), Some(b' ' | b'\t' | b'\r' | b'\n' | b'{' | b'(' | b'@'))
        })
    };
    (bytes.starts_with(b"{") || STARTS.iter().any(|start| starts(&start))) && bytes.contains(&b'{')
}

/// Yields the document, for the detectors that read documents, then its string literals.
pub(super) fn decode(bytes: &[u8], visit: &mut dyn Visit) -> Result<(), Reason> {
    visit.budget().work(bytes.len())?;
    visit.budget().operation();
    visit.field(&Field { part: Part::Document, name: b"", value: bytes })?;
    let (mut at, mut depth, mut name) = (0, 0_usize, 0..0);
    let mut text = Vec::new();
    let mut is_deep = false;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'#' => {
                let rest = bytes.get(at..).unwrap_or_default();
                at += rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
            }
            b'{' | b'(' | b'[' => {
                depth += 1;
                is_deep |= visit.budget().allows_depth(depth).is_err();
            }
            b'}' | b')' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                text.clear();
                at += literal(bytes.get(at..).unwrap_or_default(), &mut text);
                let name = bytes.get(name.clone()).unwrap_or_default();
                pairs::text(&Field { part: Part::GraphQl, name, value: &text }, visit)?;
            }
            byte if byte.is_ascii_alphabetic() || *byte == b'_' => {
                let rest = bytes.get(at..).unwrap_or_default();
                let is_end = |byte: &u8| !byte.is_ascii_alphanumeric() && *byte != b'_';
                let length = rest.iter().position(is_end).unwrap_or(rest.len());
                let blanks = |byte: &&u8| matches!(byte, b' ' | b'\t');
                let behind = rest.iter().skip(length).find(|byte| !blanks(byte));
                if behind == Some(&b':') {
                    name = at - 1..at + length;
                }
                at += length;
            }
            _ => {}
        }
    }
    if is_deep {
        visit.note(Reason::TooDeep);
    }
    Ok(())
}

/// Reads a literal behind its first quote. Gives its length with the quotes that end it.
fn literal(rest: &[u8], text: &mut Vec<u8>) -> usize {
    if let Some(block) = rest.strip_prefix(b"\"\"") {
        let end = memchr::memmem::find(block, b"\"\"\"").unwrap_or(block.len());
        text.extend_from_slice(block.get(..end).unwrap_or_default());
        return (2 + end + 3).min(rest.len());
    }
    let mut left = rest;
    loop {
        left = match left {
            [] => return rest.len(),
            [b'"', after @ ..] => return rest.len() - after.len(),
            [b'\\', b'u', a, b, c, d, after @ ..] if [a, b, c, d].iter().all(|x| hex(**x).is_some()) => {
                let code =
                    [a, b, c, d].iter().fold(0, |code, x| code << 4 | u32::from(hex(**x).unwrap_or(0)));
                let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                after
            }
            [b'\\', escaped, after @ ..] => {
                text.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => *other,
                });
                after
            }
            [byte, after @ ..] => {
                text.push(*byte);
                after
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decode::tests::seen;

    #[test]
    fn literals_are_named_after_their_argument() {
        let rows: &[(&str, &[(&str, &str)])] = &[
            ("{ user(id: \"1' or 1=1\") { name } }", &[("id", "1' or 1=1")]),
            ("query Q($a: String = \"x\") { f(b: [\"y\", \"z\"]) }", &[("a", "x"), ("b", "y"), ("b", "z")]),
            ("{ f(a: \"\\u0027\\\"\\n\") }", &[("a", "'\"\n")]),
            ("{ f(a: \"\"\"it's \"quoted\" \"\"\") }", &[("a", "it's \"quoted\" ")]),
            ("{ f # \"no\"\n (a: 1) }", &[]),
            ("{ f(a: \"open", &[("a", "open")]),
        ];
        for (document, expected) in rows {
            let (fields, reason) = seen(|seen| decode(document.as_bytes(), seen));
            assert_eq!(reason, None, "{document}");
            let (first, fields) = fields.split_first().unwrap();
            assert_eq!((first.0, &*first.2), (Part::Document, *document));
            let found: Vec<_> = fields.iter().map(|(_, name, value)| (&**name, &**value)).collect();
            let found: Vec<_> =
                found.into_iter().map(|(name, value)| (name.trim_start_matches('$'), value)).collect();
            assert_eq!(found, *expected, "{document}");
        }
    }

    #[test]
    fn a_document_is_told_from_other_text() {
        for text in ["{ a }", "query { a }", "mutation M($a: Int) { a }", "fragment F on A { a }"] {
            assert!(looks_like(text.as_bytes()), "{text}");
        }
        for text in ["", "query", "querying {}", "what is a query { }"] {
            assert!(!looks_like(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_is_nested_too_deep_is_noted() {
        let document = format!("{}f(a: \"x\"){}", "{ a ".repeat(20), "}".repeat(20));
        let (fields, reason) = seen(|seen| decode(document.as_bytes(), seen));
        assert_eq!((fields.len(), reason), (2, Some(Reason::TooDeep)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(document in "([{}()\\[\\]:\"\\\\#un ]|a|.){0,60}") {
            let (fields, _) = seen(|seen| decode(document.as_bytes(), seen));
            let bytes: usize = fields.iter().skip(1).map(|(_, _, value)| value.len()).sum();
            prop_assert!(bytes <= 2 * document.len());
        }
    }
}
