//! What follows from a failed attempt, and what is said about it: one line for each change of
//! state, and a summary every 30 s while down.

use std::time::{Duration, Instant};

use walgate_core::{Failure, Lsn, StopReason};

use crate::monitor::SourceState;
use crate::trouble::{Limit, Retry, Trouble, in_use};

/// Between two lines about the same outage.
const SUMMARY: Duration = Duration::from_secs(30);
/// The same trouble with data at the same place this many times will not go away.
const DATA_ATTEMPTS: u32 = 3;
/// A connection that lasted this long was a good one, as for the back-off; what comes next is a new
/// trouble. One that starts and fails is not: its trouble is counted on.
const HEALTHY: Duration = Duration::from_secs(60);
/// A source without disk space decodes, spills and fails again at each attempt.
const SLOWLY: Duration = Duration::from_secs(60);
/// What helps when somebody else has the slot.
const FREE_THE_SLOT: &str =
    "stop the other consumer (SELECT * FROM pg_stat_replication), or use a slot of your own";

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Try again.
    Again {
        /// After this long.
        delay: Duration,
        /// What we are meanwhile.
        state: SourceState,
    },
    /// It needs a human.
    Stop(Failure),
}

/// The outage that is under way, if any.
#[derive(Debug)]
pub(crate) struct Outage {
    /// Whether what may pass is waited for without end.
    patient: bool,
    since: Option<Instant>,
    attempts: u32,
    said: Option<Instant>,
    waiting_since: Option<Instant>,
    streaming_since: Option<Instant>,
    limited: Option<Limited>,
    data: Option<(Lsn, String, u32)>,
}

/// A trouble whose repetition is limited.
#[derive(Debug)]
struct Limited {
    limit: Limit,
    since: Instant,
    times: u32,
}

impl Outage {
    /// `patient`: a server that can't be reached at the start, and a slot that another connection
    /// has, are waited for without end.
    pub(crate) const fn new(patient: bool) -> Self {
        Self {
            patient,
            since: None,
            attempts: 0,
            said: None,
            waiting_since: None,
            streaming_since: None,
            limited: None,
            data: None,
        }
    }

    /// Replication has started.
    pub(crate) fn over(&mut self, now: Instant, at: Lsn, reconnected: bool) {
        if let Some(since) = self.since.take().filter(|_| reconnected) {
            let seconds = now.saturating_duration_since(since).as_secs_f32();
            tracing::info!(seconds, attempts = self.attempts, resume = %at, "connected again");
        }
        self.attempts = 0;
        self.said = None;
        self.waiting_since = None;
        self.streaming_since = Some(now);
        // `data` stays: a connection that starts says nothing about the row it will stumble over.
        self.patient = true;
    }

