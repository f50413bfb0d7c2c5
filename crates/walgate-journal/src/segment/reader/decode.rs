//! A record's body into what it holds.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Body, Inner, Record, SegmentReader};
use crate::segment::definitions::DefinitionCache;
use crate::segment::error::Unreadable;
use crate::segment::fields::Fields;
use crate::segment::index::SegmentIndex;
use crate::segment::reader::Location;
use crate::segment::record::{Flags, Kind, RECORD_HEADER_BYTES};
use crate::segment::{block, cipher, definition, gap, reference, run};

impl SegmentReader {
    /// The records of a block: all of them, or none.
    pub(super) fn decode_block(
        &self,
        flags: Flags,
        body: Bytes,
        cache: &mut DefinitionCache,
    ) -> Result<VecDeque<Inner>, Unreadable> {
        let Location {
            offset, mut entry, ..
        } = self.next;
        let first = entry;
        let (entries, mut plain) = block::open(flags, body, offset)?;
        let mut inside = VecDeque::new();
        while let Some((kind, body)) = block::take(&mut plain, offset)? {
            let len = block::inner_bytes(body.len());
            let record = self.decode(kind, &body, (entry, len), cache)?;
            entry = entry.saturating_add(record.entries());
            // A block is shorter than 2^32.
            let len = len as u32;
            inside.push_back(Inner { record, len });
        }
        if entry - first != u64::from(entries) || inside.is_empty() {
            let what = "a block that counts other entries than it has";
            return Err(Unreadable::damage(offset, what));
        }
        Ok(inside)
    }

    /// The plain body of a record.
    pub(super) fn unlock(&self, kind: Kind, flags: Flags, body: Bytes) -> Result<Body, Unreadable> {
        if !flags.has(Flags::ENCRYPTED) {
            return Ok(Body::Plain(body));
        }
        let Location {
            offset, ordinal, ..
        } = self.next;
        if self.pass_locked && self.lock.is_shut() {
            return cipher::entries_in_clear(kind, &body, offset).map(Body::Locked);
        }
        let place = (self.segment, ordinal);
        let plain = self.lock.open(place, offset, (kind, flags), &body)?;
        Ok(Body::Plain(plain))
    }

    pub(super) fn decode(
        &self,
        kind: Kind,
        body: &Bytes,
        (entry, pinned): (u64, usize),
        cache: &mut DefinitionCache,
    ) -> Result<Record, Unreadable> {
        let offset = self.next.offset;
        let at = offset.saturating_add(RECORD_HEADER_BYTES as u64);
        let fields = Fields::new(body, at);
        let numbered = |number: u64| match number == entry {
            true => Ok(()),
            false => Err(Unreadable::damage(offset, "an entry out of its turn")),
        };
        Ok(match kind {
            Kind::Header => {
                return Err(Unreadable::damage(offset, "a second header in a segment"));
            }
            Kind::Definition => {
                let (number, relation) = definition::decode(fields)?;
                let relation = cache
                    .define(self.segment, number, relation)
                    .ok_or_else(|| {
                        Unreadable::damage(
                            offset,
                            "a definition number that has another definition",
                        )
                    })?;
                Record::Definition { number, relation }
            }
            Kind::Run => {
                let run = run::decode(fields, body, pinned, (self.segment, cache))?;
                numbered(run.entry)?;
                Record::Run(run)
            }
            Kind::Gap => {
                let (number, epoch, gap) = gap::decode(fields)?;
                numbered(number)?;
                Record::Gap {
                    entry: number,
                    epoch,
                    gap,
                }
            }
            Kind::Reference => {
                let reference = reference::decode(fields, (self.segment, cache))?;
                numbered(reference.entry)?;
                Record::Reference(Box::new(reference))
            }
            Kind::Block => {
                return Err(Unreadable::damage(offset, "a block in a block"));
            }
            Kind::Part | Kind::Spool => {
                return Err(Unreadable::damage(
                    offset,
                    "a record of a spool in a segment",
                ));
            }
            Kind::Progress => {
                let (epoch, lsn) = gap::decode_progress(fields)?;
                Record::Progress { epoch, lsn }
            }
            Kind::Index => {
                let index = SegmentIndex::decode_body(fields, offset)?;
                if index.next_entry() != entry {
                    let what = "an index that counts other entries than there are";
                    return Err(Unreadable::damage(offset, what));
                }
                Record::Index(index)
            }
        })
    }
}
