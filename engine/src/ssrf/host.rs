//! Where a host is, as far as its name or number tells: `inet_aton(3)`, RFC 4291 2.5.5, RFC 6890, WHATWG URL 3.5.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Where a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// The service that gives credentials to what runs in a cloud or a cluster, however it is written.
    Metadata,
    /// Inside, written so that it does not look like it.
    Disguised,
    /// A name that resolves to what it says.
    Rebinding,
    /// A name that one test has for itself, and whose owner is told who resolved it or called there.
    Callback,
    /// This host or a private network.
    Internal,
    /// A name of a service in a cluster.
    Cluster,
    Other,
}

const METADATA: &[&str] = &[
    "metadata.google.internal",
    "metadata.goog",
    "metadata",
    "instance-data",
    "instance-data.ec2.internal",
    "metadata.tencentyun.com",
    "metadata.platformequinix.com",
    "metadata.packet.net",
    "metadata.nicp.com",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "rancher-metadata",
];

const REBINDING: &[&str] = &[
    "nip.io",
    "sslip.io",
    "xip.io",
    "localtest.me",
    "lvh.me",
    "vcap.me",
    "lacolhost.com",
    "fbi.com",
    "1u.ms",
    "rbndr.us",
    "rebind.it",
    "rebind.network",
    "traefik.me",
    "localhost.direct",
    "spoofed.burpcollaborator.net",
    "ip6.name",
    "lab.local.test",
];

/// Domains under which each test gets a name of its own. The domains themselves are sites that people link to.
const CALLBACKS: &[&str] = &[
    "burpcollaborator.net",
    "oastify.com",
    "interact.sh",
    "interactsh.com",
    "dnslog.cn",
    "dnslog.link",
    "dnslog.store",
    "ceye.io",
    "bxss.me",
    "bxss.in",
    "requestrepo.com",
    "xss.ht",
    "xss.report",
    "ezxss.com",
    "eyes.sh",
    "callback.red",
    "dnsbin.zhack.ca",
    "tu4.org",
    "r87.me",
    "pingb.in",
];

/// It is one test's own name under a domain of [`CALLBACKS`], or under any that is called after such tests (OAST).
fn is_callback(host: &[u8]) -> bool {
    let under = |known: &str| host.strip_suffix(known.as_bytes()).is_some_and(|rest| rest.ends_with(b"."));
    CALLBACKS.iter().any(|known| under(known)) || memchr::memmem::find(host, b".oast.").is_some()
}

/// Whether a host is one of those domains, or under one.
pub(crate) fn waits_for_calls(host: &[u8]) -> bool {
    let host = host.split(|byte| *byte == b':').next().unwrap_or_default().to_ascii_lowercase();
    is_callback(&host)
        || CALLBACKS.iter().any(|known| known.as_bytes() == host.strip_prefix(b"www.").unwrap_or(&host))
}

/// `host` may be in brackets, and may be a name or a number in any notation.
pub(crate) fn read(host: &[u8]) -> Host {
    if host.is_empty() || host.len() > 255 {
        return Host::Other;
    }
    if let Some(inner) = host.strip_prefix(b"[") {
        let inner = inner.split(|byte| matches!(byte, b']' | b'%')).next().unwrap_or_default();
        let address = std::str::from_utf8(inner).ok().and_then(|text| text.parse::<Ipv6Addr>().ok());
        return address.map_or(Host::Other, v6);
    }
    let mut plain = [0; 255];
    let Some((host, was_folded)) = fold(host, &mut plain) else { return Host::Other };
    let host = host.strip_suffix(b".").unwrap_or(host);
    if let Some((address, is_odd)) = number(host) {
        return match v4(address) {
            Host::Internal if is_odd || was_folded => Host::Disguised,
            place => place,
        };
    }
    let is = |known: &str| host == known.as_bytes();
    let is_under = |known: &str| {
        host.strip_suffix(known.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.ends_with(b"."))
    };
    match () {
        () if METADATA.iter().any(|known| is(known)) => Host::Metadata,
        () if is_callback(host) => Host::Callback,
        () if REBINDING.iter().any(|known| is_under(known)) => Host::Rebinding,
        () if is_under("localhost") || is("localhost.localdomain") || is("ip6-localhost") => {
            if was_folded {
                Host::Disguised
            } else {
                Host::Internal
            }
        }
        () if is_under("svc") || is_under("cluster.local") || is_under("internal") => Host::Cluster,
        () => Host::Other,
    }
}

