//! A time to begin with, as a client writes it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use walgate_core::PgMicros;

/// Why a client that asks for two beginnings gets none.
pub(crate) const ONE_BEGINNING: &str = "since and after exclude each other";

/// A time (RFC 3339, UTC), or how long before `now` (`90s`, `10m`, `2h30m`). What lies ahead is now.
///
/// # Errors
///
/// When it is neither.
pub(crate) fn time(text: &str, now: SystemTime) -> Result<PgMicros, String> {
    let time = match humantime::parse_duration(text) {
        Ok(ago) => now.checked_sub(ago).unwrap_or(UNIX_EPOCH),
        Err(_) => humantime::parse_rfc3339_weak(text).map_err(|_| {
            "since is a time such as 2026-11-21T09:30:00Z, or how long ago, such as 10m".to_owned()
        })?,
    };
    let since = time.min(now).duration_since(UNIX_EPOCH);
    let micros = since.as_ref().map_or(0, Duration::as_micros);
    Ok(PgMicros::from_unix_micros(
        i64::try_from(micros).unwrap_or(i64::MAX),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_absolute_or_so_long_ago() {
        let now = UNIX_EPOCH + Duration::from_secs(1_795_219_200);
        let at = |seconds: i64| Ok(PgMicros::from_unix_micros(seconds * 1_000_000));
        assert_eq!(time("10m", now), at(1_795_219_200 - 600));
        assert_eq!(time("1h 30m", now), at(1_795_219_200 - 5_400));
        assert_eq!(time("2026-11-20T00:00:00Z", now), at(1_795_132_800));
        assert_eq!(time("2026-11-20 00:00:00", now), at(1_795_132_800));
        assert_eq!(time("2030-01-01T00:00:00Z", now), at(1_795_219_200));
        assert_eq!(time("900years", now), at(0));
        for wrong in ["", "10", "yesterday", "0/14A2F60", "2026-13-01T00:00:00Z"] {
            assert!(time(wrong, now).is_err(), "{wrong}");
        }
    }
}
