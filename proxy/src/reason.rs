//! Closed lists of why something went past inspection or went wrong in this crate. An id is metric label and log
//! field at once, so every value is frozen.

use rasp_engine::Reason;
use rasp_policy::bundle;
use rasp_policy::report::UninspectedReason;

use crate::guard::frames::Flood;

mod tls;

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

/// Why a request is refused before it is judged: forwarding it would be guessing what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A request line that is none, or more than two empty lines before it (RFC 9112 section 3).
    Line,
    /// A line of the head, of a chunk or of a trailer that ends with something other than CRLF (RFC 9112 section 2.2).
    LineEnd,
    /// A version other than HTTP/1.0 and HTTP/1.1.
    Version,
    /// CONNECT or TRACE.
    Method,
    /// A method over its limit.
    MethodSize,
    /// A target that is neither a path, an absolute URI nor `*` of OPTIONS, or has a byte that none may have.
    Target,
    /// A target over its limit.
    TargetSize,
    /// A target with raw bytes that belong percent-encoded, where the policy refuses them.
    RawTarget,
    /// A field line that is none: white space before the colon, a folded line, a control byte (RFC 9112 section 5).
    Field,
    /// More fields than the limit.
    FieldCount,
    /// A head, or the name or value of a field, over its limit.
    HeadSize,
    /// A name with `_` that some applications take for one that guides the message, such as `Transfer_Encoding`.
    Alias,
    /// HTTP/1.1 without `Host`.
    HostMissing,
    /// More than one `Host`.
    HostRepeated,
    /// A `Host` that is no `host[:port]`.
    HostInvalid,
    /// An absolute target that names another host than `Host`.
    HostMismatch,
    /// A `Content-Length` that is no number, or more than one.
    ContentLength,
    /// `Transfer-Encoding` that is not one `chunked`, or on HTTP/1.0.
    TransferEncoding,
    /// A transfer coding before `chunked`.
    TransferCoding,
    /// Both `Transfer-Encoding` and `Content-Length`.
    Lengths,
    /// `Connection` names a field that must reach the application.
    Nomination,
    /// An expectation other than `100-continue`.
    Expect,
    /// More than one `Content-Type`.
    ContentType,
    /// A WebSocket handshake with a body.
    UpgradeBody,
    /// A chunk that is none (RFC 9112 section 7.1).
    Chunk,
    /// The size of a chunk in too many digits, or extensions over their limit.
    ChunkSize,
    /// A trailer field that is none, or one that must not be in a trailer (RFC 9110 section 6.5.1).
    Trailer,
    /// A trailer over its limit.
    TrailerSize,
    /// An HTTP/2 request whose `:scheme` is neither `http` nor `https`.
    Scheme,
    /// An HTTP/2 field whose value begins or ends with white space.
    Value,
    /// The guard and the HTTP library read different requests. Always a bug.
    Disagreement,
}

impl Malformed {
    /// Every reason.
    pub const ALL: [Self; 31] = [
        Self::Line,
        Self::LineEnd,
        Self::Version,
        Self::Method,
        Self::MethodSize,
        Self::Target,
        Self::TargetSize,
        Self::RawTarget,
        Self::Field,
        Self::FieldCount,
        Self::HeadSize,
        Self::Alias,
        Self::HostMissing,
        Self::HostRepeated,
        Self::HostInvalid,
        Self::HostMismatch,
        Self::ContentLength,
        Self::TransferEncoding,
        Self::TransferCoding,
        Self::Lengths,
        Self::Nomination,
        Self::Expect,
        Self::ContentType,
        Self::UpgradeBody,
        Self::Chunk,
        Self::ChunkSize,
        Self::Trailer,
        Self::TrailerSize,
        Self::Scheme,
        Self::Value,
        Self::Disagreement,
    ];

