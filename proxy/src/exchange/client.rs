//! Who the client is: the peer, or what declared trusted hops say before it. Pure. Called once for each request.
//!
//! Anybody can write `X-Forwarded-For`, so it is read from the right: each hop is believed only because the one after it
//! is trusted, and the first that is not trusted is the client. What cannot be read ends the walk.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use rasp_policy::token::is_token;

use crate::state::Hops;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client of a request. Its port is 0 where only its address is known.
///
/// A trusted hop writes one of the two fields, and a client may have written the other one: where both are there and
/// lead to different clients, neither is believed.
pub fn of(headers: &HeaderMap, peer: SocketAddr, hops: &Hops) -> SocketAddr {
    if !hops.is_trusted(peer.ip()) {
        return peer;
    }
    let listed = headers.contains_key(X_FORWARDED_FOR).then(|| walk(peer.ip(), listed(headers), hops));
    let forwarded = headers.contains_key(FORWARDED).then(|| walk(peer.ip(), forwarded(headers), hops));
    match (listed, forwarded) {
        (Some(client), None) | (None, Some(client)) if client != peer.ip() => SocketAddr::new(client, 0),
        (Some(one), Some(other)) if one == other && one != peer.ip() => SocketAddr::new(one, 0),
        _ => peer,
    }
}

/// From hop to hop, the nearest first; `None` is one that cannot be read.
fn walk(peer: IpAddr, told: impl Iterator<Item = Option<IpAddr>>, hops: &Hops) -> IpAddr {
    let mut client = peer;
    for hop in told {
        if !hops.is_trusted(client) {
            break;
        }
        let Some(hop) = hop else { break };
        client = hop.to_canonical();
    }
    client
}

/// The hops of `X-Forwarded-For`, from the right.
fn listed(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    headers.get_all(X_FORWARDED_FOR).iter().rev().flat_map(|line| {
        line.as_bytes()
            .rsplit(|byte| *byte == b',')
            .map(|hop| node(std::str::from_utf8(hop).ok()?.trim_matches([' ', '\t'])))
    })
}

/// The hops of `Forwarded` (RFC 7239), from the right. A line with a fault is a hop that cannot be read: a quote that
/// the client left open must not swallow what the hop after it wrote.
fn forwarded(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    headers.get_all(FORWARDED).iter().rev().flat_map(|line| {
        let hops = line.to_str().ok().and_then(elements).unwrap_or_else(|| vec![None]);
        hops.into_iter().rev()
    })
}

/// The `for` of each element of a line; `None` where the line does not follow the grammar (RFC 7239 section 4).
fn elements(line: &str) -> Option<Vec<Option<IpAddr>>> {
    let mut hops = Vec::new();
    let mut rest = line.trim_matches([' ', '\t']);
    loop {
        let mut named = None;
        loop {
            let (name, after) = rest.split_once('=')?;
            let (value, after) = value(after)?;
            if !is_token(name) {
                return None;
            }
            if name.eq_ignore_ascii_case("for") && named.replace(node(&value)).is_some() {
                return None; // twice in one element
            }
            rest = after;
            match rest.strip_prefix(';') {
                Some(after) => rest = after,
                None => break,
            }
        }
        hops.push(named.flatten());
        rest = rest.trim_start_matches([' ', '\t']);
        if rest.is_empty() {
            return Some(hops);
        }
        rest = rest.strip_prefix(',')?.trim_start_matches([' ', '\t']);
    }
}

/// A token or a quoted string, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';', ' ', '\t']).unwrap_or(text.len());
        let (token, after) = text.split_at_checked(end)?;
        return is_token(token).then(|| (token.to_owned(), after));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    loop {
        match characters.next()? {
            (at, '"') => return Some((value, quoted.get(at + 1..)?)),
            (_, '\\') => value.push(characters.next()?.1),
            (_, character) => value.push(character),
        }
    }
}

/// An address with or without a port, one of IPv6 with or without brackets. `unknown` and obfuscated names (RFC 7239
/// section 6) are none.
fn node(text: &str) -> Option<IpAddr> {
    let address = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok();
    text.parse().ok().or_else(address).or_else(|| bracketed().map(IpAddr::V6))
}

#[cfg(test)]
mod tests;
