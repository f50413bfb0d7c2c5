//! A task for each channel, so that none waits for another and nobody waits for any.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use walgate_core::{Backoff, BackoffOptions};

use crate::channel::Channel;
use crate::client::Client;
use crate::error::SendError;
use crate::message::Message;
use crate::queue::Queue;

/// Waits between attempts: a receiver that restarts is back within seconds, one that is down is asked
/// once a minute.
const BACKOFF: BackoffOptions = BackoffOptions {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(60),
    reset_after: Duration::from_secs(60),
};

/// What is older than this is told no more: a repetition comes, or it is over.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(3600);

/// Answers of channels that nobody has taken yet; more are dropped, and then told again.
const MOST_ANSWERS: usize = 256;

/// A message has reached somebody, or nobody will ever get it.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The message.
    pub message: Message,
    /// The channel's name.
    pub channel: &'static str,
    /// Whether it has arrived.
    pub arrived: bool,
}

/// What a channel has done since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// The channel's name.
    pub channel: &'static str,
    /// Messages that have arrived.
    pub sent: u64,
    /// Attempts that have failed.
    pub failed: u64,
    /// Messages that were given up, or had no room.
    pub dropped: u64,
}

#[derive(Debug)]
struct Lane {
    channel: Channel,
    queue: Queue,
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// Sends messages through all channels.
#[derive(Debug)]
pub struct Dispatcher {
    lanes: Vec<Arc<Lane>>,
    tasks: JoinSet<()>,
}

impl Dispatcher {
    /// Starts a task for each channel. What has become of messages is told in the second value.
    pub fn start(channels: Vec<Channel>, client: &Client) -> (Self, mpsc::Receiver<Told>) {
        let (answers, receiver) = mpsc::channel(MOST_ANSWERS);
        let mut tasks = JoinSet::new();
        let mut lanes = Vec::with_capacity(channels.len());
        for channel in channels {
            let lane = Arc::new(Lane {
                channel,
                queue: Queue::default(),
                sent: AtomicU64::new(0),
                failed: AtomicU64::new(0),
                dropped: AtomicU64::new(0),
            });
            lanes.push(Arc::clone(&lane));
            tasks.spawn(lane.run(client.clone(), answers.clone()));
        }
        (Self { lanes, tasks }, receiver)
    }

    /// Tells everybody. Never waits.
    pub fn tell(&self, message: &Message) {
        for lane in &self.lanes {
            let dropped = lane.queue.push(message.clone());
            if dropped > 0 {
                lane.dropped.fetch_add(dropped as u64, Ordering::Relaxed);
                let channel = lane.channel.name();
                tracing::warn!(channel, dropped, "alerts had no room in the queue");
            }
        }
    }

    /// What each channel has done.
    pub fn numbers(&self) -> Vec<Numbers> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let numbers = self.lanes.iter().map(|lane| Numbers {
            channel: lane.channel.name(),
            sent: read(&lane.sent),
            failed: read(&lane.failed),
            dropped: read(&lane.dropped),
        });
        numbers.collect()
    }

    /// Sends what waits, for at most this long, and ends.
    pub async fn close(mut self, within: Duration) {
        for lane in &self.lanes {
            lane.queue.close();
        }
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(within, all).await.is_err() {
            tracing::warn!(
                "some alerts were not sent before the end; they are sent after the next start"
            );
        }
    }
}

impl Lane {
    async fn run(self: Arc<Self>, client: Client, answers: mpsc::Sender<Told>) {
        let mut backoff = Backoff::new(BACKOFF);
        let mut complained = false;
        while let Some(message) = self.queue.next().await {
            let Some(arrived) = self
                .deliver(&client, &message, &mut backoff, &mut complained)
                .await
            else {
                continue;
            };
            let count = if arrived { &self.sent } else { &self.dropped };
            count.fetch_add(1, Ordering::Relaxed);
            let channel = self.channel.name();
            // When nobody takes it, it is told again: better twice than not at all.
            drop(answers.try_send(Told {
                message,
                channel,
                arrived,
            }));
        }
    }

    /// Tries until it has arrived. Returns whether it has; none when something newer is known.
    async fn deliver(
        &self,
        client: &Client,
        message: &Message,
        backoff: &mut Backoff,
        complained: &mut bool,
    ) -> Option<bool> {
        let channel = self.channel.name();
        let since = Instant::now();
        loop {
            let error = match self.channel.send(client, message).await {
                Ok(()) => {
                    backoff.succeeded(Instant::now());
                    if std::mem::take(complained) {
                        tracing::info!(channel, "alerts arrive again");
                    }
                    return Some(true);
                }
                Err(error) => error,
            };
            self.failed.fetch_add(1, Ordering::Relaxed);
            let wait = backoff.failed(Instant::now(), fastrand::f64());
            let (wait, refused) = match &error {
                SendError::Transient { after, .. } => (after.unwrap_or(wait), false),
                SendError::Refused { .. } => (wait, true),
            };
            if refused || !std::mem::replace(complained, true) {
                tracing::error!(channel, "an alert can't be sent: {error}");
            }
            if refused || since.elapsed() >= GIVEN_UP_AFTER {
                return Some(false);
            }
            // At the end there is one attempt for each.
            if self.queue.is_closed() || self.sleeps_in_vain(wait, &message.key).await {
                return None;
            }
        }
    }

    /// Waits. Returns whether something newer has come of the same alert meanwhile.
    async fn sleeps_in_vain(&self, wait: Duration, key: &str) -> bool {
        /// How long news may wait behind an old attempt.
        const LOOK_EVERY: Duration = Duration::from_millis(250);
        let until = Instant::now() + wait;
        loop {
            if self.queue.has_newer(key) {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.queue.is_closed() {
                return false;
            }
            tokio::time::sleep(left.min(LOOK_EVERY)).await;
        }
    }
}
