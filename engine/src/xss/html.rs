//! Reads bytes as HTML, as leniently as the most lenient browser: WHATWG tokenisation (13.2.5), and where engines, old
//! ones included, or the page around the value could read it in another way, all of the ways. So every `<` may begin a
//! tag, also inside of comments, quoted attributes and other tags.
//!
//! Linear: bytes are read once for each kind of quote around them.

use crate::ascii;

/// Receives what is read. Positions are those in the value.
pub(super) trait Sink {
    /// What it knows of the tag.
    type Tag: Copy;
    /// What it knows of the tag, to be restored after markup inside of an attribute.
    fn state(&self) -> Self::Tag;
    /// Goes on with that tag.
    fn restore(&mut self, tag: Self::Tag);
    /// A start tag, or an end tag.
    fn tag(&mut self, name: &[u8], at: usize, is_end: bool);
    /// An attribute of the last tag.
    fn attribute(&mut self, attribute: &Attribute<'_>);
    /// The last tag is complete; `at` is the first byte after its `>`.
    fn content(&mut self, at: usize);
}

/// An attribute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute<'a> {
    /// Its name, without stray bytes in front of it.
    pub name: &'a [u8],
    /// `None` where it has none.
    pub value: Option<&'a [u8]>,
    /// First byte of the name.
    pub start: usize,
    /// First byte after the value.
    pub end: usize,
}

/// What the value stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Text of an element.
    Text,
    /// A tag, after its name.
    Tag,
}

/// Reads `bytes[start..]`: all of it, or to the end of the tag.
pub(super) fn read<S: Sink>(bytes: &[u8], start: usize, place: Place, sink: &mut S) {
    let mut reader = Reader { bytes, at: start, depth: 0, sink };
    match place {
        Place::Tag => reader.attributes(),
        Place::Text => reader.text(),
    }
}

struct Reader<'a, 'b, S> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    sink: &'b mut S,
}

