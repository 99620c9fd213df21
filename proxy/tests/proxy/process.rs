//! How a process ends, what it does without file descriptors, and how much memory large bodies take.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::client::{Client, ask, get};
use super::gateway::{BINARY, Gateway};
use super::http2;
use super::upstream::{OK, Upstream};

/// Answers `/slow` only when it is told so by a second connection that asks for `/go`.
fn slow_upstream() -> Upstream {
    let (go, wait) = std::sync::mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    Upstream::start(move |conversation| {
        loop {
            let head = conversation.request()?;
            if head.contains("/slow") {
                wait.lock().unwrap().recv_timeout(Duration::from_secs(10)).ok()?;
            } else if head.contains("/go") {
                go.send(()).ok()?;
            }
            conversation.write(OK)?;
        }
    })
}

#[test]
fn sigterm_lets_requests_end_and_exits_with_0() {
    let upstream = slow_upstream();
    let mut gateway = Gateway::start(upstream.address);
    let (mut slow, mut idle) = (Client::connect(gateway.address), Client::connect(gateway.address));
    idle.send(get("/"));
    assert_eq!(idle.response().header("connection"), None);
    slow.send(get("/slow"));
    upstream.wait_for("/slow");
    gateway.signal(Signal::TERM);
    gateway.wait_for_log("ending after what is in flight");
    idle.send(get("/go"));
    let last = idle.response();
    assert_eq!(
        (last.status(), last.header("connection")),
        (200, Some("close")),
        "an idle connection may still ask"
    );
    let answer = slow.response();
    assert_eq!((answer.status(), answer.header("connection")), (200, Some("close")));
    assert!(gateway.wait_for_exit(Duration::from_secs(5)).success());
}

#[test]
fn an_idle_connection_that_is_relayed_does_not_hold_up_the_end() {
    let upstream = Upstream::ok();
    let mut gateway = Gateway::with(upstream.address, "{mode: Off}");
    let mut idle = Client::connect(gateway.address);
    idle.send(get("/"));
    assert_eq!(idle.response().status(), 200);
    let started = Instant::now();
    gateway.signal(Signal::TERM);
    assert!(gateway.wait_for_exit(Duration::from_secs(5)).success());
    assert!(started.elapsed() < Duration::from_secs(3), "the grace is 5 s");
}

/// A gateway with one second for what is in flight.
fn hurried(upstream: std::net::SocketAddr) -> Gateway {
    let mut command = Command::new(BINARY);
    command.args(["gateway", "--listen", "127.0.0.1:0", "--grace", "1s", "--upstream"]);
    command.arg(upstream.to_string());
    Gateway::from_command(command)
}

#[test]
fn after_a_short_grace_idle_clients_were_told_and_what_does_not_end_is_cut_off_and_never_looks_whole() {
    let upstream = Upstream::start(|conversation| {
        if conversation.request()?.contains("/begun") {
            conversation.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")?;
            conversation.rest();
            return None;
        }
        conversation.write(OK)
    });
    let mut gateway = hurried(upstream.address);
    let (mut idle, mut begun) = (Client::connect(gateway.address), Client::connect(gateway.address));
    idle.send(get("/"));
    assert_eq!(idle.response().status(), 200);
    begun.send(get("/begun"));
    begun.until(b"ok\r\n");
    gateway.signal(Signal::TERM);
    assert!(gateway.wait_for_exit(Duration::from_secs(10)).success());
    assert!(idle.is_closed() && begun.is_closed(), "no last chunk");
    assert_eq!(gateway.events(1)[0]["unmapped"]["rule"], "shed_shutdown");

    let application = http2::application::Application::start();
    let mut gateway = hurried(application.address);
    let connect = || http2::frame::Client::connect(gateway.address);
    let (mut idle, mut busy) = (connect(), connect());
    idle.ping();
    busy.send(http2::frame::get(1, "/hold"));
    application.wait_for("/hold");
    gateway.signal(Signal::TERM);
    assert_eq!(idle.next_of(http2::frame::GOAWAY).code(), 0);
    assert_eq!(idle.answers_before_the_end(), [], "it ends before the process does, or with it");
    assert_eq!(busy.next_of(http2::frame::GOAWAY).code(), 0);
    assert_eq!(busy.answers_before_the_end(), []);
    assert!(gateway.wait_for_exit(Duration::from_secs(10)).success());
}

/// The last bytes of a response may wait in the proxy although the application is done with it. What fits into the
/// buffers of the kernel differs, so there are several lengths.
#[test]
fn sigterm_loses_no_byte_of_a_response_that_the_client_has_not_read_yet() {
    let upstream = Upstream::start(|conversation| {
        let head = conversation.request()?;
        let length: usize = head.split_once("get /")?.1.split(' ').next()?.parse().ok()?;
        conversation.write(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes())?;
        conversation.write(&vec![b'x'; length])
    });
    // A process each: one with more to read would keep the others' alive.
    let mut downloads: Vec<(usize, Gateway, Client)> = (0..24)
        .map(|step| {
            let (length, gateway) = (2_000_000 + step * 100_000, Gateway::start(upstream.address));
            let mut client = Client::connect(gateway.address);
            client.send(get(&format!("/{length}")));
            (length, gateway, client)
        })
        .collect();
    thread::sleep(Duration::from_millis(500));
    for (_, gateway, _) in &downloads {
        gateway.signal(Signal::TERM);
    }
    thread::sleep(Duration::from_millis(1500));
    for (length, gateway, client) in &mut downloads {
        client.head();
        assert_eq!(client.rest().len(), *length);
        assert!(gateway.wait_for_exit(Duration::from_secs(5)).success());
    }
}

