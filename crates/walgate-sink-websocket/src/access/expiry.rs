//! When a right ends, for who waits for it and for who is told.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

/// How often the clock is looked at again: it may be set while somebody waits, and a timer does not
/// notice.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Waits until a right is over; for ever when it never is. Cancel-safe.
pub(crate) async fn over(expires: Option<SystemTime>) {
    let Some(expires) = expires else {
        return std::future::pending().await;
    };
    while let Some(left) = left(expires, SystemTime::now()) {
        tokio::time::sleep(left.min(LOOK_AGAIN)).await;
    }
}

/// Waits for the end of a right that may be replaced by another.
pub(crate) struct Ending {
    expires: Option<SystemTime>,
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Default for Ending {
    fn default() -> Self {
        let over = Box::pin(over(None));
        Self {
            expires: None,
            over,
        }
    }
}

impl Ending {
    /// What waits until the right is over that ends then. What waited for the same goes on.
    pub(crate) fn at(
        &mut self,
        expires: Option<SystemTime>,
    ) -> &mut Pin<Box<dyn Future<Output = ()> + Send>> {
        if self.expires != expires {
            self.expires = expires;
            self.over = Box::pin(over(expires));
        }
        &mut self.over
    }
}

/// How long a right still holds; none when it is over.
pub(crate) fn left(expires: SystemTime, now: SystemTime) -> Option<Duration> {
    let left = expires.duration_since(now).ok()?;
    (!left.is_zero()).then_some(left)
}

/// A moment as RFC 3339 writes it, in UTC and whole seconds.
pub(crate) fn rfc3339(moment: SystemTime) -> String {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.unwrap_or_default().as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let second = second % 60;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The date that lies so many days behind 1970-01-01, by
/// <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>, which counts from March on so
/// that the leap day is the last of a year.
const fn civil(days: u64) -> (u64, u64, u64) {
    // From 0000-03-01 on.
    let days = days.saturating_add(719_468);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_moment_is_written_as_the_standard_says() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_795_305_600, "2026-11-22T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(at(seconds)), text);
        }
    }

    #[test]
    fn a_right_holds_until_its_end() {
        assert_eq!(left(at(10), at(9)), Some(Duration::from_secs(1)));
        assert_eq!(left(at(10), at(10)), None);
        assert_eq!(left(at(10), at(11)), None);
    }

    #[test]
    fn who_has_a_right_for_ever_waits_for_ever() {
        assert_eq!(over(None).now_or_never(), None);
        assert_eq!(over(Some(at(1))).now_or_never(), Some(()));
    }
}
