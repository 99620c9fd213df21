use std::net::SocketAddr;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::of;
use crate::state::Hops;

/// Load balancers are in 10.0.0.0/8 and fd00::/8.
fn client(peer: &str, fields: &[(&str, &str)]) -> String {
    let trusted = ["10.0.0.0/8", "fd00::/8"].iter().map(|text| text.parse().unwrap()).collect();
    let hops = Hops { trusted, ..Hops::default() };
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let peer = if peer.contains("]:") { peer.to_owned() } else { format!("{peer}:5000") };
    let peer: SocketAddr = peer.parse().unwrap();
    let client = of(&headers, peer, &hops);
    if client == peer { "peer".to_owned() } else { client.ip().to_string() }
}

const XFF: &str = "x-forwarded-for";

#[test]
fn nobody_can_say_who_they_are_but_through_a_trusted_hop() {
    // peer, X-Forwarded-For lines, client
    let table: [(&str, &[&str], &str); 32] = [
        // Who is not trusted is the client, whatever it says.
        ("203.0.113.9", &[], "peer"),
        ("203.0.113.9", &["198.51.100.7"], "peer"),
        ("203.0.113.9", &["10.0.0.1"], "peer"),
        ("203.0.113.9", &["198.51.100.7, 10.0.0.1"], "peer"),
        ("[2001:db8::9]:5000", &["fd00::1"], "peer"),
        ("[::ffff:203.0.113.9]:5000", &["198.51.100.7"], "peer"),
        // One trusted hop.
        ("10.0.0.1", &[], "peer"),
        ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
        ("[::ffff:10.0.0.1]:5000", &["198.51.100.7"], "198.51.100.7"),
        ("[fd00::1]:5000", &["198.51.100.7"], "198.51.100.7"),
        // What the client wrote is further left than what the hop wrote.
        ("10.0.0.1", &["1.2.3.4, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", &["127.0.0.1, 10.0.0.5, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", &["1.2.3.4", "198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", &["1.2.3.4,198.51.100.7", "10.0.0.2"], "198.51.100.7"),
        // Several trusted hops.
        ("10.0.0.1", &["198.51.100.7, 10.0.0.3, 10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", &["1.2.3.4, 198.51.100.7, fd00::2"], "198.51.100.7"),
        ("10.0.0.1", &["::ffff:198.51.100.7, ::ffff:10.0.0.2"], "198.51.100.7"),
        // All of them trusted: the furthest one.
        ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        // What cannot be read ends the walk at the hop that is responsible for it.
        ("10.0.0.1", &["unknown"], "peer"),
        ("10.0.0.1", &[""], "peer"),
        ("10.0.0.1", &["198.51.100.7, "], "peer"),
        ("10.0.0.1", &["198.51.100.7, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", &["198.51.100.7, localhost"], "peer"),
        ("10.0.0.1", &["198.51.100.7; 10.0.0.2"], "peer"),
        ("10.0.0.1", &["198.51.100.7 10.0.0.2"], "peer"),
        ("10.0.0.1", &["198.51.100.007"], "peer"),
        ("10.0.0.1", &["0x7f.1"], "peer"),
        ("10.0.0.1", &["198.51.100.7\u{a0}"], "peer"),
        // Ports and brackets, as some load balancers write them.
        ("10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", &["[2001:db8::7]"], "2001:db8::7"),
        ("10.0.0.1", &["\t198.51.100.7 ,10.0.0.2\t"], "198.51.100.7"),
    ];
    for (peer, lines, expected) in table {
        let fields: Vec<_> = lines.iter().map(|line| (XFF, *line)).collect();
        assert_eq!(client(peer, &fields), expected, "{peer} {lines:?}");
    }
}

#[test]
fn forwarded_is_read_by_its_grammar() {
    // Forwarded lines behind the peer 10.0.0.1, client
    let table: [(&[&str], &str); 27] = [
        (&["for=198.51.100.7"], "198.51.100.7"),
        (&["For=\"[2001:db8::7]:4711\""], "2001:db8::7"),
        (&["for=\"[2001:db8::7]\""], "2001:db8::7"),
        (&["for=\"198.51.100.7:80\""], "198.51.100.7"),
        (&["proto=http;for=198.51.100.7;by=10.0.0.1"], "198.51.100.7"),
        (&["for=1.2.3.4, for=198.51.100.7"], "198.51.100.7"),
        (&["for=198.51.100.7,for=10.0.0.2"], "198.51.100.7"),
        (&["for=198.51.100.7", "for=10.0.0.2;host=\"a,b;c\""], "198.51.100.7"),
        (&["for=\"\\198.51.100.7\""], "198.51.100.7"),
        (&["for=198.51.100.7, for=unknown"], "peer"),
        (&["for=198.51.100.7, for=_hidden"], "peer"),
        (&["for=198.51.100.7, for=\"_gazonk\", for=10.0.0.2"], "10.0.0.2"),
        (&["for=198.51.100.7, proto=https"], "peer"),
        (&["by=198.51.100.7"], "peer"),
        // Faults of a line.
        (&[""], "peer"),
        (&["198.51.100.7"], "peer"),
        (&["for=198.51.100.7;"], "peer"),
        (&["for=198.51.100.7,"], "peer"),
        (&["for=198.51.100.7 for=10.0.0.2"], "peer"),
        (&["for =198.51.100.7"], "peer"),
        (&["for=198.51.100.7;for=10.0.0.2"], "peer"),
        (&["for=[2001:db8::7]"], "peer"),
        (&["for=198.51.100.7:80"], "peer"),
        // The client leaves a quote open, so that the hop's own words are inside of it.
        (&["for=\"1.2.3.4, for=198.51.100.7"], "peer"),
        (&["for=\"1.2.3.4, for=\"[2001:db8::7]\""], "peer"),
        (&["for=1.2.3.4;x=\"", "for=198.51.100.7"], "198.51.100.7"),
        (&["for=1.2.3.4;x=\"", "for=10.0.0.2"], "10.0.0.2"),
    ];
    for (lines, expected) in table {
        let fields: Vec<_> = lines.iter().map(|line| ("forwarded", *line)).collect();
        assert_eq!(client("10.0.0.1", &fields), expected, "{lines:?}");
        assert_eq!(client("203.0.113.9", &fields), "peer", "{lines:?}");
    }
}

/// The load balancer writes one of the fields; the client may write the other.
#[test]
fn two_fields_that_disagree_are_not_believed() {
    let both = |xff, forwarded| client("10.0.0.1", &[(XFF, xff), ("forwarded", forwarded)]);
    assert_eq!(both("198.51.100.7", "for=1.2.3.4"), "peer");
    assert_eq!(both("1.2.3.4", "for=198.51.100.7"), "peer");
    assert_eq!(both("198.51.100.7", "for=_hidden"), "peer");
    assert_eq!(both("198.51.100.7", "for=198.51.100.7"), "198.51.100.7");
}

#[test]
fn no_value_makes_it_panic() {
    use proptest::prelude::*;
    proptest!(|(xff in "[ -~]{0,60}", forwarded in "(for=|[\"\\\\;,=\\[\\]:. a-f0-9]){0,30}")| {
        client("10.0.0.1", &[(XFF, &xff)]);
        client("10.0.0.1", &[("forwarded", &forwarded)]);
    });
}
