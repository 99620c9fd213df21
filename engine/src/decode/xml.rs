//! XML documents ([XML 1.0](https://www.w3.org/TR/xml/)): text of elements with CDATA sections and references undone, values
//! of attributes, processing instructions, and what a DTD declares entities to be. References to those are not expanded:
//! an entity that is worth expanding is itself a finding of the class for XML, which gets the document as a whole.
//!
//! Reads what is broken as far as it can, and notes it. Work is linear: every byte is looked at once.

use std::borrow::Cow;

use super::{Field, Visit, pairs};
use crate::finding::Part;
use crate::reason::Reason;

/// Elements inside of each other whose names are kept. Parsers refuse deeper ones (libxml2), or run out of stack.
const MAX_DEPTH: usize = 256;

/// Whether it starts like one: with a declaration, a comment or an element.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    match bytes.trim_ascii_start() {
        [b'<', next, ..] => next.is_ascii_alphabetic() || matches!(next, b'?' | b'!' | b'_'),
        _ => false,
    }
}

/// Whether it says that it is one.
pub(super) fn is_declared(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"<?xml")
}

/// Yields the document, and its values.
pub(super) fn decode(bytes: &[u8], truncated: bool, visit: &mut dyn Visit) -> Result<(), Reason> {
    visit.field(&Field { part: Part::Document, name: b"", value: bytes })?;
    visit.budget().work(bytes.len())?;
    let part = if is_feed(bytes) { Part::Feed } else { Part::Xml };
    let mut reader = Reader {
        part,
        rest: bytes,
        open: Vec::new(),
        depth: 0,
        run: Run::default(),
        odd: false,
        deep: false,
    };
    while reader.step(visit)? {}
    if !truncated && (reader.odd || reader.depth != 0) {
        visit.note(Reason::MalformedBody);
    }
    if reader.deep {
        visit.note(Reason::TooDeep);
    }
    Ok(())
}

/// Whether the first element is that of Atom (RFC 4287) or RSS.
fn is_feed(bytes: &[u8]) -> bool {
    let start = bytes.get(..1 << 10).unwrap_or(bytes);
    let mut tags = memchr::memchr_iter(b'<', start).filter_map(|at| start.get(at + 1..));
    let root = tags.find(|tag| tag.first().is_some_and(u8::is_ascii_alphabetic)).unwrap_or_default();
    let length = root.iter().position(|byte| is_space(*byte) || matches!(byte, b'>' | b'/'));
    let name = local(root.get(..length.unwrap_or(root.len())).unwrap_or_default());
    [&b"feed"[..], b"rss", b"RDF", b"entry"].contains(&name)
}

/// Text of one element up to the next tag.
#[derive(Default)]
struct Run<'a> {
    pieces: Vec<u8>,
    /// The only piece so far.
    first: Option<&'a [u8]>,
}

impl<'a> Run<'a> {
    fn add(&mut self, piece: Cow<'a, [u8]>) {
        match piece {
            Cow::Borrowed(b"") => {}
            Cow::Borrowed(text) if self.first.is_none() && self.pieces.is_empty() => self.first = Some(text),
            piece => {
                self.pieces.extend_from_slice(self.first.take().unwrap_or_default());
                self.pieces.append(&mut piece.into_owned());
            }
        }
    }

    fn flush(&mut self, part: Part, name: &[u8], visit: &mut dyn Visit) -> Result<(), Reason> {
        let text = self.first.take().unwrap_or(&self.pieces);
        let text = text.trim_ascii();
        if !text.is_empty() {
            pairs::text(&Field { part, name, value: text }, visit)?;
        }
        self.pieces.clear();
        Ok(())
    }
}

struct Reader<'a> {
    part: Part,
    rest: &'a [u8],
    open: Vec<&'a [u8]>,
    depth: usize,
    run: Run<'a>,
    odd: bool,
    deep: bool,
}

