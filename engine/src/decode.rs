//! From the bytes of a message to the values the application will see. Works on bytes: NUL and invalid UTF-8 are
//! values like any other. Knows nothing of attacks; called by [`crate::ruleset`] only.

use crate::budget::Budget;
use crate::finding::Part;
use crate::message::{Fields, Head};
use crate::reason::Reason;

mod base64;
mod coding;
mod graphql;
mod grpc;
mod header;
mod json;
mod lines;
mod media;
mod multipart;
pub(crate) mod nested;
mod pairs;
mod parameters;
mod path;
pub(crate) mod percent;
mod protobuf;
mod repeated;
mod transfer;
mod unicode;
mod xml;

pub(crate) use media::kind;
pub(crate) use nested::Layers;

/// One value of a message and where it came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    pub part: Part,
    /// Name of the parameter, as it came. Not safe to log.
    pub name: &'a [u8],
    pub value: &'a [u8],
}

impl Field<'_> {
    /// Whether the value is one that an application asked for, and not a document or a piece of one: code, prose and
    /// markup in a document hold what would be an attack in a parameter.
    pub(crate) fn is_parameter(&self) -> bool {
        match self.part {
            Part::Json => !names_text(self.name) && memchr::memchr(b'\n', self.value).is_none(),
            // An attribute, or the text of an element that holds one value.
            Part::Xml => {
                self.value.len() <= LONGEST_XML && !self.value.contains(&b'\n') && !names_text(self.name)
            }
            part => part.is_parameter(),
        }
    }
}

impl Field<'_> {
    /// Whether the parameter is, by its name, for what somebody looks for: the name of a file or of a function is ordinary
    /// there, and nothing is opened or run.
    pub(crate) fn is_sought(&self) -> bool {
        const NAMES: &[&str] = &[
            "q",
            "query",
            "search",
            "search_query",
            "search_term",
            "searchterm",
            "keyword",
            "keywords",
            "term",
            "terms",
            "srsearch",
        ];
        matches!(self.part, Part::Query | Part::Form)
            && NAMES.iter().any(|known| self.name.eq_ignore_ascii_case(known.as_bytes()))
    }
}

/// What [`Field::name`] is for the name of a part of `multipart/form-data`.
pub(crate) const FORM_DATA: &[u8] = b"form-data";

/// Longer texts of XML documents are what people wrote.
const LONGEST_XML: usize = 256;

/// Names of members that hold text, code or statements. By their length first: most names are told by that.
fn names_text(name: &[u8]) -> bool {
    const LONGEST: usize = 11;
    let mut lower = [0; LONGEST];
    if name.len() > LONGEST || name.len() < 3 {
        return false;
    }
    lower.iter_mut().zip(name).for_each(|(place, byte)| *place = byte.to_ascii_lowercase());
    matches!(
        lower.get(..name.len()).unwrap_or_default(),
        b"raw"
            | b"sql"
            | b"body"
            | b"cell"
            | b"code"
            | b"expr"
            | b"html"
            | b"note"
            | b"text"
            | b"input"
            | b"notes"
            | b"query"
            | b"title"
            | b"value"
            | b"output"
            | b"prompt"
            | b"script"
            | b"source"
            | b"command"
            | b"comment"
            | b"content"
            | b"formula"
            | b"message"
            | b"snippet"
            | b"summary"
            | b"contents"
            | b"markdown"
            | b"template"
            | b"statement"
            | b"expression"
            | b"description"
    )
}

/// Receives every field, and carries the budget that decoding draws on.
///
/// An error ends the inspection of the message: the budget is used up. What only one value is too strange for is
/// noted, and the rest is inspected, or an attacker could hide an attack behind it.
pub(crate) trait Visit {
    fn field(&mut self, field: &Field<'_>) -> Result<(), Reason>;
    fn note(&mut self, reason: Reason);
    fn budget(&mut self) -> &mut Budget;

    /// Whether values may be left out, and drawn on the budget alone, that the sieve says nothing looks at.
    fn may_pass(&self) -> bool {
        false
    }

    /// Whether something looks at values of this name, whatever they are.
    fn looks_at(&self, _name: &[u8]) -> bool {
        true
    }
}

/// How a body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Form,
    Json,
    Xml,
    Multipart,
    GraphQl,
    /// A document of JSON a line.
    Lines,
    Protobuf,
    /// Messages of gRPC or gRPC-Web, in frames.
    Frames(Framing),
    /// No type, or text: told by its shape.
    Sniff,
    /// A type that says nothing of how the application reads it: told by its shape, and opaque where it has none.
    Undeclared,
    /// Has a `content-encoding`, which is undone; where that fails, inspected where its shape shows that it is not encoded
    /// at all.
    Encoded,
    /// Not inspected.
    Not(Reason),
}

