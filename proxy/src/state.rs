//! What all connections of one process share: the policy in force, metrics, events, drain, limits. No logic.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use rasp_engine::{Classes, Head, Inspection, Ruleset};
use rasp_policy::pod::{IpNet, PortProtocols, Probe};

use crate::drain::Drain;
use crate::event;
use crate::exchange::incident::Incidents;
use crate::limits::{Messages, Timers};
use crate::load::Load;
use crate::metrics::Metrics;
use crate::policy::Handle;
use crate::tls;

/// Who this process is, for events and reports. Empty in a gateway.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod.
    pub pod_uid: String,
    /// `Kind/name` of the controller.
    pub workload: String,
}

/// Whose word about the client is believed. Nobody's, unless declared.
#[derive(Clone, Debug, Default)]
pub struct Hops {
    /// They begin each connection with a header of the PROXY protocol.
    pub proxy_protocol: Vec<IpNet>,
    /// They write `X-Forwarded-For` or `Forwarded`.
    pub trusted: Vec<IpNet>,
}

impl Hops {
    /// Whether a connection of this peer begins with a header of the PROXY protocol.
    pub fn is_introduced(&self, peer: IpAddr) -> bool {
        is_in(&self.proxy_protocol, peer)
    }

    /// Whether this hop is believed.
    pub fn is_trusted(&self, hop: IpAddr) -> bool {
        is_in(&self.trusted, hop)
    }
}

fn is_in(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// What all connections of one process share.
pub struct Shared {
    /// The policy in force.
    pub policy: Arc<Handle>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Where events go.
    pub events: event::Sink,
    /// What was told of limits that were met.
    pub incidents: Incidents,
    /// Whether the process is on its way out, and what is still in flight.
    pub drain: Drain,
    /// Timers.
    pub timers: Timers,
    /// What messages may take.
    pub messages: Messages,
    /// Who this process is.
    pub identity: Identity,
    /// Probes that are forwarded whatever the policy says.
    pub probes: Vec<Probe>,
    /// What the ports of the application are declared to speak.
    pub protocols: PortProtocols,
    /// Ports with TLS.
    pub tls: Arc<tls::Ports>,
    /// Whose word about the client is believed.
    pub hops: Hops,
    /// Memory for held bodies.
    pub body_memory: Memory,
    /// Everything Off: lets pass what is not to be judged.
    pub unjudged: Ruleset,
    /// What the process can take right now.
    pub load: Load,
    /// How the engine is called for a head: [`Ruleset::inspect_head_without`], or a test's idea of a broken detector.
    pub inspect: fn(&Ruleset, &Head<'_>, Classes) -> Inspection,
}

impl Shared {
    /// Whether connections end with the response: the process is on its way out, or memory is short.
    pub fn closes(&self) -> bool {
        self.drain.is_draining() || self.load.pressure.is_saving()
    }
}

/// A body of so many bytes is held even while memory is short.
const SMALL_BODY: usize = 16 << 10;

/// A budget of bytes.
#[derive(Debug)]
pub struct Memory {
    left: AtomicUsize,
}

/// Bytes taken from a [`Memory`]; they go back when this is dropped.
#[derive(Debug)]
pub struct Lease {
    memory: Arc<Shared>,
    bytes: usize,
}

impl Memory {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self { left: AtomicUsize::new(bytes) }
    }

    fn take(&self, bytes: usize) -> bool {
        self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(bytes)).is_ok()
    }
}

impl Lease {
    /// Takes nothing yet.
    pub fn new(memory: Arc<Shared>) -> Self {
        Self { memory, bytes: 0 }
    }

    /// Takes more bytes; `false` when there are none left.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let large = self.bytes.saturating_add(bytes) > SMALL_BODY;
        if large && self.memory.load.pressure.is_saving() {
            return false;
        }
        let taken = self.memory.body_memory.take(bytes);
        if taken {
            self.bytes += bytes;
        }
        taken
    }

    /// The bytes that it was taken for. It goes back when the last of them are dropped, wherever they are by then.
    pub fn over(self, bytes: Bytes) -> Bytes {
        if self.bytes == 0 { bytes } else { Bytes::from_owner(Leased { bytes, _lease: self }) }
    }
}

/// Bytes, and the lease for them.
struct Leased {
    bytes: Bytes,
    _lease: Lease,
}

impl AsRef<[u8]> for Leased {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.memory.body_memory.left.fetch_add(self.bytes, Ordering::AcqRel);
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").finish_non_exhaustive()
    }
}
