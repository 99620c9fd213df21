//! From the bytes of a message to the values the application will see. Works on bytes: NUL and invalid UTF-8 are
//! values like any other. Knows nothing of attacks; called by [`crate::ruleset`] only.

use crate::budget::Budget;
use crate::finding::Part;
use crate::message::Head;
use crate::reason::Reason;

mod json;
mod pairs;
mod path;
mod percent;

/// One value of a message and where it came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    pub part: Part,
    /// Name of the parameter, as it came. Not safe to log.
    pub name: &'a [u8],
    pub value: &'a [u8],
}

/// Receives every field, and carries the budget that decoding draws on.
///
/// An error ends the inspection of the message: the budget is used up. What only one value is too strange for is
/// noted, and the rest is inspected, or an attacker could hide an attack behind it.
pub(crate) trait Visit {
    fn field(&mut self, field: &Field<'_>) -> Result<(), Reason>;
    fn note(&mut self, reason: Reason);
    fn budget(&mut self) -> &mut Budget;
}

/// How a body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Form,
    Json,
    /// No type, or text: told by its shape.
    Sniff,
    /// Not inspected.
    Not(Reason),
}

/// Media types and how their bodies are read. Anything else is opaque.
const TYPES: &[(&[u8], Kind)] = &[
    (b"application/x-www-form-urlencoded", Kind::Form),
    (b"application/json", Kind::Json),
    (b"text/json", Kind::Json),
    (b"application/x-json", Kind::Json),
    (b"text/plain", Kind::Sniff),
    (b"multipart/form-data", Kind::Not(Reason::UnsupportedBody)),
    (b"application/xml", Kind::Not(Reason::UnsupportedBody)),
    (b"text/xml", Kind::Not(Reason::UnsupportedBody)),
    (b"application/graphql", Kind::Not(Reason::UnsupportedBody)),
    (b"application/grpc", Kind::Not(Reason::UnsupportedBody)),
];

/// How the body that follows this head is read.
pub(crate) fn kind(head: &Head<'_>) -> Kind {
    let encoding = head.content_encoding.unwrap_or_default().trim_ascii();
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity") {
        return Kind::Not(Reason::EncodedBody);
    }
    let media_type = head.content_type.unwrap_or_default();
    let media_type =
        media_type.split(|byte| matches!(byte, b';' | b',')).next().unwrap_or_default().trim_ascii();
    if media_type.is_empty() {
        return Kind::Sniff;
    }
    if let Some((_, kind)) = TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(media_type)) {
        return *kind;
    }
    let has_suffix = |suffix: &[u8]| {
        media_type
            .len()
            .checked_sub(suffix.len())
            .and_then(|start| media_type.get(start..))
            .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    match () {
        () if has_suffix(b"+json") => Kind::Json,
        () if has_suffix(b"+xml") => Kind::Not(Reason::UnsupportedBody),
        () => Kind::Not(Reason::OpaqueBody),
    }
}

/// Yields path segments, then names and values of the query.
pub(crate) fn target(target: &[u8], visit: &mut dyn Visit) -> Result<(), Reason> {
    let target = target.split(|byte| *byte == b'#').next().unwrap_or_default();
    let mut halves = target.splitn(2, |byte| *byte == b'?');
    path::decode(halves.next().unwrap_or_default(), visit)?;
    match halves.next() {
        Some(query) => pairs::decode(query, pairs::QUERY, visit),
        None => Ok(()),
    }
}

/// Yields names and values of a body.
pub(crate) fn body(kind: Kind, bytes: &[u8], truncated: bool, visit: &mut dyn Visit) -> Result<(), Reason> {
    match kind {
        Kind::Not(reason) => Err(reason),
        Kind::Json => json::decode(bytes, truncated, visit),
        Kind::Form => form(bytes, truncated, visit),
        Kind::Sniff => sniffed(bytes, truncated, visit),
    }
}

/// Many applications parse JSON whatever the type says, and `curl -d` sends this type by default.
fn form(bytes: &[u8], truncated: bool, visit: &mut dyn Visit) -> Result<(), Reason> {
    if json::looks_like(bytes) && (truncated || json::is_valid(bytes)) {
        return json::decode(bytes, truncated, visit);
    }
    pairs::decode(bytes, pairs::FORM, visit)
}

fn sniffed(bytes: &[u8], truncated: bool, visit: &mut dyn Visit) -> Result<(), Reason> {
    if json::looks_like(bytes) && (truncated || json::is_valid(bytes)) {
        return json::decode(bytes, truncated, visit);
    }
    if pairs::looks_like(bytes) {
        return pairs::decode(bytes, pairs::FORM, visit);
    }
    if bytes.contains(&0) {
        return Err(Reason::OpaqueBody);
    }
    visit.field(&Field { part: Part::Text, name: b"", value: bytes })
}

#[cfg(test)]
mod tests;
