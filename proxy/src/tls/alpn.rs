//! Application protocols of a handshake (RFC 7301): what a client offers, and what is offered and chosen in turn.

use rasp_policy::pod::PortProtocol;

const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";

/// A set of HTTP/1.1 and HTTP/2. Empty: the extension is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alpn {
    /// `http/1.1`
    pub http1: bool,
    /// `h2`
    pub http2: bool,
}

impl Alpn {
    /// HTTP/1.1 alone.
    pub const HTTP1: Self = Self { http1: true, http2: false };
    /// HTTP/2 alone.
    pub const HTTP2: Self = Self { http1: false, http2: true };
    /// Both; HTTP/2 is preferred.
    pub const BOTH: Self = Self { http1: true, http2: true };
    /// The extension is left out.
    pub const NONE: Self = Self { http1: false, http2: false };
    /// Every set.
    pub(super) const ALL: [Self; 4] = [Self::NONE, Self::HTTP1, Self::HTTP2, Self::BOTH];

    /// What of an offer is known here.
    pub fn of<'a>(offered: impl Iterator<Item = &'a [u8]>) -> Self {
        offered.fold(Self::NONE, |known, protocol| Self {
            http1: known.http1 || protocol == HTTP1,
            http2: known.http2 || protocol == HTTP2,
        })
    }

    /// What is offered to clients of an application that is spoken to without TLS and cannot choose itself. HTTP/2 only
    /// where it is declared: the application might not know it.
    pub fn declared(protocol: PortProtocol) -> Self {
        if protocol == PortProtocol::Http2 { Self::BOTH } else { Self::HTTP1 }
    }

    /// What is in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { http1: self.http1 && other.http1, http2: self.http2 && other.http2 }
    }

    /// The names, the preferred one first.
    pub fn names(self) -> Vec<Vec<u8>> {
        let names = [(self.http2, HTTP2), (self.http1, HTTP1)];
        names.into_iter().filter(|(is_in, _)| *is_in).map(|(_, name)| name.to_vec()).collect()
    }

    /// Place in [`Alpn::ALL`].
    pub(super) fn index(self) -> usize {
        usize::from(self.http1) + 2 * usize::from(self.http2)
    }
}

#[cfg(test)]
mod tests {
    use super::Alpn;

    #[test]
    fn unknown_protocols_are_left_out_and_http2_comes_first() {
        let offered: [&[u8]; 4] = [b"http/1.0", b"http/1.1", b"h2", b"h3"];
        assert_eq!(Alpn::of(offered.into_iter()), Alpn::BOTH);
        assert_eq!(Alpn::of(offered.into_iter().take(2)), Alpn::HTTP1);
        assert_eq!(Alpn::of(std::iter::empty()), Alpn::NONE);
        assert_eq!(Alpn::BOTH.names(), [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert!(Alpn::ALL.iter().enumerate().all(|(index, set)| set.index() == index));
    }
}
