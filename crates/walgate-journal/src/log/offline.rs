//! A folder that is only looked at: of a process that runs or does not, or a copy.

use std::sync::Arc;

use walgate_core::{Failure, Position};

use super::catalogue::{Catalogue, Segment, SegmentState};
use super::damaged::DamagedPlace;
use super::files::spool_name;
use super::found::{self, Found};
use super::scan::{Ending, Rule, Scan, Scanned};
use super::strays;
use super::unscanned::{Before, of_index, unreadable};
use super::view::LogView;
use crate::segment::{Damage, SegmentHeader};
use crate::storage::Storage;

/// What a check of every byte has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Segments that were read.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Entries whose checksums hold.
    pub entries: u64,
    /// What is damaged or missing, in order.
    pub damaged: Vec<DamagedPlace>,
    /// Where the last segment ends in the middle of a record: what a process was about to write,
    /// or a tail that the next start cuts. This is no damage.
    pub torn: Option<Damage>,
    /// Files that were not looked into, since the keys that they are encrypted with are missing:
    /// spools, whose checksums are not known without. In order.
    pub locked: Vec<String>,
}

impl LogView {
    /// Looks at the log in a folder, which nobody needs to own and which is not changed. What is
    /// appended later is not seen. Blocks: headers and indexes are read, and segments without an
    /// index.
    ///
    /// # Errors
    ///
    /// When it can't be read, or a later version has written it.
    pub fn offline(storage: Arc<dyn Storage>) -> Result<Self, Failure> {
        let found = found::segments(storage.as_ref())?;
        let catalogue = Catalogue::default();
        let mut before = Before::default();
        let mut segments = Vec::with_capacity(found.len());
        for (place, one) in found.iter().enumerate() {
            let next = found.get(place + 1).and_then(Found::header);
            let segment = look_at(storage.as_ref(), one, next, &before)?;
            before = Before {
                highest: segment.highest,
                whole: segment.whole,
                end_entry: segment.end_entry,
                created: segment.created,
            };
            segments.push(segment);
        }
        strays::measure(storage.as_ref(), &mut segments)?;
        {
            let mut known = catalogue.lock();
            segments.into_iter().for_each(|segment| known.push(segment));
        }
        Ok(Self::of_another(storage, catalogue))
    }

    /// What a segment's header says; none when the segment is gone or its header damaged. Blocks.
    ///
    /// # Errors
    ///
    /// When it can't be read, or a later version has written it.
    pub fn header(&self, segment: u64) -> Result<Option<SegmentHeader>, Failure> {
        if self.catalogue().lock().get(segment).is_none() {
            return Ok(None);
        }
        let found = found::find(self.storage().as_ref(), segment)?;
        let header = found.and_then(|found| found.header.ok());
        Ok(header.map(|(header, _)| header))
    }

    /// The name of the master key that a segment is encrypted with; none when it is not, or its
    /// header is damaged. Blocks.
    ///
    /// # Errors
    ///
    /// When it can't be read, or a later version has written it.
    pub fn key_id(&self, segment: u64) -> Result<Option<String>, Failure> {
        let found = found::find(self.storage().as_ref(), segment)?;
        let opened = found.and_then(|found| found.header.ok());
        Ok(opened.and_then(|(_, reader)| reader.lock().key_id().map(str::to_owned)))
    }

    /// Reads every byte of every segment and checks it. Blocks for as long as the disk takes.
    ///
    /// # Errors
    ///
    /// When it can't be read, or a later version has written it.
    pub fn verify(&self) -> Result<Verified, Failure> {
        let segments = self.catalogue().segments();
        let mut verified = Verified::default();
        let mut before: Option<Before> = None;
        for (place, segment) in segments.iter().enumerate() {
            if let Some(before) = &before {
                verified.damaged.extend(missing(before, segment));
            }
            let next = segments.get(place + 1);
            let whole = before.map_or(Position::ZERO, |before| before.whole);
            let seen = self.verify_segment(segment, next, whole, &mut verified)?;
            before = Some(Before {
                highest: segment.highest,
                whole: seen.max(segment.whole),
                end_entry: segment.end_entry,
                created: segment.created,
            });
        }
        Ok(verified)
    }

