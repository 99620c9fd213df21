//! The contract between injection and the sidecar: names, ports, ids, environment and paths inside a protected pod.
//!
//! Both binaries and the tests use these constants, so that they cannot disagree. Frozen: a pod injected by one
//! version runs with the image of that version, but people and NetworkPolicies depend on ports and names.

use serde::{Deserialize, Serialize};

mod network;
mod protocol;
mod served;
mod tls;
pub use network::{IpNet, NotANetwork, network, networks_text};
pub use protocol::{PortProtocol, PortProtocols};
pub use served::{Interception, NotServed, ServedPorts, UnknownInterception, is_served_port};
pub use tls::{ClientAuth, TlsPort, ToApplication, UnknownWord, Verify};

/// Namespace label `enabled | enforced | disabled`, pod label `"true" | "false"`.
pub const INJECT_LABEL: &str = "rasp.dev/inject";
/// Prefix of annotations that tune injection.
pub const CONFIG_PREFIX: &str = "config.rasp.dev/";
/// Annotation: comma-separated TCP ports that stay out of interception.
pub const SKIP_INBOUND_PORTS: &str = "config.rasp.dev/skip-inbound-ports";
/// Annotation: comma-separated TCP ports that are relayed without inspection.
pub const OPAQUE_PORTS: &str = "config.rasp.dev/opaque-ports";
/// Annotation: comma-separated `PORT=PROTOCOL`, what TCP ports speak; words of [`PortProtocol`].
pub const PORT_PROTOCOLS: &str = "config.rasp.dev/port-protocols";
/// Annotation: `PORT=SECRET[+SECRET][,OPTION=VALUE]`, separated by `;`: ports whose TLS ends in the sidecar.
pub const TLS: &str = "config.rasp.dev/tls";
/// Annotation: comma-separated networks of proxies whose `X-Forwarded-For` or `Forwarded` is believed.
pub const TRUSTED_PROXIES: &str = "config.rasp.dev/trusted-proxies";
/// Annotation: comma-separated networks of load balancers that begin each connection with the PROXY protocol.
pub const PROXY_PROTOCOL_FROM: &str = "config.rasp.dev/proxy-protocol-from";
/// Annotation: comma-separated `KEY=VALUE`, the limits of [`crate::limits`] that differ from their defaults.
pub const LIMITS: &str = "config.rasp.dev/limits";
/// Annotation: `redirect` or `none`, words of [`Interception`].
pub const INTERCEPTION: &str = "config.rasp.dev/interception";
/// Annotation: `requests.cpu` of our containers.
pub const PROXY_CPU_REQUEST: &str = "config.rasp.dev/proxy-cpu-request";
/// Annotation: `limits.cpu` of our containers.
pub const PROXY_CPU_LIMIT: &str = "config.rasp.dev/proxy-cpu-limit";
/// Annotation: `requests.memory` of our containers.
pub const PROXY_MEMORY_REQUEST: &str = "config.rasp.dev/proxy-memory-request";
/// Annotation: `limits.memory` of our containers.
pub const PROXY_MEMORY_LIMIT: &str = "config.rasp.dev/proxy-memory-limit";
/// Annotation: how much the sidecar logs, `error`, `warn`, `info`, `debug` or `trace`.
pub const LOG_LEVEL: &str = "config.rasp.dev/log-level";
/// Annotation: image of our containers, one of those that the operator allows.
pub const PROXY_IMAGE: &str = "config.rasp.dev/proxy-image";
/// Annotation written on injected pods, for people only; never read as input.
pub const STATUS_ANNOTATION: &str = "rasp.dev/status";
/// Name of the sidecar container.
pub const PROXY_CONTAINER: &str = "rasp-proxy";
/// Name of the init container that sets and proves the packet rules.
pub const INIT_CONTAINER: &str = "rasp-init";
/// Where redirected inbound connections arrive.
pub const INBOUND_PORT: u16 = 16143;
/// Reserved for outbound interception.
pub const OUTBOUND_PORT: u16 = 16140;
/// `/metrics`, `/livez`, `/readyz`.
pub const ADMIN_PORT: u16 = 16191;
/// The first of the ports that the sidecar opens where packet rules may not be set, one for each port of the application
/// that has a name.
pub const FIRST_SERVED_PORT: u16 = 16200;
/// How many these are at most.
pub const MOST_SERVED_PORTS: usize = 64;
/// Begins the names of these ports; the name of the application's port follows.
pub const SERVED_PORT_PREFIX: &str = "rasp-";
/// Name of the container port of [`ADMIN_PORT`].
pub const ADMIN_PORT_NAME: &str = "rasp-metrics";
/// UID and GID of the sidecar; no other container may have it.
pub const PROXY_UID: i64 = 62102;
/// Projected volume: [`BUNDLE_KEY`], `labels` and `token` in one directory, swapped atomically by kubelet.
pub const CONFIG_VOLUME: &str = "rasp-config";
/// Mount path of [`CONFIG_VOLUME`].
pub const CONFIG_DIR: &str = "/var/run/rasp/config";
/// File in [`CONFIG_DIR`] with the pod's labels (downward API form, `key="value"` lines).
pub const LABELS_FILE: &str = "labels";
/// File in [`CONFIG_DIR`] with the token for reports.
pub const TOKEN_FILE: &str = "token";
/// Memory-backed emptyDir that only the sidecar mounts: last sequence, control socket.
pub const RUN_VOLUME: &str = "rasp-run";
/// Mount path of [`RUN_VOLUME`].
pub const RUN_DIR: &str = "/var/run/rasp/run";
/// Prefix of the volumes of Secrets with certificates; a number follows.
pub const TLS_VOLUME_PREFIX: &str = "rasp-tls-";
/// A directory for each Secret with certificates, called as the Secret is.
pub const TLS_DIR: &str = "/var/run/rasp/tls";
/// Name of the ConfigMap with the Bundle, in every namespace that asks for injection.
pub const BUNDLE_CONFIG_MAP: &str = "rasp-policy";
/// ConfigMap with what the policies of the namespace were, by sequence; no pod mounts it.
pub const HISTORY_CONFIG_MAP: &str = "rasp-policy-history";
/// Key in the ConfigMap and file name in [`CONFIG_DIR`]; one per schema version still in use.
pub const BUNDLE_KEY: &str = "bundle.v1";
/// Ports that speak server-first or binary protocols and are relayed as opaque bytes where the pod does not say otherwise.
pub const DEFAULT_OPAQUE_PORTS: [u16; 8] = [25, 587, 3306, 4444, 5432, 6379, 9300, 11211];

