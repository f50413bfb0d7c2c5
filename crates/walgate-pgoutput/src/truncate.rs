//! Truncate.
//!
//! `Byte1('T')`, in a stream block `Int32` xid, `Int32` number of relations, `Int8` options
//! (1: CASCADE, 2: RESTART IDENTITY), `Int32` oid for each relation.

use alloc::vec::Vec;
use core::fmt;

use bytes::{BufMut, BytesMut};

use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::message::Message;
use crate::reader::Reader;
use crate::{Oid, Xid};

const CASCADE: u8 = 1;
const RESTART_IDENTITY: u8 = 2;
const OID_LEN: usize = size_of::<Oid>();

/// The relations of a truncate: a list that is read as it is walked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RelationOids<'a> {
    /// Big-endian oids, a whole number of them.
    oids: &'a [u8],
}

impl<'a> RelationOids<'a> {
    /// The same relations; the list itself stays where it is.
    #[inline]
    #[must_use]
    pub const fn iter(&self) -> Self {
        *self
    }

    /// Whether there is none (left).
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.oids.is_empty()
    }

    fn read(reader: &mut Reader<'a>, at: usize, count: u32) -> Result<Self, DecodeError> {
        let possible = u32::try_from(reader.rest().len() / OID_LEN).unwrap_or(u32::MAX);
        let len = usize::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(OID_LEN));
        match len {
            Some(len) if count <= possible => Ok(Self {
                oids: reader.bytes("relations", len)?,
            }),
            _ => {
                let kind = DecodeErrorKind::CountTooLarge {
                    count,
                    max: possible,
                };
                Err(reader.error_at(at, "relation count", kind))
            }
        }
    }
}

impl Iterator for RelationOids<'_> {
    type Item = Oid;

    fn next(&mut self) -> Option<Oid> {
        let (oid, rest) = self.oids.split_first_chunk::<OID_LEN>()?;
        self.oids = rest;
        Some(Oid::from_be_bytes(*oid))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.oids.len() / OID_LEN;
        (len, Some(len))
    }
}

impl ExactSizeIterator for RelationOids<'_> {}

impl fmt::Debug for RelationOids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Relations in the form of the wire, for those who send messages: tests and mock servers.
#[derive(Clone, Debug, Default)]
pub struct RelationOidsBuf {
    oids: Vec<u8>,
}

impl RelationOidsBuf {
    /// The list, as it would have been decoded.
    #[must_use]
    pub fn as_relations(&self) -> RelationOids<'_> {
        RelationOids { oids: &self.oids }
    }
}

impl FromIterator<Oid> for RelationOidsBuf {
    fn from_iter<I: IntoIterator<Item = Oid>>(oids: I) -> Self {
        Self {
            oids: oids.into_iter().flat_map(Oid::to_be_bytes).collect(),
        }
    }
}

pub(crate) fn read_truncate<'a>(
    reader: &mut Reader<'a>,
    xid: Option<Xid>,
) -> Result<Message<'a>, DecodeError> {
    let at = reader.offset();
    let count = reader.nonzero_u32("relation count")?;
    let flags = reader.flags("options", CASCADE | RESTART_IDENTITY)?;
    let relations = RelationOids::read(reader, at, count)?;
    Ok(Message::Truncate {
        xid,
        cascade: flags & CASCADE != 0,
        restart_identity: flags & RESTART_IDENTITY != 0,
        relations,
    })
}

pub(crate) fn write_truncate(
    buf: &mut BytesMut,
    cascade: bool,
    restart_identity: bool,
    relations: &RelationOids<'_>,
) -> Result<(), EncodeError> {
    let count =
        u32::try_from(relations.len()).map_err(|_| EncodeError::TooMany { field: "relations" })?;
    buf.put_u32(count);
    let cascade = if cascade { CASCADE } else { 0 };
    let restart_identity = if restart_identity {
        RESTART_IDENTITY
    } else {
        0
    };
    buf.put_u8(cascade | restart_identity);
    buf.put_slice(relations.oids);
    Ok(())
}
