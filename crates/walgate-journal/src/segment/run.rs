//! A run of frames as a record.

use std::sync::Arc;

use bytes::Bytes;
use walgate_core::{Frame, Frames, Lsn, Position, Relation, Transaction};

use super::codes;
use super::definitions::DefinitionCache;
use super::error::Unreadable;
use super::fields::{Fields, put_count, put_position};
use super::survey::{CommitTimes, Survey};

/// A run's flags: a transaction is open before the first frame.
const OPEN: u8 = 1;
/// A run's flags: there is progress behind the last frame.
const PROGRESS: u8 = 2;

/// An entry of the frame table: kind u8, relation u16, index u32, length u32.
const FRAME_BYTES: usize = 11;

/// What stands in every run: entry, flags, epoch, last position, whole, commit times, and the
/// counts of relations, truncated tables and frames.
const FIXED_BYTES: usize = 8 + 1 + 1 + 12 + 8 + 16 + 4 + 4 + 4;
const OPEN_BYTES: usize = 4 + 8 + 8;
const PROGRESS_BYTES: usize = 8;

/// A run of frames as it lies in the log.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its number in the log.
    pub entry: u64,
    /// Position of its last frame. A run that repeats a transaction after a reconnect may lie
    /// below the runs before it.
    pub last: Position,
    /// Everything that commits below this lies in the log up to the end of this run: the end of
    /// the last transaction that ends in it, the LSN of a standalone message, or its progress.
    /// `None` when it holds nothing but a part of one transaction.
    pub whole: Option<Lsn>,
    /// Commit times of the transactions that begin in it.
    pub times: CommitTimes,
    /// The frames. Their bytes are a slice of the chunk that they were read from;
    /// [`Frames::pinned`] is what the record takes in the file, the share that this run has in
    /// the chunk.
    pub frames: Frames,
}

/// How long the body will be.
pub(super) fn body_bytes(frames: &Frames, survey: &Survey) -> u64 {
    let lists =
        4 * frames.relations.len() + 2 * frames.truncated.len() + FRAME_BYTES * frames.frames.len();
    let open = if frames.open.is_some() { OPEN_BYTES } else { 0 };
    let progress = if frames.progress.is_some() {
        PROGRESS_BYTES
    } else {
        0
    };
    (FIXED_BYTES + open + progress + lists) as u64 + survey.message_bytes
}

/// `numbers`: the definitions of the frames' relations.
pub(super) fn put(
    out: &mut Vec<u8>,
    entry: u64,
    frames: &Frames,
    numbers: &[u32],
    survey: &Survey,
) {
    let open = if frames.open.is_some() { OPEN } else { 0 };
    let progress = if frames.progress.is_some() {
        PROGRESS
    } else {
        0
    };
    out.extend_from_slice(&entry.to_le_bytes());
    out.extend_from_slice(&[open | progress, frames.epoch]);
    put_position(out, survey.last);
    out.extend_from_slice(&survey.whole.unwrap_or_default().0.to_le_bytes());
    out.extend_from_slice(&survey.times.oldest.0.to_le_bytes());
    out.extend_from_slice(&survey.times.newest.0.to_le_bytes());
    if let Some(open) = &frames.open {
        out.extend_from_slice(&open.xid.to_le_bytes());
        out.extend_from_slice(&open.commit_lsn.0.to_le_bytes());
        out.extend_from_slice(&open.commit_time.0.to_le_bytes());
    }
    if let Some(progress) = frames.progress {
        out.extend_from_slice(&progress.0.to_le_bytes());
    }
    put_count(out, numbers.len());
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
    put_count(out, frames.truncated.len());
    for place in &frames.truncated {
        out.extend_from_slice(&place.to_le_bytes());
    }
    put_count(out, frames.frames.len());
    put_table(out, &frames.frames);
    for frame in &frames.frames {
        out.extend_from_slice(frames.message(frame));
    }
}

pub(super) fn put_table(out: &mut Vec<u8>, frames: &[Frame]) {
    let start = out.len();
    out.resize(start + frames.len() * FRAME_BYTES, 0);
    let (table, _) = out
        .get_mut(start..)
        .unwrap_or_default()
        .as_chunks_mut::<FRAME_BYTES>();
    for (place, frame) in table.iter_mut().zip(frames) {
        let [r0, r1] = frame.relation.to_le_bytes();
        let [i0, i1, i2, i3] = frame.index.to_le_bytes();
        let [l0, l1, l2, l3] = frame.len.to_le_bytes();
        let kind = codes::frame_code(frame.kind);
        *place = [kind, r0, r1, i0, i1, i2, i3, l0, l1, l2, l3];
    }
}

