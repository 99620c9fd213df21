//! Every reason for which a pod is not injected, with what its author can do about it.

use std::fmt;

use rasp_policy::pod::{ADMIN_PORT, INBOUND_PORT, INJECT_LABEL, INTERCEPTION, OUTBOUND_PORT, PROXY_UID};

use super::annotation::Invalid;

/// Why a pod is not injected. [`Reason::id`] is the metric label, the log field and the reason in the review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// At level Object, the pod does not carry the label `"true"`.
    NotOptedIn,
    /// The pod carries the label `"false"`.
    OptedOut,
    /// Our containers are there as this operator would add them.
    AlreadyInjected,
    /// The mirror of a static pod: it runs on the node already, and no patch reaches it.
    StaticPod,
    /// The pod shares the network of its node.
    HostNetwork,
    /// The pod runs on Windows.
    Windows,
    /// A service mesh delivers the pod's traffic over `lo`, where it is not intercepted.
    MeshSidecar {
        /// Which mesh.
        mesh: Mesh,
        /// Whether the namespace says so. What the pod alone says could be written to evade injection.
        by_namespace: bool,
    },
    /// The pod asks for packet rules, and the namespace enforces a Pod Security level that forbids NET_ADMIN.
    PodSecurity(&'static str),
    /// Packet rules may not be set, and no port of the pod has a name that the sidecar could serve.
    NoNamedPorts {
        /// Whether the namespace says so. A pod that asks for it alone could evade injection so.
        by_namespace: bool,
    },
    /// A container declares a port of the proxy.
    OwnPortInUse {
        /// Path of the field.
        field: String,
        /// The port.
        port: u16,
    },
    /// A container or the pod asks for the UID or GID of the proxy.
    OwnUidInUse {
        /// Path of the field.
        field: String,
    },
    /// A container or volume has a name of ours and is not what injection adds.
    NameInUse {
        /// The name.
        name: &'static str,
        /// In what it differs.
        difference: String,
    },
    /// An annotation under our prefix has no meaning.
    InvalidAnnotation(Invalid),
    /// The object has no `spec`.
    MalformedPod,
}

impl Reason {
    /// Every id, for metrics.
    pub const IDS: [&str; 14] = [
        "not_opted_in",
        "opted_out",
        "already_injected",
        "static_pod",
        "host_network",
        "windows",
        "mesh_sidecar",
        "pod_security",
        "no_named_ports",
        "own_port_in_use",
        "own_uid_in_use",
        "name_in_use",
        "invalid_annotation",
        "malformed_pod",
    ];

    /// One word from a closed list.
    pub fn id(&self) -> &'static str {
        match self {
            Self::NotOptedIn => "not_opted_in",
            Self::OptedOut => "opted_out",
            Self::AlreadyInjected => "already_injected",
            Self::StaticPod => "static_pod",
            Self::HostNetwork => "host_network",
            Self::Windows => "windows",
            Self::MeshSidecar { .. } => "mesh_sidecar",
            Self::PodSecurity(_) => "pod_security",
            Self::NoNamedPorts { .. } => "no_named_ports",
            Self::OwnPortInUse { .. } => "own_port_in_use",
            Self::OwnUidInUse { .. } => "own_uid_in_use",
            Self::NameInUse { .. } => "name_in_use",
            Self::InvalidAnnotation(_) => "invalid_annotation",
            Self::MalformedPod => "malformed_pod",
        }
    }

    /// Whether the pod's author could evade injection this way. Such pods are denied where injection is enforced;
    /// what the platform or the namespace decides is not.
    pub fn is_fault(&self) -> bool {
        match self {
            Self::NotOptedIn
            | Self::OptedOut
            | Self::AlreadyInjected
            | Self::StaticPod
            | Self::HostNetwork
            | Self::Windows => false,
            Self::MeshSidecar { by_namespace, .. } | Self::NoNamedPorts { by_namespace } => !by_namespace,
            Self::PodSecurity(_)
            | Self::OwnPortInUse { .. }
            | Self::OwnUidInUse { .. }
            | Self::NameInUse { .. }
            | Self::InvalidAnnotation(_)
            | Self::MalformedPod => true,
        }
    }

    /// Whether the pod's author gets a Warning: whenever a pod that is asked to be protected starts unprotected.
    /// A mirror pod's author is the kubelet, which nobody reads.
    pub fn is_told(&self) -> bool {
        !matches!(self, Self::AlreadyInjected | Self::NotOptedIn | Self::StaticPod)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOptedIn => write!(f, "the pod does not carry the label {INJECT_LABEL}: \"true\""),
            Self::OptedOut => {
                write!(f, "the pod opts out: remove its label {INJECT_LABEL}: \"false\" to have it protected")
            }
            Self::AlreadyInjected => f.write_str("the pod has the sidecar already"),
            Self::StaticPod => {
                f.write_str("the pod is static: run it through a controller to have it protected")
            }
            Self::HostNetwork => f.write_str(
                "the pod uses the network of its node: remove spec.hostNetwork to have it protected",
            ),
            Self::Windows => {
                f.write_str("pods on Windows cannot be protected: packet rules are set on Linux only")
            }
            Self::MeshSidecar { mesh, by_namespace } => {
                let place = if *by_namespace { "namespace" } else { "pod" };
                write!(
                    f,
                    "{} takes the traffic of this pod before it could be inspected: keep this {place} out of {} or \
                     out of kube-rasp",
                    mesh.as_str(),
                    mesh.as_str()
                )
            }
            Self::PodSecurity(level) => write!(
                f,
                "{INTERCEPTION} asks for redirect, and the namespace enforces Pod Security {level}, which forbids the \
                 NET_ADMIN it needs: write none, or leave the annotation out"
            ),
            Self::NoNamedPorts { by_namespace } => {
                let why =
                    if *by_namespace { "the namespace forbids packet rules" } else { "interception None" };
                write!(
                    f,
                    "{why}, and the pod has no named TCP port that the sidecar could serve: name the ports of its \
                     containers, and let Services use rasp-NAME"
                )
            }
            Self::OwnPortInUse { field, port } => write!(
                f,
                "{field} is {port}, a port of the proxy: use another one than {INBOUND_PORT}, {OUTBOUND_PORT} and \
                 {ADMIN_PORT}"
            ),
            Self::OwnUidInUse { field } => {
                write!(f, "{field} is {PROXY_UID}, the id of the proxy: use another one")
            }
            Self::NameInUse { name, difference } => write!(
                f,
                "{name} is not what injection adds ({difference}): remove or rename rasp-* containers and volumes"
            ),
            Self::InvalidAnnotation(invalid) => invalid.fmt(f),
            Self::MalformedPod => f.write_str("the object has no spec: send a Pod"),
        }
    }
}

/// A service mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mesh {
    /// Sidecar or ambient.
    Istio,
    /// Sidecar.
    Linkerd,
}

impl Mesh {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Istio => "Istio",
            Self::Linkerd => "Linkerd",
        }
    }
}