impl<'a, S: Sink> Reader<'a, '_, S> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn text(&mut self) {
        while let Some(length) = memchr::memchr(b'<', self.rest()) {
            self.at += length;
            if !self.tag() {
                self.at += 1;
                continue;
            }
            self.attributes();
        }
        self.at = self.bytes.len();
    }

    /// Reads `<name` or `</name`.
    fn tag(&mut self) -> bool {
        let start = self.at;
        let mut at = start + 1;
        // Some engines leave out NUL.
        while self.bytes.get(at) == Some(&0) {
            at += 1;
        }
        let is_end = self.bytes.get(at) == Some(&b'/');
        // `<?import` and `<%tag` are tags to old engines.
        at += usize::from(is_end || matches!(self.bytes.get(at), Some(b'?' | b'%')));
        if !self.bytes.get(at).is_some_and(u8::is_ascii_alphabetic) {
            return false;
        }
        let mut name = [0_u8; LONGEST_NAME];
        let mut length = 0;
        while let Some(byte) = self.bytes.get(at).copied() {
            match byte {
                0 => {}
                _ if is_name_byte(byte) => {
                    if let Some(place) = name.get_mut(length) {
                        *place = byte;
                    }
                    length += 1;
                }
                _ => break,
            }
            at += 1;
        }
        self.at = at;
        let name = name.get(..length).unwrap_or_default();
        self.sink.tag(local(name), start, is_end);
        true
    }

    fn attributes(&mut self) {
        loop {
            match self.peek() {
                None => return,
                Some(b'>') => {
                    self.at += 1;
                    self.sink.content(self.at);
                    return;
                }
                // Most engines go on with the same tag, so that what follows is an attribute of both.
                Some(b'<') => {
                    if self.bytes.get(self.at + 1) == Some(&b'?') {
                        self.instruction();
                    } else if !self.tag() {
                        self.at += 1;
                    }
                }
                Some(byte) if is_name_byte(byte) => self.attribute(),
                Some(_) => self.at += 1,
            }
        }
    }

    /// `<?php .. ?>` inside of a tag: its output, not the tag's end.
    fn instruction(&mut self) {
        let rest = self.rest();
        let end = memchr::memchr_iter(b'>', rest)
            .take(2)
            .find(|at| at.checked_sub(1).and_then(|at| rest.get(at)) == Some(&b'?'));
        self.at += end.map_or(1, |end| end + 1);
    }

    fn attribute(&mut self) {
        let start = self.at;
        let name_length = self.rest().iter().take_while(|byte| is_name_byte(**byte) || **byte == 0).count();
        self.at += name_length;
        let name = self.bytes.get(start..self.at).unwrap_or_default();
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let after_name = self.at;
        self.blanks();
        if ascii::starts(name, b"on") {
            self.clutter();
        }
        if self.peek() != Some(b'=') {
            self.at = after_name;
            self.sink.attribute(&Attribute { name, value: None, start, end: after_name });
            return;
        }
        self.at += 1;
        let equals = self.at;
        self.blanks();
        let value_start = self.at;
        // `src= onerror=a`: an empty value to engines that stop at the blank.
        if value_start > equals && is_event(self.rest()) {
            self.sink.attribute(&Attribute { name, value: Some(b""), start, end: equals });
            return;
        }
        let value = self.value();
        let end = self.at;
        self.sink.attribute(&Attribute { name, value: Some(value), start, end });
        if matches!(self.bytes.get(value_start), Some(b'"' | b'\'' | b'`')) {
            let tag = self.sink.state();
            self.within(value_start + 1, value_start + 1 + value.len());
            self.sink.restore(tag);
        }
    }

    /// A form has decoded a `+`, or not.
    fn blanks(&mut self) {
        self.at += self.rest().iter().take_while(|byte| **byte <= b' ' || **byte == b'+').count();
    }

    /// Old engines skip anything between the name of an event and its `=`.
    fn clutter(&mut self) {
        let is_clutter = |byte: &&u8| {
            !byte.is_ascii_alphanumeric() && !matches!(**byte, b'=' | b'>' | b'<' | b'"' | b'\'')
        };
        let length = self.rest().iter().take(64).take_while(is_clutter).count();
        if self.bytes.get(self.at + length) == Some(&b'=') {
            self.at += length;
        }
    }

    fn value(&mut self) -> &'a [u8] {
        if let Some(quote @ (b'"' | b'\'' | b'`')) = self.peek() {
            let start = self.at + 1;
            let rest = self.bytes.get(start..).unwrap_or_default();
            let close = memchr::memchr(quote, rest);
            if close.is_some() || quote != b'`' {
                let value = rest.get(..close.unwrap_or(rest.len())).unwrap_or_default();
                self.at = start + value.len() + usize::from(close.is_some());
                return value;
            }
        }
        let rest = self.rest();
        let mut length = 0;
        while let Some(byte) = rest.get(length) {
            let opens = *byte == b'<' && rest.get(length + 1).is_some_and(u8::is_ascii_alphabetic);
            let event = matches!(byte, b'+' | b'/') && is_event(rest.get(length + 1..).unwrap_or_default())
                || *byte == b'+'
                    && rest.get(length + 1..length + 3).is_some_and(|name| name.eq_ignore_ascii_case(b"on"));
            if matches!(byte, b'\t'..=b'\r' | b' ' | b'>') || opens || event {
                break;
            }
            length += 1;
        }
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// What a quoted value holds is text where the page closes the quote early.
    fn within(&mut self, start: usize, end: usize) {
        let bytes = self.bytes.get(..end).unwrap_or_default();
        if self.depth < DEEPEST && memchr::memchr(b'<', bytes.get(start..).unwrap_or_default()).is_some() {
            let mut inner = Reader { bytes, at: start, depth: self.depth + 1, sink: &mut *self.sink };
            inner.text();
        }
    }
}

/// `onload=`
fn is_event(rest: &[u8]) -> bool {
    let length = rest.iter().take(LONGEST_NAME).take_while(|byte| byte.is_ascii_alphabetic()).count();
    length > 4 && ascii::starts(rest, b"on") && rest.get(length) == Some(&b'=')
}

const LONGEST_NAME: usize = 32;
/// There are three kinds of quotes.
const DEEPEST: usize = 3;

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':' | b'.')
}

/// `svg:script` is a script in XML.
fn local(name: &[u8]) -> &[u8] {
    name.rsplit(|byte| *byte == b':').next().unwrap_or(name)
}
