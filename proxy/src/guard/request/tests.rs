use proptest::prelude::*;

use super::super::head::{Facts, Framing, digest};
use super::{Requests, Step};
use crate::guard::Limits;
use crate::reason::Malformed;

/// What became of the bytes of a connection.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    on: Vec<u8>,
    facts: Vec<Facts>,
    refused: Option<Malformed>,
}

/// Feeds a guard as `connection::wire` does, in pieces that end at `cuts`.
fn feed(input: &[u8], cuts: &[usize], limits: Limits) -> Seen {
    let mut guard = Requests::new(limits);
    let mut seen = Seen::default();
    let mut done = 0;
    for end in cuts.iter().copied().chain([input.len()]) {
        loop {
            let bytes = &input[done..end.min(input.len())];
            match guard.look(bytes) {
                Step::More => break,
                Step::Drop(length) => done += length,
                Step::Pass(length, head) => {
                    let mut head_length = 0;
                    if let Some(mut head) = head {
                        head_length = head.length;
                        let changed = head.rewrite.write(&bytes[..head_length], &mut seen.on);
                        head.facts.digest = changed.unwrap_or(head.facts.digest);
                        seen.facts.push(head.facts);
                    }
                    seen.on.extend_from_slice(&bytes[head_length..length]);
                    done += length;
                }
                Step::Refuse(refusal) => {
                    seen.refused = Some(refusal.reason);
                    return seen;
                }
            }
        }
    }
    seen
}

fn whole(input: &[u8]) -> Seen {
    feed(input, &[], Limits::default())
}

#[test]
fn what_is_valid_goes_on_as_it_came() {
    for input in VALID {
        let seen = whole(input.as_bytes());
        assert_eq!((seen.refused, &seen.on[..]), (None, input.as_bytes()), "{input:?}");
        agree(&seen);
    }
}

#[test]
fn what_has_a_canonical_form_goes_on_in_it() {
    let table = [
        ("GET /<a>?\"` HTTP/1.1\r\nHost: a\r\n\r\n", "GET /%3Ca%3E?%22` HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("GET http://a:1/x HTTP/1.1\r\nHost: A:1\r\n\r\n", "GET /x HTTP/1.1\r\nHost: A:1\r\n\r\n"),
        ("GET http://a HTTP/1.0\r\nX: y\r\n\r\n", "GET / HTTP/1.0\r\nHost: a\r\nX: y\r\n\r\n"),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            "POST /\u{e9} HTTP/1.1\r\nHost: a\r\nContent-Length:  005 \r\nX: y\r\n\r\nhello\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST /%C3%A9 HTTP/1.1\r\nHost: a\r\nContent-Length:  5 \r\nX: y\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        ),
    ];
    for (input, expected) in table {
        let seen = whole(input.as_bytes());
        assert_eq!(String::from_utf8_lossy(&seen.on), expected);
        assert_eq!(seen.refused, None, "{input:?}");
        agree(&seen);
        for cut in 0..input.len() {
            assert_eq!(feed(input.as_bytes(), &[cut], Limits::default()), seen, "{input:?} at {cut}");
        }
    }
}

#[test]
fn every_limit_refuses_what_is_one_over_it() {
    let limits =
        Limits { head: 80, fields: 3, name: 6, value: 10, target: 12, method: 5, ..Limits::default() };
    let table = [
        ("GET /234567890ab HTTP/1.1\r\nHost: a\r\n\r\n", None),
        ("GET /234567890abc HTTP/1.1\r\nHost: a\r\n\r\n", Some(Malformed::TargetSize)),
        ("PATCH / HTTP/1.1\r\nHost: a\r\n\r\n", None),
        ("PATCHX / HTTP/1.1\r\nHost: a\r\n\r\n", Some(Malformed::MethodSize)),
        ("PATCHPATCHPATCHPATCHPATCHPATCHPATCHPATCH", Some(Malformed::MethodSize)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY:\r\n\r\n", None),
        ("GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY:\r\nZ:\r\n\r\n", Some(Malformed::FieldCount)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX-45678: v\r\n\r\n", Some(Malformed::HeadSize)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: 12345678901\r\n\r\n", Some(Malformed::HeadSize)),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: 1234567890\r\nY: 1234567890  1234567890\r\n\r\n",
            Some(Malformed::HeadSize),
        ),
    ];
    for (input, refused) in table {
        for cut in 0..input.len() {
            assert_eq!(feed(input.as_bytes(), &[cut], limits).refused, refused, "{input:?} at {cut}");
        }
    }
    let exactly = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}1\r\n\r\n", " ".repeat(80 - 33));
    assert_eq!(exactly.len(), 80);
    assert_eq!(feed(exactly.as_bytes(), &[], limits).refused, None);
    let over = exactly.replace("X:", "X: ");
    assert_eq!(feed(over.as_bytes(), &[], limits).refused, Some(Malformed::HeadSize));
}

