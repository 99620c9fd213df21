//! More than there is room for: probes of the kubelet keep their places, and an application that takes no connections is
//! not dialled for everybody.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rasp_proxy::connection::Target;
use rasp_proxy::limits::{Limits, Timers};
use rasp_proxy::load::Load;
use socket2::{Domain, Socket, Type};

use super::client::{Client, ask, get};
use super::timers::{ALL_LONG, gateway, serve_changed};
use super::upstream::{OK, Upstream};

const PROBE: &str = "GET /ready HTTP/1.1\r\nHost: a\r\nUser-Agent: kube-probe/1.37\r\n\r\n";
/// Probes of one peer at once, and what is asked on top.
const PLACES: usize = 16;
const MORE: usize = 8;

/// A client at another address of this machine.
fn from(source: Ipv4Addr, address: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    Client::over(stream)
}

#[test]
fn a_flood_of_probes_has_few_places_and_the_kubelet_is_answered_all_the_same() {
    let answers = Arc::new(AtomicBool::new(false));
    let go = Arc::clone(&answers);
    let upstream = Upstream::start(move |conversation| {
        conversation.request()?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while !go.load(Ordering::Acquire) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        conversation.write(OK)
    });
    let target = Target::Gateway(upstream.address.to_string().into(), upstream.address.port());
    let inside = serve_changed(target, ALL_LONG, 1 << 20, |shared| {
        shared.load = Load::new(&Limits { in_flight: 0, ..Limits::in_pod() });
    });
    let mut flood: Vec<Client> = (0..PLACES).map(|_| Client::connect(inside.address)).collect();
    for client in &mut flood {
        client.send(PROBE);
    }
    let arrived = |count| {
        let deadline = Instant::now() + Duration::from_secs(10);
        while upstream.text().matches("GET /ready ").count() < count {
            assert!(Instant::now() < deadline, "{count} probes did not arrive");
            thread::sleep(Duration::from_millis(5));
        }
    };
    arrived(PLACES);
    for _ in 0..MORE {
        let answer = ask(inside.address, PROBE);
        assert_eq!((answer.status(), answer.header("retry-after")), (503, Some("1")));
    }
    let mut kubelet = from(Ipv4Addr::new(127, 0, 0, 2), inside.address);
    kubelet.send(PROBE);
    arrived(PLACES + 1);
    answers.store(true, Ordering::Release);
    assert_eq!(kubelet.response().status(), 200);
    for client in &mut flood {
        assert_eq!(client.response().status(), 200);
    }
    assert_eq!(ask(inside.address, PROBE).status(), 200, "the places are given back");
    assert_eq!(ask(inside.address, get("/")).status(), 503, "what is no probe has none");
}

/// A port that takes no connection and refuses none: its queue is full.
pub fn full() -> (TcpListener, Vec<TcpStream>) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let dial = || TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
    let queued = (0..10).map_while(|_| dial()).collect();
    (listener, queued)
}

#[test]
fn an_application_that_takes_no_connections_is_not_dialled_for_everybody_and_used_again_once_it_does() {
    let (listener, queued) = full();
    let address = listener.local_addr().unwrap();
    let inside = gateway(address, Timers { connect: Duration::from_millis(100), ..ALL_LONG });
    let deadline = Instant::now() + Duration::from_secs(10);
    let crowd = || {
        thread::scope(|scope| {
            let asked: Vec<_> =
                (0..20).map(|_| scope.spawn(|| ask(inside.address, get("/")).status())).collect();
            asked.into_iter().map(|asked| asked.join().unwrap()).collect::<Vec<_>>()
        })
    };
    while !inside.has_counted("upstream_fail_fast") {
        assert!(Instant::now() < deadline, "everybody waited for the same");
        assert!(crowd().iter().all(|status| *status == 502));
    }
    inside.told("connect_timeout");
    drop(queued);
    let _upstream = Upstream::on(listener, |conversation| {
        conversation.request()?;
        conversation.write(OK)
    });
    let deadline = Instant::now() + Duration::from_secs(10);
    while ask(inside.address, get("/")).status() != 200 {
        assert!(Instant::now() < deadline, "it is back, and not used");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_request_that_has_waited_for_the_application_is_not_made_to_wait_for_it_again() {
    let (listener, _queued) = full();
    let timers = Timers { connect: Duration::from_secs(1), ..ALL_LONG };
    let inside = gateway(listener.local_addr().unwrap(), timers);
    assert_eq!(ask(inside.address, get("/")).status(), 502);
    let metrics = String::from_utf8(inside.metrics.render()).unwrap();
    assert!(metrics.contains("rasp_errors_total{kind=\"connect_timeout\"} 1\n"), "{metrics}");
}
