//! A process with less of everything: memory, processor, processes, file descriptors; and what a process uses.
//!
//! A control group is made for the test and removed with it. The process sees its own memory group at
//! `/sys/fs/cgroup/memory`, as in a container.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::gateway::{BINARY, Gateway, document};
use super::row::is_late;

/// What a process uses.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub rss_kib: f64,
    pub files: f64,
    pub threads: u32,
    /// User and system time.
    pub cpu: Duration,
}

pub fn usage(pid: u32) -> Usage {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let (status, stat) = (read("status"), read("stat"));
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
        line.trim().trim_end_matches(" kB").parse::<u32>().unwrap()
    };
    // After the name, which may hold blanks: state is the third field, utime the 14th, stime the 15th.
    let times = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').skip(11).take(2);
    let ticks: u64 = times.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    Usage {
        rss_kib: f64::from(field("VmRSS:")),
        files: f64::from(u32::try_from(files).unwrap()),
        threads: field("Threads:"),
        cpu: Duration::from_millis(ticks * 10),
    }
}

/// Waits until a process has no more files open than before, and says what it uses then.
pub fn settled(pid: u32, files: f64) -> Usage {
    let started = Instant::now();
    loop {
        let used = usage(pid);
        if used.files <= files {
            return used;
        }
        assert!(
            !is_late(started.elapsed(), Duration::from_secs(60)),
            "{} files are open, {files} were before",
            used.files
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// Limits of a process.
#[derive(Default)]
pub struct Cage {
    prelude: String,
    groups: Vec<Group>,
}

impl Cage {
    pub fn files(mut self, limit: u32) -> Self {
        write!(self.prelude, "ulimit -n {limit}; ").unwrap();
        self
    }

    /// `Err` says why this machine cannot.
    pub fn memory(self, bytes: u64) -> Result<Self, String> {
        self.group("memory", &[("memory.limit_in_bytes", bytes.to_string())])
    }

    pub fn cpu_percent(self, percent: u32) -> Result<Self, String> {
        let quota = (percent * 1000).to_string();
        self.group("cpu", &[("cpu.cfs_period_us", "100000".to_owned()), ("cpu.cfs_quota_us", quota)])
    }

    pub fn processes(self, limit: u32) -> Result<Self, String> {
        self.group("pids", &[("pids.max", limit.to_string())])
    }

    fn group(mut self, controller: &str, settings: &[(&str, String)]) -> Result<Self, String> {
        let group = Group::new(controller, settings)?;
        write!(self.prelude, "echo $$ > {}/cgroup.procs; ", group.0.display()).unwrap();
        if controller == "memory" {
            write!(self.prelude, "mount --bind {} /sys/fs/cgroup/memory; ", group.0.display()).unwrap();
        }
        self.groups.push(group);
        Ok(self)
    }

    /// A file of the memory group.
    fn memory_file(&self, name: &str) -> String {
        let group = self.groups.iter().find(|group| group.0.join(name).exists()).unwrap();
        std::fs::read_to_string(group.0.join(name)).unwrap()
    }

    /// How often the kernel killed something for want of memory.
    pub fn killed(&self) -> u32 {
        let text = self.memory_file("memory.oom_control");
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.unwrap().parse().unwrap()
    }

    /// Memory the group has now, without files that the kernel can drop.
    pub fn used_bytes(&self) -> u64 {
        let usage: u64 = self.memory_file("memory.usage_in_bytes").trim().parse().unwrap();
        let stat = self.memory_file("memory.stat");
        let files = stat.lines().find_map(|line| line.strip_prefix("total_inactive_file ")).unwrap();
        usage.saturating_sub(files.parse().unwrap())
    }

    /// Most memory the group ever had.
    pub fn peak_bytes(&self) -> u64 {
        self.memory_file("memory.max_usage_in_bytes").trim().parse().unwrap()
    }

    /// A program that will live in the cage, with this process id.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("unshare");
        let script = format!(r#"set -e; {}exec "$0" "$@""#, self.prelude);
        command.args(["--mount", "sh", "-c", &script]).arg(program.as_ref());
        command
    }

    /// A gateway in the cage.
    pub fn gateway(&self, upstream: SocketAddr, spec: Option<&str>, flags: &[&str]) -> Gateway {
        launch(self.command(BINARY), upstream, spec, flags)
    }
}

/// A gateway with flags of its own.
pub fn gateway(upstream: SocketAddr, spec: Option<&str>, flags: &[&str]) -> Gateway {
    launch(Command::new(BINARY), upstream, spec, flags)
}

fn launch(mut command: Command, upstream: SocketAddr, spec: Option<&str>, flags: &[&str]) -> Gateway {
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("policy.yaml");
    command.args(["gateway", "--upstream", &upstream.to_string(), "--grace", "5s", "--control-socket"]);
    command.arg(directory.path().join("control.sock")).args(flags);
    if !flags.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    if let Some(spec) = spec {
        std::fs::write(&policy, document(spec)).unwrap();
        command.arg("--policy").arg(policy);
    }
    let mut gateway = Gateway::from_command(command);
    gateway.directory = directory;
    gateway
}

/// A control group of version 1.
struct Group(PathBuf);

impl Group {
    fn new(controller: &str, settings: &[(&str, String)]) -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = format!("/sys/fs/cgroup/{controller}/rasp-faults-{}-{number}", std::process::id());
        std::fs::create_dir(&path).map_err(|error| format!("no control group {path}: {error}"))?;
        let group = Self(path.into());
        for (name, value) in settings {
            let file = group.0.join(name);
            std::fs::write(&file, value).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The process in it may take a moment to be gone.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}
