//! When streaming is off for the sake of one transaction, and when it is on again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use walgate_core::{Lsn, Xid};

/// Streaming stays off for at least this long. A connection costs the server little more than
/// reading its log again from where the oldest open transaction began; an application that writes
/// logical messages in savepoints all the time must not make it do so all the time.
const AT_LEAST: Duration = Duration::from_secs(10);
/// It doubles up to this.
const AT_LEAST_AT_MOST: Duration = Duration::from_secs(600);
/// After so long without a need for it, it begins anew.
const FORGIVEN: Duration = Duration::from_secs(3600);

/// Where a transaction had ended, as soon as somebody has asked the server. Shared between who
/// asks and who reads.
#[derive(Debug, Clone, Default)]
pub(crate) struct EndedBefore(Arc<AtomicU64>);

impl EndedBefore {
    /// The record of its end lies before this.
    pub(crate) fn tell(&self, lsn: Lsn) {
        self.0.store(lsn.0, Ordering::Relaxed);
    }

    /// None before it was told.
    pub(crate) fn get(&self) -> Option<Lsn> {
        Some(Lsn(self.0.load(Ordering::Relaxed))).filter(|lsn| *lsn > Lsn::ZERO)
    }
}

/// What has to come after its commit.
#[derive(Debug, Clone)]
pub(crate) struct Passing {
    /// The transaction; none for all that were running when the connection was made.
    pub(crate) xid: Option<Xid>,
    /// Where it, or the last of them, had ended.
    pub(crate) ended: EndedBefore,
    /// Streaming is not resumed before, unless a connection has to be made anyway.
    pub(crate) not_before: Instant,
}

impl Passing {
    /// Whether it has passed when everything that ends below `resume` was handed on.
    pub(crate) fn has_passed(&self, resume: Lsn) -> bool {
        self.ended.get().is_some_and(|ended| resume >= ended)
    }
}

/// For which transaction streaming is off.
///
/// For one, where the stream can't tell what was rolled back or it is too large. For all that are
/// running, where the server could not stream: a table that was changed in a savepoint that is
/// rolled back makes PostgreSQL 14 to 18 fail with `could not map filenumber`, again and again, and
/// only while it streams.
#[derive(Debug, Default)]
pub(crate) struct Unstreamed {
    passing: Option<Passing>,
    last: Option<(Instant, Duration)>,
}

impl Unstreamed {
    /// The transaction for which it is off.
    pub(crate) const fn passing(&self) -> Option<&Passing> {
        self.passing.as_ref()
    }

    /// It is off from now on.
    pub(crate) fn begin(&mut self, now: Instant, xid: Option<Xid>) {
        let wait = match self.last {
            Some((last, wait)) if now.saturating_duration_since(last) < FORGIVEN => {
                (wait * 2).min(AT_LEAST_AT_MOST)
            }
            _ => AT_LEAST,
        };
        self.last = Some((now, wait));
        self.passing = Some(Passing {
            xid,
            ended: EndedBefore::default(),
            not_before: now + wait,
        });
    }

    /// A connection has ended that has handed on everything below `resume`, and the transaction
    /// itself where `seen`.
    pub(crate) fn ended(&mut self, resume: Lsn, seen: bool) {
        let passed = |passing: &Passing| seen || passing.has_passed(resume);
        if self.passing.as_ref().is_some_and(passed) {
            self.passing = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_off_until_the_transaction_has_passed() {
        let now = Instant::now();
        let mut unstreamed = Unstreamed::default();
        unstreamed.begin(now, Some(7));
        unstreamed.ended(Lsn(900), false);
        let passing = unstreamed.passing().expect("nothing is known yet").clone();
        passing.ended.tell(Lsn(1000));
        assert!(!passing.has_passed(Lsn(999)) && passing.has_passed(Lsn(1000)));
        unstreamed.ended(Lsn(999), false);
        assert!(unstreamed.passing().is_some());
        unstreamed.ended(Lsn(1000), false);
        assert!(unstreamed.passing().is_none());
        unstreamed.begin(now, None);
        unstreamed.ended(Lsn(1), true);
        assert!(unstreamed.passing().is_none(), "it was seen");
    }

    #[test]
    fn it_is_off_for_longer_each_time_until_an_hour_has_passed() {
        let mut now = Instant::now();
        let mut unstreamed = Unstreamed::default();
        let mut wait = |now| {
            unstreamed.begin(now, Some(7));
            unstreamed.passing().map(|passing| passing.not_before - now)
        };
        for seconds in [10, 20, 40, 80, 160, 320, 600, 600] {
            assert_eq!(wait(now), Some(Duration::from_secs(seconds)));
            now += Duration::from_secs(700);
        }
        now += FORGIVEN;
        assert_eq!(wait(now), Some(AT_LEAST));
    }
}
