//! Words of a command line as a shell would see them: quotes, escapes and empty expansions taken away, so that `c''at`,
//! `c\at`, `c$@at`, `{cat,x}` and `/???/c?t` are the words they run. POSIX shells and `cmd.exe` at once: an escape of one
//! that is none of the other takes nothing away that matters.

/// Bytes of a word that are kept; longer ones are no names of commands.
const LONGEST_NAME: usize = 48;

/// Bytes that are read of one word.
pub(super) const LONGEST_WORD: usize = 96;

/// A word after its evasions are undone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    bytes: [u8; LONGEST_NAME],
    length: usize,
    /// It is longer than what is kept.
    pub long: bool,
    /// Written so that it does not look like what it is: quotes, escapes, expansions, alternatives inside of it.
    pub evaded: bool,
    /// It has `?`, `*` or `[..]`.
    pub glob: bool,
    /// It holds a substitution or a variable, so that it is not known what it is.
    pub dynamic: bool,
    /// It began with a quote.
    pub quoted: bool,
    /// Braces put it together: `c{a,oun}t`.
    pub braced: bool,
    /// `$IFS` or the comma of a brace list separates it from the next one.
    pub glued: bool,
    pub end: usize,
}

impl Word {
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn push(&mut self, byte: u8) {
        match self.bytes.get_mut(self.length) {
            Some(slot) => {
                *slot = byte.to_ascii_lowercase();
                self.length += 1;
            }
            None => self.long = true,
        }
    }

    /// Letters and what host names have.
    fn is_plain(&self) -> bool {
        !self.is_empty() && self.bytes().iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'.'))
    }

    /// Whether a path of Windows goes on, where a backslash separates.
    fn is_windows_path(&self) -> bool {
        match self.bytes() {
            [_, b':', ..] | [b'%' | b'.', ..] => true,
            bytes => bytes.contains(&b'\\') || bytes.ends_with(b"%"),
        }
    }
}

/// Reads one word from `at`, where no blank stands.
pub(super) fn word(value: &[u8], at: usize) -> Word {
    let mut word = Word {
        bytes: [0; LONGEST_NAME],
        length: 0,
        long: false,
        evaded: false,
        glob: false,
        dynamic: false,
        quoted: false,
        braced: false,
        glued: false,
        end: at,
    };
    let rest = value.get(at..at + LONGEST_WORD).or_else(|| value.get(at..)).unwrap_or_default();
    let mut reader = Reader { rest, taken: 0, braces: false };
    reader.read(&mut word);
    word.end = at + reader.taken.min(rest.len());
    word
}

struct Reader<'a> {
    rest: &'a [u8],
    taken: usize,
    /// Inside `{a,b}` that began the word: a comma is a blank.
    braces: bool,
}

