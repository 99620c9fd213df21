//! Processes as the node's root sees them: the only way to harm a sidecar without asking Kubernetes.

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

/// A sidecar process, found by the pod's uid in its environment.
pub struct Sidecar {
    pid: Pid,
}

impl Sidecar {
    /// Finds the one `rasp-proxy sidecar` process of a pod.
    pub fn of_pod(uid: &str) -> anyhow::Result<Self> {
        Ok(Self { pid: find(&format!("RASP_POD_UID={uid}"), "sidecar")? })
    }

    /// SIGKILL.
    pub fn kill(&self) -> anyhow::Result<()> {
        Ok(kill_process(self.pid, Signal::KILL)?)
    }

    /// SIGSTOP; continued when the guard is dropped.
    pub fn stop(&self) -> anyhow::Result<Stopped> {
        stop(self.pid)
    }

    /// Resident set size in KiB.
    pub fn resident_kib(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid.as_raw_nonzero()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS in status")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

/// A process of the operator.
pub struct Operator {
    pid: Pid,
}

impl Operator {
    /// Finds the one `rasp-operator run` process of a pod, by the pod's name.
    pub fn of_pod(name: &str) -> anyhow::Result<Self> {
        Ok(Self { pid: find(&format!("RASP_OPERATOR_POD_NAME={name}"), "run")? })
    }

    /// SIGSTOP; continued when the guard is dropped.
    pub fn stop(&self) -> anyhow::Result<Stopped> {
        stop(self.pid)
    }
}

/// The one process with this variable in its environment and this word in its command line.
fn find(variable: &str, argument: &str) -> anyhow::Result<Pid> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").context("read /proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let has = |bytes: Vec<u8>, field: &str| bytes.split(|&byte| byte == 0).any(|f| f == field.as_bytes());
        if has(read("environ"), variable) && has(read("cmdline"), argument) {
            found.push(pid);
        }
    }
    match found.as_slice() {
        [pid] => Pid::from_raw(*pid).context("a process id is positive"),
        other => bail!("expected one process with {variable}, found {other:?}"),
    }
}

fn stop(pid: Pid) -> anyhow::Result<Stopped> {
    kill_process(pid, Signal::STOP)?;
    Ok(Stopped { pid })
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
