//! Reading a whole segment, and comparing frames.

use std::sync::Arc;

use bytes::Bytes;
use walgate_core::{Frames, Relation};
use walgate_journal::segment::{
    DefinitionCache, End, Keyring, Location, Next, Record, SegmentHeader, SegmentIndex,
    SegmentReader, Start, Unreadable,
};

/// How a segment ended for a reader that has the whole file.
#[derive(Debug, PartialEq)]
pub(crate) enum Ending {
    /// The file ends between two records, without an index.
    Unsealed,
    /// The file ends inside of a record that needs so many bytes.
    Torn(usize),
    Zeros,
    Sealed,
    Unreadable(Unreadable),
}

#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) header: Option<SegmentHeader>,
    pub(crate) records: Vec<(Location, Record)>,
    /// Built from the records that were read.
    pub(crate) scanned: Option<SegmentIndex>,
    pub(crate) ending: Ending,
    pub(crate) end: u64,
}

impl Reading {
    pub(crate) fn runs(&self) -> impl Iterator<Item = &Frames> {
        self.records.iter().filter_map(|(_, record)| match record {
            Record::Run(run) => Some(&run.frames),
            _ => None,
        })
    }
}

/// Reads a file from its beginning to where it can't be read.
pub(crate) fn read(number: u64, file: &[u8], cache: &mut DefinitionCache) -> Reading {
    read_with(number, file, &Keyring::default(), cache)
}

/// The same of a file that may be encrypted.
pub(crate) fn read_with(
    number: u64,
    file: &[u8],
    keys: &Keyring,
    cache: &mut DefinitionCache,
) -> Reading {
    let mut chunk = Bytes::copy_from_slice(file);
    let mut reading = Reading {
        header: None,
        records: Vec::new(),
        scanned: None,
        ending: Ending::Unsealed,
        end: 0,
    };
    let (header, reader) = match SegmentReader::open_with(number, &mut chunk, keys) {
        Ok(Start::Segment(header, reader)) => (header, reader),
        Ok(Start::Incomplete(needed)) => {
            reading.ending = Ending::Torn(needed);
            return reading;
        }
        Err(error) => {
            reading.ending = Ending::Unreadable(error);
            return reading;
        }
    };
    reading.scanned = Some(SegmentIndex::new(&header));
    reading.header = Some(*header);
    read_on(reader, chunk, cache, reading)
}

/// Reads on with a reader, from a chunk that starts where it stands and ends with the file.
pub(crate) fn read_on(
    mut reader: SegmentReader,
    mut chunk: Bytes,
    cache: &mut DefinitionCache,
    mut reading: Reading,
) -> Reading {
    reading.ending = loop {
        let before = (reader.location(), chunk.len());
        match reader.next(&mut chunk, cache) {
            Ok(Next::Record(at, len, record)) => {
                assert_eq!(at, before.0);
                // A block is taken off with its last record.
                assert!(reader.is_in_block() || before.1 > chunk.len());
                if let Some(index) = &mut reading.scanned {
                    index.note(at, len, &record);
                }
                reading.records.push((at, record));
                continue;
            }
            Ok(Next::Incomplete(_)) if chunk.is_empty() => break Ending::Unsealed,
            Ok(Next::Incomplete(needed)) => {
                assert!(needed > chunk.len(), "{needed} bytes are there already");
                break Ending::Torn(needed);
            }
            Ok(Next::End(End::Zeros)) => break Ending::Zeros,
            Ok(Next::End(End::Sealed)) => break Ending::Sealed,
            Err(error) => {
                assert_eq!((reader.location(), chunk.len()), before);
                break Ending::Unreadable(error);
            }
        }
    };
    reading.end = reader.offset();
    reading
}

pub(crate) fn empty_reading() -> Reading {
    Reading {
        header: None,
        records: Vec::new(),
        scanned: None,
        ending: Ending::Unsealed,
        end: 0,
    }
}

/// Panics unless `read` says what `written` said; only the bytes between messages may be gone.
pub(crate) fn assert_same(written: &Frames, read: &Frames) {
    assert_eq!(written.frames.len(), read.frames.len());
    let mut tight = 0;
    for (ours, theirs) in written.frames.iter().zip(&read.frames) {
        assert_eq!(
            (ours.kind, ours.relation, ours.index, ours.len),
            (theirs.kind, theirs.relation, theirs.index, theirs.len)
        );
        assert_eq!(theirs.start, tight, "messages lie one behind the other");
        assert_eq!(written.message(ours), read.message(theirs));
        tight += theirs.len;
    }
    assert_eq!(read.bytes.len(), tight as usize);
    assert_eq!(written.relations, read.relations);
    assert_eq!(written.truncated, read.truncated);
    assert_eq!(
        (written.open, written.epoch, written.progress),
        (read.open, read.epoch, read.progress)
    );
    assert_eq!(written.last(), read.last());
}

pub(crate) fn addresses(relations: &[Arc<Relation>]) -> Vec<*const Relation> {
    relations.iter().map(Arc::as_ptr).collect()
}
