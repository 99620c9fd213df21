//! Rows 2, 4 and 39: an application that takes no connection, or whose packets vanish; and pods with IPv6 only.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::application;
use super::cage::gateway;
use super::client::{Client, ask, get};
use super::gateway::Gateway;
use super::row::{Row, pick};
use super::upstream::{OK, Upstream};
use super::world::Namespace;

const ATTACK: &str = "/?q=1%27%20OR%20%271%27=%271";

#[test]
fn an_application_that_refuses_is_answered_502_at_once_and_used_as_soon_as_it_is_there() {
    let row =
        Row::new("2", "a refused connection is a 502 at once; the first success comes with the application");
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let gateway = gateway(address, None, &[]);
    let mut slowest = Duration::ZERO;
    for _ in 0..pick(30, 1000) {
        let started = Instant::now();
        assert_eq!(ask(gateway.address, get("/")).status(), 502);
        slowest = slowest.max(started.elapsed());
    }
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    socket.listen(16).unwrap();
    application::start_on(socket.into());
    let started = Instant::now();
    while ask(gateway.address, get("/")).status() != 200 {
        assert!(started.elapsed() < Duration::from_secs(5), "still refused");
    }
    row.kept(&format!("slowest 502 {slowest:.1?}, success after {:.1?}", started.elapsed()), None);
}

pub fn lonely(role: &str) -> Namespace {
    let namespace = Namespace::new(role);
    let up = namespace.command("ip", &["link", "set", "lo", "up"], &[]);
    assert!(up.status.success(), "{up:?}");
    namespace
}

/// Everything for this port vanishes, as behind a node that died.
pub fn swallow(namespace: &Namespace, port: u16) {
    namespace.nft("add table inet faults");
    namespace.nft("add chain inet faults in { type filter hook input priority 0 ; }");
    namespace.nft(&format!("add rule inet faults in tcp dport {port} drop"));
}

#[test]
fn an_application_behind_a_black_hole_is_answered_for_within_the_connect_budget() {
    let row = Row::new("2", "packets to the application vanish: 502 within the connect budget");
    let namespace = lonely("hole");
    let slowest = namespace.inside(|| {
        let app = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = app.local_addr().unwrap();
        swallow(&namespace, address.port());
        let gateway = gateway(address, None, &[]);
        let mut slowest = Duration::ZERO;
        for _ in 0..pick(1, 50) {
            let started = Instant::now();
            let status = ask(gateway.address, get("/")).status();
            assert!(matches!(status, 502 | 504), "{status}");
            slowest = slowest.max(started.elapsed());
        }
        slowest
    });
    // A gateway gives a dial 5 s, and a request waits for one.
    assert!(slowest < Duration::from_secs(9), "{slowest:?}");
    row.judged(slowest < Duration::from_secs(6), &format!("slowest answer {slowest:.1?}"), None);
}

/// What a client in the namespace gets for a fine request and for an attack.
fn verdicts(gateway: &Gateway, address: SocketAddr) -> (u16, u16) {
    let mut client = Client::connect(address);
    client.send(get("/fine"));
    let fine = client.response().status();
    let attack = ask(address, get(ATTACK)).status();
    assert_eq!(gateway.admin("/readyz").status(), 200);
    (fine, attack)
}

#[test]
fn a_pod_with_ipv6_only_has_the_same_verdicts() {
    let row = Row::new("39", "IPv6 only: the same verdicts, and events with the client's address");
    let namespace = lonely("v6");
    let flush = namespace.command("ip", &["-4", "addr", "flush", "dev", "lo"], &[]);
    assert!(flush.status.success(), "{flush:?}");
    namespace.inside(|| {
        assert!(TcpListener::bind("127.0.0.1:0").is_err(), "IPv4 is still there");
        let upstream = Upstream::on(TcpListener::bind("[::1]:0").unwrap(), |conversation| {
            loop {
                conversation.request()?;
                conversation.write(OK)?;
            }
        });
        for listen in ["[::1]:0", "[::]:0"] {
            let gateway = gateway(upstream.address, None, &["--listen", listen, "--admin", "[::1]:0"]);
            let address = SocketAddr::new("::1".parse().unwrap(), gateway.address.port());
            assert_eq!(verdicts(&gateway, address), (200, 403), "{listen}");
            assert_eq!(gateway.events(1)[0]["src_endpoint"]["ip"], "::1");
        }
        assert!(!upstream.text().contains("/?q="));
    });
    row.kept("200 and 403", None);
}

#[test]
fn dual_stack_has_the_same_verdicts_over_both() {
    let row = Row::new("39", "dual stack: the same verdicts over IPv4 and IPv6");
    let namespace = lonely("dual");
    namespace.inside(|| {
        let upstream = Upstream::ok();
        let gateway = gateway(upstream.address, None, &["--listen", "[::]:0"]);
        for (number, ip) in ["127.0.0.1", "::1"].into_iter().enumerate() {
            let address = SocketAddr::new(ip.parse().unwrap(), gateway.address.port());
            assert_eq!(verdicts(&gateway, address), (200, 403), "{ip}");
            assert_eq!(gateway.events(number + 1)[number]["src_endpoint"]["ip"], ip);
        }
    });
    row.kept("200 and 403 over both", None);
}