impl<'a> Reader<'a> {
    fn ahead(&self) -> &'a [u8] {
        self.rest.get(self.taken..).unwrap_or_default()
    }

    fn read(&mut self, word: &mut Word) {
        loop {
            let ahead = self.ahead();
            match ahead {
                [] | [b'`', ..] => return,
                [byte, ..] if is_end(*byte) => return,
                [b'\'', inside @ ..] => {
                    if !self.quoted(word, b'\'', inside) {
                        return;
                    }
                }
                [b'"', inside @ ..] => {
                    if !self.quoted(word, b'"', inside) {
                        return;
                    }
                }
                [b'\\', next, ..] => {
                    if word.is_windows_path() || *next == b'\\' {
                        word.push(b'\\');
                        self.taken += 1;
                    } else {
                        word.evaded |= next.is_ascii_alphabetic() || *next == b'\n';
                        if *next != b'\n' {
                            word.push(*next);
                        }
                        self.taken += 2;
                    }
                }
                [b'^', next, ..] if next.is_ascii_alphanumeric() => {
                    word.evaded |= !word.is_empty();
                    self.taken += 1;
                }
                [b'$', inside @ ..] => {
                    if self.dollar(word, inside) {
                        return;
                    }
                }
                // A blank of a form that was decoded once too little.
                [b'+', next, ..]
                    if word.is_plain() && (next.is_ascii_alphanumeric() || matches!(next, b'/' | b'-')) =>
                {
                    return;
                }
                [b'{', inside @ ..] => self.brace(word, inside),
                [b',' | b'}', ..] if self.braces => {
                    word.glued = ahead.first() == Some(&b',');
                    self.taken += 1;
                    return;
                }
                [byte, ..] => {
                    word.glob |= matches!(byte, b'?' | b'*' | b'[');
                    word.push(*byte);
                    self.taken += 1;
                }
            }
        }
    }

    /// Text in quotes; without its closing quote the word ends before it: that one closes what the value stands in.
    fn quoted(&mut self, word: &mut Word, quote: u8, inside: &[u8]) -> bool {
        let Some(length) = memchr::memchr(quote, inside) else { return false };
        let text = inside.get(..length).unwrap_or_default();
        let goes_on = inside.get(length + 1).is_some_and(|byte| is_name(*byte));
        let inner = word.bytes().last().is_some_and(|byte| is_name(*byte));
        // `"cat"` is ordinary, `c'a't` and `ca""t` are not. Neither is `it's` with a later quote, which has a blank.
        let is_text = text.iter().any(|byte| is_end(*byte));
        if is_text && inner {
            return false;
        }
        word.evaded |=
            (inner && (goes_on || text.iter().all(|byte| is_name(*byte)))) || (text.is_empty() && goes_on);
        word.quoted |= word.is_empty() && !text.is_empty();
        for byte in text {
            word.push(*byte);
        }
        self.taken += length + 2;
        true
    }

    /// What a `$` begins. True where the word ends there.
    fn dollar(&mut self, word: &mut Word, inside: &[u8]) -> bool {
        if let Some(length) = ifs(inside) {
            word.glued = true;
            self.taken += 1 + length;
            return true;
        }
        match inside {
            [b'\'', text @ ..] => {
                let length = memchr::memchr(b'\'', text).unwrap_or(text.len());
                ansi(word, text.get(..length).unwrap_or_default());
                word.evaded = true;
                self.taken += length + 3;
            }
            [b'(', ..] => {
                // `$((7))` is a number inside of a word; any other substitution is read by itself.
                let Some(length) = arithmetic(inside) else { return true };
                // `$((7))z` is `7z`.
                let number = inside.get(2..length.saturating_sub(2)).unwrap_or_default();
                let is_number = (1..4).contains(&number.len()) && number.iter().all(u8::is_ascii_digit);
                if is_number && inside.get(length).is_some_and(u8::is_ascii_alphabetic) {
                    for digit in number {
                        word.push(*digit);
                    }
                    word.evaded = true;
                    self.taken += 1 + length;
                    return false;
                }
                word.dynamic = true;
                word.evaded |= !word.is_empty();
                self.taken += 1 + length;
            }
            [b'{', name @ ..] => {
                let length = memchr::memchr(b'}', name).unwrap_or(name.len());
                let name = name.get(..length).unwrap_or_default();
                if is_slice(name) {
                    word.push(b'/');
                    word.evaded = true;
                } else {
                    word.evaded |= !word.is_empty();
                }
                word.dynamic = true;
                self.taken += length + 3;
            }
            [b'@' | b'*' | b'#' | b'!' | b'-' | b'?' | b'0'..=b'9', next, ..] => {
                word.evaded |= is_name(*next);
                word.dynamic |= !is_name(*next);
                self.taken += 2;
            }
            [first, ..] if is_name(*first) => {
                let length = inside.iter().take_while(|byte| is_name(**byte)).count();
                word.evaded |= !word.is_empty()
                    && inside
                        .get(length)
                        .is_some_and(|byte| matches!(byte, b'$' | b'{' | b'\'') || is_blank(*byte));
                word.dynamic = true;
                self.taken += 1 + length;
            }
            _ => {
                word.push(b'$');
                self.taken += 1;
            }
        }
        false
    }

    /// `{cat,/etc/passwd}` as a whole, or `c{a,}t` inside of a word, of which the first alternative counts.
    fn brace(&mut self, word: &mut Word, inside: &[u8]) {
        let length = inside.iter().take_while(|byte| !matches!(byte, b'}' | b' ' | b'\n')).count();
        let list = inside.get(..length).unwrap_or_default();
        let is_list =
            inside.get(length).is_some_and(|byte| matches!(byte, b'}' | b' ')) && list.contains(&b',');
        match (is_list, word.is_empty()) {
            (false, _) => {
                word.push(b'{');
                self.taken += 1;
            }
            (true, true) => {
                self.braces = true;
                word.evaded = true;
                self.taken += 1 + list.iter().take_while(|byte| **byte == b',').count();
            }
            (true, false) => {
                word.evaded = true;
                word.braced = true;
                for byte in list.iter().take_while(|byte| **byte != b',') {
                    word.push(*byte);
                }
                self.taken += length + 2;
            }
        }
    }
}

/// What ends a word outside of quotes.
pub(super) fn is_end(byte: u8) -> bool {
    matches!(byte, 0..=b' ' | b';' | b'|' | b'&' | b'(' | b')' | b'<' | b'>')
}

pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0B | 0x0C)
}

