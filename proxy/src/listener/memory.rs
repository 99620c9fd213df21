//! How much the memory limit of the container leaves room for: connections, and bodies that are held.
//!
//! A process that outgrows its limit is killed, and every connection with it; one that makes clients wait is not.
//! `room` is pure. Called once, at the start.

use std::path::Path;

use super::MAX_CONNECTIONS;

/// Bodies without a limit of memory, or with a large one.
const MAX_BODIES: usize = 64 << 20;
const MIN_BODIES: usize = 1 << 20;
const MIN_CONNECTIONS: usize = 64;
/// An idle connection takes an eighth of this, a busy one a third; the rest is for what it and all others buffer.
const CONNECTION: u64 = 128 << 10;
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
    let share = |part: u64| limit.and_then(|bytes| usize::try_from(bytes / part).ok()).unwrap_or(usize::MAX);
    Room {
        connections: share(CONNECTION).clamp(MIN_CONNECTIONS, MAX_CONNECTIONS),
        bodies: share(BODIES_SHARE).clamp(MIN_BODIES, MAX_BODIES),
    }
}

/// The room in the container that this process runs in.
pub fn here() -> Room {
    room(limit(Path::new("/sys/fs/cgroup")))
}

/// The memory limit of version 2 or 1 of control groups. Version 2 says `max` where there is none.
fn limit(control_group: &Path) -> Option<u64> {
    ["memory.max", "memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|file| std::fs::read_to_string(control_group.join(file)).ok()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::{Room, limit, room};

    #[test]
    fn the_memory_limit_bounds_connections_and_held_bodies() {
        let table = [
            (None, 10_000, 64 << 20),
            (Some(0), 64, 1 << 20),
            (Some(32 << 20), 256, 8 << 20),
            (Some(128 << 20), 1024, 32 << 20),
            (Some(256 << 20), 2048, 64 << 20),
            (Some(8 << 30), 10_000, 64 << 20),
            // What version 1 says where there is no limit.
            (Some(9_223_372_036_854_771_712), 10_000, 64 << 20),
        ];
        for (limit, connections, bodies) in table {
            assert_eq!(room(limit), Room { connections, bodies }, "{limit:?}");
        }
    }

    #[test]
    fn the_limit_of_either_version_is_read() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(limit(directory.path()), None);
        std::fs::create_dir(directory.path().join("memory")).unwrap();
        std::fs::write(directory.path().join("memory/memory.limit_in_bytes"), "134217728\n").unwrap();
        assert_eq!(limit(directory.path()), Some(128 << 20));
        std::fs::remove_dir_all(directory.path().join("memory")).unwrap();
        std::fs::write(directory.path().join("memory.max"), "max\n").unwrap();
        assert_eq!(limit(directory.path()), None);
        std::fs::write(directory.path().join("memory.max"), "268435456\n").unwrap();
        assert_eq!(limit(directory.path()), Some(256 << 20));
    }
}
