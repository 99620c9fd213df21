//! Bodies in parts: `multipart/form-data` (RFC 7578) and its siblings (RFC 2046 section 5.1).
//!
//! Applications read what is broken in different ways, so nothing is left unread: what stands outside of the parts is
//! text, a boundary that is named twice is read both ways, line feeds alone end lines, and what is not as the RFC asks for
//! is noted. A file is not read as a value: it goes to the detectors that read files.

use std::borrow::Cow;

use super::{FORM_DATA, Field, Kind, Visit, header, json, media, pairs, parameters, transfer, unicode, xml};
use crate::finding::Part;
use crate::header::request;
use crate::reason::Reason;

/// Fields and bytes of the head of a part.
const MAX_FIELDS: usize = 16;
const MAX_HEAD: usize = 8 << 10;
/// Bodies in parts inside of parts.
const MAX_DEPTH: usize = 3;

/// Whether it starts like one, whatever its type says.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    let start = bytes.get(..1 << 10).unwrap_or(bytes);
    let name = b"content-disposition:";
    start.starts_with(b"--") && start.windows(name.len()).any(|window| window.eq_ignore_ascii_case(name))
}

/// Yields names, values, names of files and files. `false` where it has no parts.
pub(super) fn decode(
    content_type: &[u8],
    (body, truncated): (&[u8], bool),
    visit: &mut dyn Visit,
) -> Result<bool, Reason> {
    read(content_type, (body, truncated), 1, visit)
}

fn read(
    content_type: &[u8],
    (body, truncated): (&[u8], bool),
    depth: usize,
    visit: &mut dyn Visit,
) -> Result<bool, Reason> {
    let boundaries = parameters::values(content_type, b"boundary");
    let (first, last) = (boundaries.first(), boundaries.last());
    let mut found = false;
    if let Some(boundary) = first {
        found = parts(boundary, (body, truncated), depth, visit)?;
    }
    if let Some(boundary) = last.filter(|last| Some(*last) != first) {
        visit.note(Reason::MalformedBody);
        found |= parts(boundary, (body, truncated), depth, visit)?;
    }
    if !found && looks_like(body) {
        // Some applications take the boundary from the first line.
        visit.note(Reason::MalformedBody);
        let line = body.get(2..).unwrap_or_default().split(|byte| *byte == b'\n').next().unwrap_or_default();
        found = parts(line.trim_ascii_end(), (body, truncated), depth, visit)?;
    }
    Ok(found)
}

fn parts(
    boundary: &[u8],
    (body, truncated): (&[u8], bool),
    depth: usize,
    visit: &mut dyn Visit,
) -> Result<bool, Reason> {
    if boundary.is_empty() {
        return Ok(false);
    }
    visit.budget().work(body.len())?;
    let delimiter = [b"--", boundary].concat();
    let mut delimiters = Delimiters { body, finder: memchr::memmem::Finder::new(&delimiter), at: 0 };
    let Some(mut current) = delimiters.next() else { return Ok(false) };
    outside(body.get(..current.start).unwrap_or_default(), visit)?;
    for number in 0.. {
        let next = delimiters.next();
        let end = next.as_ref().map_or(body.len(), |next| next.start);
        let content = body.get(current.end..end).unwrap_or_default();
        if number >= visit.budget().bounds().multipart {
            visit.note(Reason::TooManyParts);
            outside(body.get(current.end..).unwrap_or_default(), visit)?;
            break;
        }
        let is_cut = truncated && next.is_none();
        if current.closes {
            outside(content, visit)?;
        } else {
            if next.is_none() && !truncated {
                visit.note(Reason::MalformedBody);
            }
            part((content, is_cut), depth, visit)?;
        }
        match next {
            Some(next) => current = next,
            None => break,
        }
    }
    Ok(true)
}

/// Lines that separate parts. `start` is before the line break that belongs to it, `end` behind its line.
struct Delimiter {
    start: usize,
    end: usize,
    closes: bool,
}