/// `body`: what `fields` goes over. `definitions`: those of a segment.
pub(super) fn decode(
    mut fields: Fields<'_>,
    body: &Bytes,
    pinned: usize,
    definitions: (u64, &DefinitionCache),
) -> Result<Run, Unreadable> {
    let whole_run = fields;
    let entry = fields.u64("a run without entry number")?;
    let at = fields;
    let flags = fields.u8("a run without flags")?;
    if flags & !(OPEN | PROGRESS) != 0 {
        return Err(at.newer("run flags", flags));
    }
    let epoch = fields.u8("a run without epoch")?;
    let last = fields.position("a run without last position")?;
    let whole = fields.lsn_or_none("a run without whole position")?;
    let times = CommitTimes {
        oldest: fields.time("a run without commit times")?,
        newest: fields.time("a run without commit times")?,
    };
    let open = match flags & OPEN {
        0 => None,
        _ => Some(Transaction {
            xid: fields.u32("a run without open transaction")?,
            commit_lsn: fields.lsn("a run without open transaction")?,
            commit_time: fields.time("a run without open transaction")?,
        }),
    };
    let progress = match flags & PROGRESS {
        0 => None,
        _ => Some(fields.lsn("a run without progress")?),
    };
    let relations = relations(&mut fields, definitions)?;
    let count = fields.count("a run with too many truncated tables", 2)?;
    let mut truncated = Vec::with_capacity(count);
    for _ in 0..count {
        truncated.push(fields.u16("a run without truncated tables")?);
    }
    let frames = table(&mut fields)?;
    let messages = body.slice(body.len().saturating_sub(fields.left())..);
    let frames = Frames {
        bytes: messages,
        frames,
        relations,
        truncated,
        open,
        epoch,
        progress,
        pinned,
    };
    let survey = Survey::of(&frames).map_err(|what| whole_run.damage(what))?;
    if (survey.last, survey.whole, survey.times) != (last, whole, times)
        || survey.message_bytes != frames.bytes.len() as u64
    {
        return Err(whole_run.damage("a run that says other things about its frames than they do"));
    }
    Ok(Run {
        entry,
        last,
        whole,
        times,
        frames,
    })
}

fn relations(
    fields: &mut Fields<'_>,
    (segment, cache): (u64, &DefinitionCache),
) -> Result<Vec<Arc<Relation>>, Unreadable> {
    let count = fields.count("a run with too many relations", 4)?;
    let mut relations = Vec::with_capacity(count);
    for _ in 0..count {
        let at = *fields;
        let number = fields.u32("a run without its relations")?;
        let Some(relation) = cache.get(segment, number) else {
            return Err(at.damage("a run of a relation that was not defined before it"));
        };
        relations.push(Arc::clone(relation));
    }
    Ok(relations)
}

pub(super) fn table(fields: &mut Fields<'_>) -> Result<Vec<Frame>, Unreadable> {
    let count = fields.count("a run with too many frames", FRAME_BYTES)?;
    let at = *fields;
    let bytes = fields.bytes("a run without its frames", count * FRAME_BYTES)?;
    let (table, _) = bytes.as_chunks::<FRAME_BYTES>();
    let mut frames = Vec::with_capacity(count);
    let mut start = 0u32;
    for [kind, r0, r1, i0, i1, i2, i3, l0, l1, l2, l3] in table {
        let Some(kind) = codes::frame_kind(*kind) else {
            return Err(at.newer("frame kind", kind));
        };
        let len = u32::from_le_bytes([*l0, *l1, *l2, *l3]);
        frames.push(Frame {
            kind,
            relation: u16::from_le_bytes([*r0, *r1]),
            index: u32::from_le_bytes([*i0, *i1, *i2, *i3]),
            start,
            len,
        });
        // A sum that does not fit is beyond every record: its frame reaches beyond the bytes.
        start = start.saturating_add(len);
    }
    Ok(frames)
}
