//! Resolves `targetRefs` into what a sidecar can compare with itself: the selector of a Service, and numbers of ports.
//!
//! A workload is what its pods say: none of its own is watched. A target that is not there is told by name, and the others
//! count all the same (GEP-713).

use std::collections::BTreeSet;
use std::sync::Arc;

use rasp_policy::api::{TargetKind, TargetRef};
use rasp_policy::bundle::Target;
use rasp_policy::selector::Labels;

use crate::observe::{Pod, PortTarget, Service};

/// What is there of these targets, and what is not.
pub(super) fn resolve(
    refs: &[TargetRef],
    services: &[Arc<Service>],
    pods: &[Arc<Pod>],
) -> (Vec<Target>, Vec<String>) {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for target in refs {
        let (target, absent) = match target.kind {
            TargetKind::Service => service(target, services, pods),
            _ => workload(target, pods),
        };
        found.extend(target);
        missing.extend(absent);
    }
    (found, missing)
}

type Resolved = (Option<Target>, Option<String>);

fn service(target: &TargetRef, services: &[Arc<Service>], pods: &[Arc<Pod>]) -> Resolved {
    let Some(service) = services.iter().find(|service| service.name == target.name) else {
        return (None, Some(format!("{} is not there", target.text())));
    };
    if service.selector.is_empty() {
        return (None, Some(format!("{} selects no pods", target.text())));
    }
    let resolved = |ports| Target {
        kind: target.kind,
        name: target.name.clone(),
        selector: service.selector.clone(),
        ports,
    };
    let Some(section) = &target.section_name else { return (Some(resolved(None)), None) };
    let mut ports = BTreeSet::new();
    let mut missing = Some(format!("{} is not a port of it", target.text()));
    for (_, port) in service.ports.iter().filter(|(name, _)| name == section) {
        missing = None;
        match port {
            PortTarget::Number(number) => drop(ports.insert(*number)),
            PortTarget::Name(name) => {
                let of_service = resolved(None);
                let here = || pods.iter().filter(|pod| of_service.selects(pod.subject()));
                ports.extend(here().flat_map(|pod| named(pod, name)));
                if ports.is_empty() && here().next().is_some() {
                    missing = Some(format!("{} leads to a port {name} that no pod names", target.text()));
                }
            }
        }
    }
    (Some(resolved(Some(ports.into_iter().collect()))), missing)
}

fn workload(target: &TargetRef, pods: &[Arc<Pod>]) -> Resolved {
    let resolved =
        |ports| Target { kind: target.kind, name: target.name.clone(), selector: Labels::new(), ports };
    let all = resolved(None);
    let here = || pods.iter().filter(|pod| all.selects(pod.subject()));
    let absent = here().next().is_none().then(|| format!("{} has no pods", target.text()));
    let Some(section) = &target.section_name else { return (Some(all.clone()), absent) };
    let ports: BTreeSet<u16> = here().flat_map(|pod| named(pod, section)).collect();
    let unnamed = ports.is_empty().then(|| format!("{} is a port that no pod names", target.text()));
    (Some(resolved(Some(ports.into_iter().collect()))), absent.or(unnamed))
}

fn named<'a>(pod: &'a Pod, name: &'a str) -> impl Iterator<Item = u16> + 'a {
    pod.ports.iter().filter(move |(known, _)| known == name).map(|(_, number)| *number)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::resolve;
    use crate::observe::Pod;
    use crate::testing::{mk_pod_with, mk_service};

    fn pod(name: &str, app: &str, port: u16) -> Arc<Pod> {
        Arc::new(mk_pod_with(name, app, true, |pod| {
            pod["metadata"]["labels"]["pod-template-hash"] = json!("5d5");
            pod["metadata"]["ownerReferences"] = json!([{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{app}-5d5"), "uid": "u", "controller": true,
            }]);
            pod["spec"]["containers"][0]["ports"] = json!([
                { "name": "http", "containerPort": port },
                { "name": "dns", "containerPort": 53, "protocol": "UDP" },
            ]);
        }))
    }

    /// A target, its ports where it is found, and what is missing.
    type Row = (&'static str, Option<Option<&'static [u16]>>, &'static str);

    #[test]
    fn targets_become_selectors_and_numbers_of_ports() {
        let services = [
            mk_service(
                "web",
                &json!({ "app": "web" }),
                &json!([
                    { "name": "http", "port": 80, "targetPort": "http" },
                    { "name": "fixed", "port": 81, "targetPort": 8081 },
                    { "name": "plain", "port": 82 },
                    { "name": "lost", "port": 83, "targetPort": "nobody" },
                    { "name": "dns", "port": 53, "protocol": "UDP" },
                ]),
            ),
            mk_service("headless", &json!({}), &json!([])),
            mk_service(
                "empty",
                &json!({ "app": "none" }),
                &json!([{ "name": "http", "port": 80, "targetPort": "http" }]),
            ),
        ]
        .map(Arc::new);
        let pods = [pod("a", "web", 8080), pod("b", "web", 9090), pod("c", "api", 7070)];
        // target, ports, what is missing
        let table: [Row; 14] = [
            ("{kind: Service, name: web}", Some(None), ""),
            ("{kind: Service, name: web, sectionName: http}", Some(Some(&[8080, 9090])), ""),
            ("{kind: Service, name: web, sectionName: fixed}", Some(Some(&[8081])), ""),
            ("{kind: Service, name: web, sectionName: plain}", Some(Some(&[82])), ""),
            (
                "{kind: Service, name: web, sectionName: lost}",
                Some(Some(&[])),
                "Service/web port lost leads to a port nobody",
            ),
            (
                "{kind: Service, name: web, sectionName: dns}",
                Some(Some(&[])),
                "Service/web port dns is not a port of it",
            ),
            ("{kind: Service, name: empty, sectionName: http}", Some(Some(&[])), ""),
            ("{kind: Service, name: headless}", None, "Service/headless selects no pods"),
            ("{kind: Service, name: gone}", None, "Service/gone is not there"),
            ("{kind: Deployment, name: web}", Some(None), ""),
            ("{kind: Deployment, name: api, sectionName: http}", Some(Some(&[7070])), ""),
            (
                "{kind: Deployment, name: api, sectionName: grpc}",
                Some(Some(&[])),
                "Deployment/api port grpc is a port that no pod",
            ),
            // A workload whose first pod is still to come is selected by it.
            ("{kind: StatefulSet, name: web}", Some(None), "StatefulSet/web has no pods"),
            (
                "{kind: DaemonSet, name: web, sectionName: http}",
                Some(Some(&[])),
                "DaemonSet/web port http has no pods",
            ),
        ];
        for (target, ports, expected) in table {
            let target = serde_yaml::from_str(target).unwrap();
            let (found, missing) = resolve(&[target], &services, &pods);
            let found = found.first().map(|found| found.ports.as_deref());
            assert_eq!(found, ports, "{missing:?}");
            let said = missing.first().map(String::as_str).unwrap_or_default();
            assert!(said.starts_with(expected) && said.is_empty() == expected.is_empty(), "{said}");
        }
    }
}
