//! Follows the frames of HTTP/2 on the bytes of a connection, and knows when a client only keeps us busy. Sans-IO.
//!
//! hyper limits what costs memory. Frames that cost nothing but time (SETTINGS, PING, PRIORITY, WINDOW_UPDATE, unknown
//! ones, resets) it answers or swallows for ever. Here each kind has a budget that time, answered requests and bytes
//! sent pay back. Never allocates, never looks into a payload. Called by `connection::watched` for every read and write.

use std::time::Duration;

/// Bytes in front of every frame.
const HEAD: usize = 9;
/// `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n` (RFC 9113 section 3.4).
const PREFACE: u32 = 24;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
/// Type of GOAWAY.
pub const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;

/// What stands in front of a frame (RFC 9113 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// Bytes of payload.
    pub length: u32,
    /// Type.
    pub kind: u8,
    /// Flags; what they mean depends on the type.
    pub flags: u8,
    /// 0 for the connection.
    pub stream: u32,
}

impl FrameHead {
    fn parse(bytes: [u8; HEAD]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = bytes;
        let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
        Self { length: u32::from_be_bytes([0, a, b, c]), kind, flags, stream }
    }

    fn ends_stream(self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

/// Where in the sequence of frames a direction is.
#[derive(Debug, Default)]
pub struct Frames {
    head: [u8; HEAD],
    filled: usize,
    skip: u32,
}

impl Frames {
    /// The direction of the client, which begins with the preface.
    pub fn of_client() -> Self {
        Self { skip: PREFACE, ..Self::default() }
    }

    /// Takes the next bytes, in pieces of any size, and calls `seen` for every frame whose head is complete.
    pub fn follow(&mut self, mut bytes: &[u8], mut seen: impl FnMut(FrameHead)) {
        while !bytes.is_empty() {
            let step = self.rest().min(bytes.len());
            let (taken, later) = bytes.split_at(step);
            bytes = later;
            if self.skip > 0 {
                self.skip -= u32::try_from(step).unwrap_or(self.skip);
                continue;
            }
            if let Some(room) = self.head.get_mut(self.filled..self.filled + step) {
                room.copy_from_slice(taken);
            }
            self.filled += step;
            if self.filled == HEAD {
                let head = FrameHead::parse(self.head);
                (self.filled, self.skip) = (0, head.length);
                seen(head);
            }
        }
    }

    /// Whether the last frame is complete and the next one has not begun.
    pub fn is_between(&self) -> bool {
        self.skip == 0 && self.filled == 0
    }

    /// Bytes until the payload, or the head, of the current frame is complete.
    pub fn rest(&self) -> usize {
        if self.skip > 0 { usize::try_from(self.skip).unwrap_or(usize::MAX) } else { HEAD - self.filled }
    }
}

/// Frames of which a client sent too many, without getting anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// SETTINGS, each of which is answered (CVE-2019-9515).
    Settings,
    /// PING, each of which is answered (CVE-2019-9512).
    Ping,
    /// PRIORITY (CVE-2019-9513).
    Priority,
    /// WINDOW_UPDATE without data that would need them.
    WindowUpdate,
    /// Frames of a type that means nothing to a server.
    Unknown,
    /// Requests taken back before they were answered (CVE-2023-44487).
    Reset,
    /// DATA and CONTINUATION without a byte (CVE-2019-9518, CVE-2024-27316).
    Empty,
}

/// How many frames of one kind may come.
struct Limit {
    flood: Flood,
    /// Name of the limit on how many come at once, and its default.
    key: &'static str,
    at_once: u32,
    per_second: u32,
    per_answer: u32,
    per_data_sent: u32,
}

const fn limit(flood: Flood, key: &'static str, at_once: u32, pays: [u32; 3]) -> Limit {
    let [per_second, per_answer, per_data_sent] = pays;
    Limit { flood, key, at_once, per_second, per_answer, per_data_sent }
}

/// Far above what clients do: a window is updated for every DATA frame at most, browsers send a few PRIORITY for every
/// request, gRPC sends a PING every ten seconds, and a client whose deadlines pass resets at most its hundred streams
/// each second.
const LIMITS: [Limit; Flood::ALL.len()] = [
    limit(Flood::Settings, "http2-settings", 1_000, [100, 0, 0]),
    limit(Flood::Ping, "http2-pings", 1_000, [100, 1, 1]),
    limit(Flood::Priority, "http2-priorities", 10_000, [100, 100, 0]),
    limit(Flood::WindowUpdate, "http2-window-updates", 10_000, [1_000, 10, 10]),
    limit(Flood::Unknown, "http2-unknown", 10_000, [100, 10, 0]),
    limit(Flood::Reset, "http2-resets", 100, [100, 1, 0]),
    limit(Flood::Empty, "http2-empty", 1_000, [100, 10, 0]),
];

/// How many frames of each kind may come at once; a million at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtOnce([u32; LIMITS.len()]);

impl Default for AtOnce {
    fn default() -> Self {
        Self(LIMITS.map(|limit| limit.at_once))
    }
}

impl AtOnce {
    /// The limit of this name.
    pub fn of_mut(&mut self, key: &str) -> Option<&mut u32> {
        self.0.iter_mut().zip(&LIMITS).find_map(|(most, limit)| (limit.key == key).then_some(most))
    }
}

impl Flood {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Settings,
        Self::Ping,
        Self::Priority,
        Self::WindowUpdate,
        Self::Unknown,
        Self::Reset,
        Self::Empty,
    ];

