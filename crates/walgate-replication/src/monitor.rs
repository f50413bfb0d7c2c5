//! What a source is doing: for the status line, health checks and metrics.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use walgate_core::{Lsn, Streamed};

use crate::heartbeat::HeartbeatState;

/// What a source is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceState {
    /// The first connection is being made.
    Connecting,
    /// Somebody else uses the slot.
    WaitingForSlot {
        /// Since when.
        since: Instant,
        /// The process that has it, where it is known.
        holder: Option<i32>,
    },
    /// Changes flow, or would if there were any.
    Streaming {
        /// Since when.
        since: Instant,
    },
    /// The connection is gone and being made again.
    Down {
        /// Since when.
        since: Instant,
        /// Attempts so far.
        attempts: u32,
        /// What went wrong last.
        last: String,
    },
    /// It has ended.
    Ended,
}

impl SourceState {
    /// The name for metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::WaitingForSlot { .. } => "waiting_for_slot",
            Self::Streaming { .. } => "streaming",
            Self::Down { .. } => "down",
            Self::Ended => "ended",
        }
    }
}

impl fmt::Display for SourceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A shared look at a source. Cheap to clone and to read.
#[derive(Debug, Clone)]
pub struct SourceMonitor(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    started: Instant,
    state: Mutex<SourceState>,
    /// Milliseconds since `started`, plus 1; 0 for never.
    last_message: AtomicU64,
    last_status: AtomicU64,
    reconnects: AtomicU64,
    bytes: AtomicU64,
    frames: AtomicU64,
    streamed: AtomicU64,
    unstreamed: AtomicU64,
    reads: AtomicU64,
    notices: AtomicU64,
    received: AtomicU64,
    confirmed: AtomicU64,
    missing_tables: AtomicU64,
    wal_sender_pid: AtomicU64,
    /// Somebody waits to hear how far the log was sent.
    hurry: Notify,
    heartbeat: Mutex<HeartbeatState>,
}

/// The counters of a source at one moment; they only grow, but for the last two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceCounters {
    /// When anything came from the server last.
    pub last_message: Option<Instant>,
    /// When a status was sent last.
    pub last_status: Option<Instant>,
    /// Connections made after the first.
    pub reconnects: u64,
    /// Bytes received while replicating.
    pub bytes: u64,
    /// Frames handed over.
    pub frames: u64,
    /// Transactions that came while they ran and have committed.
    pub streamed: u64,
    /// Times that streaming was turned off for a transaction.
    pub unstreamed: u64,
    /// Reads of the socket that brought bytes.
    pub reads: u64,
    /// Notices of the server while replicating.
    pub notices: u64,
    /// The highest position received.
    pub received_lsn: Lsn,
    /// The position reported to the server as flushed.
    pub confirmed_lsn: Lsn,
    /// Configured tables that no publication has, at the last look.
    pub missing_tables: u64,
    /// The server's process that sends to us.
    pub wal_sender_pid: Option<i32>,
}

impl Default for SourceMonitor {
    fn default() -> Self {
        Self::new()
    }
}

impl SourceMonitor {
    /// Of a source that has not started.
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            started: Instant::now(),
            state: Mutex::new(SourceState::Connecting),
            last_message: AtomicU64::new(0),
            last_status: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            streamed: AtomicU64::new(0),
            unstreamed: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            notices: AtomicU64::new(0),
            received: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            missing_tables: AtomicU64::new(0),
            wal_sender_pid: AtomicU64::new(0),
            hurry: Notify::new(),
            heartbeat: Mutex::default(),
        }))
    }

    /// What the source is doing.
    pub fn state(&self) -> SourceState {
        self.0
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How the heartbeat does.
    pub fn heartbeat(&self) -> HeartbeatState {
        self.beats().clone()
    }

    pub(crate) fn beats(&self) -> MutexGuard<'_, HeartbeatState> {
        let beats = self.0.heartbeat.lock();
        beats.unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the server asked how far its log was sent, which an idle one tells no more than once in a while: somebody
    /// waits for a position. At most ten times a second.
    pub fn hurry(&self) {
        self.0.hurry.notify_one();
    }

    /// Waits for [`hurry`](Self::hurry). Cancel-safe.
    pub(crate) async fn hurried(&self) {
        self.0.hurry.notified().await;
    }

    /// The counters.
    pub fn counters(&self) -> SourceCounters {
        let shared = &*self.0;
        let instant = |millis: &AtomicU64| {
            let millis = millis.load(Ordering::Relaxed).checked_sub(1)?;
            Some(shared.started + std::time::Duration::from_millis(millis))
        };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SourceCounters {
            last_message: instant(&shared.last_message),
            last_status: instant(&shared.last_status),
            reconnects: count(&shared.reconnects),
            bytes: count(&shared.bytes),
            frames: count(&shared.frames),
            streamed: count(&shared.streamed),
            unstreamed: count(&shared.unstreamed),
            reads: count(&shared.reads),
            notices: count(&shared.notices),
            received_lsn: Lsn(count(&shared.received)),
            confirmed_lsn: Lsn(count(&shared.confirmed)),
            missing_tables: count(&shared.missing_tables),
            wal_sender_pid: i32::try_from(count(&shared.wal_sender_pid))
                .ok()
                .filter(|pid| *pid > 0),
        }
    }

    /// Somebody else has the slot, and the source is not begun before it is free.
    pub fn waits(&self, since: Instant, holder: Option<i32>) {
        self.enter(SourceState::WaitingForSlot { since, holder });
    }

    /// The wait is over: the source begins.
    pub fn begins(&self) {
        self.enter(SourceState::Connecting);
    }

    pub(crate) fn enter(&self, state: SourceState) {
        *self.0.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    pub(crate) fn read(&self, now: Instant, bytes: usize) {
        self.0
            .last_message
            .store(self.millis(now), Ordering::Relaxed);
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.0.reads.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn frames(&self, frames: usize, received: Lsn) {
        self.0.frames.fetch_add(frames as u64, Ordering::Relaxed);
        self.0.received.fetch_max(received.0, Ordering::Relaxed);
    }

    pub(crate) fn streamed(&self, streamed: &Streamed, received: Lsn) {
        let frames = match streamed {
            Streamed::Chunk { frames, .. } => frames.frames.len(),
            _ => 0,
        };
        self.frames(frames, received);
        if matches!(streamed, Streamed::Commit { .. }) {
            self.0.streamed.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn unstreamed(&self) {
        self.0.unstreamed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn status(&self, now: Instant, confirmed: Lsn) {
        self.0
            .last_status
            .store(self.millis(now), Ordering::Relaxed);
        self.0.confirmed.fetch_max(confirmed.0, Ordering::Relaxed);
    }

    pub(crate) fn notice(&self) {
        self.0.notices.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn missing_tables(&self, tables: usize) {
        self.0
            .missing_tables
            .store(tables as u64, Ordering::Relaxed);
    }

    pub(crate) fn reconnected(&self) {
        self.0.reconnects.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn wal_sender(&self, pid: Option<i32>) {
        let pid = pid.and_then(|pid| u64::try_from(pid).ok()).unwrap_or(0);
        self.0.wal_sender_pid.store(pid, Ordering::Relaxed);
    }

    fn millis(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.0.started).as_millis();
        u64::try_from(since)
            .unwrap_or(u64::MAX - 1)
            .saturating_add(1)
    }
}
