//! PROXY protocol, versions 1 and 2: the address of the client, as a load balancer in front tells it before the first
//! byte of the connection. Source: "The PROXY protocol", haproxy.org, 2020/03/05.
//!
//! The parser is sans-IO and asks for no byte beyond the header. Only declared peers may send one, since whoever may
//! send it says who the client is; and what they send must be one. Called by the connection before anything else.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

/// Begins every header of version 2.
pub const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Begins every header of version 1.
pub const WORD: &[u8] = b"PROXY ";
/// Longest header of version 1, its CRLF included (section 2.1).
const MAX_V1: usize = 107;
/// The shortest one, `PROXY UNKNOWN` and CRLF.
const MIN_V1: usize = 15;
/// Longest header of version 2 that is taken: what fits into the smallest segment that every host has to take.
const MAX_V2: usize = 536;
/// Signature, version and command, family, length.
const FIXED: usize = 16;

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the header.
    pub length: usize,
    /// The client; absent where the load balancer speaks for itself (`LOCAL`, health checks), or the client has no
    /// address of the Internet (`UNKNOWN`, UNIX sockets).
    pub client: Option<SocketAddr>,
}

/// What the bytes so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The beginning of a header. So many bytes more belong to it at least.
    More(usize),
    /// A header.
    Done(Header),
}

/// Why these bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// They begin like neither version.
    #[error("no header of the PROXY protocol")]
    Absent,
    /// Longer than a header may be.
    #[error("the header is too long")]
    TooLong,
    /// Not a line of version 1.
    #[error("not a line of version 1")]
    Line,
    /// A version, command or family that does not exist.
    #[error("a version, command or family that does not exist")]
    Unspecified,
    /// Too short for its address, or an extension reaches beyond the end.
    #[error("the header is shorter than what it holds")]
    Truncated,
    /// The checksum does not fit.
    #[error("the checksum does not fit")]
    Checksum,
}

/// Why a declared peer's connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It sent something else.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It broke off.
    #[error("read: {0}")]
    Read(#[from] io::Error),
    /// It did not send it in time.
    #[error("no header in time")]
    Timeout,
}

/// Reads a header and not a byte more.
pub async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    limit: Duration,
) -> Result<Option<SocketAddr>, Error> {
    let mut bytes = [0; MAX_V2];
    let reading = async {
        let mut length = 0;
        loop {
            let more = match parse(bytes.get(..length).unwrap_or_default())? {
                Step::Done(header) => return Ok(header.client),
                Step::More(more) => more,
            };
            let free = bytes.get_mut(length..length + more).ok_or(Malformed::TooLong)?;
            match stream.read(free).await? {
                0 => return Err(Malformed::Truncated.into()),
                read => length += read,
            }
        }
    };
    timeout(limit, reading).await.unwrap_or(Err(Error::Timeout))
}

/// Looks at the first bytes of a connection.
pub fn parse(bytes: &[u8]) -> Result<Step, Malformed> {
    if bytes.is_empty() {
        Ok(Step::More(MIN_V1))
    } else if begins(bytes, SIGNATURE) {
        binary(bytes)
    } else if begins(bytes, WORD) {
        line(bytes)
    } else {
        Err(Malformed::Absent)
    }
}

/// Whether one is the beginning of the other.
fn begins(bytes: &[u8], whole: &[u8]) -> bool {
    bytes.iter().zip(whole).all(|(a, b)| a == b)
}

fn line(bytes: &[u8]) -> Result<Step, Malformed> {
    let Some(end) = bytes.iter().take(MAX_V1).position(|byte| *byte == b'\n') else {
        if bytes.len() >= MAX_V1 {
            return Err(Malformed::TooLong);
        }
        return Ok(Step::More(MIN_V1.saturating_sub(bytes.len()).max(1)));
    };
    let line = bytes.get(WORD.len()..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(Malformed::Line)?;
    let line = std::str::from_utf8(line).map_err(|_| Malformed::Line)?;
    Ok(Step::Done(Header { length: end + 1, client: client(line)? }))
}

/// `TCP4 source destination source-port destination-port`, or `UNKNOWN` and anything.
fn client(line: &str) -> Result<Option<SocketAddr>, Malformed> {
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Ok(None);
    }
    words(line).map(Some).ok_or(Malformed::Line)
}

