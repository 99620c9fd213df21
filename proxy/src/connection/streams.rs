//! The streams of one HTTP/2 client: hyper gives each a task, here they are counted and none waits for ever.
//!
//! A client that opens no window for a response that is there would keep what is buffered of it as long as it likes.
//! Such a stream is reset after a while; one whose application is silent is not.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use crate::exchange::Connection;
use crate::exchange::body::{Cut, ResponseBody};
use crate::reason::{Kind, Timeout};

/// The streams of one client.
#[derive(Clone, Debug)]
pub struct Streams(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    live: AtomicUsize,
    begun: AtomicUsize,
    changed: Notify,
    // hyper calls the service, and then hands over the stream's future, without a pause between the two.
    newest: Mutex<Option<Offer>>,
    connection: Arc<Connection>,
}

/// Since when the client was offered what it does not take.
#[derive(Clone, Debug, Default)]
pub struct Offer(Arc<Mutex<Option<Instant>>>);

impl Offer {
    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Resolves when the client took nothing for so long.
    async fn ignored(&self, patience: Duration) {
        let mut deadline = Instant::now() + patience;
        loop {
            sleep_until(deadline).await;
            let now = Instant::now();
            deadline = self.0.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(now) + patience;
            if deadline <= now {
                return;
            }
        }
    }
}

/// A stream until it is dropped.
struct Live(Arc<Inner>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_waiters();
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        self.0.live.fetch_add(1, Ordering::AcqRel);
        self.0.begun.fetch_add(1, Ordering::AcqRel);
        self.0.changed.notify_waiters();
        let live = Live(Arc::clone(&self.0));
        let patience = self.0.connection.shared.timers.untaken;
        let offer = self.0.newest.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        tokio::spawn(async move {
            tokio::select! {
                () = stream => {}
                () = offer.ignored(patience) => {
                    live.0.connection.incident(&Kind::Timeout(Timeout::UntakenStream));
                }
            }
            drop(live);
        });
    }
}

impl Streams {
    /// None yet.
    pub fn new(connection: Arc<Connection>) -> Self {
        Self(Arc::new(Inner {
            live: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            changed: Notify::new(),
            newest: Mutex::new(None),
            connection,
        }))
    }

    /// For the stream that hyper is about to hand over.
    pub fn offer(&self) -> Offer {
        let offer = Offer::default();
        *self.0.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(offer.clone());
        offer
    }

    /// Resolves when there was no stream for so long.
    pub async fn idle(&self, limit: Duration) {
        loop {
            let changed = self.0.changed.notified();
            if self.0.live.load(Ordering::Acquire) > 0 {
                changed.await;
                continue;
            }
            tokio::select! {
                () = changed => {}
                () = sleep(limit) => return,
            }
        }
    }

    /// Resolves when there was a stream and there is none any more.
    pub async fn served(&self) {
        loop {
            let changed = self.0.changed.notified();
            if self.0.begun.load(Ordering::Acquire) > 0 && self.0.live.load(Ordering::Acquire) == 0 {
                return;
            }
            changed.await;
        }
    }
}

/// A response whose client should take what there is of it.
#[derive(Debug)]
pub struct Offered {
    /// The response.
    pub body: ResponseBody,
    /// Its stream's.
    pub offer: Offer,
}

impl Body for Offered {
    type Data = Bytes;
    type Error = Cut;

    /// hyper asks for more when it could hand on what it has.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.offer.set(polled.is_ready().then(Instant::now));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
