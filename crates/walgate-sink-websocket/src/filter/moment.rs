//! Dates and times as numbers, from PostgreSQL's ISO form and from ISO 8601.
//!
//! A point in time is microseconds from 2000-01-01 00:00 (UTC, or of no zone), a date is days
//! from there, as in the server: from 1970 its last years would not fit. `infinity` is above and
//! `-infinity` below every other value.

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// The longest year: dates end in 5874897.
const MAX_YEAR_DIGITS: usize = 7;

/// What is below every value and above every value.
const INFINITE: [(&[u8], i64); 2] = [(b"-infinity", i64::MIN), (b"infinity", i64::MAX)];

/// A time of a day with its zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ZonedTime {
    /// Microseconds of the day in UTC, not wrapped at its ends.
    utc_micros: i64,
    /// Seconds west of UTC, by which PostgreSQL orders what is the same time in UTC.
    west_seconds: i64,
}

/// A `date`, as days.
pub(super) fn date(text: &[u8]) -> Option<i64> {
    if let Some(infinite) = infinity(text) {
        return Some(infinite);
    }
    let (text, before_christ) = split_era(text);
    let mut reader = Reader(text);
    let days = reader.date(before_christ)?;
    reader.end(days)
}

/// A `time`, as microseconds of the day.
pub(super) fn time(text: &[u8]) -> Option<i64> {
    let mut reader = Reader(text);
    let micros = reader.time()?;
    reader.end(micros)
}

/// A `timetz`; without a zone it is in UTC, in which the connection is.
pub(super) fn zoned_time(text: &[u8]) -> Option<ZonedTime> {
    let mut reader = Reader(text);
    let micros = reader.time()?;
    let east = reader.zone()?.unwrap_or(0);
    reader.end(ZonedTime {
        utc_micros: micros - east * MICROS_PER_SECOND,
        west_seconds: -east,
    })
}

/// A `timestamp`, which has no zone; a date is its midnight.
pub(super) fn timestamp(text: &[u8]) -> Option<i64> {
    match date_and_time(text)? {
        (micros, None) => Some(micros),
        (_, Some(_)) => None,
    }
}

/// A `timestamptz`; without a zone it is in UTC, in which the connection is.
pub(super) fn zoned_timestamp(text: &[u8]) -> Option<i64> {
    let (micros, zone) = date_and_time(text)?;
    let east = zone.unwrap_or(0);
    micros.checked_sub(east * MICROS_PER_SECOND)
}

/// Microseconds, and the zone in seconds east where one is given.
fn date_and_time(text: &[u8]) -> Option<(i64, Option<i64>)> {
    if let Some(infinite) = infinity(text) {
        return Some((infinite, None));
    }
    let (text, before_christ) = split_era(text);
    let mut reader = Reader(text);
    let days = reader.date(before_christ)?;
    let midnight = days.checked_mul(SECONDS_PER_DAY * MICROS_PER_SECOND)?;
    if reader.0.is_empty() {
        return Some((midnight, None));
    }
    if !(reader.takes(b' ') || reader.takes(b'T') || reader.takes(b't')) {
        return None;
    }
    let micros = midnight.checked_add(reader.time()?)?;
    let zone = reader.zone()?;
    reader.end((micros, zone))
}

fn infinity(text: &[u8]) -> Option<i64> {
    let named = |(name, _): &&(&[u8], i64)| text.eq_ignore_ascii_case(name);
    INFINITE.iter().find(named).map(|(_, value)| *value)
}

