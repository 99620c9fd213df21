//! The ids by which a request is found again: `X-Request-Id` and `traceparent` (W3C Trace Context).
//!
//! Kept where the client sent them, made where not. An id that we did not make goes into events and responses only
//! when it is made of characters that cannot forge a log line or a URN.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};

/// `x-request-id`.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// `traceparent`.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

const MAX_ID: usize = 128;

/// The ids of one request.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Id that client, application and event share.
    pub request_id: HeaderValue,
    traceparent: HeaderValue,
    made_request_id: bool,
    made_traceparent: bool,
}

impl Trace {
    /// Takes the ids from a head, or makes them.
    pub fn of(headers: &HeaderMap) -> Self {
        let sent = headers.get(&REQUEST_ID);
        let kept = sent.filter(|value| is_plain(value.as_bytes())).cloned();
        let parent = headers.get(&TRACEPARENT);
        let (request_id, traceparent) = match (kept, parent) {
            (Some(kept), Some(parent)) => (kept, parent.clone()),
            (kept, parent) => {
                let (request_id, traceparent) = made();
                (kept.unwrap_or(request_id), parent.cloned().unwrap_or(traceparent))
            }
        };
        Self { request_id, traceparent, made_request_id: sent.is_none(), made_traceparent: parent.is_none() }
    }

    /// The request id as text.
    pub fn request_id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }

    /// The trace of W3C Trace Context.
    pub fn trace_id(&self) -> Option<&str> {
        trace_id(self.traceparent.as_bytes())
    }

    /// Adds to a request what was made, or what the client had removed on the way by `Connection`; what it sent otherwise
    /// stays as it is.
    pub fn add_to(&self, headers: &mut HeaderMap) {
        if self.made_request_id || !headers.contains_key(REQUEST_ID) {
            headers.insert(REQUEST_ID, self.request_id.clone());
        }
        if self.made_traceparent || !headers.contains_key(TRACEPARENT) {
            headers.insert(TRACEPARENT, self.traceparent.clone());
        }
    }
}

/// Unreserved characters of RFC 3986 and a few that id generators use.
fn is_plain(id: &[u8]) -> bool {
    (1..=MAX_ID).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:=+/".contains(byte))
}

/// A new id and a new trace, in one piece of memory. Sampled, so that an application that decides by its parent behaves
/// as it did without one.
fn made() -> (HeaderValue, HeaderValue) {
    let mut text = Vec::with_capacity(ID + PARENT);
    hex(&mut text, &fastrand::u128(..).to_be_bytes());
    text.extend_from_slice(b"00-");
    hex(&mut text, &fastrand::u128(1..).to_be_bytes());
    text.push(b'-');
    hex(&mut text, &fastrand::u64(1..).to_be_bytes());
    text.extend_from_slice(b"-01");
    let mut id = Bytes::from(text);
    let parent = id.split_off(ID);
    (value(id), value(parent))
}

/// Bytes of an id, and of a `traceparent`.
const ID: usize = 32;
const PARENT: usize = 55;

/// In lower case: nothing of the standard library writes a number without a formatter.
fn hex(text: &mut Vec<u8>, bytes: &[u8]) {
    let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
    for byte in bytes {
        text.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
}

/// `version "-" trace-id "-" parent-id "-" flags`, lower case hex, ids not all zero.
fn trace_id(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    let mut parts = text.split('-');
    let (version, trace, parent) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    let valid = hex(version, 2)
        && version != "ff"
        && hex(trace, 32)
        && !zero(trace)
        && hex(parent, 16)
        && !zero(parent)
        && parts.next().is_some_and(|flags| hex(flags, 2));
    valid.then_some(trace)
}

/// A value of our own making.
fn value(text: Bytes) -> HeaderValue {
    HeaderValue::from_maybe_shared(text).unwrap_or(HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use http::header::{HeaderMap, HeaderValue};

    use super::{REQUEST_ID, TRACEPARENT, Trace};

    fn headers(id: &'static str, parent: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_static(id));
        headers.insert(TRACEPARENT, HeaderValue::from_static(parent));
        headers
    }

    #[test]
    fn keeps_the_ids_of_the_client_and_makes_missing_ones() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let mut sent = headers("abc-1", parent);
        let kept = Trace::of(&sent);
        kept.add_to(&mut sent);
        assert_eq!(sent, headers("abc-1", parent));
        assert_eq!(kept.request_id(), "abc-1");
        assert_eq!(kept.trace_id(), Some("0af7651916cd43dd8448eb211c80319c"));

        let mut empty = HeaderMap::new();
        let made = Trace::of(&empty);
        made.add_to(&mut empty);
        assert_eq!(empty[REQUEST_ID], made.request_id());
        assert_eq!(made.request_id().len(), 32);
        let traceparent = empty[TRACEPARENT].to_str().unwrap();
        assert_eq!(traceparent.len(), 55);
        assert_eq!(made.trace_id(), Some(&traceparent[3..35]));
        assert_ne!(Trace::of(&HeaderMap::new()).request_id(), made.request_id());
    }

    #[test]
    fn an_id_that_could_forge_a_log_line_stays_out_of_ours_but_is_not_changed() {
        let mut sent = headers("a\"b {}", "00-zero");
        let trace = Trace::of(&sent);
        trace.add_to(&mut sent);
        assert_eq!(sent, headers("a\"b {}", "00-zero"));
        assert_eq!(trace.request_id().len(), 32);
        assert_eq!(trace.trace_id(), None);
    }
}
