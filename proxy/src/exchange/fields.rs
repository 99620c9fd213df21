//! Fields that end at this hop (RFC 9110 section 7.6.1), and those an intermediary adds.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{StatusCode, Version};

use crate::guard::field::{INTERNAL, is_forbidden_in_trailer};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Which of the fields that are asked for by name are in a message: its names are looked at once, where every question
/// would hash one. What is not named here is not there; what is may have been removed since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Named(u16);

impl Named {
    /// `Connection`.
    pub const CONNECTION: Self = Self(1);
    /// Other fields that end at this hop.
    pub const HOP: Self = Self(1 << 1);
    /// `TE`.
    pub const TE: Self = Self(1 << 2);
    /// `Transfer-Encoding`.
    pub const TRANSFER_ENCODING: Self = Self(1 << 3);
    /// `Content-Length`.
    pub const CONTENT_LENGTH: Self = Self(1 << 4);
    /// `Content-Type` or `Content-Encoding`.
    pub const CONTENT: Self = Self(1 << 5);
    /// `Expect`.
    pub const EXPECT: Self = Self(1 << 6);
    /// `X-Request-Id` or `traceparent`.
    pub const TRACE: Self = Self(1 << 7);
    /// `X-Forwarded-For`.
    pub const FORWARDED_FOR: Self = Self(1 << 8);

    /// What is in a message.
    pub fn of(headers: &HeaderMap) -> Self {
        Self(headers.keys().fold(0, |seen, name| seen | Self::one(name.as_str()).0))
    }

    fn one(name: &str) -> Self {
        match (name.len(), name) {
            (2, "te") => Self::TE,
            (6, "expect") => Self::EXPECT,
            (7, "upgrade") | (10, "keep-alive") | (14, "http2-settings") | (16, "proxy-connection") => {
                Self::HOP
            }
            (10, "connection") => Self::CONNECTION,
            (11, "traceparent") | (12, "x-request-id") => Self::TRACE,
            (12, "content-type") | (16, "content-encoding") => Self::CONTENT,
            (14, "content-length") => Self::CONTENT_LENGTH,
            (15, "x-forwarded-for") => Self::FORWARDED_FOR,
            (17, "transfer-encoding") => Self::TRANSFER_ENCODING,
            _ => Self(0),
        }
    }

    /// Whether such a field was there.
    pub fn has(self, field: Self) -> bool {
        self.0 & field.0 != 0
    }
}

/// What the fields of this hop said before they were removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// The sender ends the connection after this message.
    pub close: bool,
    /// The sender of HTTP/1.0 wants to keep the connection.
    pub keep_alive: bool,
    /// The sender asks for, or agrees to, another protocol.
    pub upgrade: bool,
}

/// The comma-separated tokens of all lines of a field.
pub fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(',').map(str::trim).filter(|token| !token.is_empty()))
}

/// Removes the fields of this hop from a message and says what they meant.
pub fn strip(headers: &mut HeaderMap, version: Version, named: Named) -> Hop {
    let mut hop = Hop::default();
    if named.has(Named::CONNECTION) {
        hop = strip_nominated(headers);
    }
    hop.close |= version == Version::HTTP_10 && !hop.keep_alive;
    if named.has(Named::HOP) {
        strip_of_hop(headers, &mut hop);
    }
    if named.has(Named::TE) {
        let trailers = tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case("trailers"));
        headers.remove(TE);
        if trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
    }
    hop
}

fn strip_of_hop(headers: &mut HeaderMap, hop: &mut Hop) {
    headers.remove(KEEP_ALIVE);
    headers.remove(PROXY_CONNECTION);
    if !hop.upgrade {
        headers.remove(UPGRADE);
    } else if tokens(headers, &UPGRADE).any(is_http2) {
        // HTTP/2 by upgrade was removed from the protocol (RFC 9113 section 3.1) and would leave inspection.
        let others: Vec<&str> = tokens(headers, &UPGRADE).filter(|token| !is_http2(token)).collect();
        let others = HeaderValue::from_str(&others.join(", ")).ok().filter(|others| !others.is_empty());
        hop.upgrade = others.is_some();
        match others {
            Some(others) => headers.insert(UPGRADE, others),
            None => headers.remove(UPGRADE),
        };
    }
    headers.remove(HTTP2_SETTINGS);
}

/// Also the `h2` that some servers offer without TLS.
fn is_http2(token: &str) -> bool {
    token.eq_ignore_ascii_case("h2c") || token.eq_ignore_ascii_case("h2")
}

