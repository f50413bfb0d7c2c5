//! When to tell the server how far we are, and when to give it up.

use std::time::{Duration, Instant};

use walgate_core::Lsn;

/// Confirmed has moved by this much: the server can let go of a quarter of a segment.
const MOVED_BYTES: u64 = 4 * 1024 * 1024;
/// Confirmed has moved this long ago and the server does not know.
const MOVED_FOR: Duration = Duration::from_secs(1);
/// So many intervals without a byte, while we read, are a dead connection.
const SILENT_INTERVALS: u32 = 3;
/// A server that shuts down repeats its request as fast as we answer (30,000 a second were
/// measured); a request that says nothing new is answered ten times a second.
const REPEATED_ANSWER: Duration = Duration::from_millis(100);
/// Nothing was confirmed for this long while the server repeats its request: a blocked sink must
/// not hold up its shutdown.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);
/// As many repeated requests tell a shutdown from a server that just wants to hear from us, which
/// asks once in half a `wal_sender_timeout`.
const SHUTDOWN_REQUESTS: u32 = 10;

/// What the driver has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Send a status and call [`Feedback::sent`].
    Send(Status),
    /// Nothing before this instant, unless something happens.
    Wait(Instant),
    /// Nothing was heard for three intervals while we were reading.
    Dead,
    /// The server is shutting down and waits for what we can't confirm: close.
    Yield,
}

/// What a status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    /// Received.
    pub(crate) received: Lsn,
    /// Durable: flush and apply.
    pub(crate) confirmed: Lsn,
    /// Ask for a sign of life.
    pub(crate) reply_requested: bool,
}

/// The rules of standby status. It knows neither socket nor clock.
///
/// Invariant: reported ≤ confirmed ≤ received.
#[derive(Debug)]
pub(crate) struct Feedback {
    interval: Duration,
    started: Instant,
    received: Lsn,
    confirmed: Lsn,
    reported: Lsn,
    /// When confirmed left reported.
    moved_at: Option<Instant>,
    last_sent: Option<Instant>,
    /// Something was heard since the last status.
    heard: bool,
    /// How long we have read in vain, not counting the time since `reading_since`.
    silent_for: Duration,
    reading_since: Option<Instant>,
    paused_since: Option<Instant>,
    request: Option<Request>,
    server_stops: Option<Instant>,
}

/// Requests for a reply that repeat one position.
#[derive(Debug, Clone, Copy)]
struct Request {
    wal_end: Lsn,
    confirmed: Lsn,
    since: Instant,
    count: u32,
    unanswered: bool,
}

impl Feedback {
    /// `start` is where replication starts, `confirmed` what the slot has confirmed already.
    pub(crate) fn new(now: Instant, interval: Duration, start: Lsn, confirmed: Lsn) -> Self {
        Self {
            interval,
            started: now,
            received: start.max(confirmed),
            confirmed,
            reported: confirmed,
            moved_at: None,
            last_sent: None,
            heard: false,
            silent_for: Duration::ZERO,
            reading_since: None,
            paused_since: Some(now),
            request: None,
            server_stops: None,
        }
    }

    /// We wait for the socket from here on.
    pub(crate) fn reading(&mut self, now: Instant) {
        self.reading_since.get_or_insert(now);
        self.paused_since = None;
    }

    /// We don't: back-pressure, or nobody asks. Silence does not count.
    pub(crate) fn paused(&mut self, now: Instant) {
        if let Some(since) = self.reading_since.take() {
            self.silent_for += now.saturating_duration_since(since);
        }
        self.paused_since.get_or_insert(now);
    }

    /// Since when we have not been reading.
    pub(crate) const fn paused_since(&self) -> Option<Instant> {
        self.paused_since
    }

    /// Bytes have come; `received` is the highest position in them.
    pub(crate) fn heard(&mut self, now: Instant, received: Lsn) {
        self.heard = true;
        self.silent_for = Duration::ZERO;
        if let Some(since) = &mut self.reading_since {
            *since = now;
        }
        self.received = self.received.max(received);
    }