#[test]
fn sigterm_ends_a_process_that_is_not_done_in_time() {
    let upstream = slow_upstream();
    let mut gateway = Gateway::start(upstream.address);
    let mut slow = Client::connect(gateway.address);
    slow.send(get("/slow"));
    upstream.wait_for("/slow");
    let started = Instant::now();
    gateway.signal(Signal::TERM);
    assert!(gateway.wait_for_exit(Duration::from_secs(9)).success());
    assert!(started.elapsed() > Duration::from_secs(4), "the grace is 5 s");
    assert_eq!(gateway.events(1)[0]["unmapped"]["rule"], "shed_shutdown");
}

#[test]
fn drain_waits_for_requests_and_new_ones_are_still_served() {
    let upstream = slow_upstream();
    let gateway = Gateway::start(upstream.address);
    let mut slow = Client::connect(gateway.address);
    slow.send(get("/slow"));
    upstream.wait_for("/slow");
    let drain = |within: &str| {
        let mut command = Command::new(BINARY);
        command.args(["drain", "--within", within, "--control-socket"]).arg(gateway.control_socket());
        command.output().unwrap()
    };
    let late = drain("300ms");
    assert!(late.status.success() && String::from_utf8_lossy(&late.stderr).contains("still in flight"));
    thread::scope(|scope| {
        let drained = scope.spawn(|| drain("10s"));
        thread::sleep(Duration::from_millis(300));
        assert!(!drained.is_finished());
        let served = ask(gateway.address, get("/go"));
        assert_eq!((served.status(), served.header("connection")), (200, Some("close")));
        assert_eq!(slow.response().status(), 200);
        let drained = drained.join().unwrap();
        assert!(String::from_utf8_lossy(&drained.stderr).contains("nothing is in flight"));
    });
    assert_eq!(ask(gateway.address, get("/after")).status(), 200, "it serves until it is told to end");
}

