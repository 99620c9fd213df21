//! CPU per request of the gateway against a naive hyper proxy, in one run on one machine.
//!
//! User and system time of each process over keep-alive `GET /` from `/proc/PID/stat`, rounds taken in turn so that a
//! busy machine hurts both; and, where `perf` is there, user-space instructions, which a busy machine does not change.
//! `cargo bench -p rasp-proxy --bench cpu --profile dev` compares what tests and images run; without `--profile` the
//! release profile is compiled first.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: app.example\r\nUser-Agent: bench/1.0\r\nAccept: text/html,application/xhtml+xml\r\n\
    Accept-Language: en\r\nCookie: session=0123456789abcdef\r\n\r\n";
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/html\r\nContent-Length: 12\r\n\r\nhello world\n";
const CONNECTIONS: u32 = 8;
const ROUNDS: usize = 6;
const REQUESTS: u32 = 5_000;

struct Proxy {
    name: &'static str,
    child: Child,
    address: SocketAddr,
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
    let mut proxies = [passthrough(upstream)?, gateway(upstream)?];
    for proxy in &proxies {
        load(proxy.address, REQUESTS / 5)?; // warm
    }
    for _ in 0..ROUNDS {
        for proxy in &mut proxies {
            let before = cpu_ticks(proxy.child.id())?;
            load(proxy.address, REQUESTS)?;
            proxy.ticks += cpu_ticks(proxy.child.id())? - before;
            proxy.requests += REQUESTS * CONNECTIONS;
        }
    }
    let micros = |proxy: &Proxy| f64::from(proxy.ticks) * 10_000.0 / f64::from(proxy.requests);
    for proxy in &proxies {
        println!("{}: {:.1} us of CPU per request ({} requests)", proxy.name, micros(proxy), proxy.requests);
    }
    println!("ratio of CPU time: {:.2}", micros(&proxies[1]) / micros(&proxies[0]));
    let counted: Vec<f64> = proxies.iter().filter_map(|proxy| instructions(proxy).ok()).collect();
    match counted[..] {
        [naive, ours] => {
            println!("instructions per request: {naive:.0} and {ours:.0}, ratio {:.2}", ours / naive);
        }
        _ => println!("instructions: perf cannot count them here"),
    }
    Ok(())
}

/// `target/<triple>/<profile>`: benches lie in its folder `deps`.
fn built() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.parent().and_then(Path::parent).context("no folder of binaries")?.to_owned())
}

fn passthrough(upstream: SocketAddr) -> anyhow::Result<Proxy> {
    let binary = built()?.join("examples/passthrough");
    let mut child = Command::new(&binary)
        .args(["127.0.0.1:0", &upstream.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{}: build the examples first", binary.display()))?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
    Ok(Proxy { name: "passthrough", child, address: line.trim().parse()?, ticks: 0, requests: 0 })
}

fn gateway(upstream: SocketAddr) -> anyhow::Result<Proxy> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rasp-proxy"))
        .args(["gateway", "--listen", "127.0.0.1:0", "--upstream", &upstream.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut log = BufReader::new(child.stderr.take().context("no log")?);
    let mut line = String::new();
    log.read_line(&mut line)?;
    let started: serde_json::Value = serde_json::from_str(&line)?;
    let address = started["fields"]["listen"].as_str().context("no address")?.parse()?;
    thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    Ok(Proxy { name: "gateway", child, address, ticks: 0, requests: 0 })
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

fn load(address: SocketAddr, requests: u32) -> anyhow::Result<()> {
    let clients: Vec<_> =
        (0..CONNECTIONS).map(|_| thread::spawn(move || client(address, requests))).collect();
    clients
        .into_iter()
        .try_for_each(|client| client.join().map_err(|_| anyhow::anyhow!("a client failed"))?)
}

fn client(address: SocketAddr, requests: u32) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
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

fn instructions(proxy: &Proxy) -> anyhow::Result<f64> {
    let perf = Command::new("perf")
        .args(["stat", "-x", ",", "-e", "instructions:u", "-p", &proxy.child.id().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    thread::sleep(Duration::from_millis(500));
    load(proxy.address, REQUESTS)?;
    let pid = i32::try_from(perf.id()).ok().and_then(rustix::process::Pid::from_raw).context("no pid")?;
    rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
    let output = perf.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let count: f64 = text.split(',').next().unwrap_or_default().trim().parse()?;
    Ok(count / f64::from(REQUESTS * CONNECTIONS))
}
