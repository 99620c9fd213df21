//! What a request costs in instructions of user space, counted by valgrind where it is installed, against what it cost
//! when the numbers were written. A busy machine does not change them; another compiler may, so there is room.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal};

use super::client::{Client, get};
use super::gateway::BINARY;
use super::upstream::Upstream;

/// More than this much of the number that is written here is a regression, less than the inverse a number to renew.
const ROOM: f64 = 1.25;

/// Instructions of one `GET /` over a connection that is kept alive, with the built-in policy in Block, as tests are
/// compiled.
const GET: f64 = 62_500.0;

#[test]
fn a_request_costs_no_more_instructions_than_it_did() {
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("valgrind is not installed (Debian: valgrind): nothing is counted");
        return;
    }
    let upstream = Upstream::ok();
    let (few, many) = (20, 220);
    let (short, long) = std::thread::scope(|scope| {
        let short = scope.spawn(|| instructions(upstream.address, few));
        let long = instructions(upstream.address, many);
        (short.join().unwrap(), long)
    });
    let each = (long - short) / f64::from(many - few);
    println!("{each:.0} instructions");
    assert!(each < GET * ROOM, "a GET costs {each:.0} instructions, it was {GET:.0}");
    assert!(
        each > GET / ROOM,
        "a GET costs only {each:.0} instructions, it was {GET:.0}: write down the new number"
    );
}

/// All instructions of a gateway that serves so many requests, starting and ending included.
fn instructions(upstream: SocketAddr, requests: u32) -> f64 {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", BINARY, "gateway"]);
    command.args(["--listen", "127.0.0.1:0", "--upstream", &upstream.to_string()]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let started = log.find(|line| line.contains("gateway starts")).unwrap();
    let started: serde_json::Value = serde_json::from_str(&started).unwrap();
    let mut client = Client::connect(started["fields"]["listen"].as_str().unwrap().parse().unwrap());
    for _ in 0..requests {
        client.send(get("/"));
        assert_eq!(client.response().status(), 200);
    }
    drop(client);
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).unwrap();
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    let collected = log.find_map(|line| Some(line.split_once("Collected : ")?.1.to_owned())).unwrap();
    child.wait().unwrap();
    collected.trim().parse().unwrap()
}
