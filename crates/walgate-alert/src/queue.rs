//! What waits to be told: little, and the newest of each alert.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::message::Message;

/// So many messages wait at most: more alerts than there are rules.
const MOST_MESSAGES: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Message>,
    closed: bool,
}

impl Queue {
    /// Adds a message in the place of an older one of the same alert. Returns how many were dropped for
    /// want of room: the oldest goes.
    pub(crate) fn push(&self, message: Message) -> usize {
        let mut dropped = 0;
        {
            let mut state = self.lock();
            if state.closed {
                return 1;
            }
            state.waiting.retain(|older| older.key != message.key);
            state.waiting.push_back(message);
            while state.waiting.len() > MOST_MESSAGES {
                state.waiting.pop_front();
                dropped += 1;
            }
        }
        self.changed.notify_one();
        dropped
    }

    /// The next message; none when nothing more comes. Cancel-safe.
    pub(crate) async fn next(&self) -> Option<Message> {
        loop {
            {
                let mut state = self.lock();
                if let Some(message) = state.waiting.pop_front() {
                    return Some(message);
                }
                if state.closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Whether something newer is known of this alert.
    pub(crate) fn has_newer(&self, key: &str) -> bool {
        self.lock().waiting.iter().any(|message| message.key == key)
    }

    /// Nothing more comes.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
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

    #[tokio::test]
    async fn the_newest_of_each_alert_waits_and_little_of_all() {
        let queue = Queue::default();
        for kind in ["raised", "escalated"] {
            assert_eq!(queue.push(example(kind, "a")), 0);
        }
        assert!(queue.has_newer("a") && !queue.has_newer("b"));
        let next = queue.next().await.map(|message| message.kind);
        assert_eq!(next.as_deref(), Some("escalated"));
        let dropped: usize = (0..MOST_MESSAGES + 3)
            .map(|number| queue.push(example("raised", &number.to_string())))
            .sum();
        assert_eq!(dropped, 3);
        let next = queue.next().await.map(|message| message.key);
        assert_eq!(next.as_deref(), Some("3"));
        queue.close();
        assert_eq!(queue.push(example("raised", "late")), 1);
        let mut left = 0;
        while queue.next().await.is_some() {
            left += 1;
        }
        assert_eq!(left, MOST_MESSAGES - 1);
    }
}
