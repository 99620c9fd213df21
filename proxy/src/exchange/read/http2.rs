//! What hyper still lets through of an HTTP/2 request, and two servers could understand in two ways. Pure.
//!
//! Most of RFC 9113 section 8 is hyper's: it resets the stream, or ends the connection. What is refused here is
//! answered on its stream alone.

use http::Method;
use http::header::{COOKIE, HOST, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};

use crate::guard::Limits;
use crate::guard::field::is_alias;
use crate::guard::host::is_host;
use crate::reason::Malformed;

/// Refuses what could be understood in two ways, and brings the rest into one form.
pub fn check(parts: &mut Parts, limits: &Limits) -> Result<(), Malformed> {
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
    if !target.starts_with('/') && (target != "*" || parts.method != Method::OPTIONS) {
        return Err(Malformed::Target);
    }
    join_cookies(&mut parts.headers);
    Ok(())
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

/// A cookie may come in crumbs (RFC 9113 section 8.2.3), which must not hide from the engine what they make together.
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return;
    }
    if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, cookie);
    }
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

    use super::{check, complete};
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
            ("GET", "http://a/", &[("x", " a")], Err(Malformed::Value)),
            ("GET", "http://a/", &[("x", "a\t")], Err(Malformed::Value)),
            ("GET", "http://a/", &[("x", "")], Ok(())),
            ("GET", "http://a/", &[("content_type", "a")], Err(Malformed::Alias)),
            ("GET", "http://a/", &[("x_y", "a")], Ok(())),
            ("GET", "*", &[("host", "a")], Err(Malformed::Target)),
        ];
        for (method, uri, fields, expected) in table {
            assert_eq!(
                check(&mut request(method, uri, fields), &Limits::default()),
                *expected,
                "{method} {uri} {fields:?}"
            );
        }
    }

    #[test]
    fn crumbs_are_one_cookie() {
        let mut parts = request("GET", "http://a/", &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]);
        check(&mut parts, &Limits::default()).unwrap();
        let cookies: Vec<_> = parts.headers.get_all("cookie").iter().collect();
        assert_eq!(cookies, ["a=1; b=2"]);
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