    /// Label of `rasp_errors_total{kind}`, and `unmapped.rule` of the event.
    pub fn id(self) -> &'static str {
        match self {
            Self::Line => "request_line",
            Self::LineEnd => "request_line_end",
            Self::Version => "request_version",
            Self::Method => "request_method",
            Self::MethodSize => "request_method_size",
            Self::Target => "request_target",
            Self::TargetSize => "request_target_size",
            Self::RawTarget => "request_raw_target",
            Self::Field => "request_field",
            Self::FieldCount => "request_field_count",
            Self::HeadSize => "request_head_size",
            Self::Alias => "request_field_alias",
            Self::HostMissing => "request_host_missing",
            Self::HostRepeated => "request_host_repeated",
            Self::HostInvalid => "request_host_invalid",
            Self::HostMismatch => "request_host_mismatch",
            Self::ContentLength => "request_content_length",
            Self::TransferEncoding => "request_transfer_encoding",
            Self::TransferCoding => "request_transfer_coding",
            Self::Lengths => "request_lengths",
            Self::Nomination => "request_nomination",
            Self::Expect => "request_expect",
            Self::ContentType => "request_content_type",
            Self::UpgradeBody => "request_upgrade_body",
            Self::Chunk => "request_chunk",
            Self::ChunkSize => "request_chunk_size",
            Self::Trailer => "request_trailer",
            Self::TrailerSize => "request_trailer_size",
            Self::Scheme => "request_scheme",
            Self::Value => "request_value",
            Self::Disagreement => "request_disagreement",
        }
    }

    /// What is wrong, in words for the event.
    pub fn title(self) -> &'static str {
        match self {
            Self::Line => "the request line is not `method target version`",
            Self::LineEnd => "a line ends with something other than CRLF",
            Self::Version => "the version is neither HTTP/1.0 nor HTTP/1.1",
            Self::Method => "the method is CONNECT or TRACE",
            Self::MethodSize => "the method is too long",
            Self::Target => "the target is no path, absolute URI or `*` of OPTIONS",
            Self::TargetSize => "the target is too long",
            Self::RawTarget => "the target has raw bytes that belong percent-encoded",
            Self::Field => "a field line is not `name: value`",
            Self::FieldCount => "there are too many fields",
            Self::HeadSize => "the head or a field is too long",
            Self::Alias => "the name of a field with `_` stands for one that guides the message",
            Self::HostMissing => "there is no Host",
            Self::HostRepeated => "there is more than one Host",
            Self::HostInvalid => "the Host is no `host[:port]`",
            Self::HostMismatch => "target and Host name different hosts",
            Self::ContentLength => "Content-Length is no number, or there is more than one",
            Self::TransferEncoding => "Transfer-Encoding is not `chunked`",
            Self::TransferCoding => "there is a transfer coding before `chunked`",
            Self::Lengths => "there is Transfer-Encoding and Content-Length",
            Self::Nomination => "Connection names a field that must reach the application",
            Self::Expect => "the expectation is not `100-continue`",
            Self::ContentType => "there is more than one Content-Type",
            Self::UpgradeBody => "a WebSocket handshake has a body",
            Self::Chunk => "a chunk is not `size data`",
            Self::ChunkSize => "the size of a chunk has too many digits, or its extensions are too long",
            Self::Trailer => "a trailer field is none, or must not be in a trailer",
            Self::TrailerSize => "the trailer is too long",
            Self::Scheme => "the scheme is neither http nor https",
            Self::Value => "a value begins or ends with white space",
            Self::Disagreement => "two parsers read different requests",
        }
    }

    /// Status of the answer.
    pub fn status(self) -> http::StatusCode {
        match self {
            Self::Method => http::StatusCode::METHOD_NOT_ALLOWED,
            Self::MethodSize | Self::TransferCoding => http::StatusCode::NOT_IMPLEMENTED,
            Self::Version => http::StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::TargetSize => http::StatusCode::URI_TOO_LONG,
            Self::HeadSize | Self::FieldCount | Self::TrailerSize => {
                http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::Expect => http::StatusCode::EXPECTATION_FAILED,
            _ => http::StatusCode::BAD_REQUEST,
        }
    }
}

/// Why a response of the application is not passed on: two readers could understand it in two ways, or it would be
/// the answer to somebody else's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.id())]
pub enum BadResponse {
    /// A status line that is none.
    StatusLine,
    /// A field with a control byte, a lone CR or LF, no colon, or over two lines.
    Field,
    /// Several lengths, or one that is no number.
    Lengths,
    /// A transfer coding other than one `chunked`.
    TransferEncoding,
    /// A chunk that is none.
    Chunk,
    /// Bytes that no request asked for: another response, or the body of one that has none.
    Unasked,
    /// 101 where nobody asked for another protocol, or for another one than that.
    Switch,
    /// Too many interim responses.
    Interim,
    /// A head or a trailer over the limits.
    TooLarge,
    /// The end of the connection before the end of the response.
    Incomplete,
}

impl BadResponse {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::StatusLine,
        Self::Field,
        Self::Lengths,
        Self::TransferEncoding,
        Self::Chunk,
        Self::Unasked,
        Self::Switch,
        Self::Interim,
        Self::TooLarge,
        Self::Incomplete,
    ];

    /// Label of `rasp_errors_total{kind}`, and the rule of its event.
    pub fn id(self) -> &'static str {
        match self {
            Self::StatusLine => "response_status_line",
            Self::Field => "response_field",
            Self::Lengths => "response_lengths",
            Self::TransferEncoding => "response_transfer_encoding",
            Self::Chunk => "response_chunk",
            Self::Unasked => "response_unasked",
            Self::Switch => "response_switch",
            Self::Interim => "response_interim",
            Self::TooLarge => "response_too_large",
            Self::Incomplete => "response_incomplete",
        }
    }
}

