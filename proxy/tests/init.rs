//! The packet rules on the real kernel, in network namespaces that each test makes for itself.
//!
//! Needs root, `ip`, `nft` and `setpriv` (apt-get install -y iproute2 nftables util-linux); fails without them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot prepare its world has failed")]

#[path = "init/proof.rs"]
mod proof;
#[path = "init/world.rs"]
mod world;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use proof::delete_rule;
use rasp_proxy::init::{self, Error, Form};
use world::{Answer, Namespace, POD_V4, POD_V6, Server, World, connect, connect_within, mk_config, v4, v6};

const INBOUND: u16 = 16143;
const ADMIN: u16 = 16191;
const SKIPPED: u16 = 9090;

const EVERY_V4: u16 = 8001;
const EVERY_V6: u16 = 8002;
const DUAL_STACK: u16 = 8003;
const ONE_V4: u16 = 8004;
const ONE_V6: u16 = 8005;
const LOOPBACK_V4: u16 = 8006;
const LOOPBACK_V6: u16 = 8007;
const MAPPED_V4: u16 = 8008;
const NOBODY: u16 = 8009;

/// Each port of the pod: is there a listener for its IPv4 address, and for its IPv6 address.
const PORTS: [(u16, bool, bool); 9] = [
    (EVERY_V4, true, false),
    (EVERY_V6, false, true),
    (DUAL_STACK, true, true),
    (ONE_V4, true, false),
    (ONE_V6, false, true),
    (MAPPED_V4, true, false),
    (LOOPBACK_V4, false, false),
    (LOOPBACK_V6, false, false),
    (NOBODY, false, false),
];

/// Each address of `PORTS`, and whether something listens there.
fn addresses() -> impl Iterator<Item = (SocketAddr, bool)> {
    PORTS.into_iter().flat_map(|(port, on_v4, on_v6)| [(v4(port), on_v4), (v6(port), on_v6)])
}

fn both(port: u16) -> [SocketAddr; 2] {
    [v4(port), v6(port)]
}

fn on(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), port)
}

/// The application in all its bindings, a skipped port, and the admin port of the sidecar.
fn start_apps(pod: &Namespace) -> Vec<Server> {
    vec![
        pod.serve("app", on("0.0.0.0", EVERY_V4)),
        pod.serve_v6_only("app", EVERY_V6),
        pod.serve("app", on("::", DUAL_STACK)),
        pod.serve("app", on(POD_V4, ONE_V4)),
        pod.serve("app", on(POD_V6, ONE_V6)),
        pod.serve("app", on("::ffff:192.0.2.2", MAPPED_V4)),
        pod.serve("app", on("127.0.0.1", LOOPBACK_V4)),
        pod.serve("app", on("::1", LOOPBACK_V6)),
        pod.serve("app", on("::", SKIPPED)),
        pod.serve("admin", on("::", ADMIN)),
    ]
}

fn start_sidecar(pod: &Namespace) -> Server {
    pod.serve("sidecar", on("::", INBOUND))
}

fn run(pod: &Namespace) -> Result<init::Outcome, Error> {
    pod.inside(|| init::run(&mk_config(&[SKIPPED])))
}

fn prove(pod: &Namespace) -> Result<init::Outcome, Error> {
    pod.inside(|| init::prove(&mk_config(&[SKIPPED])))
}

const GOLDEN: &str = include_str!("init/listeners.nft");
const GOLDEN_PLAIN: &str = include_str!("init/plain.nft");

#[test]
fn the_ruleset_in_force_is_the_golden_one() {
    let world = World::new();
    let outcome = run(&world.pod).unwrap();
    assert_eq!(outcome.form, Form::Listeners);
    assert_eq!(world.pod.nft("list ruleset"), GOLDEN);
    assert_eq!(prove(&world.pod).unwrap(), outcome);
}

#[test]
fn listeners_are_reached_through_the_sidecar_and_everything_else_is_refused() {
    let world = World::new();
    let _apps = start_apps(&world.pod);
    for (address, listens) in addresses() {
        let answer = world.dial(address);
        assert!(
            if listens { answer.is_app() } else { answer == Answer::Refused },
            "unprotected {address}: {answer:?}"
        );
    }

    run(&world.pod).unwrap();
    let sidecar = start_sidecar(&world.pod);
    for (address, listens) in addresses() {
        let expected = if listens { Answer::sidecar(address) } else { Answer::Refused };
        assert_eq!(world.dial(address), expected, "{address}");
    }
    for address in both(INBOUND) {
        assert_eq!(world.dial(address), Answer::Refused, "the inbound port itself, {address}");
    }
    assert_reached_directly(&world);

    drop(sidecar);
    for (address, _) in addresses() {
        assert_eq!(world.dial(address), Answer::Refused, "without a sidecar, {address}");
    }
    assert_reached_directly(&world);
}

