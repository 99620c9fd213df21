//! What ran out: time, or room.

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
