//! Times: ISO 8601 into what PostgreSQL prints, and the commit time into its count.

use walgate_core::PgMicros;

/// Date and time of `2026-11-21T09:30:00.5` when the year has four digits; everything else is
/// PostgreSQL's text already.
fn split(text: &str) -> Option<(&str, &str)> {
    let (date, rest) = text.split_at_checked(10)?;
    let time = rest.strip_prefix('T')?;
    let shaped = matches!(date.as_bytes(), [_, _, _, _, b'-', _, _, b'-', _, _]);
    shaped.then_some((date, time))
}

fn put(date: &str, time: &str, end: &str, out: &mut Vec<u8>) {
    for part in [date, " ", time, end] {
        out.extend_from_slice(part.as_bytes());
    }
}

pub(crate) fn put_timestamp(text: &str, out: &mut Vec<u8>) {
    match split(text) {
        Some((date, time)) => put(date, time, "", out),
        None => out.extend_from_slice(text.as_bytes()),
    }
}

pub(crate) fn put_timestamptz(text: &str, out: &mut Vec<u8>) {
    match text.strip_suffix('Z').and_then(split) {
        Some((date, time)) => put(date, time, "+00", out),
        None => out.extend_from_slice(text.as_bytes()),
    }
}

/// PostgreSQL leaves out the minutes of an offset that has none.
pub(crate) fn put_timetz(text: &str, out: &mut Vec<u8>) {
    let short = text.strip_suffix(":00").filter(|short| {
        matches!(short.as_bytes(), [.., b'+' | b'-', a, b] if a.is_ascii_digit() && b.is_ascii_digit())
    });
    out.extend_from_slice(short.unwrap_or(text).as_bytes());
}

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Days between 1970-01-01 and 2000-01-01, where PostgreSQL's time stamps begin.
const DAYS_1970_TO_2000: i64 = 10_957;

/// The time of an event: ISO 8601 in UTC, or PostgreSQL's text of it where the year has not four digits.
pub(crate) fn commit_time(text: &str) -> Option<PgMicros> {
    match text {
        "infinity" => return Some(PgMicros(i64::MAX)),
        "-infinity" => return Some(PgMicros(i64::MIN)),
        _ => {}
    }
    let (moment, is_bc) = match text.strip_suffix(" BC") {
        Some(moment) => (moment, true),
        None => (text, false),
    };
    let moment = moment
        .strip_suffix('Z')
        .or_else(|| moment.strip_suffix("+00"))?;
    let (date, time) = moment.split_once(['T', ' '])?;
    let (year, date) = date.split_once('-')?;
    let (month, day) = date.split_once('-')?;
    let year = number(year)?;
    let year = if is_bc { 1i64.checked_sub(year)? } else { year };
    let days = days_of(year, number(month)?, number(day)?)?;
    days.checked_mul(MICROS_PER_DAY)?
        .checked_add(micros_of_day(time)?)
        .map(PgMicros)
}

fn number(digits: &str) -> Option<i64> {
    let is_number = (1..=9).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().ok())?
}

fn micros_of_day(time: &str) -> Option<i64> {
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = clock.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || fraction.len() > 6 {
        return None;
    }
    let seconds = number(hour)?
        .checked_mul(60)?
        .checked_add(number(minute)?)?
        .checked_mul(60)?
        .checked_add(number(second)?)?;
    let scale = 10i64.checked_pow(u32::try_from(6 - fraction.len()).ok()?)?;
    let micros = number(fraction)?.checked_mul(scale)?;
    seconds.checked_mul(1_000_000)?.checked_add(micros)
}

/// Days since 2000-01-01. Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// `days_from_civil`.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468 - DAYS_1970_TO_2000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the format's own test has them, read the other way.
    #[test]
    fn commit_times_are_read_back() {
        for (text, micros) in [
            ("2000-01-01T00:00:00.000000Z", 0),
            ("1999-12-31T23:59:59.999999Z", -1),
            ("2026-11-21T09:30:00.123456Z", 848_568_600_123_456),
            ("2000-02-29T00:00:00.000000Z", 5_097_600_000_000),
            ("10000-01-01 00:00:00.5+00", 252_455_616_000_500_000),
            ("0001-12-31 23:59:59.999999+00 BC", -63_082_281_600_000_001),
            ("4714-11-24 00:00:00+00 BC", -211_813_488_000_000_000),
            ("infinity", i64::MAX),
            ("-infinity", i64::MIN),
        ] {
            assert_eq!(commit_time(text), Some(PgMicros(micros)), "{text}");
        }
        for text in [
            "",
            "now",
            "2026-11-21",
            "2026-13-01T00:00:00Z",
            "2026-11-21T09:30Z",
            "Z",
        ] {
            assert_eq!(commit_time(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_what_postgresql_prints() {
        let text = |put: fn(&str, &mut Vec<u8>), text: &str| {
            let mut out = Vec::new();
            put(text, &mut out);
            String::from_utf8(out).expect("UTF-8")
        };
        for (iso, plain) in [
            ("2026-11-21T09:30:00.5", "2026-11-21 09:30:00.5"),
            ("infinity", "infinity"),
            ("0044-03-15 00:00:00 BC", "0044-03-15 00:00:00 BC"),
        ] {
            assert_eq!(text(put_timestamp, iso), plain);
        }
        assert_eq!(
            text(put_timestamptz, "2026-11-21T09:30:00Z"),
            "2026-11-21 09:30:00+00"
        );
        assert_eq!(text(put_timestamptz, "-infinity"), "-infinity");
        for (iso, plain) in [
            ("10:00:00+02:00", "10:00:00+02"),
            ("10:00:00-05:30", "10:00:00-05:30"),
            ("10:00:00+15:59:59", "10:00:00+15:59:59"),
        ] {
            assert_eq!(text(put_timetz, iso), plain);
        }
    }
}