    /// The server wants a status now.
    pub(crate) fn requested(&mut self, now: Instant, wal_end: Lsn) {
        self.request = Some(match self.request {
            Some(same) if same.wal_end == wal_end && same.confirmed == self.confirmed => {
                Request { count: same.count.saturating_add(1), unanswered: true, ..same }
            }
            _ => Request { wal_end, confirmed: self.confirmed, since: now, count: 1, unanswered: true },
        });
    }

    /// The server is known to shut down.
    pub(crate) fn server_stops(&mut self, now: Instant) {
        self.server_stops.get_or_insert(now);
    }

    /// Everything below `lsn` is durable. Returns false, and takes nothing, when it was never
    /// received: the server would store it, and the slot would be ruined.
    pub(crate) fn confirm(&mut self, now: Instant, lsn: Lsn) -> bool {
        if lsn > self.received {
            return false;
        }
        if lsn > self.confirmed {
            self.confirmed = lsn;
            self.moved_at.get_or_insert(now);
            if let Some(since) = &mut self.server_stops {
                *since = now;
            }
        }
        true
    }

    /// What is to be done at `now`.
    pub(crate) fn poll(&self, now: Instant) -> Action {
        if self.silence(now) >= self.interval * SILENT_INTERVALS {
            return Action::Dead;
        }
        if self.holds_the_shutdown_up(now) {
            return Action::Yield;
        }
        let due = self.due();
        if now >= due {
            return Action::Send(Status {
                received: self.received,
                confirmed: self.confirmed,
                reply_requested: self.last_sent.is_some() && !self.heard,
            });
        }
        let dead = self.reading_since.map(|since| since + (self.interval * SILENT_INTERVALS).saturating_sub(self.silent_for));
        let yields = self.server_stops.map(|since| since + SHUTDOWN_PATIENCE);
        let next = [dead, yields].into_iter().flatten().fold(due, Instant::min);
        Action::Wait(next)
    }

    /// A status was sent.
    pub(crate) fn sent(&mut self, now: Instant, status: Status) {
        debug_assert!(status.confirmed <= status.received, "confirmed what was not received");
        self.last_sent = Some(now);
        self.heard = false;
        self.reported = status.confirmed;
        if self.confirmed == self.reported {
            self.moved_at = None;
        }
        if let Some(request) = &mut self.request {
            request.unanswered = false;
        }
    }

    /// What the last status of all says.
    pub(crate) const fn last_status(&self) -> Status {
        Status { received: self.received, confirmed: self.confirmed, reply_requested: false }
    }

    /// What the server has been told.
    pub(crate) const fn reported(&self) -> Lsn {
        self.reported
    }

    /// When the last status was sent.
    pub(crate) const fn last_sent(&self) -> Option<Instant> {
        self.last_sent
    }

    /// When a status is due.
    fn due(&self) -> Instant {
        let Some(sent) = self.last_sent else {
            // The first one goes out at once: the server knows us from the start.
            return self.started;
        };
        let mut due = sent + self.interval;
        if let Some(moved) = self.moved_at {
            due = due.min(moved + MOVED_FOR);
            if self.confirmed.bytes_since(self.reported) >= MOVED_BYTES {
                due = due.min(moved);
            }
        }
        if let Some(request) = self.request.filter(|request| request.unanswered) {
            due = due.min(if request.count == 1 { request.since } else { sent + REPEATED_ANSWER });
        }
        due
    }

    fn silence(&self, now: Instant) -> Duration {
        let reading = self.reading_since.map(|since| now.saturating_duration_since(since));
        reading.map_or(Duration::ZERO, |reading| reading + self.silent_for)
    }

    fn holds_the_shutdown_up(&self, now: Instant) -> bool {
        let asked = self.request.is_some_and(|request| {
            request.count >= SHUTDOWN_REQUESTS
                && request.confirmed == self.confirmed
                && self.confirmed < request.wal_end
                && now.saturating_duration_since(request.since) >= SHUTDOWN_PATIENCE
        });
        let told = self.server_stops.is_some_and(|since| {
            now.saturating_duration_since(since) >= SHUTDOWN_PATIENCE
        });
        asked || told
    }
}
