//! Time stamps as the protocol carries them.

/// Microseconds between 2000-01-01 00:00 UTC, where PostgreSQL's time stamps begin, and
/// 1970-01-01 00:00 UTC: 10,957 days.
const EPOCH_OFFSET_MICROS: i64 = 946_684_800_000_000;

/// A time stamp in microseconds since 2000-01-01 00:00 UTC, without leap seconds; negative
/// before that. `i64::MAX` and `i64::MIN` stand for infinity and minus infinity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PgMicros(pub i64);

impl PgMicros {
    /// Microseconds since 1970-01-01 00:00 UTC. Saturates, so infinity stays `i64::MAX`.
    #[must_use]
    pub const fn unix_micros(self) -> i64 {
        match self.0 {
            // Minus infinity would otherwise become a date.
            i64::MIN => i64::MIN,
            micros => micros.saturating_add(EPOCH_OFFSET_MICROS),
        }
    }

    /// The time stamp of microseconds since 1970-01-01 00:00 UTC. Saturates.
    #[must_use]
    pub const fn from_unix_micros(micros: i64) -> Self {
        match micros {
            i64::MAX => Self(i64::MAX),
            micros => Self(micros.saturating_sub(EPOCH_OFFSET_MICROS)),
        }
    }
}