/// Why a frame of a WebSocket is none (RFC 6455), or is over a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.id())]
pub enum BadFrame {
    /// A client that does not mask, or an application that does.
    Mask,
    /// A reserved bit without an extension.
    Reserved,
    /// An opcode that is not defined.
    Opcode,
    /// A control frame in fragments, of over 125 bytes, or with half a code.
    Control,
    /// A length of 2^63 or more, or not in its shortest form.
    Length,
    /// A fragment of no message, or a message inside of another.
    Fragment,
    /// A frame after Close.
    AfterClose,
    /// A message over the limit.
    TooLarge,
    /// More messages in a second than the limit.
    TooMany,
}

impl BadFrame {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::Mask,
        Self::Reserved,
        Self::Opcode,
        Self::Control,
        Self::Length,
        Self::Fragment,
        Self::AfterClose,
        Self::TooLarge,
        Self::TooMany,
    ];

    /// Label of `rasp_errors_total{kind}`.
    pub fn id(self) -> &'static str {
        match self {
            Self::Mask => "websocket_mask",
            Self::Reserved => "websocket_reserved",
            Self::Opcode => "websocket_opcode",
            Self::Control => "websocket_control",
            Self::Length => "websocket_length",
            Self::Fragment => "websocket_fragment",
            Self::AfterClose => "websocket_after_close",
            Self::TooLarge => "websocket_too_large",
            Self::TooMany => "websocket_too_many",
        }
    }

    /// The code that a connection is closed with (RFC 6455 section 7.4.1).
    pub fn code(self) -> u16 {
        match self {
            Self::TooLarge => 1009,
            Self::TooMany => 1008,
            _ => 1002,
        }
    }
}

/// A timer that ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// No byte of a connection.
    FirstByte,
    /// A head that was begun and not ended.
    Head,
    /// No byte of a request body.
    BodyIdle,
    /// A request body under its least rate.
    BodyRate,
    /// A request body that is held and not complete.
    HeldBody,
    /// No response of the application.
    ResponseHead,
    /// No byte of a response body.
    StreamIdle,
    /// No next request.
    KeepAliveIdle,
    /// No sign of life of an HTTP/2 client that was asked for one.
    Ping,
    /// A TLS handshake that was begun and not ended.
    TlsHandshake,
    /// The application does not take a connection.
    Connect,
    /// No byte of an opaque or upgraded connection.
    OpaqueIdle,
}

impl Timeout {
    /// Every timer.
    pub const ALL: [Self; 12] = [
        Self::FirstByte,
        Self::Head,
        Self::BodyIdle,
        Self::BodyRate,
        Self::HeldBody,
        Self::ResponseHead,
        Self::StreamIdle,
        Self::KeepAliveIdle,
        Self::Ping,
        Self::TlsHandshake,
        Self::Connect,
        Self::OpaqueIdle,
    ];

    /// Label of `rasp_errors_total{kind}`.
    pub fn id(self) -> &'static str {
        match self {
            Self::FirstByte => "first_byte_timeout",
            Self::Head => "head_timeout",
            Self::BodyIdle => "body_idle_timeout",
            Self::BodyRate => "body_rate",
            Self::HeldBody => "held_body_timeout",
            Self::ResponseHead => "response_head_timeout",
            Self::StreamIdle => "stream_idle_timeout",
            Self::KeepAliveIdle => "keep_alive_idle_timeout",
            Self::Ping => "ping_timeout",
            Self::TlsHandshake => "tls_handshake_timeout",
            Self::Connect => "connect_timeout",
            Self::OpaqueIdle => "opaque_idle_timeout",
        }
    }
}

/// What is turned away or given up because there is too much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// A request more than are served at once.
    InFlight,
    /// A request while memory is short.
    Memory,
    /// Connections wait: as many are open as may be.
    Connections,
    /// Connections wait: memory is short.
    Accept,
    /// A connection was ended because memory is short, or another one waits for its place.
    KeepAlive,
}

impl Shed {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::InFlight, Self::Memory, Self::Connections, Self::Accept, Self::KeepAlive];

    /// Label of `rasp_errors_total{kind}`.
    pub fn id(self) -> &'static str {
        match self {
            Self::InFlight => "shed_in_flight",
            Self::Memory => "shed_memory",
            Self::Connections => "shed_connections",
            Self::Accept => "shed_accept",
            Self::KeepAlive => "shed_keep_alive",
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
    /// TLS failed.
    Tls(Tls),
}

impl Kind {
    /// The kinds that carry nothing.
    pub const PLAIN: [Self; 15] = [
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
