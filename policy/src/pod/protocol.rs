//! What a port of a pod is declared to speak, in the words of annotation, environment and command line.
//!
//! Injection writes the declarations, the sidecar obeys them; both read the words here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::str::FromStr;

/// What a port is declared to speak.
///
/// In the order of strictness: of two declarations for one port the first holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortProtocol {
    /// HTTP/1 only.
    Http1,
    /// HTTP/2 with prior knowledge only, which is what gRPC speaks.
    Http2,
    /// HTTP/1 or HTTP/2, told by the preface. Anything else is refused.
    Http,
    /// Nothing is declared: told by the first bytes.
    #[default]
    Detect,
    /// TLS that ends in the application. What is no TLS is told by its first bytes.
    Tls,
    /// Relayed without inspection from the first byte on, so that the server may speak first.
    Opaque,
}

/// Each word that declares a protocol; the first of a protocol is the one that is written.
const WORDS: [(&str, PortProtocol); 9] = [
    ("http", PortProtocol::Http),
    ("http1", PortProtocol::Http1),
    ("http2", PortProtocol::Http2),
    ("grpc", PortProtocol::Http2),
    ("tls", PortProtocol::Tls),
    ("https", PortProtocol::Tls),
    ("opaque", PortProtocol::Opaque),
    ("tcp", PortProtocol::Opaque),
    ("detect", PortProtocol::Detect),
];

impl PortProtocol {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        WORDS.iter().find(|(_, protocol)| *protocol == self).map_or("", |(word, _)| word)
    }

    /// Whether the port speaks HTTP and nothing else.
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Http1 | Self::Http2)
    }

    /// What the name of a container port says, by the convention of Istio: `PROTOCOL` or `PROTOCOL-ANYTHING`.
    ///
    /// A name is less than a declaration. One that says HTTP of any version allows every version, since each is
    /// inspected. `tcp` says nothing that the first bytes do not say better: many a port that speaks HTTP is called so.
    pub fn of_name(name: &str) -> Self {
        match name.split('-').next().unwrap_or_default() {
            "http" | "http2" | "h2c" | "grpc" => Self::Http,
            "https" | "tls" => Self::Tls,
            "mysql" | "mongo" | "redis" => Self::Opaque,
            _ => Self::Detect,
        }
    }
}

/// No such word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use detect, http, http1, http2, grpc, tls, https, opaque or tcp")]
pub struct UnknownProtocol;

impl FromStr for PortProtocol {
    type Err = UnknownProtocol;

    fn from_str(word: &str) -> Result<Self, UnknownProtocol> {
        WORDS.iter().find(|(known, _)| *known == word).map(|(_, protocol)| *protocol).ok_or(UnknownProtocol)
    }
}

/// The declarations of a pod. A port that is not in it is [`PortProtocol::Detect`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortProtocols(BTreeMap<u16, PortProtocol>);

impl PortProtocols {
    /// What a port is declared to speak.
    pub fn of(&self, port: u16) -> PortProtocol {
        self.0.get(&port).copied().unwrap_or_default()
    }

    /// Declares a port, whatever was declared for it before.
    pub fn declare(&mut self, port: u16, protocol: PortProtocol) {
        self.0.insert(port, protocol);
    }

    /// Whether every declaration here is made there as well.
    pub fn is_part_of(&self, other: &Self) -> bool {
        self.0.iter().all(|(port, protocol)| other.of(*port) == *protocol)
    }

    /// `PORT=PROTOCOL` with commas in between, in the order of the ports; what is to be detected is left out.
    pub fn to_text(&self) -> String {
        let declared = self.0.iter().filter(|(_, protocol)| **protocol != PortProtocol::Detect);
        declared.fold(String::new(), |mut text, (port, protocol)| {
            let comma = if text.is_empty() { "" } else { "," };
            let _ = write!(text, "{comma}{port}={}", protocol.as_str());
            text
        })
    }
}

/// Not a list of `PORT=PROTOCOL`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}: expected PORT=PROTOCOL, for example 8080=http")]
pub struct Invalid(String);

impl FromStr for PortProtocols {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut ports = Self::default();
        for element in text.split(',').map(str::trim).filter(|element| !element.is_empty()) {
            let parsed = element.split_once('=').and_then(|(port, protocol)| {
                Some((port.parse().ok().filter(|port| *port != 0)?, protocol.parse().ok()?))
            });
            let (port, protocol) = parsed.ok_or_else(|| Invalid(element.to_owned()))?;
            ports.declare(port, protocol);
        }
        Ok(ports)
    }
}

#[cfg(test)]
mod tests {
    use super::{PortProtocol, PortProtocols, WORDS};

    #[test]
    fn what_injection_writes_the_sidecar_reads() {
        let text = "25=opaque,80=http,81=http1,443=tls,9000=http2";
        let ports: PortProtocols = text.parse().unwrap();
        assert_eq!(ports.to_text(), text);
        assert_eq!((ports.of(81), ports.of(82)), (PortProtocol::Http1, PortProtocol::Detect));
        assert_eq!("9000=grpc, 80=detect".parse::<PortProtocols>().unwrap().to_text(), "9000=http2");
        assert_eq!("".parse(), Ok(PortProtocols::default()));
        for wrong in ["80", "80=", "=http", "0=http", "80=HTTP", "80=http=1", "70000=http", "-1=tls"] {
            assert!(wrong.parse::<PortProtocols>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_protocol_is_written_as_a_word_that_is_read_as_the_same() {
        for (word, protocol) in WORDS {
            assert_eq!(word.parse(), Ok(protocol), "{word}");
            assert_eq!(protocol.as_str().parse(), Ok(protocol), "{word}");
        }
    }

    #[test]
    fn a_name_that_says_http_allows_every_version_and_one_that_says_nothing_is_detected() {
        let table = [
            ("http", PortProtocol::Http),
            ("http-metrics", PortProtocol::Http),
            ("http2", PortProtocol::Http),
            ("grpc", PortProtocol::Http),
            ("grpc-web", PortProtocol::Http),
            ("https", PortProtocol::Tls),
            ("tls-admin", PortProtocol::Tls),
            ("mysql", PortProtocol::Opaque),
            ("redis-sentinel", PortProtocol::Opaque),
            ("tcp", PortProtocol::Detect),
            ("tcp-http", PortProtocol::Detect),
            ("httpd", PortProtocol::Detect),
            ("metrics", PortProtocol::Detect),
            ("", PortProtocol::Detect),
        ];
        for (name, expected) in table {
            assert_eq!(PortProtocol::of_name(name), expected, "{name}");
        }
    }
}
