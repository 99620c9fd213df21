//! Judges what is there before kube-rasp is: versions, clocks, nodes, definitions, rights. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use serde_json::Value;

use super::line::{Check, Line};
use super::look::{ClusterSeen, Version};
use super::needs::Need;
use crate::cluster::Seen;
use crate::fleet::text;
use crate::print::some;

/// Native sidecars are stable since then.
const KUBERNETES: (u32, u32) = (1, 33);
/// A kubelet before it starts no native sidecar.
const KUBELET: (u32, u32) = (1, 29);
/// Every kernel since then can have nft_socket.
const KERNEL: (u32, u32) = (5, 0);
/// Seconds that clocks may differ: certificates, tokens and the order of Bundles stand on them.
const SKEW: (i64, i64) = (5, 60);

/// All lines.
pub fn judge(seen: &ClusterSeen, pre: bool) -> Vec<Line> {
    vec![
        version(&seen.version),
        clock(&seen.time, &seen.leases),
        nodes(&seen.nodes),
        crds(&seen.crds, pre),
        rights(&seen.rights, pre),
    ]
}

/// The line about the API server itself.
pub fn version(version: &Seen<Version>) -> Line {
    let check = Check::KubernetesVersion;
    let (major, minor, name) = match version {
        Ok(version) => version,
        Err(error) => {
            return check.fail(format!("the API server does not answer: {error}"), "look at the kubeconfig");
        }
    };
    match pair(&format!("{major}.{minor}")) {
        Some(found) if found >= KUBERNETES => check.pass(name.as_str()),
        _ => check.fail(name.as_str(), "kube-rasp needs Kubernetes 1.33 or later"),
    }
}