fn assert_reached_directly(world: &World) {
    for address in both(SKIPPED) {
        assert!(world.dial(address).is_app(), "skipped port, {address}");
    }
    for address in both(ADMIN) {
        assert_eq!(world.dial(address), Answer::Greeting(format!("admin {address}")));
    }
}

#[test]
fn a_port_is_redirected_as_soon_as_something_listens_and_refused_when_it_ends() {
    let world = World::new();
    run(&world.pod).unwrap();
    let _sidecar = start_sidecar(&world.pod);
    for _ in 0..2 {
        assert_eq!(world.dial(v4(NOBODY)), Answer::Refused);
        let app = world.pod.serve("app", on("::", NOBODY));
        assert_eq!(world.dial(v4(NOBODY)), Answer::sidecar(v4(NOBODY)));
        drop(app);
    }
    assert_eq!(world.dial(v4(NOBODY)), Answer::Refused);
}

#[test]
fn traffic_inside_the_pod_is_untouched() {
    let world = World::new();
    run(&world.pod).unwrap();
    let _apps = start_apps(&world.pod);
    let _sidecar = start_sidecar(&world.pod);
    let inside = |address: SocketAddr| world.pod.inside(|| Answer::of(connect(address)));
    for address in [
        on("127.0.0.1", LOOPBACK_V4),
        on("::1", LOOPBACK_V6),
        on("127.0.0.1", DUAL_STACK),
        on("::1", DUAL_STACK),
        v4(DUAL_STACK),
        v6(DUAL_STACK),
        v4(ONE_V4),
        v6(ONE_V6),
    ] {
        let answer = inside(address);
        assert!(answer.is_app(), "{address}: {answer:?}");
    }
    assert_eq!(inside(v4(NOBODY)), Answer::Refused);
    // What the pod dials outside comes back to it.
    let _remote = world.client.serve("remote", on("::", 7000));
    for address in [on("192.0.2.1", 7000), on("fd00:db8::1", 7000)] {
        assert_eq!(inside(address), Answer::Greeting("remote none".to_owned()), "{address}");
    }
}

#[test]
fn udp_and_icmp_are_untouched() {
    let world = World::new();
    run(&world.pod).unwrap();
    let _sidecar = start_sidecar(&world.pod);
    for (pod_address, any) in [(v4(5353), on("0.0.0.0", 0)), (v6(5353), on("::", 0))] {
        let server = world.pod.udp(pod_address);
        let client = world.client.udp(any);
        client.connect(pod_address).unwrap();
        client.send(b"ping").unwrap();
        let mut buffer = [0; 16];
        let (length, peer) = server.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"ping");
        server.send_to(b"pong", peer).unwrap();
        assert_eq!(client.recv(&mut buffer).unwrap(), 4);
        // A closed port is answered by ICMP, which the socket tells as a refusal.
        drop(server);
        client.send(b"ping").unwrap();
        assert_eq!(
            client.recv(&mut buffer).unwrap_err().kind(),
            ErrorKind::ConnectionRefused,
            "{pod_address}"
        );
    }
}

#[test]
fn losing_either_table_never_opens_a_port() {
    let world = World::new();
    let _apps = start_apps(&world.pod);
    let _sidecar = start_sidecar(&world.pod);
    run(&world.pod).unwrap();
    world.pod.nft("delete table inet rasp-redirect");
    for (address, _) in addresses() {
        assert_eq!(world.dial(address), Answer::Refused, "guard alone, {address}");
    }
    run(&world.pod).unwrap();
    world.pod.nft("delete table inet rasp-guard");
    for (address, listens) in addresses() {
        let expected = if listens { Answer::sidecar(address) } else { Answer::Refused };
        assert_eq!(world.dial(address), expected, "redirect alone, {address}");
    }
}

#[test]
fn a_rule_of_others_that_ends_connection_tracking_does_not_open_a_port() {
    let world = World::new();
    let _apps = start_apps(&world.pod);
    let _sidecar = start_sidecar(&world.pod);
    run(&world.pod).unwrap();
    world.pod.nft("add table inet other");
    world.pod.nft("add chain inet other raw { type filter hook prerouting priority raw ; }");
    world.pod.nft("add rule inet other raw notrack");
    let brief =
        |address| world.client.inside(|| Answer::of(connect_within(address, Duration::from_millis(700))));
    for address in both(DUAL_STACK) {
        assert_eq!(brief(address), Answer::Other(ErrorKind::TimedOut), "{address}");
    }
    delete_rule(&world.pod, "rasp-guard", "input", 4);
    for address in both(DUAL_STACK) {
        assert!(brief(address).is_app(), "the attack works without the rule, {address}");
    }
}

