//! What waits for one client, bounded.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use walgate_core::Position;

use crate::chunk::Chunk;
use crate::close::Close;

/// How much may wait for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Events.
    pub events: usize,
    /// Bytes of their frames.
    pub bytes: usize,
}

impl Default for QueueLimits {
    /// 65,536 events and 16 MiB: a client that falls behind by so much at once resumes from the journal,
    /// where it holds nobody up and takes no memory.
    fn default() -> Self {
        Self {
            events: 65_536,
            bytes: 16 << 20,
        }
    }
}

/// What waits for one client. Whoever fills it never waits.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Notify,
    cut: Notify,
    limits: QueueLimits,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Queued>,
    events: usize,
    bytes: usize,
    /// What was taken last, which is being written: its first event, and the memory that it pins.
    taken: Option<(Position, usize)>,
    /// Everything up to here was put in, or is not for this client.
    last: Position,
    closed: Option<Closing>,
}

/// Why nothing more comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closing {
    pub(crate) why: Close,
    pub(crate) detail: Option<String>,
}

/// A chunk of which the client has the first part already.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    pub(crate) chunk: Arc<Chunk>,
    /// Bytes of it that are not for this client.
    pub(crate) skip: usize,
    /// Events of it that are.
    events: usize,
}

impl Queued {
    fn bytes(&self) -> usize {
        self.chunk.bytes() - self.skip
    }
}

/// What a client takes out at once.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) chunks: Vec<Queued>,
    /// Why nothing more comes; what is in `chunks` comes before it.
    pub(crate) closed: Option<Closing>,
}

/// What a queue holds in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    /// The first event that was not written yet, if there is any.
    pub(crate) oldest: Option<Position>,
    /// Bytes that wait.
    pub(crate) waiting: usize,
    /// Bytes that are pinned by what was taken and is not written.
    pub(crate) taken: usize,
    /// Nothing more comes.
    pub(crate) is_closed: bool,
}

impl Queue {
    /// A queue that takes nothing up to `last`.
    pub(crate) fn new(limits: QueueLimits, last: Position) -> Self {
        Self {
            state: Mutex::new(State {
                last,
                ..State::default()
            }),
            wake: Notify::new(),
            cut: Notify::new(),
            limits,
        }
    }

    /// Puts in what the client does not have yet and lies behind `from`. Overflow ends the client.
    pub(crate) fn push(&self, chunk: &Arc<Chunk>, from: Position) {
        let mut state = self.state();
        // Not remembered: what it wanted before may still come, up to `from`.
        let had_all = state.last.max(from);
        if state.closed.is_some() || chunk.last() <= had_all {
            return;
        }
        let (had, skip) = match chunk.first() <= had_all {
            true => chunk.up_to(had_all),
            false => (0, 0),
        };
        state.last = chunk.last();
        let queued = Queued {
            chunk: Arc::clone(chunk),
            skip,
            events: chunk.events() - had,
        };
        state.events += queued.events;
        state.bytes += queued.bytes();
        state.chunks.push_back(queued);
        // One chunk alone always fits: it may be one large transaction's first piece.
        if state.chunks.len() > 1
            && (state.events > self.limits.events || state.bytes > self.limits.bytes)
        {
            state.end(Closing {
                why: Close::Slow,
                detail: None,
            });
        }
        drop(state);
        self.wake.notify_one();
    }

    /// How much may wait.
    pub(crate) const fn limits(&self) -> QueueLimits {
        self.limits
    }

    /// Nothing more comes, and what waits is given up.
    pub(crate) fn close(&self, why: Close) {
        self.state().end(Closing { why, detail: None });
        self.wake.notify_one();
    }

    /// As [`close`](Self::close), with what a person needs to know of it.
    pub(crate) fn close_with(&self, why: Close, detail: &str) {
        let detail = Some(detail.to_owned());
        self.state().end(Closing { why, detail });
        self.wake.notify_one();
    }

    /// Nothing more comes, what waits is given up, and so is what was taken.
    pub(crate) fn close_and_cut(&self, why: Close) {
        self.close(why);
        self.cut.notify_one();
    }

    /// Waits until what was taken is to be given up. Cancel-safe.
    pub(crate) async fn cut(&self) {
        self.cut.notified().await;
    }

