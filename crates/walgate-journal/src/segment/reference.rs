//! A reference as a record: a transaction that was streamed, whose changes lie in a spool.

use std::sync::Arc;

use walgate_core::{Frame, FrameKind, Frames, Lsn, PgMicros, Position, Relation, Transaction};

use super::definitions::DefinitionCache;
use super::error::Unreadable;
use super::fields::{Fields, put_count};
use super::survey::CommitTimes;

/// What stands in every reference: entry, entries, epoch, transaction, end, spool, its length,
/// frames, last index, and the counts of relations and parts.
const FIXED_BYTES: usize = 8 + 8 + 1 + 20 + 8 + 8 + 8 + 8 + 4 + 4 + 4;
const PART_BYTES: usize = 8 + 4 + 4 + 4 + 4;

/// Where a part lies in a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolPart {
    /// Where its record starts in the spool's file, in bytes.
    pub offset: u64,
    /// Its record's ordinal in the spool. They rise, with holes where something was rolled back.
    pub ordinal: u32,
    /// Its record's length in bytes.
    pub len: u32,
    /// Its record's checksum: what was written there before and rolled back does not pass.
    pub checksum: u32,
    /// The index in the transaction of its first frame.
    pub first_index: u32,
}

/// A committed transaction whose changes lie in parts, in memory or in a spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    /// The source's epoch.
    pub epoch: u8,
    /// The transaction.
    pub transaction: Transaction,
    /// The first byte behind its commit record.
    pub end_lsn: Lsn,
    /// The number of the spool, which is in its checksums.
    pub spool: u64,
    /// The length of the spool in bytes.
    pub spool_bytes: u64,
    /// How many changes there are, as frames.
    pub frames: u64,
    /// The index of the last change.
    pub last_index: u32,
    /// The definitions, by their numbers in the transaction.
    pub relations: Vec<Arc<Relation>>,
    /// Where the parts lie, in order; none where they lie in memory.
    pub parts: Vec<SpoolPart>,
}

impl Adoption {
    /// How many entries of the log it is: its Begin, each part, and its Commit.
    pub fn entries(&self) -> u64 {
        self.parts.len() as u64 + 2
    }

    /// The position of its Begin.
    pub const fn first(&self) -> Position {
        Position::new(self.epoch, self.transaction.commit_lsn, Position::BEGIN)
    }

    /// The position of its Commit.
    pub const fn last(&self) -> Position {
        Position::new(self.epoch, self.transaction.commit_lsn, Position::COMMIT)
    }

    /// The last position of entry number `entry`, counted from its Begin.
    pub fn last_of(&self, entry: u64) -> Position {
        let lsn = self.transaction.commit_lsn;
        let at = |index| Position::new(self.epoch, lsn, index);
        let Some(part) = entry.checked_sub(1) else {
            return self.first();
        };
        let part = usize::try_from(part).unwrap_or(usize::MAX);
        if part >= self.parts.len() {
            return self.last();
        }
        match self.parts.get(part + 1) {
            Some(next) => at(next.first_index.saturating_sub(1)),
            None => at(self.last_index),
        }
    }

    /// Its Begin as a run.
    pub fn begin(&self) -> Frames {
        let message = self.transaction.begin_message();
        self.boundary(FrameKind::Begin, Position::BEGIN, message, None)
    }

    /// Its Commit as a run.
    pub fn commit(&self) -> Frames {
        let message = self.transaction.commit_message(self.end_lsn);
        let open = Some(self.transaction);
        self.boundary(FrameKind::Commit, Position::COMMIT, message, open)
    }

    fn boundary(
        &self,
        kind: FrameKind,
        index: u32,
        message: bytes::Bytes,
        open: Option<Transaction>,
    ) -> Frames {
        Frames {
            frames: vec![Frame {
                kind,
                relation: 0,
                index,
                start: 0,
                len: u32::try_from(message.len()).unwrap_or(u32::MAX),
            }],
            pinned: message.len(),
            bytes: message,
            relations: Vec::new(),
            truncated: Vec::new(),
            open,
            epoch: self.epoch,
            progress: None,
        }
    }

    pub(super) fn times(&self) -> CommitTimes {
        CommitTimes {
            oldest: self.transaction.commit_time,
            newest: self.transaction.commit_time,
        }
    }
}

/// A reference as it lies in the log: several entries, and the only ones of its segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The number of its first entry.
    pub entry: u64,
    /// What it names.
    pub adoption: Adoption,
}

