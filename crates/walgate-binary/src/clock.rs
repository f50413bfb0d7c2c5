//! Dates and times: `EncodeDateOnly`, `EncodeDateTime`, `EncodeInterval` and what they use, of
//! `src/backend/utils/adt/datetime.c`, with `DateStyle=ISO`, `IntervalStyle=iso_8601` and
//! `TimeZone=UTC`.

use crate::field::Refused;
use crate::number::{put_padded, write_integer};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// From 4714-11-24 BC, the first day of all, to 2000-01-01, which is sent as 0: `POSTGRES_EPOCH_JDATE`.
const EPOCH_JULIAN: i64 = 2_451_545;
/// From 0000-03-01 in the Gregorian calendar to 2000-01-01.
const EPOCH_FROM_MARCH_0000: i64 = 730_425;
/// Days of 400 years.
const ERA: i64 = 146_097;

/// `date_out`.
pub(crate) fn write_date(days: i32, out: &mut Vec<u8>) -> Result<(), Refused> {
    match days {
        i32::MAX => out.extend_from_slice(b"infinity"),
        i32::MIN => out.extend_from_slice(b"-infinity"),
        _ => {
            let is_bc = write_day(days.into(), out)?;
            out.extend_from_slice(if is_bc { b" BC" } else { b"" });
        }
    }
    Ok(())
}

/// `timestamp_out`, `timestamptz_out`; `zone` is printed behind the time.
pub(crate) fn write_timestamp(micros: i64, zone: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
    match micros {
        i64::MAX => out.extend_from_slice(b"infinity"),
        i64::MIN => out.extend_from_slice(b"-infinity"),
        _ => {
            let is_bc = write_day(micros.div_euclid(MICROS_PER_DAY), out)?;
            out.push(b' ');
            write_time_of_day(micros.rem_euclid(MICROS_PER_DAY), out);
            out.extend_from_slice(zone);
            out.extend_from_slice(if is_bc { b" BC" } else { b"" });
        }
    }
    Ok(())
}

/// `time_out`.
pub(crate) fn write_time(micros: i64, out: &mut Vec<u8>) -> Result<(), Refused> {
    // 24:00:00 is a time.
    if !(0..=MICROS_PER_DAY).contains(&micros) {
        return Err(Refused);
    }
    write_time_of_day(micros, out);
    Ok(())
}

/// `timetz_out`; the zone is in seconds west of Greenwich.
pub(crate) fn write_timetz(micros: i64, west: i32, out: &mut Vec<u8>) -> Result<(), Refused> {
    write_time(micros, out)?;
    out.push(if west <= 0 { b'+' } else { b'-' });
    let seconds = west.unsigned_abs();
    put_padded(seconds / 3600, 2, out);
    if !seconds.is_multiple_of(3600) {
        out.push(b':');
        put_padded(seconds / 60 % 60, 2, out);
    }
    if !seconds.is_multiple_of(60) {
        out.push(b':');
        put_padded(seconds % 60, 2, out);
    }
    Ok(())
}

/// Year, month and day, from days since 2000-01-01; whether the year is before Christ.
///
/// The algorithm counts years from March, so that a leap day is the last of its year:
/// <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>.
fn write_day(days: i64, out: &mut Vec<u8>) -> Result<bool, Refused> {
    if days < -EPOCH_JULIAN {
        return Err(Refused);
    }
    let days = days + EPOCH_FROM_MARCH_0000;
    let (era, day) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year_of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = year_of_era + 400 * era + later;
    let is_bc = year <= 0;
    let year = if is_bc { 1 - year } else { year };
    let digits = |number: i64| u32::try_from(number).map_err(|_| Refused);
    put_padded(digits(year)?, 4, out);
    out.push(b'-');
    put_padded(digits(month)?, 2, out);
    out.push(b'-');
    put_padded(digits(day)?, 2, out);
    Ok(is_bc)
}

fn write_time_of_day(micros: i64, out: &mut Vec<u8>) {
    let seconds = u32::try_from(micros / MICROS_PER_SECOND).unwrap_or_default();
    let two = |number: u32| [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
    let ([a, b], [c, d], [e, f]) = (
        two(seconds / 3600),
        two(seconds / 60 % 60),
        two(seconds % 60),
    );
    out.extend_from_slice(&[a, b, b':', c, d, b':', e, f]);
    put_fraction(micros % MICROS_PER_SECOND, out);
}

/// `AppendSeconds` prints no zeros at the end.
fn put_fraction(micros: i64, out: &mut Vec<u8>) {
    if micros == 0 {
        return;
    }
    out.push(b'.');
    put_padded(
        u32::try_from(micros.unsigned_abs()).unwrap_or_default(),
        6,
        out,
    );
    while out.last() == Some(&b'0') {
        out.pop();
    }
}

/// `interval_out`. What 17 prints as an infinity was an ordinary interval before, and is refused.
pub(crate) fn write_interval(
    micros: i64,
    days: i32,
    months: i32,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    if matches!(
        (micros, days, months),
        (i64::MAX, i32::MAX, i32::MAX) | (i64::MIN, i32::MIN, i32::MIN)
    ) {
        return Err(Refused);
    }
    let seconds = micros / MICROS_PER_SECOND;
    if (micros, days, months) == (0, 0, 0) {
        out.extend_from_slice(b"PT0S");
        return Ok(());
    }
    out.push(b'P');
    put_part((months / 12).into(), b'Y', out);
    put_part((months % 12).into(), b'M', out);
    put_part(days.into(), b'D', out);
    if micros == 0 {
        return Ok(());
    }
    out.push(b'T');
    put_part(seconds / 3600, b'H', out);
    put_part(seconds / 60 % 60, b'M', out);
    let (whole, fraction) = (seconds % 60, micros % MICROS_PER_SECOND);
    if (whole, fraction) != (0, 0) {
        if micros < 0 {
            out.push(b'-');
        }
        write_integer(whole.unsigned_abs(), out);
        put_fraction(fraction, out);
        out.push(b'S');
    }
    Ok(())
}

/// `AddISO8601IntPart`.
fn put_part(number: i64, unit: u8, out: &mut Vec<u8>) {
    if number != 0 {
        write_integer(number, out);
        out.push(unit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(days: i32) -> String {
        let mut out = Vec::new();
        write_date(days, &mut out).expect("a date");
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn days_around_the_ends_of_the_calendar() {
        for (days, text) in [
            (0, "2000-01-01"),
            (-1, "1999-12-31"),
            (59, "2000-02-29"),
            (-730_119, "0001-01-01"),
            (-730_120, "0001-12-31 BC"),
            (-2_451_545, "4714-11-24 BC"),
            (2_921_939, "9999-12-31"),
            (2_921_940, "10000-01-01"),
            (2_145_031_948, "5874897-12-31"),
        ] {
            assert_eq!(date(days), text, "{days}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let mut out = Vec::new();
        assert_eq!(write_time(-1, &mut out), Err(Refused));
        assert_eq!(write_time(MICROS_PER_DAY + 1, &mut out), Err(Refused));
        assert_eq!(write_date(-2_451_546, &mut out), Err(Refused));
    }
}
