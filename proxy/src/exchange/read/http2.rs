//! What hyper still lets through of an HTTP/2 request, and two servers could understand in two ways. Pure.
//!
//! Most of RFC 9113 section 8 is hyper's: it resets the stream, or ends the connection. What is refused here is
//! answered on its stream alone.

use http::Method;
use http::header::{CONTENT_TYPE, COOKIE, HOST, HeaderMap};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};

use crate::guard::Limits;
use crate::guard::field::is_alias;
use crate::guard::head::Facts;
use crate::guard::host::is_host;
use crate::guard::target::{self, Form, Target};
use crate::reason::Malformed;

/// Refuses what could be understood in two ways, and says what of the rest is odd.
pub fn check(parts: &Parts, limits: &Limits) -> Result<Facts, Malformed> {
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err(Malformed::Method);
    }
    if parts.uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS) {
        return Err(Malformed::Scheme);
    }
    host(parts)?;
    fields(&parts.headers, limits)?;
    let target = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
    if target.len() > limits.target {
        return Err(Malformed::TargetSize);
    }
    let Ok(Target { form: Form::Origin | Form::Asterisk, oddities }) =
        target::look(target.as_bytes(), parts.method == Method::OPTIONS)
    else {
        return Err(Malformed::Target);
    };
    let crumbs = parts.headers.get_all(COOKIE).iter().nth(1).is_some();
    let type_repeated = content_type(&parts.headers)?;
    // Nobody looked for internal fields.
    Ok(Facts { oddities, internal: true, type_repeated, crumbs, ..Facts::default() })
}

/// Whether there is the same one more than once.
fn content_type(headers: &HeaderMap) -> Result<bool, Malformed> {
    let mut types = headers.get_all(CONTENT_TYPE).into_iter();
    let Some(first) = types.next() else { return Ok(false) };
    let mut repeated = false;
    for other in types {
        if !other.as_bytes().eq_ignore_ascii_case(first.as_bytes()) {
            return Err(Malformed::ContentType);
        }
        repeated = true;
    }
    Ok(repeated)
}

/// Each crumb of a cookie counts as a field.
fn fields(headers: &HeaderMap, limits: &Limits) -> Result<(), Malformed> {
    if headers.len() > limits.fields {
        return Err(Malformed::FieldCount);
    }
    for (name, value) in headers {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        if name.len() > limits.name || value.len() > limits.value {
            return Err(Malformed::HeadSize);
        }
        if is_padded(value) {
            return Err(Malformed::Value);
        }
        if is_alias(name) {
            return Err(Malformed::Alias);
        }
        if name == b"expect" && !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Malformed::Expect);
        }
    }
    Ok(())
}

/// `:authority` is what the application goes by; a `host` beside it must say the same (RFC 9113 section 8.3.1).
fn host(parts: &Parts) -> Result<(), Malformed> {
    let mut hosts = parts.headers.get_all(HOST).into_iter();
    let (host, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return Err(Malformed::HostRepeated);
    }
    match (parts.uri.authority(), host) {
        (None, None) => Err(Malformed::HostMissing),
        (Some(authority), _) if !is_host(authority.as_str().as_bytes()) => Err(Malformed::HostInvalid),
        (_, Some(host)) if !is_host(host.as_bytes()) => Err(Malformed::HostInvalid),
        // It becomes the `:authority`, of which `http` takes less than a `Host` may be.
        (None, Some(host)) if Authority::try_from(host.as_bytes()).is_err() => Err(Malformed::HostInvalid),
        (Some(authority), Some(host))
            if !authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes()) =>
        {
            Err(Malformed::HostMismatch)
        }
        _ => Ok(()),
    }
}

/// A value must not begin or end with white space (RFC 9113 section 8.2.1); HTTP/1 would not count it as part of it.
fn is_padded(value: &[u8]) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    blank(value.first()) || blank(value.last())
}

/// The target with the raw bytes encoded that belong encoded, as on HTTP/1: of UTF-8 h2 lets them through.
pub fn encoded(uri: &Uri) -> Result<Uri, Malformed> {
    let mut parts = uri.clone().into_parts();
    let raw = parts.path_and_query.as_ref().map_or("", PathAndQuery::as_str).as_bytes();
    let mut written = Vec::with_capacity(raw.len() * 3);
    target::write(raw, Form::Origin, &mut written);
    parts.path_and_query = Some(PathAndQuery::try_from(written).map_err(|_| Malformed::Target)?);
    Uri::from_parts(parts).map_err(|_| Malformed::Target)
}

