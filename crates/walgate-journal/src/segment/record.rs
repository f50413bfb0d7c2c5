//! A record: length, checksum, kind, flags, body.

use super::cipher::{Bound, Cipher, clear_bytes};
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
    Reference = 7,
    Part = 8,
    Spool = 9,
    Block = 10,
}

impl Kind {
    pub(super) const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Header,
            2 => Self::Definition,
            3 => Self::Run,
            4 => Self::Gap,
            5 => Self::Progress,
            6 => Self::Index,
            7 => Self::Reference,
            8 => Self::Part,
            9 => Self::Spool,
            10 => Self::Block,
            _ => return None,
        })
    }
}

/// What is special about a record's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Flags(pub(super) u8);

impl Flags {
    /// Of a header: it says how long the segment was before it was compressed.
    pub(super) const PACKED: Self = Self(0x01);
    /// Of a block: its records are compressed with Zstandard.
    pub(super) const ZSTD: Self = Self(0x02);
    /// The body is encrypted; of a header: it ends with the segment's key.
    pub(super) const ENCRYPTED: Self = Self(0x80);

    pub(super) const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    #[must_use]
    pub(super) const fn with(self, flag: Self) -> Self {
        Self(self.0 | flag.0)
    }

    /// Those that a record of the kind can have.
    const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Header => Self::PACKED.with(Self::ENCRYPTED),
            Kind::Block => Self::ZSTD.with(Self::ENCRYPTED),
            Kind::Index => Self(0),
            Kind::Definition
            | Kind::Run
            | Kind::Gap
            | Kind::Progress
            | Kind::Reference
            | Kind::Part
            | Kind::Spool => Self::ENCRYPTED,
        }
    }
}

/// Makes room for a record's header. Returns where the record starts, for [`finish`].
pub(super) fn begin(out: &mut Vec<u8>, kind: Kind) -> usize {
    begin_with(out, kind, Flags::default())
}

/// The same with flags.
pub(super) fn begin_with(out: &mut Vec<u8>, kind: Kind, flags: Flags) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, kind as u8, flags.0, 0, 0]);
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

/// The same for a file that may be encrypted: then the body is, under `cipher`, before the checksum
/// is made.
pub(super) fn finish_with(
    out: &mut Vec<u8>,
    start: usize,
    segment: u64,
    ordinal: u32,
    cipher: Option<&Cipher>,
) -> Result<u32, EncodeError> {
    let Some(cipher) = cipher else {
        return finish(out, start, segment, ordinal);
    };
    let body = start + RECORD_HEADER_BYTES;
    let [kind, flags] = match out.get_mut(start + CHECKED..start + CHECKED + 2) {
        Some([kind, flags]) => {
            *flags |= Flags::ENCRYPTED.0;
            [*kind, *flags]
        }
        _ => [0; 2],
    };
    let plain = body + Kind::from_byte(kind).map_or(0, clear_bytes);
    let clear = out.get(body..plain).unwrap_or_default().to_vec();
    let bound = Bound {
        segment,
        ordinal,
        kind,
        flags,
        clear: &clear,
    };
    let bytes = out.len().saturating_sub(body);
    if !cipher.seal(out, plain, &bound) {
        out.truncate(start);
        return Err(EncodeError::TooLarge { bytes });
    }
    finish(out, start, segment, ordinal)
}

/// The checksum that a record's header says; none where there is no header.
pub(super) fn checksum_of(record: &[u8]) -> Option<u32> {
    let (_, rest) = record.split_first_chunk::<4>()?;
    rest.first_chunk::<4>()
        .map(|bytes| u32::from_le_bytes(*bytes))
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
    Record(Kind, usize, Flags),
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
    let known = Kind::from_byte(kind);
    let allowed = known.map(Flags::of).unwrap_or_default();
    if flags & !allowed.0 != 0 || zero != [0; 2] {
        let flags = u32::from_le_bytes([kind, flags, zero[0], zero[1]]) >> 8;
        return Err(Unreadable::newer(offset, "record flags", flags));
    }
    known
        .map(|kind| Opened::Record(kind, len, Flags(flags)))
        .ok_or_else(|| Unreadable::newer(offset, "record kind", kind))
}