#[test]
fn running_twice_changes_nothing_and_breaks_no_connection() {
    let world = World::new();
    let _apps = start_apps(&world.pod);
    let _sidecar = start_sidecar(&world.pod);
    run(&world.pod).unwrap();
    let mut open: Vec<_> = [v4(DUAL_STACK), v6(DUAL_STACK), v4(SKIPPED)]
        .into_iter()
        .map(|address| world.client.inside(|| connect(address)).unwrap())
        .collect();
    for round in 0..3 {
        run(&world.pod).unwrap();
        assert_eq!(world.pod.nft("list ruleset"), GOLDEN);
        for conversation in &mut open {
            assert!(conversation.echoes("still here"), "round {round}: {}", conversation.greeting);
        }
        assert_eq!(world.dial(v4(DUAL_STACK)), Answer::sidecar(v4(DUAL_STACK)));
    }
}

#[test]
fn tables_of_others_are_left_alone() {
    let world = World::new();
    world.pod.nft("add table inet other");
    world.pod.nft("add table ip rasp-guard");
    run(&world.pod).unwrap();
    let ruleset = world.pod.nft("list ruleset");
    assert_eq!(ruleset, format!("table inet other {{\n}}\ntable ip rasp-guard {{\n}}\n{GOLDEN}"));
}

#[test]
fn the_plain_form_redirects_every_port_and_still_guards() {
    let world = World::new();
    let _apps = start_apps(&world.pod);
    let sidecar = start_sidecar(&world.pod);
    let outcome = world.pod.inside(|| init::run_with(&mk_config(&[SKIPPED]), Form::Plain)).unwrap();
    assert_eq!(outcome.form, Form::Plain);
    assert_eq!(prove(&world.pod).unwrap().form, Form::Plain);
    assert_eq!(world.pod.nft("list ruleset"), GOLDEN_PLAIN);
    for (address, _) in addresses() {
        assert_eq!(world.dial(address), Answer::sidecar(address), "{address}");
    }
    for address in both(INBOUND) {
        assert_eq!(world.dial(address), Answer::Refused, "{address}");
    }
    assert_reached_directly(&world);
    drop(sidecar);
    for (address, _) in addresses() {
        assert_eq!(world.dial(address), Answer::Refused, "without a sidecar, {address}");
    }
}

#[test]
fn the_host_network_is_refused_and_stays_untouched() {
    let world = World::new();
    let mut config = mk_config(&[]);
    config.host_ips.push(POD_V6.parse().unwrap());
    let error = world.pod.inside(|| init::run(&config)).unwrap_err();
    assert!(matches!(error, Error::HostNetwork { .. }), "{error}");
    assert_eq!(world.pod.nft("list ruleset"), "");
}

/// `rasp-proxy init` as the init container runs it: UID 0 with these capabilities and no way to get more.
fn run_binary(pod: &Namespace, capabilities: &str) -> (bool, String) {
    let arguments = [
        "--bounding-set",
        capabilities,
        "--inh-caps",
        "-all",
        "--no-new-privs",
        env!("CARGO_BIN_EXE_rasp-proxy"),
        "init",
    ];
    let environment = [
        ("RASP_POD_IPS", "192.0.2.2,fd00:db8::2"),
        ("RASP_HOST_IPS", "192.0.2.1"),
        ("RASP_SKIP_INBOUND_PORTS", "9090"),
        ("RUST_BACKTRACE", "0"),
    ];
    let output = pod.command("setpriv", &arguments, &environment);
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_binary_needs_net_admin_and_nothing_else() {
    let world = World::new();
    let effective =
        ["--bounding-set", "-all,+net_admin", "--inh-caps", "-all", "grep", "CapEff", "/proc/self/status"];
    let output = world.pod.command("setpriv", &effective, &[]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "CapEff:\t0000000000001000\n");

    let (succeeded, text) = run_binary(&world.pod, "-all,+net_admin");
    assert!(succeeded, "{text}");
    assert_eq!(world.pod.nft("list ruleset"), GOLDEN);
}

#[test]
fn the_binary_without_net_admin_names_the_remedy() {
    let world = World::new();
    let (succeeded, text) = run_binary(&world.pod, "-all");
    assert!(!succeeded, "{text}");
    assert!(text.contains("NET_ADMIN"), "{text}");
    assert_eq!(world.pod.nft("list ruleset"), "");
}
