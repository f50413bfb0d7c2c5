//! When to tell the server how far we are, and when to give it up.

use std::time::{Duration, Instant};

use walgate_core::Lsn;

/// Confirmed has moved by this much: the server can let go of a quarter of a segment.
const MOVED_BYTES: u64 = 4 * 1024 * 1024;
/// Confirmed has moved this long ago and the server does not know.
const MOVED_FOR: Duration = Duration::from_secs(1);
/// So many intervals without a byte, while we read, are a dead connection; see also
/// [`Feedback::patient_for`].
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
    /// Nothing was heard for too long while we were reading.
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
    /// So long without a byte, while we read, is a dead connection.
    silent_at_most: Duration,
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
    /// Since when the server is known to shut down and nothing was confirmed.
    server_stops: Option<Instant>,
    /// Somebody waits to hear from the server.
    hurried: bool,
    /// Something that was received can't go on before the catalog has answered.
    at_the_catalog: bool,
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
            silent_at_most: interval * SILENT_INTERVALS,
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
            hurried: false,
            at_the_catalog: false,
        }
    }

    /// A walsender that decodes what is not published looks at what we say only when half of
    /// `wal_sender_timeout` has passed since it last did (`WalSndUpdateProgress`): its silence may
    /// be so much longer.
    pub(crate) fn patient_for(mut self, wal_sender_timeout: Option<Duration>) -> Self {
        self.silent_at_most += wal_sender_timeout.unwrap_or_default() / 2;
        self
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

    /// The next look at what is to be done. When a status is late by a whole interval this process
    /// did not run (it was stopped, or the machine slept): nobody read meanwhile, so nothing that
    /// time was silence, and what the socket has by now is looked at first.
    pub(crate) fn awake(&mut self, now: Instant) {
        let ran = |sent| now.saturating_duration_since(sent) < self.interval * 2;
        if !self.last_sent.is_none_or(ran) {
            self.silent_for = Duration::ZERO;
            if let Some(since) = &mut self.reading_since {
                *since = now;
            }
        }
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
        self.received(received);
    }

    /// What has come reaches up to `lsn`. No sign of life by itself: the bytes were.
    pub(crate) fn received(&mut self, lsn: Lsn) {
        if lsn > self.received {
            self.received = lsn;
            // It writes on. One that shuts down all the same is noticed again.
            self.server_stops = None;
        }
    }

    /// The server wants a status now.
    pub(crate) fn requested(&mut self, now: Instant, wal_end: Lsn) {
        self.request = Some(match self.request {
            Some(same) if same.wal_end == wal_end && same.confirmed == self.confirmed => Request {
                count: same.count.saturating_add(1),
                unanswered: true,
                ..same
            },
            _ => Request {
                wal_end,
                confirmed: self.confirmed,
                since: now,
                count: 1,
                unanswered: true,
            },
        });
    }

    /// The server is to be asked for a sign of life, however lately it gave one.
    pub(crate) fn hurry(&mut self) {
        self.hurried = true;
    }

    /// The server refuses new connections, as one does that shuts down, or starts.
    pub(crate) fn server_stops(&mut self, now: Instant) {
        self.server_stops.get_or_insert(now);
    }

    /// The server takes new connections.
    pub(crate) fn server_goes_on(&mut self) {
        self.server_stops = None;
    }

    /// Whether something that was received waits for the catalog. A server that shuts down answers
    /// no such question, however little is left to confirm.
    pub(crate) fn asks_the_catalog(&mut self, asks: bool) {
        self.at_the_catalog = asks;
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
        if self.silence(now) >= self.silent_at_most {
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
                reply_requested: self.last_sent.is_some() && (!self.heard || self.hurried),
            });
        }
        let dead = self
            .reading_since
            .map(|since| since + self.silent_at_most.saturating_sub(self.silent_for));
        let yields = self.held_up().map(|since| since + SHUTDOWN_PATIENCE);
        let next = [dead, yields].into_iter().flatten().fold(due, Instant::min);
        Action::Wait(next)
    }

    /// A status was sent.
    pub(crate) fn sent(&mut self, now: Instant, status: Status) {
        debug_assert!(
            status.confirmed <= status.received,
            "confirmed what was not received"
        );
        self.last_sent = Some(now);
        self.heard = false;
        self.hurried &= !status.reply_requested;
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
        Status {
            received: self.received,
            confirmed: self.confirmed,
            reply_requested: false,
        }
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
        if self.hurried {
            due = due.min(sent + REPEATED_ANSWER);
        }
        if let Some(request) = self.request.filter(|request| request.unanswered) {
            due = due.min(if request.count == 1 {
                request.since
            } else {
                sent + REPEATED_ANSWER
            });
        }
        due
    }

    fn silence(&self, now: Instant) -> Duration {
        let reading = self
            .reading_since
            .map(|since| now.saturating_duration_since(since));
        reading.map_or(Duration::ZERO, |reading| reading + self.silent_for)
    }

    fn holds_the_shutdown_up(&self, now: Instant) -> bool {
        let asked = self.request.is_some_and(|request| {
            request.count >= SHUTDOWN_REQUESTS
                && request.confirmed == self.confirmed
                && self.confirmed < request.wal_end
                && now.saturating_duration_since(request.since) >= SHUTDOWN_PATIENCE
        });
        let told = self
            .held_up()
            .is_some_and(|since| now.saturating_duration_since(since) >= SHUTDOWN_PATIENCE);
        asked || told
    }

    /// Since when a server that is known to shut down may be waiting for us. It waits for what we
    /// have not confirmed: of what we have received, or of what lies in the socket while we don't
    /// read. When there is neither, it goes by itself.
    fn held_up(&self) -> Option<Instant> {
        let stops = self.server_stops?;
        if self.confirmed < self.received || self.at_the_catalog {
            return Some(stops);
        }
        self.paused_since.map(|since| since.max(stops))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);
    const SECOND: Duration = Duration::from_secs(1);

    /// Just started at 1000, first status sent.
    fn started() -> (Feedback, Instant) {
        let now = Instant::now();
        let mut feedback = Feedback::new(now, INTERVAL, Lsn(1000), Lsn(900));
        assert!(
            send(&mut feedback, now).is_some(),
            "the first status goes out at once"
        );
        (feedback, now)
    }

    fn send(feedback: &mut Feedback, now: Instant) -> Option<Status> {
        match feedback.poll(now) {
            Action::Send(status) => {
                feedback.sent(now, status);
                Some(status)
            }
            _ => None,
        }
    }

    #[test]
    fn the_first_status_confirms_what_the_slot_has_confirmed_and_never_zero() {
        let now = Instant::now();
        let mut feedback = Feedback::new(now, INTERVAL, Lsn(1000), Lsn(900));
        let status = send(&mut feedback, now).expect("due");
        assert_eq!(
            status,
            Status {
                received: Lsn(1000),
                confirmed: Lsn(900),
                reply_requested: false
            }
        );
    }

    #[test]
    fn a_status_goes_out_each_interval_whether_or_not_anybody_asks_or_reads() {
        let (mut feedback, start) = started();
        let mut now = start;
        let mut sent = 0;
        // An hour without reading: a blocked sink.
        while now < start + 3600 * SECOND {
            now += SECOND;
            sent += u32::from(send(&mut feedback, now).is_some());
        }
        assert_eq!(sent, 360);
    }

    #[test]
    fn a_silent_server_is_asked_and_given_up_after_three_intervals() {
        let (mut feedback, now) = started();
        feedback.reading(now);
        feedback.heard(now, Lsn(1000));
        let first = send(&mut feedback, now + INTERVAL).expect("due");
        assert!(
            !first.reply_requested,
            "something was heard since the last status"
        );
        let second = send(&mut feedback, now + 2 * INTERVAL).expect("due");
        assert!(second.reply_requested);
        assert_ne!(feedback.poll(now + 3 * INTERVAL - SECOND), Action::Dead);
        assert_eq!(feedback.poll(now + 3 * INTERVAL), Action::Dead);
    }

    #[test]
    fn a_server_may_decode_in_silence_for_half_its_own_timeout_more() {
        let now = Instant::now();
        let mut feedback =
            Feedback::new(now, INTERVAL, Lsn(1000), Lsn(900)).patient_for(Some(6 * INTERVAL));
        feedback.reading(now);
        for interval in 0..6 {
            let now = now + interval * INTERVAL;
            let status = send(&mut feedback, now).expect("due");
            assert_eq!(status.reply_requested, interval > 0);
        }
        assert_eq!(feedback.poll(now + 6 * INTERVAL), Action::Dead);
    }

    #[test]
    fn time_in_which_this_process_was_stopped_is_no_silence() {
        let (mut feedback, start) = started();
        feedback.reading(start);
        send(&mut feedback, start + INTERVAL);
        let mut now = start + 3600 * SECOND;
        feedback.awake(now);
        let status = send(&mut feedback, now).expect("long due");
        assert!(status.reply_requested, "the server is asked");
        for _ in 0..2 {
            now += INTERVAL;
            feedback.awake(now);
            assert!(send(&mut feedback, now).is_some());
        }
        now += INTERVAL;
        feedback.awake(now);
        assert_eq!(
            feedback.poll(now),
            Action::Dead,
            "it has not answered since"
        );
    }

    #[test]
    fn an_answer_or_back_pressure_keeps_it_alive() {
        let (mut feedback, start) = started();
        let mut now = start;
        feedback.reading(now);
        for _ in 0..20 {
            now += INTERVAL;
            send(&mut feedback, now);
            feedback.heard(now, Lsn(1000));
        }
        feedback.paused(now);
        now += 3600 * SECOND;
        assert_ne!(feedback.poll(now), Action::Dead);
        // Reading again and again for a moment is reading all the same.
        for _ in 0..29 {
            feedback.reading(now);
            now += SECOND;
            feedback.paused(now);
            send(&mut feedback, now);
        }
        feedback.reading(now);
        assert_ne!(feedback.poll(now), Action::Dead);
        assert_eq!(feedback.poll(now + SECOND), Action::Dead);
    }

    #[test]
    fn confirmed_is_told_after_a_second_or_four_mebibytes() {
        let (mut feedback, now) = started();
        feedback.heard(now, Lsn(100 << 20));
        let moved = now + SECOND / 2;
        assert!(feedback.confirm(moved, Lsn(2000)));
        assert_eq!(feedback.poll(moved), Action::Wait(moved + SECOND));
        assert!(feedback.confirm(moved + SECOND / 4, Lsn(2500)));
        let status =
            send(&mut feedback, moved + SECOND).expect("a second has passed since it moved");
        assert_eq!(
            (status.confirmed, feedback.reported),
            (Lsn(2500), Lsn(2500))
        );
        assert!(feedback.confirm(moved + SECOND, Lsn(2500 + MOVED_BYTES - 1)));
        assert!(send(&mut feedback, moved + SECOND).is_none());
        assert!(feedback.confirm(moved + SECOND, Lsn(2500 + MOVED_BYTES)));
        assert!(send(&mut feedback, moved + SECOND).is_some());
    }

    #[test]
    fn what_was_never_received_is_never_confirmed() {
        let (mut feedback, now) = started();
        assert!(!feedback.confirm(now, Lsn(1001)));
        assert_eq!(feedback.last_status().confirmed, Lsn(900));
        feedback.heard(now, Lsn(1001));
        assert!(feedback.confirm(now, Lsn(1001)));
        assert!(
            feedback.confirm(now, Lsn(950)),
            "an older position changes nothing"
        );
        assert_eq!(feedback.last_status().confirmed, Lsn(1001));
    }

    #[test]
    fn a_request_is_answered_at_once_and_its_repetition_ten_times_a_second() {
        let (mut feedback, now) = started();
        feedback.heard(now, Lsn(1000));
        feedback.requested(now, Lsn(1000));
        assert!(send(&mut feedback, now).is_some());
        feedback.requested(now, Lsn(1000));
        assert!(send(&mut feedback, now).is_none());
        assert!(send(&mut feedback, now + REPEATED_ANSWER).is_some());
        feedback.requested(now + REPEATED_ANSWER, Lsn(1001));
        assert!(
            send(&mut feedback, now + REPEATED_ANSWER).is_some(),
            "a new position is a new request"
        );
    }

    #[test]
    fn who_is_in_a_hurry_has_the_server_asked_ten_times_a_second() {
        let (mut feedback, now) = started();
        feedback.heard(now, Lsn(1000));
        feedback.hurry();
        assert!(send(&mut feedback, now).is_none());
        let status = send(&mut feedback, now + REPEATED_ANSWER).expect("due");
        assert!(status.reply_requested, "though it was heard");
        assert!(send(&mut feedback, now + 2 * REPEATED_ANSWER).is_none());
    }

    #[test]
    fn a_server_that_shuts_down_is_let_go_only_when_nothing_drains() {
        let (mut feedback, start) = started();
        feedback.heard(start, Lsn(5000));
        let mut now = start;
        let mut confirmed = 1000;
        // The sinks drain slowly: answered for as long as that takes.
        for _ in 0..600 {
            now += REPEATED_ANSWER;
            feedback.requested(now, Lsn(5000));
            if now.duration_since(start).as_millis().is_multiple_of(4000) {
                confirmed += 10;
                feedback.confirm(now, Lsn(confirmed));
            }
            assert!(
                !matches!(feedback.poll(now), Action::Yield),
                "{:?}",
                now.duration_since(start)
            );
            send(&mut feedback, now);
        }
        // They stop.
        let stopped = now;
        while feedback.poll(now) != Action::Yield {
            send(&mut feedback, now);
            now += REPEATED_ANSWER;
            feedback.requested(now, Lsn(5000));
            assert!(
                now.duration_since(stopped) < 7 * SECOND,
                "held the shutdown up"
            );
        }
        assert!(now.duration_since(stopped) > 4 * SECOND);
    }

    #[test]
    fn a_server_known_to_stop_is_let_go_after_five_seconds_without_progress() {
        let (mut feedback, now) = started();
        feedback.heard(now, Lsn(5000));
        feedback.server_stops(now);
        assert!(feedback.confirm(now + 4 * SECOND, Lsn(2000)));
        send(&mut feedback, now + 5 * SECOND);
        assert_ne!(feedback.poll(now + 6 * SECOND), Action::Yield);
        assert_eq!(feedback.poll(now + 9 * SECOND), Action::Yield);
    }

    #[test]
    fn a_server_that_stops_is_let_go_only_when_it_waits_for_us() {
        let (mut feedback, now) = started();
        feedback.reading(now);
        feedback.heard(now, Lsn(5000));
        assert!(feedback.confirm(now, Lsn(5000)));
        send(&mut feedback, now + 2 * SECOND);
        feedback.server_stops(now + 2 * SECOND);
        let late = now + 9 * SECOND;
        assert!(
            matches!(feedback.poll(late), Action::Wait(until) if until > late),
            "everything is confirmed"
        );
        // What was received and needs the catalog, which is closed, keeps us for good.
        feedback.asks_the_catalog(true);
        assert_eq!(feedback.poll(late), Action::Yield);
        feedback.asks_the_catalog(false);
        assert_ne!(feedback.poll(late), Action::Yield);
        // So does what we don't read.
        feedback.paused(late);
        assert_ne!(feedback.poll(late + 4 * SECOND), Action::Yield);
        assert_eq!(feedback.poll(late + 5 * SECOND), Action::Yield);
    }

    #[test]
    fn a_server_that_goes_on_after_all_is_not_let_go() {
        let (mut feedback, now) = started();
        feedback.heard(now, Lsn(5000));
        feedback.server_stops(now);
        // It takes connections again: it was starting, or another host had answered.
        feedback.server_goes_on();
        let later = now + 6 * SECOND;
        assert_ne!(feedback.poll(later), Action::Yield);
        // It writes on.
        feedback.server_stops(later);
        feedback.received(Lsn(6000));
        let later = later + 6 * SECOND;
        assert_ne!(feedback.poll(later), Action::Yield);
        // A sign of life that brings nothing is what a server sends that shuts down.
        feedback.server_stops(later);
        feedback.heard(later, Lsn(6000));
        assert_eq!(feedback.poll(later + 5 * SECOND), Action::Yield);
    }
}
