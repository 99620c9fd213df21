//! Renders the two containers and the volumes that injection adds. Every security setting is written on the
//! container, so that none of the pod's own settings (`runAsNonRoot`, `runAsUser`, a seccomp profile) reaches ours.

use std::collections::BTreeSet;

use rasp_policy::api::FailureMode;
use rasp_policy::pod::{
    ADMIN_PORT, ADMIN_PORT_NAME, BUNDLE_CONFIG_MAP, BUNDLE_KEY, CONFIG_DIR, CONFIG_VOLUME, DEFAULT_GRACE,
    INIT_CONTAINER, Interception, LABELS_FILE, PROXY_CONTAINER, PROXY_UID, RUN_DIR, RUN_VOLUME, TOKEN_FILE,
    env, networks_text,
};
use rasp_policy::report;
use serde_json::{Value, json};

use super::annotation::Tuning;
use super::pod::Pod;
use super::{NamespaceFacts, Settings, failure_mode, intercept, port, probe, tls, workload};

/// What is added to a pod.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rendered {
    /// Sets and proves the packet rules; none where they may not be set.
    pub(super) init: Option<Value>,
    /// The native sidecar.
    pub(super) proxy: Value,
    /// Mounted by the sidecar only.
    pub(super) volumes: Vec<Value>,
}

/// What decides about the additions to one pod.
pub(super) struct Input<'a> {
    pub(super) pod: &'a Pod<'a>,
    pub(super) tuning: &'a Tuning,
    pub(super) interception: &'a intercept::Plan,
    /// Of both containers.
    pub(super) resources: &'a Value,
    pub(super) namespace: &'a NamespaceFacts,
    pub(super) settings: &'a Settings,
}

pub(super) fn render(input: &Input<'_>) -> Rendered {
    let redirects = input.interception.interception == Interception::Redirect;
    Rendered {
        init: redirects.then(|| init(input)),
        proxy: proxy(input),
        volumes: [config_volume(), run_volume()].into_iter().chain(tls::volumes(&input.tuning.tls)).collect(),
    }
}

fn image<'a>(input: &Input<'a>) -> &'a str {
    input.tuning.image.as_ref().unwrap_or(&input.settings.proxy_image)
}

fn init(input: &Input<'_>) -> Value {
    json!({
        "name": INIT_CONTAINER,
        "image": image(input),
        "imagePullPolicy": input.settings.pull_policy,
        "args": ["init"],
        "env": [
            from_field(env::POD_IPS, "status.podIPs"),
            from_field(env::HOST_IPS, "status.hostIPs"),
            literal(env::SKIP_INBOUND_PORTS, &list(&input.tuning.skip_inbound_ports)),
        ],
        "resources": input.resources,
        // UID 0, because file capabilities are lost without privilege escalation; NET_ADMIN is all that is left of it.
        "securityContext": security_context(&json!({
            "runAsUser": 0,
            "runAsGroup": 0,
            "runAsNonRoot": false,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
        })),
        "volumeMounts": [instead_of_the_api_token()],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    })
}