#[test]
fn drain_without_a_running_process_fails_and_says_so() {
    let output = Command::new(BINARY)
        .args(["drain", "--control-socket", "/nonexistent/control.sock"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is the sidecar running in this container?"));
}

#[test]
fn wrong_configuration_exits_with_64_and_names_every_variable() {
    let output = Command::new(BINARY).arg("sidecar").env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let log = String::from_utf8_lossy(&output.stderr);
    for name in
        ["RASP_WORKLOAD", "RASP_POD_IPS", "RASP_PUBLIC_KEYS", "RASP_OPERATOR_URL", "RASP_FAILURE_MODE"]
    {
        assert!(log.contains(&format!("{name} is not set")), "{name}: {log}");
    }
    let output = Command::new(BINARY).args(["gateway", "--listen", "nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let output = Command::new(BINARY).arg("init").env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(64));
}

#[test]
fn a_bad_policy_file_stops_a_gateway_before_it_listens() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.yaml");
    std::fs::write(&file, super::gateway::document("{mood: Block}")).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["gateway", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--policy"]).arg(&file);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("unknown field spec.mood"));
}

const MIB: usize = 1 << 20;
const LARGE: usize = 256;
/// Two buffers of a connection, and what the rest of the process takes.
const GROWTH_KIB: u64 = 12 * 1024;

#[test]
fn a_large_download_takes_no_memory() {
    let upstream = Upstream::start(|conversation| {
        conversation.request()?;
        conversation
            .write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", LARGE * MIB).as_bytes())?;
        let chunk = vec![b'x'; MIB];
        (0..LARGE).try_for_each(|_| conversation.write(&chunk))
    });
    let gateway = Gateway::start(upstream.address);
    assert_eq!(gateway.admin("/livez").status(), 200);
    let before = gateway.peak_memory();
    let mut stream = TcpStream::connect(gateway.address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n").unwrap();
    let (mut received, mut buffer) = (0, vec![0; MIB]);
    loop {
        let read = stream.read(&mut buffer).unwrap();
        received += read;
        if read == 0 {
            break;
        }
        if received < 4 * MIB {
            thread::sleep(Duration::from_millis(5)); // a slow reader holds the application back, not us
        }
    }
    assert!(received > LARGE * MIB);
    let grown = gateway.peak_memory() - before;
    assert!(grown < GROWTH_KIB, "{grown} KiB more");
}

#[test]
fn a_large_upload_takes_no_memory_in_block_or_monitor() {
    for (spec, content_type) in [
        ("{mode: Block}", "application/octet-stream"),
        ("{mode: Monitor}", "application/x-www-form-urlencoded"),
    ] {
        let upstream = Upstream::start(|conversation| {
            conversation.until(b"\r\n\r\n")?;
            conversation.discard(LARGE * MIB)?;
            conversation.write(OK)
        });
        let gateway = Gateway::with(upstream.address, spec);
        assert_eq!(gateway.admin("/livez").status(), 200);
        let before = gateway.peak_memory();
        let mut client = Client::connect(gateway.address);
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: app\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            LARGE * MIB
        ));
        let chunk = vec![b'x'; MIB];
        for _ in 0..LARGE {
            client.send(&chunk);
        }
        assert_eq!(client.response().status(), 200);
        let grown = gateway.peak_memory() - before;
        assert!(grown < GROWTH_KIB, "{spec}: {grown} KiB more");
    }
}

#[test]
fn want_of_file_descriptors_pauses_accepting_and_nothing_else() {
    let upstream = Upstream::ok();
    let gateway = Gateway::start(upstream.address);
    let mut open = Client::connect(gateway.address);
    open.send(get("/"));
    assert_eq!(open.response().status(), 200);
    let limit = gateway.limit_files(Some(3));
    let mut waiting = Client::connect(gateway.address);
    waiting.send(get("/"));
    thread::sleep(Duration::from_millis(500));
    open.send(get("/still"));
    assert_eq!(open.response().status(), 200, "open connections are served");
    gateway.limit_files(limit);
    assert_eq!(waiting.response().status(), 200, "the waiting one gets its turn");
    let failed = gateway.metric("rasp_errors_total", &["accept"]);
    assert!((1.0..=50.0).contains(&failed), "it paused and did not spin: {failed}");
}

#[test]
fn more_clients_than_places_wait_their_turn() {
    let upstream = Upstream::ok();
    let mut command = Command::new("sh");
    let upstream_address = upstream.address.to_string();
    // 100 descriptors, less those for everything else, are 30 places.
    command.args(["-c", r#"ulimit -n 100; exec "$0" "$@""#, BINARY]);
    command.args(["gateway", "--listen", "127.0.0.1:0", "--upstream", &upstream_address]);
    let gateway = Gateway::from_command(command);
    let mut crowd: Vec<Client> = (0..60).map(|_| Client::connect(gateway.address)).collect();
    for client in &mut crowd {
        client.send("GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n");
    }
    assert!(crowd.iter_mut().all(|client| client.response().status() == 200));
}

#[test]
fn several_workers_share_one_address_and_end_as_one_process() {
    let upstream = Upstream::ok();
    let mut command = Command::new(BINARY);
    command.args(["gateway", "--listen", "127.0.0.1:0", "--workers", "3", "--upstream"]);
    let mut gateway = Gateway::from_command({
        command.arg(upstream.address.to_string());
        command
    });
    let mut crowd: Vec<Client> = (0..30).map(|_| Client::connect(gateway.address)).collect();
    for client in &mut crowd {
        client.send(get("/"));
        assert_eq!(client.response().status(), 200);
    }
    assert_eq!(upstream.connections(), 30);
    let tasks = std::fs::read_dir(format!("/proc/{}/task", gateway.pid())).unwrap().flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    assert_eq!(names.filter(|name| name.starts_with("rasp-worker-")).count(), 3);
    gateway.signal(Signal::TERM);
    assert!(gateway.wait_for_exit(Duration::from_secs(5)).success());
}

/// Ticks of the processor that a process used, a hundredth of a second each.
pub fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn a_crowd_without_file_descriptors_neither_spins_nor_starves_probes_and_everybody_is_served() {
    let upstream = Upstream::ok();
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -n 64; exec "$0" "$@""#, BINARY]);
    command.args(["gateway", "--listen", "127.0.0.1:0", "--upstream", &upstream.address.to_string()]);
    let gateway = Gateway::from_command(command);
    // The silent ones take all places there are, and keep them for ten seconds.
    let silent: Vec<Client> = (0..40).map(|_| Client::connect(gateway.address)).collect();
    let mut crowd: Vec<Client> = (0..160).map(|_| Client::connect(gateway.address)).collect();
    for client in &mut crowd {
        client.send(get("/"));
    }
    // And these take what is kept for the admin endpoints, and say nothing.
    let _stuck: Vec<Client> = (0..20).map(|_| Client::connect(gateway.admin)).collect();
    for path in ["/livez", "/metrics"] {
        assert_eq!(gateway.admin(path).status(), 200, "{path}");
    }
    let before = ticks(gateway.pid());
    for _ in 0..10 {
        assert_eq!(gateway.admin("/readyz").status(), 200);
        thread::sleep(Duration::from_millis(100));
    }
    let used = ticks(gateway.pid()) - before;
    assert!(used < 50, "{used} % of a processor");
    drop(silent);
    assert!(crowd.iter_mut().all(|client| client.response().status() == 200), "idle ones make room");
    assert!(gateway.metric("rasp_errors_total", &["shed_connections"]) > 0.5);
}
