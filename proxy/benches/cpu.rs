//! CPU per request of the gateway against a naive hyper proxy, in one run on one machine.
//!
//! User and system time of each process over keep-alive `GET /` from `/proc/PID/stat`, rounds taken in turn so that a
//! busy machine hurts both; and, where valgrind is there, instructions in user space, which a busy machine does not change:
//! the difference between two runs, so that starting up does not count.
//! `cargo bench -p rasp-proxy --bench cpu --profile dev` compares what tests and images run; without `--profile` the
//! release profile is compiled first.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: app.example\r\nUser-Agent: bench/1.0\r\nAccept: text/html,application/xhtml+xml\r\n\
    Accept-Language: en\r\nCookie: session=0123456789abcdef\r\n\r\n";
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/html\r\nContent-Length: 12\r\n\r\nhello world\n";
const CONNECTIONS: u32 = 8;
const ROUNDS: usize = 6;
const REQUESTS: u32 = 5_000;
const COUNTED: u32 = 1_000;

struct Proxy {
    kind: Kind,
    child: Child,
    address: SocketAddr,
    log: JoinHandle<String>,
    ticks: u32,
    requests: u32,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn main() -> anyhow::Result<()> {
    let upstream = upstream()?;
    let mut proxies = [Kind::Passthrough.start(upstream, &[])?, Kind::Gateway.start(upstream, &[])?];
    for proxy in &proxies {
        load(proxy.address, CONNECTIONS, REQUESTS / 5)?; // warm
    }
    for _ in 0..ROUNDS {
        for proxy in &mut proxies {
            let before = cpu_ticks(proxy.child.id())?;
            load(proxy.address, CONNECTIONS, REQUESTS)?;
            proxy.ticks += cpu_ticks(proxy.child.id())? - before;
            proxy.requests += REQUESTS * CONNECTIONS;
        }
    }
    let micros = |proxy: &Proxy| f64::from(proxy.ticks) * 10_000.0 / f64::from(proxy.requests);
    for proxy in &proxies {
        println!(
            "{:?}: {:.1} us of CPU per request ({} requests)",
            proxy.kind,
            micros(proxy),
            proxy.requests
        );
    }
    println!("ratio of CPU time: {:.2}", micros(&proxies[1]) / micros(&proxies[0]));
    match (instructions(Kind::Passthrough, upstream), instructions(Kind::Gateway, upstream)) {
        (Ok(naive), Ok(ours)) => {
            println!("instructions per request: {naive:.0} and {ours:.0}, ratio {:.2}", ours / naive);
        }
        (Err(error), _) | (_, Err(error)) => println!("instructions: not counted: {error:#}"),
    }
    Ok(())
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Passthrough,
    Gateway,
}

impl Kind {
    /// Starts the proxy, under `wrapper` if there is one, and waits until it says where it listens.
    fn start(self, upstream: SocketAddr, wrapper: &[&str]) -> anyhow::Result<Proxy> {
        let upstream = upstream.to_string();
        let passthrough = built()?.join("examples/passthrough").display().to_string();
        let line: Vec<&str> = match self {
            Self::Passthrough => vec![&passthrough, "127.0.0.1:0", &upstream],
            Self::Gateway => {
                let binary = env!("CARGO_BIN_EXE_rasp-proxy");
                vec![binary, "gateway", "--listen", "127.0.0.1:0", "--upstream", &upstream]
            }
        };
        let line = [wrapper, &line].concat();
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {line:?}"))?;
        let mut log = BufReader::new(child.stderr.take().context("no log")?);
        let address = loop {
            let mut line = String::new();
            anyhow::ensure!(log.read_line(&mut line)? > 0, "it ended before it listened");
            let started: Option<serde_json::Value> = serde_json::from_str(&line).ok();
            if let Some(address) = started.as_ref().and_then(|line| line["fields"]["listen"].as_str()) {
                break address.parse()?;
            }
        };
        let log = thread::spawn(move || {
            let mut rest = String::new();
            let _ = log.read_to_string(&mut rest);
            rest
        });
        Ok(Proxy { kind: self, child, address, log, ticks: 0, requests: 0 })
    }
}

/// `target/<triple>/<profile>`: benches lie in its folder `deps`.
fn built() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.parent().and_then(Path::parent).context("no folder of binaries")?.to_owned())
}

/// Instructions in user space per request: the difference between a short and a long run.
fn instructions(kind: Kind, upstream: SocketAddr) -> anyhow::Result<f64> {
    let run = |requests: u32| -> anyhow::Result<f64> {
        let valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"];
        let mut proxy = kind.start(upstream, &valgrind)?;
        load(proxy.address, 1, requests)?;
        let pid = i32::try_from(proxy.child.id()).ok().and_then(Pid::from_raw).context("no pid")?;
        kill_process(pid, Signal::TERM)?;
        proxy.child.wait()?;
        let log = std::mem::replace(&mut proxy.log, thread::spawn(String::new)).join();
        let log = log.map_err(|_| anyhow::anyhow!("the log was lost"))?;
        let collected = log.lines().find_map(|line| line.split_once("Collected : "));
        Ok(collected.context("valgrind told no number")?.1.trim().parse()?)
    };
    let (short, long) = (COUNTED, COUNTED * 3);
    Ok((run(long)? - run(short)?) / f64::from(long - short))
}

fn upstream() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let _ = stream.set_nodelay(true);
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).is_ok_and(|read| read > 0)
                    && stream.write_all(RESPONSE).is_ok()
                {}
            });
        }
    });
    Ok(address)
}

fn load(address: SocketAddr, connections: u32, requests: u32) -> anyhow::Result<()> {
    let clients: Vec<_> =
        (0..connections).map(|_| thread::spawn(move || client(address, requests))).collect();
    clients
        .into_iter()
        .try_for_each(|client| client.join().map_err(|_| anyhow::anyhow!("a client failed"))?)
}

fn client(address: SocketAddr, requests: u32) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let (mut buffer, mut filled) = ([0; 4096], 0);
    for _ in 0..requests {
        stream.write_all(REQUEST)?;
        while !buffer[..filled].ends_with(b"hello world\n") {
            let read = stream.read(&mut buffer[filled..])?;
            anyhow::ensure!(read > 0, "the proxy closed");
            filled += read;
        }
        anyhow::ensure!(buffer.starts_with(b"HTTP/1.1 200 "), "not 200");
        filled = 0;
    }
    Ok(())
}

/// User and system time in hundredths of a second.
fn cpu_ticks(pid: u32) -> anyhow::Result<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no command in stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    Ok(fields[11].parse::<u32>()? + fields[12].parse::<u32>()?)
}
