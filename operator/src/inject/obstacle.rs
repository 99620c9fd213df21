//! What stands against injecting a pod, in the order in which it is told: not wanted, not possible, in conflict with
//! what the pod asks for. And what weakens the protection of a pod that is injected.

use rasp_policy::pod::{
    ADMIN_PORT, INBOUND_PORT, INJECT_LABEL, Interception, OUTBOUND_PORT, PORT_PROTOCOLS, PROXY_UID, TLS,
};
use serde_json::Value;

use super::annotation::Tuning;
use super::pod::{Container, Pod};
use super::reason::{Mesh, Reason};
use super::{Level, NamespaceFacts, port, probe};

/// The pod or its namespace does not ask for injection.
pub(super) fn unwanted(pod: &Pod<'_>, level: Level) -> Result<(), Reason> {
    // A mirror shows what a node runs from a file: the kubelet never starts anything from it, so the annotation cannot
    // be used to evade injection.
    if pod.annotation("kubernetes.io/config.mirror").is_some() {
        return Err(Reason::StaticPod);
    }
    match (level, pod.label(INJECT_LABEL)) {
        (Level::Enabled | Level::Object, Some("false")) => Err(Reason::OptedOut),
        (Level::Enabled | Level::Enforced, _) | (Level::Object, Some("true")) => Ok(()),
        (Level::Object, _) => Err(Reason::NotOptedIn),
    }
}

/// The sidecar could not do its work in this pod.
pub(super) fn impossible(pod: &Pod<'_>, namespace: &NamespaceFacts) -> Result<(), Reason> {
    if pod.spec("hostNetwork").and_then(Value::as_bool) == Some(true) {
        return Err(Reason::HostNetwork);
    }
    let text = |outer, inner| pod.spec(outer).and_then(|value| value.get(inner)).and_then(Value::as_str);
    if text("os", "name") == Some("windows") || text("nodeSelector", "kubernetes.io/os") == Some("windows") {
        return Err(Reason::Windows);
    }
    if let Some(mesh) = mesh_of_namespace(pod, namespace) {
        return Err(Reason::MeshSidecar { mesh, by_namespace: true });
    }
    match mesh_of_pod(pod) {
        Some(mesh) => Err(Reason::MeshSidecar { mesh, by_namespace: false }),
        None => Ok(()),
    }
}

const ISTIO_INJECT: &str = "sidecar.istio.io/inject";
const ISTIO_AMBIENT: &str = "istio.io/dataplane-mode";
const LINKERD_INJECT: &str = "linkerd.io/inject";

/// The namespace is in a mesh and the pod does not opt out of it. The mesh's own webhook may run after ours, so its
/// containers need not be there yet.
fn mesh_of_namespace(pod: &Pod<'_>, namespace: &NamespaceFacts) -> Option<Mesh> {
    let label = |key| namespace.labels.get(key).map(String::as_str);
    let sidecar = label("istio-injection") == Some("enabled") || label("istio.io/rev").is_some();
    let sidecar = sidecar && label("istio-injection") != Some("disabled");
    let opted_out = pod.label(ISTIO_INJECT).or(pod.annotation(ISTIO_INJECT)) == Some("false");
    let ambient = label(ISTIO_AMBIENT) == Some("ambient") && pod.label(ISTIO_AMBIENT) != Some("none");
    if (sidecar && !opted_out) || ambient {
        return Some(Mesh::Istio);
    }
    let linkerd = namespace.annotations.get(LINKERD_INJECT).is_some_and(|value| linkerd_injects(value));
    (linkerd && pod.annotation(LINKERD_INJECT) != Some("disabled")).then_some(Mesh::Linkerd)
}

fn mesh_of_pod(pod: &Pod<'_>) -> Option<Mesh> {
    let has = |name| pod.containers().any(|container| container.name() == name);
    let asks = pod.label(ISTIO_INJECT).or(pod.annotation(ISTIO_INJECT)) == Some("true");
    let ambient = pod.label(ISTIO_AMBIENT) == Some("ambient");
    if has("istio-proxy") || pod.annotation("sidecar.istio.io/status").is_some() || asks || ambient {
        return Some(Mesh::Istio);
    }
    let linkerd = has("linkerd-proxy")
        || pod.annotation("linkerd.io/proxy-version").is_some()
        || pod.annotation(LINKERD_INJECT).is_some_and(linkerd_injects);
    linkerd.then_some(Mesh::Linkerd)
}

fn linkerd_injects(value: &str) -> bool {
    matches!(value, "enabled" | "ingress")
}

/// The pod asks for what belongs to the sidecar.
pub(super) fn conflicting(pod: &Pod<'_>) -> Result<(), Reason> {
    if let Some(member) = own_id(pod.spec("securityContext")) {
        return Err(Reason::OwnUidInUse { field: format!("spec.securityContext.{member}") });
    }
    for container in pod.foreign_containers() {
        if let Some(member) = own_id(container.value().get("securityContext")) {
            return Err(Reason::OwnUidInUse { field: container.path(&format!("securityContext.{member}")) });
        }
        if let Some((index, port)) = own_port(container) {
            let field = container.path(&format!("ports[{index}].containerPort"));
            return Err(Reason::OwnPortInUse { field, port });
        }
    }
    Ok(())
}

