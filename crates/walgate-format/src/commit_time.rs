//! A commit time as text.

use bytes::{BufMut, BytesMut};
use walgate_core::PgMicros;

const MICROS_PER_DAY: i64 = 86_400_000_000;
/// Days between 1970-01-01 and 2000-01-01, where PostgreSQL's time stamps begin.
const DAYS_1970_TO_2000: i64 = 10_957;

/// A moment in UTC, in the proleptic Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The astronomical year: 0 is 1 BC.
    year: i64,
    month: i64,
    day: i64,
    micros_of_day: i64,
}

impl Moment {
    /// The moment of a time stamp that is not infinite.
    fn of(time: PgMicros) -> Self {
        let days = time.0.div_euclid(MICROS_PER_DAY) + DAYS_1970_TO_2000;
        // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days: years
        // that begin in March, in eras of 400.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self {
            year,
            month,
            day,
            micros_of_day: time.0.rem_euclid(MICROS_PER_DAY),
        }
    }

    fn clock(self) -> (i64, i64, i64, i64) {
        let seconds = self.micros_of_day / 1_000_000;
        (
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            self.micros_of_day % 1_000_000,
        )
    }

    /// `2026-11-21T09:30:00.123456Z`; outside the years 1 to 9999 PostgreSQL's text.
    fn to_iso(self) -> String {
        let Self {
            year, month, day, ..
        } = self;
        let (hour, minute, second, micros) = self.clock();
        if (1..=9999).contains(&year) {
            return format!(
                "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"
            );
        }
        let (year, era) = if year > 0 {
            (year, "")
        } else {
            (1 - year, " BC")
        };
        let fraction = format!(".{micros:06}");
        let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction}+00{era}")
    }
}

/// Appends the time of an event.
pub(crate) fn write_time(time: PgMicros, out: &mut BytesMut) {
    match time.0 {
        i64::MAX => out.put_slice(b"infinity"),
        i64::MIN => out.put_slice(b"-infinity"),
        _ => out.put_slice(Moment::of(time).to_iso().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(micros: i64) -> String {
        let mut out = BytesMut::new();
        write_time(PgMicros(micros), &mut out);
        String::from_utf8(out.to_vec()).expect("ASCII")
    }

    /// Micros since 2000 and text as PostgreSQL has them
    /// (`extract(epoch from …) * 1e6 - 946684800000000`).
    #[test]
    fn prints_what_postgresql_means() {
        assert_eq!(text(0), "2000-01-01T00:00:00.000000Z");
        assert_eq!(text(-1), "1999-12-31T23:59:59.999999Z");
        assert_eq!(text(848_568_600_123_456), "2026-11-21T09:30:00.123456Z");
        assert_eq!(text(5_097_600_000_000), "2000-02-29T00:00:00.000000Z");
        assert_eq!(text(252_455_615_999_999_999), "9999-12-31T23:59:59.999999Z");
        assert_eq!(text(252_455_616_000_000_000), "10000-01-01 00:00:00+00");
        assert_eq!(text(252_455_616_000_500_000), "10000-01-01 00:00:00.5+00");
        assert_eq!(text(-63_082_281_600_000_000), "0001-01-01T00:00:00.000000Z");
        assert_eq!(
            text(-63_082_281_600_000_001),
            "0001-12-31 23:59:59.999999+00 BC"
        );
        assert_eq!(text(-211_813_488_000_000_000), "4714-11-24 00:00:00+00 BC");
        assert_eq!(text(i64::MAX), "infinity");
        assert_eq!(text(i64::MIN), "-infinity");
    }

    #[test]
    fn no_number_is_too_large() {
        for micros in [i64::MAX - 1, i64::MIN + 1] {
            assert!(text(micros).len() > 20);
        }
    }
}
