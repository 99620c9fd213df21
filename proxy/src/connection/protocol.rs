//! Tells the protocol of a connection by its first bytes. Pure.
//!
//! Errs towards HTTP: whatever a lenient HTTP/1 (or 0.9) server could take for a request line is HTTP, so that no
//! spelling of a request line leads past inspection. What is left is opaque.

use rasp_policy::pod::PortProtocol;

use super::proxy_protocol::SIGNATURE;
use crate::reason::Bypass;

/// HTTP/2 with prior knowledge begins with exactly these bytes; with anything less an HTTP/1 server would read on.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A first line longer than this is left to the HTTP parser, which refuses it. More bytes than this that say nothing
/// are blanks: nobody should keep them.
pub const MAX_LINE: usize = 16 << 10;
/// The signature of the PROXY protocol begins with as many bytes as could begin a request as well.
const BLANKS_OF_SIGNATURE: usize = 4;
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

/// What is done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// Inspected as HTTP/1.
    Http1,
    /// Inspected as HTTP/2.
    Http2,
    /// Relayed without inspection, and why; a connection without a byte has nothing to inspect.
    Relay(Option<Bypass>),
    /// Turned away: it is not what the port is declared to speak.
    Refuse,
}

/// What is done with a connection of which the first bytes told this.
pub fn course(declared: PortProtocol, told: Option<Protocol>) -> Course {
    let Some(told) = told else { return Course::Relay(None) };
    match (declared, told) {
        (PortProtocol::Http1, Protocol::Http2) | (PortProtocol::Http2, Protocol::Http1) => Course::Refuse,
        (_, Protocol::Http1) => Course::Http1,
        (_, Protocol::Http2) => Course::Http2,
        (declared, _) if declared.is_http() => Course::Refuse,
        (_, Protocol::Tls) => Course::Relay(Some(Bypass::Tls)),
        (_, Protocol::Opaque) => Course::Relay(Some(Bypass::Opaque)),
    }
}

/// What an application says although its client has not spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// SETTINGS of HTTP/2, which a server may send at once (RFC 9113 section 3.4); gRPC servers do.
    Http2,
    /// A response of HTTP/1 without a request, for example 408.
    Http1,
    /// A protocol in which the server speaks first.
    Other,
}

/// Bytes of a greeting that are enough: the header of a frame.
pub const GREETING: usize = 9;

/// Tells what an application says although its client has not spoken.
pub fn tell_greeting(bytes: &[u8]) -> Greeting {
    match bytes {
        [_, _, _, 4, 0, 0, 0, 0, 0] => Greeting::Http2,
        _ if bytes.starts_with(b"HTTP/") => Greeting::Http1,
        _ => Greeting::Other,
    }
}

/// Methods that a server may take although neither a path nor a version follows, as in HTTP/0.9.
const METHODS: [&[u8]; 6] = [b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE"];

/// Looks at the first bytes; `None` asks for more.
pub fn tell(bytes: &[u8]) -> Option<Protocol> {
    // From a peer that is not declared to send one it is no header, and what follows it is often HTTP: the parser
    // refuses it.
    if bytes.len() > BLANKS_OF_SIGNATURE && is_prefix(bytes, SIGNATURE) {
        return (bytes.len() >= SIGNATURE.len()).then_some(Protocol::Http1);
    }
    let start = bytes.iter().position(|byte| *byte != b'\n' && !is_blank(*byte))?;
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
    if bytes.first().is_some_and(|byte| is_skipped(*byte)) {
        return Some(tell_skipped(bytes));
    }
    tell_line(bytes)
}

/// What Python's `str.split` takes for a blank, which is more than HTTP does.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\t' | 0x0b | 0x0c | b'\r' | 0x1c..=0x20 | 0x85 | 0xa0)
}

/// What Netty skips before a request line.
fn is_skipped(byte: u8) -> bool {
    byte <= b' ' || (0x7f..=0xa0).contains(&byte)
}

/// Binary protocols begin like this, and their clients wait for an answer: there is no asking for more.
fn tell_skipped(bytes: &[u8]) -> Protocol {
    let start = bytes.iter().position(|byte| !is_skipped(*byte)).unwrap_or(bytes.len());
    let line = first_line(bytes.get(start..).unwrap_or_default()).0;
    if names_http(line) || begins_with_method(line) { Protocol::Http1 } else { Protocol::Opaque }
}

/// Looks at bytes after which no more will come: the end of the stream ends the line as well.
pub fn tell_last(bytes: &[u8]) -> Protocol {
    tell(&[bytes, b"\n"].concat()).unwrap_or(Protocol::Opaque)
}

/// Whether one is the beginning of the other.
fn is_prefix(bytes: &[u8], whole: &[u8]) -> bool {
    bytes.iter().zip(whole).all(|(a, b)| a == b)
}

/// The first line as far as it is there, and whether it is complete. A lone CR ends no line: it is a blank to some.
fn first_line(bytes: &[u8]) -> (&[u8], bool) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => (bytes.get(..end).unwrap_or_default(), true),
        None => (bytes, false),
    }
}