struct Delimiters<'a> {
    body: &'a [u8],
    finder: memchr::memmem::Finder<'a>,
    at: usize,
}

impl Iterator for Delimiters<'_> {
    type Item = Delimiter;

    fn next(&mut self) -> Option<Delimiter> {
        loop {
            let at = self.at + self.finder.find(self.body.get(self.at..)?)?;
            let behind = at + self.finder.needle().len();
            self.at = behind;
            let before = self.body.get(..at)?;
            let start = match before {
                [] => 0,
                [.., b'\r', b'\n'] => at - 2,
                [.., b'\n'] => at - 1,
                _ => continue,
            };
            let rest = self.body.get(behind..)?;
            let closes = rest.starts_with(b"--");
            let rest = rest.get(if closes { 2 } else { 0 }..)?;
            let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
            let ends = match rest.get(padding) {
                Some(b'\n') => padding + 1,
                None => padding,
                // A line that only begins like the boundary, or text behind the last one.
                Some(_) if !closes => continue,
                Some(_) => 0,
            };
            let end = self.body.len() - rest.len() + ends;
            self.at = end.saturating_sub(1).max(behind);
            return Some(Delimiter { start, end, closes });
        }
    }
}

/// Nobody reads what is between and around the parts, unless he reads the body otherwise than we do.
fn outside(bytes: &[u8], visit: &mut dyn Visit) -> Result<(), Reason> {
    let text = bytes.trim_ascii();
    if text.is_empty() { Ok(()) } else { visit.field(&Field { part: Part::Text, name: b"", value: text }) }
}

/// What the head of a part says.
#[derive(Default)]
struct Head<'a> {
    names: Vec<Cow<'a, [u8]>>,
    files: Vec<Cow<'a, [u8]>>,
    /// It has a `filename`, and not only one that many applications do not know.
    is_file: bool,
    content_type: &'a [u8],
    transfer: &'a [u8],
}

fn part((bytes, truncated): (&[u8], bool), depth: usize, visit: &mut dyn Visit) -> Result<(), Reason> {
    let mut head = Head::default();
    let mut rest = bytes;
    for number in 0.. {
        let Some((line, behind)) = line(rest) else {
            // Without content, the empty line may be the one before the boundary (RFC 2046 section 5.1.1).
            if rest.is_empty() || rest.contains(&b':') {
                field(rest, &mut head, visit)?;
                rest = &[];
                break;
            }
            if !truncated {
                visit.note(Reason::MalformedBody);
            }
            return outside(bytes, visit);
        };
        rest = behind;
        if line.is_empty() {
            break;
        }
        if number >= MAX_FIELDS || bytes.len() - rest.len() > MAX_HEAD {
            visit.note(Reason::MalformedBody);
            return outside(bytes, visit);
        }
        field(line, &mut head, visit)?;
    }
    let name = head.names.first().cloned().unwrap_or_default();
    for name in &head.names {
        pairs::text(&Field { part: Part::FormName, name: FORM_DATA, value: name }, visit)?;
    }
    for file in &head.files {
        pairs::text(&Field { part: Part::FileName, name: &name, value: file }, visit)?;
    }
    let decoded = transfer::undo(head.transfer, rest, visit.budget())?;
    // RFC 7578 section 4.6: the charset of all parts that name none.
    let charset = rest.trim_ascii();
    if name.eq_ignore_ascii_case(b"_charset_") && request::hides(charset) {
        let value = [b"text/plain; charset=", charset].concat();
        visit.field(&Field { part: Part::Header, name: b"content-type", value: &value })?;
    }
    if let Some(decoded) = &decoded {
        content(&head, &name, (decoded, truncated), depth, visit)?;
    }
    content(&head, &name, (rest, truncated), depth, visit)
}

