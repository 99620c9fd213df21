//! Whether a request is in the share of `spec.enforcement`, for which Block is Block. Pure. A bucket is worked out once for
//! each request under a policy whose share is below 100, and for no other one; a tunnel and a call keep that of their head.

use std::net::SocketAddr;

use http::HeaderMap;
use http::header::COOKIE;
use rasp_policy::share::{Key, Share};

/// What is known of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bucket {
    /// Nobody asked: its policy leaves no request out.
    Unknown,
    /// It has no key, or several.
    Keyless,
    /// Its bucket.
    Is(u16),
}

impl Bucket {
    /// The bucket of a request from this client.
    pub fn of(share: &Share, headers: &HeaderMap, client: SocketAddr) -> Self {
        if share.is_all() {
            return Self::Unknown;
        }
        let key = match &share.key {
            Key::ClientIp => return Self::Is(share.bucket_of(client.ip())),
            Key::Header(name) => only(headers.get_all(name.as_str()).iter().map(http::HeaderValue::as_bytes)),
            Key::Cookie(name) => only(cookies(headers, name.as_bytes())),
        };
        key.map_or(Self::Keyless, |key| Self::Is(share.bucket(key)))
    }

    /// The same under another policy, of a request whose head is gone. What cannot be known any more has no key.
    pub fn under(self, before: &Share, share: &Share, client: SocketAddr) -> Self {
        match share.key {
            _ if self != Self::Unknown && share.has_buckets_of(before) => self,
            _ if share.is_all() => Self::Unknown,
            Key::ClientIp => Self::Is(share.bucket_of(client.ip())),
            Key::Header(_) | Key::Cookie(_) => Self::Keyless,
        }
    }

    /// Whether the request is in the share.
    pub fn is_in(self, share: &Share) -> bool {
        match self {
            Self::Unknown => true,
            Self::Keyless => share.contains(None),
            Self::Is(bucket) => share.contains(Some(bucket)),
        }
    }
}

/// The only value, unless it is empty: of several the application may take another one than we do.
fn only<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    values.next().filter(|value| !value.is_empty() && values.next().is_none())
}

/// The values of a cookie (RFC 6265 section 4.2.1).
fn cookies<'a>(headers: &'a HeaderMap, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| pair.trim_ascii().strip_prefix(name)?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};
    use rasp_policy::share::{Key, Share};

    use super::Bucket;

    fn mk_share(percent: u8, key: Key) -> Share {
        Share { percent, key, seed: "uid".to_owned() }
    }

    type Lines = &'static [(&'static str, &'static str)];

    fn bucket(key: Key, lines: Lines) -> Bucket {
        let lines = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        Bucket::of(&mk_share(10, key), &lines.collect::<HeaderMap>(), "192.0.2.1:80".parse().unwrap())
    }

    #[test]
    fn a_key_is_the_one_value_of_its_name() {
        let is = |key: &str| Bucket::Is(mk_share(10, Key::ClientIp).bucket(key.as_bytes()));
        let (header, cookie) = (|| Key::Header("x-user".into()), || Key::Cookie("sid".into()));
        let table: [(Key, Lines, Bucket); 12] = [
            (Key::ClientIp, &[], is("192.0.2.1")),
            (header(), &[("x-user", "a")], is("a")),
            (header(), &[], Bucket::Keyless),
            (header(), &[("x-user", "")], Bucket::Keyless),
            (header(), &[("x-user", "a"), ("x-user", "a")], Bucket::Keyless),
            (cookie(), &[("cookie", "sid=a")], is("a")),
            (cookie(), &[("cookie", "b=c; sid=a;d=e")], is("a")),
            (cookie(), &[("cookie", "b=c"), ("cookie", "sid=a")], is("a")),
            (cookie(), &[("cookie", "xsid=a; sidx=b; SID=c")], Bucket::Keyless),
            (cookie(), &[("cookie", "sid=a; sid=b")], Bucket::Keyless),
            (cookie(), &[("cookie", "sid=a"), ("cookie", "sid=a")], Bucket::Keyless),
            (cookie(), &[("cookie", "sid=")], Bucket::Keyless),
        ];
        for (key, lines, expected) in table {
            assert_eq!(bucket(key.clone(), lines), expected, "{key:?} {lines:?}");
        }
    }

    #[test]
    fn a_tunnel_keeps_its_bucket_while_the_share_grows() {
        let client = "192.0.2.1:80".parse().unwrap();
        let by = |percent| mk_share(percent, Key::Header("x-user".into()));
        let known = Bucket::Is(2_000);
        assert_eq!(known.under(&by(10), &by(25), client), known);
        assert!(!known.is_in(&by(10)) && known.is_in(&by(25)));
        assert_eq!(known.under(&by(10), &by(100), client), known, "so that it is itself again below 100");
        assert!(known.is_in(&by(100)));
        assert_eq!(known.under(&by(10), &Share::ALL, client), Bucket::Unknown);
        assert_eq!(Bucket::Unknown.under(&by(100), &by(10), client), Bucket::Keyless, "refused as before");
        let other = Share { seed: "another".into(), ..by(10) };
        assert_eq!(known.under(&by(10), &other, client), Bucket::Keyless);
        assert!(matches!(known.under(&by(10), &mk_share(10, Key::ClientIp), client), Bucket::Is(_)));
    }
}
