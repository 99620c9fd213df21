//! Reads bodies, and bounds what all of them hold in memory at the same moment. Whoever reaches the listener can open a
//! thousand connections and send 3 MiB on each, and the operator has 256 MiB.
//!
//! A part of each body is free, enough for ordinary pods and reports, so that small ones never wait for large ones. The
//! rest comes from a room that all share; where it is full a body is answered 503, which API servers treat as a failed
//! call. Called by `routes`.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::Body;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Longest wait for a body.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of each body that need no room.
const FREE: usize = 32 << 10;
/// Bytes that all bodies may have beyond these.
const SHARED: usize = 32 << 20;

static ROOM: Semaphore = Semaphore::const_new(SHARED >> 10);

/// A body, and the room it takes until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    /// The body.
    pub(super) bytes: Bytes,
    _room: Option<SemaphorePermit<'static>>,
}

/// Reads a body of at most `limit` bytes. The status says why not: 408 too slow, 413 too large, 400 broken off, 503 no
/// room.
pub(super) async fn read<B>(body: B, limit: usize) -> Result<Held, StatusCode>
where
    B: Body<Data = Bytes> + Unpin,
{
    // One that says how long it is need not be sent to be refused.
    if body.size_hint().lower() > limit as u64 {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let read = tokio::time::timeout(PATIENCE, collect(body, limit, &ROOM)).await;
    read.unwrap_or(Err(StatusCode::REQUEST_TIMEOUT))
}

async fn collect<B>(mut body: B, limit: usize, room: &'static Semaphore) -> Result<Held, StatusCode>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut bytes: Vec<u8> = Vec::new();
    let mut taken: Option<SemaphorePermit<'static>> = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| StatusCode::BAD_REQUEST)?.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let whole = grown(bytes.capacity(), bytes.len() + data.len());
        let have = taken.as_ref().map_or(0, SemaphorePermit::num_permits);
        // What is set aside counts, not what is filled.
        let more = whole.saturating_sub(FREE).div_ceil(1024).saturating_sub(have);
        if more > 0 {
            let more = u32::try_from(more).unwrap_or(u32::MAX);
            let more = room.try_acquire_many(more).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
            match &mut taken {
                Some(taken) => taken.merge(more),
                None => taken = Some(more),
            }
        }
        bytes.reserve_exact(whole.saturating_sub(bytes.len()));
        bytes.extend_from_slice(&data);
    }
    Ok(Held { bytes: bytes.into(), _room: taken })
}

/// Bytes to set aside for a body of `length` so far, where `capacity` were before. Twice as many each time, but not beyond the
/// free part before the body itself is: one that doubles from 18 KiB to 36 would need room although it is free.
fn grown(capacity: usize, length: usize) -> usize {
    if length <= capacity {
        return capacity;
    }
    let doubled = capacity.saturating_mul(2).max(length);
    if length <= FREE { doubled.min(FREE) } else { doubled }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use bytes::Bytes;
    use http::StatusCode;
    use hyper::body::{Body, Frame, SizeHint};
    use tokio::sync::Semaphore;

    use super::{FREE, collect, read};

    /// So many pieces, of which the head says nothing or too much.
    struct Pieces {
        left: usize,
        size: usize,
        announced: u64,
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
            self.left = left;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b' '; self.size])))))
        }

        fn size_hint(&self) -> SizeHint {
            let mut hint = SizeHint::new();
            hint.set_lower(self.announced);
            hint
        }
    }

    fn mk_pieces(left: usize) -> Pieces {
        Pieces { left, size: 1024, announced: 0 }
    }

    #[tokio::test]
    async fn a_body_that_announces_too_much_is_refused_before_it_is_sent() {
        let body = Pieces { announced: 1025, ..mk_pieces(0) };
        assert_eq!(read(body, 1024).await.unwrap_err(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(read(mk_pieces(2), 2047).await.unwrap_err(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(read(mk_pieces(2), 2048).await.unwrap().bytes.len(), 2048);
    }

    #[tokio::test]
    async fn a_body_of_no_more_than_the_free_part_needs_no_room_however_it_arrives() {
        static FULL: Semaphore = Semaphore::const_new(0);
        for size in [1, 1000, 1024, 3 << 10, 11 << 10, 16 << 10, 18 << 10, FREE] {
            let body = Pieces { size, ..mk_pieces(FREE / size) };
            let held = collect(body, 1 << 20, &FULL).await.unwrap();
            assert_eq!(held.bytes.len(), FREE / size * size, "in pieces of {size}");
            let longer = Pieces { size, ..mk_pieces(FREE / size + 1) };
            let refused = collect(longer, 1 << 20, &FULL).await.unwrap_err();
            assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE, "in pieces of {size}");
        }
    }

    #[tokio::test]
    async fn all_bodies_together_have_a_bound_and_small_ones_always_have_room() {
        static ROOM: Semaphore = Semaphore::const_new(100);
        let large = || collect(mk_pieces(64), 1 << 20, &ROOM);
        let first = large().await.unwrap();
        assert!(
            ROOM.available_permits() <= 100 - (64 - (FREE >> 10)),
            "what goes beyond the free part is taken"
        );
        let mut held = vec![first];
        let refused = loop {
            match large().await {
                Ok(body) => held.push(body),
                Err(status) => break status,
            }
        };
        assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
        assert!(held.len() < 4, "{} bodies of 64 KiB in a room of 100 KiB", held.len());
        assert_eq!(collect(mk_pieces(16), 1 << 20, &ROOM).await.unwrap().bytes.len(), 16 << 10);
        held.clear();
        assert_eq!(ROOM.available_permits(), 100, "the room is given back");
        assert!(large().await.is_ok());
    }
}
