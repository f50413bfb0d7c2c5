//! A spool: the changes of one transaction that was streamed, in a file of their own.

use bytes::Bytes;
use walgate_core::{Frames, Xid};

use super::cipher::SegmentLock;
use super::error::{Damage, EncodeError, Unreadable};
use super::fields::Fields;
use super::header::{self, FORMAT_VERSION, MAGIC, put_key};
use super::keyring::Keyring;
use super::part::{Part, StoredPart};
use super::record::{self, Flags, Kind, Opened, RECORD_HEADER_BYTES};
use super::reference::{Adoption, SpoolPart};

/// Appends the parts of one spool to buffers of the caller's.
///
/// What is rolled back is cut off the file and written over. Ordinals are never used twice, so that
/// no record that was cut off is ever taken for one that was written later.
#[derive(Debug)]
pub struct SpoolWriter {
    number: u64,
    ordinal: u32,
    lock: SegmentLock,
}

impl SpoolWriter {
    /// Begins the spool with this number: appends magic and header. It is encrypted with a key of its
    /// own where the keys are there to encrypt.
    ///
    /// # Errors
    /// When there are no random bytes for a key.
    pub fn begin(
        number: u64,
        xid: Xid,
        keys: &Keyring,
        out: &mut Vec<u8>,
    ) -> Result<Self, EncodeError> {
        let key = keys.new_key()?;
        let lock = SegmentLock::of(key.as_ref());
        out.extend_from_slice(&MAGIC);
        let flags = match key {
            Some(_) => Flags::ENCRYPTED,
            None => Flags::default(),
        };
        let start = record::begin_with(out, Kind::Spool, flags);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&number.to_le_bytes());
        out.extend_from_slice(&xid.to_le_bytes());
        if let Some(key) = key {
            put_key(out, start, key);
        }
        record::finish(out, start, number, 0)?;
        let ordinal = 1;
        Ok(Self {
            number,
            ordinal,
            lock,
        })
    }

    /// How its parts are read.
    pub const fn lock(&self) -> &SegmentLock {
        &self.lock
    }

    /// The number of the spool.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Appends a part that will lie at `offset` of the file.
    ///
    /// # Errors
    /// When it is empty, too large, or record numbers are used up.
    pub fn part(
        &mut self,
        part: &Part,
        offset: u64,
        out: &mut Vec<u8>,
    ) -> Result<SpoolPart, EncodeError> {
        let first_index = part
            .index_of(0)
            .ok_or(EncodeError::Frames("a part without frames"))?;
        let ordinal = self.ordinal;
        self.ordinal = ordinal
            .checked_add(1)
            .filter(|next| *next != u32::MAX)
            .ok_or(EncodeError::UsedUp("record"))?;
        let start = record::begin(out, Kind::Part);
        part.put(out);
        let len = record::finish_with(out, start, self.number, ordinal, self.lock.cipher())?;
        let checksum = out.get(start..).and_then(record::checksum_of);
        Ok(SpoolPart {
            offset,
            ordinal,
            len,
            checksum: checksum.unwrap_or_default(),
            first_index,
        })
    }
}

/// What the header of a spool is read with: it is shorter.
pub const SPOOL_HEADER_BYTES: usize = 512;

/// How the parts of the spool with this number are read. `bytes`: its first
/// [`SPOOL_HEADER_BYTES`], or all of it. A header that is damaged has no key, and what is encrypted
/// is then damaged too.
///
/// # Errors
/// When a later version wrote it.
pub fn read_lock(number: u64, bytes: &[u8], keys: &Keyring) -> Result<SegmentLock, Unreadable> {
    let Some(record) = bytes.strip_prefix(&MAGIC) else {
        return Ok(SegmentLock::default());
    };
    let offset = MAGIC.len() as u64;
    let opened = match record::open(record, offset, number, 0) {
        Ok(Opened::Record(Kind::Spool, len, flags)) if flags.has(Flags::ENCRYPTED) => len,
        Ok(_) | Err(Unreadable::Damage(_)) => return Ok(SegmentLock::default()),
        Err(error) => return Err(error),
    };
    let body = record.get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + opened);
    let body = body.unwrap_or_default();
    let mut fields = Fields::new(body, offset + RECORD_HEADER_BYTES as u64);
    let at = fields;
    let version = fields.u16("a spool without version")?;
    if version != FORMAT_VERSION {
        return Err(at.newer("format version", version));
    }
    // Number and transaction.
    fields.bytes("a spool without its facts", 8 + 4)?;
    let lock = header::lock(&mut fields, body, keys)?;
    fields.end()?;
    Ok(lock)
}

/// Reads a part of the spool with this number. `bytes` are those that `part` names.
///
/// # Errors
/// When they are not that part.
pub fn read_part(
    spool: u64,
    lock: &SegmentLock,
    part: &SpoolPart,
    bytes: &Bytes,
) -> Result<StoredPart, Unreadable> {
    let offset = part.offset;
    if bytes.len() != part.len as usize {
        return Err(Unreadable::damage(
            offset,
            "a spool that is shorter than it was",
        ));
    }
    if record::checksum_of(bytes) != Some(part.checksum) {
        return Err(Unreadable::damage(offset, "another part than was adopted"));
    }
    match record::open(bytes, offset, spool, part.ordinal)? {
        Opened::Record(kind @ Kind::Part, len, flags)
            if RECORD_HEADER_BYTES + len == bytes.len() =>
        {
            let mut body = bytes.slice(RECORD_HEADER_BYTES..);
            if flags.has(Flags::ENCRYPTED) {
                let place = (spool, part.ordinal);
                body = lock.open(place, offset, (kind, flags), &body)?;
            }
            let at = offset.saturating_add(RECORD_HEADER_BYTES as u64);
            StoredPart::decode(Fields::new(&body, at), &body, bytes.len(), at)
        }
        Opened::Record(..) | Opened::Incomplete(_) | Opened::Zeros => Err(Unreadable::damage(
            offset,
            "the reference names a part that is none",
        )),
    }
}

impl Adoption {
    /// The frames of a part, as they lie in the log. `bytes` are those that the part's place names.
    ///
    /// # Errors
    /// When they are not that part.
    pub fn read(
        &self,
        lock: &SegmentLock,
        part: &SpoolPart,
        bytes: &Bytes,
    ) -> Result<Frames, Unreadable> {
        let frames = read_part(self.spool, lock, part, bytes)?.adopted(self)?;
        let first = frames.frames.first().map(|first| first.index);
        if first != Some(part.first_index) {
            let what = "a part that begins elsewhere than its reference says";
            return Err(Unreadable::Damage(Damage {
                offset: part.offset,
                what,
            }));
        }
        Ok(frames)
    }
}
