//! Copies the beginning of a body on its way to the application, and has it inspected when the body is over.
//!
//! This is how Monitor inspects bodies without delaying them: by then the request is gone, and only evidence remains.

use std::sync::Arc;

use bytes::BytesMut;
use rasp_engine::{Body, Inspection, Reason};

use super::{Exchange, inspect, record};
use crate::reason::Kind;
use crate::state::Lease;

/// The beginning of a body.
#[derive(Debug)]
pub struct Tee {
    /// And what its head was found to be.
    exchange: Option<(Arc<Exchange>, Inspection)>,
    window: BytesMut,
    limit: usize,
    lease: Lease,
    lost: Option<Reason>,
    longer: bool,
}

impl Tee {
    /// Copies at most `limit` bytes of the body that follows an inspected head.
    pub fn new(exchange: Arc<Exchange>, begun: Inspection, limit: usize) -> Self {
        let lease = Lease::new(Arc::clone(&exchange.connection.shared));
        let exchange = Some((exchange, begun));
        Self { exchange, window: BytesMut::new(), limit, lease, lost: None, longer: false }
    }

    /// Copies what fits.
    pub fn copy(&mut self, data: &[u8]) {
        let room = self.limit.saturating_sub(self.window.len());
        let fits = data.get(..room).unwrap_or(data);
        self.longer |= fits.len() < data.len();
        if fits.is_empty() || self.lost.is_some() {
            return;
        }
        if self.lease.grow(fits.len()) {
            self.window.extend_from_slice(fits);
        } else {
            self.lost = Some(Reason::WorkLimit);
        }
    }
}

/// The body is over, or was given up: what was copied is inspected, on another task.
impl Drop for Tee {
    fn drop(&mut self) {
        let Some((exchange, begun)) = self.exchange.take() else { return };
        let (window, lost, longer) = (std::mem::take(&mut self.window), self.lost, self.longer);
        let lease = std::mem::replace(&mut self.lease, Lease::new(Arc::clone(&exchange.connection.shared)));
        let inspect = move || {
            let metrics = &exchange.connection.shared.metrics;
            if lost.is_some() {
                metrics.error(&Kind::BodyMemory);
            }
            let body = if longer { Body::Truncated(&window) } else { Body::Complete(&window) };
            let judgement = inspect::whole(&exchange, begun, body, lost);
            record::judged(&exchange, &judgement);
            drop(lease);
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move { inspect() })),
            Err(_) => inspect(),
        }
    }
}
