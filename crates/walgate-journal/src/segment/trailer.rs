//! The last bytes of a sealed segment: where its index is.

use super::error::Unreadable;

/// The trailer: offset of the index u64, checksum u32, magic u32.
pub const TRAILER_BYTES: usize = 16;

/// The last four bytes of a sealed segment.
const TRAILER_MAGIC: [u8; 4] = *b"WGix";

/// Says that a segment is sealed, and where its index lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    /// Offset of the index's record; it ends where the trailer begins.
    pub index_offset: u64,
}

impl Trailer {
    pub(super) fn encode(self, segment: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.index_offset.to_le_bytes());
        out.extend_from_slice(&self.checksum(segment).to_le_bytes());
        out.extend_from_slice(&TRAILER_MAGIC);
    }

    /// Reads the last [`TRAILER_BYTES`] bytes of the file of segment number `segment`; `None` when
    /// they are no trailer of it, so the segment is not sealed, or its end is damaged.
    pub fn decode(segment: u64, last: &[u8]) -> Option<Self> {
        let bytes: &[u8; TRAILER_BYTES] = last.try_into().ok()?;
        let (offset, rest) = bytes.split_first_chunk::<8>()?;
        let (crc, magic) = rest.split_first_chunk::<4>()?;
        let trailer = Self {
            index_offset: u64::from_le_bytes(*offset),
        };
        let sound = magic == TRAILER_MAGIC && u32::from_le_bytes(*crc) == trailer.checksum(segment);
        sound.then_some(trailer)
    }

    /// The trailer that follows an index in a chunk; `Ok(None)` when the chunk ends before.
    pub(super) fn behind(
        segment: u64,
        index_offset: u64,
        rest: &[u8],
        offset: u64,
    ) -> Result<Option<Self>, Unreadable> {
        let Some((last, _)) = rest.split_first_chunk::<TRAILER_BYTES>() else {
            return Ok(None);
        };
        match Self::decode(segment, last) {
            Some(trailer) if trailer.index_offset == index_offset => Ok(Some(trailer)),
            _ => Err(Unreadable::damage(offset, "an index without its trailer")),
        }
    }

    /// CRC32C over the segment's number and the offset.
    fn checksum(self, segment: u64) -> u32 {
        let number = crc32c::crc32c(&segment.to_le_bytes());
        crc32c::crc32c_append(number, &self.index_offset.to_le_bytes())
    }
}
