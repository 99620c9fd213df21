//! What the head of a request says about its body, all lines of a field together. Pure.
//!
//! Of several types or encodings one application takes the first, another one the last. None of them may hide a body
//! from the engine that would otherwise be inspected, and none is a reason to refuse.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};

/// The one type that all elements of `Content-Type` agree on; `None` leaves the type to the body itself.
pub fn media_type(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers.get_all(CONTENT_TYPE).into_iter();
    let first = lines.next()?;
    let essence = essence(elements(first.as_bytes()).next()?);
    let agrees = |element: &[u8]| self::essence(element).eq_ignore_ascii_case(essence);
    let all =
        elements(first.as_bytes()).all(agrees) && lines.all(|line| elements(line.as_bytes()).all(agrees));
    all.then(|| first.clone())
}

/// The encodings that change the body, of all lines of `Content-Encoding`.
pub fn encoding(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut joined = Vec::new();
    for element in headers.get_all(CONTENT_ENCODING).into_iter().flat_map(|line| elements(line.as_bytes())) {
        if element.is_empty() || element.eq_ignore_ascii_case(b"identity") {
            continue;
        }
        if !joined.is_empty() {
            joined.extend_from_slice(b", ");
        }
        joined.extend_from_slice(element);
    }
    if joined.is_empty() { None } else { HeaderValue::from_bytes(&joined).ok() }
}

fn essence(element: &[u8]) -> &[u8] {
    element.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

/// Elements between commas that are not part of a quoted parameter.
fn elements(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(move |byte| {
        let ends = *byte == b',' && !quoted;
        quoted ^= *byte == b'"' && !escaped;
        escaped = quoted && *byte == b'\\' && !escaped;
        ends
    })
    .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};

    use super::{encoding, media_type};

    fn headers(name: &HeaderName, lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), http::HeaderValue::from_static(line))).collect()
    }

    #[test]
    fn types_that_differ_are_no_type() {
        let table: [(&[&str], Option<&str>); 9] = [
            (&[], None),
            (&["application/json"], Some("application/json")),
            (&["application/json", "Application/JSON; charset=utf-8"], Some("application/json")),
            (&["image/png", "application/json"], None),
            (&["application/json", "image/png"], None),
            (&["image/png, application/json"], None),
            (&["image/png,"], None),
            (
                &["multipart/form-data; boundary=\"a,b\\\",c\""],
                Some("multipart/form-data; boundary=\"a,b\\\",c\""),
            ),
            (&[""], Some("")),
        ];
        for (lines, expected) in table {
            let found = media_type(&headers(&CONTENT_TYPE, lines));
            assert_eq!(found.as_ref().map(|value| value.to_str().unwrap()), expected, "{lines:?}");
        }
    }

    #[test]
    fn encodings_are_joined_without_those_that_change_nothing() {
        let table: [(&[&str], Option<&str>); 6] = [
            (&[], None),
            (&["identity", "Identity"], None),
            (&["identity,", ""], None),
            (&["gzip"], Some("gzip")),
            (&["identity", "gzip"], Some("gzip")),
            (&["gzip, br", "x"], Some("gzip, br, x")),
        ];
        for (lines, expected) in table {
            let found = encoding(&headers(&CONTENT_ENCODING, lines));
            assert_eq!(found.as_ref().map(|value| value.to_str().unwrap()), expected, "{lines:?}");
        }
    }
}
