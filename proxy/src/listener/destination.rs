//! Where a redirected connection was going, and whether the proxy may dial there.
//!
//! The only addresses ever dialled in a pod are the pod's own. Anything else would make the sidecar an open relay, or
//! lead a remote client to something that listens on loopback because only the pod itself should reach it. Where ports of
//! the sidecar's own are served, the pod's author has named the port behind each; it may be bound to loopback, so that
//! nobody gets around the sidecar.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rasp_policy::pod::{self, ServedPorts};
use socket2::SockRef;
use tokio::net::TcpStream;

use crate::reason::Kind;

/// Ports of the proxy itself; dialling them would loop.
const OWN_PORTS: [u16; 3] = [pod::INBOUND_PORT, pod::OUTBOUND_PORT, pod::ADMIN_PORT];

/// Why a connection has no destination.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The connection was not redirected.
    #[error("the kernel names no original destination")]
    NotRedirected(#[source] io::Error),
    /// The address is not one of the pod's.
    #[error("the original destination is not an address of this pod")]
    ForeignAddress,
    /// The port is one of the proxy's.
    #[error("the original destination is a port of the proxy")]
    OwnPort,
}

impl Refusal {
    /// Metric label.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotRedirected(_) => Kind::OriginalDestination,
            Self::ForeignAddress | Self::OwnPort => Kind::Destination,
        }
    }
}

/// Asks the kernel where a connection was going before it was redirected.
pub fn original(stream: &TcpStream, peer: SocketAddr) -> io::Result<SocketAddr> {
    let socket = SockRef::from(stream);
    let address = match peer.ip().to_canonical() {
        IpAddr::V4(_) => socket.original_dst_v4()?,
        IpAddr::V6(_) => socket.original_dst_v6()?,
    };
    address.as_socket().ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))
}

/// Finds where to dial for a redirected connection.
pub fn find(stream: &TcpStream, peer: SocketAddr, pod_ips: &[IpAddr]) -> Result<SocketAddr, Refusal> {
    check(original(stream, peer).map_err(Refusal::NotRedirected)?, pod_ips)
}

/// The application's port behind the port of the sidecar that was dialled, at the address that was dialled.
pub fn behind(stream: &TcpStream, served: &ServedPorts) -> Option<SocketAddr> {
    let dialled = stream.local_addr().ok()?;
    Some(SocketAddr::new(dialled.ip().to_canonical(), served.behind(dialled.port())?))
}

/// Lets only addresses of the pod pass, on ports that are not the proxy's.
pub fn check(destination: SocketAddr, pod_ips: &[IpAddr]) -> Result<SocketAddr, Refusal> {
    let ip = destination.ip().to_canonical();
    if ip.is_loopback() || !pod_ips.iter().any(|own| own.to_canonical() == ip) {
        return Err(Refusal::ForeignAddress);
    }
    if OWN_PORTS.contains(&destination.port()) {
        return Err(Refusal::OwnPort);
    }
    Ok(SocketAddr::new(ip, destination.port()))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use super::check;

    #[test]
    fn dials_only_the_pod_itself_and_never_itself_again() {
        let own: Vec<IpAddr> = ["10.0.0.7", "fd00::7"].iter().map(|ip| ip.parse().unwrap()).collect();
        let table = [
            ("10.0.0.7:8080", Some("10.0.0.7:8080")),
            ("[::ffff:10.0.0.7]:8080", Some("10.0.0.7:8080")),
            ("[fd00::7]:80", Some("[fd00::7]:80")),
            ("10.0.0.8:8080", None),
            ("127.0.0.1:8080", None),
            ("[::1]:8080", None),
            ("[::ffff:127.0.0.1]:8080", None),
            ("169.254.169.254:80", None),
            ("10.0.0.7:16143", None),
            ("10.0.0.7:16140", None),
            ("[fd00::7]:16191", None),
        ];
        for (destination, expected) in table {
            let found = check(destination.parse().unwrap(), &own).ok();
            assert_eq!(found, expected.map(|text| text.parse::<SocketAddr>().unwrap()), "{destination}");
        }
        let loopback: Vec<IpAddr> = vec!["127.0.0.1".parse().unwrap()];
        assert!(check("127.0.0.1:80".parse().unwrap(), &loopback).is_err(), "not even when told so");
    }
}