fn words(line: &str) -> Option<SocketAddr> {
    let mut words = line.split(' ');
    let is_v4 = match words.next()? {
        "TCP4" => true,
        "TCP6" => false,
        _ => return None,
    };
    let address = |word: &str| word.parse::<IpAddr>().ok().filter(|address| address.is_ipv4() == is_v4);
    let (source, _) = (address(words.next()?)?, address(words.next()?)?);
    let (port, _) = (decimal(words.next()?)?, decimal(words.next()?)?);
    words.next().is_none().then_some(SocketAddr::new(source, port))
}

/// No sign, no leading zero (section 2.1).
fn decimal(word: &str) -> Option<u16> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    word.parse().ok().filter(|_| plain)
}

fn binary(bytes: &[u8]) -> Result<Step, Malformed> {
    let Some([version, family, high, low]) = bytes.get(SIGNATURE.len()..FIXED) else {
        return Ok(Step::More(FIXED - bytes.len()));
    };
    let length = FIXED + usize::from(u16::from_be_bytes([*high, *low]));
    if length > MAX_V2 {
        return Err(Malformed::TooLong);
    }
    let Some(header) = bytes.get(..length) else { return Ok(Step::More(length - bytes.len())) };
    let rest = header.get(FIXED..).unwrap_or_default();
    let client = match version {
        0x20 => None, // LOCAL: whatever follows is of no meaning
        0x21 => proxied(*family, rest, header)?,
        _ => return Err(Malformed::Unspecified),
    };
    Ok(Step::Done(Header { length, client }))
}

fn proxied(family: u8, rest: &[u8], header: &[u8]) -> Result<Option<SocketAddr>, Malformed> {
    // Bytes of both addresses and ports.
    let length = match (family >> 4, family & 0xf) {
        (0, 0) => 0,
        (1, 1 | 2) => 12,
        (2, 1 | 2) => 36,
        (3, 1 | 2) => 216,
        _ => return Err(Malformed::Unspecified),
    };
    let (addresses, extensions) = rest.split_at_checked(length).ok_or(Malformed::Truncated)?;
    if family != 0 {
        check(extensions, header)?;
    }
    Ok(match addresses {
        [a, b, c, d, _, _, _, _, high, low, _, _] => {
            Some(SocketAddr::new(Ipv4Addr::new(*a, *b, *c, *d).into(), u16::from_be_bytes([*high, *low])))
        }
        _ if length == 36 => {
            let source: [u8; 16] = addresses.first_chunk().copied().ok_or(Malformed::Truncated)?;
            let port = addresses.get(32..34).and_then(<[u8]>::first_chunk).ok_or(Malformed::Truncated)?;
            Some(SocketAddr::new(Ipv6Addr::from(source).into(), u16::from_be_bytes(*port)))
        }
        _ => None,
    })
}

/// Extension with a CRC32c over the header, in which its own value counts as zero (section 2.2.3).
const CRC32C: u8 = 3;

/// Passes over extensions; the only one that is understood is the checksum.
fn check(mut extensions: &[u8], header: &[u8]) -> Result<(), Malformed> {
    while let [kind, high, low, rest @ ..] = extensions {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, after) = rest.split_at_checked(length).ok_or(Malformed::Truncated)?;
        if *kind == CRC32C {
            let stated: [u8; 4] = value.try_into().map_err(|_| Malformed::Checksum)?;
            let at = header.len() - after.len() - value.len();
            let zeroed = |(index, byte): (usize, &u8)| if (at..at + 4).contains(&index) { 0 } else { *byte };
            if crc32c(header.iter().enumerate().map(zeroed)) != u32::from_be_bytes(stated) {
                return Err(Malformed::Checksum);
            }
        }
        extensions = after;
    }
    if extensions.is_empty() { Ok(()) } else { Err(Malformed::Truncated) }
}

/// Castagnoli's polynomial (RFC 3720 appendix B.4), bit by bit: a header is short and there is one for a connection.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    !bytes.fold(!0, |sum: u32, byte| {
        (0..8).fold(
            sum ^ u32::from(byte),
            |sum, _| {
                if sum & 1 == 1 { (sum >> 1) ^ 0x82f6_3b78 } else { sum >> 1 }
            },
        )
    })
}

#[cfg(test)]
mod tests;
