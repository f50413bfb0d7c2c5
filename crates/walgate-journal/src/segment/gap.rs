//! Gaps and progress as records.

use walgate_core::{Gap, Lsn, Position};

use super::codes;
use super::error::Unreadable;
use super::fields::{Fields, put_text};

pub(super) fn put(out: &mut Vec<u8>, entry: u64, epoch: u8, gap: &Gap) {
    out.extend_from_slice(&entry.to_le_bytes());
    out.push(epoch);
    out.extend_from_slice(&gap.from.0.to_le_bytes());
    out.extend_from_slice(&gap.to.0.to_le_bytes());
    put_text(out, codes::gap_reason_name(gap.reason));
}

/// Entry number, epoch and gap.
pub(super) fn decode(mut fields: Fields<'_>) -> Result<(u64, u8, Gap), Unreadable> {
    let entry = fields.u64("a gap without entry number")?;
    let epoch = fields.u8("a gap without epoch")?;
    let from = fields.lsn("a gap without begin")?;
    let to = fields.lsn("a gap without end")?;
    let at = fields;
    let name = fields.text("a gap without reason")?;
    let reason = codes::gap_reason(name).ok_or_else(|| at.newer("gap reason", name))?;
    fields.end()?;
    Ok((entry, epoch, Gap { from, to, reason }))
}

/// The position that everything behind a gap lies above.
pub(super) const fn end_of(epoch: u8, gap: &Gap) -> Position {
    Position::new(epoch, gap.to, 0)
}

pub(super) fn put_progress(out: &mut Vec<u8>, epoch: u8, lsn: Lsn) {
    out.push(epoch);
    out.extend_from_slice(&lsn.0.to_le_bytes());
}

/// Epoch and LSN.
pub(super) fn decode_progress(mut fields: Fields<'_>) -> Result<(u8, Lsn), Unreadable> {
    let epoch = fields.u8("progress without epoch")?;
    let lsn = fields.lsn("progress without position")?;
    fields.end()?;
    Ok((epoch, lsn))
}
