//! A pod without Kubernetes: two network namespaces, the packet rules of `rasp-proxy init`, a real `rasp-proxy sidecar`
//! with the sidecar's user and no capability, an application, and an operator that takes reports.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, its helpers too")]

#[expect(dead_code, reason = "shared with the tests of init, which use all of it")]
#[path = "proxy/client.rs"]
mod client;
#[path = "sidecar/pod.rs"]
mod pod;
#[expect(dead_code, reason = "shared with the tests of the gateway, which use all of it")]
#[path = "proxy/upstream.rs"]
mod upstream;
#[expect(dead_code, reason = "shared with the tests of init, which use all of it")]
#[path = "init/world.rs"]
mod world;

use std::net::SocketAddr;

use rasp_policy::api::Mode;
use rasp_policy::pod::Interception;
use rasp_policy::report::{EffectiveMode, PolicyState, Report};

use client::get;
use pod::{APPLICATION, Pod, SERVED, bundle};
use world::{v4, v6};

const ATTACK: &str = "/?q=1%27%20OR%20%271%27=%271";

fn status(pod: &Pod, address: SocketAddr, target: &str) -> u16 {
    pod.ask(address, &get(target)).status()
}

#[test]
fn a_pod_is_protected_from_its_first_request_to_its_last_policy() {
    let mut pod = Pod::start("Closed");
    assert_eq!(pod.admin("/livez").status(), 200);
    assert_eq!(pod.admin("/readyz").status(), 503, "no policy, and Closed");
    assert_eq!(status(&pod, v4(APPLICATION), "/"), 503);
    assert_eq!(pod.application.text(), "");
    assert_eq!(pod.report(|report| report.state == PolicyState::Bootstrapping).digest, None);

    pod.mount(&pod.signer.seal(&bundle(200, Mode::Block)));
    pod.wait_until_ready();
    for address in [v4(APPLICATION), v6(APPLICATION)] {
        assert_eq!(status(&pod, address, "/fine"), 200, "{address}");
        assert_eq!(status(&pod, address, ATTACK), 403, "{address}");
    }
    let arrived = pod.application.text();
    assert!(
        arrived.contains("x-forwarded-for: 192.0.2.1\r\n")
            && arrived.contains("x-forwarded-for: fd00:db8::1\r\n")
    );
    assert!(arrived.contains("GET /fine ") && !arrived.contains("OR"), "{arrived}");
    let current = pod.report(|report| report.state == PolicyState::Current);
    assert_eq!((current.mode, current.sequence), (EffectiveMode::Block, Some(200)));
    assert_eq!(current.sources[0].generation, 3);
    assert_eq!(current.pod.name, "web-1");

    pod.mount(&pod.stranger.seal(&bundle(300, Mode::Off)));
    let rejected = pod.report(|report| report.state == PolicyState::Rejected).rejected.unwrap();
    assert_eq!(rejected.reason, "signature");
    assert_eq!(status(&pod, v4(APPLICATION), ATTACK), 403, "the last good one stays");
    assert!(pod.metrics().contains("rasp_errors_total{kind=\"bundle_signature\"} 1\n"));

    // What a newer operator may say one day.
    let future = String::from_utf8(bundle(400, Mode::Off).to_bytes()).unwrap();
    let future = future.replacen("\"spec\":{", "\"spec\":{\"ofTheFuture\":{\"percent\":10},", 1);
    pod.mount(&pod.signer.seal_bytes(future.as_bytes()));
    let is_of_the_future =
        |report: &Report| report.rejected.as_ref().is_some_and(|rejected| rejected.reason == "unknown_field");
    let refused = pod.report(is_of_the_future);
    assert_eq!(
        (refused.state, refused.sequence, refused.mode),
        (PolicyState::Rejected, Some(200), EffectiveMode::Block)
    );
    let message = refused.rejected.unwrap().message;
    assert_eq!(message, "unknown field entries.0.spec.ofTheFuture", "an operator can tell people which");
    assert_eq!(status(&pod, v4(APPLICATION), ATTACK), 403, "half of a policy is not obeyed");
    assert!(pod.metrics().contains("rasp_errors_total{kind=\"bundle_unknown_field\"} 1\n"));

    pod.mount(&pod.signer.seal(&bundle(201, Mode::Monitor)));
    pod.report(|report| report.mode == EffectiveMode::Monitor);
    assert_eq!(status(&pod, v4(APPLICATION), ATTACK), 200);
    assert!(pod.terminate().success());
}

