//! What all connections of one process share: the policy in force, metrics, events, drain, limits. No logic.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rasp_engine::Ruleset;
use rasp_policy::pod::{IpNet, PortProtocols, Probe};

use crate::drain::Drain;
use crate::event;
use crate::metrics::Metrics;
use crate::policy::Handle;
use crate::tls;

/// Every timer of the data path.
#[derive(Clone, Copy, Debug)]
pub struct Timers {
    /// Until the first byte of a connection.
    pub first_byte: Duration,
    /// From the first byte of a head to its end.
    pub head: Duration,
    /// Between two reads of a request body.
    pub body_idle: Duration,
    /// From the end of a request to the head of its response.
    pub response_head: Duration,
    /// Between two requests.
    pub keep_alive_idle: Duration,
    /// Of silence until an HTTP/2 client is asked for a sign of life, and again until it ends for want of one.
    pub ping: Duration,
    /// Between two pieces of a response that an HTTP/2 client takes.
    pub stream_idle: Duration,
    /// Until the application takes a connection.
    pub connect: Duration,
    /// For the whole TLS handshake, with a client or with the application.
    pub tls_handshake: Duration,
    /// Without a byte in either direction of an opaque or upgraded connection.
    pub opaque_idle: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(10),
            head: Duration::from_secs(10),
            body_idle: Duration::from_secs(30),
            response_head: Duration::from_secs(60),
            keep_alive_idle: Duration::from_secs(75),
            ping: Duration::from_secs(10),
            stream_idle: Duration::from_secs(300),
            connect: Duration::from_secs(5),
            tls_handshake: Duration::from_secs(5),
            opaque_idle: Duration::from_secs(3600),
        }
    }
}

impl Timers {
    /// In a pod, where nothing but the application may decide how long its clients wait.
    pub fn in_pod() -> Self {
        let long = Duration::from_secs(3600);
        Self { response_head: long, keep_alive_idle: long, ..Self::default() }
    }
}

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
    /// Whether the process is on its way out, and what is still in flight.
    pub drain: Drain,
    /// Timers.
    pub timers: Timers,
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
}

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
        let taken = self.memory.body_memory.take(bytes);
        if taken {
            self.bytes += bytes;
        }
        taken
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Timers;

    #[test]
    fn a_slow_application_of_a_pod_has_an_hour_and_that_of_a_gateway_a_minute() {
        let times = |timers: Timers| (timers.response_head.as_secs(), timers.keep_alive_idle.as_secs());
        assert_eq!(times(Timers::in_pod()), (3600, 3600));
        assert_eq!(times(Timers::default()), (60, 75));
        assert_eq!(Timers::in_pod().head, Duration::from_secs(10), "a client that stalls has no more time");
    }
}
