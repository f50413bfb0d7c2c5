//! The one cursor over a record's body, and how its fields are written. Little endian everywhere.

use walgate_core::{Lsn, PgMicros, Position};

use super::error::Unreadable;
use super::survey::known;

/// A cursor over bytes from outside. It only moves forward; every read is checked against what is
/// left, and an error names the offset in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    /// Offset in the file of what comes next.
    offset: u64,
}

impl<'a> Fields<'a> {
    /// `offset`: where in the file `bytes` begin.
    pub(super) const fn new(bytes: &'a [u8], offset: u64) -> Self {
        Self {
            rest: bytes,
            offset,
        }
    }

    pub(super) const fn left(&self) -> usize {
        self.rest.len()
    }

    #[cold]
    pub(super) const fn damage(&self, what: &'static str) -> Unreadable {
        Unreadable::damage(self.offset, what)
    }

    #[cold]
    pub(super) fn newer(&self, what: &'static str, found: impl ToString) -> Unreadable {
        Unreadable::newer(self.offset, what, found)
    }

    pub(super) fn bytes(&mut self, what: &'static str, len: usize) -> Result<&'a [u8], Unreadable> {
        let Some((head, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.damage(what));
        };
        self.rest = rest;
        self.offset = self.offset.saturating_add(len as u64);
        Ok(head)
    }

    pub(super) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], Unreadable> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.damage(what));
        };
        self.rest = rest;
        self.offset = self.offset.saturating_add(N as u64);
        Ok(*head)
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, Unreadable> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, Unreadable> {
        self.array(what).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, Unreadable> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, Unreadable> {
        self.array(what).map(u64::from_le_bytes)
    }

    pub(super) fn i32(&mut self, what: &'static str) -> Result<i32, Unreadable> {
        self.array(what).map(i32::from_le_bytes)
    }

    pub(super) fn lsn(&mut self, what: &'static str) -> Result<Lsn, Unreadable> {
        self.u64(what).map(Lsn)
    }

    /// An LSN of which zero means that there is none.
    pub(super) fn lsn_or_none(&mut self, what: &'static str) -> Result<Option<Lsn>, Unreadable> {
        self.lsn(what).map(|lsn| known(Some(lsn)))
    }

    pub(super) fn time(&mut self, what: &'static str) -> Result<PgMicros, Unreadable> {
        self.array(what).map(i64::from_le_bytes).map(PgMicros)
    }

    pub(super) fn position(&mut self, what: &'static str) -> Result<Position, Unreadable> {
        let log = self.u64(what)?;
        let index = self.u32(what)?;
        let [epoch, ..] = log.to_be_bytes();
        Ok(Position::new(epoch, Lsn(log), index))
    }

    /// A number of things of which each takes at least `least` bytes of what is left.
    pub(super) fn count(&mut self, what: &'static str, least: usize) -> Result<usize, Unreadable> {
        let before = *self;
        let count = self.u32(what)? as usize;
        if count > self.left() / least.max(1) {
            return Err(before.damage(what));
        }
        Ok(count)
    }

    /// UTF-8 behind its 32-bit length.
    pub(super) fn text(&mut self, what: &'static str) -> Result<&'a str, Unreadable> {
        let before = *self;
        let len = self.count(what, 1)?;
        let bytes = self.bytes(what, len)?;
        std::str::from_utf8(bytes).map_err(|_| before.damage(what))
    }

    /// Bytes that are left behind the last field are damage: nobody wrote them.
    pub(super) const fn end(&self) -> Result<(), Unreadable> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.damage("bytes behind the last field of a record"))
        }
    }
}

pub(super) fn put_position(out: &mut Vec<u8>, position: Position) {
    // The LSN has its upper 8 bits free: a position keeps 56 of them.
    let log = u64::from(position.epoch()) << 56 | position.lsn().0;
    out.extend_from_slice(&log.to_le_bytes());
    out.extend_from_slice(&position.index().to_le_bytes());
}

/// A length or count. What does not fit makes the body longer than any record, which is refused
/// when the record is finished, so the cut-off value is never seen.
pub(super) fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    out.extend_from_slice(&count.to_le_bytes());
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_count(out, text.len());
    out.extend_from_slice(text.as_bytes());
}
