//! `--from` and `--to` of recordings.

use std::str::FromStr;
use std::time::UNIX_EPOCH;

use clap::{Args, ValueEnum};
use walgate_core::{Lsn, PgMicros, Position};

/// Which part of a recording.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub struct RangeArgs {
    /// Start behind this position (an LSN or an event id), or with the first transaction of the log
    /// that was committed at this time (UTC) or later
    #[arg(long, value_name = "POSITION|TIME", help_heading = "Range")]
    pub from: Option<Bound>,
    /// End with this position, or before the first transaction of the log that was committed at this
    /// time (UTC) or later
    #[arg(long, value_name = "POSITION|TIME", help_heading = "Range")]
    pub to: Option<Bound>,
}

/// An end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Everything committed up to this LSN.
    Lsn(Lsn),
    /// Everything up to this event.
    Position(Position),
    /// Everything before the first transaction of this time or later.
    Time(PgMicros),
}

/// What to do where a recording can't be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OnDamage {
    /// Stop, with exit code 7 and the place
    #[default]
    Stop,
    /// Go on behind it, with a gap event in its place
    Gap,
}

const EXPECTED: &str = "expected an LSN such as 0/14A2F60, an event id, or a time such as \
                        2026-11-21T09:30:00Z";

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('/') {
            let lsn = text.parse().map_err(|_| EXPECTED.to_owned())?;
            return Ok(Self::Lsn(lsn));
        }
        if let Ok(position) = text.parse() {
            return Ok(Self::Position(position));
        }
        // A day begins at midnight.
        let is_day = text.len() == "2026-11-21".len();
        let time = match is_day {
            true => humantime::parse_rfc3339_weak(&format!("{text} 00:00:00")),
            false => humantime::parse_rfc3339_weak(text),
        };
        let since = time
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .and_then(|since| i64::try_from(since.as_micros()).ok());
        let micros = since.ok_or(EXPECTED)?;
        Ok(Self::Time(PgMicros::from_unix_micros(micros)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_positions_and_times() {
        assert_eq!("0/14A2F60".parse(), Ok(Bound::Lsn(Lsn(0x14A_2F60))));
        let id = Position::new(0, Lsn(0x14A_2F60), 3);
        assert_eq!(id.to_string().parse(), Ok(Bound::Position(id)));
        let midnight = Bound::Time(PgMicros::from_unix_micros(1_795_219_200_000_000));
        for text in [
            "2026-11-21",
            "2026-11-21 00:00:00",
            "2026-11-21T00:00:00Z",
            "2026-11-21T00:00:00.000000Z",
        ] {
            assert_eq!(text.parse(), Ok(midnight), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "now",
            "0/",
            "1234",
            "21.11.2026",
            "2026-11-21T25:00:00Z",
        ] {
            assert_eq!(text.parse::<Bound>(), Err(EXPECTED.to_owned()), "{text}");
        }
    }
}