#[test]
fn the_probe_of_the_pod_spec_passes_and_nobody_else_who_looks_a_little_like_it() {
    let pod = Pod::start("Open");
    pod.mount(&pod.signer.seal(&bundle(200, Mode::Block)));
    pod.wait_until_ready();
    pod.report(|report| report.mode == EffectiveMode::Block && report.state == PolicyState::Current);
    let ask = |target: &str, agent: &str| {
        pod.ask(v4(APPLICATION), &format!("GET {target} HTTP/1.1\r\nHost: a\r\nUser-Agent: {agent}\r\n\r\n"))
            .status()
    };
    assert_eq!(ask(pod::PROBE, "kube-probe/1.37"), 200);
    assert_eq!(ask(pod::PROBE, "curl/8"), 403);
    assert_eq!(ask(&format!("{}&x=1", pod::PROBE), "kube-probe/1.37"), 403);
    assert!(pod.metrics().contains("rasp_uninspected_total{reason=\"probe\"} 1\n"));
}

#[test]
fn whoever_dials_the_sidecar_itself_is_reset() {
    let pod = Pod::start("Open");
    pod.wait_until_ready();
    assert!(pod.is_refused_from_inside(SocketAddr::from(([127, 0, 0, 1], 16143))));
    assert!(
        pod.metrics().contains("rasp_errors_total{kind=\"original_destination\"} 1\n")
            || pod.metrics().contains("rasp_errors_total{kind=\"destination\"} 1\n")
    );
    assert_eq!(status(&pod, v4(APPLICATION), ATTACK), 200, "without a policy Open passes");
    assert!(pod.metrics().contains("rasp_uninspected_total{reason=\"no_policy\"} 1\n"));
}

#[test]
fn without_packet_rules_the_sidecars_own_port_is_inspected_and_what_goes_around_it_is_told() {
    let pod = Pod::without_packet_rules("::");
    pod.mount(&pod.signer.seal(&bundle(200, Mode::Block)));
    pod.wait_until_ready();
    let told = pod.report(|report| report.state == PolicyState::Current);
    assert_eq!(told.mode, EffectiveMode::Block);
    assert_eq!((told.interception, told.bypassable), (Interception::None, vec![APPLICATION]));
    for address in [v4(SERVED), v6(SERVED)] {
        assert_eq!(status(&pod, address, "/fine"), 200, "{address}");
        assert_eq!(status(&pod, address, ATTACK), 403, "{address}");
    }
    assert!(!pod.application.text().contains("OR"));
    assert!(
        pod.metrics().contains("rasp_requests_total{port=\"8080\",verdict=\"block\"} 2\n"),
        "{}",
        pod.metrics()
    );
    assert_eq!(status(&pod, v4(APPLICATION), ATTACK), 200, "the weaker guarantee");
}

#[test]
fn without_packet_rules_an_application_on_loopback_is_served_and_nobody_gets_around() {
    let mut pod = Pod::without_packet_rules("127.0.0.1");
    pod.mount(&pod.signer.seal(&bundle(200, Mode::Block)));
    pod.wait_until_ready();
    let told = pod.report(|report| report.state == PolicyState::Current);
    assert_eq!(told.mode, EffectiveMode::Block);
    assert_eq!((told.interception, told.bypassable), (Interception::None, vec![]));
    for address in [v4(SERVED), v6(SERVED)] {
        assert_eq!(status(&pod, address, "/fine"), 200, "{address}");
        assert_eq!(status(&pod, address, ATTACK), 403, "{address}");
    }
    assert!(pod.terminate().success());
}