    /// An attempt or a connection has come to its end.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        trouble: &Trouble,
        delay: Duration,
        slot_wait: Duration,
    ) -> Next {
        let since = *self.since.get_or_insert(now);
        self.attempts = self.attempts.saturating_add(1);
        let streamed = self.streaming_since.take();
        if streamed.is_some_and(|began| now.saturating_duration_since(began) >= HEALTHY) {
            self.limited = None;
        }
        if !matches!(trouble, Trouble::Busy(..)) {
            self.waiting_since = None;
        }
        let delay = match trouble {
            Trouble::Stop(failure) | Trouble::Gap(_, failure) => {
                return Next::Stop(failure.clone());
            }
            Trouble::Data(at, failure) => match self.data(*at, failure) {
                Some(failure) => return Next::Stop(failure),
                None => delay,
            },
            Trouble::Busy(pid, who) => {
                let text = in_use(*pid, who.as_deref());
                return self.busy(now, *pid, text, delay, slot_wait);
            }
            Trouble::Retry(retry) => match self.retry(now, retry, delay) {
                Ok(delay) => delay,
                Err(failure) => return Next::Stop(failure),
            },
        };
        self.say(now, since, trouble);
        let state = SourceState::Down {
            since,
            attempts: self.attempts,
            last: trouble.what(),
        };
        Next::Again { delay, state }
    }

    fn retry(&mut self, now: Instant, retry: &Retry, delay: Duration) -> Result<Duration, Failure> {
        let failure = |reason| Failure {
            reason,
            message: retry.what.clone(),
            hint: retry.hint.clone(),
        };
        if !self.patient && matches!(retry.limit, Limit::None | Limit::Slow) {
            return Err(failure(StopReason::Config));
        }
        let limited = match &mut self.limited {
            Some(limited) if limited.limit == retry.limit => limited,
            other => other.insert(Limited {
                limit: retry.limit,
                since: now,
                times: 0,
            }),
        };
        limited.times += 1;
        match retry.limit {
            Limit::None => Ok(delay),
            Limit::Slow => Ok(SLOWLY),
            Limit::For(time, reason) if now.saturating_duration_since(limited.since) >= time => {
                Err(failure(reason))
            }
            Limit::Times(times, reason) if limited.times >= times => Err(failure(reason)),
            Limit::For(..) | Limit::Times(..) => Ok(delay),
        }
    }

    fn data(&mut self, at: Lsn, failure: &Failure) -> Option<Failure> {
        let times = match &self.data {
            Some((lsn, what, times)) if *lsn == at && *what == failure.message => times + 1,
            _ => 1,
        };
        self.data = Some((at, failure.message.clone(), times));
        (times >= DATA_ATTEMPTS).then(|| failure.clone())
    }

    fn busy(
        &mut self,
        now: Instant,
        holder: Option<i32>,
        text: String,
        delay: Duration,
        slot_wait: Duration,
    ) -> Next {
        let first = self.waiting_since.is_none();
        let since = *self.waiting_since.get_or_insert(now);
        let waited = now.saturating_duration_since(since);
        if !self.patient && waited >= slot_wait {
            let failure = Failure::new(StopReason::SlotBusy, text);
            return Next::Stop(failure.hint(FREE_THE_SLOT));
        }
        if first {
            if self.patient {
                tracing::info!("{text}: waiting for it");
            } else {
                // Whoever typed a command sees nothing come, and may have stopped the wrong one.
                let seconds = slot_wait.as_secs();
                tracing::warn!(
                    hint = FREE_THE_SLOT,
                    "{text}: waiting for it up to {seconds} s"
                );
            }
            self.said = Some(now);
        } else if self
            .said
            .is_none_or(|said| now.saturating_duration_since(said) >= SUMMARY)
        {
            let seconds = waited.as_secs();
            tracing::info!(seconds, "{text}: still waiting for it");
            self.said = Some(now);
        }
        // A slot becomes free without a sign; ten seconds is soon enough to take over.
        Next::Again {
            delay: delay.min(Duration::from_secs(10)),
            state: SourceState::WaitingForSlot { since, holder },
        }
    }

    fn say(&mut self, now: Instant, since: Instant, trouble: &Trouble) {
        let hint = match trouble {
            Trouble::Retry(retry) => retry.hint.as_deref(),
            _ => None,
        };
        let what = trouble.what();
        if self.said.is_none() {
            tracing::warn!(hint, "replication is down: {what}");
        } else if self
            .said
            .is_some_and(|said| now.saturating_duration_since(said) >= SUMMARY)
        {
            let seconds = now.saturating_duration_since(since).as_secs();
            tracing::warn!(
                hint,
                seconds,
                attempts = self.attempts,
                "replication is still down: {what}"
            );
        } else {
            return;
        }
        self.said = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use walgate_core::{Gap, GapReason};

    use super::*;

    const DELAY: Duration = Duration::from_secs(1);
    const SLOT_WAIT: Duration = Duration::from_secs(75);

    fn limited(limit: Limit) -> Trouble {
        Trouble::Retry(Retry {
            what: "what".to_owned(),
            hint: Some("hint".to_owned()),
            limit,
        })
    }

    fn stops(outage: &mut Outage, now: Instant, trouble: &Trouble) -> Option<StopReason> {
        match outage.next(now, trouble, DELAY, SLOT_WAIT) {
            Next::Stop(failure) => Some(failure.reason),
            Next::Again { .. } => None,
        }
    }

    #[test]
    fn what_may_pass_is_waited_for_without_end() {
        let (mut outage, mut now) = (Outage::new(true), Instant::now());
        for attempt in 1..1000 {
            now += Duration::from_secs(30);
            match outage.next(now, &limited(Limit::None), DELAY, SLOT_WAIT) {
                Next::Again {
                    delay,
                    state: SourceState::Down { attempts, .. },
                } => {
                    assert_eq!((delay, attempts), (DELAY, attempt));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn limits_end_it_with_their_reason() {
        let now = Instant::now();
        let mut outage = Outage::new(true);
        let times = limited(Limit::Times(3, StopReason::Permission));
        assert_eq!(stops(&mut outage, now, &times), None);
        assert_eq!(stops(&mut outage, now, &times), None);
        assert_eq!(
            stops(&mut outage, now, &times),
            Some(StopReason::Permission)
        );

        let mut outage = Outage::new(true);
        let time = limited(Limit::For(Duration::from_secs(120), StopReason::Config));
        assert_eq!(stops(&mut outage, now, &time), None);
        assert_eq!(
            stops(&mut outage, now + Duration::from_secs(119), &time),
            None
        );
        assert_eq!(
            stops(&mut outage, now + Duration::from_secs(120), &time),
            Some(StopReason::Config)
        );
    }

    #[test]
    fn the_same_data_error_at_the_same_place_stops_the_third_time_even_when_it_connects_between() {
        let now = Instant::now();
        let data = |lsn| Trouble::Data(Lsn(lsn), Failure::new(StopReason::Data, "bad"));
        let mut outage = Outage::new(true);
        assert_eq!(stops(&mut outage, now, &data(1)), None);
        outage.over(now, Lsn(1), true);
        assert_eq!(stops(&mut outage, now, &data(1)), None);
        assert_eq!(
            stops(&mut outage, now, &data(2)),
            None,
            "another place is another error"
        );
        outage.over(now, Lsn(2), true);
        assert_eq!(stops(&mut outage, now, &data(2)), None);
        assert_eq!(stops(&mut outage, now, &data(2)), Some(StopReason::Data));
    }

    #[test]
    fn limits_count_on_over_connections_that_start_and_fail_again() {
        let mut now = Instant::now();
        let mut outage = Outage::new(true);
        let lost = limited(Limit::Times(2, StopReason::Gap));
        assert_eq!(stops(&mut outage, now, &lost), None);
        outage.over(now, Lsn(1), true);
        assert_eq!(stops(&mut outage, now, &lost), Some(StopReason::Gap));

        let mut outage = Outage::new(true);
        assert_eq!(stops(&mut outage, now, &lost), None);
        outage.over(now, Lsn(1), true);
        now += HEALTHY;
        assert_eq!(
            stops(&mut outage, now, &lost),
            None,
            "after a minute of streaming it is a new trouble"
        );
    }

    #[test]
    fn a_slot_in_use_is_waited_for_as_long_as_patience_says() {
        let now = Instant::now();
        let busy = Trouble::Busy(Some(7), None);
        let mut patient = Outage::new(true);
        assert_eq!(stops(&mut patient, now, &busy), None);
        assert_eq!(
            stops(&mut patient, now + Duration::from_secs(86_400), &busy),
            None
        );
        let mut impatient = Outage::new(false);
        assert_eq!(
            stops(&mut impatient, now, &busy),
            None,
            "it may be our own dead connection"
        );
        assert_eq!(
            stops(&mut impatient, now + SLOT_WAIT, &busy),
            Some(StopReason::SlotBusy)
        );
    }

    #[test]
    fn an_impatient_start_fails_and_what_has_once_started_is_patient() {
        let now = Instant::now();
        let mut outage = Outage::new(false);
        assert_eq!(
            stops(&mut outage, now, &limited(Limit::None)),
            Some(StopReason::Config)
        );
        outage.over(now, Lsn(1), false);
        assert_eq!(stops(&mut outage, now, &limited(Limit::None)), None);
    }

    #[test]
    fn gaps_stop_and_a_full_disk_is_asked_about_once_a_minute() {
        let now = Instant::now();
        let mut outage = Outage::new(true);
        let gap = Gap {
            from: Lsn(1),
            to: Lsn(2),
            reason: GapReason::SlotAhead,
        };
        let trouble = Trouble::Gap(gap, Failure::new(StopReason::Gap, "gone"));
        assert_eq!(stops(&mut outage, now, &trouble), Some(StopReason::Gap));
        match outage.next(now, &limited(Limit::Slow), DELAY, SLOT_WAIT) {
            Next::Again { delay, .. } => assert_eq!(delay, SLOWLY),
            other @ Next::Stop(_) => panic!("{other:?}"),
        }
    }
}
