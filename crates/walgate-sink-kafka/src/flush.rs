//! When librdkafka is told not to wait for full batches.
//!
//! An idempotent librdkafka has one request for a partition in flight at a time (it counts messages
//! where its limit of five means requests), and while a message waits for longer than `linger.ms`
//! for the answer to that request, its broker thread spins: in a backlog that was three quarters of
//! all CPU. So `linger.ms` is as long as can be, batches of a backlog go out because they are full, and
//! when the sink waits it asks for a flush, which disregards the linger for a moment. A flush spins,
//! too, while something waits behind what is in flight: so it is short, and made when a partition
//! has messages that nothing else sends.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, Producer};

use crate::flight::Flight;
use crate::native;

/// How long the linger is disregarded at a time: librdkafka's shortest. A broker thread that has to
/// wait for a core for longer misses it, which [`MISSED`] is for; each time that nothing comes back, it
/// is a [part](FLUSH_PART) of the growing time between flushes.
const FLUSH: Duration = Duration::from_millis(1);

/// Least time between flushes at the head of the log while nothing is on its way. A lone change goes
/// at once; of a stream of them those that have come together since the last go when that is answered.
const PACE: Duration = Duration::from_micros(500);

/// Least time between flushes while something is on its way, as what waits behind it spins, and while
/// [`MANY`] have come since the last: those are worth a larger batch.
const BEHIND: Duration = Duration::from_millis(10);

/// So many messages in the time between a flush and its answer are some 30,000 in a second.
const MANY: u64 = 40;

/// How long a batch that isn't full waits for more while the sink has more to do.
const PATIENCE: Duration = Duration::from_millis(25);

/// What a flush that follows an unanswered one takes of the time between them: a frozen broker costs
/// a tenth of a core at most.
const FLUSH_PART: u32 = 10;

/// Time to the next flush for what the sink waits for, while everything is thought to be on its way: it may
/// have been missed, or be sent anew after an error. Doubled as long as no answer comes.
const MISSED: Duration = Duration::from_millis(5);

/// The same while the sink has more to do: full batches need no flush.
const REPEAT: Duration = Duration::from_millis(50);

/// Most time to the next flush: what an outage costs is a flush in this time.
const MOST_REPEAT: Duration = Duration::from_secs(1);

/// What the sink waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// More records, or room for the next one. Full batches are on their way; what is not full is
    /// flushed if this lasts.
    Company,
    /// The delivery of everything.
    Delivery,
}

/// What was handed to librdkafka, in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Traffic {
    /// Without a report.
    pub(crate) outstanding: u64,
    /// Reported so far.
    pub(crate) reported: u64,
    /// A partition has messages that nothing sends but a flush.
    pub(crate) idle: bool,
    /// No partition has messages on their way.
    pub(crate) quiet: bool,
}

impl Traffic {
    /// Messages that were handed over, in all.
    const fn accepted(self) -> u64 {
        self.outstanding + self.reported
    }
}

/// When the next flush is due.
#[derive(Debug)]
struct Pace {
    /// When the last flush was.
    flushed: Option<Instant>,
    /// Reports at the last flush.
    reported: u64,
    /// Messages that had been handed over at the last flush, in all.
    accepted: u64,
    /// Time to the next one while everything is on its way.
    repeat: Duration,
}

impl Pace {
    const fn new() -> Self {
        Self {
            flushed: None,
            reported: 0,
            accepted: 0,
            repeat: MISSED,
        }
    }

    /// When to flush for a wait that has begun at `begun`; `None` while there is nothing to flush.
    fn due(&self, (wait, begun): (Wait, Instant), now: Traffic) -> Option<Instant> {
        if now.outstanding == 0 {
            return None;
        }
        let last = self.flushed.unwrap_or(begun);
        Some(match (now.idle, wait, self.flushed) {
            (true, Wait::Delivery, None) => begun,
            (true, Wait::Delivery, Some(flushed)) if now.quiet && self.are_few(now) => {
                flushed + PACE
            }
            (true, Wait::Delivery, Some(flushed)) => flushed + BEHIND,
            (true, Wait::Company, _) => last + PATIENCE,
            (false, wait, _) => {
                let least = match wait {
                    Wait::Delivery => MISSED,
                    Wait::Company => REPEAT,
                };
                let answered = now.reported > self.reported;
                last + if answered {
                    least
                } else {
                    self.repeat.max(least)
                }
            }
        })
    }

    /// Whether few messages have come since the last flush.
    const fn are_few(&self, now: Traffic) -> bool {
        now.accepted().saturating_sub(self.accepted) < MANY
    }

    /// Notes a flush, and returns how long it is to last.
    fn flush(&mut self, at: Instant, now: Traffic) -> Duration {
        let alive = self.flushed.is_none() || now.reported > self.reported;
        self.repeat = if alive {
            MISSED
        } else {
            (self.repeat * 2).min(MOST_REPEAT)
        };
        self.flushed = Some(at);
        self.reported = now.reported;
        self.accepted = now.accepted();
        if alive {
            FLUSH
        } else {
            FLUSH.max(self.repeat / FLUSH_PART)
        }
    }
}

/// Between the sink, which waits, and the thread that flushes.
#[derive(Debug)]
pub(crate) struct Flusher {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    wait: Option<(Wait, Instant)>,
    pace: Pace,
    /// When the thread looks by itself; `None`: it waits to be woken.
    alarm: Option<Instant>,
    stopped: bool,
}

impl State {
    fn due(&self, traffic: Traffic) -> Option<Instant> {
        self.wait.and_then(|wait| self.pace.due(wait, traffic))
    }
}

