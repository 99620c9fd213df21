//! What both sides of a connection know of the response that is due: what it may be, what came before it, and whether
//! somebody still waits for it. No logic. Shared by the exchange, the response guard and the client's socket.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

const DUE: u8 = 1;
const NO_BODY: u8 = 2;
const SWITCH: u8 = 4;
const HINTS: u8 = 8;

/// A request that goes out, as far as its response depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asking {
    /// Its method is HEAD.
    pub head: bool,
    /// It asks for another protocol in a way that may be answered by 101.
    pub switch: bool,
    /// The client knows interim responses (1xx).
    pub hints: bool,
    /// Its body is there, or it has none.
    pub sent: bool,
}

/// The response that is due.
#[derive(Debug, Default)]
pub struct Awaited {
    due: AtomicU8,
    proceed: Flag,
    sent: AtomicBool,
    followed: AtomicBool,
    left: AtomicBool,
    hints: Mutex<Vec<u8>>,
    hinted: AtomicBool,
    news: AtomicBool,
    written: Notify,
    surplus: Mutex<Vec<u8>>,
    exceeds: AtomicBool,
}

/// Something that happens once, and that somebody may wait for.
#[derive(Debug, Default)]
struct Flag {
    is_up: AtomicBool,
    raised: Notify,
}

impl Awaited {
    /// A request goes out. Called before any byte of it is sent.
    pub fn expect(&self, asking: Asking) {
        self.sent.store(asking.sent, Ordering::Release);
        let flag = |is_up, flag| if is_up { flag } else { 0 };
        let due = DUE | flag(asking.head, NO_BODY) | flag(asking.switch, SWITCH) | flag(asking.hints, HINTS);
        self.proceed.is_up.store(false, Ordering::Release);
        self.due.store(due, Ordering::Release);
    }

    fn is(&self, flag: u8) -> bool {
        self.due.load(Ordering::Acquire) & flag != 0
    }

    /// Whether a response is on its way.
    pub fn is_due(&self) -> bool {
        self.is(DUE)
    }

    /// Whether it has no body whatever its head says.
    pub fn is_bodiless(&self) -> bool {
        self.is(NO_BODY)
    }

    /// Whether it may be 101.
    pub fn may_switch(&self) -> bool {
        self.is(SWITCH)
    }

    /// Whether interim responses are passed on.
    pub fn takes_hints(&self) -> bool {
        self.is(HINTS)
    }

    /// The response is over, or nothing but the end of the connection can end it.
    pub fn answered(&self) {
        self.due.store(0, Ordering::Release);
    }

    /// Bytes that no request asked for came behind the response.
    pub fn follow(&self) {
        self.followed.store(true, Ordering::Release);
    }

    /// Whether they did; asked once.
    pub fn was_followed(&self) -> bool {
        self.followed.load(Ordering::Acquire) && self.followed.swap(false, Ordering::AcqRel)
    }

    /// The application said 100.
    pub fn proceed(&self) {
        self.proceed.is_up.store(true, Ordering::Release);
        self.proceed.raised.notify_one();
    }

    /// Resolves when the application has said 100.
    pub async fn proceeded(&self) {
        while !self.proceed.is_up.load(Ordering::Acquire) {
            self.proceed.raised.notified().await;
        }
    }

    /// The last byte of the request was handed over.
    pub fn sent(&self) {
        self.sent.store(true, Ordering::Release);
    }

    /// The client closed its half.
    pub fn leave(&self) {
        self.left.store(true, Ordering::Release);
    }

    /// Whether the client closed its half and the application has all of its request.
    pub fn is_last(&self) -> bool {
        self.has_left() && self.sent.load(Ordering::Acquire)
    }

    /// Whether the client closed its half.
    pub fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    /// An interim response for the client.
    pub fn hint(&self, bytes: &[u8]) {
        self.hints.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        self.hinted.store(true, Ordering::Release);
        self.news.store(true, Ordering::Release);
    }

    /// Lines of the final head that hyper gets none of.
    pub fn exceed(&self, lines: Vec<u8>) {
        *self.surplus.lock().unwrap_or_else(PoisonError::into_inner) = lines;
        self.exceeds.store(true, Ordering::Release);
    }

    /// Those lines, for whoever has the head from hyper; `None` where there are none, as nearly always.
    pub fn take_surplus(&self) -> Option<Vec<u8>> {
        (self.exceeds.load(Ordering::Acquire) && self.exceeds.swap(false, Ordering::AcqRel))
            .then(|| std::mem::take(&mut *self.surplus.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Whether there is an interim response that the client's side has not been told of. Said once.
    pub fn has_news(&self) -> bool {
        self.news.load(Ordering::Acquire) && self.news.swap(false, Ordering::AcqRel)
    }

    /// Whether the client is owed interim responses.
    pub fn has_hints(&self) -> bool {
        self.hinted.load(Ordering::Acquire)
    }

    /// Interim responses for the client.
    pub fn take_hints(&self) -> Vec<u8> {
        std::mem::take(&mut *self.hints.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The client has its interim responses.
    pub fn hints_written(&self) {
        self.hinted.store(false, Ordering::Release);
        self.written.notify_one();
    }

    /// Resolves when the client has its interim responses: the final one must not overtake them.
    pub async fn hints_sent(&self) {
        while self.has_hints() {
            self.written.notified().await;
        }
    }
}
