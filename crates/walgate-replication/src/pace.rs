//! When to be woken: at once at the head of the log, seldom inside of a transaction of many rows, once for
//! 64 KiB while behind.

use std::time::{Duration, Instant};

/// What the kernel collects before it wakes us while we are behind. The walsender does one `send`
/// for each row; without this, each of them is a wake-up of ours.
pub(crate) const BEHIND_LOWAT: u32 = 64 * 1024;
/// How long we wait for [`BEHIND_LOWAT`] to come together before we take what there is.
pub(crate) const PATIENCE: Duration = Duration::from_millis(20);
/// [`BEHIND_LOWAT`] within this time means behind: 12 MiB/s. Below that, waiting for the mark to
/// fill would delay rows at the head for longer than the wake-ups cost.
const WINDOW: Duration = Duration::from_millis(5);
/// So many reads inside of one transaction are awaited each: all that a transaction of one row takes.
const AWAITED_READS: u32 = 3;
/// How long the rest of a transaction may come together before each further read of it. The server sends
/// a row in a few microseconds; being woken for each costs more than that, here and of whoever is behind us.
pub(crate) const LINGER: Duration = Duration::from_micros(50);

/// Decides the receive low-water mark (`SO_RCVLOWAT`) of the socket.
///
/// `walStart` equals `walEnd` in every XLogData, so LSNs can't tell whether we are behind; how
/// fast bytes come can. Lowering the mark makes the kernel signal what is waiting, which an
/// edge-triggered runtime needs in order to see it.
#[derive(Debug)]
pub(crate) struct Pace {
    lowat: u32,
    window_start: Instant,
    window_bytes: u64,
    last_read: Instant,
    /// Reads that have brought something, of the transaction that has begun and not ended.
    reads: u32,
    /// Lingered for since the last of them: whoever begins to wait again does not.
    lingered: bool,
    deadline: Option<Instant>,
}

impl Pace {
    /// At the head; the socket's mark is 1, as the kernel made it.
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            lowat: 1,
            window_start: now,
            window_bytes: 0,
            last_read: now,
            reads: 0,
            lingered: false,
            deadline: None,
        }
    }

    /// A read has brought `bytes`; `filled` when it filled all the room there was. Returns the
    /// mark to set, if it changes.
    pub(crate) fn on_read(&mut self, now: Instant, bytes: usize, filled: bool) -> Option<u32> {
        if now.saturating_duration_since(self.window_start) > WINDOW {
            self.window_start = now;
            self.window_bytes = 0;
        }
        self.window_bytes = self.window_bytes.saturating_add(bytes as u64);
        self.reads = self.reads.saturating_add(1);
        self.lingered = false;
        let since = now.saturating_duration_since(self.last_read);
        self.last_read = now;
        if self.lowat > 1 {
            if since > WINDOW && !filled {
                return self.at_head(now);
            }
            self.deadline = Some(now + PATIENCE);
            return None;
        }
        if !filled && self.window_bytes < u64::from(BEHIND_LOWAT) {
            return None;
        }
        self.deadline = Some(now + PATIENCE);
        self.lowat = BEHIND_LOWAT;
        Some(BEHIND_LOWAT)
    }

    /// Whether to [`LINGER`] before the next read; a transaction `is_open` when what was read ends inside of it.
    pub(crate) const fn lingers(&mut self, is_open: bool) -> bool {
        if !is_open || self.lowat > 1 {
            self.reads = 0;
            return false;
        }
        let lingers = self.reads > AWAITED_READS && !self.lingered;
        self.lingered |= lingers;
        lingers
    }

    fn at_head(&mut self, now: Instant) -> Option<u32> {
        self.deadline = None;
        self.lowat = 1;
        self.window_start = now;
        self.window_bytes = 0;
        Some(1)
    }

    /// When [`on_timer`](Self::on_timer) is due.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The mark did not fill in time: we are at the head. Returns the mark to set.
    pub(crate) fn on_timer(&mut self, now: Instant) -> Option<u32> {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return None;
        }
        self.at_head(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn small_reads_at_the_head_never_raise_the_mark() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        for _ in 0..1000 {
            now += MS;
            assert_eq!(pace.on_read(now, 8 * 1024, false), None);
            assert_eq!(pace.deadline(), None);
        }
    }

    #[test]
    fn a_flood_of_rows_raises_it_and_silence_lowers_it_after_twenty_milliseconds() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let mut raised = None;
        for _ in 0..100 {
            now += MS / 100;
            let mark = pace.on_read(now, 1000, false);
            raised = raised.or(mark);
        }
        assert_eq!(raised, Some(BEHIND_LOWAT));
        let due = pace
            .deadline()
            .expect("a timer runs while the mark is raised");
        assert_eq!(pace.on_timer(due - MS), None);
        assert_eq!(pace.on_timer(due), Some(1));
        assert_eq!(pace.deadline(), None);
    }

    #[test]
    fn a_full_buffer_raises_it_at_once_and_reads_put_the_timer_off() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.on_read(start, 1 << 20, true), Some(BEHIND_LOWAT));
        let later = start + 4 * MS;
        assert_eq!(pace.on_read(later, 70_000, false), None);
        assert_eq!(pace.on_timer(start + PATIENCE), None);
        assert_eq!(pace.on_timer(later + PATIENCE), Some(1));
    }

    #[test]
    fn a_mark_that_fills_slowly_is_lowered() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.on_read(start, 1 << 20, true), Some(BEHIND_LOWAT));
        let soon = start + WINDOW;
        assert_eq!(pace.on_read(soon, 70_000, false), None);
        let late = soon + WINDOW + MS;
        assert_eq!(pace.on_read(late, 70_000, false), Some(1));
        assert_eq!(pace.deadline(), None);
        assert_eq!(pace.on_read(late + MS, 1_000, false), None);
    }

    #[test]
    fn only_a_transaction_of_many_reads_is_lingered_in() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let read = |pace: &mut Pace, is_open| {
            pace.on_read(start, 100, false);
            pace.lingers(is_open)
        };
        for _ in 0..10 {
            assert!((0..3).all(|_| !read(&mut pace, true)));
            assert!(!read(&mut pace, false), "it has ended");
        }
        let asked: Vec<bool> = (0..5).map(|_| read(&mut pace, true)).collect();
        assert_eq!(asked, [false, false, false, true, true]);
        assert!(!pace.lingers(true), "nothing has come since");
        assert!(read(&mut pace, true));
        pace.on_read(start, 1 << 20, true);
        assert!(!pace.lingers(true), "the mark does it");
    }

    #[test]
    fn only_bytes_put_the_timer_off() {
        // Whoever asks for more and gives up every few milliseconds still gets the tail: the
        // patience counts from the last read, however often somebody begins to wait.
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.on_read(start, 1 << 20, true);
        for wait in 1..4 {
            assert_eq!(pace.on_timer(start + 5 * wait * MS), None);
            assert_eq!(pace.deadline(), Some(start + PATIENCE));
        }
        assert_eq!(pace.on_timer(start + Duration::from_secs(3600)), Some(1));
    }
}