/// The first two numbers of a version: `5.10.0-34-amd64`, `v1.33.2`, `1.33+`.
fn pair(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.trim_start_matches('v').split(|char: char| !char.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn clock(time: &Seen<(Timestamp, Timestamp)>, leases: &Seen<Vec<(String, Timestamp)>>) -> Line {
    const HINT: &str =
        "synchronise the clocks (NTP): certificates, tokens and the order of policies stand on them";
    let check = Check::Clock;
    let (server, own) = match time {
        Ok(time) => time,
        Err(error) => return check.unseen(error),
    };
    let skew = own.as_second() - server.as_second();
    // A lease is renewed every 10 s: it may be old, but not of the future.
    let ahead: Vec<String> = leases
        .iter()
        .flatten()
        .filter(|(_, renewed)| renewed.as_second() - server.as_second() > SKEW.0)
        .map(|(node, renewed)| format!("{node} (by {} s)", renewed.as_second() - server.as_second()))
        .collect();
    let nodes = match leases {
        Ok(leases) => format!("no clock of {} nodes is ahead of it", leases.len()),
        Err(_) => "the clocks of nodes are not visible".to_owned(),
    };
    let this = format!("this machine is {} s from the API server", skew.abs());
    if !ahead.is_empty() {
        return check.fail(format!("{this}; ahead of it are {}", some(&ahead)), HINT);
    }
    match skew.abs() {
        skew if skew > SKEW.1 => check.fail(format!("{this}; {nodes}"), HINT),
        skew if skew > SKEW.0 => check.warn(format!("{this}; {nodes}"), HINT),
        _ => check.pass(format!("{this}; {nodes}")),
    }
}

fn nodes(nodes: &Seen<Vec<Node>>) -> Line {
    let check = Check::Nodes;
    let nodes = match nodes {
        Ok(nodes) => nodes,
        Err(error) => return check.unseen(error),
    };
    let (mut old_kubelet, mut old_kernel, mut windows) = (Vec::new(), Vec::new(), Vec::new());
    for node in nodes {
        let name = node.metadata.name.clone().unwrap_or_default();
        let Some(info) = node.status.as_ref().and_then(|status| status.node_info.as_ref()) else { continue };
        if info.operating_system == "windows" {
            windows.push(name);
            continue;
        }
        if pair(&info.kubelet_version).is_none_or(|version| version < KUBELET) {
            old_kubelet.push(format!("{name} ({})", info.kubelet_version));
        }
        if pair(&info.kernel_version).is_none_or(|version| version < KERNEL) {
            old_kernel.push(format!("{name} ({})", info.kernel_version));
        }
    }
    if !old_kubelet.is_empty() {
        return check.fail(
            format!("the kubelet is too old for native sidecars on {}", some(&old_kubelet)),
            "raise these nodes to Kubernetes 1.33",
        );
    }
    if !old_kernel.is_empty() {
        return check.warn(
            format!("the kernel is older than 5.0 on {}", some(&old_kernel)),
            "where nft_socket is missing every port is redirected (README, What it cannot see); without nftables rasp-init fails and says so",
        );
    }
    if !windows.is_empty() {
        return check.warn(
            format!("{} of {} nodes run Windows: {}", windows.len(), nodes.len(), some(&windows)),
            "pods on them are not protected",
        );
    }
    check.pass(format!(
        "{} nodes, kernels 5.0 or later; whether nftables and nft_socket are built in is not visible from here: rasp-init proves it in each pod",
        nodes.len()
    ))
}

fn crds(crds: &[(Value, Seen<Option<Value>>)], pre: bool) -> Line {
    let check = Check::Crds;
    let mut names = Vec::new();
    for (wanted, found) in crds {
        let name = text(wanted, "/metadata/name").to_owned();
        let found = match found {
            Ok(Some(found)) => found,
            Ok(None) if pre => continue,
            Ok(None) => {
                return check.fail(
                    format!("{name} is not there"),
                    "install the chart kube-rasp-crds, or apply manifests/crds.yaml",
                );
            }
            Err(error) => return check.unseen(error),
        };
        let (wanted, there) = (fields(wanted), fields(found));
        if let Some(missing) = wanted.difference(&there).next() {
            let message = format!("{name} is of another version: it lacks {missing}");
            let hint = "raise the chart kube-rasp-crds to the version of this program";
            return if pre { check.warn(message, hint) } else { check.fail(message, hint) };
        }
        if let Some(more) = there.difference(&wanted).next() {
            return check.warn(
                format!("{name} is of a newer version: it has {more}"),
                "use the raspctl of that version",
            );
        }
        if !is_established(found) {
            return check
                .fail(format!("{name} is not established"), format!("kubectl describe crd {name} says why"));
        }
        names.push(name);
    }
    if names.is_empty() {
        return check.pass("none is there yet, which is right before the installation");
    }
    check.pass(format!("{} of this version", some(&names)))
}

fn is_established(crd: &Value) -> bool {
    let conditions = crd.pointer("/status/conditions").and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        .any(|condition| text(condition, "/type") == "Established" && text(condition, "/status") == "True")
}

/// Paths of all fields of all versions of a definition.
fn fields(crd: &Value) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let versions = crd.pointer("/spec/versions").and_then(Value::as_array);
    for version in versions.into_iter().flatten() {
        if let Some(schema) = version.pointer("/schema/openAPIV3Schema") {
            collect(schema, text(version, "/name"), &mut paths);
        }
    }
    paths
}

fn collect(schema: &Value, path: &str, paths: &mut BTreeSet<String>) {
    for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = format!("{path}.{name}");
        collect(schema, &path, paths);
        paths.insert(path);
    }
    if let Some(items) = schema.get("items") {
        collect(items, &format!("{path}[]"), paths);
    }
}

fn rights(rights: &Seen<(usize, Vec<Need>)>, pre: bool) -> Line {
    let check = Check::Permissions;
    let who = if pre { "you lack" } else { "the operator lacks" };
    match rights {
        Ok((asked, missing)) if missing.is_empty() => {
            let who = if pre { "to install kube-rasp" } else { "of the operator" };
            check.pass(format!("all {asked} rights {who}"))
        }
        Ok((asked, missing)) => {
            let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
            let hint = if pre {
                "install as a cluster administrator"
            } else {
                "install the chart of this version again: its roles grant exactly this"
            };
            check.fail(format!("{who} {} of {asked} rights: {}", missing.len(), some(&names)), hint)
        }
        Err(error) => check.unseen(error),
    }
}

#[cfg(test)]
mod tests;
