//! Finds the end of a line in a head, a chunk header or a trailer. Pure, allocates nothing.
//!
//! Only CRLF ends a line: servers disagree about a lone CR or LF (RFC 9112 section 2.2), and about the other control
//! bytes as well. A line that comes in pieces is looked at once: the caller keeps where the search goes on.

use super::Fault;

/// How far a line goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// It ends before this byte, which is the CR of its CRLF.
    Whole(usize),
    /// Its end is not there yet; the search goes on at this byte.
    Part(usize),
}

/// Looks for the end of the line that `bytes` begin with, from `from` on. Without its CRLF it has at most `limit` bytes;
/// nothing behind them is looked at, so that the answer does not depend on the pieces in which the line comes.
pub fn end(bytes: &[u8], from: usize, limit: usize) -> Result<Line, Fault> {
    let longest = limit.saturating_add(2);
    let bytes = bytes.get(..longest).unwrap_or(bytes);
    let part =
        |searched| if bytes.len() == longest { Err(Fault::LineSize) } else { Ok(Line::Part(searched)) };
    let Some(at) = control(bytes, from) else { return part(bytes.len()) };
    match (bytes.get(at), bytes.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => Ok(Line::Whole(at)),
        (Some(b'\r'), None) => part(at),
        (Some(b'\r' | b'\n'), _) => Err(Fault::LineEnd),
        _ => Err(Fault::Control),
    }
}

/// The first control byte at or after `from`, where a tab counts as none (RFC 9110 section 5.5).
pub fn control(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let words = rest.chunks_exact(8);
    let tail = words.remainder();
    let tail_at = bytes.len() - tail.len();
    for (index, word) in words.enumerate() {
        let value = u64::from_le_bytes(word.try_into().unwrap_or_default());
        if has_control(value)
            && let Some(at) = word.iter().position(|byte| is_control(*byte))
        {
            return Some(from + index * 8 + at);
        }
    }
    tail.iter().position(|byte| is_control(*byte)).map(|at| tail_at + at)
}

/// A control byte other than tab.
pub const fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

/// Whether any of eight bytes is below a blank, or DEL. Says so of tabs too.
fn has_control(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES << 7;
    let below = word.wrapping_sub(ONES * 0x20) & !word;
    let other = word ^ (ONES * 0x7f);
    let deleted = other.wrapping_sub(ONES) & !other;
    (below | deleted) & HIGH != 0
}

#[cfg(test)]
mod tests {
    use super::{Fault, Line, control, end, is_control};

    #[test]
    fn every_control_byte_is_found_at_every_place() {
        for byte in 0..=u8::MAX {
            for at in 0..19 {
                let mut bytes = *b"Name: v\xc3\xa4lue \tmore!";
                bytes[at] = byte;
                let expected = bytes.iter().position(|byte| is_control(*byte));
                assert_eq!(control(&bytes, 0), expected, "{byte:#x} at {at}");
                assert_eq!(control(&bytes, at), is_control(byte).then_some(at), "{byte:#x} from {at}");
            }
        }
        assert_eq!(control(b"abc", 7), None);
    }

    #[test]
    fn a_line_has_a_limit_wherever_it_is_cut() {
        let line = b"abcdef\r\n";
        for limit in 0..8 {
            let whole = end(line, 0, limit);
            assert_eq!(whole, if limit < 6 { Err(Fault::LineSize) } else { Ok(Line::Whole(6)) }, "{limit}");
            let mut from = 0;
            let pieces = (1..=line.len()).find_map(|length| match end(&line[..length], from, limit) {
                Ok(Line::Part(searched)) => {
                    from = searched;
                    None
                }
                told => Some(told),
            });
            assert_eq!(pieces, Some(whole), "{limit}");
        }
    }

    #[test]
    fn only_crlf_ends_a_line() {
        assert_eq!(end(b"a: b\r\nc", 0, 9), Ok(Line::Whole(4)));
        assert_eq!(end(b"\r\n", 0, 9), Ok(Line::Whole(0)));
        assert_eq!(end(b"a: b", 2, 9), Ok(Line::Part(4)));
        assert_eq!(end(b"a: b\r", 4, 9), Ok(Line::Part(4)));
        for bad in [&b"a\nb"[..], b"a\rb", b"a\r\rb", b"\n"] {
            assert_eq!(end(bad, 0, 9), Err(Fault::LineEnd), "{}", bad.escape_ascii());
        }
        for bad in [&b"a\0b\r\n"[..], b"\x0b", b"a\x7f"] {
            assert_eq!(end(bad, 0, 9), Err(Fault::Control), "{}", bad.escape_ascii());
        }
    }
}
