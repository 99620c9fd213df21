//! One field line: name, value, and the names that decide how a message is read. Pure, allocates nothing.
//!
//! Shared by heads, trailers and responses, and by HTTP/2 for what it has in common with them.

use super::{Fault, Limits};

/// A field line taken apart (RFC 9112 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name as it was sent.
    pub name: &'a [u8],
    /// The value without the white space around it.
    pub value: &'a [u8],
    /// Where the value begins in the line.
    pub value_at: usize,
    /// Whether the name has a `_` or another byte that some applications take for `-`.
    pub folds: bool,
}

/// Takes a line without control bytes apart; `line` is without its CRLF.
pub fn parse<'a>(line: &'a [u8], limits: &Limits) -> Result<Field<'a>, Fault> {
    let (length, folds) = name_length(line);
    if line.get(length) != Some(&b':') || length == 0 {
        return Err(Fault::FieldLine); // also obs-fold (RFC 9112 section 5.2) and white space before the colon
    }
    let name = line.get(..length).unwrap_or_default();
    let rest = line.get(length + 1..).unwrap_or_default();
    let value = trimmed(rest);
    if name.len() > limits.name || value.len() > limits.value {
        return Err(Fault::FieldSize);
    }
    let value_at = length + 1 + rest.iter().take_while(|byte| is_blank(**byte)).count();
    Ok(Field { name, value, value_at, folds })
}

/// How many bytes of a token the bytes begin with, and whether one that folds is among them.
fn name_length(line: &[u8]) -> (usize, bool) {
    let mut seen = 0;
    let length = line.iter().position(|byte| {
        let class = CLASS[usize::from(*byte)];
        seen |= class;
        class == 0
    });
    (length.unwrap_or(line.len()), seen & FOLDS != 0)
}

const TOKEN: u8 = 1;
const FOLDS: u8 = 2;

/// Token characters (RFC 9110 section 5.6.2).
const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        table[byte as usize] = match byte {
            b'-' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => TOKEN,
            b'!' | b'#'..=b'\'' | b'*' | b'+' | b'.' | b'^'..=b'`' | b'|' | b'~' => FOLDS,
            _ => 0,
        };
        byte += 1;
    }
    table
};

/// Whether bytes are a token (RFC 9110 section 5.6.2).
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && name_length(bytes).0 == bytes.len()
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Bytes without blanks and tabs around them.
pub fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Members of a comma-separated list, trimmed; empty ones too.
pub fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trimmed)
}

/// Fields that say where a message ends, whom it is for, where it came from, how to read it, or that end at this hop.
const GUIDING: [&[u8]; 16] = [
    b"host",
    b"content-length",
    b"transfer-encoding",
    b"content-type",
    b"content-encoding",
    b"expect",
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"upgrade",
    b"http2-settings",
    b"forwarded",
    b"x-real-ip",
    b"proxy",
];

/// Whether an application that takes `_` for `-` (WSGI, CGI), or everything but letters and digits (lighttpd, and PHP
/// the `.`), would take the name for one that guides a message: the attack is `Transfer_Encoding`, which only one of two
/// servers understands.
pub fn is_alias(name: &[u8]) -> bool {
    let same = |(byte, known): (&u8, &u8)| {
        byte.eq_ignore_ascii_case(known) || (*known == b'-' && CLASS[usize::from(*byte)] == FOLDS)
    };
    let begins =
        |known: &[u8]| name.get(..known.len()).is_some_and(|start| start.iter().zip(known).all(same));
    let folds_to = |known: &[u8]| name.len() == known.len() && begins(known);
    name.iter().any(|byte| CLASS[usize::from(*byte)] == FOLDS)
        && (GUIDING.into_iter().any(folds_to) || begins(FORWARDED) || begins(INTERNAL))
}

/// Beginning of the names that only the proxy itself may write.
pub const INTERNAL: &[u8] = b"x-rasp-";

/// Fields a client must not have removed on the way by `Connection: name` (RFC 9110 section 7.6.1): whoever removes
/// them hides what the application decides by.
const PROTECTED: [&[u8]; 8] = [
    b"host",
    b"content-length",
    b"transfer-encoding",
    b"cookie",
    b"authorization",
    b"content-type",
    b"content-encoding",
    b"forwarded",
];

/// Whether a value of `Connection` names a field that must reach the application.
pub fn nominates_protected(value: &[u8]) -> bool {
    members(value).any(|member| {
        PROTECTED.iter().any(|name| name.eq_ignore_ascii_case(member)) || begins_with(member, FORWARDED)
    })
}

/// Beginning of the names in which an earlier hop says what it saw.
const FORWARDED: &[u8] = b"x-forwarded-";

fn begins_with(name: &[u8], known: &[u8]) -> bool {
    name.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known))
}

