//! What an event may say about the head of a request. Pure.
//!
//! Paths carry mail addresses, tokens of password resets and session ids, and whatever a client puts there ends in a
//! log. So only what looks like the name of a route is kept. Called by `record`.

use http::Method;

/// A path longer than this tells nothing more.
const MAX_PATH: usize = 512;

/// Names of routes are shorter; random tokens are longer.
const MAX_SEGMENT: usize = 32;

const MASK: &str = "*";

/// The methods of RFC 9110 and RFC 5789. Any other token is the client's own text.
const METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::OPTIONS,
    Method::PATCH,
    Method::TRACE,
    Method::CONNECT,
];

/// A method that HTTP defines, or `other`.
pub fn method(method: &Method) -> &str {
    if METHODS.contains(method) { method.as_str() } else { "other" }
}

/// A path without path parameters, every segment that may be more than a name masked.
pub fn path(path: &str) -> String {
    let segments: Vec<&str> = path.split('/').map(segment).collect();
    let mut masked = segments.join("/");
    masked.truncate(MAX_PATH); // plain segments and masks are ASCII
    masked
}

fn segment(segment: &str) -> &str {
    let name = segment.split(';').next().unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if name.len() <= MAX_SEGMENT && name.bytes().all(plain) { name } else { MASK }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::{MAX_PATH, method, path};

    #[test]
    fn only_plain_short_segments_are_kept() {
        let long = "a".repeat(33);
        let table = [
            ("/", "/"),
            ("*", "*"),
            ("/shop/items/42/", "/shop/items/42/"),
            ("/v1.2/a-b_c~d", "/v1.2/a-b_c~d"),
            ("/reset/jane@example.com", "/reset/*"),
            ("/reset/jane%40example.com/x", "/reset/*/x"),
            ("/a;jsessionid=SECRET/b;v=1", "/a/b"),
            ("/;SECRET", "/"),
            ("/caf\u{e9}/x", "/*/x"),
            (&format!("/{long}/{}", &long[1..]), &format!("/*/{}", &long[1..])),
        ];
        for (found, expected) in table {
            assert_eq!(path(found), expected, "{found}");
        }
        assert_eq!(path(&"/abc".repeat(1000)).len(), MAX_PATH);
    }

    #[test]
    fn a_method_of_the_clients_own_is_not_repeated() {
        assert_eq!(method(&Method::PATCH), "PATCH");
        for own in ["hunter2", "get", "PROPFIND"] {
            assert_eq!(method(&Method::from_bytes(own.as_bytes()).unwrap()), "other", "{own}");
        }
    }
}
