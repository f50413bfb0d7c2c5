//! A block: records that lie together in one, compressed.

use bytes::Bytes;

use super::compression::decompress;
use super::error::Unreadable;
use super::fields::Fields;
use super::record::{Flags, Kind, MAX_RECORD_BYTES};

/// What stands before the records of a block, never encrypted: how many entries it holds, and the
/// bytes of its records before they were compressed.
pub(super) const CLEAR_BYTES: usize = 8;

/// What stands before a record in a block: kind u8, length u32.
const INNER_BYTES: usize = 5;

pub(super) fn put_clear(out: &mut Vec<u8>, entries: u32, plain: u32) {
    out.extend_from_slice(&entries.to_le_bytes());
    out.extend_from_slice(&plain.to_le_bytes());
}

/// How many entries the block holds, and its records as they were before they were compressed.
pub(super) fn open(flags: Flags, mut body: Bytes, offset: u64) -> Result<(u32, Bytes), Unreadable> {
    let (entries, len) = clear(&body, offset)?;
    let packed = body.split_off(CLEAR_BYTES);
    if len > MAX_RECORD_BYTES {
        return Err(Unreadable::damage(
            offset,
            "a block of an impossible length",
        ));
    }
    let plain = if flags.has(Flags::ZSTD) {
        decompress(&packed, len).map(Bytes::from)
    } else {
        (packed.len() == len).then_some(packed)
    };
    let plain = plain
        .ok_or_else(|| Unreadable::damage(offset, "a block of another length than it says"))?;
    Ok((entries, plain))
}

/// How many entries it holds, and the bytes of its records.
pub(super) fn clear(body: &[u8], offset: u64) -> Result<(u32, usize), Unreadable> {
    let mut fields = Fields::new(body, offset);
    let entries = fields.u32("a block without its count of entries")?;
    let plain = fields.u32("a block without its length")?;
    Ok((entries, plain as usize))
}

/// Appends a record to what a block will hold.
pub(super) fn put(out: &mut Vec<u8>, kind: Kind, body: &[u8]) {
    out.push(kind as u8);
    // Bodies are records', which are shorter.
    let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(body);
}

/// How long a record will be in a block.
pub(super) const fn inner_bytes(body: usize) -> usize {
    INNER_BYTES + body
}

/// Takes the next record off what a block holds; none at its end.
pub(super) fn take(plain: &mut Bytes, offset: u64) -> Result<Option<(Kind, Bytes)>, Unreadable> {
    if plain.is_empty() {
        return Ok(None);
    }
    let mut fields = Fields::new(plain, offset);
    let kind = fields.u8("a record in a block without kind")?;
    let len = fields.count("a record in a block that is cut off", 1)?;
    let Some(kind @ (Kind::Run | Kind::Gap | Kind::Progress)) = Kind::from_byte(kind) else {
        return Err(Unreadable::newer(offset, "kind of record in a block", kind));
    };
    let mut body = plain.split_to(INNER_BYTES + len);
    Ok(Some((kind, body.split_off(INNER_BYTES))))
}