/// Fields that must not come in a trailer (RFC 9110 section 6.5.1): framing, routing, credentials, how to read the
/// content. A server that merges trailers would take them for the head's.
pub fn is_forbidden_in_trailer(name: &[u8]) -> bool {
    const MORE: [&[u8]; 17] = [
        b"authorization",
        b"proxy-authorization",
        b"cookie",
        b"set-cookie",
        b"content-range",
        b"content-location",
        b"range",
        b"cache-control",
        b"max-forwards",
        b"age",
        b"date",
        b"location",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
    ];
    let is = |known: &&[u8]| known.eq_ignore_ascii_case(name);
    let begins = |known: &[u8]| begins_with(name, known);
    // Also what makes a request conditional (RFC 9110 section 13.1).
    GUIDING.iter().any(is) || MORE.iter().any(is) || begins(FORWARDED) || begins(INTERNAL) || begins(b"if-")
}

#[cfg(test)]
mod tests {
    use super::{Fault, Limits, is_alias, is_forbidden_in_trailer, is_token, nominates_protected, parse};

    #[test]
    fn a_line_is_a_token_a_colon_and_a_value() {
        let limits = Limits::default();
        let table: [(&[u8], &[u8], &[u8]); 5] = [
            (b"Host: a", b"Host", b"a"),
            (b"Host:a", b"Host", b"a"),
            (b"X:  \t a b \t", b"X", b"a b"),
            (b"X:", b"X", b""),
            (b"X::", b"X", b":"),
        ];
        for (line, name, value) in &table {
            let field = parse(line, &limits).unwrap();
            assert_eq!((field.name, field.value), (*name, *value), "{}", line.escape_ascii());
            assert!(line[field.value_at..].starts_with(value));
        }
        for line in [
            &b"Host : a"[..],
            b"Host\t: a",
            b": a",
            b"NoColon",
            b" X: a",
            b"\tX: a",
            b"X Y: a",
            b"X\xff: a",
            b"\xef\xbb\xbfHost: a",
            b"X(: a",
            b"\"X\": a",
            b"",
        ] {
            assert_eq!(parse(line, &limits), Err(Fault::FieldLine), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn names_and_values_have_a_limit() {
        let limits = Limits { name: 4, value: 4, ..Limits::default() };
        assert!(parse(b"abcd:  wxyz  ", &limits).is_ok());
        assert_eq!(parse(b"abcde: w", &limits), Err(Fault::FieldSize));
        assert_eq!(parse(b"a: vwxyz", &limits), Err(Fault::FieldSize));
    }

    #[test]
    fn a_token_is_what_httparse_takes_for_one() {
        for byte in 0..=u8::MAX {
            let line = [b"GET / HTTP/1.1\r\n", &[byte][..], b": v\r\n\r\n"].concat();
            let mut headers = [httparse::EMPTY_HEADER; 2];
            let theirs = httparse::Request::new(&mut headers).parse(&line).is_ok_and(|s| s.is_complete());
            let blank = matches!(byte, b'\r' | b'\n'); // httparse takes those for the end of the head
            assert_eq!(is_token(&[byte]), theirs && !blank, "{byte:#x}");
        }
        assert!(!is_token(b""));
    }

    #[test]
    fn an_underscore_must_not_make_a_second_name_of_a_guiding_field() {
        for name in [
            "Transfer_Encoding",
            "content_length",
            "X_Forwarded_For",
            "x-forwarded_proto",
            "Content_Type",
            "KEEP_ALIVE",
            "X_Rasp_Verdict",
            "x_real_ip",
            "Http2_Settings",
            "X.Forwarded.For",
            "Content~Length",
            "X-Rasp'Verdict",
            "x|real_ip",
        ] {
            assert!(is_alias(name.as_bytes()), "{name}");
        }
        for name in [
            "x_request_id",
            "_",
            "user_id",
            "transfer-encoding",
            "x_forwarded",
            "host_name",
            "trans_fer-encoding",
            "x.request.id",
            "h~st",
        ] {
            assert!(!is_alias(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_client_cannot_have_the_fields_removed_that_the_application_decides_by() {
        for value in ["Host", "close, Authorization", "x,COOKIE ,y", "content-length", "X-Forwarded-Proto"] {
            assert!(nominates_protected(value.as_bytes()), "{value}");
        }
        for value in ["close", "keep-alive, X-Real-IP", "", "hosts", "Upgrade, HTTP2-Settings"] {
            assert!(!nominates_protected(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn a_trailer_has_no_field_that_guides_the_message() {
        for name in [
            "Host",
            "content-length",
            "Authorization",
            "Cookie",
            "X-Forwarded-Host",
            "x-rasp-a",
            "TE",
            "X-HTTP-Method-Override",
            "If-Match",
        ] {
            assert!(is_forbidden_in_trailer(name.as_bytes()), "{name}");
        }
        for name in ["X-T", "grpc-status", "Digest", "ETag", "Server-Timing"] {
            assert!(!is_forbidden_in_trailer(name.as_bytes()), "{name}");
        }
    }
}
