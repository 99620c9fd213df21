//! Every limit and timer of the data path, with its default. The names, units and ranges are those of
//! [`rasp_policy::limits`]; docs/limits.md has the table.
//!
//! No logic: whoever runs into a limit finds it here and counts it with a reason of its own.

use std::time::Duration;

use rasp_policy::limits::Assignments;

use crate::guard::{self, frames, response};
use crate::websocket;

/// Longer than any connection lives: what `off` means to a timer.
const NEVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// What all connections of one process keep to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long things may take.
    pub timers: Timers,
    /// Connections at once, where file descriptors and memory do not allow fewer.
    pub connections: usize,
    /// Requests at once; one more is answered 503.
    pub in_flight: usize,
    /// Bytes of held and copied bodies at once, where memory does not allow fewer.
    pub held_bodies: usize,
    /// So long may the engine work on one request.
    pub inspection: Duration,
    /// Panics and overruns within a minute after which inspection is left out for a while.
    pub inspection_failures: usize,
    /// Threads that serve connections.
    pub workers: usize,
    /// What messages may take.
    pub messages: Messages,
}

/// What messages may take, of each protocol.
#[derive(Clone, Copy, Debug, Default)]
pub struct Messages {
    /// A request.
    pub request: guard::Limits,
    /// A response of HTTP/1; its head, of HTTP/2 as well.
    pub response: response::Limits,
    /// What HTTP/2 adds.
    pub http2: Http2,
    /// Messages of a client over a WebSocket.
    pub websocket: websocket::Limits,
}

/// What a client of HTTP/2 may take.
#[derive(Clone, Copy, Debug)]
pub struct Http2 {
    /// Streams of one client at once; the ones above are refused, which tells the client to send them again.
    pub streams: u32,
    /// Bytes that a peer may send of one stream before somebody took them.
    pub stream_window: u32,
    /// And of all of its streams.
    pub connection_window: u32,
    /// Frames that lead nowhere, at once.
    pub frames: frames::AtOnce,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            streams: 100,
            stream_window: 64 << 10,
            connection_window: 1 << 20,
            frames: frames::AtOnce::default(),
        }
    }
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Timers {
    /// Until the first byte of a connection.
    pub first_byte: Duration,
    /// From the first byte of a head to its end.
    pub head: Duration,
    /// Between two reads of a request body.
    pub body_idle: Duration,
    /// Bytes a second that a request body must have come at after its first 10 seconds; 0 is off. Only time in which the
    /// client was waited for counts.
    pub body_rate: u64,
    /// For the whole of a body that is held.
    pub held_body: Duration,
    /// From the end of a request to the head of its response.
    pub response_head: Duration,
    /// Between two reads of a response body.
    pub stream_idle: Duration,
    /// Between two pieces of a response that an HTTP/2 client takes.
    pub untaken: Duration,
    /// Of silence until an HTTP/2 client is asked for a sign of life, and again until it ends for want of one.
    pub ping: Duration,
    /// Between two requests.
    pub keep_alive_idle: Duration,
    /// From the first byte of a TLS handshake to its end.
    pub tls_handshake: Duration,
    /// Until the application takes a connection.
    pub connect: Duration,
    /// Without a byte in either direction of an opaque or upgraded connection.
    pub opaque_idle: Duration,
}

impl Timers {
    /// In front of any upstream.
    pub fn in_gateway() -> Self {
        let seconds = Duration::from_secs;
        Self {
            first_byte: seconds(10),
            head: seconds(10),
            body_idle: seconds(30),
            body_rate: 500,
            held_body: seconds(60),
            response_head: seconds(60),
            stream_idle: seconds(300),
            untaken: seconds(300),
            ping: seconds(10),
            keep_alive_idle: seconds(75),
            tls_handshake: seconds(5),
            connect: seconds(5),
            opaque_idle: seconds(3600),
        }
    }

    /// In a pod, where nothing but the application may decide how long its clients wait. It is on the same host, so that
    /// it takes a connection at once or not at all.
    pub fn in_pod() -> Self {
        let hour = Duration::from_secs(3600);
        Self {
            response_head: hour,
            stream_idle: hour,
            keep_alive_idle: hour,
            connect: Duration::from_millis(300),
            ..Self::in_gateway()
        }
    }
}

impl Limits {
    /// In front of any upstream.
    pub fn in_gateway() -> Self {
        Self {
            timers: Timers::in_gateway(),
            connections: 10_000,
            in_flight: 1000,
            held_bodies: 64 << 20,
            inspection: Duration::from_millis(50),
            inspection_failures: 5,
            workers: 1,
            messages: Messages::default(),
        }
    }

    /// In a pod.
    pub fn in_pod() -> Self {
        Self { timers: Timers::in_pod(), ..Self::in_gateway() }
    }

    /// Changes what was set.
    pub fn set(&mut self, assignments: &Assignments) {
        for set in &assignments.0 {
            match self.place(set.limit.key) {
                Some(Place::Time(time)) if set.value == 0 => *time = NEVER,
                Some(Place::Time(time)) => *time = Duration::from_millis(set.value),
                Some(Place::Size(size)) => *size = usize::try_from(set.value).unwrap_or(usize::MAX),
                Some(Place::Rate(rate)) => *rate = set.value,
                Some(Place::Number(number)) => *number = u32::try_from(set.value).unwrap_or(u32::MAX),
                None => {} // a test holds both lists together
            }
        }
    }

