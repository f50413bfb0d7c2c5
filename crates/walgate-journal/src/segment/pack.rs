//! Writing a sealed segment anew, with its records in compressed blocks.

use super::block;
use super::cipher::SegmentLock;
use super::compression::compress;
use super::error::EncodeError;
use super::header::SegmentHeader;
use super::index::SegmentIndex;
use super::keyring::Keyring;
use super::reader::{Location, Record};
use super::record::{self, Flags, Kind};

/// A block is closed when it has this many bytes of records: larger ones compress no better
/// (`examples/compression.rs`), and a seek reads one in vain.
const BLOCK_BYTES: usize = 128 << 10;

/// Writes the records of a sealed segment into another file of the same number: those with rows
/// in compressed blocks, definitions before the block that needs them.
#[derive(Debug)]
pub struct SegmentPacker {
    segment: u64,
    /// Where the next record begins; its entry is that of the block that is collected.
    next: Location,
    index: SegmentIndex,
    lock: SegmentLock,
    block: Vec<u8>,
    /// The records in the block, for the index.
    held: Vec<Record>,
    entries: u32,
}

impl SegmentPacker {
    /// Begins: appends magic and header. `bytes`: how long the segment is now. A file that is
    /// encrypted gets a key of its own: no key encrypts two records in one place.
    ///
    /// # Errors
    /// When the header is too large for a record, or there are no random bytes for a key.
    pub fn begin(
        header: &SegmentHeader,
        bytes: u64,
        keys: &Keyring,
        out: &mut Vec<u8>,
    ) -> Result<Self, EncodeError> {
        let before = out.len();
        let key = keys.new_key()?;
        let lock = SegmentLock::of(key.as_ref());
        header.encode(Some(bytes), key, out)?;
        Ok(Self {
            segment: header.number,
            next: Location {
                offset: (out.len() - before) as u64,
                ordinal: 1,
                entry: header.first_entry,
            },
            index: SegmentIndex::new(header),
            lock,
            block: Vec::with_capacity(2 * BLOCK_BYTES),
            held: Vec::new(),
            entries: 0,
        })
    }

    /// Takes the next record of the segment, with its plain [body](super::SegmentReader::body).
    /// Returns false for one that can't
    /// lie in such a file: a reference is the only entry of its segment, which is small.
    ///
    /// # Errors
    /// When numbers are used up.
    pub fn take(
        &mut self,
        record: Record,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<bool, EncodeError> {
        let kind = match &record {
            Record::Definition { number, .. } => {
                let start = record::begin(out, Kind::Definition);
                out.extend_from_slice(body);
                let entry = self.next.entry;
                let (at, len) = self.finish(out, start, entry)?;
                self.index.note_definition(at, len, *number);
                return Ok(true);
            }
            Record::Run(_) => Kind::Run,
            Record::Gap { .. } => Kind::Gap,
            Record::Progress { .. } => Kind::Progress,
            Record::Reference(_) | Record::Index(_) | Record::Locked { .. } => return Ok(false),
        };
        if !self.held.is_empty() && self.block.len() + body.len() > BLOCK_BYTES {
            self.flush(out)?;
        }
        block::put(&mut self.block, kind, body);
        // Entries of a block fit, as each takes more than a byte.
        self.entries += u32::try_from(record.entries()).unwrap_or(u32::MAX);
        self.held.push(record);
        Ok(true)
    }

    /// Appends what is collected, index and trailer. Returns the index, where it lies, and the
    /// file's length in bytes.
    ///
    /// # Errors
    /// As for [`take`](Self::take).
    pub fn seal(mut self, out: &mut Vec<u8>) -> Result<(SegmentIndex, u64, u64), EncodeError> {
        self.flush(out)?;
        let before = out.len();
        let data_end = self.next.offset;
        self.index.seal(self.segment, data_end, out)?;
        let len = data_end + (out.len() - before) as u64;
        Ok((self.index, data_end, len))
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.held.is_empty() {
            return Ok(());
        }
        let bytes = self.block.len();
        let plain = u32::try_from(bytes).map_err(|_| EncodeError::TooLarge { bytes })?;
        let packed = compress(&self.block);
        let flags = packed.as_ref().map_or_else(Flags::default, |_| Flags::ZSTD);
        let start = record::begin_with(out, Kind::Block, flags);
        block::put_clear(out, self.entries, plain);
        out.extend_from_slice(packed.as_deref().unwrap_or(&self.block));
        let behind = self.next.entry + u64::from(self.entries);
        let (at, _) = self.finish(out, start, behind)?;
        let mut entry = at.entry;
        for record in self.held.drain(..) {
            self.index.note(Location { entry, ..at }, 0, &record);
            entry += record.entries();
        }
        self.block.clear();
        self.entries = 0;
        Ok(())
    }

    /// Finishes the record that starts at `start` of `out`, behind which entry `behind` comes.
    fn finish(
        &mut self,
        out: &mut Vec<u8>,
        start: usize,
        behind: u64,
    ) -> Result<(Location, u32), EncodeError> {
        let at = self.next;
        if at.ordinal >= u32::MAX - 1 {
            out.truncate(start);
            return Err(EncodeError::UsedUp("record"));
        }
        let cipher = self.lock.cipher();
        let len = record::finish_with(out, start, self.segment, at.ordinal, cipher)?;
        self.next = Location {
            offset: at.offset + u64::from(len),
            ordinal: at.ordinal + 1,
            entry: behind,
        };
        Ok((at, len))
    }
}