fn v4(address: Ipv4Addr) -> Host {
    match address.octets() {
        [169, 254, 169, 254] | [169, 254, 170, 2 | 23] | [100, 100, 100, 200] | [192, 0, 0, 192] => {
            Host::Metadata
        }
        [0 | 10 | 127, ..] | [169, 254, ..] | [192, 168, ..] | [172, 16..=31, ..] | [100, 64..=127, ..] => {
            Host::Internal
        }
        _ => Host::Other,
    }
}

fn v6(address: Ipv6Addr) -> Host {
    if address == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254) {
        return Host::Metadata;
    }
    let inner = match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => return Host::Disguised,
        [0, 0, 0, 0, 0, 0, 0, 1] | [0xfc00..=0xfdff | 0xfe80..=0xfebf, ..] => return Host::Internal,
        // Mapped, compatible, NAT64, 6to4.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => (high, low),
        _ => return Host::Other,
    };
    let (high, low) = (inner.0.to_be_bytes(), inner.1.to_be_bytes());
    let ([a, b], [c, d]) = (high, low);
    match v4(Ipv4Addr::new(a, b, c, d)) {
        Host::Internal => Host::Disguised,
        place => place,
    }
}

/// An IPv4 address as `inet_aton` reads it, and whether it is not four decimal numbers.
fn number(host: &[u8]) -> Option<(Ipv4Addr, bool)> {
    let count = host.split(|byte| *byte == b'.').count();
    let mut address: u64 = 0;
    let mut is_odd = count != 4;
    for (index, part) in host.split(|byte| *byte == b'.').enumerate() {
        let (digits, radix) = match part {
            [b'0', b'x' | b'X', digits @ ..] => (digits, 16),
            [b'0', digits @ ..] if !digits.is_empty() => (digits, 8),
            digits => (digits, 10),
        };
        is_odd |= radix != 10;
        let text = std::str::from_utf8(digits)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        let value =
            if digits.is_empty() && radix == 16 { 0 } else { u64::from_str_radix(text, radix).ok()? };
        let is_last = index + 1 == count;
        let room = if is_last { 4_usize.checked_sub(index)? } else { 1 };
        // Some resolvers take a number that is too large modulo its room.
        is_odd |= value >= 1 << (8 * room);
        let kept = value & ((1 << (8 * room)) - 1);
        address = address << (8 * room) | kept;
    }
    (count <= 4).then(|| (Ipv4Addr::from(u32::try_from(address & 0xFFFF_FFFF).unwrap_or_default()), is_odd))
}

/// Lower case, with digits, letters and dots of Unicode that IDNA maps to those of ASCII, and whether there were any.
fn fold<'a>(host: &[u8], plain: &'a mut [u8; 255]) -> Option<(&'a [u8], bool)> {
    let text = std::str::from_utf8(host).ok()?;
    let mut length = 0;
    let mut was_folded = false;
    for char in text.chars() {
        let code = u32::from(char);
        let (base, first) = match code {
            0..=0x7F => (code, code),
            0x3002 | 0xFF0E | 0xFF61 => (u32::from(b'.'), code),
            0xFF10..=0xFF19 => (u32::from(b'0'), 0xFF10),
            0xFF21..=0xFF3A => (u32::from(b'a'), 0xFF21),
            0xFF41..=0xFF5A => (u32::from(b'a'), 0xFF41),
            0x2460..=0x2468 => (u32::from(b'1'), 0x2460),
            0x24EA | 0x24FF | 0x2070 | 0x2080 => (u32::from(b'0'), code),
            0x24B6..=0x24CF => (u32::from(b'a'), 0x24B6),
            0x24D0..=0x24E9 => (u32::from(b'a'), 0x24D0),
            0x1D7CE..=0x1D7FF => (u32::from(b'0') + (code - 0x1D7CE) % 10, code),
            0x00B9 => (u32::from(b'1'), code),
            0x00B2 => (u32::from(b'2'), code),
            0x00B3 => (u32::from(b'3'), code),
            _ => return None,
        };
        was_folded |= code > 0x7F;
        *plain.get_mut(length)? = u8::try_from(base + (code - first)).ok()?.to_ascii_lowercase();
        length += 1;
    }
    Some((plain.get(..length)?, was_folded))
}
