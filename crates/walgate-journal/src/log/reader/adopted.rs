//! The way of a reader through a transaction whose changes lie in a spool.

use std::sync::Arc;

use walgate_core::Failure;

use super::{At, LogReader, Step};
use crate::log::catalogue::Segment;
use crate::log::chunk::Chunk;
use crate::log::records::CHUNK_BYTES;
use crate::log::spooled::{self, OpenedSpool, Spool, Spooled};
use crate::segment::{Location, Reference};

impl LogReader {
    /// At a transaction whose changes lie in a spool.
    pub(super) fn enter(
        &mut self,
        segment: &Segment,
        reference: Box<Reference>,
        behind: Location,
    ) -> Result<Step, Failure> {
        let number = segment.number;
        let storage = Arc::clone(self.view.storage());
        match Spooled::open(storage.as_ref(), number, reference, self.leave_out)? {
            OpenedSpool::Open(spooled) => {
                self.next_entry = Some(spooled.number());
                if let At::In(mut records) = std::mem::replace(&mut self.at, At::Behind(number)) {
                    records.go_to(behind);
                    self.at = At::Spool(spooled, records);
                }
                Ok(Step::On)
            }
            OpenedSpool::Missing if self.view.is_deleted(number) => Ok(self.behind_deleted(number)),
            OpenedSpool::Missing => Ok(self.lost_spool(segment, &spooled::missing())),
        }
    }

    /// Takes entries off a spool.
    pub(super) fn walk_spool(
        &mut self,
        chunk: &mut Chunk,
        bytes: &mut usize,
    ) -> Result<Step, Failure> {
        let At::Spool(spooled, _) = &mut self.at else {
            return Ok(Step::On);
        };
        let number = spooled.segment();
        let storage = Arc::clone(self.view.storage());
        loop {
            match spooled.next(storage.as_ref())? {
                Spool::Entry(entry, read) => {
                    *bytes += read;
                    self.leave_out = None;
                    self.next_entry = Some(spooled.number());
                    self.reached = self.reached.max(entry.last);
                    chunk.entries.push(entry);
                    if *bytes >= CHUNK_BYTES {
                        return Ok(Step::Enough);
                    }
                }
                Spool::End => {
                    if let At::Spool(_, records) =
                        std::mem::replace(&mut self.at, At::Behind(number))
                    {
                        self.at = At::In(records);
                    }
                    return Ok(Step::On);
                }
                Spool::Damaged(damage) => {
                    let segment = self.view.catalogue().lock().get(number).cloned();
                    return Ok(match segment {
                        Some(segment) => self.lost_spool(&segment, &damage),
                        None => self.behind_deleted(number),
                    });
                }
            }
        }
    }
}
