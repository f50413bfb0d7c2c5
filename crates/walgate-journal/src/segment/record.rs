//! A record: length, checksum, kind, flags, body.

use super::error::{EncodeError, Unreadable};

/// What stands before the body of a record: length u32, checksum u32, kind u8, flags u8, zero u16.
pub const RECORD_HEADER_BYTES: usize = 12;

/// The longest body of a record: lengths stay positive in languages without unsigned numbers, and
/// the places of frames in it fit 32 bits. A run of the session's is a few MiB.
pub const MAX_RECORD_BYTES: usize = 0x7FFF_FFFF;

/// The ordinal of the index, wherever it stands, so that it can be checked without the records
/// before it. No other record ever gets it.
pub(super) const INDEX_ORDINAL: u32 = u32::MAX;

/// Where the checksummed part of a record starts: behind length and checksum.
const CHECKED: usize = 8;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Header = 1,
    Definition = 2,
    Run = 3,
    Gap = 4,
    Progress = 5,
    Index = 6,
}

impl Kind {
    const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Header,
            2 => Self::Definition,
            3 => Self::Run,
            4 => Self::Gap,
            5 => Self::Progress,
            6 => Self::Index,
            _ => return None,
        })
    }
}

/// Makes room for a record's header. Returns where the record starts, for [`finish`].
pub(super) fn begin(out: &mut Vec<u8>, kind: Kind) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, kind as u8, 0, 0, 0]);
    start
}

/// Fills in length and checksum of the record that starts at `start` and ends with `out`. Returns
/// its length with the header. On an error `out` is as it was before [`begin`].
pub(super) fn finish(
    out: &mut Vec<u8>,
    start: usize,
    segment: u64,
    ordinal: u32,
) -> Result<u32, EncodeError> {
    let bytes = out.len().saturating_sub(start + RECORD_HEADER_BYTES);
    let checked = out.get(start + CHECKED..).unwrap_or_default();
    let crc = checksum(segment, ordinal, checked);
    let len = u32::try_from(bytes).unwrap_or(u32::MAX);
    if bytes > MAX_RECORD_BYTES {
        out.truncate(start);
        return Err(EncodeError::TooLarge { bytes });
    }
    let head = u64::from(crc) << 32 | u64::from(len);
    if let Some(place) = out.get_mut(start..start + CHECKED) {
        place.copy_from_slice(&head.to_le_bytes());
    }
    Ok(len + RECORD_HEADER_BYTES as u32)
}

/// CRC32C over what must be the same for a record to be the one that was written here: the
/// segment's number, the record's ordinal in it, and everything behind the checksum.
fn checksum(segment: u64, ordinal: u32, checked: &[u8]) -> u32 {
    let mut place = [0; 12];
    let (number, rest) = place.split_at_mut(8);
    number.copy_from_slice(&segment.to_le_bytes());
    rest.copy_from_slice(&ordinal.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&place), checked)
}

/// What stands at the start of a chunk.
#[derive(Debug)]
pub(super) enum Opened {
    /// A record whose checksum holds; its body is this long.
    Record(Kind, usize),
    /// It goes on behind the chunk: so many bytes are needed from its start on.
    Incomplete(usize),
    /// Nothing was written here.
    Zeros,
}

/// Checks the record at the start of `chunk`, which lies at `offset` of the file. The body is what
/// follows [`RECORD_HEADER_BYTES`].
pub(super) fn open(
    chunk: &[u8],
    offset: u64,
    segment: u64,
    ordinal: u32,
) -> Result<Opened, Unreadable> {
    let Some((head, _)) = chunk.split_first_chunk::<RECORD_HEADER_BYTES>() else {
        return Ok(Opened::Incomplete(RECORD_HEADER_BYTES));
    };
    let [l0, l1, l2, l3, c0, c1, c2, c3, kind, flags, zero @ ..] = *head;
    let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let crc = u32::from_le_bytes([c0, c1, c2, c3]);
    if head.iter().all(|byte| *byte == 0) {
        return Ok(Opened::Zeros);
    }
    if len == 0 || len > MAX_RECORD_BYTES {
        return Err(Unreadable::damage(
            offset,
            "a record of an impossible length",
        ));
    }
    let end = RECORD_HEADER_BYTES + len;
    let Some(checked) = chunk.get(CHECKED..end) else {
        return Ok(Opened::Incomplete(end));
    };
    let index = kind == Kind::Index as u8;
    let ordinal = if index { INDEX_ORDINAL } else { ordinal };
    if checksum(segment, ordinal, checked) != crc {
        return Err(Unreadable::damage(offset, "a record with a wrong checksum"));
    }
    if flags != 0 || zero != [0; 2] {
        let flags = u32::from_le_bytes([kind, flags, zero[0], zero[1]]) >> 8;
        return Err(Unreadable::newer(offset, "record flags", flags));
    }
    Kind::from_byte(kind)
        .map(|kind| Opened::Record(kind, len))
        .ok_or_else(|| Unreadable::newer(offset, "record kind", kind))
}
