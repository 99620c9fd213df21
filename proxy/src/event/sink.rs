//! A bounded queue and one thread that writes JSON lines, those that wait together. A slow reader of the output costs events, never a request.

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

/// Bytes of events that are written at once, and a little more.
const BATCH: usize = 32 << 10;
/// After each write nobody has to wake the thread for so long: under an attack that would cost more than refusing.
const PAUSE: Duration = Duration::from_millis(2);

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
    let mut lines = Vec::with_capacity(BATCH);
    while let Ok(first) = events.recv() {
        lines.clear();
        let (mut next, mut taken, mut kept) = (Some(first), 0, 0);
        while let Some(event) = next {
            taken += 1;
            let start = lines.len();
            if serde_json::to_writer(&mut lines, &event).is_ok() {
                lines.push(b'\n');
                kept += 1;
            } else {
                lines.truncate(start);
                metrics.event_dropped(STDOUT, "write_failed");
            }
            next = if lines.len() < BATCH { events.try_recv().ok() } else { None };
        }
        if output.write_all(&lines).and_then(|()| output.flush()).is_err() {
            (0..kept).for_each(|_| metrics.event_dropped(STDOUT, "write_failed"));
        }
        waiting.fetch_sub(taken, Ordering::AcqRel);
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests;