/// How messages of gRPC come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Framing {
    /// Of gRPC-Web, whose requests end. A call of gRPC may go on for as long as both sides like.
    pub is_web: bool,
    /// All of it in base64.
    pub is_text: bool,
    /// They are said to be JSON, not Protocol Buffers.
    pub is_json: bool,
}

/// The `charset` that a type declares; empty where it declares none.
fn charset(content_type: &[u8]) -> &[u8] {
    let parameters = content_type.split(|byte| *byte == b';').skip(1);
    for parameter in parameters {
        let mut halves = parameter.splitn(2, |byte| *byte == b'=');
        if halves.next().is_some_and(|name| name.trim_ascii().eq_ignore_ascii_case(b"charset")) {
            let quotes = |byte: &u8| matches!(byte, b'"' | b'\'' | b' ' | b'\t');
            let value = halves.next().unwrap_or_default();
            let start = value.iter().position(|byte| !quotes(byte)).unwrap_or(value.len());
            let end = value.iter().rposition(|byte| !quotes(byte)).map_or(start, |last| last + 1);
            return value.get(start..end).unwrap_or_default();
        }
    }
    b""
}

/// Yields path segments, then names and values of the query.
pub(crate) fn target(target: &[u8], visit: &mut dyn Visit) -> Result<(), Reason> {
    let target = target.split(|byte| *byte == b'#').next().unwrap_or_default();
    let mut halves = target.splitn(2, |byte| *byte == b'?');
    path::decode(halves.next().unwrap_or_default(), visit)?;
    match halves.next() {
        Some(query) => all_pairs(query, pairs::QUERY, visit),
        None => Ok(()),
    }
}

fn all_pairs(bytes: &[u8], parts: pairs::Parts, visit: &mut dyn Visit) -> Result<(), Reason> {
    pairs::decode(bytes, parts, visit)?;
    repeated::decode(bytes, parts, visit)
}

/// Yields values of the fields of a head.
pub(crate) fn fields(fields: &dyn Fields, visit: &mut dyn Visit) -> Result<(), Reason> {
    header::decode(fields, visit)
}

/// Yields names and values of a body, whose kind [`kind`] told from its head.
pub(crate) fn body(
    kind: Kind,
    head: &Head<'_>,
    (bytes, truncated): (&[u8], bool),
    visit: &mut dyn Visit,
) -> Result<(), Reason> {
    let content_type = head.content_type.unwrap_or_default();
    if kind != Kind::Encoded {
        if matches!(kind, Kind::Frames(_)) && media::is_encoded(head) {
            visit.note(Reason::EncodedBody); // no server of gRPC knows it, but what stands before it may
        }
        return content(kind, content_type, (bytes, truncated), visit);
    }
    let codings = head.content_encoding.unwrap_or_default();
    let declared = media::declared(content_type);
    match coding::undo(codings, bytes, visit.budget())? {
        coding::Undone::Whole(plain) => content(declared, content_type, (&plain, truncated), visit),
        coding::Undone::Cut(plain, reason) => {
            visit.note(reason);
            content(declared, content_type, (&plain, true), visit)
        }
        coding::Undone::Not => content(kind, content_type, (bytes, truncated), visit),
    }
}

/// Yields names and values of a body that is not encoded.
fn content(
    kind: Kind,
    content_type: &[u8],
    (bytes, truncated): (&[u8], bool),
    visit: &mut dyn Visit,
) -> Result<(), Reason> {
    let charset = charset(content_type);
    if let Kind::Not(reason) = kind {
        return Err(reason);
    }
    let declared = unicode::declared(charset, bytes);
    let is_binary = matches!(kind, Kind::Multipart | Kind::Protobuf | Kind::Frames(_));
    if let Some(encoding) = unicode::detect(bytes).or(declared).filter(|_| !is_binary) {
        visit.budget().decoded(unicode::longest(bytes))?;
        let text = unicode::transcode(encoding, bytes);
        let text = text.as_bytes();
        // Short integers of a binary format look like UTF-16 as well.
        let is_text = matches!(kind, Kind::Json | Kind::Xml) || declared.is_some() || json::looks_like(text);
        if is_text || pairs::looks_like(text) {
            read(kind, content_type, (text, truncated), visit)?;
            let is_sure = truncated || kind == Kind::Xml || declared.is_some() || json::is_valid(text);
            if is_sure && !encoding.is_ascii() {
                return Ok(());
            }
        }
    }
    if !charset.is_empty() && !has_ascii(charset) {
        visit.note(Reason::UnsupportedBody);
    }
    read(kind, content_type, (bytes, truncated), visit)
}

/// Whether ASCII characters are ASCII bytes in it, and quotes and SQL words are where we look for them.
fn has_ascii(charset: &[u8]) -> bool {
    let charset = charset.to_ascii_lowercase();
    let exact: &[&[u8]] = &[b"utf-8", b"utf8", b"us-ascii", b"ascii", b"latin1", b"utf-7", b"utf7"];
    exact.contains(&charset.as_slice())
        || [&b"iso-8859-"[..], b"windows-125"].iter().any(|start| charset.starts_with(start))
}

