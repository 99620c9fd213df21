//! Judges what elements hold: scripts and styles.

use super::Markup;
use crate::ascii;
use crate::finding::Confidence::{Certain, High, Low, Medium};
use crate::xss::rules::Rule;
use crate::xss::script::{self, Ending, Reading, Start};
use crate::xss::{entities, style};

impl Markup<'_> {
    pub(super) fn script(&mut self, at: usize) {
        if at < self.read_to {
            return;
        }
        let close = self.close(at);
        let content = self.value.get(at..close.unwrap_or(self.value.len())).unwrap_or_default();
        let skipped = [&b"<![CDATA["[..], b"<!--"].iter().find_map(|start| content.strip_prefix(*start));
        let content = skipped.unwrap_or(content);
        let (reading, looked_at) = read(content, close.is_some());
        self.work += looked_at;
        self.read_to = at + reading.end;
        let prose = is_prose(content) && !content.is_empty();
        let confidence = match () {
            () if self.tag.is_data => Low,
            () if ascii::starts(content.trim_ascii_start(), b"msgbox") => High,
            () if self.tag.is_basic && !content.trim_ascii().is_empty() => High,
            () if reading.attacks() && reading.ending == Ending::Broken && prose => Medium,
            () if is_declaration(content) && !reading.sensitive => Medium,
            () if reading.attacks() => Certain,
            () if prose && !reading.runs() => Medium,
            () if reading.runs() && (reading.ending != Ending::Broken || !prose) => High,
            () if close.is_some() && !prose && (!content.is_empty() || self.tag_holds_code(at)) => High,
            () if close.is_some() && reading.ending != Ending::Broken && !content.is_empty() => High,
            () => Medium,
        };
        self.see(Rule::Script, confidence, at + reading.end, reading.hostile);
    }

    /// `<script<{alert(1)}/></script>`
    pub(super) fn tag_holds_code(&self, at: usize) -> bool {
        let tag = self.value.get(self.tag.start..at).unwrap_or_default();
        memchr::memchr(b'(', tag).is_some()
    }

    /// Where the script ends. Found once for all the scripts that begin before it.
    pub(super) fn close(&mut self, at: usize) -> Option<usize> {
        if self.closing.is_none_or(|known| known < at) {
            let rest = self.value.get(at..).unwrap_or_default();
            let end = |at: &usize| {
                let name = rest.get(at + 1..).unwrap_or_default();
                let escapes = name.iter().take(3).take_while(|byte| **byte == b'\\').count();
                let name = name.get(escapes..escapes + 7).unwrap_or_default();
                name.eq_ignore_ascii_case(b"/script")
            };
            self.work += rest.len();
            let found = memchr::memchr_iter(b'<', rest).find(end).map(|length| at + length);
            self.closing = Some(found.unwrap_or(usize::MAX));
        }
        self.closing.filter(|known| *known != usize::MAX)
    }

    pub(super) fn style(&mut self, at: usize) {
        if at < self.read_to {
            return;
        }
        let rest = self.value.get(at..).unwrap_or_default();
        let rest = rest.get(..4096).unwrap_or(rest);
        let end = memchr::memmem::find(rest, b"</").unwrap_or(rest.len());
        let content = rest.get(..end).unwrap_or_default();
        self.read_to = at + end;
        self.work += content.len();
        if let Some(confidence) = style::weigh(content) {
            self.see(Rule::Style, confidence, at + end, false);
        }
        // `type="text/javascript"` on it.
        let reading = script::read(content, 0, Start::Statement);
        if reading.attacks() && reading.hostile {
            self.see(Rule::Script, High, at + end, true);
        }
    }
}

/// Reads a script, and says how many bytes were looked at. Twice as many are looked at each time while they do not
/// suffice: a value may open a script with every few bytes, and none of them ends.
fn read(content: &[u8], is_closed: bool) -> (Reading, usize) {
    let (mut length, mut looked_at) = (FIRST_LOOK, 0);
    loop {
        let part = content.get(..length).unwrap_or(content);
        let decoded = entities::references(part);
        let text = decoded.as_ref().map_or(part, |(text, _)| text.as_slice());
        let reading =
            if is_closed { script::read_loosely(text) } else { script::read(text, 0, Start::Statement) };
        looked_at += part.len();
        // What stands at the end of the part may go on behind it.
        if part.len() == content.len() || reading.end + FIRST_LOOK / 4 < text.len() {
            return (reading, looked_at);
        }
        length *= 2;
    }
}

const FIRST_LOOK: usize = 256;
/// What is known of a longer code is known of its beginning.
const BEGINNING: usize = 2048;

fn beginning(text: &[u8]) -> &[u8] {
    text.get(..BEGINNING).unwrap_or(text)
}

/// `var x = 1`: data for another script, as tools put it into their output.
fn is_declaration(code: &[u8]) -> bool {
    let code = beginning(code).trim_ascii();
    [&b"var "[..], b"let ", b"const "].iter().any(|word| code.starts_with(word))
        && memchr::memchr2(b'(', b'`', code).is_none()
}

/// At least two words in a row.
fn is_prose(text: &[u8]) -> bool {
    let mut words = 0;
    for word in beginning(text)
        .split(|byte| matches!(*byte, b' ' | b'\t' | b'\n' | b'\r'))
        .filter(|word| !word.is_empty())
        .take(24)
    {
        let word = word.strip_suffix(b",").or_else(|| word.strip_suffix(b".")).unwrap_or(word);
        let is_word = !word.is_empty() && word.iter().all(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80);
        words = if is_word { words + 1 } else { 0 };
        // `<script> and </script>`
        let is_apart = text.first() == Some(&b' ') && text.last() == Some(&b' ');
        if words == 2 || words == 1 && is_apart {
            return true;
        }
    }
    false
}