    /// What is there now: about `bytes` of it, or one chunk.
    pub(crate) fn take(&self, bytes: usize) -> Taken {
        let mut state = self.state();
        let mut taken = Taken::default();
        // What was taken before has been written.
        state.taken = None;
        let mut size = 0;
        while size < bytes
            && let Some(queued) = state.chunks.pop_front()
        {
            size += queued.bytes();
            state.events -= queued.events;
            state.bytes -= queued.bytes();
            let (first, pinned) = state.taken.unwrap_or_else(|| (queued.chunk.first(), 0));
            state.taken = Some((first, pinned + queued.chunk.pins()));
            taken.chunks.push(queued);
        }
        if state.chunks.is_empty() {
            taken.closed = state.closed.clone();
        }
        taken
    }

    /// What it holds in memory.
    pub(crate) fn held(&self) -> Held {
        let state = self.state();
        let waiting = state.chunks.front().map(|queued| queued.chunk.first());
        Held {
            oldest: state.taken.map(|(first, _)| first).or(waiting),
            waiting: state.bytes,
            taken: state.taken.map_or(0, |(_, pinned)| pinned),
            is_closed: state.closed.is_some(),
        }
    }

    /// Waits until there may be something to take. Cancel-safe.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn end(&mut self, closing: Closing) {
        if self.closed.is_none() {
            self.closed = Some(closing);
            self.chunks.clear();
            self.events = 0;
            self.bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use walgate_core::Lsn;

    use super::*;

    fn at(lsn: u64) -> Position {
        Position::new(0, Lsn(lsn), 2)
    }

    fn chunk(lsns: std::ops::Range<u64>) -> Arc<Chunk> {
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        for lsn in lsns {
            bytes.extend_from_slice(format!("[{lsn:02}]").as_bytes());
            ends.push((at(lsn), bytes.len()));
        }
        let len = bytes.len();
        Arc::new(Chunk::new(vec![Bytes::from(bytes)], ends, len))
    }

    fn text(taken: &Taken) -> String {
        let slices = taken.chunks.iter().flat_map(|q| q.chunk.slices(q.skip));
        String::from_utf8(slices.flatten().collect()).expect("text")
    }

    fn why(taken: &Taken) -> Option<Close> {
        taken.closed.as_ref().map(|closing| closing.why)
    }

    #[test]
    fn nothing_comes_twice_and_nothing_is_left_out() {
        let queue = Queue::new(QueueLimits::default(), at(3));
        queue.push(&chunk(1..4), Position::ZERO);
        queue.push(&chunk(2..6), at(1));
        queue.push(&chunk(5..6), Position::ZERO);
        queue.push(&chunk(6..9), at(6));
        let taken = queue.take(usize::MAX);
        assert_eq!(text(&taken), "[04][05][07][08]");
        assert_eq!(taken.closed, None);
        assert_eq!(queue.held().waiting, 0);
    }

    #[test]
    fn an_overflow_ends_the_client_and_frees_what_waits() {
        let limits = QueueLimits {
            events: 3,
            bytes: 1 << 20,
        };
        let queue = Queue::new(limits, Position::ZERO);
        queue.push(&chunk(1..9), Position::ZERO);
        assert_eq!(queue.take(0).closed, None, "one chunk always fits");
        queue.push(&chunk(9..10), Position::ZERO);
        queue.push(&chunk(10..11), Position::ZERO);
        let taken = queue.take(usize::MAX);
        assert_eq!(
            (text(&taken).as_str(), why(&taken)),
            ("", Some(Close::Slow))
        );
        assert_eq!(queue.held().waiting, 0);
    }

    #[test]
    fn a_close_comes_behind_nothing_that_is_given_up() {
        let queue = Queue::new(QueueLimits::default(), Position::ZERO);
        queue.push(&chunk(1..3), Position::ZERO);
        assert_eq!(text(&queue.take(1)), "[01][02]");
        queue.close(Close::GoingAway);
        queue.close(Close::Slow);
        queue.push(&chunk(3..5), Position::ZERO);
        let taken = queue.take(usize::MAX);
        assert_eq!(
            (text(&taken).as_str(), why(&taken)),
            ("", Some(Close::GoingAway))
        );
    }
}