impl Flusher {
    pub(crate) const fn new() -> Self {
        Self {
            state: Mutex::new(State {
                wait: None,
                pace: Pace::new(),
                alarm: None,
                stopped: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// The sink waits for this from now on, or still.
    pub(crate) fn wait(&self, wait: Wait, traffic: Traffic) {
        let mut state = self.lock();
        if state.wait.is_none_or(|(before, _)| before != wait) {
            state.wait = Some((wait, Instant::now()));
        }
        self.wake(&state, traffic);
    }

    /// Reports have come.
    pub(crate) fn reported(&self, traffic: Traffic) {
        let state = self.lock();
        self.wake(&state, traffic);
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_one();
    }

    fn wake(&self, state: &State, traffic: Traffic) {
        let sooner = state
            .due(traffic)
            .is_some_and(|due| state.alarm.is_none_or(|alarm| due < alarm));
        if sooner {
            self.changed.notify_one();
        }
    }

    /// Waits until a flush is due, and returns how long it is to last; `None` at the end.
    fn next(&self, traffic: impl Fn() -> Traffic) -> Option<Duration> {
        let mut state = self.lock();
        while !state.stopped {
            let now = Instant::now();
            let traffic = traffic();
            state.alarm = state.due(traffic);
            state = match state.alarm {
                Some(due) if due <= now => {
                    return Some(state.pace.flush(now, traffic));
                }
                Some(due) => {
                    let waited = self.changed.wait_timeout(state, due - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.changed.wait(state);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
        None
    }

    /// Nothing panics while it is held.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Flushes whenever it is due, until the flusher is stopped. For a thread of its own.
pub(crate) fn run(producer: &BaseProducer<Flight>) {
    let flight = producer.context();
    while let Some(most) = flight.flusher().next(|| flight.traffic()) {
        flight.flushed();
        native::flush(producer, most);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    const fn traffic(outstanding: u64, reported: u64, idle: bool) -> Traffic {
        Traffic {
            outstanding,
            reported,
            idle,
            quiet: idle,
        }
    }

    #[test]
    fn a_lone_change_is_flushed_at_once_and_a_stream_of_them_at_a_pace() {
        let mut pace = Pace::new();
        let start = Instant::now();
        let wait = (Wait::Delivery, start);
        assert_eq!(pace.due(wait, traffic(0, 0, false)), None, "nothing there");
        assert_eq!(pace.due(wait, traffic(1, 0, true)), Some(start));
        pace.flush(start, traffic(1, 0, true));
        assert_eq!(pace.due(wait, traffic(0, 1, false)), None);
        assert_eq!(pace.due(wait, traffic(2, 1, true)), Some(start + PACE));
        let many = traffic(MANY + 1, 1, true);
        assert_eq!(pace.due(wait, many), Some(start + BEHIND));
        let behind = Traffic {
            quiet: false,
            ..traffic(2, 1, true)
        };
        assert_eq!(pace.due(wait, behind), Some(start + BEHIND));
        let later = start + Duration::from_secs(1);
        let due = pace.due((Wait::Delivery, later), traffic(1, 1, true));
        assert!(due.is_some_and(|due| due <= later), "alone again");
    }

    #[test]
    fn a_silent_broker_is_flushed_ever_less_often() {
        let mut pace = Pace::new();
        let wait = (Wait::Delivery, Instant::now());
        let mut at = wait.1;
        assert_eq!(pace.flush(at, traffic(9, 0, true)), FLUSH);
        let mut gaps = Vec::new();
        for _ in 0..10 {
            let due = pace.due(wait, traffic(9, 0, false)).expect("due");
            gaps.push((due - at).as_millis());
            at = due;
            let lasts = pace.flush(at, traffic(9, 0, false));
            let next = pace.due(wait, traffic(9, 0, false)).expect("due");
            assert_eq!(lasts * FLUSH_PART, next - at);
        }
        assert_eq!(gaps, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        // It answers again: the first of nine.
        assert_eq!(pace.due(wait, traffic(8, 1, false)), Some(at + MISSED));
        assert_eq!(pace.flush(at, traffic(8, 1, false)), FLUSH);
        assert_eq!(pace.due(wait, traffic(8, 1, false)), Some(at + MISSED));
    }

    #[test]
    fn a_backlog_fills_its_batches() {
        let mut pace = Pace::new();
        let start = Instant::now();
        let wait = (Wait::Company, start);
        assert_eq!(pace.due(wait, traffic(5, 0, false)), Some(start + REPEAT));
        assert_eq!(pace.due(wait, traffic(5, 3, true)), Some(start + PATIENCE));
        pace.flush(start + PATIENCE, traffic(5, 3, true));
        assert_eq!(
            pace.due(wait, traffic(5, 3, true)),
            Some(start + 2 * PATIENCE)
        );
    }

    #[test]
    fn the_thread_sleeps_until_it_is_asked_and_ends() {
        let flusher = Arc::new(Flusher::new());
        let (send, flushes) = std::sync::mpsc::channel();
        let thread = thread::spawn({
            let flusher = Arc::clone(&flusher);
            move || {
                while flusher.next(|| traffic(1, 0, true)).is_some() {
                    send.send(()).expect("the test listens");
                }
            }
        });
        flusher.reported(traffic(1, 0, true));
        assert!(flushes.try_recv().is_err(), "nobody waits");
        flusher.wait(Wait::Delivery, traffic(1, 0, true));
        flushes.recv().expect("flushed");
        flushes.recv().expect("flushed again, as no answer comes");
        flusher.stop();
        thread.join().expect("the thread ends");
    }
}
