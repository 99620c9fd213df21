//! Why a request is refused before it is judged, whatever the policy's mode: forwarding it would be guessing.

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
    /// A name with `_`, or another byte that some applications take for `-`, that stands for one that guides the message, such as `Transfer_Encoding`.
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
