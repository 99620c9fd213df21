//! The target of a request: its form, the bytes it may have, and what the HTTP library would refuse. Pure.
//!
//! What `http::Uri` takes no raw byte of, but what browsers and scanners send all the same, is percent-encoded, so
//! that the detectors see it instead of a bare 400. `#` is refused: servers disagree where the target ends then.

use super::Fault;

/// The form of a target (RFC 9112 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A path and perhaps a query.
    Origin,
    /// `http://authority/path`: where the authority is, and where the path begins.
    Absolute {
        /// First byte of the authority.
        authority: usize,
        /// First byte after it.
        path: usize,
    },
    /// `*`, for OPTIONS only.
    Asterisk,
}

/// What a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its form.
    pub form: Form,
    /// What is odd about it.
    pub oddities: Oddities,
}

/// What is odd about a target, but no reason to refuse it by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oddities {
    /// It has bytes that are percent-encoded on the way.
    pub encoded: bool,
    /// It has a `%` without two hex digits.
    pub bad_escape: bool,
    /// It has a `\`, which some take for `/`.
    pub backslash: bool,
}

const REFUSED: u8 = 1;
const ENCODED_IN_PATH: u8 = 2;
const ENCODED_IN_QUERY: u8 = 4;
const ENCODED: u8 = ENCODED_IN_PATH | ENCODED_IN_QUERY;
const PERCENT: u8 = 8;
const BACKSLASH: u8 = 16;

/// Compared with `http::Uri` byte by byte in the tests.
const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte {
            0..=0x20 | 0x7f | 0x23 => REFUSED,
            0x80..=0xff | 0x3c | 0x3e => ENCODED, // `<`, `>`
            0x60 => ENCODED_IN_PATH,              // back-tick
            0x22 => ENCODED_IN_QUERY,             // quotation mark
            0x25 => PERCENT,
            0x5c => BACKSLASH,
            _ => 0,
        };
        byte += 1;
    }
    table
};

/// Looks at a target, of an HTTP/1 request line or of `:path`.
pub fn look(target: &[u8], options: bool) -> Result<Target, Fault> {
    let seen = target.iter().fold(0, |seen, byte| seen | CLASS[usize::from(*byte)]);
    if seen & REFUSED != 0 {
        return Err(Fault::Target);
    }
    let form = form(target, options)?;
    let oddities = if seen == 0 { Oddities::default() } else { oddities(path_and_query(target, form)) };
    Ok(Target { form, oddities })
}

fn form(target: &[u8], options: bool) -> Result<Form, Fault> {
    match target {
        [b'/', ..] => Ok(Form::Origin),
        b"*" if options => Ok(Form::Asterisk),
        _ => {
            let authority = ["http://", "https://"].into_iter().find_map(|scheme| {
                let start = target.get(..scheme.len())?;
                start.eq_ignore_ascii_case(scheme.as_bytes()).then_some(scheme.len())
            });
            let authority = authority.ok_or(Fault::Target)?;
            let rest = target.get(authority..).unwrap_or_default();
            let length = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
            Ok(Form::Absolute { authority, path: authority + length })
        }
    }
}

fn path_and_query(target: &[u8], form: Form) -> &[u8] {
    match form {
        Form::Absolute { path, .. } => target.get(path..).unwrap_or_default(),
        Form::Origin | Form::Asterisk => target,
    }
}

fn oddities(path_and_query: &[u8]) -> Oddities {
    let mut odd = Oddities::default();
    let mut encoded = ENCODED_IN_PATH;
    for (at, byte) in path_and_query.iter().enumerate() {
        let class = CLASS[usize::from(*byte)];
        if *byte == b'?' {
            encoded = ENCODED_IN_QUERY;
        }
        odd.encoded |= class & encoded != 0;
        odd.backslash |= class & BACKSLASH != 0;
        if class & PERCENT != 0 {
            let digits = path_and_query.get(at + 1..at + 3);
            odd.bad_escape |= !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        }
    }
    odd
}

/// What `http::Uri` takes, in bytes.
const MAX_WRITTEN: usize = u16::MAX as usize - 1;

/// Whether a target is short enough for `http::Uri` when what may have to be encoded is.
pub fn fits(target: &[u8]) -> bool {
    let encoded = || target.iter().filter(|byte| CLASS[usize::from(**byte)] & ENCODED != 0).count();
    target.len() <= MAX_WRITTEN / 3 || target.len() + 2 * encoded() <= MAX_WRITTEN
}

