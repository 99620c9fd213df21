//! Rows 21, 22 and 24: SIGTERM under load, the order in which a pod stops, and kill -9.

use std::collections::HashSet;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::application::{self, Process};
use super::cage::gateway;
use super::client::{Client, ask, get};
use super::row::{Row, is_late, pick};

const ATTACK: &str = "/?q=1%27%20OR%20%271%27=%271";
const POLICY: &str = "{mode: Block, response: {status: 418}}";
/// The grace of a gateway of these tests, and what a busy machine adds.
const GRACE: Duration = Duration::from_secs(9);

#[test]
fn sigterm_under_load_costs_no_request_of_a_client_that_honours_close() {
    let row = Row::new(
        "21",
        "SIGTERM under load: no failed request where clients honour close; exit 0 within the grace",
    );
    let app = application::start();
    let (mut asked, mut slowest) = (0, Duration::ZERO);
    for _ in 0..pick(2, 30) {
        let mut gateway = gateway(app, None, &[]);
        let address = gateway.address;
        let (gone, count) = (AtomicBool::new(false), AtomicUsize::new(0));
        let stopped = thread::scope(|scope| {
            for number in 0..8 {
                let (gone, count) = (&gone, &count);
                scope.spawn(move || {
                    let mut client = Client::connect(address);
                    loop {
                        client.send(get(if number % 2 == 0 { "/" } else { "/sleep/30" }));
                        let response = client.response();
                        assert_eq!(response.status(), 200);
                        count.fetch_add(1, Ordering::AcqRel);
                        if response.header("connection") == Some("close") {
                            // The endpoints of the service know it a moment after the signal.
                            if gone.load(Ordering::Acquire) {
                                return;
                            }
                            client = Client::connect(address);
                        }
                    }
                });
            }
            for length in 0..10 {
                scope.spawn(move || {
                    let mut client = Client::connect(address);
                    client.send(get(&format!("/bytes/{}", 3_000_000 + length)));
                    client.until(b"\r\n\r\n");
                    thread::sleep(Duration::from_millis(600));
                    assert_eq!(client.exactly(3_000_000 + length).len(), 3_000_000 + length);
                });
            }
            thread::sleep(Duration::from_millis(300));
            gateway.signal(Signal::TERM);
            let stopped = Instant::now();
            thread::sleep(Duration::from_millis(400));
            gone.store(true, Ordering::Release);
            stopped
        });
        assert_eq!(gateway.wait_for_exit(GRACE).code(), Some(0));
        slowest = slowest.max(stopped.elapsed());
        asked += count.into_inner();
    }
    row.kept(&format!("{asked} requests, slowest end {slowest:.1?}"), None);
}

#[test]
fn a_pod_that_stops_in_order_answers_the_last_request_and_a_job_completes() {
    let row = Row::new(
        "22",
        "the application stops first, or at once: what is in flight is answered, exit 0 at once",
    );
    let mut slowest = Duration::ZERO;
    for at_once in [false, true] {
        for _ in 0..pick(1, 20) {
            let app = Process::start();
            let mut gateway = gateway(app.address, None, &[]);
            let mut kept = Client::connect(gateway.address);
            kept.send(get("/"));
            assert_eq!(kept.response().status(), 200);
            let mut last = Client::connect(gateway.address);
            last.send(get("/sleep/300"));
            thread::sleep(Duration::from_millis(50));
            if at_once {
                gateway.signal(Signal::TERM);
                assert_eq!(last.response().text(), "slept");
                app.signal(Signal::TERM);
            } else {
                assert_eq!(last.response().text(), "slept");
                app.signal(Signal::TERM);
                drop(app);
                gateway.signal(Signal::TERM);
            }
            let started = Instant::now();
            assert_eq!(gateway.wait_for_exit(GRACE).code(), Some(0));
            slowest = slowest.max(started.elapsed());
            assert!(started.elapsed() < Duration::from_secs(4), "an idle connection holds it up");
        }
    }
    row.kept(&format!("slowest end {slowest:.1?}"), None);
}

#[test]
fn after_kill_9_it_is_back_with_the_same_verdicts_and_no_event_twice() {
    let row = Row::new("24", "kill -9: closed, back within a second with the same policy, no event twice");
    let app = application::start();
    let mut first = gateway(app, Some(POLICY), &[]);
    let (address, mut uids, mut slowest) = (first.address, HashSet::new(), Duration::ZERO);
    for _ in 0..pick(4, 100) {
        let mut open = Client::connect(address);
        open.send(get("/bytes/100000000"));
        open.exactly(100_000);
        assert_eq!(ask(address, get(ATTACK)).status(), 418);
        assert_eq!(ask(address, get(ATTACK)).status(), 418);
        for event in first.events(2) {
            assert!(uids.insert(event["finding_info"]["uid"].as_str().unwrap().to_owned()), "{event}");
        }
        first.signal(Signal::KILL);
        first.wait_for_exit(GRACE);
        assert!(open.rest().len() < 99_000_000, "cut off, not ended");
        assert!(TcpStream::connect(address).is_err(), "nobody serves");
        let started = Instant::now();
        first = gateway(app, Some(POLICY), &["--listen", &address.to_string()]);
        // The admin endpoints are open a moment before traffic is taken, and say so until then.
        loop {
            let ready = first.admin("/readyz");
            if ready.status() == 200 {
                break;
            }
            assert_eq!((ready.status(), &*ready.text()), (503, "traffic is not taken yet\n"));
            assert!(!is_late(started.elapsed(), GRACE), "never ready");
        }
        let answer = ask(address, get("/"));
        let metrics = || first.admin("/metrics").text();
        assert_eq!(answer.status(), 200, "{}{}\n{}\n{}", answer.head, answer.text(), first.log(), metrics());
        slowest = slowest.max(started.elapsed());
    }
    assert!(!is_late(slowest, Duration::from_secs(5)), "{slowest:?}");
    row.kept(&format!("slowest back {slowest:.2?}, {} events", uids.len()), None);
}