    /// The value of a limit in its unit, as it is written.
    pub fn show(mut self, limit: &rasp_policy::limits::Limit) -> Option<String> {
        let value = match self.place(limit.key)? {
            Place::Time(time) if *time == NEVER => 0,
            Place::Time(time) => u64::try_from(time.as_millis()).ok()?,
            Place::Size(size) => u64::try_from(*size).ok()?,
            Place::Rate(rate) => *rate,
            Place::Number(number) => u64::from(*number),
        };
        Some(limit.show(value))
    }

    fn place(&mut self, key: &str) -> Option<Place<'_>> {
        let timers = &mut self.timers;
        Some(match key {
            "timeout-first-byte" => Place::Time(&mut timers.first_byte),
            "timeout-head" => Place::Time(&mut timers.head),
            "timeout-body-idle" => Place::Time(&mut timers.body_idle),
            "timeout-held-body" => Place::Time(&mut timers.held_body),
            "timeout-response-head" => Place::Time(&mut timers.response_head),
            "timeout-stream-idle" => Place::Time(&mut timers.stream_idle),
            "timeout-untaken-stream" => Place::Time(&mut timers.untaken),
            "timeout-ping" => Place::Time(&mut timers.ping),
            "timeout-keep-alive-idle" => Place::Time(&mut timers.keep_alive_idle),
            "timeout-opaque-idle" => Place::Time(&mut timers.opaque_idle),
            "timeout-tls-handshake" => Place::Time(&mut timers.tls_handshake),
            "timeout-connect" => Place::Time(&mut timers.connect),
            "body-rate" => Place::Rate(&mut timers.body_rate),
            "connections" => Place::Size(&mut self.connections),
            "in-flight" => Place::Size(&mut self.in_flight),
            "held-bodies" => Place::Size(&mut self.held_bodies),
            "inspection-time" => Place::Time(&mut self.inspection),
            "inspection-failures" => Place::Size(&mut self.inspection_failures),
            "workers" => Place::Size(&mut self.workers),
            _ => return self.messages.place(key),
        })
    }
}

impl Messages {
    fn place(&mut self, key: &str) -> Option<Place<'_>> {
        let Self { request, response, http2, websocket } = self;
        Some(match key {
            "head" => Place::Size(&mut request.head),
            "head-fields" => Place::Size(&mut request.fields),
            "field-name" => Place::Size(&mut request.name),
            "field-value" => Place::Size(&mut request.value),
            "target" => Place::Size(&mut request.target),
            "method" => Place::Size(&mut request.method),
            "blank-lines" => Place::Size(&mut request.blank_lines),
            "chunk-extension" => Place::Size(&mut request.chunk_extension),
            "chunk-digits" => Place::Size(&mut request.chunk_digits),
            "trailer" => Place::Size(&mut request.trailer),
            "trailer-fields" => Place::Size(&mut request.trailer_fields),
            "response-head" => Place::Size(&mut response.head),
            "response-fields" => Place::Size(&mut response.fields),
            "response-status-line" => Place::Size(&mut response.status_line),
            "response-interim" => Place::Size(&mut response.interim),
            "response-trailer" => Place::Size(&mut response.trailer),
            "http2-streams" => Place::Number(&mut http2.streams),
            "http2-stream-window" => Place::Number(&mut http2.stream_window),
            "http2-connection-window" => Place::Number(&mut http2.connection_window),
            "websocket-message" => Place::Rate(&mut websocket.message),
            "websocket-rate" => Place::Number(&mut websocket.rate),
            _ => return http2.frames.of_mut(key).map(Place::Number),
        })
    }
}

/// Where the value of a limit is kept.
enum Place<'a> {
    Time(&'a mut Duration),
    Size(&'a mut usize),
    Rate(&'a mut u64),
    Number(&'a mut u32),
}

#[cfg(test)]
mod tests {
    use rasp_policy::limits::LIMITS;

    use super::{Limits, NEVER};

    #[test]
    fn every_limit_has_a_place_and_defaults_in_its_range() {
        for limit in &LIMITS {
            for defaults in [Limits::in_gateway(), Limits::in_pod()] {
                let line = format!("{}={}", limit.key, defaults.show(limit).expect(limit.key));
                let mut changed = defaults;
                changed.set(&line.parse().unwrap());
                assert_eq!(changed.show(limit), defaults.show(limit), "{line}");
                let other = format!("{}={}", limit.key, limit.show(limit.most));
                changed.set(&other.parse().unwrap());
                assert_eq!(changed.show(limit), Some(limit.show(limit.most)), "{other}");
            }
        }
    }

    #[test]
    fn off_is_longer_than_anything_lives_and_a_deadline_can_still_be_computed() {
        let mut limits = Limits::in_gateway();
        limits.set(&"timeout-response-head=off,body-rate=off".parse().unwrap());
        assert_eq!((limits.timers.response_head, limits.timers.body_rate), (NEVER, 0));
        assert!(std::time::Instant::now().checked_add(NEVER).is_some());
    }

    #[test]
    fn a_slow_application_of_a_pod_has_an_hour_and_that_of_a_gateway_a_minute() {
        let (pod, gateway) = (Limits::in_pod().timers, Limits::in_gateway().timers);
        assert_eq!((pod.response_head.as_secs(), gateway.response_head.as_secs()), (3600, 60));
        assert_eq!((pod.connect.as_millis(), gateway.connect.as_millis()), (300, 5000));
        assert_eq!(pod.head, gateway.head, "a client that stalls has no more time");
    }
}
