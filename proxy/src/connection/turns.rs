//! Polls of the two sides of a connection only the one to which something happened.
//!
//! Both are in one task, which is woken for either of them, and for what one does for the other. hyper looks at all it
//! has whenever it is polled, so that half of the polls of a request were for nothing. What happens inside of the task is
//! told by [`Turns::ring`] or by the waker that a side was polled with. Called by `http`.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Where something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// hyper on the client's side, with the exchange.
    Client,
    /// hyper on the application's side.
    Application,
    /// Neither: the process wants something of the connection.
    Process,
}

const EVERYWHERE: u8 = 0b111;
/// Whoever rings need not wake the task: it looks again before it rests.
const ATTENDED: u8 = 1 << 7;
/// So often in one poll of the task. More would keep its neighbours waiting.
const MOST: usize = 8;

impl Side {
    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// What happened that nobody has looked at.
#[derive(Debug)]
struct Desk {
    rung: AtomicU8,
    task: Mutex<Option<Waker>>,
}

#[derive(Debug)]
struct Bell {
    side: Side,
    desk: Arc<Desk>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let bit = self.side.bit();
        if self.desk.rung.fetch_or(bit, Ordering::AcqRel) & (ATTENDED | bit) == 0 {
            let task = self.desk.task.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(task) = &*task {
                task.wake_by_ref();
            }
        }
    }
}

