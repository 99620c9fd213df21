//! Starts what is compared: nothing in between, the naive proxy, nginx, HAProxy, and the proxy that is judged.
//!
//! Each as its makers ship it, as a plain proxy that keeps connections to the application alive. Standard output (our
//! events) goes to `/dev/null`, written all the same.

use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::usage::Usage;

/// Who is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The application itself.
    Direct,
    /// hyper on both sides, in this crate.
    Naive,
    /// The same with upstream connections that clients share.
    NaivePooled,
    /// Of the distribution.
    Nginx,
    /// Of the distribution.
    Haproxy,
    /// The proxy that is judged, with the built-in policy in Block.
    Rasp,
}

impl Kind {
    /// In the order of the table.
    pub const ALL: [Self; 5] = [Self::Direct, Self::Naive, Self::Nginx, Self::Haproxy, Self::Rasp];

    /// As in the table and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Naive => "naive",
            Self::NaivePooled => "naive, pooled",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Rasp => "rasp",
        }
    }

    /// The Debian package and its program, where there is one.
    pub fn program(self) -> Option<&'static str> {
        match self {
            Self::Nginx => Some("nginx"),
            Self::Haproxy => Some("haproxy"),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A running contender. Ended when dropped.
pub struct Contender {
    /// Who it is.
    pub kind: Kind,
    /// Where it listens.
    pub address: SocketAddr,
    child: Option<Child>,
    _files: TempDir,
}

impl Drop for Contender {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // nginx and HAProxy end their workers on SIGTERM.
            if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
            let until = Instant::now() + Duration::from_secs(3);
            while child.try_wait().is_ok_and(|ended| ended.is_none()) {
                if Instant::now() > until {
                    let _ = child.kill();
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

impl Contender {
    /// Starts it in front of `application`.
    pub fn start(kind: Kind, application: SocketAddr, proxy: &Path, http2: bool) -> anyhow::Result<Self> {
        let files = tempfile::tempdir()?;
        let upstream = application.to_string();
        let own = std::env::current_exe()?;
        let (child, address) = match kind {
            Kind::Direct => (None, application),
            Kind::Naive | Kind::NaivePooled => {
                let mut command = Command::new(own);
                command.args(["naive", "127.0.0.1:0", &upstream]);
                command.args(http2.then_some("--http2"));
                command.args((kind == Kind::NaivePooled).then_some("--pooled"));
                started(command)?
            }
            Kind::Rasp => {
                let mut command = Command::new(proxy);
                command.args(["gateway", "--listen", "127.0.0.1:0", "--upstream", &upstream]);
                started(command)?
            }
            Kind::Nginx => {
                let listen = free_port()?;
                let config = file(&files, "nginx.conf", &nginx(&files, listen, application, http2))?;
                let mut command = Command::new("nginx");
                command.arg("-c").arg(config).arg("-e").arg("stderr");
                configured(command, listen)?
            }
            Kind::Haproxy => {
                let listen = free_port()?;
                let config = file(&files, "haproxy.cfg", &haproxy(listen, application, http2))?;
                let mut command = Command::new("haproxy");
                command.arg("-db").arg("-f").arg(config);
                configured(command, listen)?
            }
        };
        Ok(Self { kind, address, child, _files: files })
    }

    /// Its processes; `None` where there is none.
    pub fn usage(&self) -> Option<Usage> {
        self.child.as_ref().map(|child| Usage::of(child.id()))
    }
}

/// Starts a program that says on standard error where it listens.
fn started(mut command: Command) -> anyhow::Result<(Option<Child>, SocketAddr)> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("start {command:?}"))?;
    let mut log = BufReader::new(child.stderr.take().context("no log")?);
    let address = loop {
        let mut line = String::new();
        anyhow::ensure!(log.read_line(&mut line)? > 0, "{command:?} ended before it listened");
        let started: Option<serde_json::Value> = serde_json::from_str(&line).ok();
        if let Some(address) = started.as_ref().and_then(|line| line["fields"]["listen"].as_str()) {
            break address.parse()?;
        }
    };
    thread::spawn(move || {
        for line in
            log.lines().map_while(Result::ok).filter(|line| !line.contains("\"level\":\"INFO\"")).take(5)
        {
            eprintln!("  {line}");
        }
    });
    Ok((Some(child), address))
}

/// Starts a program that was told where to listen.
fn configured(mut command: Command, listen: SocketAddr) -> anyhow::Result<(Option<Child>, SocketAddr)> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().with_context(|| format!("start {command:?}"))?;
    let until = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect(listen).is_err() {
        anyhow::ensure!(child.try_wait()?.is_none() && Instant::now() < until, "{command:?} does not listen");
        thread::sleep(Duration::from_millis(20));
    }
    Ok((Some(child), listen))
}

fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn file(files: &TempDir, name: &str, content: &str) -> anyhow::Result<PathBuf> {
    let path = files.path().join(name);
    std::fs::write(&path, content)?;
    Ok(path)
}

/// Without `client_body_buffer_size` bodies over 16 KiB go through a file, which is not what is compared.
fn nginx(files: &TempDir, listen: SocketAddr, application: SocketAddr, http2: bool) -> String {
    let folder = files.path().display();
    let protocol = if http2 { " http2" } else { "" };
    format!(
        "daemon off; worker_processes auto; pid {folder}/pid; worker_rlimit_nofile 4096;
events {{ worker_connections 2048; }}
http {{
  access_log off; client_body_buffer_size 256k; client_max_body_size 1m; keepalive_requests 1000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream application {{ server {application}; keepalive 512; keepalive_requests 1000000; }}
  server {{
    listen {listen}{protocol};
    location / {{ proxy_pass http://application; proxy_http_version 1.1; proxy_set_header Connection \"\"; }}
  }}
}}
"
    )
}

fn haproxy(listen: SocketAddr, application: SocketAddr, http2: bool) -> String {
    let protocol = if http2 { " proto h2" } else { "" };
    format!(
        "global
  maxconn 4096
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  option http-keep-alive
listen application
  bind {listen}{protocol}
  server application {application}{protocol}
"
    )
}