fn proxy(input: &Input<'_>) -> Value {
    let port = |name: &str, port: u16| json!({"name": name, "containerPort": port, "protocol": "TCP"});
    let served = input.interception.served.iter().map(|served| port(&served.name, served.own));
    let ports: Vec<Value> = served.chain([port(ADMIN_PORT_NAME, ADMIN_PORT)]).collect();
    let get = |path: &str| json!({"path": path, "port": ADMIN_PORT});
    json!({
        "name": PROXY_CONTAINER,
        "image": image(input),
        "imagePullPolicy": input.settings.pull_policy,
        "restartPolicy": "Always",
        "args": ["sidecar"],
        "env": proxy_env(input),
        "ports": ports,
        "resources": input.resources,
        "securityContext": security_context(&json!({
            "runAsUser": PROXY_UID,
            "runAsGroup": PROXY_UID,
            "runAsNonRoot": true,
            "capabilities": {"drop": ["ALL"]},
        })),
        "volumeMounts": proxy_mounts(input.tuning),
        // The containers of the application start once this succeeds: 120 times every second.
        "startupProbe": {
            "httpGet": get("/readyz"), "periodSeconds": 1, "failureThreshold": 120, "timeoutSeconds": 1,
        },
        "readinessProbe": {
            "httpGet": get("/readyz"), "periodSeconds": 5, "failureThreshold": 3, "timeoutSeconds": 2,
        },
        "livenessProbe": {
            "httpGet": get("/livez"), "periodSeconds": 10, "failureThreshold": 6, "timeoutSeconds": 5,
        },
        "lifecycle": {"preStop": {"exec": {"command": ["/rasp-proxy", "drain"]}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    })
}

fn proxy_mounts(tuning: &Tuning) -> Vec<Value> {
    let mut mounts = vec![
        json!({"name": CONFIG_VOLUME, "mountPath": CONFIG_DIR, "readOnly": true}),
        json!({"name": RUN_VOLUME, "mountPath": RUN_DIR}),
        instead_of_the_api_token(),
    ];
    mounts.extend(tls::mounts(&tuning.tls));
    mounts
}

/// The API server mounts the application's token into every container that mounts nothing at this place. Ours have no
/// business with the Kubernetes API, so they mount a folder of their own there.
fn instead_of_the_api_token() -> Value {
    json!({"name": RUN_VOLUME, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true})
}

fn proxy_env(input: &Input<'_>) -> Vec<Value> {
    let Input { pod, tuning, interception, namespace, settings, .. } = *input;
    // Without packet rules probes never come through the sidecar, so that nobody is to pass for one.
    let probes = match interception.interception {
        Interception::Redirect => probe::collect(pod, &tuning.tls),
        Interception::None => Vec::new(),
    };
    let probes = serde_json::to_string(&probes).unwrap_or_default(); // plain structs always serialise
    let floor = namespace.bundle.as_ref().map_or(0, |bundle| bundle.sequence);
    let failure_mode = match failure_mode(pod, namespace) {
        FailureMode::Open => "Open",
        FailureMode::Closed => "Closed",
    };
    let mut variables = vec![
        literal(env::WORKLOAD, &workload::identity(pod)),
        from_field(env::NAMESPACE, "metadata.namespace"),
        from_field(env::POD_NAME, "metadata.name"),
        from_field(env::POD_UID, "metadata.uid"),
        from_field(env::POD_IPS, "status.podIPs"),
        literal(env::OPERATOR_URL, &settings.operator_url),
        literal(env::OPERATOR_CA, &settings.operator_ca_pem),
        literal(env::PUBLIC_KEYS, &settings.public_keys.join(",")),
        literal(env::SEQUENCE_FLOOR, &floor.to_string()),
        literal(env::FAILURE_MODE, failure_mode),
        literal(env::PROBES, &probes),
        literal(env::PORT_PROTOCOLS, &port::protocols(pod, tuning).to_text()),
    ];
    let served = Some(interception.ports().to_text()).filter(|ports| !ports.is_empty());
    variables.extend(served.map(|ports| literal(env::SERVED_PORTS, &ports)));
    variables.extend(tuning.log_level.map(|level| literal(env::LOG, level)));
    variables.extend(tls::variable(&tuning.tls).map(|(name, value)| literal(name, &value)));
    let networks = [
        (env::TRUSTED_PROXIES, &tuning.trusted_proxies),
        (env::PROXY_PROTOCOL_FROM, &tuning.proxy_protocol_from),
    ];
    let declared = networks.into_iter().filter(|(_, networks)| !networks.is_empty());
    variables.extend(declared.map(|(name, networks)| literal(name, &networks_text(networks))));
    // A pod without the annotation has no variable, so that it looks as it did before there was one.
    let limits = Some(tuning.limits.to_text()).filter(|line| !line.is_empty());
    variables.extend(limits.map(|line| literal(env::LIMITS, &line)));
    let grace = pod.spec("terminationGracePeriodSeconds").and_then(Value::as_u64);
    let grace = grace.filter(|seconds| *seconds != DEFAULT_GRACE);
    variables.extend(grace.map(|seconds| literal(env::GRACE, &seconds.to_string())));
    variables.extend(namespace.uid.as_ref().map(|uid| literal(env::NAMESPACE_UID, uid)));
    variables
}

/// kubelet expands `$(NAME)` in values, and the path of a probe is written by the pod's author; `$$` stands for `$`.
fn literal(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value.replace('$', "$$")})
}

fn from_field(name: &str, path: &str) -> Value {
    json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}})
}

fn list(ports: &BTreeSet<u16>) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}

/// What both containers have in common, and what `own` adds to it.
fn security_context(own: &Value) -> Value {
    let mut context = json!({
        "allowPrivilegeEscalation": false,
        "privileged": false,
        "readOnlyRootFilesystem": true,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    json_patch::merge(&mut context, own);
    context
}

/// The ConfigMap is optional: a pod must be able to start before the operator has written it.
fn config_volume() -> Value {
    json!({
        "name": CONFIG_VOLUME,
        "projected": {
            "sources": [
                {"configMap": {
                    "name": BUNDLE_CONFIG_MAP,
                    "optional": true,
                    "items": [{"key": BUNDLE_KEY, "path": BUNDLE_KEY}],
                }},
                {"downwardAPI": {"items": [
                    {"path": LABELS_FILE, "fieldRef": {"fieldPath": "metadata.labels"}},
                ]}},
                {"serviceAccountToken": {
                    "audience": report::AUDIENCE,
                    "expirationSeconds": 3600,
                    "path": TOKEN_FILE,
                }},
            ],
        },
    })
}

/// In memory, so that it does not keep the autoscaler from removing the node; what is written there is a few bytes.
fn run_volume() -> Value {
    json!({"name": RUN_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}})
}
