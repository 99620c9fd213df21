//! Bodies with a `content-encoding` (RFC 9110 section 8.4): gzip (RFC 1952), deflate (RFC 1950, and RFC 1951 as some send
//! it), br (RFC 7932) and zstd (RFC 8878).
//!
//! What comes out is bounded by a number of bytes and by a multiple of what went in, so that a small body never becomes
//! a large one. What is cut off at a bound, or is broken, is read as far as it came.

use std::io::{self, Read};

use crate::budget::Budget;
use crate::reason::Reason;

/// Codings of one body, one over the other.
const MAX_LAYERS: usize = 3;
/// So many bytes are no bomb whatever the ratio.
const FREE: usize = 64 << 10;
/// The window that RFC 8878 section 3.1.1.1.2 asks decoders to have.
const MAX_WINDOW: u64 = 8 << 20;

/// A body without its codings.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Undone {
    Whole(Vec<u8>),
    /// Its beginning, and why not more.
    Cut(Vec<u8>, Reason),
    /// It has another coding, or is not encoded at all.
    Not,
}

/// Undoes codings, the last one first.
pub(super) fn undo(codings: &[u8], bytes: &[u8], budget: &mut Budget) -> Result<Undone, Reason> {
    let names = codings.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).rev();
    let names = names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"));
    let mut undone: Option<Vec<u8>> = None;
    let mut cut = None;
    for (number, name) in names.enumerate() {
        let input = undone.as_deref().unwrap_or(bytes);
        if number >= MAX_LAYERS {
            return Ok(Undone::Not);
        }
        let most = budget.inflated().min(FREE.max(input.len().saturating_mul(budget.bounds().ratio)));
        let mut output = Vec::new();
        let read = one(name, input, most, &mut output);
        budget.decoded(output.len())?;
        match read {
            Err(_) if output.is_empty() => return Ok(Undone::Not),
            Err(_) => cut = Some(Reason::EncodedBody),
            Ok(()) if output.len() > most => {
                output.truncate(most);
                cut = Some(Reason::DecodedTooLarge);
            }
            Ok(()) => {}
        }
        undone = Some(output);
    }
    Ok(match (undone, cut) {
        (None, _) => Undone::Not,
        (Some(body), None) => Undone::Whole(body),
        (Some(body), Some(reason)) => Undone::Cut(body, reason),
    })
}

/// Undoes the coding that the first bytes are the mark of, where they are one.
pub(super) fn undo_marked(bytes: &[u8], budget: &mut Budget) -> Result<Undone, Reason> {
    mark(bytes).map_or(Ok(Undone::Not), |name| undo(name, bytes, budget))
}

/// The coding whose mark bytes begin with. That of br is none.
pub(super) fn mark(bytes: &[u8]) -> Option<&'static [u8]> {
    match bytes {
        [0x1F, 0x8B, 8, ..] => Some(b"gzip"),
        [0x28, 0xB5, 0x2F, 0xFD, ..] => Some(b"zstd"),
        _ if is_zlib(bytes) => Some(b"deflate"),
        _ => None,
    }
}

/// A head of RFC 1950 is a multiple of 31 with method 8 and a window of at most 32 KiB.
fn is_zlib(bytes: &[u8]) -> bool {
    matches!(bytes, [first, second, ..]
        if first & 0x0F == 8 && first >> 4 < 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0)
}

/// Reads at most one byte more than `most`.
fn one(name: &[u8], input: &[u8], most: usize, output: &mut Vec<u8>) -> io::Result<()> {
    let is = |known: &[&str]| known.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
    if is(&["gzip", "x-gzip"]) {
        fill(flate2::read::MultiGzDecoder::new(input), most, output)
    } else if is(&["deflate"]) {
        if is_zlib(input) {
            fill(flate2::read::ZlibDecoder::new(input), most, output)
        } else {
            fill(flate2::read::DeflateDecoder::new(input), most, output)
        }
    } else if is(&["br"]) {
        fill(brotli_decompressor::Decompressor::new(input, 4 << 10), most, output)
    } else if is(&["zstd"]) {
        zstd(input, most, output)
    } else {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn fill(reader: impl Read, most: usize, output: &mut Vec<u8>) -> io::Result<()> {
    let room = (most + 1).saturating_sub(output.len());
    reader.take(u64::try_from(room).unwrap_or(u64::MAX)).read_to_end(output).map(drop)
}

/// Frame by frame.
fn zstd(mut input: &[u8], most: usize, output: &mut Vec<u8>) -> io::Result<()> {
    while !input.is_empty() && output.len() <= most {
        if let [0x50..=0x5F, 0x2A, 0x4D, 0x18, a, b, c, d, rest @ ..] = input {
            let length = usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
            input = rest.get(length..).unwrap_or_default();
            continue;
        }
        if window(input).is_none_or(|window| window > MAX_WINDOW) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let frame = ruzstd::decoding::StreamingDecoder::new(&mut input).map_err(io::Error::other)?;
        fill(frame, most, output)?;
    }
    Ok(())
}

/// Bytes of memory that a frame asks for (RFC 8878 section 3.1.1.1), before a decoder believes it.
fn window(frame: &[u8]) -> Option<u64> {
    let rest = frame.strip_prefix(&[0x28, 0xB5, 0x2F, 0xFD])?;
    let (descriptor, rest) = rest.split_first()?;
    if descriptor & 0x20 == 0 {
        let window = rest.first()?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    let id = [0, 1, 2, 4].get(usize::from(descriptor & 3)).copied()?;
    let size = rest.get(id..)?;
    let bytes = |count: usize| {
        let bytes = size.get(..count)?;
        Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    };
    match descriptor >> 6 {
        0 => bytes(1),
        1 => bytes(2).map(|size| size + 256),
        2 => bytes(4),
        _ => bytes(8),
    }
}

#[cfg(test)]
mod tests;