/// PostgreSQL writes ` BC` behind everything, the zone too.
fn split_era(text: &[u8]) -> (&[u8], bool) {
    match text.split_last_chunk::<3>() {
        Some((rest, era)) if era.eq_ignore_ascii_case(b" bc") => (rest, true),
        _ => (text, false),
    }
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn takes(&mut self, wanted: u8) -> bool {
        match self.0 {
            [first, rest @ ..] if *first == wanted => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// Nothing may be left.
    fn end<T>(&self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }

    /// All digits that are next, at most so many; how many there were.
    fn digits(&mut self, most: usize) -> Option<(i64, usize)> {
        let mut value = 0;
        let mut count = 0;
        while let [digit @ b'0'..=b'9', rest @ ..] = self.0 {
            if count == most {
                return None;
            }
            value = value * 10 + i64::from(digit - b'0');
            count += 1;
            self.0 = rest;
        }
        Some((value, count))
    }

    /// Exactly two digits, at most `max`.
    fn pair(&mut self, max: i64) -> Option<i64> {
        let [a @ b'0'..=b'9', b @ b'0'..=b'9', rest @ ..] = self.0 else {
            return None;
        };
        let value = i64::from(a - b'0') * 10 + i64::from(b - b'0');
        self.0 = rest;
        (value <= max).then_some(value)
    }

    /// `2026-11-21`, as days.
    fn date(&mut self, before_christ: bool) -> Option<i64> {
        let (year, digits) = self.digits(MAX_YEAR_DIGITS)?;
        if digits < 4 || year == 0 || !self.takes(b'-') {
            return None;
        }
        let month = self.pair(12)?;
        if !self.takes(b'-') {
            return None;
        }
        let day = self.pair(31)?;
        // There is no year 0: 1 BC is what astronomers call 0.
        let year = if before_christ { 1 - year } else { year };
        let sound = month >= 1 && day >= 1 && day <= days_of_month(year, month);
        sound.then(|| days_from_epoch(year, month, day))
    }

    /// `09:30`, `09:30:00`, `09:30:00.123456`, as microseconds; `24:00:00` is the end of the day.
    fn time(&mut self) -> Option<i64> {
        let hours = self.pair(24)?;
        if !self.takes(b':') {
            return None;
        }
        let minutes = self.pair(59)?;
        let seconds = if self.takes(b':') { self.pair(59)? } else { 0 };
        let mut micros = ((hours * 60 + minutes) * 60 + seconds) * MICROS_PER_SECOND;
        if self.takes(b'.') {
            let (fraction, digits) = self.digits(6)?;
            let missing = 6_u32.checked_sub(u32::try_from(digits).ok()?)?;
            if digits == 0 {
                return None;
            }
            micros += fraction * 10_i64.pow(missing);
        }
        (micros <= SECONDS_PER_DAY * MICROS_PER_SECOND).then_some(micros)
    }

    /// `Z`, `+02`, `+0230`, `-05:30`, `+00:19:32`, in seconds east; nothing when nothing is left.
    fn zone(&mut self) -> Option<Option<i64>> {
        if self.0.is_empty() {
            return Some(None);
        }
        if self.takes(b'Z') || self.takes(b'z') {
            return Some(Some(0));
        }
        let east = self.takes(b'+');
        if !east && !self.takes(b'-') {
            return None;
        }
        // PostgreSQL takes zones of up to 15:59:59.
        let mut seconds = self.pair(15)? * 3600;
        if self.takes(b':') {
            seconds += self.pair(59)? * 60;
            if self.takes(b':') {
                seconds += self.pair(59)?;
            }
        } else if !self.0.is_empty() {
            seconds += self.pair(59)? * 60;
        }
        Some(Some(if east { seconds } else { -seconds }))
    }
}

const fn is_leap(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

const fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 2000-01-01 in the Gregorian calendar, which PostgreSQL uses for all times.
///
/// The year begins in March here, so that the leap day is its last:
/// <https://howardhinnant.github.io/date_algorithms.html#days_from_civil>.
const fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 730_425
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days() {
        assert_eq!(date(b"2000-01-01"), Some(0));
        assert_eq!(date(b"1970-01-01"), Some(-10_957));
        assert_eq!(date(b"2000-02-29"), Some(59));
        assert_eq!(
            date(b"0001-12-31 BC"),
            date(b"0001-01-01").map(|day| day - 1)
        );
        assert_eq!(date(b"4714-11-24 BC"), Some(-2_451_545), "the Julian epoch");
        assert_eq!(date(b"infinity"), Some(i64::MAX));
        assert!(date(b"5874897-12-31") > date(b"294276-12-31"));
        for no in [
            "",
            "2026-11-31",
            "2025-02-29",
            "2026-1-1",
            "26-01-01",
            "0000-01-01",
            "2026-01-01 ",
            "2026-01-01T00:00",
            "12345678-01-01",
            "2026-00-10",
            "2026-10-00",
        ] {
            assert_eq!(date(no.as_bytes()), None, "{no}");
        }
    }

    #[test]
    fn times_are_microseconds_in_utc() {
        let second = MICROS_PER_SECOND;
        assert_eq!(timestamp(b"2000-01-01 00:00:01.5"), Some(second + 500_000));
        assert_eq!(zoned_timestamp(b"2000-01-01T02:00:00+02"), Some(0));
        assert_eq!(zoned_timestamp(b"2000-01-01T00:00:01Z"), Some(second));
        assert_eq!(zoned_timestamp(b"1999-12-31 18:30:00-0530"), Some(0));
        assert_eq!(zoned_timestamp(b"2000-01-01 00:53:28+00:53:28"), Some(0));
        assert_eq!(
            zoned_timestamp(b"2000-01-02"),
            timestamp(b"2000-01-01 24:00")
        );
        assert!(zoned_timestamp(b"0044-03-15 12:00:00+00 BC") < Some(0));
        let last = timestamp(b"294276-12-31 23:59:59.999999");
        assert_eq!(
            last,
            Some(9_223_371_331_199_999_999),
            "the last one of PostgreSQL"
        );
        for no in [
            "1970-01-01 00:00:00+",
            "1970-01-01 00:00:00 02",
            "1970-01-01 24:00:01",
            "1970-01-01 00:60",
            "1970-01-01 00:00:00.1234567",
            "1970-01-01 00:00:00.",
            "now",
            "294276999-01-01",
            "9999999-01-01 00:00:00",
            "1970-01-01x00:00",
            "1970-01-01 00",
        ] {
            assert_eq!(zoned_timestamp(no.as_bytes()), None, "{no}");
        }
        assert_eq!(timestamp(b"1970-01-01 00:00:00+00"), None, "it has no zone");
    }

    #[test]
    fn a_time_with_a_zone_is_ordered_by_utc_and_then_by_zone() {
        let at = |text: &str| zoned_time(text.as_bytes()).unwrap();
        assert!(at("10:00:00+02") < at("10:00:00+01"));
        assert!(
            at("10:00:00+02") < at("08:00:00+00"),
            "further east comes first"
        );
        assert_eq!(at("08:00"), at("08:00:00Z"));
    }
}
