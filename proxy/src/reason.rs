//! Closed lists of why something went past inspection or went wrong in this crate. An id is metric label and log
//! field at once, so every value is frozen.

use rasp_engine::Reason;
use rasp_policy::bundle;
use rasp_policy::report::UninspectedReason;

use crate::guard::frames::Flood;

mod limit;
mod request;
mod response;
mod tls;

pub use limit::{Shed, Timeout};
pub use request::Malformed;
pub use response::{BadFrame, BadResponse};
pub use tls::Tls;

/// Why bytes or a request passed without being inspected by decision of the proxy. The engine has reasons of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bypass {
    /// TLS that ends in the application.
    Tls,
    /// The port is declared opaque.
    OpaquePort,
    /// First bytes that are no HTTP.
    Opaque,
    /// A connection that left HTTP by `Upgrade`.
    Upgrade,
    /// A WebSocket with binary messages, or with frames that are none.
    WebSocketBinary,
    /// A WebSocket with compressed messages.
    WebSocketPacked,
    /// A probe of the kubelet.
    Probe,
    /// Everything is Off.
    Off,
}

impl Bypass {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Tls,
        Self::OpaquePort,
        Self::Opaque,
        Self::Upgrade,
        Self::WebSocketBinary,
        Self::WebSocketPacked,
        Self::Probe,
        Self::Off,
    ];

    /// The reason in a report, where the whole connection passed although a policy asks for inspection.
    pub fn reported(self) -> Option<UninspectedReason> {
        match self {
            Self::Tls => Some(UninspectedReason::Tls),
            Self::OpaquePort => Some(UninspectedReason::OpaquePort),
            Self::Opaque => Some(UninspectedReason::Opaque),
            Self::Upgrade => Some(UninspectedReason::Upgrade),
            Self::WebSocketBinary | Self::WebSocketPacked | Self::Probe | Self::Off => None,
        }
    }

    /// Label of `rasp_uninspected_total{reason}`.
    pub fn id(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::OpaquePort => "opaque_port",
            Self::Opaque => "opaque",
            Self::Upgrade => "upgrade",
            Self::WebSocketBinary => "websocket_binary",
            Self::WebSocketPacked => "websocket_packed",
            Self::Probe => "probe",
            Self::Off => Reason::DetectionOff.id(),
        }
    }
}

/// What went wrong: label of `rasp_errors_total{kind}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `accept` failed, for example for want of file descriptors.
    Accept,
    /// The kernel names no original destination: the connection was not redirected.
    OriginalDestination,
    /// The original destination is not this pod's, or is a port of the proxy.
    Destination,
    /// The application refused or did not take the connection.
    UpstreamConnect,
    /// The application broke off or answered with something that is no HTTP.
    UpstreamResponse,
    /// Connections to the application have timed out for a while: it was not dialled again.
    UpstreamFailFast,
    /// A timer ran out.
    Timeout(Timeout),
    /// Too much at once.
    Shed(Shed),
    /// The client sent something that is no HTTP, on a connection that speaks HTTP.
    RequestSyntax,
    /// The client or the application speaks something else than the port is declared to.
    PortProtocol,
    /// A request that is refused whatever the policy says.
    Request(Malformed),
    /// A peer that is declared to begin with the PROXY protocol did not.
    ProxyProtocol,
    /// A response that is not passed on whatever the policy says.
    Response(BadResponse),
    /// A frame that is none.
    Frame(BadFrame),
    /// A client of HTTP/2 sent too many frames that lead nowhere.
    Flood(Flood),
    /// The engine panicked; the request counts as not judged.
    Panic,
    /// The engine used up its time for one request.
    InspectionOverrun,
    /// The memory for held bodies is used up.
    BodyMemory,
    /// A Bundle was refused.
    Bundle(bundle::Refusal),
    /// The file of policies could not be read or compiled; the last good one stays.
    PolicyFile,
    /// The last sequence could not be kept for the next start.
    PolicyPersist,
    /// The operator could not be told what is in force.
    Report,
    /// The live stream of Bundles cannot be opened, or broke.
    PolicyStream,
    /// TLS failed.
    Tls(Tls),
}

impl Kind {
    /// The kinds that carry nothing.
    pub const PLAIN: [Self; 16] = [
        Self::Accept,
        Self::OriginalDestination,
        Self::Destination,
        Self::UpstreamConnect,
        Self::UpstreamResponse,
        Self::UpstreamFailFast,
        Self::RequestSyntax,
        Self::PortProtocol,
        Self::ProxyProtocol,
        Self::Panic,
        Self::InspectionOverrun,
        Self::BodyMemory,
        Self::PolicyFile,
        Self::PolicyPersist,
        Self::Report,
        Self::PolicyStream,
    ];

    /// Metric label and log field.
    pub fn id(&self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::OriginalDestination => "original_destination",
            Self::Destination => "destination",
            Self::UpstreamConnect => "upstream_connect",
            Self::UpstreamResponse => "upstream_response",
            Self::UpstreamFailFast => "upstream_fail_fast",
            Self::Timeout(timeout) => timeout.id(),
            Self::Shed(shed) => shed.id(),
            Self::RequestSyntax => "request_syntax",
            Self::PortProtocol => "port_protocol",
            Self::ProxyProtocol => "proxy_protocol",
            Self::Request(malformed) => malformed.id(),
            Self::Response(bad) => bad.id(),
            Self::Frame(bad) => bad.id(),
            Self::Flood(flood) => flood.id(),
            Self::Panic => "panic",
            Self::InspectionOverrun => "inspection_overrun",
            Self::BodyMemory => "body_memory",
            Self::Bundle(refusal) => bundle_id(refusal),
            Self::PolicyFile => "policy_file",
            Self::PolicyPersist => "policy_persist",
            Self::Report => "report",
            Self::PolicyStream => "policy_stream",
            Self::Tls(tls) => tls.id(),
        }
    }
}

fn bundle_id(refusal: &bundle::Refusal) -> &'static str {
    use bundle::Refusal;
    match refusal {
        Refusal::TooLarge(_) => "bundle_too_large",
        Refusal::Malformed(_) => "bundle_malformed",
        Refusal::Unsigned => "bundle_unsigned",
        Refusal::Signature => "bundle_signature",
        Refusal::SchemaVersion(_) => "bundle_schema_version",
        Refusal::UnknownField(_) => "bundle_unknown_field",
        Refusal::Namespace => "bundle_namespace",
        Refusal::Older { .. } => "bundle_older",
        Refusal::Build(_) => "bundle_build",
    }
}

#[cfg(test)]
mod tests {
    use super::Malformed;

    #[test]
    fn the_list_of_reasons_is_in_their_order() {
        for (place, malformed) in Malformed::ALL.into_iter().enumerate() {
            assert_eq!(malformed as usize, place, "{}", malformed.id());
        }
    }
}