    /// Label of `rasp_errors_total{kind}`.
    pub fn id(self) -> &'static str {
        match self {
            Self::Settings => "http2_flood_settings",
            Self::Ping => "http2_flood_ping",
            Self::Priority => "http2_flood_priority",
            Self::WindowUpdate => "http2_flood_window_update",
            Self::Unknown => "http2_flood_unknown",
            Self::Reset => "http2_flood_reset",
            Self::Empty => "http2_flood_empty",
        }
    }

    /// What a frame of a client counts as; `None` where it is progress, or hyper's to limit.
    fn of(head: FrameHead) -> Option<Self> {
        match head.kind {
            HEADERS => None,
            DATA => (head.length == 0 && !head.ends_stream()).then_some(Self::Empty),
            CONTINUATION => (head.length == 0).then_some(Self::Empty),
            PRIORITY => Some(Self::Priority),
            RST_STREAM => Some(Self::Reset),
            SETTINGS => (head.flags & ACK == 0).then_some(Self::Settings),
            PING => Some(Self::Ping),
            WINDOW_UPDATE => Some(Self::WindowUpdate),
            _ => Some(Self::Unknown),
        }
    }
}

/// Thousandths of a frame, so that a millisecond can pay its part.
const FRAME: u32 = 1_000;

/// What a client has used of its budgets.
#[derive(Debug, Default)]
pub struct Budgets {
    most: AtOnce,
    used: [u32; LIMITS.len()],
    paid_until: Duration,
    last_stream: u32,
}

impl Budgets {
    /// Nothing of them was used yet.
    pub fn new(most: AtOnce) -> Self {
        Self { most, ..Self::default() }
    }

    /// Counts a frame of the client; `now` is the time since the connection began. Says what there is too much of.
    pub fn received(&mut self, head: FrameHead, now: Duration) -> Option<Flood> {
        if head.kind == HEADERS {
            self.last_stream = self.last_stream.max(head.stream);
        }
        let flood = Flood::of(head)?;
        self.pay_for_time(now);
        let mut over = false;
        for ((used, most), limit) in self.used.iter_mut().zip(self.most.0).zip(&LIMITS) {
            if limit.flood == flood {
                *used = used.saturating_add(FRAME);
                over = *used > most.saturating_mul(FRAME);
            }
        }
        over.then_some(flood)
    }

    /// Takes notice of a frame to the client.
    pub fn sent(&mut self, head: FrameHead) {
        let (answers, data) =
            (u32::from(head.ends_stream()), u32::from(head.kind == DATA && head.length > 0));
        if answers + data > 0 {
            self.pay(|limit| (limit.per_answer * answers + limit.per_data_sent * data) * FRAME);
        }
    }

    /// The highest stream the client opened, for a GOAWAY.
    pub fn last_stream(&self) -> u32 {
        self.last_stream
    }