/// A line with those that continue it, without its end, and what is behind it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut end = memchr::memchr(b'\n', bytes)?;
    let ending = |end: usize| bytes.get(..end).unwrap_or_default();
    let is_blank = |end: usize| ending(end).strip_suffix(b"\r").unwrap_or(ending(end)).is_empty();
    while !is_blank(end) && matches!(bytes.get(end + 1), Some(b' ' | b'\t')) {
        let Some(length) = memchr::memchr(b'\n', bytes.get(end + 1..)?) else { break };
        end += 1 + length;
    }
    let line = ending(end);
    Some((line.strip_suffix(b"\r").unwrap_or(line), bytes.get(end + 1..)?))
}

fn field<'a>(line: &'a [u8], head: &mut Head<'a>, visit: &mut dyn Visit) -> Result<(), Reason> {
    let Some(colon) = memchr::memchr(b':', line) else {
        if !line.is_empty() {
            visit.note(Reason::MalformedBody);
        }
        return Ok(());
    };
    let (name, value) = line.split_at_checked(colon).unwrap_or((line, &[]));
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    if name.iter().any(|byte| *byte <= b' ' || *byte >= 0x7F) {
        visit.note(Reason::MalformedBody);
    }
    let name = name.trim_ascii();
    if name.eq_ignore_ascii_case(b"content-disposition") {
        let repeated = !head.names.is_empty();
        head.names.extend(parameters::values(value, b"name"));
        let files = parameters::values(value, b"filename");
        head.is_file |= !files.is_empty() && has_plain_name(value);
        if repeated || head.names.len() > 1 {
            visit.note(Reason::MalformedBody);
        }
        head.files.extend(files);
        return Ok(());
    }
    if name.eq_ignore_ascii_case(b"content-type") {
        head.content_type = value;
        // A part has hardly ever a charset of its own.
        let charset = super::charset(value);
        if !charset.is_empty() && (unicode::knows(charset) || !super::has_ascii(charset)) {
            return visit.field(&Field { part: Part::Header, name, value });
        }
    } else if name.eq_ignore_ascii_case(b"content-transfer-encoding") {
        head.transfer = value;
    }
    header::part_field(name, value, visit)
}

fn has_plain_name(disposition: &[u8]) -> bool {
    let name = b"filename=";
    disposition.windows(name.len()).any(|window| window.eq_ignore_ascii_case(name))
}

fn content(
    head: &Head<'_>,
    name: &[u8],
    (bytes, truncated): (&[u8], bool),
    depth: usize,
    visit: &mut dyn Visit,
) -> Result<(), Reason> {
    let file = head.files.first();
    // Scripts send documents as a `Blob`, which has this name where nobody gave it another one.
    let is_blob = file.is_some_and(|file| **file == *b"blob");
    if let Some(file) = file.filter(|_| !is_blob) {
        visit.budget().declare_media(media::is_media(head.content_type));
        let read = visit.field(&Field { part: Part::File, name: file, value: bytes });
        visit.budget().declare_media(false);
        read?;
        if head.is_file {
            return Ok(());
        }
    }
    match media::declared(head.content_type) {
        Kind::Json if json::looks_like(bytes) => return json::decode(bytes, truncated, visit),
        Kind::Xml if xml::looks_like(bytes) => return xml::decode(bytes, truncated, visit),
        Kind::Multipart if depth >= MAX_DEPTH => visit.note(Reason::TooDeep),
        Kind::Multipart if read(head.content_type, (bytes, truncated), depth + 1, visit)? => return Ok(()),
        _ => {}
    }
    let part = if head.names.is_empty() { Part::Text } else { Part::Form };
    let charset = super::charset(head.content_type);
    if let Some(encoding) = unicode::declared(charset, bytes) {
        visit.budget().decoded(unicode::longest(bytes))?;
        let text = unicode::transcode(encoding, bytes);
        pairs::text(&Field { part, name, value: text.as_bytes() }, visit)?;
    }
    pairs::text(&Field { part, name, value: bytes }, visit)
}

#[cfg(test)]
mod tests;