/// The member of a security context, of a pod or of a container, that gives a process the id of the proxy.
fn own_id(context: Option<&Value>) -> Option<&'static str> {
    let context = context?;
    let is_own = |value: &Value| value.as_i64() == Some(PROXY_UID);
    let single = ["runAsUser", "runAsGroup", "fsGroup"];
    let single = single.into_iter().find(|member| context.get(*member).is_some_and(is_own));
    let groups = || context.get("supplementalGroups").and_then(Value::as_array);
    single.or_else(|| groups()?.iter().any(is_own).then_some("supplementalGroups"))
}

fn own_port(container: Container<'_>) -> Option<(usize, u16)> {
    // The proxy listens on TCP alone.
    let is_tcp = |port: &Value| matches!(port.get("protocol").and_then(Value::as_str), None | Some("TCP"));
    container.ports().enumerate().filter(|(_, port)| is_tcp(port)).find_map(|(index, port)| {
        let port = u16::try_from(port.get("containerPort")?.as_u64()?).ok()?;
        [INBOUND_PORT, OUTBOUND_PORT, ADMIN_PORT].contains(&port).then_some((index, port))
    })
}

/// What an injected pod can still do to escape inspection.
pub(super) fn weakening(
    pod: &Pod<'_>,
    level: Level,
    tuning: &Tuning,
    interception: Interception,
) -> Vec<String> {
    let redirects = interception == Interception::Redirect;
    let mut warnings = Vec::new();
    if let Some(value) = pod.label(INJECT_LABEL).filter(|value| !["true", "false"].contains(value)) {
        warnings
            .push(format!("label {INJECT_LABEL} is {value:?} and has no effect: use \"true\" or \"false\""));
    } else if level == Level::Enforced && pod.label(INJECT_LABEL) == Some("false") {
        warnings
            .push(format!("label {INJECT_LABEL}: \"false\" has no effect: the namespace enforces injection"));
    }
    for port in port::opaque_by_name(pod, tuning) {
        warnings.push(format!(
            "port {port} is not inspected: its name is that of another protocol than HTTP; {PORT_PROTOCOLS} can say more"
        ));
    }
    for tls in &tuning.tls {
        let mut running = pod.foreign_containers().filter(|container| container.keeps_running());
        if redirects && running.any(|container| probe::plain_ports(container).any(|port| port == tls.port)) {
            warnings.push(format!(
                "a probe of port {} will fail: it is in plain text, and {TLS} expects TLS: set its scheme to HTTPS",
                tls.port
            ));
        }
    }
    for container in pod.foreign_containers() {
        if let Some(member) = rules_power(container.value()).filter(|_| redirects) {
            let field = container.path(&format!("securityContext.{member}"));
            warnings.push(format!("{field} lets the container remove the packet rules: leave it out"));
        }
        for port in container.ports() {
            let port =
                port.get("containerPort").and_then(Value::as_u64).and_then(|port| port.try_into().ok());
            if let Some(port) = port.filter(|port| tuning.skip_inbound_ports.contains(port)) {
                let name = container.name();
                warnings.push(format!(
                    "port {port} of container {name} is not inspected: an annotation skips it"
                ));
            }
        }
    }
    warnings
}

/// The member of a container's security context that allows it to change the packet rules of the pod.
fn rules_power(container: &Value) -> Option<&'static str> {
    let context = container.get("securityContext")?;
    if context.get("privileged").and_then(Value::as_bool) == Some(true) {
        return Some("privileged");
    }
    let added = context.get("capabilities")?.get("add")?.as_array()?;
    // Some runtimes take small letters, and the prefix of the kernel.
    let added = added.iter().filter_map(Value::as_str).map(str::to_ascii_uppercase);
    let mut names = added.map(|name| name.strip_prefix("CAP_").unwrap_or(&name).to_owned());
    names.any(|name| matches!(name.as_str(), "NET_ADMIN" | "SYS_ADMIN" | "ALL")).then_some("capabilities.add")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::rules_power;

    #[test]
    fn a_capability_is_one_in_every_spelling_that_a_runtime_takes() {
        let table = [
            ("NET_ADMIN", true),
            ("net_admin", true),
            ("CAP_NET_ADMIN", true),
            ("cap_sys_admin", true),
            ("All", true),
            ("NET_RAW", false),
            ("CAP_CAP_NET_ADMIN", false),
            ("", false),
        ];
        for (name, expected) in table {
            let container = json!({ "securityContext": { "capabilities": { "add": ["CHOWN", name] } } });
            assert_eq!(rules_power(&container), expected.then_some("capabilities.add"), "{name}");
        }
        assert_eq!(rules_power(&json!({ "securityContext": { "privileged": true } })), Some("privileged"));
    }
}
