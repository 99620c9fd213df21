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
    /// A client of HTTP/2 that takes nothing of a response.
    UntakenStream,
    /// No next request.
    KeepAliveIdle,
    /// No sign of life of an HTTP/2 client that was asked for one.
    Ping,
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
        Self::UntakenStream,
        Self::KeepAliveIdle,
        Self::Ping,
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
            Self::UntakenStream => "untaken_stream_timeout",
            Self::KeepAliveIdle => "keep_alive_idle_timeout",
            Self::Ping => "ping_timeout",
            Self::Connect => "connect_timeout",
            Self::OpaqueIdle => "opaque_idle_timeout",
        }
    }

    /// A sentence for an event.
    pub fn title(self) -> &'static str {
        match self {
            Self::FirstByte => "no byte of the client came in time",
            Self::Head => "a head was begun and not ended in time",
            Self::BodyIdle => "no more of a request body came in time",
            Self::BodyRate => "a request body came too slowly",
            Self::HeldBody => "a request body that is held was not complete in time",
            Self::ResponseHead => "the application did not answer in time",
            Self::StreamIdle => "no more of a body came in time",
            Self::UntakenStream => "the client took nothing of a response for too long",
            Self::KeepAliveIdle => "no next request came in time",
            Self::Ping => "the client gave no sign of life",
            Self::Connect => "the application did not take a connection in time",
            Self::OpaqueIdle => "no byte of a connection came in time",
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
    /// Work that was cut off because the time of a process that ends was up.
    Shutdown,
    /// A connection was ended because memory is short, or another one waits for its place.
    KeepAlive,
}

impl Shed {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::InFlight, Self::Memory, Self::Connections, Self::Accept, Self::Shutdown, Self::KeepAlive];

    /// Label of `rasp_errors_total{kind}`.
    pub fn id(self) -> &'static str {
        match self {
            Self::InFlight => "shed_in_flight",
            Self::Memory => "shed_memory",
            Self::Connections => "shed_connections",
            Self::Accept => "shed_accept",
            Self::Shutdown => "shed_shutdown",
            Self::KeepAlive => "shed_keep_alive",
        }
    }

    /// A sentence for an event.
    pub fn title(self) -> &'static str {
        match self {
            Self::InFlight => "there are too many requests at once",
            Self::Memory => "memory is short, and requests are refused",
            Self::Connections => "there are too many connections at once, and new ones wait",
            Self::Accept => "memory is short, and new connections wait",
            Self::Shutdown => "the time of a process that ends was up before its work was done",
            Self::KeepAlive => "an idle connection gave up its place",
        }
    }
}
