//! How much of the memory limit of the container is used, and what is given up because of it.
//!
//! | used | level | what is given up |
//! |---|---|---|
//! | 85 % | `Saving` | idle connections, keep-alive, large bodies that would be held |
//! | 92 % | `Refusing` | new requests: 503 with `Retry-After` |
//! | 95 % | `Closed` | new connections: they wait in the kernel |
//!
//! After ten seconds with a handful of connections it is `Saving` at most, whatever is used: the allocator keeps what a
//! crowd left behind, gives nothing back while nothing allocates, and serves the next ones from it. Otherwise nobody would
//! be served again.
//!
//! A process that outgrows its limit is killed, and every connection with it. Measured four times a second by the main
//! thread; the data path reads one byte. Without a limit nothing is measured.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

/// How often memory is measured: a 64 MiB container is filled by 1 Gbit/s in half a second.
const INTERVAL: Duration = Duration::from_millis(250);
/// Per cent; a level is left when so much less than its threshold is used, so that it does not flap.
const HYSTERESIS: u64 = 5;
/// So many connections are no crowd.
const FEW: usize = 16;
/// Measurements without a crowd after which what is used is what one left behind: ten seconds.
const QUIET: u32 = 40;

/// How short memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Enough.
    #[default]
    Normal,
    /// From 85 %: what is idle is given up.
    Saving,
    /// From 92 %: new requests are refused.
    Refusing,
    /// From 95 %: new connections wait.
    Closed,
}

impl Level {
    /// Every level above normal, with the per cent at which it begins.
    pub const STEPS: [(Self, u64); 3] = [(Self::Saving, 85), (Self::Refusing, 92), (Self::Closed, 95)];

    /// Log field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Saving => "saving",
            Self::Refusing => "refusing",
            Self::Closed => "closed",
        }
    }

    /// The level at so many per cent, coming from another one. Pure.
    fn at(self, used: u64) -> Self {
        let reached = |(level, threshold): &(Self, u64)| {
            used >= if *level <= self { threshold - HYSTERESIS } else { *threshold }
        };
        Self::STEPS.iter().rev().find(|step| reached(step)).map_or(Self::Normal, |(level, _)| *level)
    }
}

/// The level of this moment.
#[derive(Debug, Default)]
pub struct Pressure {
    level: AtomicU8,
    idle: Notify,
    /// Places of connections, and how many there are.
    places: OnceLock<(Arc<Semaphore>, usize)>,
}

impl Pressure {
    /// The level of this moment.
    pub fn level(&self) -> Level {
        match self.level.load(Ordering::Relaxed) {
            0 => Level::Normal,
            1 => Level::Saving,
            2 => Level::Refusing,
            _ => Level::Closed,
        }
    }

    /// Whether what is idle is given up.
    pub fn is_saving(&self) -> bool {
        self.level() >= Level::Saving
    }

    /// Resolves for every connection when memory becomes short, and for the one that has waited longest when another
    /// one needs its place.
    pub async fn idle_is_given_up(&self) {
        self.idle.notified().await;
    }

    /// One connection should end when it is idle: another one waits for its place.
    pub fn make_room(&self) {
        self.idle.notify_one();
    }

    /// Where connections will take their places, all of which are free.
    pub fn counts(&self, places: &Arc<Semaphore>) {
        let _ = self.places.set((Arc::clone(places), places.available_permits()));
    }

    /// Whether hardly anybody is served.
    fn is_quiet(&self) -> bool {
        self.places.get().is_some_and(|(free, count)| count.saturating_sub(free.available_permits()) <= FEW)
    }

    /// What follows from so many per cent. `quiet` counts the measurements of short memory without a crowd.
    fn judge(&self, used: u64, quiet: &mut u32) -> Level {
        let level = self.level().at(used);
        *quiet = if level > Level::Saving && self.is_quiet() { quiet.saturating_add(1) } else { 0 };
        if *quiet > QUIET { Level::Saving } else { level }
    }

    /// Changes the level.
    pub fn set(&self, level: Level) {
        let before = self.level();
        self.level.store(level as u8, Ordering::Relaxed);
        if before < level {
            self.idle.notify_waiters();
        }
        if before != level {
            tracing::warn!(from = before.as_str(), to = level.as_str(), "memory pressure changes");
        }
    }

    /// Measures until the process ends; returns at once where there is no limit.
    pub async fn watch(self: Arc<Self>) {
        let Some(group) = Group::of_this_process() else { return };
        let mut pause = tokio::time::interval(INTERVAL);
        pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut quiet = 0;
        loop {
            pause.tick().await;
            if let Some(used) = group.used() {
                self.set(self.judge(used.saturating_mul(100) / group.limit, &mut quiet));
            }
        }
    }
}

/// A control group with a limit of memory, of version 2 or 1.
#[derive(Debug)]
pub struct Group {
    /// Bytes; never 0.
    pub limit: u64,
    directory: PathBuf,
    version: &'static Version,
}

#[derive(Debug)]
struct Version {
    limit: &'static str,
    usage: &'static str,
    inactive: &'static str,
}

static VERSIONS: [(&str, Version); 2] = [
    ("", Version { limit: "memory.max", usage: "memory.current", inactive: "inactive_file " }),
    (
        "memory",
        Version {
            limit: "memory.limit_in_bytes",
            usage: "memory.usage_in_bytes",
            inactive: "total_inactive_file ",
        },
    ),
];

