//! The one cursor over bytes from outside: every read of this crate is checked here.

use crate::error::{DecodeError, DecodeErrorKind, MessageKind};
use crate::lsn::Lsn;
use crate::time::PgMicros;

/// A cursor over the bytes of one message. It only ever moves forward, and a read that fails
/// reports the field, the offset and what was missing.
///
/// Invariant: `rest` is a suffix of the bytes that the reader was made from, `len` their length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    len: usize,
    message: MessageKind,
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) const fn new(bytes: &'a [u8], message: MessageKind) -> Self {
        Self {
            rest: bytes,
            len: bytes.len(),
            message,
        }
    }

    /// Names what is being decoded, once that is known.
    #[inline]
    pub(crate) const fn set_message(&mut self, message: MessageKind) {
        self.message = message;
    }

    /// The bytes that were not read yet.
    #[inline]
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes were read, which is the offset of the next one.
    #[inline]
    pub(crate) const fn offset(&self) -> usize {
        self.len.saturating_sub(self.rest.len())
    }

    /// An error about the next byte.
    #[cold]
    pub(crate) const fn error(&self, field: &'static str, kind: DecodeErrorKind) -> DecodeError {
        self.error_at(self.offset(), field, kind)
    }

    /// An error about bytes that were read already.
    #[cold]
    pub(crate) const fn error_at(
        &self,
        offset: usize,
        field: &'static str,
        kind: DecodeErrorKind,
    ) -> DecodeError {
        DecodeError {
            message: self.message,
            field,
            offset,
            kind,
        }
    }

    #[cold]
    const fn truncated(&self, field: &'static str, needed: usize) -> DecodeError {
        self.error(
            field,
            DecodeErrorKind::Truncated {
                needed,
                left: self.rest.len(),
            },
        )
    }

    #[inline]
    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(*head)
            }
            None => Err(self.truncated(field, N)),
        }
    }

    #[inline]
    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_be_bytes)
    }

    /// A number that no server sends as zero.
    pub(crate) fn nonzero_u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        let at = self.offset();
        match self.u32(field)? {
            0 => Err(self.error_at(at, field, DecodeErrorKind::Zero)),
            number => Ok(number),
        }
    }

    #[inline]
    pub(crate) fn i32(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        self.array(field).map(i32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn lsn(&mut self, field: &'static str) -> Result<Lsn, DecodeError> {
        self.array(field).map(u64::from_be_bytes).map(Lsn)
    }

    #[inline]
    pub(crate) fn time(&mut self, field: &'static str) -> Result<PgMicros, DecodeError> {
        self.array(field).map(i64::from_be_bytes).map(PgMicros)
    }

    #[inline]
    pub(crate) fn bytes(
        &mut self,
        field: &'static str,
        len: usize,
    ) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(len) {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(head)
            }
            None => Err(self.truncated(field, len)),
        }
    }

    /// Bytes behind a signed 32-bit length, which must not be negative.
    #[inline]
    pub(crate) fn sized(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let at = self.offset();
        let length = self.i32(field)?;
        match usize::try_from(length) {
            Ok(len) => self.bytes(field, len),
            Err(_) => Err(self.error_at(at, field, DecodeErrorKind::NegativeLength { length })),
        }
    }

    /// A string that ends with a zero byte, which is read too and not returned.
    pub(crate) fn str(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let at = self.offset();
        let Some(len) = self.rest.iter().position(|&byte| byte == 0) else {
            return Err(self.error(field, DecodeErrorKind::MissingNul));
        };
        let text = self.bytes(field, len)?;
        self.u8(field)?;
        core::str::from_utf8(text).map_err(|_| self.error_at(at, field, DecodeErrorKind::NotUtf8))
    }

    /// Flags of which only `known` may be set.
    #[inline]
    pub(crate) fn flags(&mut self, field: &'static str, known: u8) -> Result<u8, DecodeError> {
        let at = self.offset();
        let flags = self.u8(field)?;
        if flags & !known == 0 {
            Ok(flags)
        } else {
            Err(self.error_at(at, field, DecodeErrorKind::UnknownFlags { flags }))
        }
    }

    /// One byte that is 0 or 1.
    #[inline]
    pub(crate) fn bool(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        self.flags(field, 1).map(|flags| flags == 1)
    }

    /// A byte that chooses a kind, which was not one of those known.
    #[cold]
    pub(crate) const fn unknown_kind(&self, field: &'static str, kind: u8) -> DecodeError {
        let at = self.offset().saturating_sub(1);
        self.error_at(at, field, DecodeErrorKind::UnknownKind { kind })
    }

    /// The end of the message: bytes that are left are an error.
    #[inline]
    pub(crate) const fn end(&self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(self.error("end", DecodeErrorKind::Trailing { left })),
        }
    }
}
