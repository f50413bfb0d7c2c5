//! Reading a whole segment to find out what of it is sound.

use std::sync::Arc;

use walgate_core::{Failure, Position};

use super::damaged::DamagedPlace;
use super::records::{Records, Walk, first_of};
use super::spooled::{self, Depth, Looked};
use crate::segment::{
    Damage, DefinitionCache, Location, Record, SegmentHeader, SegmentIndex, SegmentReader,
};
use crate::storage::{Storage, StoredFile};

/// What is torn and what is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// What is bad once everything up to this position (index 0) is there, is a torn tail; before,
    /// it is damage.
    Confirmed(Position),
    /// The same, and what is sound behind that is not trusted either: a sync has failed.
    Discard(Position),
    /// Behind damage that may hold what was not confirmed, which comes again, and so does the rest:
    /// what begins above this position does not count.
    Behind(Position),
    /// Everything that is bad is damage.
    Verify,
}

/// How the scan of a segment ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// At the end of the file, without an index.
    Clean,
    /// With index and trailer.
    Sealed,
    /// With bytes that are no record and were not confirmed.
    Torn(Damage),
    /// With sound bytes that don't count.
    Discarded,
    /// With bytes that should be records, and behind which nothing can be found.
    Damaged,
}

/// What a scan has found.
#[derive(Debug)]
pub(super) struct Scan {
    /// What lies in the segment up to `end`.
    pub(super) index: SegmentIndex,
    /// Behind the last record that is sound.
    pub(super) end: Location,
    pub(super) ending: Ending,
    /// Damage in it, in order. The last `to` may still be open.
    pub(super) damaged: Vec<DamagedPlace>,
    /// The end of the last whole transaction up to `end`; what came before the segment counts.
    pub(super) whole: Position,
    /// The rule for what comes behind the segment.
    pub(super) rule: Rule,
    /// Whether a record up to `end` names the segment's spool.
    pub(super) names_spool: bool,
    /// Whether the spool was not looked into, since its key is missing.
    pub(super) spool_is_locked: bool,
    /// Whether the key is missing for anything up to `end`: `index` says less than there is.
    pub(super) is_locked: bool,
}

/// A segment to scan.
#[derive(Debug)]
pub(super) struct Scanned<'a> {
    pub(super) storage: &'a dyn Storage,
    pub(super) file: Arc<dyn StoredFile>,
    pub(super) header: &'a SegmentHeader,
    /// At its first record.
    pub(super) reader: SegmentReader,
    pub(super) len: u64,
    /// Its own index, where it has a sound one: for what lies behind damage.
    pub(super) own_index: Option<SegmentIndex>,
}

impl Scanned<'_> {
    /// Scans it. `whole`: the end of the last whole transaction before it.
    pub(super) fn scan(self, whole: Position, mut rule: Rule) -> Result<Scan, Failure> {
        let epoch = self.header.facts.epoch;
        let mut records = Records::new(Arc::clone(&self.file), self.reader.clone());
        if rule == Rule::Verify {
            // Whether the bytes are sound can be told without any key.
            records.pass_locked();
        }
        let mut cache = DefinitionCache::new();
        let mut scan = Scan::begin(self.header, records.location(), whole, rule);
        scan.ending = loop {
            scan.end = records.location();
            // A block is kept or cut as a whole, as what its first record says.
            let in_block = records.is_in_block();
            // A log that had to go back repeats what lies below positions that it has had, so that only
            // what is whole says that all of it was confirmed.
            if !in_block && matches!(rule, Rule::Discard(confirmed) if scan.whole >= confirmed) {
                break Ending::Discarded;
            }
            match records.next(self.storage, self.len, &mut cache)? {
                Walk::Record(_, _, record) if !in_block && rule.discards(&record) => {
                    break Ending::Discarded;
                }
                Walk::Record(at, len, record) => {
                    match self.look_at_spool(&record, rule)? {
                        Looked::Sound => {}
                        Looked::Locked => scan.spool_is_locked = true,
                        Looked::Damaged(damage) if scan.is_torn(rule) => {
                            break Ending::Torn(damage);
                        }
                        Looked::Damaged(damage) => {
                            rule = scan.lose_spool(records.segment(), &record, damage, rule);
                        }
                    }
                    scan.note(&record);
                    scan.index.note(at, len, &record);
                    if let Some(lsn) = scan.index.whole {
                        scan.whole = scan.whole.max(Position::new(epoch, lsn, 0));
                    }
                }
                Walk::End if records.location().offset > scan.end.offset => break Ending::Sealed,
                Walk::End => break Ending::Clean,
                Walk::Bad(damage) => {
                    if scan.is_torn(rule) {
                        break Ending::Torn(damage);
                    }
                    let index = self.own_index.as_ref();
                    scan.damaged.push(DamagedPlace {
                        segment: records.segment(),
                        spool: false,
                        offset: damage.offset,
                        what: damage.what.to_owned(),
                        from: scan.index.last,
                        to: None,
                    });
                    if !records.skip_bad(self.storage, self.len, index, &mut cache)? {
                        break Ending::Damaged;
                    }
                    let to = records.before_next(self.storage, self.len, &mut cache)?;
                    let to = to.map(|to| to.max(scan.index.last));
                    rule = rule.behind(to);
                    if let Some(place) = scan.damaged.last_mut() {
                        place.to = to;
                    }
                }
            }
        };
        scan.rule = rule;
        // A record that can't be read has its number all the same.
        let entries = scan.end.entry.saturating_sub(scan.index.first_entry);
        scan.index.entries = scan.index.entries.max(entries);
        Ok(scan)
    }
}

