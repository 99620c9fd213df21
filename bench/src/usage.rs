//! What the processes of a contender use: CPU and memory from `/proc`, system calls from strace.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

/// A process and its children. They must be there already.
#[derive(Clone, Debug)]
pub struct Usage(Vec<u32>);

impl Usage {
    /// Finds the children of a process.
    pub fn of(process: u32) -> Self {
        let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|pid| Some((pid, parent(pid)?)))
            .collect();
        let mut all = vec![process];
        let mut index = 0;
        while let Some(&member) = all.get(index) {
            all.extend(parents.iter().filter(|(_, parent)| *parent == member).map(|(pid, _)| *pid));
            index += 1;
        }
        Self(all)
    }

    /// Nanoseconds on a core, in user space and in the kernel, of all threads that are still there.
    pub fn cpu(&self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for task in self.tasks() {
            let text = fs::read_to_string(task.join("schedstat")).context("no schedstat in this kernel")?;
            sum += text.split_whitespace().next().context("schedstat is empty")?.parse::<u64>()?;
        }
        Ok(sum)
    }

    /// Resident memory in KiB.
    pub fn rss(&self) -> u64 {
        let of = |pid: &u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        self.0.iter().filter_map(of).sum()
    }

    /// System calls during `work`; `None` where there is no strace.
    pub fn syscalls(&self, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Option<u64>> {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-c"]).args(self.0.iter().flat_map(|pid| ["-p".to_owned(), pid.to_string()]));
        strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let Ok(strace) = strace.spawn() else { return Ok(None) };
        let until = 100;
        for _ in 0..until {
            if self.tasks().all(|task| traced(&task)) {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let worked = work();
        if let Some(pid) = Pid::from_raw(strace.id().cast_signed()) {
            kill_process(pid, Signal::INT)?;
        }
        let output = strace.wait_with_output()?;
        worked?;
        let summary = String::from_utf8_lossy(&output.stderr);
        let total = summary.lines().rfind(|line| line.ends_with(" total"));
        Ok(total.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()))
    }

    fn tasks(&self) -> impl Iterator<Item = PathBuf> {
        self.0
            .iter()
            .flat_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten())
            .filter_map(|entry| Some(entry.ok()?.path()))
    }
}

fn traced(task: &std::path::Path) -> bool {
    fs::read_to_string(task.join("status")).is_ok_and(|status| {
        status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
    })
}

fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
