//! The rules of RFC 9113 and RFC 7541, one row each: what a client sends, and what it must get for it.
//!
//! Written for every rule that the suite h2spec has a case for, from the texts of the two RFCs.

use std::time::Duration;

use super::super::gateway::Gateway;
use super::application::Application;
use super::frame::{
    ACK, CONTINUATION, Client, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, Frame, GET, GOAWAY,
    HEADERS, PADDED, PING, POST, PREFACE, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE, RST_STREAM, SETTINGS,
    STREAM_CLOSED, WHOLE, WINDOW_UPDATE, WITH_PRIORITY, block, frame, get, headers, reset, settings, window,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The connection goes on as if nothing had happened.
    Ignored,
    /// A response on stream 1.
    Answered(u16),
    /// The stream alone ends with this code.
    Reset(u32),
    /// The connection ends with this code.
    Goaway(u32),
}

use Outcome::{Answered, Goaway, Ignored, Reset};

/// The connection ends with any code: h2 says PROTOCOL_ERROR for most of what has a code of its own in the RFC.
const ENDED: Outcome = Goaway(u32::MAX);

type Row = (&'static str, Vec<u8>, Outcome);

fn cat(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

fn post() -> Vec<u8> {
    headers(1, END_HEADERS, POST)
}

/// A request whose header block is given in bytes.
fn raw(block: &[u8]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, block)
}

/// `:method: GET`, `:scheme: http`, `:path: /` from the static table (RFC 7541 appendix A), and `:authority: a`.
const INDEXED: &[u8] = &[0x82, 0x86, 0x84, 0x01, 0x01, b'a'];

fn with(field: &[u8]) -> Vec<u8> {
    raw(&[INDEXED, field].concat())
}

fn accepted() -> Vec<Row> {
    let half = block(GET).len() / 2;
    let (first, rest) = (block(GET)[..half].to_vec(), block(GET)[half..].to_vec());
    let dependency = |stream: u32, weight: u8| [&stream.to_be_bytes()[..], &[weight]].concat();
    vec![
        ("a request is one HEADERS", get(1, "/"), Answered(200)),
        ("a body is DATA", cat(&[post(), frame(DATA, END_STREAM, 1, b"test")]), Answered(200)),
        (
            "a body may come in several DATA",
            cat(&[
                post(),
                frame(DATA, 0, 1, b"te"),
                frame(DATA, 0, 1, b""),
                frame(DATA, END_STREAM, 1, b"st"),
            ]),
            Answered(200),
        ),
        (
            "DATA may be padded (6.1)",
            cat(&[post(), frame(DATA, END_STREAM | PADDED, 1, b"\x05test\0\0\0\0\0")]),
            Answered(200),
        ),
        (
            "HEADERS may be padded (6.2)",
            frame(HEADERS, WHOLE | PADDED, 1, [&[3][..], &block(GET), &[0; 3]].concat()),
            Answered(200),
        ),
        (
            "HEADERS may carry a priority (6.2)",
            frame(HEADERS, WHOLE | WITH_PRIORITY, 1, [dependency(0, 255), block(GET)].concat()),
            Answered(200),
        ),
        (
            "HEAD is answered",
            headers(1, WHOLE, &[(":method", "HEAD"), GET[1], GET[2], GET[3]]),
            Answered(200),
        ),
        (
            "trailers end a body (8.1)",
            cat(&[post(), frame(DATA, 0, 1, b"test"), headers(1, WHOLE, &[("x-checksum", "1")])]),
            Answered(200),
        ),
        (
            "a head may need a CONTINUATION (6.10)",
            cat(&[frame(HEADERS, END_STREAM, 1, &first), frame(CONTINUATION, END_HEADERS, 1, &rest)]),
            Answered(200),
        ),
        (
            "or several",
            cat(&[
                frame(HEADERS, END_STREAM, 1, &first),
                frame(CONTINUATION, 0, 1, &rest[..3]),
                frame(CONTINUATION, END_HEADERS, 1, &rest[3..]),
            ]),
            Answered(200),
        ),
        (
            "DATA of 16,384 bytes fits (4.2)",
            cat(&[post(), frame(DATA, END_STREAM, 1, vec![b'x'; 16_384])]),
            Answered(200),
        ),
        ("PRIORITY of an idle stream (5.1)", frame(PRIORITY, 0, 3, dependency(0, 0)), Ignored),
        ("PRIORITY of the heaviest weight (6.3)", frame(PRIORITY, 0, 1, dependency(0, 255)), Ignored),
        ("PRIORITY that depends on another stream", frame(PRIORITY, 0, 3, dependency(1, 255)), Ignored),
        ("an exclusive PRIORITY", frame(PRIORITY, 0, 3, dependency(0x8000_0001, 255)), Ignored),
        (
            "PRIORITY of a later stream closes no earlier one (5.1.1)",
            cat(&[frame(PRIORITY, 0, 5, dependency(0, 1)), get(1, "/")]),
            Answered(200),
        ),
        (
            "PRIORITY of a half-closed stream (5.1)",
            cat(&[get(1, "/"), frame(PRIORITY, 0, 1, dependency(0, 1))]),
            Answered(200),
        ),
        ("WINDOW_UPDATE of a half-closed stream (5.1)", cat(&[get(1, "/"), window(1, 1)]), Answered(200)),
        ("RST_STREAM of a half-closed stream (5.1)", cat(&[get(1, "/"), reset(1, 8)]), Ignored),
        ("RST_STREAM with an unknown code (7)", cat(&[get(1, "/"), reset(1, 0xff)]), Ignored),
        ("WINDOW_UPDATE of the connection (6.9)", window(0, 1), Ignored),
        ("SETTINGS (6.5)", settings(3, 100), Ignored),
        ("SETTINGS with an unknown identifier (6.5.2)", settings(0xff, 1), Ignored),
        ("PING with an answer nobody asked for (6.7)", frame(PING, ACK, 0, b"whatever"), Ignored),
        ("a frame of unknown type (4.1, 5.5)", frame(0x16, 0, 0, b"whatever"), Ignored),
        ("flags nobody defined (4.1)", cat(&[frame(PING, 0xfe, 0, b"whatever")]), Ignored),
        ("the reserved bit (4.1)", frame(PING, 0, 0x8000_0000, b"whatever"), Ignored),
        ("an indexed field (RFC 7541 6.1)", raw(INDEXED), Answered(200)),
        ("a literal for the table, indexed name (6.2.1)", with(b"\x7a\x01y"), Answered(200)),
        ("the same in Huffman", with(b"\x7a\x81\xf5"), Answered(200)),
        ("a literal for the table, new name", with(b"\x40\x01x\x01y"), Answered(200)),
        ("the same in Huffman", with(b"\x40\x81\xf3\x81\xf5"), Answered(200)),
        ("a literal, indexed name (6.2.2)", with(b"\x0f\x2b\x01y"), Answered(200)),
        ("the same in Huffman", with(b"\x0f\x2b\x81\xf5"), Answered(200)),
        ("a literal, new name", with(b"\x00\x01x\x01y"), Answered(200)),
        ("the same in Huffman", with(b"\x00\x81\xf3\x81\xf5"), Answered(200)),
        ("a literal that is never indexed, indexed name (6.2.3)", with(b"\x1f\x2b\x01y"), Answered(200)),
        ("the same in Huffman", with(b"\x1f\x2b\x81\xf5"), Answered(200)),
        ("a literal that is never indexed, new name", with(b"\x10\x01x\x01y"), Answered(200)),
        ("the same in Huffman", with(b"\x10\x81\xf3\x81\xf5"), Answered(200)),
        ("a size of the table (6.3)", raw(&[&b"\x20"[..], INDEXED].concat()), Answered(200)),
        ("two sizes of the table (4.2)", raw(&[&b"\x20\x3f\xe1\x1f"[..], INDEXED].concat()), Answered(200)),
    ]
}

fn frames_refused() -> Vec<Row> {
    let itself = [0, 0, 0, 1, 7];
    let unfinished = || frame(HEADERS, END_STREAM, 1, &block(GET)[..10]);
    let rest = || frame(CONTINUATION, END_HEADERS, 1, &block(GET)[10..]);
    let closed = || cat(&[post(), reset(1, 8)]);
    vec![
        ("DATA over 16,384 bytes (4.2)", cat(&[post(), frame(DATA, 0, 1, [0; 16_385])]), ENDED),
        ("HEADERS over 16,384 bytes (4.2)", frame(HEADERS, WHOLE, 1, [0; 16_385]), ENDED),
        (
            "PRIORITY inside a head (4.3)",
            cat(&[unfinished(), frame(PRIORITY, 0, 1, [0; 5]), rest()]),
            Goaway(PROTOCOL_ERROR),
        ),
        (
            "HEADERS of another stream inside a head (4.3, 6.2)",
            cat(&[unfinished(), get(3, "/")]),
            Goaway(PROTOCOL_ERROR),
        ),
        (
            "an unknown frame inside a head (5.5)",
            cat(&[unfinished(), frame(0x16, 0, 1, b"x")]),
            Goaway(PROTOCOL_ERROR),
        ),
        ("DATA inside a head (6.10)", cat(&[unfinished(), frame(DATA, 0, 1, b"x")]), Goaway(PROTOCOL_ERROR)),
        ("DATA of an idle stream (5.1)", frame(DATA, END_STREAM, 1, b"x"), Goaway(PROTOCOL_ERROR)),
        ("RST_STREAM of an idle stream (5.1)", reset(1, 8), Goaway(PROTOCOL_ERROR)),
        ("WINDOW_UPDATE of an idle stream (5.1)", window(1, 100), Goaway(PROTOCOL_ERROR)),
        (
            "CONTINUATION of an idle stream (5.1)",
            frame(CONTINUATION, END_HEADERS, 1, block(GET)),
            Goaway(PROTOCOL_ERROR),
        ),
        (
            "DATA after the end of a request (5.1, 6.1)",
            cat(&[get(1, "/hold"), frame(DATA, END_STREAM, 1, b"x")]),
            ENDED,
        ),
        ("HEADERS after the end of a request (5.1)", cat(&[get(1, "/hold"), get(1, "/hold")]), ENDED),
        (
            "CONTINUATION after the end of a head (6.10)",
            cat(&[get(1, "/hold"), frame(CONTINUATION, END_HEADERS, 1, block(GET))]),
            Goaway(PROTOCOL_ERROR),
        ),
        (
            "CONTINUATION after that of the end (6.10)",
            cat(&[unfinished(), rest(), rest()]),
            Goaway(PROTOCOL_ERROR),
        ),
        (
            "CONTINUATION after DATA (6.10)",
            cat(&[post(), frame(DATA, 0, 1, b"x"), frame(CONTINUATION, END_HEADERS, 1, block(GET))]),
            Goaway(PROTOCOL_ERROR),
        ),
        (
            "CONTINUATION of the connection (6.10)",
            cat(&[unfinished(), frame(CONTINUATION, END_HEADERS, 0, block(GET))]),
            Goaway(PROTOCOL_ERROR),
        ),
        (
            "DATA of a stream that was reset (5.1)",
            cat(&[closed(), frame(DATA, END_STREAM, 1, b"x")]),
            Reset(STREAM_CLOSED),
        ),
        ("HEADERS of a stream that was reset (5.1)", cat(&[closed(), get(1, "/hold")]), ENDED),
        (
            "CONTINUATION of a stream that was reset (5.1)",
            cat(&[closed(), frame(CONTINUATION, END_HEADERS, 1, block(GET))]),
            Goaway(PROTOCOL_ERROR),
        ),
        ("a stream with an even number (5.1.1)", get(2, "/"), Goaway(PROTOCOL_ERROR)),
        (
            "a stream below one before (5.1.1)",
            cat(&[get(5, "/hold"), get(3, "/hold")]),
            Goaway(PROTOCOL_ERROR),
        ),
        (
            "HEADERS that depend on themselves (5.3.1)",
            frame(HEADERS, WHOLE | WITH_PRIORITY, 1, [&itself[..], &block(GET)].concat()),
            Reset(PROTOCOL_ERROR),
        ),
        (
            "PRIORITY that depends on itself (5.3.1)",
            cat(&[get(1, "/hold"), frame(PRIORITY, 0, 1, itself)]),
            Reset(PROTOCOL_ERROR),
        ),
        ("DATA of the connection (6.1)", frame(DATA, END_STREAM, 0, b"x"), Goaway(PROTOCOL_ERROR)),
        (
            "DATA with more padding than bytes (6.1)",
            cat(&[post(), frame(DATA, END_STREAM | PADDED, 1, b"\x06test")]),
            Goaway(PROTOCOL_ERROR),
        ),
        ("HEADERS of the connection (6.2)", headers(0, WHOLE, GET), Goaway(PROTOCOL_ERROR)),
        (
            "HEADERS with more padding than bytes (6.2)",
            frame(HEADERS, WHOLE | PADDED, 1, b"\x05\x82\x86\x84"),
            Goaway(PROTOCOL_ERROR),
        ),
        ("PRIORITY of the connection (6.3)", frame(PRIORITY, 0, 0, [0; 5]), Goaway(PROTOCOL_ERROR)),
        ("PRIORITY of four bytes (6.3)", frame(PRIORITY, 0, 1, [0; 4]), ENDED),
        ("RST_STREAM of the connection (6.4)", reset(0, 8), Goaway(PROTOCOL_ERROR)),
        ("RST_STREAM of three bytes (6.4)", cat(&[get(1, "/hold"), frame(RST_STREAM, 0, 1, [0; 3])]), ENDED),
        ("SETTINGS that acknowledge with a payload (6.5)", frame(SETTINGS, ACK, 0, [0; 6]), ENDED),
        ("SETTINGS of a stream (6.5)", frame(SETTINGS, 0, 1, [0, 3, 0, 0, 0, 100]), Goaway(PROTOCOL_ERROR)),
        ("SETTINGS of three bytes (6.5)", frame(SETTINGS, 0, 0, [0; 3]), ENDED),
        ("ENABLE_PUSH of 2 (6.5.2)", settings(2, 2), Goaway(PROTOCOL_ERROR)),
        ("INITIAL_WINDOW_SIZE over 2^31 - 1 (6.5.2)", settings(4, 1 << 31), ENDED),
        ("MAX_FRAME_SIZE under 16,384 (6.5.2)", settings(5, 16_383), Goaway(PROTOCOL_ERROR)),
        ("MAX_FRAME_SIZE over 2^24 - 1 (6.5.2)", settings(5, 1 << 24), Goaway(PROTOCOL_ERROR)),
        (
            "PUSH_PROMISE of a client (8.4)",
            cat(&[
                get(1, "/hold"),
                frame(PUSH_PROMISE, END_HEADERS, 1, [&[0, 0, 0, 3][..], &block(GET)].concat()),
            ]),
            Goaway(PROTOCOL_ERROR),
        ),
        ("PING of a stream (6.7)", frame(PING, 0, 1, [0; 8]), Goaway(PROTOCOL_ERROR)),
        ("PING of seven bytes (6.7, 5.4.1)", frame(PING, 0, 0, [0; 7]), ENDED),
        ("GOAWAY of a stream (6.8)", frame(GOAWAY, 0, 1, [0; 8]), Goaway(PROTOCOL_ERROR)),
        ("WINDOW_UPDATE of the connection by nothing (6.9)", window(0, 0), Goaway(PROTOCOL_ERROR)),
        (
            "WINDOW_UPDATE of a stream by nothing (6.9)",
            cat(&[get(1, "/hold"), window(1, 0)]),
            Goaway(PROTOCOL_ERROR),
        ),
        ("WINDOW_UPDATE of three bytes (6.9)", frame(WINDOW_UPDATE, 0, 0, [0; 3]), ENDED),
        (
            "a window of the connection over 2^31 - 1 (6.9.1)",
            cat(&[window(0, 0x7fff_ffff), window(0, 0x7fff_ffff)]),
            ENDED,
        ),
        (
            "a window of a stream over 2^31 - 1 (6.9.1)",
            cat(&[get(1, "/hold"), window(1, 0x7fff_ffff), window(1, 0x7fff_ffff)]),
            Reset(FLOW_CONTROL_ERROR),
        ),
        (
            "a first window that makes one too large (6.9.2)",
            cat(&[get(1, "/hold"), window(1, 0x7fff_0000), settings(4, 0x7fff_ffff)]),
            ENDED,
        ),
    ]
}

fn heads_refused() -> Vec<Row> {
    let head = |fields: &[(&str, &str)]| headers(1, WHOLE, fields);
    let and = |name: &'static str, value: &'static str| headers(1, WHOLE, &[GET, &[(name, value)]].concat());
    let length =
        |stated: &'static str| headers(1, END_HEADERS, &[POST, &[("content-length", stated)]].concat());
    let [method, scheme, path, authority] = [GET[0], GET[1], GET[2], GET[3]];
    vec![
        ("a string longer than the block (RFC 7541 5.2)", with(b"\x40\x05x"), ENDED),
        ("an index that is in no table (2.3.3)", with(b"\xc6"), ENDED),
        ("index 0 (6.1)", with(b"\x80"), ENDED),
        ("a size of the table after a field (4.2)", with(b"\x20"), ENDED),
        (
            "a size of the table over what SETTINGS allow (6.3)",
            raw(&[&b"\x3f\xe2\x1f"[..], INDEXED].concat()),
            ENDED,
        ),
        ("Huffman with a whole byte of padding (5.2)", with(b"\x40\x81\xf3\x82\xf5\xff"), ENDED),
        ("Huffman padded with zeros (5.2)", with(b"\x40\x81\xf3\x81\xf4"), ENDED),
        ("Huffman with the end-of-string symbol (5.2)", with(b"\x40\x81\xf3\x84\xff\xff\xff\xff"), ENDED),
        ("a name in upper case (8.2.1)", and("X-Test", "a"), Goaway(PROTOCOL_ERROR)),
        ("a name with a blank (8.2.1)", and("x y", "a"), Goaway(PROTOCOL_ERROR)),
        ("a name with a colon (8.2.1)", and("x:y", "a"), Goaway(PROTOCOL_ERROR)),
        ("a name without a byte (8.2.1)", and("", "a"), Goaway(PROTOCOL_ERROR)),
        ("a value with LF (8.2.1)", and("x", "a\nb: c"), Goaway(PROTOCOL_ERROR)),
        ("a value with CRLF (8.2.1)", and("x", "a\r\nb: c"), Goaway(PROTOCOL_ERROR)),
        ("a value with NUL (8.2.1)", and("x", "a\0"), Goaway(PROTOCOL_ERROR)),
        ("a pseudo-field that nobody knows (8.3)", and(":test", "a"), Goaway(PROTOCOL_ERROR)),
        (
            "a pseudo-field of responses (8.3)",
            head(&[method, scheme, path, authority, (":status", "200")]),
            Reset(PROTOCOL_ERROR),
        ),
        (
            "a pseudo-field after a field (8.3)",
            head(&[method, scheme, path, ("x", "y"), authority]),
            Reset(PROTOCOL_ERROR),
        ),
        (
            "a pseudo-field in trailers is cut by h2, and does not go on (8.1)",
            cat(&[post(), frame(DATA, 0, 1, b"x"), headers(1, WHOLE, &[(":method", "POST")])]),
            Answered(200),
        ),
        (
            "trailers that do not end the stream (8.1)",
            cat(&[post(), headers(1, END_HEADERS, &[("x", "y")])]),
            Reset(PROTOCOL_ERROR),
        ),
        ("`connection` (8.2.2)", and("connection", "keep-alive"), Reset(PROTOCOL_ERROR)),
        ("`keep-alive` (8.2.2)", and("keep-alive", "timeout=5"), Reset(PROTOCOL_ERROR)),
        ("`proxy-connection` (8.2.2)", and("proxy-connection", "keep-alive"), Reset(PROTOCOL_ERROR)),
        ("`upgrade` (8.2.2)", and("upgrade", "h2c"), Reset(PROTOCOL_ERROR)),
        ("`transfer-encoding` (8.2.2)", and("transfer-encoding", "chunked"), Reset(PROTOCOL_ERROR)),
        ("`te` that wants more than trailers (8.2.2)", and("te", "trailers, deflate"), Reset(PROTOCOL_ERROR)),
        ("no path (8.3.1)", head(&[method, scheme, authority]), Reset(PROTOCOL_ERROR)),
        ("an empty path (8.3.1)", head(&[method, scheme, (":path", ""), authority]), Reset(PROTOCOL_ERROR)),
        (
            "a path that is none (8.3.1)",
            head(&[method, scheme, (":path", "x"), authority]),
            Reset(PROTOCOL_ERROR),
        ),
        (
            "a path with a blank (8.3.1)",
            head(&[method, scheme, (":path", "/a b"), authority]),
            Reset(PROTOCOL_ERROR),
        ),
        (
            "a path with a request line (8.3.1)",
            head(&[method, scheme, (":path", "/ HTTP/1.1\r\nx: y"), authority]),
            Reset(PROTOCOL_ERROR),
        ),
        ("no method (8.3.1)", head(&[scheme, path, authority]), Reset(PROTOCOL_ERROR)),
        (
            "a method that is a request line (8.3.1)",
            head(&[(":method", "GET /x HTTP/1.1"), scheme, path, authority]),
            Goaway(PROTOCOL_ERROR),
        ),
        ("no scheme (8.3.1)", head(&[method, path, authority]), Reset(PROTOCOL_ERROR)),
        (
            "a scheme that is more (8.3.1)",
            head(&[method, (":scheme", "http://evil/x?"), path, authority]),
            Reset(PROTOCOL_ERROR),
        ),
        (
            "an authority with a path (8.3.1)",
            head(&[method, scheme, path, (":authority", "a/x")]),
            Reset(PROTOCOL_ERROR),
        ),
        ("two methods (8.3.1)", head(&[method, method, scheme, path, authority]), Reset(PROTOCOL_ERROR)),
        ("two schemes (8.3.1)", head(&[method, scheme, scheme, path, authority]), Reset(PROTOCOL_ERROR)),
        ("two paths (8.3.1)", head(&[method, scheme, path, path, authority]), Reset(PROTOCOL_ERROR)),
        (
            "extended CONNECT, which was not offered (RFC 8441)",
            head(&[(":method", "CONNECT"), (":protocol", "websocket"), scheme, path, authority]),
            Reset(PROTOCOL_ERROR),
        ),
        (
            "a length that one DATA does not have (8.1.1)",
            cat(&[length("1"), frame(DATA, END_STREAM, 1, b"test")]),
            Reset(PROTOCOL_ERROR),
        ),
        (
            "a length that several DATA do not have (8.1.1)",
            cat(&[length("5"), frame(DATA, 0, 1, b"te"), frame(DATA, END_STREAM, 1, b"st")]),
            Reset(PROTOCOL_ERROR),
        ),
        (
            "a length of a request without a body (8.1.1)",
            headers(1, WHOLE, &[POST, &[("content-length", "5")]].concat()),
            Reset(PROTOCOL_ERROR),
        ),
        (
            "a length with a sign (8.1.1)",
            cat(&[length("+4"), frame(DATA, END_STREAM, 1, b"test")]),
            Reset(PROTOCOL_ERROR),
        ),
        (
            "an absolute path (8.3.1)",
            head(&[method, scheme, (":path", "http://other/x"), authority]),
            Reset(PROTOCOL_ERROR),
        ),
        (
            "a path of `<` (8.3.1)",
            head(&[method, scheme, (":path", "/<x"), authority]),
            Reset(PROTOCOL_ERROR),
        ),
        (
            "two lengths (8.1.1)",
            headers(1, END_HEADERS, &[POST, &[("content-length", "4"), ("content-length", "5")]].concat()),
            Reset(PROTOCOL_ERROR),
        ),
    ]
}

/// What becomes of the connection: the first thing that says so, and that it is true.
fn outcome(client: &mut Client, expected: Outcome) -> Outcome {
    if expected == Ignored {
        client.ping();
        return Ignored;
    }
    let decisive = |frame: &Frame| {
        matches!(frame.kind, GOAWAY | RST_STREAM)
            || (frame.kind == HEADERS && matches!(expected, Answered(_)))
    };
    let first = loop {
        match client.next() {
            Some(frame) if decisive(&frame) => break frame,
            Some(_) => {}
            None => return Goaway(0),
        }
    };
    match first.kind {
        GOAWAY => {
            assert_eq!(client.farewell(), None, "the connection ends with the first GOAWAY");
            Goaway(first.code())
        }
        RST_STREAM => Reset(first.code()),
        _ => Answered(first.status()),
    }
}

#[test]
fn every_rule_of_the_protocol_is_kept_and_neighbours_live_on() {
    let application = Application::start();
    let gateway = Gateway::start(application.address);
    let rows = [accepted(), frames_refused(), heads_refused()].concat();
    let mut failures = Vec::new();
    for (rule, bytes, expected) in rows {
        let mut client = Client::connect(gateway.address);
        client.stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client.send(bytes);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let outcome = outcome(&mut client, expected);
            if !matches!(outcome, Goaway(_)) {
                client.send(get(99, "/neighbour"));
                assert_eq!(client.answer(99), 200);
            }
            outcome
        }));
        match outcome {
            Ok(outcome) if outcome == expected => {}
            Ok(Goaway(1..)) if expected == ENDED => {}
            Ok(outcome) => failures.push(format!("{rule}: {outcome:?}, not {expected:?}")),
            Err(_) => failures.push(format!("{rule}: not {expected:?}")),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn a_connection_begins_with_the_preface_and_settings() {
    let application = Application::start();
    let gateway = Gateway::start(application.address);
    let mut client = Client::silent(gateway.address);
    let first = client.next().unwrap();
    assert_eq!((first.kind, first.flags & ACK), (SETTINGS, 0), "{first:?}");
    // Where anything but SETTINGS comes first, the rest is not looked at (3.4).
    for bytes in [&PREFACE[..20], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\n\n"] {
        let mut client = super::super::client::Client::connect(gateway.address);
        client.send(bytes);
        client.send(get(1, "/refused"));
        client.finish();
        client.rest();
    }
    assert!(!application.paths().iter().any(|path| path.ends_with("/refused")));
}

#[test]
fn a_response_is_as_long_as_the_window() {
    let application = Application::start();
    let gateway = Gateway::start(application.address);
    let data = |client: &mut Client| client.until(|frame| frame.kind == DATA).payload.len();

    let mut one = Client::connect(gateway.address);
    one.send(settings(4, 1));
    one.send(get(1, "/large"));
    assert_eq!(data(&mut one), 1);
    one.ping();
    one.send(window(1, 2));
    assert_eq!(data(&mut one), 2);

    // A window may become negative, and fills up from there (6.9.2).
    let mut negative = Client::connect(gateway.address);
    negative.send(settings(4, 3));
    negative.send(get(1, "/large"));
    assert_eq!(data(&mut negative), 3);
    negative.send(settings(4, 2));
    negative.send(window(1, 2));
    assert_eq!(data(&mut negative), 1);

    // Of two values in one frame the last one counts (6.5.3).
    let mut two = Client::connect(gateway.address);
    let values = [&settings(4, 100)[9..], &settings(4, 1)[9..]].concat();
    two.send(frame(SETTINGS, 0, 0, values));
    two.until(|frame| frame.kind == SETTINGS && frame.flags & ACK != 0);
    two.send(get(1, "/large"));
    assert_eq!(data(&mut two), 1);
}

#[test]
fn the_goaway_of_a_client_lets_its_streams_end() {
    let application = Application::start();
    let gateway = Gateway::start(application.address);
    let mut client = Client::connect(gateway.address);
    client.send(get(1, "/hold"));
    application.wait_for("/hold");
    client.send(frame(GOAWAY, 0, 0, [0, 0, 0, 0, 0, 0, 0, 0xff])); // a code nobody defined (7)
    // It said that it opens none any more; one that it opens all the same is served, or the connection ends, and nothing
    // else waits for it (6.8).
    client.send(get(3, "/after"));
    application.go();
    assert_eq!(client.answer(1), 200);
}
