//! What lies in a folder, by its headers and trailers alone.

use std::io::ErrorKind;
use std::sync::Arc;

use walgate_core::Failure;

use super::files::{segment_name, segment_number};
use super::records::{self, Opening};
use crate::segment::{
    Damage, SegmentHeader, SegmentIndex, SegmentReader, TRAILER_BYTES, Trailer, Unreadable,
};
use crate::storage::{Storage, StoredFile, unusable};

/// Any header is longer.
const BLANK_BYTES: usize = 64;

/// A segment's file.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) number: u64,
    pub(super) len: u64,
    pub(super) header: Result<(SegmentHeader, SegmentReader), Damage>,
    /// Whether it has no header because it was never written, not even in part.
    pub(super) blank: bool,
    /// Where its index begins, when it ends with a trailer.
    pub(super) index_offset: Option<u64>,
}

impl Found {
    pub(super) fn header(&self) -> Option<&SegmentHeader> {
        self.header.as_ref().ok().map(|(header, _)| header)
    }

    /// The length of the segment before it was compressed; none when it is not.
    pub(super) fn packed_from(&self) -> Option<u64> {
        let (_, reader) = self.header.as_ref().ok()?;
        reader.packed_from()
    }

    pub(super) fn open(&self, storage: &dyn Storage) -> Result<Arc<dyn StoredFile>, Failure> {
        storage
            .open(&segment_name(self.number))
            .map_err(|error| records::unreadable(storage, self.number, &error))
    }

    /// The index of a sealed segment; none when it can't be read.
    pub(super) fn index(&self, storage: &dyn Storage) -> Result<Option<SegmentIndex>, Failure> {
        let Some(offset) = self.index_offset else {
            return Ok(None);
        };
        let file = self.open(storage)?;
        read_index(storage, file.as_ref(), self.number, offset, self.len)
    }
}

/// The segments of a folder, oldest first: a header and a trailer are read of each.
pub(super) fn segments(storage: &dyn Storage) -> Result<Vec<Found>, Failure> {
    let names = storage
        .list()
        .map_err(|error| unusable(storage.path(), "can't be read", &error))?;
    // Fixed width: the order of the names is that of the numbers.
    names
        .iter()
        .filter_map(|name| segment_number(name))
        .filter_map(|number| find(storage, number).transpose())
        .collect()
}

/// A segment's file; none when it is not there.
pub(super) fn find(storage: &dyn Storage, number: u64) -> Result<Option<Found>, Failure> {
    let file = match storage.open(&segment_name(number)) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(records::unreadable(storage, number, &error)),
    };
    let len = file
        .len()
        .map_err(|error| records::unreadable(storage, number, &error))?;
    let header: Opening = records::open_header(storage, file.as_ref(), number, len)?;
    let header_end = match &header {
        Ok((_, reader)) => reader.offset(),
        Err(_) => 0,
    };
    let index_offset = trailer(storage, file.as_ref(), number, header_end, len)?;
    let blank = header.is_err() && is_blank(storage, file.as_ref(), number)?;
    Ok(Some(Found {
        number,
        len,
        header,
        blank,
        index_offset,
    }))
}

/// Whether there is nothing, or zeros, where the header should be. Damage looks otherwise.
fn is_blank(storage: &dyn Storage, file: &dyn StoredFile, number: u64) -> Result<bool, Failure> {
    let first = records::read(file, 0, BLANK_BYTES)
        .map_err(|error| records::unreadable(storage, number, &error))?;
    Ok(first.iter().all(|byte| *byte == 0))
}

/// Where the index begins, if the file ends with a trailer that names a place behind the header.
fn trailer(
    storage: &dyn Storage,
    file: &dyn StoredFile,
    number: u64,
    header_end: u64,
    len: u64,
) -> Result<Option<u64>, Failure> {
    let Some(offset) = len.checked_sub(TRAILER_BYTES as u64) else {
        return Ok(None);
    };
    let last = records::read(file, offset, TRAILER_BYTES)
        .map_err(|error| records::unreadable(storage, number, &error))?;
    let index = Trailer::decode(number, &last).map(|trailer| trailer.index_offset);
    Ok(index.filter(|index| (header_end..offset).contains(index)))
}

/// Reads an index that begins at `offset` of a file of `len` bytes; none when it can't be read.
pub(super) fn read_index(
    storage: &dyn Storage,
    file: &dyn StoredFile,
    number: u64,
    offset: u64,
    len: u64,
) -> Result<Option<SegmentIndex>, Failure> {
    let want = len
        .saturating_sub(TRAILER_BYTES as u64)
        .saturating_sub(offset);
    let want = usize::try_from(want).unwrap_or(0);
    let bytes = records::read(file, offset, want)
        .map_err(|error| records::unreadable(storage, number, &error))?;
    match SegmentIndex::decode(number, offset, &bytes) {
        Ok(index) => Ok(Some(index)),
        Err(Unreadable::Damage(_)) => Ok(None),
        Err(Unreadable::Newer(newer)) => Err(records::newer(storage, number, &newer)),
        // No index is encrypted.
        Err(Unreadable::Locked(locked)) => Err(records::locked(storage, number, &locked)),
    }
}
