//! Tells which ports of the application can be reached around the sidecar, where no packet rules lead to it: those on
//! which something listens on more than loopback.
//!
//! Reads the kernel's tables of sockets and dials nothing: a connection of ours would be one that the application has to
//! answer. Called by the sidecar beside its reports.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tokio::sync::watch;

/// How often the tables are read.
const INTERVAL: Duration = Duration::from_secs(5);
/// The sockets of the pod's network namespace, whosever they are.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
/// `TCP_LISTEN` of the kernel's `include/net/tcp_states.h`, as the tables have it.
const LISTEN: &str = "0A";

/// Watches ports of the application.
pub(super) struct Around {
    ports: Vec<u16>,
    reachable: watch::Sender<Vec<u16>>,
}

impl Around {
    /// Looks once, and gives what will be told of later looks.
    pub(super) fn of(ports: Vec<u16>) -> (Self, watch::Receiver<Vec<u16>>) {
        let (reachable, told) = watch::channel(look(&ports));
        (Self { ports, reachable }, told)
    }

    /// Looks until the process ends.
    pub(super) async fn watch(self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let found = look(&self.ports);
            self.reachable.send_if_modified(|known| {
                let changed = *known != found;
                if changed {
                    tracing::warn!(ports = ?found, "reachable around the sidecar");
                    *known = found;
                }
                changed
            });
        }
    }
}

/// The ports of these that are reachable, in order. A table that cannot be read proves nothing, so that every port counts.
fn look(ports: &[u16]) -> Vec<u16> {
    let mut listening = Vec::new();
    for table in TABLES {
        match File::open(table) {
            Ok(file) => listening.extend(listening_in(BufReader::new(file))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && table.ends_with('6') => {} // no IPv6
            Err(_) => listening.extend(ports),
        }
    }
    let mut found: Vec<u16> = ports.iter().copied().filter(|port| listening.contains(port)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Ports on which something listens on more than loopback. The kernel lists listening sockets before all others, so that
/// thousands of connections are not read.
fn listening_in(table: impl BufRead) -> Vec<u16> {
    let rows = table.lines().skip(1).map_while(Result::ok);
    let sockets = rows.map_while(|row| {
        let mut fields = row.split_ascii_whitespace().skip(1);
        let local = fields.next()?.to_owned();
        (fields.nth(1)? == LISTEN).then_some(local)
    });
    sockets
        .filter_map(|local| address(&local))
        .filter(|(ip, _)| !ip.is_loopback())
        .map(|(_, port)| port)
        .collect()
}

/// `0100007F:1F90`: words of the address as the machine stores them, and the port.
fn address(field: &str) -> Option<(IpAddr, u16)> {
    let (ip, port) = field.split_once(':')?;
    let mut bytes = [0; 16];
    for (index, place) in bytes.chunks_exact_mut(4).enumerate() {
        let Some(word) = ip.get(index * 8..index * 8 + 8) else { break };
        place.copy_from_slice(&u32::from_str_radix(word, 16).ok()?.to_ne_bytes());
    }
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(*bytes.first_chunk::<4>()?)),
        32 => IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical(),
        _ => return None,
    };
    Some((ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::{Around, address, listening_in, look};

    #[test]
    fn a_port_is_reachable_when_something_listens_on_more_than_loopback() {
        let bind = |ip: &str| TcpListener::bind((ip, 0)).unwrap();
        let (all, loopback, dual) = (bind("0.0.0.0"), bind("127.0.0.2"), bind("::"));
        let port = |socket: &TcpListener| socket.local_addr().unwrap().port();
        let closed = { port(&bind("127.0.0.1")) };
        let mut expected = vec![port(&all), port(&dual)];
        expected.sort_unstable();
        let asked = [port(&all), port(&loopback), port(&dual), closed, port(&all)];
        assert_eq!(look(&asked), expected);
        assert_eq!(*Around::of(asked.to_vec()).1.borrow(), expected);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn addresses_are_read_as_the_kernel_writes_them() {
        let table = [
            ("0100007F:1F90", "127.0.0.1", 8080),
            ("00000000:0050", "0.0.0.0", 80),
            ("0700000A:1F90", "10.0.0.7", 8080),
            ("00000000000000000000000001000000:0001", "::1", 1),
            ("0000000000000000FFFF00000100007F:0001", "127.0.0.1", 1),
            ("B80D01FD000000000000000001000000:0001", "fd01:db8::1", 1),
        ];
        for (field, ip, port) in table {
            assert_eq!(address(field), Some((ip.parse().unwrap(), port)), "{field}");
        }
        for wrong in ["", ":", "0100007F", "0100007:1", "0100007G:1", "0100007F:10000", "é00007F:1"] {
            assert_eq!(address(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn nothing_is_read_beyond_the_listening_sockets() {
        let table = "  sl  local_address rem_address   st tx_queue\n   \
            0: 00000000:1F90 00000000:0000 0A 00000000:00000000\n   \
            1: 0100007F:1F91 00000000:0000 0A 00000000:00000000\n   \
            2: 0700000A:1F92 0800000A:0050 01 00000000:00000000\n   \
            3: 00000000:1F93 00000000:0000 0A 00000000:00000000\n";
        assert_eq!(listening_in(table.as_bytes()), [8080]);
        assert!(listening_in("".as_bytes()).is_empty());
    }
}
