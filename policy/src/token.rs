//! Tokens of HTTP, as policies, requests and files of requests have them.

/// Whether a text is a token (RFC 9110 section 5.6.2), as methods and the names of fields and cookies are.
pub fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}