impl<'a> Reader<'a> {
    /// Reads text and the markup behind it.
    fn step(&mut self, visit: &mut dyn Visit) -> Result<bool, Reason> {
        let Some(length) = memchr::memchr(b'<', self.rest) else {
            self.run.add(references(self.rest));
            self.flush(visit)?;
            return Ok(false);
        };
        let (text, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, &[]));
        self.run.add(references(text));
        self.rest = rest;
        match rest {
            [b'<', b'!', b'-', b'-', ..] => {
                self.until(4, b"-->");
            }
            [b'<', b'!', b'[', b'C', b'D', b'A', b'T', b'A', b'[', ..] => {
                let section = self.until(9, b"]]>");
                self.run.add(Cow::Borrowed(section));
            }
            [b'<', b'!', ..] => self.declaration(visit)?,
            [b'<', b'?', ..] => self.instruction(visit)?,
            [b'<', b'/', ..] => {
                self.flush(visit)?;
                self.until(2, b">");
                self.odd |= self.depth == 0;
                self.depth = self.depth.saturating_sub(1);
                self.open.truncate(self.depth);
            }
            [b'<', first, ..] if first.is_ascii_alphabetic() || *first == b'_' || *first >= 0x80 => {
                self.flush(visit)?;
                self.element(visit)?;
            }
            _ => {
                self.odd = true;
                self.run.add(Cow::Borrowed(rest.get(..1).unwrap_or_default()));
                self.rest = rest.get(1..).unwrap_or_default();
            }
        }
        Ok(true)
    }

    fn flush(&mut self, visit: &mut dyn Visit) -> Result<(), Reason> {
        let name = self.open.last().copied().unwrap_or_default();
        self.run.flush(self.part, name, visit)
    }

    /// What stands between a mark of so many bytes and the one that ends it; moves behind that.
    fn until(&mut self, start: usize, end: &[u8]) -> &'a [u8] {
        let inner = self.rest.get(start..).unwrap_or_default();
        let found = memchr::memmem::find(inner, end);
        self.odd |= found.is_none();
        let length = found.unwrap_or(inner.len());
        self.rest = inner.get(length + end.len()..).unwrap_or_default();
        inner.get(..length).unwrap_or_default()
    }

    /// What is quoted in a DTD may come to stand in the document.
    fn declaration(&mut self, visit: &mut dyn Visit) -> Result<(), Reason> {
        let (mut at, mut subset) = (2, false);
        while let Some(byte) = self.rest.get(at) {
            at += 1;
            match byte {
                b'"' | b'\'' => {
                    let inner = self.rest.get(at..).unwrap_or_default();
                    let length = memchr::memchr(*byte, inner).unwrap_or(inner.len());
                    let value = references(inner.get(..length).unwrap_or_default());
                    at += length + 1;
                    pairs::text(&Field { part: Part::Xml, name: b"", value: &value }, visit)?;
                }
                b'[' => subset = true,
                b']' => subset = false,
                b'>' if !subset => break,
                _ => {}
            }
        }
        self.rest = self.rest.get(at..).unwrap_or_default();
        Ok(())
    }

    fn instruction(&mut self, visit: &mut dyn Visit) -> Result<(), Reason> {
        let inner = self.until(2, b"?>");
        let length = inner.iter().position(u8::is_ascii_whitespace).unwrap_or(inner.len());
        let (target, value) = inner.split_at_checked(length).unwrap_or((inner, &[]));
        if target == b"xml" {
            return Ok(());
        }
        pairs::text(&Field { part: Part::Xml, name: target, value: value.trim_ascii() }, visit)
    }

    fn element(&mut self, visit: &mut dyn Visit) -> Result<(), Reason> {
        let inner = self.rest.get(1..).unwrap_or_default();
        let length = inner.iter().position(|byte| is_space(*byte) || matches!(byte, b'>' | b'/' | b'<'));
        let (name, rest) = inner.split_at_checked(length.unwrap_or(inner.len())).unwrap_or((inner, &[]));
        self.rest = rest;
        loop {
            let blanks = self.rest.iter().take_while(|byte| is_space(**byte)).count();
            self.rest = self.rest.get(blanks..).unwrap_or_default();
            match self.rest {
                [b'>', rest @ ..] => {
                    self.rest = rest;
                    self.depth += 1;
                    self.deep |= self.depth > MAX_DEPTH;
                    if self.open.len() + 1 == self.depth && self.depth <= MAX_DEPTH {
                        self.open.push(local(name));
                    }
                    return Ok(());
                }
                [b'/', b'>', rest @ ..] => {
                    self.rest = rest;
                    return Ok(());
                }
                [] | [b'<', ..] => {
                    self.odd = true;
                    return Ok(());
                }
                _ => self.attribute(visit)?,
            }
        }
    }

    fn attribute(&mut self, visit: &mut dyn Visit) -> Result<(), Reason> {
        let is_end = |byte: &u8| is_space(*byte) || matches!(byte, b'=' | b'>' | b'<');
        // At least one byte, so that every turn gets on.
        let length =
            1 + self.rest.iter().skip(1).position(is_end).unwrap_or(self.rest.len().saturating_sub(1));
        let (name, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, &[]));
        self.rest = rest;
        let Some(value) = rest.trim_ascii_start().strip_prefix(b"=") else {
            self.odd = true;
            return Ok(());
        };
        let value = value.trim_ascii_start();
        let (value, rest) = if let [quote @ (b'"' | b'\''), inner @ ..] = value {
            let found = memchr::memchr(*quote, inner);
            self.odd |= found.is_none();
            let length = found.unwrap_or(inner.len());
            (inner.get(..length).unwrap_or_default(), inner.get(length + 1..).unwrap_or_default())
        } else {
            self.odd = true;
            let length = value.iter().position(|byte| is_space(*byte) || *byte == b'>');
            value.split_at_checked(length.unwrap_or(value.len())).unwrap_or((value, &[]))
        };
        self.rest = rest;
        if name.starts_with(b"xmlns") || name.ends_with(b"chemaLocation") {
            return Ok(()); // names, written as addresses
        }
        pairs::text(&Field { part: self.part, name: local(name), value: &references(value) }, visit)
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// A name without the prefix of its namespace.
fn local(name: &[u8]) -> &[u8] {
    memchr::memchr(b':', name).and_then(|colon| name.get(colon + 1..)).unwrap_or(name)
}

/// Undoes references to characters and the five entities that every document has.
fn references(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'&', text) else { return Cow::Borrowed(text) };
    let mut plain = text.get(..first).unwrap_or_default().to_vec();
    let mut rest = text.get(first..).unwrap_or_default();
    while let [byte, behind @ ..] = rest {
        if *byte == b'&'
            && let Some((character, length)) = reference(behind)
        {
            plain.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            rest = behind.get(length..).unwrap_or_default();
            continue;
        }
        plain.push(*byte);
        rest = behind;
    }
    Cow::Owned(plain)
}

/// The character that is referred to, and the bytes of the reference behind `&`.
fn reference(rest: &[u8]) -> Option<(char, usize)> {
    let length = rest.iter().take(12).position(|byte| *byte == b';')?;
    let name = std::str::from_utf8(rest.get(..length)?).ok()?;
    let character = match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    };
    Some((character, length + 1))
}

#[cfg(test)]
mod tests;
