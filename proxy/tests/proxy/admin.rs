//! The admin endpoints while everything else is in trouble: nothing that traffic does may keep a probe waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rasp_engine::{Classes, Head, Inspection, Ruleset};
use rasp_policy::api::FailureMode;
use rasp_proxy::admin::{self, Admin};
use rasp_proxy::connection::Target;
use rasp_proxy::listener;
use rasp_proxy::policy::InForce;

use super::client::{Client, ask, get};
use super::gateway::Gateway;
use super::process::ticks;
use super::timers::{ALL_LONG, serve_changed};
use super::upstream::Upstream;

const PATHS: [&str; 3] = ["/livez", "/readyz", "/metrics"];

static SPINS: AtomicBool = AtomicBool::new(false);
static ENOUGH: AtomicBool = AtomicBool::new(false);

/// A detector that does not come to an end.
fn spins(ruleset: &Ruleset, head: &Head<'_>, without: Classes) -> Inspection {
    while !ENOUGH.load(Ordering::Acquire) {
        SPINS.store(true, Ordering::Release);
        std::hint::spin_loop();
    }
    ruleset.inspect_head_without(head, without)
}

/// However the test ends, the processor is given back.
struct Stop;

impl Drop for Stop {
    fn drop(&mut self) {
        ENOUGH.store(true, Ordering::Release);
    }
}

#[test]
fn a_worker_that_spins_in_a_detector_does_not_keep_the_admin_endpoints_from_answering() {
    let stop = Stop;
    let upstream = Upstream::ok();
    let target = Target::Gateway(upstream.address.to_string().into(), upstream.address.port());
    let mut about = None;
    let inside = serve_changed(target, ALL_LONG, 1 << 20, |shared| {
        shared.inspect = spins;
        about = Some(Admin {
            metrics: Arc::clone(&shared.metrics),
            policy: Arc::clone(&shared.policy),
            tls: Arc::clone(&shared.tls),
            listening: AtomicBool::new(true),
        });
    });
    let socket = listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    admin::start(socket, Arc::new(about.unwrap())).unwrap();

    let mut clients = [Client::connect(inside.address), Client::connect(inside.address)];
    clients[0].send(get("/"));
    let deadline = Instant::now() + Duration::from_secs(10);
    while !SPINS.load(Ordering::Acquire) {
        assert!(Instant::now() < deadline, "the detector was not run");
        thread::sleep(Duration::from_millis(5));
    }
    clients[1].send(get("/"));
    for path in PATHS.repeat(5) {
        assert_eq!(ask(address, get(path)).status(), 200, "{path}");
    }
    assert_eq!(upstream.text(), "", "the only worker is busy with the first request");
    drop(stop);
    for client in &mut clients {
        assert_eq!(client.response().status(), 200);
    }
}

#[test]
fn a_process_is_not_ready_before_it_takes_traffic_and_says_why() {
    let mut about = None;
    let inside = serve_changed(Target::Gateway("127.0.0.1:1".into(), 1), ALL_LONG, 1 << 20, |shared| {
        about = Some(Admin {
            metrics: Arc::clone(&shared.metrics),
            policy: Arc::clone(&shared.policy),
            tls: Arc::clone(&shared.tls),
            listening: AtomicBool::new(false),
        });
    });
    let socket = listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let (address, about) = (socket.local_addr().unwrap(), Arc::new(about.unwrap()));
    admin::start(socket, Arc::clone(&about)).unwrap();
    let ready = || {
        let response = ask(address, get("/readyz"));
        (response.status(), response.text())
    };
    assert_eq!(ready(), (503, "traffic is not taken yet\n".to_owned()));
    assert_eq!(ask(address, get("/livez")).status(), 200);
    about.listening.store(true, Ordering::Release);
    assert_eq!(ready(), (200, "ok\n".to_owned()));
    inside.policy.replace(InForce::bootstrapping(Ruleset::bootstrapping(FailureMode::Closed)));
    assert_eq!(ready(), (503, "no policy was loaded yet\n".to_owned()));
}

#[test]
fn want_of_file_descriptors_pauses_the_admin_endpoints_which_neither_spin_nor_die() {
    let upstream = Upstream::ok();
    let gateway = Gateway::start(upstream.address);
    assert_eq!(gateway.admin("/livez").status(), 200);
    let limit = gateway.limit_files(Some(3));
    let mut waiting: Vec<Client> = PATHS.iter().map(|_| Client::connect(gateway.admin)).collect();
    for (client, path) in waiting.iter_mut().zip(PATHS) {
        client.send(get(path));
    }
    let before = ticks(gateway.pid());
    thread::sleep(Duration::from_secs(1));
    let used = ticks(gateway.pid()) - before;
    assert!(used < 50, "{used} % of a processor");
    gateway.limit_files(limit);
    for client in &mut waiting {
        assert_eq!(client.response().status(), 200);
    }
    assert_eq!(gateway.admin("/livez").status(), 200);
}