/// What version 1 says where there is no limit is close to 2^63.
const UNLIMITED: u64 = 1 << 60;

impl Group {
    /// The one of this process. Inside of a container its path is the root; outside it is in /proc.
    pub fn of_this_process() -> Option<Self> {
        let paths = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::find(Path::new("/sys/fs/cgroup"), &paths)
    }

    fn find(root: &Path, paths: &str) -> Option<Self> {
        VERSIONS.iter().find_map(|(controller, version)| {
            let own = paths.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let named = parts.next()?.split(',').any(|name| name == *controller);
                parts.next().filter(|_| named)
            });
            let base = root.join(controller);
            let own = own.map(|path| base.join(path.trim_start_matches('/')));
            own.into_iter().chain([base]).find_map(|directory| {
                let limit = std::fs::read_to_string(directory.join(version.limit)).ok()?;
                let limit = limit.trim().parse().ok().filter(|limit| (1..UNLIMITED).contains(limit))?;
                Some(Self { limit, directory, version })
            })
        })
    }

    /// Bytes that cannot be given back by dropping files that were read; of this process alone where the group does
    /// not tell.
    pub fn used(&self) -> Option<u64> {
        let read = |file: &str| std::fs::read_to_string(self.directory.join(file)).ok();
        let Some(usage) = read(self.version.usage).and_then(|text| text.trim().parse::<u64>().ok()) else {
            return resident();
        };
        let stat = read("memory.stat").unwrap_or_default();
        let inactive =
            stat.lines().find_map(|line| line.strip_prefix(self.version.inactive)?.trim().parse().ok());
        Some(usage.saturating_sub(inactive.unwrap_or(0)))
    }
}

/// Resident memory of this process.
fn resident() -> Option<u64> {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * u64::try_from(rustix::param::page_size()).ok()?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::{Group, Level, Pressure, QUIET, resident};

    #[test]
    fn a_level_begins_at_its_threshold_and_ends_well_below_it() {
        use Level::{Closed, Normal, Refusing, Saving};
        let table = [
            (Normal, 84, Normal),
            (Normal, 85, Saving),
            (Normal, 92, Refusing),
            (Normal, 99, Closed),
            (Saving, 80, Saving),
            (Saving, 79, Normal),
            (Refusing, 87, Refusing),
            (Refusing, 86, Saving),
            (Closed, 90, Closed),
            (Closed, 89, Refusing),
            (Closed, 10, Normal),
        ];
        for (before, used, expected) in table {
            assert_eq!(before.at(used), expected, "{before:?} at {used} %");
        }
    }

    #[test]
    fn what_a_crowd_left_behind_keeps_nobody_out_when_it_is_gone() {
        let pressure = Pressure::default();
        let places = Arc::new(Semaphore::new(100));
        pressure.counts(&places);
        let crowd = Arc::clone(&places).try_acquire_many_owned(17).unwrap();
        let mut quiet = 0;
        let mut after = |ticks: u32| {
            for _ in 0..ticks {
                pressure.set(pressure.judge(96, &mut quiet));
            }
            pressure.level()
        };
        assert_eq!(after(1_000), Level::Closed);
        drop(crowd);
        let few = places.try_acquire_many(16).unwrap();
        assert_eq!((after(QUIET), after(1)), (Level::Closed, Level::Saving));
        drop(few);
        assert_eq!(after(1_000), Level::Saving);
        let _crowd = places.try_acquire_many(17).unwrap();
        assert_eq!(after(1), Level::Closed);
    }

    #[tokio::test]
    async fn whoever_waits_is_told_when_memory_becomes_short() {
        let pressure = Pressure::default();
        let mut waiting = std::pin::pin!(pressure.idle_is_given_up());
        assert!(futures_poll(waiting.as_mut()).await.is_none());
        pressure.set(Level::Saving);
        waiting.await;
        assert!(pressure.is_saving());
    }

    async fn futures_poll<F: Future<Output = ()>>(future: std::pin::Pin<&mut F>) -> Option<()> {
        tokio::time::timeout(std::time::Duration::from_millis(1), future).await.ok()
    }

    #[test]
    fn limit_and_usage_of_either_version_are_read_where_they_are() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let found =
            |paths: &str| Group::find(root.path(), paths).map(|group| (group.limit, group.used().unwrap()));
        assert_eq!(found("0::/\n"), None);

        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(found("4:memory:/\n"), None, "what version 1 says where there is no limit");
        write("memory/pod/memory.limit_in_bytes", "1000\n");
        write("memory/pod/memory.usage_in_bytes", "900\n");
        write("memory/pod/memory.stat", "inactive_file 1\ntotal_inactive_file 150\n");
        assert_eq!(found("5:cpu,cpuacct:/x\n4:memory:/pod\n0::/\n"), Some((1000, 750)));
        assert_eq!(found("4:memory:/not/mounted/here\n"), None);

        write("memory.max", "max\n");
        assert_eq!(found("0::/\n"), None);
        write("memory.max", "4000\n");
        write("memory.current", "3000\n");
        assert_eq!(found("0::/\n"), Some((4000, 3000)));
        std::fs::remove_file(root.path().join("memory.current")).unwrap();
        let (_, used) = found("0::/somewhere/else\n").unwrap();
        assert!(used > 1 << 20 && resident().is_some(), "the process itself: {used}");
    }
}
