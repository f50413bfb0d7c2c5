//! The position of a change in the log: event id, resume token and order of everything.

use std::fmt;
use std::str::FromStr;

use walgate_pgoutput::Lsn;

/// Where a change stands in the log: epoch, commit LSN, and index within the transaction.
///
/// It prints as 16 hexadecimal digits, a dash and 8 digits (`00000000014a2f60-00000003`): the
/// first two digits are the epoch of the source, the next 14 the LSN. It sorts as text in the order
/// of the log, and it is the same on every replay, in every sink, whatever is filtered.
///
/// The index counts what the committed transaction holds as the server sends it without
/// streaming: `begin` is 1, then each insert, update, delete, transactional message and each table
/// of a truncate; `commit` is `ffffffff`. A non-transactional message is (its own LSN, 0).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Epoch in the upper 8 bits, LSN in the lower 56.
    log: u64,
    index: u32,
}

/// Bits of the LSN that a position keeps: 2^56 bytes are 64 PiB of WAL, which a server that writes
/// a gigabyte a second reaches after two years; PostgreSQL's own LSN has 64 bits.
const LSN_BITS: u32 = 56;
const LSN_MASK: u64 = (1 << LSN_BITS) - 1;

impl Position {
    /// Where nothing of the log needs to be read any more to have it: what is in a transaction is in
    /// the log only when its commit record is, which begins at its LSN.
    #[must_use]
    pub fn behind_commit(self) -> Self {
        let lsn = self.lsn();
        match self.index() {
            0 => self,
            _ => Self::new(self.epoch(), lsn.checked_add(1).unwrap_or(lsn), 0),
        }
    }

    /// Before everything.
    pub const ZERO: Self = Self { log: 0, index: 0 };
    /// The index of `begin`.
    pub const BEGIN: u32 = 1;
    /// The index of `commit`: behind everything that the transaction holds.
    pub const COMMIT: u32 = u32::MAX;

    /// The position `index` of the transaction that commits at `lsn`.
    ///
    /// LSNs from 2^56 on, which no server reaches, lose their upper bits.
    #[inline]
    pub const fn new(epoch: u8, lsn: Lsn, index: u32) -> Self {
        Self {
            log: ((epoch as u64) << LSN_BITS) | (lsn.0 & LSN_MASK),
            index,
        }
    }

    /// Everything committed up to and including `lsn`.
    pub const fn committed(epoch: u8, lsn: Lsn) -> Self {
        Self::new(epoch, lsn, Self::COMMIT)
    }

    /// The epoch of the source; 0 until the source is replaced by another system.
    pub const fn epoch(self) -> u8 {
        (self.log >> LSN_BITS) as u8
    }

    /// The commit LSN, or the LSN of a non-transactional message.
    pub const fn lsn(self) -> Lsn {
        Lsn(self.log & LSN_MASK)
    }

    /// The index within the transaction.
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The id as 25 ASCII bytes, without an allocation.
    #[inline]
    pub fn to_ascii(self) -> [u8; 25] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 25];
        let (log, index) = text.split_at_mut(16);
        for (place, digit) in log.iter_mut().enumerate() {
            *digit = DIGITS[(self.log >> (60 - 4 * place)) as usize & 15];
        }
        for (place, digit) in index.iter_mut().skip(1).enumerate() {
            *digit = DIGITS[(self.index >> (28 - 4 * place)) as usize & 15];
        }
        text
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:08x}", self.log, self.index)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is neither an event id nor an LSN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a position: expected an event id like 00000000014a2f60-00000003 or an LSN like 0/14A2F60"
)]
pub struct ParsePositionError {
    text: String,
}

impl FromStr for Position {
    type Err = ParsePositionError;

    /// Reads an event id, or an LSN, which means everything committed up to and including it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || ParsePositionError {
            text: text.chars().take(64).collect(),
        };
        if text.contains('/') {
            let lsn = text.parse::<Lsn>().map_err(|_| refused())?;
            return Ok(Self::committed(0, lsn));
        }
        let (log, index) = text.split_once('-').ok_or_else(refused)?;
        let hex = |part: &str, len: usize| {
            let lower = part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            (part.len() == len && lower)
                .then(|| u64::from_str_radix(part, 16).ok())
                .flatten()
        };
        let log = hex(log, 16).ok_or_else(refused)?;
        let index = hex(index, 8)
            .and_then(|i| u32::try_from(i).ok())
            .ok_or_else(refused)?;
        Ok(Self { log, index })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_transaction_reaches_behind_the_begin_of_its_commit_record() {
        let at = |lsn, index| Position::new(1, Lsn(lsn), index);
        assert_eq!(at(0x100, 0).behind_commit(), at(0x100, 0));
        assert_eq!(at(0x100, 3).behind_commit(), at(0x101, 0));
    }

    #[test]
    fn prints_and_reads_the_id_of_the_format() {
        let position = Position::new(0, Lsn(0x14A_2F60), 3);
        assert_eq!(position.to_string(), "00000000014a2f60-00000003");
        assert_eq!(&position.to_ascii(), b"00000000014a2f60-00000003");
        assert_eq!("00000000014a2f60-00000003".parse(), Ok(position));
    }

    #[test]
    fn epoch_takes_the_first_two_digits() {
        let position = Position::new(0xAB, Lsn(0x1234), Position::COMMIT);
        assert_eq!(position.to_string(), "ab00000000001234-ffffffff");
        assert_eq!((position.epoch(), position.lsn()), (0xAB, Lsn(0x1234)));
        assert!(position > Position::new(0xAA, Lsn(0xFFFF_FFFF), Position::COMMIT));
    }

    #[test]
    fn a_bare_lsn_means_everything_up_to_it() {
        assert_eq!(
            "0/14A2F60".parse(),
            Ok(Position::committed(0, Lsn(0x14A_2F60)))
        );
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "-",
            "14a2f60-3",
            "00000000014A2F60-00000003",
            "0/",
            "x/y",
            "00000000014a2f60-000000003",
        ] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }
}
