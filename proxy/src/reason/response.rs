//! Why a response of the application is not passed on, and why a WebSocket is closed.

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
