use proptest::prelude::*;

use super::{Follower, Limits, Passed};
use crate::guard::awaited::{Asking, Awaited};
use crate::reason::BadResponse;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    Nothing,
    Get,
    Head,
    Switch,
}

fn awaited(asked: Asked) -> Awaited {
    let awaited = Awaited::default();
    match asked {
        Asked::Nothing => {}
        Asked::Get => awaited.expect(Asking::default()),
        Asked::Head => awaited.expect(Asking { head: true, ..Asking::default() }),
        Asked::Switch => awaited.expect(Asking { switch: true, ..Asking::default() }),
    }
    awaited
}

/// Follows all bytes at once, then one by one; both must come to the same end.
fn follow(asked: Asked, bytes: &[u8]) -> Result<usize, BadResponse> {
    let whole = Follower::default().follow(bytes, &awaited(asked));
    let (mut follower, due) = (Follower::default(), awaited(asked));
    let single = bytes.iter().map(|byte| follower.follow(&[*byte], &due)).find_map(|passed| passed.fault);
    assert_eq!(whole.fault, single, "{}", bytes.escape_ascii());
    whole.fault.map_or(Ok(whole.bytes), Err)
}

const GOOD: &[(Asked, &[u8])] = &[
    (Asked::Get, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    (Asked::Get, b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"),
    (Asked::Get, b"HTTP/1.1 200\r\ncontent-length:0\r\n\r\n"),
    (Asked::Get, b"HTTP/1.0 200 OK\r\n\r\nuntil the end\r\nHTTP/1.1 200 OK\r\n\r\n"),
    (Asked::Get, b"HTTP/1.1 200 \xc3\xa9t\xc3\xa9\r\nX: \xff\t~ \r\nEmpty:\r\nContent-Length: 2\r\n\r\n\0\n"),
    (Asked::Get, b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\nContent-Length:2\r\n\r\nok"),
    (Asked::Get, b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    (
        Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=\"b\"\r\nok\r\n00A  \r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n",
    ),
    (Asked::Get, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No\r\n\r\n"),
    (Asked::Get, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n"),
    (Asked::Head, b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n"),
    (Asked::Head, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    (Asked::Switch, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x00\n\n"),
    (Asked::Switch, b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n"),
    (Asked::Get, b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"),
];

#[test]
fn what_is_plain_passes_whole_also_byte_by_byte() {
    for (asked, bytes) in GOOD {
        assert_eq!(follow(*asked, bytes), Ok(bytes.len()), "{}", bytes.escape_ascii());
    }
}

#[test]
fn what_two_readers_could_understand_in_two_ways_does_not_pass() {
    use BadResponse as Bad;
    let table: &[(&[u8], Bad)] = &[
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Bad::Lengths,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
            Bad::Lengths,
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", Bad::Lengths),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nabc", Bad::Lengths),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2,\r\n\r\nab", Bad::Lengths),
        (b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab", Bad::Lengths),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nab", Bad::Lengths),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2 2\r\n\r\nab", Bad::Lengths),
        (b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", Bad::Lengths),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n", Bad::Lengths),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Bad::Lengths),
        (b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n", Bad::Lengths),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Bad::TransferEncoding),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", Bad::TransferEncoding),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            Bad::TransferEncoding,
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\x0bchunked\r\n\r\n", Bad::Field),
        (b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", Bad::Field),
        (b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", Bad::Field),
        (b"HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b\r\n\r\n", Bad::Field),
        (b"HTTP/1.1 200 OK\r\nX: a\x7f\r\n\r\n", Bad::Field),
        (b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", Bad::Field),
        (b"HTTP/1.1 200 OK\r\n\tX: a\r\n\r\n", Bad::Field),
        (b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n", Bad::Field),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", Bad::Field),
        (b"HTTP/1.1 200 OK\r\n: a\r\n\r\n", Bad::Field),
        (b"HTTP/1.1 200 OK\r\nX\xc3: a\r\n\r\n", Bad::Field),
        (b"HTTP/1.1 200 OK\nX: a\r\n\r\n", Bad::StatusLine),
        (b"HTTP/1.1 20 OK\r\n\r\n", Bad::StatusLine),
        (b"HTTP/1.1 2000 OK\r\n\r\n", Bad::StatusLine),
        (b"HTTP/1.1 099 OK\r\n\r\n", Bad::StatusLine),
        (b"HTTP/1.1  200 OK\r\n\r\n", Bad::StatusLine),
        (b"HTTP/1.2 200 OK\r\n\r\n", Bad::StatusLine),
        (b"HTTP/2.0 200 OK\r\n\r\n", Bad::StatusLine),
        (b"http/1.1 200 OK\r\n\r\n", Bad::StatusLine),
        (b"HTTP/1.1 200 O\0K\r\n\r\n", Bad::StatusLine),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", Bad::StatusLine),
        (b"ICY 200 OK\r\n\r\n", Bad::StatusLine),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", Bad::Switch),
    ];
    for (bytes, fault) in table {
        assert_eq!(follow(Asked::Get, bytes), Err(*fault), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_chunk_that_two_readers_could_measure_in_two_ways_does_not_pass() {
    let chunks: &[&[u8]] = &[
        b"\r\n",
        b"x\r\n",
        b"0x2\r\nok\r\n",
        b"-2\r\nok\r\n",
        b" 2\r\nok\r\n",
        b"2\nok\r\n",
        b"2 3\r\nok\r\n",
        b"2;a\0\r\nok\r\n",
        b"2\r\nok!\r\n",
        b"2\r\nok\n",
        b"2\r\nok\rxy",
        b"11111111111111111\r\n",
        b"8000000000000000\r\n",
    ];
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for chunk in chunks {
        let bytes = [&head[..], chunk].concat();
        assert_eq!(follow(Asked::Get, &bytes), Err(BadResponse::Chunk), "{}", chunk.escape_ascii());
    }
    let long = [&head[..], b"2;", &[b'a'; 300], b"\r\nok\r\n"].concat();
    assert_eq!(follow(Asked::Get, &long), Err(BadResponse::Chunk));
    let folded = [&head[..], b"0\r\nX: a\r\n b\r\n\r\n"].concat();
    assert_eq!(follow(Asked::Get, &folded), Err(BadResponse::Field));
}

#[test]
fn what_no_request_asked_for_is_cut_off_behind_the_response() {
    let table: &[(Asked, &[u8], usize)] = &[
        (Asked::Nothing, b"HTTP/1.1 200 OK\r\n", 0),
        (Asked::Get, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\npoison", 40),
        (Asked::Get, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\r\n", 52),
        (Asked::Head, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 38),
        (Asked::Get, b"HTTP/1.1 204 No Content\r\n\r\nbody", 27),
        (Asked::Get, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nbody", 48),
    ];
    for (asked, bytes, passes) in table {
        let (mut follower, due) = (Follower::default(), awaited(*asked));
        let expected = Passed { bytes: *passes, fault: Some(BadResponse::Unasked) };
        assert_eq!(follower.follow(bytes, &due), expected, "{}", bytes.escape_ascii());
        due.expect(Asking::default());
        assert_eq!(
            follower.follow(b"HTTP/1.1 200 OK\r\n\r\n", &due).fault,
            Some(BadResponse::Unasked),
            "broken stays broken"
        );
    }
}

#[test]
fn one_response_after_the_other_is_followed() {
    let (mut follower, due) = (Follower::default(), Awaited::default());
    for (asked, bytes) in GOOD.iter().take(3) {
        due.expect(Asking { head: *asked == Asked::Head, ..Asking::default() });
        assert_eq!(follower.follow(bytes, &due).fault, None);
        assert!(!due.is_due(), "{}", bytes.escape_ascii());
    }
}

#[test]
fn what_comes_in_whole_lines_is_followed_without_an_allocation() {
    let due = Awaited::default();
    let mut follower = Follower::default();
    for (asked, bytes) in GOOD.iter().filter(|(asked, _)| *asked == Asked::Get).take(3) {
        let counted = allocation_counter::measure(|| {
            due.expect(Asking::default());
            assert_eq!(follower.follow(bytes, &due).fault, None);
        });
        assert_eq!(counted.count_total, 0, "{asked:?} {}", bytes.escape_ascii());
    }
}

#[test]
fn ten_interim_responses_are_enough_and_a_head_has_limits() {
    let interim = b"HTTP/1.1 103 Early Hints\r\n\r\n";
    let end = b"HTTP/1.1 204 No Content\r\n\r\n";
    assert!(follow(Asked::Get, &[&interim.repeat(10)[..], end].concat()).is_ok());
    assert_eq!(follow(Asked::Get, &interim.repeat(11)), Err(BadResponse::Interim));

    let fields = |count: usize| [b"HTTP/1.1 200 OK\r\n".to_vec(), b"A: b\r\n".repeat(count)].concat();
    assert!(follow(Asked::Get, &fields(Limits::default().fields)).is_ok());
    assert_eq!(follow(Asked::Get, &fields(Limits::default().fields + 1)), Err(BadResponse::TooLarge));
    let long = [b"HTTP/1.1 200 OK\r\nA: ".to_vec(), vec![b'x'; Limits::default().head]].concat();
    assert_eq!(Follower::default().follow(&long, &awaited(Asked::Get)).fault, Some(BadResponse::TooLarge));
    let line = [b"HTTP/1.1 200 ".to_vec(), vec![b'x'; 100_000]].concat();
    assert_eq!(Follower::default().follow(&line, &awaited(Asked::Get)).fault, Some(BadResponse::TooLarge));
    let trailer =
        [&b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"[..], &b"A: b\r\n".repeat(300)]
            .concat();
    assert_eq!(follow(Asked::Get, &trailer), Err(BadResponse::TooLarge));
}

#[test]
fn interim_responses_are_kept_for_a_client_that_knows_them() {
    let bytes = b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\n\r\n\
        HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    for (hints, expected) in [
        (true, &b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n"[..]),
        (false, b""),
    ] {
        let due = Awaited::default();
        due.expect(Asking { hints, ..Asking::default() });
        assert_eq!(Follower::default().follow(bytes, &due).fault, None);
        assert_eq!(due.take_hints(), expected);
        assert_eq!(due.has_hints(), hints);
    }
}

#[test]
fn an_end_is_an_end_only_where_nothing_is_missing() {
    let table: &[(&[u8], bool)] = &[
        (b"", true),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", true),
        (b"HTTP/1.1 200 OK\r\nConte", false),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", false),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", false),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", false),
    ];
    for (bytes, is_end) in table {
        let (mut follower, due) = (Follower::default(), awaited(Asked::Get));
        assert_eq!(follower.follow(bytes, &due).fault, None);
        assert_eq!(follower.end(false).is_ok(), *is_end, "{}", bytes.escape_ascii());
    }
}

/// Pieces of responses, put together at random.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: [&[u8]; 11] = [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 103 X\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"X: y\r\n",
        b"\r\n",
        b"\n",
        b"abc",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"\0",
    ];
    let piece = prop::sample::select(&PIECES[..]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// What hyper gets of bytes that come in pieces of such a length, and what goes around it.
fn sorted(bytes: &[u8], piece: usize) -> (Vec<u8>, Vec<u8>) {
    let (mut follower, due, mut got) = (Follower::default(), awaited(Asked::Get), Vec::new());
    for piece in bytes.chunks(piece) {
        assert_eq!(follower.follow(piece, &due), Passed { bytes: piece.len(), fault: None });
        got.extend(follower.take_passing().unwrap_or_else(|| piece.to_vec()));
    }
    (got, due.take_surplus().unwrap_or_default())
}

#[test]
fn fields_that_hyper_has_no_room_for_go_around_it_however_the_head_is_cut() {
    let (first, rest) = ("X-Y: z\r\n".repeat(super::HYPERS), "B: 1\r\nSet-Cookie: c\r\n".repeat(70));
    let head = |rest: &str, after: &str| {
        format!("HTTP/1.1 200 OK\r\n{first}{rest}Content-Length: 3\r\n{after}connection: close\r\n\r\n")
    };
    let came = head(&rest, "D: 2\r\n") + "abc";
    let (to_hyper, around) = (head("", "") + "abc", format!("{rest}D: 2\r\n"));
    for piece in [came.len(), 4096, 1000, 7, 1] {
        let (got, surplus) = sorted(came.as_bytes(), piece);
        assert_eq!(String::from_utf8(got).unwrap(), to_hyper, "in pieces of {piece}");
        assert_eq!(String::from_utf8(surplus).unwrap(), around, "in pieces of {piece}");
        assert!(
            httparse::Response::new(&mut [httparse::EMPTY_HEADER; 100]).parse(to_hyper.as_bytes()).is_ok()
        );
    }
    let few = format!("HTTP/1.1 200 OK\r\n{first}\r\n");
    assert_eq!(sorted(few.as_bytes(), 1000), (few.clone().into_bytes(), Vec::new()));
}

#[test]
fn what_goes_around_of_an_interim_response_goes_nowhere() {
    let hint = format!("HTTP/1.1 103 Early Hints\r\n{}\r\n", "Link: a\r\n".repeat(120));
    let (got, surplus) = sorted(format!("{hint}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").as_bytes(), 50);
    assert!(surplus.is_empty() && got.ends_with(b"Content-Length: 0\r\n\r\n"));
}

proptest! {
    #[test]
    fn where_a_read_ends_changes_nothing(bytes in pieces(), cut in 0..64_usize) {
        let cut = cut.min(bytes.len());
        let whole = Follower::default().follow(&bytes, &awaited(Asked::Get));
        let (mut follower, due) = (Follower::default(), awaited(Asked::Get));
        let first = follower.follow(&bytes[..cut], &due);
        let fault = first.fault.or_else(|| follower.follow(&bytes[cut..], &due).fault);
        prop_assert_eq!(fault, whole.fault);
    }

    /// httparse is the second opinion: what passes here is a head for it as well.
    #[test]
    fn a_head_that_passes_is_one_for_another_parser(bytes in pieces()) {
        let due = awaited(Asked::Get);
        let is_whole = bytes.windows(4).any(|window| window == b"\r\n\r\n");
        if is_whole && Follower::default().follow(&bytes, &due).fault.is_none() {
            let mut fields = [httparse::EMPTY_HEADER; 16];
            prop_assert!(httparse::Response::new(&mut fields).parse(&bytes).is_ok());
        }
    }
}
