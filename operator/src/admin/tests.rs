use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kube::runtime::watcher::Event;

use super::{Readiness, start};
use crate::metrics::Metrics;
use crate::observe::Cache;

fn ask(address: SocketAddr, request_line: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "{request_line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn answers_kubelet_and_prometheus_and_nobody_else() {
    let (cache, metrics) = (Arc::new(Cache::default()), Arc::new(Metrics::new().unwrap()));
    let readiness = Arc::new(Readiness::new(Arc::clone(&cache)));
    let counted = Arc::clone(&metrics);
    let address = start("127.0.0.1:0".parse().unwrap(), Arc::clone(&readiness), metrics).unwrap();

    assert!(ask(address, "GET /livez").starts_with("HTTP/1.1 200"));
    let waiting = ask(address, "GET /readyz");
    assert!(waiting.starts_with("HTTP/1.1 503"), "{waiting}");
    assert!(
        waiting.ends_with("waiting for namespaces, pods, rasppolicies, configmaps, services, clusterrasppolicies, raspexceptions, certificate, ca_bundle, accepted_by_api_servers\n")
    );

    cache.update(|state| {
        state.namespaces.apply(Event::InitDone);
        state.pods.apply(Event::InitDone);
        state.policies.apply(Event::InitDone);
        state.services.apply(Event::InitDone);
        state.clusters.apply(Event::InitDone);
        state.exceptions.apply(Event::InitDone);
        state.bundles.apply(Event::InitDone)
    });
    readiness.serving.store(true, Ordering::Release);
    assert!(ask(address, "GET /readyz").ends_with("waiting for ca_bundle, accepted_by_api_servers\n"));
    readiness.ca_bundle.see(true);
    assert!(ask(address, "GET /readyz").ends_with("waiting for accepted_by_api_servers\n"));
    counted.secret_problem("certificate", Some("ends"));
    assert!(ask(address, "GET /readyz").ends_with("api_servers\nsecret of certificate: ends\n"));
    counted.secret_problem("certificate", None);
    readiness.accepted.store(true, Ordering::Release);
    assert!(ask(address, "GET /readyz").starts_with("HTTP/1.1 200"));
    assert!(readiness.injects());
    readiness.ca_bundle.see(false);
    assert!(
        ask(address, "GET /readyz").starts_with("HTTP/1.1 200"),
        "who breaks the configuration takes no replica from sidecars"
    );
    assert!(!readiness.injects(), "and nobody restarts a workload meanwhile");
    readiness.ca_bundle.see(true);
    assert!(readiness.injects());
    readiness.stopping.store(true, Ordering::Release);
    assert!(ask(address, "GET /readyz").starts_with("HTTP/1.1 503"));

    assert!(ask(address, "GET /metrics").contains("rasp_build_info{"));
    assert!(ask(address, "GET /metrics/").starts_with("HTTP/1.1 404"));
    assert!(ask(address, "POST /metrics").starts_with("HTTP/1.1 405"));
}
