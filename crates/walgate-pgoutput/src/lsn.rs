//! Positions in the write-ahead log.

use core::error::Error;
use core::fmt;
use core::str::FromStr;

/// A position in the write-ahead log, in bytes from its beginning (`pg_lsn`).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// `0/0`, which PostgreSQL uses for "no position".
    pub const ZERO: Self = Self(0);

    /// The position `bytes` further on, or `None` beyond the end of the log's numbers.
    #[must_use]
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(lsn) => Some(Self(lsn)),
            None => None,
        }
    }

    /// The position `bytes` back, or `None` before the beginning of the log.
    #[must_use]
    pub const fn checked_sub(self, bytes: u64) -> Option<Self> {
        match self.0.checked_sub(bytes) {
            Some(lsn) => Some(Self(lsn)),
            None => None,
        }
    }

    /// How many bytes of log lie between `earlier` and this position; 0 when it is not earlier.
    #[must_use]
    pub const fn bytes_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    /// As PostgreSQL prints it: `16/B374D848`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lsn({self})")
    }
}

/// Text that is not a position as PostgreSQL prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseLsnError;

impl fmt::Display for ParseLsnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an lsn (expected two hexadecimal numbers, such as 16/B374D848)")
    }
}

impl Error for ParseLsnError {}

impl FromStr for Lsn {
    type Err = ParseLsnError;

    /// Reads what PostgreSQL reads as a `pg_lsn`: one to eight hexadecimal digits, a slash, one
    /// to eight hexadecimal digits, in either case.
    fn from_str(text: &str) -> Result<Self, ParseLsnError> {
        let (high, low) = text.split_once('/').ok_or(ParseLsnError)?;
        Ok(Self((u64::from(half(high)?) << 32) | u64::from(half(low)?)))
    }
}

/// One side of the slash. `from_str_radix` alone would also take a sign.
fn half(digits: &str) -> Result<u32, ParseLsnError> {
    let length_fits = (1..=8).contains(&digits.len());
    if length_fits && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        u32::from_str_radix(digits, 16).map_err(|_| ParseLsnError)
    } else {
        Err(ParseLsnError)
    }
}
