//! A bounded queue and one thread that writes JSON lines. A slow reader of the output costs events, never a request.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use super::Event;
use crate::metrics::Metrics;

/// Label of the only sink there is.
pub const STDOUT: &str = "stdout";
/// Why an event was not written.
pub const DROP_REASONS: [&str; 3] = ["queue_full", "closed", "write_failed"];
/// Events waiting to be written; about 1 KiB each.
const QUEUE: usize = 1024;

/// Where events go. Cloned freely.
#[derive(Clone)]
pub struct Sink {
    queue: SyncSender<Box<Event>>,
    waiting: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

/// The writing end; kept until the process ends.
#[derive(Debug)]
pub struct Writer {
    waiting: Arc<AtomicUsize>,
}

impl Sink {
    /// Starts the thread that writes to `output`.
    pub fn start(
        output: impl Write + Send + 'static,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<(Self, Writer)> {
        let (queue, events) = sync_channel(QUEUE);
        let waiting = Arc::new(AtomicUsize::new(0));
        let writer = Writer { waiting: Arc::clone(&waiting) };
        let sink = Self { queue, waiting, metrics };
        let (waiting, counted) = (Arc::clone(&sink.waiting), Arc::clone(&sink.metrics));
        std::thread::Builder::new()
            .name("rasp-events".into())
            .spawn(move || write_all(&events, output, &counted, &waiting))?;
        Ok((sink, writer))
    }

    /// Hands an event over, or counts it as dropped.
    pub fn send(&self, event: Event) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let reason = match self.queue.try_send(Box::new(event)) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => "queue_full",
            Err(TrySendError::Disconnected(_)) => "closed",
        };
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        self.metrics.event_dropped(STDOUT, reason);
    }
}

impl Writer {
    /// Waits a moment for queued events to be written.
    pub fn finish(&self, within: Duration) {
        let deadline = std::time::Instant::now() + within;
        while self.waiting.load(Ordering::Acquire) > 0 && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn write_all(
    events: &Receiver<Box<Event>>,
    mut output: impl Write,
    metrics: &Metrics,
    waiting: &AtomicUsize,
) {
    let mut line = Vec::with_capacity(2048);
    while let Ok(event) = events.recv() {
        line.clear();
        let written = serde_json::to_writer(&mut line, &event).map_err(std::io::Error::from).and_then(|()| {
            line.push(b'\n');
            output.write_all(&line)?;
            output.flush()
        });
        if written.is_err() {
            metrics.event_dropped(STDOUT, "write_failed");
        }
        waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests;