impl Scanned<'_> {
    /// Looks at the spool that a record names. One that was confirmed is not read for it: readers
    /// find out.
    fn look_at_spool(&self, record: &Record, rule: Rule) -> Result<Looked, Failure> {
        let segment = self.header.number;
        let reference = match record {
            Record::Reference(reference) => reference,
            Record::Locked {
                reference: true, ..
            } => return spooled::check_locked(self.storage, segment),
            _ => return Ok(Looked::Sound),
        };
        let end = Position::new(reference.adoption.epoch, reference.adoption.end_lsn, 0);
        let depth = match rule.confirmed() {
            None => Depth::Known,
            Some(confirmed) if end > confirmed => Depth::Whole,
            Some(_) => Depth::File,
        };
        spooled::check(self.storage, segment, reference, depth)
    }
}

fn last_of(record: &Record) -> Option<Position> {
    match record {
        Record::Reference(reference) => Some(reference.adoption.last()),
        _ => None,
    }
}

impl Scan {
    const fn begin(header: &SegmentHeader, end: Location, whole: Position, rule: Rule) -> Self {
        Self {
            index: SegmentIndex::new(header),
            end,
            ending: Ending::Clean,
            damaged: Vec::new(),
            whole,
            rule,
            names_spool: false,
            spool_is_locked: false,
            is_locked: false,
        }
    }

    /// Whether it holds nothing, damaged or not.
    pub(super) fn is_empty(&self) -> bool {
        let damaged = self.ending == Ending::Damaged || !self.damaged.is_empty();
        !damaged && self.index.entries == 0 && self.index.whole.is_none()
    }

    /// Whether what is bad here is a torn tail.
    fn is_torn(&self, rule: Rule) -> bool {
        let has_all = |confirmed| self.has_all(confirmed);
        rule.confirmed().is_some_and(has_all)
    }

    /// The spool that a record names can't be read. Returns the rule behind it.
    fn lose_spool(&mut self, segment: u64, record: &Record, damage: Damage, rule: Rule) -> Rule {
        let to = last_of(record);
        self.damaged.push(DamagedPlace {
            segment,
            spool: true,
            offset: damage.offset,
            what: damage.what.to_owned(),
            from: self.index.last,
            to,
        });
        rule.behind(to)
    }

    /// A record counts.
    fn note(&mut self, record: &Record) {
        match record {
            Record::Reference(_) => self.names_spool = true,
            Record::Locked { reference, .. } => {
                self.is_locked = true;
                self.names_spool |= reference;
            }
            _ => {}
        }
    }

    /// Whether everything that was confirmed has been read. An entry of a transaction that was not
    /// says so too: what was confirmed lies before it.
    fn has_all(&self, confirmed: Position) -> bool {
        self.whole >= confirmed || self.index.last >= confirmed
    }
}

impl Rule {
    fn confirmed(self) -> Option<Position> {
        match self {
            Self::Confirmed(at) | Self::Discard(at) | Self::Behind(at) => Some(at),
            Self::Verify => None,
        }
    }

    /// The rule behind damage of which nothing lies above `to`.
    pub(super) fn behind(self, to: Option<Position>) -> Self {
        match self {
            Self::Confirmed(confirmed) if to.is_none_or(|to| to > confirmed) => {
                Self::Behind(confirmed)
            }
            rule => rule,
        }
    }

    /// Whether nothing in the record was confirmed, and it does not count.
    fn discards(self, record: &Record) -> bool {
        let (Self::Discard(confirmed) | Self::Behind(confirmed)) = self else {
            return false;
        };
        match record {
            Record::Run(run) => first_of(&run.frames).is_some_and(|first| first > confirmed),
            Record::Gap { epoch, gap, .. } => Position::new(*epoch, gap.to, 0) > confirmed,
            Record::Reference(reference) => reference.adoption.first() > confirmed,
            Record::Progress { epoch, lsn } => Position::new(*epoch, *lsn, 0) > confirmed,
            Record::Definition { .. } | Record::Index(_) | Record::Locked { .. } => false,
        }
    }
}
