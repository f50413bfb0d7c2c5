//! The status line: rate, lag and position at a glance.

use std::time::Duration;

use walgate_core::Lsn;

/// What the status line shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// What is going on, in a word: `streaming`, `reconnecting`, `draining`.
    pub state: &'static str,
    /// Changes since the start.
    pub changes: u64,
    /// Changes a second, over the last seconds.
    pub changes_per_second: f64,
    /// Bytes of WAL between what is confirmed and the server's end of the log.
    pub lag_bytes: Option<u64>,
    /// How long ago the last delivered transaction was committed; none at the head.
    pub lag: Option<Duration>,
    /// What is confirmed to the server.
    pub confirmed_lsn: Option<Lsn>,
}

/// The line, in at most `width` columns; what does not fit is left out from the end.
pub fn render(snapshot: &Snapshot, width: usize) -> String {
    let mut parts = vec![snapshot.state.to_owned()];
    parts.push(format!("{}/s", count(snapshot.changes_per_second)));
    parts.push(format!("lag {}", lag(snapshot)));
    if let Some(lsn) = snapshot.confirmed_lsn {
        parts.push(format!("at {lsn}"));
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    parts.push(format!("{} changes", count(snapshot.changes as f64)));
    let mut line = String::new();
    for part in parts {
        let separator = if line.is_empty() { "" } else { "  " };
        if line.chars().count() + separator.len() + part.chars().count() > width {
            break;
        }
        line.push_str(separator);
        line.push_str(&part);
    }
    line
}

fn lag(snapshot: &Snapshot) -> String {
    match (snapshot.lag_bytes, snapshot.lag) {
        (None, None) => "?".to_owned(),
        (Some(size), None) => bytes(size),
        (None, Some(time)) => duration(time),
        (Some(size), Some(time)) => format!("{} {}", bytes(size), duration(time)),
    }
}

/// A number with three digits and a thousands letter: `7`, `941`, `12.3k`, `4.56M`.
pub(crate) fn count(number: f64) -> String {
    scaled(number, 1000.0, &["", "k", "M", "G", "T"])
}

/// A size with three digits and a unit: `12.3MiB`.
pub(crate) fn bytes(number: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let number = number as f64;
    scaled(number, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"])
}

fn scaled(mut number: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    // 999.5 would be printed as 1000.
    while number >= 999.5 && unit + 1 < units.len() {
        number /= step;
        unit += 1;
    }
    let name = units.get(unit).copied().unwrap_or_default();
    match (unit, number) {
        (0, _) => format!("{number:.0}{name}"),
        (_, ..9.995) => format!("{number:.2}{name}"),
        (_, ..99.95) => format!("{number:.1}{name}"),
        _ => format!("{number:.0}{name}"),
    }
}

/// A time to the second, then to the minute, then to the hour.
pub(crate) fn duration(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{}ms", time.as_millis()),
        seconds @ 1..=119 => format!("{seconds}s"),
        seconds @ 120..=7199 => format!("{}m", seconds / 60),
        seconds => format!("{}h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        Snapshot {
            state: "streaming",
            changes: 1_234_567,
            changes_per_second: 83_412.0,
            lag_bytes: Some(3 << 20),
            lag: Some(Duration::from_millis(420)),
            confirmed_lsn: Some(Lsn(0x14A_2F60)),
        }
    }

    #[test]
    fn shows_rate_lag_and_position() {
        let line = render(&snapshot(), 80);
        assert_eq!(
            line,
            "streaming  83.4k/s  lag 3.00MiB 420ms  at 0/14A2F60  1.23M changes"
        );
    }

    #[test]
    fn leaves_out_what_does_not_fit() {
        assert_eq!(
            render(&snapshot(), 40),
            "streaming  83.4k/s  lag 3.00MiB 420ms"
        );
        assert_eq!(render(&snapshot(), 9), "streaming");
        assert_eq!(render(&snapshot(), 0), "");
    }

    #[test]
    fn what_is_not_known_is_said() {
        let snapshot = Snapshot {
            state: "connecting",
            ..Snapshot::default()
        };
        assert_eq!(render(&snapshot, 80), "connecting  0/s  lag ?  0 changes");
    }

    #[test]
    fn numbers_keep_three_digits() {
        for (number, text) in [
            (0.0, "0"),
            (999.0, "999"),
            (999.9, "1.00k"),
            (1000.0, "1.00k"),
            (9_999.0, "10.0k"),
            (99_990.0, "100k"),
            (999_900.0, "1.00M"),
        ] {
            assert_eq!(count(number), text);
        }
        assert_eq!(
            (bytes(0), bytes(1023), bytes(1 << 30)),
            ("0B".into(), "1.00KiB".into(), "1.00GiB".into())
        );
        for (seconds, text) in [(1, "1s"), (119, "119s"), (120, "2m"), (7200, "2h")] {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
    }
}