/// Gives a request its `:authority` where the client sent only a `host`: hyper sends none without (RFC 9113 section
/// 8.3.1 wants one as well). The scheme, which hyper dropped, says nothing about a connection without TLS.
pub fn complete(uri: &Uri, headers: &HeaderMap) -> Option<Uri> {
    if uri.authority().is_some() {
        return None;
    }
    let mut parts = uri.clone().into_parts();
    parts.authority = Some(Authority::try_from(headers.get(HOST)?.as_bytes()).ok()?);
    parts.scheme = Some(Scheme::HTTP);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use http::request::Parts;
    use http::{Request, Version};

    use super::{check, complete, encoded};
    use crate::guard::Limits;
    use crate::reason::Malformed;

    type Fields<'a> = &'a [(&'a str, &'a str)];

    fn request(method: &str, uri: &str, fields: Fields) -> Parts {
        let mut builder = Request::builder().method(method).uri(uri).version(Version::HTTP_2);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn what_two_servers_could_understand_in_two_ways_is_refused() {
        let many: Vec<(&str, &str)> = vec![("x", "y"); 101];
        let crumbs: Vec<(&str, &str)> = vec![("cookie", "a=b"); 101];
        let table: &[(&str, &str, Fields, Result<(), Malformed>)] = &[
            ("GET", "http://a/x?y=z", &[], Ok(())),
            ("GET", "https://a/", &[("host", "A")], Ok(())),
            ("GET", "/", &[("host", "a:80")], Ok(())),
            ("OPTIONS", "*", &[("host", "a")], Ok(())),
            ("GET", "http://a/", &many[..100], Ok(())),
            ("GET", "http://a/", &many, Err(Malformed::FieldCount)),
            ("GET", "http://a/", &crumbs, Err(Malformed::FieldCount)),
            ("CONNECT", "a:80", &[], Err(Malformed::Method)),
            ("TRACE", "http://a/", &[], Err(Malformed::Method)),
            ("GET", "ftp://a/", &[], Err(Malformed::Scheme)),
            ("GET", "/", &[], Err(Malformed::HostMissing)),
            ("GET", "/", &[("host", "")], Err(Malformed::HostInvalid)),
            ("GET", "/", &[("host", "a"), ("host", "a")], Err(Malformed::HostRepeated)),
            ("GET", "http://a/", &[("host", "a"), ("host", "a")], Err(Malformed::HostRepeated)),
            ("GET", "http://a/", &[("host", "b")], Err(Malformed::HostMismatch)),
            ("GET", "http://a/", &[("host", "a:80")], Err(Malformed::HostMismatch)),
            ("GET", "http://a/", &[("host", "")], Err(Malformed::HostInvalid)),
            ("GET", "http://u@a/", &[], Err(Malformed::HostInvalid)),
            ("GET", "/", &[("host", "u@a")], Err(Malformed::HostInvalid)),
            ("GET", "/", &[("host", "a%20b")], Err(Malformed::HostInvalid)),
            ("GET", "http://a/", &[("x", " a")], Err(Malformed::Value)),
            ("GET", "http://a/", &[("x", "a\t")], Err(Malformed::Value)),
            ("GET", "http://a/", &[("x", "")], Ok(())),
            ("GET", "http://a/", &[("content_type", "a")], Err(Malformed::Alias)),
            ("GET", "http://a/", &[("x_y", "a")], Ok(())),
            ("GET", "*", &[("host", "a")], Err(Malformed::Target)),
            ("POST", "/", &[("host", "a"), ("content-type", "a/b"), ("content-type", "A/B")], Ok(())),
            (
                "POST",
                "/",
                &[("host", "a"), ("content-type", "a/b"), ("content-type", "a/c")],
                Err(Malformed::ContentType),
            ),
            ("POST", "/", &[("host", "a"), ("expect", "100-Continue")], Ok(())),
            ("POST", "/", &[("host", "a"), ("expect", "100-continue, x")], Err(Malformed::Expect)),
        ];
        for (method, uri, fields, expected) in table {
            assert_eq!(
                check(&request(method, uri, fields), &Limits::default()).map(|_| ()),
                *expected,
                "{method} {uri} {fields:?}"
            );
        }
    }

    #[test]
    fn what_is_odd_is_told() {
        let told = |fields: Fields| {
            let facts = check(&request("GET", "http://a/", fields), &Limits::default()).unwrap();
            (facts.crumbs, facts.type_repeated)
        };
        assert_eq!(told(&[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]), (true, false));
        assert_eq!(
            told(&[("cookie", "a=1"), ("content-type", "a/b"), ("content-type", "a/b")]),
            (false, true)
        );
    }

    #[test]
    fn raw_bytes_of_a_target_are_told_and_encoded() {
        let raw = request("GET", "http://a/caf\u{e9}?q=\u{fe64}x", &[]);
        assert!(check(&raw, &Limits::default()).unwrap().oddities.encoded);
        assert_eq!(encoded(&raw.uri).unwrap(), "http://a/caf%C3%A9?q=%EF%B9%A4x");
        assert!(
            !check(&request("GET", "http://a/caf%C3%A9", &[]), &Limits::default()).unwrap().oddities.encoded
        );
    }

    #[test]
    fn a_request_without_authority_gets_that_of_its_host() {
        let host = request("GET", "/x?y", &[("host", "a:8080")]);
        assert_eq!(complete(&host.uri, &host.headers).unwrap(), "http://a:8080/x?y");
        let asterisk = request("OPTIONS", "*", &[("host", "a")]);
        let uri = complete(&asterisk.uri, &asterisk.headers).unwrap();
        assert_eq!((uri.path(), uri.authority().map(AsRef::as_ref)), ("*", Some("a")));
        let authority = request("GET", "https://b/", &[("host", "a")]);
        assert_eq!(complete(&authority.uri, &authority.headers), None);
    }
}