fn tell_line(bytes: &[u8]) -> Option<Protocol> {
    let (line, complete) = first_line(bytes);
    let word_end = line.iter().position(|byte| is_blank(*byte));
    let method = line.get(..word_end.unwrap_or(line.len())).unwrap_or_default();
    if method.iter().any(|byte| !byte.is_ascii_graphic()) {
        // What follows may come in a packet of its own: the verdict must not depend on that.
        let http = names_http(line) || begins_with_method(line);
        return Some(if http { Protocol::Http1 } else { Protocol::Opaque });
    }
    if word_end.is_some() && method == b"PROXY" {
        return Some(Protocol::Http1);
    }
    let target =
        word_end.and_then(|at| line.get(at..)).and_then(|rest| rest.iter().find(|byte| !is_blank(**byte)));
    if target == Some(&b'/') || line.len() > MAX_LINE {
        return Some(Protocol::Http1);
    }
    // Also a method alone: to a server that takes any white space for a separator, the target is on the next line.
    let http = || names_http(line) || has_scheme(line) || begins_with_method(line);
    complete.then(|| if http() { Protocol::Http1 } else { Protocol::Opaque })
}

fn names_http(line: &[u8]) -> bool {
    line.windows(5).any(|window| window.eq_ignore_ascii_case(b"HTTP/"))
}

fn begins_with_method(line: &[u8]) -> bool {
    METHODS.iter().any(|method| {
        line.strip_prefix(*method)
            .is_some_and(|rest| rest.first().is_none_or(|byte| !byte.is_ascii_graphic()))
    })
}

fn has_scheme(line: &[u8]) -> bool {
    line.windows(3).any(|window| window == b"://")
}

#[cfg(test)]
mod tests {
    use rasp_policy::pod::PortProtocol;

    use super::{Bypass, Course, Greeting, Protocol, course, tell, tell_greeting, tell_last};

    #[test]
    fn a_port_that_is_declared_http_never_becomes_opaque() {
        use Course::{Http1, Http2, Refuse};
        let (tls, opaque) = (Course::Relay(Some(Bypass::Tls)), Course::Relay(Some(Bypass::Opaque)));
        let told = [Protocol::Http1, Protocol::Http2, Protocol::Tls, Protocol::Opaque];
        let table = [
            (PortProtocol::Http, [Http1, Http2, Refuse, Refuse]),
            (PortProtocol::Http1, [Http1, Refuse, Refuse, Refuse]),
            (PortProtocol::Http2, [Refuse, Http2, Refuse, Refuse]),
            (PortProtocol::Tls, [Http1, Http2, tls, opaque]),
            (PortProtocol::Detect, [Http1, Http2, tls, opaque]),
        ];
        for (declared, courses) in table {
            assert_eq!(told.map(|told| course(declared, Some(told))), courses, "{declared:?}");
            assert_eq!(course(declared, None), Course::Relay(None), "{declared:?}: a port check");
        }
    }

    #[test]
    fn settings_of_an_http2_server_do_not_make_its_port_opaque() {
        let table: [(&[u8], Greeting); 6] = [
            (b"\0\0\x12\x04\0\0\0\0\0", Greeting::Http2),
            (b"\0\0\0\x04\0\0\0\0\0", Greeting::Http2),
            (b"\0\0\0\x04\x01\0\0\0\0", Greeting::Other),
            (b"J\0\0\0\x0a8.0.3", Greeting::Other),
            (b"220 mail.", Greeting::Other),
            (b"HTTP/1.1 ", Greeting::Http1),
        ];
        for (bytes, expected) in table {
            assert_eq!(tell_greeting(bytes), expected, "{}", bytes.escape_ascii());
        }
    }

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
            // What Python's http.server splits a request line at.
            (b"\x0bGET /?q=A HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"GET\x0b/?q=A HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"GET\x0c?q=A HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"GET\x1c/?q=A\x1cHTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"GET\x1f/?q=A HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"GET\x85/?q=A HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"GET\xa0/?q=A HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"GET\r/?q=A HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"GET\r?q=A\r\n", Some(Protocol::Http1)),
            // HTTP/0.9 with a target that is no path.
            (b"GET ?q=A\r\n\r\n", Some(Protocol::Http1)),
            (b"GET ?q=A", None),
            // C servers that scan a whole read take a line end for a blank.
            (b"GET\n/?q=A HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"POST \r\n", Some(Protocol::Http1)),
            (b"GETS\r\n", Some(Protocol::Opaque)),
            (b"POST\x04", Some(Protocol::Http1)),
            (b"POST\x04 /?q=A HTTP/1.1\r\n", Some(Protocol::Http1)),
            // Netty skips control bytes before a request line.
            (b"\x01\0GET /?q=A HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"\x01GET ?q=A", Some(Protocol::Http1)),
            (b"G\xe9T /?q=A HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Protocol::Http2)),
            (b"\x16\x03\x01\x02\x00", Some(Protocol::Tls)),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", Some(Protocol::Opaque)),
            (b"*1\r\n$4\r\nPING\r\n", Some(Protocol::Opaque)),
            (b"get some_key\r\n", Some(Protocol::Opaque)),
            (b"AMQP\0\0\x09\x01", Some(Protocol::Opaque)),
            (b"\x10\x0e\0\x04MQTT", Some(Protocol::Opaque)),
            (b"\x05\x01\0", Some(Protocol::Opaque)),
            (b"CONNECT\naccept-version:1.2\n", Some(Protocol::Opaque)),
            (b"OPTIONS sip:a SIP/2.0\r\n", Some(Protocol::Opaque)),
            // The PROXY protocol, from a peer that is not declared to speak it.
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"PROXY UNKNOWN\r\n", Some(Protocol::Http1)),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", Some(Protocol::Http1)),
            (b"\r\n\r\n\0\r\n", None),
            (b"PROXY", None),
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
