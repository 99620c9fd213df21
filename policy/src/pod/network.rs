//! Networks whose word about the client is believed, in the form of annotation, environment and command line.

use std::net::IpAddr;

pub use ipnet::IpNet;

/// Not a network, or one that is no use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotANetwork {
    /// Neither an address nor a prefix.
    #[error("expected a network, for example 10.0.0.0/8 or fd00::/8")]
    Syntax,
    /// It holds every address: whoever connects could say who they are.
    #[error("a prefix of length 0 would believe everybody")]
    Everybody,
    /// IPv4 in the clothes of IPv6, which no address is compared with.
    #[error("write an IPv4 network as one, for example 10.0.0.0/8")]
    Mapped,
}

/// Reads `ADDRESS/LENGTH`, or an address alone.
pub fn network(text: &str) -> Result<IpNet, NotANetwork> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    let network = text.parse::<IpNet>().or_else(|_| address()).map_err(|_| NotANetwork::Syntax)?;
    if network.addr().is_ipv6() && network.addr().to_canonical().is_ipv4() {
        return Err(NotANetwork::Mapped);
    }
    if network.prefix_len() == 0 { Err(NotANetwork::Everybody) } else { Ok(network.trunc()) }
}

/// Networks with commas in between.
pub fn networks_text(networks: &[IpNet]) -> String {
    networks.iter().map(IpNet::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::network;

    #[test]
    fn a_network_is_a_prefix_or_an_address_and_never_everybody() {
        let table = [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("192.0.2.1", Some("192.0.2.1/32")),
            ("fd00::/8", Some("fd00::/8")),
            ("2001:db8::1", Some("2001:db8::1/128")),
            ("0.0.0.0/0", None),
            ("::/0", None),
            ("::ffff:10.0.0.0/104", None),
            ("10.0.0.0/33", None),
            ("10.0.0/8", None),
            ("10.0.0.0/8 ", None),
            ("localhost", None),
            ("", None),
        ];
        for (text, expected) in table {
            let found = network(text).ok().map(|network| network.to_string());
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
    }
}
