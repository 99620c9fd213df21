//! How much the memory limit of the container leaves room for: connections, and bodies that are held.
//!
//! A process that outgrows its limit is killed, and every connection with it; one that makes clients wait is not.
//! `room` is pure. Called once, at the start.

use super::MAX_CONNECTIONS;
use crate::load::pressure::Group;

/// Bodies without a limit of memory, or with a large one.
const MAX_BODIES: usize = 64 << 20;
const MIN_BODIES: usize = 1 << 20;
const MIN_CONNECTIONS: usize = 64;
/// An idle connection takes an eighth of this, a busy one a third; the rest is for what it and all others buffer.
const CONNECTION: u64 = 128 << 10;
/// What the process takes before anybody is served, with its policy and the tables of the detectors.
const AT_REST: u64 = 16 << 20;
/// A held body takes up to twice its length while its buffer grows, and it gets half of the memory.
const BODIES_SHARE: u64 = 4;

/// What there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Connections at once.
    pub connections: usize,
    /// Bytes of held and copied bodies.
    pub bodies: usize,
}

/// The room that a limit of so many bytes leaves.
pub fn room(limit: Option<u64>) -> Room {
    let left = limit.map(|bytes| bytes.saturating_sub(AT_REST));
    let share = |part: u64| left.and_then(|bytes| usize::try_from(bytes / part).ok()).unwrap_or(usize::MAX);
    Room {
        connections: share(CONNECTION).clamp(MIN_CONNECTIONS, MAX_CONNECTIONS),
        bodies: share(BODIES_SHARE).clamp(MIN_BODIES, MAX_BODIES),
    }
}

/// The room in the container that this process runs in.
pub fn here() -> Room {
    room(Group::of_this_process().map(|group| group.limit))
}

#[cfg(test)]
mod tests {
    use super::{Room, room};

    #[test]
    fn the_memory_limit_bounds_connections_and_held_bodies() {
        let table = [
            (None, 10_000, 64 << 20),
            (Some(0), 64, 1 << 20),
            (Some(32 << 20), 128, 4 << 20),
            (Some(128 << 20), 896, 28 << 20),
            (Some(256 << 20), 1920, 60 << 20),
            (Some(8 << 30), 10_000, 64 << 20),
        ];
        for (limit, connections, bodies) in table {
            assert_eq!(room(limit), Room { connections, bodies }, "{limit:?}");
        }
    }
}
