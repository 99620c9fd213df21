//! A body in chunks (RFC 9112 section 7.1), and the trailer after it. Allocates nothing.
//!
//! Shared by requests and responses. Every line is looked at whole, so none goes on before it is valid; data goes on
//! as it comes. What servers read in different ways, such as blanks around the size, is refused.

use super::line::{self, Line};
use super::{Fault, Limits, field};

/// Bytes of extensions in one body. The HTTP library behind the guard takes no more.
const EXTENSIONS_OF_A_BODY: usize = (16 << 10) - 1;

/// Where in the body the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// In the line of the size.
    #[default]
    Size,
    /// In the data, of which so many bytes are left.
    Data(u64),
    /// In the CRLF after the data.
    DataEnd,
    /// In the trailer, after so many lines.
    Trailer(usize),
    /// After the body.
    End,
}

/// Follows one body in chunks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chunked {
    at: At,
    extensions: usize,
    trailers: usize,
    // Where the search for the end of an incomplete line goes on, from the first byte that has not gone on.
    searched: usize,
}

impl Chunked {
    /// Looks at the bytes that have not gone on yet and says how many of them may. All of them, unless the body ends
    /// before, or a line is not complete.
    pub fn look(&mut self, bytes: &[u8], limits: &Limits) -> Result<usize, Fault> {
        let mut done = 0;
        loop {
            let rest = bytes.get(done..).unwrap_or_default();
            let taken = match self.at {
                At::Data(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    let left = left - taken as u64;
                    self.at = if left == 0 { At::DataEnd } else { At::Data(left) };
                    taken
                }
                At::DataEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        self.at = At::Size;
                        2
                    }
                    [] | [b'\r'] => 0,
                    _ => return Err(Fault::Chunk),
                },
                At::Size => self.size(rest, limits)?,
                At::Trailer(lines) => self.trailer(rest, lines, limits)?,
                At::End => 0,
            };
            if taken == 0 {
                return Ok(done);
            }
            done += taken;
        }
    }

    /// Whether the body is over.
    pub fn is_over(&self) -> bool {
        self.at == At::End
    }

    /// The line at the beginning of `rest` without its end, once it is there.
    fn line<'a>(&mut self, rest: &'a [u8], limit: usize) -> Result<Option<&'a [u8]>, Fault> {
        match line::end(rest, self.searched, limit)? {
            Line::Whole(end) => {
                self.searched = 0;
                Ok(rest.get(..end))
            }
            Line::Part(searched) => {
                self.searched = searched;
                Ok(None)
            }
        }
    }

    fn size(&mut self, rest: &[u8], limits: &Limits) -> Result<usize, Fault> {
        let Some(line) = self.line(rest, limits.chunk_digits + limits.chunk_extension)? else {
            return Ok(0);
        };
        let size = size(line, limits)?;
        self.extensions += line.len() - size.digits;
        if self.extensions > EXTENSIONS_OF_A_BODY {
            return Err(Fault::ChunkSize);
        }
        self.at = if size.bytes == 0 { At::Trailer(0) } else { At::Data(size.bytes) };
        Ok(line.len() + 2)
    }

    fn trailer(&mut self, rest: &[u8], lines: usize, limits: &Limits) -> Result<usize, Fault> {
        let left = limits.trailer.saturating_sub(self.trailers + 2);
        let Some(line) = self.line(rest, left).map_err(|fault| match fault {
            Fault::LineSize => Fault::TrailerSize,
            fault => fault,
        })?
        else {
            return Ok(0);
        };
        self.trailers += line.len() + 2;
        self.at = if line.is_empty() { At::End } else { At::Trailer(lines + 1) };
        if self.trailers >= limits.trailer || lines >= limits.trailer_fields && !line.is_empty() {
            return Err(Fault::TrailerSize);
        }
        if !line.is_empty() {
            let field = field::parse(line, limits).map_err(|fault| match fault {
                Fault::FieldSize => Fault::TrailerSize,
                _ => Fault::Trailer,
            })?;
            if field::is_forbidden_in_trailer(field.name) || (field.folds && field::is_alias(field.name)) {
                return Err(Fault::Trailer);
            }
        }
        Ok(line.len() + 2)
    }
}

/// A size line taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Bytes of data.
    pub bytes: u64,
    /// Digits it is written in; what follows is extensions.
    pub digits: usize,
}

/// `1*HEXDIG` and extensions, without any white space.
pub fn size(line: &[u8], limits: &Limits) -> Result<Size, Fault> {
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let extension = line.get(digits..).unwrap_or_default();
    if digits > limits.chunk_digits.min(16) || extension.len() > limits.chunk_extension {
        return Err(Fault::ChunkSize);
    }
    if digits == 0 || !(extension.is_empty() || extensions_hold(extension)) {
        return Err(Fault::Chunk);
    }
    let digit = |byte: &u8| u64::from(char::from(*byte).to_digit(16).unwrap_or_default());
    let bytes = line.iter().take(digits).fold(0, |sum: u64, byte| (sum << 4) | digit(byte));
    Ok(Size { bytes, digits })
}