/// `terminationGracePeriodSeconds` of a pod that sets none.
pub const DEFAULT_GRACE: u64 = 30;

/// Environment variables of the sidecar.
pub mod env {
    /// `Kind/name` of the controller, fixed at admission.
    pub const WORKLOAD: &str = "RASP_WORKLOAD";
    /// `metadata.namespace` of the pod.
    pub const NAMESPACE: &str = "RASP_NAMESPACE";
    /// `metadata.uid` of the namespace, as the operator's cache had it at admission; may be absent.
    pub const NAMESPACE_UID: &str = "RASP_NAMESPACE_UID";
    /// `metadata.name` of the pod.
    pub const POD_NAME: &str = "RASP_POD_NAME";
    /// `metadata.uid` of the pod.
    pub const POD_UID: &str = "RASP_POD_UID";
    /// `status.podIPs`, comma separated. The sidecar checks original destinations against it, the init container
    /// compares it with [`HOST_IPS`].
    pub const POD_IPS: &str = "RASP_POD_IPS";
    /// `status.hostIPs`, comma separated. In the init container, which refuses to run where the pod's IP is the host's.
    pub const HOST_IPS: &str = "RASP_HOST_IPS";
    /// `https://HOST:PORT` of the operator.
    pub const OPERATOR_URL: &str = "RASP_OPERATOR_URL";
    /// PEM certificates of the CAs that may have signed the operator's certificate.
    pub const OPERATOR_CA: &str = "RASP_OPERATOR_CA";
    /// Public keys of Bundles: comma-separated standard base64 of raw 32-byte Ed25519 keys.
    pub const PUBLIC_KEYS: &str = "RASP_PUBLIC_KEYS";
    /// Lowest acceptable `sequence` of a Bundle, decimal.
    pub const SEQUENCE_FLOOR: &str = "RASP_SEQUENCE_FLOOR";
    /// `Open` or `Closed`: what happens while no Bundle was ever loaded.
    pub const FAILURE_MODE: &str = "RASP_FAILURE_MODE";
    /// JSON array of [`super::Probe`].
    pub const PROBES: &str = "RASP_PROBES";
    /// Comma-separated `PORT=PROTOCOL`: everything that is known of the ports at admission. Any other port is detected.
    pub const PORT_PROTOCOLS: &str = "RASP_PORT_PROTOCOLS";
    /// Comma-separated networks: value of the annotation of the same name, absent where that is.
    pub const TRUSTED_PROXIES: &str = "RASP_TRUSTED_PROXIES";
    /// Comma-separated networks: value of the annotation of the same name, absent where that is.
    pub const PROXY_PROTOCOL_FROM: &str = "RASP_PROXY_PROTOCOL_FROM";
    /// Comma-separated `PORT=PORT`: the ports that the sidecar opens, and the application's behind them. Absent where packet
    /// rules intercept.
    pub const SERVED_PORTS: &str = "RASP_SERVED_PORTS";
    /// Comma-separated ports that the init container leaves out of interception.
    pub const SKIP_INBOUND_PORTS: &str = "RASP_SKIP_INBOUND_PORTS";
    /// JSON array of [`super::TlsPort`]; absent where no TLS ends in the sidecar.
    pub const TLS: &str = "RASP_TLS";
    /// Limits that differ from their defaults, in the form of [`crate::limits`].
    pub const LIMITS: &str = "RASP_LIMITS";
    /// `terminationGracePeriodSeconds` of the pod; absent where that is [`super::DEFAULT_GRACE`].
    pub const GRACE: &str = "RASP_TERMINATION_GRACE";
    /// Log filter of the `tracing` env-filter form, e.g. `info`.
    pub const LOG: &str = "RASP_LOG";
}

/// An HTTP probe of the pod, which the sidecar forwards whatever the policy says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Port the probe dials, resolved to a number.
    pub port: u16,
    /// Request target, path and query as kubelet sends them.
    pub path: String,
    /// `httpHeaders` of the probe, names in lower case; each must be present with this value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
}
