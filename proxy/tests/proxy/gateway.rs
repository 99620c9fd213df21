//! A real `rasp-proxy gateway` process.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal};

use super::client::{Client, get};

pub const BINARY: &str = env!("CARGO_BIN_EXE_rasp-proxy");

pub struct Gateway {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub directory: tempfile::TempDir,
    process: Process,
    events: Arc<Mutex<String>>,
    log: Arc<Mutex<String>>,
}

/// A policy document with this spec, in YAML flow style.
pub fn document(spec: &str) -> String {
    format!("apiVersion: rasp.dev/v1alpha1\nkind: RaspPolicy\nmetadata: {{name: test}}\nspec: {spec}\n")
}

impl Gateway {
    /// With the built-in policy, which blocks.
    pub fn start(upstream: SocketAddr) -> Self {
        Self::launch(upstream, None, &[])
    }

    /// With a policy file.
    pub fn with(upstream: SocketAddr, spec: &str) -> Self {
        Self::launch(upstream, Some(spec), &[])
    }

    /// With a policy file and more flags.
    pub fn with_both(upstream: SocketAddr, spec: &str, flags: &[&str]) -> Self {
        Self::launch(upstream, Some(spec), flags)
    }

    fn launch(upstream: SocketAddr, spec: Option<&str>, flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(BINARY);
        command.args(["gateway", "--listen", "127.0.0.1:0", "--upstream", &upstream.to_string()]);
        command.args(flags);
        command.args(["--grace", "5s", "--control-socket"]).arg(directory.path().join("control.sock"));
        if let Some(spec) = spec {
            std::fs::write(directory.path().join("policy.yaml"), document(spec)).unwrap();
            command.arg("--policy").arg(directory.path().join("policy.yaml"));
        }
        Self { directory, ..Self::from_command(command) }
    }

    /// With these flags more, and the built-in policy.
    pub fn with_flags(upstream: SocketAddr, flags: &[&str]) -> Self {
        Self::launch(upstream, None, flags)
    }

    /// Any command that becomes a gateway on a free port.
    pub fn from_command(mut command: Command) -> Self {
        if !command.get_args().any(|argument| argument == "--admin") {
            command.args(["--admin", "127.0.0.1:0"]);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let events = follow(child.stdout.take().unwrap());
        let log = follow(child.stderr.take().unwrap());
        let started = wait_for_line(&log, "gateway starts");
        let fields = &serde_json::from_str::<serde_json::Value>(&started).unwrap()["fields"];
        let address = |name: &str| fields[name].as_str().unwrap().parse().unwrap();
        let (address, admin) = (address("listen"), address("admin"));
        Self { address, admin, directory: tempfile::tempdir().unwrap(), process: Process(child), events, log }
    }

    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    pub fn control_socket(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    pub fn policy_file(&self) -> PathBuf {
        self.directory.path().join("policy.yaml")
    }

    /// Replaces the policy file and waits until it acts, or was refused.
    pub fn change_policy(&self, text: &str) {
        let before = self.log.lock().unwrap().len();
        std::fs::write(self.policy_file(), text).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.log.lock().unwrap()[before..].contains("olicy") {
            assert!(Instant::now() < deadline, "the policy file was not read again");
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn wait_for_log(&self, needle: &str) {
        wait_for_line(&self.log, needle);
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits for this many events.
    pub fn events(&self, count: usize) -> Vec<serde_json::Value> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let text = self.events.lock().unwrap().clone();
            if text.lines().count() >= count {
                return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            }
            assert!(Instant::now() < deadline, "only these events: {text}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn admin(&self, path: &str) -> super::client::Response {
        let mut client = Client::connect(self.admin);
        client.send(get(path));
        client.response()
    }

    /// Sum of all samples of a metric whose labels hold every one of `labels`.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.admin("/metrics").text();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples
            .filter_map(|line| line.rsplit_once(' '))
            .filter(|(sample, _)| sample.split('{').next() == Some(name))
            .filter(|(sample, _)| labels.iter().all(|label| sample.contains(label)))
            .map(|(_, value)| value.parse::<f64>().unwrap())
            .sum()
    }

    /// Waits for a metric: some are counted just after the client has its answer.
    pub fn wait_for_metric(&self, name: &str, labels: &[&str], expected: f64) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while (self.metric(name, labels) - expected).abs() > 0.5 {
            assert!(Instant::now() < deadline, "{name} {labels:?} is {}", self.metric(name, labels));
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until an error of this kind was counted.
    pub fn counted(&self, kind: &str) {
        let (deadline, label) = (Instant::now() + Duration::from_secs(10), format!("\"{kind}\""));
        while self.metric("rasp_errors_total", &[&label]) < 0.5 {
            assert!(Instant::now() < deadline, "{kind} was not counted");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn process_id(&self) -> Pid {
        i32::try_from(self.pid()).ok().and_then(Pid::from_raw).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.process_id(), signal).unwrap();
    }

    /// Changes the soft limit of file descriptors of the running process; returns the one before.
    pub fn limit_files(&self, current: Option<u64>) -> Option<u64> {
        let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
        let limit = Rlimit { current: current.or(maximum), maximum };
        rustix::process::prlimit(Some(self.process_id()), Resource::Nofile, limit).unwrap().current
    }

    pub fn wait_for_exit(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.process.0.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "still running");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Most memory the process ever had, in KiB, or since it was forgotten.
    pub fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// Memory the process has, in KiB.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The peak of memory begins anew (proc(5), `clear_refs`).
    pub fn forget_peak_memory(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").unwrap();
    }

    /// Number of open files of the process.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    fn status(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(Path::new(&path)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

/// Ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn follow(output: impl std::io::Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let written = Arc::clone(&text);
    thread::spawn(move || {
        let mut reader = BufReader::new(output);
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
            written.lock().unwrap().push_str(&line);
            line.clear();
        }
        let _ = reader.read_to_string(&mut line);
    });
    text
}

fn wait_for_line(text: &Mutex<String>, needle: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let found = text.lock().unwrap().lines().find(|line| line.contains(needle)).map(str::to_owned);
        match found {
            Some(line) => return line,
            None => assert!(Instant::now() < deadline, "{needle:?} is not in {}", text.lock().unwrap()),
        }
        thread::sleep(Duration::from_millis(5));
    }
}