/// `*( ";" token [ "=" ( token / quoted-string ) ] )` (RFC 9112 section 7.1.1).
fn extensions_hold(mut rest: &[u8]) -> bool {
    while let [b';', after @ ..] = rest {
        let name = token_length(after);
        if name == 0 {
            return false;
        }
        rest = after.get(name..).unwrap_or_default();
        if let [b'=', value @ ..] = rest {
            let length = match value {
                [b'"', quoted @ ..] => quoted_length(quoted).map(|length| length + 1),
                _ => Some(token_length(value)).filter(|length| *length > 0),
            };
            let Some(length) = length else { return false };
            rest = value.get(length..).unwrap_or_default();
        }
    }
    rest.is_empty()
}

fn token_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !field::is_token(&[*byte])).unwrap_or(bytes.len())
}

/// Length of a quoted string with its closing mark, without the opening one. Control bytes are refused before.
fn quoted_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Chunked, Fault, Limits};

    /// How many bytes go on, looked at whole.
    fn whole(body: &[u8]) -> Result<(usize, bool), Fault> {
        let mut chunked = Chunked::default();
        let taken = chunked.look(body, &Limits::default())?;
        Ok((taken, chunked.is_over()))
    }

    /// The same, one byte more at a time.
    fn bytewise(body: &[u8]) -> Result<(usize, bool), Fault> {
        let (mut chunked, mut taken) = (Chunked::default(), 0);
        for end in 1..=body.len() {
            taken += chunked.look(&body[taken..end], &Limits::default())?;
        }
        Ok((taken, chunked.is_over()))
    }

    #[test]
    fn what_is_valid_goes_on_to_its_end() {
        for (body, after) in [
            ("0\r\n\r\n", ""),
            ("5\r\nhello\r\n0\r\n\r\n", "GET / HTTP/1.1\r\n"),
            ("5;a=b;c;d=\"e f\\\"\"\r\nhello\r\n0;x\r\n\r\n", "x"),
            ("A\r\n0123456789\r\n00a\r\n0123456789\r\n000\r\n\r\n", ""),
            ("5\r\nhello\r\n0\r\nX-T: 1\r\nY:\r\n\r\n", "x"),
        ] {
            let bytes = format!("{body}{after}");
            assert_eq!(whole(bytes.as_bytes()), Ok((body.len(), true)), "{bytes:?}");
            assert_eq!(bytewise(bytes.as_bytes()), Ok((body.len(), true)), "{bytes:?}");
        }
    }

    #[test]
    fn data_goes_on_as_it_comes_and_lines_when_they_are_whole() {
        for (body, taken) in
            [("5\r\nhel", 6), ("5", 0), ("5\r", 0), ("5\r\nhello", 8), ("5\r\nhello\r", 8), ("0\r\nX: ", 3)]
        {
            assert_eq!(whole(body.as_bytes()), Ok((taken, false)), "{body:?}");
            assert_eq!(bytewise(body.as_bytes()), Ok((taken, false)), "{body:?}");
        }
    }

    #[test]
    fn what_servers_read_in_different_ways_is_refused() {
        use Fault::{Chunk, ChunkSize, Control, LineEnd, LineSize, Trailer, TrailerSize};
        let long = |bytes: &str, count| bytes.repeat(count);
        let table = [
            ("\r\n".to_owned(), Chunk),
            ("0x5\r\n".into(), Chunk),
            ("+5\r\n".into(), Chunk),
            ("-0\r\n".into(), Chunk),
            ("0_5\r\n".into(), Chunk),
            (" 5\r\n".into(), Chunk),
            ("5 \r\n".into(), Chunk),
            ("5\t\r\n".into(), Chunk),
            ("5 ;a\r\n".into(), Chunk),
            ("5; a\r\n".into(), Chunk),
            ("5;\r\n".into(), Chunk),
            ("5;a=\r\n".into(), Chunk),
            ("5;a=\"b\r\n".into(), Chunk),
            ("5;a=\"b\\\r\n".into(), Chunk),
            ("5\n".into(), LineEnd),
            ("5;\n".into(), LineEnd),
            ("5\r\r;a\r\n".into(), LineEnd),
            ("5;a=\"x\ry\"\r\n".into(), LineEnd),
            ("5;\0\r\n".into(), Control),
            ("10000000000000005\r\n".into(), ChunkSize),
            (long("0", 40) + "5\r\n", ChunkSize),
            (long("0", 400), LineSize),
            ("5;".to_owned() + &long("a", 300), LineSize),
            (long(&("1;".to_owned() + &long("a", 250) + "\r\nx\r\n"), 66), ChunkSize),
            ("5\r\nhelloXX".into(), Chunk),
            ("5\r\nhello\rX".into(), Chunk),
            ("5\r\nhello\n0\r\n\r\n".into(), Chunk),
            ("5\r\nhello\r\n\r\n0".into(), Chunk),
            ("0\r\n\n".into(), LineEnd),
            ("0\r\nX-No-Colon\r\n\r\n".into(), Trailer),
            ("0\r\nContent-Length: 5\r\n\r\n".into(), Trailer),
            ("0\r\nContent_Length: 5\r\n\r\n".into(), Trailer),
            ("0\r\nX: a\r\n b\r\n\r\n".into(), Trailer),
            ("0\r\n".to_owned() + &long("x: y\r\n", 101) + "\r\n", TrailerSize),
            ("0\r\nx: ".to_owned() + &long("y", 17_000), TrailerSize),
        ];
        for (body, fault) in table {
            assert_eq!(whole(body.as_bytes()), Err(fault), "{body:?}");
            assert_eq!(bytewise(body.as_bytes()), Err(fault), "{body:?}");
        }
    }
}
