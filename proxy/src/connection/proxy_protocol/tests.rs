use std::net::SocketAddr;

use proptest::prelude::*;

use super::{Error, Header, MAX_V2, Malformed, SIGNATURE, Step, crc32c, parse, read};

/// A header of version 2.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, rest].concat()
}

const V4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 0x01, 0xbb];
const V6: &[u8] = &[
    0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, //
    0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, //
    0x30, 0x39, 0x01, 0xbb,
];

/// With a checksum that fits.
fn summed(addresses: &[u8], flip: u8) -> Vec<u8> {
    let mut header = v2(0x21, 0x11, &[addresses, &[3, 0, 4, 0, 0, 0, 0]].concat());
    let sum = crc32c(header.iter().copied()) ^ u32::from(flip);
    let at = header.len() - 4;
    header[at..].copy_from_slice(&sum.to_be_bytes());
    header
}

fn done(length: usize, client: Option<&str>) -> Step {
    let client = client.map(|text| text.parse::<SocketAddr>().unwrap());
    Step::Done(Header { length, client })
}

fn good() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let extensions = [V4, &[0x04, 0, 1, 0], &[0xea, 0, 3, 1, 2, 3]].concat();
    vec![
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\n".to_vec(), Some("192.0.2.1:12345")),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 12345 443\r\n".to_vec(), Some("[2001:db8::1]:12345")),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 0 65535\r\n".to_vec(), Some("192.0.2.1:0")),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n".to_vec(), None),
        (v2(0x21, 0x11, V4), Some("192.0.2.1:12345")),
        (v2(0x21, 0x21, V6), Some("[2001:db8::1]:12345")),
        (v2(0x21, 0x12, V4), Some("192.0.2.1:12345")),
        (v2(0x21, 0x11, &extensions), Some("192.0.2.1:12345")),
        (summed(V4, 0), Some("192.0.2.1:12345")),
        (v2(0x20, 0x00, &[]), None),
        (v2(0x20, 0x11, V4), None),
        (v2(0x20, 0xff, &[1, 2, 3]), None),
        (v2(0x21, 0x00, &[]), None),
        (v2(0x21, 0x00, &[9, 9, 9]), None),
        (v2(0x21, 0x31, &[b'/'; 216]), None),
    ]
}

#[test]
fn a_header_says_who_the_client_is_and_where_it_ends() {
    for (bytes, client) in good() {
        let row = bytes.escape_ascii().to_string();
        assert_eq!(parse(&bytes), Ok(done(bytes.len(), client)), "{row}");
        let with_request = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(parse(&with_request), Ok(done(bytes.len(), client)), "{row}");
    }
}

#[test]
fn byte_by_byte_it_is_the_same_and_no_byte_beyond_the_header_is_asked_for() {
    for (bytes, client) in good() {
        for length in 0..bytes.len() {
            let Ok(Step::More(more)) = parse(&bytes[..length]) else {
                panic!("{} is a whole header", bytes[..length].escape_ascii())
            };
            assert!(more > 0 && length + more <= bytes.len(), "{}", bytes[..length].escape_ascii());
        }
        assert_eq!(parse(&bytes), Ok(done(bytes.len(), client)));
    }
}

#[test]
fn what_is_no_header_has_its_reason() {
    use Malformed::{Absent, Checksum, Line, TooLong, Truncated, Unspecified};
    let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 100]].concat();
    let table: Vec<(Vec<u8>, Malformed)> = vec![
        (b"GET / HTTP/1.1\r\n".to_vec(), Absent),
        (b"PROXX".to_vec(), Absent),
        (b"proxy TCP4".to_vec(), Absent),
        (b"\r\n\r\nGET".to_vec(), Absent),
        (long, TooLong),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\n".to_vec(), Line),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 12345\r\n".to_vec(), Line),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 443 1\r\n".to_vec(), Line),
        (b"PROXY TCP4  192.0.2.1 198.51.100.2 12345 443\r\n".to_vec(), Line),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 443 \r\n".to_vec(), Line),
        (b"PROXY TCP4 192.0.2.01 198.51.100.2 12345 443\r\n".to_vec(), Line),
        (b"PROXY TCP4 2001:db8::1 2001:db8::2 12345 443\r\n".to_vec(), Line),
        (b"PROXY TCP6 192.0.2.1 198.51.100.2 12345 443\r\n".to_vec(), Line),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 012345 443\r\n".to_vec(), Line),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 +1234 443\r\n".to_vec(), Line),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 70000 443\r\n".to_vec(), Line),
        (b"PROXY UDP4 192.0.2.1 198.51.100.2 12345 443\r\n".to_vec(), Line),
        (b"PROXY UNKNOWNX\r\n".to_vec(), Line),
        (b"PROXY \xff\xff\xff\xff\xff\xff\xff\r\n".to_vec(), Line),
        (v2(0x11, 0x11, V4), Unspecified),
        (v2(0x22, 0x11, V4), Unspecified),
        (v2(0x21, 0x41, V4), Unspecified),
        (v2(0x21, 0x13, V4), Unspecified),
        (v2(0x21, 0x10, V4), Unspecified),
        (v2(0x21, 0x11, &V4[..11]), Truncated),
        (v2(0x21, 0x21, V4), Truncated),
        (v2(0x21, 0x31, &[0; 215]), Truncated),
        (v2(0x21, 0x11, &[V4, &[4, 0]].concat()), Truncated),
        (v2(0x21, 0x11, &[V4, &[4, 0, 9, 1]].concat()), Truncated),
        (v2(0x21, 0x11, &[V4, &[3, 0, 2, 1, 1]].concat()), Checksum),
        (summed(V4, 1), Checksum),
        (v2(0x21, 0x11, &[V4, &[4, 2, 5], &[0; 517]].concat()), TooLong),
    ];
    for (bytes, reason) in table {
        assert_eq!(parse(&bytes), Err(reason), "{}", bytes.escape_ascii());
    }
    let longest = v2(0x21, 0x11, &[V4, &[4, 1, 0xf9], &[0; 505]].concat());
    assert_eq!((longest.len(), parse(&longest).is_ok()), (MAX_V2, true));
}

/// The check value of the catalogue of CRCs.
#[test]
fn the_checksum_is_castagnolis() {
    assert_eq!(crc32c(b"123456789".iter().copied()), 0xe306_9283);
}

#[tokio::test]
async fn reading_stops_at_the_end_of_the_header_and_at_the_end_of_the_stream() {
    for (bytes, client) in good() {
        let whole = [&bytes[..], b"GET"].concat();
        let mut stream = &whole[..];
        let read = read(&mut stream, std::time::Duration::from_secs(9)).await.unwrap();
        assert_eq!((read.map(|client| client.to_string()).as_deref(), stream), (client, &b"GET"[..]));
    }
    let mut cut = &b"PROXY TCP4 192.0.2.1"[..];
    let error = read(&mut cut, std::time::Duration::from_secs(9)).await.unwrap_err();
    assert!(matches!(error, Error::Malformed(Malformed::Truncated)), "{error}");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_ask_for_more_than_a_header(
        start in 0..3_usize,
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let bytes = [[&b""[..], b"PROXY ", SIGNATURE][start], &bytes[..]].concat();
        if let Ok(Step::More(more)) = parse(&bytes) {
            prop_assert!(bytes.len() + more <= MAX_V2);
        }
    }
}
