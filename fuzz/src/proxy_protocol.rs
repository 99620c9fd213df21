//! The header of a load balancer: read the same in one piece as when only what was asked for is there, never a byte of
//! the request, and a line of version 1 means what a plain reading of its words means.

use std::net::{IpAddr, SocketAddr};

use rasp_proxy::connection::proxy_protocol::{Header, Malformed, SIGNATURE, Step, WORD, parse};

/// Gives the parser what it asks for and no more, as a socket does.
fn slowly(data: &[u8]) -> Option<Result<Header, Malformed>> {
    let mut length = 0;
    loop {
        match parse(&data[..length]) {
            Ok(Step::Done(header)) => {
                assert_eq!(header.length, length, "it was given bytes that are not of the header");
                return Some(Ok(header));
            }
            Ok(Step::More(0)) => panic!("it waits for nothing at {length}"),
            Ok(Step::More(more)) if length + more > data.len() => return None,
            Ok(Step::More(more)) => length += more,
            Err(malformed) => return Some(Err(malformed)),
        }
    }
}

/// The client that the words of a line name; none for `UNKNOWN`, and for what is no line.
fn words(line: &[u8]) -> Option<SocketAddr> {
    let words: Vec<&str> = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?.split(' ').collect();
    match words[..] {
        ["PROXY", family @ ("TCP4" | "TCP6"), source, destination, from, to] => {
            let (source, destination): (IpAddr, IpAddr) = (source.parse().ok()?, destination.parse().ok()?);
            let (from, _to): (u16, u16) = (from.parse().ok()?, to.parse().ok()?);
            let same = source.is_ipv4() == destination.is_ipv4() && source.is_ipv4() == (family == "TCP4");
            same.then_some(SocketAddr::new(source, from))
        }
        _ => None,
    }
}

pub fn run(data: &[u8]) {
    let whole = parse(data);
    let slow = slowly(data);
    match (&whole, &slow) {
        (Ok(Step::Done(header)), Some(Ok(again))) => {
            assert_eq!(header, again);
            let (bytes, rest) = data.split_at(header.length);
            assert!(bytes.starts_with(SIGNATURE) || bytes.starts_with(WORD));
            assert!(bytes.len() <= 536);
            assert_eq!(parse(bytes), whole, "what follows changes the header: {}", rest.escape_ascii());
            if bytes.starts_with(WORD) {
                let says = words(bytes);
                assert!(says.is_some() || bytes.starts_with(b"PROXY UNKNOWN"), "{}", bytes.escape_ascii());
                assert_eq!(says, header.client, "{}", bytes.escape_ascii());
            }
        }
        (Ok(Step::More(more)), None) => assert!(*more > 0),
        // Perhaps refused for a byte that is there already, before what was asked for is.
        (Err(_), Some(Err(_)) | None) => {}
        other => panic!("{other:?}: {}", data.escape_ascii()),
    }
}
