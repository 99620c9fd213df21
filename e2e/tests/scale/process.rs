//! Processes of the cluster as the node's root sees them, by their entries below /proc.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

/// A process of this cluster, and of no other on the machine.
pub struct Process {
    pid: Pid,
}

/// A process that does not run until this is dropped.
pub struct Stopped {
    pid: Pid,
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.pid, Signal::CONT);
    }
}

impl Process {
    /// The component of the control plane of this name. It runs in the network namespace that this program runs in.
    pub fn of_component(name: &str) -> anyhow::Result<Self> {
        let network = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let own = network("self").context("the own network namespace")?;
        Self::find(&format!("component {name}"), |pid| {
            let is_it = words(pid, "cmdline").iter().any(|word| word == name);
            is_it && network(&pid.to_string()).as_ref() == Some(&own)
        })
    }

    /// The one process whose environment holds this, and whose command line ends with the word.
    pub fn of_environment(variable: &str, word: &str) -> anyhow::Result<Self> {
        Self::find(variable, |pid| {
            words(pid, "environ").iter().any(|found| found == variable)
                && words(pid, "cmdline").last().is_some_and(|last| last == word)
        })
    }

    fn find(what: &str, is_it: impl Fn(i32) -> bool) -> anyhow::Result<Self> {
        let entries = std::fs::read_dir("/proc").context("read /proc")?.flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let found: Vec<i32> = pids.filter(|pid| is_it(*pid)).collect();
        match found.as_slice() {
            [pid] => Ok(Self { pid: Pid::from_raw(*pid).context("a process id is positive")? }),
            other => bail!("expected one process for {what}, found {other:?}"),
        }
    }

    /// SIGKILL.
    pub fn kill(&self) -> anyhow::Result<()> {
        Ok(kill_process(self.pid, Signal::KILL)?)
    }

    /// SIGSTOP; continued when the guard is dropped.
    pub fn stop(&self) -> anyhow::Result<Stopped> {
        kill_process(self.pid, Signal::STOP)?;
        Ok(Stopped { pid: self.pid })
    }

    /// Kills the process and starts the same command anew, with the same log, which is returned.
    pub async fn replace(&self) -> anyhow::Result<PathBuf> {
        let command = words(self.pid.as_raw_nonzero().get(), "cmdline");
        let log = std::fs::read_link(self.entry("fd/2")).context("its log")?;
        let program = std::fs::read_link(self.entry("exe")).context("its program")?;
        self.kill()?;
        // Its first thread ends before the last one closes the sockets.
        let threads = || std::fs::read_dir(self.entry("task")).map_or(0, Iterator::count);
        let is_zombie =
            || std::fs::read_to_string(self.entry("stat")).map_or(true, |stat| stat.contains(") Z "));
        while threads() > 1 || !is_zombie() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let file = std::fs::OpenOptions::new().append(true).open(&log).context("open its log")?;
        let mut anew = Command::new(program);
        anew.args(command.get(1..).unwrap_or_default()).process_group(0);
        anew.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn().context("start it anew")?;
        Ok(log)
    }

    /// Resident set now and at its highest, in KiB.
    pub fn memory_kib(&self) -> anyhow::Result<(u64, u64)> {
        let status = std::fs::read_to_string(self.entry("status")).context("the process has ended")?;
        let field = |name: &str| -> anyhow::Result<u64> {
            let line =
                status.lines().find_map(|line| line.strip_prefix(name)).context("a field of status")?;
            Ok(line.trim().trim_end_matches(" kB").parse()?)
        };
        Ok((field("VmRSS:")?, field("VmHWM:")?))
    }

    /// CPU time used since it started.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        Ok(ticks(self.stat(11)? + self.stat(12)?))
    }

    /// Time since it started.
    pub fn age(&self) -> anyhow::Result<Duration> {
        let uptime = std::fs::read_to_string("/proc/uptime")?;
        let uptime: f64 = uptime.split(' ').next().context("uptime")?.parse()?;
        Ok(Duration::from_secs_f64(uptime).saturating_sub(ticks(self.stat(19)?)))
    }

    /// A field of /proc/PID/stat, counted from the state; see proc_pid_stat(5).
    fn stat(&self, field: usize) -> anyhow::Result<u64> {
        let stat = std::fs::read_to_string(self.entry("stat")).context("the process has ended")?;
        let (_, fields) = stat.rsplit_once(") ").context("stat")?;
        Ok(fields.split(' ').nth(field).context("a field of stat")?.parse()?)
    }

    fn entry(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.pid.as_raw_nonzero()))
    }

    /// Whether this is another process than `other`.
    pub fn is_other(&self, other: &Self) -> bool {
        self.pid != other.pid
    }
}

/// Words that end with NUL.
fn words(pid: i32, file: &str) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// The kernel shows ticks of 10 ms to user space on every architecture that matters here.
fn ticks(count: u64) -> Duration {
    Duration::from_millis(count.saturating_mul(10))
}
