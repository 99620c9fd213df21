//! Who has to leave when there is hardly room for one more connection: the oldest connection of the address that has
//! most of them.
//!
//! Anybody in the cluster reaches the listener, because sidecars report to it. A single pod that opened all connections
//! and kept them idle would keep API servers out, and with them every new pod of an `enforced` namespace. So it only
//! crowds out itself. Called by `server`; never looks at what a connection carries.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// An address with at most so many connections never has to leave: API servers keep a few.
const FAIR: usize = 16;

/// Every connection, by address and in the order of their arrival.
#[derive(Default)]
pub(super) struct Crowd(Mutex<Seats>);

#[derive(Default)]
struct Seats {
    next: u64,
    held: HashMap<IpAddr, BTreeMap<u64, CancellationToken>>,
}

/// The place of one connection, given up when it is dropped.
pub(super) struct Seat {
    crowd: Arc<Crowd>,
    peer: IpAddr,
    number: u64,
    leave: CancellationToken,
}

impl Crowd {
    /// Counts a connection of this address.
    pub(super) fn sit(self: &Arc<Self>, peer: IpAddr) -> Seat {
        let (peer, leave) = (peer.to_canonical(), CancellationToken::new());
        let mut seats = self.lock();
        seats.next += 1;
        let number = seats.next;
        seats.held.entry(peer).or_default().insert(number, leave.clone());
        drop(seats);
        Seat { crowd: Arc::clone(self), peer, number, leave }
    }

    /// Makes room for one.
    pub(super) fn thin(&self) {
        let mut seats = self.lock();
        let most = seats.held.iter_mut().max_by_key(|(_, seats)| seats.len());
        let Some((peer, of)) = most.filter(|(_, seats)| seats.len() > FAIR) else { return };
        if let Some((_, leave)) = of.pop_first() {
            tracing::debug!(%peer, connections = of.len(), "the oldest connection of many makes room");
            leave.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Waits until this connection has to leave.
    pub(super) async fn left(&self) {
        self.leave.cancelled().await;
    }

    /// Gives the place up before the connection ends: it takes none from others any more, and has to leave for nobody.
    pub(super) fn give_up(&self) {
        let mut seats = self.crowd.lock();
        let Some(of) = seats.held.get_mut(&self.peer) else { return };
        of.remove(&self.number);
        if of.is_empty() {
            seats.held.remove(&self.peer);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.give_up();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Crowd, FAIR};

    #[test]
    fn whoever_has_most_loses_the_oldest_and_nobody_with_a_few_does() {
        let crowd = Arc::new(Crowd::default());
        let sit = |peer: &str| crowd.sit(peer.parse().unwrap());
        let few: Vec<_> = (0..FAIR).map(|_| sit("10.0.0.1")).collect();
        crowd.thin();
        assert!(few.iter().all(|seat| !seat.leave.is_cancelled()));
        let mut many: Vec<_> = (0..FAIR).map(|_| sit("10.0.0.2")).collect();
        many.push(sit("::ffff:10.0.0.2"));
        crowd.thin();
        let left: Vec<bool> = many.iter().map(|seat| seat.leave.is_cancelled()).collect();
        assert!(left[0] && !left[1..].contains(&true), "the same address in both notations: {left:?}");
        crowd.thin();
        assert_eq!(many.iter().filter(|seat| seat.leave.is_cancelled()).count(), 1, "it has a few now");
        let streams: Vec<_> = (0..2 * FAIR).map(|_| sit("10.0.0.3")).collect();
        streams.iter().for_each(super::Seat::give_up);
        crowd.thin();
        assert!(streams.iter().all(|seat| !seat.leave.is_cancelled()), "they have no place to give up");
        drop((few, many, streams));
        assert!(crowd.lock().held.is_empty());
    }
}