impl Desk {
    fn attend(&self, waker: &Waker) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !task.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *task = Some(waker.clone());
        }
    }

    /// `false` when something happened meanwhile.
    fn leave(&self) -> bool {
        self.rung.compare_exchange(ATTENDED, 0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// Whose turn it is.
#[derive(Debug)]
pub struct Turns {
    desk: Arc<Desk>,
    wakers: [Waker; 3],
    // Of this round. What nobody waits for is over with it.
    turn: AtomicU8,
}

impl Turns {
    /// At first everybody has one.
    pub fn new() -> Self {
        let desk = Arc::new(Desk { rung: AtomicU8::new(EVERYWHERE), task: Mutex::default() });
        let waker = |side| Waker::from(Arc::new(Bell { side, desk: Arc::clone(&desk) }));
        let wakers = [waker(Side::Client), waker(Side::Application), waker(Side::Process)];
        Self { desk, wakers, turn: AtomicU8::new(0) }
    }

    /// Everybody has a turn. Only while the work is polled that [`Self::attend`] was given.
    pub fn ring(&self) {
        self.desk.rung.fetch_or(EVERYWHERE, Ordering::AcqRel);
    }

    /// Polls what is on one side whenever something happened there.
    pub async fn of<F: Future>(&self, side: Side, mut future: Pin<&mut F>) -> F::Output {
        let [client, application, process] = &self.wakers;
        let waker = match side {
            Side::Client => client,
            Side::Application => application,
            Side::Process => process,
        };
        poll_fn(|_| {
            if self.turn.fetch_and(!side.bit(), Ordering::Relaxed) & side.bit() == 0 {
                return Poll::Pending;
            }
            future.as_mut().poll(&mut Context::from_waker(waker))
        })
        .await
    }

    /// Does work that waits for turns alone.
    pub async fn attend<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|context| {
            self.desk.attend(context.waker());
            for _ in 0..MOST {
                let rung = self.desk.rung.swap(ATTENDED, Ordering::AcqRel);
                self.turn.store(rung & EVERYWHERE, Ordering::Relaxed);
                if let Poll::Ready(output) = work.as_mut().poll(context) {
                    return Poll::Ready(output);
                }
                if self.desk.leave() {
                    return Poll::Pending;
                }
            }
            self.desk.rung.fetch_and(!ATTENDED, Ordering::AcqRel);
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    use super::{MOST, Side, Turns};

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Polls of the two sides, the wakers they were last polled with, and what the application's side does when polled.
    #[derive(Default)]
    struct Seen {
        client: AtomicUsize,
        application: AtomicUsize,
        wakers: std::sync::Mutex<(Option<Waker>, Option<Waker>)>,
    }

    impl Seen {
        fn counts(&self) -> (usize, usize) {
            (self.client.load(Ordering::SeqCst), self.application.load(Ordering::SeqCst))
        }
    }

    fn wake(waker: Option<&Waker>) {
        waker.unwrap().wake_by_ref();
    }

    #[test]
    fn only_the_side_to_which_something_happened_is_polled_and_the_other_one_when_it_is_told() {
        let (task, seen, turns) = (Arc::new(Task::default()), Arc::new(Seen::default()), Turns::new());
        let waker = Waker::from(Arc::clone(&task));
        let mut context = Context::from_waker(&waker);
        let (client, application) = (Arc::clone(&seen), Arc::clone(&seen));
        let mut client_side = pin!(poll_fn(|context: &mut Context<'_>| -> Poll<()> {
            client.client.fetch_add(1, Ordering::SeqCst);
            client.wakers.lock().unwrap().0 = Some(context.waker().clone());
            Poll::Pending
        }));
        let mut application_side = pin!(poll_fn(|context: &mut Context<'_>| -> Poll<()> {
            // Whatever it is polled for, it has something for the client.
            if application.application.fetch_add(1, Ordering::SeqCst) > 0 {
                wake(application.wakers.lock().unwrap().0.as_ref());
            }
            application.wakers.lock().unwrap().1 = Some(context.waker().clone());
            Poll::Pending
        }));
        let mut work = pin!(turns.attend(async {
            tokio::select! {
                biased;
                () = turns.of(Side::Client, client_side.as_mut()) => {}
                () = turns.of(Side::Application, application_side.as_mut()) => {}
            }
        }));
        assert!(work.as_mut().poll(&mut context).is_pending());
        assert_eq!(seen.counts(), (1, 1));
        assert!(work.as_mut().poll(&mut context).is_pending());
        assert_eq!(seen.counts(), (1, 1), "nothing happened");

        let before = task.0.load(Ordering::SeqCst);
        let client_waker = seen.wakers.lock().unwrap().0.clone();
        wake(client_waker.as_ref());
        wake(client_waker.as_ref());
        assert_eq!(task.0.load(Ordering::SeqCst), before + 1, "the task is woken once");
        assert!(work.as_mut().poll(&mut context).is_pending());
        assert_eq!(seen.counts(), (2, 1));

        let application_waker = seen.wakers.lock().unwrap().1.clone();
        wake(application_waker.as_ref());
        assert_eq!(task.0.load(Ordering::SeqCst), before + 2);
        assert!(work.as_mut().poll(&mut context).is_pending());
        assert_eq!(seen.counts(), (3, 2), "the client's side in the same poll of the task");
        assert_eq!(task.0.load(Ordering::SeqCst), before + 2, "for which nobody was woken");
    }

    #[test]
    fn a_turn_that_nobody_waits_for_keeps_nobody_busy() {
        let (task, turns) = (Arc::new(Task::default()), Turns::new());
        let (waker, polls) = (Waker::from(Arc::clone(&task)), AtomicUsize::new(0));
        let mut client_side = pin!(poll_fn(|_: &mut Context<'_>| -> Poll<()> {
            if polls.fetch_add(1, Ordering::SeqCst) == 0 {
                turns.ring();
            }
            Poll::Pending
        }));
        let mut work = pin!(turns.attend(turns.of(Side::Client, client_side.as_mut())));
        assert!(work.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!((polls.load(Ordering::SeqCst), task.0.load(Ordering::SeqCst)), (2, 0));
    }

    #[test]
    fn a_side_that_never_rests_leaves_the_task_to_its_neighbours() {
        let (task, turns) = (Arc::new(Task::default()), Turns::new());
        let (waker, polls) = (Waker::from(Arc::clone(&task)), AtomicUsize::new(0));
        let mut restless = pin!(poll_fn(|context: &mut Context<'_>| -> Poll<()> {
            polls.fetch_add(1, Ordering::SeqCst);
            context.waker().wake_by_ref();
            Poll::Pending
        }));
        let mut work = pin!(turns.attend(turns.of(Side::Client, restless.as_mut())));
        for round in 1..3 {
            assert!(work.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            assert_eq!(polls.load(Ordering::SeqCst), round * MOST);
            assert_eq!(task.0.load(Ordering::SeqCst), round, "it asks to be polled again");
        }
    }
}
