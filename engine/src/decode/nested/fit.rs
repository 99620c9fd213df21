//! Characters that are folded into ASCII on their way: compatibility forms (Unicode NFKC), and what conversions to an
//! older charset take as the best fit (code page 1252 of Windows, which ASP.NET and SQL Server use).

/// The character of ASCII that it is folded into.
pub(super) fn fit(code: u32) -> Option<u8> {
    let ascii = |first: u8, offset: u32| u8::try_from(offset).ok().map(|offset| first + offset);
    let letter = |offset: u32| if offset < 26 { ascii(b'A', offset) } else { ascii(b'a', offset - 26) };
    match code {
        0xFF01..=0xFF5E => ascii(b'!', code - 0xFF01),
        0x3000 => Some(b' '),
        0x02B9 | 0x02BC | 0x02C8 | 0x2032 => Some(b'\''),
        0x02BA | 0x2033 => Some(b'"'),
        0x017F => Some(b's'),
        0x212A => Some(b'K'),
        0x037E | 0xFE54 => Some(b';'),
        0x2024 | 0xFE52 => Some(b'.'),
        0x2044 | 0x2215 => Some(b'/'),
        0x2216 | 0xFE68 => Some(b'\\'),
        0x2329 | 0x3008 | 0xFE64 => Some(b'<'),
        0x232A | 0x3009 | 0xFE65 => Some(b'>'),
        0xFE50 => Some(b','),
        0xFE55 => Some(b':'),
        0xFE59 => Some(b'('),
        0xFE5A => Some(b')'),
        0xFE5B => Some(b'{'),
        0xFE5C => Some(b'}'),
        0xFE60 => Some(b'&'),
        0xFE61 => Some(b'*'),
        0xFE62 => Some(b'+'),
        0xFE66 => Some(b'='),
        0xFE69 => Some(b'$'),
        0xFE6A => Some(b'%'),
        // Letters in circles, and those of mathematics in thirteen styles.
        0x24B6..=0x24E9 => letter(code - 0x24B6),
        0x1D400..=0x1D6A3 => letter((code - 0x1D400) % 52),
        0x1D7CE..=0x1D7FF => ascii(b'0', (code - 0x1D7CE) % 10),
        _ => None,
    }
}

/// Written by nobody but who wants the character of ASCII and may not have it. Brackets, colons and digits of this form are
/// what Chinese and Japanese are written with.
fn is_hidden(code: u32) -> bool {
    matches!(code, 0xFF02 | 0xFF04 | 0xFF07 | 0xFF1C..=0xFF1E | 0xFF3C | 0xFF40 | 0xFF5B..=0xFF5D)
        || matches!(code, 0x02B9..=0x02BC | 0x037E | 0x2024 | 0x2215 | 0x2216 | 0xFE50..=0xFE6A)
}

/// Whether the characters of a value that would be folded are a disguise: one of them is of no other use, or nothing
/// else in it is of a language that is not written in ASCII.
pub(super) fn is_disguise(value: &[u8]) -> bool {
    let mut rest = value;
    let mut is_foreign = false;
    while let Some(start) = rest.iter().position(|byte| *byte >= 0x80) {
        rest = rest.get(start..).unwrap_or_default();
        let length = match first(rest) {
            Some((code, _)) if is_hidden(code) => return true,
            Some((code, length)) => {
                is_foreign |= fit(code).is_none();
                length
            }
            None => {
                is_foreign = true;
                1
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    !is_foreign
}

/// The character at the start and its length, where it is valid UTF-8.
pub(super) fn first(rest: &[u8]) -> Option<(u32, usize)> {
    let length = match rest.first()? {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => return None,
    };
    let char = std::str::from_utf8(rest.get(..length)?).ok()?.chars().next()?;
    Some((u32::from(char), length))
}
