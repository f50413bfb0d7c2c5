//! What waits to be told: little, and the newest of each alert.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use walgate_core::{Backoff, BackoffOptions};

use crate::message::Message;

/// So many messages wait at most: more alerts than there are rules.
const MOST_MESSAGES: usize = 64;

/// Waits between attempts: a receiver that restarts is back within seconds, one that is down is asked
/// once a minute for each message.
const BACKOFF: BackoffOptions = BackoffOptions {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(60),
    reset_after: Duration::from_secs(60),
};

/// A message that waits, for its first attempt or for its next.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) message: Message,
    /// When it was tried first.
    pub(crate) tried: Option<Instant>,
    /// When it is tried next.
    due: Option<Instant>,
    backoff: Backoff,
}

impl Waiting {
    fn new(message: Message) -> Self {
        Self {
            message,
            tried: None,
            due: None,
            backoff: Backoff::new(BACKOFF),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// The other side wants to be left alone until then.
    held: Option<Instant>,
    closed: bool,
}

impl State {
    /// Which is next: the oldest that was never tried, so that one that can't be sent delays none that
    /// can; then whichever is due first. At the end each has an attempt, whenever it is due.
    fn place(&self, now: Instant) -> Option<usize> {
        let is_later = |at: Option<Instant>| at.is_some_and(|at| at > now);
        if self.closed {
            return (!self.waiting.is_empty()).then_some(0);
        }
        if is_later(self.held) {
            return None;
        }
        let all = self.waiting.iter().enumerate();
        let due = all.filter(|(_, waiting)| !is_later(waiting.due));
        let first = due.min_by_key(|(_, waiting)| waiting.due);
        first.map(|(place, _)| place)
    }

    /// When the next is due; none when nothing waits.
    fn wakes(&self) -> Option<Instant> {
        let dues = self.waiting.iter().filter_map(|waiting| waiting.due);
        let due = dues.min().or(self.held);
        due.map(|due| self.held.map_or(due, |held| held.max(due)))
            .filter(|_| !self.waiting.is_empty())
    }
}

impl Queue {
    /// Adds a message in the place of an older one of the same alert. Returns what was dropped for want
    /// of room: the oldest goes.
    pub(crate) fn push(&self, message: Message) -> Vec<Message> {
        let mut dropped = Vec::new();
        {
            let mut state = self.lock();
            if state.closed {
                return vec![message];
            }
            state
                .waiting
                .retain(|older| older.message.key != message.key);
            state.waiting.push_back(Waiting::new(message));
            while state.waiting.len() > MOST_MESSAGES {
                dropped.extend(state.waiting.pop_front().map(|oldest| oldest.message));
            }
        }
        self.changed.notify_one();
        dropped
    }

    /// The next message; none when nothing more comes. Cancel-safe.
    pub(crate) async fn next(&self) -> Option<Waiting> {
        loop {
            let wakes = {
                let mut state = self.lock();
                let place = state.place(Instant::now());
                if let Some(next) = place.and_then(|place| state.waiting.remove(place)) {
                    return Some(next);
                }
                if state.closed {
                    return None;
                }
                state.wakes()
            };
            match wakes {
                None => self.changed.notified().await,
                Some(at) => {
                    // Either way is a reason to look again.
                    let _either = tokio::time::timeout_at(at.into(), self.changed.notified()).await;
                }
            }
        }
    }

    /// Takes a message back that could not be sent, to be tried again after a while. `hold` is how long
    /// the other side wants to hear nothing at all. What something newer is known of, and what was tried
    /// once after [`close`](Self::close), is no longer worth an attempt. Returns the message when there
    /// is no room.
    pub(crate) fn put_back(&self, mut failed: Waiting, hold: Option<Duration>) -> Option<Message> {
        let now = Instant::now();
        let mut state = self.lock();
        if let Some(hold) = hold {
            state.held = Some(now + hold);
        }
        let is_newer = |newer: &Waiting| newer.message.key == failed.message.key;
        if state.closed || state.waiting.iter().any(is_newer) {
            return None;
        }
        if state.waiting.len() >= MOST_MESSAGES {
            return Some(failed.message);
        }
        failed.tried.get_or_insert(now);
        failed.due = Some(now + failed.backoff.failed(now, fastrand::f64()));
        state.waiting.push_back(failed);
        None
    }

    /// Nothing more comes.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::example;

    async fn key(queue: &Queue) -> Option<String> {
        queue.next().await.map(|next| next.message.key)
    }

    #[tokio::test]
    async fn the_newest_of_each_alert_waits_and_little_of_all() {
        let queue = Queue::default();
        for kind in ["raised", "escalated"] {
            assert_eq!(queue.push(example(kind, "a")), []);
        }
        let next = queue.next().await.map(|next| next.message.kind);
        assert_eq!(next.as_deref(), Some("escalated"));
        let dropped: Vec<_> = (0..MOST_MESSAGES + 3)
            .flat_map(|number| queue.push(example("raised", &number.to_string())))
            .map(|message| message.key)
            .collect();
        assert_eq!(dropped, ["0", "1", "2"]);
        assert_eq!(key(&queue).await.as_deref(), Some("3"));
        queue.close();
        assert_eq!(queue.push(example("raised", "late")).len(), 1);
        let mut left = 0;
        while queue.next().await.is_some() {
            left += 1;
        }
        assert_eq!(left, MOST_MESSAGES - 1);
    }

    #[tokio::test]
    async fn what_could_not_be_sent_waits_behind_what_was_not_tried() {
        let queue = Queue::default();
        for name in ["a", "b"] {
            queue.push(example("raised", name));
        }
        let failed = queue.next().await.expect("the first");
        assert_eq!(queue.put_back(failed, None), None);
        assert_eq!(key(&queue).await.as_deref(), Some("b"));
        // It is waited for, and comes.
        let again = queue.next().await.expect("again");
        assert_eq!(again.message.key, "a");
        // Something newer is known.
        queue.push(example("resolved", "a"));
        assert_eq!(queue.put_back(again, None), None);
        let newer = queue.next().await.expect("the newer one");
        assert_eq!(newer.message.kind, "resolved");
        // Each has one attempt at the end, whatever the other side wants.
        assert_eq!(queue.put_back(newer, Some(Duration::from_secs(300))), None);
        queue.close();
        let last = queue.next().await.expect("at the end");
        assert_eq!(queue.put_back(last, None), None);
        assert!(queue.next().await.is_none());
    }

    #[tokio::test]
    async fn one_that_wants_to_be_left_alone_is() {
        let queue = Queue::default();
        queue.push(example("raised", "a"));
        let failed = queue.next().await.expect("the first");
        let since = Instant::now();
        let hold = Duration::from_millis(1500);
        assert_eq!(queue.put_back(failed, Some(hold)), None);
        queue.push(example("raised", "b"));
        assert_eq!(key(&queue).await.as_deref(), Some("b"));
        assert!(since.elapsed() >= hold, "{:?}", since.elapsed());
    }
}
