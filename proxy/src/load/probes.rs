//! Places for probes of the kubelet beside those of other requests, so that an overload does not become a restart.
//!
//! Whoever can reach the pod can send what looks like a probe, so the places are few, and fewer still for one peer: the
//! kubelet, which asks from the node's address, keeps its own. Never asked while there is room for requests.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Probes of one peer at once. The kubelet asks each container for at most two things at a time.
const EACH: usize = 16;
/// Probes of all peers at once.
const ALL: usize = 64;

/// How many probes of each peer are being served. No peer has zero.
#[derive(Debug, Default)]
pub(super) struct Probes(Mutex<HashMap<IpAddr, usize>>);

/// A probe that is being served, until it is dropped.
#[derive(Debug)]
pub(super) struct Probe {
    probes: Arc<Probes>,
    peer: IpAddr,
}

impl Probes {
    /// A probe begins; `None` where there is no place for one more.
    pub(super) fn begin(probes: &Arc<Self>, peer: IpAddr) -> Option<Probe> {
        let mut served = probes.served();
        let all: usize = served.values().sum();
        let own = served.get(&peer).copied().unwrap_or(0);
        if all >= ALL || own >= EACH {
            return None;
        }
        served.insert(peer, own + 1);
        Some(Probe { probes: Arc::clone(probes), peer })
    }

    fn served(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let mut served = self.probes.served();
        if let Some(own) = served.get_mut(&self.peer) {
            *own -= 1;
            if *own == 0 {
                served.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    use super::{ALL, EACH, Probes};

    #[test]
    fn one_peer_cannot_take_the_places_of_another_and_all_cannot_take_more_than_there_are() {
        let probes = Arc::new(Probes::default());
        let peer = |number: u8| IpAddr::from(Ipv4Addr::new(10, 0, 0, number));
        let begin = |number| Probes::begin(&probes, peer(number));
        let flood: Vec<_> = (0..100).map_while(|_| begin(1)).collect();
        assert_eq!(flood.len(), EACH);
        assert!(begin(2).is_some(), "somebody else");
        let crowd: Vec<_> = (2..100).filter_map(begin).collect();
        assert_eq!(flood.len() + crowd.len(), ALL);
        assert!(begin(200).is_none());
        drop((flood, crowd));
        assert!(begin(1).is_some(), "given back");
        assert!(probes.served().is_empty());
    }
}