#[test]
fn nothing_goes_on_of_a_request_whose_body_is_refused_with_its_head() {
    let input = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0x\r\n\r\n";
    assert_eq!(whole(input), Seen { refused: Some(Malformed::Chunk), ..Seen::default() });
    let late = feed(input, &[60], Limits::default());
    assert_eq!((late.facts.len(), late.refused), (1, Some(Malformed::Chunk)));
}

#[test]
fn a_refusal_is_for_ever() {
    let mut guard = Requests::new(Limits::default());
    let refused = guard.look(b"GET / HTTP/9.9\r\n\r\n");
    assert!(matches!(refused, Step::Refuse(_)));
    assert_eq!(guard.look(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), refused);
}

const VALID: [&str; 12] = [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a%20b//c/../d?x=1;y=%zz\\ HTTP/1.1\r\nHOST:app:80\r\nX-MiXeD: \t CaSe \r\nEmpty:\r\n\r\n",
    "HEAD / HTTP/1.0\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    "get / HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\nCookie: c=d\r\nx_id: 1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\nX-T: 1\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    "GET /w HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, X-Hop\r\nUpgrade: websocket\r\nX-Hop: 1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\nContent-Length: 1\r\n\r\nx",
    "DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Type: text/plain\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: \u{e4}\u{ff}\r\nProxy: x\r\nX-Rasp-Verdict: allow\r\n\r\n",
];

/// Whether httparse reads what went on as the guard did, request by request.
fn agree(seen: &Seen) {
    let mut rest = &seen.on[..];
    for facts in &seen.facts {
        let mut headers = [httparse::EMPTY_HEADER; 128];
        let mut request = httparse::Request::new(&mut headers);
        let head = request.parse(rest).unwrap().unwrap();
        let (method, target) = (request.method.unwrap(), request.path.unwrap());
        assert_eq!(facts.digest, digest(method.as_bytes(), target.as_bytes()), "{method} {target}");
        assert_eq!(facts.fields, request.headers.len());
        let value = |name: &str| {
            let mut found = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
            let first = found.next().map(|header| std::str::from_utf8(header.value).unwrap());
            assert!(found.next().is_none() || name == "cookie", "{name} twice");
            first
        };
        assert!(value("host").is_some() || request.version == Some(0));
        let framing = match (value("transfer-encoding"), value("content-length")) {
            (None, None) => Framing::None,
            (None, Some(length)) => Framing::Length(length.parse().unwrap()),
            (Some("chunked"), None) if request.version == Some(1) => Framing::Chunked,
            other => panic!("{other:?}"),
        };
        assert_eq!(facts.framing, framing);
        rest = &rest[head..];
        match framing {
            Framing::None => {}
            Framing::Length(length) => {
                rest = rest.get(usize::try_from(length).unwrap()..).unwrap_or_default();
            }
            Framing::Chunked => rest = after_chunks(rest),
        }
    }
    assert!(rest.is_empty(), "{}", rest.escape_ascii());
}

