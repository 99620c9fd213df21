//! Parameters of a field: `; name=value` and `; name="quoted \" value"` (RFC 9110 section 5.6.6), in pieces
//! (`name*0`, `name*1`, RFC 2231) or with a charset (`name*=utf-8''value`, RFC 8187).
//!
//! Applications differ in which of several they take, so every value that one may take is given.

use std::borrow::Cow;

use super::percent;

/// Every value that an application may take for that of a parameter, in the order of the field. The first element, up to
/// a semicolon, is no parameter.
pub(super) fn values<'a>(field: &'a [u8], wanted: &[u8]) -> Vec<Cow<'a, [u8]>> {
    let mut values = Vec::new();
    let mut pieces: Vec<u8> = Vec::new();
    for (name, value) in Parameters::of(field) {
        let Some((start, suffix)) = name.split_at_checked(wanted.len()) else { continue };
        if !start.eq_ignore_ascii_case(wanted) {
            continue;
        }
        match suffix {
            b"" => values.push(value),
            b"*" => values.push(Cow::Owned(extended(&value, true))),
            [b'*', .., b'*'] => pieces.extend(extended(&value, pieces.is_empty())),
            [b'*', b'0'..=b'9', ..] => pieces.extend_from_slice(&value),
            _ => {}
        }
    }
    if !pieces.is_empty() {
        values.push(Cow::Owned(pieces));
    }
    values
}

/// `charset'language'value`, percent-encoded; without the marks where there are none.
fn extended(value: &[u8], is_first: bool) -> Vec<u8> {
    let mut parts = value.splitn(3, |byte| *byte == b'\'');
    let text = match (parts.next(), parts.next(), parts.next()) {
        (_, Some(_), Some(text)) if is_first => text,
        _ => value,
    };
    let mut decoded = Vec::new();
    percent::decode(text, false, &mut decoded).to_vec()
}

struct Parameters<'a> {
    rest: &'a [u8],
}

impl<'a> Parameters<'a> {
    fn of(field: &'a [u8]) -> Self {
        let start = memchr::memchr(b';', field).unwrap_or(field.len());
        Self { rest: field.get(start..).unwrap_or_default() }
    }
}

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a [u8], Cow<'a, [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let is_between = |byte: &u8| byte.is_ascii_whitespace() || *byte == b';';
        let start = self.rest.iter().position(|byte| !is_between(byte))?;
        let rest = self.rest.get(start..)?;
        let length = rest.iter().position(|byte| matches!(byte, b'=' | b';')).unwrap_or(rest.len());
        let (name, rest) = rest.split_at_checked(length)?;
        let (value, rest) = match rest.strip_prefix(b"=") {
            None => (Cow::Borrowed(&b""[..]), rest),
            Some(rest) => {
                if let Some(rest) = rest.trim_ascii_start().strip_prefix(b"\"") {
                    quoted(rest)
                } else {
                    let length = memchr::memchr(b';', rest).unwrap_or(rest.len());
                    let (value, rest) = rest.split_at_checked(length)?;
                    (Cow::Borrowed(value.trim_ascii()), rest)
                }
            }
        };
        self.rest = rest;
        Some((name.trim_ascii(), value))
    }
}

/// Up to the closing quote. Only quotes and backslashes are escaped: browsers send the backslashes of Windows as they are.
fn quoted(text: &[u8]) -> (Cow<'_, [u8]>, &[u8]) {
    let mut at = 0;
    let mut escapes = false;
    while let Some(byte) = text.get(at) {
        match (byte, text.get(at + 1)) {
            (b'"', _) => break,
            (b'\\', Some(b'"' | b'\\')) => {
                escapes = true;
                at += 2;
            }
            _ => at += 1,
        }
    }
    let (value, rest) = text.split_at_checked(at).unwrap_or((text, &[]));
    let rest = rest.get(1..).unwrap_or_default();
    // What stands between the quote and the next semicolon belongs to no parameter.
    let rest = rest.get(memchr::memchr(b';', rest).unwrap_or(rest.len())..).unwrap_or_default();
    if !escapes {
        return (Cow::Borrowed(value), rest);
    }
    let mut plain = Vec::with_capacity(value.len());
    let mut bytes = value.iter().peekable();
    while let Some(byte) = bytes.next() {
        let escaped = bytes.next_if(|next| *byte == b'\\' && matches!(next, b'"' | b'\\'));
        plain.push(*escaped.unwrap_or(byte));
    }
    (Cow::Owned(plain), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_that_may_be_meant_is_given() {
        let rows: &[(&str, &[&str])] = &[
            ("form-data; name=a", &["a"]),
            ("form-data; NAME = \"a b\" ; x=y", &["a b"]),
            ("form-data;name=\"a\\\"b\\\\c\"", &["a\"b\\c"]),
            ("form-data; name=\"C:\\temp\\a.txt\"", &["C:\\temp\\a.txt"]),
            ("form-data; name=\"a; name=b\"", &["a; name=b"]),
            ("form-data; name=a; name=\"b\"", &["a", "b"]),
            ("form-data; name*=utf-8''a%20b", &["a b"]),
            ("form-data; name*0=a; name*1=\"b\"", &["ab"]),
            ("form-data; name*0*=utf-8''a%27; name*1*=b'c", &["a'b'c"]),
            ("form-data; name*=a%20b", &["a b"]),
            ("form-data; name=\"open", &["open"]),
            ("form-data; name", &[""]),
            ("form-data; names=a", &[]),
            ("name=a", &[]),
            ("", &[]),
        ];
        for (field, expected) in rows {
            let found = values(field.as_bytes(), b"name");
            let found: Vec<&[u8]> = found.iter().map(|value| &**value).collect();
            let expected: Vec<&[u8]> = expected.iter().map(|value| value.as_bytes()).collect();
            assert_eq!(found, expected, "{field}");
        }
    }
}