fn read(
    kind: Kind,
    content_type: &[u8],
    (bytes, truncated): (&[u8], bool),
    visit: &mut dyn Visit,
) -> Result<(), Reason> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match kind {
        Kind::Not(reason) => Err(reason),
        Kind::Json if has_shape(bytes) && !json::looks_like(bytes) => {
            visit.note(Reason::MalformedBody);
            shaped(bytes, truncated, visit)
        }
        Kind::Json => json::decode(bytes, truncated, visit),
        Kind::Form if has_shape(bytes) => shaped(bytes, truncated, visit),
        Kind::Form => form(bytes, truncated, visit),
        Kind::Xml if xml::looks_like(bytes) => xml::decode(bytes, truncated, visit),
        Kind::Multipart => {
            if multipart::decode(content_type, (bytes, truncated), visit)? {
                return Ok(());
            }
            visit.note(Reason::MalformedBody);
            sniffed(bytes, truncated, visit)
        }
        Kind::GraphQl if graphql::looks_like(bytes) && !json::is_valid(bytes) => {
            graphql::decode(bytes, visit)
        }
        Kind::Lines => lines::decode(bytes, truncated, visit),
        Kind::Protobuf => protobuf::decode(bytes, visit),
        Kind::Frames(framing) => grpc::decode(framing, (bytes, truncated), visit),
        Kind::Undeclared if !has_shape(bytes) && (is_binary(bytes) || is_document(bytes)) => {
            Err(Reason::OpaqueBody)
        }
        Kind::Xml | Kind::GraphQl | Kind::Sniff | Kind::Undeclared => sniffed(bytes, truncated, visit),
        Kind::Encoded if !has_shape(bytes) => Err(Reason::EncodedBody),
        Kind::Encoded => {
            visit.note(Reason::EncodedBody);
            shaped(bytes, truncated, visit)
        }
    }
}

/// Reads what has a shape, whatever its type says.
fn shaped(bytes: &[u8], truncated: bool, visit: &mut dyn Visit) -> Result<(), Reason> {
    if xml::is_declared(bytes) {
        xml::decode(bytes, truncated, visit)
    } else if multipart::looks_like(bytes) {
        multipart::decode(b"", (bytes, truncated), visit).map(drop)
    } else {
        form(bytes, truncated, visit)
    }
}

/// Many applications parse JSON whatever the type says, and `curl -d` sends this type by default. Others read pairs
/// out of what is valid JSON: there the first one is named by the document's own punctuation.
fn form(bytes: &[u8], truncated: bool, visit: &mut dyn Visit) -> Result<(), Reason> {
    if !json::looks_like(bytes) {
        return all_pairs(bytes, pairs::FORM, visit);
    }
    let is_valid = json::read(bytes, truncated, visit)? || json::is_valid(bytes);
    let first = if is_valid { memchr::memchr2(b'&', b';', bytes) } else { Some(0) };
    match first.and_then(|start| bytes.get(start..)) {
        Some(rest) => pairs::decode(rest, pairs::FORM, visit),
        None => Ok(()),
    }
}

fn has_shape(bytes: &[u8]) -> bool {
    json::looks_like(bytes)
        || pairs::starts_like(bytes)
        || xml::is_declared(bytes)
        || multipart::looks_like(bytes)
}

/// Random bytes look like short pieces of SQL now and then, text with a stray control character does not.
fn is_binary(bytes: &[u8]) -> bool {
    let is_control = |byte: &&u8| **byte < b' ' && !matches!(**byte, b'\t' | b'\n' | 0x0B | 0x0C | b'\r');
    let controls = bytes.iter().filter(is_control).count();
    let threshold = if std::str::from_utf8(bytes).is_ok() { 4 } else { 16 };
    controls > bytes.len() / threshold
}

/// Pages and source code that are uploaded hold quotes and statements of their own.
fn is_document(bytes: &[u8]) -> bool {
    bytes.trim_ascii().contains(&b'\n')
}

fn sniffed(bytes: &[u8], truncated: bool, visit: &mut dyn Visit) -> Result<(), Reason> {
    if json::looks_like(bytes) {
        return json::decode(bytes, truncated, visit);
    }
    if pairs::looks_like(bytes) {
        return all_pairs(bytes, pairs::FORM, visit);
    }
    if xml::is_declared(bytes) || multipart::looks_like(bytes) {
        shaped(bytes, truncated, visit)?;
    }
    if is_binary(bytes) {
        return Err(Reason::OpaqueBody);
    }
    visit.field(&Field { part: Part::Text, name: b"", value: bytes })
}

#[cfg(test)]
mod tests;
