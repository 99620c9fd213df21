//! Tells the protocol of a connection by its first bytes. Pure.
//!
//! Errs towards HTTP: whatever a lenient HTTP/1 (or 0.9) server could take for a request line is HTTP, so that no
//! spelling of a request line leads past inspection. What is left is opaque.

/// HTTP/2 with prior knowledge begins with exactly these bytes; with anything less an HTTP/1 server would read on.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A first line longer than this is left to the HTTP parser, which refuses it. More bytes than this that say nothing
/// are blanks: nobody should keep them.
pub const MAX_LINE: usize = 16 << 10;
/// Enough of a line to know a TLS record of a handshake: type and major version.
const TLS_HANDSHAKE: [u8; 2] = [0x16, 0x03];

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1, or something that a server could take for it.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// A TLS handshake.
    Tls,
    /// Anything else.
    Opaque,
}

/// Looks at the first bytes; `None` asks for more.
pub fn tell(bytes: &[u8]) -> Option<Protocol> {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n' | b' ' | b'\t'))?;
    let leading_blanks = start > 0;
    let bytes = bytes.get(start..)?;
    if !leading_blanks {
        if is_prefix(bytes, &TLS_HANDSHAKE) {
            return (bytes.len() >= TLS_HANDSHAKE.len()).then_some(Protocol::Tls);
        }
        if is_prefix(bytes, HTTP2_PREFACE) {
            return (bytes.len() >= HTTP2_PREFACE.len()).then_some(Protocol::Http2);
        }
    }
    tell_line(bytes)
}

/// Looks at bytes after which no more will come: the end of the stream ends the line as well.
pub fn tell_last(bytes: &[u8]) -> Protocol {
    tell(&[bytes, b"\n"].concat()).unwrap_or(Protocol::Opaque)
}

/// Whether one is the beginning of the other.
fn is_prefix(bytes: &[u8], whole: &[u8]) -> bool {
    bytes.iter().zip(whole).all(|(a, b)| a == b)
}

fn tell_line(bytes: &[u8]) -> Option<Protocol> {
    let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
    let line = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
    let word_end = line.iter().position(|byte| matches!(byte, b' ' | b'\t'));
    let method = line.get(..word_end.unwrap_or(line.len())).unwrap_or_default();
    if method.iter().any(|byte| !byte.is_ascii_graphic()) {
        return Some(Protocol::Opaque);
    }
    let target = word_end
        .and_then(|at| line.get(at..))
        .and_then(|rest| rest.iter().find(|byte| !matches!(byte, b' ' | b'\t')));
    if target == Some(&b'/') || line.len() > MAX_LINE {
        return Some(Protocol::Http1);
    }
    end?;
    let names_http = line.windows(5).any(|window| window.eq_ignore_ascii_case(b"HTTP/"));
    Some(if names_http || has_scheme(line) { Protocol::Http1 } else { Protocol::Opaque })
}

fn has_scheme(line: &[u8]) -> bool {
    line.windows(3).any(|window| window == b"://")
}

#[cfg(test)]
mod tests {
    use super::{Protocol, tell, tell_last};

    #[test]
    fn everything_that_a_server_could_take_for_http_is_http() {
        let table: &[(&[u8], Option<Protocol>)] = &[
            (b"GET / HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"GET /", Some(Protocol::Http1)),
            (b"GET /old-style\r\n", Some(Protocol::Http1)),
            (b"get\t/ http/1.0\n", Some(Protocol::Http1)),
            (b"\r\n\r\nGET / HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b" GET / HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"G@T   /x", Some(Protocol::Http1)),
            (b"OPTIONS * HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"CONNECT a:1 HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"GET http://a/ HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"GET http://a/\r\n", Some(Protocol::Http1)),
            (b"PRI * HTTP/2.0\r\n\r\nGET / HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Protocol::Http1)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Protocol::Http2)),
            (b"\x16\x03\x01\x02\x00", Some(Protocol::Tls)),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", Some(Protocol::Opaque)),
            (b"*1\r\n$4\r\nPING\r\n", Some(Protocol::Opaque)),
            (b"get some_key\r\n", Some(Protocol::Opaque)),
            (b"AMQP\0\0\x09\x01", Some(Protocol::Opaque)),
            (b"\x10\x0e\0\x04MQTT", Some(Protocol::Opaque)),
            (b"", None),
            (b"\r\n", None),
            (b"GE", None),
            (b"GET ", None),
            (b"PRI * HT", None),
            (b"PRI * HTTP/2.0\r\n\r\n", None),
            (b"\x16", None),
            (b"OPTIONS *", None),
        ];
        for (bytes, expected) in table {
            assert_eq!(tell(bytes), *expected, "{}", bytes.escape_ascii());
        }
        assert_eq!(tell(&vec![b'x'; 20_000]), Some(Protocol::Http1));
    }

    #[test]
    fn the_end_of_the_stream_ends_the_line() {
        assert_eq!(tell_last(b"GET http://a/?q"), Protocol::Http1);
        assert_eq!(tell_last(b"stats"), Protocol::Opaque);
        assert_eq!(tell_last(b"\x16"), Protocol::Opaque);
    }

    #[test]
    fn bytes_that_come_one_by_one_are_told_as_bytes_that_come_at_once() {
        for whole in
            [&b"GET /a HTTP/1.1\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x03", b"*1\r\n"]
        {
            let told = (1..=whole.len()).find_map(|length| tell(&whole[..length]));
            assert_eq!(told, tell(whole), "{}", whole.escape_ascii());
        }
    }
}