    /// Returns the end of the last whole transaction up to the segment's end.
    fn verify_segment(
        &self,
        segment: &Segment,
        next: Option<&Segment>,
        whole: Position,
        verified: &mut Verified,
    ) -> Result<Position, Failure> {
        let storage = self.storage().as_ref();
        if segment.written == 0 {
            return Ok(whole);
        }
        let Some(mut found) = found::find(storage, segment.number)? else {
            // Deleted in the meantime, by us or by whoever owns the folder.
            return Ok(whole);
        };
        if segment.state == SegmentState::Active {
            // The end of the file may be in the making.
            found.len = found.len.min(segment.written);
        }
        verified.segments += 1;
        verified.bytes += found.len + segment.spool_bytes;
        let to = |from: Position| next.map(|next| next.before.max(from));
        let is_last = next.is_none() && segment.state != SegmentState::Sealed;
        let scan = match scan(storage, &found, whole)? {
            Ok(scan) => scan,
            Err(damage) if is_last => {
                verified.torn = Some(damage);
                return Ok(whole);
            }
            Err(damage) => {
                verified.damaged.push(DamagedPlace {
                    segment: segment.number,
                    spool: false,
                    offset: damage.offset,
                    what: damage.what.to_owned(),
                    from: segment.before,
                    to: to(segment.before),
                });
                return Ok(whole);
            }
        };
        let (scan, torn) = without_torn_tail(scan, is_last);
        if torn.is_some() {
            verified.torn = torn;
        }
        if scan.spool_is_locked {
            verified.locked.push(spool_name(segment.number));
        }
        let lost = scan.damaged.len() as u64;
        verified.entries += scan.index.entries.saturating_sub(lost);
        let whole = scan.whole;
        verified
            .damaged
            .extend(scan.damaged.into_iter().map(|mut place| {
                place.to = place.to.or_else(|| to(place.from));
                place
            }));
        Ok(whole)
    }
}

/// What is missing between two segments.
fn missing(before: &Before, segment: &Segment) -> Option<DamagedPlace> {
    let entries = before.end_entry < segment.first_entry;
    let jumps = segment.before > before.highest && segment.before.epoch() == before.highest.epoch();
    let what = match (entries, jumps) {
        (true, _) => "entries before this segment are missing",
        (false, true) => "what came before this segment was not kept",
        (false, false) => return None,
    };
    Some(DamagedPlace {
        segment: segment.number,
        spool: false,
        offset: 0,
        what: what.to_owned(),
        from: before.highest,
        to: Some(segment.before.max(before.highest)),
    })
}

/// Scans a segment and names everything that is bad; the header's damage when that is bad.
fn scan(
    storage: &dyn Storage,
    found: &Found,
    whole: Position,
) -> Result<Result<Scan, Damage>, Failure> {
    let (header, reader) = match &found.header {
        Ok((header, reader)) => (header, reader.clone()),
        Err(damage) => return Ok(Err(damage.clone())),
    };
    let scanned = Scanned {
        storage,
        file: found.open(storage)?,
        header,
        reader,
        len: found.len,
        own_index: found.index(storage)?,
    };
    scanned.scan(whole, Rule::Verify).map(Ok)
}

/// In the last segment, bad bytes behind which nothing follows are a torn tail.
fn without_torn_tail(mut scan: Scan, is_last: bool) -> (Scan, Option<Damage>) {
    if !is_last || scan.ending != Ending::Damaged {
        return (scan, None);
    }
    let what = "a record that is not whole";
    let offset = scan.end.offset;
    let torn = scan.damaged.pop().map(|_| Damage { offset, what });
    (scan, torn)
}

fn look_at(
    storage: &dyn Storage,
    found: &Found,
    next: Option<&SegmentHeader>,
    before: &Before,
) -> Result<Segment, Failure> {
    if let (Some(data_end), Some(index)) = (found.index_offset, found.index(storage)?) {
        return Ok(of_index(found, &index, before, next, data_end));
    }
    let Ok(scan) = scan(storage, found, before.whole)? else {
        return Ok(unreadable(found, before, next));
    };
    // What comes behind says what can't be read here.
    let unknown = (scan.ending == Ending::Damaged || scan.is_locked) && next.is_some();
    let damaged = scan.ending == Ending::Damaged && next.is_some();
    let end_entry = scan.index.next_entry();
    let last = scan.index.last;
    let segment = of_index(found, &scan.index, before, next, scan.end.offset);
    Ok(Segment {
        end_entry: match next {
            Some(next) if unknown => next.first_entry.max(end_entry),
            _ => end_entry,
        },
        highest: match next {
            Some(next) if unknown => next.before.max(last),
            _ => last,
        },
        whole: scan.whole,
        data_end: if damaged { found.len } else { scan.end.offset },
        written: if next.is_some() {
            found.len
        } else {
            scan.end.offset
        },
        state: match scan.ending {
            Ending::Sealed => SegmentState::Sealed,
            _ => SegmentState::Open,
        },
        ..segment
    })
}
