//! Limits how long a body may be quiet, and how slowly it may come. Only time in which somebody was waited for counts:
//! nobody is to blame for what the other side did not take.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::reason::Timeout;

/// A body may be as slow as it likes for so long.
const GRACE: Duration = Duration::from_secs(10);

/// A timer that is armed too early rather than moved each time, which costs more.
pub type Timer = Option<Pin<Box<Sleep>>>;

/// Ready when the deadline has passed.
pub fn poll_until(timer: &mut Timer, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
    let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
    if timer.deadline() > deadline {
        timer.as_mut().reset(deadline);
    }
    while timer.as_mut().poll(context).is_ready() {
        if timer.deadline() >= deadline {
            return Poll::Ready(());
        }
        timer.as_mut().reset(deadline);
    }
    Poll::Pending
}

/// How long somebody was waited for, and what came of it.
#[derive(Debug)]
pub struct Patience {
    idle: Duration,
    // Bytes a second; 0 is off.
    rate: u64,
    what: Timeout,
    timer: Timer,
    since: Option<Instant>,
    waited: Duration,
    received: u64,
}

impl Patience {
    /// For a body that may be quiet for `idle`; what runs out is told as `what`.
    pub fn new(idle: Duration, what: Timeout, timer: Timer) -> Self {
        Self { idle, rate: 0, what, timer, since: None, waited: Duration::ZERO, received: 0 }
    }

    /// And must come at so many bytes a second.
    pub fn at_rate(self, rate: u64) -> Self {
        Self { rate, ..self }
    }

    /// Something came.
    pub fn came(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
    }

    /// Nothing came: ready when that lasts too long.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Timeout> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let (left, what) = self.left();
        poll_until(&mut self.timer, since + left, context).map(|()| what)
    }

    /// Time left when the waiting begins, and what is over then.
    fn left(&self) -> (Duration, Timeout) {
        if self.rate == 0 {
            return (self.idle, self.what);
        }
        let earned = Duration::from_secs(self.received / self.rate).max(GRACE);
        let left = earned.saturating_sub(self.waited);
        if left < self.idle { (left, Timeout::BodyRate) } else { (self.idle, self.what) }
    }

    /// The timer, for the next body of the connection.
    pub fn take_timer(&mut self) -> Timer {
        self.timer.take()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Patience;
    use crate::reason::Timeout;

    #[test]
    fn a_body_is_given_the_time_that_its_bytes_have_earned() {
        let seconds = Duration::from_secs;
        let table = [
            // waited, received: left
            (0, 0, 10, Timeout::BodyRate),
            (4, 1000, 6, Timeout::BodyRate),
            (10, 4_999, 0, Timeout::BodyRate),
            (10, 10_000, 10, Timeout::BodyRate),
            (10, 50_000, 30, Timeout::BodyIdle),
        ];
        for (waited, received, left, what) in table {
            let mut patience = Patience::new(seconds(30), Timeout::BodyIdle, None).at_rate(500);
            (patience.waited, patience.received) = (seconds(waited), received);
            assert_eq!(patience.left(), (seconds(left), what), "{waited} s, {received} bytes");
        }
        let quiet = Patience::new(seconds(30), Timeout::StreamIdle, None);
        assert_eq!(quiet.left(), (seconds(30), Timeout::StreamIdle));
    }
}