fn strip_nominated(headers: &mut HeaderMap) -> Hop {
    let mut hop = Hop::default();
    let mut nominated = Vec::new();
    for token in tokens(headers, &CONNECTION) {
        if token.eq_ignore_ascii_case("close") {
            hop.close = true;
        } else if token.eq_ignore_ascii_case("keep-alive") {
            hop.keep_alive = true;
        } else if token.eq_ignore_ascii_case("upgrade") {
            hop.upgrade = headers.contains_key(UPGRADE);
        } else if let Ok(name) = HeaderName::from_bytes(token.as_bytes()) {
            nominated.push(name);
        }
    }
    headers.remove(CONNECTION);
    for name in nominated {
        if name != TE && name != CONTENT_LENGTH && name != TRANSFER_ENCODING {
            headers.remove(name);
        }
    }
    hop
}

/// Of equal lengths, which the response guard lets pass, one is left (RFC 9110 section 8.6).
pub fn one_length(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(CONTENT_LENGTH).into_iter();
    let Some(first) = lines.next() else { return };
    if lines.next().is_none() && !first.as_bytes().contains(&b',') {
        return;
    }
    let length = first.to_str().ok().and_then(|line| line.split(',').next()?.trim().parse::<u64>().ok());
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// Adds fields that came around hyper, which the response guard has looked at.
pub fn append(headers: &mut HeaderMap, lines: &[u8]) {
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some((name, value)) = line.iter().position(|byte| *byte == b':').map(|at| line.split_at(at))
        else {
            continue;
        };
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
}

/// 204 has no body, so a length that says it has one is a trap for whoever believes it (RFC 9110 section 8.6).
pub fn no_length_of_nothing(headers: &mut HeaderMap, status: StatusCode) {
    let is_zero = |value: &HeaderValue| value.as_bytes().iter().all(|digit| *digit == b'0');
    if status == StatusCode::NO_CONTENT && !headers.get(CONTENT_LENGTH).is_none_or(is_zero) {
        headers.remove(CONTENT_LENGTH);
    }
}

/// Makes one line of several cookies. Applications put `; `, `, ` or nothing between them, so that an attack could come
/// together behind us; HTTP/2 asks for the first (RFC 9113 section 8.2.3).
pub fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return;
    }
    if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, cookie);
    }
}

/// Removes what no client may say to an application: `Proxy`, which CGI makes the variable `HTTP_PROXY` of, and the
/// proxy's own fields.
pub fn strip_internal(headers: &mut HeaderMap) {
    let is_internal =
        |name: &&HeaderName| name.as_str() == "proxy" || name.as_str().as_bytes().starts_with(INTERNAL);
    let internal: Vec<HeaderName> = headers.keys().filter(is_internal).cloned().collect();
    for name in internal {
        headers.remove(name);
    }
}

/// Says to the next hop what holds for the connection to it.
pub fn connect(headers: &mut HeaderMap, hop: Hop, version: Version, named: Named) {
    if version == Version::HTTP_2 {
        return; // it has no such field (RFC 9113 section 8.2.2)
    }
    let te = named.has(Named::TE) && headers.contains_key(TE);
    let option = match (hop.upgrade, hop.close, te) {
        (true, ..) => "upgrade",
        (false, true, false) if version == Version::HTTP_11 => "close",
        (false, true, true) => "close, TE",
        (false, false, true) => "TE",
        (false, false, false) if version == Version::HTTP_10 && hop.keep_alive => "keep-alive",
        _ => return,
    };
    headers.insert(CONNECTION, HeaderValue::from_static(option));
}

/// Removes from trailers what must not be there: an application that merges them would take it for the head's.
pub fn trim_trailers(trailers: &mut HeaderMap) {
    let forbidden: Vec<HeaderName> =
        trailers.keys().filter(|name| is_forbidden_in_trailer(name.as_str().as_bytes())).cloned().collect();
    for name in forbidden {
        trailers.remove(name);
    }
}

/// How a peer is written in `X-Forwarded-For`.
pub fn written(peer: SocketAddr) -> HeaderValue {
    let address = peer.ip().to_canonical().to_string();
    HeaderValue::from_maybe_shared(Bytes::from(address)).unwrap_or(HeaderValue::from_static("unknown"))
}

/// Appends the peer, as it is [`written`], to `X-Forwarded-For`.
pub fn forwarded_for(headers: &mut HeaderMap, peer: &HeaderValue, named: Named) {
    if !named.has(Named::FORWARDED_FOR) {
        headers.insert(X_FORWARDED_FOR, peer.clone());
        return;
    }
    let mut list = Vec::with_capacity(64);
    for value in headers.get_all(&X_FORWARDED_FOR) {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(peer.as_bytes());
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(list)) {
        headers.insert(X_FORWARDED_FOR, value);
    }
}

/// Says that the client used TLS to an application that cannot see it. What an earlier hop said stays.
pub fn forwarded_proto(headers: &mut HeaderMap) {
    headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static("https"));
}

#[cfg(test)]
mod tests;
