//! What a connection is doing, as its exchange and its socket tell each other. Called by `exchange`, by the
//! connection of HTTP/1 and by [`super::Paced`], which alone sees more of it than its methods say; nothing in it waits.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::connection::wire::Notes;
use crate::drain::InFlight;

pub(super) const IDLE: u8 = 0;
pub(super) const HEAD: u8 = 1;
pub(super) const BUSY: u8 = 2;
/// No HTTP any more: the relay has a timer of its own.
const SWITCHED: u8 = 3;

pub(super) const STAYS: u8 = 0;
pub(super) const HALF: u8 = 1;
pub(super) const GONE: u8 = 2;

/// What a client closed while its request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Its half: it may wait for the answer, or may have gone.
    Half,
    /// All of it.
    Gone,
}

/// What the connection is doing. Shared with the exchange.
#[derive(Debug)]
pub struct Phase {
    pub(super) now: AtomicU8,
    pub(super) linger: AtomicBool,
    idled: AtomicBool,
    pub(super) broken: AtomicBool,
    pub(super) left: AtomicU8,
    over: AtomicBool,
    pub(super) overdue: AtomicBool,
    pub(super) rests: AtomicBool,
    /// What the guard says about the next request.
    pub notes: Notes,
    // Set when a response was handed to hyper whole, while its last bytes may still be in hyper's buffer.
    unflushed: Mutex<Option<InFlight>>,
}

impl Phase {
    /// The first bytes of a head are there.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            now: AtomicU8::new(HEAD),
            linger: AtomicBool::new(false),
            idled: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            left: AtomicU8::new(STAYS),
            over: AtomicBool::new(false),
            overdue: AtomicBool::new(false),
            rests: AtomicBool::new(false),
            notes: Notes::default(),
            unflushed: Mutex::new(None),
        })
    }

    /// An exchange begins.
    pub fn busy(&self) {
        self.now.store(BUSY, Ordering::Release);
    }

    /// The exchange is over, but for the bytes that hyper has not written yet: the process must not end before.
    pub fn idle(&self, in_flight: Option<InFlight>) {
        let _ = self.now.compare_exchange(BUSY, IDLE, Ordering::AcqRel, Ordering::Acquire);
        *self.unflushed.lock().unwrap_or_else(PoisonError::into_inner) = in_flight;
        if self.linger.load(Ordering::Acquire) {
            self.over.store(true, Ordering::Release);
        }
    }

    pub(super) fn leave(&self, left: u8) {
        self.left.store(left, Ordering::Release);
    }

    /// What the client closed while its request was answered: its half, or all of it.
    pub fn left(&self) -> Option<Left> {
        match self.left.load(Ordering::Acquire) {
            HALF => Some(Left::Half),
            GONE => Some(Left::Gone),
            _ => None,
        }
    }

    /// Whether the last response of the connection was given although the client may still be sending. Said once.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire) && self.over.swap(false, Ordering::AcqRel)
    }

    /// A response broke off. Of one that ends with the connection, only a reset says so.
    pub fn broken(&self) {
        self.broken.store(true, Ordering::Release);
    }

    /// The connection leaves HTTP: nothing that follows is looked at, or has a time limit, here.
    pub fn switch(&self) {
        self.now.store(SWITCHED, Ordering::Release);
    }

    /// Whether the connection has left HTTP.
    pub fn is_switched(&self) -> bool {
        self.now.load(Ordering::Acquire) == SWITCHED
    }

    /// Whether hyper has waited for the next request for a while, and has nothing left to write.
    pub fn rests(&self) -> bool {
        self.rests.load(Ordering::Acquire)
            && self.now.load(Ordering::Acquire) == IDLE
            && self.unflushed.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Something may happen.
    pub fn resume(&self) {
        self.rests.store(false, Ordering::Release);
    }

    /// hyper has nothing left to write.
    pub(in crate::connection) fn flushed(&self) {
        self.unflushed.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// The next request did not come in time.
    pub(super) fn ran_out(&self) {
        self.idled.store(true, Ordering::Release);
    }

    /// Whether the connection ended because the next request did not come in time.
    pub fn has_run_out(&self) -> bool {
        self.idled.load(Ordering::Acquire)
    }

    /// Whether the client did not send a head in time. hyper, which saw nothing of it, does not tell.
    pub fn is_overdue(&self) -> bool {
        self.overdue.load(Ordering::Acquire)
    }

    /// The client may still be sending what nobody will use.
    pub fn linger(&self) {
        self.linger.store(true, Ordering::Release);
    }
}