/// How long the body will be.
pub(super) fn body_bytes(adoption: &Adoption) -> usize {
    FIXED_BYTES + 4 * adoption.relations.len() + PART_BYTES * adoption.parts.len()
}

/// `numbers`: the definitions of the relations in the journal.
pub(super) fn put(out: &mut Vec<u8>, entry: u64, adoption: &Adoption, numbers: &[u32]) {
    let transaction = &adoption.transaction;
    out.extend_from_slice(&entry.to_le_bytes());
    out.extend_from_slice(&adoption.entries().to_le_bytes());
    out.push(adoption.epoch);
    out.extend_from_slice(&transaction.xid.to_le_bytes());
    out.extend_from_slice(&transaction.commit_lsn.0.to_le_bytes());
    out.extend_from_slice(&transaction.commit_time.0.to_le_bytes());
    out.extend_from_slice(&adoption.end_lsn.0.to_le_bytes());
    out.extend_from_slice(&adoption.spool.to_le_bytes());
    out.extend_from_slice(&adoption.spool_bytes.to_le_bytes());
    out.extend_from_slice(&adoption.frames.to_le_bytes());
    out.extend_from_slice(&adoption.last_index.to_le_bytes());
    put_count(out, numbers.len());
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
    put_count(out, adoption.parts.len());
    for part in &adoption.parts {
        out.extend_from_slice(&part.offset.to_le_bytes());
        out.extend_from_slice(&part.ordinal.to_le_bytes());
        out.extend_from_slice(&part.len.to_le_bytes());
        out.extend_from_slice(&part.checksum.to_le_bytes());
        out.extend_from_slice(&part.first_index.to_le_bytes());
    }
}

/// `definitions`: those of a segment.
pub(super) fn decode(
    mut fields: Fields<'_>,
    (segment, cache): (u64, &DefinitionCache),
) -> Result<Reference, Unreadable> {
    let start = fields;
    let entry = fields.u64("a reference without entry number")?;
    let entries = fields.u64("a reference without its count of entries")?;
    let epoch = fields.u8("a reference without epoch")?;
    let transaction = Transaction {
        xid: fields.u32("a reference without transaction")?,
        commit_lsn: fields.lsn("a reference without transaction")?,
        commit_time: PgMicros(fields.time("a reference without transaction")?.0),
    };
    let end_lsn = fields.lsn("a reference without end")?;
    let spool = fields.u64("a reference without spool")?;
    let spool_bytes = fields.u64("a reference without the spool's length")?;
    let frames = fields.u64("a reference without its count of frames")?;
    let last_index = fields.u32("a reference without last index")?;
    let count = fields.count("a reference with too many relations", 4)?;
    let mut relations = Vec::with_capacity(count);
    for _ in 0..count {
        let at = fields;
        let number = fields.u32("a reference without its relations")?;
        let relation = cache
            .get(segment, number)
            .ok_or_else(|| at.damage("a reference to a relation that was not defined before it"))?;
        relations.push(Arc::clone(relation));
    }
    let count = fields.count("a reference with too many parts", PART_BYTES)?;
    let mut parts = Vec::with_capacity(count);
    for _ in 0..count {
        parts.push(SpoolPart {
            offset: fields.u64("a reference without its parts")?,
            ordinal: fields.u32("a reference without its parts")?,
            len: fields.u32("a reference without its parts")?,
            checksum: fields.u32("a reference without its parts")?,
            first_index: fields.u32("a reference without its parts")?,
        });
    }
    fields.end()?;
    let adoption = Adoption {
        epoch,
        transaction,
        end_lsn,
        spool,
        spool_bytes,
        frames,
        last_index,
        relations,
        parts,
    };
    if entries != adoption.entries() || !is_sound(&adoption) {
        return Err(start.damage("a reference that contradicts itself"));
    }
    Ok(Reference { entry, adoption })
}

/// Whether the parts rise, and lie within the spool.
fn is_sound(adoption: &Adoption) -> bool {
    let parts = &adoption.parts;
    let ends = |part: &SpoolPart| part.offset.checked_add(u64::from(part.len));
    parts.is_sorted_by(|a, b| {
        ends(a).is_some_and(|end| end <= b.offset)
            && a.ordinal < b.ordinal
            && a.first_index < b.first_index
    }) && parts.first().is_some_and(|first| {
        first.first_index == Position::BEGIN + 1 && first.first_index <= adoption.last_index
    }) && parts.last().is_some_and(|last| {
        last.first_index <= adoption.last_index
            && adoption.last_index < Position::COMMIT
            && ends(last).is_some_and(|end| end <= adoption.spool_bytes)
    })
}