pub(super) fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Length of `IFS`, `IFS$9`, `{IFS}`, `{IFS%??}` behind a `$`.
fn ifs(inside: &[u8]) -> Option<usize> {
    let mut length = if inside.starts_with(b"{IFS") {
        memchr::memchr(b'}', inside.get(..16).unwrap_or(inside))? + 1
    } else if inside.starts_with(b"IFS") {
        3
    } else {
        return None;
    };
    // Whatever follows that is empty.
    if let Some([b'$', b'1'..=b'9' | b'@' | b'*', ..]) = inside.get(length..) {
        length += 2;
    } else if let Some([b'%', ..]) = inside.get(length..) {
        length += inside
            .get(length..)
            .unwrap_or_default()
            .iter()
            .take_while(|byte| matches!(byte, b'%' | b'?'))
            .count();
    }
    Some(length)
}

/// `PATH:0:1`, `HOME%%u*`, `x#y`: a piece of a variable, of which attackers make a slash.
pub(super) fn is_slice(name: &[u8]) -> bool {
    let length = name.iter().take_while(|byte| is_name(**byte)).count();
    let upper =
        name.get(..length).unwrap_or_default().iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'_');
    match name.get(length..) {
        Some(
            [b':', b'0'..=b'9' | b' ' | b'-' | b'~' | b'$', ..] | [b'%' | b'#' | b'/' | b'^' | b',', _, ..],
        ) => length > 1 && upper,
        _ => false,
    }
}

/// `${x#{}}`, `${x%%/*}`, `${x//a/b}`, and nothing else: a variable that is cut. Templates write none of these marks behind a
/// name.
pub(super) fn is_cut_variable(text: &[u8]) -> bool {
    let Some(inside) = text.strip_prefix(b"${").and_then(|rest| rest.strip_suffix(b"}")) else {
        return false;
    };
    let length = inside.iter().take_while(|byte| is_name(**byte)).count();
    let marks = [&b"#"[..], b"%%", b"//", b"^^", b",,"];
    let behind = inside.get(length..).unwrap_or_default();
    text.len() < 48 && length > 0 && !has_blank(text) && marks.iter().any(|mark| behind.starts_with(mark))
}

pub(super) fn has_blank(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_whitespace)
}

fn arithmetic(inside: &[u8]) -> Option<usize> {
    if !inside.starts_with(b"((") {
        return None;
    }
    let end = inside.windows(2).take(48).position(|pair| pair == b"))")?;
    Some(end + 2)
}

/// `\x63`, `\143` and letters.
fn ansi(word: &mut Word, text: &[u8]) {
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let digits = |bytes: &[u8], radix: u32, most: usize| {
            let length =
                bytes.iter().take(most).take_while(|byte| char::from(**byte).is_digit(radix)).count();
            let text = std::str::from_utf8(bytes.get(..length).unwrap_or_default()).unwrap_or_default();
            (u8::from_str_radix(text, radix).unwrap_or(b'?'), length)
        };
        let (byte, length) = match (first, after) {
            (b'\\', [b'x', hex @ ..]) => {
                let (byte, length) = digits(hex, 16, 2);
                (byte, length + 2)
            }
            (b'\\', [b'0'..=b'7', ..]) => {
                let (byte, length) = digits(after, 8, 3);
                (byte, length + 1)
            }
            (byte, _) => (*byte, 1),
        };
        word.push(byte);
        rest = rest.get(length.max(1)..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_what_the_shell_runs() {
        let rows: &[(&[u8], &[u8], bool)] = &[
            (b"cat /x", b"cat", false),
            (b"c''at x", b"cat", true),
            (b"c'a't x", b"cat", true),
            (b"c\"\"at", b"cat", true),
            (b"c\\at", b"cat", true),
            (b"\\cat", b"cat", true),
            (b"c$@at", b"cat", true),
            (b"ca$1t", b"cat", true),
            (b"c${x}at", b"cat", true),
            (b"$'\\x63\\x61t'", b"cat", true),
            (b"$'\\143at'", b"cat", true),
            (b"{cat,/etc/passwd}", b"cat", true),
            (b"{,ip,a}", b"ip", true),
            (b"c{a,}t", b"cat", true),
            (b"w^hoami", b"whoami", true),
            (b"WHOAMI", b"whoami", false),
            (b"cat$IFS$9x", b"cat", false),
            (b"\"cat\" x", b"cat", false),
            (b"it's what it's", b"it", false),
            (b"c:\\windows\\notepad.exe", b"c:\\windows\\notepad.exe", false),
            (b"${PATH:0:1}bin", b"/bin", true),
        ];
        for (value, expected, evaded) in rows {
            let word = word(value, 0);
            let text = String::from_utf8_lossy(value);
            assert_eq!(String::from_utf8_lossy(word.bytes()), String::from_utf8_lossy(expected), "{text}");
            assert_eq!(word.evaded, *evaded, "{text}");
        }
    }
}
