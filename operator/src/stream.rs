//! The live stream: every replica sends each sidecar the Bundle of the sidecar's own namespace, as soon as it is there.
//!
//! Which namespace that is says the token, never the request. A stream costs a place among [`MAX_STREAMS`], a reference
//! to the frame that all streams of the namespace share, and what TLS and HTTP/2 keep for a connection. A reader that is
//! slow gets the newest Bundle only. Called by `routes`; the rest of the protocol is in `rasp_policy::stream` and ADR 14.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Version, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use rasp_policy::stream::{ALIVE_FRAME, HAVE, HEARTBEAT, Have};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::observe::Cache;
use crate::report::{self, Tokens, bearer};
use crate::server::{Body, Link};

mod offers;
mod rate;

pub use offers::{Offer, Offers};
use rate::Rate;

/// Streams at once. One costs about 45 KiB, so that all of them fit into the memory limit of the chart. Sidecars beyond
/// it read the mounted file, and ask another replica now and then.
pub const MAX_STREAMS: usize = 3072;

/// Why a stream is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Not HTTP/2 over TLS 1.3.
    Protocol,
    /// No bearer token.
    NoToken,
    /// The token is not valid for this endpoint.
    InvalidToken,
    /// This pod has opened too many streams of late.
    TooOften,
    /// [`MAX_STREAMS`] are open.
    Full,
    /// This replica is about to end.
    Stopping,
    /// The API server could not be asked about the token.
    Unavailable,
}

impl Refused {
    /// Status and id, one row per reason.
    pub const TABLE: [(Self, StatusCode, &'static str); 7] = [
        (Self::Protocol, StatusCode::HTTP_VERSION_NOT_SUPPORTED, "protocol"),
        (Self::NoToken, StatusCode::UNAUTHORIZED, "no_token"),
        (Self::InvalidToken, StatusCode::UNAUTHORIZED, "invalid_token"),
        (Self::TooOften, StatusCode::TOO_MANY_REQUESTS, "too_often"),
        (Self::Full, StatusCode::SERVICE_UNAVAILABLE, "full"),
        (Self::Stopping, StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        (Self::Unavailable, StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    ];

    /// Status and id of this reason.
    pub fn answer(self) -> (StatusCode, &'static str) {
        let row = Self::TABLE.iter().find(|row| row.0 == self);
        row.map_or((StatusCode::INTERNAL_SERVER_ERROR, "internal"), |row| (row.1, row.2))
    }
}

/// The endpoint.
pub struct Streams {
    tokens: Arc<Tokens>,
    cache: Arc<Cache>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    places: Arc<Semaphore>,
    rate: Rate,
    /// What ends the stream of each pod, by its UID.
    open: Arc<Mutex<HashMap<String, CancellationToken>>>,
}

impl Streams {
    /// Streams what `cache` holds to whom `tokens` knows, until `stop`.
    pub fn new(
        tokens: Arc<Tokens>,
        cache: Arc<Cache>,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> Self {
        let places = Arc::new(Semaphore::new(MAX_STREAMS));
        Self { tokens, cache, metrics, stop, places, rate: Rate::default(), open: Arc::default() }
    }

    /// Opens a stream for the pod that the token belongs to. A pod has one: the newer takes the place of the older,
    /// whose connection may be half open.
    pub async fn open<B>(&self, request: &Request<B>, link: &Link) -> Result<Response<Body>, Refused> {
        if request.version() != Version::HTTP_2 || !link.is_tls_1_3() {
            return Err(Refused::Protocol);
        }
        let token = bearer(request.headers()).ok_or(Refused::NoToken)?;
        let identity = self.tokens.identify(token).await.map_err(|refused| match refused {
            report::Refused::Unavailable => Refused::Unavailable,
            _ => Refused::InvalidToken,
        })?;
        if self.stop.is_cancelled() {
            return Err(Refused::Stopping);
        }
        if !self.rate.allows(&identity.uid, Instant::now()) {
            tracing::warn!(
                namespace = identity.namespace,
                pod = identity.pod,
                "a pod opens streams too often"
            );
            return Err(Refused::TooOften);
        }
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Refused::Full)?;
        link.leave_queue();
        let place = self.take_place(place, &identity.uid, &identity.namespace, link.end().clone());
        let reader = Reader {
            offers: self.cache.subscribe(&identity.namespace),
            have: have(request.headers()),
            // Streams that were opened together do not beat together.
            beat: Instant::now() + HEARTBEAT.mul_f64(fastrand::f64()),
            place,
        };
        tracing::debug!(namespace = identity.namespace, pod = identity.pod, "a stream is open");
        let frames = futures::stream::unfold(reader, |mut reader| async move {
            let frame = reader.next().await?;
            Some((Ok::<_, Infallible>(Frame::data(frame)), reader))
        });
        let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
        let kind = header::HeaderValue::from_static("application/vnd.rasp.stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        Ok(response)
    }

    fn take_place(
        &self,
        permit: OwnedSemaphorePermit,
        uid: &str,
        namespace: &str,
        end: CancellationToken,
    ) -> Place {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(older) = open.insert(uid.to_owned(), end.clone()) {
            older.cancel();
        }
        self.metrics.streams(1);
        Place {
            open: Arc::clone(&self.open),
            cache: Arc::clone(&self.cache),
            metrics: Arc::clone(&self.metrics),
            uid: uid.to_owned(),
            namespace: namespace.to_owned(),
            end,
            _permit: permit,
        }
    }
}

/// What an open stream takes, given back when it ends, however it ends.
struct Place {
    open: Arc<Mutex<HashMap<String, CancellationToken>>>,
    cache: Arc<Cache>,
    metrics: Arc<Metrics>,
    uid: String,
    namespace: String,
    end: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        // A connection is for one stream: without this it would stay, and count nowhere.
        self.end.cancel();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(&self.uid).is_some_and(CancellationToken::is_cancelled) {
            open.remove(&self.uid);
        }
        drop(open);
        self.cache.unsubscribed(&self.namespace);
        self.metrics.streams(-1);
    }
}

/// One stream, read by its connection when there is room for a frame.
struct Reader {
    offers: watch::Receiver<Option<Arc<Offer>>>,
    have: Option<Have>,
    beat: Instant,
    place: Place,
}

impl Reader {
    /// The next frame; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.place.end.is_cancelled() {
                return None;
            }
            if let Some(offer) = self.newer() {
                self.have = Some(Have { sequence: offer.sequence, digest: offer.digest.clone() });
                self.beat = Instant::now() + HEARTBEAT;
                return Some(offer.frame.clone());
            }
            tokio::select! {
                () = self.place.end.cancelled() => return None,
                changed = self.offers.changed() => changed.ok()?,
                () = tokio::time::sleep_until(self.beat) => {
                    self.beat = Instant::now() + HEARTBEAT;
                    return Some(Bytes::from_static(&ALIVE_FRAME));
                }
            }
        }
    }

    /// What is offered, unless the sidecar has it or a newer one: a replica that lags behind says nothing.
    fn newer(&mut self) -> Option<Arc<Offer>> {
        let offer = self.offers.borrow_and_update().clone()?;
        let is_newer = self.have.as_ref().is_none_or(|have| offer.sequence > have.sequence);
        is_newer.then_some(offer)
    }
}

fn have(headers: &HeaderMap) -> Option<Have> {
    headers.get(HAVE)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
