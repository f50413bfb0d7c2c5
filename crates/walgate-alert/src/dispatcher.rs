//! A task for each channel, so that none waits for another and nobody waits for any.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::channel::Channel;
use crate::client::Client;
use crate::error::SendError;
use crate::message::Message;
use crate::queue::{Queue, Waiting};

/// What is older than this is tried no more: whoever tells it may tell it anew.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(3600);

/// What has become of a message in one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The message.
    pub message: Message,
    /// The channel's name.
    pub channel: &'static str,
    /// Whether it has arrived. What has not is tried no more.
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
    answers: mpsc::UnboundedSender<Told>,
    /// It was said that nothing can be sent.
    complained: AtomicBool,
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
    /// Starts a task for each channel. What has become of messages is told in the second value: once for
    /// each message and channel, but for those that something newer of the same alert has overtaken, and
    /// those that were still tried at the end.
    pub fn start(channels: Vec<Channel>, client: &Client) -> (Self, mpsc::UnboundedReceiver<Told>) {
        // No more than what was told can wait in it.
        let (answers, receiver) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let mut lanes = Vec::with_capacity(channels.len());
        for channel in channels {
            let lane = Arc::new(Lane {
                channel,
                queue: Queue::default(),
                answers: answers.clone(),
                complained: AtomicBool::new(false),
                sent: AtomicU64::new(0),
                failed: AtomicU64::new(0),
                dropped: AtomicU64::new(0),
            });
            lanes.push(Arc::clone(&lane));
            tasks.spawn(lane.run(client.clone()));
        }
        (Self { lanes, tasks }, receiver)
    }

    /// Tells one channel, by its name. Never waits.
    pub fn tell(&self, channel: &str, message: &Message) {
        let of = |lane: &&Arc<Lane>| lane.channel.name() == channel;
        for lane in self.lanes.iter().filter(of) {
            for dropped in lane.queue.push(message.clone()) {
                tracing::warn!(channel, "an alert had no room in the queue");
                lane.answer(dropped, false);
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
                "some alerts were not sent in time; they are told again, after a stop by the next start"
            );
        }
    }
}

impl Lane {
    async fn run(self: Arc<Self>, client: Client) {
        while let Some(waiting) = self.queue.next().await {
            match self.channel.send(&client, &waiting.message).await {
                Ok(()) => {
                    if self.complained.swap(false, Ordering::Relaxed) {
                        tracing::info!(channel = self.channel.name(), "alerts arrive again");
                    }
                    self.answer(waiting.message, true);
                }
                Err(error) => self.failed(waiting, &error),
            }
        }
    }

    /// Tries again what may arrive later, behind what waits for its first attempt.
    fn failed(&self, waiting: Waiting, error: &SendError) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let (hold, refused) = match error {
            SendError::Transient { after, .. } => (*after, false),
            SendError::Refused { .. } => (None, true),
        };
        let complained = self.complained.swap(true, Ordering::Relaxed);
        if refused || !complained {
            let channel = self.channel.name();
            tracing::error!(channel, "an alert can't be sent: {error}");
        }
        let tried = waiting.tried;
        if refused || tried.is_some_and(|tried| tried.elapsed() >= GIVEN_UP_AFTER) {
            self.answer(waiting.message, false);
        } else if let Some(message) = self.queue.put_back(waiting, hold) {
            self.answer(message, false);
        }
    }

    fn answer(&self, message: Message, arrived: bool) {
        let count = if arrived { &self.sent } else { &self.dropped };
        count.fetch_add(1, Ordering::Relaxed);
        // Nobody listens any more at an end.
        drop(self.answers.send(Told {
            message,
            channel: self.channel.name(),
            arrived,
        }));
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::{TcpListener, TcpStream};
    use walgate_core::Secret;

    use super::*;
    use crate::message::example;

    /// Answers each request with what is said for its message's key.
    async fn receiver(status: fn(&str) -> &'static str) -> Secret {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, status));
            }
        });
        Secret::new(format!("http://{address}/"))
    }

    async fn answer(stream: TcpStream, status: fn(&str) -> &'static str) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            if line.trim().is_empty() {
                break;
            }
            let line = line.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let body: serde_json::Value = serde_json::from_slice(&body)?;
        let status = status(body["key"].as_str().unwrap_or_default());
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await
    }

    #[tokio::test]
    async fn a_message_that_can_not_be_sent_delays_no_other() {
        let url = receiver(|key| match key {
            "poison" => "500 Internal Server Error",
            "wrong" => "400 Bad Request",
            _ => "200 OK",
        });
        let url = url.await;
        let client = Client::new(Duration::from_secs(60)).expect("a client");
        let webhook = Channel::Webhook { url, token: None };
        let (dispatcher, mut told) = Dispatcher::start(vec![webhook, Channel::Log], &client);
        let since = std::time::Instant::now();
        for key in ["poison", "wrong", "one", "two"] {
            dispatcher.tell("webhook", &example("raised", key));
        }
        let mut answers = Vec::new();
        while answers.len() < 3 {
            let told = told.recv().await.expect("an answer");
            assert_eq!(told.channel, "webhook");
            answers.push((told.message.key, told.arrived));
        }
        let expected = [("wrong", false), ("one", true), ("two", true)];
        assert_eq!(
            answers,
            expected.map(|(key, arrived)| (key.to_owned(), arrived))
        );
        assert!(
            since.elapsed() < Duration::from_secs(60),
            "{:?}",
            since.elapsed()
        );
        dispatcher.close(Duration::from_secs(60)).await;
        assert!(told.recv().await.is_none(), "nobody knows of that one");
    }

    #[tokio::test]
    async fn what_has_no_room_is_told_to_whoever_told_it() {
        let url = receiver(|_| "503 Service Unavailable").await;
        let client = Client::new(Duration::from_secs(60)).expect("a client");
        let webhook = Channel::Webhook { url, token: None };
        let (dispatcher, mut told) = Dispatcher::start(vec![webhook], &client);
        for number in 0..80 {
            dispatcher.tell("webhook", &example("raised", &number.to_string()));
        }
        let dropped = told.recv().await.expect("an answer");
        assert!(!dropped.arrived, "{dropped:?}");
        let numbers = dispatcher.numbers();
        assert!(
            numbers.iter().any(|numbers| numbers.dropped >= 15),
            "{numbers:?}"
        );
    }
}
