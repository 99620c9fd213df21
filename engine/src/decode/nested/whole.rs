//! Values that are encoded as a whole: base64, hex, a `data:` URI, a JSON Web Token (RFC 7519), and what is compressed in
//! base64, as states of pages and messages of SAML are. Most words of a language are base64 by their letters, so what
//! comes out must be text.

use super::super::coding::{self, Undone};
use super::super::percent::hex;
use super::super::{Field, Visit, base64};
use super::layers::Step;
use crate::finding::Encodings;
use crate::reason::Reason;
use crate::value::{self, Kind};

/// Whether it is worth more than a look at its first bytes.
pub(crate) fn is_likely(value: &[u8]) -> bool {
    value::may_be_encoded(value)
        && matches!(value::kind(value), Kind::Base64 | Kind::Hex | Kind::Data | Kind::Token)
}

/// The decoded value, in the buffer.
pub(super) fn decode(value: &[u8], buffer: &mut Vec<u8>) -> Option<Step> {
    buffer.clear();
    let value = value::bare(value);
    match value::kind(value) {
        Kind::Base64 => from_base64(value, buffer),
        Kind::Data => {
            let comma = memchr::memchr(b',', value)?;
            let (head, data) = value.split_at_checked(comma)?;
            let is_base64 = head.len() > 7 && head.get(head.len() - 7..)?.eq_ignore_ascii_case(b";base64");
            if is_base64 { from_base64(data.get(1..)?, buffer) } else { None }
        }
        Kind::Hex => from_hex(value, buffer),
        Kind::Token => from_token(value, buffer),
        Kind::Number | Kind::Uuid | Kind::Other => None,
    }
}

fn from_base64(value: &[u8], buffer: &mut Vec<u8>) -> Option<Step> {
    // Pictures and random numbers are told by their first bytes.
    let head = value.get(..HEAD).unwrap_or(value);
    base64::decode_into(head, buffer)?;
    if !is_text(buffer) {
        return None;
    }
    buffer.clear();
    base64::decode_into(value, buffer)?;
    let is_document = memchr::memchr_iter(b'\n', buffer).nth(2).is_some();
    // A file that is uploaded like this is source code as often as not. An XML document is read as one.
    let is_doubtful = is_document && !buffer.trim_ascii_start().starts_with(b"<?xml");
    is_text(buffer).then_some(Step { is_doubtful, ..Step::of(Encodings::BASE64) })
}

/// What is compressed and then base64, bounded like any compressed body.
pub(super) fn decompress(
    field: &Field<'_>,
    buffer: &mut Vec<u8>,
    visit: &mut dyn Visit,
) -> Result<Option<Step>, Reason> {
    let value = value::bare(field.value);
    // The redirect binding of SAML 2.0 (section 3.4.4.1) has no mark.
    let is_saml = [&b"SAMLRequest"[..], b"SAMLResponse"].contains(&field.name);
    let head = value.get(..HEAD).unwrap_or(value);
    buffer.clear();
    if value::kind(value) != Kind::Base64
        || base64::decode_into(head, buffer).is_none()
        || coding::mark(buffer).is_none() && (!is_saml || is_text(buffer))
    {
        return Ok(None);
    }
    buffer.clear();
    if base64::decode_into(value, buffer).is_none() {
        return Ok(None);
    }
    let name = coding::mark(buffer).unwrap_or(b"deflate");
    let plain = match coding::undo(name, buffer, visit.budget())? {
        Undone::Whole(plain) => plain,
        Undone::Cut(plain, reason) => {
            if is_text(&plain) {
                visit.note(reason);
            }
            plain
        }
        Undone::Not => return Ok(None),
    };
    if !is_text(&plain) {
        return Ok(None);
    }
    let is_doubtful = memchr::memchr_iter(b'\n', &plain).nth(2).is_some();
    *buffer = plain;
    Ok(Some(Step { is_doubtful, ..Step::of(Encodings::BASE64 | Encodings::COMPRESSED) }))
}

/// A multiple of four, so that no digit is cut.
const HEAD: usize = 64;

fn from_hex(value: &[u8], buffer: &mut Vec<u8>) -> Option<Step> {
    let digits = value.strip_prefix(b"0x").or_else(|| value.strip_prefix(b"0X")).unwrap_or(value);
    for pair in digits.chunks(2) {
        let [high, low] = pair else { return None };
        buffer.push(hex(*high)? << 4 | hex(*low)?);
        if buffer.len() == HEAD / 4 && !is_text(buffer) {
            return None;
        }
    }
    is_text(buffer).then_some(Step::of(Encodings::HEX))
}

/// Header and payload, as one document.
fn from_token(value: &[u8], buffer: &mut Vec<u8>) -> Option<Step> {
    let mut parts = value.split(|byte| *byte == b'.');
    let (header, payload) = (parts.next()?, parts.next()?);
    buffer.push(b'[');
    base64::decode_into(header, buffer)?;
    buffer.push(b',');
    base64::decode_into(payload, buffer)?;
    buffer.push(b']');
    Some(Step::of(Encodings::TOKEN))
}

/// UTF-8 with hardly a control character, or UTF-16 of ASCII; a few bytes of something else are what attacks insert.
fn is_text(bytes: &[u8]) -> bool {
    let (mut controls, mut nuls, mut high) = (0, 0, 0);
    for byte in bytes {
        match byte {
            0 => nuls += 1,
            b'\t' | b'\n' | b'\r' => {}
            0x01..=0x1F | 0x7F => controls += 1,
            0x80.. => high += 1,
            _ => {}
        }
    }
    let is_utf8 = high == 0
        || match std::str::from_utf8(bytes) {
            Ok(_) => true,
            // The first bytes of a longer text.
            Err(error) => error.error_len().is_none(),
        };
    let few = |count: usize| count * 8 <= bytes.len();
    bytes.len() >= SHORTEST && few(controls) && nuls * 2 <= bytes.len() && (is_utf8 || few(high))
}

/// Shorter ones are words by chance, and too short for an attack.
const SHORTEST: usize = 4;