    fn pay_for_time(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.paid_until).as_millis();
        if passed > 0 {
            self.paid_until = now;
            let passed = u32::try_from(passed).unwrap_or(u32::MAX);
            self.pay(|limit| passed.saturating_mul(limit.per_second));
        }
    }

    fn pay(&mut self, amount: impl Fn(&Limit) -> u32) {
        for (used, limit) in self.used.iter_mut().zip(&LIMITS) {
            *used = used.saturating_sub(amount(limit));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Budgets, Flood, FrameHead, Frames};

    fn frame(kind: u8, flags: u8, stream: u32, length: usize) -> Vec<u8> {
        let mut bytes = u32::try_from(length).unwrap().to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(vec![0xee; length]);
        bytes
    }

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let heads = [(4, 0, 0, 12), (1, 5, 0x8000_0001, 3), (0, 1, 1, 0), (0, 0, 1, 300), (6, 0, 0, 8)];
        for (kind, flags, stream, length) in heads {
            bytes.extend(frame(kind, flags, stream, length));
        }
        for cut in [1, 2, 7, 9, 24, 33, 100, bytes.len()] {
            let (mut frames, mut found) = (Frames::of_client(), Vec::new());
            for piece in bytes.chunks(cut) {
                frames.follow(piece, |head| {
                    found.push((head.kind, head.flags, head.stream, head.length as usize));
                });
            }
            let expected =
                heads.map(|(kind, flags, stream, length)| (kind, flags, stream & 0x7fff_ffff, length));
            assert_eq!(found, expected, "pieces of {cut}");
            assert!(frames.is_between());
        }
    }

    #[test]
    fn a_frame_is_not_over_before_its_last_byte() {
        let mut frames = Frames::default();
        for byte in frame(0, 0, 1, 5) {
            frames.follow(&[byte], |_| ());
            assert_eq!(frames.is_between(), byte == 0xee && frames.rest() == 9, "{frames:?}");
        }
    }

    fn head(kind: u8, flags: u8, length: u32) -> FrameHead {
        FrameHead { length, kind, flags, stream: 1 }
    }

    /// How many of this frame are taken at once.
    fn taken(budgets: &mut Budgets, frame: FrameHead, now: Duration) -> usize {
        (0..100_000).take_while(|_| budgets.received(frame, now).is_none()).count()
    }

    #[test]
    fn each_kind_has_a_budget_of_its_own() {
        let table = [
            ("SETTINGS", head(4, 0, 0), Some((1_000, Flood::Settings))),
            ("an acknowledgement", head(4, 1, 0), None),
            ("PING", head(6, 0, 8), Some((1_000, Flood::Ping))),
            ("an answer to no PING", head(6, 1, 8), Some((1_000, Flood::Ping))),
            ("PRIORITY", head(2, 0, 5), Some((10_000, Flood::Priority))),
            ("WINDOW_UPDATE", head(8, 0, 4), Some((10_000, Flood::WindowUpdate))),
            ("GOAWAY", head(7, 0, 8), Some((10_000, Flood::Unknown))),
            ("an unknown type", head(0xbe, 0, 8), Some((10_000, Flood::Unknown))),
            ("RST_STREAM", head(3, 0, 4), Some((100, Flood::Reset))),
            ("DATA without a byte", head(0, 0, 0), Some((1_000, Flood::Empty))),
            ("the end of a body", head(0, 1, 0), None),
            ("DATA", head(0, 0, 1), None),
            ("CONTINUATION without a byte", head(9, 0, 0), Some((1_000, Flood::Empty))),
            ("CONTINUATION", head(9, 0, 1), None),
            ("a request", head(1, 5, 10), None),
        ];
        for (name, frame, expected) in table {
            let mut budgets = Budgets::default();
            let count = taken(&mut budgets, frame, Duration::ZERO);
            let over = budgets.received(frame, Duration::ZERO).map(|flood| (count, flood));
            assert_eq!(over, expected, "{name}");
            assert!(
                budgets.received(head(1, 5, 10), Duration::ZERO).is_none(),
                "{name}: others are not counted"
            );
        }
    }

    #[test]
    fn time_answers_and_data_pay_back() {
        let ping = head(6, 0, 8);
        let mut budgets = Budgets::default();
        assert_eq!(taken(&mut budgets, ping, Duration::ZERO), 1_000);
        assert_eq!(taken(&mut budgets, ping, Duration::from_secs(1)), 99, "one was over before");
        assert_eq!(taken(&mut budgets, ping, Duration::from_secs(86_400)), 1_000);

        let (reset, answer) = (head(3, 0, 4), head(1, 5, 10));
        let mut budgets = Budgets::default();
        for _ in 0..10_000 {
            assert_eq!(budgets.received(reset, Duration::ZERO), None);
            budgets.sent(answer);
        }
        assert_eq!(taken(&mut budgets, reset, Duration::ZERO), 100);

        let (update, data) = (head(8, 0, 4), head(0, 0, 16_384));
        let mut budgets = Budgets::default();
        for _ in 0..100_000 {
            budgets.sent(data);
            assert_eq!(budgets.received(update, Duration::ZERO), None);
            assert_eq!(budgets.received(update, Duration::ZERO), None);
        }
    }

    #[test]
    fn a_ping_every_ten_seconds_is_no_flood_in_a_year() {
        let mut budgets = Budgets::default();
        for tick in 0..3_153_600 {
            assert_eq!(budgets.received(head(6, 0, 8), Duration::from_secs(tick * 10)), None);
        }
    }
}