/// Writes a target as it goes on: in origin form, with every byte encoded that `http::Uri` takes no raw byte of.
pub fn write(target: &[u8], form: Form, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let path_and_query = path_and_query(target, form);
    if form != Form::Asterisk && path_and_query.first() != Some(&b'/') {
        out.push(b'/'); // an absolute target may have no path (RFC 9112 section 3.2.1)
    }
    let mut encoded = ENCODED_IN_PATH;
    for byte in path_and_query {
        if *byte == b'?' {
            encoded = ENCODED_IN_QUERY;
        }
        if CLASS[usize::from(*byte)] & encoded == 0 {
            out.push(*byte);
        } else {
            out.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::{Fault, Form, Oddities, look, write};

    fn written(target: &[u8]) -> Option<Vec<u8>> {
        let looked = look(target, false).ok()?;
        let mut out = Vec::new();
        write(target, looked.form, &mut out);
        assert!(!look(&out, false).unwrap().oddities.encoded, "{}", target.escape_ascii());
        Some(out)
    }

    #[test]
    fn every_byte_is_refused_or_what_is_written_is_what_the_http_library_reads() {
        for byte in 0..=u8::MAX {
            for (before, after) in [("/a", "b"), ("/a?b", "c"), ("/", ""), ("/?", "")] {
                let target = [before.as_bytes(), &[byte], after.as_bytes()].concat();
                let Some(out) = written(&target) else {
                    assert!(byte <= b' ' || matches!(byte, 0x7f | b'#'), "{}", target.escape_ascii());
                    continue;
                };
                let uri = Uri::try_from(&out[..]).unwrap();
                assert_eq!(
                    uri.path_and_query().unwrap().as_str().as_bytes(),
                    out,
                    "{}",
                    target.escape_ascii()
                );
                // Nothing is encoded that need not be, but for bytes over 0x7F, which are text only sometimes.
                let raw = Uri::try_from(&target[..]).is_ok() && byte < 0x80;
                assert_eq!(out == target, raw, "{}", target.escape_ascii());
                assert_eq!(look(&target, false).unwrap().oddities.encoded, out != target);
            }
        }
    }

    #[test]
    fn a_target_is_a_path_an_absolute_uri_or_the_asterisk_of_options() {
        let absolute = |authority, path| Ok(Form::Absolute { authority, path });
        let table = [
            ("/", false, Ok(Form::Origin)),
            ("//evil/x", false, Ok(Form::Origin)),
            ("*", true, Ok(Form::Asterisk)),
            ("http://a/x", false, absolute(7, 8)),
            ("HTTPS://a?x", false, absolute(8, 9)),
            ("http://a", false, absolute(7, 8)),
            ("*", false, Err(Fault::Target)),
            ("**", true, Err(Fault::Target)),
            ("", false, Err(Fault::Target)),
            ("foo", false, Err(Fault::Target)),
            ("a:80", false, Err(Fault::Target)),
            ("@evil/x", false, Err(Fault::Target)),
            ("?x", false, Err(Fault::Target)),
            ("ftp://a/x", false, Err(Fault::Target)),
            ("http:/a", false, Err(Fault::Target)),
            ("/a#b", false, Err(Fault::Target)),
            ("http://a/#b", false, Err(Fault::Target)),
        ];
        for (target, options, form) in table {
            assert_eq!(look(target.as_bytes(), options).map(|target| target.form), form, "{target}");
        }
    }

    #[test]
    fn absolute_targets_are_written_in_origin_form() {
        for (target, expected) in [
            ("http://a", "/"),
            ("http://a/", "/"),
            ("http://a?x=<", "/?x=%3C"),
            ("https://a/b/?c", "/b/?c"),
            ("/`\"{}|^\\?`\"{}|^\\", "/%60\"{}|^\\?`%22{}|^\\"),
        ] {
            assert_eq!(written(target.as_bytes()).unwrap(), expected.as_bytes(), "{target}");
        }
    }

    #[test]
    fn oddities_are_noted() {
        let odd = |target: &str| look(target.as_bytes(), false).unwrap().oddities;
        let plain = Oddities::default();
        assert_eq!(odd("/a%20b?c=%0A"), plain);
        assert_eq!(odd("/a%zz"), Oddities { bad_escape: true, ..plain });
        assert_eq!(odd("/a%2"), Oddities { bad_escape: true, ..plain });
        assert_eq!(odd("/a?%"), Oddities { bad_escape: true, ..plain });
        assert_eq!(odd("/a\\b"), Oddities { backslash: true, ..plain });
        assert_eq!(odd("/a\"?`"), plain);
        assert_eq!(odd("/<\u{e9}"), Oddities { encoded: true, ..plain });
    }
}
