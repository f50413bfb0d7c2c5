//! Settings and times as text. Settings are as `current_setting` shows them: a number with the
//! largest unit that divides it, such as `1GB` or `5min`.
//!
//! <https://www.postgresql.org/docs/current/config-setting.html#CONFIG-SETTING-NAMES-VALUES>

use std::time::Duration;

/// A size: none for `-1`, which means "no limit" wherever it is read here, and for what is no size.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "kB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        "TB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// A time: none for `0` and `-1`, which mean "off" wherever it is read here.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let all = number.checked_mul(millis)?;
    (all > 0).then(|| Duration::from_millis(all))
}

/// Seconds since 1970 of a time in UTC as JSON shows it: `2026-11-21T20:16:52.123456+00:00`.
pub(crate) fn epoch(text: &str) -> Option<f64> {
    let text = text.strip_suffix("+00:00")?;
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let mut next = || date.next()?.ok();
    let (year, month, day) = (next()?, next()?, next()?);
    let mut time = time.splitn(3, ':').map(str::parse::<f64>);
    let mut next = || time.next()?.ok();
    let seconds = next()? * 3600.0 + next()? * 60.0 + next()?;
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    /// From the first of March of the year 0.
    const DAYS_TO_1970: i64 = 719_468;
    // Days of the proleptic Gregorian calendar, with years that begin in March.
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 306 + 5) / 10 + day - 1;
    #[expect(clippy::cast_precision_loss, reason = "days of four-digit years")]
    Some((days - DAYS_TO_1970) as f64 * 86_400.0 + seconds)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text
        .find(|char: char| !char.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_json() {
        assert_eq!(epoch("1970-01-01T00:00:00+00:00"), Some(0.0));
        assert_eq!(epoch("2000-02-29T12:00:00+00:00"), Some(951_825_600.0));
        assert_eq!(epoch("2026-11-21T20:16:52.5+00:00"), Some(1_795_292_212.5));
        for text in [
            "",
            "infinity",
            "2026-11-21T20:16:52+02:00",
            "2026-13-01T00:00:00+00:00",
        ] {
            assert_eq!(epoch(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_and_times() {
        assert_eq!(bytes("-1"), None);
        assert_eq!(bytes("0"), Some(0));
        assert_eq!(bytes("64MB"), Some(64 << 20));
        assert_eq!(bytes("3TB"), Some(3 << 40));
        assert_eq!(bytes("99999999999TB"), None, "too large");
        assert_eq!(bytes("5 apples"), None);
        assert_eq!(duration("0"), None);
        assert_eq!(duration("-1"), None);
        assert_eq!(duration("1min"), Some(Duration::from_secs(60)));
        assert_eq!(duration("1500ms"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("2d"), Some(Duration::from_secs(172_800)));
    }
}