/// What follows a body in chunks, as httparse reads it; nothing when the body is not complete.
fn after_chunks(mut rest: &[u8]) -> &[u8] {
    loop {
        let Ok(httparse::Status::Complete((at, size))) = httparse::parse_chunk_size(rest) else { return b"" };
        rest = &rest[at..];
        if size == 0 {
            let mut trailers = [httparse::EMPTY_HEADER; 128];
            return match httparse::parse_headers(rest, &mut trailers).unwrap() {
                httparse::Status::Complete((length, _)) => &rest[length..],
                httparse::Status::Partial => b"",
            };
        }
        let Some(after) = rest.get(usize::try_from(size).unwrap()..).filter(|after| after.len() >= 2) else {
            return b"";
        };
        assert_eq!(&after[..2], b"\r\n");
        rest = &after[2..];
    }
}

/// One change to a message.
#[derive(Clone, Debug)]
enum Mutation {
    Insert(prop::sample::Index, &'static [u8]),
    Remove(prop::sample::Index),
    Replace(prop::sample::Index, u8),
    RepeatLine(prop::sample::Index),
    RemoveLine(prop::sample::Index),
}

/// Pieces on which parsers have disagreed.
const PIECES: [&[u8]; 24] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b"\x0b",
    b":",
    b",",
    b";",
    b"_",
    b"\xff",
    b"\xc2\xa0",
    b"#",
    b"<",
    b"%",
    b"chunked",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: b\r\n",
    b"0\r\n\r\n",
    b"+",
    b"0",
    b"x",
];

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (index(), prop::sample::select(&PIECES[..])).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        2 => index().prop_map(Mutation::Remove),
        2 => (index(), any::<u8>()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        1 => index().prop_map(Mutation::RepeatLine),
        1 => index().prop_map(Mutation::RemoveLine),
    ]
}

fn mutate(message: &mut Vec<u8>, mutation: &Mutation) {
    let line = |message: &[u8], at: usize| {
        let from = message[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let to = message[at..].iter().position(|byte| *byte == b'\n').map_or(message.len(), |to| at + to + 1);
        from..to
    };
    if message.is_empty() {
        return;
    }
    match mutation {
        Mutation::Insert(at, piece) => {
            let at = at.index(message.len());
            message.splice(at..at, piece.iter().copied());
        }
        Mutation::Remove(at) => drop(message.remove(at.index(message.len()))),
        Mutation::Replace(at, byte) => {
            let at = at.index(message.len());
            message[at] = *byte;
        }
        Mutation::RepeatLine(at) => {
            let range = line(message, at.index(message.len()));
            let copy = message[range.clone()].to_vec();
            message.splice(range.end..range.end, copy);
        }
        Mutation::RemoveLine(at) => {
            let range = line(message, at.index(message.len()));
            message.drain(range);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_on_is_read_by_another_parser_in_the_same_way(
        message in prop::sample::select(&VALID[..]),
        mutations in prop::collection::vec(mutation(), 0..4),
    ) {
        let mut input = message.as_bytes().to_vec();
        for mutation in &mutations {
            mutate(&mut input, mutation);
        }
        let seen = whole(&input);
        agree(&seen);
    }

    #[test]
    fn the_pieces_in_which_bytes_come_change_nothing(
        message in prop::sample::select(&VALID[..]),
        mutations in prop::collection::vec(mutation(), 0..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut input = message.as_bytes().to_vec();
        for mutation in &mutations {
            mutate(&mut input, mutation);
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        cuts.sort_unstable();
        let every: Vec<usize> = (1..input.len()).collect();
        let expected = whole(&input);
        for cuts in [&cuts, &every] {
            let seen = feed(&input, cuts, Limits::default());
            prop_assert_eq!(seen.refused, expected.refused);
            if expected.refused.is_none() {
                prop_assert_eq!(&seen, &expected);
            } else {
                // Of the refused request a part may be gone, but of nothing else more or less.
                prop_assert!(seen.on.starts_with(&expected.on));
                prop_assert!(seen.facts.len() <= expected.facts.len() + 1);
            }
        }
    }
}
