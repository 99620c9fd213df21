//! The ids by which a request is found again: `X-Request-Id` and `traceparent` (W3C Trace Context).
//!
//! Kept where the client sent them, made where not. An id that we did not make goes into events and responses only
//! when it is made of characters that cannot forge a log line or a URN.

use std::ops::Range;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::fields::Named;

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
    pub fn of(headers: &HeaderMap, named: Named) -> Self {
        if !named.has(Named::TRACE) {
            let (request_id, traceparent) = made();
            return Self { request_id, traceparent, made_request_id: true, made_traceparent: true };
        }
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
    let mut text = *PATTERN;
    let numbers = [fastrand::u128(..), fastrand::u128(1..), u128::from(fastrand::u64(1..))];
    for (place, number) in PLACES.into_iter().zip(numbers) {
        hex(text.get_mut(place).unwrap_or_default(), number);
    }
    let mut id = Bytes::copy_from_slice(&text);
    let parent = id.split_off(ID);
    (value(id), value(parent))
}

/// Bytes of an id, which a `traceparent` follows.
const ID: usize = 32;
const PATTERN: &[u8; 87] =
    b"................................00-................................-................-01";
/// Where numbers are in the pattern.
const PLACES: [Range<usize>; 3] = [0..ID, 35..67, 68..84];

/// As many digits as there is room for, in lower case.
fn hex(room: &mut [u8], number: u128) {
    let bytes = number.to_be_bytes();
    let unused = bytes.len().saturating_sub(room.len() / 2);
    for (place, byte) in room.chunks_exact_mut(2).zip(bytes.iter().skip(unused)) {
        place.copy_from_slice(&DIGITS[usize::from(*byte)]);
    }
}

/// The two digits of every byte: nothing of the standard library writes a number without a formatter.
const DIGITS: [[u8; 2]; 256] = {
    let (digits, mut table, mut byte) = (b"0123456789abcdef", [[0; 2]; 256], 0);
    while byte < 256 {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
};

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

    use super::super::fields::Named;
    use super::{REQUEST_ID, TRACEPARENT, Trace};

    fn headers(id: &'static str, parent: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_static(id));
        headers.insert(TRACEPARENT, HeaderValue::from_static(parent));
        headers
    }

    fn trace(headers: &HeaderMap) -> Trace {
        Trace::of(headers, Named::of(headers))
    }

    #[test]
    fn keeps_the_ids_of_the_client_and_makes_missing_ones() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let mut sent = headers("abc-1", parent);
        let kept = trace(&sent);
        kept.add_to(&mut sent);
        assert_eq!(sent, headers("abc-1", parent));
        assert_eq!(kept.request_id(), "abc-1");
        assert_eq!(kept.trace_id(), Some("0af7651916cd43dd8448eb211c80319c"));

        let mut empty = HeaderMap::new();
        let made = trace(&empty);
        made.add_to(&mut empty);
        assert_eq!(empty[REQUEST_ID], made.request_id());
        assert_eq!(made.request_id().len(), 32);
        let traceparent = empty[TRACEPARENT].to_str().unwrap();
        assert_eq!(traceparent.len(), 55);
        assert_eq!(made.trace_id(), Some(&traceparent[3..35]));
        assert!(traceparent.starts_with("00-") && traceparent.ends_with("-01"), "{traceparent}");
        assert_ne!(trace(&HeaderMap::new()).request_id(), made.request_id());
    }

    #[test]
    fn an_id_that_could_forge_a_log_line_stays_out_of_ours_but_is_not_changed() {
        let mut sent = headers("a\"b {}", "00-zero");
        let trace = trace(&sent);
        trace.add_to(&mut sent);
        assert_eq!(sent, headers("a\"b {}", "00-zero"));
        assert_eq!(trace.request_id().len(), 32);
        assert_eq!(trace.trace_id(), None);
    }
}
