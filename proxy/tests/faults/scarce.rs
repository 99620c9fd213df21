//! Rows 14, 15 and 16: too little memory, too few file descriptors, processes and processor time.
//!
//! Each fault first kills a naive hyper proxy (examples/passthrough.rs), so that we know it is one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::application;
use super::cage::{Cage, settled, usage};
use super::client::{Client, ask, get, post};
use super::row::{Row, pick};

/// The naive proxy; dies with this value.
struct Naive {
    child: Child,
    address: SocketAddr,
}

impl Naive {
    /// `None` where the example was not built: it is with all tests of the crate, but not with one alone.
    fn start(cage: &Cage, upstream: SocketAddr) -> Option<Self> {
        let program: PathBuf =
            std::env::current_exe().unwrap().parent()?.parent()?.join("examples/passthrough");
        if !program.exists() {
            println!("the naive proxy is not built: cargo build -p rasp-proxy --example passthrough");
            return None;
        }
        let mut command: Command = cage.command(program);
        command.args(["127.0.0.1:0", &upstream.to_string()]).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        thread::spawn(move || log.lines().for_each(drop));
        let fields: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = fields["fields"]["listen"].as_str().unwrap().parse().unwrap();
        Some(Self { child, address })
    }

    fn dies_within(&mut self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            if self.child.try_wait().unwrap().is_some() {
                return true;
            }
            thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for Naive {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A neighbour in the same control group that uses what it is told to; what it used is free again when it is dropped.
struct Ballast<'a> {
    cage: &'a Cage,
    child: Child,
}

impl<'a> Ballast<'a> {
    fn start(cage: &'a Cage) -> Self {
        // A file in memory: the kernel cannot drop it as it drops one that was read.
        let script = "mount -t tmpfs ballast /mnt; while read -r size; do head -c \"$size\" /dev/zero >> /mnt/ballast; \
                      echo done; done";
        let mut command = cage.command("sh");
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self { cage, child: command.spawn().unwrap() }
    }

    /// Until the group uses so many bytes.
    fn to(&mut self, bytes: u64) {
        let more = bytes.saturating_sub(self.cage.used_bytes());
        writeln!(self.child.stdin.as_mut().unwrap(), "{more}").unwrap();
        let mut said = [0; 5];
        self.child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    }
}

impl Drop for Ballast<'_> {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Connects and sends, as far as anybody takes it, and keeps the connection.
fn occupy(address: SocketAddr, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let occupy = || {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
        stream.set_write_timeout(Some(Duration::from_millis(20))).ok()?;
        let _ = stream.write_all(bytes);
        Some(stream)
    };
    (0..count).map_while(|_| occupy()).collect()
}

#[test]
fn too_few_file_descriptors_kill_a_naive_proxy_and_not_us() {
    let row =
        Row::new("15", "64 files, 200 clients: no death, no spin, admin answers, everybody gets a turn");
    let app = application::start();
    if let Some(mut naive) = Naive::start(&Cage::default().files(64), app) {
        let _crowd = occupy(naive.address, 200, b"");
        assert!(naive.dies_within(Duration::from_secs(10)), "the fault is none");
    }
    let cage = Cage::default().files(64);
    let gateway = cage.gateway(app, None, &[]);
    assert_eq!(gateway.admin("/livez").status(), 200);
    let before = usage(gateway.pid());
    let mut crowd: Vec<Client> = (0..200).map(|_| Client::connect(gateway.address)).collect();
    for client in &mut crowd {
        client.send("GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n");
    }
    assert!(crowd.iter_mut().all(|client| client.response().status() == 200));
    drop(crowd);

    // Silent clients in every place.
    let silent = occupy(gateway.address, 200, b"");
    let (started, used) = (Instant::now(), usage(gateway.pid()).cpu);
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(gateway.admin(path).status(), 200, "{path}");
    }
    thread::sleep(Duration::from_secs(pick(1, 20)));
    let spent = usage(gateway.pid()).cpu.saturating_sub(used).as_secs_f64() / started.elapsed().as_secs_f64();
    assert!(spent < 0.5, "it spins: {:.0} % of a processor", spent * 100.0);
    drop(silent);
    assert_eq!(ask(gateway.address, get("/")).status(), 200);
    let after = settled(gateway.pid(), before.files + 2.0);
    row.kept(&format!("CPU {:.1} %, files {:+.0}", spent * 100.0, after.files - before.files), None);
}

#[test]
fn half_heads_and_held_bodies_kill_a_naive_proxy_of_little_memory_and_not_us() {
    let row = Row::new("14", "32 MiB, half heads and held bodies: no kill, admin answers, back within 5 s");
    let app = application::start();
    let cage = || Cage::default().memory(32 << 20);
    let caged = match cage() {
        Ok(caged) => caged,
        Err(why) => return row.skipped(&why),
    };
    let half_head = format!("GET / HTTP/1.1\r\nHost: app\r\nX-A: {}", "x".repeat(60_000));
    if let Some(mut naive) = Naive::start(&cage().unwrap(), app) {
        // A busy machine reads slowly: then more than one crowd is needed.
        let mut crowds = Vec::new();
        let dies = (0..6).any(|_| {
            crowds.push(occupy(naive.address, 1500, half_head.as_bytes()));
            naive.dies_within(Duration::from_secs(3))
        });
        assert!(dies, "the fault is none");
    }
    let gateway = caged.gateway(app, Some("{mode: Block, inspection: {maxBodyBytes: 1048576}}"), &[]);
    assert_eq!(ask(gateway.address, get("/")).status(), 200);
    let body = post("application/json", &format!("[\"{}\"]", "x".repeat(1 << 20)));
    let half_body = &body.as_bytes()[..body.len() - 100];
    for _ in 0..pick(1, 20) {
        for bytes in [half_head.as_bytes(), half_body, b"GE"] {
            let crowd = occupy(gateway.address, pick(400, 1500), bytes);
            assert_eq!(gateway.admin("/livez").status(), 200);
            assert_eq!(gateway.admin("/metrics").status(), 200);
            drop(crowd);
            let started = Instant::now();
            assert_eq!(ask(gateway.address, get("/")).status(), 200);
            assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        }
    }
    assert_eq!(caged.killed(), 0);
    let (peak, rss) = (caged.peak_bytes() >> 20, usage(gateway.pid()).rss_kib / 1024.0);
    drop(gateway);
    row.kept(&format!("peak of the group {peak} MiB, RSS then {rss:.1} MiB"), None);
}

#[test]
fn memory_that_fills_up_is_answered_step_by_step_and_nobody_is_killed() {
    const LIMIT: u64 = 64 << 20;
    let row =
        Row::new("14", "85, 92 and 95 % of the memory: keep-alive ends, 503, connections wait; back below");
    let cage = match Cage::default().memory(LIMIT) {
        Ok(cage) => cage,
        Err(why) => return row.skipped(&why),
    };
    let gateway = cage.gateway(application::start(), None, &[]);
    let eventually = |what: &str, holds: &dyn Fn() -> bool| {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !holds() {
            assert!(Instant::now() < deadline, "{what}");
            thread::sleep(Duration::from_millis(20));
        }
    };
    let closes = |client: &mut Client| {
        client.send(get("/"));
        let response = client.response();
        (response.status(), response.head.to_lowercase().contains("connection: close"))
    };
    assert_eq!(closes(&mut Client::connect(gateway.address)), (200, false));
    let mut fill = Ballast::start(&cage);
    fill.to(LIMIT * 88 / 100);
    eventually("85 %: keep-alive ends", &|| closes(&mut Client::connect(gateway.address)) == (200, true));
    fill.to(LIMIT * 935 / 1000);
    eventually("92 %: 503", &|| closes(&mut Client::connect(gateway.address)).0 == 503);
    fill.to(LIMIT * 97 / 100);
    eventually("95 %: connections wait", &|| {
        drop(TcpStream::connect(gateway.address)); // whoever is accepted first is not yet told
        gateway.metric("rasp_errors_total", &["shed_accept"]) > 0.0
    });
    assert_eq!(gateway.admin("/livez").status(), 200);
    drop(fill);
    eventually("back", &|| closes(&mut Client::connect(gateway.address)) == (200, false));
    assert_eq!(cage.killed(), 0);
    drop(gateway);
    row.kept("every step seen", None);
}

#[test]
fn a_tenth_of_a_processor_and_twenty_processes_are_enough() {
    let row = Row::new("16", "10 % of a processor, 20 processes: it works, and no request makes a thread");
    let cage = Cage::default().cpu_percent(10).and_then(|cage| cage.processes(20));
    let cage = match cage {
        Ok(cage) => cage,
        Err(why) => return row.skipped(&why),
    };
    let gateway = cage.gateway(application::start(), None, &[]);
    assert_eq!(ask(gateway.address, get("/")).status(), 200);
    let threads = usage(gateway.pid()).threads;
    let mut clients: Vec<Client> = (0..50).map(|_| Client::connect(gateway.address)).collect();
    let mut asked = 0;
    for _ in 0..pick(4, 100) {
        for client in &mut clients {
            client.send(get("/bytes/1000"));
        }
        for client in &mut clients {
            assert_eq!(client.response().status(), 200);
            asked += 1;
        }
    }
    let most = usage(gateway.pid()).threads;
    assert!(most <= threads + 1, "{threads} threads became {most}");
    drop(gateway);
    row.kept(&format!("{asked} requests, {most} threads"), None);
}
