//! Which requests are in the share that `spec.enforcement` blocks. Pure, and the same in every version and on every
//! replica: a client that was in the share stays in it while the policy lives, also when the share grows. Outside of the
//! share Block is Monitor ([`crate::api::Mode::in_share`]).
//!
//! The bucket of a request is `SHA-256(uid, 0x00, key)`, its first eight bytes as a number (big-endian), modulo 10000. It is
//! blocked where the bucket is less than `percent * 100`. `uid` is that of the policy that decided `enforcement`.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv6Addr};

use sha2::{Digest as _, Sha256};

use crate::api::{Enforcement, HashOn};

/// Number of buckets.
pub const BUCKETS: u16 = 10_000;

/// What is in force of `spec.enforcement`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Clients of a hundred for which Block is in force, at most 100.
    pub percent: u8,
    /// What they are told apart by.
    pub key: Key,
    /// UID of the policy that decided, so that two policies do not block the same clients first.
    pub seed: String,
}

/// What clients are told apart by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The address of the client.
    ClientIp,
    /// The value of the header of this name, in lower case.
    Header(String),
    /// The value of the cookie of this name.
    Cookie(String),
}

impl Share {
    /// All requests: the built-in default.
    pub const ALL: Self = Self { percent: 100, key: Key::ClientIp, seed: String::new() };

    /// What a policy with this UID asks for.
    pub fn of(enforcement: &Enforcement, uid: &str) -> Self {
        let name = |name: &Option<String>| name.clone().unwrap_or_default(); // one without is refused by `check`
        Self {
            percent: u8::try_from(enforcement.at().clamp(0, 100)).unwrap_or(100),
            key: match enforcement.hash_on {
                None | Some(HashOn::ClientIp) => Key::ClientIp,
                Some(HashOn::Header) => Key::Header(name(&enforcement.header).to_ascii_lowercase()),
                Some(HashOn::Cookie) => Key::Cookie(name(&enforcement.cookie)),
            },
            seed: uid.to_owned(),
        }
    }

    /// The same as people write it, without the UID.
    pub fn written(&self) -> Enforcement {
        let (hash_on, header, cookie) = match &self.key {
            Key::ClientIp => (HashOn::ClientIp, None, None),
            Key::Header(name) => (HashOn::Header, Some(name.clone()), None),
            Key::Cookie(name) => (HashOn::Cookie, None, Some(name.clone())),
        };
        Enforcement {
            percent: Some(self.percent.into()),
            rollout: None,
            hash_on: Some(hash_on),
            header,
            cookie,
        }
    }

    /// Whether no request is left out, so that nobody needs a bucket.
    pub fn is_all(&self) -> bool {
        self.percent >= 100
    }

    /// Whether buckets of the other are buckets of this one.
    pub fn has_buckets_of(&self, other: &Self) -> bool {
        self.key == other.key && self.seed == other.seed
    }

    /// Whether Block is in force for a request of this bucket. Without a key it is: leaving the key away must not be a way
    /// past. At 0 it is for nobody.
    pub fn contains(&self, bucket: Option<u16>) -> bool {
        let end = u16::from(self.percent) * (BUCKETS / 100);
        self.percent > 0 && bucket.is_none_or(|bucket| bucket < end)
    }

    /// The bucket of a value of the key, less than [`BUCKETS`].
    pub fn bucket(&self, key: &[u8]) -> u16 {
        let mut keyed = Keyed::new(&self.seed);
        keyed.0.update(key);
        keyed.bucket()
    }

    /// The bucket of a client: of its address as text, of IPv6 that of its network of 64 bits, since a client has all
    /// addresses of that.
    pub fn bucket_of(&self, client: IpAddr) -> u16 {
        let client = match client.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
            address @ IpAddr::V4(_) => address,
        };
        let mut keyed = Keyed::new(&self.seed);
        let _ = write!(keyed, "{client}"); // a hash takes all that is written to it
        keyed.bucket()
    }
}

/// The hash of a seed and of what is written to it, without memory of its own.
struct Keyed(Sha256);

impl Keyed {
    fn new(seed: &str) -> Self {
        Self(Sha256::new().chain_update(seed).chain_update([0]))
    }

    fn bucket(self) -> u16 {
        let digest = self.0.finalize();
        let number = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        u16::try_from(number % u64::from(BUCKETS)).unwrap_or(0)
    }
}

impl fmt::Write for Keyed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text);
        Ok(())
    }
}

impl Key {
    /// In words, for people.
    pub fn describe(&self) -> String {
        match self {
            Self::ClientIp => "client address".to_owned(),
            Self::Header(name) => format!("header {name}"),
            Self::Cookie(name) => format!("cookie {name}"),
        }
    }

    /// Whether clients choose it freely, and by it whether they are blocked.
    pub fn is_chosen_by_clients(&self) -> bool {
        *self != Self::ClientIp
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.write_str("all requests");
        }
        write!(f, "{} % of requests, by {}", self.percent, self.key.describe())
    }
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, Key, Share};

    fn mk_share(percent: u8) -> Share {
        Share { percent, key: Key::ClientIp, seed: "0b9cb1c2".to_owned() }
    }

    #[test]
    fn a_bucket_is_the_same_in_every_version() {
        // printf '0b9cb1c2\0KEY' | sha256sum | cut -c1-16, then modulo 10000
        for (key, bucket) in [("192.0.2.1", 8372), ("2001:db8:1:2::", 366), ("alice", 1191)] {
            assert_eq!(mk_share(10).bucket(key.as_bytes()), bucket, "{key}");
        }
    }

    #[test]
    fn the_addresses_of_one_client_are_in_one_bucket() {
        let of = |address: &str| mk_share(10).bucket_of(address.parse().unwrap());
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::9"));
        assert_eq!(of("2001:db8:1:2::9"), mk_share(10).bucket(b"2001:db8:1:2::"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn a_smaller_share_lies_within_a_larger_one() {
        for bucket in 0..BUCKETS {
            let blocked: Vec<u8> =
                (0..=100).filter(|&percent| mk_share(percent).contains(Some(bucket))).collect();
            let first = u8::try_from(bucket / 100 + 1).unwrap();
            assert_eq!(blocked, (first..=100).collect::<Vec<_>>(), "{bucket}");
        }
        assert!(mk_share(1).contains(None) && !mk_share(0).contains(None));
    }

    #[test]
    fn two_policies_do_not_block_the_same_clients_first() {
        let other = Share { seed: "another".into(), ..mk_share(50) };
        let both = (0..1000_u16).map(|n| n.to_string()).filter(|key| {
            let blocks = |share: &Share| share.contains(Some(share.bucket(key.as_bytes())));
            blocks(&mk_share(50)) && blocks(&other)
        });
        assert!((200..300).contains(&both.count()), "about a quarter");
    }
}
